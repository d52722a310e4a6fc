//! The ids that people and programs see: of messages and of conversations.
//!
//! **Elsewhere**: the ids on the wire are in `waxwing_protocol::ids`.
//!
//! **Always**: ids are written as lower-case hex, and nothing else is accepted.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// An id is malformed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an id is {expected} lower-case hexadecimal digits")]
pub struct IdMalformed {
    /// How many digits this kind of id has.
    pub expected: usize,
}

macro_rules! shown_id {
    ($(#[doc = $doc_text:literal])+ $name:ident, $length:literal) => {
        $(#[doc = $doc_text])+
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name([u8; $length]);

        impl $name {
            /// From its bytes.
            pub const fn from_bytes(bytes: [u8; $length]) -> Self {
                Self(bytes)
            }

            /// Its bytes.
            pub const fn as_bytes(&self) -> &[u8; $length] {
                &self.0
            }
        }

        impl core::fmt::Display for $name {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        }

        impl core::fmt::Debug for $name {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                f.write_str(concat!(stringify!($name), "(..)"))
            }
        }

        impl core::str::FromStr for $name {
            type Err = IdMalformed;

            fn from_str(text: &str) -> Result<Self, IdMalformed> {
                let refused = IdMalformed { expected: 2 * $length };
                let digits = text.as_bytes();
                if digits.len() != 2 * $length {
                    return Err(refused);
                }
                let mut bytes = [0; $length];
                for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
                    for &digit in pair {
                        *byte = *byte << 4 | hex_digit(digit).ok_or(refused)?;
                    }
                }
                Ok(Self(bytes))
            }
        }

        impl TryFrom<&[u8]> for $name {
            type Error = IdMalformed;

            fn try_from(bytes: &[u8]) -> Result<Self, IdMalformed> {
                bytes.try_into().map(Self).map_err(|_| IdMalformed { expected: 2 * $length })
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl schemars::JsonSchema for $name {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!({
                    "description": concat!($($doc_text),+).trim_ascii(),
                    "type": "string",
                    "pattern": format!("^[0-9a-f]{{{}}}$", 2 * $length),
                })
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
            }
        }
    };
}

shown_id!(
    /// A message's MIMI id: the same on every device that has the message.
    MessageId,
    32
);
shown_id!(
    /// A conversation, as this device knows it.
    ConversationId,
    16
);

const fn hex_digit(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_reads_back_as_it_was_written() {
        let id = ConversationId::from_bytes(*b"\x00\x7f\xff0123456789abc");
        assert_eq!(id.to_string().parse(), Ok(id));
    }

    #[test]
    fn an_id_of_another_length_or_alphabet_is_refused() {
        for text in [
            "",
            "00",
            "0",
            &"0".repeat(31),
            &"0".repeat(33),
            &"G".repeat(32),
            &"A".repeat(32),
        ] {
            assert!(text.parse::<ConversationId>().is_err(), "{text}");
        }
    }
}
