//! Imports an archive, chunk by chunk.
//!
//! **Always**: the form of everything in the archive is checked, and the signatures of
//! everything that is signed; what this device already knows stays unchanged.

use rusqlite::{OptionalExtension as _, Transaction, params};
use waxwing_protocol::{
    address::Address,
    ids::{AccountId, DeviceId, GroupId},
    limits,
    pb::{
        self, ArchiveChunk, ArchivedAmendment, ArchivedConversation, ArchivedEntry, ArchivedGap,
        ArchivedGroup, ArchivedMany, ArchivedMessage, ArchivedSettings, archive_record::Record,
        archived_amendment, archived_entry::Kind,
    },
    sealing::RejoinSecret,
    time::Time,
};

use waxwing_transparency::cosignature::AuditorId;

use super::{VERSION, contacts};
use crate::{
    api::{ConversationId, MessageId},
    attachment, content,
    conversation::target,
    conversation::{
        self,
        groups::{self, GroupState},
        history, members,
    },
    devices::{backup, names},
    inbox::sender_counters::{self, Sender},
    message::{
        amendments::{self, Amendment, Amends},
        link_preview, text_details,
    },
    settings::{self, Setting},
    store::StoreError,
    synced_settings::{self, SyncedSetting},
    trust::auditors,
};

/// Imported entries come before everything that arrived at this device itself.
const BEFORE: i64 = 1 << 40;

/// Why a chunk is not taken in. Nothing of it was.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotImported {
    /// Made by a newer Waxwing.
    #[error("the archive has an unknown version")]
    Version,
    /// A record is not what it should be.
    #[error("the archive contradicts itself")]
    Malformed,
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<rusqlite::Error> for NotImported {
    fn from(error: rusqlite::Error) -> Self {
        Self::Store(error.into())
    }
}

/// Takes a chunk in.
pub(crate) fn import(
    tx: &Transaction<'_>,
    now: Time,
    chunk: ArchiveChunk,
) -> Result<(), NotImported> {
    if chunk.version != VERSION {
        return Err(NotImported::Version);
    }
    let last = chunk.next.is_none();
    for record in chunk.records {
        match record.record {
            Some(Record::Settings(kept)) => settings(tx, &kept)?,
            Some(Record::Device(device)) => {
                let id =
                    DeviceId::try_from(&device.device_id).map_err(|_| NotImported::Malformed)?;
                let name = names::checked(&device.name).ok_or(NotImported::Malformed)?;
                if names::name_of_device(tx, id)?.is_none() {
                    names::set(tx, id, name)?;
                }
            }
            Some(Record::Contact(contact)) => contacts::import(tx, contact)?,
            Some(Record::Statements(more)) => contacts::import_more(tx, more)?,
            Some(Record::Conversation(kept)) => conversation(tx, &kept)?,
            Some(Record::Group(kept)) => group(tx, now, &kept)?,
            Some(Record::Entry(kept)) => entry(tx, &kept)?,
            Some(Record::Amendment(kept)) => amendment(tx, &kept)?,
            Some(Record::Register(kept)) => register(tx, &kept)?,
            // The code that opened the backup has checked it; or it is from a later version.
            Some(Record::Origin(_)) | None => {}
        }
    }
    if last {
        tx.execute("DELETE FROM archive_conversation", [])?;
    }
    Ok(())
}

fn settings(tx: &Transaction<'_>, kept: &ArchivedSettings) -> Result<(), NotImported> {
    for (setting, value) in [
        (Setting::TellDelivered, kept.tell_delivered),
        (Setting::TellRead, kept.tell_read),
    ] {
        if settings::read::<bool>(tx, setting)?.is_none() {
            settings::write(tx, setting, value)?;
        }
    }
    if settings::read::<u32>(tx, Setting::AuditorsRequired)?.is_none() && !kept.auditors.is_empty()
    {
        let named: Option<Vec<_>> = kept
            .auditors
            .iter()
            .take(auditors::NAMED_MAX)
            .map(|auditor| {
                let id = <[u8; 32]>::try_from(auditor.id.as_ref()).ok()?;
                Some((AuditorId(id), auditor.name.clone()))
            })
            .collect();
        let named = named.ok_or(NotImported::Malformed)?;
        let required = kept
            .auditors_required
            .min(named.len().try_into().unwrap_or(0));
        auditors::set(tx, &named, required)?;
    }
    if !kept.backup_key.is_empty() && backup::key::public(tx)?.is_none() {
        let key = backup::key::checked(&kept.backup_key).ok_or(NotImported::Malformed)?;
        backup::key::store_public(tx, &key)?;
    }
    Ok(())
}

