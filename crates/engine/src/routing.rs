//! Chooses the function for each incoming frame.
//!
//! If this program fails while it handles an answer, only the group concerned is affected. If
//! no group is concerned, the error counts as a temporary refusal by the relay, so that the
//! same request is not sent again at once. Only requests before there is an account, and
//! logging in, fail as a whole: nothing else could continue at that point.
//!
//! **Always**: an answer that nobody awaits, an answer of another kind than the request's, and
//! frames on the wrong link are ignored. (One request may be answered twice: the one for a
//! code that then cannot be mailed.) A request that is not answered in time counts as refused.

use waxwing_protocol::{
    ids::{Epoch, MailboxId},
    limits,
    pb::{Deliver, Error, ErrorCode, LoggedIn, PostKind, relay_frame::Body},
    time::Time,
};

use crate::{
    api::RelayMisdeed,
    attachment::transfer,
    containment::ErrorOwner,
    conversation::{behind, commits, device_claims, epochs, groups, parcels, rejoin, start},
    devices::{self, backup, changes, lock, recovery, registration},
    event::LinkKind,
    inbox::{held_posts::ReceivedPost, missed_posts, receive},
    link::{self, Job, LinkPhase, key_packages, mailbox, tokens},
    message::typing,
    outbox::sending,
    sms,
    trust::{log, lookups, own_history},
    turn::{Fault, Postponed, Turn},
};

/// A frame came.
pub(crate) fn frame(
    turn: &mut Turn<'_>,
    link: LinkKind,
    request: u32,
    body: Body,
) -> Result<(), Fault> {
    if request == 0 {
        return unasked(turn, link, body);
    }
    let Some(job) = turn.memory.links.answered(link, request) else {
        return match body {
            Body::Error(error) if turn.memory.links.of(link).asked_for_code(request) => {
                registration::code_not_sent(turn, &error)
            }
            _ => Ok(()),
        };
    };
    if job == Job::StartRegistration {
        turn.memory.links.of(link).code_was_sent(request);
    }
    let Some(whose) = whose(turn, &job)? else {
        return settle(turn, job, body);
    };
    let settled = turn.run_contained(whose, |turn| settle(turn, job.clone(), body))?;
    if settled.is_some() {
        return Ok(());
    }
    match (&job, whose) {
        (Job::OpenParcel(id) | Job::ParcelPart(id), _) => parcels::drop_it(turn, *id),
        (Job::OpenBlob(id) | Job::BlobPart(id), _) => transfer::give_up(turn, *id),
        (_, ErrorOwner::Group(_) | ErrorOwner::Conversation(_)) => Ok(()),
        (_, ErrorOwner::Part(_)) => handle_refusal(
            turn,
            job,
            &Error {
                code: ErrorCode::Unavailable.into(),
                ..Error::default()
            },
        ),
    }
}

/// What nobody asked for.
fn unasked(turn: &mut Turn<'_>, link: LinkKind, body: Body) -> Result<(), Fault> {
    match (link, body) {
        (LinkKind::Mailbox, Body::Deliver(deliver)) => handle_delivery(turn, &deliver),
        (LinkKind::Mailbox, Body::KeyPackagesLow(low)) => {
            turn.memory.links.key_packages_left = Some(low.key_packages_left);
            Ok(())
        }
        (LinkKind::Mailbox, Body::AccountChanged(_)) => {
            own_history::request_check(turn);
            Ok(())
        }
        (LinkKind::Mailbox, Body::Signalled(signal)) => turn
            .run_contained(ErrorOwner::Part("typing"), |turn| {
                typing::handle_typing(turn, &signal)
            })
            .map(drop),
        (LinkKind::Mailbox, Body::AddressContested(contest)) => turn
            .run_contained(ErrorOwner::Part("contest"), |turn| {
                lock::handle_contest(turn, &contest)
            })
            .map(drop),
        (link, Body::RendezvousMessage(message)) => {
            let meets = devices::meets_for(turn, link);
            let heard = turn.run_contained(ErrorOwner::Part("rendezvous"), |turn| {
                devices::handle_message(turn, link, &message.body)
            })?;
            if heard.is_none() {
                devices::failed(turn, meets);
            }
            Ok(())
        }
        (link, Body::RendezvousLeft(_)) => {
            devices::left(turn, link);
            Ok(())
        }
        (_, Body::Error(error)) => {
            turn.warn(&link::problem_of(&error));
            Ok(())
        }
        _ => Ok(()),
    }
}

