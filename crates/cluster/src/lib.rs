//! Several relays with one identity: one leads, the others follow and take over.
//!
//! Each batch that the leading relay commits is first appended to a log that all nodes share.
//! The others apply the log to their own stores. When the leader is gone, another takes its
//! lease, applies what is left, and leads. The relay's decisions know nothing of this: they see
//! a [`waxwing_relay::store::Store`].
//!
//! - [`log`]: what is asked of a log. [`memory`] is one for simulations, [`postgres`] the one for
//!   operators.
//! - [`record`] and [`seal`]: what is in the log.
//! - [`leader`], [`replicated`], [`lease`]: leading. [`standby`]: following, and taking over.
//! - [`chain`]: how far a store is. [`status`]: what a node says about itself. [`trim`]: what the
//!   log need not keep. [`clock`]: this machine's.
//!
//! **Elsewhere**: the program puts it together (`waxwing-relay serve` with `[cluster]`).
//!
//! **Always**: nothing that the leader acknowledged is lost while the log keeps what it
//! confirms, and nothing counts twice. Safety rests on the fence of the log and on numbers, never
//! on clocks: two nodes that both believe to lead corrupt nothing.

pub mod chain;
pub mod clock;
pub mod leader;
pub mod lease;
pub mod log;
pub mod memory;
pub mod postgres;
pub mod record;
pub mod replicated;
pub mod seal;
pub mod standby;
pub mod status;
pub mod trim;

#[cfg(test)]
mod schedules;
