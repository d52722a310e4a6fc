//! Wishes (pending changes): what a person wants of a group, until the group is like that.
//!
//! A commit may come too late: another one is accepted first, and the group is then different.
//! The engine therefore stores what the person wants (add this account, rename the group), and
//! makes each commit from what is still missing in the group's current state.
//!
//! **Elsewhere**: [`super::membership`] makes the commits; [`super::roles`] decides for
//! everybody whether a change is allowed, and commands check it beforehand.
//!
//! **Always**: a pending change is deleted once it is fulfilled, no matter who fulfilled it.

use rusqlite::Transaction;
use waxwing_protocol::{
    address::Address,
    conversation::{ConversationSecrets, ConversationState, Invitation},
    ids::AccountId,
    time::Time,
};

use crate::{api::ConversationId, store::StoreError};

pub(crate) const SCHEMA: &str = "
CREATE TABLE wish (
    id INTEGER PRIMARY KEY,
    conversation BLOB NOT NULL REFERENCES conversation (id),
    kind INTEGER NOT NULL,
    account_id BLOB,
    text TEXT,
    number INTEGER,
    bytes BLOB,
    wished_at INTEGER NOT NULL
);
CREATE INDEX wish_conversation ON wish (conversation);
";

/// What is wanted.
#[derive(Clone, PartialEq)]
pub(crate) enum PendingChange {
    /// The account with this address is a member; if an account is named, that one, and nobody who
    /// has the address after it.
    Add(Address, Option<AccountId>),
    /// This account is none.
    Remove(AccountId),
    /// It is called so.
    Name(String),
    /// It has this picture, or none.
    Picture(Vec<u8>),
    /// This account is an admin, or is none.
    Admin(AccountId, bool),
    /// Everybody brings others in, or admins only.
    EverybodyAdds(bool),
    /// Messages are deleted so many seconds after they were read.
    ExpiresAfter(u32),
    /// This invitation is open.
    Invite(Invitation),
    /// The invitation with this hash is not.
    Revoke([u8; 32]),
}

/// A pending change as it is stored.
pub(crate) struct StoredChange {
    pub row: i64,
    pub change: PendingChange,
    pub since: Time,
}

impl PendingChange {
    /// Whether the group is already like that. `account_of` says who has an address.
    pub(crate) fn is_fulfilled(
        &self,
        secrets: &ConversationSecrets,
        account_of: impl FnOnce(&Address) -> Option<AccountId>,
    ) -> bool {
        let Some(state) = &secrets.state else {
            return true;
        };
        match self {
            Self::Add(address, account) => account
                .or_else(|| account_of(address))
                .is_some_and(|account| secrets.addresses.of(account).is_some()),
            Self::Remove(account) => secrets.addresses.of(*account).is_none(),
            _ => {
                let mut wanted = state.clone();
                self.apply(&mut wanted);
                wanted == *state
            }
        }
    }

    /// Makes a group's state as it is wanted.
    pub(crate) fn apply(&self, state: &mut ConversationState) {
        match self {
            // No part of the state; and somebody has to be an admin.
            Self::Add(..) | Self::Remove(_) => {}
            Self::Admin(_, false) if state.admins.len() < 2 => {}
            Self::Name(name) => state.name.clone_from(name),
            Self::Picture(picture) => state.picture = picture.clone().into(),
            Self::Admin(account, true) => {
                state.admins.insert(*account);
            }
            Self::Admin(account, false) => {
                state.admins.remove(account);
            }
            Self::EverybodyAdds(everybody) => state.everybody_adds = *everybody,
            Self::ExpiresAfter(seconds) => state.expires_after_s = *seconds,
            Self::Invite(invitation) => {
                let hash = invitation.secret_hash;
                let known = state.invitations.iter().any(|one| one.secret_hash == hash);
                if !known && state.invitations.len() < waxwing_protocol::limits::INVITATIONS {
                    state.invitations.push(invitation.clone());
                }
            }
            Self::Revoke(hash) => state
                .invitations
                .retain(|invitation| invitation.secret_hash != *hash),
        }
    }

    /// As a row: kind, account, text, number, bytes.
    fn to_row(&self) -> ChangeRow {
        let nothing = ChangeRow::default();
        match self {
            Self::Add(address, account) => ChangeRow {
                kind: 1,
                account: account.map(|account| account.0),
                text: Some(address.display().to_owned()),
                ..nothing
            },
            Self::Remove(account) => ChangeRow {
                kind: 2,
                account: Some(account.0),
                ..nothing
            },
            Self::Name(name) => ChangeRow {
                kind: 3,
                text: Some(name.clone()),
                ..nothing
            },
            Self::Picture(picture) => ChangeRow {
                kind: 4,
                bytes: Some(picture.clone()),
                ..nothing
            },
            Self::Admin(account, admin) => ChangeRow {
                kind: 5,
                account: Some(account.0),
                number: Some((*admin).into()),
                ..nothing
            },
            Self::EverybodyAdds(everybody) => ChangeRow {
                kind: 6,
                number: Some((*everybody).into()),
                ..nothing
            },
            Self::ExpiresAfter(seconds) => ChangeRow {
                kind: 7,
                number: Some((*seconds).into()),
                ..nothing
            },
            Self::Invite(invitation) => ChangeRow {
                kind: if invitation.needs_approval { 9 } else { 8 },
                number: invitation.expires_at.map(|at| at.0.cast_signed()),
                bytes: Some(invitation.secret_hash.to_vec()),
                ..nothing
            },
            Self::Revoke(hash) => ChangeRow {
                kind: 10,
                bytes: Some(hash.to_vec()),
                ..nothing
            },
        }
    }

