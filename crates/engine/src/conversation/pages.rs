//! Reads a history: pages in both directions, one message, or the messages that the start of
//! an id matches.
//!
//! **Elsewhere**: the history itself is in [`super::history`]; [`super::search`] finds words.
//!
//! **Always**: no call reads more than a page, however long a history is.

use std::{cmp::Reverse, collections::HashMap};

use rusqlite::{OptionalExtension as _, Row, Transaction, types::Type};

use super::{
    Conversation, Kind,
    history::{event_of, state_of, time},
    members,
    reader::{MessageHook, Reader},
};
use crate::{
    api::{
        Channel, ConversationEvent, ConversationId, Direction, Entry, Gap, Message, MessageId,
        Reaction, ReceiptCount,
    },
    conversation,
    message::{amendments, formatting, link_preview, receipts, text_details},
    store::StoreError,
    synced_settings::{self, SettingKind},
};

/// All conversations, the one with the newest entry first.
pub(crate) fn conversations(tx: &Transaction<'_>) -> Result<Vec<Conversation>, StoreError> {
    let mut statement = tx.prepare_cached(
        "SELECT place FROM entry WHERE conversation = ?1 ORDER BY place DESC LIMIT 1",
    )?;
    let mut found = Vec::new();
    for conversation in conversation::all(tx)? {
        let newest: Option<i64> = statement
            .query_row([conversation.id.as_bytes()], |row| row.get(0))
            .optional()?;
        found.push((newest, conversation));
    }
    found.sort_by_key(|(newest, _)| Reverse(*newest));
    Ok(found.into_iter().map(|(_, found)| found).collect())
}

/// Which entries are meant.
#[derive(Clone, Copy)]
pub(crate) enum PageRange {
    /// The newest.
    Newest,
    /// Those before a message.
    Before(MessageId),
    /// Those before the oldest entry of an earlier page.
    Until(EntryPosition),
    /// Those after a message.
    After(MessageId),
    /// A message, with half of those before it and half of those after it.
    Around(MessageId),
}

/// Some entries of a conversation.
pub(crate) struct Page {
    /// Oldest first.
    pub entries: Vec<Entry>,
    /// Where the oldest one stands, if there are older ones.
    pub older: Option<EntryPosition>,
    /// Whether there are newer ones.
    pub newer: bool,
}

/// A page of a conversation.
pub(crate) fn page(
    reader: Reader<'_>,
    conversation: ConversationId,
    part: PageRange,
    limit: u32,
) -> Result<Page, StoreError> {
    match part {
        PageRange::Newest => {
            let (entries, older) = before(reader, conversation, None, limit)?;
            Ok(Page {
                entries,
                older,
                newer: false,
            })
        }
        PageRange::Before(id) => {
            let (entries, older) = match place_of(reader.tx, conversation, id)? {
                Some(place) => before(reader, conversation, Some((place, false)), limit)?,
                None => (Vec::new(), None),
            };
            Ok(Page {
                entries,
                older,
                newer: true,
            })
        }
        PageRange::Until(place) => {
            let (entries, older) = before(reader, conversation, Some((place, false)), limit)?;
            Ok(Page {
                entries,
                older,
                newer: true,
            })
        }
        PageRange::After(id) => {
            let (entries, newer) = after(reader, conversation, id, limit)?;
            // The message itself is older.
            let place = place_of(reader.tx, conversation, id)?;
            let older = place.map(|(place, row)| (place, row.saturating_add(1)));
            Ok(Page {
                entries,
                older,
                newer,
            })
        }
        PageRange::Around(id) => {
            let half = limit / 2;
            let up_to = limit.saturating_sub(half).max(1);
            let (mut entries, older) = match place_of(reader.tx, conversation, id)? {
                Some(place) => before(reader, conversation, Some((place, true)), up_to)?,
                None => (Vec::new(), None),
            };
            let (more, newer) = after(reader, conversation, id, half)?;
            entries.extend(more);
            Ok(Page {
                entries,
                older,
                newer,
            })
        }
    }
}

