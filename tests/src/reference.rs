//! The shortest relay that keeps the protocol.
//!
//! **Elsewhere**: the relay that people run is `waxwing-relay`.
//!
//! **Always**: honest, unless a test bends what it delivers ([`ReferenceRelay::bend`]).

use std::collections::{BTreeMap, HashMap, VecDeque};

use bytes::Bytes;
use prost::Message as _;
use rand_core::CryptoRng;
use waxwing_protocol::{
    Exporter, VERSIONS,
    address::Address,
    ids::{AccountId, DeviceId, Epoch, GroupId, MailboxId, RegistrationId},
    limits,
    pb::{self, ErrorCode, PostKind, client_frame::Body as Request, relay_frame::Body as Answer},
    posting::{PostingAct, PostingPublicKey},
    roster::Roster,
    sealing::{Sealed, SealingKey},
    signature::{Purpose, login_message, registration_message},
    time::Time,
    token::{self, TokenIssuer},
};

use crate::{LinkId, RelayEffect, RelayPort};

/// What becomes of a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bend {
    /// It is delivered as it should be.
    Honest,
    /// It is dropped, and counts as delivered.
    Drop,
    /// It is delivered twice.
    Twice,
}

type Bender = Box<dyn FnMut(&mut pb::Deliver) -> Bend>;

struct Link {
    exporter: Exporter,
    challenge: [u8; 32],
    device: Option<DeviceId>,
    posting: HashMap<(GroupId, Epoch), Vec<MailboxId>>,
    delivered: u64,
}

struct Account {
    roster: Vec<pb::SignedStatement>,
    address: String,
    device: DeviceId,
}

#[derive(Default)]
struct Mailbox {
    id: [u8; 16],
    entries: BTreeMap<u64, pb::Deliver>,
    last: u64,
    acknowledged: u64,
    key_packages: VecDeque<Bytes>,
    last_resort: Option<Bytes>,
}

struct Group {
    epoch: Epoch,
    keys: BTreeMap<Epoch, pb::EpochKeys>,
    rejoin_key: PostingPublicKey,
    posts: HashMap<Bytes, u64>,
    sequence: u64,
}

/// A relay in memory. What it is told is durable at once.
pub struct ReferenceRelay {
    tokens: TokenIssuer,
    spent: Vec<[u8; 16]>,
    links: HashMap<LinkId, Link>,
    registrations: HashMap<RegistrationId, (Address, DeviceId, String, u32)>,
    accounts: HashMap<AccountId, Account>,
    addresses: HashMap<String, AccountId>,
    mailboxes: HashMap<DeviceId, Mailbox>,
    groups: HashMap<GroupId, Group>,
    effects: VecDeque<RelayEffect>,
    bender: Option<Bender>,
    posts: u64,
    /// Requests that it refused, by kind of error.
    pub refused: BTreeMap<i32, u64>,
}

fn no(code: ErrorCode) -> pb::Error {
    pb::Error {
        code: code.into(),
        ..pb::Error::default()
    }
}

fn conflict(epoch: Epoch) -> pb::Error {
    pb::Error {
        epoch: epoch.0,
        ..no(ErrorCode::EpochConflict)
    }
}

impl Default for ReferenceRelay {
    fn default() -> Self {
        Self {
            tokens: TokenIssuer::from_seed(&[9; 32]).unwrap(),
            spent: Vec::new(),
            links: HashMap::new(),
            registrations: HashMap::new(),
            accounts: HashMap::new(),
            addresses: HashMap::new(),
            mailboxes: HashMap::new(),
            groups: HashMap::new(),
            effects: VecDeque::new(),
            bender: None,
            posts: 0,
            refused: BTreeMap::new(),
        }
    }
}

impl ReferenceRelay {
    /// Everything that a device has published and nobody has claimed.
    pub fn key_packages(&self) -> impl Iterator<Item = &Bytes> {
        self.mailboxes
            .values()
            .flat_map(|mailbox| mailbox.key_packages.iter().chain(&mailbox.last_resort))
    }

    /// Lets a test decide what becomes of each delivery, and change it.
    pub fn bend(&mut self, bender: impl FnMut(&mut pb::Deliver) -> Bend + 'static) {
        self.bender = Some(Box::new(bender));
    }

    /// Honest again.
    pub fn straighten(&mut self) {
        self.bender = None;
    }

