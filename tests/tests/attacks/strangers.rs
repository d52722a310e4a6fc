//! Strangers, newcomers and people who are blocked, with a client that lies.

use std::{
    cell::{Cell, RefCell},
    collections::BTreeSet,
    rc::Rc,
};

use bytes::Bytes;
use prost::Message as _;
use waxwing_engine::api::{
    AttachmentOf, Block, ChangeGroup, ConversationId, Decline, Entry, Notice, Of, Request, Response,
};
use waxwing_protocol::{
    ids::{AccountId, GroupId},
    pb::{self, client_frame::Body as Ask, envelope::Body as Say, relay_frame::Body as Answer},
    resent::OpeningKey,
    time::Span,
};
use waxwing_system_tests::{
    Bend, Commit, Dishonest, Fate, Founding, PersonId,
    groups::{addresses, change, create, entries, members, say, show, texts},
};

use super::scene::{Scene, account};

/// Nobody yet; nobody accepts a group unasked.
fn empty(seed: u64) -> Scene {
    let mut scene = super::scene::empty(seed);
    scene.accepts_no_groups();
    scene
}

fn with_mallory(seed: u64) -> (Scene, PersonId, PersonId, PersonId) {
    let (mut scene, alice, bob, mallory) = super::scene::with_mallory(seed);
    scene.accepts_no_groups();
    (scene, alice, bob, mallory)
}

fn device_of(scene: &mut Scene, who: PersonId) -> Bytes {
    let id = account(scene, who).device_id.unwrap();
    hex(&id)
}

fn hex(text: &str) -> Bytes {
    let digit = |at: usize| u8::from_str_radix(&text[at..at + 2], 16).unwrap();
    (0..text.len() / 2)
        .map(|at| digit(2 * at))
        .collect::<Vec<u8>>()
        .into()
}

fn accept(scene: &mut Scene, who: PersonId, of: &str) {
    let of = of.to_owned();
    scene
        .command(who, Request::AcceptRequest(Of { of }))
        .unwrap();
}

/// Asks a device for everything that it ever said, with and without a key.
fn wants_all(client: &mut Dishonest, scene: &mut Scene, group: GroupId, device: &Bytes) {
    let key = OpeningKey::from_bytes([7; 32]).public();
    for key in [Bytes::new(), key, vec![7; 1_216].into(), vec![7; 3].into()] {
        let request = pb::ResendRequest {
            device_id: device.clone(),
            missing: vec![pb::CounterRange {
                from: 1,
                to: u64::MAX,
            }],
            key,
            ..pb::ResendRequest::default()
        };
        let envelope = pb::Envelope {
            body: Some(Say::ResendRequest(request)),
            ..pb::Envelope::default()
        };
        client.say(scene, group, envelope).unwrap();
    }
}

/// Counts what a person's client posts, to anybody.
fn posts_of(scene: &mut Scene, who: PersonId) -> Rc<Cell<u64>> {
    let posts = Rc::new(Cell::new(0));
    let counting = posts.clone();
    scene.relay.requests(move |person, frame| {
        let posts = matches!(
            frame.body,
            Some(
                Ask::Post(_)
                    | Ask::Rejoin(_)
                    | Ask::CreateGroup(_)
                    | Ask::ClaimKeyPackages(_)
                    | Ask::Signal(_)
                    | Ask::BlobRead(_)
                    | Ask::FetchBlobPart(_)
            )
        );
        if person == who && posts {
            counting.set(counting.get() + 1);
        }
        Fate::Pass
    });
    posts
}