fn conversation(tx: &Transaction<'_>, kept: &ArchivedConversation) -> Result<(), NotImported> {
    let source = ConversationId::try_from(kept.id.as_ref()).map_err(|_| NotImported::Malformed)?;
    if let Some(many) = &kept.many {
        return self::many(tx, source, kept, many);
    }
    if kept.sms {
        return self::with_phone(tx, source, kept);
    }
    let address = Address::parse(&kept.address).map_err(|_| NotImported::Malformed)?;
    let account = optional(&kept.account_id, |bytes| AccountId::try_from(bytes).ok())?;
    let here = match account {
        _ if kept.notes => conversation::notes::find(tx)?,
        Some(account) => conversation::with_account(tx, account)?,
        None => conversation::with_address(tx, address.canonical())?,
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
                conversation::Kind::Notes as u8
            } else {
                conversation::Kind::Direct as u8
            },
        ])?;
        source
    };
    if kept.stopped {
        conversation::set_awaiting_decision(tx, local, true)?;
    }
    if kept.written_to {
        conversation::set_written_to(tx, local)?;
    }
    tx.execute(
        "UPDATE conversation SET timer = ?2, timer_at = ?3 WHERE id = ?1 AND timer_at < ?3",
        params![local.as_bytes(), kept.timer_s, signed(kept.timer_at_ms)],
    )?;
    goes_to(tx, source, local)
}

/// Entries of that conversation of the archive go to this one.
fn goes_to(
    tx: &Transaction<'_>,
    source: ConversationId,
    local: ConversationId,
) -> Result<(), NotImported> {
    tx.prepare_cached(
        "INSERT OR REPLACE INTO archive_conversation (source, local) VALUES (?1, ?2)",
    )?
    .execute((source.as_bytes(), local.as_bytes()))?;
    Ok(())
}

/// A conversation by text messages, which is known by its name.
fn with_phone(
    tx: &Transaction<'_>,
    source: ConversationId,
    kept: &ArchivedConversation,
) -> Result<(), NotImported> {
    if !kept.address.starts_with("sms:") || kept.address.len() > 64 {
        return Err(NotImported::Malformed);
    }
    let local = if let Some(found) = target::find_sms(tx, &kept.address)? {
        found.id
    } else {
        conversation::start_sms(tx, Time(kept.started_at_ms), source, &kept.address)?;
        source
    };
    if kept.written_to {
        conversation::set_written_to(tx, local)?;
    }
    goes_to(tx, source, local)
}

/// A group of many: what is known here already is newer.
fn many(
    tx: &Transaction<'_>,
    id: ConversationId,
    kept: &ArchivedConversation,
    many: &ArchivedMany,
) -> Result<(), NotImported> {
    if many.name.is_empty()
        || many.name.len() > limits::GROUP_NAME_BYTES
        || many.members.len() > limits::CONVERSATION_ACCOUNTS
    {
        return Err(NotImported::Malformed);
    }
    if conversation::find(tx, id)?.is_none() {
        conversation::start_group(tx, Time(kept.started_at_ms), id, &many.name)?;
        conversation::set_left(tx, id, many.gone)?;
        for member in &many.members {
            let account =
                AccountId::try_from(&member.account_id).map_err(|_| NotImported::Malformed)?;
            let address = Address::parse(&member.address).map_err(|_| NotImported::Malformed)?;
            members::store_member(tx, id, account, address.display(), member.admin)?;
        }
    }
    if kept.written_to {
        conversation::set_written_to(tx, id)?;
    }
    goes_to(tx, id, id)
}

/// A group is known, and lost: this device takes itself in by the rejoin secret, unless
/// another of the account's devices does it first.
fn group(tx: &Transaction<'_>, now: Time, kept: &ArchivedGroup) -> Result<(), NotImported> {
    let id = GroupId::try_from(&kept.group_id).map_err(|_| NotImported::Malformed)?;
    let account = optional(&kept.account_id, |bytes| AccountId::try_from(bytes).ok())?;
    let rejoin_secret =
        RejoinSecret::from_slice(&kept.rejoin_secret).ok_or(NotImported::Malformed)?;
    let Some(conversation) = local(tx, &kept.conversation)? else {
        return Ok(());
    };
    if groups::find(tx, id)?.is_some() {
        for heard in kept.heard.iter().take(limits::FAN_OUT_MAILBOXES) {
            let device =
                DeviceId::try_from(&heard.device_id).map_err(|_| NotImported::Malformed)?;
            sender_counters::start_no_later(tx, now, Sender { group: id, device }, heard.up_to)?;
        }
        return Ok(());
    }
    groups::add(
        tx,
        now,
        &groups::NewGroup {
            id,
            conversation: Some(conversation),
            account,
            generation: kept.generation,
            state: GroupState::Lost,
            rejoin_secret: &rejoin_secret,
            request: None,
            commit_post: None,
        },
    )?;
    groups::set_inherited(tx, id)?;
    for heard in kept.heard.iter().take(limits::FAN_OUT_MAILBOXES) {
        let device = DeviceId::try_from(&heard.device_id).map_err(|_| NotImported::Malformed)?;
        sender_counters::start_after(tx, Sender { group: id, device }, heard.up_to)?;
    }
    Ok(())
}

