//! Checks that are refused, not answered or put off, and alarms that somebody would drown or
//! wear out.

use std::{cell::RefCell, collections::BTreeSet, rc::Rc};

use waxwing_engine::api::{MessageState, Request, Response, SetReceipts};
use waxwing_protocol::{
    pb::{
        self, Error, ErrorCode, SignedHead, client_frame::Body as Asked,
        relay_frame::Body as Answer,
    },
    time::Span,
};
use waxwing_system_tests::{Dishonest, Fate, PersonId};

use super::scene::{Scene, alarms, alice_and_bob, is_alarmed, problem_of, warnings, with_mallory};

const HISTORY: &str = "own_history_not_proved";
const HEADS: &str = "heads_not_compared";

/// Too many requests, come back in an hour.
fn in_an_hour() -> Answer {
    Answer::Error(Error {
        code: ErrorCode::RateLimited.into(),
        retry_after_ms: Span::hours(1).0,
        ..Error::default()
    })
}

fn is_history(answer: Option<&Answer>) -> bool {
    matches!(answer, Some(Answer::HistoryFetched(_)))
}

/// Alice and Bob, who have written to each other.
fn acquainted(seed: u64) -> (Scene, PersonId, PersonId) {
    let (mut scene, alice, bob) = alice_and_bob(seed);
    for (from, to) in [(alice, bob), (bob, alice)] {
        scene.send(from, to, "before");
        scene.run_for(Span::minutes(1));
    }
    (scene, alice, bob)
}

/// The alarm stands after a day of use and not before, is shown once, and ends with the
/// first proof.
fn history_is_missed(scene: &mut Scene, alice: PersonId, bob: PersonId, days: Span) {
    scene.run_for(Span::hours(11));
    assert!(!is_alarmed(scene, alice, HISTORY, ""));
    scene.run_for(days);
    assert!(is_alarmed(scene, alice, HISTORY, ""));
    assert!(!is_alarmed(scene, bob, HISTORY, ""));
    let told = |code: &&String| *code == HISTORY;
    assert_eq!(warnings(scene, alice).iter().filter(told).count(), 1);
    // All else goes on.
    let id = scene.send(bob, alice, "do you hear me?");
    scene.run_for(Span::minutes(5));
    assert_eq!(scene.state(bob, alice, id), Some(MessageState::Delivered));
    scene.relay.straighten();
    scene.run_for(Span::minutes(15));
    assert!(!is_alarmed(scene, alice, HISTORY, ""));
}

#[test]
fn a_relay_that_never_proves_the_own_history_is_an_alarm() {
    let (mut scene, alice, bob) = acquainted(1301);
    scene.relay.answers(move |whose, frame| {
        if whose == alice && is_history(frame.body.as_ref()) {
            frame.body = Some(in_an_hour());
        }
        Fate::Pass
    });
    history_is_missed(&mut scene, alice, bob, Span::hours(26));
}

#[test]
fn a_relay_that_never_answers_about_the_own_history_is_an_alarm() {
    let (mut scene, alice, bob) = acquainted(1302);
    scene.relay.answers(move |whose, frame| {
        if whose == alice && is_history(frame.body.as_ref()) {
            return Fate::Drop;
        }
        Fate::Pass
    });
    history_is_missed(&mut scene, alice, bob, Span::hours(26));
    // It was there all the time: an answer that does not come ends no link.
    assert!(scene.status(alice).online);
}

#[test]
fn starting_the_program_again_every_hour_resets_no_clock() {
    let (mut scene, alice, bob) = acquainted(1303);
    scene.relay.answers(move |whose, frame| {
        if whose == alice && is_history(frame.body.as_ref()) {
            return Fate::Drop;
        }
        Fate::Pass
    });
    for _ in 0..26 {
        scene.crash(alice);
        scene.start(alice);
        scene.run_for(Span::hours(1));
    }
    assert!(is_alarmed(&mut scene, alice, HISTORY, ""));
    assert!(!is_alarmed(&mut scene, bob, HISTORY, ""));
    let told = |code: &&String| *code == HISTORY;
    assert_eq!(warnings(&scene, alice).iter().filter(told).count(), 1);
}

