//! Names that people choose for themselves and their groups, which must never be mistaken for
//! an address.
//!
//! **Elsewhere**: nicknames, which this account's person chooses, are in
//! [`crate::synced_settings`].

use waxwing_protocol::address::Address;

/// Whether a character is not seen, or turns round what stands beside it.
pub(crate) fn is_unseen(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}' | '\u{feff}'
        )
}

/// A group's name as it is shown: without what is not seen or turns round what stands beside
/// it, and in quotation marks where it reads as an address, so that nobody takes a group for
/// whoever has that address.
pub(crate) fn shown(name: &str) -> String {
    // Joiners are parts of emoji, and of words in some scripts.
    let joins = |c| matches!(c, '\u{200c}' | '\u{200d}');
    let seen = |c: &char| !is_unseen(*c) || joins(*c);
    let name: String = name.chars().filter(seen).collect();
    let name = name.trim();
    if reads_as_address(name) {
        format!("\u{201c}{name}\u{201d}")
    } else {
        name.to_owned()
    }
}

/// Whether a person could take a name, or a word of it, for a mail address or a phone number.
pub(crate) fn reads_as_address(name: &str) -> bool {
    let plain = |c| match c {
        '\u{ff20}' | '\u{fe6b}' => '@',
        '\u{ff0b}' => '+',
        other => other,
    };
    let name: String = name.chars().filter(|c| !is_unseen(*c)).map(plain).collect();
    let outside = |c: char| !c.is_alphanumeric() && c != '+';
    let mut words = name.split_whitespace();
    Address::parse(&name).is_ok()
        || words.any(|word| Address::parse(word.trim_matches(outside)).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_that_is_called_like_a_person_is_shown_as_a_name() {
        for name in [
            "carol@example.org",
            " carol\u{ff20}example.org",
            "ca\u{200d}rol@example.org",
            "(carol@example.org)",
            "Carol carol@example.org",
            "+358401234567",
        ] {
            let shown = shown(name);
            assert!(shown.starts_with('\u{201c}'), "{shown}");
            assert!(Address::parse(&shown).is_err(), "{shown}");
        }
        for name in ["Family", "Carol @ work", "Class of 2026", "5 a.m. club"] {
            assert_eq!(shown(name), name);
        }
        assert_eq!(shown("Fam\u{202e}ily\n"), "Family");
        let emoji = "\u{1f469}\u{200d}\u{1f467}";
        assert_eq!(shown(emoji), emoji);
    }
}
