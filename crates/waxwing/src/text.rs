//! Shows texts from others, and times, in a terminal.
//!
//! **Always.** Text from outside cannot move the cursor, change colours, change the direction
//! of text around it, or be invisible. All such text goes through [`harmless`] or
//! [`one_line`]; JSON, whose readers need the exact text, goes through [`harmless_json`].

use std::fmt::Write as _;

use jiff::{Timestamp as Moment, Zoned, tz::TimeZone};
use waxwing_engine::api::Timestamp;

/// `text` with every character made visible that would do something to the terminal, or that
/// nobody would see.
///
/// - Control characters, controls of direction, line separators, and characters that show as
///   nothing (zero-width, tags, fillers) become U+FFFD; of several that show as nothing, one.
/// - Joiners stay where scripts and emoji need them: between two letters of a script that joins
///   its letters, or between two emoji; so do the selectors of an emoji's style.
/// - Text that runs from right to left is isolated (UAX 9), so that what stands before and
///   behind it stays where it is.
pub fn harmless(text: &str) -> String {
    let lines: Vec<String> = text
        .split('\n')
        .map(|line| isolated(&visible(line)))
        .collect();
    lines.join("\n")
}

/// Like [`harmless`], on one line.
pub fn one_line(text: &str) -> String {
    harmless(&text.replace(['\n', '\t'], " "))
}

/// Stands for what is not shown.
const HIDDEN: char = '\u{fffd}';

/// Marks above and below one letter; no language needs more.
const MARKS: usize = 8;

fn visible(line: &str) -> String {
    let mut shown = String::with_capacity(line.len());
    let mut marks = 0;
    let mut characters = line.chars().peekable();
    while let Some(c) = characters.next() {
        let before = shown.chars().next_back();
        let after = characters.peek().copied();
        marks = if is_mark(c) { marks + 1 } else { 0 };
        if c == '\t' {
            shown.push(c);
        } else if c.is_control() {
            shown.push(HIDDEN);
        } else if is_invisible(c) {
            if stays(before, c, after) {
                shown.push(c);
            } else if is_tag(c) && before == Some('\u{1f3f4}') {
                // A region's flag: without its tags it is a black one.
            } else if before != Some(HIDDEN) {
                shown.push(HIDDEN);
            }
        } else if marks > MARKS {
            if before != Some(HIDDEN) {
                shown.push(HIDDEN);
            }
        } else {
            shown.push(c);
        }
    }
    shown
}

/// Whether something that shows as nothing has a place between these two.
fn stays(before: Option<char>, c: char, after: Option<char>) -> bool {
    let (Some(before), after) = (before, after.unwrap_or(' ')) else {
        return false;
    };
    match c {
        '\u{200c}' => joins(before) && joins(after),
        '\u{200d}' => {
            joins(before) && joins(after)
                || (is_emoji(before) || before == '\u{fe0f}') && is_emoji(after)
        }
        '\u{fe0e}' | '\u{fe0f}' => {
            is_emoji(before) || matches!(before, '#' | '*' | '0'..='9') && after == '\u{20e3}'
        }
        _ => false,
    }
}

/// What shows as nothing, or turns the direction: the code points that Unicode calls default
/// ignorable, line and paragraph separators, and marks of annotations.
const fn is_invisible(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}'..='\u{1160}' | '\u{17b4}'..='\u{17b5}'
        | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}'
        | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}' | '\u{1bca0}'..='\u{1bca3}'
        | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
}

const fn is_tag(c: char) -> bool {
    matches!(c, '\u{e0020}'..='\u{e007f}')
}

/// A mark above or below a letter of any script.
const fn is_mark(c: char) -> bool {
    matches!(c,
        '\u{300}'..='\u{36f}' | '\u{483}'..='\u{489}' | '\u{1ab0}'..='\u{1aff}'
        | '\u{1dc0}'..='\u{1dff}' | '\u{20d0}'..='\u{20ff}' | '\u{fe20}'..='\u{fe2f}')
}

