//! The people that this account knows: account, address, roster.
//!
//! **Elsewhere**: [`crate::trust`] checks a leaf against a roster; the conversation with a
//! contact is in [`crate::conversation`].
//!
//! **Always**: a roster in the table was verified from its first statement on, and only ever
//! gets longer. At most one account is the verified owner of an address.

pub(crate) mod archived;
pub(crate) mod profile;

use prost::Message as _;
use rusqlite::{OptionalExtension as _, Row, Transaction};
use waxwing_protocol::{
    address::Address,
    ids::AccountId,
    pb::{LookedUp, SignedStatement},
    roster::{Roster, RosterError},
    time::Time,
};

use crate::store::StoreError;

pub(crate) const SCHEMA: &str = "
CREATE TABLE contact (
    account_id BLOB PRIMARY KEY,
    address TEXT NOT NULL,           -- canonical
    display TEXT NOT NULL,
    verified INTEGER NOT NULL,       -- the log says that the address is this account's
    blocked INTEGER NOT NULL DEFAULT 0,
    roster BLOB NOT NULL,            -- LookedUp with the statements
    looked_up_at INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX contact_address ON contact (address);
";

/// Whether the safety number was compared in person, and was the same.
pub(crate) const COMPARED: &str = "
ALTER TABLE contact ADD COLUMN compared INTEGER NOT NULL DEFAULT 0;
";

/// Somebody that this account knows.
#[derive(Clone)]
pub(crate) struct Contact {
    pub account: AccountId,
    pub address: String,
    pub display: String,
    pub verified: bool,
    pub blocked: bool,
    pub looked_up_at: Time,
    /// The safety number was compared in person.
    pub compared: bool,
    statements: Vec<u8>,
}

/// Why what a relay says of somebody is not believed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotBelieved {
    #[error(transparent)]
    Roster(#[from] RosterError),
    #[error("the roster belongs to another account")]
    AnotherAccount,
    #[error("the roster does not continue the one that was known")]
    Rewritten,
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Contact {
    /// The statements of the roster, if they are kept well.
    pub(crate) fn statements(&self) -> Option<Vec<SignedStatement>> {
        statements(&self.statements)
    }

    /// The roster. Its signatures were checked before it was kept, and every page of the
    /// store is authenticated.
    pub(crate) fn roster(&self) -> Result<Roster, StoreError> {
        statements(&self.statements)
            .and_then(|statements| Roster::of_verified(&statements).ok())
            .ok_or(StoreError::Undecodable {
                found: "a roster is not valid",
            })
    }
}

/// The account's contact.
pub(crate) fn of_account(
    tx: &Transaction<'_>,
    account: AccountId,
) -> Result<Option<Contact>, StoreError> {
    let mut statement = tx.prepare_cached(
        "SELECT account_id, address, display, verified, blocked, roster, looked_up_at, compared
         FROM contact WHERE account_id = ?1",
    )?;
    Ok(statement.query_row([account.0], read).optional()?)
}

/// The verified owner of an address (canonical form).
pub(crate) fn owner_of(tx: &Transaction<'_>, address: &str) -> Result<Option<Contact>, StoreError> {
    let mut statement = tx.prepare_cached(
        "SELECT account_id, address, display, verified, blocked, roster, looked_up_at, compared
         FROM contact WHERE address = ?1 AND verified",
    )?;
    Ok(statement.query_row([address], read).optional()?)
}

/// All contacts, by address.
pub(crate) fn all(tx: &Transaction<'_>) -> Result<Vec<Contact>, StoreError> {
    let mut statement = tx.prepare_cached(
        "SELECT account_id, address, display, verified, blocked, roster, looked_up_at, compared
         FROM contact ORDER BY address, verified DESC",
    )?;
    let rows = statement.query_map([], read)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// The account of the verified owner of an address (canonical form).
pub(crate) fn account_of_owner(
    tx: &Transaction<'_>,
    address: &str,
) -> Result<Option<AccountId>, StoreError> {
    let mut statement =
        tx.prepare_cached("SELECT account_id FROM contact WHERE address = ?1 AND verified")?;
    Ok(statement
        .query_row([address], |row| row.get(0).map(AccountId))
        .optional()?)
}

/// Removes a contact, and returns the statements of its roster; none where there is no such
/// contact.
pub(crate) fn take_roster(
    tx: &Transaction<'_>,
    account: AccountId,
) -> Result<Vec<SignedStatement>, StoreError> {
    let kept: Option<Vec<u8>> = tx
        .prepare_cached("DELETE FROM contact WHERE account_id = ?1 RETURNING roster")?
        .query_row([account.0], |row| row.get(0))
        .optional()?;
    Ok(kept
        .and_then(|bytes| statements(&bytes))
        .unwrap_or_default())
}

/// What keeping a look-up changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ContactChange {
    /// Nothing.
    Unchanged,
    /// The account has added or revoked devices.
    DevicesChanged,
    /// The address was another account's before.
    OwnerChanged {
        /// Whose.
        before: AccountId,
        /// Whether that one had been verified in person.
        compared: bool,
    },
}

/// Keeps a roster that the log vouches for, as the one of the address's owner. It was asked
/// for at this time: what the account did later is not in it, perhaps.
pub(crate) fn store_look_up(
    tx: &Transaction<'_>,
    asked_at: Time,
    account: AccountId,
    address: &Address,
    statements: Vec<SignedStatement>,
) -> Result<ContactChange, NotBelieved> {
    let roster = Roster::verify(&statements)?;
    if roster.account() != account {
        return Err(NotBelieved::AnotherAccount);
    }
    if let Some(known) = of_account(tx, account)? {
        let before = self::statements(&known.statements).unwrap_or_default();
        // Signatures may differ: a second valid one of a statement is the same statement.
        let continues = before.len() <= statements.len()
            && before
                .iter()
                .zip(&statements)
                .all(|(old, new)| old.statement == new.statement);
        if !continues {
            return Err(NotBelieved::Rewritten);
        }
    }
    let mut kept = match of_account(tx, account)? {
        Some(known) if known.roster()?.length() < roster.length() => ContactChange::DevicesChanged,
        _ => ContactChange::Unchanged,
    };
    if let Some(owner) = owner_of(tx, address.canonical())?
        && owner.account != account
    {
        tx.execute(
            "UPDATE contact SET verified = 0 WHERE account_id = ?1",
            [owner.account.0],
        )
        .map_err(StoreError::from)?;
        kept = ContactChange::OwnerChanged {
            before: owner.account,
            compared: owner.compared,
        };
    }
    let bytes = LookedUp {
        roster: statements,
        ..LookedUp::default()
    }
    .encode_to_vec();
    tx.execute(
        "INSERT INTO contact (account_id, address, display, verified, roster, looked_up_at)
         VALUES (?1, ?2, ?3, 1, ?4, ?5)
         ON CONFLICT (account_id) DO UPDATE SET address = ?2, display = ?3, verified = 1,
             roster = ?4, looked_up_at = ?5",
        (
            account.0,
            address.canonical(),
            address.display(),
            bytes,
            signed(asked_at),
        ),
    )
    .map_err(StoreError::from)?;
    Ok(kept)
}

/// The safety number was compared in person: it was the same, or not.
pub(crate) fn set_compared(
    tx: &Transaction<'_>,
    account: AccountId,
    compared: bool,
) -> Result<(), StoreError> {
    tx.execute(
        "UPDATE contact SET compared = ?2 WHERE account_id = ?1",
        (account.0, compared),
    )?;
    Ok(())
}

/// This account stops hearing from a contact, or hears from them again.
pub(crate) fn set_blocked(
    tx: &Transaction<'_>,
    account: AccountId,
    blocked: bool,
) -> Result<(), StoreError> {
    tx.execute(
        "UPDATE contact SET blocked = ?2 WHERE account_id = ?1",
        (account.0, blocked),
    )?;
    Ok(())
}

/// Stops hearing from everyone who has this address, or hears from them again.
/// Gives how many that are.
pub(crate) fn block(
    tx: &Transaction<'_>,
    address: &str,
    blocked: bool,
) -> Result<usize, StoreError> {
    Ok(tx.execute(
        "UPDATE contact SET blocked = ?2 WHERE address = ?1",
        (address, blocked),
    )?)
}

fn read(row: &Row<'_>) -> rusqlite::Result<Contact> {
    Ok(Contact {
        account: AccountId(row.get(0)?),
        address: row.get(1)?,
        display: row.get(2)?,
        verified: row.get(3)?,
        blocked: row.get(4)?,
        statements: row.get(5)?,
        looked_up_at: Time(row.get::<_, i64>(6)?.cast_unsigned()),
        compared: row.get(7)?,
    })
}

fn statements(bytes: &[u8]) -> Option<Vec<SignedStatement>> {
    LookedUp::decode(bytes).ok().map(|kept| kept.roster)
}

const fn signed(time: Time) -> i64 {
    time.0.cast_signed()
}
