//! What a word looks like to somebody who reads quickly.
//!
//! **Elsewhere**: which words are compared is for `sender` and `link`.
//!
//! **Always**: two words that are the same look the same; the tables are those of UTS 39.

use std::collections::BTreeSet;

use unicode_security::MixedScript;
use unicode_security::confusable_detection::skeleton;

/// Everything that a word can be taken for. Case does not count, and neither does what stands
/// between letters; but a large I is an l to the eye, so both ways of reading it are in here.
pub(super) fn looks(word: &str) -> BTreeSet<String> {
    let plain = |text: &str| -> String {
        let lower = skeleton(text).collect::<String>().to_lowercase();
        // Once more: what has become small may look like something else again.
        skeleton(&lower)
            .filter(|one| one.is_alphanumeric())
            .collect::<String>()
            .to_lowercase()
    };
    [plain(word), plain(&word.to_lowercase())]
        .into_iter()
        .filter(|look| !look.is_empty())
        .collect()
}

/// What a word with foreign characters reads as: the same in ASCII. None where it is ASCII, or is
/// of another script through and through and looks like no ASCII.
pub(super) fn reads_as(word: &str) -> Option<String> {
    if word.is_ascii() {
        return None;
    }
    // Letter by letter: ASCII stays as it is, though an m looks like rn.
    let mut bare = String::new();
    for letter in word.chars() {
        if letter.is_ascii() {
            bare.push(letter);
        } else {
            bare.extend(skeleton(letter.encode_utf8(&mut [0; 4])));
        }
    }
    if bare.is_ascii() {
        return Some(bare.to_lowercase());
    }
    // Letters of several scripts in one word, such as no language writes.
    let single = word
        .split(|one: char| !one.is_alphanumeric())
        .all(MixedScript::is_single_script);
    (!single).then(|| bare.to_lowercase())
}

/// Whether one becomes the other by one letter that is wrong, missing, too many, or exchanged
/// with its neighbour.
pub(super) fn one_letter_off(one: &str, other: &str) -> bool {
    let (one, other): (Vec<char>, Vec<char>) = (one.chars().collect(), other.chars().collect());
    if one == other || one.len().abs_diff(other.len()) > 1 {
        return false;
    }
    let same = one.iter().zip(&other).take_while(|(a, b)| a == b).count();
    let (one, other) = (one.get(same..), other.get(same..));
    let (Some(one), Some(other)) = (one, other) else {
        return false;
    };
    match (one, other) {
        ([a, b, one @ ..], [c, d, other @ ..]) if a == d && b == c && one == other => true,
        ([_, one @ ..], [_, other @ ..]) if one == other => true,
        ([_, one @ ..], other) if one == other => true,
        (one, [_, other @ ..]) => one == other,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn alike(one: &str, other: &str) -> bool {
        !looks(one).is_disjoint(&looks(other))
    }

    #[test]
    fn what_looks_alike_is_alike() {
        for (one, other) in [
            ("PayPaI", "paypal"),
            ("N0RDBANK", "Nordbank"),
            ("Nord Bank", "nordbank"),
            ("rnicro", "micro"),
            ("раураl", "paypal"),
            ("G00GLE", "Google"),
        ] {
            assert!(alike(one, other), "{one} {other}");
        }
        for (one, other) in [("Nordbank", "Sudbank"), ("Anna", "Anne"), ("", "")] {
            assert!(!alike(one, other), "{one} {other}");
        }
    }

    #[test]
    fn foreign_letters_are_read_as_what_they_look_like() {
        assert_eq!(reads_as("аррӏе").as_deref(), Some("apple"));
        assert_eq!(reads_as("münchen"), None);
        assert_eq!(reads_as("москва"), None);
        assert_eq!(reads_as("apple"), None);
        assert!(reads_as("mоscow").is_some());
        assert!(reads_as("日本のラーメン").is_none());
    }

    #[test]
    fn one_letter_is_one_letter() {
        for (one, other) in [
            ("nordbank", "nordbnak"),
            ("nordbank", "nordbamk"),
            ("nordbank", "nordbak"),
            ("nordbank", "nordbankk"),
            ("ordbank", "nordbank"),
        ] {
            assert!(
                one_letter_off(one, other) && one_letter_off(other, one),
                "{one}"
            );
        }
        for (one, other) in [
            ("nordbank", "nordbank"),
            ("nordbank", "ndrbaok"),
            ("ab", "abcd"),
        ] {
            assert!(!one_letter_off(one, other), "{one} {other}");
        }
    }
}