/// A letter or sign of a script in which joiners change what is written: Arabic, Syriac, N'Ko,
/// those of India and around it, Mongolian.
const fn joins(c: char) -> bool {
    matches!(c,
        '\u{620}'..='\u{65f}' | '\u{66e}'..='\u{6d3}' | '\u{6fa}'..='\u{77f}'
        | '\u{7ca}'..='\u{7f5}' | '\u{840}'..='\u{8ff}' | '\u{900}'..='\u{dff}'
        | '\u{f40}'..='\u{fbc}' | '\u{1000}'..='\u{109f}' | '\u{1780}'..='\u{17d3}'
        | '\u{1820}'..='\u{18aa}' | '\u{1b00}'..='\u{1b4b}' | '\u{a980}'..='\u{a9c0}'
        | '\u{aa60}'..='\u{aa7f}' | '\u{11000}'..='\u{1173f}')
}

const fn is_emoji(c: char) -> bool {
    matches!(c,
        '\u{a9}' | '\u{ae}' | '\u{203c}' | '\u{2049}' | '\u{2122}' | '\u{2139}'
        | '\u{2194}'..='\u{21aa}' | '\u{231a}'..='\u{23fa}' | '\u{24c2}'
        | '\u{25aa}'..='\u{25fe}' | '\u{2600}'..='\u{27bf}' | '\u{2934}' | '\u{2935}'
        | '\u{2b05}'..='\u{2b55}' | '\u{3030}' | '\u{303d}' | '\u{3297}' | '\u{3299}'
        | '\u{1f000}'..='\u{1faff}')
}

/// A character of a script that runs from right to left.
const fn is_right_to_left(c: char) -> bool {
    matches!(c,
        '\u{590}'..='\u{8ff}' | '\u{fb1d}'..='\u{fdff}' | '\u{fe70}'..='\u{fefc}'
        | '\u{10800}'..='\u{10fff}' | '\u{1e800}'..='\u{1efff}')
}

/// Opens an isolate whose direction is that of its first letter, and closes it.
const ISOLATE: char = '\u{2068}';
const END: char = '\u{2069}';

/// A line whose parts that run from right to left cannot move what is around them: the whole
/// line, where it begins so, or else each part from its first such letter to its last.
fn isolated(line: &str) -> String {
    if !line.chars().any(is_right_to_left) {
        return line.to_owned();
    }
    let left_to_right = |c: char| c.is_alphabetic() && !is_right_to_left(c);
    let first = line.chars().find(|c| c.is_alphabetic());
    if first.is_none_or(is_right_to_left) {
        return format!("{ISOLATE}{line}{END}");
    }
    let mut shown = String::with_capacity(line.len() + 8);
    // What may or may not belong to the part that is open.
    let mut between = String::new();
    let mut open = false;
    for c in line.chars() {
        if is_right_to_left(c) {
            if !open {
                shown.push(ISOLATE);
                open = true;
            }
            shown.push_str(&std::mem::take(&mut between));
            shown.push(c);
        } else if open && !left_to_right(c) {
            between.push(c);
        } else {
            if std::mem::take(&mut open) {
                shown.push(END);
            }
            shown.push_str(&std::mem::take(&mut between));
            shown.push(c);
        }
    }
    if open {
        shown.push(END);
    }
    shown.push_str(&between);
    shown
}

/// `text`, which is JSON, with what [`harmless`] does not let pass written as escapes: it means
/// the same, and does nothing to a terminal.
pub fn harmless_json(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() || is_invisible(c) {
            let mut units = [0; 2];
            for unit in c.encode_utf16(&mut units) {
                // Writing to a string does not fail.
                let _ = write!(shown, "\\u{unit:04x}");
            }
        } else {
            shown.push(c);
        }
    }
    shown
}

/// A moment by this device's clock and zone.
pub fn local(time: Timestamp) -> Zoned {
    let ms = i64::try_from(time.0.0).unwrap_or(i64::MAX);
    Moment::from_millisecond(ms)
        .unwrap_or(Moment::MAX)
        .to_zoned(TimeZone::system())
}

