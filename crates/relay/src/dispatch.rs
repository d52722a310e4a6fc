//! Chooses the function for each request, and checks that the request belongs on its kind of
//! link.
//!
//! **Elsewhere**: what each request does is in the folder named after its subject;
//! [`crate::relay`] sends the answers.
//!
//! **Always**: a request on the wrong kind of link, or before the greeting was answered,
//! changes nothing, so that a client never names itself where it did not mean to.

use rand::CryptoRng;
use waxwing_protocol::{
    VERSIONS,
    pb::{self, ErrorCode, client_frame::Body as Request, relay_frame::Body as Answer},
    time::Time,
};

use crate::{
    address::Registrations,
    answer::{Refused, Reply, RequestResult},
    backup::Backups,
    blob::Blobs,
    blob::TokensChecked,
    checker::PartRead,
    context::Context,
    directory::Directory,
    directory::tokens::Tokens,
    link::{LinkId, LinkStage, RequestRef},
    relay::Relay,
    store::Store,
    verification::Checked,
};

/// Whether a request stores what is not small, or not needed while the disk is nearly full.
/// Of posts, blobs, backups and texts this is asked later, once it is known that they do
/// not come again.
const fn needs_space(body: &Request) -> bool {
    matches!(
        body,
        Request::StartRegistration(_)
            | Request::FinishRegistration(_)
            | Request::PublishKeyPackages(_)
            | Request::IssueTokens(_)
            | Request::ClaimKeyPackages(_)
            | Request::CreateGroup(_)
            | Request::SetSmsKey(_)
    )
}

impl<S: Store> Relay<S> {
    pub(crate) fn dispatch(
        &mut self,
        now: Time,
        rng: &mut dyn CryptoRng,
        link: LinkId,
        request: u32,
        body: Option<Request>,
        found: Checked,
    ) -> RequestResult {
        let Some(body) = body else {
            return Err(Refused::new(
                ErrorCode::Unsupported,
                "this request is not known here",
            ));
        };
        self.admit(link, &body)?;
        if needs_space(&body) && !self.context.has_space() {
            return Err(Refused::unavailable());
        }
        if matches!(body, Request::Login(_)) {
            self.may_log_in(link)?;
        }
        let asked = RequestRef { link, request };
        let Self {
            context,
            mailboxes,
            directory,
            tokens,
            registrations,
            groups,
            texts,
            rendezvouses,
            backups,
            blobs,
            ..
        } = self;
        match (body, found) {
            (Request::Open(open), _) => open_link(context, link, open),
            (Request::Ping(_), _) => Ok(Reply::Now(Answer::Pong(pb::Pong {}))),
            (Request::StartRegistration(start), _) => {
                registrations.start_registration(context, texts, now, rng, asked, &start)
            }
            (Request::FinishRegistration(finish), Checked::Registration(found)) => registrations
                .finish_registration(context, directory, now, rng, asked, (&finish, *found)),
            (Request::ChangeRoster(change), found) => {
                let found = match found {
                    Checked::Change(found) => Some(found),
                    _ => None,
                };
                directory.change_roster(context, rng, asked, &change, found)
            }
            (Request::SetLock(set), _) => {
                Registrations::set_lock(context, directory, now, asked, &set)
            }
            (Request::FetchLogIdentity(_), _) => Ok(Reply::Now(Answer::LogIdentityFetched(
                pb::LogIdentityFetched {
                    identity: Some(directory.log.wire().clone()),
                },
            ))),
            (Request::FetchHeads(fetch), _) => {
                directory.fetch_heads(context, now, link, request, fetch)
            }
            (Request::FetchHistory(fetch), _) => {
                directory.fetch_history(context, now, link, request, &fetch)
            }
            (Request::Login(login), Checked::Login(found)) => {
                let outcome = Directory::login(context, mailboxes, link, request, &login, found)?;
                Registrations::tell_link_of_contests(context, link);
                Ok(outcome)
            }
            (Request::PublishKeyPackages(publish), _) => {
                Directory::publish_key_packages(context, link, publish)
            }
            (Request::IssueTokens(issue), Checked::Issued(issued)) => {
                Tokens::issue(context, now, link, &issue, issued)
            }
            (Request::Acknowledge(acknowledge), _) => {
                mailboxes.acknowledge(context, link, acknowledge.sequence)
            }
            (Request::LookUp(look_up), _) => {
                directory.look_up(context, now, link, request, &look_up)
            }
            (Request::ClaimKeyPackages(claim), Checked::Claim(roster)) => {
                directory.claim_key_packages(context, tokens, &claim, *roster)
            }
            (Request::CreateGroup(create), Checked::Create(found)) => {
                groups.create_group(context, tokens, mailboxes, now, asked, (create, found))
            }
            (Request::AuthorisePosting(authorise), Checked::Authorise(found)) => {
                groups.authorise_posting(context, now, link, &authorise, found)
            }
            (Request::Post(post), found) => {
                let next_list = match found {
                    Checked::Commit(list) => Some(list),
                    _ => None,
                };
                groups.post(context, mailboxes, now, asked, post, next_list)
            }
            (Request::FetchGroupInfo(fetch), Checked::Fetch(rejoin_key)) => {
                groups.fetch_group_info(context, &fetch, &rejoin_key)
            }
            (Request::Rejoin(rejoin), Checked::Rejoin(found)) => {
                groups.rejoin(context, mailboxes, now, asked, rejoin, found)
            }
            (Request::JoinRendezvous(join), _) => {
                rendezvouses.join_rendezvous(context, now, rng, link, request, &join)
            }
            (Request::SendRendezvous(send), _) => rendezvouses.send_rendezvous(context, link, send),
            (Request::LeaveRendezvous(_), _) => rendezvouses.leave_rendezvous(context, link),
            (Request::KeepAddress(_), _) => Registrations::keep_address(context, directory, link),
            (Request::PutBackup(put), _) => backups.put_backup(context, now, link, put),
            (Request::FinishBackup(finish), _) => {
                Backups::finish_backup(context, now, link, &finish)
            }
            (Request::FetchBackup(fetch), found) => {
                Backups::fetch_backup(context, link, fetch, part_of(found))
            }
            (Request::SetSmsKey(set), _) => texts.set_sms_key(context, link, &set),
            (Request::SendSms(send), _) => {
                texts.send_sms(context, directory, mailboxes, now, rng, (link, send))
            }
            (Request::OpenBlob(open), found) => {
                let are_good = matches!(found, Checked::Blob(TokensChecked));
                blobs.open_blob(context, tokens, now, &open, are_good)
            }
            (Request::PutBlobPart(put), _) => Blobs::put_blob_part(context, now, put),
            (Request::FetchBlobState(fetch), _) => Blobs::fetch_blob_state(context, now, &fetch),
            (Request::FetchBlobPart(fetch), found) => {
                Blobs::fetch_blob_part(context, now, &fetch, part_of(found))
            }
            (Request::BlobRead(read), _) => Blobs::blob_read(context, now, &read),
            (Request::DeleteBlob(delete), _) => Blobs::delete_blob(context, now, &delete),
            (Request::Signal(signal), _) => groups.signal(context, mailboxes, now, link, &signal),
            // These are not carried out without what was found for them.
            (
                Request::FinishRegistration(_)
                | Request::Login(_)
                | Request::IssueTokens(_)
                | Request::ClaimKeyPackages(_)
                | Request::CreateGroup(_)
                | Request::AuthorisePosting(_)
                | Request::FetchGroupInfo(_)
                | Request::Rejoin(_),
                _,
            ) => Err(Refused::unavailable()),
        }
    }

