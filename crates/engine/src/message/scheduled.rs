//! Messages that are sent later, at a time that the person chose.
//!
//! This device alone keeps and sends them: no other device, and not the relay, learns of one before
//! its time. So it leaves late where this device is off then, and the message says for when it was
//! meant. What is refused when its time comes stays in the list, with the reason.
//!
//! **Elsewhere**: [`super::sending`] sends a message, now or then.
//!
//! **Always**: a scheduled message is sent once, or is in the list. It goes to the conversation that
//! the person meant, even if its address belongs to somebody else by then.

use rusqlite::{OptionalExtension as _, Row, Transaction, types::Type};
use waxwing_protocol::time::{Span, Time};

use super::{
    amendments::{self, Amendment, Amends},
    sending,
};
use crate::{
    api::{
        self, ConversationId, Notice, Problem, ProblemReport, Response, ScheduledFile,
        ScheduledMessage, SendText,
    },
    attachment,
    containment::ErrorOwner,
    conversation::{
        reader::MessageHook,
        target::{self, Target},
    },
    store::StoreError,
    tables::Table,
    turn::{EventError, Fault, Turn},
};

pub(crate) const SCHEMA: &str = "
CREATE TABLE scheduled (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    whom TEXT NOT NULL,             -- a conversation's id, or an address nobody has written to
    message TEXT NOT NULL,          -- SendText, as JSON
    at INTEGER NOT NULL,
    problem TEXT                    -- ProblemReport: why it was not sent then
);
CREATE INDEX scheduled_due ON scheduled (at) WHERE problem IS NULL;
";

/// Scheduled messages, at most.
const KEPT_MAX: i64 = 1_000;

/// Messages that are sent in one transaction, at most.
const AT_ONCE: u32 = 32;

/// Sent this long after its time, a message is late.
const LATE: Span = Span::minutes(1);

/// The amendment of a message that was scheduled: its text is the time, in milliseconds.
const SCHEDULED_FOR: u8 = amendments::OTHERS + 4;

/// What is sent later.
pub(crate) struct Scheduled;

impl Table for Scheduled {
    fn merge_conversations(
        &self,
        tx: &Transaction<'_>,
        from: ConversationId,
        into: ConversationId,
    ) -> Result<(), StoreError> {
        tx.execute(
            "UPDATE scheduled SET whom = ?2 WHERE whom = ?1",
            (from.to_string(), into.to_string()),
        )?;
        Ok(())
    }
}

impl MessageHook for Scheduled {
    fn complete(&self, tx: &Transaction<'_>, message: &mut api::Message) -> Result<(), StoreError> {
        if message.direction == api::Direction::Out {
            let mark = amendments::mark(tx, message.conversation, message.id, SCHEDULED_FOR)?;
            let at = mark.and_then(|text| text.parse().ok());
            message.scheduled_for = at.map(|at| Time(at).into());
        }
        Ok(())
    }
}

/// A row.
struct Kept {
    id: i64,
    whom: String,
    message: SendText,
    at: Time,
    problem: Option<ProblemReport>,
}

fn read(row: &Row<'_>) -> rusqlite::Result<Kept> {
    let message: String = row.get(2)?;
    let problem: Option<String> = row.get(4)?;
    Ok(Kept {
        id: row.get(0)?,
        whom: row.get(1)?,
        message: serde_json::from_str(&message).map_err(|error| {
            rusqlite::Error::FromSqlConversionFailure(2, Type::Text, error.into())
        })?,
        at: Time(row.get::<_, i64>(3)?.cast_unsigned()),
        problem: problem.and_then(|json| serde_json::from_str(&json).ok()),
    })
}

fn find(tx: &Transaction<'_>, id: u64) -> Result<Kept, EventError> {
    let id = i64::try_from(id).unwrap_or(i64::MAX);
    let found = tx
        .prepare_cached("SELECT id, whom, message, at, problem FROM scheduled WHERE id = ?1")?
        .query_row([id], read)
        .optional()?;
    found.ok_or(EventError::Refused(Problem::ScheduledUnknown))
}

// What people ask for.

