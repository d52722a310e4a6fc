//! Addresses: e-mail and phone numbers, in canonical and display form.
//!
//! The *canonical* form is what is looked up: an e-mail's local part in lower case and
//! its domain in A-labels (IDNA, UTS #46 non-transitional, RFC 5891); a phone number in
//! E.164. The *display* form is what people see: as typed, with the domain in U-labels.
//!
//! People paste addresses from contact lists and web pages, with what these put around and into
//! them: non-breaking and thin blanks, marks of writing direction, hyphens of all lengths, digits of
//! other scripts. None of it is part of an address, and [`Address::parse`] removes it.
//!
//! Local parts are ASCII (RFC 5321 dot-string): only the mail server that has an internationalised
//! local part (RFC 6531) knows its canonical form, so two people could claim one address. They are
//! in lower case, because no large mail provider distinguishes `Alice@` from `alice@`, and people
//! type both.
//!
//! **Elsewhere.** [`Address::skeleton`] (`address/confusable.rs`) says what an address looks like
//! to people, to find out whether it imitates another. `relay::address` verifies addresses;
//! `engine::trust` finds addresses that imitate a contact's.
//!
//! **Always.** The canonical form of a canonical form is itself; two addresses are the same if
//! their canonical forms are.

use std::fmt;

use crate::limits;

mod confusable;

pub use confusable::Skeleton;

/// An address, checked for form.
#[derive(Clone)]
pub struct Address {
    canonical: String,
    display: String,
    kind: AddressKind,
}

/// What kind of address it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AddressKind {
    /// `alice@example.org`
    Email,
    /// `+15551234567`
    Phone,
}

/// Why a text is no address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// Nothing, or more than [`limits::ADDRESS_BYTES`].
    #[error("an address has between 1 and 320 bytes")]
    Length,
    /// Neither an `@` nor a leading `+`.
    #[error(
        "an address is an e-mail address, or a phone number that starts with + and its country code"
    )]
    Kind,
    /// The part before the `@`.
    #[error(
        "the part before the @ may hold letters, digits and !#$%&'*+-/=?^_`{{|}}~ with single dots between, at most 64"
    )]
    LocalPart,
    /// The part behind the `@`.
    #[error("the part after the @ is not the name of a mail domain")]
    Domain,
    /// Not a number that the numbering plans allow.
    #[error("that is not a possible phone number")]
    Number,
}

impl Address {
    /// From what a person typed or another program sent.
    pub fn parse(text: &str) -> Result<Self, AddressError> {
        let text = text.trim_matches(is_blank);
        if text.is_empty() || text.len() > limits::ADDRESS_BYTES {
            return Err(AddressError::Length);
        }
        match text.rsplit_once('@') {
            Some((local, domain)) => Self::email(local, domain),
            None if text.starts_with(['+', '\u{FF0B}']) => Self::phone(text),
            None => Err(AddressError::Kind),
        }
    }

    /// Whether two texts are the same address, in whatever form each is written. Texts that are
    /// not addresses are never the same.
    ///
    /// ```
    /// use waxwing_protocol::address::Address;
    ///
    /// assert!(Address::same("+44 20 7946 0958", "+442079460958"));
    /// assert!(!Address::same("Family", "Family"));
    /// ```
    pub fn same(one: &str, other: &str) -> bool {
        match (Self::parse(one), Self::parse(other)) {
            (Ok(one), Ok(other)) => one == other,
            _ => false,
        }
    }

    /// For look-ups and comparisons.
    pub fn canonical(&self) -> &str {
        &self.canonical
    }

    /// For people.
    pub fn display(&self) -> &str {
        &self.display
    }

    /// E-mail or phone.
    pub const fn kind(&self) -> AddressKind {
        self.kind
    }