#[test]
fn a_newcomer_gets_nothing_that_was_said_before() {
    let (mut scene, alice, bob, mallory) = with_mallory(901);
    let group = create(&mut scene, alice, "Family", &[bob]);
    scene.run_for(Span::minutes(1));
    say(&mut scene, alice, group, "the plan").unwrap();
    say(&mut scene, bob, group, "a better plan").unwrap();
    scene.run_for(Span::minutes(1));
    let add = ChangeGroup {
        add: addresses(&scene, &[mallory]),
        ..ChangeGroup::default()
    };
    change(&mut scene, alice, group, add).unwrap();
    scene.run_for(Span::minutes(1));
    say(&mut scene, alice, group, "hello, Mallory").unwrap();
    scene.run_for(Span::minutes(1));
    let devices = [alice, bob].map(|who| device_of(&mut scene, who));
    let mut client = Dishonest::takes_over(&mut scene, mallory);
    let id = client.group_of(group);
    assert!(client.log_in(&mut scene));
    for _ in 0..3 {
        for device in &devices {
            wants_all(&mut client, &mut scene, id, device);
        }
        scene.run_for(Span::minutes(5));
        client.listen(&mut scene);
    }
    // What was said to her as well comes again.
    assert!(client.has_read("hello, Mallory"));
    assert!(!client.has_read("the plan"));
    assert!(!client.has_read("a better plan"));
    // Nobody else is bothered.
    say(&mut scene, bob, group, "still here").unwrap();
    scene.run_for(Span::minutes(1));
    let said = texts(&mut scene, alice, group);
    assert_eq!(
        said,
        ["the plan", "a better plan", "hello, Mallory", "still here"]
    );
}

#[test]
fn a_member_gets_what_they_missed_though_somebody_joined() {
    let (mut scene, alice, bob, carol) = with_mallory(902);
    let group = create(&mut scene, alice, "Family", &[bob]);
    scene.run_for(Span::minutes(1));
    say(&mut scene, bob, group, "here").unwrap();
    say(&mut scene, alice, group, "one").unwrap();
    scene.run_for(Span::minutes(1));
    // The relay drops the next.
    scene.relay.bend(|deliver| match deliver.kind() {
        pb::PostKind::Message => Bend::Drop,
        _ => Bend::Honest,
    });
    say(&mut scene, alice, group, "the plan").unwrap();
    scene.run_for(Span::seconds(5));
    scene.relay.straighten();
    let add = ChangeGroup {
        add: addresses(&scene, &[carol]),
        ..ChangeGroup::default()
    };
    change(&mut scene, alice, group, add).unwrap();
    scene.run_for(Span::minutes(1));
    accept(&mut scene, carol, &group.to_string());
    say(&mut scene, alice, group, "two").unwrap();
    scene.run_for(Span::minutes(20));
    // It stands where the gap stood.
    assert_eq!(
        texts(&mut scene, bob, group),
        ["here", "one", "two", "the plan"]
    );
    // Whoever joined since has neither it nor a gap where it was.
    assert_eq!(texts(&mut scene, carol, group), ["two"]);
    for who in [alice, bob, carol] {
        let gaps = entries(&mut scene, who, group).into_iter();
        assert_eq!(gaps.filter(|one| matches!(one, Entry::Gap(_))).count(), 0);
        assert_eq!(scene.status(who).missing, 0);
    }
}

/// Says whatever could make a device answer.
fn provokes(client: &mut Dishonest, scene: &mut Scene, group: GroupId, device: &Bytes) {
    wants_all(client, scene, group, device);
    let bodies = [
        Say::AskToJoin(pb::AskToJoin {
            conversation_id: vec![9; 16].into(),
            secret: vec![9; 32].into(),
        }),
        Say::TakeMeIn(pb::TakeMeIn {
            group_ids: vec![group.to_bytes()],
        }),
        Say::RegistersWanted(pb::RegistersWanted {}),
        Say::Profile(pb::Profile {
            name: "Mallory".into(),
            ..pb::Profile::default()
        }),
        Say::SetTimer(pb::SetTimer { seconds: 60 }),
    ];
    for body in bodies {
        let envelope = pb::Envelope {
            body: Some(body),
            ..pb::Envelope::default()
        };
        client.say(scene, group, envelope).unwrap();
    }
    // A hole in her counters, which nobody has anything for.
    let text = client.text("hello again");
    let envelope = pb::Envelope {
        counter: 1_000_000,
        ..text
    };
    client.say(scene, group, envelope).unwrap();
    client.commit(scene, group, Commit::default()).unwrap();
}