/// A number of bytes, for people: rounded, so that it is never off by more than a twentieth.
pub fn size(bytes: u64) -> String {
    const UNITS: [(u64, &str); 3] = [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    for (length, unit) in UNITS {
        // Tenths, rounded; what rounds up to a whole unit is one.
        let tenths = u128::from(bytes) * 10 + u128::from(length / 2);
        let tenths = tenths / u128::from(length);
        if tenths >= 10 {
            return match (tenths / 10, tenths % 10) {
                (whole @ 0..10, part @ 1..) => format!("{whole}.{part} {unit}"),
                (whole, part) => format!("{} {unit}", whole + u128::from(part >= 5)),
            };
        }
    }
    match bytes {
        1 => "1 byte".to_owned(),
        bytes => format!("{bytes} bytes"),
    }
}

/// Two sizes of which one is compared with the other: if they would read the same, in bytes.
pub fn sizes(one: u64, other: u64) -> (String, String) {
    if one != other && size(one) == size(other) {
        (format!("{one} bytes"), format!("{other} bytes"))
    } else {
        (size(one), size(other))
    }
}

/// A length of time, for people: in one unit or two, rounded to the smaller one.
pub fn duration(ms: u64) -> String {
    const UNITS: [(u64, &str); 4] = [
        (86_400, "day"),
        (3_600, "hour"),
        (60, "minute"),
        (1, "second"),
    ];
    let count = |number: u64, unit: &str| match number {
        1 => format!("1 {unit}"),
        number => format!("{number} {unit}s"),
    };
    let seconds = ms.saturating_add(500) / 1_000;
    // Something is not nothing.
    let seconds = seconds.max(u64::from(ms > 0));
    if seconds < 120 {
        return count(seconds, "second");
    }
    let at = UNITS.iter().position(|(length, _)| seconds >= 2 * length);
    let units = at.and_then(|at| UNITS.get(at..)).unwrap_or_default();
    let [(length, unit), rest @ ..] = units else {
        return count(seconds, "second");
    };
    let Some((below, smaller)) = rest.first() else {
        return count(seconds, unit);
    };
    // Rounded to the smaller unit first, which may fill the larger one.
    let rounded = seconds.saturating_add(below / 2) / below * below;
    match (rounded / length, rounded % length / below) {
        (whole, 0) => count(whole, unit),
        (whole, part) => format!("{} and {}", count(whole, unit), count(part, smaller)),
    }
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
    fn sizes_are_right() {
        for (bytes, said) in [
            (0, "0 bytes"),
            (1, "1 byte"),
            (900, "900 bytes"),
            (1_000, "1 KiB"),
            (1_024, "1 KiB"),
            (1_536, "1.5 KiB"),
            (65_536, "64 KiB"),
            (66_048, "65 KiB"),
            (1_048_575, "1 MiB"),
            (2_621_440, "2.5 MiB"),
            (10_485_760, "10 MiB"),
            (4 << 30, "4 GiB"),
            (u64::MAX, "17179869184 GiB"),
        ] {
            assert_eq!(size(bytes), said, "{bytes}");
        }
    }

    #[test]
    fn sizes_that_differ_read_differently() {
        assert_eq!(
            sizes(65_537, 65_536),
            ("65537 bytes".to_owned(), "65536 bytes".to_owned())
        );
        assert_eq!(
            sizes(10_485_760, 65_536),
            ("10 MiB".to_owned(), "64 KiB".to_owned())
        );
    }

    #[test]
    fn lengths_of_time_are_right() {
        const SECOND: u64 = 1_000;
        for (ms, said) in [
            (0, "0 seconds"),
            (1, "1 second"),
            (1_000, "1 second"),
            (90 * SECOND, "90 seconds"),
            (120 * SECOND, "2 minutes"),
            (121 * SECOND, "2 minutes and 1 second"),
            (3_600 * SECOND, "60 minutes"),
            (7_199_600, "2 hours"),
            (7_200 * SECOND, "2 hours"),
            (7_201 * SECOND, "2 hours"),
            (7_260 * SECOND, "2 hours and 1 minute"),
            (10_799 * SECOND, "3 hours"),
            (86_400 * SECOND, "24 hours"),
            (172_800 * SECOND, "2 days"),
            (604_800 * SECOND - 1, "7 days"),
            (176_400 * SECOND, "2 days and 1 hour"),
        ] {
            assert_eq!(duration(ms), said, "{ms}");
        }
    }

    #[test]
    fn a_text_cannot_steer_the_terminal() {
        let text = "a\u{1b}[31mred\u{7}\u{9b}2J\r\u{202e}evil\nnext\tzürich 👋";
        let shown = harmless(text);
        assert_eq!(
            shown,
            "a\u{fffd}[31mred\u{fffd}\u{fffd}2J\u{fffd}evil\nnext\tzürich 👋"
        );
        assert_eq!(one_line("a\nb\tc"), "a b c");
    }

    /// Everything that Unicode has but ideographs, syllables and private use: what is printed has no character that is not to be seen,
    /// but for the isolates around what runs from right to left.
    #[test]
    fn no_character_alone_is_invisible_or_steers() {
        let all = ('\0'..='\u{33ff}')
            .chain('\u{a000}'..='\u{abff}')
            .chain('\u{f900}'..='\u{1ffff}')
            .chain('\u{e0000}'..='\u{e1000}');
        for c in all.filter(|c| !matches!(c, '\n' | '\t')) {
            for text in [format!("x{c}y"), c.to_string(), format!("{c}{c}pal")] {
                for shown in [harmless(&text), one_line(&text)] {
                    let inside = shown.replace([ISOLATE, END], "");
                    let bad = |c: char| c.is_control() || is_invisible(c);
                    assert!(!inside.chars().any(bad), "{:x}: {shown:?}", u32::from(c));
                    let opened = shown.matches(ISOLATE).count();
                    assert_eq!(opened, shown.matches(END).count(), "{:x}", u32::from(c));
                }
                let json = serde_json::to_string(&text).unwrap();
                let shown = harmless_json(&json);
                assert!(!shown.chars().any(|c| c.is_control() || is_invisible(c)));
                assert_eq!(serde_json::from_str::<String>(&shown).unwrap(), text);
            }
        }
    }

    #[test]
    fn what_hides_between_letters_is_seen() {
        for hidden in [
            '\u{200b}',
            '\u{200c}',
            '\u{200d}',
            '\u{200e}',
            '\u{ad}',
            '\u{2060}',
            '\u{feff}',
            '\u{fe0f}',
            '\u{e0061}',
            '\u{61c}',
            '\u{2067}',
            '\u{3164}',
        ] {
            assert_eq!(harmless(&format!("pay{hidden}pal")), "pay\u{fffd}pal");
            let many = hidden.to_string().repeat(1_000);
            assert_eq!(harmless(&format!("pay{many}pal")), "pay\u{fffd}pal");
        }
        let piled = format!("e{}", "\u{301}".repeat(1_000));
        assert!(harmless(&piled).chars().count() < 16);
    }

    #[test]
    fn scripts_and_emoji_keep_what_they_need() {
        for text in [
            "👩\u{200d}👩\u{200d}👧",
            "🏳\u{fe0f}\u{200d}🌈",
            "👩🏽\u{200d}💻",
            "❤\u{fe0f}",
            "1\u{fe0f}\u{20e3}",
            "क्\u{200d}ष",
            "ශ්\u{200d}රී",
            "Việt Nam, čeština, 日本語, e\u{301}",
            "🇫🇮",
        ] {
            assert_eq!(harmless(text), text);
        }
        let persian = "می\u{200c}خواهم";
        assert_eq!(harmless(persian), format!("{ISOLATE}{persian}{END}"));
        let england = "🏴\u{e0067}\u{e0062}\u{e0065}\u{e006e}\u{e0067}\u{e007f}";
        assert_eq!(harmless(england), "🏴");
    }

    #[test]
    fn what_runs_from_right_to_left_moves_nothing_around_it() {
        assert_eq!(one_line("שלום 12"), "\u{2068}שלום 12\u{2069}");
        assert_eq!(
            one_line("Alarm: שלום, עולם 12 has 3 devices"),
            "Alarm: \u{2068}שלום, עולם\u{2069} 12 has 3 devices"
        );
        assert_eq!(harmless("one\nשתיים\n3"), "one\n\u{2068}שתיים\u{2069}\n3");
        // Nobody closes the isolate from inside.
        assert_eq!(one_line("של\u{2069}ום"), "\u{2068}של\u{fffd}ום\u{2069}");
    }
}
