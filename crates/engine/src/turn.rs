//! One event's work: its transaction, its time and randomness, and the memory that lasts as
//! long as the process.
//!
//! **Elsewhere**: lasting data is in the modules' tables; [`crate::link`] and
//! [`crate::conversation`] make what is sent.
//!
//! **Always**: everything in [`VolatileState`] can be thrown away and rebuilt from the store and
//! the links; this is what happens when a transaction fails.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use rand_core::CryptoRng;
use rusqlite::Transaction;
use waxwing_protocol::{
    ids::{AccountId, DeviceId, Epoch, GroupId},
    pb::client_frame,
    time::{Span, Time},
};

use crate::{
    account::Account,
    api::{Connection, ConnectionChanged, ConversationId, Notice, Problem, RelayMisdeed, Warning},
    clock::Passed as _,
    containment,
    conversation::groups::{self, GroupState},
    event::{Effect, LinkKind},
    link::{Job, LinkPhase, Links},
    memory::Memory,
    mls,
    store::StoreError,
    trust::alarm,
};

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

/// What the process remembers, and can do without.
pub(crate) struct VolatileState {
    /// What features remember.
    pub memory: Memory,
    pub crypto: mls::Crypto,
    pub links: Links,
    /// This account, once it is registered.
    pub account: Option<Account>,
    groups: HashMap<GroupId, mls::Group>,
    /// Conversations whose outbox may have something to do.
    pub due_conversations: BTreeSet<ConversationId>,
    /// Groups that may have something to do besides messages.
    pub due_groups: BTreeSet<GroupId>,
    /// What is left alone until a time, because the relay said so.
    pub postponed: HashMap<Postponed, Time>,
    /// The group whose commit waits for a look-up, until that is stored.
    pub waits_for_lookup: Option<GroupId>,
    /// Blobs whose files the driver is busy with.
    pub files: HashSet<[u8; 32]>,
    /// Blobs of which the relay said how much it has, on this link.
    pub opened: HashSet<[u8; 32]>,
    /// Larger commits, welcomes and group information go as blobs (bytes).
    pub inline_bytes: usize,
    /// Group information that was asked for and was not there.
    pub unavailable_parcels: HashSet<[u8; 32]>,
    /// Key packages that were claimed for a group, until they are added.
    pub claimed: BTreeMap<(GroupId, AccountId), Vec<mls::KeyPackage>>,
    /// When a device was last taken into a group again.
    pub re_added_at: HashMap<(GroupId, DeviceId), Time>,
    /// Accounts whose devices had no key packages for a group: how often in a row, and when they
    /// are asked for again.
    pub no_packages: HashMap<(GroupId, AccountId), (u32, Time)>,
    /// Since when a group lacks devices, where others are to add them first.
    pub lacking: HashMap<GroupId, Time>,
    /// What people were warned of lately, and when: nothing is said over and over.
    warned: HashMap<(&'static str, String), Time>,
    /// The newest epoch that the relay spoke of, where it is later than ours, and
    /// since when.
    pub behind: BTreeMap<GroupId, (Epoch, Time)>,
    /// Whether the relay's record of our acknowledgements was compared with ours: not
    /// before may anything be sent.
    pub not_set_back: bool,
    /// Whether people were told that the mailbox link is logged in.
    pub told_online: bool,
    /// Whether what the store has to do was looked for.
    pub taken_up: bool,
    pub containment: containment::ContainmentInMemory,
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
}

impl VolatileState {
    /// Whether this is a device that its account does not have any more.
    pub(crate) fn is_revoked(&self) -> bool {
        self.account.as_ref().is_some_and(|own| !own.is_admitted())
    }