/// A post came.
fn handle_delivery(turn: &mut Turn<'_>, deliver: &Deliver) -> Result<(), Fault> {
    if turn.memory.links.mailbox.phase != LinkPhase::LoggedIn {
        return Ok(());
    }
    match post_of(deliver, turn.now) {
        Some(post) if deliver.missed => {
            let group = post.group;
            turn.run_contained(ErrorOwner::Group(group), |turn| {
                missed_posts::handle_missed_mark(turn, group)
            })?;
        }
        // It must not be delivered again, no matter what goes wrong in it.
        Some(post) => {
            let whose = match post.kind {
                PostKind::Sms => ErrorOwner::Part("a text message"),
                _ => ErrorOwner::Group(post.group),
            };
            turn.run_contained(whose, |turn| receive::handle_post(turn, &post))?;
        }
        None => turn.warn_misdeed(RelayMisdeed::Malformed),
    }
    mailbox::note_delivery(turn, deliver.sequence);
    Ok(())
}

fn post_of(deliver: &Deliver, came_at: Time) -> Option<ReceivedPost> {
    let kind = deliver.kind();
    if kind == PostKind::Unspecified || deliver.body.len() > limits::POST_BYTES {
        return None;
    }
    Some(ReceivedPost {
        group: (&deliver.group_id).try_into().ok()?,
        kind,
        epoch: Epoch(deliver.epoch),
        id: (&deliver.post_id).try_into().ok()?,
        sequence: deliver.group_sequence,
        received_at: came_at,
        body: deliver.body.to_vec(),
    })
}

/// The relay knows this device.
fn handle_logged_in(turn: &mut Turn<'_>, logged_in: &LoggedIn) -> Result<(), Fault> {
    let Ok(mailbox) = MailboxId::try_from(&logged_in.mailbox_id) else {
        turn.warn_misdeed(RelayMisdeed::Malformed);
        return Ok(());
    };
    registration::complete(turn, mailbox)?;
    mailbox::handle_logged_in(turn, logged_in)
}

/// Whose an answer is; `None` where an error in it is the whole event's.
fn whose(turn: &Turn<'_>, job: &Job) -> Result<Option<ErrorOwner>, Fault> {
    Ok(Some(match job {
        Job::StartRegistration | Job::FinishRegistration | Job::Login | Job::FetchBackup(_) => {
            return Ok(None);
        }
        Job::Claim(conversation) => ErrorOwner::Conversation(*conversation),
        Job::ClaimDevices(group, _)
        | Job::CreateGroup(group)
        | Job::Authorise(group, _)
        | Job::Message { group, .. }
        | Job::Commit(group, _)
        | Job::FetchGroupInfo(group)
        | Job::Rejoin(group) => ErrorOwner::Group(*group),
        Job::OpenParcel(id) | Job::ParcelPart(id) => match parcels::group_of(turn, *id)? {
            Some(group) => ErrorOwner::Group(group),
            None => ErrorOwner::Part("parcel"),
        },
        Job::OpenBlob(_) | Job::BlobPart(_) | Job::BlobRead(_) => ErrorOwner::Part("attachment"),
        Job::LookUp(_) => ErrorOwner::Part("look-up"),
        Job::FetchLogIdentity | Job::FetchHistory | Job::FetchHeads => ErrorOwner::Part("key log"),
        Job::PublishKeyPackages => ErrorOwner::Part("key packages"),
        Job::IssueTokens => ErrorOwner::Part("tokens"),
        Job::SetSmsKey | Job::SendSms(_) => ErrorOwner::Part("text messages"),
        Job::ChangeRoster(_) => ErrorOwner::Part("roster changes"),
        Job::JoinRendezvous(_) | Job::SendRendezvous(..) => ErrorOwner::Part("rendezvous"),
        Job::SetLock(_) | Job::KeepAddress => ErrorOwner::Part("lock"),
        Job::PutBackup(_) | Job::FinishBackup => ErrorOwner::Part("backup"),
        Job::Ping | Job::Signal => ErrorOwner::Part("link"),
    }))
}