    /// Puts another account behind an address: what a takeover looks like.
    pub fn move_address(&mut self, address: &str, to: AccountId) {
        self.addresses.insert(address.to_owned(), to);
    }

    fn request(
        &mut self,
        now: Time,
        rng: &mut dyn CryptoRng,
        id: LinkId,
        request: Request,
    ) -> Result<Option<Answer>, pb::Error> {
        let link = self
            .links
            .get(&id)
            .ok_or_else(|| no(ErrorCode::Malformed))?;
        let (exporter, challenge, device) = (link.exporter, link.challenge, link.device);
        let anonymous = || {
            if device.is_some() {
                Err(no(ErrorCode::WrongLink))
            } else {
                Ok(())
            }
        };
        let named = || device.ok_or_else(|| no(ErrorCode::Unauthorised));
        Ok(Some(match request {
            Request::Open(_) => return Ok(None),
            Request::Ping(_) => Answer::Pong(pb::Pong {}),
            Request::StartRegistration(start) => self.start_registration(now, rng, &start)?,
            Request::FinishRegistration(finish) => {
                self.finish_registration(rng, &exporter, finish)?
            }
            Request::Login(login) => self.log_in(id, &exporter, &challenge, &login)?,
            Request::PublishKeyPackages(publish) => {
                let mailbox = self.mailboxes.get_mut(&named()?).unwrap();
                if publish.replace {
                    mailbox.key_packages.clear();
                    mailbox.last_resort = None;
                }
                mailbox.key_packages.extend(publish.key_packages);
                if !publish.last_resort.is_empty() {
                    mailbox.last_resort = Some(publish.last_resort);
                }
                let key_packages_left = u32::try_from(mailbox.key_packages.len()).unwrap();
                Answer::KeyPackagesPublished(pb::KeyPackagesPublished { key_packages_left })
            }
            Request::IssueTokens(issue) => {
                named()?;
                let issued = self.tokens.issue(rng, &issue.blinded);
                Answer::TokensIssued(issued.map_err(|_| no(ErrorCode::Malformed))?)
            }
            Request::Acknowledge(acknowledge) => {
                let mailbox = self.mailboxes.get_mut(&named()?).unwrap();
                mailbox.acknowledged = mailbox.acknowledged.max(acknowledge.sequence);
                mailbox.entries = mailbox.entries.split_off(&(acknowledge.sequence + 1));
                self.deliver(named()?);
                return Ok(None);
            }
            Request::LookUp(look_up) => {
                anonymous()?;
                let account = match look_up.by {
                    Some(pb::look_up::By::Address(address)) => Address::parse(&address)
                        .ok()
                        .and_then(|address| self.addresses.get(address.canonical()).copied()),
                    Some(pb::look_up::By::AccountId(account)) => AccountId::try_from(&account).ok(),
                    None => None,
                }
                .ok_or_else(|| no(ErrorCode::AddressUnknown))?;
                let found = self
                    .accounts
                    .get(&account)
                    .ok_or_else(|| no(ErrorCode::AddressUnknown))?;
                Answer::LookedUp(pb::LookedUp {
                    account_id: account.to_bytes(),
                    roster: found.roster.clone(),
                    address: found.address.clone(),
                })
            }
            Request::ClaimKeyPackages(claim) => {
                anonymous()?;
                self.claim(&claim)?
            }
            Request::CreateGroup(create) => {
                anonymous()?;
                self.create_group(now, create)?
            }
            Request::AuthorisePosting(authorise) => {
                anonymous()?;
                self.authorise(id, &exporter, &authorise)?
            }
            Request::Post(post) => {
                anonymous()?;
                self.post(now, id, post)?
            }
            Request::FetchGroupInfo(fetch) => {
                anonymous()?;
                let (group_id, group) = self.group(&fetch.group_id)?;
                let act = PostingAct::Fetch {
                    exporter: &exporter,
                };
                if !group.rejoin_key.verifies(group_id, act, &fetch.signature) {
                    return Err(no(ErrorCode::Unauthorised));
                }
                Answer::GroupInfoFetched(pb::GroupInfoFetched {
                    epoch: group.epoch.0,
                    sealed_group_info: group.keys[&group.epoch].sealed_group_info.clone(),
                })
            }
            Request::Rejoin(rejoin) => {
                anonymous()?;
                self.rejoin(now, id, rejoin)?
            }
        }))
    }

