//! Texts between accounts and phones: sealed at once, handed over once.

use prost::Message as _;
use waxwing_protocol::{
    pb::{
        self, ErrorCode, PostKind, client_frame::Body as Ask, relay_frame::Body as Answer,
        sms_fate::Fate, sms_record::Record,
    },
    sms::SmsOpeningKey,
    time::Span,
};
use waxwing_relay::{
    rate_limit::Rate,
    relay::{Config, LinkId, SmsReport, TextLimits, Verdict},
    store::{StoreError, memory::Fault},
};

use crate::world::{Person, World};

const NUMBER: &str = "+358401234567";
const PHONE: &str = "+46708251358";

fn world() -> World {
    let mut world = World::with(Config {
        texts: Some(TextLimits {
            prices: [("+46".to_owned(), "0.08 EUR".to_owned())].into(),
            ..TextLimits::default()
        }),
        texts_of_accounts: true,
        texts_per_account: Rate {
            burst: 6,
            every: Span::minutes(30),
        },
        ..Config::default()
    });
    tell(&mut world, SmsReport::Connected(true));
    world
}

fn tell(world: &mut World, report: SmsReport) {
    world.relay.sms_report(world.now, &mut world.rng, report);
    world.collect();
}

/// Somebody with a number, logged in, who takes texts.
struct Someone {
    person: Person,
    link: LinkId,
    key: SmsOpeningKey,
}

impl Someone {
    fn new(world: &mut World) -> Self {
        let person = world.person(NUMBER);
        let (link, _) = world.login(&person);
        let key = SmsOpeningKey::generate(&mut world.rng);
        let set = pb::SetSmsKey { key: key.public() };
        let Answer::SmsTerms(terms) = world.ask_durably(link, Ask::SetSmsKey(set)) else {
            panic!("no terms");
        };
        assert!(terms.offered);
        assert_eq!(terms.prices[0].prefix, "+46");
        world.write();
        Self { person, link, key }
    }

    fn records(&self, world: &mut World) -> Vec<Record> {
        let posts = world.delivered(self.link);
        let open = |post: pb::Deliver| {
            assert_eq!(post.kind(), PostKind::Sms);
            let sealed = pb::SealedSms::decode(post.body).unwrap();
            let record = self.key.open(self.person.device(), &sealed).unwrap();
            record.record.unwrap()
        };
        posts.into_iter().map(open).collect()
    }

    fn fates(&self, world: &mut World) -> Vec<Fate> {
        let records = self.records(world).into_iter();
        let fate = |record| match record {
            Record::Fate(fate) => Some(fate.fate()),
            _ => None,
        };
        records.filter_map(fate).collect()
    }

    fn send(&self, world: &mut World, id: u8, text: &str) -> Answer {
        let send = pb::SendSms {
            sms_id: vec![id; 16].into(),
            from: NUMBER.to_owned(),
            to: PHONE.to_owned(),
            text: text.to_owned(),
            segments: 3,
        };
        world.ask_durably(self.link, Ask::SendSms(send))
    }
}

