//! Welcomes: groups to which others add this device.
//!
//! A welcome is opened and joined at once, so that a crash cannot lose it. The group counts
//! only once every leaf in it was looked up and is admitted: until then its posts are held,
//! nobody sees anything of it, and nothing is sent to it.
//!
//! **Elsewhere**: [`crate::inbox::receive`] handles the held posts.
//!
//! **Always**: a limited number of groups is being checked at a time; groups of strangers use
//! no room of those of known people. A group that was meant for another address than this
//! account's is not joined.

use waxwing_protocol::{
    address::Address, conversation::ConversationSecrets, ids::AccountId, sealing::RejoinSecret,
    time::Span,
};

use super::{
    above::ConversationHook,
    acceptance, acquaintance, display_names, ending,
    generations::{self, Claim},
    group_state::{self, GroupState, StateKind},
    group_welcomers::{self, Welcomer},
    groups::{self, GroupRecord},
    history, join_epochs, leaves, lost_groups, member_changes, notes, quarantine,
};
use crate::{
    api::{ConversationId, EventKind, Notice, RelayMisdeed},
    contact, conversation,
    inbox::{
        held_posts::{self, ReceivedPost},
        sender_counters::{self, Sender},
    },
    link::Job,
    mls::{Member, MlsError, StagedWelcome},
    trust::{self, Claimed, Judgement},
    turn::{Fault, Postponed, Turn},
};

/// Groups of strangers that are being checked at a time. More of them wait, at most
/// [`WAITING_MAX`].
const CHECKING_MAX: u64 = 32;

/// Groups of people whom this account knows that are being checked at a time.
const CHECKING_KNOWN_MAX: u64 = 512;

/// Welcomes of strangers that wait for room.
const WAITING_MAX: usize = 256;

/// Members of a group that are looked up at a time: a group of strangers does not keep others'
/// look-ups waiting for long.
const JUDGED_AT_ONCE: usize = 64;

/// Whether there was room for a welcome.
#[derive(PartialEq, Eq)]
enum Room {
    There,
    Wanted,
}

/// Groups being checked, beyond which those whose makers may not have made them are refused.
const UNENTITLED_MAX: usize = 16;

/// A group whose maker may not have made it is refused after this long.
const WAITS_FOR: Span = Span::minutes(10);

/// Until then it is looked at again this often.
const LOOK_AGAIN: Span = Span::seconds(10);

/// Somebody takes this device into a group.
pub(crate) fn handle_welcome(turn: &mut Turn<'_>, post: &ReceivedPost) -> Result<(), Fault> {
    join(turn, post, false)
}

/// Joins the group of a welcome, if there is room; `again` where this device was in it before.
fn join(turn: &mut Turn<'_>, post: &ReceivedPost, again: bool) -> Result<(), Fault> {
    if group_welcomers::count_being_checked(turn.tx, false)? >= CHECKING_KNOWN_MAX {
        return Ok(());
    }
    // To see who sent it uses its key package up.
    turn.tx.execute_batch("SAVEPOINT welcome_opened")?;
    let room = open(turn, post, again)?;
    if room == Room::Wanted {
        turn.tx.execute_batch("ROLLBACK TO welcome_opened")?;
    }
    turn.tx.execute_batch("RELEASE welcome_opened")?;
    if room == Room::Wanted && held_posts::welcomes(turn.tx)?.len() < WAITING_MAX {
        held_posts::hold(turn.tx, post)?;
    }
    Ok(())
}

/// There may be room for a welcome that waits.
fn make_room(turn: &mut Turn<'_>) -> Result<(), Fault> {
    // One makes room; those that come to nothing at once take none.
    for row in held_posts::welcomes(turn.tx)?.into_iter().take(8) {
        if group_welcomers::count_being_checked(turn.tx, true)? >= CHECKING_MAX {
            break;
        }
        if let Some(post) = held_posts::take(turn.tx, row)? {
            handle_welcome(turn, &post)?;
        }
    }
    Ok(())
}

/// Whether a welcome's sender is this account, or somebody whom it knows, by a device that is
/// known.
fn is_known(turn: &Turn<'_>, sender: &Member) -> Result<bool, Fault> {
    let own = turn.account()?;
    if own.id() == sender.account {
        return Ok(trust::admits(own.roster(), sender));
    }
    let Some(contact) = contact::of_account(turn.tx, sender.account)? else {
        return Ok(false);
    };
    let known = acquaintance::is_known(turn.tx, sender.account)?;
    Ok(known && !contact.blocked && trust::admits(&contact.roster()?, sender))
}

