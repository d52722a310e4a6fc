//! People who are not who they say, or should learn nothing.

use waxwing_engine::{
    Event, LinkKind,
    api::{
        Entry, EventKind, MessageState, Notice, Register, RegistrationChanged, RegistrationStage,
        Request, Response, SubmitCode,
    },
};
use waxwing_protocol::{
    pb::{ClientFrame, client_frame::Body as Ask, relay_frame::Body as Answer},
    time::Span,
};
use waxwing_system_tests::{
    Fate, LinkId, PersonId, RelayEffect, RelayPort as _,
    devices::{RELAY, newest},
};

use super::scene::{
    Scene, account, alice_and_bob, empty, events, is_alarmed, safety_number, warnings, with_mallory,
};

fn ask_for_code(scene: &mut Scene, id: PersonId, address: &str) {
    let register = Register {
        address: address.into(),
        relay: RELAY.into(),
        pin: Some(waxwing_system_tests::pin()),
        name: None,
        device: None,
    };
    scene.command(id, Request::Register(register)).unwrap();
    scene.run_for(Span::seconds(5));
}

fn registration(scene: &Scene, id: PersonId) -> RegistrationChanged {
    newest(scene, id, |notice| match notice {
        Notice::Registration(changed) => Some(changed.clone()),
        _ => None,
    })
    .unwrap()
}

#[test]
fn an_address_that_looks_like_a_registered_one_is_refused() {
    let mut scene = empty(501);
    scene.add_registered("alice@example.org");
    // A Cyrillic letter in the domain (UTS #39), which reads the same.
    let address = "alice@ex\u{430}mple.org";
    let mallory = scene.add(address);
    ask_for_code(&mut scene, mallory, address);
    let code = scene.codes.values().next().cloned();
    scene.codes.clear();
    if let Some(code) = code {
        scene
            .command(mallory, Request::SubmitCode(SubmitCode { code }))
            .unwrap();
        scene.run_for(Span::seconds(15));
    }
    let refused = registration(&scene, mallory);
    assert_ne!(refused.stage, RegistrationStage::Registered);
    let problem = refused.problem.unwrap();
    assert_eq!(problem.code, "address_confusable");
    // In plain ASCII it may be somebody's honest address, who is told.
    let honest = scene.add_registered("alice@examp1e.org");
    let told = newest(&scene, honest, |notice| match notice {
        Notice::Warning(warning) => Some(warning.problem.clone()),
        _ => None,
    });
    assert_eq!(told.unwrap().code, "address_looks_like_another");
    // One that looks like nobody's is taken.
    scene.add_registered("carol@example.org");
}

#[test]
fn a_mailbox_that_changed_hands_has_no_old_messages() {
    let (mut scene, alice, bob) = alice_and_bob(502);
    scene.send(bob, alice, "for the old owner");
    scene.run_for(Span::minutes(1));
    scene.set_online(alice, false);
    scene.send(bob, alice, "still for the old owner");
    scene.run_for(Span::minutes(1));
    let before = safety_number(&mut scene, bob, alice).safety_number;
    let old = account(&mut scene, alice).account_id;
    let new = scene.add_registered("alice@example.org");
    scene.run_for(Span::minutes(2));
    assert_ne!(account(&mut scene, new).account_id, old);
    assert!(scene.texts(new, bob).is_empty());
    let conversations = scene.command(new, Request::Conversations).unwrap();
    assert!(
        matches!(conversations, Response::Conversations(waxwing_engine::api::Conversations { conversations }) if conversations.is_empty())
    );
    // Bob sees that it is somebody else, as soon as he hears of them.
    scene.send(new, bob, "I have this address now");
    scene.run_for(Span::minutes(2));
    assert!(events(&mut scene, bob, new).contains(&EventKind::IdentityReset));
    assert_ne!(safety_number(&mut scene, bob, new).safety_number, before);
    assert!(
        scene
            .texts(new, bob)
            .iter()
            .all(|text| !text.contains("old owner"))
    );
    // And the old owner learns of it.
    scene.set_online(alice, true);
    scene.run_for(Span::minutes(5));
    assert!(is_alarmed(&mut scene, alice, "address_taken", ""));
}

