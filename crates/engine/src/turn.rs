//! One event's work: its transaction, its time and randomness, and its effects.
//!
//! **Elsewhere**: lasting data is in the modules' tables; [`crate::memory`] holds what each room
//! remembers; [`crate::warnings`] warns people.
//!
//! **Always**: all of it is one transaction, and its effects leave after that.

use rand_core::CryptoRng;
use rusqlite::Transaction;
use waxwing_protocol::{
    ids::GroupId,
    pb::client_frame,
    time::{Span, Time},
};

use crate::{
    account::{self, Account},
    api::{Connection, ConnectionChanged, ConversationId, Notice, Problem},
    event::{Effect, LinkKind},
    hooks::Hooks,
    link::{Job, LinkPhase},
    memory::Memory,
    mls,
    store::StoreError,
};

/// How other rooms fill their memory.
pub(crate) trait ResumeHook: Sync {
    /// The memory is empty, or behind the store: notes what the store says is to be done.
    fn resume(&self, turn: &mut Turn<'_>) -> Result<(), Fault>;
}

/// What goes wrong inside the engine's work and is no one's answer: the transaction
/// is undone, and the engine starts afresh from the store.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Fault {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Mls(#[from] mls::MlsError),
    #[error("{0}")]
    Broken(String),
}

impl From<rusqlite::Error> for Fault {
    fn from(error: rusqlite::Error) -> Self {
        Self::Store(error.into())
    }
}

/// Why an event's work ended early.
pub(crate) enum EventError {
    Refused(Problem),
    Fault(Fault),
}

impl<E: Into<Fault>> From<E> for EventError {
    fn from(error: E) -> Self {
        Self::Fault(error.into())
    }
}

/// Something that waits for a time.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Postponed {
    Conversation(ConversationId),
    Group(GroupId),
    /// The group's devices, to add or remove.
    Membership(GroupId),
    /// The conversation's next group, to be made.
    NextGeneration(ConversationId),
    LookUps,
    /// The identity of the relay's key log.
    LogIdentity,
    KeyPackages,
    /// Auditors who are to co-sign a head.
    Auditors,
    OwnHistory,
    /// Heads of others, to be compared.
    Heads,
    Tokens,
    Login,
    /// Locking the own address.
    Lock,
    RosterChange,
    Meeting,
    Backup,
    /// A blob, to be brought.
    Blob([u8; 32]),
    /// Groups that are not known or were lost, to be asked for.
    ReAdd,
    /// Look-ups that a group waits for: then the person is told.
    LookUpNotice(GroupId),
    /// Settings, to be told to other devices.
    SyncedSettings,
    /// Texts to phones.
    Sms,
    /// Parts of texts, until all are here.
    SmsParts,
    /// Files that another device of the account wants.
    FileCopies,
}

/// One event's work.
pub(crate) struct Turn<'a> {
    pub tx: &'a Transaction<'a>,
    pub now: Time,
    pub rng: &'a mut dyn CryptoRng,
    pub memory: &'a mut Memory,
    pub crypto: &'a mls::Crypto,
    pub hooks: &'a Hooks,
    pub out: Vec<Effect>,
}

/// Groups that are kept in memory.
const GROUPS_IN_MEMORY: usize = 256;

