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
    ids::{AccountId, DeviceId, GroupId, MailboxId, PostId},
    pb::{ClaimKeyPackages, CreateGroup, Error, ErrorCode, KeyPackagesClaimed, client_frame::Body},
    sealing::RejoinSecret,
    time::Span,
};

use super::{
    Conversation, ending, epoch_keys,
    group_state::{self, GroupState, Reading, StateKind},
    groups::{self, GroupRecord},
    leaves,
};
use crate::{
    api::{ConversationId, Problem, RelayMisdeed},
    contact,
    event::LinkKind,
    link::{self, Job, tokens},
    mls,
    outbox::progress,
    trust::{self, lookups::LookUpOutcome},
    turn::{Fault, Postponed, Turn},
};

/// A conversation that could not be started is tried again after this long.
const AGAIN: Span = Span::minutes(1);

/// Looks the recipient up, and claims their devices' key packages.
pub(crate) fn claim(turn: &mut Turn<'_>, conversation: &Conversation) -> Result<(), Fault> {
    let job = Job::Claim(conversation.id);
    if turn.memory.links.posting.awaits(&job)
        || turn.is_postponed(&Postponed::Conversation(conversation.id))
    {
        return Ok(());
    }
    let now = turn.now;
    match turn
        .memory
        .lookups_mut()
        .outcome(&conversation.address, now)
    {
        None => {
            turn.memory
                .lookups_mut()
                .request_look_up(&conversation.address);
            return Ok(());
        }
        Some(LookUpOutcome::Nobody) => {
            turn.memory.lookups_mut().forget(&conversation.address);
            let address = conversation.display.clone();
            return progress::fail_waiting(
                turn,
                conversation,
                &Problem::RecipientUnknown { address },
            );
        }
        Some(LookUpOutcome::Account(account)) if account == turn.account()?.id() => {
            return progress::fail_waiting(turn, conversation, &Problem::RecipientIsSelf);
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
        turn.memory.lookups_mut().forget(&conversation.address);
        turn.postpone(Postponed::Conversation(id), AGAIN);
        return progress::tell_waiting(turn, &conversation, &Problem::RecipientNotProven);
    };
    let conversation = super::belongs_to(turn, conversation, account)?;
    if groups::for_sending(turn.tx, conversation.id)?.is_some() {
        // The other side was faster; what waits goes to its group.
        turn.memory.due_mut().conversations.insert(conversation.id);
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
            return progress::tell_waiting(turn, &conversation, &Problem::RecipientNotProven);
        }
    };
    let rejoin_secret = RejoinSecret::from_bytes(commit.next.keys.rejoin_secret);
    let post = PostId(turn.random());
    let request = CreateGroup {
        group_id: group_id.to_bytes(),
        token: Some(token),
        epoch: commit.next.epoch.0,
        keys: Some(epoch_keys::epoch_keys(
            turn,
            group_id,
            &rejoin_secret,
            &commit.next,
        )),
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
            state: GroupState::Creating {
                request: request.encode_to_vec(),
                reading: Reading::UpToDate,
            },
            rejoin_secret: &rejoin_secret,
            commit_post: Some(post),
        },
    )?;
    turn.remember(group_id, group);
    turn.memory.due_mut().groups.insert(group_id);
    turn.memory.due_mut().conversations.insert(conversation.id);
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
        return progress::fail_waiting(turn, &conversation, &Problem::RecipientUnknown { address });
    }
    // Also when the token was spent already, or its key is over: the next one is not given
    // away at once to a relay that refuses them all.
    turn.postpone(Postponed::Conversation(id), link::retry_after(error));
    progress::tell_waiting(turn, &conversation, &crate::link::problem_of(error))
}

/// Gives the relay a group that was made.
pub(crate) fn create(turn: &mut Turn<'_>, group: &GroupRecord) -> Result<(), Fault> {
    let job = Job::CreateGroup(group.id);
    if turn.memory.links.posting.awaits(&job) || turn.is_postponed(&Postponed::Group(group.id)) {
        return Ok(());
    }
    let GroupState::Creating { request, .. } = &group.state else {
        return Ok(());
    };
    let mut request = CreateGroup::decode(request.as_slice())
        .map_err(|_| Fault::Broken("a group without its request".into()))?;
    // A group of many is made before there is a token for it.
    if request.token.is_none() {
        let Some(token) = tokens::take(turn)? else {
            turn.postpone(Postponed::Group(group.id), AGAIN);
            return Ok(());
        };
        request.token = Some(token);
        group_state::replace_request(turn.tx, group.id, &request.encode_to_vec())?;
    }
    turn.send_request(LinkKind::Posting, job, Body::CreateGroup(request));
    Ok(())
}

/// The relay has the group.
pub(crate) fn handle_group_created(turn: &mut Turn<'_>, id: GroupId) -> Result<(), Fault> {
    let Some(group) = groups::find(turn.tx, id)? else {
        return Ok(());
    };
    if group.state.kind() == StateKind::Creating {
        group_state::enter(turn.tx, id, StateKind::Active)?;
        // This account's other devices are to come in.
        groups::set_membership_due(turn.tx, id)?;
        turn.memory.due_mut().groups.insert(id);
        turn.memory
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
    let GroupState::Creating { request, .. } = &group.state else {
        return Ok(());
    };
    match error.code() {
        ErrorCode::GroupExists | ErrorCode::Malformed | ErrorCode::TooLarge => {
            ending::close(turn, &group)
        }
        code => {
            // The token is good for nothing; the group is, with another.
            if code == ErrorCode::Unauthorised
                && let Some(token) = tokens::take(turn)?
                && let Ok(mut request) = CreateGroup::decode(request.as_slice())
            {
                request.token = Some(token);
                group_state::replace_request(turn.tx, id, &request.encode_to_vec())?;
            }
            turn.postpone(Postponed::Group(id), link::retry_after(error));
            let conversation = match group.conversation {
                Some(id) => super::find(turn.tx, id)?,
                None => None,
            };
            conversation.map_or(Ok(()), |conversation| {
                progress::tell_open(turn, &conversation, &crate::link::problem_of(error))
            })
        }
    }
}

fn copied(bytes: &[u8]) -> bytes::Bytes {
    bytes::Bytes::copy_from_slice(bytes)
}
