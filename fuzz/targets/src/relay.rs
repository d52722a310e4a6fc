//! A relay on a store in memory, and clients that may say anything to it.
//!
//! An input is a play, one step after the other, each a letter with what it needs:
//!
//! | letter | then | step |
//! | --- | --- | --- |
//! | `f` | link, length (2), bytes | a frame comes |
//! | `o`, `c` | link | a link is opened (anew), or closed |
//! | `t` | seconds (2) | time passes |
//! | `b` | 0 or 1 | what gathered is written, or the disk is full |
//! | `r` | | the relay is killed and started again |
//!
//! There are four links. Requests are numbered here, whatever number they came with.
//!
//! **Always**: every request on a link that stays open is answered once, an error says
//! which, deliveries rise, and the relay starts again on what it wrote.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
};

use bytes::Bytes;
use prost::Message as _;
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng as _};
use waxwing_protocol::{
    frame,
    ids::{Epoch, GroupId, MailboxId, RegistrationId},
    pb,
    pb::{client_frame::Body as Ask, relay_frame::Body as Answer},
    posting::{PostingAct, PostingKey},
    roster::{self, Roster},
    sealing::{Sealed, SealingKey},
    signature::{HybridSigningKey, Purpose, SigningSeed, login_message, registration_message},
    time::{Span, Time},
    token,
};
use waxwing_relay::{
    directory::log::KeyLog,
    relay::{Config, Effect, LinkId, Relay, Secrets},
    store::{
        Store as _,
        memory::{Fault, MemoryStore},
    },
};

use crate::{script::Script, seeds::Seeds};

const LINKS: usize = 4;
/// Steps of one play, at most.
const STEPS: usize = 256;

#[derive(Default)]
struct LinkState {
    id: Option<LinkId>,
    /// Requests on it, and how often each was answered.
    answers: BTreeMap<u32, u32>,
    delivered: u64,
}

/// A play, and what was said in it.
struct Play {
    relay: Relay<MemoryStore>,
    log: KeyLog<MemoryStore>,
    store: Arc<MemoryStore>,
    rng: ChaCha20Rng,
    now: Time,
    links: [LinkState; LINKS],
    opened: u64,
    asked: u32,
    said: Vec<pb::RelayFrame>,
    code: String,
}

impl Play {
    fn new() -> Self {
        let store = Arc::new(MemoryStore::new());
        let mut rng = ChaCha20Rng::from_seed([1; 32]);
        let now = Time(1_800_000_000_000);
        let (relay, log) = open(&store, now, &mut rng);
        let mut play = Self {
            relay,
            log,
            store,
            rng,
            now,
            links: Default::default(),
            opened: 0,
            asked: 0,
            said: Vec::new(),
            code: String::new(),
        };
        for link in 0..LINKS {
            play.open_link(link);
        }
        play
    }

    fn open_link(&mut self, link: usize) {
        self.close_link(link);
        let id = LinkId(self.opened);
        self.opened += 1;
        let Some(state) = self.links.get_mut(link) else {
            return;
        };
        *state = LinkState {
            id: Some(id),
            ..LinkState::default()
        };
        let source = IpAddr::V4(Ipv4Addr::new(
            192,
            0,
            2,
            u8::try_from(link).unwrap_or_default(),
        ));
        self.relay
            .link_opened(self.now, &mut self.rng, id, exporter(link), source);
        self.drain();
    }

    fn close_link(&mut self, link: usize) {
        let id = self.links.get_mut(link).and_then(|state| state.id.take());
        if let Some(id) = id {
            self.relay.link_closed(id);
            self.drain();
        }
    }

    fn ask(&mut self, link: usize, body: Option<Ask>) {
        let Some(state) = self.links.get_mut(link) else {
            return;
        };
        let Some(id) = state.id else { return };
        let request = if matches!(body, Some(Ask::Acknowledge(_))) {
            0
        } else {
            self.asked += 1;
            state.answers.insert(self.asked, 0);
            self.asked
        };
        let frame = pb::ClientFrame { request, body };
        self.relay.handle(self.now, &mut self.rng, id, frame);
        self.drain();
    }

