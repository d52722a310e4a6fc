//! What each second takes away, and that it takes little at a time.

use bytes::Bytes;
use prost::Message as _;
use sha2::{Digest as _, Sha256};
use waxwing_protocol::{
    limits,
    pb::{self, client_frame::Body as Ask, relay_frame::Body as Answer},
    time::{Span, Time},
};
use waxwing_relay::{
    relay::{LinkId, SLICE_MOST},
    store::{
        KeySpace, Store as _, Write, key,
        records::{BackupUploadRecord, BlobRecord, EntryRecord, PostedRecord, RegistrationRecord},
    },
};

use crate::world::World;

fn put(space: KeySpace, at: &[&[u8]], value: Vec<u8>) -> Write {
    Write {
        space,
        key: key(at),
        value: Some(value.into()),
    }
}

/// Everything that is old, many times over.
fn world_full_of_old_things() -> World {
    let mut world = World::new();
    let mut writes = Vec::new();
    let day = (world.now.0 / 86_400_000 - 5).to_be_bytes();
    for n in 0..60_000_u64 {
        let id = [0, n].map(u64::to_be_bytes).concat();
        let posted = PostedRecord { group_sequence: n };
        writes.push(put(
            KeySpace::PostIds,
            &[&day, &id, &id],
            posted.encode_to_vec(),
        ));
    }
    for n in 0..3_000_u64 {
        let entry = EntryRecord {
            post: n,
            size: 1,
            received_at_ms: 1,
            shared: false,
            ..EntryRecord::default()
        };
        let mailbox = [n, n].map(u64::to_be_bytes).concat();
        writes.push(put(
            KeySpace::Entries,
            &[&mailbox, &1_u64.to_be_bytes()],
            entry.encode_to_vec(),
        ));
        let registration = RegistrationRecord {
            expires_at_ms: 1,
            ..RegistrationRecord::default()
        };
        writes.push(put(
            KeySpace::Registrations,
            &[&mailbox],
            registration.encode_to_vec(),
        ));
    }
    for n in 0..20_u64 {
        let account = [n; 4].map(u64::to_be_bytes).concat();
        let upload = BackupUploadRecord {
            backup_id: Bytes::from_static(&[1; 16]),
            present: vec![0xff; 128].into(),
            touched_at_ms: 1,
        };
        writes.push(put(
            KeySpace::BackupUploads,
            &[&account],
            upload.encode_to_vec(),
        ));
        for part in 0..limits::BACKUP_PARTS {
            let at: [&[u8]; 3] = [&account, &[1; 16], &part.to_be_bytes()];
            writes.push(put(KeySpace::Backups, &at, vec![1]));
        }
        let blob = BlobRecord {
            bytes: 3_000 * limits::BLOB_PART_BYTES as u64,
            parts: 3_000,
            readers: 1,
            delete_hash: Bytes::copy_from_slice(&Sha256::digest([1])),
            opened_at_ms: 1,
            ..BlobRecord::default()
        };
        writes.push(put(KeySpace::Blobs, &[&account], blob.encode_to_vec()));
        for part in 0..3_000_u32 {
            let at: [&[u8]; 2] = [&account, &part.to_be_bytes()];
            writes.push(put(KeySpace::BlobParts, &at, vec![1]));
        }
    }
    world.store.commit(writes).unwrap();
    world.crash();
    world
}

const OLD: [KeySpace; 7] = [
    KeySpace::PostIds,
    KeySpace::Entries,
    KeySpace::Registrations,
    KeySpace::BackupUploads,
    KeySpace::Backups,
    KeySpace::Blobs,
    KeySpace::BlobParts,
];

#[test]
fn a_slice_touches_few_records_however_many_are_due() {
    let mut world = world_full_of_old_things();
    for _ in 0..30 {
        world.now = world.now.after(Span::seconds(1));
        world.relay.begin_sweep();
        while world.relay.sweep_slice(world.now) {}
        while world.write_once() {}
    }
    for space in OLD {
        assert_eq!(world.store.count(space).unwrap(), 0, "{}", space.name());
    }
    let most = world.relay.most_touched_in_a_slice();
    assert!(most > 0 && most <= SLICE_MOST, "{most} records at once");
}

