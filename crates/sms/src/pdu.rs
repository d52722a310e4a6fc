//! A unit as modems and tools write it: in hexadecimal digits, and mostly with the address of the
//! service centre in front (3GPP TS 27.005, "PDU mode").
//!
//! **Elsewhere**: the unit itself is `tpdu`.
//!
//! **Always**: where digits can be read in several ways, the one with the fewest faults is taken,
//! and where two are as good, both are given. The octet that says what kind of number an address
//! is always has its highest bit set (TS 23.040 9.1.2.5): without that, what looks like a service
//! centre or a sender is none.

use crate::address::Address;
use crate::reader::{CutOff, Field};
use crate::timestamp::Timestamp;
use crate::tpdu::{Direction, Tpdu, TpduError};

/// More digits than this are no message: an address, and a unit with the longest of everything.
const OCTETS_MAX: usize = 512;

/// What was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pdu {
    /// The service centre, where it stands in front.
    pub service_centre: Option<Address>,
    /// The unit.
    pub tpdu: Tpdu,
    /// Where it ends before its end. What is missing is zero or empty in the unit.
    pub cut_off: Option<CutOff>,
    /// So many octets behind it belong to nothing.
    pub left_over: usize,
}

/// How digits are to be read; what is not said is found out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reading {
    /// Which way the unit goes.
    pub direction: Option<Direction>,
    /// Whether the service centre's address stands in front.
    pub service_centre: Option<bool>,
}

/// Why digits are no message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PduError {
    /// Something else stands between the digits.
    #[error(
        "{0:?} is not a hexadecimal digit; a message consists of the digits 0 to 9 and a to f, two \
         for each octet"
    )]
    NotHex(char),
    /// Half an octet.
    #[error("there is an odd number of digits; the first or the last one is missing")]
    Odd,
    /// Nothing at all.
    #[error("there are no digits")]
    Empty,
    /// Far too many.
    #[error("there are more digits than a message can have ({OCTETS_MAX} octets)")]
    TooLong,
    /// They are no unit.
    #[error("the digits are not a valid message: {0}")]
    Tpdu(#[from] TpduError),
}

/// Reads hexadecimal digits, the best way.
///
/// # Errors
/// As for [`octets`] and [`read`].
pub fn read_hex(text: &str, reading: Reading) -> Result<Pdu, PduError> {
    read(&octets(text)?, reading)
}

/// The octets that hexadecimal digits stand for. Spaces, line ends, and what tools write between
/// the digits do not matter.
///
/// # Errors
/// Where there are no digits, not two for each octet, or other characters.
pub fn octets(text: &str) -> Result<Vec<u8>, PduError> {
    let mut octets = Vec::new();
    let mut high = None;
    let text = text.trim();
    let text = text.strip_prefix("0x").unwrap_or(text);
    let digits = text
        .chars()
        .filter(|one| !one.is_whitespace() && !":-,\u{feff}".contains(*one));
    for one in digits {
        let digit = one.to_digit(16).and_then(|digit| u8::try_from(digit).ok());
        let digit = digit.ok_or(PduError::NotHex(one))?;
        high = match high {
            None => Some(digit),
            Some(high) => {
                octets.push(high << 4 | digit);
                None
            }
        };
        if octets.len() > OCTETS_MAX {
            return Err(PduError::TooLong);
        }
    }
    match (high, octets.is_empty()) {
        (Some(_), _) => Err(PduError::Odd),
        (None, true) => Err(PduError::Empty),
        (None, false) => Ok(octets),
    }
}

/// Reads octets, the best way. A message that is cut off is read as far as it goes.
///
/// # Errors
/// Where they are no message.
pub fn read(octets: &[u8], reading: Reading) -> Result<Pdu, PduError> {
    let mut ways = ways(octets, reading)?;
    Ok(ways.swap_remove(0))
}

/// Reads octets in all ways that are equally good, which is one nearly always.
///
/// # Errors
/// Where they are no message.
pub fn ways(octets: &[u8], reading: Reading) -> Result<Vec<Pdu>, PduError> {
    let mut best: Vec<Pdu> = Vec::new();
    let mut fewest = usize::MAX;
    let mut refused: Option<(usize, TpduError)> = None;
    for with_centre in [true, false] {
        if reading
            .service_centre
            .is_some_and(|said| said != with_centre)
        {
            continue;
        }
        for direction in [Direction::ToPhone, Direction::FromPhone] {
            if reading.direction.is_some_and(|said| said != direction) {
                continue;
            }
            match read_as(octets, direction, with_centre) {
                Ok((_, faults)) if faults > fewest => {}
                Ok((pdu, faults)) => {
                    if faults < fewest {
                        best.clear();
                    }
                    fewest = faults;
                    best.push(pdu);
                }
                Err((error, faults)) => {
                    if refused.is_none_or(|(least, _)| faults < least) {
                        refused = Some((faults, error));
                    }
                }
            }
        }
    }
    if best.is_empty() {
        let nothing = TpduError::Truncated { field: Field::Type };
        return Err(refused.map_or(nothing, |(_, error)| error).into());
    }
    Ok(best)
}

