//! Messages that are sent again: one that failed, one that is forwarded, one for later; and reading
//! everything, page by page.

use waxwing_engine::api::{
    Block, CancelScheduled, ChangeScheduled, Forward, History, HistoryPage, Message, MessageId,
    MessageOf, MessageState, Notice, Request, Response, Schedule, ScheduledMessage, SealedFile,
    Search, SendPoll, SendText,
};
use waxwing_protocol::time::{Span, Time};
use waxwing_system_tests::{
    PersonId, RealRelay, World,
    devices::linked,
    scenes::{alice_and_bob, alice_and_bob_talking},
};

type Scene = World<RealRelay>;

const BOB: &str = "bob@example.org";
const CAROL: &str = "carol@example.org";

fn sent(response: Response) -> MessageId {
    match response {
        Response::Sent(sent) => sent.id,
        other => panic!("{other:?}"),
    }
}

fn resend(scene: &mut Scene, who: PersonId, message: MessageId) -> MessageId {
    let request = Request::Resend(MessageOf { message });
    sent(scene.command(who, request).unwrap())
}

fn block(scene: &mut Scene, who: PersonId, blocked: bool) {
    let block = Block {
        address: BOB.into(),
        blocked,
    };
    scene.command(who, Request::Block(block)).unwrap();
}

fn find(scene: &mut Scene, of: PersonId, with: PersonId, id: MessageId) -> Message {
    let messages = scene.messages(of, with);
    messages.into_iter().find(|one| one.id == id).unwrap()
}

/// Alice's messages fail: Bob is blocked before they leave.
fn fails(scene: &mut Scene, alice: PersonId, bob: PersonId, send: SendText) -> MessageId {
    scene.set_online(alice, false);
    let id = sent(scene.command(alice, Request::Send(send)).unwrap());
    block(scene, alice, true);
    scene.set_online(alice, true);
    scene.run_for(Span::minutes(1));
    assert_eq!(scene.state(alice, bob, id), Some(MessageState::Failed));
    block(scene, alice, false);
    id
}

fn to_bob(text: &str, attachments: Vec<SealedFile>) -> SendText {
    SendText {
        to: BOB.into(),
        text: text.into(),
        attachments,
        ..SendText::default()
    }
}

#[test]
fn a_message_that_failed_is_sent_again_once_with_its_file() {
    let (mut scene, alice, bob) = alice_and_bob_talking(1);
    let tablet = linked(&mut scene, alice);
    scene.run_for(Span::minutes(3));
    let file = scene.seal(alice, "note.txt", b"read this");
    let failed = fails(&mut scene, alice, bob, to_bob("Look", vec![file]));
    assert!(!scene.texts(bob, alice).contains(&"Look".to_owned()));
    let again = resend(&mut scene, alice, failed);
    assert_ne!(again, failed);
    scene.run_for(Span::minutes(2));
    for device in [alice, tablet] {
        let texts = scene.texts(device, bob);
        let looks = texts.iter().filter(|text| *text == "Look");
        assert_eq!(looks.count(), 1, "{device:?}");
    }
    assert_eq!(find(&mut scene, bob, alice, again).text, "Look");
    assert_eq!(scene.open_file(bob, again, 0).unwrap(), b"read this");
    // Neither what was sent nor what is gone is sent again.
    for (id, code) in [(again, "message_not_failed"), (failed, "message_unknown")] {
        let refused = scene.command(alice, Request::Resend(MessageOf { message: id }));
        assert_eq!(refused.unwrap_err().problem.code(), code);
    }
    let theirs = scene.send(bob, alice, "mine");
    scene.run_for(Span::minutes(1));
    let refused = scene.command(alice, Request::Resend(MessageOf { message: theirs }));
    assert_eq!(refused.unwrap_err().problem.code(), "message_not_own");
}

