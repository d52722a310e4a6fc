//! The inbox: which envelopes of which device have arrived, and posts that cannot be read yet.
//!
//! Each device numbers its envelopes in a group from 1 without gaps ([`sender_counters`]). A
//! skipped number is a hole. If a hole stays for [`sender_counters::GRACE`], this device asks for the missing
//! envelope, and the history shows the gap until it is filled. A device that was set back uses some
//! numbers again; MIMI ids, not counters, then tell which envelopes are new.
//!
//! **Elsewhere**: [`receive`] decrypts a post and acts on it; [`held_posts`] has posts that wait
//! for a look-up, a rejoin or a commit; [`missed_posts`] handles posts for which the mailbox had no
//! room; [`earlier_generations`] asks for what was missed in a group that has ended.
//!
//! **Always**: tables are bounded, no matter what the relay or a member sends.

pub(crate) mod earlier_generations;
pub(crate) mod gaps;
pub(crate) mod held_posts;
pub(crate) mod hooks;
pub(crate) mod messages;
pub(crate) mod missed_posts;
pub(crate) mod rate_limits;
pub(crate) mod receive;
pub(crate) mod resending;
pub(crate) mod sender_counters;
