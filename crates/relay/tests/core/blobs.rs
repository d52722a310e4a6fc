//! Blobs: put in parts, read by whoever knows the id, gone when everybody has them.

use bytes::Bytes;
use sha2::{Digest as _, Sha256};
use waxwing_protocol::{
    limits,
    pb::{self, ErrorCode, client_frame::Body as Ask, relay_frame::Body as Answer},
    time::Span,
};
use waxwing_relay::{
    relay::LinkId,
    store::{KeySpace, Store as _, check::check},
};

use crate::world::{World, code};

const PART: usize = limits::BLOB_PART_BYTES;
const SECRET: [u8; 32] = [9; 32];
const DONE: Answer = Answer::Done(pb::Done {});

fn id(id: u8) -> Bytes {
    Bytes::copy_from_slice(&[id; 32])
}

/// Opens a blob for readers 1 and so on.
fn open(blob: u8, bytes: u64, readers: u32, tokens: Vec<pb::Token>) -> Ask {
    let marks = (1..=readers.min(8)).flat_map(|reader| {
        let reader = [u8::try_from(reader).unwrap(); 16];
        Sha256::digest(reader)[..12].to_vec()
    });
    Ask::OpenBlob(pb::OpenBlob {
        blob_id: id(blob),
        bytes,
        readers,
        delete_hash: Bytes::copy_from_slice(&Sha256::digest(SECRET)),
        tokens,
        reader_marks: marks.collect(),
    })
}

fn put(blob: u8, index: u32, part: &[u8]) -> Ask {
    Ask::PutBlobPart(pb::PutBlobPart {
        blob_id: id(blob),
        index,
        part: Bytes::copy_from_slice(part),
    })
}

fn fetch(blob: u8, index: u32) -> Ask {
    Ask::FetchBlobPart(pb::FetchBlobPart {
        blob_id: id(blob),
        index,
    })
}

fn read(blob: u8, reader: u8) -> Ask {
    Ask::BlobRead(pb::BlobRead {
        blob_id: id(blob),
        reader: Bytes::copy_from_slice(&[reader; 16]),
    })
}

fn stored(parts: u32, of: u32) -> Answer {
    Answer::BlobStored(pb::BlobStored { parts, of })
}

/// A world, a link that nobody is logged in on, and tokens.
fn world() -> (World, LinkId, Vec<pb::Token>) {
    let mut world = World::new();
    let alice = world.person("alice@example.org");
    let (mailbox, _) = world.login(&alice);
    let tokens = world.tokens(mailbox, 8);
    let link = world.link();
    (world, link, tokens)
}

/// A blob of two parts, the last of which is short.
fn two_parts(readers: u32) -> (World, LinkId) {
    let (mut world, link, mut tokens) = world();
    let bytes = PART as u64 + 5;
    let open = open(1, bytes, readers, vec![tokens.pop().unwrap()]);
    assert_eq!(world.ask_durably(link, open), stored(0, 2));
    assert_eq!(
        world.ask_durably(link, put(1, 0, &vec![7; PART])),
        stored(1, 2)
    );
    assert_eq!(world.ask_durably(link, put(1, 1, b"short")), stored(2, 2));
    (world, link)
}

#[test]
fn a_blob_is_read_by_its_id_also_after_a_crash() {
    let (mut world, _) = two_parts(2);
    world.crash();
    let link = world.link();
    let Some(Answer::BlobPartFetched(first)) = world.ask(link, fetch(1, 0)) else {
        panic!("no part");
    };
    assert_eq!((first.part.len(), first.of), (PART, 2));
    let Some(Answer::BlobPartFetched(last)) = world.ask(link, fetch(1, 1)) else {
        panic!("no part");
    };
    assert_eq!(last.part, "short");
    assert_eq!(code(world.ask(link, fetch(1, 2))), ErrorCode::BlobUnknown);
    assert_eq!(code(world.ask(link, fetch(2, 0))), ErrorCode::BlobUnknown);
    assert_eq!(check(&world.store).unwrap().damaged(), 0);
}

#[test]
fn whoever_puts_goes_on_where_it_stopped() {
    let (mut world, link, mut tokens) = world();
    let token = tokens.pop().unwrap();
    let opening = open(1, 2 * PART as u64, 1, vec![token]);
    assert_eq!(world.ask_durably(link, opening.clone()), stored(0, 2));
    // Not the next: nothing happens but the answer.
    assert_eq!(
        world.ask_durably(link, put(1, 1, &vec![1; PART])),
        stored(0, 2)
    );
    assert_eq!(
        world.ask_durably(link, put(1, 0, &vec![1; PART])),
        stored(1, 2)
    );
    world.crash();
    let link = world.link();
    let state = Ask::FetchBlobState(pb::FetchBlobState { blob_id: id(1) });
    assert_eq!(world.ask_durably(link, state), stored(1, 2));
    // The opening again, and a part that is there: the same answer, and no other token.
    assert_eq!(world.ask_durably(link, opening), stored(1, 2));
    assert_eq!(
        world.ask_durably(link, put(1, 0, &vec![2; PART])),
        stored(1, 2)
    );
    let Some(Answer::BlobPartFetched(part)) = world.ask(link, fetch(1, 0)) else {
        panic!("no part");
    };
    assert_eq!(part.part[0], 1);
}