#[test]
fn a_poll_that_failed_is_a_poll_when_it_is_sent_again() {
    let (mut scene, alice, bob) = alice_and_bob_talking(2);
    scene.set_online(alice, false);
    let poll = SendPoll {
        to: BOB.into(),
        question: "Where?".into(),
        options: vec!["Here".into(), "There".into()],
        ..SendPoll::default()
    };
    let failed = sent(scene.command(alice, Request::SendPoll(poll)).unwrap());
    block(&mut scene, alice, true);
    scene.set_online(alice, true);
    scene.run_for(Span::minutes(1));
    block(&mut scene, alice, false);
    let again = resend(&mut scene, alice, failed);
    scene.run_for(Span::minutes(1));
    for (who, with) in [(alice, bob), (bob, alice)] {
        let poll = find(&mut scene, who, with, again).poll.unwrap();
        assert_eq!(poll.question, "Where?");
    }
}

#[test]
fn a_message_to_nobody_can_be_sent_again_when_somebody_has_the_address() {
    let (mut scene, alice, _) = alice_and_bob(3);
    let send = SendText {
        to: CAROL.into(),
        text: "hello".into(),
        ..SendText::default()
    };
    let id = sent(scene.command(alice, Request::Send(send)).unwrap());
    scene.run_for(Span::minutes(1));
    let carol = scene.add_registered(CAROL);
    scene.run_for(Span::minutes(1));
    assert_eq!(scene.state(alice, carol, id), Some(MessageState::Failed));
    resend(&mut scene, alice, id);
    scene.run_for(Span::minutes(5));
    assert_eq!(scene.texts(carol, alice), ["hello"]);
    assert_eq!(scene.texts(alice, carol), ["hello"]);
}

#[test]
fn what_is_forwarded_says_so_and_not_who_wrote_it() {
    let (mut scene, alice, bob) = alice_and_bob_talking(4);
    let carol = scene.add_registered(CAROL);
    let file = scene.seal(bob, "note.txt", b"read this");
    let send = SendText {
        to: "alice@example.org".into(),
        text: "**secret**".into(),
        markdown: true,
        attachments: vec![file.clone()],
        ..SendText::default()
    };
    let id = sent(scene.command(bob, Request::Send(send)).unwrap());
    scene.run_for(Span::minutes(1));
    let content = scene.open_file(alice, id, 0).unwrap();
    let again = scene.seal(alice, "note.txt", &content);
    assert_ne!((&again.blob, &again.key), (&file.blob, &file.key));
    let forward = Forward {
        message: id,
        to: CAROL.into(),
        attachments: vec![again],
    };
    let without = Forward {
        attachments: Vec::new(),
        ..forward.clone()
    };
    let refused = scene.command(alice, Request::Forward(without)).unwrap_err();
    assert_eq!(refused.problem.code(), "attachment_invalid");
    let forwarded = sent(scene.command(alice, Request::Forward(forward)).unwrap());
    scene.run_for(Span::minutes(1));
    scene.accept(carol, alice);
    let got = find(&mut scene, carol, alice, forwarded);
    assert!(got.forwarded && !got.formatted.is_empty());
    assert_eq!(
        (got.text.as_str(), got.from.as_str()),
        ("**secret**", "alice@example.org")
    );
    let json = serde_json::to_string(&got).unwrap();
    assert!(!json.contains("bob"), "{json}");
    assert!(find(&mut scene, alice, carol, forwarded).forwarded);
    assert!(!find(&mut scene, alice, bob, id).forwarded);
    // A new device has it, too.
    let tablet = linked(&mut scene, alice);
    scene.run_for(Span::minutes(2));
    assert!(find(&mut scene, tablet, carol, forwarded).forwarded);
}

#[test]
fn what_was_unsent_is_not_forwarded() {
    let (mut scene, alice, bob) = alice_and_bob_talking(5);
    let id = scene.send(bob, alice, "oops");
    scene.run_for(Span::minutes(1));
    scene
        .command(bob, Request::TakeBack(MessageOf { message: id }))
        .unwrap();
    scene.run_for(Span::minutes(1));
    let forward = Forward {
        message: id,
        to: CAROL.into(),
        attachments: Vec::new(),
    };
    let refused = scene.command(alice, Request::Forward(forward)).unwrap_err();
    assert_eq!(refused.problem.code(), "message_taken_back");
}