#[test]
fn strangers_get_no_receipt_of_any_kind() {
    let (mut scene, _, bob, mallory) = with_mallory(503);
    let id = scene.send(mallory, bob, "do you read this?");
    scene.run_for(Span::minutes(1));
    let shown = scene.messages(bob, mallory);
    assert_eq!(shown.len(), 1);
    let read = waxwing_engine::api::MarkRead {
        conversation: shown[0].conversation,
        up_to: None,
    };
    scene.command(bob, Request::MarkRead(read)).unwrap();
    scene.run_for(Span::hours(2));
    // The relay has it: that is all that Mallory learns, whatever Bob does with it.
    assert_eq!(scene.state(mallory, bob, id), Some(MessageState::Accepted));
    // Whom Bob answers is no stranger.
    scene.send(bob, mallory, "who are you?");
    scene.run_for(Span::minutes(1));
    let next = scene.send(mallory, bob, "Mallory");
    scene.run_for(Span::minutes(1));
    assert_eq!(
        scene.state(mallory, bob, next),
        Some(MessageState::Delivered)
    );
}

#[test]
fn a_welcome_by_somebody_who_uses_anothers_address_is_refused() {
    let mut scene = empty(504);
    let alice = scene.add_registered("alice@example.org");
    let bob = scene.add_registered("bob@example.org");
    scene.add_registered("mallory@example.org");
    // The log says that Alice's address is Mallory's account: so Alice, to Bob, is somebody
    // who uses an address that is not theirs.
    scene
        .relay
        .real()
        .bind_in_log("alice@example.org", "mallory@example.org");
    scene.send(alice, bob, "it is me");
    scene.run_for(Span::minutes(1));
    assert!(scene.texts(bob, alice).is_empty());
    assert!(warnings(&scene, bob).contains(&"relay_misbehaves".to_owned()));
    let conversations = scene.command(bob, Request::Conversations).unwrap();
    assert!(
        matches!(conversations, Response::Conversations(waxwing_engine::api::Conversations { conversations }) if conversations.is_empty())
    );
}

#[test]
fn a_post_that_is_handed_to_another_account_is_nothing_there() {
    let (mut scene, alice, bob, mallory) = with_mallory(505);
    scene.send(alice, bob, "for Bob");
    scene.run_for(Span::minutes(1));
    let kept = std::rc::Rc::new(std::cell::RefCell::new(Vec::new()));
    let keeping = kept.clone();
    scene.relay.answers(move |person, frame| {
        if let Some(Answer::Deliver(deliver)) = &frame.body
            && person == bob
        {
            keeping.borrow_mut().push(deliver.clone());
        }
        Fate::Pass
    });
    scene.send(alice, bob, "for Bob, too");
    scene.run_for(Span::minutes(1));
    for deliver in kept.borrow().iter() {
        let body = Answer::Deliver(deliver.clone());
        assert!(scene.relay.say(mallory, LinkKind::Mailbox, body));
    }
    scene.run_for(Span::minutes(5));
    for with in [alice, bob] {
        assert!(scene.texts(mallory, with).is_empty());
    }
    let conversations = scene.command(mallory, Request::Conversations).unwrap();
    assert!(
        matches!(conversations, Response::Conversations(waxwing_engine::api::Conversations { conversations }) if conversations.is_empty())
    );
}

#[test]
fn a_code_that_is_guessed_is_used_up_long_before_it_is_found() {
    let mut scene = empty(506);
    let mallory = scene.add("victim@example.org");
    let mut guesses = 0;
    // A day of guessing, as often as the relay lets one.
    for hour in 0..24 {
        for attempt in 0..20 {
            let register = Register {
                address: "victim@example.org".into(),
                relay: RELAY.into(),
                pin: Some(waxwing_system_tests::pin()),
                name: None,
                device: None,
            };
            scene.command(mallory, Request::Register(register)).unwrap();
            scene.run_for(Span::seconds(10));
            for guess in 0..8 {
                let code = format!("{:08}", hour * 1_000_000 + attempt * 1_000 + guess);
                if scene
                    .command(mallory, Request::SubmitCode(SubmitCode { code }))
                    .is_err()
                {
                    break;
                }
                guesses += 1;
                scene.run_for(Span::seconds(1));
            }
        }
        scene.run_for(Span::minutes(50));
    }
    let changed = registration(&scene, mallory);
    assert_ne!(changed.stage, RegistrationStage::Registered);
    let problem = changed.problem.unwrap();
    assert!(
        ["rate_limited", "code_used_up", "no_code_asked"].contains(&problem.code.as_str()),
        "{}",
        problem.code
    );
    // Of those, the relay compared a few: it takes five for each code it mails, and mails
    // few to one address. One in 10^8 each: years for a chance of one in a thousand.
    let mailed = scene.codes.len();
    assert!(mailed <= 1 && guesses > 0);
    let compared = scene
        .refusals
        .iter()
        .filter(|(_, code)| *code == waxwing_protocol::pb::ErrorCode::CodeRefused)
        .count();
    assert!(compared <= 24 * 5 * 10, "{compared}");
}