fn entry(tx: &Transaction<'_>, kept: &ArchivedEntry) -> Result<(), NotImported> {
    let Some(conversation) = local(tx, &kept.conversation)? else {
        return Ok(());
    };
    if kept.address.len() > limits::ADDRESS_BYTES {
        return Err(NotImported::Malformed);
    }
    match &kept.kind {
        Some(Kind::Message(message)) => self::message(tx, conversation, kept, message),
        Some(Kind::Event(event)) => self::event(tx, conversation, kept, event),
        Some(Kind::Gap(gap)) => self::gap(tx, conversation, kept, gap),
        None => Ok(()),
    }
}

fn message(
    tx: &Transaction<'_>,
    conversation: ConversationId,
    kept: &ArchivedEntry,
    message: &ArchivedMessage,
) -> Result<(), NotImported> {
    let id = MessageId::try_from(message.id.as_ref()).map_err(|_| NotImported::Malformed)?;
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
        attachment::store_files(tx, conversation, id, &attachment::files(&content), false)?;
        if let Some(preview) = link_preview::of_content(&content) {
            link_preview::store_preview(tx, conversation, id, &preview)?;
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

/// Something that was set. Blocks, marks and what was read came with contacts and messages.
fn register(tx: &Transaction<'_>, kept: &pb::Register) -> Result<(), NotImported> {
    if kept.key.len() > synced_settings::KEY_BYTES
        || kept.value.len() > synced_settings::VALUE_BYTES
    {
        return Err(NotImported::Malformed);
    }
    let register = SyncedSetting {
        kind: kept.kind,
        key: kept.key.to_vec(),
        value: kept.value.to_vec(),
        changed_at: Time(kept.changed_at_ms.min(i64::MAX as u64)),
        device: DeviceId::try_from(&kept.device_id).map_err(|_| NotImported::Malformed)?,
    };
    synced_settings::store_if_later(tx, &register, false)?;
    Ok(())
}

/// What was said of a message.
fn amendment(tx: &Transaction<'_>, kept: &ArchivedAmendment) -> Result<(), NotImported> {
    let Some(conversation) = local(tx, &kept.conversation)? else {
        return Ok(());
    };
    let message = |bytes: &[u8]| MessageId::try_from(bytes).map_err(|_| NotImported::Malformed);
    let amends = match &kept.amends {
        Some(archived_amendment::Amends::Reaction(emoji)) => {
            Amends::Reaction((!emoji.is_empty()).then(|| emoji.clone()))
        }
        Some(archived_amendment::Amends::Edit(text)) => Amends::Edit(text.clone()),
        Some(archived_amendment::Amends::TakenBack(_)) => Amends::TakenBack,
        // Of a later version.
        None => return Ok(()),
    };
    if kept.address.len() > limits::ADDRESS_BYTES {
        return Err(NotImported::Malformed);
    }
    amendments::add(
        tx,
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

fn event(
    tx: &Transaction<'_>,
    conversation: ConversationId,
    kept: &ArchivedEntry,
    event: &str,
) -> Result<(), NotImported> {
    if !crate::conversation::history::is_event(event) {
        // Of a later version: it could not be shown.
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

fn gap(
    tx: &Transaction<'_>,
    conversation: ConversationId,
    kept: &ArchivedEntry,
    gap: &ArchivedGap,
) -> Result<(), NotImported> {
    let group = GroupId::try_from(&gap.group_id).map_err(|_| NotImported::Malformed)?;
    let device = DeviceId::try_from(&gap.device_id).map_err(|_| NotImported::Malformed)?;
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

/// Where the entries of a conversation of the archive go; `None` for one that began after
/// the archive had told of the conversations there were.
fn local(tx: &Transaction<'_>, source: &[u8]) -> Result<Option<ConversationId>, StoreError> {
    Ok(tx
        .prepare_cached("SELECT local FROM archive_conversation WHERE source = ?1")?
        .query_row([source], |row| row.get(0).map(ConversationId::from_bytes))
        .optional()?)
}

const fn place(kept: &ArchivedEntry) -> i64 {
    kept.place.saturating_sub(BEFORE)
}

fn optional<T>(
    bytes: &[u8],
    read: impl FnOnce(&[u8]) -> Option<T>,
) -> Result<Option<T>, NotImported> {
    if bytes.is_empty() {
        return Ok(None);
    }
    read(bytes).map(Some).ok_or(NotImported::Malformed)
}

const fn signed(number: u64) -> i64 {
    if number > i64::MAX as u64 {
        i64::MAX
    } else {
        number.cast_signed()
    }
}