    fn email(local: &str, domain: &str) -> Result<Self, AddressError> {
        if local.len() > 64 || !local.split('.').all(is_atom) {
            return Err(AddressError::LocalPart);
        }
        let ascii = idna::domain_to_ascii_strict(domain).map_err(|_| AddressError::Domain)?;
        let labels: Vec<&str> = ascii.split('.').collect();
        let is_number = labels
            .last()
            .is_none_or(|last| last.is_empty() || last.bytes().all(|byte| byte.is_ascii_digit()));
        if labels.len() < 2 || is_number {
            return Err(AddressError::Domain);
        }
        let (unicode, valid) = idna::domain_to_unicode(&ascii);
        if valid.is_err() {
            return Err(AddressError::Domain);
        }
        Ok(Self {
            canonical: format!("{}@{ascii}", local.to_ascii_lowercase()),
            display: format!("{local}@{unicode}"),
            kind: AddressKind::Email,
        })
    }

    fn phone(text: &str) -> Result<Self, AddressError> {
        let visible = text.chars().filter(|c| c.is_whitespace() || !is_blank(*c));
        let text: Option<String> = visible.map(ascii_of_number).collect();
        let text = text.ok_or(AddressError::Number)?;
        let number = phonenumber::parse(None, text).map_err(|_| AddressError::Number)?;
        if !phonenumber::is_valid(&number) || number.extension().is_some() {
            return Err(AddressError::Number);
        }
        let canonical = number.format().mode(phonenumber::Mode::E164).to_string();
        let display = number
            .format()
            .mode(phonenumber::Mode::International)
            .to_string();
        Ok(Self {
            canonical,
            display,
            kind: AddressKind::Phone,
        })
    }
}

/// Whether a character is a blank, or invisible: what copying and pasting adds to an address.
const fn is_blank(c: char) -> bool {
    c.is_whitespace()
        || matches!(c,
            '\u{00AD}' // soft hyphen
            | '\u{061C}' | '\u{200B}'..='\u{200F}' | '\u{202A}'..='\u{202E}' // directions, zero width
            | '\u{2060}'..='\u{2064}' | '\u{2066}'..='\u{206F}' | '\u{FEFF}')
}

/// A character of a phone number as the ASCII character that it stands for.
fn ascii_of_number(c: char) -> Option<char> {
    let digit = |zero: char| {
        let value = u32::from(c).checked_sub(u32::from(zero))?;
        char::from_digit(value, 10)
    };
    match c {
        '0'..='9' | '+' | '-' | '(' | ')' | '.' => Some(c),
        '\u{FF0B}' => Some('+'),
        _ if c.is_whitespace() => Some(' '),
        '\u{2010}'..='\u{2015}' | '\u{2212}' | '\u{FF0D}' => Some('-'),
        // Arabic, Persian, Devanagari and full-width digits.
        '\u{0660}'..='\u{0669}' => digit('\u{0660}'),
        '\u{06F0}'..='\u{06F9}' => digit('\u{06F0}'),
        '\u{0966}'..='\u{096F}' => digit('\u{0966}'),
        '\u{FF10}'..='\u{FF19}' => digit('\u{FF10}'),
        '\u{FF08}' => Some('('),
        '\u{FF09}' => Some(')'),
        _ => None,
    }
}