#[test]
fn asking_for_a_code_does_not_tell_who_is_registered() {
    let mut scene = empty(507);
    scene.add_registered("alice@example.org");
    let answers = std::rc::Rc::new(std::cell::RefCell::new(Vec::new()));
    let keeping = answers.clone();
    let asker = scene.add("asker@example.org");
    scene.relay.answers(move |person, frame| {
        if person == asker
            && let Some(answer) = &frame.body
            && matches!(answer, Answer::RegistrationStarted(_) | Answer::Error(_))
        {
            keeping.borrow_mut().push(std::mem::discriminant(answer));
        }
        Fate::Pass
    });
    let mut told = Vec::new();
    for address in ["alice@example.org", "nobody@example.org"] {
        ask_for_code(&mut scene, asker, address);
        assert!(
            scene.codes.remove(address).is_some(),
            "both are mailed a code"
        );
        told.push(std::mem::take(&mut *answers.borrow_mut()));
        scene.run_for(Span::minutes(2));
        answers.borrow_mut().clear();
    }
    assert_eq!(told[0], told[1]);
}

#[test]
fn a_login_that_is_passed_on_to_another_link_is_refused() {
    let (mut scene, alice, _) = alice_and_bob(508);
    let login = std::rc::Rc::new(std::cell::RefCell::new(None::<ClientFrame>));
    let keeping = login.clone();
    scene.relay.requests(move |person, frame| {
        if person == alice && matches!(frame.body, Some(Ask::Login(_))) {
            *keeping.borrow_mut() = Some(frame.clone());
        }
        Fate::Pass
    });
    scene.cut(alice);
    scene.run_for(Span::seconds(10));
    let login = login.borrow().clone().expect("she logged in again");
    // Somebody in between has a link of their own to the true relay, with another exporter,
    // and passes her login on.
    let link = LinkId(u64::MAX);
    let now = scene.now;
    let mut rng = scene.rng.clone();
    let real = scene.relay.real();
    real.opened(now, &mut rng, link, [9; 32]);
    let open = waxwing_protocol::pb::Open {
        version: waxwing_protocol::VERSIONS[0],
    };
    let open = ClientFrame {
        request: 0,
        body: Some(Ask::Open(open)),
    };
    real.frame(now, &mut rng, link, open);
    real.frame(now, &mut rng, link, login);
    let mut refused = false;
    while let Some(effect) = real.poll_effect() {
        if let RelayEffect::Send(to, frame) = effect
            && to == link
        {
            assert!(!matches!(frame.body, Some(Answer::LoggedIn(_))));
            refused |= matches!(frame.body, Some(Answer::Error(_)));
        }
    }
    assert!(refused);
    // Alice notices nothing: she is there, and nobody else is her.
    scene.run_for(Span::minutes(1));
    assert!(scene.status(alice).online);
    assert!(scene.status(alice).alarms.is_empty());
}

#[test]
fn answers_that_are_far_too_large_are_refused_at_once() {
    let (mut scene, alice, bob) = alice_and_bob(509);
    scene.send(alice, bob, "one");
    scene.run_for(Span::minutes(1));
    let huge = waxwing_protocol::pb::Deliver {
        sequence: 1_000,
        group_id: vec![1; 16].into(),
        group_sequence: 1,
        kind: waxwing_protocol::pb::PostKind::Message.into(),
        epoch: u64::MAX,
        post_id: vec![2; 16].into(),
        body: vec![3; 64 << 20].into(),
        received_at_ms: u64::MAX,
        missed: false,
    };
    let statement = waxwing_protocol::pb::SignedStatement::default();
    let history = waxwing_protocol::pb::HistoryFetched {
        roster: vec![statement; 1_000_000],
        ..Default::default()
    };
    let links = waxwing_protocol::pb::LogView {
        links: vec![vec![4; 180].into(); 1_000_000],
        ..Default::default()
    };
    let bodies = [
        Answer::Deliver(huge),
        Answer::HistoryFetched(Box::new(history)),
        Answer::HeadsFetched(waxwing_protocol::pb::HeadsFetched { log: Some(links) }),
    ];
    for body in bodies {
        for request in [0, 1, 2, 3] {
            let frame = waxwing_protocol::pb::RelayFrame {
                request,
                body: Some(body.clone()),
            };
            let received = Event::FramesReceived {
                link: LinkKind::Mailbox,
                frames: vec![frame],
            };
            scene.event(bob, received).unwrap();
        }
    }
    assert_eq!(scene.texts(bob, alice), ["one"]);
    scene.send(alice, bob, "two");
    scene.run_for(Span::minutes(5));
    assert_eq!(scene.texts(bob, alice), ["one", "two"]);
    assert!(
        scene
            .history(bob, alice)
            .iter()
            .all(|entry| matches!(entry, Entry::Message(_)))
    );
}