/// The newest entries, or those before a place (with the entry there, if that is said); oldest
/// first. If there are older ones, also where the oldest of these stands.
fn before(
    reader: Reader<'_>,
    conversation: ConversationId,
    before: Option<(EntryPosition, bool)>,
    limit: u32,
) -> Result<(Vec<Entry>, Option<EntryPosition>), StoreError> {
    let (place, condition) = match before {
        None => ((i64::MAX, i64::MAX), "<="),
        Some((place, true)) => (place, "<="),
        Some((place, false)) => (place, "<"),
    };
    let sql = |columns, limit| {
        format!(
            "SELECT {columns} FROM entry
             WHERE conversation = ?1 AND (place, id) {condition} (?2, ?3)
             ORDER BY place DESC, id DESC LIMIT {limit}"
        )
    };
    let (mut entries, more) = some(reader, &sql(COLUMNS, "?4"), (conversation, place), limit)?;
    entries.reverse();
    if !more {
        return Ok((entries, None));
    }
    let oldest = reader
        .tx
        .prepare_cached(&sql("place, id", "1 OFFSET ?4"))?
        .query_row(
            (
                conversation.as_bytes(),
                place.0,
                place.1,
                i64::from(limit).saturating_sub(1),
            ),
            |row| Ok((row.get(0)?, row.get(1)?)),
        )
        .optional()?;
    Ok((entries, oldest))
}

/// Where a message stands.
pub(crate) fn place_of(
    tx: &Transaction<'_>,
    conversation: ConversationId,
    message: MessageId,
) -> Result<Option<EntryPosition>, StoreError> {
    Ok(tx
        .prepare_cached("SELECT place, id FROM entry WHERE conversation = ?1 AND message = ?2")?
        .query_row((conversation.as_bytes(), message.as_bytes()), |row| {
            Ok((row.get(0)?, row.get(1)?))
        })
        .optional()?)
}

/// The entries after a message, oldest first, and whether there are newer ones.
fn after(
    reader: Reader<'_>,
    conversation: ConversationId,
    after: MessageId,
    limit: u32,
) -> Result<(Vec<Entry>, bool), StoreError> {
    match place_of(reader.tx, conversation, after)? {
        Some(place) => behind(reader, conversation, place, limit),
        None => Ok((Vec::new(), false)),
    }
}

fn behind(
    reader: Reader<'_>,
    conversation: ConversationId,
    place: EntryPosition,
    limit: u32,
) -> Result<(Vec<Entry>, bool), StoreError> {
    let sql = format!(
        "SELECT {COLUMNS} FROM entry WHERE conversation = ?1 AND (place, id) > (?2, ?3)
         ORDER BY place, id LIMIT ?4"
    );
    some(reader, &sql, (conversation, place), limit)
}

/// Where an entry stands: its place, and its row.
pub(crate) type EntryPosition = (i64, i64);

/// Entries from the oldest on, or from where the last such page ended; and where this one does,
/// if there are more. Unlike the other pages it needs no message to go on from.
pub(crate) fn forward(
    reader: Reader<'_>,
    conversation: ConversationId,
    from: Option<EntryPosition>,
    limit: u32,
) -> Result<(Vec<Entry>, Option<EntryPosition>), StoreError> {
    let from = from.unwrap_or((i64::MIN, i64::MIN));
    let (entries, more) = behind(reader, conversation, from, limit)?;
    if !more {
        return Ok((entries, None));
    }
    let end = reader
        .tx
        .prepare_cached(
            "SELECT place, id FROM entry WHERE conversation = ?1 AND (place, id) > (?2, ?3)
             ORDER BY place, id LIMIT 1 OFFSET ?4",
        )?
        .query_row(
            (
                conversation.as_bytes(),
                from.0,
                from.1,
                i64::from(limit).saturating_sub(1),
            ),
            |row| Ok((row.get(0)?, row.get(1)?)),
        )
        .optional()?;
    Ok((entries, end))
}

/// As many entries as are wanted, and whether there are more.
fn some(
    reader: Reader<'_>,
    sql: &str,
    (conversation, (place, id)): (ConversationId, EntryPosition),
    limit: u32,
) -> Result<(Vec<Entry>, bool), StoreError> {
    let mut statement = reader.tx.prepare_cached(sql)?;
    let rows = statement.query_map(
        (conversation.as_bytes(), place, id, i64::from(limit) + 1),
        read_entry,
    )?;
    let mut entries = Vec::new();
    let mut known = KnownConversations::default();
    for row in rows {
        entries.push(complete(reader, &mut known, row?)?);
    }
    let more = entries.len() > limit as usize;
    entries.truncate(limit as usize);
    Ok((entries, more))
}

