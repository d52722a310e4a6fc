//! A unit as modems and tools write it: in hexadecimal digits, and mostly with the address of the
//! service centre in front (3GPP TS 27.005, "PDU mode").
//!
//! **Elsewhere**: the unit itself is `tpdu`.
//!
//! **Always**: where digits can be read in several ways, the one that leaves nothing over is
//! taken, with the service centre's address before without.

use crate::address::Address;
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

/// Reads hexadecimal digits; spaces, line ends and colons between them do not matter.
///
/// # Errors
/// Where they are no message.
pub fn read_hex(text: &str, reading: Reading) -> Result<Pdu, PduError> {
    read(&octets(text)?, reading)
}

fn octets(text: &str) -> Result<Vec<u8>, PduError> {
    let mut octets = Vec::new();
    let mut high = None;
    let digits = text
        .chars()
        .filter(|one| !one.is_whitespace() && *one != ':');
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

/// Reads octets.
///
/// # Errors
/// Where they are no message.
pub fn read(octets: &[u8], reading: Reading) -> Result<Pdu, PduError> {
    let mut best: Option<Pdu> = None;
    let mut error = None;
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
                Ok(pdu)
                    if best
                        .as_ref()
                        .is_none_or(|best| pdu.left_over < best.left_over) =>
                {
                    best = Some(pdu);
                }
                Ok(_) => {}
                Err(why) => error = Some(told(error, why)),
            }
        }
    }
    best.ok_or_else(|| {
        let none = TpduError::Truncated { field: "the type" };
        PduError::Tpdu(error.unwrap_or(none))
    })
}

/// Of two errors the one that says more: that it is of no known kind says nothing where it may
/// be meant to go the other way, and of two ends that come too early the first is as good.
fn told(before: Option<TpduError>, now: TpduError) -> TpduError {
    use TpduError::{Kind, Truncated};
    match (before, now) {
        (Some(before), Kind { .. }) | (Some(before @ Truncated { .. }), Truncated { .. }) => before,
        (_, now) => now,
    }
}

fn read_as(octets: &[u8], direction: Direction, with_centre: bool) -> Result<Pdu, TpduError> {
    let (service_centre, unit) = if with_centre {
        service_centre(octets)?
    } else {
        (None, octets)
    };
    let (tpdu, left_over) = Tpdu::decode_with_rest(direction, unit)?;
    Ok(Pdu {
        service_centre,
        tpdu,
        left_over,
    })
}

/// Its length counts octets, unlike that of the other addresses, and the type octet with them.
fn service_centre(octets: &[u8]) -> Result<(Option<Address>, &[u8]), TpduError> {
    const FIELD: &str = "the service centre's address";
    let truncated = TpduError::Truncated { field: FIELD };
    let (length, rest) = octets.split_first().ok_or(truncated)?;
    let (address, rest) = rest
        .split_at_checked(usize::from(*length))
        .ok_or(truncated)?;
    let Some((kind, value)) = address.split_first() else {
        return Ok((None, rest));
    };
    let filled = value.last().is_some_and(|last| last >> 4 == 0x0f);
    let semi_octets = value.len() * 2 - usize::from(filled);
    if value.len() > 10 {
        return Err(TpduError::AddressTooLong { semi_octets });
    }
    Ok((Some(Address::of(*kind, semi_octets, value)), rest))
}