    fn of_row(row: ChangeRow) -> Option<Self> {
        let hash = |bytes: Option<Vec<u8>>| <[u8; 32]>::try_from(bytes?).ok();
        Some(match row.kind {
            1 => Self::Add(Address::parse(&row.text?).ok()?, row.account.map(AccountId)),
            2 => Self::Remove(AccountId(row.account?)),
            3 => Self::Name(row.text?),
            4 => Self::Picture(row.bytes?),
            5 => Self::Admin(AccountId(row.account?), row.number? != 0),
            6 => Self::EverybodyAdds(row.number? != 0),
            7 => Self::ExpiresAfter(u32::try_from(row.number?).ok()?),
            8 | 9 => Self::Invite(Invitation {
                secret_hash: hash(row.bytes)?,
                needs_approval: row.kind == 9,
                expires_at: row.number.map(|at| Time(at.cast_unsigned())),
            }),
            10 => Self::Revoke(hash(row.bytes)?),
            _ => return None,
        })
    }
}

#[derive(Default)]
struct ChangeRow {
    kind: u8,
    account: Option<[u8; 32]>,
    text: Option<String>,
    number: Option<i64>,
    bytes: Option<Vec<u8>>,
}

/// Keeps a wish.
pub(crate) fn add(
    tx: &Transaction<'_>,
    now: Time,
    conversation: ConversationId,
    wish: &PendingChange,
) -> Result<(), StoreError> {
    let row = wish.to_row();
    tx.execute(
        "INSERT INTO wish (conversation, kind, account_id, text, number, bytes, wished_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        (
            conversation.as_bytes(),
            row.kind,
            row.account,
            row.text,
            row.number,
            row.bytes,
            now.0.cast_signed(),
        ),
    )?;
    Ok(())
}

/// What is wanted of a group, oldest first.
pub(crate) fn of_conversation(
    tx: &Transaction<'_>,
    conversation: ConversationId,
) -> Result<Vec<StoredChange>, StoreError> {
    let mut statement = tx.prepare_cached(
        "SELECT id, kind, account_id, text, number, bytes, wished_at FROM wish
         WHERE conversation = ?1 ORDER BY id",
    )?;
    let rows = statement.query_map([conversation.as_bytes()], |row| {
        let wish = PendingChange::of_row(ChangeRow {
            kind: row.get(1)?,
            account: row.get(2)?,
            text: row.get(3)?,
            number: row.get(4)?,
            bytes: row.get(5)?,
        });
        let since = Time(row.get::<_, i64>(6)?.cast_unsigned());
        Ok((row.get::<_, i64>(0)?, wish, since))
    })?;
    let mut kept = Vec::new();
    for row in rows {
        // What a later version wished is not for this one.
        if let (row, Some(wish), since) = row? {
            kept.push(StoredChange {
                row,
                change: wish,
                since,
            });
        }
    }
    Ok(kept)
}

/// It is fulfilled, or cannot be.
pub(crate) fn forget(tx: &Transaction<'_>, row: i64) -> Result<(), StoreError> {
    tx.execute("DELETE FROM wish WHERE id = ?1", [row])?;
    Ok(())
}

/// Nothing is wanted of the group any more.
pub(crate) fn forget_all(
    tx: &Transaction<'_>,
    conversation: ConversationId,
) -> Result<(), StoreError> {
    tx.execute(
        "DELETE FROM wish WHERE conversation = ?1",
        [conversation.as_bytes()],
    )?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{Store, StoreError};

    #[test]
    fn what_is_wanted_is_kept_as_it_is() {
        let account = AccountId([1; 32]);
        let wishes = [
            PendingChange::Add(Address::parse("Eva@example.org").unwrap(), None),
            PendingChange::Add(Address::parse("Ida@example.org").unwrap(), Some(account)),
            PendingChange::Remove(account),
            PendingChange::Name("Family".into()),
            PendingChange::Picture(vec![1, 2]),
            PendingChange::Admin(account, true),
            PendingChange::Admin(account, false),
            PendingChange::EverybodyAdds(true),
            PendingChange::ExpiresAfter(u32::MAX),
            PendingChange::Invite(Invitation {
                secret_hash: [3; 32],
                needs_approval: true,
                expires_at: None,
            }),
            PendingChange::Invite(Invitation {
                secret_hash: [4; 32],
                needs_approval: false,
                expires_at: Some(Time(5)),
            }),
            PendingChange::Revoke([6; 32]),
        ];
        let mut store = Store::open_in_memory().unwrap();
        store
            .transaction(|tx| {
                tx.execute_batch("PRAGMA defer_foreign_keys = ON")?;
                let conversation = ConversationId::from_bytes([7; 16]);
                for wish in &wishes {
                    add(tx, Time(8), conversation, wish)?;
                }
                let kept: Vec<PendingChange> = of_conversation(tx, conversation)?
                    .into_iter()
                    .map(|kept| kept.change)
                    .collect();
                assert!(kept == wishes);
                forget_all(tx, conversation)?;
                assert!(of_conversation(tx, conversation)?.is_empty());
                Ok::<_, StoreError>(())
            })
            .unwrap();
    }
}