#[test]
fn a_stranger_makes_a_device_post_nothing() {
    let mut scene = empty(903);
    let bob = scene.add_registered("bob@example.org");
    let mallory = scene.add_registered("mallory@example.org");
    scene.send(mallory, bob, "hello");
    let group = create(&mut scene, mallory, "Winners", &[bob]);
    scene.run_for(Span::minutes(1));
    say(&mut scene, mallory, group, "you have won").unwrap();
    scene.run_for(Span::minutes(1));
    let device = device_of(&mut scene, bob);
    let bobs = scene.account_of(bob);
    let mut client = Dishonest::takes_over(&mut scene, mallory);
    let groups = [client.group_with(bobs), client.group_of(group)];
    let posts = posts_of(&mut scene, bob);
    for id in groups {
        provokes(&mut client, &mut scene, id, &device);
    }
    // Her commit is withheld from him, so that he loses the group.
    scene.run_for(Span::minutes(10));
    scene.relay.bend(|deliver| match deliver.kind() {
        pb::PostKind::Commit => Bend::Drop,
        _ => Bend::Honest,
    });
    for id in groups {
        client.commit(&mut scene, id, Commit::default()).unwrap();
        let text = client.text("can you read this?");
        client.say(&mut scene, id, text).unwrap();
    }
    scene.run_for(Span::hours(30));
    assert_eq!(posts.get(), 0);
    // Nothing of it keeps him from accepting her, and then all is repaired.
    scene.relay.straighten();
    client.is_honest_again(&mut scene, mallory);
    accept(&mut scene, bob, "mallory@example.org");
    scene.run_for(Span::minutes(10));
    scene.send(mallory, bob, "at last");
    scene.run_for(Span::minutes(10));
    assert_eq!(scene.texts(bob, mallory).last().unwrap(), "at last");
}

#[test]
fn whoever_is_blocked_makes_a_device_post_nothing() {
    let mut scene = empty(904);
    let bob = scene.add_registered("bob@example.org");
    let mallory = scene.add_registered("mallory@example.org");
    scene.send(mallory, bob, "hello");
    scene.run_for(Span::minutes(1));
    scene.send(bob, mallory, "hello yourself");
    let group = create(&mut scene, mallory, "Winners", &[bob]);
    scene.run_for(Span::minutes(1));
    say(&mut scene, bob, group, "what is this?").unwrap();
    scene.run_for(Span::minutes(1));
    let block = |blocked| {
        let address = "mallory@example.org".into();
        Request::Block(Block { address, blocked })
    };
    scene.command(bob, block(true)).unwrap();
    scene.run_for(Span::minutes(1));
    let device = device_of(&mut scene, bob);
    let bobs = scene.account_of(bob);
    let mut client = Dishonest::takes_over(&mut scene, mallory);
    let groups = [client.group_with(bobs), client.group_of(group)];
    let posts = posts_of(&mut scene, bob);
    for id in groups {
        provokes(&mut client, &mut scene, id, &device);
    }
    scene.run_for(Span::hours(30));
    assert_eq!(posts.get(), 0);
    client.is_honest_again(&mut scene, mallory);
    scene.command(bob, block(false)).unwrap();
    scene.run_for(Span::minutes(10));
    let id = scene.send(mallory, bob, "sorry");
    scene.run_for(Span::minutes(10));
    assert_eq!(scene.texts(bob, mallory).last().unwrap(), "sorry");
    let _ = id;
}

fn secrets(
    of: &[(AccountId, &str)],
    admins: &[AccountId],
    id: u8,
    name: &str,
) -> pb::ConversationSecrets {
    let mut addresses: Vec<pb::MemberAddress> = of
        .iter()
        .map(|(account, address)| pb::MemberAddress {
            account_id: account.to_bytes(),
            address: (*address).to_owned(),
        })
        .collect();
    addresses.sort_by(|one, other| one.account_id.cmp(&other.account_id));
    let mut admins: Vec<AccountId> = admins.to_vec();
    admins.sort_unstable();
    pb::ConversationSecrets {
        rejoin_secret: vec![1; 32].into(),
        addresses,
        state: Some(pb::ConversationState {
            conversation_id: vec![id; 16].into(),
            generation: 1,
            name: name.into(),
            admins: admins.iter().map(|one| one.to_bytes()).collect(),
            ..pb::ConversationState::default()
        }),
    }
}

