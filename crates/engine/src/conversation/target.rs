//! What a person means by a name: a conversation, or an address to which nobody here has written.
//!
//! **Elsewhere**: how names are shown is in [`super::display_names`].

use rusqlite::Transaction;
use waxwing_protocol::address::{Address, AddressKind};

use super::{
    Conversation,
    sms_names::{find_sms, sms_name},
};
use crate::{
    api::{ConversationId, Problem},
    contact::{self, Contact},
    store::StoreError,
    synced_settings,
    turn::EventError,
};

/// What a name means.
pub(crate) enum Target {
    Conversation(Conversation),
    /// An address that nobody here has written to or heard from.
    Address(Address),
}

/// Finds what is meant by an address or a conversation's id.
pub(crate) fn find(tx: &Transaction<'_>, name: &str) -> Result<Target, EventError> {
    if let Ok(id) = name.trim().parse::<ConversationId>() {
        return match super::find(tx, id)? {
            Some(conversation) => Ok(Target::Conversation(conversation)),
            None => Err(EventError::Refused(Problem::ConversationUnknown {
                name: name.trim().to_owned(),
            })),
        };
    }
    if name.trim().starts_with("sms:") {
        let name = name.trim();
        return match find_sms(tx, &sms_name_meant(name))? {
            Some(conversation) => Ok(Target::Conversation(conversation)),
            None => Err(EventError::Refused(Problem::ConversationUnknown {
                name: name.to_owned(),
            })),
        };
    }
    let address = match parse_address(name) {
        Ok(address) => address,
        Err(malformed) => return named(tx, name.trim())?.ok_or(malformed),
    };
    Ok(match super::with_address(tx, address.canonical())? {
        Some(conversation) => Target::Conversation(conversation),
        None => Target::Address(address),
    })
}

/// The group that is called so, or the person who has this nickname, if it is one's only.
fn named(tx: &Transaction<'_>, name: &str) -> Result<Option<Target>, EventError> {
    let mut groups = super::named(tx, name)?;
    let mut people = nicknamed(tx, name)?;
    if groups.len() > 1 && people.is_empty() {
        let name = name.to_owned();
        return Err(EventError::Refused(Problem::GroupNameAmbiguous { name }));
    }
    match (groups.pop(), people.pop()) {
        (None, None) => Ok(None),
        (Some(found), None) => Ok(Some(Target::Conversation(found))),
        (None, Some(person)) if people.is_empty() => {
            match super::with_account(tx, person.account)? {
                Some(found) => Ok(Some(Target::Conversation(found))),
                None => Ok(Some(Target::Address(parse_address(&person.display)?))),
            }
        }
        _ => Err(EventError::Refused(Problem::NameAmbiguous {
            name: name.to_owned(),
        })),
    }
}

/// The contacts that this account's person calls so; capitals do not matter.
fn nicknamed(tx: &Transaction<'_>, name: &str) -> Result<Vec<Contact>, StoreError> {
    let mut found = Vec::new();
    for account in synced_settings::nicknamed(tx, name)? {
        found.extend(contact::of_account(tx, account)?);
    }
    Ok(found)
}

/// Whose address a person means: in whatever form it is written, or by their nickname.
pub(crate) fn person_meant(tx: &Transaction<'_>, name: &str) -> Result<Address, EventError> {
    let malformed = match parse_address(name) {
        Ok(address) => return Ok(address),
        Err(malformed) => malformed,
    };
    let mut people = nicknamed(tx, name.trim())?;
    match (people.pop(), people.is_empty()) {
        (None, _) => Err(malformed),
        (Some(person), true) => parse_address(&person.display),
        (Some(_), false) => Err(EventError::Refused(Problem::NameAmbiguous {
            name: name.trim().to_owned(),
        })),
    }
}

/// The address that a person means, in whatever form it is written.
pub(crate) fn parse_address(address: &str) -> Result<Address, EventError> {
    Address::parse(address).map_err(|error| {
        EventError::Refused(Problem::AddressMalformed {
            address: address.trim().to_owned(),
            reason: error.into(),
        })
    })
}

/// The name of a conversation as it is kept, however a number in it is written.
fn sms_name_meant(name: &str) -> String {
    let value = name.strip_prefix("sms:").unwrap_or(name).trim();
    match Address::parse(value) {
        Ok(address) if address.kind() == AddressKind::Phone => sms_name(address.canonical(), true),
        _ => format!("sms:{value}"),
    }
}
