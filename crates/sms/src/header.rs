//! The user-data header: what stands before a message's text, for the phone (TS 23.040 section
//! 9.2.3.24).
//!
//! **Elsewhere**: joining the parts of a long message is `concatenation`; what is suspicious in a
//! header is `findings`.
//!
//! **Always**: every element is kept. One that is not known, or that is not as the specification
//! says, is kept as its octets, and what is read is written again as it was.

use std::fmt;

use crate::address::{Address, AddressError};
use crate::alphabet::{Alphabet, Language};
use crate::coding::Mailbox;
use crate::reader::Reader;

/// The elements of a header, in their order; none where there is no header.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Header {
    /// What it has.
    pub elements: Vec<Element>,
    /// What it is, where its elements do not fit into it: the whole header is to be ignored then
    /// (9.2.3.24).
    pub malformed: Option<Vec<u8>>,
}

/// One element.
#[derive(Clone, PartialEq, Eq)]
pub enum Element {
    /// This is a part of a longer message (9.2.3.24.1 and .8).
    Concatenation(Part),
    /// For a program that listens at this port (9.2.3.24.3 and .4).
    Ports(Ports),
    /// Where a reply is asked to go, instead of to the sender (9.2.3.24.15): what was used in
    /// 2012 to show another sender than the true one.
    ReplyAddress(Address),
    /// A piece of the text is a link (9.2.3.24.12).
    Hyperlink(Hyperlink),
    /// The extension table of this language (9.2.3.24.16).
    SingleShift(Language),
    /// The table of this language (9.2.3.24.17).
    LockingShift(Language),
    /// Anything else, and anything of these whose length or content is not as it should be.
    Other {
        /// Its identifier; [`Element::name`] says what that is for.
        identifier: u8,
        /// Its octets.
        data: Vec<u8>,
    },
}

/// Which part of which message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    /// The same for all parts of a message.
    pub reference: Reference,
    /// How many there are, from 1.
    pub of: u8,
    /// Which this is, from 1.
    pub number: u8,
}

/// A reference that parts of one message share.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reference {
    /// Of eight bits.
    Short(u8),
    /// Of sixteen.
    Long(u16),
}

/// Between which programs a message goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ports {
    /// Whom it is for.
    pub destination: u16,
    /// Whom it is from.
    pub source: u16,
    /// Whether they are written with sixteen bits.
    pub wide: bool,
}

/// What the program at a port does (the ports that IANA lists for WAP, and Nokia's for Smart
/// Messaging).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Service {
    /// WAP push: the phone opens a page, loads something, or fetches a picture message.
    Push,
    /// The phone takes settings.
    Settings,
    /// The phone adds a contact to its address book (vCard).
    ContactCard,
    /// The phone adds an appointment to its calendar (vCalendar).
    Appointment,
    /// A ringing tone, a logo or a picture.
    Picture,
    /// Anything else.
    Other,
}

impl Ports {
    /// What the program does that it is for.
    pub fn service(self) -> Service {
        match self.destination {
            2948 | 2949 | 9200..=9203 => Service::Push,
            5502 | 49_996 | 49_999 => Service::Settings,
            226 | 9204 | 9206 | 5503 => Service::ContactCard,
            228 | 9205 | 9207 => Service::Appointment,
            5505..=5507 | 5514 => Service::Picture,
            _ => Service::Other,
        }
    }
}

/// A piece of the text that leads somewhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hyperlink {
    /// Where the piece begins, in characters.
    pub position: u16,
    /// How many characters are shown.
    pub title: u8,
    /// How many characters after those are the address.
    pub url: u8,
}

