//! Conversations and their groups in the archive.
//!
//! **Always**: what is known here of a conversation stays as it is. A group that comes with an
//! archive is lost: this device rejoins it, unless another of the account's devices re-adds it
//! first.

use rusqlite::{OptionalExtension as _, Row, Transaction, params};
use waxwing_protocol::{
    address::Address,
    ids::{AccountId, DeviceId, GroupId},
    limits,
    pb::{
        ArchivedConversation, ArchivedGroup, ArchivedHeard, ArchivedMany, ArchivedMember,
        archive_record::Record,
    },
    sealing::RejoinSecret,
    time::Time,
};

use super::{Kind, group_state::GroupState, groups, members, sms_names};
use crate::{
    account,
    api::ConversationId,
    archive::{
        ArchiveSection, Archived, Import, NotImported, Place, Section, blob, optional, signed,
    },
    inbox::sender_counters::{self, Sender},
    store::StoreError,
    tables::Table,
};

/// The conversations, with their members.
pub(crate) struct ConversationRows;

impl Table for ConversationRows {
    fn archived(&self) -> Option<&dyn ArchiveSection> {
        Some(self)
    }
}

impl ArchiveSection for ConversationRows {
    fn section(&self) -> Section {
        Section::Conversations
    }

    fn count(&self, tx: &Transaction<'_>) -> Result<u64, StoreError> {
        let count: i64 = tx.query_row("SELECT count(*) FROM conversation", [], |row| row.get(0))?;
        Ok(count.cast_unsigned())
    }

    fn next(&self, tx: &Transaction<'_>, at: Place<'_>) -> Result<Option<Archived>, StoreError> {
        let mut statement = tx.prepare_cached(
            "SELECT id, display, account_id, written_to, started_at, stopped, kind, gone,
                 timer, timer_at
             FROM conversation WHERE id > ?1 ORDER BY id LIMIT 1",
        )?;
        let found = statement.query_row([at.id], read_conversation).optional()?;
        let Some(mut record) = found else {
            return Ok(None);
        };
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
        let key = record.id.clone();
        Ok(Some(Archived::by_key(Record::Conversation(record), &key)))
    }

    fn restore(&self, import: &Import<'_>, record: Record) -> Result<(), NotImported> {
        let Record::Conversation(kept) = record else {
            return Ok(());
        };
        let source =
            ConversationId::try_from(kept.id.as_ref()).map_err(|_| NotImported::Malformed)?;
        let local = if let Some(many) = &kept.many {
            restore_many(import.tx, source, &kept, many)?
        } else if kept.sms {
            restore_with_phone(import.tx, source, &kept)?
        } else {
            restore_direct(import.tx, source, &kept)?
        };
        Ok(import.set_local(source, local)?)
    }
}

fn read_conversation(row: &Row<'_>) -> rusqlite::Result<ArchivedConversation> {
    let name: String = row.get(1)?;
    let kind: u8 = row.get(6)?;
    let is_many = kind == Kind::Group as u8;
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
        notes: kind == Kind::Notes as u8,
        timer_s: row.get(8)?,
        timer_at_ms: row.get::<_, i64>(9)?.cast_unsigned(),
        sms: kind == Kind::Sms as u8,
    })
}

/// A conversation with somebody, or the notes.
fn restore_direct(
    tx: &Transaction<'_>,
    source: ConversationId,
    kept: &ArchivedConversation,
) -> Result<ConversationId, NotImported> {
    let address = Address::parse(&kept.address).map_err(|_| NotImported::Malformed)?;
    let account = optional(&kept.account_id, |bytes| AccountId::try_from(bytes).ok())?;
    let here = match account {
        _ if kept.notes => super::notes(tx)?,
        Some(account) => super::with_account(tx, account)?,
        None => super::with_address(tx, address.canonical())?,
    };
    let local = if let Some(here) = here {
        here.id
    } else {
        tx.prepare_cached(
            "INSERT INTO conversation
                     (id, address, display, account_id, written_to, started_at, kind)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT DO NOTHING",
        )?
        .execute(params![
            source.as_bytes(),
            address.canonical(),
            address.display(),
            account.map(|account| account.0),
            kept.written_to,
            signed(kept.started_at_ms),
            if kept.notes {
                Kind::Notes as u8
            } else {
                Kind::Direct as u8
            },
        ])?;
        source
    };
    if kept.stopped {
        super::set_awaiting_decision(tx, local, true)?;
    }
    if kept.written_to {
        super::set_written_to(tx, local)?;
    }
    tx.execute(
        "UPDATE conversation SET timer = ?2, timer_at = ?3 WHERE id = ?1 AND timer_at < ?3",
        params![local.as_bytes(), kept.timer_s, signed(kept.timer_at_ms)],
    )?;
    Ok(local)
}

/// A conversation by text messages, which is known by its name.
fn restore_with_phone(
    tx: &Transaction<'_>,
    source: ConversationId,
    kept: &ArchivedConversation,
) -> Result<ConversationId, NotImported> {
    if !kept.address.starts_with("sms:") || kept.address.len() > 64 {
        return Err(NotImported::Malformed);
    }
    let local = if let Some(found) = sms_names::find_sms(tx, &kept.address)? {
        found.id
    } else {
        super::start_sms(tx, Time(kept.started_at_ms), source, &kept.address)?;
        source
    };
    if kept.written_to {
        super::set_written_to(tx, local)?;
    }
    Ok(local)
}

