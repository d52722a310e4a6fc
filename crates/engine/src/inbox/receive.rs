//! Handles a post from the mailbox.
//!
//! Posts of working groups are read at once. Posts of groups that are being checked, wait for
//! a look-up or are lost are held, and read in order of arrival once the group works again
//! ([`release`]).
//!
//! **Elsewhere**: welcomes are in [`crate::conversation::welcomes`]; [`crate::conversation::commits`]
//! decides who may commit what.
//!
//! **Always**: every post may arrive any number of times, in any order, altered or not: a
//! message is shown once or its counter leaves a gap, and nothing else happens.

use prost::Message as _;
use waxwing_protocol::{
    ids::GroupId,
    pb::{Envelope, PostKind, envelope},
    sealing::Sealed,
    time::{Span, Time},
};

use super::{
    gaps,
    held_posts::{self, ReceivedPost},
    sender_counters::{self, Sender},
};
use crate::{
    api::{Notice, Problem, Warning},
    conversation::{
        self,
        above::{ConversationHook, Said},
        acquaintance, behind,
        commits::{self, CommitOutcome},
        ending, generations, group_commands,
        group_state::{self, GroupState, Reading},
        group_welcomers,
        groups::{self, GroupRecord},
        invitations, leaves, lost_groups,
        parcels::{self, Opened},
        re_add, start, welcomes,
    },
    inbox::resending,
    memory::Remembered,
    mls::{Incoming, Member, ProcessError},
    outbox::{self, progress},
    trust::gossip,
    turn::{Fault, Postponed, Turn},
};

/// A group that waits for a look-up for so long says so.
const TOLD_AFTER: Span = Span::minutes(1);

/// And says so again after this long.
const TOLD_AGAIN: Span = Span::hours(6);

/// The group whose commit waits for a look-up, until that is stored.
#[derive(Default)]
struct AwaitsLookUp(Option<GroupId>);

impl Remembered for AwaitsLookUp {}

/// What became of a post.
enum Read {
    /// It was read, or is useless.
    Done,
    /// It has to be held: the group has to be repaired first, or a commit is missing.
    NotYet,
    /// It is to be held, and to be read again as if it never had been.
    Undo,
    /// A commit that nobody may have made, or that this device cannot read: it leaves no
    /// trace, and the group is compared with the relay's.
    Doubtful,
}

/// A post came.
pub(crate) fn handle_post(turn: &mut Turn<'_>, post: &ReceivedPost) -> Result<(), Fault> {
    // Of no group.
    if post.kind == PostKind::Sms {
        for hook in turn.hooks.of::<dyn ConversationHook>() {
            hook.handle_relay_post(turn, post)?;
        }
        return Ok(());
    }
    // The echo of a message of ours. It does not say that the message is safe: it may come
    // before the relay's disk has it. The answer does.
    if outbox::posted_as(turn.tx, post.id)?.is_some() {
        return Ok(());
    }
    let whole = match parcels::open_post(turn, post)? {
        Opened::Here(None) => None,
        Opened::Here(Some(body)) => Some(ReceivedPost {
            body,
            ..post.clone()
        }),
        // It is read when it is here.
        Opened::Coming | Opened::Gone => return Ok(()),
    };
    let post = whole.as_ref().unwrap_or(post);
    let Some(group) = groups::find(turn.tx, post.group)? else {
        // Its welcome is on its way.
        let coming = parcels::is_coming(turn, post.group)? || held_posts::any(turn.tx, post.group)?;
        if post.kind != PostKind::Welcome && coming {
            return hold(turn, post);
        }
        return if post.kind == PostKind::Welcome {
            welcomes::handle_welcome(turn, post)
        } else {
            lost_groups::handle_post_of_unknown_group(turn, post.group)
        };
    };
    match group.state {
        GroupState::Closed | GroupState::Lost { .. } | GroupState::Quarantined
            if post.kind == PostKind::Welcome =>
        {
            welcomes::handle_repeated_welcome(turn, &group, post)
        }
        GroupState::Closed => handle_late_message(turn, &group, post),
        GroupState::Quarantined => Ok(()),
        GroupState::Checking | GroupState::Lost { .. } => hold(turn, post),
        GroupState::Denied => match read(turn, &group, post)? {
            Read::Done => Ok(()),
            // It has gone on without this device.
            Read::NotYet | Read::Undo | Read::Doubtful => {
                hold(turn, post)?;
                behind::mark_lost(turn, group.id)
            }
        },
        GroupState::Creating { reading, .. } | GroupState::Active { reading, .. } => {
            if reading == Reading::AwaitsLookUp {
                return hold(turn, post);
            }
            match read(turn, &group, post)? {
                Read::NotYet | Read::Undo | Read::Doubtful => hold(turn, post),
                Read::Done if post.kind == PostKind::Commit => release(turn, group.id),
                Read::Done => Ok(()),
            }
        }
    }
}