impl Element {
    /// Reads one from its identifier and its octets.
    pub fn read(identifier: u8, data: &[u8]) -> Self {
        let known = match (identifier, data) {
            (0x00, &[reference, of, number]) => {
                Part::valid(Reference::Short(reference), of, number).map(Self::Concatenation)
            }
            (0x08, &[high, low, of, number]) => {
                let reference = Reference::Long(u16::from_be_bytes([high, low]));
                Part::valid(reference, of, number).map(Self::Concatenation)
            }
            (0x04, &[destination, source]) => Some(Self::Ports(Ports {
                destination: destination.into(),
                source: source.into(),
                wide: false,
            })),
            (0x05, &[high, low, source_high, source_low]) => Some(Self::Ports(Ports {
                destination: u16::from_be_bytes([high, low]),
                source: u16::from_be_bytes([source_high, source_low]),
                wide: true,
            })),
            (0x21, &[high, low, title, url]) => Some(Self::Hyperlink(Hyperlink {
                position: u16::from_be_bytes([high, low]),
                title,
                url,
            })),
            (0x22, data) => {
                let mut reader = Reader::new(data);
                let address = Address::read(&mut reader).ok();
                address
                    .filter(|_| reader.rest().is_empty())
                    .map(Self::ReplyAddress)
            }
            (0x24, &[language]) => Language::numbered(language).map(Self::SingleShift),
            (0x25, &[language]) => Language::numbered(language).map(Self::LockingShift),
            _ => None,
        };
        known.unwrap_or_else(|| Self::Other {
            identifier,
            data: data.to_vec(),
        })
    }

    /// Its identifier (9.2.3.24, the table).
    pub fn identifier(&self) -> u8 {
        match self {
            Self::Concatenation(part) => match part.reference {
                Reference::Short(_) => 0x00,
                Reference::Long(_) => 0x08,
            },
            Self::Ports(ports) => {
                if ports.wide {
                    0x05
                } else {
                    0x04
                }
            }
            Self::Hyperlink(_) => 0x21,
            Self::ReplyAddress(_) => 0x22,
            Self::SingleShift(_) => 0x24,
            Self::LockingShift(_) => 0x25,
            Self::Other { identifier, .. } => *identifier,
        }
    }

    /// What elements with its identifier are for.
    pub fn name(&self) -> &'static str {
        name(self.identifier())
    }

    fn data(&self) -> Result<Vec<u8>, AddressError> {
        Ok(match self {
            Self::Concatenation(part) => match part.reference {
                Reference::Short(reference) => vec![reference, part.of, part.number],
                Reference::Long(reference) => {
                    let [high, low] = reference.to_be_bytes();
                    vec![high, low, part.of, part.number]
                }
            },
            Self::Ports(ports) => {
                let [high, low] = ports.destination.to_be_bytes();
                let [source_high, source_low] = ports.source.to_be_bytes();
                if ports.wide {
                    vec![high, low, source_high, source_low]
                } else {
                    vec![low, source_low]
                }
            }
            Self::Hyperlink(link) => {
                let [high, low] = link.position.to_be_bytes();
                vec![high, low, link.title, link.url]
            }
            Self::ReplyAddress(address) => {
                let mut data = Vec::new();
                address.write(&mut data)?;
                data
            }
            Self::SingleShift(language) | Self::LockingShift(language) => vec![*language as u8],
            Self::Other { data, .. } => data.clone(),
        })
    }
}

impl Part {
    /// "If zero or greater than the maximum number the receiving entity shall ignore the whole
    /// element" (9.2.3.24.1).
    fn valid(reference: Reference, of: u8, number: u8) -> Option<Self> {
        (number > 0 && number <= of).then_some(Self {
            reference,
            of,
            number,
        })
    }
}

impl Header {
    /// Reads the octets behind the header's length.
    pub fn read(octets: &[u8]) -> Self {
        let (elements, rest) = elements(octets);
        if rest.is_empty() {
            Self {
                elements,
                malformed: None,
            }
        } else {
            Self {
                elements: Vec::new(),
                malformed: Some(octets.to_vec()),
            }
        }
    }

    /// Reads the beginning of one whose end is missing: the elements that are whole.
    pub(crate) fn beginning(octets: &[u8]) -> Self {
        Self {
            elements: elements(octets).0,
            malformed: None,
        }
    }

