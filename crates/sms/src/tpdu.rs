//! The units that phones and service centres exchange (TS 23.040 section 9.2.2): messages to a
//! phone, messages from one, and reports of what became of those.
//!
//! **Elsewhere**: what a message brings is [`UserData`]; SMPP, which says the same in its own way, is the
//! relay's `sms`.
//!
//! **Always**: no octets can make this panic, and nothing is read beyond what is there. What is
//! read is written again as it was, but for what no reader may rely on: reserved bits, filling,
//! and how a character that the alphabet has twice was written.

use crate::address::{Address, AddressError};
use crate::coding::{DataCoding, ProtocolId};
use crate::reader::{CutOff, Field, Reader};
use crate::timestamp::Timestamp;
use crate::user_data::{UserData, UserDataError};

/// Which way a unit goes: the same two bits mean one thing one way and another the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From a service centre to a phone.
    ToPhone,
    /// From a phone to a service centre.
    FromPhone,
}

/// A unit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tpdu {
    /// SMS-DELIVER: a message for a phone.
    Deliver(Deliver),
    /// SMS-SUBMIT: a message from a phone.
    Submit(Submit),
    /// SMS-STATUS-REPORT: what became of a message.
    StatusReport(StatusReport),
}

/// A message that a phone gets (9.2.2.1).
#[allow(
    clippy::struct_excessive_bools,
    reason = "they are the specification's bits"
)]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deliver {
    /// More wait for this phone.
    pub more_messages: bool,
    /// It was forwarded, or made by a program: nothing is to answer it by itself.
    pub loop_prevention: bool,
    /// A reply may go through the same service centre.
    pub reply_path: bool,
    /// The sender gets a report.
    pub report_requested: bool,
    /// Who it says that it is from. The network does not check it.
    pub originator: Address,
    /// What is to be done with it.
    pub protocol: ProtocolId,
    /// How it is written.
    pub coding: DataCoding,
    /// When the service centre had it.
    pub timestamp: Timestamp,
    /// What it brings.
    pub user_data: UserData,
}

/// A message that a phone sends (9.2.2.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Submit {
    /// The same message again, with the same reference, is to be refused.
    pub reject_duplicates: bool,
    /// A reply may go through the same service centre.
    pub reply_path: bool,
    /// The sender wants a report.
    pub report_requested: bool,
    /// The sender's number for it.
    pub reference: u8,
    /// Who it is for.
    pub destination: Address,
    /// What is to be done with it.
    pub protocol: ProtocolId,
    /// How it is written.
    pub coding: DataCoding,
    /// Until when it is worth delivering.
    pub validity: Validity,
    /// What it brings.
    pub user_data: UserData,
}

/// Until when a message is worth delivering (9.2.3.12).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Validity {
    /// As long as the service centre pleases.
    #[default]
    Unsaid,
    /// One octet on a scale from five minutes to 63 weeks; [`Validity::minutes`] reads it.
    Relative(u8),
    /// Until this moment.
    Absolute(Timestamp),
    /// Seven octets of the enhanced format, which are kept.
    Enhanced([u8; 7]),
}

impl Validity {
    /// How long from when it is sent (9.2.3.12.1).
    pub fn minutes(self) -> Option<u32> {
        let Self::Relative(octet) = self else {
            return None;
        };
        let octet = u32::from(octet);
        Some(match octet {
            0..=143 => (octet + 1) * 5,
            144..=167 => 12 * 60 + (octet - 143) * 30,
            168..=196 => (octet - 166) * 24 * 60,
            _ => (octet - 192) * 7 * 24 * 60,
        })
    }
}

/// What became of a message (9.2.2.3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatusReport {
    /// More wait for this phone.
    pub more_messages: bool,
    /// It was forwarded, or made by a program.
    pub loop_prevention: bool,
    /// It answers a command and not a message.
    pub of_command: bool,
    /// The sender's number for the message.
    pub reference: u8,
    /// Whom that was for.
    pub recipient: Address,
    /// When the service centre had it.
    pub timestamp: Timestamp,
    /// When what this tells of was.
    pub discharged: Timestamp,
    /// What became of it.
    pub status: Status,
    /// What may follow, as far as it does.
    pub more: Option<ReportedUserData>,
}

