//! Starts a conversation: looks up the recipient, claims their devices' key packages, checks
//! them against the roster that the key log proves, puts them into a new group, and gives the
//! group with its welcome to the relay.
//!
//! **Elsewhere**: [`crate::conversation::welcomes`] joins conversations that others start.
//!
//! **Always**: only devices that the recipient's roster admits, with the leaf key that it
//! certifies, are added. `CreateGroup` is stored before it is sent, and sent again unchanged
//! until the relay answers.

use prost::Message as _;
use waxwing_protocol::{
    address::Address,
    conversation::{ConversationSecrets, MemberAddresses},
    ids::{AccountId, DeviceId, Epoch, GroupId, MailboxId, PostId},
    pb::{
        ClaimKeyPackages, CreateGroup, EpochKeys, Error, ErrorCode, FanOut, KeyPackagesClaimed,
        client_frame::Body,
    },
    posting::PostingKey,
    sealing::{RejoinSecret, Sealed, SealingKey},
    time::Span,
};

use super::{
    Conversation, generations,
    groups::{self, GroupRecord, GroupState},
    history, leaves,
};
use crate::{
    api::{ConversationId, MessageChanged, MessageId, MessageState, Notice, Problem, RelayMisdeed},
    contact,
    event::LinkKind,
    inbox::{earlier_generations, held_posts, receive},
    link::{self, Job, tokens},
    mls::{self, Member},
    outbox,
    trust::{self, lookups::LookUpOutcome},
    turn::{Fault, Postponed, Turn},
};

/// A conversation that could not be started is tried again after this long.
const AGAIN: Span = Span::minutes(1);

/// Looks the recipient up, and claims their devices' key packages.
pub(crate) fn claim(turn: &mut Turn<'_>, conversation: &Conversation) -> Result<(), Fault> {
    let job = Job::Claim(conversation.id);
    if turn.volatile.links.posting.awaits(&job)
        || turn.is_postponed(&Postponed::Conversation(conversation.id))
    {
        return Ok(());
    }
    let now = turn.now;
    match turn
        .volatile
        .lookups_mut()
        .outcome(&conversation.address, now)
    {
        None => {
            turn.volatile
                .lookups_mut()
                .request_look_up(&conversation.address);
            return Ok(());
        }
        Some(LookUpOutcome::Nobody) => {
            turn.volatile.lookups_mut().forget(&conversation.address);
            let address = conversation.display.clone();
            return fail_waiting(turn, conversation, &Problem::RecipientUnknown { address });
        }
        Some(LookUpOutcome::Account(account)) if account == turn.account()?.id() => {
            return fail_waiting(turn, conversation, &Problem::RecipientIsSelf);
        }
        Some(LookUpOutcome::Account(_)) => {}
    }
    // Without a token it goes on when the next ones were issued; where there are some that
    // cannot be spent on this link, on a later one.
    let Some(token) = tokens::take(turn)? else {
        if tokens::count(turn.tx)? > 0 {
            turn.postpone(Postponed::Conversation(conversation.id), AGAIN);
        }
        return Ok(());
    };
    let claim = ClaimKeyPackages {
        address: conversation.address.clone(),
        token: Some(token),
        device_ids: Vec::new(),
    };
    turn.send_request(LinkKind::Posting, job, Body::ClaimKeyPackages(claim));
    Ok(())
}

