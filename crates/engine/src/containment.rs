//! Containment: an error affects only the group that it belongs to.
//!
//! One event runs in one transaction, and the relay delivers a post again until it is
//! acknowledged. If an error in one post undid the whole event, that post would come back for
//! ever, and nothing behind it would ever arrive. Each piece of work that others (members,
//! strangers, the relay) can cause therefore runs inside [`Turn::run_contained`], in a savepoint.
//!
//! - The work succeeds: the savepoint is released. This is its only cost.
//! - The work fails with a [`Fault`] that concerns the whole store (the disk is full or
//!   broken, the file is damaged or in use, there is no memory left): the whole event fails.
//!   Nothing was changed, and the same work is tried again when the disk works again.
//! - The work fails with any other fault: its writes are undone, its effects and requests are
//!   withdrawn ([`WorkSnapshot`]), memory that may be ahead of the store is read again, and then
//!   the owner of the work is dealt with ([`ErrorHook`]). A group is quarantined, messages that
//!   wait in a conversation fail with a reason, a post of an unknown group is dropped. The
//!   event continues, and the post counts as handled.
//!
//! If dealing with the owner fails too, the event fails: nothing else is left to try.
//!
//! The pump of [`crate::engine`] may run twice: first as a whole in one savepoint, since it
//! nearly always succeeds. If it fails, it runs again with a savepoint for each part, so that
//! the failing part is found ([`Turn::in_parts`]).
//!
//! Every contained fault is recorded (the newest [`KEPT`]), so that it can be reported. The
//! status has those of the last day, and if no conversation shows what happened, the person is
//! told once.
//!
//! **Elsewhere**: [`crate::conversation::quarantine`] says what a quarantined group means for
//! people, and how quarantine ends; [`crate::routing`] handles answers of the relay.
//!
//! **Always**: undone work leaves nothing behind: no row, no effect, no request whose answer
//! would be awaited for ever, no authorisation to post for which the relay was not asked, no
//! MLS state in memory that the store does not have.

use std::collections::BTreeSet;

use rusqlite::{ErrorCode, Transaction};
use waxwing_protocol::{
    ids::GroupId,
    time::{Span, Time},
};

use crate::{
    api::{ConversationId, Notice, Problem, ProblemReport, Warning},
    event::{Effect, LinkKind},
    link::Job,
    memory::Remembered,
    mls::MlsError,
    store::StoreError,
    turn::{Fault, Turn},
};

pub(crate) const SCHEMA: &str = "
CREATE TABLE contained_fault (
    id INTEGER PRIMARY KEY,
    at INTEGER NOT NULL,
    whose TEXT NOT NULL,     -- what was being done, or the group's id
    detail TEXT NOT NULL
);
";

/// Faults that are kept.
const KEPT: i64 = 100;

/// The status has them for this long.
const SHOWN_FOR: Span = Span::days(1);

/// Different faults that one process tells the person of.
const TOLD_MAX: usize = 16;

/// How the work of this event is contained.
#[derive(Default)]
struct EventContainment {
    /// Whether parts of the work run without a savepoint of their own: the whole has one.
    trusting: bool,
    /// Whether a part of this event's work failed: it may be due still.
    faulty: bool,
}

impl Remembered for EventContainment {}

/// The faults that the person was told of.
#[derive(Default)]
struct ToldFaults(BTreeSet<String>);

impl Remembered for ToldFaults {
    const OUTLASTS_ERRORS: bool = true;
}

/// Who pays for an error.
pub(crate) trait ErrorHook: Sync {
    /// Whether a conversation shows that this owner's work failed.
    fn shows_error(&self, _tx: &Transaction<'_>, _whose: ErrorOwner) -> Result<bool, StoreError> {
        Ok(false)
    }

    /// An error in this owner's work was undone.
    fn handle_error(
        &self,
        turn: &mut Turn<'_>,
        whose: ErrorOwner,
        fault: &Fault,
    ) -> Result<(), Fault>;
}

