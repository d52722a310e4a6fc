//! Groups of many: what people do with them, and what they show.
//!
//! **Elsewhere**: the tests are in `tests/tests/groups/`, `tests/tests/attacks/` and the simulation.

use waxwing_engine::{
    EventRefused,
    api::{
        ChangeGroup, ConversationId, CreateGroup, Entry, EventKind, Group, History, LeaveGroup,
        Message, MessageId, Of, Request, Response, SendText,
    },
};

use crate::{PersonId, RelayPort, World};

/// Somebody makes a group with these people.
pub fn create<R: RelayPort>(
    world: &mut World<R>,
    maker: PersonId,
    name: &str,
    members: &[PersonId],
) -> ConversationId {
    let create = CreateGroup {
        name: name.into(),
        members: addresses(world, members),
    };
    match world.command(maker, Request::CreateGroup(create)).unwrap() {
        Response::GroupCreated(created) => created.conversation,
        other => panic!("{other:?}"),
    }
}

/// The addresses of these people.
pub fn addresses<R: RelayPort>(world: &World<R>, people: &[PersonId]) -> Vec<String> {
    let address = |person: &PersonId| world.person(*person).address.clone();
    people.iter().map(address).collect()
}

/// Somebody changes a group.
pub fn change<R: RelayPort>(
    world: &mut World<R>,
    by: PersonId,
    group: ConversationId,
    change: ChangeGroup,
) -> Result<(), EventRefused> {
    let change = ChangeGroup {
        group: group.to_string(),
        ..change
    };
    world.command(by, Request::ChangeGroup(change)).map(drop)
}

/// Somebody leaves a group.
pub fn leave<R: RelayPort>(
    world: &mut World<R>,
    who: PersonId,
    group: ConversationId,
) -> Result<(), EventRefused> {
    leave_to(world, who, group, None)
}

/// Somebody leaves a group, and makes another member admin in their place.
pub fn leave_to<R: RelayPort>(
    world: &mut World<R>,
    who: PersonId,
    group: ConversationId,
    successor: Option<PersonId>,
) -> Result<(), EventRefused> {
    let successor = successor.and_then(|next| addresses(world, &[next]).pop());
    let leave = LeaveGroup {
        of: group.to_string(),
        successor,
    };
    world.command(who, Request::LeaveGroup(leave)).map(drop)
}

/// Somebody writes to a group.
pub fn say<R: RelayPort>(
    world: &mut World<R>,
    who: PersonId,
    group: ConversationId,
    text: &str,
) -> Result<MessageId, EventRefused> {
    let send = SendText {
        to: group.to_string(),
        text: text.into(),
        ..SendText::default()
    };
    world
        .command(who, Request::Send(send))
        .map(|sent| match sent {
            Response::Sent(sent) => sent.id,
            other => panic!("{other:?}"),
        })
}

/// A group as somebody's device shows it; `None` where it does not know it.
pub fn show<R: RelayPort>(
    world: &mut World<R>,
    who: PersonId,
    group: ConversationId,
) -> Option<Group> {
    let of = group.to_string();
    match world.command(who, Request::Group(Of { of })) {
        Ok(Response::Group(group)) => Some(*group),
        Ok(other) => panic!("{other:?}"),
        Err(refused) if refused.problem.code() == "conversation_unknown" => None,
        Err(refused) => panic!("{refused}"),
    }
}

/// The members as somebody's device shows them: addresses without what follows the @, admins
/// with a star.
pub fn members<R: RelayPort>(
    world: &mut World<R>,
    who: PersonId,
    group: ConversationId,
) -> Vec<String> {
    let Some(group) = show(world, who, group) else {
        return Vec::new();
    };
    let name = |address: &str| address.split('@').next().unwrap().to_owned();
    let star = |admin| if admin { "*" } else { "" };
    let members = group.members.iter();
    members
        .map(|member| format!("{}{}", name(&member.address), star(member.admin)))
        .collect()
}

/// The newest thousand entries of a conversation.
pub fn entries<R: RelayPort>(
    world: &mut World<R>,
    who: PersonId,
    group: ConversationId,
) -> Vec<Entry> {
    let history = History {
        of: group.to_string(),
        limit: None,
        before: None,
        search: None,
        ..Default::default()
    };
    match world.command(who, Request::History(history)) {
        Ok(Response::History(waxwing_engine::api::HistoryPage { entries, .. })) => entries,
        Ok(other) => panic!("{other:?}"),
        Err(refused) if refused.problem.code() == "conversation_unknown" => Vec::new(),
        Err(refused) => panic!("{refused}"),
    }
}

/// The messages among them.
pub fn messages<R: RelayPort>(
    world: &mut World<R>,
    who: PersonId,
    group: ConversationId,
) -> Vec<Message> {
    let entries = entries(world, who, group).into_iter();
    entries
        .filter_map(|entry| match entry {
            Entry::Message(message) => Some(message),
            _ => None,
        })
        .collect()
}

/// Their texts.
pub fn texts<R: RelayPort>(
    world: &mut World<R>,
    who: PersonId,
    group: ConversationId,
) -> Vec<String> {
    let messages = messages(world, who, group).into_iter();
    messages.map(|message| message.text).collect()
}

/// What happened to a group, as somebody's device tells it: event, whom it concerns, by whom.
pub fn events<R: RelayPort>(
    world: &mut World<R>,
    who: PersonId,
    group: ConversationId,
) -> Vec<(EventKind, String, Option<String>)> {
    let entries = entries(world, who, group).into_iter();
    entries
        .filter_map(|entry| match entry {
            Entry::Event(event) => Some((event.event, event.address, event.by)),
            _ => None,
        })
        .collect()
}