/// The recipient's devices are known: makes the group.
pub(crate) fn handle_key_packages(
    turn: &mut Turn<'_>,
    id: ConversationId,
    claimed: &KeyPackagesClaimed,
) -> Result<(), Fault> {
    let Some(conversation) = super::find(turn.tx, id)? else {
        return Ok(());
    };
    let Ok(address) = Address::parse(&conversation.display) else {
        return Ok(());
    };
    let Some((account, packages)) = checked(turn, &address, claimed)? else {
        turn.volatile.lookups_mut().forget(&conversation.address);
        turn.postpone(Postponed::Conversation(id), AGAIN);
        return tell_waiting(turn, &conversation, &Problem::RecipientNotProven);
    };
    let conversation = super::belongs_to(turn, conversation, account)?;
    if groups::for_sending(turn.tx, conversation.id)?.is_some() {
        // The other side was faster; what waits goes to its group.
        turn.volatile
            .due_mut()
            .conversations
            .insert(conversation.id);
        return Ok(());
    }
    // A second token opens the group.
    let Some(token) = tokens::take(turn)? else {
        turn.postpone(Postponed::Conversation(id), AGAIN);
        return Ok(());
    };
    let group_id = GroupId(turn.random());
    let unused = RejoinSecret::generate(turn.rng);
    let own = turn.account()?;
    let secrets = ConversationSecrets {
        rejoin_secret: unused,
        addresses: MemberAddresses::new([
            (own.id(), own.address().clone()),
            (account, address.clone()),
        ]),
        state: None,
    };
    let made = turn.with_mls(|provider, leaf| {
        let mut group = mls::Group::create(provider, leaf, group_id, &secrets)?;
        let commit = group.add(provider, leaf, &packages)?;
        group.merge_pending(provider)?;
        Ok::<_, mls::MlsError>((group, commit))
    })?;
    let (group, commit) = match made {
        Ok(made) => made,
        Err(mls::MlsError::Store(error)) => return Err(error.into()),
        Err(_) => {
            turn.postpone(Postponed::Conversation(id), AGAIN);
            return tell_waiting(turn, &conversation, &Problem::RecipientNotProven);
        }
    };
    let rejoin_secret = RejoinSecret::from_bytes(commit.next.keys.rejoin_secret);
    let post = PostId(turn.random());
    let request = CreateGroup {
        group_id: group_id.to_bytes(),
        token: Some(token),
        epoch: commit.next.epoch.0,
        keys: Some(epoch_keys(turn, group_id, &rejoin_secret, &commit.next)),
        rejoin_key: copied(rejoin_secret.signing_key().public().as_bytes()),
        fan_out_key: copied(&commit.next.keys.fan_out_key),
        post_id: post.to_bytes(),
        welcome: commit.welcome.clone().unwrap_or_default().into(),
    };
    groups::add(
        turn.tx,
        turn.now,
        &groups::NewGroup {
            id: group_id,
            conversation: Some(conversation.id),
            account: Some(account),
            generation: 0,
            state: GroupState::Creating,
            rejoin_secret: &rejoin_secret,
            request: Some(request.encode_to_vec()),
            commit_post: Some(post),
        },
    )?;
    turn.remember(group_id, group);
    turn.volatile.due_mut().groups.insert(group_id);
    turn.volatile
        .due_mut()
        .conversations
        .insert(conversation.id);
    Ok(())
}

/// Checks what was claimed: each key package against the roster that the log vouches for.
fn checked(
    turn: &mut Turn<'_>,
    address: &Address,
    claimed: &KeyPackagesClaimed,
) -> Result<Option<(AccountId, Vec<mls::KeyPackage>)>, Fault> {
    let owner = contact::owner_of(turn.tx, address.canonical())?;
    let (Ok(account), Some(owner)) = (AccountId::try_from(&claimed.account_id), owner) else {
        turn.warn_misdeed(RelayMisdeed::Malformed);
        return Ok(None);
    };
    let roster = owner.roster()?;
    if account != owner.account {
        turn.warn_misdeed(RelayMisdeed::MemberNotEntitled);
        return Ok(None);
    }
    let mut packages = Vec::new();
    for one in claimed
        .key_packages
        .iter()
        .take(waxwing_protocol::limits::DEVICES)
    {
        let ids = DeviceId::try_from(&one.device_id)
            .ok()
            .zip(MailboxId::try_from(&one.mailbox_id).ok());
        let package =
            turn.with_mls(|provider, _| mls::KeyPackage::check(provider, &one.key_package))?;
        let (Some((device, mailbox)), Ok(package)) = (ids, package) else {
            turn.warn_misdeed(RelayMisdeed::MemberNotEntitled);
            return Ok(None);
        };
        let member = package.member();
        let fits = member.account == account
            && member.device == device
            && member.mailbox == mailbox
            && !leaves::has_another_mailbox(turn.tx, member)?
            && trust::admits(&roster, member);
        if !fits {
            turn.warn_misdeed(RelayMisdeed::MemberNotEntitled);
            return Ok(None);
        }
        packages.push(package);
    }
    Ok((!packages.is_empty()).then_some((account, packages)))
}

/// Claiming was refused.
pub(crate) fn claim_refused(
    turn: &mut Turn<'_>,
    id: ConversationId,
    error: &Error,
) -> Result<(), Fault> {
    let Some(conversation) = super::find(turn.tx, id)? else {
        return Ok(());
    };
    if error.code() == ErrorCode::AddressUnknown {
        let address = conversation.display.clone();
        return fail_waiting(turn, &conversation, &Problem::RecipientUnknown { address });
    }
    // Also when the token was spent already, or its key is over: the next one is not given
    // away at once to a relay that refuses them all.
    turn.postpone(Postponed::Conversation(id), link::retry_after(error));
    tell_waiting(turn, &conversation, &crate::link::problem_of(error))
}