    fn write(&mut self, until: Time, full: bool) {
        if let Some(publication) = self.relay.take_publication(until) {
            self.store.set_fault(full.then_some(Fault::Full));
            let published = self.log.publish(self.now, &mut self.rng, publication);
            self.store.set_fault(None);
            if published.is_ok() {
                self.relay.publication_written();
            } else {
                self.relay.publication_failed();
            }
            self.drain();
        }
        let Some(batch) = self.relay.take_batch(until) else {
            return;
        };
        self.store.set_fault(full.then_some(Fault::Full));
        let written = self.store.commit(batch.into_writes());
        assert_eq!(written.is_err(), full);
        self.store.set_fault(None);
        match written {
            Ok(()) => self.relay.handle_batch_written(),
            Err(error) => self.relay.handle_batch_failed(&error),
        }
        self.drain();
    }

    fn restart(&mut self) {
        (self.relay, self.log) = open(&self.store, self.now, &mut self.rng);
        for link in 0..LINKS {
            if let Some(state) = self.links.get_mut(link) {
                state.id = None;
            }
            self.open_link(link);
        }
    }

    fn drain(&mut self) {
        for _ in 0..100_000 {
            match self.relay.poll_effect() {
                None => return,
                Some(Effect::Send { link, frame }) => self.heard(link, frame),
                Some(Effect::Close { link }) => {
                    let place = self.links.iter().position(|state| state.id == Some(link));
                    if let Some(state) = place.and_then(|place| self.links.get_mut(place)) {
                        state.id = None;
                        self.relay.link_closed(link);
                    }
                }
                Some(Effect::Prove {
                    link,
                    request,
                    question,
                }) => {
                    let body = Some(self.log.answer(&question));
                    self.heard(link, pb::RelayFrame { request, body });
                }
                Some(Effect::SendCode { code, .. }) => self.code = code,
                Some(Effect::SendSms(_) | Effect::AnswerSms { .. }) => {}
            }
        }
        panic!("effects do not end");
    }

    fn heard(&mut self, link: LinkId, frame: pb::RelayFrame) {
        let Some(state) = self.links.iter_mut().find(|state| state.id == Some(link)) else {
            return;
        };
        let bytes = Bytes::from(frame.encode_to_vec());
        assert_eq!(
            frame::decode_relay(bytes).as_ref(),
            Ok(&frame),
            "a client reads it"
        );
        match frame.body.as_ref().expect("a relay's frame has a body") {
            Answer::Deliver(deliver) => {
                assert!(deliver.sequence > state.delivered, "deliveries rise");
                state.delivered = deliver.sequence;
            }
            Answer::Error(error) => {
                assert!(
                    error.code() != pb::ErrorCode::Unspecified,
                    "an error says which"
                );
            }
            _ => {}
        }
        if frame.request != 0 {
            let times = state
                .answers
                .get_mut(&frame.request)
                .expect("an answer to a request");
            *times += 1;
            assert_eq!(*times, 1, "a request is answered once");
        }
        self.said.push(frame);
    }

    fn end(mut self) {
        for _ in 0..100 {
            let publishes = self.relay.next_publication(Time(u64::MAX));
            if self.relay.next_write().is_none() && publishes.is_none() {
                break;
            }
            // What may wait is written as well.
            self.write(Time(u64::MAX), false);
        }
        assert!(self.relay.next_write().is_none(), "writing comes to an end");
        for state in self.links.iter().filter(|state| state.id.is_some()) {
            assert!(
                state.answers.values().all(|times| *times == 1),
                "all requests are answered"
            );
        }
        drop(open(&self.store, self.now, &mut self.rng));
    }
}

fn open(
    store: &Arc<MemoryStore>,
    now: Time,
    rng: &mut ChaCha20Rng,
) -> (Relay<MemoryStore>, KeyLog<MemoryStore>) {
    let keys = waxwing_system_tests::log_keys();
    let log = KeyLog::open(Arc::clone(store), keys, Vec::new(), now, rng)
        .expect("a log opens on what a log wrote");
    let identity = log.identity().clone();
    let relay = Relay::open(Arc::clone(store), Config::default(), secrets(), identity)
        .expect("a relay opens on what a relay wrote");
    (relay, log)
}