#[test]
fn a_relay_that_ends_the_link_whenever_it_is_asked_is_an_alarm() {
    let (mut scene, alice, bob) = acquainted(1304);
    let asked = Rc::new(RefCell::new(false));
    let asks = Rc::clone(&asked);
    scene.relay.requests(move |whose, frame| {
        if whose == alice && matches!(frame.body, Some(Asked::FetchHistory(_))) {
            asks.replace(true);
            return Fate::Drop;
        }
        Fate::Pass
    });
    // Once in a while, so that the test is quick.
    for _ in 0..25 * 6 {
        scene.set_online(alice, true);
        while !asked.replace(false) {
            scene.run_for(Span::seconds(1));
        }
        scene.set_online(alice, false);
        scene.run_for(Span::minutes(10));
    }
    assert!(is_alarmed(&mut scene, alice, HISTORY, ""));
    assert!(!is_alarmed(&mut scene, bob, HISTORY, ""));
}

#[test]
fn a_device_that_was_off_for_weeks_raises_no_alarm() {
    let (mut scene, alice, bob) = acquainted(1305);
    scene.crash(alice);
    scene.set_online(bob, false);
    scene.run_for(Span::days(15));
    scene.set_online(bob, true);
    scene.start(alice);
    scene.send(bob, alice, "back");
    scene.run_for(Span::hours(30));
    for id in [alice, bob] {
        assert!(alarms(&mut scene, id).is_empty());
    }
}

/// Somebody writes every few hours, for more than a day.
fn writes_for_a_day(scene: &mut Scene, from: PersonId, to: PersonId) {
    for _ in 0..8 {
        scene.send(from, to, "still here");
        scene.run_for(Span::hours(5));
    }
}

#[test]
fn heads_that_the_relay_never_lets_one_compare_are_an_alarm() {
    let (mut scene, alice, bob) = acquainted(1306);
    let carol = scene.add_registered("carol@example.org");
    scene.send(alice, carol, "hello");
    scene.run_for(Span::minutes(1));
    // Alice is shown no head but those that come with her own history.
    scene.relay.answers(move |whose, frame| {
        let heads = matches!(frame.body, Some(Answer::HeadsFetched(_)));
        if whose == alice && heads {
            frame.body = Some(in_an_hour());
        }
        Fate::Pass
    });
    writes_for_a_day(&mut scene, bob, alice);
    assert!(is_alarmed(
        &mut scene,
        alice,
        HEADS,
        "[\"bob@example.org\"]"
    ));
    assert!(!is_alarmed(&mut scene, alice, HEADS, "carol"));
    let told = |code: &&String| *code == HEADS;
    assert_eq!(warnings(&scene, alice).iter().filter(told).count(), 1);
    scene.relay.straighten();
    scene.run_for(Span::minutes(30));
    assert!(alarms(&mut scene, alice).is_empty());
}

#[test]
fn honest_people_who_write_now_and_then_are_not_missed() {
    let (mut scene, alice, bob) = acquainted(1307);
    for hours in [1, 7, 30, 3, 25, 26, 13, 50, 24, 5] {
        scene.send(bob, alice, "now and then");
        scene.run_for(Span::hours(hours));
        assert!(alarms(&mut scene, alice).is_empty(), "{hours}");
        assert!(alarms(&mut scene, bob).is_empty(), "{hours}");
    }
}

/// Somebody tells nobody that messages came, and so looks nobody up.
fn says_nothing(scene: &mut Scene, id: PersonId) {
    let silent = SetReceipts {
        delivered: false,
        read: false,
        typing: None,
    };
    scene.command(id, Request::SetReceipts(silent)).unwrap();
}

#[test]
fn a_contact_whose_program_shows_no_heads_is_named_by_an_alarm() {
    let (mut scene, alice, bob) = acquainted(1308);
    let of_alice = scene.account_of(alice);
    // Her device does not rekey then.
    says_nothing(&mut scene, alice);
    let mut bobs = Dishonest::takes_over(&mut scene, bob);
    let group = bobs.group_with(of_alice);
    for hour in 0..26 {
        assert!(
            !is_alarmed(&mut scene, alice, HEADS, "") || hour > 24,
            "{hour}"
        );
        let said = bobs.text(&format!("without a head, {hour}"));
        bobs.say(&mut scene, group, said).unwrap();
        scene.run_for(Span::hours(1));
    }
    assert!(is_alarmed(
        &mut scene,
        alice,
        HEADS,
        "[\"bob@example.org\"]"
    ));
}

/// A head of a log that nobody has: only its log's id is looked at before its signature.
fn of_another_log(number: u64) -> SignedHead {
    use prost::Message as _;
    let head = pb::Head {
        version: 1,
        log_id: vec![9; 32].into(),
        number,
        epoch: number,
        root: vec![8; 32].into(),
        made_at_ms: 1,
        previous: vec![7; 32].into(),
        landmark: vec![6; 32].into(),
    };
    SignedHead {
        head: head.encode_to_vec().into(),
        signature: None,
    }
}