/// Gives the relay a group that was made.
pub(crate) fn create(turn: &mut Turn<'_>, group: &GroupRecord) -> Result<(), Fault> {
    let job = Job::CreateGroup(group.id);
    if turn.volatile.links.posting.awaits(&job) || turn.is_postponed(&Postponed::Group(group.id)) {
        return Ok(());
    }
    let mut request = group
        .request
        .as_deref()
        .and_then(|bytes| CreateGroup::decode(bytes).ok())
        .ok_or_else(|| Fault::Broken("a group without its request".into()))?;
    // A group of many is made before there is a token for it.
    if request.token.is_none() {
        let Some(token) = tokens::take(turn)? else {
            turn.postpone(Postponed::Group(group.id), AGAIN);
            return Ok(());
        };
        request.token = Some(token);
        groups::set_request(turn.tx, group.id, &request.encode_to_vec())?;
    }
    turn.send_request(LinkKind::Posting, job, Body::CreateGroup(request));
    Ok(())
}

/// The relay has the group.
pub(crate) fn handle_group_created(turn: &mut Turn<'_>, id: GroupId) -> Result<(), Fault> {
    let Some(group) = groups::find(turn.tx, id)? else {
        return Ok(());
    };
    if group.state == GroupState::Creating {
        groups::set_state(turn.tx, id, GroupState::Active)?;
        // This account's other devices are to come in.
        groups::set_membership_due(turn.tx, id)?;
        turn.volatile.due_mut().groups.insert(id);
        turn.volatile
            .due_mut()
            .conversations
            .extend(group.conversation);
    }
    Ok(())
}

/// The relay did not take the group.
pub(crate) fn create_refused(turn: &mut Turn<'_>, id: GroupId, error: &Error) -> Result<(), Fault> {
    let Some(group) = groups::find(turn.tx, id)? else {
        return Ok(());
    };
    if group.state != GroupState::Creating {
        return Ok(());
    }
    match error.code() {
        ErrorCode::GroupExists | ErrorCode::Malformed | ErrorCode::TooLarge => close(turn, &group),
        code => {
            // The token is good for nothing; the group is, with another.
            if code == ErrorCode::Unauthorised
                && let Some(token) = tokens::take(turn)?
                && let Some(mut request) = group
                    .request
                    .as_deref()
                    .and_then(|bytes| CreateGroup::decode(bytes).ok())
            {
                request.token = Some(token);
                groups::set_request(turn.tx, id, &request.encode_to_vec())?;
            }
            turn.postpone(Postponed::Group(id), link::retry_after(error));
            let conversation = match group.conversation {
                Some(id) => super::find(turn.tx, id)?,
                None => None,
            };
            conversation.map_or(Ok(()), |conversation| {
                tell_open(turn, &conversation, &crate::link::problem_of(error))
            })
        }
    }
}

/// The group is over; what it did not send goes to another. Others may say something in it
/// until they know: see [`receive::handle_late_message`].
pub(crate) fn close(turn: &mut Turn<'_>, group: &GroupRecord) -> Result<(), Fault> {
    receive::read_what_is_held(turn, group)?;
    earlier_generations::handle_group_ending(turn, group)?;
    end(turn, group, GroupState::Closed)?;
    held_posts::forget_group(turn.tx, group.id)?;
    turn.forget(group.id);
    Ok(())
}

/// Nothing comes any more of a group that is over.
pub(crate) fn forget_keys(turn: &mut Turn<'_>, group: GroupId) -> Result<(), Fault> {
    turn.with_group(group, |group, provider, _| {
        group.forget_past_epochs(provider)
    })?
    .transpose()?;
    turn.forget(group);
    Ok(())
}

/// The relay says that it has no such group; what was not sent to it goes to another.
pub(crate) fn deny(turn: &mut Turn<'_>, group: &GroupRecord) -> Result<(), Fault> {
    end(turn, group, GroupState::Denied)?;
    generations::handle_unknown_group(turn, group)
}

/// Something came from a group that the relay has denied.
pub(crate) fn is_there_after_all(turn: &mut Turn<'_>, group: &GroupRecord) -> Result<(), Fault> {
    groups::set_state(turn.tx, group.id, GroupState::Active)?;
    groups::set_membership_due(turn.tx, group.id)?;
    turn.volatile.due_mut().groups.insert(group.id);
    turn.volatile
        .due_mut()
        .conversations
        .extend(group.conversation);
    Ok(())
}

fn end(turn: &mut Turn<'_>, group: &GroupRecord, state: GroupState) -> Result<(), Fault> {
    groups::set_state(turn.tx, group.id, state)?;
    outbox::release_group(turn.tx, group.id)?;
    turn.volatile.forget_behind(group.id);
    turn.volatile.links.deauthorise(group.id);
    turn.volatile
        .due_mut()
        .conversations
        .extend(group.conversation);
    Ok(())
}