fn schedule(scene: &mut Scene, who: PersonId, message: SendText, at: Time) -> ScheduledMessage {
    let at = at.into();
    let request = Request::Schedule(Schedule { message, at });
    match scene.command(who, request).unwrap() {
        Response::ScheduledMessage(scheduled) => *scheduled,
        other => panic!("{other:?}"),
    }
}

fn scheduled(scene: &mut Scene, who: PersonId) -> Vec<ScheduledMessage> {
    match scene.command(who, Request::Scheduled).unwrap() {
        Response::ScheduledMessages(found) => found.scheduled,
        other => panic!("{other:?}"),
    }
}

fn late(scene: &Scene, who: PersonId) -> Vec<Option<u64>> {
    let notices = scene.person(who).notices.iter();
    let scheduled = notices.filter_map(|notice| match notice {
        Notice::Scheduled(changed) => Some(changed.late_ms),
        _ => None,
    });
    scheduled.collect()
}

#[test]
fn a_scheduled_message_is_sent_at_its_time_and_can_be_changed_until_then() {
    let (mut scene, alice, bob) = alice_and_bob_talking(6);
    let file = scene.seal(alice, "cake.txt", b"a cake");
    let at = scene.now.after(Span::hours(2));
    let one = schedule(&mut scene, alice, to_bob("Hapy birthday", vec![file]), at);
    assert_eq!((one.to.as_str(), one.attachments.len()), (BOB, 1));
    let cancelled = schedule(&mut scene, alice, to_bob("never", Vec::new()), at);
    let change = ChangeScheduled {
        id: one.id,
        text: Some("Happy birthday".into()),
        at: Some(scene.now.after(Span::hours(3)).into()),
    };
    scene
        .command(alice, Request::ChangeScheduled(change))
        .unwrap();
    let cancel = CancelScheduled { id: cancelled.id };
    scene
        .command(alice, Request::CancelScheduled(cancel))
        .unwrap();
    // A restart forgets nothing.
    scene.crash(alice);
    scene.start(alice);
    scene.run_for(Span(2 * 3_600_000 + 60_000));
    assert_eq!(scene.texts(bob, alice).len(), 2);
    scene.run_for(Span::hours(1));
    assert!(scheduled(&mut scene, alice).is_empty());
    let got = scene.messages(bob, alice).pop().unwrap();
    assert_eq!(got.text, "Happy birthday");
    assert_eq!(got.scheduled_for, None);
    assert_eq!(scene.open_file(bob, got.id, 0).unwrap(), b"a cake");
    let own = find(&mut scene, alice, bob, got.id);
    assert!(own.scheduled_for.is_some());
    assert_eq!(late(&scene, alice), [None]);
    for request in [
        Request::CancelScheduled(CancelScheduled { id: one.id }),
        Request::CancelScheduled(cancel),
    ] {
        let refused = scene.command(alice, request).unwrap_err();
        assert_eq!(refused.problem.code(), "scheduled_unknown");
    }
}

#[test]
fn a_device_that_was_off_sends_late_and_says_so() {
    let (mut scene, alice, bob) = alice_and_bob_talking(7);
    let at = scene.now.after(Span::hours(1));
    schedule(&mut scene, alice, to_bob("on time", Vec::new()), at);
    scene.crash(alice);
    scene.run_for(Span::hours(3));
    scene.start(alice);
    scene.run_for(Span::minutes(1));
    assert_eq!(scene.texts(bob, alice).last().unwrap(), "on time");
    let own = scene.messages(alice, bob).pop().unwrap();
    let for_when = own.scheduled_for.unwrap();
    assert!(own.sent_at.0.since(for_when.0) >= Span::hours(1));
    let late = late(&scene, alice);
    assert!(late[0] >= Some(7_000_000), "{late:?}");
    // It is sent once.
    scene.crash(alice);
    scene.start(alice);
    scene.run_for(Span::minutes(1));
    let texts = scene.texts(bob, alice);
    assert_eq!(texts.iter().filter(|text| *text == "on time").count(), 1);
}