    /// Whether this request belongs on this link now.
    pub(crate) fn admit(&self, link: LinkId, body: &Request) -> Result<(), Refused> {
        let stage = &self.context.links.of_request(link)?.stage;
        let is_open = matches!(body, Request::Open(_) | Request::Ping(_));
        let needs_login = matches!(
            body,
            Request::PublishKeyPackages(_)
                | Request::IssueTokens(_)
                | Request::Acknowledge(_)
                | Request::FetchHistory(_)
                | Request::SetLock(_)
                | Request::KeepAddress(_)
                | Request::PutBackup(_)
                | Request::FinishBackup(_)
                | Request::FetchBackup(_)
                | Request::SetSmsKey(_)
                | Request::SendSms(_)
        );
        let needs_no_login = matches!(
            body,
            Request::LookUp(_)
                | Request::ClaimKeyPackages(_)
                | Request::CreateGroup(_)
                | Request::AuthorisePosting(_)
                | Request::Post(_)
                | Request::FetchGroupInfo(_)
                | Request::Rejoin(_)
                | Request::JoinRendezvous(_)
                | Request::SendRendezvous(_)
                | Request::LeaveRendezvous(_)
                | Request::OpenBlob(_)
                | Request::PutBlobPart(_)
                | Request::FetchBlobState(_)
                | Request::FetchBlobPart(_)
                | Request::BlobRead(_)
                | Request::DeleteBlob(_)
                | Request::Signal(_)
        );
        match stage {
            LinkStage::Greeted if !is_open => Err(Refused::malformed("a link begins with Open")),
            LinkStage::LoggedIn { .. } if needs_no_login => Err(Refused::new(
                ErrorCode::WrongLink,
                "this belongs on a link that is not logged in",
            )),
            LinkStage::Open if needs_login => Err(Refused::new(
                ErrorCode::WrongLink,
                "this needs a link that is logged in",
            )),
            _ => Ok(()),
        }
    }

    /// Whether a device may log in on this link.
    pub(crate) fn may_log_in(&self, link: LinkId) -> Result<(), Refused> {
        let state = self.context.links.of_request(link)?;
        if !matches!(state.stage, LinkStage::Open) {
            return Err(Refused::malformed("the link is logged in"));
        }
        if self.groups.is_posting(link) {
            return Err(Refused::new(
                ErrorCode::WrongLink,
                "a link that posts cannot log in",
            ));
        }
        if self.rendezvouses.place_of(link).is_some() {
            return Err(Refused::new(
                ErrorCode::WrongLink,
                "a link that is at a rendezvous cannot log in",
            ));
        }
        Ok(())
    }
}

fn open_link(context: &mut Context<impl Store>, link: LinkId, open: pb::Open) -> RequestResult {
    if !VERSIONS.contains(&open.version) {
        return Err(Refused::new(
            ErrorCode::Unsupported,
            "this relay does not speak that version",
        ));
    }
    let state = context.links.of_request_mut(link)?;
    if matches!(state.stage, LinkStage::Greeted) {
        state.stage = LinkStage::Open;
    }
    Ok(Reply::Now(Answer::Done(pb::Done {})))
}

fn part_of(found: Checked) -> Option<PartRead> {
    match found {
        Checked::Part(read) => Some(read),
        _ => None,
    }
}