/// Keeps a message until its time.
pub(crate) fn schedule(
    turn: &mut Turn<'_>,
    schedule: &api::Schedule,
) -> Result<Response, EventError> {
    let checked = sending::check(turn, &schedule.message)?;
    is_to_come(turn, schedule.at.0)?;
    let kept: i64 = turn
        .tx
        .query_row("SELECT count(*) FROM scheduled", [], |row| row.get(0))?;
    if kept >= KEPT_MAX {
        return Err(EventError::Refused(Problem::OutboxFull {
            limit: KEPT_MAX.cast_unsigned(),
        }));
    }
    let whom = match target::find(turn.tx, &schedule.message.to)? {
        Target::Conversation(conversation) => {
            sending::refuse(turn, &conversation)?;
            conversation.id.to_string()
        }
        Target::Address(address) => address.display().to_owned(),
    };
    attachment::keep_for_later(turn.tx, checked.files())?;
    turn.tx.execute(
        "INSERT INTO scheduled (whom, message, at) VALUES (?1, ?2, ?3)",
        (&whom, json(&schedule.message)?, signed(schedule.at.0)),
    )?;
    let id = turn.tx.last_insert_rowid();
    let kept = find(turn.tx, id.cast_unsigned())?;
    Ok(Response::ScheduledMessage(Box::new(shown(turn, kept)?)))
}

/// What is to be sent later, the next first.
pub(crate) fn list(turn: &Turn<'_>) -> Result<Response, EventError> {
    let kept: Vec<Kept> = {
        let mut statement = turn.tx.prepare_cached(
            "SELECT id, whom, message, at, problem FROM scheduled ORDER BY at, id",
        )?;
        let rows = statement.query_map([], read)?;
        rows.collect::<Result<_, _>>()?
    };
    let scheduled = kept.into_iter().map(|kept| shown(turn, kept));
    Ok(Response::ScheduledMessages(api::ScheduledMessages {
        scheduled: scheduled.collect::<Result<_, _>>()?,
    }))
}

/// Changes a message that was not sent yet.
pub(crate) fn change(
    turn: &mut Turn<'_>,
    change: &api::ChangeScheduled,
) -> Result<Response, EventError> {
    let mut kept = find(turn.tx, change.id)?;
    if let Some(text) = &change.text {
        kept.message.text.clone_from(text);
        // It is of a link in the text that was.
        let preview = kept.message.link_preview.take();
        kept.message.link_preview = preview.filter(|preview| text.contains(&preview.url));
    }
    if let Some(at) = change.at {
        kept.at = at.0;
    }
    sending::check(turn, &kept.message)?;
    is_to_come(turn, kept.at)?;
    turn.tx.execute(
        "UPDATE scheduled SET message = ?2, at = ?3, problem = NULL WHERE id = ?1",
        (kept.id, json(&kept.message)?, signed(kept.at)),
    )?;
    kept.problem = None;
    Ok(Response::ScheduledMessage(Box::new(shown(turn, kept)?)))
}

/// A message is not sent.
pub(crate) fn cancel(turn: &mut Turn<'_>, id: u64) -> Result<Response, EventError> {
    let kept = find(turn.tx, id)?;
    forget(turn, &kept)?;
    Ok(Response::Done {})
}

/// A conversation is deleted: nothing is sent there later.
pub(super) fn cancel_in(turn: &mut Turn<'_>, conversation: ConversationId) -> Result<(), Fault> {
    let kept: Vec<Kept> = {
        let mut statement = turn.tx.prepare_cached(
            "SELECT id, whom, message, at, problem FROM scheduled WHERE whom = ?1",
        )?;
        let rows = statement.query_map([conversation.to_string()], read)?;
        rows.collect::<Result<_, _>>()?
    };
    for one in &kept {
        forget(turn, one)?;
    }
    Ok(())
}

fn forget(turn: &mut Turn<'_>, kept: &Kept) -> Result<(), Fault> {
    delete(turn.tx, kept.id)?;
    if let Ok(files) = attachment::sealed::sealed_files(&kept.message.attachments) {
        attachment::forget_kept(turn, &files)?;
    }
    Ok(())
}

fn delete(tx: &Transaction<'_>, id: i64) -> Result<(), StoreError> {
    tx.execute("DELETE FROM scheduled WHERE id = ?1", [id])?;
    Ok(())
}

fn is_to_come(turn: &Turn<'_>, at: Time) -> Result<(), EventError> {
    if at > turn.now && i64::try_from(at.0).is_ok() {
        Ok(())
    } else {
        Err(EventError::Refused(Problem::TimePassed))
    }
}