/// A group conversation: what is known here already is newer.
fn restore_many(
    tx: &Transaction<'_>,
    id: ConversationId,
    kept: &ArchivedConversation,
    many: &ArchivedMany,
) -> Result<ConversationId, NotImported> {
    if many.name.is_empty()
        || many.name.len() > limits::GROUP_NAME_BYTES
        || many.members.len() > limits::CONVERSATION_ACCOUNTS
    {
        return Err(NotImported::Malformed);
    }
    if super::find(tx, id)?.is_none() {
        super::start_group(tx, Time(kept.started_at_ms), id, &many.name)?;
        super::set_left(tx, id, many.gone)?;
        for member in &many.members {
            let account =
                AccountId::try_from(&member.account_id).map_err(|_| NotImported::Malformed)?;
            let address = Address::parse(&member.address).map_err(|_| NotImported::Malformed)?;
            members::store_member(tx, id, account, address.display(), member.admin)?;
        }
    }
    if kept.written_to {
        super::set_written_to(tx, id)?;
    }
    Ok(id)
}

/// The groups of conversations, with what was heard in them.
pub(crate) struct Groups;

/// Groups that can be rejoined: those of a conversation that are not over.
const REJOINABLE: &str = "conversation IS NOT NULL AND state != 5";

impl Table for Groups {
    fn archived(&self) -> Option<&dyn ArchiveSection> {
        Some(self)
    }
}

impl ArchiveSection for Groups {
    fn section(&self) -> Section {
        Section::Groups
    }

    fn count(&self, tx: &Transaction<'_>) -> Result<u64, StoreError> {
        let count: i64 = tx.query_row(
            &format!("SELECT count(*) FROM conversation_group WHERE {REJOINABLE}"),
            [],
            |row| row.get(0),
        )?;
        Ok(count.cast_unsigned())
    }

    /// With what this device has heard of the group, and said itself: as far as nothing is
    /// missing, so that the device that gets the archive asks for the rest.
    fn next(&self, tx: &Transaction<'_>, at: Place<'_>) -> Result<Option<Archived>, StoreError> {
        let mut statement = tx.prepare_cached(&format!(
            "SELECT group_id, conversation, account_id, rejoin_secret, next_counter, generation
             FROM conversation_group WHERE group_id > ?1 AND {REJOINABLE}
             ORDER BY group_id LIMIT 1"
        ))?;
        let found = statement.query_row([at.id], read_group).optional()?;
        let Some((mut record, said)) = found else {
            return Ok(None);
        };
        if let Ok(id) = GroupId::try_from(&record.group_id) {
            let mut heard = sender_counters::senders(tx, id)?;
            heard.extend(account::load(tx)?.map(|own| (own.device(), said)));
            let heard = heard.into_iter().map(|(device, up_to)| ArchivedHeard {
                device_id: device.to_bytes(),
                up_to,
            });
            record.heard = heard.collect();
        }
        let key = record.group_id.clone();
        Ok(Some(Archived::by_key(Record::Group(record), &key)))
    }

    fn restore(&self, import: &Import<'_>, record: Record) -> Result<(), NotImported> {
        let Record::Group(kept) = record else {
            return Ok(());
        };
        restore_group(import, &kept)
    }
}

/// A group, with how much of it this device has said, but not what it has heard.
fn read_group(row: &Row<'_>) -> rusqlite::Result<(ArchivedGroup, u64)> {
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

fn restore_group(import: &Import<'_>, kept: &ArchivedGroup) -> Result<(), NotImported> {
    let id = GroupId::try_from(&kept.group_id).map_err(|_| NotImported::Malformed)?;
    let account = optional(&kept.account_id, |bytes| AccountId::try_from(bytes).ok())?;
    let rejoin_secret =
        RejoinSecret::from_slice(&kept.rejoin_secret).ok_or(NotImported::Malformed)?;
    let Some(conversation) = import.local(&kept.conversation)? else {
        return Ok(());
    };
    let sender = |heard: &ArchivedHeard| {
        let device = DeviceId::try_from(&heard.device_id).map_err(|_| NotImported::Malformed)?;
        Ok::<_, NotImported>(Sender { group: id, device })
    };
    let heard = kept.heard.iter().take(limits::FAN_OUT_MAILBOXES);
    if groups::find(import.tx, id)?.is_some() {
        for heard in heard {
            let sender = sender(heard)?;
            sender_counters::start_no_later(import.tx, import.now, sender, heard.up_to)?;
        }
        return Ok(());
    }
    groups::add(
        import.tx,
        import.now,
        &groups::NewGroup {
            id,
            conversation: Some(conversation),
            account,
            generation: kept.generation,
            state: GroupState::Lost {
                commit: None,
                unreadable: None,
            },
            rejoin_secret: &rejoin_secret,
            commit_post: None,
        },
    )?;
    groups::set_inherited(import.tx, id)?;
    for heard in heard {
        sender_counters::start_after(import.tx, sender(heard)?, heard.up_to)?;
    }
    Ok(())
}

/// All groups, with how many envelopes this device has sent to each.
pub(crate) fn own_counters(tx: &Transaction<'_>) -> Result<Vec<(GroupId, u64)>, StoreError> {
    let mut statement =
        tx.prepare("SELECT group_id, max(next_counter - 1, 0) FROM conversation_group")?;
    let rows = statement.query_map([], |row| {
        Ok((GroupId(row.get(0)?), row.get::<_, i64>(1)?.cast_unsigned()))
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}
