//! Makes MLS groups with this device alone in them.
//!
//! **Elsewhere**: [`super::membership`] adds everybody else; [`mod@super::start`] makes the groups
//! of two people, and gives groups to the relay.

use prost::Message as _;
use waxwing_protocol::{
    conversation::{ConversationSecrets, ConversationState, MemberAddresses},
    ids::{GroupId, PostId},
    pb::CreateGroup,
    sealing::RejoinSecret,
};

use super::{
    epoch_keys,
    group_state::{GroupState, Reading},
    groups, join_epochs, member_changes,
};
use crate::{
    api::ConversationId,
    mls,
    turn::{Fault, Turn},
};

/// Makes an MLS group with this device alone in it: of many where there is a state, of this
/// account's devices where there is none.
pub(crate) fn found(
    turn: &mut Turn<'_>,
    conversation: ConversationId,
    addresses: MemberAddresses,
    state: Option<ConversationState>,
) -> Result<(), Fault> {
    let generation = state.as_ref().map_or(0, |state| state.generation);
    // The first bears the conversation's id, so that no other has it.
    let id = match generation {
        1 => GroupId(*conversation.as_bytes()),
        _ => GroupId(turn.random()),
    };
    let account = match state {
        Some(_) => None,
        None => Some(turn.account()?.id()),
    };
    let secrets = ConversationSecrets {
        rejoin_secret: RejoinSecret::generate(turn.rng),
        addresses,
        state,
    };
    let made = turn.with_mls(|provider, leaf| {
        let group = mls::Group::create(provider, leaf, id, &secrets)?;
        let standing = group.current_epoch(provider, leaf)?;
        Ok::<_, mls::MlsError>((group, standing))
    })?;
    let (group, standing) = made?;
    let rejoin_secret = RejoinSecret::from_bytes(standing.keys.rejoin_secret);
    let post = PostId(turn.random());
    let request = CreateGroup {
        group_id: id.to_bytes(),
        token: None,
        epoch: standing.epoch.0,
        keys: Some(epoch_keys::epoch_keys(turn, id, &rejoin_secret, &standing)),
        rejoin_key: bytes::Bytes::copy_from_slice(rejoin_secret.signing_key().public().as_bytes()),
        fan_out_key: bytes::Bytes::copy_from_slice(&standing.keys.fan_out_key),
        post_id: post.to_bytes(),
        welcome: bytes::Bytes::new(),
    };
    groups::add(
        turn.tx,
        turn.now,
        &groups::NewGroup {
            id,
            conversation: Some(conversation),
            account,
            generation,
            state: GroupState::Creating {
                request: request.encode_to_vec(),
                reading: Reading::UpToDate,
            },
            rejoin_secret: &rejoin_secret,
            commit_post: Some(post),
        },
    )?;
    groups::set_membership_due(turn.tx, id)?;
    turn.remember(id, group);
    if account.is_none() {
        join_epochs::begin(turn, id)?;
    }
    member_changes::follow(turn, id, None, &secrets, None)?;
    turn.memory.due_mut().groups.insert(id);
    turn.memory.due_mut().conversations.insert(conversation);
    Ok(())
}
