//! The inbox: which envelopes of which device have come, and posts that cannot be
//! read yet.
//!
//! Each device numbers its envelopes in a group from 1 without a hole
//! ([`heard`]). What skips a number leaves a hole; a hole that stays for
//! [`GRACE`] is asked for, and shows in the history until it is filled. A device
//! that was set back numbers some envelopes again: what is new is told by MIMI ids,
//! not by counters.
//!
//! **Elsewhere**: decrypting and acting on a post is [`receive`]; posts that wait for
//! a look-up, a rejoin or a commit are in [`held`]; those that the mailbox had no room for,
//! [`missed`]; what was missed in a group that is over, [`earlier`] asks for.
//!
//! **Always**: tables are bounded, whatever the relay or a member sends.

pub(crate) mod earlier;
pub(crate) mod floods;
pub(crate) mod heard;
pub(crate) mod held;
pub(crate) mod messages;
pub(crate) mod missed;
pub(crate) mod receive;
pub(crate) mod resending;

use waxwing_protocol::time::Span;

/// A hole this old is asked for.
pub(crate) const GRACE: Span = Span::seconds(30);

/// A hole is asked for again after this long, then after four times as long, and so
/// on.
pub(crate) const ASK_AGAIN: Span = Span::minutes(2);

/// Times that a hole is asked for.
pub(crate) const ASKS: u32 = 6;

/// Ranges that one request names.
pub(crate) const RANGES_PER_REQUEST: usize = 64;
