//! Receipts (draft-mahy-mimi-message-status-01): a list of message ids, each with the state of
//! its message, as a part of a separate message.
//!
//! **Elsewhere**: `settings` says whether a person wants them sent.

use ciborium::Value;

use super::{
    Content, Disposition, MessageId,
    decode::{self, DecodeError},
    encode,
};

/// The media type.
pub(super) const CONTENT_TYPE: &str = "application/mimi-message-status";

/// Messages in one report, at most.
pub const STATUSES: usize = 4096;

/// What became of a message, at the device that reports it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeliveryStatus {
    /// Marked as not read.
    Unread,
    /// Arrived.
    Delivered,
    /// Read.
    Read,
    /// Expired.
    Expired,
    /// Deleted.
    Deleted,
    /// Put aside.
    Hidden,
    /// Could not be received.
    Failed,
    /// Something that a later version knows.
    Unknown(u8),
}

impl DeliveryStatus {
    const fn number(self) -> u8 {
        match self {
            Self::Unread => 0,
            Self::Delivered => 1,
            Self::Read => 2,
            Self::Expired => 3,
            Self::Deleted => 4,
            Self::Hidden => 5,
            Self::Failed => 6,
            Self::Unknown(number) => number,
        }
    }

    const fn from_number(number: u8) -> Self {
        match number {
            0 => Self::Unread,
            1 => Self::Delivered,
            2 => Self::Read,
            3 => Self::Expired,
            4 => Self::Deleted,
            5 => Self::Hidden,
            6 => Self::Failed,
            other => Self::Unknown(other),
        }
    }
}

impl Content {
    /// A report on messages, of which there are at most [`STATUSES`].
    pub fn statuses(salt: [u8; 16], statuses: &[(MessageId, DeliveryStatus)]) -> Self {
        let report = Value::Array(
            statuses
                .iter()
                .take(STATUSES)
                .map(|(message, status)| {
                    Value::Array(vec![encode::id(Some(*message)), status.number().into()])
                })
                .collect(),
        );
        Self::single(
            salt,
            Disposition::UNSPECIFIED,
            CONTENT_TYPE,
            encode::bytes(&report),
        )
    }
}

/// Reads a report.
pub fn decode(bytes: &[u8]) -> Result<Vec<(MessageId, DeliveryStatus)>, DecodeError> {
    let Value::Array(entries) = decode::value(bytes)? else {
        return Err(DecodeError::Field("report"));
    };
    if entries.len() > STATUSES {
        return Err(DecodeError::TooLarge("report"));
    }
    entries
        .into_iter()
        .map(|entry| {
            let [message, status] = entry
                .into_array()
                .ok()
                .and_then(|fields| <[Value; 2]>::try_from(fields).ok())
                .ok_or(DecodeError::Field("report"))?;
            let message = decode::id(message, "reported message")?
                .ok_or(DecodeError::Field("reported message"))?;
            Ok((
                message,
                DeliveryStatus::from_number(decode::number(&status, "status")?),
            ))
        })
        .collect()
}
