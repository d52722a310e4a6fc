//! The state of a group, and what is under way in it: the types, then each change.
//!
//! ```text
//!   Creating ──────────(relay has it)──────────▶ Active ◀──(every leaf verified)── Checking
//!       │                                         │  ▲                                 │
//!  (relay refuses)                     (state lost)│  │(rejoined)            (a leaf not admitted)
//!       ▼                                         ▼  │                                 ▼
//!    Closed ◀──────────(no way back)──────────── Lost                              Closed
//! ```
//!
//! | state | what may be under way | how it ends |
//! | --- | --- | --- |
//! | Creating | `CreateGroup`; a post that waits for a look-up | Active; Closed |
//! | Checking | the look-ups of the leaves | Active; Closed |
//! | Active | a commit of this device; a post that waits for a look-up | Lost, Denied, Closed |
//! | Lost | the external commit that rejoins | Active; Denied, Closed |
//! | Denied | nothing | Active, when something comes from it; Lost, Closed |
//! | Quarantined | nothing; it is tried again later | Checking or Lost, as it was; Closed |
//! | Closed | nothing | only a welcome that re-adds this device, which replaces it |
//!
//! When work on a group fails inside this program, it becomes Quarantined, whatever else it was,
//! except Closed ([`super::quarantine`]).
//!
//! **Elsewhere**: [`super::groups`] has the table; who makes each change: [`mod@super::start`],
//! [`super::welcomes`], [`super::commits`], [`super::behind`], [`super::rejoin`],
//! [`super::ending`].
//!
//! **Always**: a change of the state ends everything that was under way.

use rusqlite::{Row, Transaction};
use waxwing_protocol::{
    ids::{Epoch, GroupId, PostId},
    time::Time,
};

use crate::store::StoreError;

/// The state of a group, with what is under way in it.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum GroupState {
    /// Made here; the relay has not confirmed it.
    Creating {
        /// The `CreateGroup` that the relay gets.
        request: Vec<u8>,
        reading: Reading,
    },
    /// Somebody took this device in; their leaves are being looked up.
    Checking,
    /// It works.
    Active {
        /// The commit of this device that the relay has not taken yet.
        commit: Option<PendingCommit>,
        reading: Reading,
    },
    /// This device's state is gone or behind: it has to rejoin before anything else.
    Lost {
        /// The external commit, once it is made.
        commit: Option<PendingCommit>,
        /// The epoch whose commit could not be read, if the group was lost for that.
        unreadable: Option<Epoch>,
    },
    /// The relay says that it has no such group. That may be a lie: nothing is sent to it,
    /// but what comes from it is read, and opens it again.
    Denied,
    /// Working on it failed inside this program: it is left alone for now. See
    /// [`super::quarantine`].
    Quarantined,
    /// Over; its history stays.
    Closed,
}

/// How far reading a group's posts is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reading {
    /// Posts are read as they come.
    UpToDate,
    /// A commit waits for a look-up, and everything behind it waits, too.
    AwaitsLookUp,
}

/// A commit of this device that the relay has not taken yet.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct PendingCommit {
    /// The id of its post.
    pub post: PostId,
    /// What the relay gets: a `Post`, or a `Rejoin` if the group is lost.
    pub request: Vec<u8>,
}

/// Which state it is, as a number of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum StateKind {
    Creating = 1,
    Active = 2,
    Checking = 3,
    Lost = 4,
    Closed = 5,
    Denied = 6,
    Quarantined = 7,
}

impl StateKind {
    /// The state with this number; what a later version may have written counts as closed.
    pub(super) const fn from_number(number: u8) -> Self {
        match number {
            1 => Self::Creating,
            2 => Self::Active,
            3 => Self::Checking,
            4 => Self::Lost,
            6 => Self::Denied,
            7 => Self::Quarantined,
            _ => Self::Closed,
        }
    }
}

impl GroupState {
    /// Which state it is.
    pub(crate) const fn kind(&self) -> StateKind {
        match self {
            Self::Creating { .. } => StateKind::Creating,
            Self::Checking => StateKind::Checking,
            Self::Active { .. } => StateKind::Active,
            Self::Lost { .. } => StateKind::Lost,
            Self::Denied => StateKind::Denied,
            Self::Quarantined => StateKind::Quarantined,
            Self::Closed => StateKind::Closed,
        }
    }

    /// Whether the group works.
    pub(crate) const fn is_active(&self) -> bool {
        matches!(self, Self::Active { .. })
    }

