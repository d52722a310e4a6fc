//! All devices are lost: the recovery key and a backup bring the account back.

use data_encoding::BASE64;
use waxwing_engine::api::{
    Direction, Entry, EventKind, FeedBackup, MessageState, Notice, ReadBackup, Recover,
    RecoveryStage, Request, Response, Restore, SetLock,
};
use waxwing_protocol::time::Span;
use waxwing_system_tests::PersonId;

use super::scene::{
    ALICE, Scene, alice_and_bob, converse, devices, newest, outcome, recover, recovering,
    run_until_frame, words,
};

fn back_up(scene: &mut Scene, id: PersonId) {
    scene.command(id, Request::Backup).unwrap();
    scene.run_for(Span::minutes(1));
    let saved = newest(scene, id, |notice| match notice {
        Notice::Backup(changed) => Some((changed.saved_at, changed.problem.clone())),
        _ => None,
    });
    let (saved_at, problem) = saved.unwrap();
    assert!(saved_at.is_some() && problem.is_none());
}

/// Messages with how far they are.
fn shown(
    scene: &mut Scene,
    of: PersonId,
    with: PersonId,
) -> Vec<(String, Direction, Option<MessageState>)> {
    let messages = scene.messages(of, with).into_iter();
    messages
        .map(|message| (message.text, message.direction, message.state))
        .collect()
}

#[test]
fn the_words_and_the_relays_backup_bring_everything_back() {
    let (mut scene, lost, bob) = alice_and_bob(1);
    converse(&mut scene, lost, bob, 200);
    let (words, qr) = words(&mut scene, lost);
    scene.command(lost, Request::ForgetRecoveryWords).unwrap();
    back_up(&mut scene, lost);
    let before = scene.texts(lost, bob);
    scene.crash(lost);
    // Bob writes while nobody is there.
    scene.send(bob, lost, "where are you?");
    scene.run_for(Span::minutes(1));
    for (time, text) in [words, qr].into_iter().enumerate() {
        let new = scene.add(ALICE);
        let asked = Recover {
            revoke_others: true,
            ..recovering(&text)
        };
        recover(&mut scene, new, asked);
        assert_eq!(outcome(&scene, new), (RecoveryStage::Done, None));
        let listed = devices(&mut scene, new);
        assert_eq!(listed.len(), 1);
        assert_eq!(listed[0].added_by.as_deref(), Some("recovery_key"));
        assert_eq!(listed[0].name.as_deref(), Some("New phone"));
        scene.run_for(Span::minutes(2));
        let texts = scene.texts(new, bob);
        assert!(texts.starts_with(&before));
        // What came after the backup was sent again, or is shown as missing.
        scene.send(new, bob, &format!("here I am, {time}"));
        scene.send(bob, new, &format!("good, {time}"));
        scene.run_for(Span::minutes(2));
        let at_bobs = scene.texts(bob, new);
        assert!(at_bobs.contains(&format!("here I am, {time}")));
        assert!(scene.texts(new, bob).contains(&"where are you?".to_owned()));
        assert!(scene.texts(new, bob).contains(&format!("good, {time}")));
        // Bob sees nothing alarming.
        assert!(scene.status(bob).alarms.is_empty());
        let resets = scene.history(bob, new).into_iter().filter(
            |entry| matches!(entry, Entry::Event(event) if event.event == EventKind::IdentityReset),
        );
        assert_eq!(resets.count(), 0);
        // The next recovery finds a backup of this one.
        back_up(&mut scene, new);
        scene.crash(new);
    }
}

#[test]
fn recovery_goes_on_after_a_kill_at_any_frame() {
    let mut failed = 0;
    let mut frames = 0;
    for at in 1.. {
        let (mut scene, lost, bob) = alice_and_bob(2);
        converse(&mut scene, lost, bob, 30);
        let (words, _) = words(&mut scene, lost);
        back_up(&mut scene, lost);
        let before = scene.texts(lost, bob);
        let new = scene.add(ALICE);
        let asked = Request::Recover(recovering(&words));
        scene.command(new, asked).unwrap();
        if !run_until_frame(&mut scene, new, at, Span::minutes(2)) {
            break;
        }
        frames = at;
        scene.crash(new);
        scene.start(new);
        scene.run_for(Span::minutes(3));
        if outcome(&scene, new).0 == RecoveryStage::Failed {
            failed += 1;
            continue;
        }
        assert_eq!(outcome(&scene, new).0, RecoveryStage::Done, "{at}");
        assert_eq!(scene.texts(new, bob), before, "{at}");
    }
    assert!(frames > 10, "{frames}");
    assert!(failed < 8, "{failed} of {frames}");
}

