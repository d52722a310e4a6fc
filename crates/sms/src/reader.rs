//! Octets that are taken from the front, one field after the other.
//!
//! **Elsewhere**: the caller knows what the fields mean.
//!
//! **Always**: what is not there is an error that names the field; or, where a person is to see
//! what a message that is cut off has, it counts as zeros, and [`Reader::cut_off`] says from where.

use std::fmt;

use crate::tpdu::TpduError;

/// What a message consists of, in the order in which it stands there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Field {
    /// The address of the service centre, in front of the message.
    ServiceCentre,
    /// The first octet, which says what kind of message it is.
    Type,
    /// The sender's number for the message.
    Reference,
    /// Who it is from or for.
    Address,
    /// TP-PID.
    Protocol,
    /// TP-DCS.
    Coding,
    /// When the service centre had it.
    Timestamp,
    /// When that happened which a report tells of.
    Discharge,
    /// What a report tells.
    Status,
    /// Which fields follow in a report, and they themselves.
    Indicator,
    /// Until when it is worth delivering.
    Validity,
    /// How long its content is.
    Length,
    /// How long the header of its content is.
    HeaderLength,
    /// The header of its content.
    Header,
    /// Its text, or its octets.
    Content,
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ServiceCentre => "the service centre's number",
            Self::Type => "the octet that says what kind of message it is",
            Self::Reference => "the message's reference",
            Self::Address => "the sender's or recipient's number",
            Self::Protocol => "the protocol identifier",
            Self::Coding => "the data coding scheme",
            Self::Timestamp => "the time at which it was sent",
            Self::Discharge => "the time at which it was delivered",
            Self::Status => "the delivery status",
            Self::Indicator => "the list of what else the report contains",
            Self::Validity => "the time until which it is valid",
            Self::Length => "the length of the text",
            Self::HeaderLength => "the length of the header",
            Self::Header => "the header",
            Self::Content => "the text",
        })
    }
}

/// Where a message ends before its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CutOff {
    /// The first field that is not there, or not all of it.
    pub within: Field,
    /// So many octets of this field are missing.
    pub missing: usize,
}

pub(crate) struct Reader<'a> {
    rest: &'a [u8],
    /// Whether what is not there is an error.
    strict: bool,
    cut_off: Option<CutOff>,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(octets: &'a [u8]) -> Self {
        Self {
            rest: octets,
            strict: true,
            cut_off: None,
        }
    }

    /// One for which what is not there counts as zeros.
    pub(crate) fn lenient(octets: &'a [u8]) -> Self {
        Self {
            strict: false,
            ..Self::new(octets)
        }
    }

    /// Where the octets ended too early.
    pub(crate) fn cut_off(&self) -> Option<CutOff> {
        self.cut_off
    }

    pub(crate) fn octet(&mut self, field: Field) -> Result<u8, TpduError> {
        self.array(field).map(|[octet]| octet)
    }

    /// So many octets; fewer where a lenient reader has no more.
    pub(crate) fn octets(&mut self, count: usize, field: Field) -> Result<&'a [u8], TpduError> {
        let Some((taken, rest)) = self.rest.split_at_checked(count) else {
            self.ends_in(field, count - self.rest.len())?;
            return Ok(std::mem::take(&mut self.rest));
        };
        self.rest = rest;
        Ok(taken)
    }

    pub(crate) fn array<const N: usize>(&mut self, field: Field) -> Result<[u8; N], TpduError> {
        let taken = self.octets(N, field)?;
        let mut array = [0; N];
        for (to, from) in array.iter_mut().zip(taken) {
            *to = *from;
        }
        Ok(array)
    }

    /// Notes that this field is not all there, where it is the first such one.
    pub(crate) fn ends_in(&mut self, field: Field, missing: usize) -> Result<(), TpduError> {
        if self.strict {
            return Err(TpduError::Truncated { field });
        }
        self.cut_off.get_or_insert(CutOff {
            within: field,
            missing,
        });
        Ok(())
    }

    pub(crate) fn rest(&self) -> &'a [u8] {
        self.rest
    }
}
