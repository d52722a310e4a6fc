//! Makes the archive, chunk by chunk.
//!
//! **Always**: what arrives after the archive's last section was begun is not in the archive,
//! and nothing that arrives after a transfer began is in that transfer ([`Reach`]); what is
//! behind the cursor is never sent again.

use prost::Message as _;
use rusqlite::{OptionalExtension as _, Row, Transaction};
use waxwing_protocol::{
    ids::GroupId,
    pb::{
        self, ArchiveChunk, ArchiveCursor, ArchiveRecord, ArchivedAmendment, ArchivedAuditor,
        ArchivedConversation, ArchivedDevice, ArchivedEntry, ArchivedGap, ArchivedGroup,
        ArchivedHeard, ArchivedMany, ArchivedMember, ArchivedMessage, ArchivedSettings,
        archive_record::Record, archived_amendment, archived_entry::Kind,
    },
};

use super::{CHUNK_BYTES, RECORD_BYTES, Section, VERSION, contacts};
use crate::{
    account,
    api::ConversationId,
    conversation::{self, members},
    devices::{backup, names, transfer},
    inbox::sender_counters,
    settings::{self, Setting},
    store::StoreError,
    synced_settings,
    trust::auditors,
};

/// How much goes into an archive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reach {
    /// Everything that is here when its section is begun.
    Everything,
    /// What was here when a transfer began: nothing that `said_later` lists, and no entry after
    /// this one.
    UpTo {
        /// The row of the last entry.
        last_entry: i64,
    },
}

impl Reach {
    const fn is_everything(self) -> bool {
        matches!(self, Self::Everything)
    }
}

/// The chunk at a cursor; the first without one.
pub(crate) fn export(
    tx: &Transaction<'_>,
    cursor: Option<ArchiveCursor>,
    reach: Reach,
) -> Result<ArchiveChunk, StoreError> {
    let mut at = match cursor {
        Some(cursor) => cursor,
        None => begin(tx)?,
    };
    let mut chunk = ArchiveChunk {
        version: VERSION,
        total: at.total,
        ..ArchiveChunk::default()
    };
    let mut bytes = 0;
    loop {
        let Some(section) = Section::of(at.section) else {
            chunk.done = at.total;
            return Ok(chunk);
        };
        let Some((record, after)) = next(tx, section, &at, reach)? else {
            at = ArchiveCursor {
                section: at.section + 1,
                id: bytes::Bytes::new(),
                row: 0,
                ..at
            };
            if Section::of(at.section) == Some(Section::Entries) {
                // Not before: what the groups were said to have heard is among them.
                at.last_row = match reach {
                    Reach::Everything => last_entry(tx)?,
                    Reach::UpTo { last_entry } => last_entry,
                };
            }
            continue;
        };
        let record = fitted(ArchiveRecord {
            record: Some(record),
        });
        bytes += record.encoded_len();
        if bytes > CHUNK_BYTES && !chunk.records.is_empty() {
            chunk.done = at.done;
            chunk.next = Some(at);
            return Ok(chunk);
        }
        chunk.records.push(record);
        at = after;
    }
}

/// A record that is larger than a message at a rendezvous can be goes without the part
/// of a message that is not its text.
fn fitted(mut record: ArchiveRecord) -> ArchiveRecord {
    if record.encoded_len() > RECORD_BYTES
        && let Some(Record::Entry(entry)) = &mut record.record
        && let Some(Kind::Message(message)) = &mut entry.kind
    {
        message.content = None;
        message.proof.clear();
    }
    record
}

fn begin(tx: &Transaction<'_>) -> Result<ArchiveCursor, StoreError> {
    let count = |query: &str| -> Result<u64, StoreError> {
        let count: i64 = tx.query_row(query, [], |row| row.get(0))?;
        Ok(count.cast_unsigned())
    };
    let total = 1
        + count("SELECT count(*) FROM device_name")?
        + contacts::count(tx)?
        + count("SELECT count(*) FROM conversation")?
        + count(&format!(
            "SELECT count(*) FROM conversation_group WHERE {GROUPS}"
        ))?
        + count("SELECT count(*) FROM entry")?
        + count("SELECT count(*) FROM amendment")?
        + count("SELECT count(*) FROM register")?;
    Ok(ArchiveCursor {
        total,
        ..ArchiveCursor::default()
    })
}

fn last_entry(tx: &Transaction<'_>) -> Result<i64, StoreError> {
    let newest = "SELECT coalesce(max(id), 0) FROM entry";
    Ok(tx.query_row(newest, [], |row| row.get(0))?)
}