    fn start_registration(
        &mut self,
        now: Time,
        rng: &mut dyn CryptoRng,
        start: &pb::StartRegistration,
    ) -> Result<Answer, pb::Error> {
        let address = Address::parse(&start.address).map_err(|_| no(ErrorCode::Malformed))?;
        let device = DeviceId::try_from(&start.device_id).map_err(|_| no(ErrorCode::Malformed))?;
        let id = RegistrationId::random(rng);
        let code = format!("{:08}", rng.next_u32() % 100_000_000);
        self.effects.push_back(RelayEffect::Code(
            address.canonical().to_owned(),
            code.clone(),
        ));
        self.registrations
            .insert(id, (address, device, code, limits::CODE_TRIES));
        Ok(Answer::RegistrationStarted(pb::RegistrationStarted {
            registration_id: id.to_bytes(),
            expires_at_ms: now.after(limits::CODE_LIFETIME).0,
        }))
    }

    fn finish_registration(
        &mut self,
        rng: &mut dyn CryptoRng,
        exporter: &Exporter,
        finish: pb::FinishRegistration,
    ) -> Result<Answer, pb::Error> {
        let id = RegistrationId::try_from(&finish.registration_id)
            .map_err(|_| no(ErrorCode::Malformed))?;
        let (address, device, code, tries) = self
            .registrations
            .get_mut(&id)
            .ok_or_else(|| no(ErrorCode::CodeRefused))?;
        if *code != finish.code {
            *tries -= 1;
            let error = pb::Error {
                tries_left: *tries,
                ..no(ErrorCode::CodeRefused)
            };
            if *tries == 0 {
                self.registrations.remove(&id);
            }
            return Err(error);
        }
        let roster = Roster::verify(&finish.roster).map_err(|_| no(ErrorCode::Malformed))?;
        let signer = roster
            .device(*device)
            .ok_or_else(|| no(ErrorCode::Unauthorised))?;
        let message =
            registration_message(exporter, id, &finish.code, roster.account(), roster.head());
        signer
            .identity
            .verify(
                Purpose::Registration,
                &message,
                finish.signature.as_ref().unwrap(),
            )
            .map_err(|_| no(ErrorCode::Unauthorised))?;
        let account = Account {
            roster: finish.roster,
            address: address.canonical().to_owned(),
            device: *device,
        };
        self.addresses
            .insert(address.canonical().to_owned(), roster.account());
        let mailbox = self.mailboxes.entry(*device).or_default();
        rng.fill_bytes(&mut mailbox.id);
        self.accounts.insert(roster.account(), account);
        let mailbox_id = mailbox.id.to_vec().into();
        self.registrations.remove(&id);
        Ok(Answer::Registered(pb::Registered { mailbox_id }))
    }

    fn log_in(
        &mut self,
        id: LinkId,
        exporter: &Exporter,
        challenge: &[u8; 32],
        login: &pb::Login,
    ) -> Result<Answer, pb::Error> {
        let device = DeviceId::try_from(&login.device_id).map_err(|_| no(ErrorCode::Malformed))?;
        let account = self
            .accounts
            .values()
            .find(|account| account.device == device)
            .ok_or_else(|| no(ErrorCode::Unauthorised))?;
        let roster = Roster::verify(&account.roster).unwrap();
        roster
            .device(device)
            .unwrap()
            .identity
            .verify(
                Purpose::Login,
                &login_message(exporter, challenge, device),
                login.signature.as_ref().unwrap(),
            )
            .map_err(|_| no(ErrorCode::Unauthorised))?;
        let mailbox = &self.mailboxes[&device];
        let logged_in = pb::LoggedIn {
            mailbox_id: mailbox.id.to_vec().into(),
            acknowledged: mailbox.acknowledged,
            key_packages_left: u32::try_from(mailbox.key_packages.len()).unwrap(),
            last_resort: mailbox.last_resort.is_some(),
        };
        let acknowledged = mailbox.acknowledged;
        for link in self.links.values_mut() {
            if link.device == Some(device) {
                link.device = None;
            }
        }
        let link = self.links.get_mut(&id).unwrap();
        link.device = Some(device);
        link.delivered = acknowledged;
        Ok(Answer::LoggedIn(logged_in))
    }

