//! What a message brings: a header, if it has one, and its text or its octets (TP-UD, TS 23.040
//! section 9.2.3.24).
//!
//! **Elsewhere**: whole messages are `tpdu`; how a text is split into parts is `concatenation`.
//!
//! **Always**: so many octets as the message says are read, and never more than 140. A part of a
//! longer text may end within a character; what it is made of is kept then, for the other half.

use std::fmt;

use crate::alphabet;
use crate::coding::{Coding, DataCoding};
use crate::header::{Header, HeaderError};
use crate::reader::{Field, Reader};
use crate::tpdu::TpduError;

/// One message brings so many octets (9.2.3.16).
pub const OCTETS: usize = 140;

/// Or so many characters of seven bits.
pub const SEPTETS: usize = 160;

/// A header, and what is behind it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UserData {
    /// Its header.
    pub header: Header,
    /// What is behind it.
    pub body: Body,
    /// What a text is made of that begins or ends within a character: octets of UTF-16, or
    /// septets. Such are parts of a longer text, and [`crate::concatenation`] joins them before it
    /// reads them.
    pub split: Option<Vec<u8>>,
}

/// What is for people, or for programs.
#[derive(Clone, PartialEq, Eq)]
pub enum Body {
    /// A text. What could not be read is U+FFFD in it.
    Text(String),
    /// Octets.
    Octets(Vec<u8>),
    /// Octets that a text was compressed to (TS 23.042), which is not read.
    Compressed(Vec<u8>),
}

impl Default for Body {
    fn default() -> Self {
        Self::Text(String::new())
    }
}

/// Says what kind it is and how long, and never what it says.
impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => write!(f, "Text({} bytes)", text.len()),
            Self::Octets(octets) => write!(f, "Octets({})", octets.len()),
            Self::Compressed(octets) => write!(f, "Compressed({})", octets.len()),
        }
    }
}

impl UserData {
    /// A text without a header.
    pub fn text(text: &str) -> Self {
        Self {
            header: Header::default(),
            body: Body::Text(text.to_owned()),
            split: None,
        }
    }

    /// Reads TP-UDL and TP-UD.
    ///
    /// # Errors
    /// Where it is longer than it may be, or than what is there.
    pub(crate) fn read(
        reader: &mut Reader<'_>,
        coding: DataCoding,
        has_header: bool,
    ) -> Result<Self, TpduError> {
        let length = usize::from(reader.octet(Field::Length)?);
        let in_septets = coding.coding() == Coding::Septets && !coding.compressed();
        let octets = if in_septets {
            (length * 7).div_ceil(8)
        } else {
            length
        };
        if octets > OCTETS {
            return Err(TpduError::UserDataTooLong { octets });
        }
        let there = reader.rest();
        let field = match there.first() {
            _ if !has_header => Field::Content,
            None => Field::HeaderLength,
            Some(size) if there.len() <= usize::from(*size) => Field::Header,
            Some(_) => Field::Content,
        };
        let data = reader.octets(octets, field)?;
        if data.len() < octets {
            return Ok(Self::cut_off(data, length, coding, has_header));
        }
        Self::of(data, length, coding, has_header)
    }

    /// From octets of which the last ones are missing: the elements of the header that are there,
    /// or the text as far as it goes.
    fn cut_off(data: &[u8], length: usize, coding: DataCoding, has_header: bool) -> Self {
        Self::of(data, length, coding, has_header).unwrap_or_else(|_| Self {
            header: Header::beginning(data.get(1..).unwrap_or_default()),
            ..Self::default()
        })
    }

    /// From octets whose length in septets or octets is known. Used for what SMPP brings too,
    /// which may be longer than a single message of the air interface.
    pub(crate) fn of(
        data: &[u8],
        length: usize,
        coding: DataCoding,
        has_header: bool,
    ) -> Result<Self, TpduError> {
        let (header, body) = if has_header {
            let (size, behind) = data.split_first().ok_or(TpduError::Truncated {
                field: Field::HeaderLength,
            })?;
            let (header, body) =
                behind
                    .split_at_checked(usize::from(*size))
                    .ok_or(TpduError::Truncated {
                        field: Field::Header,
                    })?;
            (Header::read(header), body)
        } else {
            (Header::default(), data)
        };
        if coding.compressed() {
            return Ok(Self {
                header,
                body: Body::Compressed(body.to_vec()),
                split: None,
            });
        }
        Ok(match coding.coding() {
            Coding::Octets => Self {
                header,
                body: Body::Octets(body.to_vec()),
                split: None,
            },
            Coding::Utf16 => Self::of_utf16(header, body),
            Coding::Septets => {
                let before = (data.len() - body.len()) * 8;
                let used = before.div_ceil(7);
                let fill = u32::try_from(used * 7 - before).unwrap_or_default();
                let septets = alphabet::unpack(body, fill, length.saturating_sub(used));
                Self::of_septets(header, septets.collect())
            }
        })
    }

