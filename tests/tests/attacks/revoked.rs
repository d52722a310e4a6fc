//! Devices that were revoked, thieves who have a copy of one, and members who would help them
//! or cut somebody off.

use std::{cell::RefCell, rc::Rc};

use waxwing_engine::api::{ConversationId, MessageState};
use waxwing_protocol::{
    ids::{DeviceId, GroupId},
    pb::{
        ConversationSecrets, Deliver, Error, ErrorCode, LeafCredential, MemberAddress, PostKind,
        client_frame::Body as Ask, relay_frame::Body as Answer,
    },
    time::Span,
};
use waxwing_system_tests::{
    Commit, Dishonest, External, Fate, Founding, HostileRelay, PersonId, World, WorldOptions,
    devices::{devices, linked, linked_as, revoke},
    groups::{addresses, change, create, members, say, texts},
};

use super::scene::{Scene, warnings};

/// Alice with a phone and a tablet, Bob and Mallory, in a group that Alice made.
struct Family {
    scene: Scene,
    phone: PersonId,
    tablet: PersonId,
    bob: PersonId,
    mallory: PersonId,
    group: ConversationId,
}

fn family(seed: u64) -> Family {
    let options = WorldOptions {
        stores_on_disk: true,
        ..WorldOptions::default()
    };
    let mut scene = World::new(seed, HostileRelay::default(), options);
    let [phone, bob, mallory] = ["alice", "bob", "mallory"]
        .map(|name| scene.add_registered(&format!("{name}@example.org")));
    let tablet = linked(&mut scene, phone);
    let group = create(&mut scene, phone, "Family", &[bob, mallory]);
    scene.run_for(Span::minutes(2));
    say(&mut scene, phone, group, "before").unwrap();
    scene.run_for(Span::minutes(1));
    assert_eq!(texts(&mut scene, tablet, group), ["before"]);
    Family {
        scene,
        phone,
        tablet,
        bob,
        mallory,
        group,
    }
}

/// Alice's phone takes the tablet's rights away.
fn revoke_tablet(scene: &mut Scene, phone: PersonId) {
    let listed = devices(scene, phone);
    revoke(scene, phone, &listed[1].short).unwrap();
}

/// Everything that the relay delivers to anybody from now on.
fn tap(scene: &mut Scene) -> Rc<RefCell<Vec<Deliver>>> {
    let all = Rc::new(RefCell::new(Vec::new()));
    let tapped = all.clone();
    scene.relay.answers(move |_, frame| {
        if let Some(Answer::Deliver(deliver)) = &frame.body {
            tapped.borrow_mut().push(deliver.clone());
        }
        Fate::Pass
    });
    all
}

/// Drops every commit that somebody posts.
fn withhold_commits(scene: &mut Scene, of: PersonId) {
    scene
        .relay
        .requests(move |person, frame| match &frame.body {
            Some(Ask::Post(post)) if person == of && post.kind() == PostKind::Commit => Fate::Drop,
            _ => Fate::Pass,
        });
}

/// What a leaf of this device says, with somebody else's mailbox in it.
fn with_mailbox_of(thief: &mut Dishonest, id: GroupId, device: DeviceId) -> LeafCredential {
    let leaves = thief.members(id);
    let other = leaves
        .iter()
        .find(|leaf| leaf.device_id == device.to_bytes())
        .unwrap();
    LeafCredential {
        mailbox_id: other.mailbox_id.clone(),
        ..thief.credential()
    }
}

fn say_and_hear(family: &mut Family, text: &str) {
    let Family {
        scene,
        phone,
        bob,
        mallory,
        group,
        ..
    } = family;
    let id = say(scene, *bob, *group, text).unwrap();
    scene.run_for(Span::minutes(3));
    for who in [*phone, *mallory] {
        let heard = texts(scene, who, *group);
        assert_eq!(
            heard.iter().filter(|one| *one == text).count(),
            1,
            "{heard:?}"
        );
    }
    let said = waxwing_system_tests::groups::messages(scene, *bob, *group);
    let state = said.iter().find(|one| one.id == id).unwrap().state;
    assert!(state >= Some(MessageState::Accepted), "{state:?}");
}