/// RFC 5321's Atom.
fn is_atom(part: &str) -> bool {
    !part.is_empty()
        && part
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-/=?^_`{|}~".contains(&byte))
}

impl PartialEq for Address {
    fn eq(&self, other: &Self) -> bool {
        self.canonical == other.canonical
    }
}

impl Eq for Address {}

impl std::hash::Hash for Address {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.canonical.hash(state);
    }
}

/// The display form.
impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.display)
    }
}

/// The kind only: `Debug` ends up in logs.
impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Address({:?}, …)", self.kind)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn canonical(text: &str) -> Result<String, AddressError> {
        Address::parse(text).map(|address| address.canonical().to_owned())
    }

    #[test]
    fn an_email_is_the_same_however_it_is_typed() {
        for text in [
            "alice@example.org",
            " Alice@Example.ORG ",
            "ALICE@example.org",
        ] {
            assert_eq!(canonical(text).unwrap(), "alice@example.org");
        }
        for text in [
            "jürgen@bücher.example",
            "a@bücher.example",
            "A@BÜCHER.example",
            "a@xn--bcher-kva.example",
        ] {
            let expected = if text.starts_with('j') {
                Err(AddressError::LocalPart)
            } else {
                Ok("a@xn--bcher-kva.example".to_owned())
            };
            assert_eq!(canonical(text), expected);
        }
        assert_eq!(
            Address::parse("a@xn--bcher-kva.example").unwrap().display(),
            "a@bücher.example"
        );
    }

    #[test]
    fn a_phone_number_is_the_same_however_it_is_typed() {
        for text in [
            "+1 (202) 555-0123",
            "+12025550123",
            "+1.202.555.0123",
            "+1\u{a0}202\u{202f}555\u{2009}0123",
            "\u{202d}+1 202-555-0123\u{202c}",
            "\u{200e}+1 \u{2068}202\u{2069} 555\u{2011}0123\u{feff}",
            "\u{ff0b}\u{ff11}\u{3000}202\u{2013}555\u{2212}0123",
            "+\u{661}\u{662}\u{660}\u{662}\u{665}\u{665}\u{665}\u{660}\u{661}\u{662}\u{663}",
        ] {
            assert_eq!(canonical(text).unwrap(), "+12025550123", "{text:?}");
        }
        assert_eq!(
            canonical("\u{2068}Alice@example.org\u{2069}\u{a0}").unwrap(),
            "alice@example.org"
        );
    }

    #[test]
    fn two_texts_are_the_same_address_in_any_form() {
        for (one, other, same) in [
            ("+44 20 7946 0958", "+442079460958", true),
            ("Case@Example.ORG", "case@example.org", true),
            ("a@xn--bcher-kva.example", "A@bücher.example", true),
            ("a@example.org", "b@example.org", false),
            ("Family", "Family", false),
            ("", "", false),
        ] {
            assert_eq!(Address::same(one, other), same, "{one} {other}");
        }
    }

    #[test]
    fn what_is_no_address_is_refused_with_the_reason() {
        for (text, reason) in [
            ("", AddressError::Length),
            ("alice", AddressError::Kind),
            ("2025550123", AddressError::Kind),
            ("@example.org", AddressError::LocalPart),
            ("a..b@example.org", AddressError::LocalPart),
            (".a@example.org", AddressError::LocalPart),
            ("a b@example.org", AddressError::LocalPart),
            ("\"a b\"@example.org", AddressError::LocalPart),
            ("a@b@example.org", AddressError::LocalPart),
            ("a@localhost", AddressError::Domain),
            ("a@192.0.2.1", AddressError::Domain),
            ("a@[192.0.2.1]", AddressError::Domain),
            ("a@-x.example", AddressError::Domain),
            ("a@exa mple.org", AddressError::Domain),
            (
                "a@example.org\r\nBcc: b@example.org",
                AddressError::LocalPart,
            ),
            ("+1", AddressError::Number),
            ("+99912345", AddressError::Number),
            ("+1202555012x", AddressError::Number),
        ] {
            assert_eq!(canonical(text).unwrap_err(), reason, "{text:?}");
        }
        assert_eq!(
            canonical(&format!("{}@example.org", "a".repeat(65))).unwrap_err(),
            AddressError::LocalPart
        );
        assert_eq!(
            canonical(&"a".repeat(321)).unwrap_err(),
            AddressError::Length
        );
    }

    #[test]
    fn a_debug_line_does_not_tell_the_address() {
        assert_eq!(
            format!("{:?}", Address::parse("alice@example.org").unwrap()),
            "Address(Email, …)"
        );
    }

    proptest! {
        #[test]
        fn no_text_panics_and_canonical_is_a_fixed_point(text in "\\PC{0,40}|[a-zA-Z0-9.+_-]{1,10}@[\\PC]{1,12}\\.[a-z]{2,4}|\\+[0-9 ()-]{3,16}") {
            if let Ok(address) = Address::parse(&text) {
                let again = Address::parse(address.canonical()).unwrap();
                prop_assert_eq!(again.canonical(), address.canonical());
                let shown = Address::parse(address.display()).unwrap();
                prop_assert_eq!(shown.canonical(), address.canonical());
            }
        }
    }
}
