//! What a message says: MIMI content and receipts.

use waxwing_engine::{
    content::{self, Content, MessageId, VisibleContent, status},
    parsers,
};

/// A poll, a vote or a closing.
pub fn poll(bytes: &[u8]) {
    let Ok(said) = content::decode(bytes) else {
        return;
    };
    if let Some(written) = parsers::poll(&said) {
        let encoded = written.encode();
        let read = content::decode(&encoded).expect("what is written can be read");
        let again = parsers::poll(&read).map(|again| again.encode());
        assert!(again == Some(encoded), "it says what it said");
    }
}

/// The content of a message, or a receipt.
pub fn content(bytes: &[u8]) {
    if let Ok(content) = content::decode(bytes) {
        let encoded = content.encode();
        // CBOR has several encodings of one value, so the bytes may differ; what they
        // say does not. (Not a number is not equal to itself.)
        if let Ok(again) = content::decode(&encoded) {
            assert_eq!(again.encode(), encoded, "an encoding is stable");
        }
        if let VisibleContent::Statuses(statuses) = content.shown() {
            assert!(statuses.len() <= status::STATUSES);
        }
    }
    if let Ok(statuses) = status::decode(bytes) {
        let report = Content::statuses([0; 16], &statuses);
        assert!(
            report.shown() == VisibleContent::Statuses(statuses),
            "a report says what was reported"
        );
    }
    if let Some(id) = MessageId::from_bytes(bytes) {
        assert_eq!(id.as_bytes().as_slice(), bytes);
    }
}