    fn of_utf16(header: Header, octets: &[u8]) -> Self {
        Self {
            header,
            body: Body::Text(utf16(octets)),
            split: is_split_utf16(octets).then(|| octets.to_vec()),
        }
    }

    fn of_septets(header: Header, septets: Vec<u8>) -> Self {
        let text = header.alphabet().decode(septets.iter().copied());
        let is_split = septets.last() == Some(&alphabet::ESCAPE);
        Self {
            header,
            body: Body::Text(text),
            split: is_split.then_some(septets),
        }
    }

    /// From octets of which each septet has one of its own, as SMPP brings them. There may be
    /// more than one message of the air interface carries.
    ///
    /// # Errors
    /// Where the header is longer than what is there.
    pub fn of_octets(data: &[u8], coding: DataCoding, has_header: bool) -> Result<Self, TpduError> {
        if coding.coding() != Coding::Septets || coding.compressed() {
            return Self::of(data, data.len(), coding, has_header);
        }
        // The header is in octets in any case: what is behind it is read by its tables.
        let as_octets = Self::of(data, data.len(), DataCoding::OCTETS, has_header)?;
        let Body::Octets(septets) = as_octets.body else {
            return Ok(as_octets);
        };
        Ok(Self::of_septets(as_octets.header, septets))
    }

    /// Writes TP-UDL and TP-UD.
    ///
    /// # Errors
    /// Where a character is not in the alphabet, or all of it is longer than one message.
    pub(crate) fn write(
        &self,
        octets: &mut Vec<u8>,
        coding: DataCoding,
    ) -> Result<(), UserDataError> {
        let (length, data) = self.packed(coding)?;
        octets.push(u8::try_from(length).map_err(|_| UserDataError::TooLong)?);
        octets.extend(data);
        Ok(())
    }

    /// TP-UDL and TP-UD.
    ///
    /// # Errors
    /// As for [`Self::write`].
    pub fn packed(&self, coding: DataCoding) -> Result<(usize, Vec<u8>), UserDataError> {
        let mut data = Vec::with_capacity(OCTETS);
        if !self.header.is_empty() {
            let header = self.header.octets()?;
            data.push(u8::try_from(header.len()).map_err(|_| UserDataError::TooLong)?);
            data.extend(header);
        }
        let length = match &self.body {
            Body::Octets(body) | Body::Compressed(body) => {
                let compressed = matches!(self.body, Body::Compressed(_));
                if compressed != coding.compressed()
                    || (!compressed && coding.coding() != Coding::Octets)
                {
                    return Err(UserDataError::Coding);
                }
                data.extend(body);
                data.len()
            }
            Body::Text(text) => match coding.coding() {
                _ if coding.compressed() => return Err(UserDataError::Coding),
                Coding::Octets => return Err(UserDataError::Coding),
                Coding::Utf16 => {
                    data.extend(self.split.clone().unwrap_or_else(|| utf16_octets(text)));
                    data.len()
                }
                Coding::Septets => {
                    let septets = match &self.split {
                        Some(septets) => septets.clone(),
                        None => self.septets(text)?,
                    };
                    let before = data.len() * 8;
                    let used = before.div_ceil(7);
                    let fill = u32::try_from(used * 7 - before).unwrap_or_default();
                    data.extend(alphabet::pack(&septets, fill));
                    used + septets.len()
                }
            },
        };
        if data.len() > OCTETS {
            return Err(UserDataError::TooLong);
        }
        Ok((length, data))
    }

    fn septets(&self, text: &str) -> Result<Vec<u8>, UserDataError> {
        let alphabet = self.header.alphabet();
        let mut septets = Vec::with_capacity(SEPTETS);
        for character in text.chars() {
            alphabet
                .encode(character)
                .ok_or(UserDataError::Character(character))?
                .append_to(&mut septets);
        }
        Ok(septets)
    }
}

