//! Contacts in the archive, each with its roster.
//!
//! **Always**: a roster is checked from its first statement on before it is stored, and a
//! known roster is never shortened or replaced by a different one.

use prost::Message as _;
use rusqlite::{OptionalExtension as _, Row, Transaction};
use waxwing_protocol::{
    address::Address,
    ids::AccountId,
    pb::{ArchivedContact, ArchivedStatements, LookedUp, SignedStatement, archive_record::Record},
    roster::Roster,
};

use crate::{
    archive::{ArchiveSection, Archived, Import, NotImported, Place, Section},
    store::StoreError,
    tables::Table,
};

/// Bytes of statements in one record.
const STATEMENTS_BYTES: usize = 40 << 10;

/// The contacts.
pub(crate) struct Contacts;

impl Table for Contacts {
    fn archived(&self) -> Option<&dyn ArchiveSection> {
        Some(self)
    }
}

impl ArchiveSection for Contacts {
    fn section(&self) -> Section {
        Section::Contacts
    }

    fn count(&self, tx: &Transaction<'_>) -> Result<u64, StoreError> {
        let count: i64 = tx.query_row("SELECT count(*) FROM contact", [], |row| row.get(0))?;
        Ok(count.cast_unsigned())
    }

    /// A contact, or more of the roster of the one at the place: its `row` says how many
    /// statements are in the archive already.
    fn next(&self, tx: &Transaction<'_>, at: Place<'_>) -> Result<Option<Archived>, StoreError> {
        if at.row > 0
            && let Some(contact) = one(tx, "account_id = ?1", at.id)?
        {
            let (record, rest) = contact.more(usize::try_from(at.row).unwrap_or(usize::MAX));
            return Ok(Some(Archived {
                rest,
                is_rest: true,
                ..Archived::by_key(Record::Statements(record), at.id)
            }));
        }
        // All ids are longer than the empty one.
        let next = one(tx, "account_id > ?1 ORDER BY account_id LIMIT 1", at.id)?;
        Ok(next.map(|contact| {
            let (record, rest) = contact.record();
            Archived {
                rest,
                ..Archived::by_key(Record::Contact(record), &contact.account)
            }
        }))
    }

    fn restore(&self, import: &Import<'_>, record: Record) -> Result<(), NotImported> {
        match record {
            Record::Contact(contact) => restore(import.tx, contact),
            Record::Statements(more) => restore_more(import.tx, more),
            _ => Ok(()),
        }
    }
}

/// A contact's row, as far as it goes into the archive.
struct ArchivedContactRow {
    account: [u8; 32],
    display: String,
    verified: bool,
    blocked: bool,
    looked_up_at: u64,
    roster: Vec<SignedStatement>,
    compared: bool,
}

impl ArchivedContactRow {
    /// The record, and how many statements of the roster are in it, if not all are.
    fn record(&self) -> (ArchivedContact, Option<i64>) {
        let (roster, more) = self.statements_from(0);
        let record = ArchivedContact {
            account_id: self.account.to_vec().into(),
            address: self.display.clone(),
            verified: self.verified,
            blocked: self.blocked,
            looked_up_at_ms: self.looked_up_at,
            roster,
            compared: self.compared,
        };
        (record, more)
    }

    /// More of the roster, from this statement on.
    fn more(&self, position: usize) -> (ArchivedStatements, Option<i64>) {
        let (statements, more) = self.statements_from(position);
        let record = ArchivedStatements {
            account_id: self.account.to_vec().into(),
            position: position as u64,
            statements,
        };
        (record, more)
    }

    fn statements_from(&self, position: usize) -> (Vec<SignedStatement>, Option<i64>) {
        let mut bytes = 0;
        let part: Vec<_> = self
            .roster
            .iter()
            .skip(position)
            .take_while(|statement| {
                let first = bytes == 0;
                bytes += statement.encoded_len();
                first || bytes <= STATEMENTS_BYTES
            })
            .cloned()
            .collect();
        let end = position + part.len();
        let rest = i64::try_from(end).unwrap_or(i64::MAX);
        (part, (end < self.roster.len()).then_some(rest))
    }
}

