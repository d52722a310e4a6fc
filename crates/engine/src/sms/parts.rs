//! Parts of long texts, until all of them are here.
//!
//! They arrive in any order, and some may never arrive. After a while the parts that are here
//! are shown, with the missing ones marked, and shown again when more arrive.
//!
//! **Elsewhere**: `waxwing_sms::concatenation` joins them.
//!
//! **Always**: bounded in time (a day) and in the number of parts.

use waxwing_protocol::time::{Span, Time};
use waxwing_sms::{
    Deliver, Direction, Reference, Tpdu,
    concatenation::{Assembly, Key},
    findings::Message,
};

use super::receive;
use crate::{
    api::{ConversationId, MessageId},
    conversation::{self, Conversation},
    store::StoreError,
    tables::Table,
    turn::{Fault, Postponed, Turn},
};

/// What is there is shown after this, though parts are missing.
const PATIENCE: Span = Span::minutes(1);
/// Parts are kept for so long: references come again.
const KEPT: Span = Span::days(1);
/// The parts of all texts.
pub(crate) struct Parts;

impl Table for Parts {
    fn erase_content(
        &self,
        turn: &mut Turn<'_>,
        conversation: ConversationId,
        message: MessageId,
    ) -> Result<(), Fault> {
        turn.tx
            .prepare_cached("DELETE FROM sms_part WHERE conversation = ?1 AND message = ?2")?
            .execute((conversation.as_bytes(), message.as_bytes()))?;
        Ok(())
    }
}

/// Parts that are kept, of all texts.
const PARTS_MAX: i64 = 10_000;

/// What is here of a text.
struct Here {
    /// Its id: that of the part that came first.
    id: MessageId,
    parts: Vec<Deliver>,
    shown: bool,
}

/// A part came.
pub(super) fn handle_part(
    turn: &mut Turn<'_>,
    conversation: &Conversation,
    id: MessageId,
    deliver: &Deliver,
    tpdu: &[u8],
) -> Result<(), Fault> {
    let Some(key) = Key::of(deliver) else {
        return Ok(());
    };
    let reference = match key.reference {
        Reference::Short(number) => vec![number],
        Reference::Long(number) => number.to_be_bytes().to_vec(),
    };
    forget_old(turn)?;
    let kept: i64 = turn
        .tx
        .prepare_cached("SELECT count(*) FROM sms_part")?
        .query_row([], |row| row.get(0))?;
    if kept >= PARTS_MAX {
        return Ok(());
    }
    let first = here(turn, conversation, &reference)?.map_or(id, |here| here.id);
    turn.tx
        .prepare_cached(
            "INSERT INTO sms_part (conversation, reference, message, tpdu, came_at)
             VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT DO NOTHING",
        )?
        .execute((
            conversation.id.as_bytes(),
            &reference,
            first.as_bytes(),
            tpdu,
            turn.now.0.cast_signed(),
        ))?;
    let Some(here) = here(turn, conversation, &reference)? else {
        return Ok(());
    };
    let whole = Assembly::of(here.parts.clone()).missing().is_empty();
    if whole || here.shown {
        show(turn, conversation, &reference, here)
    } else {
        turn.postpone(Postponed::SmsParts, PATIENCE);
        Ok(())
    }
}

/// Shows what has waited for long enough.
pub(super) fn pump(turn: &mut Turn<'_>) -> Result<(), Fault> {
    if turn.is_postponed(&Postponed::SmsParts) {
        return Ok(());
    }
    let before = turn.now.0.saturating_sub(PATIENCE.0).cast_signed();
    let due: Vec<([u8; 16], Vec<u8>)> = {
        let mut statement = turn.tx.prepare_cached(
            "SELECT DISTINCT conversation, reference FROM sms_part WHERE NOT shown
                 AND came_at <= ?1",
        )?;
        let rows = statement.query_map([before], |row| Ok((row.get(0)?, row.get(1)?)))?;
        rows.collect::<Result<_, _>>()?
    };
    for (id, reference) in due {
        let id = ConversationId::from_bytes(id);
        let Some(conversation) = conversation::find(turn.tx, id)? else {
            continue;
        };
        if let Some(here) = here(turn, &conversation, &reference)? {
            show(turn, &conversation, &reference, here)?;
        }
    }
    let waiting: bool = turn
        .tx
        .prepare_cached("SELECT EXISTS (SELECT 1 FROM sms_part WHERE NOT shown)")?
        .query_row([], |row| row.get(0))?;
    if waiting {
        turn.postpone(Postponed::SmsParts, PATIENCE);
    }
    Ok(())
}

fn show(
    turn: &mut Turn<'_>,
    conversation: &Conversation,
    reference: &[u8],
    here: Here,
) -> Result<(), Fault> {
    turn.tx.execute(
        "UPDATE sms_part SET shown = 1 WHERE conversation = ?1 AND reference = ?2",
        (conversation.id.as_bytes(), reference),
    )?;
    let assembly = Assembly::of(here.parts);
    let Some(joined) = assembly.joined() else {
        return Ok(());
    };
    let message = Message {
        deliver: &joined,
        disagreements: &assembly.disagreements(),
        missing: &assembly.missing(),
    };
    receive::show(turn, conversation, here.id, &message)?;
    if assembly.missing().is_empty() {
        // The next text with this reference is another.
        turn.tx.execute(
            "DELETE FROM sms_part WHERE conversation = ?1 AND reference = ?2",
            (conversation.id.as_bytes(), reference),
        )?;
    }
    Ok(())
}

fn here(
    turn: &Turn<'_>,
    conversation: &Conversation,
    reference: &[u8],
) -> Result<Option<Here>, StoreError> {
    let mut statement = turn.tx.prepare_cached(
        "SELECT message, tpdu, shown FROM sms_part WHERE conversation = ?1 AND reference = ?2
         ORDER BY id",
    )?;
    let rows = statement.query_map((conversation.id.as_bytes(), reference), |row| {
        let tpdu: Vec<u8> = row.get(1)?;
        let shown: bool = row.get(2)?;
        Ok((MessageId::from_bytes(row.get(0)?), tpdu, shown))
    })?;
    let mut here: Option<Here> = None;
    for row in rows {
        let (id, tpdu, shown) = row?;
        if let Ok(Tpdu::Deliver(deliver)) = Tpdu::decode(Direction::ToPhone, &tpdu) {
            let here = here.get_or_insert_with(|| Here {
                id,
                parts: Vec::new(),
                shown: false,
            });
            here.parts.push(deliver);
            here.shown |= shown;
        }
    }
    Ok(here)
}

fn forget_old(turn: &Turn<'_>) -> Result<(), StoreError> {
    let before = Time(turn.now.0.saturating_sub(KEPT.0));
    turn.tx
        .prepare_cached("DELETE FROM sms_part WHERE came_at < ?1")?
        .execute([before.0.cast_signed()])?;
    Ok(())
}