#[test]
fn a_revoked_device_tries_everything_and_reads_nothing() {
    let mut family = family(801);
    let mut thief = Dishonest::thief(&mut family.scene, family.tablet);
    let (group, phone, bob) = (family.group, family.phone, family.bob);
    let mallory = family.scene.device_of(family.mallory);
    let id = thief.group_of(group);
    let old = thief.rejoin_secret(id);
    revoke_tablet(&mut family.scene, phone);
    family.scene.run_for(Span::minutes(2));
    let posts = tap(&mut family.scene);
    let scene = &mut family.scene;
    // Its own mailbox is closed, and nothing it knows opens the group.
    assert!(!thief.log_in(scene));
    let own = thief.credential();
    let helpers = with_mailbox_of(&mut thief, id, mallory);
    for claims in [own, helpers] {
        let secret = old.clone();
        assert!(
            thief
                .comes_in(scene, id, External { secret, claims })
                .is_err()
        );
    }
    // The commit that removed it renewed the rejoin key: the epochs before it are closed.
    let text = thief.text("I am still here");
    assert!(thief.say(scene, id, text).is_err());
    // A new group with old members, in Alice's name.
    let bobs = thief.claim(scene, "bob@example.org");
    let mut secrets = thief.secrets(id);
    secrets.state.as_mut().unwrap().conversation_id = vec![8; 16].into();
    secrets.state.as_mut().unwrap().admins = vec![thief.account.to_bytes()];
    let founding = Founding {
        id: GroupId([8; 16]),
        secrets,
        members: bobs,
    };
    thief.found(scene, founding).unwrap();
    scene.run_for(Span::minutes(1));
    let stranger = ConversationId::from_bytes([8; 16]);
    assert!(waxwing_system_tests::groups::show(scene, bob, stranger).is_none());
    // A member adds it.
    let package = thief.own_key_package(&thief.credential());
    let mut helper = Dishonest::takes_over(scene, family.mallory);
    let commit = Commit {
        add: vec![package],
        ..Commit::default()
    };
    helper.commit(scene, id, commit).unwrap();
    helper.is_honest_again(scene, family.mallory);
    scene.run_for(Span::minutes(2));
    say_and_hear(&mut family, "after");
    for post in posts.borrow().iter() {
        thief.reads(post);
    }
    assert!(!thief.has_read("after"));
    for who in [phone, bob] {
        let heard = texts(&mut family.scene, who, group);
        assert_eq!(heard, ["before", "after"]);
    }
}

#[test]
fn a_revoked_device_that_joins_before_the_news_reads_nothing() {
    let mut family = family(802);
    let mut thief = Dishonest::thief(&mut family.scene, family.tablet);
    let (group, phone) = (family.group, family.phone);
    let id = thief.group_of(group);
    // The relay keeps to itself that the phone takes the tablet out.
    withhold_commits(&mut family.scene, phone);
    revoke_tablet(&mut family.scene, phone);
    family.scene.run_for(Span::seconds(10));
    let posts = tap(&mut family.scene);
    let secret = thief.rejoin_secret(id);
    let claims = thief.credential();
    let external = External { secret, claims };
    thief.comes_in(&mut family.scene, id, external).unwrap();
    // Bob writes at once, and his device looks Alice up before it takes the commit.
    say(&mut family.scene, family.bob, group, "at once").unwrap();
    family.scene.run_for(Span::seconds(20));
    let forged = thief.text("from the tablet");
    let _ = thief.say(&mut family.scene, id, forged);
    family.scene.run_for(Span::minutes(2));
    family.scene.relay.requests(|_, _| Fate::Pass);
    family.scene.run_for(Span::minutes(2));
    say_and_hear(&mut family, "after");
    for post in posts.borrow().iter() {
        thief.reads(post);
    }
    assert!(!thief.has_read("after") && !thief.has_read("at once"));
    for who in [phone, family.bob, family.mallory] {
        let heard = texts(&mut family.scene, who, group);
        assert_eq!(heard, ["before", "at once", "after"]);
        let shown = members(&mut family.scene, who, group);
        assert_eq!(shown, ["alice*", "bob", "mallory"]);
    }
}

