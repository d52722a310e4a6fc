//! Texts from others, and moments, as a terminal may show them.
//!
//! **Always.** What comes from outside cannot move the cursor, change colours or turn
//! the direction of what follows.

use jiff::{Timestamp as Moment, Zoned, tz::TimeZone};
use waxwing_engine::api::Timestamp;

/// `text` with every character made visible that would do something to the terminal.
pub fn harmless(text: &str) -> String {
    text.chars()
        .map(|c| match c {
            '\n' | '\t' => c,
            c if c.is_control() => '\u{fffd}',
            // Bidirectional controls (UAX 9) and line separators.
            '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{2028}' | '\u{2029}' => {
                '\u{fffd}'
            }
            c => c,
        })
        .collect()
}

/// Like [`harmless`], on one line.
pub fn one_line(text: &str) -> String {
    harmless(text).replace(['\n', '\t'], " ")
}

/// A moment by this device's clock and zone.
pub fn local(time: Timestamp) -> Zoned {
    let ms = i64::try_from(time.0.0).unwrap_or(i64::MAX);
    Moment::from_millisecond(ms)
        .unwrap_or(Moment::MAX)
        .to_zoned(TimeZone::system())
}

/// Hours and minutes.
pub fn clock(time: Timestamp) -> String {
    local(time).strftime("%H:%M").to_string()
}

/// The day, in words.
pub fn day(time: Timestamp) -> String {
    local(time).strftime("%A, %-d %B %Y").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_cannot_steer_the_terminal() {
        let text = "a\u{1b}[31mred\u{7}\u{9b}2J\r\u{202e}evil\nnext\tzürich 👋";
        let shown = harmless(text);
        assert_eq!(
            shown,
            "a\u{fffd}[31mred\u{fffd}\u{fffd}2J\u{fffd}\u{fffd}evil\nnext\tzürich 👋"
        );
        assert!(!one_line(text).contains('\n'));
    }
}
