//! Safety numbers: what two people compare to verify each other.
//!
//! A safety number is made from the two account ids. It is the same on all devices of both
//! people, and changes only if one of them creates a new account. 60 digits are some 199 bits:
//! nobody can make an account whose number with somebody equals a given one. The QR text
//! carries the two ids themselves.
//!
//! **Elsewhere**: [`crate::contact`] and [`crate::commands`] act on a comparison.

use sha2::{Digest as _, Sha256};
use waxwing_protocol::ids::AccountId;

const QR_PREFIX: &str = "waxwing:safety/1/";

/// 60 digits in groups of five.
pub(crate) fn digits(one: AccountId, other: AccountId) -> String {
    let (first, second) = ordered(one, other);
    let hash = Sha256::new()
        .chain_update(b"waxwing safety number v1")
        .chain_update(first.as_bytes())
        .chain_update(second.as_bytes())
        .finalize();
    let groups: Vec<String> = (0_u8..12)
        .map(|group| {
            let block = Sha256::new()
                .chain_update(hash)
                .chain_update([group])
                .finalize();
            let number = block
                .iter()
                .take(8)
                .fold(0_u64, |sum, byte| sum << 8 | u64::from(*byte));
            format!("{:05}", number % 100_000)
        })
        .collect();
    groups.join(" ")
}

/// What a QR code of it holds.
pub(crate) fn qr_text(one: AccountId, other: AccountId) -> String {
    let (first, second) = ordered(one, other);
    format!("{QR_PREFIX}{first}/{second}")
}

/// Whether what was scanned, or typed, is this safety number; `None` where it is none.
pub(crate) fn matches(one: AccountId, other: AccountId, scanned: &str) -> Option<bool> {
    let scanned = scanned.trim();
    if scanned.starts_with(QR_PREFIX) {
        return Some(scanned.eq_ignore_ascii_case(&qr_text(one, other)));
    }
    let typed: String = scanned.chars().filter(char::is_ascii_digit).collect();
    let other_signs = scanned
        .chars()
        .any(|c| !c.is_ascii_digit() && !c.is_whitespace());
    if typed.len() != 60 || other_signs {
        return None;
    }
    let own: String = digits(one, other)
        .chars()
        .filter(char::is_ascii_digit)
        .collect();
    Some(typed == own)
}

fn ordered(one: AccountId, other: AccountId) -> (AccountId, AccountId) {
    if one < other {
        (one, other)
    } else {
        (other, one)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_safety_number_is_the_same_for_both_and_another_for_others() {
        let [a, b, c] = [1, 2, 3].map(|n| AccountId([n; 32]));
        assert_eq!(digits(a, b), digits(b, a));
        assert_eq!(qr_text(a, b), qr_text(b, a));
        assert_ne!(digits(a, b), digits(a, c));
        assert_eq!(digits(a, b).len(), 71);
    }

    #[test]
    fn what_was_scanned_or_typed_is_compared_whole() {
        let [a, b, c] = [1, 2, 3].map(|n| AccountId([n; 32]));
        assert_eq!(matches(a, b, &qr_text(b, a)), Some(true));
        assert_eq!(matches(a, b, &qr_text(a, c)), Some(false));
        assert_eq!(matches(a, b, &digits(a, b)), Some(true));
        assert_eq!(matches(a, b, &digits(a, b).replace(' ', "\n")), Some(true));
        assert_eq!(matches(a, b, &digits(a, c)), Some(false));
        assert_eq!(matches(a, b, "12345"), None);
        assert_eq!(matches(a, b, "hello"), None);
    }
}
