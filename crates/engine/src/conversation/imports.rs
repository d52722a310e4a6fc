//! Messages imported from a file, such as an export from another account.
//!
//! They are shown as what they are: words from a file, which anybody can write. None is
//! verified, proves anything, or counts as unread. A message that is already here stays
//! unchanged; if the real message arrives later, it replaces the imported one.
//!
//! **Elsewhere**: the client writes and reads the files.
//!
//! **Always**: nothing of an import is sent to anybody, and importing twice has the same
//! result as importing once.

use rusqlite::{OptionalExtension as _, Transaction};
use waxwing_protocol::{address::Address, limits, time::Time};

use super::{
    Conversation,
    history::{self, ENTRIES_MAX},
    notes,
};
use crate::{
    api::{self, Direction, Imported, Message, Problem, Response},
    attachment,
    conversation::target::{self, Target},
    message::link_preview,
    store::StoreError,
    turn::{EventError, Fault, Turn},
};

/// Whether a message was imported from a file.
pub(crate) const SCHEMA: &str = "
ALTER TABLE entry ADD COLUMN imported INTEGER NOT NULL DEFAULT 0;
CREATE INDEX entry_imported ON entry (conversation, message) WHERE imported;
";

/// Brings messages in, the oldest first.
pub(crate) fn import(
    turn: &mut Turn<'_>,
    asked: &api::ImportEntries,
) -> Result<Response, EventError> {
    let Some(account) = turn.volatile.account.as_ref() else {
        return Err(EventError::Refused(Problem::NotRegistered));
    };
    if asked.messages.len() > ENTRIES_MAX as usize {
        return Err(invalid("it has too many messages at once"));
    }
    let own = account.address().clone();
    for imported in &asked.messages {
        check(&imported.message)?;
    }
    let into = match target::find(turn.tx, &asked.into)? {
        Target::Conversation(conversation) => conversation,
        Target::Address(address) if address == own => notes::conversation(turn)?,
        Target::Address(address) => super::start(turn.tx, turn.now, turn.rng, &address, None)?,
    };
    let mut done = Imported { added: 0, known: 0 };
    for imported in &asked.messages {
        let files = attachment::sealed::sealed_files(&imported.files)?;
        if add(turn.tx, turn.now, &into, &imported.message)? {
            attachment::keep_here(turn.tx, into.id, imported.message.id, &files)?;
            let message = &imported.message;
            let preview = message.link_preview.as_ref();
            if let Some(preview) = preview.and_then(|one| link_preview::made(one, &message.text)) {
                link_preview::store_preview(turn.tx, into.id, message.id, &preview)?;
            }
            done.added += 1;
        } else {
            done.known += 1;
        }
    }
    Ok(Response::Imported(done))
}

fn invalid(reason: &str) -> EventError {
    EventError::Refused(Problem::ImportInvalid {
        reason: reason.to_owned(),
    })
}

fn check(message: &Message) -> Result<(), EventError> {
    if message.text.len() > limits::TEXT_BYTES {
        return Err(invalid("a message is too long"));
    }
    if Address::parse(&message.from).is_err() {
        return Err(invalid("a sender is not a valid address"));
    }
    if crate::content::MessageId::from_bytes(message.id.as_bytes()).is_none() {
        return Err(invalid("an id is not a message id"));
    }
    Ok(())
}

/// Adds a message before all that are younger. `false` when it is there.
fn add(
    tx: &Transaction<'_>,
    now: Time,
    into: &Conversation,
    message: &Message,
) -> Result<bool, StoreError> {
    let sent_at = message.sent_at.0.min(now);
    let time = |time: Time| time.0.min(i64::MAX as u64).cast_signed();
    let outgoing = message.direction == Direction::Out;
    let added = tx
        .prepare_cached(
            "INSERT INTO entry (conversation, place, kind, address, at, message, verified,
                 outgoing, text, reply_to, sent_at, state, read, markdown, imported,
                 edited_at, taken_back_at)
             VALUES (?1, coalesce(?12, (SELECT coalesce(max(id), 0) + 1 FROM entry)),
                 1, ?3, ?2, ?4, 0, ?5, ?6, ?7, ?2, ?8, 1, ?9, 1, ?10, ?11)
             ON CONFLICT DO NOTHING",
        )?
        .execute((
            into.id.as_bytes(),
            time(sent_at),
            &message.from,
            message.id.as_bytes(),
            outgoing,
            if message.taken_back {
                ""
            } else {
                &message.text
            },
            message.reply_to.map(|id| *id.as_bytes()),
            outgoing.then_some(history::ACCEPTED),
            !message.formatted.is_empty(),
            message.edited_at.map(|at| time(at.0)),
            message.taken_back.then_some(time(sent_at)),
            place(tx, into.id, time(sent_at))?,
        ))?;
    Ok(added > 0)
}

/// Where a message stands that was sent at a time: behind the last that was sent before, or
/// before all; `None` for the end.
fn place(
    tx: &Transaction<'_>,
    conversation: api::ConversationId,
    sent_at: i64,
) -> Result<Option<i64>, StoreError> {
    let (first, last): (Option<i64>, Option<i64>) = tx
        .prepare_cached(
            "SELECT (SELECT min(place) FROM entry WHERE conversation = ?1),
                    (SELECT max(place) FROM entry WHERE conversation = ?1)",
        )?
        .query_row([conversation.as_bytes()], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })?;
    let before: Option<i64> = tx
        .prepare_cached(
            "SELECT place FROM entry WHERE conversation = ?1 AND sent_at <= ?2
             ORDER BY place DESC LIMIT 1",
        )?
        .query_row((conversation.as_bytes(), sent_at), |row| row.get(0))
        .optional()?;
    Ok(match before {
        None => first.map(|first| first.saturating_sub(1)),
        place if place == last => None,
        place => place,
    })
}

/// A message has come by itself: what a file says of it does not count any more.
pub(crate) fn superseded(
    turn: &mut Turn<'_>,
    conversation: api::ConversationId,
    id: api::MessageId,
) -> Result<(), Fault> {
    let gone = turn
        .tx
        .prepare_cached(
            "DELETE FROM entry WHERE conversation = ?1 AND message = ?2 AND imported = 1",
        )?
        .execute((conversation.as_bytes(), id.as_bytes()))?;
    if gone > 0 {
        turn.erase_content(conversation, id)?;
    }
    Ok(())
}