/// A backup as a file.
fn backup_file(scene: &mut Scene, of: PersonId) -> Vec<u8> {
    let mut file = Vec::new();
    for index in 0.. {
        let read = Request::ReadBackup(ReadBackup { index });
        let Response::BackupPart(part) = scene.command(of, read).unwrap() else {
            panic!("a part");
        };
        file.extend(BASE64.decode(part.part.as_bytes()).unwrap());
        if !part.more {
            break;
        }
    }
    file
}

/// Feeds a file, until the engine does not want more of it.
fn feed(scene: &mut Scene, to: PersonId, file: &[u8]) {
    let mut pieces = file.chunks(50_000).peekable();
    while let Some(piece) = pieces.next() {
        let fed = Request::FeedBackup(FeedBackup {
            part: BASE64.encode(piece),
            last: pieces.peek().is_none(),
        });
        if scene.command(to, fed).is_err() {
            return;
        }
    }
    scene.run_for(Span::minutes(2));
}

#[test]
fn a_backup_in_a_file_brings_everything_back() {
    let (mut scene, lost, bob) = alice_and_bob(3);
    converse(&mut scene, lost, bob, 100);
    let before = shown(&mut scene, lost, bob);
    let (words, _) = words(&mut scene, lost);
    let file = backup_file(&mut scene, lost);
    let new = scene.add(ALICE);
    let asked = Recover {
        from_file: true,
        ..recovering(&words)
    };
    let unasked = Request::FeedBackup(FeedBackup {
        part: BASE64.encode(&file),
        last: true,
    });
    assert!(scene.command(new, unasked).is_err());
    recover(&mut scene, new, asked);
    assert_eq!(outcome(&scene, new), (RecoveryStage::Checking, None));
    feed(&mut scene, new, &file);
    assert_eq!(outcome(&scene, new), (RecoveryStage::Restoring, None));
    feed(&mut scene, new, &file);
    assert_eq!(outcome(&scene, new), (RecoveryStage::Done, None));
    assert_eq!(shown(&mut scene, new, bob), before);
}

#[test]
fn a_wrong_file_changes_nothing_and_another_can_be_tried() {
    let (mut scene, lost, bob) = alice_and_bob(8);
    converse(&mut scene, lost, bob, 100);
    let before = shown(&mut scene, lost, bob);
    let (words, _) = words(&mut scene, lost);
    let file = backup_file(&mut scene, lost);
    let bobs = backup_file(&mut scene, bob);
    let new = scene.add(ALICE);
    let asked = Recover {
        from_file: true,
        ..recovering(&words)
    };
    let mut changed = file.clone();
    *changed.last_mut().unwrap() ^= 1;
    let cut = &file[..file.len() - 1_000];
    for wrong in [b"a letter".as_slice(), b"", &bobs, cut, &changed] {
        recover(&mut scene, new, asked.clone());
        assert_eq!(outcome(&scene, new).0, RecoveryStage::Checking);
        feed(&mut scene, new, wrong);
        if wrong.is_empty() {
            let nothing = FeedBackup {
                part: String::new(),
                last: true,
            };
            scene.command(new, Request::FeedBackup(nothing)).unwrap();
        }
        let failed = (RecoveryStage::Failed, Some("backup_damaged".into()));
        assert_eq!(outcome(&scene, new), failed);
        assert_eq!(devices(&mut scene, lost).len(), 1);
    }
    // A process that ends in between has changed nothing either.
    recover(&mut scene, new, asked.clone());
    scene.crash(new);
    scene.start(new);
    scene.run_for(Span::minutes(2));
    assert_eq!(outcome(&scene, new).0, RecoveryStage::Failed);
    assert_eq!(devices(&mut scene, lost).len(), 1);
    recover(&mut scene, new, asked);
    feed(&mut scene, new, &file);
    feed(&mut scene, new, &file);
    assert_eq!(outcome(&scene, new), (RecoveryStage::Done, None));
    assert_eq!(shown(&mut scene, new, bob), before);
    assert_eq!(devices(&mut scene, lost).len(), 2);
}