    /// Whether this device has to rejoin it.
    pub(crate) const fn is_lost(&self) -> bool {
        matches!(self, Self::Lost { .. })
    }

    /// The commit of this device that the relay has not taken yet.
    pub(crate) const fn pending_commit(&self) -> Option<&PendingCommit> {
        match self {
            Self::Active { commit, .. } | Self::Lost { commit, .. } => commit.as_ref(),
            _ => None,
        }
    }

    /// Whether a commit waits for a look-up, and everything behind it.
    pub(crate) const fn awaits_look_up(&self) -> bool {
        match self {
            Self::Creating { reading, .. } | Self::Active { reading, .. } => {
                matches!(reading, Reading::AwaitsLookUp)
            }
            _ => false,
        }
    }

    /// What the relay is asked for, as the table has it.
    pub(super) fn request(&self) -> Option<&[u8]> {
        match self {
            Self::Creating { request, .. } => Some(request),
            _ => self
                .pending_commit()
                .map(|commit| commit.request.as_slice()),
        }
    }

    /// From the columns of the table, the first of which has the number `first`: see
    /// [`COLUMNS`].
    pub(super) fn read(row: &Row<'_>, first: usize) -> rusqlite::Result<Self> {
        let reading = if row.get(first + 1)? {
            Reading::AwaitsLookUp
        } else {
            Reading::UpToDate
        };
        let commit = || {
            Ok::<_, rusqlite::Error>(if row.get(first + 2)? {
                Some(PendingCommit {
                    post: PostId(row.get(first + 3)?),
                    request: row.get(first + 4)?,
                })
            } else {
                None
            })
        };
        Ok(match StateKind::from_number(row.get(first)?) {
            StateKind::Creating => Self::Creating {
                request: row.get(first + 4)?,
                reading,
            },
            StateKind::Checking => Self::Checking,
            StateKind::Active => Self::Active {
                commit: commit()?,
                reading,
            },
            StateKind::Lost => {
                let unreadable: Option<i64> = row.get(first + 5)?;
                Self::Lost {
                    commit: commit()?,
                    unreadable: unreadable.map(|epoch| Epoch(epoch.cast_unsigned())),
                }
            }
            StateKind::Denied => Self::Denied,
            StateKind::Quarantined => Self::Quarantined,
            StateKind::Closed => Self::Closed,
        })
    }
}

/// What [`GroupState::read`] reads.
pub(super) const COLUMNS: &str =
    "state, waits_for_lookup, commit_pending, commit_post, request, suspect_epoch";

/// The group is in this state from now on. Everything that was under way in it ends.
pub(crate) fn enter(tx: &Transaction<'_>, id: GroupId, state: StateKind) -> Result<(), StoreError> {
    tx.execute(
        "UPDATE conversation_group
         SET state = ?2, request = NULL, commit_pending = 0, waits_for_lookup = 0,
             suspect_epoch = NULL
         WHERE group_id = ?1",
        (id.0, state as u8),
    )?;
    Ok(())
}

/// The group is lost, at the commit of this epoch if that could not be read.
pub(crate) fn enter_lost(
    tx: &Transaction<'_>,
    id: GroupId,
    unreadable: Option<Epoch>,
) -> Result<(), StoreError> {
    enter(tx, id, StateKind::Lost)?;
    tx.execute(
        "UPDATE conversation_group SET suspect_epoch = ?2 WHERE group_id = ?1",
        (id.0, unreadable.map(|epoch| epoch.0.cast_signed())),
    )?;
    Ok(())
}

/// In Creating: the relay gets another request.
pub(crate) fn replace_request(
    tx: &Transaction<'_>,
    id: GroupId,
    request: &[u8],
) -> Result<(), StoreError> {
    tx.execute(
        "UPDATE conversation_group SET request = ?2 WHERE group_id = ?1",
        (id.0, request),
    )?;
    Ok(())
}

/// In Active or Lost: a commit is on its way to the relay.
pub(crate) fn begin_commit(
    tx: &Transaction<'_>,
    id: GroupId,
    commit: &PendingCommit,
) -> Result<(), StoreError> {
    tx.execute(
        "UPDATE conversation_group SET request = ?2, commit_post = ?3, commit_pending = 1
         WHERE group_id = ?1",
        (id.0, &commit.request, commit.post.0),
    )?;
    Ok(())
}