/// What may stand behind a report.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReportedUserData {
    /// The bits of TP-PI that mean nothing yet.
    pub reserved: u8,
    /// What is to be done with it.
    pub protocol: Option<ProtocolId>,
    /// How it is written.
    pub coding: Option<DataCoding>,
    /// What it brings.
    pub user_data: Option<UserData>,
}

/// TP-ST (9.2.3.15).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Status(pub u8);

/// What a status means for the person who wrote the message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The phone has it, or so the service centre says.
    Delivered,
    /// It went to another network, and more will not be known.
    Forwarded,
    /// The service centre still tries.
    StillTrying,
    /// It cannot be delivered.
    Failed,
    /// The service centre does not try any longer.
    GivenUp,
}

impl Status {
    /// What it means. What is reserved is read as its group's first (9.2.3.15).
    pub fn outcome(self) -> Outcome {
        match self.0 {
            0x01 => Outcome::Forwarded,
            0x00 | 0x02..=0x1f => Outcome::Delivered,
            0x20..=0x3f => Outcome::StillTrying,
            0x60..=0x7f => Outcome::GivenUp,
            _ => Outcome::Failed,
        }
    }
}

const TYPE: u8 = 0b0000_0011;
const MORE_MESSAGES_NOT: u8 = 0b0000_0100;
const REJECT_DUPLICATES: u8 = 0b0000_0100;
const LOOP_PREVENTION: u8 = 0b0000_1000;
const REPORT: u8 = 0b0010_0000;
const HEADER: u8 = 0b0100_0000;
const REPLY_PATH: u8 = 0b1000_0000;

fn bit(set: bool, mask: u8) -> u8 {
    if set { mask } else { 0 }
}

impl Tpdu {
    /// Reads one.
    ///
    /// # Errors
    /// Where it is cut off, longer than it may be, or of a kind that is not read here (reports of
    /// failure and commands, which no message comes in).
    pub fn decode(direction: Direction, octets: &[u8]) -> Result<Self, TpduError> {
        let (unit, _) = Self::decode_with_rest(direction, octets)?;
        Ok(unit)
    }

    /// Reads one, and tells how many octets are behind it. There should be none; phones ignore
    /// them.
    ///
    /// # Errors
    /// As for [`Self::decode`].
    pub fn decode_with_rest(
        direction: Direction,
        octets: &[u8],
    ) -> Result<(Self, usize), TpduError> {
        let mut reader = Reader::new(octets);
        let unit = Self::read(direction, &mut reader)?;
        Ok((unit, reader.rest().len()))
    }

    /// Reads one that may be cut off, as far as it goes: what is missing is zero or empty. Tells
    /// where it is cut off, and how many octets are behind it.
    ///
    /// # Errors
    /// As for [`Self::decode`], but not where it is cut off.
    pub fn decode_what_is_there(
        direction: Direction,
        octets: &[u8],
    ) -> Result<(Self, Option<CutOff>, usize), TpduError> {
        let mut reader = Reader::lenient(octets);
        let unit = Self::read(direction, &mut reader)?;
        Ok((unit, reader.cut_off(), reader.rest().len()))
    }

    fn read(direction: Direction, reader: &mut Reader<'_>) -> Result<Self, TpduError> {
        let first = reader.octet(Field::Type)?;
        Ok(match (direction, first & TYPE) {
            // The fourth type is reserved, and read as a message (9.2.3.1).
            (Direction::ToPhone, 0b00 | 0b11) => Self::Deliver(Deliver::read(first, reader)?),
            (Direction::ToPhone, 0b10) => Self::StatusReport(StatusReport::read(first, reader)?),
            (Direction::FromPhone, 0b01) => Self::Submit(Submit::read(first, reader)?),
            (direction, kind) => return Err(TpduError::Kind { direction, kind }),
        })
    }

    /// Writes it.
    ///
    /// # Errors
    /// Where something does not fit.
    pub fn encode(&self) -> Result<Vec<u8>, EncodeError> {
        let mut octets = Vec::with_capacity(176);
        match self {
            Self::Deliver(deliver) => deliver.write(&mut octets)?,
            Self::Submit(submit) => submit.write(&mut octets)?,
            Self::StatusReport(report) => report.write(&mut octets)?,
        }
        Ok(octets)
    }
}

