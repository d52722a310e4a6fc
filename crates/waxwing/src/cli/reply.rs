//! What a message replies to, in a line above it.
//!
//! **Elsewhere**: the whole thread is `waxwing thread`, in [`super::messages`].

use waxwing_client::Session;
use waxwing_engine::api::{Direction, FindMessage, Message, Request};

use crate::text::one_line;

/// Characters of the quoted message that are shown.
const SHOWN: usize = 60;

/// Who wrote what a message replies to, and how it begins; `None` if the message is not a reply.
pub(super) async fn quoted(session: &mut Session, message: &Message) -> Option<String> {
    let prefix = message.reply_to?.to_string();
    let find = Request::FindMessage(FindMessage { prefix });
    Some(match session.ask::<Message>(&find).await {
        Ok(original) if original.conversation == message.conversation => of(&original),
        _ => "a message that is not on this device".to_owned(),
    })
}

fn of(original: &Message) -> String {
    let who = match original.direction {
        Direction::Out => "you".to_owned(),
        Direction::In => one_line(&original.from),
    };
    if original.taken_back {
        return format!("{who}: (deleted)");
    }
    let mut start: String = original.text.chars().take(SHOWN).collect();
    if start.len() < original.text.len() {
        start.push('…');
    }
    if start.trim().is_empty() {
        let file = original.attachments.first();
        start = file.map_or_else(|| "(no text)".to_owned(), |file| file.name.clone());
    }
    format!("{who}: {}", one_line(&start))
}

#[cfg(test)]
mod tests {
    use waxwing_engine::api::{ConversationId, MessageId};
    use waxwing_protocol::time::Time;

    use super::*;

    #[test]
    fn a_quote_is_short_and_harmless() {
        let mut original = Message::new(
            MessageId::from_bytes([1; 32]),
            ConversationId::from_bytes([1; 16]),
            "bob@example.org".into(),
            Time(1).into(),
            Direction::In,
        );
        original.text = "two\nlines \u{1b}[31m".into();
        assert_eq!(of(&original), "bob@example.org: two lines \u{fffd}[31m");
        original.text = "long ".repeat(100);
        assert!(of(&original).chars().count() < 100);
        original.text.clear();
        assert_eq!(of(&original), "bob@example.org: (no text)");
        original.taken_back = true;
        assert_eq!(of(&original), "bob@example.org: (deleted)");
    }
}