/// The pending commit was taken (`rekeyed`), or another came first.
pub(crate) fn end_commit(
    tx: &Transaction<'_>,
    id: GroupId,
    rekeyed: Option<Time>,
) -> Result<(), StoreError> {
    tx.execute(
        "UPDATE conversation_group SET request = NULL, commit_pending = 0,
             since_rekey = CASE WHEN ?2 IS NULL THEN since_rekey ELSE 0 END,
             rekeyed_at = coalesce(?2, rekeyed_at)
         WHERE group_id = ?1",
        (id.0, rekeyed.map(|time| time.0.cast_signed())),
    )?;
    Ok(())
}

/// In Creating or Active: how far reading is.
pub(crate) fn set_reading(
    tx: &Transaction<'_>,
    id: GroupId,
    reading: Reading,
) -> Result<(), StoreError> {
    tx.execute(
        "UPDATE conversation_group SET waits_for_lookup = ?2 WHERE group_id = ?1",
        (id.0, reading == Reading::AwaitsLookUp),
    )?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        conversation::groups::{self, NewGroup},
        store::Store,
    };
    use waxwing_protocol::sealing::RejoinSecret;

    const ID: GroupId = GroupId([1; 16]);

    /// Every state with everything under way that may be.
    fn states() -> Vec<GroupState> {
        let commit = |number| PendingCommit {
            post: PostId([number; 16]),
            request: vec![number; 3],
        };
        let mut states = vec![
            GroupState::Checking,
            GroupState::Denied,
            GroupState::Quarantined,
            GroupState::Closed,
        ];
        for reading in [Reading::UpToDate, Reading::AwaitsLookUp] {
            states.push(GroupState::Creating {
                request: vec![1],
                reading,
            });
            for commit in [None, Some(commit(2))] {
                states.push(GroupState::Active { commit, reading });
            }
        }
        for unreadable in [None, Some(Epoch(7))] {
            for commit in [None, Some(commit(3))] {
                states.push(GroupState::Lost { commit, unreadable });
            }
        }
        states
    }

    fn add(tx: &Transaction<'_>, state: GroupState) -> Result<(), StoreError> {
        let new = NewGroup {
            id: ID,
            conversation: None,
            account: None,
            generation: 0,
            state,
            rejoin_secret: &RejoinSecret::from_bytes([5; 32]),
            commit_post: None,
        };
        groups::add(tx, Time(0), &new)
    }

    fn state(tx: &Transaction<'_>) -> Result<GroupState, StoreError> {
        Ok(groups::find(tx, ID)?.unwrap().state)
    }

    /// Puts a group into a state by the changes that lead there.
    fn lead_to(tx: &Transaction<'_>, to: &GroupState) -> Result<(), StoreError> {
        let begins = match to {
            GroupState::Creating { request, .. } => GroupState::Creating {
                request: request.clone(),
                reading: Reading::UpToDate,
            },
            _ => GroupState::Checking,
        };
        add(tx, begins)?;
        if !matches!(to, GroupState::Creating { .. }) {
            enter(tx, ID, to.kind())?;
        }
        if let GroupState::Lost { unreadable, .. } = to {
            enter_lost(tx, ID, *unreadable)?;
        }
        if let Some(commit) = to.pending_commit() {
            begin_commit(tx, ID, commit)?;
        }
        if to.awaits_look_up() {
            set_reading(tx, ID, Reading::AwaitsLookUp)?;
        }
        Ok(())
    }

    #[test]
    fn each_state_is_read_as_it_was_written() {
        for wanted in states() {
            Store::open_in_memory()
                .unwrap()
                .transaction(|tx| {
                    lead_to(tx, &wanted)?;
                    assert!(state(tx)? == wanted, "{:?}", wanted.kind());
                    Ok::<_, StoreError>(())
                })
                .unwrap();
        }
    }

    #[test]
    fn a_change_of_the_state_ends_what_was_under_way() {
        for from in states() {
            for to in [StateKind::Active, StateKind::Lost, StateKind::Denied] {
                Store::open_in_memory()
                    .unwrap()
                    .transaction(|tx| {
                        lead_to(tx, &from)?;
                        enter(tx, ID, to)?;
                        let state = state(tx)?;
                        assert_eq!(state.kind(), to);
                        assert!(state.pending_commit().is_none() && !state.awaits_look_up());
                        let is_suspect = matches!(
                            state,
                            GroupState::Lost {
                                unreadable: Some(_),
                                ..
                            }
                        );
                        assert!(!is_suspect);
                        assert!(!groups::has_request(tx, ID)?);
                        Ok::<_, StoreError>(())
                    })
                    .unwrap();
            }
        }
    }
}