#[test]
fn a_leaf_with_the_mailbox_of_another_device_is_taken_by_nobody() {
    let mut family = family(803);
    let group = family.group;
    let mut mallory = Dishonest::takes_over(&mut family.scene, family.mallory);
    let id = mallory.group_of(group);
    let bobs = family.scene.device_of(family.bob);
    let claims = with_mailbox_of(&mut mallory, id, bobs);
    let secret = mallory.rejoin_secret(id);
    let external = External { secret, claims };
    mallory.comes_in(&mut family.scene, id, external).unwrap();
    family.scene.run_for(Span::minutes(2));
    // The group is made anew, and nobody is missing in it who did nothing.
    say(&mut family.scene, family.bob, group, "after").unwrap();
    family.scene.run_for(Span::minutes(3));
    for who in [family.phone, family.tablet, family.bob] {
        let heard = texts(&mut family.scene, who, group);
        assert_eq!(heard, ["before", "after"]);
    }
}

#[test]
fn a_member_who_cuts_a_device_off_cuts_off_nobody() {
    let mut family = family(804);
    let group = family.group;
    let bobs_tablet = linked_as(&mut family.scene, family.bob, "bob@example.org");
    family.scene.run_for(Span::minutes(2));
    let mut mallory = Dishonest::takes_over(&mut family.scene, family.mallory);
    let id = mallory.group_of(group);
    let gone = family.scene.device_of(bobs_tablet);
    let claimed = mallory.claim(&mut family.scene, "bob@example.org");
    let package = claimed
        .into_iter()
        .find(|one| one.device_id == gone.to_bytes())
        .unwrap();
    let commit = Commit {
        remove: vec![gone],
        add: vec![package.key_package],
        welcome: Some(bytes::Bytes::new()),
        ..Commit::default()
    };
    mallory.commit(&mut family.scene, id, commit).unwrap();
    family.scene.run_for(Span::minutes(5));
    say(&mut family.scene, family.phone, group, "after").unwrap();
    family.scene.run_for(Span::minutes(2));
    for who in [family.phone, family.bob, bobs_tablet] {
        let heard = texts(&mut family.scene, who, group);
        assert!(heard.contains(&"after".to_owned()), "{who:?} {heard:?}");
    }
}

#[test]
fn a_device_that_an_admin_forgets_to_welcome_comes_back() {
    let mut family = family(805);
    let group = family.group;
    let promote = waxwing_engine::api::ChangeGroup {
        promote: addresses(&family.scene, &[family.mallory]),
        ..Default::default()
    };
    change(&mut family.scene, family.phone, group, promote).unwrap();
    family.scene.run_for(Span::minutes(1));
    let mut mallory = Dishonest::takes_over(&mut family.scene, family.mallory);
    let id = mallory.group_of(group);
    let bob = family.scene.device_of(family.bob);
    let package = mallory
        .claim(&mut family.scene, "bob@example.org")
        .remove(0);
    let commit = Commit {
        remove: vec![bob],
        add: vec![package.key_package],
        welcome: Some(bytes::Bytes::new()),
        ..Commit::default()
    };
    mallory.commit(&mut family.scene, id, commit).unwrap();
    say(&mut family.scene, family.phone, group, "meanwhile").unwrap();
    family.scene.run_for(Span::minutes(30));
    say(&mut family.scene, family.phone, group, "after").unwrap();
    family.scene.run_for(Span::minutes(2));
    let heard = texts(&mut family.scene, family.bob, group);
    assert_eq!(heard, ["before", "meanwhile", "after"]);
}