/// Whether it begins or ends within a character.
fn is_split_utf16(octets: &[u8]) -> bool {
    let (pairs, rest) = octets.as_chunks::<2>();
    let unit = |pair: &[u8; 2]| u16::from_be_bytes(*pair);
    let starts_low = |pair| (0xdc00..0xe000).contains(&unit(pair));
    let ends_high = |pair| (0xd800..0xdc00).contains(&unit(pair));
    !rest.is_empty() || pairs.first().is_some_and(starts_low) || pairs.last().is_some_and(ends_high)
}

/// A text as [`utf16`] reads it.
pub(crate) fn utf16_octets(text: &str) -> Vec<u8> {
    text.encode_utf16().flat_map(u16::to_be_bytes).collect()
}

/// UTF-16 with the high octet first. Half a pair, and half a character at the end, are U+FFFD.
pub(crate) fn utf16(octets: &[u8]) -> String {
    let (pairs, rest) = octets.as_chunks::<2>();
    let units = pairs.iter().map(|pair| u16::from_be_bytes(*pair));
    let mut text = String::with_capacity(octets.len());
    text.extend(char::decode_utf16(units).map(|one| one.unwrap_or(char::REPLACEMENT_CHARACTER)));
    if !rest.is_empty() {
        text.push(char::REPLACEMENT_CHARACTER);
    }
    text
}

/// Why user data cannot be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UserDataError {
    /// More than 140 octets.
    #[error("one message has at most 140 octets; split it into parts")]
    TooLong,
    /// Not in the alphabet.
    #[error("the alphabet does not have the character {0:?}")]
    Character(char),
    /// A text where octets are announced, or octets where a text is.
    #[error("its content does not match its data coding scheme")]
    Coding,
    /// Its header.
    #[error(transparent)]
    Header(#[from] HeaderError),
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alphabet::Language;
    use crate::header::Element;

    fn back(data: &UserData, coding: DataCoding) -> UserData {
        let mut octets = Vec::new();
        data.write(&mut octets, coding).unwrap();
        UserData::read(&mut Reader::new(&octets), coding, !data.header.is_empty()).unwrap()
    }

    #[test]
    fn text_comes_back_in_each_alphabet() {
        for (text, coding) in [
            ("Grüße, 5 € [ok]", DataCoding::SEPTETS),
            ("😀 नमस्ते", DataCoding::UTF16),
            ("", DataCoding::SEPTETS),
        ] {
            let data = UserData::text(text);
            assert_eq!(back(&data, coding), data);
        }
        let data = UserData {
            header: Header::read(&[0x25, 1, 1, 0x24, 1, 1]),
            body: Body::Text("ğıŞ İ€".to_owned()),
            split: None,
        };
        assert_eq!(data.header.alphabet().single, Some(Language::Turkish));
        assert_eq!(back(&data, DataCoding::SEPTETS), data);
    }

    #[test]
    fn text_behind_a_header_begins_at_a_septet() {
        for size in 0..20 {
            let data = UserData {
                header: Header {
                    elements: vec![Element::Other {
                        identifier: 0x70,
                        data: vec![0xff; size],
                    }],
                    malformed: None,
                },
                body: Body::Text("@text@".to_owned()),
                split: None,
            };
            assert_eq!(back(&data, DataCoding::SEPTETS), data);
        }
    }

    #[test]
    fn half_a_character_is_shown_as_one_that_could_not_be_read() {
        assert_eq!(utf16(&[0xd8, 0x3d, 0xde, 0x00]), "😀");
        assert_eq!(utf16(&[0xd8, 0x3d]), "\u{fffd}");
        assert_eq!(utf16(&[0x00, 0x41, 0x00]), "A\u{fffd}");
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let long = UserData::text(&"a".repeat(161));
        assert_eq!(
            long.packed(DataCoding::SEPTETS),
            Err(UserDataError::TooLong)
        );
        let fits = UserData::text(&"a".repeat(160));
        assert_eq!(fits.packed(DataCoding::SEPTETS).unwrap().0, 160);
        assert_eq!(
            UserData::text("😀").packed(DataCoding::SEPTETS),
            Err(UserDataError::Character('😀'))
        );
        assert_eq!(
            UserData::text("x").packed(DataCoding::OCTETS),
            Err(UserDataError::Coding)
        );
    }
}
