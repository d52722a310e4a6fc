//! The history in the archive: entries, with the details of text messages, and amendments.
//!
//! **Always**: imported entries come before everything that arrived at this device itself. Of
//! a message that is here already, only its state rises.

use rusqlite::{OptionalExtension as _, Row, Transaction, params, types::Value};
use waxwing_protocol::{
    ids::{AccountId, DeviceId, GroupId},
    limits,
    pb::{
        ArchivedAmendment, ArchivedEntry, ArchivedGap, ArchivedMessage, ArchivedOther,
        archive_record::Record, archived_amendment, archived_entry::Kind,
    },
    time::Time,
};

use super::{
    amendments::{self, Amendment, Amendments, Amends},
    deleted, text_details,
};
use crate::{
    api::{ConversationId, MessageId},
    archive::{
        ArchiveSection, Archived, Import, NotImported, Place, Section, blob, optional, signed,
    },
    content,
    conversation::history::{self, Entries},
    store::StoreError,
};

/// Imported entries come before everything that arrived at this device itself.
const BEFORE: i64 = 1 << 40;

impl ArchiveSection for Entries {
    fn section(&self) -> Section {
        Section::Entries
    }

    fn count(&self, tx: &Transaction<'_>) -> Result<u64, StoreError> {
        let count: i64 = tx.query_row("SELECT count(*) FROM entry", [], |row| row.get(0))?;
        Ok(count.cast_unsigned())
    }

    fn next(&self, tx: &Transaction<'_>, at: Place<'_>) -> Result<Option<Archived>, StoreError> {
        let mut statement = tx.prepare_cached(
            "SELECT id, conversation, place, address, at, kind, message, account_id,
                 verified, outgoing, coalesce(first_text, text), content, reply_to, sent_at,
                 state, problem, read, event, group_id, device_id, missing, by_address,
                 detail, expires_after, expires_at, proof,
                 imported,
                 (SELECT details FROM sms_message WHERE conversation = entry.conversation
                      AND message = entry.message)
             FROM entry WHERE id > ?1 AND id <= ?2 ORDER BY id LIMIT 1",
        )?;
        let found = statement.query_row([at.row, at.last_row], read_entry);
        let mut found = found.optional()?;
        if let Some((_, entry)) = &mut found {
            leave_out_unseen(tx, entry)?;
        }
        Ok(found.map(|(row, record)| Archived {
            record: Record::Entry(record),
            id: Vec::new(),
            row,
            rest: None,
            is_rest: false,
            // The last row bounds them.
            name: None,
        }))
    }

    fn newest(&self, tx: &Transaction<'_>) -> Result<Option<i64>, StoreError> {
        Ok(Some(
            tx.prepare_cached("SELECT coalesce(max(id), 0) FROM entry")?
                .query_row([], |row| row.get(0))?,
        ))
    }

    fn restore(&self, import: &Import<'_>, record: Record) -> Result<(), NotImported> {
        let Record::Entry(kept) = record else {
            return Ok(());
        };
        let Some(conversation) = import.local(&kept.conversation)? else {
            return Ok(());
        };
        if kept.address.len() > limits::ADDRESS_BYTES {
            return Err(NotImported::Malformed);
        }
        match &kept.kind {
            Some(Kind::Message(message)) => restore_message(import, conversation, &kept, message),
            Some(Kind::Event(event)) => restore_event(import.tx, conversation, &kept, event),
            Some(Kind::Gap(gap)) => restore_gap(import.tx, conversation, &kept, gap),
            None => Ok(()),
        }
    }
}

/// What is to be viewed once does not leave with an archive, only that it came.
fn leave_out_unseen(tx: &Transaction<'_>, entry: &mut ArchivedEntry) -> Result<(), StoreError> {
    if let Some(Kind::Message(message)) = &mut entry.kind
        && let (Ok(conversation), Ok(id)) = (
            ConversationId::try_from(entry.conversation.as_ref()),
            MessageId::try_from(message.id.as_ref()),
        )
        && amendments::is_view_once(tx, conversation, id)?
    {
        message.content = None;
        message.proof.clear();
    }
    Ok(())
}

