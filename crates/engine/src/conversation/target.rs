//! What a person means by a name: a conversation, or an address to which nobody here has written.
//!
//! **Elsewhere**: how names are shown is in [`super::display_names`].

use rusqlite::Transaction;
use waxwing_protocol::address::{Address, AddressKind};

use super::{Conversation, Kind};
use crate::{
    api::{ConversationId, Problem},
    store::StoreError,
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
        // The name of a group, if it is one's only.
        Err(malformed) => {
            let mut named = super::named(tx, name.trim())?;
            return match (named.pop(), named.is_empty()) {
                (Some(found), true) => Ok(Target::Conversation(found)),
                (Some(found), false) => Err(EventError::Refused(Problem::GroupNameAmbiguous {
                    name: found.display,
                })),
                (None, _) => Err(malformed),
            };
        }
    };
    Ok(match super::with_address(tx, address.canonical())? {
        Some(conversation) => Target::Conversation(conversation),
        None => Target::Address(address),
    })
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

/// The conversation that is called so.
pub(crate) fn find_sms(
    tx: &Transaction<'_>,
    name: &str,
) -> Result<Option<Conversation>, StoreError> {
    super::one_of_kind(tx, Kind::Sms, name)
}

/// What a conversation with a number or a name is called.
pub(crate) fn sms_name(value: &str, is_number: bool) -> String {
    let looks_like_number = value.bytes().all(|one| one.is_ascii_digit() || one == b'+');
    if is_number || !looks_like_number {
        format!("sms:{value}")
    } else {
        // A name that looks like a number is not that number.
        format!("sms:\"{value}\"")
    }
}

/// The name of a conversation as it is kept, however a number in it is written.
fn sms_name_meant(name: &str) -> String {
    let value = name.strip_prefix("sms:").unwrap_or(name).trim();
    match Address::parse(value) {
        Ok(address) if address.kind() == AddressKind::Phone => sms_name(address.canonical(), true),
        _ => format!("sms:{value}"),
    }
}
