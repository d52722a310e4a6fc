//! The inbox: which envelopes of which device have arrived, and posts that cannot be read yet.
//!
//! Each device numbers its envelopes in a group from 1 without gaps ([`sender_counters`]). A
//! skipped number is a hole. If a hole stays for [`GRACE`], this device asks for the missing
//! envelope, and the history shows the gap until it is filled. A device that was set back uses some
//! numbers again; MIMI ids, not counters, then tell which envelopes are new.
//!
//! **Elsewhere**: [`receive`] decrypts a post and acts on it; [`held_posts`] has posts that wait
//! for a look-up, a rejoin or a commit; [`missed_posts`] handles posts for which the mailbox had no
//! room; [`earlier_generations`] asks for what was missed in a group that has ended.
//!
//! **Always**: tables are bounded, no matter what the relay or a member sends.

pub(crate) mod earlier_generations;
pub(crate) mod held_posts;
pub(crate) mod messages;
pub(crate) mod missed_posts;
pub(crate) mod rate_limits;
pub(crate) mod receive;
pub(crate) mod resending;
pub(crate) mod sender_counters;

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
