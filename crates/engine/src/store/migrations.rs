//! The steps that upgrade a store's tables from one version to the next.
//!
//! **Elsewhere**: the module that owns a table says what the table means.
//!
//! **Always**: a released step is never changed: a new step at the end alters a table.
//! `user_version` counts the steps that have been done.

use rusqlite::{Connection, TransactionBehavior};

use super::StoreError;

/// All steps, oldest first. Each is a batch of SQL statements.
const STEPS: &[&[&str]] = &[
    FIRST,
    TRUST,
    DEVICES,
    CONVERSATIONS,
    ENDS,
    ALARMS,
    LEAVES,
    DISHONEST_MEMBERS,
    STRANGERS,
    CONTAINMENT,
    EARLIER_GROUPS,
    MARKS,
    FULL_MAILBOXES,
    TOKEN_KEYS,
];

/// The store of the first version.
const FIRST: &[&str] = &[
    crate::mls::SCHEMA,
    crate::account::SCHEMA,
    crate::settings::SCHEMA,
    crate::link::registration::SCHEMA,
    crate::link::tokens::SCHEMA,
    crate::contact::SCHEMA,
    crate::conversation::SCHEMA,
    crate::conversation::groups::SCHEMA,
    crate::conversation::history::SCHEMA,
    crate::outbox::SCHEMA,
    crate::outbox::receipts::SCHEMA,
    crate::inbox::sender_counters::SCHEMA,
    crate::inbox::held_posts::SCHEMA,
];

/// The key log, and what people decide about each other.
const TRUST: &[&str] = &[
    crate::trust::log::SCHEMA,
    crate::trust::alarm::SCHEMA,
    crate::trust::auditors::SCHEMA,
    crate::trust::gossip::SCHEMA,
    crate::contact::COMPARED,
    crate::conversation::STOPPED,
    crate::conversation::groups::TOLD_HEAD,
    crate::conversation::groups::MEMBERSHIP_DUE,
];

/// Devices of an account that come and go, and what is kept for the day all are lost.
const DEVICES: &[&str] = &[
    crate::devices::names::SCHEMA,
    crate::devices::changes::SCHEMA,
    crate::devices::transfer::SCHEMA,
    crate::devices::archive::SCHEMA,
    crate::devices::backup::key::SCHEMA,
    crate::devices::recovery::SCHEMA,
    crate::conversation::groups::INHERITED,
    crate::link::key_packages::SCHEMA,
];

/// What people do with each other: groups, and all that is more than text.
const CONVERSATIONS: &[&str] = &[
    crate::conversation::KINDS,
    crate::conversation::groups::GENERATION,
    crate::conversation::members::SCHEMA,
    crate::conversation::pending_changes::SCHEMA,
    crate::conversation::history::DETAILS,
    crate::conversation::history::MESSAGE_IDS,
    crate::message::amendments::SCHEMA,
    crate::message::receipts::SCHEMA,
    crate::message::expiry::SCHEMA,
    crate::conversation::search::SCHEMA,
    crate::synced_settings::SCHEMA,
    crate::conversation::re_add::SCHEMA,
    crate::attachment::SCHEMA,
    crate::conversation::history::FORMATS,
    crate::conversation::threads::SCHEMA,
    crate::conversation::invitations::SCHEMA,
    crate::message::proof::SCHEMA,
    crate::conversation::imports::SCHEMA,
    crate::conversation::parcels::SCHEMA,
    crate::message::link_preview::SCHEMA,
    crate::sms::SCHEMA,
];

/// What ends, and when: transfers to devices that are revoked, and drafts that were given up.
const ENDS: &[&str] = &[crate::devices::transfer::BOUNDS, crate::outbox::DRAFTS];

/// Alarms that nobody can silence: about proofs that do not come, and with room for each kind.
const ALARMS: &[&str] = &[
    crate::trust::alarm::SUBJECTS,
    crate::trust::gossip::SENDERS,
    crate::trust::known_heads::SCHEMA,
    crate::trust::overdue_proofs::SCHEMA,
];

/// What is remembered of groups' leaves, and of ways back into groups.
const LEAVES: &[&str] = &[
    crate::conversation::leaves::SCHEMA,
    crate::conversation::re_add::ASKS,
    crate::conversation::parcels::SEQUENCE,
    crate::inbox::held_posts::SEQUENCE,
];

/// What members did that they may not, and what becomes of their groups.
const DISHONEST_MEMBERS: &[&str] = &[crate::conversation::generations::SCHEMA];

/// What strangers and newcomers must not have.
const STRANGERS: &[&str] = &[
    crate::outbox::RESENDING,
    crate::conversation::join_epochs::SCHEMA,
    crate::inbox::resending::SCHEMA,
    crate::conversation::groups::WELCOMED_BY,
    crate::conversation::parcels::UNKNOWN,
];

/// Errors that cost one group, and nothing else.
const CONTAINMENT: &[&str] = &[
    crate::containment::SCHEMA,
    crate::conversation::quarantine::SCHEMA,
];

/// What was missed in groups that are over.
const EARLIER_GROUPS: &[&str] = &[crate::inbox::earlier_generations::SCHEMA];

/// By what readers of blobs are known to the relay.
const MARKS: &[&str] = &[
    crate::attachment::reader_marks::SCHEMA,
    crate::conversation::parcels::MARKS,
];

/// What a full mailbox left out.
const FULL_MAILBOXES: &[&str] = &[crate::inbox::missed_posts::SCHEMA];

/// Token keys that change.
const TOKEN_KEYS: &[&str] = &[crate::link::tokens::KEYS];

/// "wxwg", so that `file` and other SQLite programs know whose file it is.
const APPLICATION_ID: i32 = 0x7778_7767;

/// Refuses what a later version wrote. Reads the file's first page, so that a wrong
/// key shows.
pub(super) fn refuse_newer(connection: &Connection) -> Result<(), StoreError> {
    let found = version(connection)?;
    let known = known();
    if found > known {
        Err(StoreError::Newer { found, known })
    } else {
        Ok(())
    }
}

/// Takes the steps that are missing, all in one transaction.
pub(super) fn migrate(connection: &mut Connection) -> Result<(), StoreError> {
    let taken = version(connection)?;
    if taken == known() {
        return Ok(());
    }
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    for step in STEPS.iter().skip(taken as usize) {
        for batch in *step {
            transaction.execute_batch(batch)?;
        }
    }
    transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
    transaction.pragma_update(None, "user_version", known())?;
    transaction.commit()?;
    Ok(())
}

fn version(connection: &Connection) -> Result<u32, StoreError> {
    Ok(connection.query_row("PRAGMA user_version", [], |row| row.get(0))?)
}

fn known() -> u32 {
    u32::try_from(STEPS.len()).unwrap_or(u32::MAX)
}
