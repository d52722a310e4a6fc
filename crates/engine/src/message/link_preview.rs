//! Link previews: what a link in a message leads to, as its sender's device saw it.
//!
//! Only the sender's device ever contacts the site that a link leads to, and only if its
//! person wants that: the site does not see the recipients of a message. A preview is a part
//! of the message (disposition *preview*, which no version shows as text).
//!
//! **Elsewhere**: the client's `link_preview` fetches pages; previews of files are in
//! [`crate::attachment::preview`].
//!
//! **Always**: a preview is the sender's claim. It is shown only for a link that is in the
//! text, character by character; a preview that exceeds a limit is ignored.

use data_encoding::BASE64;
use prost::Message as _;
use rusqlite::{OptionalExtension as _, Transaction};
use waxwing_protocol::pb;

use crate::{
    api::{self, ConversationId, MessageId},
    content::{Content, Disposition, Part, PartBody},
    store::StoreError,
    tables::{Table, merge_rows},
    turn::{Fault, Turn},
};

pub(crate) const SCHEMA: &str = "
CREATE TABLE link_preview (
    conversation BLOB NOT NULL,
    message BLOB NOT NULL,
    preview BLOB NOT NULL,          -- LinkPreview
    PRIMARY KEY (conversation, message)
) WITHOUT ROWID;
";

/// The link previews of all messages.
pub(crate) struct LinkPreviews;

impl Table for LinkPreviews {
    fn merge_conversations(
        &self,
        tx: &Transaction<'_>,
        from: ConversationId,
        into: ConversationId,
    ) -> Result<(), StoreError> {
        merge_rows(tx, "link_preview", from, into)
    }

    fn restore_content(
        &self,
        tx: &Transaction<'_>,
        conversation: ConversationId,
        message: MessageId,
        content: &Content,
    ) -> Result<(), StoreError> {
        match of_content(content) {
            Some(preview) => store_preview(tx, conversation, message, &preview),
            None => Ok(()),
        }
    }

    fn erase_content(
        &self,
        turn: &mut Turn<'_>,
        conversation: ConversationId,
        message: MessageId,
    ) -> Result<(), Fault> {
        turn.tx
            .prepare_cached("DELETE FROM link_preview WHERE conversation = ?1 AND message = ?2")?
            .execute((conversation.as_bytes(), message.as_bytes()))?;
        Ok(())
    }
}

/// Bytes of a preview, at most.
const BYTES: usize = 16 << 10;
/// Bytes of a link, at most.
const URL_BYTES: usize = 2_048;
/// Characters of a title, at most.
const TITLE: usize = 300;
/// Characters of a description, at most.
const DESCRIPTION: usize = 600;

const MEDIA_TYPE: &str = "application/vnd.waxwing.link-preview";

/// The part that brings it.
pub(crate) fn part(preview: &[u8]) -> Part {
    Part {
        disposition: Disposition::PREVIEW,
        language: String::new(),
        body: PartBody::Single {
            content_type: MEDIA_TYPE.to_owned(),
            content: preview.to_vec(),
        },
    }
}

/// The preview that a message brings, if it brings one.
pub(crate) fn of_content(content: &Content) -> Option<Vec<u8>> {
    let mut left = vec![&content.body];
    while let Some(part) = left.pop() {
        match &part.body {
            PartBody::Multi { parts, .. } => left.extend(parts.iter().rev()),
            PartBody::Single {
                content_type,
                content,
            } if part.disposition == Disposition::PREVIEW && content_type == MEDIA_TYPE => {
                return read(content).map(|preview| preview.encode_to_vec());
            }
            _ => {}
        }
    }
    None
}

fn read(bytes: &[u8]) -> Option<pb::LinkPreview> {
    if bytes.len() > BYTES {
        return None;
    }
    let preview = pb::LinkPreview::decode(bytes).ok()?;
    let jpeg = preview.thumbnail.is_empty() || preview.thumbnail.starts_with(&[0xFF, 0xD8, 0xFF]);
    let fits = preview.url.len() <= URL_BYTES
        && preview.title.chars().count() <= TITLE
        && preview.description.chars().count() <= DESCRIPTION;
    let is_link = preview.url.starts_with("https://") || preview.url.starts_with("http://");
    let says = !preview.title.is_empty() || !preview.description.is_empty();
    (jpeg && fits && is_link && says).then_some(preview)
}

