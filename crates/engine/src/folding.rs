//! Texts in forms in which those that people take for the same are the same.
//!
//! [`caseless`] is for names: compatibility forms (NFKC: full width, ligatures, letters that come
//! in pieces) and capitals do not matter. [`searchable`] is for finding: accents, vowel points,
//! invisible marks and typographic quotes and dashes do not matter either.
//!
//! **Elsewhere**: [`crate::conversation::search`] finds messages; addresses have a canonical form
//! of their own, in `waxwing_protocol`.
//!
//! **Always**: the forms are for comparing, never for showing. Emoji that Unicode calls
//! compatible with letters (ℹ, Ⓜ, ™) stay emoji, so that nobody who looks for ℹ finds every i.

use unicode_normalization::{UnicodeNormalization as _, char::decompose_compatible};

/// For comparing names: NFKC and case folding.
pub(crate) fn caseless(text: &str) -> String {
    let folded: String = decomposed(text).chars().flat_map(fold_case).collect();
    folded.nfc().collect()
}

/// For finding: as [`caseless`], without accents, points and invisible marks, and with one form
/// for each quote, dash, and letter that is often typed as two.
pub(crate) fn searchable(text: &str) -> String {
    if text.is_ascii() {
        return text.to_ascii_lowercase();
    }
    let mut form = String::with_capacity(text.len());
    for c in decomposed(text).chars().filter(|c| !is_mark(*c)) {
        for c in fold_case(c) {
            match as_typed(c) {
                Some(typed) => form.push_str(typed),
                None => form.push(c),
            }
        }
    }
    form.nfc().collect()
}

fn decomposed(text: &str) -> String {
    let mut pieces = String::with_capacity(text.len());
    for c in text.chars() {
        if is_emoji_of_letters(c) {
            pieces.push(c);
        } else {
            decompose_compatible(c, |piece| pieces.push(piece));
        }
    }
    pieces
}

/// Full case folding: `ß` and `ẞ` become `ss`, `ς` becomes `σ`, and the Turkish `ı` an `i`.
fn fold_case(c: char) -> impl Iterator<Item = char> {
    c.to_lowercase()
        .flat_map(char::to_uppercase)
        .flat_map(char::to_lowercase)
}

/// Emoji with a compatibility decomposition to letters, digits or punctuation.
const fn is_emoji_of_letters(c: char) -> bool {
    matches!(
        c,
        '‼' | '⁉'
            | '™'
            | 'ℹ'
            | 'Ⓜ'
            | '㊗'
            | '㊙'
            | '\u{1F201}'
            | '\u{1F202}'
            | '\u{1F21A}'
            | '\u{1F22F}'
            | '\u{1F232}'..='\u{1F23A}' | '\u{1F250}' | '\u{1F251}'
    )
}

/// Whether a character only marks another one, or nothing that people see: accents, Hebrew and
/// Arabic points, joiners, directions, variants. Vowel signs of Indic scripts and of Thai, and the
/// marks that make other kana, are letters to those who write them, and count.
const fn is_mark(c: char) -> bool {
    matches!(c,
        '\u{0300}'..='\u{036F}' | '\u{0483}'..='\u{0489}'
        | '\u{0591}'..='\u{05BD}' | '\u{05BF}' | '\u{05C1}' | '\u{05C2}' | '\u{05C4}' | '\u{05C5}'
        | '\u{05C7}' | '\u{0610}'..='\u{061A}' | '\u{0640}' | '\u{064B}'..='\u{065F}' | '\u{0670}'
        | '\u{06D6}'..='\u{06DC}' | '\u{06DF}'..='\u{06E4}' | '\u{06E7}' | '\u{06E8}'
        | '\u{06EA}'..='\u{06ED}' | '\u{08D3}'..='\u{08FF}' | '\u{1AB0}'..='\u{1AFF}'
        | '\u{1DC0}'..='\u{1DFF}' | '\u{20D0}'..='\u{20DC}' | '\u{20E1}' | '\u{20E5}'..='\u{20F0}'
        | '\u{FE20}'..='\u{FE2F}'
        | '\u{00AD}' | '\u{061C}' | '\u{180B}'..='\u{180F}' | '\u{200B}'..='\u{200F}'
        | '\u{202A}'..='\u{202E}' | '\u{2060}'..='\u{206F}' | '\u{FE00}'..='\u{FE0F}' | '\u{FEFF}'
        | '\u{E0100}'..='\u{E01EF}')
}

/// How a letter or sign is typed on a keyboard that does not have it.
const fn as_typed(c: char) -> Option<&'static str> {
    Some(match c {
        'æ' => "ae",
        'œ' => "oe",
        'ø' => "o",
        'đ' | 'ð' => "d",
        'ł' => "l",
        'þ' => "th",
        '‘' | '’' | '‚' | '‛' | 'ʼ' | '׳' => "'",
        '“' | '”' | '„' | '‟' | '״' => "\"",
        '\u{2010}'..='\u{2015}' | '\u{2212}' => "-",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_people_take_for_the_same_is_the_same() {
        for (one, other) in [
            ("Crème brûlée", "CREME BRULEE"),
            ("Zoe\u{308}", "Zoë"),
            ("Straße", "STRASSE"),
            ("STRAẞE", "strasse"),
            ("ﬁne", "Fine"),
            ("Ｆｕｌｌ　ｗｉｄｔｈ", "full width"),
            ("שָׁלוֹם", "שלום"),
            ("ﬡ", "א"),
            ("مُحَمَّد", "محمد"),
            ("می\u{200c}خواهم", "میخواهم"),
            ("한국어", "\u{1112}\u{1161}\u{11ab}국어"),
            ("ｶﾞｽ", "ガス"),
            ("ΟΔΟΣ", "οδός"),
            ("İstanbul", "istanbul"),
            ("ısı", "ISI"),
            ("Œuvre", "oeuvre"),
            ("don’t", "don't"),
            ("2019–2020", "2019-2020"),
            ("❤\u{fe0f}", "❤"),
            ("soft\u{ad}hyphen", "softhyphen"),
        ] {
            assert_eq!(searchable(one), searchable(other), "{one} {other}");
        }
    }

    #[test]
    fn what_people_tell_apart_stays_apart() {
        for (one, other) in [
            ("か", "が"),
            ("ก่า", "กา"),
            ("कि", "कु"),
            ("ℹ\u{fe0f}", "i"),
            ("Ⓜ\u{fe0f}", "m"),
            ("1\u{fe0f}\u{20e3}", "1"),
            ("👍", "👎"),
        ] {
            assert_ne!(searchable(one), searchable(other), "{one} {other}");
        }
    }

    #[test]
    fn names_differ_by_accents_but_not_by_their_encoding() {
        assert_eq!(caseless("Cafe\u{301}"), caseless("CAFÉ"));
        assert_eq!(caseless("ＦＡＭＩＬＹ"), caseless("Family"));
        assert_ne!(caseless("Cafe"), caseless("Café"));
    }

    proptest::proptest! {
        #[test]
        fn a_form_is_its_own_form(text in "\\PC{0,24}") {
            let form = searchable(&text);
            proptest::prop_assert_eq!(searchable(&form), form);
        }
    }
}