#[test]
fn strangers_raise_no_alarm_and_a_contact_one() {
    let (mut scene, alice, bob, mallory) = with_mallory(1309);
    for (from, to) in [(alice, bob), (bob, alice), (mallory, alice)] {
        scene.send(from, to, "before");
        scene.run_for(Span::minutes(1));
    }
    let of_alice = scene.account_of(alice);
    for (liar, alarmed) in [(mallory, false), (bob, true)] {
        let mut program = Dishonest::takes_over(&mut scene, liar);
        let group = program.group_with(of_alice);
        for number in 2..200 {
            let mut said = program.text("see which log I see");
            said.head = Some(of_another_log(number));
            // It takes no commits: the relay closes its epoch a minute after the next began.
            if program.say(&mut scene, group, said).is_err() {
                assert!(number > 10, "{number}");
                break;
            }
            scene.run_for(Span::seconds(2));
        }
        let code = "contact_sees_another_log";
        assert_eq!(is_alarmed(&mut scene, alice, code, "bob"), alarmed);
        let told = |one: &&String| *one == code;
        let times = warnings(&scene, alice).iter().filter(told).count();
        assert_eq!(times, usize::from(alarmed));
    }
    assert_eq!(alarms(&mut scene, alice).len(), 1);
}

#[test]
fn one_contact_with_many_old_heads_takes_nobodys_place() {
    let (mut scene, alice, bob, mallory) = with_mallory(1310);
    for (from, to) in [
        (alice, bob),
        (bob, alice),
        (mallory, alice),
        (alice, mallory),
    ] {
        scene.send(from, to, "before");
        scene.run_for(Span::minutes(1));
    }
    // Otherwise Alice learns by look-ups of the very heads that Bob does.
    says_nothing(&mut scene, alice);
    // Mallory collects what the relay signed, for some hours.
    let heads = Rc::new(RefCell::new(BTreeSet::new()));
    let keeps = Rc::clone(&heads);
    scene.relay.answers(move |_, frame| {
        let log = match &frame.body {
            Some(Answer::HistoryFetched(fetched)) => fetched.log.as_ref(),
            Some(Answer::HeadsFetched(fetched)) => fetched.log.as_ref(),
            _ => None,
        };
        if let Some(head) = log.and_then(|log| log.head.as_ref()) {
            use prost::Message as _;
            keeps.borrow_mut().insert(head.encode_to_vec());
        }
        Fate::Pass
    });
    for _ in 0..50 {
        scene.cut(mallory);
        scene.run_for(Span::minutes(11));
    }
    let heads: Vec<SignedHead> = {
        use prost::Message as _;
        let heads = heads.borrow();
        let mut heads: Vec<_> = heads
            .iter()
            .map(|bytes| SignedHead::decode(bytes.as_slice()).unwrap())
            .collect();
        heads.sort_by_key(|head| pb::Head::decode(head.head.clone()).unwrap().number);
        heads
    };
    assert!(heads.len() > 40, "{}", heads.len());
    let of_alice = scene.account_of(alice);
    let mut program = Dishonest::takes_over(&mut scene, mallory);
    let group = program.group_with(of_alice);
    // The relay refuses to show Alice the way to any of them, or to Bob's…
    let asked = Rc::new(RefCell::new(BTreeSet::new()));
    let asks = Rc::clone(&asked);
    scene.relay.requests(move |whose, frame| {
        if let Some(Asked::FetchHeads(fetch)) = &frame.body
            && whose == alice
        {
            asks.borrow_mut().extend(fetch.known.iter().copied());
        }
        Fate::Pass
    });
    scene.relay.answers(move |whose, frame| {
        let heads = matches!(frame.body, Some(Answer::HeadsFetched(_)));
        if whose == alice && heads {
            return Fate::Drop;
        }
        Fate::Pass
    });
    for head in heads {
        let mut said = program.text("an old head");
        said.head = Some(head);
        program.say(&mut scene, group, said).unwrap();
        scene.run_for(Span::seconds(5));
    }
    // …and Bob's is still waited for, and missed. (He looks at his history at another time
    // than she does, so that he knows a head that she does not.)
    scene.cut(bob);
    scene.run_for(Span::minutes(1));
    writes_for_a_day(&mut scene, bob, alice);
    assert!(is_alarmed(&mut scene, alice, HEADS, "bob@example.org"));
    let asked = asked.borrow();
    assert!(asked.len() < 40, "{}", asked.len());
}