fn hold(turn: &mut Turn<'_>, post: &ReceivedPost) -> Result<(), Fault> {
    // Strangers take no room from others.
    if group_welcomers::is_strangers(turn.tx, post.group)?
        && held_posts::is_full_of_strangers(turn.tx, post.group)?
    {
        return Ok(());
    }
    held_posts::hold(turn.tx, post)?;
    Ok(())
}

/// Reads what a group holds, as far as it can be read now.
pub(crate) fn release(turn: &mut Turn<'_>, id: GroupId) -> Result<(), Fault> {
    for held in held_posts::of_group(turn.tx, id)? {
        let Some(group) = groups::find(turn.tx, id)? else {
            return Ok(());
        };
        let is_readable = matches!(
            group.state,
            GroupState::Creating {
                reading: Reading::UpToDate,
                ..
            } | GroupState::Active {
                reading: Reading::UpToDate,
                ..
            }
        );
        if !is_readable {
            return Ok(());
        }
        match read(turn, &group, &held.post)? {
            Read::Done => held_posts::release(turn.tx, held.row)?,
            Read::NotYet | Read::Undo | Read::Doubtful => {}
        }
    }
    Ok(())
}

/// A look-up has come for the commit that a group waits with.
pub(crate) fn handle_look_up(turn: &mut Turn<'_>, group: &GroupRecord) -> Result<(), Fault> {
    group_state::set_reading(turn.tx, group.id, Reading::UpToDate)?;
    release(turn, group.id)
}

/// A group may still wait for a look-up, which the relay refuses or does not answer: the
/// person is told. It goes on whenever the look-up comes.
pub(crate) fn tell_that_it_waits(turn: &mut Turn<'_>, id: GroupId) -> Result<(), Fault> {
    let group = groups::find(turn.tx, id)?;
    let Some(group) = group.filter(|group| group.state.awaits_look_up()) else {
        return Ok(());
    };
    let conversation = match group.conversation {
        Some(conversation) => conversation::find(turn.tx, conversation)?,
        None => None,
    };
    let Some(conversation) = conversation else {
        return Ok(());
    };
    turn.postpone(Postponed::LookUpNotice(id), TOLD_AGAIN);
    let problem = Problem::GroupWaits {
        name: conversation.display.clone(),
    };
    progress::tell_open(turn, &conversation, &problem)?;
    turn.notify(Notice::Warning(Warning {
        problem: problem.report(),
    }));
    Ok(())
}

fn read(turn: &mut Turn<'_>, group: &GroupRecord, post: &ReceivedPost) -> Result<Read, Fault> {
    match post.kind {
        PostKind::Welcome => {
            // The echo of the welcome that made the group.
            if group.commit_post == Some(post.id) {
                start::handle_group_created(turn, group.id)?;
            }
            Ok(Read::Done)
        }
        PostKind::Commit if group.commit_post == Some(post.id) => {
            commits::handle_accepted(turn, group, post.id, post.sequence)?;
            Ok(Read::Done)
        }
        PostKind::Commit => {
            let sealing = group.rejoin_secret.sealing_key();
            // External commits are sealed whole; others are PrivateMessages.
            let opened = sealing.open(Sealed::ExternalCommit, post.group, post.epoch, &post.body);
            let sealed = opened.is_ok();
            let body = opened.as_deref().unwrap_or(&post.body);
            process(turn, group, post, body, sealed)
        }
        PostKind::Message => process_for_good(turn, group, post, &post.body, false),
        PostKind::Sms | PostKind::Unspecified => Ok(Read::Done),
    }
}

/// What has to wait leaves no trace: reading a commit uses its key up, and it is to be read
/// again.
fn process(
    turn: &mut Turn<'_>,
    group: &GroupRecord,
    post: &ReceivedPost,
    body: &[u8],
    sealed: bool,
) -> Result<Read, Fault> {
    turn.tx.execute_batch("SAVEPOINT commit_came")?;
    let read = process_for_good(turn, group, post, body, sealed)?;
    if matches!(read, Read::Undo | Read::Doubtful) {
        turn.tx.execute_batch("ROLLBACK TO commit_came")?;
        turn.forget(group.id);
    }
    turn.tx.execute_batch("RELEASE commit_came")?;
    let awaiting = turn.memory.states.get_mut::<AwaitsLookUp>().0.take();
    if awaiting == Some(group.id) {
        group_state::set_reading(turn.tx, group.id, Reading::AwaitsLookUp)?;
    }
    Ok(match read {
        Read::Done => Read::Done,
        Read::NotYet | Read::Undo => Read::NotYet,
        Read::Doubtful => {
            commits::handle_unreadable_commit(turn, group, post.epoch)?;
            Read::Done
        }
    })
}