fn secrets() -> Secrets {
    Secrets {
        token_seed: [17; 32],
        address_key: [18; 32],
    }
}

fn exporter(link: usize) -> [u8; 32] {
    [u8::try_from(link).unwrap_or_default(); 32]
}

/// What clients say to a relay.
pub fn relay(bytes: &[u8]) {
    let mut play = Play::new();
    let mut script = Script(bytes);
    for _ in 0..STEPS {
        if step(&mut play, &mut script).is_none() {
            break;
        }
    }
    play.end();
}

fn step(play: &mut Play, script: &mut Script<'_>) -> Option<()> {
    match script.byte()? {
        b'f' => {
            let link = usize::from(script.byte()?) % LINKS;
            let length = script.short()?;
            let bytes = Bytes::copy_from_slice(script.take(usize::from(length)));
            if let Ok(frame) = frame::decode_client(bytes) {
                play.ask(link, frame.body);
            }
        }
        b'o' => play.open_link(usize::from(script.byte()?) % LINKS),
        b'c' => play.close_link(usize::from(script.byte()?) % LINKS),
        b't' => {
            play.now = play.now.after(Span::seconds(u64::from(script.short()?)));
            play.relay.tick(play.now);
            play.drain();
        }
        b'b' => {
            let full = script.byte()? % 2 == 1;
            play.write(play.now, full);
        }
        b'r' => play.restart(),
        _ => {}
    }
    Some(())
}

/// A play that is written down while it is played: what a well-behaved client would say.
struct Dialogue {
    play: Play,
    script: Vec<u8>,
}

impl Dialogue {
    fn new() -> Self {
        let mut dialogue = Self {
            play: Play::new(),
            script: Vec::new(),
        };
        for link in 0..2 {
            dialogue.ask(link, Ask::Open(pb::Open { version: 1 }));
        }
        dialogue
    }

    /// Asks, writes, and gives the answer.
    fn ask(&mut self, link: u8, body: Ask) -> Answer {
        let frame = pb::ClientFrame {
            request: 1,
            body: Some(body),
        };
        let bytes = frame.encode_to_vec();
        self.script.extend([b'f', link]);
        self.script.extend(
            u16::try_from(bytes.len())
                .expect("a short frame")
                .to_le_bytes(),
        );
        self.script.extend_from_slice(&bytes);
        self.script.extend([b'b', 0]);
        let before = self.play.said.len();
        self.play.ask(usize::from(link), frame.body);
        self.play.write(Time(u64::MAX), false);
        let answers = self.play.said.get(before..).unwrap_or_default();
        let answer = answers.iter().find(|frame| frame.request != 0);
        answer
            .and_then(|frame| frame.body.clone())
            .expect("an answer")
    }

    fn tell(&mut self, link: u8, body: Ask) {
        let frame = pb::ClientFrame {
            request: 0,
            body: Some(body),
        };
        let bytes = frame.encode_to_vec();
        self.script.extend([b'f', link]);
        self.script.extend(
            u16::try_from(bytes.len())
                .expect("a short frame")
                .to_le_bytes(),
        );
        self.script.extend_from_slice(&bytes);
        self.play.ask(usize::from(link), frame.body);
    }

    /// A device registers, on link 0.
    fn register(&mut self, key: &HybridSigningKey) -> MailboxId {
        let device_id = key.public().device_id();
        let started = self.ask(
            0,
            Ask::StartRegistration(pb::StartRegistration {
                address: "alice@example.org".into(),
                device_id: device_id.to_bytes(),
            }),
        );
        let Answer::RegistrationStarted(started) = started else {
            panic!("{started:?}")
        };
        let id = RegistrationId::try_from(&started.registration_id).expect("an id");
        let recovery = HybridSigningKey::from_seed(&SigningSeed::from_bytes(&[3; 64]));
        let leaf = *PostingKey::from_seed(&[1; 32]).public().as_bytes();
        let mut rng = ChaCha20Rng::from_seed([2; 32]);
        let first = roster::create_account(&mut rng, Time(1), key, leaf, recovery.public());
        let chain = vec![first];
        let roster = Roster::verify(&chain).expect("a roster");
        let code = self.play.code.clone();
        let message =
            registration_message(&exporter(0), id, &code, roster.account(), roster.head());
        let registered = self.ask(
            0,
            Ask::FinishRegistration(pb::FinishRegistration {
                registration_id: started.registration_id,
                code,
                roster: chain,
                signature: Some(key.sign(&mut rng, Purpose::Registration, &message)),
            }),
        );
        let Answer::Registered(registered) = registered else {
            panic!("{registered:?}")
        };
        MailboxId::try_from(&registered.mailbox_id).expect("an id")
    }