fn settle(turn: &mut Turn<'_>, job: Job, body: Body) -> Result<(), Fault> {
    match body {
        Body::Error(error) => handle_refusal(turn, job, &error),
        body => handle_answer(turn, job, body),
    }
}

fn handle_answer(turn: &mut Turn<'_>, job: Job, body: Body) -> Result<(), Fault> {
    match (job, body) {
        (Job::Ping | Job::Signal, _) | (Job::BlobRead(_), Body::Done(_)) => Ok(()),
        (Job::StartRegistration, Body::RegistrationStarted(started)) => {
            registration::started(turn, &started)
        }
        (Job::FinishRegistration, Body::Registered(registered)) => {
            registration::finished(turn, &registered)
        }
        (Job::Login, Body::LoggedIn(logged_in)) => handle_logged_in(turn, &logged_in),
        (Job::PublishKeyPackages, Body::KeyPackagesPublished(published)) => {
            key_packages::published(turn, published.key_packages_left)
        }
        (Job::IssueTokens, Body::TokensIssued(issued)) => tokens::issued(turn, &issued),
        (Job::LookUp(address), Body::LookedUp(looked_up)) => {
            lookups::handle_look_up(turn, &address, *looked_up)
        }
        (Job::FetchLogIdentity, Body::LogIdentityFetched(fetched)) => {
            log::handle_identity(turn, &fetched)
        }
        (Job::FetchHistory, Body::HistoryFetched(fetched)) => {
            own_history::handle_history(turn, &fetched)
        }
        (Job::FetchHeads, Body::HeadsFetched(fetched)) => lookups::handle_heads(turn, &fetched),
        (Job::Claim(conversation), Body::KeyPackagesClaimed(claimed)) => {
            start::handle_key_packages(turn, conversation, &claimed)
        }
        (Job::ClaimDevices(group, account), Body::KeyPackagesClaimed(claimed)) => {
            device_claims::handle_key_packages(turn, group, account, &claimed)
        }
        (Job::CreateGroup(group), Body::Done(_) | Body::Posted(_)) => {
            start::handle_group_created(turn, group)
        }
        (Job::Authorise(group, _), Body::PostingAuthorised(authorised)) => {
            behind::handle_epoch(turn, group, Epoch(authorised.epoch))
        }
        (Job::Message { group, row }, Body::Posted(posted)) => {
            sending::handle_posted(turn, group, row, &posted)
        }
        (Job::Commit(group, post), Body::Posted(posted)) => match groups::find(turn.tx, group)? {
            Some(group) => commits::handle_accepted(turn, &group, post, posted.group_sequence),
            None => Ok(()),
        },
        (Job::FetchGroupInfo(group), Body::GroupInfoFetched(fetched)) => {
            rejoin::handle_group_info(turn, group, &fetched)
        }
        (Job::Rejoin(group), Body::Posted(_)) => rejoin::rejoined(turn, group),
        (Job::ChangeRoster(id), Body::RosterChanged(changed)) => {
            changes::changed(turn, id, &changed)
        }
        (Job::JoinRendezvous(meets), Body::RendezvousJoined(joined)) => {
            devices::joined(turn, meets, joined)
        }
        (Job::SendRendezvous(meets, _), Body::Done(_)) => {
            devices::said(turn, meets);
            Ok(())
        }
        (Job::SetLock(locked), Body::Done(_)) => lock::handle_lock_changed(turn, locked),
        (Job::KeepAddress, Body::Done(_)) => lock::handle_contest_over(turn),
        (Job::OpenBlob(blob) | Job::BlobPart(blob), Body::BlobStored(stored)) => {
            transfer::handle_blob_stored(turn, blob, stored)
        }
        (Job::BlobPart(blob), Body::BlobPartFetched(fetched)) => {
            transfer::handle_blob_part(turn, blob, fetched)
        }
        (Job::OpenParcel(id) | Job::ParcelPart(id), Body::BlobStored(stored)) => {
            parcels::handle_parcel_stored(turn, id, stored)
        }
        (Job::ParcelPart(id), Body::BlobPartFetched(fetched)) => {
            parcels::handle_parcel_part(turn, id, &fetched)
        }
        (Job::SetSmsKey, Body::SmsTerms(terms)) => sms::send::handle_terms(turn, &terms),
        (Job::SendSms(row), Body::Done(_)) => sms::send::handle_accepted(turn, row),
        (Job::PutBackup(index), Body::Done(_)) => backup::put(turn, index),
        (Job::FinishBackup, Body::Done(_)) => backup::finished(turn),
        (Job::FetchBackup(index), Body::BackupFetched(fetched)) => {
            recovery::handle_backup_part(turn, index, &fetched)
        }
        (job, _) => handle_refusal(
            turn,
            job,
            &Error {
                code: ErrorCode::Unspecified.into(),
                ..Error::default()
            },
        ),
    }
}

