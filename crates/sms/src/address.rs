//! Who a message is from or for, as the phone network writes it (TS 23.040 section 9.1.2.5).
//!
//! **Elsewhere**: whether an address is what it seems is a matter of [findings](crate::findings).
//!
//! **Always**: an address is what the sender of the message wrote there. Nothing in it is verified
//! by anybody.

use std::fmt;

use crate::alphabet::{self, Alphabet};
use crate::reader::{Field, Reader};
use crate::tpdu::TpduError;

/// An address has so many octets of value (9.1.2.5: twelve with its length and its type).
const VALUE_OCTETS: usize = 10;

/// The kind of number (bits 6 to 4 of the type-of-address octet).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TypeOfNumber {
    /// Nobody said.
    Unknown,
    /// With its country's code.
    International,
    /// Without its country's code.
    National,
    /// A number of the network's own.
    NetworkSpecific,
    /// A subscriber's, as dialled within the network.
    Subscriber,
    /// Not a number at all: a name in the default alphabet.
    Alphanumeric,
    /// A short number.
    Abbreviated,
    /// Not to be used.
    Reserved,
}

impl TypeOfNumber {
    /// From three bits; SMPP's numbers for it (section 4.7.1) are the same.
    pub fn numbered(bits: u8) -> Self {
        match bits & 0x07 {
            0 => Self::Unknown,
            1 => Self::International,
            2 => Self::National,
            3 => Self::NetworkSpecific,
            4 => Self::Subscriber,
            5 => Self::Alphanumeric,
            6 => Self::Abbreviated,
            _ => Self::Reserved,
        }
    }

    /// Its three bits.
    pub fn number(self) -> u8 {
        match self {
            Self::Unknown => 0,
            Self::International => 1,
            Self::National => 2,
            Self::NetworkSpecific => 3,
            Self::Subscriber => 4,
            Self::Alphanumeric => 5,
            Self::Abbreviated => 6,
            Self::Reserved => 7,
        }
    }
}

/// An address: an originator, a recipient, or where a reply is asked to go.
#[derive(Clone, PartialEq, Eq)]
pub struct Address {
    /// What kind of number it is.
    pub kind: TypeOfNumber,
    /// The numbering plan, four bits: 1 is E.164.
    pub plan: u8,
    /// The digits (`0`–`9`, `*`, `#`, `a`–`c`), or the name where the kind is alphanumeric.
    pub value: String,
}

impl Address {
    /// A number with its country's code, without the plus sign.
    pub fn international(digits: &str) -> Self {
        Self {
            kind: TypeOfNumber::International,
            plan: 1,
            value: digits.to_owned(),
        }
    }

    /// A name in place of a number.
    pub fn alphanumeric(name: &str) -> Self {
        Self {
            kind: TypeOfNumber::Alphanumeric,
            plan: 0,
            value: name.to_owned(),
        }
    }

    /// Whether a reply can be sent to it at all.
    pub fn is_number(&self) -> bool {
        self.kind != TypeOfNumber::Alphanumeric
            && self.value.bytes().any(|one| one.is_ascii_digit())
    }

    /// Reads one that begins with its length in useful semi-octets.
    ///
    /// # Errors
    /// Where the octets end before it does, or where it is longer than an address may be.
    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Self, TpduError> {
        let semi_octets = usize::from(reader.octet(Field::Address)?);
        let kind = reader.octet(Field::Address)?;
        let octets = semi_octets.div_ceil(2);
        if octets > VALUE_OCTETS {
            return Err(TpduError::AddressTooLong { semi_octets });
        }
        let value = reader.octets(octets, Field::Address)?;
        Ok(Self::of(kind, semi_octets, value))
    }

    /// From its type octet and its value.
    pub(crate) fn of(kind: u8, semi_octets: usize, value: &[u8]) -> Self {
        let plan = kind & 0x0f;
        let kind = TypeOfNumber::numbered(kind >> 4);
        let value = if kind == TypeOfNumber::Alphanumeric {
            let septets = semi_octets * 4 / 7;
            Alphabet::DEFAULT.decode(alphabet::unpack(value, 0, septets))
        } else {
            let mut digits = String::with_capacity(semi_octets);
            for at in 0..semi_octets {
                let octet = value.get(at / 2).copied().unwrap_or(0xff);
                let digit = if at % 2 == 0 {
                    octet & 0x0f
                } else {
                    octet >> 4
                };
                digits.extend(character(digit));
            }
            digits
        };
        Self { kind, plan, value }
    }

    /// Writes it with its length in front.
    ///
    /// # Errors
    /// Where it is too long, or has a character that such an address cannot have.
    pub(crate) fn write(&self, octets: &mut Vec<u8>) -> Result<(), AddressError> {
        let (semi_octets, value) = self.packed()?;
        octets.push(u8::try_from(semi_octets).map_err(|_| AddressError::TooLong)?);
        octets.push(0x80 | self.kind.number() << 4 | self.plan & 0x0f);
        octets.extend(value);
        Ok(())
    }

