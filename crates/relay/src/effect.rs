//! What the relay asks the server to do.
//!
//! **Elsewhere**: [`crate::server`] does it.
//!
//! **Always**: no `Debug` shows a code, an address or what a text says.

use waxwing_protocol::{address::Address, ids::AccountId, pb};

use crate::{directory::log::Question, link::LinkId};

/// What the server must do.
#[derive(Clone)]
pub enum Effect {
    /// Send a frame.
    Send {
        /// On which link.
        link: LinkId,
        /// What.
        frame: pb::RelayFrame,
    },
    /// Close a link, after what was sent.
    Close {
        /// Which.
        link: LinkId,
    },
    /// Ask the key log, off the lock ([`KeyLog::answer`](crate::directory::log::KeyLog::answer)),
    /// and send its answer.
    Prove {
        /// On which link.
        link: LinkId,
        /// In which request.
        request: u32,
        /// What.
        question: Question,
    },
    /// Mail a code. Whether it arrives does not change the answer; if it certainly does not,
    /// [`Relay::code_not_sent`](crate::relay::Relay::code_not_sent) tells the requester.
    SendCode {
        /// The link on which it was asked for.
        link: LinkId,
        /// In which request.
        request: u32,
        /// To whom.
        address: Address,
        /// The digits.
        code: String,
    },
    /// Hand a text to the SMSC: its id is on disk.
    SendSms(Box<Submission>),
    /// Tell the SMSC what happened to a text that arrived.
    AnswerSms {
        /// Which.
        ticket: u64,
        /// What.
        verdict: Verdict,
    },
}

/// A frame may hold ids that belong together, and nobody may read a code.
impl std::fmt::Debug for Effect {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Send { .. } => "Send(…)",
            Self::Close { .. } => "Close(…)",
            Self::Prove { .. } => "Prove(…)",
            Self::SendCode { .. } => "SendCode(…)",
            Self::SendSms(_) => "SendSms(…)",
            Self::AnswerSms { .. } => "AnswerSms(…)",
        })
    }
}

/// Which text of which account.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct SmsId {
    pub(crate) account: AccountId,
    pub(crate) id: [u8; 16],
}

#[cfg(test)]
impl SmsId {
    /// Any.
    pub(crate) const fn of_a_test() -> Self {
        Self {
            account: AccountId([1; 32]),
            id: [2; 16],
        }
    }
}

impl std::fmt::Debug for SmsId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SmsId(…)")
    }
}

/// A text that is to be handed to the SMSC.
#[derive(Clone)]
pub struct Submission {
    /// Which.
    pub id: SmsId,
    /// Whose number it is from: E.164, with the plus sign.
    pub from: String,
    /// To whom: the same.
    pub to: String,
    /// What it says.
    pub text: String,
}

/// The answer to an SMSC for a text that arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is on disk, sealed.
    Taken,
    /// Nobody here has the number, or nobody who takes texts.
    Nobody,
    /// Not now.
    Later,
}
