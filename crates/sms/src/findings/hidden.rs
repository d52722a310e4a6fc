//! Characters that nobody sees, and that change how a text reads or is found.
//!
//! **Elsewhere**: links are looked for in the text without them (`scan`).
//!
//! **Always**: what languages need is left alone: joiners in Arabic and the scripts of India,
//! marks of direction beside Hebrew and Arabic, breaks in Thai and its neighbours, the parts of
//! emoji, soft hyphens and a mark at the beginning of the text.

use unicode_script::{Script, UnicodeScript as _};

/// What shows as nothing.
pub(super) fn is_unseen(one: char) -> bool {
    matches!(one,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}'
        | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}'
        | '\u{ffa0}' | '\u{e0000}'..='\u{e0fff}')
}

/// Whether a text hides something.
pub(super) fn hides(text: &str) -> bool {
    let rtl = text.chars().any(is_right_to_left);
    let mut before: Option<char> = None;
    let mut characters = text.chars().peekable();
    let mut depth = 0_i32;
    let (mut unseen_in_a_row, mut flag) = (0, false);
    while let Some(one) = characters.next() {
        let after = characters.peek().copied();
        if !is_unseen(one) {
            // Line ends, tabs and the new page of the default alphabet are what they are.
            if one.is_control() && !matches!(one, '\n' | '\r' | '\t' | '\u{c}') {
                return true;
            }
            flag = one == '\u{1f3f4}';
            before = Some(one);
            unseen_in_a_row = 0;
            continue;
        }
        match one {
            '\u{202a}' | '\u{202b}' | '\u{2066}'..='\u{2068}' => depth += 1,
            '\u{202c}' | '\u{2069}' => depth -= 1,
            _ => {}
        }
        let is_tag = matches!(one, '\u{e0020}'..='\u{e007f}');
        unseen_in_a_row += i32::from(!is_tag);
        let has_place = if is_tag {
            flag
        } else {
            has_place(one, before, after, rtl)
        };
        if !has_place || unseen_in_a_row > 3 || depth < 0 {
            return true;
        }
    }
    depth != 0
}

/// Whether a character that shows as nothing has something to do here. `before` and `after` are
/// what is seen beside it.
fn has_place(one: char, before: Option<char>, after: Option<char>, rtl: bool) -> bool {
    let letter = |c: Option<char>| c.filter(|c| c.is_alphanumeric());
    let between_latin = letter(before).is_some_and(is_latin) && letter(after).is_some_and(is_latin);
    match one {
        // Templates of programs isolate names, as writing from right to left does; and a word may
        // have places to break it.
        '\u{2066}'..='\u{2069}' | '\u{ad}' => true,
        '\u{202a}'..='\u{202c}' | '\u{200e}' | '\u{200f}' | '\u{61c}' => rtl || !between_latin,
        // Joiners, and breaks where nothing is seen; at the very beginning the mark of an encoding.
        '\u{feff}' | '\u{200b}'..='\u{200d}' | '\u{2060}' => !between_latin,
        // Which form a sign or an emoji has.
        '\u{fe00}'..='\u{fe0f}' => before.is_some_and(|before| !is_latin_letter(before)),
        '\u{e0100}'..='\u{e01ef}' => before.is_some_and(|before| before.script() == Script::Han),
        '\u{34f}' => before.is_some_and(|before| !is_latin(before)),
        '\u{180b}'..='\u{180f}' => before.is_some_and(|one| one.script() == Script::Mongolian),
        '\u{115f}' | '\u{1160}' | '\u{3164}' | '\u{ffa0}' => {
            before.is_some_and(|one| one.script() == Script::Hangul)
        }
        '\u{17b4}' | '\u{17b5}' => before.is_some_and(|one| one.script() == Script::Khmer),
        // An override turns letters around; no language needs one, nor any of the others.
        _ => false,
    }
}

/// A letter or digit that Latin writing has, or one that is taken for it.
fn is_latin(one: char) -> bool {
    use Script::{Common, Cyrillic, Greek, Latin};
    [Latin, Common, Cyrillic, Greek].contains(&one.script())
}

fn is_latin_letter(one: char) -> bool {
    one.is_alphabetic() && is_latin(one)
}

fn is_right_to_left(one: char) -> bool {
    matches!(one, '\u{590}'..='\u{8ff}' | '\u{fb1d}'..='\u{fdff}' | '\u{fe70}'..='\u{fefc}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_languages_need_hides_nothing() {
        for text in [
            "می\u{200c}خواهم بیایم",
            "क्\u{200d}ष और र\u{200d}्",
            "שלום \u{200f}(3)\u{200e} John",
            "ไทย\u{200b}ภาษา",
            "👩\u{200d}👩\u{200d}👧 ❤\u{fe0f} 1\u{fe0f}\u{20e3} 🏴\u{e0067}\u{e0062}\u{e0073}\u{e0063}\u{e0074}\u{e007f}",
            "\u{feff}Hello",
            "Donau\u{ad}dampf\u{ad}schiff",
            "Hello \u{2068}Anna\u{2069}, hi",
            "葛\u{e0100}城",
            "line\r\nline\ttab",
        ] {
            assert!(!hides(text), "{text:?}");
        }
    }

    #[test]
    fn what_hides_is_found() {
        for text in [
            "abc\u{202e}txt.exe",
            "nord\u{200b}bank",
            "nord\u{200d}bank",
            "nord\u{200c}bank",
            "no\u{2060}rd",
            "a\u{feff}b",
            "a\u{200e}b",
            "pay\u{e0062}\u{e0061}",
            "a\u{1b}b",
            "a\0b",
            "Hi\u{3164}",
            "x \u{200b}\u{200c}\u{200b}\u{200c}\u{200b} y",
            "😀\u{e0100}\u{e0101}",
            "a\u{2063}b",
            "open \u{2067}moc.live",
        ] {
            assert!(hides(text), "{text:?}");
        }
    }
}