fn read_entry(row: &Row<'_>) -> rusqlite::Result<(i64, ArchivedEntry)> {
    let kind = match row.get::<_, u8>(5)? {
        1 => Kind::Message(ArchivedMessage {
            id: blob(row, 6)?,
            account_id: blob(row, 7)?,
            verified: row.get::<_, Option<bool>>(8)?.unwrap_or(false),
            outgoing: row.get::<_, Option<bool>>(9)?.unwrap_or(false),
            text: row.get::<_, Option<String>>(10)?.unwrap_or_default(),
            content: row.get::<_, Option<Vec<u8>>>(11)?.map(Into::into),
            reply_to: blob(row, 12)?,
            sent_at_ms: row.get::<_, Option<i64>>(13)?.unwrap_or(0).cast_unsigned(),
            state: row
                .get::<_, Option<u8>>(14)?
                .map_or(0, |state| u32::from(state) + 1),
            problem: row.get::<_, Option<String>>(15)?.unwrap_or_default(),
            read: row.get(16)?,
            expires_after_s: row.get::<_, Option<u32>>(23)?.unwrap_or(0),
            expires_at_ms: row.get::<_, Option<i64>>(24)?.unwrap_or(0).cast_unsigned(),
            proof: blob(row, 25)?,
            imported: row.get(26)?,
            sms_details: row.get::<_, Option<String>>(27)?.unwrap_or_default(),
        }),
        2 => Kind::Event(row.get::<_, Option<String>>(17)?.unwrap_or_default()),
        _ => Kind::Gap(ArchivedGap {
            group_id: blob(row, 18)?,
            device_id: blob(row, 19)?,
            missing: row.get::<_, Option<i64>>(20)?.unwrap_or(0).cast_unsigned(),
        }),
    };
    let entry = ArchivedEntry {
        conversation: blob(row, 1)?,
        place: row.get(2)?,
        address: row.get(3)?,
        at_ms: row.get::<_, i64>(4)?.cast_unsigned(),
        kind: Some(kind),
        by: row.get::<_, Option<String>>(21)?.unwrap_or_default(),
        detail: row.get::<_, Option<String>>(22)?.unwrap_or_default(),
    };
    Ok((row.get(0)?, entry))
}

fn restore_message(
    import: &Import<'_>,
    conversation: ConversationId,
    kept: &ArchivedEntry,
    message: &ArchivedMessage,
) -> Result<(), NotImported> {
    let tx = import.tx;
    let id = MessageId::try_from(message.id.as_ref()).map_err(|_| NotImported::Malformed)?;
    if deleted::is_deleted(tx, id)? {
        return Ok(());
    }
    let account = match optional(&message.account_id, |bytes| AccountId::try_from(bytes).ok())? {
        None if !message.imported && message.sms_details.is_empty() => {
            return Err(NotImported::Malformed);
        }
        account => account,
    };
    let reply_to = optional(&message.reply_to, |bytes| MessageId::try_from(bytes).ok())?;
    // The states that history.rs has, and none for the messages of others.
    let state = match (message.outgoing, message.state) {
        (true, 1..=5) => Some(message.state - 1),
        (false, 0) => None,
        _ => return Err(NotImported::Malformed),
    };
    tx.prepare_cached(
        "INSERT INTO entry (conversation, place, kind, address, at, message, account_id,
             verified, outgoing, text, content, reply_to, sent_at, state, problem, read,
             expires_after, expires_at, proof, imported)
         VALUES (?1, ?2, 1, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17,
             ?18, ?19)
         ON CONFLICT (conversation, message) WHERE message IS NOT NULL DO UPDATE SET
             read = read OR excluded.read, state = max(state, excluded.state)",
    )?
    .execute(params![
        conversation.as_bytes(),
        place(kept),
        kept.address,
        signed(kept.at_ms),
        id.as_bytes(),
        account.map(|id| id.0),
        message.verified,
        message.outgoing,
        message.text,
        message.content.as_deref(),
        reply_to.map(|id| *id.as_bytes()),
        signed(message.sent_at_ms),
        state,
        (!message.problem.is_empty()).then_some(&message.problem),
        message.read,
        (message.expires_after_s > 0).then_some(message.expires_after_s),
        (message.expires_at_ms > 0).then_some(signed(message.expires_at_ms)),
        (!message.proof.is_empty()).then_some(message.proof.as_ref()),
        message.imported,
    ])?;
    if let Some(Ok(content)) = message.content.as_deref().map(content::decode) {
        for table in import.tables.0 {
            table.restore_content(tx, conversation, id, &content)?;
        }
        if content.is_markdown() {
            history::set_markdown(tx, conversation, id)?;
        }
    }
    if !message.sms_details.is_empty() {
        let details =
            serde_json::from_str(&message.sms_details).map_err(|_| NotImported::Malformed)?;
        text_details::store(tx, (conversation, id), &details)?;
    }
    amendments::apply(tx, conversation, id)?;
    Ok(())
}

fn restore_event(
    tx: &Transaction<'_>,
    conversation: ConversationId,
    kept: &ArchivedEntry,
    event: &str,
) -> Result<(), NotImported> {
    // One of a later version could not be shown.
    if !history::is_event(event) || deleted::is_from_before(tx, conversation, signed(kept.at_ms))? {
        return Ok(());
    }
    tx.prepare_cached(
        "INSERT INTO entry (conversation, place, kind, address, at, event, by_address, detail)
         SELECT ?1, ?2, 2, ?3, ?4, ?5, ?6, ?7 WHERE NOT EXISTS (SELECT 1 FROM entry
             WHERE conversation = ?1 AND kind = 2 AND address = ?3 AND at = ?4 AND event = ?5)",
    )?
    .execute(params![
        conversation.as_bytes(),
        place(kept),
        kept.address,
        signed(kept.at_ms),
        event,
        (!kept.by.is_empty()).then_some(&kept.by),
        (!kept.detail.is_empty()).then_some(&kept.detail),
    ])?;
    Ok(())
}