    fn spend(&mut self, token: Option<&pb::Token>) -> Result<(), pb::Error> {
        let token = token.ok_or_else(|| no(ErrorCode::Malformed))?;
        let id = token::spent_id(token);
        if !self.tokens.verifies(token) || self.spent.contains(&id) {
            return Err(no(ErrorCode::Unauthorised));
        }
        self.spent.push(id);
        Ok(())
    }

    fn claim(&mut self, claim: &pb::ClaimKeyPackages) -> Result<Answer, pb::Error> {
        self.spend(claim.token.as_ref())?;
        let address = Address::parse(&claim.address).map_err(|_| no(ErrorCode::Malformed))?;
        let id = *self
            .addresses
            .get(address.canonical())
            .ok_or_else(|| no(ErrorCode::AddressUnknown))?;
        let account = &self.accounts[&id];
        let mailbox = self.mailboxes.get_mut(&account.device).unwrap();
        let key_package = mailbox
            .key_packages
            .pop_front()
            .or_else(|| mailbox.last_resort.clone());
        let key_packages = key_package
            .into_iter()
            .map(|key_package| pb::ClaimedKeyPackage {
                device_id: account.device.to_bytes(),
                mailbox_id: mailbox.id.to_vec().into(),
                key_package,
            })
            .collect();
        Ok(Answer::KeyPackagesClaimed(pb::KeyPackagesClaimed {
            account_id: id.to_bytes(),
            roster: account.roster.clone(),
            key_packages,
        }))
    }

    fn group(&mut self, id: &Bytes) -> Result<(GroupId, &mut Group), pb::Error> {
        let id = GroupId::try_from(id).map_err(|_| no(ErrorCode::Malformed))?;
        let group = self
            .groups
            .get_mut(&id)
            .ok_or_else(|| no(ErrorCode::GroupUnknown))?;
        Ok((id, group))
    }

    fn create_group(&mut self, now: Time, create: pb::CreateGroup) -> Result<Answer, pb::Error> {
        let id = GroupId::try_from(&create.group_id).map_err(|_| no(ErrorCode::Malformed))?;
        if let Some(group) = self.groups.get(&id) {
            let known = group.posts.contains_key(&create.post_id);
            return if known {
                Ok(Answer::Done(pb::Done {}))
            } else {
                Err(no(ErrorCode::GroupExists))
            };
        }
        self.spend(create.token.as_ref())?;
        let epoch = Epoch(create.epoch);
        let keys = create.keys.unwrap();
        let fan_out = open_fan_out(id, epoch, &keys, &create.fan_out_key)?;
        let group = Group {
            epoch,
            keys: BTreeMap::from([(epoch, keys)]),
            rejoin_key: PostingPublicKey::from_bytes(&create.rejoin_key).unwrap(),
            posts: HashMap::from([(create.post_id.clone(), 1)]),
            sequence: 1,
        };
        self.groups.insert(id, group);
        let welcome = post_of(
            now,
            id,
            1,
            PostKind::Welcome,
            epoch,
            create.post_id,
            create.welcome,
        );
        self.fan_out(&fan_out, &welcome);
        Ok(Answer::Done(pb::Done {}))
    }

    fn authorise(
        &mut self,
        link: LinkId,
        exporter: &Exporter,
        authorise: &pb::AuthorisePosting,
    ) -> Result<Answer, pb::Error> {
        let (id, group) = self.group(&authorise.group_id)?;
        let epoch = Epoch(authorise.epoch);
        let keys = group
            .keys
            .get(&epoch)
            .ok_or_else(|| conflict(group.epoch))?;
        let key = PostingPublicKey::from_bytes(&keys.send_key).unwrap();
        if !key.verifies(
            id,
            PostingAct::Authorise { exporter, epoch },
            &authorise.signature,
        ) {
            return Err(no(ErrorCode::Unauthorised));
        }
        let fan_out = open_fan_out(id, epoch, keys, &authorise.fan_out_key)?;
        let current = group.epoch;
        self.links
            .get_mut(&link)
            .unwrap()
            .posting
            .insert((id, epoch), fan_out);
        Ok(Answer::PostingAuthorised(pb::PostingAuthorised {
            epoch: current.0,
        }))
    }