#[test]
fn a_blob_is_gone_when_every_reader_has_it() {
    let (mut world, link) = two_parts(2);
    assert_eq!(world.ask_durably(link, read(1, 1)), DONE);
    // The same reader again is no other.
    assert_eq!(world.ask_durably(link, read(1, 1)), DONE);
    assert!(matches!(
        world.ask(link, fetch(1, 0)),
        Some(Answer::BlobPartFetched(_))
    ));
    assert_eq!(world.ask_durably(link, read(1, 2)), DONE);
    assert_eq!(code(world.ask(link, fetch(1, 0))), ErrorCode::BlobUnknown);
    for space in [KeySpace::Blobs, KeySpace::BlobParts] {
        assert_eq!(world.store.count(space).unwrap(), 0);
    }
    // Who comes late with it is not told that it is gone.
    assert_eq!(world.ask_durably(link, read(1, 3)), DONE);
}

#[test]
fn marks_that_nobody_registered_delete_no_blob() {
    let (mut world, link) = two_parts(2);
    let written = world.store.commits();
    for reader in 10..30 {
        assert_eq!(world.ask_durably(link, read(1, reader)), DONE);
    }
    // Nor do they cost the disk anything.
    assert_eq!(world.store.commits(), written);
    assert_eq!(world.ask_durably(link, read(1, 2)), DONE);
    // A mark counts once.
    assert_eq!(world.ask_durably(link, read(1, 2)), DONE);
    assert!(matches!(
        world.ask(link, fetch(1, 0)),
        Some(Answer::BlobPartFetched(_))
    ));
    assert_eq!(world.ask_durably(link, read(1, 1)), DONE);
    assert_eq!(code(world.ask(link, fetch(1, 0))), ErrorCode::BlobUnknown);
}

#[test]
fn a_blob_without_marks_stays_until_it_is_deleted() {
    // As clients open one that know of no marks.
    let (mut world, link, mut tokens) = world();
    let Ask::OpenBlob(mut opening) = open(1, 5, 1, vec![tokens.pop().unwrap()]) else {
        panic!("another request");
    };
    opening.reader_marks = Bytes::new();
    assert_eq!(
        world.ask_durably(link, Ask::OpenBlob(opening)),
        stored(0, 1)
    );
    assert_eq!(world.ask_durably(link, put(1, 0, b"parts")), stored(1, 1));
    assert_eq!(world.ask_durably(link, read(1, 1)), DONE);
    assert!(matches!(
        world.ask(link, fetch(1, 0)),
        Some(Answer::BlobPartFetched(_))
    ));
}

#[test]
fn whoever_put_it_may_delete_it_and_nobody_else() {
    let (mut world, link) = two_parts(2);
    let delete = |secret: &[u8]| {
        Ask::DeleteBlob(pb::DeleteBlob {
            blob_id: id(1),
            secret: Bytes::copy_from_slice(secret),
        })
    };
    let refused = world.ask(link, delete(&[8; 32]));
    assert_eq!(code(refused), ErrorCode::Unauthorised);
    assert_eq!(world.ask_durably(link, delete(&SECRET)), DONE);
    assert_eq!(code(world.ask(link, fetch(1, 0))), ErrorCode::BlobUnknown);
    assert_eq!(world.ask_durably(link, delete(&SECRET)), DONE);
}

#[test]
fn a_blob_that_nobody_fetches_is_gone_after_a_month() {
    let (mut world, link) = two_parts(2);
    world.wait(limits::BLOB_RETENTION);
    let link_now = world.link();
    assert_eq!(
        code(world.ask(link_now, fetch(1, 0))),
        ErrorCode::BlobUnknown
    );
    world.wait(Span::seconds(5));
    world.write();
    assert_eq!(world.store.count(KeySpace::BlobParts).unwrap(), 0);
    let _ = link;
}

#[test]
fn a_blob_costs_a_token_for_each_16_mebibytes() {
    let (mut world, link, tokens) = world();
    let bytes = limits::BLOB_BYTES_PER_TOKEN + 1;
    for some in [
        vec![],
        vec![tokens[0].clone()],
        vec![tokens[0].clone(), tokens[0].clone()],
        tokens[..3].to_vec(),
    ] {
        let refused = world.ask(link, open(1, bytes, 1, some));
        assert_eq!(code(refused), ErrorCode::Unauthorised);
    }
    let enough = open(1, bytes, 1, tokens[..2].to_vec());
    assert_eq!(world.ask_durably(link, enough), stored(0, 65));
    let spent = world.ask(link, open(2, 5, 1, vec![tokens[0].clone()]));
    assert_eq!(code(spent), ErrorCode::Unauthorised);
}

#[test]
fn what_is_no_blob_is_refused_and_changes_nothing() {
    let (mut world, link, tokens) = world();
    let token = || vec![tokens[0].clone()];
    for (ask, error) in [
        (open(1, 0, 1, token()), ErrorCode::TooLarge),
        (open(1, u64::MAX, 1, token()), ErrorCode::TooLarge),
        (open(1, 5, 0, token()), ErrorCode::Malformed),
        (open(1, 5, u32::MAX, token()), ErrorCode::TooLarge),
        (put(1, 0, b"parts"), ErrorCode::BlobUnknown),
    ] {
        assert_eq!(code(world.ask(link, ask)), error);
    }
    assert_eq!(
        world.ask_durably(link, open(1, 5, 1, token())),
        stored(0, 1)
    );
    for part in [&b""[..], b"four", b"sixsix"] {
        let refused = world.ask(link, put(1, 0, part));
        assert_eq!(code(refused), ErrorCode::Malformed);
    }
    let other = world.ask(link, open(1, 6, 1, token()));
    assert_eq!(code(other), ErrorCode::Malformed);
    assert_eq!(world.store.count(KeySpace::BlobParts).unwrap(), 0);
}