#[test]
fn what_is_refused_at_its_time_stays_with_the_reason() {
    let (mut scene, alice, bob) = alice_and_bob_talking(8);
    let now = scene.now;
    let at = now.after(Span::hours(1));
    let one = schedule(&mut scene, alice, to_bob("hello again", Vec::new()), at);
    let past = Schedule {
        message: to_bob("too late", Vec::new()),
        at: now.into(),
    };
    let refused = scene.command(alice, Request::Schedule(past)).unwrap_err();
    assert_eq!(refused.problem.code(), "time_passed");
    block(&mut scene, alice, true);
    scene.run_for(Span::hours(2));
    let waiting = scheduled(&mut scene, alice);
    assert_eq!(
        waiting[0].problem.as_ref().unwrap().code,
        "recipient_blocked"
    );
    block(&mut scene, alice, false);
    scene.run_for(Span::hours(1));
    assert_eq!(scene.texts(bob, alice).len(), 2);
    let change = ChangeScheduled {
        id: one.id,
        text: None,
        at: Some(scene.now.after(Span::minutes(5)).into()),
    };
    scene
        .command(alice, Request::ChangeScheduled(change))
        .unwrap();
    scene.run_for(Span::minutes(10));
    assert_eq!(scene.texts(bob, alice).last().unwrap(), "hello again");
}