    fn packed(&self) -> Result<(usize, Vec<u8>), AddressError> {
        let (semi_octets, value) = if self.kind == TypeOfNumber::Alphanumeric {
            let mut septets = Vec::new();
            for character in self.value.chars() {
                Alphabet::DEFAULT
                    .encode(character)
                    .ok_or(AddressError::Character(character))?
                    .append_to(&mut septets);
            }
            let semi_octets = (septets.len() * 7).div_ceil(4);
            (semi_octets, alphabet::pack(&septets, 0))
        } else {
            let digits: Vec<u8> = self
                .value
                .chars()
                .map(|one| digit(one).ok_or(AddressError::Character(one)))
                .collect::<Result<_, _>>()?;
            let pair = |two: &[u8]| {
                let (first, second) = (two.first(), two.get(1));
                first.copied().unwrap_or(0x0f) | second.copied().unwrap_or(0x0f) << 4
            };
            (digits.len(), digits.chunks(2).map(pair).collect())
        };
        if value.len() > VALUE_OCTETS {
            return Err(AddressError::TooLong);
        }
        Ok((semi_octets, value))
    }
}

/// The character of a semi-octet (9.1.2.3); none for filling.
fn character(digit: u8) -> Option<char> {
    match digit {
        0..=9 => Some(char::from(b'0' + digit)),
        0x0a => Some('*'),
        0x0b => Some('#'),
        0x0c => Some('a'),
        0x0d => Some('b'),
        0x0e => Some('c'),
        _ => None,
    }
}

fn digit(character: char) -> Option<u8> {
    match character {
        '0'..='9' => u8::try_from(character.to_digit(10)?).ok(),
        '*' => Some(0x0a),
        '#' => Some(0x0b),
        'a' => Some(0x0c),
        'b' => Some(0x0d),
        'c' => Some(0x0e),
        _ => None,
    }
}

/// As people write it: with a plus sign where it has its country's code.
impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.kind == TypeOfNumber::International {
            f.write_str("+")?;
        }
        f.write_str(&self.value)
    }
}

/// Says its kind only: whom somebody hears from is nobody's business.
impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Address")
            .field("kind", &self.kind)
            .field("plan", &self.plan)
            .finish_non_exhaustive()
    }
}

/// Why an address cannot be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// More than twenty digits or eleven letters.
    #[error("an address has at most twenty digits or eleven letters")]
    TooLong,
    /// Not of the default alphabet, or no digit.
    #[error("an address cannot have the character {0:?}")]
    Character(char),
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(octets: &[u8]) -> Address {
        Address::read(&mut Reader::new(octets)).unwrap()
    }

    fn written(address: &Address) -> Vec<u8> {
        let mut octets = Vec::new();
        address.write(&mut octets).unwrap();
        octets
    }

    #[test]
    fn digits_are_swapped_in_pairs() {
        let address = read(&[0x0b, 0x91, 0x64, 0x07, 0x28, 0x15, 0x53, 0xf8]);
        assert_eq!(address.to_string(), "+46708251358");
        assert_eq!(
            written(&address),
            [0x0b, 0x91, 0x64, 0x07, 0x28, 0x15, 0x53, 0xf8]
        );
    }

    #[test]
    fn a_name_is_of_septets() {
        let octets = [0x0b, 0xd0, 0xe7, 0xf7, 0xfb, 0xcc, 0x2e, 0x03];
        let address = read(&octets);
        assert_eq!(address.kind, TypeOfNumber::Alphanumeric);
        assert_eq!(address.to_string(), "google");
        // Eleven semi-octets hold its forty-two bits.
        assert_eq!(read(&written(&address)), Address { plan: 0, ..address });
        assert_eq!(
            read(&written(&Address::alphanumeric("ELEVENCHARS"))).value,
            "ELEVENCHARS"
        );
    }

    #[test]
    fn every_kind_of_number_comes_back() {
        for bits in (0..8).filter(|bits| *bits != 5) {
            let address = Address {
                kind: TypeOfNumber::numbered(bits),
                plan: 1,
                value: "12*#abc".to_owned(),
            };
            assert_eq!(address.kind.number(), bits);
            assert_eq!(read(&written(&address)), address);
        }
    }

    #[test]
    fn what_is_too_long_or_cut_off_is_refused() {
        let refused = |octets: &[u8]| Address::read(&mut Reader::new(octets)).unwrap_err();
        assert!(matches!(
            refused(&[21, 0x91]),
            TpduError::AddressTooLong { semi_octets: 21 }
        ));
        assert!(matches!(refused(&[]), TpduError::Truncated { .. }));
        assert!(matches!(
            refused(&[4, 0x91, 0]),
            TpduError::Truncated { .. }
        ));
        let long = Address::international("123456789012345678901");
        assert_eq!(long.write(&mut Vec::new()), Err(AddressError::TooLong));
        let odd = Address::alphanumeric("€☃");
        assert_eq!(
            odd.write(&mut Vec::new()),
            Err(AddressError::Character('☃'))
        );
    }
}
