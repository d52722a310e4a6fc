//! Profiles: a name and a picture that an account's contacts see.
//!
//! They are sent inside conversations of two, to people to whom the account has written; the
//! relay sees only messages. The profiles of others are kept as synced settings, so that new
//! devices get them too.
//!
//! **Elsewhere**: nicknames, which the person gives and which are shown first, are synced
//! settings.
//!
//! **Always**: a name is shown beside the verified address, never instead of it, because
//! anybody can choose any name.

use prost::Message as _;
use rusqlite::Transaction;
use waxwing_protocol::{
    ids::AccountId,
    limits,
    pb::{Envelope, Profile, envelope},
    time::Time,
};

use crate::{
    api::{self, ConversationId, Notice, Problem, Response, Synced},
    conversation::{
        self, Conversation, Kind,
        above::{ConversationHook, FirstWritten, Said},
        acquaintance, display_names, group_commands,
        groups::GroupRecord,
        target::{self, Target},
    },
    mls::Member,
    outbox,
    synced_settings::{self, SettingKind, SyncedSetting},
    turn::{EventError, Fault, Turn},
};

/// The room's hooks.
pub(crate) struct Profiles;

impl ConversationHook for Profiles {
    fn handle_envelope(
        &self,
        turn: &mut Turn<'_>,
        said: &Said<'_>,
        body: &envelope::Body,
    ) -> Result<(), Fault> {
        match body {
            envelope::Body::Profile(profile) => {
                handle_profile(turn, said.group, said.member, profile.clone(), said.sent_at)
            }
            _ => Ok(()),
        }
    }

    fn handle_first_written(
        &self,
        turn: &mut Turn<'_>,
        written: &FirstWritten<'_>,
    ) -> Result<(), Fault> {
        if written.by_this_device {
            send_profile(turn, written.conversation)?;
        }
        Ok(())
    }
}

/// The key of the account's own profile.
const OWN: &[u8] = b"own";

/// Sets the own profile, and sends it to all who are to have it.
pub(crate) fn set(turn: &mut Turn<'_>, set: &api::SetProfile) -> Result<Response, EventError> {
    if turn.memory.account.is_none() {
        return Err(EventError::Refused(Problem::NotRegistered));
    }
    let mut profile = read(turn.tx, SettingKind::Profile, OWN)?;
    if let Some(name) = &set.name {
        profile.name = harmless(name).ok_or(EventError::Refused(Problem::ProfileNameInvalid))?;
    }
    if let Some(picture) = &set.picture {
        profile.picture = group_commands::checked_picture(picture)?.into();
    }
    synced_settings::set(turn, SettingKind::Profile, OWN, &profile.encode_to_vec())?;
    for found in conversation::all(turn.tx)? {
        let is_told = found.kind == Kind::Direct && found.written_to;
        if is_told && !acquaintance::is_blocked(turn, &found)? {
            queue_profile(turn, found.id, profile.clone())?;
        }
    }
    Ok(Response::Done {})
}

/// Somebody was written to for the first time: they get the profile, if there is one.
fn send_profile(turn: &mut Turn<'_>, conversation: &Conversation) -> Result<(), Fault> {
    if conversation.kind != Kind::Direct {
        return Ok(());
    }
    let profile = read(turn.tx, SettingKind::Profile, OWN)?;
    if profile == Profile::default() {
        return Ok(());
    }
    queue_profile(turn, conversation.id, profile)
}

fn queue_profile(
    turn: &mut Turn<'_>,
    conversation: ConversationId,
    profile: Profile,
) -> Result<(), Fault> {
    let envelope = Envelope {
        sent_at_ms: turn.now.0,
        body: Some(envelope::Body::Profile(profile)),
        ..Envelope::default()
    };
    let bytes = envelope.encode_to_vec();
    outbox::add(turn.tx, turn.now, conversation, None, &bytes, None)?;
    turn.memory.due_mut().conversations.insert(conversation);
    Ok(())
}

/// Somebody says what they are called.
fn handle_profile(
    turn: &mut Turn<'_>,
    group: &GroupRecord,
    member: &Member,
    profile: Profile,
    sent_at: Time,
) -> Result<(), Fault> {
    // Of two people's conversation only; the own one comes to the own devices otherwise.
    if group.account != Some(member.account) || member.account == turn.account()?.id() {
        return Ok(());
    }
    let name = harmless(&profile.name);
    let (Some(name), true) = (name, profile.picture.len() <= limits::PICTURE_BYTES) else {
        return Ok(());
    };
    let picture = profile.picture;
    let register = SyncedSetting {
        kind: SettingKind::TheirProfile as u32,
        key: member.account.0.to_vec(),
        value: Profile { name, picture }.encode_to_vec(),
        changed_at: Time(sent_at.0.min(turn.now.0)),
        device: member.device,
    };
    if synced_settings::store_if_later(turn.tx, &register, false)? {
        turn.notify(Notice::Synced(Synced {
            conversation: group.conversation,
        }));
    }
    Ok(())
}

/// What a contact calls themselves.
pub(crate) fn name_of(
    tx: &Transaction<'_>,
    account: AccountId,
) -> Result<Option<String>, crate::store::StoreError> {
    let profile = read(tx, SettingKind::TheirProfile, &account.0)?;
    Ok((!profile.name.is_empty()).then_some(profile.name))
}

fn read(
    tx: &Transaction<'_>,
    about: SettingKind,
    key: &[u8],
) -> Result<Profile, crate::store::StoreError> {
    let value = synced_settings::value(tx, about, key)?;
    Ok(Profile::decode(value.as_slice()).unwrap_or_default())
}

/// The own profile, or that of somebody.
pub(crate) fn show(turn: &Turn<'_>, asked: &api::AskProfile) -> Result<Response, EventError> {
    let profile = match &asked.of {
        None => read(turn.tx, SettingKind::Profile, OWN)?,
        Some(of) => {
            let found = match target::find(turn.tx, of)? {
                Target::Conversation(found) => found.account,
                Target::Address(_) => None,
            };
            let name = of.clone();
            let account =
                found.ok_or(EventError::Refused(Problem::ConversationUnknown { name }))?;
            read(turn.tx, SettingKind::TheirProfile, &account.0)?
        }
    };
    Ok(Response::Profile(api::Profile {
        profile_name: profile.name,
        picture: data_encoding::BASE64.encode(&profile.picture),
    }))
}

/// A name without what is not seen, or turns what stands beside it around; `None` where it
/// is too long, or reads as an address.
fn harmless(name: &str) -> Option<String> {
    let seen = |c: &char| !display_names::is_unseen(*c);
    let name: String = name.chars().filter(seen).collect();
    let name = name.trim();
    let fits = name.len() <= limits::PROFILE_NAME_BYTES;
    // Nobody must be mistaken for the person who has that address.
    (fits && !display_names::reads_as_address(name)).then(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_nothing_that_is_not_seen() {
        assert_eq!(harmless(" Bob\u{202e}\n ").unwrap(), "Bob");
        assert_eq!(harmless(&"x".repeat(129)), None);
    }

    #[test]
    fn a_name_is_not_an_address() {
        for name in ["alice@example.org", "(alice@example.org)", "+358401234567"] {
            assert_eq!(harmless(name), None, "{name}");
        }
        for name in ["Alice", "Alice @ work", "Nr. 5"] {
            assert_eq!(harmless(name).unwrap(), name);
        }
    }
}