    pub(crate) fn new(crypto: mls::Crypto, inline_bytes: usize, memory: Memory) -> Self {
        Self {
            memory,
            crypto,
            links: Links::default(),
            account: None,
            groups: HashMap::new(),
            due_conversations: BTreeSet::new(),
            due_groups: BTreeSet::new(),
            postponed: HashMap::new(),
            waits_for_lookup: None,
            files: HashSet::new(),
            opened: HashSet::new(),
            inline_bytes,
            unavailable_parcels: HashSet::new(),
            claimed: BTreeMap::new(),
            re_added_at: HashMap::new(),
            no_packages: HashMap::new(),
            lacking: HashMap::new(),
            warned: HashMap::new(),
            behind: BTreeMap::new(),
            not_set_back: false,
            told_online: false,
            taken_up: false,
            containment: containment::ContainmentInMemory::default(),
        }
    }

    /// Forgets the MLS state of all groups in memory: it is read from the store again.
    pub(crate) fn forget_groups(&mut self) {
        self.groups.clear();
    }

    /// Forgets everything but what lasts as long as the process in any case.
    pub(crate) fn reset(&mut self) {
        self.memory.reset();
        self.links = Links::default();
        self.account = None;
        self.groups.clear();
        self.due_conversations.clear();
        self.due_groups.clear();
        self.postponed.clear();
        self.waits_for_lookup = None;
        self.files.clear();
        self.opened.clear();
        self.claimed.clear();
        self.lacking.clear();
        self.warned.clear();
        self.behind.clear();
        self.not_set_back = false;
        self.taken_up = false;
        self.containment.trusting = false;
        self.containment.faulty = false;
    }
}

/// One event's work.
pub(crate) struct Turn<'a> {
    pub tx: &'a Transaction<'a>,
    pub now: Time,
    pub rng: &'a mut dyn CryptoRng,
    pub volatile: &'a mut VolatileState,
    pub out: Vec<Effect>,
}

/// The same warning is given again after this long.
const WARNED_AGAIN: Span = Span::minutes(30);

/// Different warnings within that time, at most.
const WARNED_MAX: usize = 128;

/// Groups that are kept in memory.
const GROUPS_IN_MEMORY: usize = 256;

