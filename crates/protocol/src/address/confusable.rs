//! What an address looks like: its skeleton (UTS #39 section 4), which is the same for all
//! addresses that people can mistake for one another.
//!
//! Made from what people see: the local part in lower case, and the domain in U-labels.
//! Of UTS #39's skeleton the letters are folded once more, since in an address `O` and
//! `o` are one letter: `0`, which is an `O` to UTS #39, is an `o` here.
//!
//! **Elsewhere.** `relay::address` refuses to register an imitation; `engine::trust` points out a
//! contact whose address is one.
//!
//! **Always.** Two addresses that are the same have the same skeleton. A phone number has no
//! skeleton: its digits are digits. Skeletons are for comparing, never for showing, and their
//! tables grow with Unicode: stored skeletons are computed again when the tables change.

use std::fmt;

use unicode_security::confusable_detection::skeleton;

use super::{Address, AddressKind};

/// What an address looks like.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Skeleton(String);

impl Skeleton {
    fn of(text: &str) -> Self {
        let looks: String = skeleton(&text.to_lowercase()).collect();
        let folded = looks.to_lowercase();
        Self(skeleton(&folded).collect())
    }

    /// To be hashed; nothing for people.
    pub fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

/// It is as good as the address.
impl fmt::Debug for Skeleton {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Skeleton(…)")
    }
}

impl Address {
    /// What it looks like; `None` for a phone number.
    pub fn skeleton(&self) -> Option<Skeleton> {
        match self.kind {
            // The display form has the domain as people see it.
            AddressKind::Email => Some(Skeleton::of(&self.display)),
            AddressKind::Phone => None,
        }
    }

    /// Whether people can take it for `other`, which is another address (UTS #39
    /// section 4).
    ///
    /// ```
    /// use waxwing_protocol::address::Address;
    ///
    /// let known = Address::parse("billing@paypal.example").unwrap();
    /// let new = Address::parse("billing@paypa1.example").unwrap();
    /// assert!(new.imitates(&known));
    /// ```
    pub fn imitates(&self, other: &Self) -> bool {
        self != other && self.skeleton().is_some() && self.skeleton() == other.skeleton()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn address(text: &str) -> Address {
        Address::parse(text).unwrap()
    }

    #[test]
    fn an_address_that_looks_like_another_imitates_it() {
        for (one, other) in [
            ("a@paypal.example", "a@paypa1.example"),
            ("paypal@example.org", "PayPa1@example.org"),
            ("modern@example.org", "modem@example.org"),
            ("a@morgan.example", "a@rnorgan.example"),
            ("g00gle@example.org", "google@example.org"),
            ("GOOGLE@example.org", "g0ogle@example.org"),
            // Cyrillic а, е, о, р, с.
            ("a@apple.example", "a@аррӏе.example"),
            ("a@ecco.example", "a@ессо.example"),
            // Greek omicron.
            ("a@google.example", "a@gοοgle.example"),
            ("a@apple.example", "a@xn--80ak6aa92e.example"),
        ] {
            let (one, other) = (address(one), address(other));
            assert!(
                one.imitates(&other) && other.imitates(&one),
                "{one} {other}"
            );
        }
    }

    #[test]
    fn the_same_address_typed_otherwise_imitates_nobody() {
        for (one, other) in [
            ("Alice@Example.org", "alice@example.org"),
            ("a@bücher.example", "A@xn--bcher-kva.example"),
        ] {
            assert_eq!(address(one).skeleton(), address(other).skeleton());
            assert!(!address(one).imitates(&address(other)));
        }
    }

    #[test]
    fn addresses_that_look_different_do_not_imitate_each_other() {
        for (one, other) in [
            ("alice@example.org", "alicia@example.org"),
            ("alice@example.org", "alice@example.com"),
            ("a.b@example.org", "ab@example.org"),
            ("anna@bücher.example", "anna@bucher.example"),
            ("anna2@example.org", "anna3@example.org"),
            // A capital I is a lower-case i to every mail server, and is compared as one.
            ("alice@example.org", "aIice@example.org"),
        ] {
            assert!(!address(one).imitates(&address(other)), "{one} {other}");
        }
    }

    #[test]
    fn a_phone_number_looks_like_nothing_else() {
        let number = address("+12025550123");
        assert_eq!(number.skeleton(), None);
        assert!(!number.imitates(&address("+12025550124")));
    }

    #[test]
    fn a_debug_line_does_not_tell_the_skeleton() {
        let skeleton = address("alice@example.org").skeleton();
        assert_eq!(format!("{skeleton:?}"), "Some(Skeleton(…))");
    }

    proptest! {
        #[test]
        fn the_skeleton_is_that_of_the_canonical_form(text in "[a-zA-Z0-9.+_-]{1,10}@[\\PC]{1,12}\\.[a-z]{2,4}") {
            if let Ok(address) = Address::parse(&text) {
                let canonical = Address::parse(address.canonical()).unwrap();
                prop_assert_eq!(address.skeleton(), canonical.skeleton());
            }
        }
    }
}