impl Deliver {
    fn read(first: u8, reader: &mut Reader<'_>) -> Result<Self, TpduError> {
        let originator = Address::read(reader)?;
        let protocol = ProtocolId(reader.octet(Field::Protocol)?);
        let coding = DataCoding(reader.octet(Field::Coding)?);
        let timestamp = Timestamp(reader.array(Field::Timestamp)?);
        let user_data = UserData::read(reader, coding, first & HEADER != 0)?;
        Ok(Self {
            more_messages: first & MORE_MESSAGES_NOT == 0,
            loop_prevention: first & LOOP_PREVENTION != 0,
            reply_path: first & REPLY_PATH != 0,
            report_requested: first & REPORT != 0,
            originator,
            protocol,
            coding,
            timestamp,
            user_data,
        })
    }

    fn write(&self, octets: &mut Vec<u8>) -> Result<(), EncodeError> {
        octets.push(
            bit(!self.more_messages, MORE_MESSAGES_NOT)
                | bit(self.loop_prevention, LOOP_PREVENTION)
                | bit(self.report_requested, REPORT)
                | bit(!self.user_data.header.is_empty(), HEADER)
                | bit(self.reply_path, REPLY_PATH),
        );
        self.originator.write(octets)?;
        octets.extend([self.protocol.0, self.coding.0]);
        octets.extend(self.timestamp.0);
        self.user_data.write(octets, self.coding)?;
        Ok(())
    }
}

impl Deliver {
    /// Where it asks replies to go: an address that is not the sender's own, where there is one
    /// among several.
    pub fn asks_reply_to(&self) -> Option<&Address> {
        let own = &self.originator.value;
        let mut addresses = self.user_data.header.reply_addresses();
        let first = addresses.next()?;
        if first.value != *own {
            return Some(first);
        }
        addresses.find(|one| one.value != *own).or(Some(first))
    }
}

impl Submit {
    fn read(first: u8, reader: &mut Reader<'_>) -> Result<Self, TpduError> {
        let reference = reader.octet(Field::Reference)?;
        let destination = Address::read(reader)?;
        let protocol = ProtocolId(reader.octet(Field::Protocol)?);
        let coding = DataCoding(reader.octet(Field::Coding)?);
        let validity = match (first >> 3) & 0b11 {
            0b00 => Validity::Unsaid,
            0b10 => Validity::Relative(reader.octet(Field::Validity)?),
            0b11 => Validity::Absolute(Timestamp(reader.array(Field::Validity)?)),
            _ => Validity::Enhanced(reader.array(Field::Validity)?),
        };
        let user_data = UserData::read(reader, coding, first & HEADER != 0)?;
        Ok(Self {
            reject_duplicates: first & REJECT_DUPLICATES != 0,
            reply_path: first & REPLY_PATH != 0,
            report_requested: first & REPORT != 0,
            reference,
            destination,
            protocol,
            coding,
            validity,
            user_data,
        })
    }

    fn write(&self, octets: &mut Vec<u8>) -> Result<(), EncodeError> {
        let format = match self.validity {
            Validity::Unsaid => 0b00,
            Validity::Enhanced(_) => 0b01,
            Validity::Relative(_) => 0b10,
            Validity::Absolute(_) => 0b11,
        };
        octets.push(
            0b01 | bit(self.reject_duplicates, REJECT_DUPLICATES)
                | format << 3
                | bit(self.report_requested, REPORT)
                | bit(!self.user_data.header.is_empty(), HEADER)
                | bit(self.reply_path, REPLY_PATH),
        );
        octets.push(self.reference);
        self.destination.write(octets)?;
        octets.extend([self.protocol.0, self.coding.0]);
        match self.validity {
            Validity::Unsaid => {}
            Validity::Relative(octet) => octets.push(octet),
            Validity::Absolute(Timestamp(seven)) | Validity::Enhanced(seven) => {
                octets.extend(seven);
            }
        }
        self.user_data.write(octets, self.coding)?;
        Ok(())
    }
}

/// TP-PI: what follows (9.2.3.27).
const HAS_PROTOCOL: u8 = 0b001;
const HAS_CODING: u8 = 0b010;
const HAS_USER_DATA: u8 = 0b100;

