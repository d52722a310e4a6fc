//! `docs/rpc.md`: the template, with a section for each method and notice, and tables of events and
//! problems.

use anyhow::{Context as _, Result};
use serde::Serialize;
use waxwing_api::{
    EventKind, ImportFlaw, KeyMissing, Method, Notice, NoticeInfo, Problem, RecoveryWordsFlaw,
    RelayMisdeed, ReportFlaw, methods,
};

const TEMPLATE: &str = include_str!("../rpc.template.md");

/// The whole document.
pub fn document() -> Result<String> {
    let mut text = format!(
        "<!-- Written by `cargo xtask rpc-docs` from crates/api and \
         xtask/rpc-docs/rpc.template.md. -->\n\n{TEMPLATE}"
    );
    for (place, part) in [
        ("methods", methods().map(method).collect()),
        ("notices", Notice::ALL.iter().map(notice).collect()),
        ("events", meanings(EventKind::ALL, |one| one.meaning())?),
        ("problems", problems()?),
        (
            "misdeeds",
            meanings(RelayMisdeed::ALL, |one| one.meaning())?,
        ),
        ("keys", meanings(KeyMissing::ALL, |one| one.meaning())?),
        ("reports", meanings(ReportFlaw::ALL, |one| one.meaning())?),
        ("imports", meanings(ImportFlaw::ALL, |one| one.meaning())?),
        (
            "words",
            meanings(RecoveryWordsFlaw::ALL, |one| one.meaning())?,
        ),
    ] {
        let marker = format!("<!-- {place} -->\n");
        let (before, after) = text
            .split_once(&marker)
            .with_context(|| format!("the template has no {marker}"))?;
        text = format!(
            "{before}{}{after}",
            part.trim_end_matches('\n').to_owned() + "\n"
        );
    }
    Ok(text)
}

fn method(method: &Method) -> String {
    let mut text = format!("### `{}`\n\n{}\n", method.name, prose(method.docs));
    if let Some(params) = &method.params {
        text += &example("Params:", params.example);
    }
    text += &example("Result:", method.result.example);
    text + "\n"
}

fn notice(notice: &NoticeInfo) -> String {
    let examples = notice.examples.iter().map(|one| example("", one.example));
    let examples: String = examples.collect();
    format!(
        "### Notice `{}`\n\n{}\n{examples}\n",
        notice.name,
        prose(notice.docs)
    )
}

/// The lines of a comment as a paragraph of their own.
fn prose(docs: &[&str]) -> String {
    let lines = docs
        .iter()
        .map(|line| line.strip_prefix(' ').unwrap_or(line));
    lines.flat_map(|line| [line, "\n"]).collect()
}

fn example(label: &str, json: &str) -> String {
    let label = if label.is_empty() {
        String::new()
    } else {
        format!("{label}\n")
    };
    // Examples of several lines are indented as in the code.
    let json: Vec<&str> = json.split("\n            ").collect();
    format!("{label}```json\n{}\n```\n", json.join("\n"))
}

/// Rows with how each is written and what it means.
fn meanings<T: Serialize>(all: &[T], meaning: impl Fn(&T) -> &'static str) -> Result<String> {
    let rows = all.iter().map(|one| {
        let written = serde_json::to_value(one)?;
        let written = written.as_str().context("it is not written as a word")?;
        Ok(format!("| `{written}` | {} |\n", clause(meaning(one))))
    });
    rows.collect()
}

/// Rows with the code of each problem, what it means, and the names of its facts.
fn problems() -> Result<String> {
    let rows = Problem::examples().into_iter().map(|problem| {
        let json = serde_json::to_value(&problem)?;
        let facts: Vec<String> = json
            .as_object()
            .into_iter()
            .flat_map(serde_json::Map::keys)
            .filter(|name| *name != "code")
            .map(|name| format!("`{name}`"))
            .collect();
        let (code, meaning) = (problem.code(), clause(problem.meaning()));
        Ok(format!("| `{code}` | {meaning} | {} |\n", facts.join(", ")))
    });
    rows.collect()
}

/// A sentence as it stands in a table: without its full stop, and small unless it begins with a
/// name.
fn clause(sentence: &str) -> String {
    let sentence = sentence.trim_end_matches('.');
    let mut characters = sentence.chars();
    characters.next().map_or_else(String::new, |first| {
        first.to_lowercase().chain(characters).collect()
    })
}

/// Everything that the examples show, read as JSON.
#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_example_in_the_document_is_json() {
        let document = document().unwrap();
        for block in document.split("```json\n").skip(1) {
            let json = block.split("```").next().unwrap();
            assert!(
                serde_json::from_str::<serde_json::Value>(json).is_ok(),
                "{json}"
            );
        }
    }
}
