//! A device that joins an existing account, and rosters that get longer.
//!
//! [`begin_device`] makes a device's keys without an account; [`adopt`] takes over the
//! account's roster; [`extend`] adds newer statements.
//!
//! **Elsewhere**: `devices::pairing` and `devices::recovery` admit a device; the check of the
//! account's own history makes sure that the key log has the same roster.
//!
//! **Always**: the stored roster is one chain, checked from its first statement on, and is
//! never rewritten.

use prost::Message as _;
use rand_core::CryptoRng;
use rusqlite::{Transaction, params};
use waxwing_protocol::{
    ids::DeviceId,
    pb,
    roster::{Roster, RosterError},
    signature::{HybridSigningKey, SigningSeed},
};
use zeroize::Zeroizing;

use super::{identity, no_keys, pending_device, statements};
use crate::{mls::LeafKey, store::StoreError};

/// Why statements are not what comes after this account's roster.
#[derive(Debug, thiserror::Error)]
pub enum NotExtended {
    /// They are not signed as they must be, or do not follow.
    #[error(transparent)]
    Roster(#[from] RosterError),
    /// One of them is another than the one that is known in its place.
    #[error("a statement differs from the one that was known before")]
    Rewritten,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Makes the keys of a device that will join an account. What an unfinished
/// registration left is deleted.
pub fn begin_device(tx: &Transaction<'_>, rng: &mut dyn CryptoRng) -> Result<(), StoreError> {
    let joins = pending_device(tx)?.is_some() && statements(tx)?.is_empty();
    if joins {
        return Ok(());
    }
    tx.execute("DELETE FROM account WHERE address IS NULL", [])?;
    tx.execute("DELETE FROM roster", [])?;
    let seed = SigningSeed::generate(rng);
    let leaf = LeafKey::generate(rng);
    tx.execute(
        "INSERT INTO account (id, identity_seed, leaf_seed) VALUES (1, ?1, ?2)",
        params![
            Zeroizing::new(seed.to_bytes()).as_slice(),
            leaf.seed().as_slice(),
        ],
    )?;
    Ok(())
}

/// This device, as a roster lists it.
pub fn own_entry(tx: &Transaction<'_>) -> Result<pb::DeviceEntry, StoreError> {
    let identity = own_identity(tx)?;
    let leaf_seed: Zeroizing<Vec<u8>> =
        tx.query_row("SELECT leaf_seed FROM account", [], |row| {
            row.get(0).map(Zeroizing::new)
        })?;
    let leaf_seed = leaf_seed.as_slice().try_into().map_err(|_| no_keys())?;
    let leaf = LeafKey::from_seed(leaf_seed);
    Ok(leaf.entry(identity.public()))
}

/// The key that this device signs with.
pub fn own_identity(tx: &Transaction<'_>) -> Result<HybridSigningKey, StoreError> {
    identity(tx)?.ok_or_else(no_keys)
}

/// Takes over the roster of the account that this device joins.
pub fn adopt(tx: &Transaction<'_>, roster: &[pb::SignedStatement]) -> Result<Roster, NotExtended> {
    let verified = Roster::verify(roster)?;
    tx.execute("DELETE FROM roster", [])
        .map_err(StoreError::from)?;
    for (position, statement) in (0_u64..).zip(roster) {
        insert(tx, position, statement)?;
    }
    Ok(verified)
}

/// Adds to this account's roster what comes after it. Statements that it has already
/// may be among them. Gives how many were new.
pub fn extend(tx: &Transaction<'_>, more: &[pb::SignedStatement]) -> Result<u64, NotExtended> {
    let known = statements(tx)?;
    let mut roster = Roster::verify(&known)?;
    let before = roster.length();
    for signed in more {
        let position = pb::Statement::decode(signed.statement.clone())
            .map_err(|_| RosterError::Malformed(roster.length()))?
            .position;
        let place = usize::try_from(position).unwrap_or(usize::MAX);
        match known.get(place) {
            Some(same) if same.statement == signed.statement => {}
            Some(_) => return Err(NotExtended::Rewritten),
            // Added a moment ago, by this very loop: the chain refuses another.
            None if position < roster.length() => return Err(NotExtended::Rewritten),
            None => {
                roster.extend(signed)?;
                insert(tx, position, signed)?;
            }
        }
    }
    Ok(roster.length() - before)
}

/// The device that a statement adds, if it adds one.
pub fn device_added(signed: &pb::SignedStatement) -> Option<DeviceId> {
    let statement = pb::Statement::decode(signed.statement.clone()).ok()?;
    let entry = match statement.change? {
        pb::statement::Change::AddDevice(entry) => entry,
        pb::statement::Change::CreateAccount(create) => create.device?,
        _ => return None,
    };
    let identity = waxwing_protocol::signature::HybridPublicKey::from_wire(&entry.identity?);
    identity.ok().map(|identity| identity.device_id())
}

fn insert(
    tx: &Transaction<'_>,
    position: u64,
    statement: &pb::SignedStatement,
) -> Result<(), StoreError> {
    tx.execute(
        "INSERT INTO roster (position, statement) VALUES (?1, ?2)",
        (position.cast_signed(), statement.encode_to_vec()),
    )?;
    Ok(())
}