fn code(answer: &Answer) -> ErrorCode {
    match answer {
        Answer::Error(error) => error.code(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_text_from_a_phone_is_sealed_before_it_is_anywhere() {
    let mut world = world();
    let alice = Someone::new(&mut world);
    let came = |ticket, to: &str| SmsReport::Came {
        ticket,
        to: to.to_owned(),
        tpdus: vec![b"a canary in the clear".to_vec()],
    };
    tell(&mut world, came(1, NUMBER));
    assert_eq!(world.verdicts, [], "nothing before the disk has it");
    world.write();
    assert_eq!(world.verdicts, [(1, Verdict::Taken)]);
    for (_, _, value) in world.store.records() {
        assert!(!value.windows(10).any(|piece| piece == b"a canary i"));
    }
    let records = alice.records(&mut world);
    let [Record::Came(came_to_her)] = records.as_slice() else {
        panic!("{} records", records.len());
    };
    assert_eq!(came_to_her.to, NUMBER);
    assert_eq!(came_to_her.tpdu.as_ref(), b"a canary in the clear");

    tell(&mut world, came(2, "+358409999999"));
    assert_eq!(world.verdicts[1..], [(2, Verdict::Nobody)]);
}

#[test]
fn what_the_disk_refuses_comes_again() {
    let mut world = world();
    let _alice = Someone::new(&mut world);
    tell(
        &mut world,
        SmsReport::Came {
            ticket: 1,
            to: NUMBER.to_owned(),
            tpdus: vec![vec![1]],
        },
    );
    let batch = world.relay.take_batch(world.now).unwrap();
    drop(batch);
    let damaged = StoreError::Damaged("it was".to_owned());
    world.relay.handle_batch_failed(&damaged);
    world.collect();
    assert_eq!(world.verdicts, [(1, Verdict::Later)]);
}

#[test]
fn what_a_full_disk_refuses_is_taken_when_it_is_stored() {
    let mut world = world();
    let _alice = Someone::new(&mut world);
    world.store.set_fault(Some(Fault::Full));
    tell(
        &mut world,
        SmsReport::Came {
            ticket: 1,
            to: NUMBER.to_owned(),
            tpdus: vec![vec![1]],
        },
    );
    world.write();
    assert!(world.verdicts.is_empty(), "answered before it is stored");
    world.store.set_fault(None);
    world.try_again();
    assert_eq!(world.verdicts, [(1, Verdict::Taken)]);
}

#[test]
fn a_text_to_a_phone_is_handed_over_once_and_followed() {
    let mut world = world();
    let alice = Someone::new(&mut world);
    assert!(matches!(
        alice.send(&mut world, 1, "hello"),
        Answer::Done(_)
    ));
    assert!(matches!(
        alice.send(&mut world, 1, "hello"),
        Answer::Done(_)
    ));
    let [submission] = world.submissions.as_slice() else {
        panic!("{} submissions", world.submissions.len());
    };
    assert_eq!(
        (submission.from.as_str(), submission.to.as_str()),
        (NUMBER, PHONE)
    );
    let id = submission.id;
    for (_, _, value) in world.store.records() {
        assert!(!value.windows(5).any(|piece| piece == b"hello"));
    }
    assert!(matches!(
        alice.records(&mut world).as_slice(),
        [Record::Taken(taken)] if taken.text == "hello" && taken.segments == 1
    ));
    tell(&mut world, SmsReport::Taken(id, "segment".to_owned()));
    world.write();
    assert_eq!(alice.fates(&mut world), [Fate::Accepted]);
    // The receipt may come when the relay has been stopped in between.
    world.crash();
    let (link, _) = world.login(&alice.person);
    let alice = Someone { link, ..alice };
    let became = || SmsReport::Became {
        segment: "segment".to_owned(),
        delivered: true,
    };
    tell(&mut world, became());
    tell(&mut world, became());
    world.write();
    let fates = alice.fates(&mut world);
    assert_eq!(fates.last(), Some(&Fate::Delivered));
    assert_eq!(
        fates.iter().filter(|one| **one == Fate::Delivered).count(),
        1
    );
}

#[test]
fn a_relay_that_stopped_in_between_does_not_send_it_again() {
    let mut world = world();
    let alice = Someone::new(&mut world);
    alice.send(&mut world, 1, "hello");
    world.crash();
    tell(&mut world, SmsReport::Connected(true));
    world.submissions.clear();
    let (link, _) = world.login(&alice.person);
    let alice = Someone { link, ..alice };
    assert!(matches!(
        alice.send(&mut world, 1, "hello"),
        Answer::Done(_)
    ));
    assert_eq!(world.submissions.len(), 0);
    assert_eq!(alice.fates(&mut world), [Fate::Uncertain]);
}

#[test]
fn what_may_not_be_sent_costs_nothing_and_says_why() {
    let mut world = world();
    let alice = Someone::new(&mut world);
    let long = "a".repeat(160 * 5);
    assert_eq!(
        code(&alice.send(&mut world, 1, &long)),
        ErrorCode::SmsTooLong
    );
    assert_eq!(code(&alice.send(&mut world, 2, "")), ErrorCode::SmsTooLong);
    let from_another = pb::SendSms {
        sms_id: vec![3; 16].into(),
        from: PHONE.to_owned(),
        to: NUMBER.to_owned(),
        text: "x".to_owned(),
        segments: 1,
    };
    let answer = world.ask_durably(alice.link, Ask::SendSms(from_another));
    assert!(matches!(
        code(&answer),
        ErrorCode::AddressUnknown | ErrorCode::Unauthorised
    ));
    tell(&mut world, SmsReport::Connected(false));
    assert_eq!(
        code(&alice.send(&mut world, 4, "x")),
        ErrorCode::Unavailable
    );
    tell(&mut world, SmsReport::Connected(true));
    let three = "a".repeat(400);
    for id in [5, 6] {
        assert!(matches!(
            alice.send(&mut world, id, &three),
            Answer::Done(_)
        ));
    }
    assert_eq!(
        code(&alice.send(&mut world, 7, "x")),
        ErrorCode::RateLimited
    );
    assert_eq!(world.submissions.len(), 2);
}

#[test]
fn a_refused_text_is_told_and_half_a_one_is_uncertain() {
    let mut world = world();
    let alice = Someone::new(&mut world);
    alice.send(&mut world, 1, "hello");
    alice.send(&mut world, 2, &"a".repeat(200));
    let ids: Vec<_> = world.submissions.iter().map(|one| one.id).collect();
    alice.records(&mut world);
    tell(&mut world, SmsReport::Refused(ids[0]));
    tell(
        &mut world,
        SmsReport::Taken(ids[1], "first half".to_owned()),
    );
    tell(&mut world, SmsReport::Refused(ids[1]));
    world.write();
    assert_eq!(alice.fates(&mut world), [Fate::Refused, Fate::Uncertain]);
}

#[test]
fn a_text_that_was_called_unsent_and_is_taken_after_all_is_uncertain() {
    let mut world = world();
    let alice = Someone::new(&mut world);
    alice.send(&mut world, 1, &"a".repeat(200));
    let id = world.submissions[0].id;
    alice.records(&mut world);
    tell(&mut world, SmsReport::Refused(id));
    tell(&mut world, SmsReport::Taken(id, "second half".to_owned()));
    world.write();
    assert_eq!(alice.fates(&mut world), [Fate::Refused, Fate::Uncertain]);
}

#[test]
fn no_strangers_group_takes_the_place_of_texts() {
    let mut world = world();
    let alice = Someone::new(&mut world);
    let token = world.token(&alice.person);
    let link = world.link();
    let all_texts = waxwing_protocol::ids::GroupId([0; 16]);
    let create = world.create_request(token, all_texts, &[alice.person.mailbox]);
    let answer = world.ask(link, create).expect("a refusal");
    assert_eq!(code(&answer), ErrorCode::Malformed);
}
