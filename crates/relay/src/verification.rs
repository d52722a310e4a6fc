//! Checks the signatures, tokens and lists that a request depends on, without the relay's
//! lock.
//!
//! Such a request is handled in three steps. [`Relay::begin`] does the cheap checks under the
//! lock: is this the right kind of link, is the rate limit kept, does the device exist, is the
//! code right. [`Verification::run`] needs no lock. [`Relay::finish`] makes sure, cheaply,
//! that what was verified is still what is stored, and carries out the request.
//! [`Relay::handle`] does all three at once.
//!
//! **Elsewhere**: each feature has its own kinds of checks, and what is checked before and
//! after is beside each request; [`crate::server`]
//! shares its processors between sources.
//!
//! **Always**: nothing is verified for a request that would be refused anyway. A stored roster
//! was verified before it was stored, and is not verified again. A request is carried out only
//! with what [`Verification::run`] found for it.

use std::sync::Arc;

use bytes::Bytes;
use rand::CryptoRng;
use waxwing_protocol::{
    ids::{DeviceId, Epoch, GroupId, MailboxId},
    pb::{self, PostKind, client_frame::Body as Request},
    roster::Roster,
    time::{Span, Time},
};

use crate::{
    address::checks::{FoundRoster, RegistrationCheck},
    answer::Refused,
    blob::{BlobCheck, Blobs, TokensChecked},
    checker::{Checker, PartCheck, PartRead},
    directory::{
        ClaimCheck, Directory,
        changes::{ChangeCheck, CheckedChange},
        login::{CheckedLogin, LoginCheck},
        tokens::{IssueCheck, Tokens},
    },
    group::{
        Groups,
        checks::{
            AuthoriseCheck, CheckedGroup, CheckedPosting, CheckedRejoin, CommitCheck, CreateCheck,
            FetchCheck, RejoinCheck,
        },
    },
    link::LinkId,
    mailbox::counting::{Count, Counted},
    relay::Relay,
    store::{KeySpace, Store, records::DeviceRecord},
};

/// What is to be verified before a request is carried out.
pub struct Verification<S> {
    store: Arc<S>,
    link: LinkId,
    request: u32,
    body: Request,
    check: Check,
    count: Option<Count>,
}

