//! What is asked without changing anything.

use rusqlite::Transaction;
use sha2::{Digest as _, Sha256};
use waxwing_protocol::ids::AccountId;

use crate::{
    account,
    api::{self, Account, Contact, Problem, ProblemReport, RegistrationStage, Response, Status},
    commands::{self, Target},
    contact,
    conversation::{
        self,
        groups::{self, GroupState},
        history,
    },
    engine::Stop,
    inbox::heard,
    link::{Phase, registration, tokens},
    outbox, settings,
    turn::Turn,
};

/// The suite of all groups, as people read it.
const SUITE: &str = "MLS_256_XWING_CHACHA20POLY1305_SHA256_Ed25519 (0x004D)";

pub(crate) fn history(tx: &Transaction<'_>, asked: &api::History) -> Result<Response, Stop> {
    let found = match commands::target(tx, &asked.of)? {
        Target::Conversation(conversation) => conversation,
        Target::Address(address) => {
            let name = address.display().to_owned();
            return Err(Stop::Refused(Problem::ConversationUnknown { name }));
        }
    };
    if let Some(before) = asked.before
        && !history::has_message(tx, found.id, before)?
    {
        return Err(Stop::Refused(Problem::MessageUnknown));
    }
    let limit = asked
        .limit
        .unwrap_or(history::ENTRIES_MAX)
        .min(history::ENTRIES_MAX);
    let (entries, more) =
        history::entries(tx, found.id, limit, asked.before, asked.search.as_deref())?;
    Ok(Response::History { entries, more })
}

pub(crate) fn contacts(turn: &Turn<'_>) -> Result<Response, Stop> {
    let own = turn.live.account.as_ref().map(crate::account::Account::id);
    let contacts = contact::all(turn.tx)?
        .into_iter()
        .map(|contact| Contact {
            address: contact.display,
            verified: contact.verified,
            blocked: contact.blocked,
            account_id: contact.account.to_string(),
            safety_number: own.map_or_else(String::new, |own| safety_number(own, contact.account)),
        })
        .collect();
    Ok(Response::Contacts { contacts })
}

pub(crate) fn conversations(tx: &Transaction<'_>) -> Result<Response, Stop> {
    let mut conversations = Vec::new();
    for found in conversation::all(tx)? {
        let verified = match found.account {
            Some(account) => {
                contact::of_account(tx, account)?.is_some_and(|contact| contact.verified)
            }
            None => false,
        };
        let (mut last, _) = history::entries(tx, found.id, 1, None, None)?;
        conversations.push(api::Conversation {
            id: found.id,
            with: found.display,
            verified,
            unread: history::unread(tx, found.id)?,
            last: last.pop(),
        });
    }
    Ok(Response::Conversations { conversations })
}

pub(crate) fn account(turn: &Turn<'_>) -> Result<Response, Stop> {
    let registration = registration::read(turn.tx)?;
    let relay = settings::relay(turn.tx)?;
    let own = turn.live.account.as_ref();
    let (stage, address) = registration.map_or((RegistrationStage::None, None), |registration| {
        (registration.stage, Some(registration.address))
    });
    let registered = stage == RegistrationStage::Registered;
    Ok(Response::Account(Box::new(Account {
        registration: stage,
        address,
        account_id: own.map(|own| own.id().to_string()),
        device_id: own.map(|own| own.device().to_string()),
        relay: relay.as_ref().map(|relay| relay.url.clone()),
        pin: relay.and_then(|relay| relay.pin),
        recovery_words: if registered {
            account::recovery_words(turn.tx)?
        } else {
            None
        },
    })))
}

pub(crate) fn status(
    turn: &Turn<'_>,
    link_problem: Option<ProblemReport>,
) -> Result<Response, Stop> {
    let links = &turn.live.links;
    let in_state = |state| groups::in_state(turn.tx, state).map(|groups| groups.len() as u64);
    Ok(Response::Status(Box::new(Status {
        registration: registration::read(turn.tx)?
            .map_or(RegistrationStage::None, |registration| registration.stage),
        online: links.mailbox.phase == Phase::LoggedIn,
        clock_skew_ms: links.clock_skew_ms,
        outbox: outbox::waiting(turn.tx)?,
        receipts: outbox::waiting_unwritten(turn.tx)? + outbox::receipts::owed(turn.tx)?,
        tokens: tokens::count(turn.tx)?,
        key_packages: links.key_packages_left.map(u64::from),
        rejoining: in_state(GroupState::Lost)?,
        welcomes_held: in_state(GroupState::Checking)?,
        missing: heard::missing_in_all(turn.tx)?,
        suite: SUITE.to_owned(),
        problems: link_problem.into_iter().collect(),
    })))
}

/// What two people compare: the same for both, and another when one starts over. 60
/// digits in groups of five.
fn safety_number(one: AccountId, other: AccountId) -> String {
    let (first, second) = if one < other {
        (one, other)
    } else {
        (other, one)
    };
    let hash = Sha256::new()
        .chain_update(b"waxwing safety number v1")
        .chain_update(first.as_bytes())
        .chain_update(second.as_bytes())
        .finalize();
    // 12 groups need 12 numbers: two bytes and more of each hash of a counter.
    let groups: Vec<String> = (0_u8..12)
        .map(|group| {
            let block = Sha256::new()
                .chain_update(hash)
                .chain_update([group])
                .finalize();
            let number = block
                .iter()
                .take(8)
                .fold(0_u64, |sum, byte| sum << 8 | u64::from(*byte));
            format!("{:05}", number % 100_000)
        })
        .collect();
    groups.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_safety_number_is_the_same_for_both_and_another_for_others() {
        let [a, b, c] = [1, 2, 3].map(|n| AccountId([n; 32]));
        assert_eq!(safety_number(a, b), safety_number(b, a));
        assert_ne!(safety_number(a, b), safety_number(a, c));
        assert_eq!(safety_number(a, b).len(), 71);
    }
}