/// The record behind the cursor, and the cursor behind that.
fn next(
    tx: &Transaction<'_>,
    section: Section,
    at: &ArchiveCursor,
    reach: Reach,
) -> Result<Option<(Record, ArchiveCursor)>, StoreError> {
    let all = reach.is_everything();
    let behind = |id: &[u8], row: i64| ArchiveCursor {
        id: id.to_vec().into(),
        row,
        done: at.done + 1,
        ..at.clone()
    };
    Ok(match section {
        Section::Settings if at.row == 0 => Some((settings(tx)?, behind(&[], 1))),
        Section::Settings => None,
        Section::Devices => names::all(tx)?
            .into_iter()
            .find(|(device, _)| device.as_bytes().as_slice() > at.id.as_ref())
            .map(|(device, name)| {
                let record = ArchivedDevice {
                    device_id: device.to_bytes(),
                    name,
                };
                (Record::Device(record), behind(device.as_bytes(), 0))
            }),
        Section::Contacts => next_contact(tx, at, all)?,
        Section::Conversations => tx
            .prepare_cached(
                "SELECT id, display, account_id, written_to, started_at, stopped, kind, gone,
                     timer, timer_at
                 FROM conversation WHERE id > ?1 AND (?2 OR NOT EXISTS (
                     SELECT 1 FROM said_later WHERE section = 3 AND key = id))
                 ORDER BY id LIMIT 1",
            )?
            .query_row((at.id.as_ref(), all), conversation)
            .optional()?
            .map(|mut record| {
                archived_members(tx, &mut record)?;
                let after = behind(&record.id, 0);
                Ok::<_, StoreError>((Record::Conversation(record), after))
            })
            .transpose()?,
        Section::Groups => tx
            .prepare_cached(&format!(
                "SELECT group_id, conversation, account_id, rejoin_secret, next_counter, generation
                 FROM conversation_group WHERE group_id > ?1 AND {GROUPS} AND (?2 OR NOT EXISTS (
                     SELECT 1 FROM said_later WHERE section = 4 AND key = group_id))
                 ORDER BY group_id LIMIT 1"
            ))?
            .query_row((at.id.as_ref(), all), group)
            .optional()?
            .map(|(mut record, said)| {
                record.heard = archived_heard(tx, &record, said, reach)?;
                let after = behind(&record.group_id, 0);
                Ok::<_, StoreError>((Record::Group(record), after))
            })
            .transpose()?,
        Section::Entries => tx
            .prepare_cached(
                "SELECT id, conversation, place, address, at, kind, message, account_id,
                     verified, outgoing, coalesce(first_text, text), content, reply_to, sent_at,
                     state, problem, read, event, group_id, device_id, missing, by_address,
                     detail, expires_after, expires_at, proof,
                     imported,
                     (SELECT details FROM sms_message WHERE conversation = entry.conversation
                          AND message = entry.message)
                 FROM entry WHERE id > ?1 AND id <= ?2 ORDER BY id LIMIT 1",
            )?
            .query_row([at.row, at.last_row], entry)
            .optional()?
            .map(|(row, record)| (Record::Entry(record), behind(&[], row))),
        Section::Registers => {
            // The kind is in `row`, the key in `id`.
            let kind = u32::try_from(at.row).unwrap_or(u32::MAX);
            next_register(tx, (kind, &at.id), all)?.map(|one| {
                let after = behind(&one.key, i64::from(one.kind));
                let record = pb::Register {
                    kind: one.kind,
                    key: one.key.into(),
                    value: one.value.into(),
                    changed_at_ms: one.changed_at.0,
                    device_id: one.device.to_bytes(),
                };
                (Record::Register(record), after)
            })
        }
        Section::Amendments => {
            let (conversation, id) = at.id.split_at_checked(16).unwrap_or_default();
            tx.prepare_cached(
                "SELECT conversation, id, target, account_id, address, own, sent_at, kind, text
                 FROM amendment WHERE (conversation, id) > (?1, ?2) AND (?3 OR NOT EXISTS (
                     SELECT 1 FROM said_later
                     WHERE section = 6 AND key = conversation AND part = id))
                 ORDER BY conversation, id LIMIT 1",
            )?
            .query_row((conversation, id, all), amendment)
            .optional()?
            .map(|record| {
                let after = behind(&[&record.conversation[..], &record.id[..]].concat(), 0);
                (Record::Amendment(record), after)
            })
        }
    })
}

/// A contact, or more of the roster of the one at the cursor (`row` statements of it are
/// behind).
fn next_contact(
    tx: &Transaction<'_>,
    at: &ArchiveCursor,
    all: bool,
) -> Result<Option<(Record, ArchiveCursor)>, StoreError> {
    if at.row > 0
        && let Some(contact) = contacts::contact_of_account(tx, &at.id)?
    {
        let (record, more) = contact.more(usize::try_from(at.row).unwrap_or(usize::MAX));
        let after = ArchiveCursor {
            row: more.map_or(0, row),
            ..at.clone()
        };
        return Ok(Some((Record::Statements(record), after)));
    }
    let Some(contact) = contacts::contacts_after(tx, &at.id, !all)? else {
        return Ok(None);
    };
    let (record, more) = contact.record();
    let after = ArchiveCursor {
        id: contact.account.to_vec().into(),
        row: more.map_or(0, row),
        done: at.done + 1,
        ..at.clone()
    };
    Ok(Some((Record::Contact(record), after)))
}