/// A request, and what was found.
pub struct Verified {
    pub(crate) link: LinkId,
    pub(crate) request: u32,
    pub(crate) body: Request,
    pub(crate) found: Result<Checked, Refused>,
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

/// All kinds of checks; each belongs to one kind of request.
pub(crate) enum Check {
    /// Nothing more: this was found.
    Done(Checked),
    Login(LoginCheck),
    Registration(RegistrationCheck),
    Change(ChangeCheck),
    Claim(ClaimCheck),
    Issue(IssueCheck),
    Create(CreateCheck),
    Authorise(AuthoriseCheck),
    Commit(CommitCheck),
    Fetch(FetchCheck),
    Rejoin(RejoinCheck),
    Blob(BlobCheck),
    Part(PartCheck),
}

/// What was found.
pub(crate) enum Checked {
    /// Nothing was looked for.
    Nothing,
    Login(CheckedLogin),
    Registration(Box<FoundRoster>),
    Change(CheckedChange),
    Claim(Box<Roster>),
    Issued(pb::TokensIssued),
    Create(CheckedGroup),
    Authorise(CheckedPosting),
    /// The next epoch's list.
    Commit(Arc<[MailboxId]>),
    /// The requester has this rejoin key.
    Fetch(Bytes),
    Rejoin(CheckedRejoin),
    Blob(TokensChecked),
    Part(PartRead),
}

impl Check {
    fn run(
        self,
        checker: &mut Checker<'_, impl Store>,
        body: &Request,
    ) -> Result<Checked, Refused> {
        Ok(match (self, body) {
            (Self::Done(found), _) => found,
            (Self::Login(check), Request::Login(login)) => {
                Checked::Login(check.run(checker, login)?)
            }
            (Self::Registration(check), Request::FinishRegistration(finish)) => {
                Checked::Registration(Box::new(check.run(checker, finish)?))
            }
            (Self::Change(check), Request::ChangeRoster(change)) => {
                Checked::Change(check.run(checker, change)?)
            }
            (Self::Claim(check), Request::ClaimKeyPackages(claim)) => {
                Checked::Claim(Box::new(check.run(checker, claim)?))
            }
            (Self::Issue(check), Request::IssueTokens(issue)) => Checked::Issued(check.run(issue)?),
            (Self::Create(check), Request::CreateGroup(create)) => {
                Checked::Create(check.run(checker, create)?)
            }
            (Self::Authorise(check), Request::AuthorisePosting(authorise)) => {
                Checked::Authorise(check.run(checker, authorise)?)
            }
            (Self::Commit(check), Request::Post(commit)) => {
                Checked::Commit(check.run(checker, commit)?)
            }
            (Self::Fetch(check), Request::FetchGroupInfo(fetch)) => {
                Checked::Fetch(check.run(checker, fetch)?)
            }
            (Self::Rejoin(check), Request::Rejoin(rejoin)) => {
                Checked::Rejoin(check.run(checker, rejoin)?)
            }
            (Self::Blob(check), Request::OpenBlob(open)) => {
                Checked::Blob(check.run(checker, open)?)
            }
            (Self::Part(check), _) => Checked::Part(check.run(checker)?),
            // A check is made from the request itself.
            _ => return Err(Refused::unavailable()),
        })
    }
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
        let mut checker = Checker {
            store: &*self.store,
            signatures: 0,
        };
        let found = self.check.run(&mut checker, &self.body);
        Verified {
            signatures: checker.signatures,
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
        if matches!(body, Request::Login(_)) {
            self.may_log_in(link)?;
        }
        let Self {
            context,
            directory,
            tokens,
            registrations,
            groups,
            backups,
            ..
        } = self;
        Ok(match body {
            Request::Login(login) => {
                let check = Directory::login_to_verify(context, now, link, login)?;
                Some(Check::Login(check))
            }
            Request::FinishRegistration(finish) => {
                let check = registrations.registration_to_verify(context, now, link, finish)?;
                Some(Check::Registration(check))
            }
            Request::ChangeRoster(change) => directory
                .statement_to_verify(context, now, link, change)?
                .map(Check::Change),
            Request::ClaimKeyPackages(claim) => {
                let (keys, _) = tokens.keys_of(context, link)?;
                let check = directory.claim_to_verify(context, tokens, now, link, claim, keys)?;
                Some(Check::Claim(check))
            }
            Request::OpenBlob(open) => {
                let (keys, _) = tokens.keys_of(context, link)?;
                Blobs::blob_to_verify(context, tokens, now, open, keys)?.map(Check::Blob)
            }
            Request::IssueTokens(issue) => {
                Tokens::may_issue(context, now, link, issue)?;
                let (keys, period) = tokens.keys_of(context, link)?;
                let mut seed = [0; 32];
                rng.fill_bytes(&mut seed);
                Some(Check::Issue(IssueCheck { seed, keys, period }))
            }
            Request::CreateGroup(create) => {
                let (keys, _) = tokens.keys_of(context, link)?;
                let check = Groups::group_to_verify(context, tokens, create, keys)?;
                Some(Check::Create(check))
            }
            Request::AuthorisePosting(authorise) => {
                let check = groups.posting_to_verify(context, now, link, authorise)?;
                Some(Check::Authorise(check))
            }
            Request::Post(commit) => groups
                .commit_to_verify(context, link, commit)?
                .map(Check::Commit),
            Request::FetchGroupInfo(fetch) => {
                Some(Check::Fetch(groups.fetch_to_verify(context, link, fetch)?))
            }
            Request::Rejoin(rejoin) => {
                Some(Check::Rejoin(groups.rejoin_to_verify(context, rejoin)?))
            }
            Request::FetchBlobPart(fetch) => {
                Blobs::blob_part_to_read(context, now, fetch)?.map(Check::Part)
            }
            Request::FetchBackup(fetch) => backups
                .backup_part_to_read(context, now, link, *fetch)?
                .map(Check::Part),
            _ => None,
        })
    }

    pub(crate) fn verification(
        &self,
        link: LinkId,
        request: u32,
        body: Request,
        check: Check,
        count: Option<Count>,
    ) -> Verification<S> {
        Verification {
            store: self.store(),
            link,
            request,
            body,
            check,
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
        found: Option<&Checked>,
        round: u8,
    ) -> Option<Count> {
        let cold = match (body, found) {
            (Request::Post(post), None | Some(Checked::Nothing))
                if post.kind() != PostKind::Commit =>
            {
                self.cold_of_post(link, post)
            }
            (Request::Post(post), Some(Checked::Commit(list))) => {
                let mut cold = self.cold_of_post(link, post);
                cold.extend(self.mailboxes.cold(&self.context, list));
                cold
            }
            (
                _,
                Some(
                    Checked::Create(CheckedGroup {
                        list: Some(list), ..
                    })
                    | Checked::Rejoin(CheckedRejoin {
                        list: Some(list), ..
                    }),
                ),
            ) => self.mailboxes.cold(&self.context, list),
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
