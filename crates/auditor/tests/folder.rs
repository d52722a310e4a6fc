//! What an auditor keeps on disk.

#![cfg(test)]

use std::os::unix::fs::PermissionsExt as _;

use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng as _};
use waxwing_auditor::{
    folder::{Folder, FolderError, publish},
    follower::{Follower, Lie},
    round::Keep as _,
};
use waxwing_protocol::pb;
use waxwing_transparency::{cosignature::AuditorId, identity::LogId};

#[test]
fn the_key_is_made_once_and_only_its_owner_can_read_it() {
    let home = tempfile::tempdir().unwrap();
    let mut rng = ChaCha20Rng::from_seed([1; 32]);
    let path = home.path().join("auditor");
    let folder = Folder::open(&path).unwrap();
    let first = AuditorId::of(folder.key(&mut rng).unwrap().public());
    let again = Folder::open(&path).unwrap().key(&mut rng).unwrap();
    assert_eq!(AuditorId::of(again.public()), first);
    let file = path.join("auditor.key");
    let mode = std::fs::metadata(&file).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert_eq!(std::fs::read(&file).unwrap().len(), 64);
    // One that is damaged is told, and not replaced.
    std::fs::write(&file, b"short").unwrap();
    assert!(matches!(
        folder.key(&mut rng),
        Err(FolderError::Damaged { .. })
    ));
    assert_eq!(std::fs::read(&file).unwrap(), b"short");
}

#[test]
fn what_was_kept_is_read_again_and_one_auditor_at_a_time_has_it() {
    let home = tempfile::tempdir().unwrap();
    let folder = Folder::open(home.path()).unwrap();
    let mut log = folder.log("relay.example.org", 443).unwrap();
    assert_eq!(log.saved().unwrap(), None);
    let follower = Follower::new(None);
    log.keep(&follower).unwrap();
    assert_eq!(log.saved().unwrap(), Some(follower.saved()));
    assert!(matches!(
        folder.log("relay.example.org", 443),
        Err(FolderError::InUse { .. })
    ));
    folder.log("::1", 443).unwrap();
    std::fs::write(log.path().join("log"), [0xff; 10]).unwrap();
    assert!(matches!(log.saved(), Err(FolderError::Damaged { .. })));
    drop(log);
    folder.log("relay.example.org", 443).unwrap();
}

#[test]
fn evidence_is_never_overwritten() {
    let home = tempfile::tempdir().unwrap();
    let mut log = Folder::open(home.path()).unwrap().log("relay", 1).unwrap();
    let first = log.write_evidence(&pb::Evidence::default()).unwrap();
    let second = log.write_evidence(&pb::Evidence::default()).unwrap();
    assert_ne!(first, second);
    assert!(first.exists() && second.exists());
    assert_eq!(log.evidence(), None);
    let lie = Lie::Rewritten {
        number: 1,
        evidence: Box::default(),
    };
    log.keep_lie(&lie).unwrap();
    assert!(log.evidence().unwrap().exists());
    log.keep_lie(&Lie::HeadUnsigned).unwrap();
    assert_ne!(log.evidence(), Some(second.as_path()));
}

#[test]
fn a_cosignature_is_published_under_its_logs_id() {
    let home = tempfile::tempdir().unwrap();
    let at = home.path().join("public");
    let path = publish(&at, LogId([1; 32]), &pb::CoSignature::default()).unwrap();
    assert_eq!(path, at.join(format!("{}.cosignature", "01".repeat(32))));
    let mode = std::fs::metadata(path).unwrap().permissions().mode();
    assert_eq!(mode & 0o444, 0o444);
}