fn process_for_good(
    turn: &mut Turn<'_>,
    group: &GroupRecord,
    post: &ReceivedPost,
    body: &[u8],
    sealed: bool,
) -> Result<Read, Fault> {
    // A group that was not touched stays in memory: a replay costs no reading of the store.
    let incoming = turn.with_group(group.id, |group, provider, _| {
        match group.process_post(provider, body, post.kind == PostKind::Commit) {
            Err(error) if error.is_seen_from_outside() => Ok(Err(error)),
            other => other.map(Ok),
        }
    })?;
    let Some(incoming) = incoming else {
        behind::mark_lost(turn, group.id)?;
        return Ok(Read::NotYet);
    };
    let incoming = incoming.and_then(|read| read);
    if group.state == GroupState::Denied && incoming.is_ok() {
        ending::is_there_after_all(turn, group)?;
    }
    match incoming {
        Ok(Incoming::Message { sender, payload }) => {
            says(turn, group, post, &sender, &payload)?;
            Ok(Read::Done)
        }
        Ok(Incoming::MessageOfFormer {
            account,
            device,
            payload,
        }) => {
            if let Some(sender) = leaves::former(turn.tx, group.id, account, device)? {
                says(turn, group, post, &sender, &payload)?;
            }
            Ok(Read::Done)
        }
        // Sealed under the rejoin secret of the epoch: a device that does not know it has not
        // rejoined.
        Ok(Incoming::Commit(commit)) if commit.external && !sealed => Ok(Read::Done),
        Ok(Incoming::Commit(commit)) => {
            let external = commit.external;
            match commits::handle_commit(turn, group, *commit, (post.received_at, post.sequence))? {
                CommitOutcome::Merged => {
                    if external {
                        // Somebody is back who may have what is missing here.
                        sender_counters::request_now(turn.tx, turn.now, group.id)?;
                    }
                    Ok(Read::Done)
                }
                CommitOutcome::WaitsForLookUp => {
                    turn.memory.states.get_mut::<AwaitsLookUp>().0 = Some(group.id);
                    let told = Postponed::LookUpNotice(group.id);
                    if !turn.memory.postponed.contains_key(&told) {
                        turn.postpone(told, TOLD_AFTER);
                    }
                    Ok(Read::Undo)
                }
                CommitOutcome::NotYet => Ok(Read::Undo),
                CommitOutcome::Refused(by) => {
                    ending::close(turn, group)?;
                    generations::handle_broken_group(turn, group, Some(&by))?;
                    Ok(Read::Done)
                }
                CommitOutcome::Doubtful => Ok(Read::Doubtful),
                CommitOutcome::RemovedUs { by, account: true } => {
                    ending::close(turn, group)?;
                    group_commands::removed(turn, group, by.account, true)?;
                    Ok(Read::Done)
                }
                CommitOutcome::RemovedUs { account: false, .. } => {
                    lost_groups::handle_own_removal(turn, group)?;
                    Ok(Read::Done)
                }
            }
        }
        Err(ProcessError::FutureEpoch) => {
            behind::handle_epoch(turn, group.id, post.epoch)?;
            Ok(Read::NotYet)
        }
        // Posted by this device, and not known here: its store is an old copy, and its
        // ratchet was used since.
        Err(ProcessError::OwnMessage) => {
            behind::mark_lost(turn, group.id)?;
            Ok(Read::Done)
        }
        Err(ProcessError::Store(error)) => Err(error.into()),
        Err(ProcessError::BreaksRules(by)) => {
            ending::close(turn, group)?;
            generations::handle_broken_group(turn, group, Some(&by))?;
            Ok(Read::Done)
        }
        // The commit of an epoch that is over here; or this device is not in the group.
        Err(ProcessError::AlreadyProcessed | ProcessError::NotMember) => Ok(Read::Done),
        Err(_) if post.kind == PostKind::Commit => unreadable(turn, group, post),
        // A hole stays where it was a message of the group; it is asked for.
        Err(_) => Ok(Read::Done),
    }
}

/// A device says something, if it had a right to when it was posted.
fn says(
    turn: &mut Turn<'_>,
    group: &GroupRecord,
    post: &ReceivedPost,
    sender: &Member,
    payload: &[u8],
) -> Result<(), Fault> {
    if !leaves::counts(turn.tx, group.id, sender.device, post.sequence)? {
        return Ok(());
    }
    match Envelope::decode(payload) {
        Ok(envelope) => handle_envelope(turn, group, sender, envelope),
        Err(_) => Ok(()),
    }
}

