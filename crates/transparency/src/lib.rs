//! The key log as clients and auditors see it.
//!
//! A relay binds each address to an account in an append-only log (akd, the auditable
//! key directory, in its WhatsAppV1 configuration) and signs its [heads](head). Here is
//! everything that is needed not to trust the relay with it: which keys a log has
//! ([`identity`]), whether a head follows those that were seen before ([`view`]), whether
//! an address has the account that the relay says ([`proof`]), what auditors say
//! ([`cosignature`]), and what proves to anybody that a relay lied ([`evidence`]).
//!
//! **Elsewhere**: publishing the log is the relay's `directory`; what a client does with a
//! proof that holds or does not is the engine's `trust`; the auditor's own check, that one
//! log epoch only adds to the one before, needs akd itself and is `waxwing_auditor`'s.
//!
//! **Always**: no clock, no network, nothing stored. What comes from outside is bounded
//! before it is looked at, and no input can make anything here panic.

pub mod cosignature;
pub mod evidence;
pub mod head;
pub mod identity;
pub mod proof;
pub mod view;
pub mod wire;

/// The log's configuration.
pub type Configuration = akd_core::WhatsAppV1Configuration;
