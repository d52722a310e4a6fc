//! Results: one JSON object a line for programs, a table for people.
//!
//! **Elsewhere**: what the figures mean is `docs/benchmarks.md`.
//!
//! **Always**: a figure that stands here was measured in this run; where a scenario ran
//! several times it is the median.

use std::fmt::Write as _;

use serde_json::Value;

/// The line of one scenario: its JSON fields, and what more a person may want to know.
pub struct Line {
    scenario: &'static str,
    fields: Vec<(&'static str, Value)>,
    notes: Vec<(&'static str, String)>,
}

impl Line {
    /// With no figures yet.
    pub fn new(scenario: &'static str) -> Self {
        Self {
            scenario,
            fields: Vec::new(),
            notes: Vec::new(),
        }
    }

    /// Adds a figure.
    #[must_use]
    pub fn field(mut self, name: &'static str, value: impl Into<Value>) -> Self {
        self.fields.push((name, value.into()));
        self
    }

    /// Adds something for people only.
    #[must_use]
    pub fn note(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.notes.push((name, value.into()));
        self
    }

    /// Whether a figure is `value`.
    pub fn is(&self, name: &str, value: u64) -> bool {
        self.fields
            .iter()
            .any(|(field, figure)| *field == name && figure.as_u64() == Some(value))
    }

    /// Prints both.
    pub fn print(&self) {
        println!("{}", self.json());
        eprintln!();
        for (name, value) in &self.fields {
            eprintln!("    {name:<34} {value}");
        }
        for (name, value) in &self.notes {
            eprintln!("    ({name}: {value})");
        }
        eprintln!();
    }

    fn json(&self) -> String {
        let mut text = format!(
            "{{\"system\":\"waxwing\",\"scenario\":\"{}\"",
            self.scenario
        );
        for (name, value) in &self.fields {
            // Writing to a string cannot fail.
            let _ = write!(text, ",{}:{value}", Value::from(*name));
        }
        text.push('}');
        text
    }
}

/// The median of at least one figure; of an even number, the lower of the two.
pub fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures
        .get(figures.len().saturating_sub(1) / 2)
        .copied()
        .unwrap_or(f64::NAN)
}

/// Rounded to `digits` after the point.
pub fn rounded(figure: f64, digits: i32) -> f64 {
    let scale = 10f64.powi(digits);
    (figure * scale).round() / scale
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_one_json_object_in_the_order_it_was_written() {
        let line = Line::new("idle")
            .field("connections", 10)
            .field("kib", 1.5)
            .note("x", "y");
        let expected = r#"{"system":"waxwing","scenario":"idle","connections":10,"kib":1.5}"#;
        assert_eq!(line.json(), expected);
    }

    #[test]
    fn a_median_is_the_figure_in_the_middle() {
        assert!((median(vec![3.0, 1.0, 2.0]) - 2.0).abs() < f64::EPSILON);
        assert!((median(vec![9.0, 1.0]) - 1.0).abs() < f64::EPSILON);
    }
}