/// What [`read_entry`] reads.
pub(super) const COLUMNS: &str = "kind, conversation, address, at, message, verified, outgoing, entry.text, \
    reply_to, sent_at, state, problem, read, event, missing, by_address, detail, amended, \
    edited_at, taken_back_at, expires_after, expires_at, markdown, imported";

/// What messages show of their conversations, each looked up once.
#[derive(Default)]
pub(super) struct KnownConversations(HashMap<ConversationId, ShownOfConversation>);

/// What a message shows of its conversation.
#[derive(Clone)]
struct ShownOfConversation {
    /// The name of the group, where it is one.
    group: Option<String>,
    channel: Channel,
}

impl KnownConversations {
    fn shown(
        &mut self,
        tx: &Transaction<'_>,
        id: ConversationId,
    ) -> Result<ShownOfConversation, StoreError> {
        if let Some(known) = self.0.get(&id) {
            return Ok(known.clone());
        }
        let found = conversation::find(tx, id)?;
        let kind = found.as_ref().map(|found| found.kind);
        let shown = ShownOfConversation {
            group: found
                .filter(|found| found.kind == Kind::Group)
                .map(|found| found.display),
            channel: match kind {
                Some(Kind::Sms) => Channel::Sms,
                _ => Channel::Waxwing,
            },
        };
        self.0.insert(id, shown.clone());
        Ok(shown)
    }
}

/// One message, as it is now.
pub(crate) fn message(
    reader: Reader<'_>,
    conversation: ConversationId,
    id: MessageId,
) -> Result<Option<Message>, StoreError> {
    let mut statement = reader.tx.prepare_cached(&format!(
        "SELECT {COLUMNS} FROM entry WHERE conversation = ?1 AND message = ?2"
    ))?;
    let found = statement
        .query_row((conversation.as_bytes(), id.as_bytes()), read_entry)
        .optional()?;
    Ok(match found {
        Some(found) => match complete(reader, &mut KnownConversations::default(), found)? {
            Entry::Message(message) => Some(message),
            Entry::Event(_) | Entry::Gap(_) => None,
        },
        None => None,
    })
}

/// Where a message stands.
pub(crate) fn conversation_of(
    tx: &Transaction<'_>,
    id: MessageId,
) -> Result<Option<ConversationId>, StoreError> {
    Ok(tx
        .prepare_cached("SELECT conversation FROM entry WHERE message = ?1 LIMIT 1")?
        .query_row([id.as_bytes()], |row| {
            row.get(0).map(ConversationId::from_bytes)
        })
        .optional()?)
}

/// The messages whose ids begin so, or do after the byte that all ids share: two at most.
pub(crate) fn with_prefix(
    tx: &Transaction<'_>,
    prefix: &str,
) -> Result<Vec<MessageId>, StoreError> {
    let digits = prefix.bytes().all(|byte| byte.is_ascii_hexdigit());
    if !digits || prefix.len() < 6 || prefix.len() > 64 {
        return Ok(Vec::new());
    }
    let mut found = Vec::new();
    for prefix in [
        prefix.to_uppercase(),
        format!("01{}", prefix.to_uppercase()),
    ] {
        let mut low = prefix.clone();
        let mut high = prefix;
        low.extend(std::iter::repeat_n('0', 64_usize.saturating_sub(low.len())));
        high.extend(std::iter::repeat_n(
            'F',
            64_usize.saturating_sub(high.len()),
        ));
        let bytes = |digits: &str| data_encoding::HEXUPPER.decode(digits.as_bytes());
        let (Ok(low), Ok(high)) = (bytes(&low), bytes(&high)) else {
            continue;
        };
        let mut statement = tx.prepare_cached(
            "SELECT DISTINCT message FROM entry WHERE message BETWEEN ?1 AND ?2 LIMIT 2",
        )?;
        let rows = statement.query_map((low, high), |row| row.get(0).map(MessageId::from_bytes))?;
        for id in rows {
            let id = id?;
            if !found.contains(&id) {
                found.push(id);
            }
        }
    }
    Ok(found)
}

