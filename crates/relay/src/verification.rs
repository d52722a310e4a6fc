//! Checks the signatures, tokens and lists that a request depends on, without the relay's
//! lock.
//!
//! Such a request is handled in three steps. [`Relay::begin`] does the cheap checks under the
//! lock: is this the right kind of link, is the rate limit kept, does the device exist, is the
//! code right. [`Verification::run`] needs no lock. [`Relay::finish`] makes sure, cheaply,
//! that what was verified is still what is stored, and carries out the request.
//! [`Relay::handle`] does all three at once.
//!
//! **Elsewhere**: what is checked before and after is beside each request; [`crate::server`]
//! shares its processors between sources.
//!
//! **Always**: nothing is verified for a request that would be refused anyway. A stored roster
//! was verified before it was stored, and is not verified again. A request is carried out only
//! with what [`Verification::run`] found for it.

use std::sync::Arc;

use bytes::Bytes;
use prost::Message as _;
use rand::{CryptoRng, SeedableRng as _, rngs::StdRng};
use sha2::{Digest as _, Sha256};
use waxwing_protocol::{
    Exporter,
    ids::{DeviceId, Epoch, GroupId, MailboxId, RegistrationId},
    limits,
    pb::{self, PostKind, client_frame::Body as Request},
    posting::{PostingAct, PostingPublicKey},
    roster::Roster,
    signature::{HybridPublicKey, Purpose, registration_message},
    time::{Span, Time},
};

use crate::{
    answer::Refused,
    blob::Blobs,
    directory::Directory,
    directory::{
        changes,
        login::wrong_login,
        tokens::{TokenKeys, Tokens},
    },
    group,
    group::Groups,
    link::LinkId,
    mailbox::counting::{Count, Counted},
    pending_view::PendingView,
    relay::Relay,
    store::{Key, KeySpace, Store, StoreError, behind, records::DeviceRecord},
};

/// What is to be verified before a request is carried out.
pub struct Verification<S> {
    store: Arc<S>,
    tokens: Option<Arc<TokenKeys>>,
    link: LinkId,
    request: u32,
    body: Request,
    work: Check,
    count: Option<Count>,
}

/// A request, and what was found.
pub struct Verified {
    pub(crate) link: LinkId,
    pub(crate) request: u32,
    pub(crate) body: Request,
    pub(crate) found: Result<CheckResult, Refused>,
    pub(crate) counted: Option<Counted>,
    signatures: u32,
}

impl<S> std::fmt::Debug for Verification<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Verification(…)")
    }
}

impl std::fmt::Debug for Verified {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Verified(…)")
    }
}

/// What is verified, with what the store says of it.
pub(crate) enum Check {
    /// Nothing more: this was found.
    Done(CheckResult),
    /// That the device signed the link's challenge.
    Login {
        device: DeviceId,
        identity: DeviceIdentity,
        message: Vec<u8>,
    },
    /// That the roster continues the one that is stored, and that the device signed it.
    Registration {
        id: RegistrationId,
        device: DeviceId,
        exporter: Exporter,
        stored: Vec<pb::SignedStatement>,
    },
    /// That the statement may follow these.
    Statement { stored: Vec<pb::SignedStatement> },
    /// That the device which a statement admitted is on this link.
    Newcomer {
        identity: HybridPublicKey,
        message: Vec<u8>,
    },
    /// That the token is good; these are the statements of who is asked for.
    Claim { stored: Vec<pb::SignedStatement> },
    /// That the tokens are good.
    Tokens,
    /// Nothing: tokens are made.
    Issue {
        seed: [u8; 32],
        keys: Arc<TokenKeys>,
        period: u64,
    },
    /// That the token is good, and what the list says; neither where the group is known.
    Create { is_new: bool },
    /// That a member of the epoch is on this link, and what the list says.
    Authorise {
        group: GroupId,
        epoch: Epoch,
        exporter: Exporter,
        send_key: Bytes,
        sealed_list: Bytes,
    },
    /// What the list of the epoch that begins says.
    Commit { group: GroupId, next: Epoch },
    /// That a member, or one who was, is on this link.
    Fetch {
        group: GroupId,
        exporter: Exporter,
        rejoin_key: Bytes,
    },
    /// The same, and what the list of the epoch that begins says.
    Rejoin {
        group: GroupId,
        epoch: Epoch,
        rejoin_key: Bytes,
        opens: bool,
    },
    /// Nothing: a part of a blob or a backup is read from the disk.
    Part { space: KeySpace, at: Key },
}

