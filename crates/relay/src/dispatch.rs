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
    directory::Directory,
    directory::tokens::Tokens,
    link::{LinkId, LinkStage, RequestRef},
    relay::Relay,
    store::Store,
    verification::CheckResult,
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
        found: CheckResult,
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
        match body {
            Request::Open(open) => self.open_link(link, open),
            Request::Ping(_) => Ok(Reply::Now(Answer::Pong(pb::Pong {}))),
            Request::StartRegistration(start) => self.registrations.start_registration(
                &mut self.context,
                &mut self.texts,
                now,
                rng,
                link,
                request,
                &start,
            ),
            Request::FinishRegistration(finish) => self.registrations.finish_registration(
                &mut self.context,
                &mut self.directory,
                now,
                rng,
                RequestRef { link, request },
                &finish,
                found,
            ),
            Request::ChangeRoster(change) => self.directory.change_roster(
                &mut self.context,
                rng,
                RequestRef { link, request },
                &change,
                found,
            ),
            Request::SetLock(set) => Registrations::set_lock(
                &mut self.context,
                &mut self.directory,
                now,
                RequestRef { link, request },
                &set,
            ),
            Request::FetchLogIdentity(_) => Ok(Reply::Now(Answer::LogIdentityFetched(
                pb::LogIdentityFetched {
                    identity: Some(self.directory.log.wire().clone()),
                },
            ))),
            Request::FetchHeads(fetch) => {
                self.directory
                    .fetch_heads(&mut self.context, now, link, request, fetch)
            }
            Request::FetchHistory(fetch) => {
                self.directory
                    .fetch_history(&mut self.context, now, link, request, &fetch)
            }
            Request::Login(login) => {
                self.may_log_in(link)?;
                let outcome = Directory::login(
                    &mut self.context,
                    &mut self.mailboxes,
                    link,
                    request,
                    &login,
                    found,
                )?;
                Registrations::tell_link_of_contests(&mut self.context, link);
                Ok(outcome)
            }
            Request::PublishKeyPackages(publish) => {
                Directory::publish_key_packages(&mut self.context, link, publish)
            }
            Request::IssueTokens(issue) => {
                Tokens::issue(&mut self.context, now, link, &issue, found)
            }
            Request::Acknowledge(acknowledge) => {
                self.mailboxes
                    .acknowledge(&mut self.context, link, acknowledge.sequence)
            }
            Request::LookUp(look_up) => {
                self.directory
                    .look_up(&mut self.context, now, link, request, &look_up)
            }
            Request::ClaimKeyPackages(claim) => self.directory.claim_key_packages(
                &mut self.context,
                &mut self.tokens,
                &claim,
                found,
            ),
            Request::CreateGroup(create) => self.groups.create_group(
                &mut self.context,
                &mut self.tokens,
                &mut self.mailboxes,
                now,
                RequestRef { link, request },
                create,
                found,
            ),
            Request::AuthorisePosting(authorise) => {
                self.groups
                    .authorise_posting(&mut self.context, now, link, &authorise, found)
            }
            Request::Post(post) => self.groups.post(
                &mut self.context,
                &mut self.mailboxes,
                now,
                RequestRef { link, request },
                post,
                found,
            ),
            Request::FetchGroupInfo(fetch) => {
                self.groups
                    .fetch_group_info(&mut self.context, &fetch, found)
            }
            Request::Rejoin(rejoin) => self.groups.rejoin(
                &mut self.context,
                &mut self.mailboxes,
                now,
                RequestRef { link, request },
                rejoin,
                found,
            ),
            Request::JoinRendezvous(join) => {
                self.rendezvouses
                    .join_rendezvous(&mut self.context, now, rng, link, request, &join)
            }
            Request::SendRendezvous(send) => {
                self.rendezvouses
                    .send_rendezvous(&mut self.context, link, send)
            }
            Request::LeaveRendezvous(_) => {
                self.rendezvouses.leave_rendezvous(&mut self.context, link)
            }
            Request::KeepAddress(_) => {
                Registrations::keep_address(&mut self.context, &mut self.directory, link)
            }
            Request::PutBackup(put) => self.backups.put_backup(&mut self.context, now, link, put),
            Request::FinishBackup(finish) => {
                Backups::finish_backup(&mut self.context, now, link, &finish)
            }
            Request::FetchBackup(fetch) => {
                Backups::fetch_backup(&mut self.context, link, fetch, found)
            }
            Request::SetSmsKey(set) => self.texts.set_sms_key(&mut self.context, link, &set),
            Request::SendSms(send) => self.texts.send_sms(
                &mut self.context,
                &mut self.directory,
                &mut self.mailboxes,
                now,
                rng,
                link,
                send,
            ),
            Request::OpenBlob(open) => {
                self.blobs
                    .open_blob(&mut self.context, &mut self.tokens, now, &open, &found)
            }
            Request::PutBlobPart(put) => Blobs::put_blob_part(&mut self.context, now, put),
            Request::FetchBlobState(fetch) => {
                Blobs::fetch_blob_state(&mut self.context, now, &fetch)
            }
            Request::FetchBlobPart(fetch) => {
                Blobs::fetch_blob_part(&mut self.context, now, &fetch, found)
            }
            Request::BlobRead(read) => Blobs::blob_read(&mut self.context, now, &read),
            Request::DeleteBlob(delete) => Blobs::delete_blob(&mut self.context, now, &delete),
            Request::Signal(signal) => {
                self.groups
                    .signal(&mut self.context, &mut self.mailboxes, now, link, &signal)
            }
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

    fn open_link(&mut self, link: LinkId, open: pb::Open) -> RequestResult {
        if !VERSIONS.contains(&open.version) {
            return Err(Refused::new(
                ErrorCode::Unsupported,
                "this relay does not speak that version",
            ));
        }
        let state = self.context.links.of_request_mut(link)?;
        if matches!(state.stage, LinkStage::Greeted) {
            state.stage = LinkStage::Open;
        }
        Ok(Reply::Now(Answer::Done(pb::Done {})))
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