/// The setting after this one.
fn next_register(
    tx: &Transaction<'_>,
    (kind, key): (u32, &[u8]),
    all: bool,
) -> Result<Option<synced_settings::SyncedSetting>, StoreError> {
    let mut at = (kind, key.to_vec());
    while let Some(next) = synced_settings::settings_after(tx, (at.0, &at.1), 1)?.pop() {
        let is_later = !all
            && tx
                .prepare_cached(
                    "SELECT 1 FROM said_later WHERE section = 7 AND key = ?1 AND part = ?2",
                )?
                .exists((next.kind, &next.key))?;
        if !is_later {
            return Ok(Some(next));
        }
        at = (next.kind, next.key);
    }
    Ok(None)
}

fn row(position: usize) -> i64 {
    i64::try_from(position).unwrap_or(i64::MAX)
}

fn settings(tx: &Transaction<'_>) -> Result<Record, StoreError> {
    let read = |setting| Ok::<_, StoreError>(settings::read(tx, setting)?.unwrap_or(true));
    let (auditors, auditors_required) = auditors::named(tx)?;
    let auditors = auditors.into_iter().map(|(id, name)| ArchivedAuditor {
        id: id.0.to_vec().into(),
        name,
    });
    Ok(Record::Settings(ArchivedSettings {
        auditors: auditors.collect(),
        auditors_required,
        tell_delivered: read(Setting::TellDelivered)?,
        tell_read: read(Setting::TellRead)?,
        backup_key: backup::key::public(tx)?.unwrap_or_default().into(),
    }))
}

/// Groups that can be rejoined: those of a conversation that are not over.
const GROUPS: &str = "conversation IS NOT NULL AND state != 5";

fn conversation(row: &Row<'_>) -> rusqlite::Result<ArchivedConversation> {
    let name: String = row.get(1)?;
    let kind: u8 = row.get(6)?;
    let is_many = kind == conversation::Kind::Group as u8;
    let (address, many) = if is_many {
        let many = ArchivedMany {
            name,
            gone: row.get(7)?,
            members: Vec::new(),
        };
        (String::new(), Some(many))
    } else {
        (name, None)
    };
    Ok(ArchivedConversation {
        id: blob(row, 0)?,
        address,
        account_id: blob(row, 2)?,
        written_to: row.get(3)?,
        started_at_ms: row.get::<_, i64>(4)?.cast_unsigned(),
        stopped: row.get(5)?,
        many,
        notes: kind == conversation::Kind::Notes as u8,
        timer_s: row.get(8)?,
        timer_at_ms: row.get::<_, i64>(9)?.cast_unsigned(),
        sms: kind == conversation::Kind::Sms as u8,
    })
}

fn archived_members(
    tx: &Transaction<'_>,
    record: &mut ArchivedConversation,
) -> Result<(), StoreError> {
    if let Some(many) = &mut record.many
        && let Ok(id) = ConversationId::try_from(record.id.as_ref())
    {
        let members = members::all(tx, id)?.into_iter();
        let members = members.map(|member| ArchivedMember {
            account_id: member.account.to_bytes(),
            address: member.address,
            admin: member.admin,
        });
        many.members = members.collect();
    }
    Ok(())
}

/// A group, with how much of it this device has said, but not what it has heard.
fn group(row: &Row<'_>) -> rusqlite::Result<(ArchivedGroup, u64)> {
    let group = ArchivedGroup {
        group_id: blob(row, 0)?,
        conversation: blob(row, 1)?,
        account_id: blob(row, 2)?,
        rejoin_secret: blob(row, 3)?,
        heard: Vec::new(),
        generation: row.get::<_, i64>(5)?.cast_unsigned(),
    };
    let next_counter: i64 = row.get(4)?;
    Ok((group, (next_counter - 1).max(0).cast_unsigned()))
}

/// What this device has heard of a group, and said itself: as far as nothing is missing, so that
/// the device that gets the archive asks for the rest.
fn archived_heard(
    tx: &Transaction<'_>,
    group: &ArchivedGroup,
    said: u64,
    reach: Reach,
) -> Result<Vec<ArchivedHeard>, StoreError> {
    let id = GroupId::try_from(&group.group_id).ok();
    let mut all = Vec::new();
    match (id, reach) {
        (Some(id), Reach::Everything) => {
            all = sender_counters::senders(tx, id)?;
            all.extend(account::load(tx)?.map(|own| (own.device(), said)));
        }
        (Some(id), Reach::UpTo { .. }) => all = transfer::had_heard(tx, id)?,
        (None, _) => {}
    }
    let archived = all.into_iter().map(|(device, up_to)| ArchivedHeard {
        device_id: device.to_bytes(),
        up_to,
    });
    Ok(archived.collect())
}

fn entry(row: &Row<'_>) -> rusqlite::Result<(i64, ArchivedEntry)> {
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

fn amendment(row: &Row<'_>) -> rusqlite::Result<ArchivedAmendment> {
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
            _ => archived_amendment::Amends::TakenBack(true),
        }),
    })
}

/// Empty where there is none.
fn blob(row: &Row<'_>, column: usize) -> rusqlite::Result<bytes::Bytes> {
    Ok(row
        .get::<_, Option<Vec<u8>>>(column)?
        .unwrap_or_default()
        .into())
}
