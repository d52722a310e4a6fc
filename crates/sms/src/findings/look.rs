//! What a word looks like to somebody who reads quickly.
//!
//! **Elsewhere**: which words are compared is for `sender` and `link`.
//!
//! **Always**: two words that are the same look the same; the tables are those of UTS 39.

use std::collections::BTreeSet;

use unicode_script::{Script, UnicodeScript as _};
use unicode_security::GeneralSecurityProfile as _;
use unicode_security::confusable_detection::skeleton;

/// Everything that a word can be taken for. Case does not count, and neither does what stands
/// between letters; but a large I is an l to the eye, so both ways of reading it are in here, and
/// so is the word that digits and signs are written for (`b4nk`).
pub(super) fn looks(word: &str) -> BTreeSet<String> {
    let plain = |text: &str| -> String {
        let lower = skeleton(text).collect::<String>().to_lowercase();
        // Once more: what has become small may look like something else again.
        skeleton(&lower)
            .filter(|one| one.is_alphanumeric())
            .collect::<String>()
            .to_lowercase()
    };
    let mut looks = BTreeSet::from([plain(word), plain(&word.to_lowercase())]);
    let stands_for_letter = |one| Spelling::I.letter(one) != one;
    if word.chars().any(char::is_alphabetic) && word.chars().any(stands_for_letter) {
        for spelling in [Spelling::I, Spelling::L] {
            let letters = word.chars().map(|one| spelling.letter(one));
            looks.insert(plain(&letters.collect::<String>().to_lowercase()));
        }
    }
    looks.remove("");
    looks
}

/// Which letter a `1` is written for.
#[derive(Clone, Copy)]
pub(super) enum Spelling {
    I,
    L,
}

impl Spelling {
    /// The letter that a digit or sign is written for; the character itself where for none.
    pub(super) fn letter(self, character: char) -> char {
        match (character, self) {
            ('0', _) => 'o',
            ('1' | '!' | '|', Self::I) => 'i',
            ('1' | '!' | '|', Self::L) => 'l',
            ('3' | '€', _) => 'e',
            ('4' | '@', _) => 'a',
            ('5' | '$' | '§', _) => 's',
            ('6' | '9', _) => 'g',
            ('7', _) => 't',
            ('8', _) => 'b',
            ('2', _) => 'z',
            (other, _) => other,
        }
    }
}

/// Whether a word shares one of its looks with another.
pub(super) fn alike(one: &BTreeSet<String>, other: &BTreeSet<String>) -> bool {
    !one.is_disjoint(other)
}

/// A name with each letter that looks like one of ASCII as that one.
pub(super) fn bare(name: &str) -> String {
    let mut bare = String::new();
    for letter in name.chars() {
        let look: String = skeleton(letter.encode_utf8(&mut [0; 4])).collect();
        if letter.is_ascii() || !look.is_ascii() {
            bare.push(letter);
        } else {
            bare.push_str(&look);
        }
    }
    bare
}

/// What a word with letters that stand in for ASCII reads as. Letters of the Latin alphabets of
/// languages (ü, æ, þ) stand in for none, nor do those of other scripts that resemble none; and a
/// word that is of one other script through and through stands in for nothing (`рак` is a word),
/// unless `all_stands_in`, as under an ASCII ending.
pub(super) fn stands_in_for(word: &str, all_stands_in: bool) -> Option<String> {
    if word.is_ascii() {
        return None;
    }
    let mut bare = String::new();
    let (mut latin, mut stand_ins, mut others) = (false, false, false);
    for letter in word.chars() {
        if letter.is_ascii() {
            latin |= letter.is_ascii_alphabetic();
            bare.push(letter);
            continue;
        }
        let look: String = skeleton(letter.encode_utf8(&mut [0; 4])).collect();
        let is_natural = letter.script() == Script::Latin && letter.identifier_allowed();
        // A full-width letter, or one that browsers read as another, is that one.
        let is_form = matches!(letter, '\u{ff00}'..='\u{ff5e}');
        if is_natural || is_form {
            latin = true;
            bare.push(letter);
        } else if look.is_ascii() && letter.is_alphanumeric() {
            stand_ins = true;
            bare.push_str(&look);
        } else if letter.is_alphabetic() {
            others = true;
            bare.push(letter);
        } else {
            bare.push(letter);
        }
    }
    let is_so = stand_ins && (latin || all_stands_in && !others);
    is_so.then(|| bare.to_lowercase())
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

    fn are_alike(one: &str, other: &str) -> bool {
        alike(&looks(one), &looks(other))
    }

    #[test]
    fn what_looks_alike_is_alike() {
        for (one, other) in [
            ("PayPaI", "paypal"),
            ("N0RDBANK", "Nordbank"),
            ("Nordb4nk", "Nordbank"),
            ("n0rd8ank", "Nordbank"),
            ("P@yPa1", "PayPal"),
            ("V1sa", "Visa"),
            ("Nord Bank", "nordbank"),
            ("rnicro", "micro"),
            ("раураl", "paypal"),
            ("G00GLE", "Google"),
        ] {
            assert!(are_alike(one, other), "{one} {other}");
        }
        for (one, other) in [
            ("Nordbank", "Sudbank"),
            ("Anna", "Anne"),
            ("", ""),
            ("40033", "aooee"),
            ("112", "llz"),
        ] {
            assert!(!are_alike(one, other), "{one} {other}");
        }
    }

    #[test]
    fn letters_that_stand_in_for_others_are_known() {
        for (word, all, reads) in [
            ("аррӏе", true, "apple"),
            ("mоscow", false, "moscow"),
            ("Nоrdbank", false, "nordbank"),
            ("ɑpple", false, "apple"),
            ("nοrdbank", false, "nordbank"),
        ] {
            assert_eq!(stands_in_for(word, all).as_deref(), Some(reads), "{word}");
        }
        for (word, all) in [
            ("аррӏе", false),
            ("рак", false),
            ("münchen", true),
            ("kjær", true),
            ("þing", true),
            ("sarı", true),
            ("łódź", true),
            ("москва", true),
            ("apple", true),
            ("日本のラーメン", true),
            ("日本abc", true),
            ("ΓΦenikh", false),
            ("ไทยbank", true),
        ] {
            assert_eq!(stands_in_for(word, all), None, "{word}");
        }
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