impl StatusReport {
    fn read(first: u8, reader: &mut Reader<'_>) -> Result<Self, TpduError> {
        let reference = reader.octet(Field::Reference)?;
        let recipient = Address::read(reader)?;
        let timestamp = Timestamp(reader.array(Field::Timestamp)?);
        let discharged = Timestamp(reader.array(Field::Discharge)?);
        let status = Status(reader.octet(Field::Status)?);
        let more = if reader.rest().is_empty() {
            None
        } else {
            Some(ReportedUserData::read(first & HEADER != 0, reader)?)
        };
        Ok(Self {
            more_messages: first & MORE_MESSAGES_NOT == 0,
            loop_prevention: first & LOOP_PREVENTION != 0,
            of_command: first & REPORT != 0,
            reference,
            recipient,
            timestamp,
            discharged,
            status,
            more,
        })
    }

    fn write(&self, octets: &mut Vec<u8>) -> Result<(), EncodeError> {
        let user_data = self.more.as_ref().and_then(|more| more.user_data.as_ref());
        octets.push(
            0b10 | bit(!self.more_messages, MORE_MESSAGES_NOT)
                | bit(self.loop_prevention, LOOP_PREVENTION)
                | bit(self.of_command, REPORT)
                | bit(
                    user_data.is_some_and(|data| !data.header.is_empty()),
                    HEADER,
                ),
        );
        octets.push(self.reference);
        self.recipient.write(octets)?;
        octets.extend(self.timestamp.0);
        octets.extend(self.discharged.0);
        octets.push(self.status.0);
        if let Some(more) = &self.more {
            octets.push(
                more.reserved & 0b0111_1000
                    | bit(more.protocol.is_some(), HAS_PROTOCOL)
                    | bit(more.coding.is_some(), HAS_CODING)
                    | bit(user_data.is_some(), HAS_USER_DATA),
            );
            octets.extend(more.protocol.map(|one| one.0));
            octets.extend(more.coding.map(|one| one.0));
            if let Some(data) = user_data {
                data.write(octets, more.coding.unwrap_or_default())?;
            }
        }
        Ok(())
    }
}

impl ReportedUserData {
    fn read(has_header: bool, reader: &mut Reader<'_>) -> Result<Self, TpduError> {
        let indicator = reader.octet(Field::Indicator)?;
        // An octet whose highest bit is set is followed by another one, of which nothing is
        // defined yet.
        let mut more = indicator;
        while more & 0x80 != 0 {
            more = reader.octet(Field::Indicator)?;
        }
        let protocol = if indicator & HAS_PROTOCOL != 0 {
            Some(ProtocolId(reader.octet(Field::Indicator)?))
        } else {
            None
        };
        let coding = if indicator & HAS_CODING != 0 {
            Some(DataCoding(reader.octet(Field::Indicator)?))
        } else {
            None
        };
        let user_data = if indicator & HAS_USER_DATA != 0 {
            Some(UserData::read(
                reader,
                coding.unwrap_or_default(),
                has_header,
            )?)
        } else {
            None
        };
        Ok(Self {
            reserved: indicator & 0b0111_1000,
            protocol,
            coding,
            user_data,
        })
    }
}

/// Why octets are no unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TpduError {
    /// It ends too early.
    #[error("it ends before {field} does")]
    Truncated {
        /// What should be there.
        field: Field,
    },
    /// An address is longer than the twelve octets that one has.
    #[error("it has an address of {semi_octets} digits; the most is twenty")]
    AddressTooLong {
        /// So long.
        semi_octets: usize,
    },
    /// It says that it contains more than a message can.
    #[error("it claims to hold {octets} octets; the most is 140")]
    UserDataTooLong {
        /// So many.
        octets: usize,
    },
    /// Of a kind that no message comes in.
    #[error("it is of the kind {kind:#04b} {}, which holds no message", match direction {
        Direction::ToPhone => "to a phone",
        Direction::FromPhone => "from a phone",
    })]
    Kind {
        /// The way it was said to go.
        direction: Direction,
        /// Its two bits.
        kind: u8,
    },
}

/// Why a unit cannot be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EncodeError {
    /// Its address.
    #[error(transparent)]
    Address(#[from] AddressError),
    /// What it brings.
    #[error(transparent)]
    UserData(#[from] UserDataError),
}