fn open(turn: &mut Turn<'_>, post: &ReceivedPost, again: bool) -> Result<Room, Fault> {
    let opened = turn.with_mls(|provider, leaf| {
        let own_key = leaf.public_key();
        StagedWelcome::open(provider, post.group, &post.body).map(|staged| (staged, own_key))
    })?;
    let (staged, own_key) = match opened {
        Ok(opened) => opened,
        Err(MlsError::Store(error)) => return Err(error.into()),
        // Not for a key package that is here, or not a welcome at all.
        Err(_) => return Ok(Room::There),
    };
    let stranger = !is_known(turn, &staged.sender)?;
    if stranger && group_welcomers::count_being_checked(turn.tx, true)? >= CHECKING_MAX {
        return Ok(Room::Wanted);
    }
    let own = turn.account()?.id();
    let has_us = staged
        .members
        .iter()
        .any(|member| member.leaf_key == own_key);
    let sender = staged.sender.account;
    let welcomer = Welcomer {
        account: sender,
        device: staged.sender.device,
        again,
    };
    let (account, generation) = if let Some(state) = &staged.secrets.state {
        let may = state.is_admin(sender) || state.everybody_adds || sender == own;
        let claim = generations::check_welcome(turn, welcomer, post.group, state)?;
        let waits = groups::in_state(turn.tx, StateKind::Checking)?.len();
        let is_wanted = match claim {
            Claim::Good => true,
            Claim::NotYet => waits < UNENTITLED_MAX,
            Claim::Bad => false,
        };
        if !may || !is_wanted {
            return Ok(Room::There);
        }
        (None, state.generation)
    } else {
        let others = leaves::other_accounts(&staged.members, own);
        let account = match others.as_slice() {
            // This account's notes.
            [] => own,
            [account] => *account,
            _ => return Ok(Room::There),
        };
        // By the other side, or by another device of this account.
        if sender != account && sender != own {
            return Ok(Room::There);
        }
        (Some(account), 0)
    };
    if !has_us {
        return Ok(Room::There);
    }
    // Somebody wrote to another address, and the relay named this account for it.
    if staged.secrets.addresses.of(own) != Some(turn.account()?.address()) {
        turn.warn_misdeed(RelayMisdeed::AnothersWelcome);
        return Ok(Room::There);
    }
    let members = staged.members.clone();
    let accepted = turn.with_mls(|provider, _| {
        let group = staged.accept(provider)?;
        let keys = group.keys(provider)?;
        Ok::<_, MlsError>((group, keys))
    })?;
    let (group, keys) = match accepted {
        Ok(accepted) => accepted,
        Err(MlsError::Store(error)) => return Err(error.into()),
        Err(_) => return Ok(Room::There),
    };
    let secret = RejoinSecret::from_bytes(keys.rejoin_secret);
    groups::add(
        turn.tx,
        turn.now,
        &groups::NewGroup {
            id: post.group,
            conversation: None,
            account,
            generation,
            state: GroupState::Checking,
            rejoin_secret: &secret,
            commit_post: None,
        },
    )?;
    group_welcomers::set_welcomer(turn.tx, post.group, welcomer)?;
    let by = if sender == own {
        group_welcomers::OURSELVES
    } else {
        sender
    };
    group_welcomers::set_welcomed_by(turn.tx, post.group, by)?;
    if stranger {
        group_welcomers::set_by_stranger(turn.tx, post.group)?;
    }
    // A group that is older than its first commit, or began with its maker alone, has been
    // spoken in.
    if (group.epoch().0 > 1 || account.is_none())
        && !lost_groups::has_requested(turn.tx, post.group)?
    {
        for member in &members {
            let sender = Sender {
                group: post.group,
                device: member.device,
            };
            sender_counters::start_anywhere(turn.tx, sender)?;
        }
    }
    turn.remember(post.group, group);
    turn.memory.lookups_mut().forget_outcomes();
    turn.memory.due_mut().groups.insert(post.group);
    Ok(Room::There)
}