impl Turn<'_> {
    /// Tells the programs that listen.
    pub(crate) fn notify(&mut self, notice: Notice) {
        self.out.push(Effect::Notify(notice));
    }

    /// Warns the programs that listen, unless they were warned of the same a moment ago: a relay or
    /// somebody else may bring it about with every frame.
    pub(crate) fn warn(&mut self, problem: &Problem) {
        let now = self.now;
        let warned = &mut self.volatile.warned;
        warned.retain(|_, at| !now.has_passed(*at, WARNED_AGAIN));
        let key = (problem.code(), alarm::subject(problem));
        if warned.len() >= WARNED_MAX || warned.contains_key(&key) {
            return;
        }
        self.warn_always(problem);
    }

    /// Warns the programs that listen.
    pub(crate) fn warn_always(&mut self, problem: &Problem) {
        let key = (problem.code(), alarm::subject(problem));
        self.volatile.warned.insert(key, self.now);
        let problem = problem.report();
        self.notify(Notice::Warning(Warning { problem }));
    }

    /// Warns of a relay that does what no honest one does.
    pub(crate) fn warn_misdeed(&mut self, what: RelayMisdeed) {
        self.warn(&Problem::RelayMisbehaves { what });
    }

    /// Asks the relay something; its answer comes back with the job.
    pub(crate) fn send_request(&mut self, kind: LinkKind, job: Job, body: client_frame::Body) {
        let now = self.now;
        let within = self.volatile.links.patience(&job);
        let asked = Some((job, within));
        let frame = self.volatile.links.of(kind).frame(now, asked, body);
        self.out.push(Effect::Send { link: kind, frame });
    }

    /// Tells the relay something that has no answer.
    pub(crate) fn send_without_answer(&mut self, kind: LinkKind, body: client_frame::Body) {
        let now = self.now;
        let frame = self.volatile.links.of(kind).frame(now, None, body);
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
        self.volatile
            .account
            .as_ref()
            .ok_or_else(|| Fault::Broken("no account".into()))
    }

    /// Does something with MLS.
    pub(crate) fn with_mls<R, E>(
        &mut self,
        work: impl FnOnce(&mls::Provider<'_>, &mls::Leaf) -> Result<R, E>,
    ) -> Result<Result<R, E>, Fault> {
        let Some(account) = &self.volatile.account else {
            return Err(Fault::Broken("no account".into()));
        };
        let provider = mls::Provider::new(&self.volatile.crypto, &mut *self.rng, self.tx);
        Ok(work(&provider, account.leaf()))
    }

    /// Does something with a group's MLS state; `None` where there is none. After an
    /// error of `work` the state is read from the store again.
    pub(crate) fn with_group<R, E>(
        &mut self,
        id: GroupId,
        work: impl FnOnce(&mut mls::Group, &mls::Provider<'_>, &mls::Leaf) -> Result<R, E>,
    ) -> Result<Option<Result<R, E>>, Fault> {
        let Some(account) = &self.volatile.account else {
            return Err(Fault::Broken("no account".into()));
        };
        let provider = mls::Provider::new(&self.volatile.crypto, &mut *self.rng, self.tx);
        let mut group = match self.volatile.groups.remove(&id) {
            Some(group) => group,
            None => match mls::Group::load(&provider, id)? {
                Some(group) => group,
                None => return Ok(None),
            },
        };
        let result = work(&mut group, &provider, account.leaf());
        if result.is_ok() {
            if self.volatile.groups.len() >= GROUPS_IN_MEMORY {
                self.volatile.groups.clear();
            }
            self.volatile.groups.insert(id, group);
        }
        Ok(Some(result))
    }

    /// Keeps a group's MLS state in memory.
    pub(crate) fn remember(&mut self, id: GroupId, group: mls::Group) {
        self.volatile.groups.insert(id, group);
    }

    /// Forgets a group's MLS state in memory.
    pub(crate) fn forget(&mut self, id: GroupId) {
        self.volatile.groups.remove(&id);
    }

    /// Closes a link; if it is wanted, it is opened again.
    pub(crate) fn close_link(&mut self, link: LinkKind) {
        self.out.push(Effect::CloseLink { link });
        self.volatile.links.of(link).unwanted();
        self.handle_link_lost(link);
    }

    /// A link is no more: nothing comes of what was on its way there.
    pub(crate) fn handle_link_lost(&mut self, link: LinkKind) {
        self.volatile.opened.clear();
        self.volatile.links.forget(link);
        self.volatile.memory.handle_link_lost(link);
        match link {
            LinkKind::Mailbox => self.tell_offline(),
            // All that was on its way there is asked for again on the next.
            LinkKind::Posting => self.volatile.taken_up = false,
        }
    }

    /// Tells that the mailbox link is not logged in any more, if it was.
    pub(crate) fn tell_offline(&mut self) {
        if self.volatile.told_online {
            self.volatile.told_online = false;
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
            if self.volatile.links.of(link).phase != LinkPhase::Unwanted {
                self.close_link(link);
            }
        }
    }

    /// Leaves something alone for a while.
    pub(crate) fn postpone(&mut self, what: Postponed, span: Span) {
        self.volatile.postponed.insert(what, self.now.after(span));
    }

    /// Whether something is to be left alone now.
    pub(crate) fn is_postponed(&self, what: &Postponed) -> bool {
        self.volatile
            .postponed
            .get(what)
            .is_some_and(|until| *until > self.now)
    }

    /// This device's state of a group is gone or behind.
    pub(crate) fn mark_group_lost(&mut self, id: GroupId) -> Result<(), Fault> {
        groups::set_state(self.tx, id, GroupState::Lost)?;
        groups::set_suspect(self.tx, id, None)?;
        crate::outbox::unseal_group(self.tx, id)?;
        self.forget(id);
        self.volatile.behind.remove(&id);
        self.volatile.links.deauthorise(id);
        self.volatile.due_groups.insert(id);
        Ok(())
    }
}
