//! The steps that upgrade a store's tables from one version to the next.
//!
//! **Elsewhere**: the module that owns a table says what the table means;
//! [`crate::store`] takes the steps.
//!
//! **Always**: a released step is never changed: a new step at the end alters a table.

use std::path::Path;

use crate::store::{Step, Store, StoreError, StoreKey, TableMaking};

impl Store {
    /// Opens the store at `path`, or makes it, and brings its tables up to date.
    ///
    /// # Errors
    /// [`StoreError::Unreadable`] when the key is wrong or the file is no store;
    /// [`StoreError::InUse`] when another process has it open;
    /// [`StoreError::Newer`] when a later version made it; and the rest of
    /// [`StoreError`]. The file is then as it was.
    pub fn open(path: &Path, key: &StoreKey) -> Result<Self, StoreError> {
        Self::open_with(path, key, &TABLE_MAKING)
    }

    /// A store that is gone with its owner; for tests and simulations.
    pub fn open_in_memory() -> Result<Self, StoreError> {
        Self::open_in_memory_with(&TABLE_MAKING)
    }
}

/// How this version makes and keeps the tables.
pub(crate) const TABLE_MAKING: TableMaking = TableMaking {
    steps: STEPS,
    functions: crate::conversation::search::index::add_functions,
};

/// All steps, oldest first.
const STEPS: &[Step] = &[
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
    DELETED_AND_SCHEDULED,
    SEARCH,
    FILES_OF_OWN_DEVICES,
];

/// The store of the first version.
const FIRST: Step = &[
    crate::mls::SCHEMA,
    crate::account::SCHEMA,
    crate::settings::SCHEMA,
    crate::devices::registration::SCHEMA,
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
const TRUST: Step = &[
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
const DEVICES: Step = &[
    crate::devices::names::SCHEMA,
    crate::devices::changes::SCHEMA,
    crate::devices::transfer::SCHEMA,
    crate::archive::SCHEMA,
    crate::devices::backup::key::SCHEMA,
    crate::devices::recovery::SCHEMA,
    crate::conversation::groups::INHERITED,
    crate::link::key_packages::SCHEMA,
];

/// What people do with each other: groups, and all that is more than text.
const CONVERSATIONS: Step = &[
    crate::conversation::KINDS,
    crate::conversation::groups::GENERATION,
    crate::conversation::members::SCHEMA,
    crate::conversation::pending_changes::SCHEMA,
    crate::conversation::history::DETAILS,
    crate::conversation::history::MESSAGE_IDS,
    crate::message::amendments::SCHEMA,
    crate::message::receipts::SCHEMA,
    crate::conversation::timer::SCHEMA,
    crate::message::expiry::SCHEMA,
    crate::conversation::search::SCHEMA,
    crate::synced_settings::SCHEMA,
    crate::conversation::lost_groups::SCHEMA,
    crate::conversation::re_add_queue::SCHEMA,
    crate::attachment::SCHEMA,
    crate::outbox::WAITS,
    crate::conversation::history::FORMATS,
    crate::conversation::threads::SCHEMA,
    crate::conversation::invitations::SCHEMA,
    crate::conversation::join_requests::SCHEMA,
    crate::message::proof::SCHEMA,
    crate::conversation::history::IMPORTED,
    crate::conversation::parcels::SCHEMA,
    crate::message::link_preview::SCHEMA,
    crate::message::text_details::SCHEMA,
    crate::sms::SCHEMA,
];

/// What ends, and when: transfers to devices that are revoked, and drafts that were given up.
const ENDS: Step = &[crate::devices::transfer::BOUNDS, crate::outbox::DRAFTS];

/// Alarms that nobody can silence: about proofs that do not come, and with room for each kind.
const ALARMS: Step = &[
    crate::trust::alarm::SUBJECTS,
    crate::trust::gossip::SENDERS,
    crate::trust::known_heads::SCHEMA,
    crate::trust::overdue_proofs::SCHEMA,
];

/// What is remembered of groups' leaves, and of ways back into groups.
const LEAVES: Step = &[
    crate::conversation::leaves::SCHEMA,
    crate::conversation::lost_groups::ASKS,
    crate::conversation::parcels::SEQUENCE,
    crate::inbox::held_posts::SEQUENCE,
];

/// What members did that they may not, and what becomes of their groups.
const DISHONEST_MEMBERS: Step = &[
    crate::conversation::generations::SCHEMA,
    crate::conversation::groups::MADE_BY,
];

/// What strangers and newcomers must not have.
const STRANGERS: Step = &[
    crate::outbox::RESENDING,
    crate::conversation::join_epochs::SCHEMA,
    crate::inbox::resending::SCHEMA,
    crate::conversation::groups::WELCOMED_BY,
    crate::conversation::parcels::UNKNOWN,
];

/// Errors that cost one group, and nothing else.
const CONTAINMENT: Step = &[
    crate::containment::SCHEMA,
    crate::conversation::quarantine::SCHEMA,
];

/// What was missed in groups that are over.
const EARLIER_GROUPS: Step = &[crate::inbox::earlier_generations::SCHEMA];

/// By what readers of blobs are known to the relay.
const MARKS: Step = &[
    crate::attachment::MARKS,
    crate::conversation::parcels::MARKS,
];

/// What a full mailbox left out.
const FULL_MAILBOXES: Step = &[crate::inbox::missed_posts::SCHEMA];

/// Token keys that change.
const TOKEN_KEYS: Step = &[
    crate::link::tokens::KEYS,
    crate::settings::WITHOUT_TOKEN_KEY,
];

/// What people deleted for themselves, and what is to be sent later.
const DELETED_AND_SCHEDULED: Step = &[
    crate::message::deleted::SCHEMA,
    crate::message::scheduled::SCHEMA,
];

/// Searching inside of words.
const SEARCH: Step = &[crate::conversation::search::index::SCHEMA];

/// Files that devices of an account give each other.
const FILES_OF_OWN_DEVICES: Step = &[crate::attachment::own_devices::SCHEMA];