#[test]
fn two_heads_of_one_number_convict_a_relay_that_answers_nothing() {
    let (mut scene, alice, bob) = acquainted(1317);
    let (fork, mut rng) = scene.relay.real().fork_log();
    fork.refresh(scene.now.after(Span::minutes(11)), &mut rng)
        .unwrap();
    scene.relay.fork(alice, fork);
    scene.relay.answers(|_, frame| match frame.body {
        Some(Answer::HeadsFetched(_)) => Fate::Drop,
        _ => Fate::Pass,
    });
    for minute in 0..50 {
        scene.run_for(Span::minutes(11));
        if let Some(fork) = scene.relay.forked(alice) {
            fork.refresh(scene.now, &mut rng).unwrap();
        }
        // Both look at their own history, which is answered.
        scene.cut_all();
        scene.run_for(Span::seconds(30));
        if minute % 7 == 0 {
            scene.send(alice, bob, "which log do you see?");
        }
    }
    assert!(is_alarmed(&mut scene, bob, "relay_misbehaves", "log_split"));
    let Response::Evidence(waxwing_engine::api::EvidenceFiles { evidence }) =
        scene.command(bob, Request::Evidence).unwrap()
    else {
        panic!("no evidence")
    };
    assert!(!evidence.is_empty());
    for one in evidence {
        let file = data_encoding::BASE64.decode(one.file.as_bytes()).unwrap();
        assert!(waxwing_transparency::evidence::check(&file).is_ok());
    }
}

#[test]
fn an_answer_that_is_swallowed_stops_nothing() {
    // Whatever is asked first, of each kind, is not answered; the links live.
    let (mut scene, alice, bob) = alice_and_bob(1311);
    let mut swallowed = BTreeSet::new();
    scene.relay.answers(move |whose, frame| {
        let kind = match &frame.body {
            Some(Answer::LookedUp(_)) => 1,
            Some(Answer::KeyPackagesClaimed(_)) => 2,
            Some(Answer::Done(_)) => 3,
            Some(Answer::PostingAuthorised(_)) => 4,
            Some(Answer::Posted(_)) => 5,
            Some(Answer::HeadsFetched(_)) => 6,
            Some(Answer::HistoryFetched(_)) => 7,
            Some(Answer::TokensIssued(_)) => 8,
            Some(Answer::KeyPackagesPublished(_)) => 9,
            _ => return Fate::Pass,
        };
        if frame.request != 0 && swallowed.insert((whose, kind)) {
            return Fate::Drop;
        }
        Fate::Pass
    });
    let first = scene.send(alice, bob, "hello");
    scene.run_for(Span::minutes(20));
    assert_eq!(scene.texts(bob, alice), ["hello"]);
    let second = scene.send(bob, alice, "hello yourself");
    scene.run_for(Span::minutes(20));
    for (from, to, id) in [(alice, bob, first), (bob, alice, second)] {
        assert_eq!(scene.state(from, to, id), Some(MessageState::Delivered));
    }
}

#[test]
fn a_look_up_that_is_never_answered_says_so_and_goes_on() {
    let (mut scene, alice, bob) = acquainted(1312);
    let carol = scene.add_registered("carol@example.org");
    let tries = Rc::new(RefCell::new(0));
    let counts = Rc::clone(&tries);
    scene.relay.answers(move |whose, frame| {
        if whose == alice && matches!(frame.body, Some(Answer::LookedUp(_))) {
            *counts.borrow_mut() += 1;
            return Fate::Drop;
        }
        Fate::Pass
    });
    let id = scene.send(alice, carol, "hello");
    // Everything else on that link is answered.
    for _ in 0..120 {
        scene.send(alice, bob, "meanwhile");
        scene.run_for(Span::seconds(30));
    }
    assert_eq!(
        problem_of(&mut scene, alice, carol, id),
        "relay_unavailable"
    );
    let tried = *tries.borrow();
    assert!((4..40).contains(&tried), "{tried}");
    assert!(scene.texts(bob, alice).len() > 100);
    scene.relay.straighten();
    scene.run_for(Span::minutes(11));
    assert_eq!(scene.texts(carol, alice), ["hello"]);
}

