//! What there is to tell of a text message besides what it says.
//!
//! **Elsewhere**: [`crate::sms`] finds it out.

use rusqlite::{OptionalExtension as _, Transaction};

use crate::{
    api::{ConversationId, Message, MessageId, SmsFinding},
    store::StoreError,
    tables::Table,
    turn::{Fault, Turn},
};

pub(crate) const SCHEMA: &str = "
CREATE TABLE sms_message (
    conversation BLOB NOT NULL,
    message BLOB NOT NULL,
    details TEXT NOT NULL,          -- Details as JSON
    PRIMARY KEY (conversation, message)
) WITHOUT ROWID;
";

/// What there is to tell of a text message.
#[derive(Clone, Default, PartialEq, serde::Serialize, serde::Deserialize)]
pub(crate) struct TextDetails {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub segments: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asks_reply_to: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub findings: Vec<SmsFinding>,
}

/// Keeps what there is to tell of a text.
pub(crate) fn store(
    tx: &Transaction<'_>,
    (conversation, message): (ConversationId, MessageId),
    details: &TextDetails,
) -> Result<(), StoreError> {
    let json = serde_json::to_string(details).unwrap_or_default();
    tx.prepare_cached(
        "INSERT INTO sms_message (conversation, message, details) VALUES (?1, ?2, ?3)
         ON CONFLICT DO UPDATE SET details = ?3",
    )?
    .execute((conversation.as_bytes(), message.as_bytes(), json))?;
    Ok(())
}

/// Shows what there is to tell of a text.
pub(crate) fn complete(tx: &Transaction<'_>, message: &mut Message) -> Result<(), StoreError> {
    let json: Option<String> = tx
        .prepare_cached("SELECT details FROM sms_message WHERE conversation = ?1 AND message = ?2")?
        .query_row(
            (message.conversation.as_bytes(), message.id.as_bytes()),
            |row| row.get(0),
        )
        .optional()?;
    let details: TextDetails = json
        .and_then(|json| serde_json::from_str(&json).ok())
        .unwrap_or_default();
    message.segments = details.segments;
    message.asks_reply_to = details.asks_reply_to;
    message.findings = details.findings;
    Ok(())
}

/// The details of text messages.
pub(crate) struct DetailsOfTexts;

impl Table for DetailsOfTexts {
    fn erase_content(
        &self,
        turn: &mut Turn<'_>,
        conversation: ConversationId,
        message: MessageId,
    ) -> Result<(), Fault> {
        turn.tx
            .prepare_cached("DELETE FROM sms_message WHERE conversation = ?1 AND message = ?2")?
            .execute((conversation.as_bytes(), message.as_bytes()))?;
        Ok(())
    }
}
