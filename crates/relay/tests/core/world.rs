//! A relay without a network: links, people and groups in a few calls each.
//!
//! **Elsewhere**: the behaviour that is tested with it is beside it.
//!
//! **Always**: the clock moves when a test moves it, and the disk is written when a test
//! writes it.

use std::collections::{HashMap, HashSet, VecDeque};
use std::net::IpAddr;
use std::sync::Arc;

use bytes::Bytes;
use prost::Message as _;
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng as _};
use waxwing_protocol::{
    ids::{AccountId, DeviceId, Epoch, GroupId, MailboxId, PostId, RegistrationId},
    pb::{
        self, ClientFrame, ErrorCode, PostKind, RelayFrame, client_frame::Body as Ask,
        relay_frame::Body as Answer,
    },
    posting::{PostingAct, PostingKey},
    roster,
    sealing::{Sealed, SealingKey},
    signature::{HybridSigningKey, Purpose, SigningSeed, login_message, registration_message},
    time::{Span, Time},
    token,
};
use waxwing_relay::directory::log::{KeyLog, LogKeys};
use waxwing_relay::relay::{Config, Effect, LinkId, Relay, Secrets};
use waxwing_relay::relay::{Submission, Verdict};
use waxwing_relay::store::{Store, memory::MemoryStore};

/// Everything.
pub(crate) struct World {
    pub(crate) store: MemoryStore,
    pub(crate) relay: Relay<MemoryStore>,
    pub(crate) log: KeyLog<MemoryStore>,
    pub(crate) rng: ChaCha20Rng,
    pub(crate) now: Time,
    pub(crate) config: Config,
    next_link: u64,
    next_request: u32,
    inbox: HashMap<LinkId, VecDeque<RelayFrame>>,
    challenges: HashMap<LinkId, [u8; 32]>,
    token_key: Bytes,
    pub(crate) closed: HashSet<LinkId>,
    pub(crate) codes: HashMap<String, String>,
    /// The requests that codes were sent for.
    pub(crate) code_requests: Vec<(LinkId, u32)>,
    /// Texts that the SMSC was given, and what it was told of others.
    pub(crate) submissions: Vec<Submission>,
    pub(crate) verdicts: Vec<(u64, Verdict)>,
}

/// Somebody with one device.
pub(crate) struct Person {
    pub(crate) address: String,
    pub(crate) key: HybridSigningKey,
    pub(crate) roster: Vec<pb::SignedStatement>,
    pub(crate) account: AccountId,
    pub(crate) mailbox: MailboxId,
}

impl Person {
    pub(crate) fn device(&self) -> DeviceId {
        self.key.public().device_id()
    }
}

/// What a group's members know.
pub(crate) struct Members {
    pub(crate) id: GroupId,
    pub(crate) epoch: Epoch,
    pub(crate) mailboxes: Vec<MailboxId>,
}

fn secrets() -> Secrets {
    Secrets {
        token_seed: [1; 32],
        address_key: [2; 32],
    }
}

/// The keys of the relay's log.
pub(crate) fn log_keys() -> LogKeys {
    LogKeys::simulated(&[7; 32], &secrets().address_key).unwrap()
}

fn open(
    store: &MemoryStore,
    config: &Config,
    now: Time,
    rng: &mut ChaCha20Rng,
) -> (Relay<MemoryStore>, KeyLog<MemoryStore>) {
    let store = Arc::new(store.clone());
    let log = KeyLog::open(Arc::clone(&store), log_keys(), Vec::new(), now, rng).unwrap();
    let identity = log.identity().clone();
    let relay = Relay::open(store, config.clone(), secrets(), identity).unwrap();
    (relay, log)
}

fn exporter(link: LinkId) -> [u8; 32] {
    let mut exporter = [7; 32];
    exporter[..8].copy_from_slice(&link.0.to_be_bytes());
    exporter
}

impl World {
    pub(crate) fn new() -> Self {
        Self::with(Config::default())
    }

    pub(crate) fn with(config: Config) -> Self {
        let store = MemoryStore::new();
        let now = Time(1_800_000_000_000);
        let mut rng = ChaCha20Rng::from_seed([3; 32]);
        let (relay, log) = open(&store, &config, now, &mut rng);
        Self {
            store,
            relay,
            log,
            rng,
            now,
            config,
            next_link: 0,
            next_request: 0,
            inbox: HashMap::new(),
            challenges: HashMap::new(),
            token_key: Bytes::new(),
            closed: HashSet::new(),
            codes: HashMap::new(),
            code_requests: Vec::new(),
            submissions: Vec::new(),
            verdicts: Vec::new(),
        }
    }