fn page(scene: &mut Scene, who: PersonId, asked: History) -> HistoryPage {
    match scene.command(who, Request::History(asked)).unwrap() {
        Response::History(page) => page,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_history_is_read_to_its_beginning_whatever_comes_and_goes() {
    let (mut scene, alice, bob) = alice_and_bob_talking(9);
    for number in 0..7 {
        scene.send(bob, alice, &format!("number {number}"));
    }
    scene.run_for(Span::minutes(1));
    for search in [None, Some("number".to_owned())] {
        let all = page(
            &mut scene,
            alice,
            History {
                of: BOB.into(),
                search: search.clone(),
                ..History::default()
            },
        );
        let mut pages = Vec::new();
        let mut until = None;
        loop {
            let asked = History {
                of: BOB.into(),
                limit: Some(2),
                until,
                search: search.clone(),
                ..History::default()
            };
            let page = page(&mut scene, alice, asked);
            assert_eq!(page.more, page.previous.is_some());
            pages.push(page.entries);
            until = page.previous;
            // What comes meanwhile moves nothing.
            scene.send(bob, alice, "number later");
            scene.run_for(Span::seconds(30));
            if until.is_none() {
                break;
            }
        }
        let read: Vec<_> = pages.into_iter().rev().flatten().collect();
        assert!(read == all.entries);
    }
    for cursor in ["", "1", "x.y", "1.2.3"] {
        let asked = History {
            of: BOB.into(),
            until: Some(cursor.into()),
            ..History::default()
        };
        let refused = scene.command(alice, Request::History(asked)).unwrap_err();
        assert_eq!(refused.problem.code(), "cursor_invalid", "{cursor}");
    }
    let search = Search {
        text: "number".into(),
        limit: Some(3),
        ..Search::default()
    };
    match scene.command(alice, Request::Search(search)).unwrap() {
        Response::Found(found) => assert!(found.next.is_some()),
        other => panic!("{other:?}"),
    }
}

fn open_once(scene: &mut Scene, who: PersonId, message: MessageId) -> Result<Response, String> {
    let opened = scene.command(who, Request::OpenOnce(MessageOf { message }));
    opened.map_err(|refused| refused.problem.code().to_owned())
}

#[test]
fn what_is_viewed_once_is_gone_on_all_own_devices_then() {
    let (mut scene, alice, bob) = alice_and_bob_talking(10);
    let tablet = linked(&mut scene, bob);
    scene.run_for(Span::minutes(3));
    let send = SendText {
        view_once: true,
        ..to_bob("the code is 1234", Vec::new())
    };
    let id = sent(scene.command(alice, Request::Send(send)).unwrap());
    scene.run_for(Span::minutes(1));
    for (who, with) in [(alice, bob), (bob, alice), (tablet, alice)] {
        let shown = find(&mut scene, who, with, id);
        assert!(shown.view_once && shown.text.is_empty());
        let search = Search {
            text: "code".into(),
            ..Search::default()
        };
        match scene.command(who, Request::Search(search)).unwrap() {
            Response::Found(found) => assert!(found.found.is_empty()),
            other => panic!("{other:?}"),
        }
    }
    // Reading the conversation is not opening it.
    let conversation = find(&mut scene, bob, alice, id).conversation;
    let read = waxwing_engine::api::MarkRead {
        conversation,
        up_to: None,
    };
    scene.command(bob, Request::MarkRead(read)).unwrap();
    scene.run_for(Span::minutes(1));
    assert_eq!(scene.state(alice, bob, id), Some(MessageState::Delivered));
    // A device that is linked now gets nothing of it.
    let phone = linked(&mut scene, bob);
    scene.run_for(Span::minutes(3));
    assert_eq!(
        open_once(&mut scene, phone, id),
        Err("not_view_once".into())
    );
    assert_eq!(
        open_once(&mut scene, alice, id),
        Err("not_view_once".into())
    );
    let forward = Forward {
        message: id,
        to: CAROL.into(),
        attachments: Vec::new(),
    };
    let refused = scene.command(bob, Request::Forward(forward)).unwrap_err();
    assert_eq!(refused.problem.code(), "view_once");
    match open_once(&mut scene, tablet, id).unwrap() {
        Response::ViewedOnce(viewed) => assert_eq!(viewed.text, "the code is 1234"),
        other => panic!("{other:?}"),
    }
    scene.run_for(Span::minutes(1));
    assert_eq!(scene.state(alice, bob, id), Some(MessageState::Read));
    for device in [bob, tablet, phone] {
        assert_eq!(scene.texts(device, alice).len(), 2, "{device:?}");
        let again = open_once(&mut scene, device, id);
        assert_eq!(again, Err("message_unknown".into()));
    }
}

#[test]
fn a_file_that_is_viewed_once_can_be_read_for_a_while() {
    let (mut scene, alice, bob) = alice_and_bob_talking(11);
    let file = scene.seal(alice, "secret.txt", b"look once");
    let send = SendText {
        view_once: true,
        ..to_bob("", vec![file])
    };
    let id = sent(scene.command(alice, Request::Send(send)).unwrap());
    scene.run_for(Span::minutes(1));
    let shown = find(&mut scene, bob, alice, id);
    assert_eq!(shown.attachments.len(), 1);
    assert!(shown.attachments[0].name.is_empty());
    let of = waxwing_engine::api::AttachmentOf {
        message: id,
        number: 0,
    };
    for who in [alice, bob] {
        let refused = scene.command(who, Request::Attachment(of.clone()));
        assert_eq!(refused.unwrap_err().problem.code(), "view_once");
    }
    let Response::ViewedOnce(viewed) = open_once(&mut scene, bob, id).unwrap() else {
        panic!("not opened");
    };
    assert_eq!(viewed.attachments[0].name, "secret.txt");
    assert_eq!(open_once(&mut scene, bob, id), Err("not_view_once".into()));
    let open = |scene: &Scene| scene.person(bob).blobs.open(&viewed.attachments[0]);
    assert_eq!(open(&scene).unwrap(), b"look once");
    scene.run_for(Span::minutes(6));
    assert!(open(&scene).is_none());
    assert_eq!(scene.texts(bob, alice).len(), 2);
}