/// By what a device is known.
pub(crate) enum DeviceIdentity {
    /// Its key.
    Key(Bytes),
    /// Its account's roster: it was stored by an older relay.
    Roster(Vec<pb::SignedStatement>),
}

/// What was found.
pub(crate) enum CheckResult {
    /// Nothing was looked for.
    Nothing,
    /// The device is on this link; its key, where it was not stored by itself yet, and how many
    /// key packages the disk has.
    Login {
        new_key: Option<Bytes>,
        key_packages_left: u32,
    },
    /// A roster that the device signed.
    Registration(Box<FoundRoster>),
    /// The roster before and after the statement.
    Statement(Box<(Roster, Roster)>),
    /// The device that the statement admitted is on this link.
    Newcomer,
    /// The token is good, and this is the roster.
    Claim(Box<Roster>),
    /// The tokens are good.
    Tokens,
    /// Tokens.
    Issued(pb::TokensIssued),
    /// A hash of the request, and the list of a group that is new.
    Create {
        created_by: Bytes,
        list: Option<Arc<[MailboxId]>>,
    },
    /// The list of who has the key of this epoch.
    Authorise {
        send_key: Bytes,
        list: Arc<[MailboxId]>,
    },
    /// The next epoch's list.
    Commit { list: Arc<[MailboxId]> },
    /// What lies there of a blob or a backup.
    Part { at: Key, part: Option<Bytes> },
    /// The requester has this key; and the next epoch's list, if it was to be opened.
    Rejoin {
        rejoin_key: Bytes,
        list: Option<Arc<[MailboxId]>>,
    },
}

/// A roster with which a registration is finished.
pub(crate) struct FoundRoster {
    pub(crate) device: DeviceId,
    /// As it was stored when this began; none where there was none.
    pub(crate) before: Option<Roster>,
    pub(crate) roster: Roster,
    /// All statements: those that were stored, then the new ones.
    pub(crate) statements: Vec<pb::SignedStatement>,
}

impl<S: Store> Verification<S> {
    /// Bytes of the request, which is kept until it is verified.
    pub fn bytes(&self) -> usize {
        let frame = pb::client_frame::Body::encoded_len(&self.body);
        frame.saturating_add(size_of::<Self>())
    }

    /// Refuses the request: too many wait to be verified.
    pub fn refused(self) -> Verified {
        Verified {
            link: self.link,
            request: self.request,
            body: self.body,
            found: Err(Refused::rate_limited(Span::seconds(1))),
            counted: None,
            signatures: 0,
        }
    }

    /// Verifies. Without the lock: it takes milliseconds.
    pub fn run(self) -> Verified {
        let mut checks = Checks {
            store: &*self.store,
            tokens: self.tokens.as_deref(),
            signatures: 0,
        };
        let found = checks.find(self.work, &self.body);
        Verified {
            signatures: checks.signatures,
            // Nothing is counted for a request that is refused.
            counted: self
                .count
                .filter(|_| found.is_ok())
                .map(|count| count.run(&self.store)),
            link: self.link,
            request: self.request,
            body: self.body,
            found,
        }
    }
}

impl Verified {
    /// How many signatures and tokens were verified; a hybrid one counts once.
    pub fn signatures(&self) -> u32 {
        self.signatures
    }

    /// Whether all of it was right.
    pub fn is_right(&self) -> bool {
        self.found.is_ok()
    }
}