    /// The relay is killed and started again: what was not written is gone.
    pub(crate) fn crash(&mut self) {
        (self.relay, self.log) = open(&self.store, &self.config, self.now, &mut self.rng);
        self.inbox.clear();
        self.closed.clear();
    }

    pub(crate) fn wait(&mut self, span: Span) {
        self.now = self.now.after(span);
        self.relay.tick(self.now);
        self.collect();
    }

    /// A second passes, after which a batch that failed is tried again.
    pub(crate) fn try_again(&mut self) {
        self.wait(Span::seconds(1));
        self.write();
    }

    /// A second passes at a time, with a wall clock that is off by so many milliseconds.
    pub(crate) fn run(&mut self, span: Span, clock_error: i64) {
        for _ in 0..span.0 / 1000 {
            self.now = self.now.after(Span::seconds(1));
            self.look_at_clock(clock_error);
            self.relay.tick(self.now);
            if !self.relay.doubts_clock() {
                let date = self.relay.date(self.now);
                self.log.refresh(date, &mut self.rng).unwrap();
            }
            self.collect();
            self.write_once();
        }
    }

    /// The relay looks at a wall clock that is off by so many milliseconds.
    pub(crate) fn look_at_clock(&mut self, clock_error: i64) {
        let wall = Time(self.now.0.saturating_add_signed(clock_error));
        self.relay.look_at_clock(self.now, wall);
    }

    /// Carries the effects away.
    pub(crate) fn collect(&mut self) {
        while let Some(effect) = self.relay.poll_effect() {
            match effect {
                Effect::Prove {
                    link,
                    request,
                    question,
                } => {
                    let frame = RelayFrame {
                        request,
                        body: Some(self.log.answer(&question)),
                    };
                    self.inbox.entry(link).or_default().push_back(frame);
                }
                Effect::Send { link, frame } => {
                    self.inbox.entry(link).or_default().push_back(frame);
                }
                Effect::Close { link } => {
                    self.closed.insert(link);
                    self.relay.link_closed(link);
                }
                Effect::SendCode {
                    link,
                    request,
                    address,
                    code,
                } => {
                    self.code_requests.push((link, request));
                    self.codes.insert(address.canonical().to_owned(), code);
                }
                Effect::SendSms(submission) => self.submissions.push(*submission),
                Effect::AnswerSms { ticket, verdict } => self.verdicts.push((ticket, verdict)),
            }
        }
    }

    /// Writes what is pending to the disk, all of it: what may wait, and what the log is
    /// to have.
    pub(crate) fn write(&mut self) {
        while self.write_once() || self.publish_once() {}
    }

    /// Publishes one log epoch; gives whether there was one. Time passes until it is due.
    pub(crate) fn publish_once(&mut self) -> bool {
        if let Some(at) = self.relay.next_publication(self.now) {
            self.now = self.now.max(at);
        }
        let Some(publication) = self.relay.take_publication(self.now) else {
            return false;
        };
        match self.log.publish(self.now, &mut self.rng, publication) {
            Ok(_) => self.relay.publication_written(),
            Err(_) => self.relay.publication_failed(),
        }
        self.collect();
        true
    }

    /// Writes one batch; gives whether there was one.
    pub(crate) fn write_once(&mut self) -> bool {
        let Some(batch) = self.relay.take_batch(Time(u64::MAX)) else {
            return false;
        };
        match self.store.commit(batch.into_writes()) {
            Ok(()) => self.relay.handle_batch_written(),
            Err(error) => self.relay.handle_batch_failed(&error),
        }
        self.collect();
        true
    }

    /// A link that chose a version.
    pub(crate) fn link(&mut self) -> LinkId {
        self.link_from([192, 0, 2, 1].into())
    }

