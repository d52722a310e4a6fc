//! Text messages of the phone network: sealed to every device, told of once, and never more than
//! they are.

use waxwing_engine::api::{
    Channel, Direction, Entry, EventKind, History, Message, MessageState, React, Request, Response,
    SendSms,
};
use waxwing_protocol::time::Span;
use waxwing_relay::relay::{Config, SmsReport, TextLimits, Verdict};
use waxwing_sms::{
    Address, DataCoding, Deliver, Element, Header, ProtocolId, Timestamp, Tpdu, UserData,
    concatenation,
};
use waxwing_system_tests::{PersonId, RealRelay, World, WorldOptions, devices::linked};

const NUMBER: &str = "+358401234567";
const PHONE: &str = "+46708251358";

fn world() -> World<RealRelay> {
    let config = Config {
        texts: Some(TextLimits::default()),
        texts_of_accounts: true,
        ..Config::default()
    };
    let mut world = World::new(1, RealRelay::with(&config), WorldOptions::default());
    world.relay.sms(SmsReport::Connected(true));
    world
}

fn deliver(user_data: UserData, coding: DataCoding) -> Vec<u8> {
    let deliver = Deliver {
        more_messages: false,
        loop_prevention: false,
        reply_path: false,
        report_requested: false,
        originator: Address::international(PHONE.trim_start_matches('+')),
        protocol: ProtocolId::default(),
        coding,
        timestamp: Timestamp::at(1_795_550_400),
        user_data,
    };
    Tpdu::Deliver(deliver).encode().unwrap()
}

fn came(world: &mut World<RealRelay>, ticket: u64, tpdu: Vec<u8>) {
    world.relay.sms(SmsReport::Came {
        ticket,
        to: NUMBER.to_owned(),
        tpdus: vec![tpdu],
    });
    world.run_for(Span::seconds(5));
    assert_eq!(world.relay.verdicts.last(), Some(&(ticket, Verdict::Taken)));
}

fn entries(world: &mut World<RealRelay>, who: PersonId, of: &str) -> Vec<Entry> {
    let history = History {
        of: of.to_owned(),
        ..History::default()
    };
    match world.command(who, Request::History(history)) {
        Ok(Response::History(waxwing_engine::api::HistoryPage { entries, .. })) => entries,
        Ok(other) => panic!("{other:?}"),
        Err(refused) if refused.problem.code() == "conversation_unknown" => Vec::new(),
        Err(refused) => panic!("{refused}"),
    }
}

/// The texts with the phone.
fn texts(world: &mut World<RealRelay>, who: PersonId) -> Vec<Message> {
    entries(world, who, &format!("sms:{PHONE}"))
        .into_iter()
        .filter_map(|entry| match entry {
            Entry::Message(message) => Some(message),
            _ => None,
        })
        .collect()
}

fn send(world: &mut World<RealRelay>, who: PersonId, text: &str) {
    let send = SendSms {
        to: PHONE.to_owned(),
        text: text.to_owned(),
        understood: true,
        ..SendSms::default()
    };
    world.command(who, Request::SendSms(send)).unwrap();
    world.run_for(Span::seconds(10));
}

#[test]
fn a_text_reaches_every_device_and_nothing_in_it_is_verified() {
    let mut world = world();
    let phone = world.add_registered(NUMBER);
    let laptop = linked(&mut world, phone);
    world.run_for(Span::minutes(1));
    let mut data = UserData::text("Send me the code");
    data.header = Header {
        elements: vec![Element::ReplyAddress(Address::international(
            "358409999999",
        ))],
        malformed: None,
    };
    came(&mut world, 1, deliver(data, DataCoding::SEPTETS));
    let mut ids = Vec::new();
    for device in [phone, laptop] {
        let all = texts(&mut world, device);
        let [text] = all.as_slice() else {
            panic!("{} texts", all.len());
        };
        assert_eq!(
            (text.from.as_str(), text.text.as_str()),
            (PHONE, "Send me the code")
        );
        assert_eq!((text.channel, text.from_verified), (Channel::Sms, false));
        assert_eq!(text.asks_reply_to.as_deref(), Some("+358409999999"));
        assert_eq!(text.findings[0].kind, "replies_elsewhere");
        ids.push(text.id);
    }
    assert_eq!(ids[0], ids[1]);
    // It is a text message, and nothing of the rest can be done with it.
    let react = React {
        message: ids[0],
        emoji: Some("👍".into()),
    };
    let refused = world.command(phone, Request::React(react)).unwrap_err();
    assert_eq!(refused.problem.code(), "sms_conversation");
    // A device that comes later has it from the others.
    let tablet = linked(&mut world, phone);
    world.run_for(Span::minutes(3));
    let all = texts(&mut world, tablet);
    assert_eq!(all.len(), 1);
    assert_eq!(all[0].findings[0].kind, "replies_elsewhere");
    assert_eq!(all[0].channel, Channel::Sms);
}