    fn post(&mut self, now: Time, link: LinkId, post: pb::Post) -> Result<Answer, pb::Error> {
        let (id, group) = self.group(&post.group_id)?;
        let (current, epoch) = (group.epoch, Epoch(post.epoch));
        if let Some(sequence) = group.posts.get(&post.post_id) {
            return Ok(Answer::Posted(pb::Posted {
                group_sequence: *sequence,
                epoch: current.0,
            }));
        }
        let fan_out = self.links[&link]
            .posting
            .get(&(id, epoch))
            .cloned()
            .ok_or_else(|| no(ErrorCode::Unauthorised))?;
        let kind = post.kind();
        let fits = match kind {
            PostKind::Message => current.0 - epoch.0 <= limits::PAST_EPOCHS,
            PostKind::Commit => current == epoch,
            _ => return Err(no(ErrorCode::Malformed)),
        };
        if !fits {
            return Err(conflict(current));
        }
        let mut to = fan_out;
        if kind == PostKind::Commit {
            let new = self.advance(id, epoch, post.next.unwrap(), &post.next_fan_out_key)?;
            self.links
                .get_mut(&link)
                .unwrap()
                .posting
                .insert((id, Epoch(epoch.0 + 1)), new.clone());
            to.extend(new);
        }
        Ok(self.take(now, id, kind, epoch, post.post_id, post.body, &to))
    }

    fn rejoin(&mut self, now: Time, link: LinkId, rejoin: pb::Rejoin) -> Result<Answer, pb::Error> {
        let (id, group) = self.group(&rejoin.group_id)?;
        let (current, epoch) = (group.epoch, Epoch(rejoin.epoch));
        if let Some(sequence) = group.posts.get(&rejoin.post_id) {
            return Ok(Answer::Posted(pb::Posted {
                group_sequence: *sequence,
                epoch: current.0,
            }));
        }
        let act = PostingAct::Rejoin {
            epoch,
            body: &rejoin.body,
        };
        if !group.rejoin_key.verifies(id, act, &rejoin.signature) {
            return Err(no(ErrorCode::Unauthorised));
        }
        if current != epoch {
            return Err(conflict(current));
        }
        let to = self.advance(id, epoch, rejoin.next.unwrap(), &rejoin.next_fan_out_key)?;
        let posting = &mut self.links.get_mut(&link).unwrap().posting;
        posting.insert((id, Epoch(epoch.0 + 1)), to.clone());
        Ok(self.take(
            now,
            id,
            PostKind::Commit,
            epoch,
            rejoin.post_id,
            rejoin.body,
            &to,
        ))
    }

    fn advance(
        &mut self,
        id: GroupId,
        epoch: Epoch,
        next: pb::EpochKeys,
        key: &[u8],
    ) -> Result<Vec<MailboxId>, pb::Error> {
        let began = Epoch(epoch.0 + 1);
        let new = open_fan_out(id, began, &next, key)?;
        let group = self.groups.get_mut(&id).unwrap();
        group.epoch = began;
        group.keys.insert(began, next);
        group.keys = group
            .keys
            .split_off(&Epoch(began.0.saturating_sub(limits::PAST_EPOCHS)));
        Ok(new)
    }

    #[allow(clippy::too_many_arguments, reason = "a post has that many parts")]
    fn take(
        &mut self,
        now: Time,
        id: GroupId,
        kind: PostKind,
        epoch: Epoch,
        post_id: Bytes,
        body: Bytes,
        to: &[MailboxId],
    ) -> Answer {
        let group = self.groups.get_mut(&id).unwrap();
        group.sequence += 1;
        group.posts.insert(post_id.clone(), group.sequence);
        let answer = pb::Posted {
            group_sequence: group.sequence,
            epoch: group.epoch.0,
        };
        let post = post_of(now, id, group.sequence, kind, epoch, post_id, body);
        self.fan_out(to, &post);
        Answer::Posted(answer)
    }

    fn fan_out(&mut self, to: &[MailboxId], post: &pb::Deliver) {
        self.posts += 1;
        let mut devices: Vec<DeviceId> = self
            .mailboxes
            .iter()
            .filter(|(_, mailbox)| to.contains(&MailboxId(mailbox.id)))
            .map(|(device, _)| *device)
            .collect();
        devices.sort();
        for device in devices {
            let mailbox = self.mailboxes.get_mut(&device).unwrap();
            mailbox.last += 1;
            let entry = pb::Deliver {
                sequence: mailbox.last,
                ..post.clone()
            };
            mailbox.entries.insert(mailbox.last, entry);
            self.deliver(device);
        }
    }

