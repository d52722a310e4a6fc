//! What a reaction may be, and which reactions are the same.
//!
//! **Elsewhere**: [`super::amendments`] keeps reactions; [`super::commands`] makes them.
//!
//! **Always**: a reaction can be seen. Two that differ only in a selector of style, such as ❤
//! and ❤️, are one.

/// Bytes of a reaction, at most: an emoji with all its modifiers.
const BYTES: usize = 64;

/// Whether people may react with this: something short that is seen, without blanks and controls.
/// Which emoji there are is for fonts to know.
pub(crate) fn is_reaction(text: &str) -> bool {
    let may_stand = |c: char| !c.is_whitespace() && !c.is_control() && !hides(c);
    let is_seen = |c: char| !is_part(c);
    !text.is_empty()
        && text.len() <= BYTES
        && text.chars().all(may_stand)
        && text.chars().any(is_seen)
}

/// The form by which reactions are compared: without selectors of style.
pub(crate) fn same_form(text: &str) -> String {
    text.chars().filter(|c| !is_style(*c)).collect()
}

/// Whether a character selects how the one before it looks: as text, or as an emoji.
const fn is_style(c: char) -> bool {
    matches!(c, '\u{fe0e}' | '\u{fe0f}')
}

/// Characters that emoji are made of, and that alone show as nothing: selectors, the joiner, the
/// tags of flags.
const fn is_part(c: char) -> bool {
    is_style(c) || matches!(c, '\u{200d}' | '\u{e0020}'..='\u{e007f}')
}

/// Characters that show as nothing, or turn the direction, and that no emoji needs.
const fn hides(c: char) -> bool {
    !is_part(c)
        && matches!(c,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}'..='\u{1160}' | '\u{17b4}'..='\u{17b5}'
            | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{2800}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}'
            | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}' | '\u{1bca0}'..='\u{1bca3}'
            | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_sees_is_not_a_reaction() {
        for text in [
            "",
            " ",
            "\u{200b}",
            "\u{200d}",
            "\u{fe0f}",
            "\u{fe0f}\u{200d}\u{fe0f}",
            "\u{e0067}\u{e007f}",
            "\u{2800}",
            "\u{3164}",
            "\u{ad}",
            "\u{2060}\u{2060}",
            "👍\u{200b}",
            "\u{202e}👍",
            "two words",
            "\n",
        ] {
            assert!(!is_reaction(text), "{text:?}");
        }
        for text in [
            "👍",
            "❤",
            "❤\u{fe0f}",
            "👩\u{200d}👩\u{200d}👧",
            "🏴\u{e0067}\u{e0062}\u{e0065}\u{e006e}\u{e0067}\u{e007f}",
            "1\u{fe0f}\u{20e3}",
            "+1",
            "haha",
        ] {
            assert!(is_reaction(text), "{text:?}");
        }
    }

    #[test]
    fn a_selector_of_style_makes_no_other_reaction() {
        for (one, other) in [
            ("❤", "❤\u{fe0f}"),
            ("❤\u{fe0e}", "❤\u{fe0f}"),
            ("🏳\u{fe0f}\u{200d}🌈", "🏳\u{200d}🌈"),
            ("1\u{fe0f}\u{20e3}", "1\u{20e3}"),
        ] {
            assert_eq!(same_form(one), same_form(other));
        }
        assert_ne!(same_form("👍"), same_form("👍🏽"));
    }
}
