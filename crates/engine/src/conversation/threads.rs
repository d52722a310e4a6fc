//! Threads: a message, the messages it replies to, and all replies to it.
//!
//! **Elsewhere**: [`super::pages`] has pages of a whole conversation.

use super::{history::ENTRIES_MAX, pages, reader::Reader};
use crate::{
    api::{ConversationId, Message, MessageId},
    store::StoreError,
};

pub(crate) const SCHEMA: &str = "
CREATE INDEX entry_reply ON entry (conversation, reply_to) WHERE reply_to IS NOT NULL;
";

/// The thread in which a message stands, the oldest first: what it answers, as far up as it
/// is known here, and all that answers any of it; so many messages as one query gives.
pub(crate) fn thread(
    reader: Reader<'_>,
    conversation: ConversationId,
    message: MessageId,
) -> Result<Vec<Message>, StoreError> {
    // `UNION` keeps none twice, so that a circle, which somebody may send, ends.
    let mut statement = reader.tx.prepare_cached(
        "WITH RECURSIVE
         up (message, reply_to) AS (
             SELECT message, reply_to FROM entry WHERE conversation = ?1 AND message = ?2
             UNION
             SELECT entry.message, entry.reply_to FROM up
             JOIN entry ON entry.conversation = ?1 AND entry.message = up.reply_to
             LIMIT ?3
         ),
         down (message) AS (
             SELECT message FROM up
             UNION
             SELECT entry.message FROM down
             JOIN entry ON entry.conversation = ?1 AND entry.reply_to = down.message
             LIMIT ?3
         )
         SELECT entry.message FROM down
         JOIN entry ON entry.conversation = ?1 AND entry.message = down.message
         ORDER BY entry.place, entry.id",
    )?;
    let rows = statement.query_map(
        (conversation.as_bytes(), message.as_bytes(), ENTRIES_MAX),
        |row| row.get(0).map(MessageId::from_bytes),
    )?;
    let mut thread = Vec::new();
    for id in rows {
        thread.extend(pages::message(reader, conversation, id?)?);
    }
    Ok(thread)
}