/// Somebody re-adds this device to a group from which it was removed, or that it had lost.
pub(crate) fn handle_repeated_welcome(
    turn: &mut Turn<'_>,
    group: &GroupRecord,
    post: &ReceivedPost,
) -> Result<(), Fault> {
    let lost = group.state.is_lost() || group.state == GroupState::Quarantined;
    let gone = match group.conversation.filter(|_| group.account.is_none()) {
        Some(conversation) => conversation::find(turn.tx, conversation)?.is_some_and(|it| it.left),
        None => false,
    };
    // Closed, and another was asked to bring this device back.
    let asked = lost_groups::has_requested(turn.tx, group.id)?;
    if !gone && !lost && !asked {
        return Ok(());
    }
    // This device's own commit is on its way: when the relay takes it, the leaf that the welcome
    // brings is no more; when it does not, this device tries again.
    if lost && turn.memory.links.posting.awaits(&Job::Rejoin(group.id)) {
        return Ok(());
    }
    let inherited = groups::take_inherited(turn.tx, group.id)?;
    // Nothing of the old one is of use; if the welcome is not either, all stays as it was.
    turn.tx.execute_batch("SAVEPOINT welcomed_again")?;
    turn.forget(group.id);
    quarantine::delete_keys(turn, group.id)?;
    if lost || asked {
        lost_groups::keep(turn.tx, turn.now, group.id)?;
    }
    if !lost && !asked {
        sender_counters::forget_group(turn.tx, group.id)?;
    }
    leaves::forget_group(turn.tx, group.id)?;
    held_posts::forget_group(turn.tx, group.id)?;
    for hook in turn.hooks.of::<dyn ConversationHook>() {
        hook.handle_group_forgotten(turn, group.id)?;
    }
    let counter = groups::forget(turn.tx, group.id)?;
    join(turn, post, true)?;
    // Others know this device's numbers.
    if !groups::set_own_counter(turn.tx, group.id, counter)? {
        turn.tx.execute_batch("ROLLBACK TO welcomed_again")?;
        turn.forget(group.id);
    }
    turn.tx.execute_batch("RELEASE welcomed_again")?;
    if inherited {
        groups::set_inherited(turn.tx, group.id)?;
    }
    Ok(())
}

/// Looks at a group that is being checked.
pub(crate) fn check(turn: &mut Turn<'_>, group: &GroupRecord) -> Result<(), Fault> {
    let known = turn.with_group(group.id, |group, _, _| {
        Ok::<_, MlsError>((group.members()?, group.secrets()?))
    })?;
    let Some(Ok((members, secrets))) = known else {
        return refuse(turn, group);
    };
    if !leaves::are_distinct(&members) {
        refuse(turn, group)?;
        return make_room(turn);
    }
    // The group was rekeyed last when its welcome came here.
    let came_at = group.rekeyed_at;
    let claimed = Claimed::InGroup(&secrets.addresses);
    // In parts: what was looked up for one of many stays good while the next are.
    let mut judgement = Judgement::Admitted;
    for some in members.chunks(JUDGED_AT_ONCE) {
        judgement = trust::judge(turn, some, claimed, came_at)?;
        if judgement != Judgement::Admitted {
            break;
        }
    }
    // A device that its account has revoked brings nobody into anything.
    let by = group_welcomers::welcomer(turn.tx, group.id)?.map(|by| by.device);
    let by = members.iter().find(|member| Some(member.device) == by);
    let is_revoked = match by {
        Some(by) if judgement == Judgement::Admitted => !trust::is_admitted_now(turn, by)?,
        _ => false,
    };
    match judgement {
        Judgement::Unknown => return Ok(()),
        Judgement::Refused | Judgement::Denied => refuse(turn, group)?,
        Judgement::Admitted if is_revoked => {
            let known = match &secrets.state {
                Some(state) => {
                    let id = ConversationId::from_bytes(state.conversation_id);
                    conversation::find(turn.tx, id)?.filter(|known| !known.left)
                }
                None => None,
            };
            if let Some(known) = known {
                groups::set_conversation(turn.tx, group.id, known.id)?;
            }
            refuse(turn, group)?;
            lost_groups::handle_revoked_welcomer(turn, group)?;
        }
        Judgement::Admitted => match group.account {
            Some(account) => admit(turn, group, account)?,
            None => take_over(turn, group, &secrets)?,
        },
    }
    acceptance::acknowledge_welcome(turn, group.id)?;
    make_room(turn)
}

/// Every leaf of a group of many is admitted: it holds its conversation, if its maker still may
/// have made it.
fn take_over(
    turn: &mut Turn<'_>,
    group: &GroupRecord,
    secrets: &ConversationSecrets,
) -> Result<(), Fault> {
    let welcomer = group_welcomers::welcomer(turn.tx, group.id)?;
    let (Some(state), Some(welcomer)) = (&secrets.state, welcomer) else {
        return refuse(turn, group);
    };
    match generations::check_welcome(turn, welcomer, group.id, state)? {
        Claim::Good => {
            let conversation = ConversationId::from_bytes(state.conversation_id);
            acceptance::handle_valid_welcome(turn, group, conversation)?;
            join_epochs::begin(turn, group.id)?;
            become_member(turn, group, secrets)
        }
        // What makes it good (that the group before it was broken, and by whom) may be waiting
        // for a look-up here.
        Claim::NotYet if turn.now.since(group.rekeyed_at) < WAITS_FOR => {
            turn.postpone(Postponed::Group(group.id), LOOK_AGAIN);
            Ok(())
        }
        Claim::NotYet | Claim::Bad => {
            turn.memory.lookups_mut().forget_outcomes();
            ending::close(turn, group)
        }
    }
}