    /// The same, from somewhere else.
    pub(crate) fn link_from(&mut self, source: IpAddr) -> LinkId {
        let link = LinkId(self.next_link);
        self.next_link += 1;
        self.relay
            .link_opened(self.now, &mut self.rng, link, exporter(link), source);
        self.collect();
        let Some(Answer::Hello(hello)) = self.next(link) else {
            panic!("no greeting");
        };
        self.challenges
            .insert(link, hello.challenge.as_ref().try_into().unwrap());
        self.token_key = hello.token_key;
        let answer = self.ask(link, Ask::Open(pb::Open { version: 1 }));
        assert!(matches!(answer, Some(Answer::Done(_))));
        link
    }

    /// Sends a frame and does not look for the answer.
    pub(crate) fn tell(&mut self, link: LinkId, body: Ask) -> u32 {
        self.next_request += 1;
        let frame = ClientFrame {
            request: self.next_request,
            body: Some(body),
        };
        self.relay.handle(self.now, &mut self.rng, link, frame);
        self.collect();
        self.next_request
    }

    /// What the relay said next on a link.
    pub(crate) fn next(&mut self, link: LinkId) -> Option<Answer> {
        self.inbox.get_mut(&link)?.pop_front()?.body
    }

    /// The answer to a request, if it is there.
    pub(crate) fn answer(&mut self, link: LinkId, request: u32) -> Option<Answer> {
        let inbox = self.inbox.get_mut(&link)?;
        let at = inbox.iter().position(|frame| frame.request == request)?;
        inbox.remove(at)?.body
    }

    /// Sends a request and gives the answer that comes without the disk.
    pub(crate) fn ask(&mut self, link: LinkId, body: Ask) -> Option<Answer> {
        let request = self.tell(link, body);
        self.answer(link, request)
    }

    /// Sends a request and gives the answer that comes at the latest with the disk.
    pub(crate) fn ask_durably(&mut self, link: LinkId, body: Ask) -> Answer {
        let request = self.tell(link, body);
        self.write();
        self.answer(link, request).expect("an answer")
    }

    /// The posts that came on a link.
    pub(crate) fn delivered(&mut self, link: LinkId) -> Vec<pb::Deliver> {
        let inbox = self.inbox.entry(link).or_default();
        let (posts, rest): (VecDeque<_>, VecDeque<_>) = std::mem::take(inbox)
            .into_iter()
            .partition(|frame| matches!(frame.body, Some(Answer::Deliver(_))));
        *inbox = rest;
        posts
            .into_iter()
            .filter_map(|frame| match frame.body {
                Some(Answer::Deliver(deliver)) => Some(deliver),
                _ => None,
            })
            .collect()
    }

    /// What came in passing.
    pub(crate) fn signalled(&mut self, link: LinkId) -> Vec<Bytes> {
        let inbox = std::mem::take(self.inbox.entry(link).or_default());
        let bodies = inbox.into_iter().filter_map(|frame| match frame.body {
            Some(Answer::Signalled(signal)) => Some(signal.body),
            _ => None,
        });
        bodies.collect()
    }

    pub(crate) fn acknowledge(&mut self, link: LinkId, sequence: u64) {
        self.tell(link, Ask::Acknowledge(pb::Acknowledge { sequence }));
    }

    /// Somebody who is not registered yet.
    pub(crate) fn stranger(&mut self, address: &str) -> Person {
        let key = HybridSigningKey::from_seed(&SigningSeed::generate(&mut self.rng));
        let recovery = HybridSigningKey::from_seed(&SigningSeed::generate(&mut self.rng));
        let leaf = PostingKey::from_seed(&[9; 32]).public();
        let first = roster::create_account(
            &mut self.rng,
            self.now,
            &key,
            *leaf.as_bytes(),
            recovery.public(),
        );
        let roster = vec![first];
        let account = roster::Roster::verify(&roster).unwrap().account();
        Person {
            address: address.to_owned(),
            key,
            roster,
            account,
            mailbox: MailboxId([0; 16]),
        }
    }

    /// Asks for a code.
    pub(crate) fn start_registration(&mut self, link: LinkId, person: &Person) -> RegistrationId {
        let start = pb::StartRegistration {
            address: person.address.clone(),
            device_id: person.device().to_bytes(),
        };
        let answer = self.ask(link, Ask::StartRegistration(start));
        let Some(Answer::RegistrationStarted(started)) = answer else {
            panic!("no registration: {answer:?}");
        };
        RegistrationId::try_from(&started.registration_id).unwrap()
    }

