//! Sending: what waits in a conversation is encrypted and posted, and the relay's answers.
//!
//! **Elsewhere**: [`crate::conversation::epochs`] asks for the right to post;
//! [`crate::conversation`] commits, creates and rejoins groups; look-ups are in
//! [`crate::trust::lookups`].
//!
//! **Always**: a message is encrypted in the transaction that stores its ciphertext, and sent
//! after it. Sending it again is harmless, because its post id stays the same.

use prost::Message as _;
use waxwing_protocol::{
    ids::{Epoch, GroupId, PostId},
    limits, padding,
    pb::{Envelope, Error, ErrorCode, Post as PostRequest, PostKind, Posted, client_frame::Body},
    time::Span,
};

use super::{Ciphertext, OutboxEntry, progress};
use crate::{
    api::{ConversationId, MessageChanged, MessageState, Notice, Problem},
    clock::Passed as _,
    contact,
    containment::ErrorOwner,
    conversation::{
        self, Conversation, Kind, acquaintance,
        behind::handle_epoch,
        commits, ending,
        epochs::authorise,
        group_state::GroupState,
        groups::{self, GroupRecord},
        history, membership, notes, start,
    },
    event::LinkKind,
    inbox::resending,
    link::{self, Job, retry_after},
    message::{expiry, proof},
    trust::{gossip, overdue_proofs},
    turn::{Fault, Postponed, Turn},
};

/// Messages of one group that may be on their way at a time.
const AT_ONCE: usize = 64;

/// A contact who was looked up this long ago is looked up again when written to.
const LOOK_UP_AGAIN: Span = Span::hours(6);

/// One whom the person has verified, after this long.
const LOOK_UP_VERIFIED_AGAIN: Span = Span::minutes(10);

/// Sends what waits in a conversation.
pub(crate) fn pump(turn: &mut Turn<'_>, id: ConversationId) -> Result<(), Fault> {
    let Some(conversation) = conversation::find(turn.tx, id)? else {
        return Ok(());
    };
    // Somebody who had been verified in person has other keys: the person decides.
    if conversation.awaiting_decision || turn.is_postponed(&Postponed::Conversation(id)) {
        return Ok(());
    }
    let silent = acquaintance::is_silent(turn, &conversation)?;
    if silent && acquaintance::is_blocked(turn, &conversation)? && conversation.kind == Kind::Direct
    {
        return progress::fail_waiting(turn, &conversation, &Problem::RecipientBlocked);
    }
    if is_with_closed_account(turn, &conversation)? {
        if super::unnumbered(turn.tx, id)?.is_empty() {
            return Ok(());
        }
        // They may have come back, or the address may be another's by now.
        let lookups = turn.memory.lookups_mut();
        lookups.request_look_up(&conversation.address);
        let address = conversation.display.clone();
        let problem = Problem::RecipientUnknown { address };
        return progress::fail_waiting(turn, &conversation, &problem);
    }
    if silent && !super::any_asked(turn.tx, id)? {
        return Ok(());
    }
    let sending = groups::for_sending(turn.tx, id)?;
    for group in super::waiting_groups(turn.tx, id)? {
        if sending.as_ref().is_some_and(|sending| sending.id == group) {
            continue;
        }
        turn.run_contained(ErrorOwner::Group(group), |turn| {
            match groups::find(turn.tx, group)? {
                Some(group) => send(turn, &group, false, silent),
                None => Ok(()),
            }
        })?;
    }
    if let Some(group) = sending {
        turn.run_contained(ErrorOwner::Group(group.id), |turn| {
            send(turn, &group, true, silent)
        })?;
        return Ok(());
    }
    turn.run_contained(ErrorOwner::Conversation(id), |turn| {
        begin(turn, &conversation)
    })?;
    Ok(())
}

/// Whether the other side has deleted their account: nobody is left in the group who could read.
fn is_with_closed_account(turn: &Turn<'_>, conversation: &Conversation) -> Result<bool, Fault> {
    let Some(account) = conversation
        .account
        .filter(|_| conversation.kind == Kind::Direct)
    else {
        return Ok(false);
    };
    Ok(match contact::of_account(turn.tx, account)? {
        Some(contact) => contact.roster()?.devices().is_empty(),
        None => false,
    })
}

/// There is no group to send to: one is made, if anything waits for it.
fn begin(turn: &mut Turn<'_>, conversation: &Conversation) -> Result<(), Fault> {
    if super::unnumbered(turn.tx, conversation.id)?.is_empty() {
        return Ok(());
    }
    match conversation.kind {
        Kind::Direct => start::claim(turn, conversation),
        Kind::Notes => notes::pump(turn, conversation),
        // It waits until there is a group again.
        Kind::Group | Kind::Sms => Ok(()),
    }
}