impl Turn<'_> {
    /// Tells the programs that listen.
    pub(crate) fn notify(&mut self, notice: Notice) {
        self.out.push(Effect::Notify(notice));
    }

    /// Fills the memory from the store, if it is empty.
    pub(crate) fn resume(&mut self) -> Result<(), Fault> {
        if self.memory.is_resumed() {
            return Ok(());
        }
        self.memory.account = account::load(self.tx)?;
        for hook in self.hooks.of::<dyn ResumeHook>() {
            hook.resume(self)?;
        }
        self.memory.mark_resumed();
        Ok(())
    }

    /// Asks the relay something; its answer comes back with the job.
    pub(crate) fn send_request(&mut self, kind: LinkKind, job: Job, body: client_frame::Body) {
        let now = self.now;
        let within = self.memory.links.patience(&job);
        let asked = Some((job, within));
        let frame = self.memory.links.of(kind).frame(now, asked, body);
        self.out.push(Effect::Send { link: kind, frame });
    }

    /// Tells the relay something that has no answer.
    pub(crate) fn send_without_answer(&mut self, kind: LinkKind, body: client_frame::Body) {
        let now = self.now;
        let frame = self.memory.links.of(kind).frame(now, None, body);
        self.out.push(Effect::Send { link: kind, frame });
    }

    /// A fresh array of random bytes.
    pub(crate) fn random<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0; N];
        self.rng.fill_bytes(&mut bytes);
        bytes
    }

    /// This account; only called when there is one.
    pub(crate) fn account(&self) -> Result<&Account, Fault> {
        self.memory
            .account
            .as_ref()
            .ok_or_else(|| Fault::Broken("no account".into()))
    }

    /// Does something with MLS.
    pub(crate) fn with_mls<R, E>(
        &mut self,
        work: impl FnOnce(&mls::Provider<'_>, &mls::Leaf) -> Result<R, E>,
    ) -> Result<Result<R, E>, Fault> {
        let Some(account) = &self.memory.account else {
            return Err(Fault::Broken("no account".into()));
        };
        let provider = mls::Provider::new(self.crypto, &mut *self.rng, self.tx);
        Ok(work(&provider, account.leaf()))
    }

    /// Does something with a group's MLS state; `None` where there is none. After an
    /// error of `work` the state is read from the store again.
    pub(crate) fn with_group<R, E>(
        &mut self,
        id: GroupId,
        work: impl FnOnce(&mut mls::Group, &mls::Provider<'_>, &mls::Leaf) -> Result<R, E>,
    ) -> Result<Option<Result<R, E>>, Fault> {
        let Some(account) = &self.memory.account else {
            return Err(Fault::Broken("no account".into()));
        };
        let provider = mls::Provider::new(self.crypto, &mut *self.rng, self.tx);
        let mut group = match self.memory.mls_groups.remove(&id) {
            Some(group) => group,
            None => match mls::Group::load(&provider, id)? {
                Some(group) => group,
                None => return Ok(None),
            },
        };
        let result = work(&mut group, &provider, account.leaf());
        if result.is_ok() {
            if self.memory.mls_groups.len() >= GROUPS_IN_MEMORY {
                self.memory.mls_groups.clear();
            }
            self.memory.mls_groups.insert(id, group);
        }
        Ok(Some(result))
    }

    /// Keeps a group's MLS state in memory.
    pub(crate) fn remember(&mut self, id: GroupId, group: mls::Group) {
        self.memory.mls_groups.insert(id, group);
    }

    /// Forgets a group's MLS state in memory.
    pub(crate) fn forget(&mut self, id: GroupId) {
        self.memory.mls_groups.remove(&id);
    }

    /// Closes a link; if it is wanted, it is opened again.
    pub(crate) fn close_link(&mut self, link: LinkKind) {
        self.out.push(Effect::CloseLink { link });
        self.memory.links.of(link).unwanted();
        self.handle_link_lost(link);
    }

    /// A link is no more: nothing comes of what was on its way there.
    pub(crate) fn handle_link_lost(&mut self, link: LinkKind) {
        self.memory.links.forget(link);
        self.memory.states.handle_link_lost(link);
        match link {
            LinkKind::Mailbox => self.tell_offline(),
            // All that was on its way there is asked for again on the next.
            LinkKind::Posting => self.memory.look_again(),
        }
    }

    /// Tells that the mailbox link is not logged in any more, if it was.
    pub(crate) fn tell_offline(&mut self) {
        if self.memory.links.told_online {
            self.memory.links.told_online = false;
            self.notify(Notice::Connection(ConnectionChanged {
                connection: Connection::Offline,
                problem: None,
            }));
        }
    }

    /// Closes both links; those that are wanted are opened again, to where the relay is
    /// now.
    pub(crate) fn close_links(&mut self) {
        for link in [LinkKind::Mailbox, LinkKind::Posting] {
            if self.memory.links.of(link).phase != LinkPhase::Unwanted {
                self.close_link(link);
            }
        }
    }

    /// Leaves something alone for a while.
    pub(crate) fn postpone(&mut self, what: Postponed, span: Span) {
        self.memory.postponed.insert(what, self.now.after(span));
    }

    /// Whether something is to be left alone now.
    pub(crate) fn is_postponed(&self, what: &Postponed) -> bool {
        self.memory
            .postponed
            .get(what)
            .is_some_and(|until| *until > self.now)
    }
}