/// Adds a contact, or what is new about one.
fn restore(tx: &Transaction<'_>, contact: ArchivedContact) -> Result<(), NotImported> {
    let account = AccountId::try_from(&contact.account_id).map_err(|_| NotImported::Malformed)?;
    let address = Address::parse(&contact.address).map_err(|_| NotImported::Malformed)?;
    let roster = Roster::verify(&contact.roster).map_err(|_| NotImported::Malformed)?;
    if roster.account() != account {
        return Err(NotImported::Malformed);
    }
    if let Some(known) = one(tx, "account_id = ?1", account.as_bytes())? {
        tx.prepare_cached(
            "UPDATE contact SET blocked = blocked OR ?2, compared = compared OR ?3
             WHERE account_id = ?1",
        )
        .and_then(|mut update| update.execute((account.0, contact.blocked, contact.compared)))
        .map_err(StoreError::from)?;
        return longer(tx, &known, contact.roster);
    }
    // An address has one verified owner; the one that is known here was looked up later.
    let owned: bool = tx
        .prepare_cached("SELECT EXISTS (SELECT 1 FROM contact WHERE address = ?1 AND verified)")
        .and_then(|mut select| select.query_row([address.canonical()], |row| row.get(0)))
        .map_err(StoreError::from)?;
    tx.prepare_cached(
        "INSERT INTO contact
             (account_id, address, display, verified, blocked, roster, looked_up_at, compared)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
    )
    .and_then(|mut insert| {
        insert.execute((
            account.0,
            address.canonical(),
            address.display(),
            contact.verified && !owned,
            contact.blocked,
            encoded(contact.roster),
            contact.looked_up_at_ms.min(i64::MAX as u64).cast_signed(),
            contact.compared,
        ))
    })
    .map_err(StoreError::from)?;
    Ok(())
}

/// Adds more of a contact's roster.
fn restore_more(tx: &Transaction<'_>, more: ArchivedStatements) -> Result<(), NotImported> {
    let Some(known) = one(tx, "account_id = ?1", &more.account_id)? else {
        return Err(NotImported::Malformed);
    };
    let position = usize::try_from(more.position).map_err(|_| NotImported::Malformed)?;
    if position > known.roster.len() {
        return Err(NotImported::Malformed);
    }
    let mut whole: Vec<_> = known.roster.iter().take(position).cloned().collect();
    whole.extend(more.statements);
    longer(tx, &known, whole)
}

/// Keeps the roster if it is the known one, continued.
fn longer(
    tx: &Transaction<'_>,
    known: &ArchivedContactRow,
    roster: Vec<SignedStatement>,
) -> Result<(), NotImported> {
    let continues = roster.len() > known.roster.len()
        && known
            .roster
            .iter()
            .zip(&roster)
            .all(|(one, other)| one.statement == other.statement);
    if !continues {
        // What is known here counts.
        return Ok(());
    }
    Roster::verify(&roster).map_err(|_| NotImported::Malformed)?;
    tx.execute(
        "UPDATE contact SET roster = ?2 WHERE account_id = ?1",
        (known.account, encoded(roster)),
    )
    .map_err(StoreError::from)?;
    Ok(())
}

fn encoded(roster: Vec<SignedStatement>) -> Vec<u8> {
    LookedUp {
        roster,
        ..LookedUp::default()
    }
    .encode_to_vec()
}

fn one(
    tx: &Transaction<'_>,
    condition: &str,
    id: &[u8],
) -> Result<Option<ArchivedContactRow>, StoreError> {
    let mut statement = tx.prepare_cached(&format!(
        "SELECT account_id, display, verified, blocked, looked_up_at, roster, compared
         FROM contact WHERE {condition}"
    ))?;
    Ok(statement.query_row([id], read).optional()?)
}

fn read(row: &Row<'_>) -> rusqlite::Result<ArchivedContactRow> {
    let roster: Vec<u8> = row.get(5)?;
    Ok(ArchivedContactRow {
        account: row.get(0)?,
        display: row.get(1)?,
        verified: row.get(2)?,
        blocked: row.get(3)?,
        looked_up_at: row.get::<_, i64>(4)?.cast_unsigned(),
        roster: LookedUp::decode(roster.as_slice())
            .map(|kept| kept.roster)
            .unwrap_or_default(),
        compared: row.get(6)?,
    })
}