    /// The octets behind the header's length.
    pub(crate) fn octets(&self) -> Result<Vec<u8>, HeaderError> {
        if let Some(octets) = &self.malformed {
            return Ok(octets.clone());
        }
        let mut octets = Vec::new();
        for element in &self.elements {
            let data = element.data()?;
            let length = u8::try_from(data.len()).map_err(|_| HeaderError::TooLong)?;
            octets.extend([element.identifier(), length]);
            octets.extend(data);
        }
        Ok(octets)
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.elements.is_empty() && self.malformed.is_none()
    }

    /// Which part it is. Of elements that may be there once the last one counts (9.2.3.24).
    pub fn part(&self) -> Option<Part> {
        self.last(|element| match element {
            Element::Concatenation(part) => Some(*part),
            _ => None,
        })
    }

    /// The ports.
    pub fn ports(&self) -> Option<Ports> {
        self.last(|element| match element {
            Element::Ports(ports) => Some(*ports),
            _ => None,
        })
    }

    /// Where replies are asked to go. There should be one such address at most; which of several
    /// a phone takes, nobody knows.
    pub fn reply_addresses(&self) -> impl Iterator<Item = &Address> {
        self.elements.iter().filter_map(|element| match element {
            Element::ReplyAddress(address) => Some(address),
            _ => None,
        })
    }

    /// What it says of a mailbox (9.2.3.24.2): which kind, and how many messages wait there.
    pub fn waiting(&self) -> Option<(Mailbox, u8)> {
        self.last(|element| match element {
            Element::Other {
                identifier: 0x01,
                data,
            } => match data.as_slice() {
                [kind, count] => Some((Mailbox::numbered(*kind), *count)),
                _ => None,
            },
            _ => None,
        })
    }

    /// The tables that its text is read by.
    pub fn alphabet(&self) -> Alphabet {
        Alphabet {
            locking: self.last(|element| match element {
                Element::LockingShift(language) => Some(*language),
                _ => None,
            }),
            single: self.last(|element| match element {
                Element::SingleShift(language) => Some(*language),
                _ => None,
            }),
        }
    }

    fn last<'a, T: 'a>(&'a self, wanted: impl Fn(&'a Element) -> Option<T>) -> Option<T> {
        self.elements.iter().rev().find_map(wanted)
    }
}

/// The elements that are whole, and the octets behind them.
fn elements(octets: &[u8]) -> (Vec<Element>, &[u8]) {
    let mut elements = Vec::new();
    let mut rest = octets;
    while let [identifier, length, behind @ ..] = rest
        && let Some((data, behind)) = behind.split_at_checked(usize::from(*length))
    {
        elements.push(Element::read(*identifier, data));
        rest = behind;
    }
    (elements, rest)
}

/// Why a header cannot be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    /// An element of more than 255 octets.
    #[error("an element of the header is longer than 255 octets")]
    TooLong,
    /// Its reply address.
    #[error(transparent)]
    Address(#[from] AddressError),
}