    fn login(&mut self, key: &HybridSigningKey) {
        let challenge = self.play.said.iter().find_map(|frame| match &frame.body {
            Some(Answer::Hello(hello)) => <[u8; 32]>::try_from(hello.challenge.as_ref()).ok(),
            _ => None,
        });
        let challenge = challenge.expect("link 0 is greeted first");
        let device = key.public().device_id();
        let message = login_message(&exporter(0), &challenge, device);
        let mut rng = ChaCha20Rng::from_seed([2; 32]);
        let signature = Some(key.sign(&mut rng, Purpose::Login, &message));
        let login = pb::Login {
            device_id: device.to_bytes(),
            signature,
        };
        let answer = self.ask(0, Ask::Login(login));
        assert!(matches!(answer, Answer::LoggedIn(_)), "{answer:?}");
    }
}

/// For `relay`.
pub fn seeds() -> Seeds {
    let key = HybridSigningKey::from_seed(&SigningSeed::from_bytes(&[1; 64]));
    let mut dialogue = Dialogue::new();
    let mailbox = dialogue.register(&key);
    let mut seeds: Seeds = vec![("registration".into(), dialogue.script.clone())];
    dialogue.login(&key);
    let packages = pb::PublishKeyPackages {
        key_packages: vec![vec![1; 40].into(), vec![2; 40].into()],
        last_resort: vec![3; 40].into(),
        replace: true,
    };
    dialogue.ask(0, Ask::PublishKeyPackages(packages));
    let (pending, request) =
        token::request(&mut ChaCha20Rng::from_seed([4; 32]), 3).expect("tokens");
    let issued = dialogue.ask(0, Ask::IssueTokens(request));
    let Answer::TokensIssued(issued) = issued else {
        panic!("{issued:?}")
    };
    let mut tokens = token::finish(&pending, &issued, &issued.token_key)
        .expect("tokens")
        .into_iter();
    seeds.push(("logged_in".into(), dialogue.script.clone()));

    let address = "alice@example.org".to_owned();
    let look_up = pb::LookUp {
        address: address.clone(),
        known_head: 0,
    };
    dialogue.ask(1, Ask::LookUp(look_up));
    let claim = pb::ClaimKeyPackages {
        address,
        token: tokens.next(),
        device_ids: Vec::new(),
    };
    let claimed = dialogue.ask(1, Ask::ClaimKeyPackages(claim));
    assert!(
        matches!(claimed, Answer::KeyPackagesClaimed(_)),
        "{claimed:?}"
    );

    let group = GroupId([12; 16]);
    let send_key = PostingKey::from_seed(&[20; 32]);
    let rejoin_key = PostingKey::from_seed(&[21; 32]);
    let fan_out_key = SealingKey::from_bytes([22; 32]);
    let epoch_keys = |epoch| {
        let list = pb::FanOut {
            mailboxes: vec![mailbox.to_bytes()],
        }
        .encode_to_vec();
        let mut rng = ChaCha20Rng::from_seed([5; 32]);
        let sealed = fan_out_key.seal(&mut rng, Sealed::FanOut, group, Epoch(epoch), &list);
        pb::EpochKeys {
            send_key: Bytes::copy_from_slice(send_key.public().as_bytes()),
            sealed_fan_out: sealed.into(),
            sealed_group_info: vec![6; 60].into(),
            rejoin_key: Bytes::new(),
        }
    };
    let opens = Bytes::copy_from_slice(fan_out_key.as_bytes());
    let posted = dialogue.ask(
        1,
        Ask::CreateGroup(pb::CreateGroup {
            group_id: group.to_bytes(),
            token: tokens.next(),
            epoch: 1,
            keys: Some(epoch_keys(1)),
            rejoin_key: Bytes::copy_from_slice(rejoin_key.public().as_bytes()),
            fan_out_key: opens.clone(),
            post_id: vec![1; 16].into(),
            welcome: vec![7; 50].into(),
        }),
    );
    assert!(matches!(posted, Answer::Posted(_)), "{posted:?}");
    let authorise = PostingAct::Authorise {
        exporter: &exporter(1),
        epoch: Epoch(1),
    };
    let authorised = dialogue.ask(
        1,
        Ask::AuthorisePosting(pb::AuthorisePosting {
            group_id: group.to_bytes(),
            epoch: 1,
            fan_out_key: opens.clone(),
            signature: Bytes::copy_from_slice(&send_key.sign(group, authorise)),
        }),
    );
    assert!(
        matches!(authorised, Answer::PostingAuthorised(_)),
        "{authorised:?}"
    );
    let post = |number: u8, kind: pb::PostKind| pb::Post {
        group_id: group.to_bytes(),
        epoch: 1,
        kind: kind.into(),
        post_id: vec![number; 16].into(),
        body: vec![number; 50].into(),
        ..pb::Post::default()
    };
    let posted = dialogue.ask(1, Ask::Post(post(2, pb::PostKind::Message)));
    assert!(matches!(posted, Answer::Posted(_)), "{posted:?}");
    dialogue.tell(0, Ask::Acknowledge(pb::Acknowledge { sequence: 1 }));
    seeds.push(("posted".into(), dialogue.script.clone()));

    let commit = pb::Post {
        next: Some(epoch_keys(2)),
        next_fan_out_key: opens.clone(),
        ..post(3, pb::PostKind::Commit)
    };
    dialogue.ask(1, Ask::Post(commit.clone()));
    dialogue.ask(1, Ask::Post(commit));
    let fetch = PostingAct::Fetch {
        exporter: &exporter(1),
    };
    let fetched = dialogue.ask(
        1,
        Ask::FetchGroupInfo(pb::FetchGroupInfo {
            group_id: group.to_bytes(),
            signature: Bytes::copy_from_slice(&rejoin_key.sign(group, fetch)),
        }),
    );
    assert!(
        matches!(fetched, Answer::GroupInfoFetched(_)),
        "{fetched:?}"
    );
    let body = [8; 60];
    let rejoin = PostingAct::Rejoin {
        epoch: Epoch(2),
        body: &body,
    };
    let rejoined = dialogue.ask(
        1,
        Ask::Rejoin(pb::Rejoin {
            group_id: group.to_bytes(),
            epoch: 2,
            post_id: vec![4; 16].into(),
            body: Bytes::copy_from_slice(&body),
            next: Some(epoch_keys(3)),
            next_fan_out_key: opens,
            signature: Bytes::copy_from_slice(&rejoin_key.sign(group, rejoin)),
        }),
    );
    assert!(matches!(rejoined, Answer::Posted(_)), "{rejoined:?}");
    let whole = dialogue.script.clone();
    seeds.push(("rejoined".into(), whole.clone()));
    for (name, behind) in [
        ("restarted", b"rf\0\x02\0\x12\0".as_slice()),
        ("a_day_later", b"t\x80\xffb\0t\x80\xff"),
        ("closed_and_open", b"c\0c\x01o\0o\x01"),
    ] {
        seeds.push((name.into(), [whole.as_slice(), behind].concat()));
    }
    let full: Vec<u8> = dialogue_with_a_full_disk(&whole);
    seeds.push(("full_disk".into(), full));
    seeds
}

/// The last write of a dialogue finds the disk full.
fn dialogue_with_a_full_disk(script: &[u8]) -> Vec<u8> {
    let mut full = script.to_vec();
    if let Some(last) = full.last_mut() {
        *last = 1;
    }
    full
}