/// How much something speaks against a reading.
mod fault {
    /// It ends before its end.
    pub const CUT_OFF: usize = 100;
    /// It is of a kind that does not go this way.
    pub const KIND: usize = 60;
    /// An address that cannot be one.
    pub const ADDRESS: usize = 20;
    /// Octets behind it.
    pub const LEFT_OVER: usize = 10;
    /// A digit that is none, in an address.
    pub const DIGIT: usize = 8;
    /// A kind of message that is reserved.
    pub const RESERVED: usize = 8;
    /// A time that the calendar does not have, or a header that cannot be read.
    pub const CONTENT: usize = 5;
    /// A digit that is none, in a time.
    pub const TIME: usize = 2;
}

/// The reading, and what speaks against it.
fn read_as(
    octets: &[u8],
    direction: Direction,
    with_centre: bool,
) -> Result<(Pdu, usize), (TpduError, usize)> {
    let (service_centre, unit, mut faults) = if with_centre {
        service_centre(octets).map_err(|error| (error, fault::ADDRESS * 2))?
    } else {
        (None, octets, 0)
    };
    faults += address_faults(direction, unit);
    let decoded = Tpdu::decode_what_is_there(direction, unit);
    let (tpdu, cut_off, left_over) = decoded.map_err(|error| {
        let kind = matches!(error, TpduError::Kind { .. });
        (error, faults + if kind { fault::KIND } else { 0 })
    })?;
    let weight = |is_so: bool, weight: usize| if is_so { weight } else { 0 };
    if let Some(cut_off) = cut_off {
        // Nothing of a message is there.
        if cut_off.within <= Field::Reference {
            let field = cut_off.within;
            return Err((TpduError::Truncated { field }, faults));
        }
        faults += fault::CUT_OFF;
    } else {
        faults += times(&tpdu).map(time_faults).sum::<usize>();
        let header = match &tpdu {
            Tpdu::Deliver(deliver) => Some(&deliver.user_data.header),
            Tpdu::Submit(submit) => Some(&submit.user_data.header),
            Tpdu::StatusReport(_) => None,
        };
        let malformed = header.is_some_and(|header| header.malformed.is_some());
        faults += weight(malformed, fault::CONTENT);
    }
    faults += weight(left_over > 0, fault::LEFT_OVER);
    let reserved = unit.first().is_some_and(|first| first & 0b11 == 0b11);
    faults += weight(reserved, fault::RESERVED);
    let pdu = Pdu {
        service_centre,
        tpdu,
        cut_off,
        left_over,
    };
    Ok((pdu, faults))
}

/// What a service centre's address is, what is behind it, and what speaks against it.
type Centre<'a> = (Option<Address>, &'a [u8], usize);

/// Its length counts octets, unlike that of the other addresses, and the type octet with them.
fn service_centre(octets: &[u8]) -> Result<Centre<'_>, TpduError> {
    let truncated = TpduError::Truncated {
        field: Field::ServiceCentre,
    };
    let (length, rest) = octets.split_first().ok_or(truncated)?;
    let length = usize::from(*length);
    if length > 11 {
        let semi_octets = (length - 1) * 2;
        return Err(TpduError::AddressTooLong { semi_octets });
    }
    let (address, rest) = rest.split_at_checked(length).ok_or(truncated)?;
    let Some((kind, value)) = address.split_first() else {
        return Ok((None, rest, 0));
    };
    let filled = value.last().is_some_and(|last| last >> 4 == 0x0f);
    let semi_octets = value.len() * 2 - usize::from(filled);
    let mut faults = number_faults(*kind, semi_octets, value);
    if value.is_empty() {
        faults += fault::ADDRESS;
    }
    let address = Address::of(*kind, semi_octets, value);
    Ok((Some(address), rest, faults))
}

/// What speaks against the address of a unit, which stands at the same place in all of a kind.
fn address_faults(direction: Direction, unit: &[u8]) -> usize {
    let [first, behind @ ..] = unit else { return 0 };
    let has_reference = direction == Direction::FromPhone || first & 0b11 == 0b10;
    let behind = if has_reference {
        behind.get(1..).unwrap_or_default()
    } else {
        behind
    };
    let [semi_octets, kind, value @ ..] = behind else {
        return 0;
    };
    let semi_octets = usize::from(*semi_octets);
    let value = value.get(..semi_octets.div_ceil(2)).unwrap_or(value);
    number_faults(*kind, semi_octets, value)
}

fn number_faults(kind: u8, semi_octets: usize, value: &[u8]) -> usize {
    if kind & 0x80 == 0 {
        return fault::ADDRESS;
    }
    let is_name = kind & 0x70 == 0x50;
    let digits = value.iter().flat_map(|octet| [octet & 0x0f, octet >> 4]);
    let filled = digits.take(semi_octets).any(|digit| digit == 0x0f);
    if !is_name && filled { fault::DIGIT } else { 0 }
}

fn times(tpdu: &Tpdu) -> impl Iterator<Item = Timestamp> {
    let (first, second) = match tpdu {
        Tpdu::Deliver(deliver) => (Some(deliver.timestamp), None),
        Tpdu::StatusReport(report) => (Some(report.timestamp), Some(report.discharged)),
        Tpdu::Submit(_) => (None, None),
    };
    first.into_iter().chain(second)
}

fn time_faults(time: Timestamp) -> usize {
    if time.unix_seconds().is_none() {
        fault::CONTENT
    } else if !time.is_of_digits() {
        fault::TIME
    } else {
        0
    }
}