/// Sends a group's messages: those that belong into it and, if it is the one for sending,
/// those for which any will do. Where nothing may leave by itself (`silent`), only what
/// the person wrote or asked for.
fn send(
    turn: &mut Turn<'_>,
    group: &GroupRecord,
    new_ones: bool,
    silent: bool,
) -> Result<(), Fault> {
    let Some(conversation) = group.conversation.filter(|_| group.state.is_active()) else {
        return Ok(());
    };
    // While a commit of ours is on its way, messages wait the moment.
    if group.state.awaits_look_up() || group.state.pending_commit().is_some() {
        turn.memory.due_mut().groups.insert(group.id);
        return Ok(());
    }
    if !silent && membership::holds_back(turn, group)? {
        turn.memory.due_mut().groups.insert(group.id);
        return Ok(());
    }
    let (on_their_way, last) = turn.memory.links.posting.messages_of(group.id);
    let room = AT_ONCE.saturating_sub(on_their_way);
    if room == 0 {
        return Ok(());
    }
    let open = super::unaccepted(turn.tx, conversation, group.id, last, AT_ONCE, silent)?;
    let open: Vec<OutboxEntry> = open
        .into_iter()
        .filter(|one| new_ones || one.group.is_some())
        .filter(|one| {
            let job = Job::Message {
                group: group.id,
                row: one.row,
            };
            !turn.memory.links.posting.awaits(&job)
        })
        .take(room)
        .collect();
    if open.is_empty() {
        return Ok(());
    }
    if commits::rekey_due(turn, group)? && !turn.memory.is_behind(group.id) {
        return commits::rekey(turn, group);
    }
    look_up_again(turn, group)?;
    if !authorise(turn, group.id)? {
        return Ok(());
    }
    for one in open {
        post(turn, group, one)?;
    }
    Ok(())
}

/// Encrypts a message, if it is not, and posts it.
fn post(turn: &mut Turn<'_>, group: &GroupRecord, mut one: OutboxEntry) -> Result<(), Fault> {
    // Somebody may have joined since this was asked for.
    if let Some(sent_in) = one.sent_in
        && !resending::may_group_have(turn, group, sent_in)?
    {
        return Ok(super::drop_resend(turn.tx, one.row)?);
    }
    let job = Job::Message {
        group: group.id,
        row: one.row,
    };
    // What was encrypted in an epoch that this link may not post in (before a rekey and a
    // crash, say) is encrypted again: under the same post id, so that the relay takes it
    // once.
    let now = turn.now;
    let kept = one
        .sealed
        .take()
        .filter(|kept| turn.memory.links.is_authorised(now, group.id, kept.epoch));
    let first_attempt = one.post.is_none();
    let sealed = match kept {
        Some(kept) => Some(kept),
        None => seal(turn, group, &one)?,
    };
    let Some(sealed) = sealed else {
        return Ok(());
    };
    let request = PostRequest {
        group_id: group.id.to_bytes(),
        epoch: sealed.epoch.0,
        kind: PostKind::Message.into(),
        post_id: sealed.post.to_bytes(),
        body: sealed.bytes.into(),
        first_attempt,
        ..PostRequest::default()
    };
    turn.send_request(LinkKind::Posting, job, Body::Post(request));
    Ok(())
}

fn seal(
    turn: &mut Turn<'_>,
    group: &GroupRecord,
    one: &OutboxEntry,
) -> Result<Option<Ciphertext>, Fault> {
    let counter = match one.counter {
        Some(counter) => counter,
        None => groups::take_counter(turn.tx, group.id)?,
    };
    let mut envelope =
        Envelope::decode(one.body.as_slice()).map_err(|error| Fault::Broken(error.to_string()))?;
    envelope.counter = counter;
    let id = group.id;
    let shown = groups::last_shown_head(turn.tx, id)?;
    if let Some(head) = gossip::head_due(turn, shown) {
        groups::set_told_head(turn.tx, id, head.head().number, turn.now)?;
        envelope.head = Some(head.wire().clone());
    }
    let encrypted = turn.with_group(id, |group, provider, leaf| {
        let epoch = group.epoch();
        proof::sign(leaf, id, &mut envelope);
        let padded = padding::encode_padded(envelope);
        group
            .encrypt(provider, leaf, &padded)
            .map(|bytes| (epoch, bytes))
    })?;
    let Some(encrypted) = encrypted else {
        return Ok(None);
    };
    let (epoch, bytes) = encrypted?;
    let post = one.post.unwrap_or_else(|| PostId(turn.random()));
    let sealed = Ciphertext { post, epoch, bytes };
    super::store_ciphertext(turn.tx, one.row, group.id, counter, &sealed)?;
    Ok(Some(sealed))
}

