//! The people that this account knows: account, address, roster.
//!
//! **Elsewhere**: judging a leaf by a roster is [`crate::trust`]; the conversation
//! with a contact is [`crate::conversation`].
//!
//! **Always**: a roster in the table was verified from its first statement on, and
//! only ever gets longer. At most one account is the verified owner of an address.

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
    verified INTEGER NOT NULL,       -- a look-up of the address gave this account
    blocked INTEGER NOT NULL DEFAULT 0,
    roster BLOB NOT NULL,            -- LookedUp with the statements
    looked_up_at INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX contact_address ON contact (address);
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
    statements: Vec<u8>,
}

/// Why what a relay says of somebody is not believed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotBelieved {
    #[error(transparent)]
    Roster(#[from] RosterError),
    #[error("the roster is another account's")]
    AnotherAccount,
    #[error("the roster does not continue the one that was known")]
    Rewritten,
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Contact {
    /// The checked roster.
    pub(crate) fn roster(&self) -> Result<Roster, StoreError> {
        statements(&self.statements)
            .and_then(|statements| Roster::verify(&statements).ok())
            .ok_or_else(|| StoreError::Damaged {
                found: "a roster does not verify".into(),
            })
    }
}

/// The account's contact.
pub(crate) fn of_account(
    tx: &Transaction<'_>,
    account: AccountId,
) -> Result<Option<Contact>, StoreError> {
    let mut statement = tx.prepare_cached(
        "SELECT account_id, address, display, verified, blocked, roster, looked_up_at
         FROM contact WHERE account_id = ?1",
    )?;
    Ok(statement.query_row([account.0], read).optional()?)
}

/// The verified owner of an address (canonical form).
pub(crate) fn owner_of(tx: &Transaction<'_>, address: &str) -> Result<Option<Contact>, StoreError> {
    let mut statement = tx.prepare_cached(
        "SELECT account_id, address, display, verified, blocked, roster, looked_up_at
         FROM contact WHERE address = ?1 AND verified",
    )?;
    Ok(statement.query_row([address], read).optional()?)
}

/// All contacts, by address.
pub(crate) fn all(tx: &Transaction<'_>) -> Result<Vec<Contact>, StoreError> {
    let mut statement = tx.prepare_cached(
        "SELECT account_id, address, display, verified, blocked, roster, looked_up_at
         FROM contact ORDER BY address, verified DESC",
    )?;
    let rows = statement.query_map([], read)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// What keeping a look-up changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kept {
    /// Nothing that anybody should see.
    Quiet,
    /// The address was another account's before.
    OwnerChanged { before: AccountId },
}

/// Checks a roster that the relay gave and keeps it.
///
/// `by_address` says that it was looked up by this address, so that the account is
/// the address's verified owner; otherwise the account merely claims the address.
pub(crate) fn keep(
    tx: &Transaction<'_>,
    now: Time,
    account: AccountId,
    address: &Address,
    by_address: bool,
    statements: Vec<SignedStatement>,
) -> Result<Kept, NotBelieved> {
    let roster = Roster::verify(&statements)?;
    if roster.account() != account {
        return Err(NotBelieved::AnotherAccount);
    }
    let known = of_account(tx, account)?;
    if let Some(known) = &known {
        let before = self::statements(&known.statements).unwrap_or_default();
        let shorter = before.len().min(statements.len());
        if before
            .iter()
            .take(shorter)
            .ne(statements.iter().take(shorter))
        {
            return Err(NotBelieved::Rewritten);
        }
        if statements.len() < before.len() {
            // An old copy: nothing new in it, and what is known counts.
            return Ok(Kept::Quiet);
        }
    }
    let mut kept = Kept::Quiet;
    if by_address
        && let Some(owner) = owner_of(tx, address.canonical())?
        && owner.account != account
    {
        tx.execute(
            "UPDATE contact SET verified = 0 WHERE account_id = ?1",
            [owner.account.0],
        )
        .map_err(StoreError::from)?;
        kept = Kept::OwnerChanged {
            before: owner.account,
        };
    }
    let bytes = LookedUp {
        roster: statements,
        ..LookedUp::default()
    }
    .encode_to_vec();
    if by_address || known.is_none() {
        tx.execute(
            "INSERT INTO contact (account_id, address, display, verified, roster, looked_up_at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6)
             ON CONFLICT (account_id) DO UPDATE SET address = ?2, display = ?3, verified = ?4,
                 roster = ?5, looked_up_at = ?6",
            (
                account.0,
                address.canonical(),
                address.display(),
                by_address,
                bytes,
                signed(now),
            ),
        )
        .map_err(StoreError::from)?;
    } else {
        tx.execute(
            "UPDATE contact SET roster = ?2, looked_up_at = ?3 WHERE account_id = ?1",
            (account.0, bytes, signed(now)),
        )
        .map_err(StoreError::from)?;
    }
    Ok(kept)
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
    })
}

fn statements(bytes: &[u8]) -> Option<Vec<SignedStatement>> {
    LookedUp::decode(bytes).ok().map(|kept| kept.roster)
}

const fn signed(time: Time) -> i64 {
    time.0.cast_signed()
}