/// What other rooms do when work was undone.
pub(crate) trait UndoHook: Sync {
    /// What this room remembers may be ahead of the store.
    fn handle_undone(&self, _turn: &mut Turn<'_>) {}

    /// A request will not be sent: no answer comes.
    fn handle_request_undone(&self, _turn: &mut Turn<'_>, _job: &Job) {}

    /// Work on a blob's file will not be done: no answer comes.
    fn handle_file_work_undone(&self, _turn: &mut Turn<'_>, _blob: [u8; 32]) {}
}

/// Whose work it is: who pays for an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ErrorOwner {
    /// The group is quarantined. If it is not known here, the work is only dropped.
    Group(GroupId),
    /// What waits to be sent in the conversation fails.
    Conversation(ConversationId),
    /// Nobody's: the work is dropped. The caller sees to it that it is not done again at
    /// once.
    Part(&'static str),
}

impl core::fmt::Display for ErrorOwner {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Group(id) => write!(f, "group {id}"),
            Self::Conversation(id) => write!(f, "conversation {id}"),
            Self::Part(name) => f.write_str(name),
        }
    }
}

impl Fault {
    /// Whether it belongs to the work that failed, not to the store as a whole.
    pub(crate) fn is_contained(&self) -> bool {
        match self {
            Self::Store(error) | Self::Mls(MlsError::Store(error)) => match error {
                StoreError::InUse
                | StoreError::Unreadable
                | StoreError::Newer { .. }
                | StoreError::Damaged { .. }
                | StoreError::DiskFull
                | StoreError::Unwritable
                | StoreError::NotEncrypting
                | StoreError::Disk => false,
                StoreError::Undecodable { .. } => true,
                StoreError::Statement(error) => !matches!(
                    error.sqlite_error_code(),
                    Some(ErrorCode::OutOfMemory | ErrorCode::OperationInterrupted)
                ),
            },
            Self::Mls(_) | Self::Broken(_) => true,
        }
    }
}

/// What a turn was like when a piece of work began, as far as the work may change it.
struct WorkSnapshot {
    effects: usize,
    /// The last request on each link.
    requests: [u32; 2],
}

const LINKS: [LinkKind; 2] = [LinkKind::Mailbox, LinkKind::Posting];

impl WorkSnapshot {
    fn of(turn: &mut Turn<'_>) -> Self {
        Self {
            effects: turn.out.len(),
            requests: LINKS.map(|kind| turn.memory.links.of(kind).last_request()),
        }
    }