fn is_request(scene: &mut Scene, who: PersonId, group: ConversationId) -> bool {
    match scene.command(who, Request::Conversations) {
        Ok(Response::Conversations(waxwing_engine::api::Conversations { conversations })) => {
            let mut all = conversations.into_iter();
            all.find(|one| one.id == group).unwrap().request
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_friend_whom_a_stranger_names_vouches_for_nothing() {
    let (mut scene, carol, bob, mallory) = with_mallory(905);
    // Bob and Carol (who is called alice here) know each other.
    scene.send(bob, carol, "I know you");
    scene.run_for(Span::minutes(1));
    scene.send(carol, bob, "and I you");
    scene.run_for(Span::minutes(1));
    let (carols, bobs) = (scene.account_of(carol), scene.account_of(bob));
    let mut client = Dishonest::takes_over(&mut scene, mallory);
    let mallorys = client.account;
    let ghost = AccountId([0x77; 32]);
    let named = [
        (mallorys, "mallory@example.org"),
        (bobs, "bob@example.org"),
        (carols, "alice@example.org"),
        (ghost, "bank@example.org"),
    ];
    // Carol and a bank are named, and have no leaf.
    let members = client.claim(&mut scene, "bob@example.org");
    let founding = Founding {
        id: GroupId([0x51; 16]),
        secrets: secrets(&named, &[mallorys, carols, ghost], 0x51, "Ghosts"),
        members,
    };
    client.found(&mut scene, founding).unwrap();
    // Carol has a leaf: anybody can take her in.
    let mut members = client.claim(&mut scene, "bob@example.org");
    members.extend(client.claim(&mut scene, "alice@example.org"));
    let founding = Founding {
        id: GroupId([0x52; 16]),
        secrets: secrets(&named[..3], &[mallorys, carols], 0x52, "alice@example.org"),
        members,
    };
    client.found(&mut scene, founding).unwrap();
    for id in [0x51, 0x52] {
        let text = client.text("transfer the money");
        client.say(&mut scene, GroupId([id; 16]), text).unwrap();
    }
    scene.run_for(Span::minutes(2));
    let ghosts = ConversationId::from_bytes([0x51; 16]);
    let taken = ConversationId::from_bytes([0x52; 16]);
    assert!(is_request(&mut scene, bob, ghosts));
    assert!(is_request(&mut scene, bob, taken));
    assert_eq!(
        members_of(&mut scene, bob, ghosts),
        [("bob@example.org", true), ("mallory@example.org", true)]
            .map(|(address, verified)| (address.to_owned(), verified))
    );
    assert_eq!(
        self::members(&mut scene, bob, taken),
        ["alice*", "bob", "mallory*"]
    );
    // A group that is called like a person does not pass for that person.
    let name = show(&mut scene, bob, taken).unwrap().name;
    assert_eq!(name, "\u{201c}alice@example.org\u{201d}");
    let told = scene.person(bob).notices.iter().any(|notice| {
        matches!(notice, Notice::Message(message) if message.conversation == ghosts && message.request)
    });
    assert!(told);
    let decline = Decline {
        of: taken.to_string(),
        block: false,
    };
    scene
        .command(bob, Request::DeclineRequest(decline))
        .unwrap();
}

fn members_of(scene: &mut Scene, who: PersonId, group: ConversationId) -> Vec<(String, bool)> {
    let shown = show(scene, who, group).unwrap().members.into_iter();
    shown.map(|one| (one.address, one.verified)).collect()
}

/// A post that says that its bytes are a parcel of this size.
fn parcel(id: u8, bytes: u64) -> Bytes {
    let parcel = pb::Parcel {
        blob_id: vec![id; 32].into(),
        bytes,
        sha256: vec![id; 32].into(),
    };
    [
        b"\xffwaxwing parcel\xff".as_slice(),
        &parcel.encode_to_vec(),
    ]
    .concat()
    .into()
}

#[test]
fn strangers_make_a_device_fetch_so_much_a_day_and_no_more() {
    let mut scene = empty(906);
    let bob = scene.add_registered("bob@example.org");
    let mallory = scene.add_registered("mallory@example.org");
    scene.run_for(Span::minutes(5));
    let bobs = scene.account_of(bob);
    let mut client = Dishonest::takes_over(&mut scene, mallory);
    let fetched = Rc::new(RefCell::new(BTreeSet::new()));
    let counting = fetched.clone();
    scene.relay.requests(move |person, frame| {
        if person == bob
            && let Some(Ask::FetchBlobPart(fetch)) = &frame.body
        {
            counting.borrow_mut().insert(fetch.blob_id[0]);
        }
        Fate::Pass
    });
    let named = [
        (client.account, "mallory@example.org"),
        (bobs, "bob@example.org"),
    ];
    for at in 0..8 {
        let id = 0x60 + at;
        let package = client.claim(&mut scene, "bob@example.org").remove(0);
        let founding = Founding {
            id: GroupId([id; 16]),
            secrets: secrets(&named, &[named[0].0], id, "Large"),
            members: Vec::new(),
        };
        client.found(&mut scene, founding).unwrap();
        let commit = Commit {
            add: vec![package.key_package],
            welcome: Some(parcel(id, 16 << 20)),
            ..Commit::default()
        };
        client
            .commit(&mut scene, GroupId([id; 16]), commit)
            .unwrap();
    }
    scene.run_for(Span::hours(2));
    assert_eq!(fetched.borrow().len(), 2);
    // The next day as much, and none of them keeps the others waiting for ever.
    scene.run_for(Span::hours(96));
    assert_eq!(fetched.borrow().len(), 8);
}

#[test]
fn a_flood_of_strangers_groups_keeps_no_friend_out() {
    let (mut scene, alice, bob, mallory) = with_mallory(907);
    scene.send(bob, alice, "hello");
    scene.run_for(Span::minutes(1));
    scene.send(alice, bob, "hello yourself");
    scene.run_for(Span::minutes(5));
    let bobs = scene.account_of(bob);
    let names = [
        "mallory", "helper1", "helper2", "helper3", "helper4", "helper5", "helper6", "helper7",
    ]
    .map(|name| format!("{name}@example.org"));
    let mut people = vec![mallory];
    people.extend(names[1..].iter().map(|name| scene.add_registered(name)));
    scene.run_for(Span::minutes(5));
    let clients: Vec<Dishonest> = people
        .into_iter()
        .map(|who| Dishonest::takes_over(&mut scene, who))
        .collect();
    // He cannot look anybody up for a while.
    scene.relay.answers(move |person, frame| {
        if person == bob && matches!(frame.body, Some(Answer::LookedUp(_))) {
            return Fate::Drop;
        }
        Fate::Pass
    });
    for (at, mut client) in clients.into_iter().enumerate() {
        let named = [
            (client.account, names[at].as_str()),
            (bobs, "bob@example.org"),
        ];
        // Each group costs two of the twenty tokens that a client has.
        for number in 0..9 {
            let id = 1 + 9 * u8::try_from(at).unwrap() + number;
            let members = client.claim(&mut scene, "bob@example.org");
            let founding = Founding {
                id: GroupId([id; 16]),
                secrets: secrets(&named, &[named[0].0], id, "Flood"),
                members,
            };
            client.found(&mut scene, founding).unwrap();
        }
    }
    scene.run_for(Span::seconds(10));
    let group = create(&mut scene, alice, "Friends", &[bob]);
    scene.run_for(Span::minutes(1));
    scene.relay.straighten();
    scene.cut(bob);
    scene.run_for(Span::minutes(10));
    say(&mut scene, alice, group, "dinner?").unwrap();
    scene.run_for(Span::minutes(1));
    assert_eq!(texts(&mut scene, bob, group), ["dinner?"]);
    assert!(!is_request(&mut scene, bob, group));
}

#[test]
fn attachments_of_a_request_are_fetched_on_demand_only() {
    let mut scene = empty(908);
    let bob = scene.add_registered("bob@example.org");
    let mallory = scene.add_registered("mallory@example.org");
    let file = scene.seal(mallory, "photo.jpg", &vec![7; 100_000]);
    let send = waxwing_engine::api::SendText {
        to: "bob@example.org".into(),
        attachments: vec![file],
        ..waxwing_engine::api::SendText::default()
    };
    let Ok(Response::Sent(sent)) = scene.command(mallory, Request::Send(send)) else {
        panic!("not sent")
    };
    scene.run_for(Span::minutes(1));
    let posts = posts_of(&mut scene, bob);
    scene.run_for(Span::hours(1));
    assert_eq!(posts.get(), 0);
    assert_eq!(scene.open_file(bob, sent.id, 0), None);
    let fetch = AttachmentOf {
        message: sent.id,
        number: 0,
    };
    scene.command(bob, Request::FetchAttachment(fetch)).unwrap();
    scene.run_for(Span::minutes(1));
    assert_eq!(scene.open_file(bob, sent.id, 0), Some(vec![7; 100_000]));
}