/// The relay has a message.
pub(crate) fn handle_posted(
    turn: &mut Turn<'_>,
    group: GroupId,
    row: i64,
    posted: &Posted,
) -> Result<(), Fault> {
    let is_followed =
        groups::find(turn.tx, group)?.is_some_and(|group| group.state != GroupState::Quarantined);
    if is_followed {
        handle_epoch(turn, group, Epoch(posted.epoch))?;
    }
    // If the group has ended, the message goes to the next one: a device that was behind cannot
    // read it here.
    if let Some(row) = super::by_row(turn.tx, row)?.filter(|row| row.group == Some(group)) {
        accepted(turn, &row)?;
        turn.memory.due_mut().conversations.insert(row.conversation);
    }
    Ok(())
}

/// A message was accepted: the relay's answer says so. (Its echo does not: it can come
/// before the relay's disk has the message.)
fn accepted(turn: &mut Turn<'_>, row: &super::Posted) -> Result<(), Fault> {
    if row.accepted {
        return Ok(());
    }
    super::mark_accepted(turn.tx, row.row)?;
    if let Some(id) = row.message {
        expiry::start(turn.tx, turn.now, row.conversation, &[id])?;
    }
    if let Some(id) = row.message
        && history::raise_state(turn.tx, row.conversation, id, MessageState::Accepted)?
    {
        turn.notify(Notice::MessageState(MessageChanged {
            id,
            conversation: row.conversation,
            state: MessageState::Accepted,
            problem: None,
        }));
    }
    Ok(())
}

/// The relay did not take a message.
pub(crate) fn handle_refusal(turn: &mut Turn<'_>, id: GroupId, error: &Error) -> Result<(), Fault> {
    let Some(group) = groups::find(turn.tx, id)? else {
        return Ok(());
    };
    let Some(conversation) = group.conversation else {
        return Ok(());
    };
    if matches!(group.state, GroupState::Closed | GroupState::Quarantined) {
        return Ok(());
    }
    match error.code() {
        ErrorCode::EpochConflict => {
            // Too old an epoch: encrypted again when the newer one has come. A relay that
            // knows of none is given the same bytes again: no key is used up for its word.
            turn.memory.links.deauthorise(id);
            handle_epoch(turn, id, Epoch(error.epoch))?;
            if !turn.memory.is_behind(id) {
                turn.postpone(Postponed::Conversation(conversation), Span::seconds(2));
            }
            Ok(())
        }
        ErrorCode::Unauthorised => {
            // The right to post has ended, or never was: asked for again a little
            // later.
            turn.memory.links.deauthorise(id);
            turn.postpone(Postponed::Conversation(conversation), Span::seconds(2));
            Ok(())
        }
        ErrorCode::GroupUnknown => ending::deny(turn, &group),
        _ => {
            turn.postpone(Postponed::Conversation(conversation), retry_after(error));
            if let Some(found) = conversation::find(turn.tx, conversation)? {
                let problem = match error.code() {
                    ErrorCode::MailboxFull => Problem::RecipientFull,
                    _ => link::problem_of(error),
                };
                progress::tell_open(turn, &found, &problem)?;
            }
            Ok(())
        }
    }
}

/// Looks a contact up again who was not for a while: somebody else may own the
/// address by now.
fn look_up_again(turn: &mut Turn<'_>, group: &GroupRecord) -> Result<(), Fault> {
    // In a group of many their own devices see to what their rosters have.
    if let Some(account) = group.account
        && let Some(contact) = contact::of_account(turn.tx, account)?
        && contact.verified
        && turn
            .now
            .has_passed(contact.looked_up_at, look_up_after(&contact))
    {
        turn.memory.lookups_mut().request_look_up(&contact.address);
        overdue_proofs::look_up_due(turn, account)?;
    }
    Ok(())
}

/// Whom the person has verified is to be who they were: sooner than others.
const fn look_up_after(contact: &contact::Contact) -> Span {
    if contact.compared {
        LOOK_UP_VERIFIED_AGAIN
    } else {
        LOOK_UP_AGAIN
    }
}

/// Messages of a group that are to be encrypted fit into a post.
const _: () = assert!(limits::POST_BYTES > 2 * limits::TEXT_BYTES);