    /// Makes memory and effects what they were, after the store was.
    fn restore(self, turn: &mut Turn<'_>) -> Result<(), Fault> {
        // Links that were opened or closed meanwhile are as memory says.
        let undone = turn.out.split_off(self.effects.min(turn.out.len()));
        for effect in undone {
            match effect {
                Effect::OpenLink { .. }
                | Effect::CloseLink { .. }
                | Effect::Notify(Notice::Connection(_)) => turn.out.push(effect),
                Effect::Blob(work) => {
                    if let Some(blob) = work.waits_for() {
                        for hook in turn.hooks.of::<dyn UndoHook>() {
                            hook.handle_file_work_undone(turn, blob);
                        }
                    }
                }
                Effect::Send { .. }
                | Effect::SetTimer(_)
                | Effect::EraseHome
                | Effect::Notify(_) => {}
            }
        }
        for (kind, last) in LINKS.into_iter().zip(self.requests) {
            for job in turn.memory.links.of(kind).take_back(last) {
                for hook in turn.hooks.of::<dyn UndoHook>() {
                    hook.handle_request_undone(turn, &job);
                }
            }
        }
        turn.memory.links.deauthorise_all();
        for hook in turn.hooks.of::<dyn UndoHook>() {
            hook.handle_undone(turn);
        }
        turn.memory.forget_groups();
        turn.resume()
    }
}

impl Turn<'_> {
    /// Does a piece of work; an error in it costs whose work it is, and nothing else.
    /// `None` where the work failed and was undone.
    ///
    /// # Errors
    /// A fault of the store as a whole, or one in what has to be done about the first.
    pub(crate) fn run_contained<R>(
        &mut self,
        whose: ErrorOwner,
        work: impl FnOnce(&mut Turn<'_>) -> Result<R, Fault>,
    ) -> Result<Option<R>, Fault> {
        if self.containment_mut().trusting {
            return work(self).map(Some);
        }
        let fault = match self.run_in_savepoint(work)? {
            Ok(result) => return Ok(Some(result)),
            Err(fault) => fault,
        };
        self.record(whose, &fault)?;
        for hook in self.hooks.of::<dyn ErrorHook>() {
            hook.handle_error(self, whose, &fault)?;
        }
        Ok(None)
    }

    /// Does work that consists of contained parts. It is tried as a whole first, without a
    /// savepoint for each part; if that fails it is done again, part by part.
    pub(crate) fn in_parts(
        &mut self,
        work: impl Fn(&mut Turn<'_>) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        self.containment_mut().trusting = true;
        let whole = self.run_in_savepoint(&work);
        self.containment_mut().trusting = false;
        if whole?.is_err() {
            self.containment_mut().faulty = true;
            work(self)?;
        }
        Ok(())
    }

    /// Does work in a savepoint. The inner error is a fault that was contained: everything
    /// is as it was before.
    pub(crate) fn run_in_savepoint<R>(
        &mut self,
        work: impl FnOnce(&mut Turn<'_>) -> Result<R, Fault>,
    ) -> Result<Result<R, Fault>, Fault> {
        let mark = WorkSnapshot::of(self);
        statement(self.tx, "SAVEPOINT contained")?;
        match work(self) {
            Ok(result) => {
                statement(self.tx, "RELEASE contained")?;
                Ok(Ok(result))
            }
            // After some errors SQLite has undone the whole transaction by itself.
            Err(fault) if !fault.is_contained() || self.tx.is_autocommit() => Err(fault),
            Err(fault) => {
                let undone = statement(self.tx, "ROLLBACK TO contained")
                    .and_then(|()| statement(self.tx, "RELEASE contained"));
                if undone.is_err() {
                    return Err(fault);
                }
                mark.restore(self)?;
                Ok(Err(fault))
            }
        }
    }

    /// A new event begins.
    pub(crate) fn begin_containment(&mut self) {
        *self.containment_mut() = EventContainment::default();
    }

    /// Whether a part of this event's work failed: it may be due still.
    pub(crate) fn is_faulty(&self) -> bool {
        let containment = self.memory.states.get::<EventContainment>();
        containment.is_some_and(|containment| containment.faulty)
    }

    fn containment_mut(&mut self) -> &mut EventContainment {
        self.memory.states.get_mut()
    }

    /// Records a fault, and tells the person of it where nothing else shows it.
    fn record(&mut self, whose: ErrorOwner, fault: &Fault) -> Result<(), Fault> {
        let (whose_text, detail) = (whose.to_string(), fault.to_string());
        self.tx.execute(
            "INSERT INTO contained_fault (at, whose, detail) VALUES (?1, ?2, ?3)",
            (self.now.0.cast_signed(), &whose_text, &detail),
        )?;
        self.tx.execute(
            "DELETE FROM contained_fault WHERE id <= last_insert_rowid() - ?1",
            [KEPT],
        )?;
        let mut shown = false;
        for hook in self.hooks.of::<dyn ErrorHook>() {
            shown |= hook.shows_error(self.tx, whose)?;
        }
        let told = &mut self.memory.states.get_mut::<ToldFaults>().0;
        if !shown && told.len() < TOLD_MAX && told.insert(detail.clone()) {
            let problem = Problem::WorkUndone { detail }.report();
            self.notify(Notice::Warning(Warning { problem }));
        }
        Ok(())
    }
}

/// The faults of the last day, newest first, a few of them.
pub(crate) fn recent(tx: &Transaction<'_>, now: Time) -> Result<Vec<ProblemReport>, StoreError> {
    let since = now.0.saturating_sub(SHOWN_FOR.0).cast_signed();
    let mut statement = tx.prepare_cached(
        "SELECT detail FROM contained_fault WHERE at > ?1
         GROUP BY detail ORDER BY max(id) DESC LIMIT 3",
    )?;
    let rows = statement.query_map([since], |row| {
        let detail = row.get(0)?;
        Ok(Problem::WorkUndone { detail }.report())
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

fn statement(tx: &Transaction<'_>, sql: &'static str) -> Result<(), StoreError> {
    tx.prepare_cached(sql)?.execute([])?;
    Ok(())
}