/// As it is sent; none where it is not as it should be, or not of a link in this text.
pub(crate) fn made(preview: &api::LinkPreview, text: &str) -> Option<Vec<u8>> {
    let made = pb::LinkPreview {
        url: preview.url.clone(),
        title: preview.title.clone(),
        description: preview.description.clone(),
        thumbnail: BASE64.decode(preview.thumbnail.as_bytes()).ok()?.into(),
    };
    let bytes = made.encode_to_vec();
    (read(&bytes).is_some() && stands_in(text, &made.url)).then_some(bytes)
}

/// Whether a link is one of a text's words, and no piece of a longer one.
fn stands_in(text: &str, url: &str) -> bool {
    let is_edge = |one: char| one.is_whitespace() || "<>()[]\"'".contains(one);
    text.match_indices(url).any(|(at, _)| {
        let before = text.get(..at).and_then(|text| text.chars().next_back());
        let behind = text.get(at + url.len()..).unwrap_or_default();
        let behind = behind.trim_start_matches(['.', ',', ';', ':', '!', '?']);
        before.is_none_or(is_edge) && behind.chars().next().is_none_or(is_edge)
    })
}

/// Keeps it.
pub(crate) fn store_preview(
    tx: &Transaction<'_>,
    conversation: ConversationId,
    message: MessageId,
    preview: &[u8],
) -> Result<(), StoreError> {
    tx.prepare_cached(
        "INSERT INTO link_preview (conversation, message, preview) VALUES (?1, ?2, ?3)
         ON CONFLICT DO NOTHING",
    )?
    .execute((conversation.as_bytes(), message.as_bytes(), preview))?;
    Ok(())
}

/// What is shown with a message that says this now, as it is sent.
pub(crate) fn kept(
    tx: &Transaction<'_>,
    conversation: ConversationId,
    message: MessageId,
    text: &str,
) -> Result<Option<Vec<u8>>, StoreError> {
    let kept: Option<Vec<u8>> = tx
        .prepare_cached(
            "SELECT preview FROM link_preview WHERE conversation = ?1 AND message = ?2",
        )?
        .query_row((conversation.as_bytes(), message.as_bytes()), |row| {
            row.get(0)
        })
        .optional()?;
    let fits = |bytes: &Vec<u8>| read(bytes).is_some_and(|read| stands_in(text, &read.url));
    Ok(kept.filter(fits))
}

/// What is shown with a message that says this now.
pub(crate) fn shown(
    tx: &Transaction<'_>,
    conversation: ConversationId,
    message: MessageId,
    text: &str,
) -> Result<Option<api::LinkPreview>, StoreError> {
    let kept = kept(tx, conversation, message, text)?;
    Ok(kept
        .and_then(|bytes| read(&bytes))
        .map(|preview| api::LinkPreview {
            url: preview.url,
            title: preview.title,
            description: preview.description,
            thumbnail: BASE64.encode(&preview.thumbnail),
        }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn preview(url: &str) -> api::LinkPreview {
        api::LinkPreview {
            url: url.to_owned(),
            title: "A title".to_owned(),
            description: String::new(),
            thumbnail: String::new(),
        }
    }

    #[test]
    fn it_is_of_a_link_that_stands_in_the_text() {
        let url = "https://a.example/b";
        for text in [
            url,
            "See https://a.example/b.",
            "(https://a.example/b) ok",
            "x\nhttps://a.example/b!",
        ] {
            assert!(made(&preview(url), text).is_some(), "{text}");
        }
        for text in [
            "",
            "https://a.example/bc",
            "xhttps://a.example/b",
            "https://a.example/b.evil",
        ] {
            assert!(made(&preview(url), text).is_none(), "{text}");
        }
    }

    #[test]
    fn what_is_too_much_or_no_link_is_as_none() {
        let url = "https://a.example/";
        let bent: [fn(&mut api::LinkPreview); 4] = [
            |one| one.title = "x".repeat(TITLE + 1),
            |one| one.description = "x".repeat(DESCRIPTION + 1),
            |one| one.title.clear(),
            |one| one.thumbnail = BASE64.encode(b"<svg>"),
        ];
        for bend in bent {
            let mut preview = preview(url);
            bend(&mut preview);
            assert!(made(&preview, url).is_none());
        }
        assert!(made(&preview("javascript:alert(1)"), "javascript:alert(1)").is_none());
        assert!(read(&vec![0; BYTES + 1]).is_none());
    }
}