/// Says which element it is, and nothing of whom or what.
impl fmt::Debug for Element {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Element({:#04x}, {})", self.identifier(), self.name())
    }
}

/// What an identifier is for (TS 23.040 section 9.2.3.24).
fn name(identifier: u8) -> &'static str {
    match identifier {
        0x00 => "part of a long message, 8 bit reference",
        0x01 => "special message indication",
        0x04 => "application ports, 8 bit",
        0x05 => "application ports, 16 bit",
        0x06 => "service centre control",
        0x07 => "source of the header",
        0x08 => "part of a long message, 16 bit reference",
        0x09 => "wireless control message protocol",
        0x0a => "text formatting",
        0x0b => "predefined sound",
        0x0c => "sound",
        0x0d => "predefined animation",
        0x0e => "large animation",
        0x0f => "small animation",
        0x10 => "large picture",
        0x11 => "small picture",
        0x12 => "picture",
        0x13 => "user prompt",
        0x14 => "extended object",
        0x15 => "reused extended object",
        0x16 => "compression",
        0x17 => "object distribution",
        0x18 => "standard WVG object",
        0x19 => "character size WVG object",
        0x1a => "request for an extended object",
        0x20 => "e-mail header",
        0x21 => "hyperlink",
        0x22 => "reply address",
        0x23 => "voice mail",
        0x24 => "national language, single shift",
        0x25 => "national language, locking shift",
        0x70..=0x7f => "SIM toolkit security",
        0x80..=0x9f => "between senders and receivers of its own",
        0xc0..=0xdf => "service centre's own",
        _ => "reserved",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_element_comes_back_as_it_was() {
        let octets = [
            &[0x00, 3, 7, 2, 1][..],
            &[0x08, 4, 1, 2, 3, 3],
            &[0x04, 2, 10, 20],
            &[0x05, 4, 0x0b, 0x84, 0x23, 0xf0],
            &[0x21, 4, 0, 5, 3, 9],
            &[0x22, 5, 6, 0x91, 0x21, 0x43, 0x65],
            &[0x24, 1, 1],
            &[0x25, 1, 13],
            // Such as are known, with lengths and contents that they should not have.
            &[0x00, 3, 7, 2, 3],
            &[0x00, 3, 7, 0, 0],
            &[0x08, 1, 9],
            &[0x22, 2, 99, 0x91],
            &[0x24, 1, 77],
            // And such as are not.
            &[0x70, 0],
            &[0xff, 3, 1, 2, 3],
        ]
        .concat();
        let header = Header::read(&octets);
        assert_eq!(header.malformed, None);
        assert_eq!(header.elements.len(), 15);
        assert_eq!(header.octets().unwrap(), octets);
        let others = header
            .elements
            .iter()
            .filter(|element| matches!(element, Element::Other { .. }));
        assert_eq!(others.count(), 7);
    }

    #[test]
    fn of_what_may_be_there_once_the_last_counts() {
        let header = Header::read(&[0x00, 3, 7, 2, 1, 0x08, 4, 0, 9, 5, 4]);
        let part = header.part().unwrap();
        assert_eq!((part.reference, part.number), (Reference::Long(9), 4));
    }

    #[test]
    fn a_header_whose_elements_do_not_fit_is_ignored_and_kept() {
        for octets in [&[0x00][..], &[0x00, 3, 7, 2], &[0x22, 200, 1]] {
            let header = Header::read(octets);
            assert!(header.elements.is_empty() && !header.is_empty());
            assert_eq!(header.octets().unwrap(), octets);
        }
    }

    #[test]
    fn what_a_message_is_for_is_known_by_its_port() {
        for (port, service) in [
            (2948, Service::Push),
            (9203, Service::Push),
            (9204, Service::ContactCard),
            (9205, Service::Appointment),
            (49_999, Service::Settings),
            (5505, Service::Picture),
            (16_020, Service::Other),
        ] {
            let [high, low] = u16::to_be_bytes(port);
            let header = Header::read(&[0x05, 4, high, low, 0x23, 0xf0]);
            assert_eq!(header.ports().unwrap().service(), service, "{port}");
        }
        let narrow = Header::read(&[0x04, 2, 226, 0]);
        assert_eq!(narrow.ports().unwrap().service(), Service::ContactCard);
    }

    #[test]
    fn each_reply_address_is_there() {
        let header = Header::read(&[0x22, 3, 2, 0x81, 0x99, 0x22, 3, 2, 0x81, 0x21]);
        let addresses: Vec<String> = header.reply_addresses().map(ToString::to_string).collect();
        assert_eq!(addresses, ["99", "12"]);
    }

    #[test]
    fn a_mailbox_is_read() {
        let header = Header::read(&[0x01, 2, 0x80, 3]);
        assert_eq!(header.waiting(), Some((Mailbox::Voice, 3)));
        assert_eq!(Header::read(&[0x01, 1, 0x80]).waiting(), None);
    }
}