impl<S: Store> Relay<S> {
    /// What is to be verified for a request; `None` where it needs nothing, or is to be
    /// answered without.
    pub(crate) fn needs_verifying(
        &mut self,
        now: Time,
        rng: &mut dyn CryptoRng,
        link: LinkId,
        body: &Request,
    ) -> Result<Option<Check>, Refused> {
        match body {
            Request::Post(post) if post.kind() != PostKind::Commit => return Ok(None),
            Request::Login(_)
            | Request::FinishRegistration(_)
            | Request::ChangeRoster(_)
            | Request::ClaimKeyPackages(_)
            | Request::OpenBlob(_)
            | Request::IssueTokens(_)
            | Request::CreateGroup(_)
            | Request::AuthorisePosting(_)
            | Request::Post(_)
            | Request::FetchGroupInfo(_)
            | Request::FetchBlobPart(_)
            | Request::FetchBackup(_)
            | Request::Rejoin(_) => self.admit(link, body)?,
            _ => return Ok(None),
        }
        match body {
            Request::Login(login) => {
                self.may_log_in(link)?;
                Directory::login_to_verify(&mut self.context, now, link, login).map(Some)
            }
            Request::FinishRegistration(finish) => self
                .registrations
                .registration_to_verify(&mut self.context, now, link, finish)
                .map(Some),
            Request::ChangeRoster(change) => {
                self.directory
                    .statement_to_verify(&mut self.context, now, link, change)
            }
            Request::ClaimKeyPackages(claim) => {
                self.tokens.keys_of(&mut self.context, link)?;
                self.directory
                    .claim_to_verify(&mut self.context, &mut self.tokens, now, link, claim)
                    .map(Some)
            }
            Request::OpenBlob(open) => {
                self.tokens.keys_of(&mut self.context, link)?;
                Blobs::blob_to_verify(&self.context, &self.tokens, now, open)
            }
            Request::IssueTokens(issue) => {
                Tokens::may_issue(&self.context, now, link, issue)?;
                let (keys, period) = self.tokens.keys_of(&mut self.context, link)?;
                let mut seed = [0; 32];
                rng.fill_bytes(&mut seed);
                Ok(Some(Check::Issue { seed, keys, period }))
            }
            Request::CreateGroup(create) => {
                self.tokens.keys_of(&mut self.context, link)?;
                Groups::group_to_verify(&self.context, &self.tokens, create).map(Some)
            }
            Request::AuthorisePosting(authorise) => self
                .groups
                .posting_to_verify(&mut self.context, now, link, authorise)
                .map(Some),
            Request::Post(commit) => self
                .groups
                .commit_to_verify(&mut self.context, link, commit),
            Request::FetchGroupInfo(fetch) => self
                .groups
                .fetch_to_verify(&mut self.context, link, fetch)
                .map(Some),
            Request::Rejoin(rejoin) => self
                .groups
                .rejoin_to_verify(&mut self.context, rejoin)
                .map(Some),
            Request::FetchBlobPart(fetch) => {
                Blobs::blob_part_to_read(&mut self.context, now, fetch)
            }
            Request::FetchBackup(fetch) => {
                self.backups
                    .backup_part_to_read(&mut self.context, now, link, *fetch)
            }
            _ => Ok(None),
        }
    }

    pub(crate) fn verification(
        &self,
        link: LinkId,
        request: u32,
        body: Request,
        work: Check,
        count: Option<Count>,
    ) -> Verification<S> {
        Verification {
            store: self.store(),
            tokens: self.tokens.keys(),
            link,
            request,
            body,
            work,
            count,
        }
    }
}

impl<S: Store> Relay<S> {
    /// What is to be counted before a request is carried out.
    pub(crate) fn to_count(
        &self,
        link: LinkId,
        body: &Request,
        found: Option<&CheckResult>,
        round: u8,
    ) -> Option<Count> {
        let cold = match (body, found) {
            (Request::Post(post), None | Some(CheckResult::Nothing))
                if post.kind() != PostKind::Commit =>
            {
                self.cold_of_post(link, post)
            }
            (Request::Post(post), Some(CheckResult::Commit { list })) => {
                let mut cold = self.cold_of_post(link, post);
                cold.extend(self.mailboxes.cold(&self.context, list));
                cold
            }
            (_, Some(CheckResult::Create { list, .. } | CheckResult::Rejoin { list, .. })) => list
                .as_deref()
                .map(|list| self.mailboxes.cold(&self.context, list))
                .unwrap_or_default(),
            (Request::Login(login), None) => self.cold_of_login(login),
            _ => return None,
        };
        self.mailboxes.count(&self.context, cold, round)
    }

    fn cold_of_post(&self, link: LinkId, post: &pb::Post) -> Vec<MailboxId> {
        let Ok(group) = GroupId::try_from(&post.group_id) else {
            return Vec::new();
        };
        self.groups
            .authorised(link, group, Epoch(post.epoch))
            .map(|authorised| self.mailboxes.cold(&self.context, authorised.fan_out()))
            .unwrap_or_default()
    }