/// The relay is there, and has not answered for too long. What was asked is given up, and asked
/// again after a pause, which grows: otherwise the work that waits for it would wait for ever.
pub(crate) fn unanswered(turn: &mut Turn<'_>, link: LinkKind, job: Job) -> Result<(), Fault> {
    let pause = turn.memory.links.pause(&job);
    match job {
        // What was begun is looked at again on the next link.
        Job::StartRegistration | Job::FinishRegistration => {
            turn.close_link(link);
            Ok(())
        }
        // Nothing says that it was not done. What was made is offered again as it is.
        Job::Login => {
            turn.postpone(Postponed::Login, pause);
            Ok(())
        }
        Job::FetchGroupInfo(group) | Job::Rejoin(group) => {
            turn.postpone(Postponed::Group(group), pause);
            Ok(())
        }
        job => {
            let error = Error {
                code: ErrorCode::Unavailable.into(),
                retry_after_ms: pause.0,
                ..Error::default()
            };
            handle_refusal(turn, job, &error)
        }
    }
}

fn handle_refusal(turn: &mut Turn<'_>, job: Job, error: &Error) -> Result<(), Fault> {
    match job {
        Job::FinishRegistration if registration::may_be_done(error) => mailbox::log_in(turn),
        Job::StartRegistration | Job::FinishRegistration => {
            registration::handle_refusal(turn, &job, error)
        }
        Job::Login => registration::login_refused(turn, error),
        Job::SetLock(locked) => lock::handle_refusal(turn, locked, error),
        Job::KeepAddress => {
            lock::not_kept(turn, error);
            Ok(())
        }
        // The relay deletes a blob by itself, later.
        Job::Ping | Job::BlobRead(_) | Job::Signal => Ok(()),
        Job::PublishKeyPackages => {
            key_packages::handle_refusal(turn, error);
            Ok(())
        }
        Job::IssueTokens => {
            tokens::not_issued(turn, error.retry_after_ms);
            Ok(())
        }
        Job::LookUp(address) => lookups::handle_refusal(turn, &address, error),
        Job::FetchHistory => {
            own_history::handle_refusal(turn, error);
            Ok(())
        }
        Job::FetchLogIdentity => {
            log::identity_refused(turn, error);
            Ok(())
        }
        Job::FetchHeads => lookups::handle_heads_refused(turn, error),
        Job::Claim(conversation) => start::claim_refused(turn, conversation, error),
        Job::ClaimDevices(group, account) => {
            device_claims::handle_claim_refused(turn, group, account, error)
        }
        Job::CreateGroup(group) => start::create_refused(turn, group, error),
        Job::Authorise(group, epoch) => epochs::handle_unauthorised(turn, group, epoch, error),
        Job::Message { group, .. } => sending::handle_refusal(turn, group, error),
        Job::Commit(group, post) => commits::handle_refused(turn, group, post, error),
        Job::FetchGroupInfo(group) | Job::Rejoin(group) => {
            rejoin::handle_refusal(turn, group, error)
        }
        Job::ChangeRoster(id) => changes::handle_refusal(turn, id, error),
        Job::JoinRendezvous(meets) | Job::SendRendezvous(meets, _) => {
            devices::meeting_refused(turn, meets, error);
            Ok(())
        }
        Job::OpenBlob(blob) | Job::BlobPart(blob) => transfer::handle_refusal(turn, blob, error),
        Job::OpenParcel(id) | Job::ParcelPart(id) => parcels::handle_refusal(turn, id, error),
        Job::SetSmsKey => sms::send::handle_key_refused(turn, error),
        Job::SendSms(row) => sms::send::handle_refusal(turn, row, error),
        Job::PutBackup(_) | Job::FinishBackup => backup::handle_refusal(turn, error),
        Job::FetchBackup(_) => recovery::fetch_refused(turn, error),
    }
}