/// Something arrived from a group that has ended. Its sender did not know that yet: as long as this
/// device has the keys, it is read, because its sender has no reason to say it again.
pub(crate) fn handle_late_message(
    turn: &mut Turn<'_>,
    group: &GroupRecord,
    post: &ReceivedPost,
) -> Result<(), Fault> {
    let Some(conversation) = group
        .conversation
        .filter(|_| post.kind == PostKind::Message)
    else {
        return Ok(());
    };
    if conversation::find(turn.tx, conversation)?.is_none_or(|found| found.left) {
        return Ok(());
    }
    let read = turn.with_group(group.id, |group, provider, _| {
        group.process_post(provider, &post.body, false)
    })?;
    let (sender, payload) = match read {
        Some(Ok(Incoming::Message { sender, payload })) => (sender, payload),
        Some(Err(ProcessError::Store(error))) => return Err(error.into()),
        _ => return Ok(()),
    };
    if generations::blamed_devices(turn.tx, conversation)?.contains(&sender.device) {
        return Ok(());
    }
    let says_something = Envelope::decode(payload.as_slice()).is_ok_and(|envelope| {
        let said = envelope.body;
        matches!(
            said,
            Some(envelope::Body::Mimi(_) | envelope::Body::Leaving(_))
        )
    });
    if says_something {
        says(turn, group, post, &sender, &payload)?;
    }
    Ok(())
}

/// A group is about to be over: what it holds and can be read is read.
pub(crate) fn read_what_is_held(turn: &mut Turn<'_>, group: &GroupRecord) -> Result<(), Fault> {
    for held in held_posts::of_group(turn.tx, group.id)? {
        handle_late_message(turn, group, &held.post)?;
    }
    Ok(())
}

/// A commit that is no good. One of a later epoch waits until that has begun, because it says
/// that it ended.
fn unreadable(
    turn: &mut Turn<'_>,
    group: &GroupRecord,
    post: &ReceivedPost,
) -> Result<Read, Fault> {
    let ours = turn.with_group(group.id, |group, _, _| Ok::<_, Fault>(group.epoch()))?;
    if ours.transpose()?.is_some_and(|ours| post.epoch > ours) {
        behind::handle_epoch(turn, group.id, post.epoch)?;
        return Ok(Read::Undo);
    }
    Ok(Read::Doubtful)
}

fn handle_envelope(
    turn: &mut Turn<'_>,
    group: &GroupRecord,
    member: &Member,
    envelope: Envelope,
) -> Result<(), Fault> {
    let sender = Sender {
        group: group.id,
        device: member.device,
    };
    if member.account != turn.account()?.id() {
        gossip::handle_head(
            turn,
            group.conversation,
            member.account,
            envelope.head.as_ref(),
        )?;
    }
    let missing_before = sender_counters::missing(turn.tx, sender)?;
    sender_counters::record(turn.tx, turn.now, sender, envelope.counter)?;
    let missing = sender_counters::missing(turn.tx, sender)?;
    match envelope.body {
        // Whom the person has not accepted learns nothing, not even that this is here.
        Some(envelope::Body::ResendRequest(_)) if acquaintance::is_silent_group(turn, group)? => {}
        Some(envelope::Body::ResendRequest(request)) => {
            let sent_at = Time(envelope.sent_at_ms);
            resending::handle_resend_request(turn, group, member, (&request, sent_at))?;
        }
        Some(envelope::Body::Resent(said)) => {
            if let Some((of, again)) = resending::handle_resent(turn, group, member, &said)? {
                handle_envelope(turn, &of, member, again)?;
            }
        }
        Some(envelope::Body::TakeMeIn(request)) => {
            re_add::handle_re_add_request(turn, group, member, &request)?;
        }
        Some(envelope::Body::AskToJoin(ask)) => {
            invitations::handle_join_request(turn, group, member, &ask)?;
        }
        Some(envelope::Body::JoinAnswer(said)) => {
            invitations::handle_join_answer(turn, group, member, &said)?;
        }
        Some(envelope::Body::Leaving(_)) => {
            group_commands::leaves(turn, group, member.account)?;
            // A commit that takes them out may have waited for it.
            if group.account.is_none() {
                release(turn, group.id)?;
            }
        }
        Some(body) => {
            let said = Said {
                group,
                member,
                sent_at: Time(envelope.sent_at_ms),
                signature: &envelope.signature,
                fills: (missing < missing_before).then_some(sender),
            };
            for hook in turn.hooks.of::<dyn ConversationHook>() {
                hook.handle_envelope(turn, &said, &body)?;
            }
        }
        None => {}
    }
    let missing = sender_counters::missing(turn.tx, sender)?;
    if missing < missing_before {
        gaps::show_gap(turn, group, sender, missing)?;
    }
    Ok(())
}

/// The commit that waits was undone.
pub(crate) fn forget_awaited_look_up(turn: &mut Turn<'_>) {
    turn.memory.states.get_mut::<AwaitsLookUp>().0 = None;
}