    fn cold_of_login(&self, login: &pb::Login) -> Vec<MailboxId> {
        let Ok(device) = DeviceId::try_from(&login.device_id) else {
            return Vec::new();
        };
        let record: Result<Option<DeviceRecord>, _> =
            self.context.view.get(KeySpace::Devices, device.as_bytes());
        let mailbox = record
            .ok()
            .flatten()
            .and_then(|record| MailboxId::try_from(&record.mailbox_id).ok());
        mailbox
            .map(|mailbox| self.mailboxes.cold(&self.context, &[mailbox]))
            .unwrap_or_default()
    }
}

/// What lies here, to be read without the lock; nothing where it is not on disk as it is
/// now.
pub(crate) fn part_to_read(
    view: &PendingView<impl Store>,
    space: KeySpace,
    at: Key,
) -> Option<Check> {
    let is_on_disk = !view.has_pending(space, &at);
    is_on_disk.then_some(Check::Part { space, at })
}

struct Checks<'a, S> {
    store: &'a S,
    tokens: Option<&'a TokenKeys>,
    signatures: u32,
}

impl<S: Store> Checks<'_, S> {
    fn find(&mut self, work: Check, body: &Request) -> Result<CheckResult, Refused> {
        match (work, body) {
            (Check::Done(found), _) => Ok(found),
            (Check::Part { space, at }, _) => Ok(CheckResult::Part {
                part: self.store.get(space, &at)?,
                at,
            }),
            (
                Check::Login {
                    device,
                    identity,
                    message,
                },
                Request::Login(login),
            ) => self.login(device, &identity, &message, login),
            (
                Check::Registration {
                    id,
                    device,
                    exporter,
                    stored,
                },
                Request::FinishRegistration(finish),
            ) => {
                let found = self.roster(device, stored, &finish.roster)?;
                self.registration(id, &exporter, &found, finish)?;
                Ok(CheckResult::Registration(Box::new(found)))
            }
            (Check::Statement { stored }, Request::ChangeRoster(change)) => {
                let statement = change.statement.as_ref();
                let statement = statement.ok_or_else(|| Refused::malformed("no statement"))?;
                let before = of_stored(&stored)?;
                let mut after = before.clone();
                self.signatures += 1 + u32::from(statement.consent.is_some());
                after.extend(statement).map_err(changes::refused)?;
                Ok(CheckResult::Statement(Box::new((before, after))))
            }
            (Check::Newcomer { identity, message }, Request::ChangeRoster(change)) => {
                self.signatures += 1;
                let signature = change.newcomer.as_ref();
                signature
                    .and_then(|it| identity.verify(Purpose::Login, &message, it).ok())
                    .ok_or_else(changes::not_the_newcomer)?;
                Ok(CheckResult::Newcomer)
            }
            (Check::Claim { stored }, Request::ClaimKeyPackages(claim)) => {
                self.token(claim.token.as_ref())?;
                Ok(CheckResult::Claim(Box::new(of_stored(&stored)?)))
            }
            (Check::Tokens, Request::OpenBlob(open)) => {
                for token in &open.tokens {
                    self.token(Some(token))?;
                }
                Ok(CheckResult::Tokens)
            }
            (Check::Issue { seed, keys, period }, Request::IssueTokens(issue)) => {
                let mut rng = StdRng::from_seed(seed);
                let issuer = keys.of(period).ok_or_else(Refused::unavailable)?;
                let issued = issuer.issue(&mut rng, &issue.blinded);
                let issued = issued.map_err(|error| Refused::malformed(&error.to_string()))?;
                Ok(CheckResult::Issued(issued))
            }
            (work, body) => self.find_of_group(work, body),
        }
    }

    fn find_of_group(&mut self, work: Check, body: &Request) -> Result<CheckResult, Refused> {
        match (work, body) {
            (Check::Create { is_new }, Request::CreateGroup(create)) => {
                let created_by = Bytes::copy_from_slice(&Sha256::digest(create.encode_to_vec()));
                let mut list = None;
                if is_new {
                    self.token(create.token.as_ref())?;
                    let group = group::group_id(&create.group_id)?;
                    let keys = group::epoch_keys(create.keys.as_ref())?;
                    let epoch = Epoch(create.epoch);
                    let sealed = &keys.sealed_fan_out;
                    list = Some(self.list(group, epoch, sealed, &create.fan_out_key)?);
                }
                Ok(CheckResult::Create { created_by, list })
            }
            (
                Check::Authorise {
                    group,
                    epoch,
                    exporter,
                    send_key,
                    sealed_list,
                },
                Request::AuthorisePosting(authorise),
            ) => {
                let key =
                    PostingPublicKey::from_bytes(&send_key).ok_or_else(Refused::unavailable)?;
                let act = PostingAct::Authorise {
                    exporter: &exporter,
                    epoch,
                };
                self.signatures += 1;
                if !key.verifies(group, act, &authorise.signature) {
                    return Err(Refused::unauthorised(
                        "the signature is not by the epoch's send key",
                    ));
                }
                let list = self.list(group, epoch, &sealed_list, &authorise.fan_out_key)?;
                Ok(CheckResult::Authorise { send_key, list })
            }
            (Check::Commit { group, next }, Request::Post(commit)) => {
                let keys = group::epoch_keys(commit.next.as_ref())?;
                let sealed = &keys.sealed_fan_out;
                let list = self.list(group, next, sealed, &commit.next_fan_out_key)?;
                Ok(CheckResult::Commit { list })
            }
            (
                Check::Fetch {
                    group,
                    exporter,
                    rejoin_key,
                },
                Request::FetchGroupInfo(fetch),
            ) => {
                let act = PostingAct::Fetch {
                    exporter: &exporter,
                };
                self.rejoins(&rejoin_key, group, act, &fetch.signature)?;
                Ok(CheckResult::Rejoin {
                    rejoin_key,
                    list: None,
                })
            }
            (
                Check::Rejoin {
                    group,
                    epoch,
                    rejoin_key,
                    opens,
                },
                Request::Rejoin(rejoin),
            ) => {
                let body = &rejoin.body;
                let act = PostingAct::Rejoin { epoch, body };
                self.rejoins(&rejoin_key, group, act, &rejoin.signature)?;
                let mut list = None;
                if opens {
                    let keys = group::epoch_keys(rejoin.next.as_ref())?;
                    let sealed = &keys.sealed_fan_out;
                    list =
                        Some(self.list(group, epoch.next(), sealed, &rejoin.next_fan_out_key)?);
                }
                Ok(CheckResult::Rejoin { rejoin_key, list })
            }
            // Made from the request itself.
            _ => Err(Refused::unavailable()),
        }
    }

    fn login(
        &mut self,
        device: DeviceId,
        identity: &DeviceIdentity,
        message: &[u8],
        login: &pb::Login,
    ) -> Result<CheckResult, Refused> {
        let signature = login.signature.as_ref().ok_or_else(wrong_login)?;
        let (key, new_key) = match identity {
            DeviceIdentity::Key(key) => {
                (decode_identity(key).ok_or_else(Refused::unavailable)?, None)
            }
            DeviceIdentity::Roster(statements) => {
                let roster = of_stored(statements)?;
                let admitted = roster.device(device).ok_or_else(wrong_login)?;
                let key = admitted.identity.clone();
                let encoded = encode_identity(&key);
                (key, Some(encoded))
            }
        };
        self.signatures += 1;
        key.verify(Purpose::Login, message, signature)
            .map_err(|_| wrong_login())?;
        let from = device.as_bytes();
        let most = limits::KEY_PACKAGES_PER_DEVICE;
        let to = behind(from);
        let packages = self
            .store
            .scan(KeySpace::KeyPackages, from, to.as_deref(), most)?;
        Ok(CheckResult::Login {
            new_key,
            key_packages_left: u32::try_from(packages.len()).unwrap_or(u32::MAX),
        })
    }

    /// The roster that `given` says, of which the beginning is `stored`.
    fn roster(
        &mut self,
        device: DeviceId,
        stored: Vec<pb::SignedStatement>,
        given: &[pb::SignedStatement],
    ) -> Result<FoundRoster, Refused> {
        let malformed =
            |error: waxwing_protocol::roster::RosterError| Refused::malformed(&error.to_string());
        let same = stored.iter().zip(given);
        let same = same
            .take_while(|(old, new)| old.statement == new.statement)
            .count();
        let (known, new) = (
            stored.get(..same).unwrap_or_default(),
            given.get(same..).unwrap_or_default(),
        );
        if known.is_empty() {
            for statement in given {
                self.signatures += 1 + u32::from(statement.consent.is_some());
            }
            return Ok(FoundRoster {
                device,
                before: None,
                roster: Roster::verify(given).map_err(malformed)?,
                statements: given.to_vec(),
            });
        }
        let before = of_stored(known)?;
        if !new.is_empty() && known.len() < stored.len() {
            return Err(Refused::unauthorised(
                "the roster does not continue the one that is known",
            ));
        }
        let mut roster = before.clone();
        for statement in new {
            self.signatures += 1 + u32::from(statement.consent.is_some());
            roster.extend(statement).map_err(malformed)?;
        }
        let mut statements = stored;
        statements.truncate(same);
        statements.extend_from_slice(new);
        Ok(FoundRoster {
            device,
            before: Some(before),
            roster,
            statements,
        })
    }

    fn registration(
        &mut self,
        id: RegistrationId,
        exporter: &Exporter,
        found: &FoundRoster,
        finish: &pb::FinishRegistration,
    ) -> Result<(), Refused> {
        let roster = &found.roster;
        let device = roster
            .device(found.device)
            .ok_or_else(|| Refused::unauthorised("the code was sent for another device"))?;
        let message =
            registration_message(exporter, id, &finish.code, roster.account(), roster.head());
        self.signatures += 1;
        finish
            .signature
            .as_ref()
            .and_then(|signature| {
                let identity = &device.identity;
                identity
                    .verify(Purpose::Registration, &message, signature)
                    .ok()
            })
            .ok_or_else(|| Refused::unauthorised("the signature does not verify"))
    }

    fn token(&mut self, token: Option<&pb::Token>) -> Result<(), Refused> {
        self.signatures += 1;
        let keys = self.tokens;
        if token.is_some_and(|token| keys.is_some_and(|keys| keys.verifies(token))) {
            Ok(())
        } else {
            Err(Refused::unauthorised(
                "the token is not one of this relay's",
            ))
        }
    }

    fn rejoins(
        &mut self,
        key: &[u8],
        group: GroupId,
        act: PostingAct<'_>,
        signature: &[u8],
    ) -> Result<(), Refused> {
        let key = PostingPublicKey::from_bytes(key).ok_or_else(Refused::unavailable)?;
        self.signatures += 1;
        if key.verifies(group, act, signature) {
            Ok(())
        } else {
            Err(Refused::unauthorised(
                "the signature is not by the rejoin key",
            ))
        }
    }

    /// The mailboxes of a list that are there. Those that nobody has would be looked for in
    /// the store, under the lock, for each post.
    fn list(
        &self,
        group: GroupId,
        epoch: Epoch,
        sealed: &[u8],
        key: &[u8],
    ) -> Result<Arc<[MailboxId]>, Refused> {
        let mut list = group::fan_out(group, epoch, sealed, key)?;
        let mut failed = None;
        list.retain(|mailbox| {
            match self.store.get(KeySpace::Mailboxes, mailbox.as_bytes()) {
                Ok(found) => found.is_some(),
                // It is one member's, and keeps nothing from the others.
                Err(StoreError::Damaged(_)) => true,
                Err(error) => {
                    failed = Some(error);
                    true
                }
            }
        });
        match failed {
            Some(error) => Err(error.into()),
            None => Ok(list.into()),
        }
    }
}

/// What statements say that were verified before they were stored.
pub(crate) fn of_stored(statements: &[pb::SignedStatement]) -> Result<Roster, Refused> {
    Roster::of_verified(statements).map_err(|_| Refused::unavailable())
}

/// A device's key as it is stored.
pub(crate) fn encode_identity(key: &HybridPublicKey) -> Bytes {
    key.to_wire().encode_to_vec().into()
}

fn decode_identity(key: &Bytes) -> Option<HybridPublicKey> {
    let key = pb::HybridPublicKey::decode(key.clone()).ok()?;
    HybridPublicKey::from_wire(&key).ok()
}
