//! Text messages of the phone network: what they are made of, and what in them is a trick.
//!
//! [`Tpdu`] is what phones and service centres exchange (3GPP TS 23.040), [`alphabet`] how their
//! text is written (TS 23.038), [`concatenation`] how long texts are cut and joined, and
//! [`findings`] what the reader of a message should know about it.
//!
//! **Elsewhere**: the connection to a service centre is the relay's `sms`, what becomes of a
//! message that has come is the engine's.
//!
//! **Always**: no I/O, no clock, nothing of Waxwing's own. What comes from outside is bounded, and
//! nothing in it can make anything here panic.

pub mod address;
pub mod alphabet;
pub mod coding;
pub mod concatenation;
pub mod findings;
pub mod header;
pub mod pdu;
pub mod push;
mod reader;
pub mod timestamp;
pub mod tpdu;
pub mod user_data;

pub use address::{Address, TypeOfNumber};
pub use coding::{Class, Coding, DataCoding, Mailbox, ProtocolId, Waiting};
pub use header::{Element, Header, Part, Ports, Reference, Service};
pub use reader::{CutOff, Field};
pub use timestamp::Timestamp;
pub use tpdu::{Deliver, Direction, Outcome, Status, StatusReport, Submit, Tpdu, TpduError};
pub use user_data::{Body, UserData};
