//! Archives that are taken in: what they bring, and what they cannot.

use rusqlite::Transaction;
use waxwing_protocol::{
    pb::{
        ArchiveChunk, ArchiveRecord, ArchivedConversation, ArchivedEntry, ArchivedMessage,
        ArchivedSettings, archive_record::Record, archived_entry::Kind,
    },
    time::Time,
};

use super::{NotImported, Reach, VERSION, export, import};
use crate::{
    api::MessageId,
    engine::TABLES,
    message::deleted,
    settings::{self, Setting},
    store::{Store, StoreError},
    tables::Tables,
};

const NOW: Time = Time(1_800_000_000_000);

fn chunk(records: impl IntoIterator<Item = Record>) -> ArchiveChunk {
    let records = records.into_iter().map(|record| ArchiveRecord {
        record: Some(record),
    });
    ArchiveChunk {
        version: VERSION,
        records: records.collect(),
        ..ArchiveChunk::default()
    }
}

fn conversation() -> Record {
    Record::Conversation(ArchivedConversation {
        id: vec![1; 16].into(),
        address: "bob@example.org".into(),
        account_id: vec![2; 32].into(),
        started_at_ms: 5,
        stopped: true,
        ..ArchivedConversation::default()
    })
}

fn message(conversation: u8, id: u8, text: &str) -> Record {
    Record::Entry(ArchivedEntry {
        conversation: vec![conversation; 16].into(),
        place: i64::from(id),
        address: "bob@example.org".into(),
        at_ms: 7,
        kind: Some(Kind::Message(ArchivedMessage {
            id: vec![id; 32].into(),
            account_id: vec![2; 32].into(),
            text: text.into(),
            sent_at_ms: 7,
            ..ArchivedMessage::default()
        })),
        ..ArchivedEntry::default()
    })
}

fn with_store<T>(work: impl FnOnce(&Transaction<'_>) -> T) -> T {
    let mut store = Store::open_in_memory().unwrap();
    let done = store.transaction(|tx| Ok::<_, StoreError>(work(tx)));
    done.unwrap()
}

fn texts(tx: &Transaction<'_>) -> Vec<String> {
    let mut statement = tx
        .prepare("SELECT text FROM entry WHERE kind = 1 ORDER BY place, id")
        .unwrap();
    let rows = statement.query_map([], |row| row.get(0)).unwrap();
    rows.collect::<Result<_, _>>().unwrap()
}

#[test]
fn an_archive_received_twice_is_kept_once_and_can_be_passed_on() {
    let whole = chunk([conversation(), message(1, 3, "one"), message(1, 4, "two")]);
    let first = with_store(|tx| {
        import(tx, Tables(TABLES), NOW, whole.clone()).unwrap();
        import(tx, Tables(TABLES), NOW, whole).unwrap();
        assert_eq!(texts(tx), ["one", "two"]);
        export(tx, Tables(TABLES), None, Reach::Everything).unwrap()
    });
    assert!(first.next.is_none());
    with_store(|tx| {
        import(tx, Tables(TABLES), NOW, first).unwrap();
        assert_eq!(texts(tx), ["one", "two"]);
        let stopped: bool = tx
            .query_row("SELECT stopped FROM conversation", [], |row| row.get(0))
            .unwrap();
        assert!(stopped);
    });
}

#[test]
fn an_entry_of_a_conversation_that_began_later_is_left_out() {
    let later = chunk([
        conversation(),
        message(9, 3, "elsewhere"),
        message(1, 4, "here"),
    ]);
    with_store(|tx| {
        import(tx, Tables(TABLES), NOW, later).unwrap();
        assert_eq!(texts(tx), ["here"]);
    });
}

#[test]
fn another_version_and_malformed_records_are_refused() {
    with_store(|tx| {
        let newer = ArchiveChunk {
            version: VERSION + 1,
            ..chunk([conversation()])
        };
        let refused = import(tx, Tables(TABLES), NOW, newer);
        assert!(matches!(refused, Err(NotImported::Version)));
        let nameless = Record::Conversation(ArchivedConversation {
            id: vec![1; 16].into(),
            address: "nobody".into(),
            ..ArchivedConversation::default()
        });
        let refused = import(tx, Tables(TABLES), NOW, chunk([nameless]));
        assert!(matches!(refused, Err(NotImported::Malformed)));
        let key_that_is_none = Record::Settings(ArchivedSettings {
            backup_key: vec![0; 7].into(),
            ..ArchivedSettings::default()
        });
        let refused = import(tx, Tables(TABLES), NOW, chunk([key_that_is_none]));
        assert!(matches!(refused, Err(NotImported::Malformed)));
    });
}

#[test]
fn what_a_person_chose_on_this_device_stays() {
    with_store(|tx| {
        settings::write(tx, Setting::TellRead, false).unwrap();
        let settings = Record::Settings(ArchivedSettings {
            tell_delivered: true,
            tell_read: true,
            ..ArchivedSettings::default()
        });
        import(tx, Tables(TABLES), NOW, chunk([settings])).unwrap();
        assert_eq!(settings::read(tx, Setting::TellRead).unwrap(), Some(false));
        assert_eq!(
            settings::read(tx, Setting::TellDelivered).unwrap(),
            Some(true)
        );
    });
}

#[test]
fn what_was_deleted_does_not_come_back_with_an_archive_from_before() {
    let whole = chunk([conversation(), message(1, 3, "one"), message(1, 4, "two")]);
    with_store(|tx| {
        import(tx, Tables(TABLES), NOW, whole.clone()).unwrap();
        deleted::delete_for_good(tx, MessageId::from_bytes([3; 32])).unwrap();
        import(tx, Tables(TABLES), NOW, whole).unwrap();
        assert_eq!(texts(tx), ["two"]);
    });
}
