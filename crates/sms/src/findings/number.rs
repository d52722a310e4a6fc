//! Phone numbers as people write them, compared.
//!
//! **Always**: how a number is written does not matter: blanks, brackets, marks of direction,
//! digits of full width, two zeros for the plus sign.

use unicode_normalization::UnicodeNormalization as _;

use crate::address::{Address, TypeOfNumber};

/// Digits at the end of a number that are a subscriber's.
const SUBSCRIBER: usize = 8;

/// A number, without how it is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Number {
    /// Whether it has its country's code.
    international: bool,
    digits: String,
}

impl Number {
    /// As somebody typed it; none where it is no number.
    pub(super) fn typed(text: &str) -> Option<Self> {
        let text: String = text.nfkc().collect::<String>().replace("(0)", "");
        let mut plus = false;
        let mut digits = String::new();
        for one in text.chars() {
            if let Some(digit) = one.to_digit(10) {
                digits.extend(char::from_digit(digit, 10));
            } else if one == '+' && digits.is_empty() {
                plus = true;
            } else if one.is_alphabetic() {
                return None;
            }
        }
        Self::of(plus, digits)
    }

    /// As a message has it.
    pub(super) fn of_address(address: &Address) -> Option<Self> {
        if address.kind == TypeOfNumber::Alphanumeric {
            return None;
        }
        let international = address.kind == TypeOfNumber::International;
        let digits = address.value.chars().filter(char::is_ascii_digit);
        Self::of(international, digits.collect())
    }

    fn of(plus: bool, digits: String) -> Option<Self> {
        if digits.is_empty() {
            return None;
        }
        Some(match digits.strip_prefix("00") {
            Some(rest) if !plus && rest.len() > SUBSCRIBER => Self {
                international: true,
                digits: rest.to_owned(),
            },
            _ => Self {
                international: plus,
                digits,
            },
        })
    }

    /// Whether both reach the same phone, as far as can be told: one without its country's code
    /// is any that ends like it.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        if self.international == other.international {
            return self.digits == other.digits;
        }
        let significant = |one: &Self| one.digits.trim_start_matches('0').to_owned();
        let (one, other) = (significant(self), significant(other));
        one.len().min(other.len()) >= 6 && (one.ends_with(&other) || other.ends_with(&one))
    }

    /// Whether they end alike, as a number in another country would that is to be taken for this
    /// one.
    pub(super) fn ends_like(&self, other: &Self) -> bool {
        let ending = |one: &Self| {
            let begin = one.digits.len().checked_sub(SUBSCRIBER)?;
            one.digits.get(begin..).map(str::to_owned)
        };
        ending(self).is_some_and(|one| ending(other) == Some(one))
    }

    pub(super) fn is_international(&self) -> bool {
        self.international
    }

    pub(super) fn digits(&self) -> &str {
        &self.digits
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_a_number_is_written_does_not_matter() {
        let number = Number::of_address(&Address::international("4687654321")).unwrap();
        for same in [
            "+46 8 765 43 21",
            "+46 (0)8-765 43 21",
            "0046 8 7654321",
            "+46\u{a0}8\u{202f}765\u{200e}4321",
            "＋４６８７６５４３２１",
            "08-765 43 21",
            "\u{202a}+4687654321\u{202c}",
        ] {
            assert!(Number::typed(same).unwrap().is_same(&number), "{same}");
        }
        for other in ["+47 8 765 43 21", "+46 8 765 43 22", "21"] {
            assert!(!Number::typed(other).unwrap().is_same(&number), "{other}");
        }
        assert!(Number::typed("+47 8 765 43 21").unwrap().ends_like(&number));
        assert_eq!(Number::typed("nordbank.se"), None);
    }
}