#[test]
fn a_group_waits_for_proof_of_a_new_leaf_and_says_so() {
    let mut family = family(806);
    let (group, bob, phone) = (family.group, family.bob, family.phone);
    family.scene.send(phone, bob, "hello");
    family.scene.send(bob, phone, "hello");
    family.scene.run_for(Span::minutes(1));
    // The relay does not tell Bob who Mallory's devices are.
    let asked = Rc::new(RefCell::new(Vec::new()));
    let noted = asked.clone();
    family.scene.relay.requests(move |person, frame| {
        if let Some(Ask::LookUp(_)) = &frame.body
            && person == bob
        {
            noted.borrow_mut().push(frame.request);
        }
        Fate::Pass
    });
    let refused = asked.clone();
    family.scene.relay.answers(move |person, frame| {
        if person == bob && refused.borrow().contains(&frame.request) && frame.request > 0 {
            frame.body = Some(Answer::Error(Error {
                code: ErrorCode::RateLimited.into(),
                ..Error::default()
            }));
        }
        Fate::Pass
    });
    linked_as(&mut family.scene, family.mallory, "mallory@example.org");
    say(&mut family.scene, phone, group, "held").unwrap();
    family.scene.send(phone, bob, "elsewhere");
    family.scene.run_for(Span::minutes(10));
    assert_eq!(texts(&mut family.scene, bob, group), ["before"]);
    let direct = family.scene.texts(bob, phone);
    assert_eq!(direct.last().unwrap(), "elsewhere");
    assert!(warnings(&family.scene, bob).contains(&"group_waits".to_owned()));
    // It does not ask in a loop.
    assert!(asked.borrow().len() < 40, "{}", asked.borrow().len());
    family.scene.relay.straighten();
    family.scene.run_for(Span::minutes(10));
    assert_eq!(texts(&mut family.scene, bob, group), ["before", "held"]);
}

#[test]
fn two_people_go_on_when_one_lost_the_conversation_for_good() {
    let mut family = family(807);
    let (scene, phone, bob) = (&mut family.scene, family.phone, family.bob);
    scene.send(phone, bob, "one");
    scene.send(bob, phone, "two");
    scene.run_for(Span::minutes(1));
    let copy = scene.copy_while_off(bob);
    scene.run_for(Span::minutes(1));
    // The secret that Bob's old copy knows is renewed with the tablet's leaf.
    revoke_tablet(scene, phone);
    scene.run_for(Span::minutes(2));
    scene.set_back(bob, &copy);
    scene.run_for(Span::minutes(1));
    scene.send(phone, bob, "three");
    scene.run_for(Span::minutes(30));
    scene.send(bob, phone, "four");
    scene.send(phone, bob, "five");
    scene.run_for(Span::minutes(10));
    for (of, with) in [(phone, bob), (bob, phone)] {
        let mut heard = scene.texts(of, with);
        heard.sort();
        assert_eq!(heard, ["five", "four", "one", "three", "two"]);
        assert_eq!(scene.status(of).outbox, 0);
    }
}

#[test]
fn a_revoked_device_that_asked_to_be_added_again_goes() {
    let mut family = family(809);
    let (phone, tablet) = (family.phone, family.tablet);
    family.scene.send(phone, tablet, "a note to myself");
    family.scene.run_for(Span::minutes(1));
    let tapped = tap(&mut family.scene);
    let mut thief = Dishonest::takes_over(&mut family.scene, family.tablet);
    let id = thief.group_of(family.group);
    let alice = thief.account;
    let notes = thief.group_with(alice);
    // It asks in the notes just before it is revoked, so that the phone has it in mind.
    let asks = waxwing_protocol::pb::Envelope {
        body: Some(waxwing_protocol::pb::envelope::Body::TakeMeIn(
            waxwing_protocol::pb::TakeMeIn {
                group_ids: vec![id.to_bytes(), notes.to_bytes()],
            },
        )),
        ..Default::default()
    };
    thief.say(&mut family.scene, notes, asks).unwrap();
    family.scene.run_for(Span(200));
    revoke_tablet(&mut family.scene, family.phone);
    family.scene.run_for(Span::minutes(10));
    say_and_hear(&mut family, "after it was revoked");
    for post in tapped.borrow_mut().drain(..) {
        thief.reads(&post);
    }
    assert!(!thief.has_read("after it was revoked"));
    assert_eq!(
        members(&mut family.scene, family.bob, family.group).len(),
        3
    );
}