#[test]
fn what_one_device_writes_all_see_and_what_became_of_it() {
    let mut world = world();
    let phone = world.add_registered(NUMBER);
    let laptop = linked(&mut world, phone);
    world.run_for(Span::minutes(1));
    send(&mut world, phone, "hello");
    let id = world.relay.submissions[0].id;
    assert_eq!(world.relay.submissions.len(), 1);
    let states = |world: &mut World<RealRelay>| {
        [phone, laptop].map(|device| {
            let all = texts(world, device);
            assert_eq!(all.len(), 1);
            assert_eq!(
                (all[0].direction, all[0].segments),
                (Direction::Out, Some(1))
            );
            all[0].state.unwrap()
        })
    };
    assert_eq!(states(&mut world), [MessageState::Queued; 2]);
    world.relay.sms(SmsReport::Taken(id, "segment".into()));
    world.run_for(Span::seconds(5));
    assert_eq!(states(&mut world), [MessageState::Accepted; 2]);
    // The links are lost, and the device says it again: it goes once.
    world.cut_all();
    world.run_for(Span::minutes(1));
    assert_eq!(world.relay.submissions.len(), 1);
    world.relay.sms(SmsReport::Became {
        segment: "segment".into(),
        delivered: true,
    });
    world.run_for(Span::seconds(5));
    assert_eq!(states(&mut world), [MessageState::Delivered; 2]);
}

#[test]
fn a_text_that_may_be_out_is_not_sent_again() {
    let mut world = world();
    let phone = world.add_registered(NUMBER);
    send(&mut world, phone, "hello");
    assert_eq!(world.relay.submissions.len(), 1);
    world.crash_relay();
    world.relay.sms(SmsReport::Connected(true));
    world.run_for(Span::minutes(2));
    assert_eq!(world.relay.submissions.len(), 1);
    let all = texts(&mut world, phone);
    assert_eq!(all[0].state, Some(MessageState::Failed));
    assert_eq!(all[0].problem.as_ref().unwrap().code, "sms_uncertain");
}

#[test]
fn a_text_waits_for_the_service_centre() {
    let mut world = world();
    let phone = world.add_registered(NUMBER);
    world.relay.sms(SmsReport::Connected(false));
    send(&mut world, phone, "hello");
    assert_eq!(world.relay.submissions.len(), 0);
    let all = texts(&mut world, phone);
    assert_eq!(all[0].state, Some(MessageState::Queued));
    assert_eq!(all[0].problem.as_ref().unwrap().code, "relay_unavailable");
    world.relay.sms(SmsReport::Connected(true));
    world.run_for(Span::minutes(2));
    assert_eq!(world.relay.submissions.len(), 1);
}

#[test]
fn parts_wait_for_each_other_and_not_for_ever() {
    let mut world = world();
    let phone = world.add_registered(NUMBER);
    world.run_for(Span::minutes(1));
    let long = "All of us are on the train 🚆. ".repeat(6);
    let (coding, parts) = concatenation::split(&long, 7).unwrap();
    assert_eq!(parts.len(), 3);
    let mut parts: Vec<Vec<u8>> = parts
        .into_iter()
        .map(|part| deliver(part, coding))
        .collect();
    let last = parts.pop().unwrap();
    for (ticket, part) in (1..).zip(parts) {
        came(&mut world, ticket, part);
        assert_eq!(texts(&mut world, phone).len(), 0);
    }
    world.run_for(Span::minutes(3));
    let all = texts(&mut world, phone);
    assert!(all[0].text.ends_with("[…]"), "{}", all[0].text);
    assert_eq!(all[0].findings[0].kind, "parts_missing");
    came(&mut world, 3, last);
    let all = texts(&mut world, phone);
    assert_eq!((all.len(), all[0].text.as_str()), (1, long.as_str()));
    assert_eq!(all[0].findings.len(), 0);
}

#[test]
fn a_number_that_has_come_to_waxwing_gets_no_text() {
    let mut world = world();
    let phone = world.add_registered(NUMBER);
    send(&mut world, phone, "hello");
    assert_eq!(world.relay.submissions.len(), 1);
    let other = world.add_registered(PHONE);
    world.run_for(Span::minutes(2));
    send(&mut world, phone, "are you there?");
    assert_eq!(world.relay.submissions.len(), 1);
    let all = texts(&mut world, phone);
    assert_eq!(all[1].problem.as_ref().unwrap().code, "sms_recipient_here");
    let told = entries(&mut world, phone, &format!("sms:{PHONE}"));
    assert!(told.iter().any(|entry| matches!(
        entry,
        Entry::Event(event) if event.event == EventKind::OnWaxwing
    )));
    // What is encrypted is elsewhere.
    world.send(phone, other, "encrypted");
    world.run_for(Span::seconds(10));
    let history = world.history(other, phone);
    assert!(matches!(
        history.first(),
        Some(Entry::Message(message)) if message.channel == Channel::Waxwing
    ));
    assert_eq!(texts(&mut world, phone).len(), 2);
}