/// With what is kept of it elsewhere: its conversation, files, reactions and receipts.
pub(super) fn complete(
    reader: Reader<'_>,
    known: &mut KnownConversations,
    (mut entry, amended): (Entry, bool),
) -> Result<Entry, StoreError> {
    let Entry::Message(message) = &mut entry else {
        return Ok(entry);
    };
    let tx = reader.tx;
    let of = known.shown(tx, message.conversation)?;
    message.group = of.group;
    message.channel = of.channel;
    if message.channel == Channel::Sms {
        text_details::complete(tx, message)?;
    }
    for hook in reader.hooks.of::<dyn MessageHook>() {
        hook.complete(tx, message)?;
    }
    if !message.taken_back {
        let place = (message.conversation, message.id);
        let preview = link_preview::shown(tx, place.0, place.1, &message.text)?;
        message.link_preview = preview.map(Box::new);
    }
    message.starred = synced_settings::is_set(tx, SettingKind::Starred, message.id.as_bytes())?;
    if amended && !message.taken_back {
        for (emoji, who) in amendments::reactions(tx, message.conversation, message.id)? {
            message.reactions.push(Reaction {
                emoji,
                own: who.iter().any(|one| one.own),
                by: who.into_iter().map(|one| one.address).collect(),
            });
        }
    }
    if message.group.is_some() && message.direction == Direction::Out {
        let of = members::count(tx, message.conversation)?.saturating_sub(1);
        if of > 0 && of < receipts::ACCOUNTS_MAX {
            let (delivered, read) = receipts::count(tx, message.conversation, message.id)?;
            message.receipts = Some(ReceiptCount {
                delivered,
                read,
                of,
            });
        }
    }
    Ok(entry)
}

/// An entry without what others have said of it, and whether they have.
pub(super) fn read_entry(row: &Row<'_>) -> rusqlite::Result<(Entry, bool)> {
    Ok((read_row(row)?, row.get(17)?))
}

fn read_row(row: &Row<'_>) -> rusqlite::Result<Entry> {
    let conversation = ConversationId::from_bytes(row.get(1)?);
    let address: String = row.get(2)?;
    let at = time(row.get(3)?);
    Ok(match row.get::<_, u8>(0)? {
        1 => {
            let outgoing: bool = row.get(6)?;
            let problem: Option<String> = row.get(11)?;
            let text: String = row.get(7)?;
            let direction = if outgoing {
                Direction::Out
            } else {
                Direction::In
            };
            let id = MessageId::from_bytes(row.get(4)?);
            let sent_at = time(row.get(9)?);
            Entry::Message(Message {
                from_verified: row.get(5)?,
                mentions: formatting::mentions(&text),
                formatted: if row.get(22)? {
                    formatting::spans(&text)
                } else {
                    Vec::new()
                },
                text,
                state: row.get::<_, Option<u8>>(10)?.map(state_of),
                problem: problem.and_then(|json| serde_json::from_str(&json).ok()),
                reply_to: row
                    .get::<_, Option<[u8; 32]>>(8)?
                    .map(MessageId::from_bytes),
                read: row.get(12)?,
                edited_at: row.get::<_, Option<i64>>(18)?.map(time),
                taken_back: row.get::<_, Option<i64>>(19)?.is_some(),
                expires_after_s: row.get(20)?,
                expires_at: row.get::<_, Option<i64>>(21)?.map(time),
                imported: row.get(23)?,
                ..Message::new(id, conversation, address, sent_at, direction)
            })
        }
        2 => Entry::Event(ConversationEvent {
            conversation,
            event: event_of(&row.get::<_, String>(13)?).ok_or_else(|| {
                rusqlite::Error::InvalidColumnType(13, "event".into(), Type::Text)
            })?,
            address,
            by: row.get(15)?,
            detail: row.get(16)?,
            at,
        }),
        _ => Entry::Gap(Gap {
            conversation,
            from: address,
            missing: row.get::<_, i64>(14)?.cast_unsigned(),
            at,
        }),
    })
}