/// A welcome to a group conversation is valid: this device is a member.
fn become_member(
    turn: &mut Turn<'_>,
    group: &GroupRecord,
    secrets: &ConversationSecrets,
) -> Result<(), Fault> {
    let Some(state) = &secrets.state else {
        return Ok(());
    };
    let conversation = ConversationId::from_bytes(state.conversation_id);
    let known = conversation::find(turn.tx, conversation)?;
    let replaces_group = known.as_ref().is_some_and(|known| !known.left) && state.generation > 1;
    let name = display_names::shown(&state.name);
    conversation::start_group(turn.tx, turn.now, conversation, &name)?;
    groups::set_conversation(turn.tx, group.id, conversation)?;
    group_state::enter(turn.tx, group.id, StateKind::Active)?;
    groups::set_membership_due(turn.tx, group.id)?;
    if groups::is_current(turn.tx, conversation, group.id)? {
        member_changes::follow(turn, group.id, None, secrets, None)?;
    }
    generations::handle_joined_generation(turn, conversation, group.id)?;
    if replaces_group {
        let event =
            history::add_event(turn.tx, turn.now, conversation, EventKind::MadeAnew, &name)?;
        turn.notify(Notice::Event(event));
    }
    turn.memory.due_mut().groups.insert(group.id);
    turn.memory.due_mut().conversations.insert(conversation);
    leaves::joined(turn, group.id)?;
    catch_up(turn, group)?;
    let Some(group) = groups::find(turn.tx, group.id)? else {
        return Ok(());
    };
    for hook in turn.hooks.of::<dyn ConversationHook>() {
        hook.handle_members_changed(turn, &group)?;
        hook.handle_readable(turn, group.id)?;
    }
    Ok(())
}

fn admit(turn: &mut Turn<'_>, group: &GroupRecord, account: AccountId) -> Result<(), Fault> {
    if account == turn.account()?.id() {
        let notes = notes::conversation(turn)?;
        return admit_to(turn, group, notes.id);
    }
    let Some(contact) = contact::of_account(turn.tx, account)? else {
        return refuse(turn, group);
    };
    let Ok(address) = Address::parse(&contact.display) else {
        return refuse(turn, group);
    };
    let existing = match conversation::with_account(turn.tx, account)? {
        Some(conversation) => Some(conversation),
        // One that waits for the address's owner to be known is theirs.
        None => conversation::with_address(turn.tx, &contact.address)?
            .map(|waiting| conversation::belongs_to(turn, waiting, account))
            .transpose()?,
    };
    let conversation = if let Some(conversation) = existing {
        conversation
    } else {
        let started = conversation::start(turn.tx, turn.now, turn.rng, &address, Some(account))?;
        for hook in turn.hooks.of::<dyn ConversationHook>() {
            hook.handle_started(turn, started.id, &address)?;
        }
        started
    };
    admit_to(turn, group, conversation.id)
}

fn admit_to(
    turn: &mut Turn<'_>,
    group: &GroupRecord,
    conversation: ConversationId,
) -> Result<(), Fault> {
    groups::set_conversation(turn.tx, group.id, conversation)?;
    group_state::enter(turn.tx, group.id, StateKind::Active)?;
    groups::set_membership_due(turn.tx, group.id)?;
    turn.memory.due_mut().groups.insert(group.id);
    turn.memory.lookups_mut().forget_outcomes();
    turn.memory.due_mut().conversations.insert(conversation);
    leaves::joined(turn, group.id)?;
    catch_up(turn, group)?;
    for hook in turn.hooks.of::<dyn ConversationHook>() {
        hook.handle_readable(turn, group.id)?;
    }
    Ok(())
}

/// A device that has asked to be taken in, or that knows the group from another's archive,
/// wants to hear what was said before.
fn catch_up(turn: &mut Turn<'_>, group: &GroupRecord) -> Result<(), Fault> {
    let inherited = groups::take_inherited(turn.tx, group.id)?;
    if !inherited && !lost_groups::has_requested(turn.tx, group.id)? {
        return Ok(lost_groups::clear_request(turn.tx, group.id)?);
    }
    lost_groups::clear_request(turn.tx, group.id)?;
    let Some(group) = groups::find(turn.tx, group.id)? else {
        return Ok(());
    };
    for hook in turn.hooks.of::<dyn ConversationHook>() {
        hook.handle_rejoined(turn, &group)?;
    }
    Ok(())
}

fn refuse(turn: &mut Turn<'_>, group: &GroupRecord) -> Result<(), Fault> {
    turn.memory.lookups_mut().forget_outcomes();
    turn.warn_misdeed(RelayMisdeed::MemberNotEntitled);
    ending::close(turn, group)?;
    lost_groups::restore_lost_group(turn, group)
}