/// What this device tells the relay about a new epoch.
pub(crate) fn epoch_keys(
    turn: &mut Turn<'_>,
    group: GroupId,
    rejoin_secret: &RejoinSecret,
    next: &mls::NewEpoch,
) -> EpochKeys {
    let mailboxes = next.members.iter().map(|member| member.mailbox);
    let mut distinct: Vec<MailboxId> = mailboxes.collect();
    distinct.sort_unstable();
    distinct.dedup();
    let fan_out = FanOut {
        mailboxes: distinct.into_iter().map(MailboxId::to_bytes).collect(),
    };
    let epoch: Epoch = next.epoch;
    let key = SealingKey::from_bytes(next.keys.fan_out_key);
    EpochKeys {
        send_key: copied(
            PostingKey::from_seed(&next.keys.send_key)
                .public()
                .as_bytes(),
        ),
        sealed_fan_out: key
            .seal(
                turn.rng,
                Sealed::FanOut,
                group,
                epoch,
                &fan_out.encode_to_vec(),
            )
            .into(),
        sealed_group_info: rejoin_secret
            .sealing_key()
            .seal(turn.rng, Sealed::GroupInfo, group, epoch, &next.group_info)
            .into(),
        rejoin_key: bytes::Bytes::new(),
    }
}

/// What waits cannot be sent for now: tells why.
pub(crate) fn tell_waiting(
    turn: &mut Turn<'_>,
    conversation: &Conversation,
    problem: &Problem,
) -> Result<(), Fault> {
    for (_, message) in outbox::unnumbered(turn.tx, conversation.id)? {
        if let Some(id) = message {
            notify_state(turn, conversation.id, id, MessageState::Queued, problem)?;
        }
    }
    Ok(())
}

/// What is not accepted is not taken by the relay for now: tells why.
pub(crate) fn tell_open(
    turn: &mut Turn<'_>,
    conversation: &Conversation,
    problem: &Problem,
) -> Result<(), Fault> {
    for id in outbox::open_messages(turn.tx, conversation.id)? {
        notify_state(turn, conversation.id, id, MessageState::Queued, problem)?;
    }
    Ok(())
}

/// What waits will never be sent.
pub(crate) fn fail_waiting(
    turn: &mut Turn<'_>,
    conversation: &Conversation,
    problem: &Problem,
) -> Result<(), Fault> {
    for (row, message) in outbox::unnumbered(turn.tx, conversation.id)? {
        outbox::give_up(turn.tx, row)?;
        if let Some(id) = message {
            notify_state(turn, conversation.id, id, MessageState::Failed, problem)?;
        }
    }
    Ok(())
}

/// A message that waits will never be sent.
pub(crate) fn fail_message(
    turn: &mut Turn<'_>,
    conversation: ConversationId,
    id: MessageId,
    problem: &Problem,
) -> Result<(), Fault> {
    if outbox::give_up_waiting(turn.tx, id)? {
        notify_state(turn, conversation, id, MessageState::Failed, problem)?;
    }
    Ok(())
}

/// Nothing that waits anywhere will be sent by this device.
pub(crate) fn fail_all(turn: &mut Turn<'_>, problem: &Problem) -> Result<(), Fault> {
    for conversation in outbox::waiting_conversations(turn.tx)? {
        loop {
            let some = outbox::open_messages(turn.tx, conversation)?;
            if some.is_empty() {
                break;
            }
            for id in some {
                outbox::give_up_message(turn.tx, id)?;
                notify_state(turn, conversation, id, MessageState::Failed, problem)?;
            }
        }
    }
    Ok(outbox::give_up_all(turn.tx)?)
}

fn notify_state(
    turn: &mut Turn<'_>,
    conversation: ConversationId,
    id: MessageId,
    state: MessageState,
    problem: &Problem,
) -> Result<(), Fault> {
    let report = problem.report();
    let failed = state == MessageState::Failed;
    if history::set_problem(turn.tx, conversation, id, failed, &report)? {
        turn.notify(Notice::MessageState(MessageChanged {
            id,
            conversation,
            state,
            problem: Some(report),
        }));
    }
    Ok(())
}

fn copied(bytes: &[u8]) -> bytes::Bytes {
    bytes::Bytes::copy_from_slice(bytes)
}

/// For [`trust`]: who is in a group besides this account.
pub(crate) fn others(members: &[Member], own: AccountId) -> Vec<AccountId> {
    let mut others: Vec<AccountId> = members
        .iter()
        .map(|member| member.account)
        .filter(|account| *account != own)
        .collect();
    others.sort_unstable();
    others.dedup();
    others
}