#[test]
fn a_backup_can_be_restored_on_a_device_that_is_there_already() {
    let (mut scene, lost, bob) = alice_and_bob(9);
    converse(&mut scene, lost, bob, 60);
    let before = shown(&mut scene, lost, bob);
    let (words, _) = words(&mut scene, lost);
    let file = backup_file(&mut scene, lost);
    let (bobs_words, _) = super::scene::words(&mut scene, bob);
    let new = scene.add(ALICE);
    recover(&mut scene, new, recovering(&words));
    let none = (RecoveryStage::Done, Some("backup_none".into()));
    assert_eq!(outcome(&scene, new), none);
    let restore = |words: &str| {
        Request::Restore(Restore {
            words: words.into(),
            from_file: true,
        })
    };
    let refused = scene.command(new, restore(&bobs_words)).unwrap_err();
    assert_eq!(refused.problem.code(), "recovery_words_others");
    // A wrong file leaves the account as it was.
    scene.command(new, restore(&words)).unwrap();
    feed(&mut scene, new, b"a letter");
    let failed = (RecoveryStage::Failed, Some("backup_damaged".into()));
    assert_eq!(outcome(&scene, new), failed);
    assert_eq!(devices(&mut scene, new).len(), 2);
    scene.send(bob, new, "still there?");
    // What came meanwhile stays, whatever the backup has; twice is as good as once.
    for _ in 0..2 {
        scene.command(new, restore(&words)).unwrap();
        assert_eq!(outcome(&scene, new).0, RecoveryStage::Checking);
        feed(&mut scene, new, &file);
        feed(&mut scene, new, &file);
        assert_eq!(outcome(&scene, new), (RecoveryStage::Done, None));
        let texts = scene.texts(new, bob);
        assert_eq!(texts.len(), before.len() + 1);
        assert!(texts.iter().any(|text| text == "still there?"));
    }
}

#[test]
fn without_a_backup_the_account_is_recovered_all_the_same() {
    let (mut scene, lost, _) = alice_and_bob(4);
    let (words, _) = words(&mut scene, lost);
    let new = scene.add(ALICE);
    recover(&mut scene, new, recovering(&words));
    assert_eq!(
        outcome(&scene, new),
        (RecoveryStage::Done, Some("backup_none".into()))
    );
    assert_eq!(devices(&mut scene, new).len(), 2);
    assert_eq!(devices(&mut scene, lost).len(), 2);
}

#[test]
fn words_that_are_wrong_or_anothers_recover_nothing() {
    let (mut scene, alice, bob) = alice_and_bob(5);
    let (bobs, _) = words(&mut scene, bob);
    let new = scene.add(ALICE);
    recover(&mut scene, new, recovering(&bobs));
    assert_eq!(
        outcome(&scene, new),
        (RecoveryStage::Failed, Some("recovery_words_others".into()))
    );
    assert_eq!(devices(&mut scene, alice).len(), 1);
    let malformed = scene.command(new, Request::Recover(recovering("one two three")));
    assert_eq!(
        malformed.unwrap_err().problem.code(),
        "recovery_words_malformed"
    );
    let unknown = Recover {
        address: "carol@example.org".into(),
        ..recovering(&bobs)
    };
    recover(&mut scene, new, unknown);
    let problem = outcome(&scene, new).1;
    assert_eq!(problem.as_deref(), Some("recovery_address_unknown"));
}

#[test]
fn a_backup_is_made_once_a_day_when_there_is_something_new() {
    let (mut scene, alice, bob) = alice_and_bob(6);
    let saved = |scene: &Scene| {
        let notices = &scene.person(alice).notices;
        let saved = notices.iter().filter(|notice| match notice {
            Notice::Backup(changed) => changed.saved_at.is_some(),
            _ => false,
        });
        saved.count()
    };
    scene.run_for(Span::hours(2));
    assert_eq!(saved(&scene), 1);
    scene.run_for(Span::hours(26));
    assert_eq!(saved(&scene), 1);
    scene.send(bob, alice, "news");
    scene.run_for(Span::hours(26));
    assert_eq!(saved(&scene), 2);
}

#[test]
fn a_lock_that_is_newer_than_the_backup_is_no_surprise() {
    let (mut scene, lost, _) = alice_and_bob(7);
    let (words, _) = words(&mut scene, lost);
    back_up(&mut scene, lost);
    let lock = SetLock { locked: true };
    scene.command(lost, Request::SetLock(lock)).unwrap();
    scene.run_for(Span::minutes(1));
    let new = scene.add(ALICE);
    recover(&mut scene, new, recovering(&words));
    let status = scene.status(new);
    assert!(status.locked && status.alarms.is_empty());
}