fn shown(turn: &Turn<'_>, kept: Kept) -> Result<ScheduledMessage, EventError> {
    let (to, conversation) = match target::find(turn.tx, &kept.whom) {
        Ok(Target::Conversation(found)) => (found.display, Some(found.id)),
        Ok(Target::Address(address)) => (address.display().to_owned(), None),
        Err(EventError::Refused(_)) => (kept.whom, None),
        Err(fault) => return Err(fault),
    };
    let files = kept.message.attachments.into_iter();
    let files = files.map(|file| ScheduledFile {
        name: file.name,
        media_type: file.media_type,
        size: file.size,
    });
    Ok(ScheduledMessage {
        id: kept.id.cast_unsigned(),
        to,
        conversation,
        text: kept.message.text,
        markdown: kept.message.markdown,
        reply_to: kept.message.reply_to,
        attachments: files.collect(),
        at: kept.at.into(),
        problem: kept.problem,
    })
}

fn json(message: &SendText) -> Result<String, Fault> {
    serde_json::to_string(message).map_err(|error| Fault::Broken(error.to_string()))
}

const fn signed(time: Time) -> i64 {
    time.0.cast_signed()
}

// What happens when the time comes.

/// When the next is to be sent.
pub(crate) fn next_due(tx: &Transaction<'_>) -> Result<Option<Time>, StoreError> {
    let at: Option<i64> = tx
        .prepare_cached("SELECT min(at) FROM scheduled WHERE problem IS NULL")?
        .query_row([], |row| row.get(0))?;
    Ok(at.map(|at| Time(at.cast_unsigned())))
}

/// Sends what is due.
pub(crate) fn pump(turn: &mut Turn<'_>) -> Result<(), Fault> {
    let due: Vec<Kept> = {
        let mut statement = turn.tx.prepare_cached(
            "SELECT id, whom, message, at, problem FROM scheduled
             WHERE problem IS NULL AND at <= ?1 ORDER BY at, id LIMIT ?2",
        )?;
        let rows = statement.query_map((signed(turn.now), AT_ONCE), read)?;
        rows.collect::<Result<_, _>>()?
    };
    for kept in due {
        let sent = turn.run_contained(ErrorOwner::Part("scheduled messages"), |turn| {
            send(turn, &kept)
        })?;
        if sent.is_none() {
            // Others are not to wait for it.
            let detail = "a scheduled message could not be sent".to_owned();
            refused(turn, kept.id, &Problem::WorkUndone { detail })?;
        }
    }
    Ok(())
}

fn send(turn: &mut Turn<'_>, kept: &Kept) -> Result<(), Fault> {
    let message = SendText {
        to: kept.whom.clone(),
        ..kept.message.clone()
    };
    let files = match sending::check(turn, &message) {
        Ok(checked) => attachment::release_kept(turn.tx, checked.files())?,
        Err(EventError::Refused(problem)) => return refused(turn, kept.id, &problem),
        Err(EventError::Fault(fault)) => return Err(fault),
    };
    let sent = match sending::send(turn, &message) {
        Ok(Response::Sent(sent)) => sent,
        Ok(_) => return Err(Fault::Broken("a message without its id".into())),
        Err(EventError::Refused(problem)) => {
            if !files.is_empty()
                && let Ok(files) = attachment::sealed::sealed_files(&message.attachments)
            {
                attachment::keep_for_later(turn.tx, &files)?;
            }
            return refused(turn, kept.id, &problem);
        }
        Err(EventError::Fault(fault)) => return Err(fault),
    };
    delete(turn.tx, kept.id)?;
    let own = turn.account()?;
    let amendment = Amendment {
        conversation: sent.conversation,
        id: amendments::mark_id(sent.id, SCHEDULED_FOR),
        target: sent.id,
        account: own.id(),
        address: own.address().display(),
        own: true,
        sent_at: turn.now,
        amends: Amends::Other(SCHEDULED_FOR, kept.at.0.to_string()),
        signed: None,
    };
    amendments::add(turn.tx, &amendment)?;
    let late = turn.now.since(kept.at);
    turn.notify(Notice::Scheduled(api::ScheduledChanged {
        id: kept.id.cast_unsigned(),
        message: Some(sent.id),
        conversation: Some(sent.conversation),
        late_ms: (late > LATE).then_some(late.0),
        problem: None,
    }));
    Ok(())
}

/// It stays in the list, with the reason.
fn refused(turn: &mut Turn<'_>, id: i64, problem: &Problem) -> Result<(), Fault> {
    let report = problem.report();
    let text = serde_json::to_string(&report).unwrap_or_default();
    turn.tx.execute(
        "UPDATE scheduled SET problem = ?2 WHERE id = ?1",
        (id, text),
    )?;
    turn.notify(Notice::Scheduled(api::ScheduledChanged {
        id: id.cast_unsigned(),
        message: None,
        conversation: None,
        late_ms: None,
        problem: Some(report),
    }));
    Ok(())
}