    /// What finishes a registration.
    pub(crate) fn finish(
        &mut self,
        link: LinkId,
        person: &Person,
        id: RegistrationId,
        code: &str,
    ) -> Ask {
        let head = *roster::Roster::verify(&person.roster).unwrap().head();
        let message = registration_message(&exporter(link), id, code, person.account, &head);
        Ask::FinishRegistration(pb::FinishRegistration {
            registration_id: id.to_bytes(),
            code: code.to_owned(),
            roster: person.roster.clone(),
            signature: Some(
                person
                    .key
                    .sign(&mut self.rng, Purpose::Registration, &message),
            ),
        })
    }

    /// Somebody who is registered.
    pub(crate) fn person(&mut self, address: &str) -> Person {
        let mut person = self.stranger(address);
        let link = self.link();
        let id = self.start_registration(link, &person);
        let code = self.codes[address].clone();
        let finish = self.finish(link, &person, id, &code);
        let answer = self.ask_durably(link, finish);
        let Answer::Registered(registered) = answer else {
            panic!("not registered: {answer:?}");
        };
        person.mailbox = MailboxId::try_from(&registered.mailbox_id).unwrap();
        self.relay.link_closed(link);
        person
    }

    /// What logs a device in on a link, signed for `signed_for`.
    pub(crate) fn login_request(
        &mut self,
        link: LinkId,
        signed_for: LinkId,
        person: &Person,
    ) -> Ask {
        let message = login_message(
            &exporter(signed_for),
            &self.challenges[&link],
            person.device(),
        );
        Ask::Login(pb::Login {
            device_id: person.device().to_bytes(),
            signature: Some(person.key.sign(&mut self.rng, Purpose::Login, &message)),
        })
    }

    /// A signature by somebody for the login of a device on a link.
    pub(crate) fn login_request_as(
        &mut self,
        link: LinkId,
        signs: &Person,
        device: DeviceId,
    ) -> Ask {
        let message = login_message(&exporter(link), &self.challenges[&link], device);
        Ask::Login(pb::Login {
            device_id: device.to_bytes(),
            signature: Some(signs.key.sign(&mut self.rng, Purpose::Login, &message)),
        })
    }

    /// A link on which the person is logged in; the disk is written.
    pub(crate) fn login(&mut self, person: &Person) -> (LinkId, pb::LoggedIn) {
        let link = self.link();
        let login = self.login_request(link, link, person);
        let answer = self.ask(link, login);
        let Some(Answer::LoggedIn(logged_in)) = answer else {
            panic!("not logged in: {answer:?}");
        };
        self.write();
        (link, logged_in)
    }

    pub(crate) fn tokens(&mut self, link: LinkId, count: usize) -> Vec<pb::Token> {
        let (pending, request) = token::request(&mut self.rng, count).unwrap();
        let answer = self.ask_durably(link, Ask::IssueTokens(request));
        let Answer::TokensIssued(issued) = answer else {
            panic!("no tokens: {answer:?}");
        };
        token::finish(&pending, &issued, &self.token_key).unwrap()
    }

    pub(crate) fn token(&mut self, person: &Person) -> pb::Token {
        let (link, _) = self.login(person);
        let token = self.tokens(link, 1).remove(0);
        self.relay.link_closed(link);
        token
    }

    /// The keys of a group's epoch.
    pub(crate) fn keys(&mut self, id: GroupId, epoch: Epoch, to: &[MailboxId]) -> pb::EpochKeys {
        let list = pb::FanOut {
            mailboxes: to.iter().map(|mailbox| mailbox.to_bytes()).collect(),
        };
        let sealed = fan_out_key(epoch).seal(
            &mut self.rng,
            Sealed::FanOut,
            id,
            epoch,
            &list.encode_to_vec(),
        );
        pb::EpochKeys {
            send_key: Bytes::copy_from_slice(send_key(epoch).public().as_bytes()),
            sealed_fan_out: sealed.into(),
            sealed_group_info: format!("group info {epoch}").into(),
            rejoin_key: Bytes::new(),
        }
    }

    pub(crate) fn create_request(
        &mut self,
        token: pb::Token,
        id: GroupId,
        to: &[MailboxId],
    ) -> Ask {
        let keys = self.keys(id, Epoch(1), to);
        Ask::CreateGroup(pb::CreateGroup {
            group_id: id.to_bytes(),
            token: Some(token),
            epoch: 1,
            keys: Some(keys),
            rejoin_key: Bytes::copy_from_slice(rejoin_key().public().as_bytes()),
            fan_out_key: Bytes::copy_from_slice(fan_out_key(Epoch(1)).as_bytes()),
            post_id: PostId([0xee; 16]).to_bytes(),
            welcome: Bytes::from_static(b"welcome"),
        })
    }