#[test]
fn old_post_ids_are_deleted_as_fast_as_they_can_be_made() {
    let mut world = world_full_of_old_things();
    // A second's worth of any relay's posts is gone within a second.
    world.wait(Span::seconds(1));
    while world.write_once() {}
    assert_eq!(world.store.count(KeySpace::PostIds).unwrap(), 0);
}

#[test]
fn a_record_that_cannot_be_read_stops_no_sweep_behind_it() {
    let mut world = world_full_of_old_things();
    let spaces = [
        (KeySpace::Entries, 24),
        (KeySpace::Registrations, 16),
        (KeySpace::BackupUploads, 32),
        (KeySpace::Blobs, 32),
    ];
    let damaged = spaces.map(|(space, length)| put(space, &[&vec![0; length]], vec![0xff; 9]));
    world.store.commit(damaged.into()).unwrap();
    for _ in 0..30 {
        world.wait(Span::seconds(1));
        while world.write_once() {}
    }
    for (space, _) in spaces {
        // The damaged one is `check`'s to report.
        assert_eq!(world.store.count(space).unwrap(), 1, "{}", space.name());
    }
}

#[test]
fn a_slice_reads_few_blobs_however_many_readers_they_have() {
    let mut world = World::new();
    let record = BlobRecord {
        bytes: 1,
        readers: limits::BLOB_READERS,
        opened_at_ms: world.now.0,
        unread_by: vec![1; 12 * limits::BLOB_READERS as usize].into(),
        ..BlobRecord::default()
    };
    let writes = (0..300_u64).map(|n| {
        let id = [n; 4].map(u64::to_be_bytes).concat();
        put(KeySpace::Blobs, &[&id], record.encode_to_vec())
    });
    world.store.commit(writes.collect()).unwrap();
    world.crash();
    let first = world.store.reads();
    let mut before = first;
    world.relay.begin_sweep();
    while world.relay.sweep_slice(world.now) {
        let read = world.store.reads() - before;
        assert!(read < 20, "{read} at once");
        before = world.store.reads();
    }
    assert!(before - first >= 300, "not all were looked at");
}

#[test]
fn what_is_in_memory_is_looked_through_in_small_pieces() {
    let mut world = World::new();
    for n in 0..5_000_u32 {
        let link = LinkId(1_000_000 + u64::from(n));
        let [_, b, c, d] = n.to_be_bytes();
        let source = [10, b, c, d].into();
        world
            .relay
            .link_opened(world.now, &mut world.rng, link, [1; 32], source);
        let frame = |body| pb::ClientFrame {
            request: 1,
            body: Some(body),
        };
        let mut id = [0; 16];
        id[..4].copy_from_slice(&n.to_be_bytes());
        for body in [
            Ask::Open(pb::Open { version: 1 }),
            Ask::StartRegistration(pb::StartRegistration {
                address: format!("p{n}@example.org"),
                device_id: Bytes::from_static(&[3; 32]),
            }),
            Ask::JoinRendezvous(pb::JoinRendezvous {
                at: Some(pb::join_rendezvous::At::RendezvousId(
                    Bytes::copy_from_slice(&id),
                )),
            }),
        ] {
            world
                .relay
                .handle(world.now, &mut world.rng, link, frame(body));
        }
        while world.relay.poll_effect().is_some() {}
    }
    world.now = Time(world.now.0 + Span::hours(1).0);
    let mut slices = 0;
    world.relay.begin_sweep();
    while world.relay.sweep_slice(world.now) {
        slices += 1;
    }
    assert!(slices > 20, "{slices}");
    assert!(world.relay.most_touched_in_a_slice() <= SLICE_MOST);
    // Their time was over: each is told.
    let told = std::iter::from_fn(|| world.relay.poll_effect()).filter(|effect| {
        matches!(
            effect,
            waxwing_relay::relay::Effect::Send { frame, .. }
                if matches!(frame.body, Some(Answer::RendezvousLeft(_)))
        )
    });
    assert_eq!(told.count(), 5_000);
}
