//! Who is who: whether a leaf belongs to the account that it claims, and an address to
//! the account that uses it.
//!
//! A leaf names its account; by which address that account takes part, the group's
//! creator says in the group's context. A leaf is *admitted* when the account's signed
//! roster has its device with its leaf key. A sender is *verified* when, besides, a look-up of the address gives the same
//! account. Look-ups are made on the posting link ([`lookups`]); welcomes wait for
//! them ([`welcomes`]), and so do commits that bring leaves the known roster does not
//! have ([`crate::conversation::commits`]).
//!
//! **Elsewhere**: checking a roster's chain is `waxwing_protocol::roster`; keeping it
//! is [`crate::contact`].
//!
//! **Always**: no leaf counts that was not admitted; the relay's word alone admits
//! nobody.

pub(crate) mod lookups;
pub(crate) mod welcomes;

use waxwing_protocol::{
    address::Address, conversation::MemberAddresses, ids::AccountId, pb::SignedStatement,
    roster::Roster,
};

use crate::{
    api::{EventKind, Notice, RelayMisdeed},
    contact::{self, Kept, NotBelieved},
    conversation::{self, Conversation, history},
    link::LookUpBy,
    mls::Member,
    turn::{Fault, Turn},
};

/// What is known of some leaves.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Judgement {
    /// Every one is admitted.
    Admitted,
    /// These look-ups are needed first.
    Unknown,
    /// One of them is not admitted by a fresh roster.
    Refused,
}

/// Whether the roster has the leaf's device with its key.
pub(crate) fn admits(roster: &Roster, member: &Member) -> bool {
    roster.account() == member.account
        && roster
            .device(member.device)
            .is_some_and(|device| device.leaf_key == member.leaf_key)
}

/// By which address an account is looked up.
#[derive(Clone, Copy)]
pub(crate) enum Claimed<'a> {
    /// The one that a welcome gives it: everybody is looked up anew, known or not.
    InWelcome(&'a MemberAddresses),
    /// The one that it is known by: who is known with this leaf is not looked up.
    Known,
}

/// Judges leaves by the rosters that are known. What is missing is looked up.
pub(crate) fn judge(
    turn: &mut Turn<'_>,
    members: &[Member],
    claimed: Claimed<'_>,
) -> Result<Judgement, Fault> {
    let mut judgement = Judgement::Admitted;
    for member in members {
        match judge_one(turn, member, claimed)? {
            Judgement::Admitted => {}
            Judgement::Unknown => judgement = Judgement::Unknown,
            Judgement::Refused => return Ok(Judgement::Refused),
        }
    }
    Ok(judgement)
}

fn judge_one(
    turn: &mut Turn<'_>,
    member: &Member,
    claimed: Claimed<'_>,
) -> Result<Judgement, Fault> {
    let own = turn.account()?;
    if member.account == own.id() {
        let admitted = admits(own.roster(), member);
        return Ok(if admitted {
            Judgement::Admitted
        } else {
            Judgement::Refused
        });
    }
    let known = contact::of_account(turn.tx, member.account)?;
    let address = match claimed {
        Claimed::InWelcome(addresses) => addresses.of(member.account).cloned(),
        Claimed::Known => known
            .as_ref()
            .and_then(|contact| Address::parse(&contact.display).ok()),
    };
    let Some(address) = address else {
        return Ok(Judgement::Refused);
    };
    let admitted = match &known {
        Some(contact) => admits(&contact.roster()?, member),
        None => false,
    };
    if admitted && matches!(claimed, Claimed::Known) {
        return Ok(Judgement::Admitted);
    }
    let by_address = LookUpBy::Address(address.canonical().to_owned());
    match turn.live.lookups.outcome(&by_address) {
        None => {
            turn.live.lookups.want(by_address);
            return Ok(Judgement::Unknown);
        }
        Some(lookups::Outcome::Account(account)) if *account == member.account => {
            return Ok(if admitted {
                Judgement::Admitted
            } else {
                Judgement::Refused
            });
        }
        Some(_) => {}
    }
    // The address is another's, or nobody's: the leaf may be the account's all the same.
    let by_account = LookUpBy::Account(member.account.0);
    match turn.live.lookups.outcome(&by_account) {
        None => {
            turn.live.lookups.want_as(by_account, address);
            Ok(Judgement::Unknown)
        }
        Some(_) => Ok(if admitted {
            Judgement::Admitted
        } else {
            Judgement::Refused
        }),
    }
}

/// Keeps what the relay said of somebody, if it holds; `false` if it does not. A new
/// owner of an address is marked in the conversation with the old one.
pub(crate) fn keep(
    turn: &mut Turn<'_>,
    account: AccountId,
    address: &Address,
    by_address: bool,
    statements: Vec<SignedStatement>,
) -> Result<bool, Fault> {
    match contact::keep(turn.tx, turn.now, account, address, by_address, statements) {
        Ok(Kept::Quiet) => Ok(true),
        Ok(Kept::OwnerChanged { before }) => {
            if let Some(old) = conversation::with_account(turn.tx, before)? {
                let kept = if let Some(other) = conversation::with_account(turn.tx, account)? {
                    // Known before, under another address or unverified: one history.
                    conversation::merge(turn.tx, old.id, other.id)?;
                    other.id
                } else {
                    conversation::set_account(turn.tx, old.id, account)?;
                    old.id
                };
                let event = history::add_event(
                    turn.tx,
                    turn.now,
                    kept,
                    EventKind::IdentityReset,
                    address.display(),
                )?;
                turn.notify(Notice::Event(event));
                turn.live.due_conversations.insert(kept);
            }
            Ok(true)
        }
        Err(NotBelieved::Store(error)) => Err(error.into()),
        Err(_) => {
            turn.warn_misdeed(RelayMisdeed::RosterFalse);
            Ok(false)
        }
    }
}

/// The conversation turned out to be with this account: gives the one that holds its
/// history.
pub(crate) fn belongs_to(
    turn: &mut Turn<'_>,
    conversation: Conversation,
    account: AccountId,
) -> Result<Conversation, Fault> {
    if conversation.account == Some(account) {
        return Ok(conversation);
    }
    if let Some(other) = conversation::with_account(turn.tx, account)? {
        if other.id != conversation.id {
            conversation::merge(turn.tx, conversation.id, other.id)?;
        }
        return Ok(other);
    }
    conversation::set_account(turn.tx, conversation.id, account)?;
    Ok(Conversation {
        account: Some(account),
        ..conversation
    })
}