#[test]
fn a_device_revoked_in_one_group_gets_nothing_of_the_next() {
    let mut family = family(810);
    let (phone, bob, group) = (family.phone, family.bob, family.group);
    let scene = &mut family.scene;
    let mut thief = Dishonest::thief(scene, family.tablet);
    let earlier = thief.group_of(group);
    let posts = tap(scene);
    // Mallory breaks the group's rules: the phone makes the next one.
    let mut client = Dishonest::takes_over(scene, family.mallory);
    let mut secrets = client.secrets(earlier);
    secrets.state.as_mut().unwrap().admins = vec![client.account.to_bytes()];
    let breaks = Commit {
        secrets: Some(secrets),
        ..Commit::default()
    };
    client.commit(scene, earlier, breaks).unwrap();
    scene.run_for(Span::minutes(30));
    client.is_honest_again(scene, family.mallory);
    scene.run_for(Span::minutes(10));
    revoke_tablet(scene, phone);
    scene.run_for(Span::minutes(5));
    say(scene, bob, group, "after").unwrap();
    scene.run_for(Span::minutes(5));
    assert_eq!(texts(scene, phone, group), ["before", "after"]);
    // The thief asks where it still is, for what was said where it is not.
    let overheard: Vec<Deliver> = posts.borrow().clone();
    for post in &overheard {
        thief.reads(post);
    }
    let mut member = Dishonest::takes_over(scene, bob);
    let next = member.group_of(group);
    member.is_honest_again(scene, bob);
    assert_ne!(earlier, next);
    for named in [Some(next), None] {
        for of in [phone, bob] {
            let asks = thief.asks_for_everything(scene.device_of(of), named);
            thief.say(scene, earlier, asks).unwrap();
        }
    }
    scene.run_for(Span::minutes(5));
    for post in posts.borrow().iter() {
        thief.reads(post);
    }
    assert!(!thief.has_read("after"));
}

#[test]
fn a_stolen_device_makes_no_group_without_its_owners_others() {
    let mut family = family(811);
    let (phone, bob) = (family.phone, family.bob);
    let scene = &mut family.scene;
    scene.send(phone, bob, "hello");
    scene.send(bob, phone, "hello");
    scene.run_for(Span::minutes(1));
    let mut thief = Dishonest::thief(scene, family.tablet);
    let theirs = thief.claim(scene, "bob@example.org");
    let mut addresses = vec![
        (thief.account.to_bytes(), "alice@example.org".to_owned()),
        (
            scene.account_of(bob).to_bytes(),
            "bob@example.org".to_owned(),
        ),
    ];
    addresses.sort();
    // Of two groups with the same people, everybody writes to the one with the smaller id.
    let id = GroupId([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
    let founding = Founding {
        id,
        secrets: ConversationSecrets {
            rejoin_secret: vec![1; 32].into(),
            addresses: addresses
                .into_iter()
                .map(|(account_id, address)| MemberAddress {
                    account_id,
                    address,
                })
                .collect(),
            state: None,
        },
        members: theirs,
    };
    thief.found(scene, founding).unwrap();
    let text = thief.text("it is me");
    thief.say(scene, id, text).unwrap();
    scene.run_for(Span::seconds(1));
    scene.send(bob, phone, "only for you");
    scene.run_for(Span::minutes(1));
    assert!(scene.texts(bob, phone).contains(&"it is me".to_owned()));
    assert!(scene.texts(phone, bob).contains(&"only for you".to_owned()));
    revoke_tablet(scene, phone);
    scene.run_for(Span::minutes(2));
    scene.send(bob, phone, "after");
    scene.run_for(Span::minutes(1));
    let heard = scene.texts(phone, bob);
    assert_eq!(heard.last().unwrap(), "after", "{heard:?}");
}