#[test]
fn a_relay_that_hides_a_known_contacts_entry_is_an_alarm() {
    let (mut scene, alice, bob) = acquainted(1316);
    scene.relay.answers(move |whose, frame| {
        if whose == alice && matches!(frame.body, Some(Answer::LookedUp(_))) {
            frame.body = Some(in_an_hour());
        }
        Fate::Pass
    });
    let code = "contacts_not_proved";
    scene.run_for(Span::hours(7));
    for time in 0..5 {
        assert!(!is_alarmed(&mut scene, alice, code, ""), "{time}");
        scene.send(alice, bob, "is it still you?");
        scene.run_for(Span::hours(5));
    }
    assert!(is_alarmed(&mut scene, alice, code, "bob@example.org"));
    assert_eq!(scene.texts(bob, alice).len(), 7);
    scene.relay.straighten();
    scene.run_for(Span::minutes(30));
    assert!(alarms(&mut scene, alice).is_empty());
}

#[test]
fn a_relay_that_takes_no_key_packages_once_is_asked_again() {
    let (mut scene, alice, _) = acquainted(1313);
    let tried = Rc::new(RefCell::new(0));
    let counts = Rc::clone(&tried);
    scene.relay.answers(move |whose, frame| {
        if whose == alice && matches!(frame.body, Some(Answer::KeyPackagesPublished(_))) {
            *counts.borrow_mut() += 1;
            if *counts.borrow() == 1 {
                frame.body = Some(in_an_hour());
            }
        }
        Fate::Pass
    });
    // A new last resort is due, on the same link.
    scene.run_for(Span::hours(22));
    assert_eq!(*tried.borrow(), 2);
}

#[test]
fn a_log_that_does_not_say_which_it_is_is_asked_again() {
    let (mut scene, alice, bob) = alice_and_bob(1314);
    let mut refused = 0;
    let carol = scene.add("carol@example.org");
    scene.relay.answers(move |whose, frame| {
        let tells = matches!(frame.body, Some(Answer::LogIdentityFetched(_)));
        if whose == carol && tells && refused < 6 {
            refused += 1;
            frame.body = Some(in_an_hour());
        }
        Fate::Pass
    });
    scene.register(carol);
    scene.send(carol, bob, "hello");
    scene.run_for(Span::hours(2));
    assert_eq!(scene.texts(bob, carol), ["hello"]);
    assert!(alarms(&mut scene, alice).is_empty());
}

#[test]
fn a_clock_that_is_set_back_a_year_silences_no_check() {
    let (mut scene, alice, bob) = acquainted(1315);
    let year = Span::days(365).0.cast_signed();
    // It leaps ahead: no proof is fresh enough for such a clock.
    scene.clock_errors.insert(alice, year);
    scene.cut(alice);
    scene.run_for(Span::hours(2));
    assert!(!is_alarmed(&mut scene, alice, HISTORY, ""));
    scene.clock_errors.remove(&alice);
    scene.run_for(Span::minutes(20));
    assert!(scene.status(alice).online);
    // Everything that was put off is done by the clock as it is now.
    let (fetched, asks) = (Rc::new(RefCell::new(0)), Rc::new(RefCell::new(0)));
    let (counts, looks) = (Rc::clone(&fetched), Rc::clone(&asks));
    scene.relay.requests(move |whose, frame| {
        match frame.body {
            Some(Asked::FetchHistory(_)) if whose == alice => *counts.borrow_mut() += 1,
            Some(Asked::LookUp(_)) if whose == alice => *looks.borrow_mut() += 1,
            _ => {}
        }
        Fate::Pass
    });
    let id = scene.send(alice, bob, "what year is it?");
    scene.run_for(Span::hours(7));
    assert_eq!(scene.state(alice, bob, id), Some(MessageState::Delivered));
    scene.send(alice, bob, "and now?");
    scene.run_for(Span::hours(18));
    assert!((1..=4).contains(&*fetched.borrow()), "{fetched:?}");
    assert!(*asks.borrow() >= 1);
    assert!(alarms(&mut scene, alice).is_empty());
    // The other way: it was right, and goes a year back while it runs.
    scene.clock_errors.insert(alice, -year);
    scene.run_for(Span::hours(1));
    scene.clock_errors.remove(&alice);
    scene.run_for(Span::hours(1));
    let id = scene.send(bob, alice, "still there?");
    scene.run_for(Span::minutes(5));
    assert_eq!(scene.state(bob, alice, id), Some(MessageState::Delivered));
    scene.command(alice, Request::DismissAlarms).unwrap();
}