    /// A group of these people, made by the first; everybody took the welcome.
    pub(crate) fn group(&mut self, people: &[&Person]) -> Members {
        let token = self.token(people[0]);
        let id = GroupId::random(&mut self.rng);
        let mailboxes: Vec<MailboxId> = people.iter().map(|person| person.mailbox).collect();
        let link = self.link();
        let create = self.create_request(token, id, &mailboxes);
        let answer = self.ask_durably(link, create);
        assert!(matches!(answer, Answer::Posted(_)), "{answer:?}");
        self.relay.link_closed(link);
        for person in people {
            let (link, _) = self.login(person);
            for post in self.delivered(link) {
                self.acknowledge(link, post.sequence);
            }
            self.relay.link_closed(link);
        }
        self.write();
        Members {
            id,
            epoch: Epoch(1),
            mailboxes,
        }
    }

    /// A link that may post to the group; the disk is written.
    pub(crate) fn posting_link(&mut self, group: &Members) -> LinkId {
        let link = self.link();
        let authorise = authorise_request(link, group.id, group.epoch);
        let answer = self.ask_durably(link, authorise);
        assert!(matches!(answer, Answer::PostingAuthorised(_)), "{answer:?}");
        link
    }

    pub(crate) fn commit_request(
        &mut self,
        group: &Members,
        post: PostId,
        to: &[MailboxId],
        welcome: &'static [u8],
    ) -> Ask {
        let next = group.epoch.next();
        Ask::Post(pb::Post {
            group_id: group.id.to_bytes(),
            epoch: group.epoch.0,
            kind: PostKind::Commit.into(),
            post_id: post.to_bytes(),
            body: Bytes::from_static(b"commit"),
            next: Some(self.keys(group.id, next, to)),
            next_fan_out_key: Bytes::copy_from_slice(fan_out_key(next).as_bytes()),
            welcome: Bytes::from_static(welcome),
            first_attempt: false,
        })
    }
}

/// What asks for the permission to post, on one link.
pub(crate) fn authorise_request(link: LinkId, id: GroupId, epoch: Epoch) -> Ask {
    let exporter = exporter(link);
    let act = PostingAct::Authorise {
        exporter: &exporter,
        epoch,
    };
    Ask::AuthorisePosting(pb::AuthorisePosting {
        group_id: id.to_bytes(),
        epoch: epoch.0,
        fan_out_key: Bytes::copy_from_slice(fan_out_key(epoch).as_bytes()),
        signature: Bytes::copy_from_slice(&send_key(epoch).sign(id, act)),
    })
}

/// A message.
pub(crate) fn message(group: &Members, post: PostId, body: &str) -> Ask {
    Ask::Post(pb::Post {
        group_id: group.id.to_bytes(),
        epoch: group.epoch.0,
        kind: PostKind::Message.into(),
        post_id: post.to_bytes(),
        body: Bytes::copy_from_slice(body.as_bytes()),
        ..pb::Post::default()
    })
}

pub(crate) fn exporter_of(link: LinkId) -> [u8; 32] {
    exporter(link)
}

pub(crate) fn send_key(epoch: Epoch) -> PostingKey {
    PostingKey::from_seed(&[u8::try_from(epoch.0).unwrap(); 32])
}

pub(crate) fn fan_out_key(epoch: Epoch) -> SealingKey {
    SealingKey::from_bytes([u8::try_from(epoch.0).unwrap() ^ 0x80; 32])
}

pub(crate) fn rejoin_key() -> PostingKey {
    PostingKey::from_seed(&[0x55; 32])
}

/// The code of an error; panics on anything else.
pub(crate) fn code(answer: Option<Answer>) -> ErrorCode {
    match answer {
        Some(Answer::Error(error)) => error.code(),
        other => panic!("no error: {other:?}"),
    }
}

pub(crate) fn post_id(n: u64) -> PostId {
    let mut id = [0; 16];
    id[..8].copy_from_slice(&n.to_be_bytes());
    PostId(id)
}