fn restore_gap(
    tx: &Transaction<'_>,
    conversation: ConversationId,
    kept: &ArchivedEntry,
    gap: &ArchivedGap,
) -> Result<(), NotImported> {
    let group = GroupId::try_from(&gap.group_id).map_err(|_| NotImported::Malformed)?;
    let device = DeviceId::try_from(&gap.device_id).map_err(|_| NotImported::Malformed)?;
    if deleted::is_from_before(tx, conversation, signed(kept.at_ms))? {
        return Ok(());
    }
    tx.prepare_cached(
        "INSERT INTO entry
             (conversation, place, kind, address, at, group_id, device_id, missing)
         VALUES (?1, ?2, 3, ?3, ?4, ?5, ?6, ?7) ON CONFLICT DO NOTHING",
    )?
    .execute(params![
        conversation.as_bytes(),
        place(kept),
        kept.address,
        signed(kept.at_ms),
        group.0,
        device.0,
        signed(gap.missing)
    ])?;
    Ok(())
}

const fn place(kept: &ArchivedEntry) -> i64 {
    kept.place.saturating_sub(BEFORE)
}

impl ArchiveSection for Amendments {
    fn section(&self) -> Section {
        Section::Amendments
    }

    fn count(&self, tx: &Transaction<'_>) -> Result<u64, StoreError> {
        let count: i64 = tx.query_row("SELECT count(*) FROM amendment", [], |row| row.get(0))?;
        Ok(count.cast_unsigned())
    }

    /// The key is that of the conversation, with the amendment's behind it.
    fn next(&self, tx: &Transaction<'_>, at: Place<'_>) -> Result<Option<Archived>, StoreError> {
        let (conversation, id) = at.id.split_at_checked(16).unwrap_or_default();
        let mut statement = tx.prepare_cached(
            "SELECT conversation, id, target, account_id, address, own, sent_at, kind, text
             FROM amendment WHERE (conversation, id) > (?1, ?2)
             ORDER BY conversation, id LIMIT 1",
        )?;
        let found = statement.query_row((conversation, id), read_amendment);
        Ok(found.optional()?.map(|record| {
            let (conversation, id) = (record.conversation.to_vec(), record.id.to_vec());
            let key = [&conversation[..], &id[..]].concat();
            Archived {
                name: Some((Value::Blob(conversation), id)),
                ..Archived::by_key(Record::Amendment(record), &key)
            }
        }))
    }

    fn restore(&self, import: &Import<'_>, record: Record) -> Result<(), NotImported> {
        let Record::Amendment(kept) = record else {
            return Ok(());
        };
        restore_amendment(import, &kept)
    }
}

fn read_amendment(row: &Row<'_>) -> rusqlite::Result<ArchivedAmendment> {
    let text: Option<String> = row.get(8)?;
    let text = text.unwrap_or_default();
    Ok(ArchivedAmendment {
        conversation: blob(row, 0)?,
        id: blob(row, 1)?,
        target: blob(row, 2)?,
        account_id: blob(row, 3)?,
        address: row.get(4)?,
        own: row.get(5)?,
        sent_at_ms: row.get::<_, i64>(6)?.cast_unsigned(),
        amends: Some(match row.get::<_, u8>(7)? {
            1 => archived_amendment::Amends::Reaction(text),
            2 => archived_amendment::Amends::Edit(text),
            kind @ amendments::OTHERS.. => archived_amendment::Amends::Other(ArchivedOther {
                kind: kind.into(),
                text,
            }),
            _ => archived_amendment::Amends::TakenBack(true),
        }),
    })
}

/// What was said of a message.
fn restore_amendment(import: &Import<'_>, kept: &ArchivedAmendment) -> Result<(), NotImported> {
    let Some(conversation) = import.local(&kept.conversation)? else {
        return Ok(());
    };
    let message = |bytes: &[u8]| MessageId::try_from(bytes).map_err(|_| NotImported::Malformed);
    let amends = match &kept.amends {
        Some(archived_amendment::Amends::Reaction(emoji)) => {
            Amends::Reaction((!emoji.is_empty()).then(|| emoji.clone()))
        }
        Some(archived_amendment::Amends::Edit(text)) => Amends::Edit(text.clone()),
        Some(archived_amendment::Amends::TakenBack(_)) => Amends::TakenBack,
        Some(archived_amendment::Amends::Other(other)) => {
            let kind = u8::try_from(other.kind).ok();
            let kind = kind.filter(|kind| *kind >= amendments::OTHERS);
            Amends::Other(kind.ok_or(NotImported::Malformed)?, other.text.clone())
        }
        // Of a later version.
        None => return Ok(()),
    };
    if kept.address.len() > limits::ADDRESS_BYTES {
        return Err(NotImported::Malformed);
    }
    amendments::add(
        import.tx,
        &Amendment {
            conversation,
            id: message(&kept.id)?,
            target: message(&kept.target)?,
            account: AccountId::try_from(&kept.account_id).map_err(|_| NotImported::Malformed)?,
            address: &kept.address,
            own: kept.own,
            sent_at: Time(kept.sent_at_ms.min(i64::MAX as u64)),
            amends,
            signed: None,
        },
    )?;
    Ok(())
}