    fn deliver(&mut self, device: DeviceId) {
        let Some((id, link)) = self
            .links
            .iter_mut()
            .find(|(_, link)| link.device == Some(device))
        else {
            return;
        };
        let mailbox = &self.mailboxes[&device];
        let in_flight = mailbox.entries.range(..=link.delivered).count();
        let room = limits::DELIVERY_WINDOW_FRAMES.saturating_sub(in_flight);
        for (sequence, entry) in mailbox.entries.range(link.delivered + 1..).take(room) {
            link.delivered = *sequence;
            let mut entry = entry.clone();
            let bend = self
                .bender
                .as_mut()
                .map_or(Bend::Honest, |bender| bender(&mut entry));
            let times = match bend {
                Bend::Drop => 0,
                Bend::Honest => 1,
                Bend::Twice => 2,
            };
            for _ in 0..times {
                let body = Some(Answer::Deliver(entry.clone()));
                self.effects
                    .push_back(RelayEffect::Send(*id, pb::RelayFrame { request: 0, body }));
            }
        }
    }
}

fn open_fan_out(
    id: GroupId,
    epoch: Epoch,
    keys: &pb::EpochKeys,
    key: &[u8],
) -> Result<Vec<MailboxId>, pb::Error> {
    let key = SealingKey::from_slice(key).ok_or_else(|| no(ErrorCode::Malformed))?;
    let opened = key
        .open(Sealed::FanOut, id, epoch, &keys.sealed_fan_out)
        .map_err(|_| no(ErrorCode::Unauthorised))?;
    let fan_out = pb::FanOut::decode(opened.as_slice()).map_err(|_| no(ErrorCode::Malformed))?;
    Ok(fan_out
        .mailboxes
        .iter()
        .map(|mailbox| MailboxId::try_from(mailbox).unwrap())
        .collect())
}

fn post_of(
    now: Time,
    group: GroupId,
    group_sequence: u64,
    kind: PostKind,
    epoch: Epoch,
    post_id: Bytes,
    body: Bytes,
) -> pb::Deliver {
    pb::Deliver {
        sequence: 0,
        group_id: group.to_bytes(),
        group_sequence,
        kind: kind.into(),
        epoch: epoch.0,
        post_id,
        body,
        received_at_ms: now.0,
    }
}

impl RelayPort for ReferenceRelay {
    fn opened(&mut self, now: Time, rng: &mut dyn CryptoRng, id: LinkId, exporter: Exporter) {
        let mut challenge = [0; 32];
        rng.fill_bytes(&mut challenge);
        let link = Link {
            exporter,
            challenge,
            device: None,
            posting: HashMap::new(),
            delivered: 0,
        };
        self.links.insert(id, link);
        let hello = pb::Hello {
            versions: VERSIONS.to_vec(),
            challenge: challenge.to_vec().into(),
            token_key: self.tokens.public_key().to_vec().into(),
            now_ms: now.0,
        };
        let frame = pb::RelayFrame {
            request: 0,
            body: Some(Answer::Hello(hello)),
        };
        self.effects.push_back(RelayEffect::Send(id, frame));
    }

    fn closed(&mut self, _now: Time, link: LinkId) {
        self.links.remove(&link);
    }

    fn frame(&mut self, now: Time, rng: &mut dyn CryptoRng, id: LinkId, frame: pb::ClientFrame) {
        let Some(request) = frame.body else { return };
        let is_login = matches!(request, Request::Login(_));
        let answer = match self.request(now, rng, id, request) {
            Ok(None) => return,
            Ok(Some(answer)) => answer,
            Err(error) => {
                *self.refused.entry(error.code).or_default() += 1;
                Answer::Error(error)
            }
        };
        let frame = pb::RelayFrame {
            request: frame.request,
            body: Some(answer),
        };
        self.effects.push_back(RelayEffect::Send(id, frame));
        if is_login && let Some(device) = self.links.get(&id).and_then(|link| link.device) {
            self.deliver(device);
        }
    }

    fn tick(&mut self, _now: Time) {}

    fn posts(&self) -> u64 {
        self.posts
    }

    fn waiting(&self) -> usize {
        self.mailboxes
            .values()
            .map(|mailbox| mailbox.entries.len())
            .sum()
    }

    fn poll_effect(&mut self) -> Option<RelayEffect> {
        self.effects.pop_front()
    }
}
