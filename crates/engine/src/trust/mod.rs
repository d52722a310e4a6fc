//! Who is who: whether a leaf belongs to the account that it claims, and an address to
//! the account that uses it.
//!
//! A leaf names its account; by which address that account takes part, the group's
//! creator says in the group's context. A leaf is *admitted* when the key log binds that
//! address to the account, and the account's signed roster, which the log vouches for, has
//! the leaf's device with its key. Look-ups are made and proved on the posting link
//! ([`lookups`]), against the log as this device follows it ([`log`]); welcomes wait for
//! them ([`welcomes`]), and so do commits that bring leaves the known roster does not have
//! ([`crate::conversation::commits`]). What the log says of this very account is checked
//! in [`own_history`]; heads are compared with other people's in [`gossip`]; what was not
//! proved or compared for too long is [`overdue`]; the person may require [`auditors`]; what
//! they must know is kept as an [`alarm`].
//!
//! **Elsewhere**: checking a roster's chain is `waxwing_protocol::roster`; proofs are
//! `waxwing_transparency`; keeping contacts is [`crate::contact`].
//!
//! **Always**: no leaf counts that was not admitted; the relay's word alone admits
//! nobody.

pub(crate) mod alarm;
pub(crate) mod auditors;
pub(crate) mod chain;
pub(crate) mod confusables;
pub(crate) mod gossip;
pub(crate) mod log;
pub(crate) mod lookups;
pub(crate) mod overdue;
pub(crate) mod own_history;
pub(crate) mod safety_number;
#[cfg(test)]
mod tests;
pub(crate) mod welcomes;

use waxwing_protocol::{
    address::Address,
    conversation::MemberAddresses,
    ids::AccountId,
    pb::SignedStatement,
    roster::Roster,
    time::{Span, Time},
};

use crate::{
    api::{EventKind, Notice, Problem, RelayMisdeed},
    clock::Passed as _,
    contact::{self, Kept, NotBelieved},
    conversation::{self, Conversation, history},
    link::Job,
    mls::Member,
    registers::apply,
    turn::{Fault, Turn},
};

/// The own roster, once compared with the log, is good for this long when a leaf is judged.
const OWN_ROSTER_FRESH: Span = Span::seconds(10);

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
    /// The one that a group of many gives it: who is known by it with this leaf, and was
    /// looked up not long ago, is not looked up.
    InGroup(&'a MemberAddresses),
    /// The one that it is known by: who is known with this leaf is not looked up.
    Known,
}

/// A look-up of a group's member is good for this long.
pub(crate) const GOOD_FOR: Span = Span::hours(6);

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
        if admits(own.roster(), member) {
            return Ok(Judgement::Admitted);
        }
        // A device that another one has admitted, perhaps: the log knows.
        return Ok(own_roster_judgement(turn, member));
    }
    let known = contact::of_account(turn.tx, member.account)?;
    let address = match claimed {
        Claimed::InWelcome(addresses) | Claimed::InGroup(addresses) => {
            addresses.of(member.account).cloned()
        }
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
    let now = turn.now;
    let suffices = match claimed {
        Claimed::InWelcome(_) => false,
        Claimed::Known => true,
        Claimed::InGroup(_) => known.as_ref().is_some_and(|contact| {
            contact.verified
                && contact.address == address.canonical()
                && !now.is_past(contact.looked_up_at, GOOD_FOR)
        }),
    };
    if admitted && suffices {
        return Ok(Judgement::Admitted);
    }
    match turn.live.lookups.outcome(address.canonical(), now) {
        None => {
            turn.live.lookups.want(address.canonical());
            Ok(Judgement::Unknown)
        }
        Some(lookups::Outcome::Account(account)) if account == member.account && admitted => {
            Ok(Judgement::Admitted)
        }
        // The address is another's or nobody's, or the owner's roster has no such device.
        Some(_) => Ok(doubted(turn, member, address.canonical())),
    }
}

/// What was looked up speaks against a leaf: if it was not, it is looked up again.
fn doubted(turn: &mut Turn<'_>, member: &Member, address: &str) -> Judgement {
    let now = turn.now;
    let lookups = &mut turn.live.lookups;
    let made_at = lookups.made_at(address).unwrap_or(Time(0));
    if lookups.settles(member.leaf_key, made_at, now) {
        return Judgement::Refused;
    }
    lookups.forget(address);
    lookups.want(address);
    Judgement::Unknown
}

/// Judges whether leaves may be taken out by this device: those of its own account always,
/// those of others when their account's fresh roster does not admit them any more.
pub(crate) fn judge_removal(
    turn: &mut Turn<'_>,
    committer: &Member,
    removed: &[Member],
) -> Result<Judgement, Fault> {
    for member in removed {
        if member.account == committer.account {
            continue;
        }
        if member.account == turn.account()?.id() {
            if admits(turn.account()?.roster(), member) {
                return Ok(own_roster_judgement(turn, member));
            }
            continue;
        }
        let Some(contact) = contact::of_account(turn.tx, member.account)? else {
            return Ok(Judgement::Refused);
        };
        if !admits(&contact.roster()?, member) {
            continue;
        }
        // Revoked a moment ago, perhaps.
        let now = turn.now;
        if turn.live.lookups.outcome(&contact.address, now).is_some() {
            return Ok(doubted(turn, member, &contact.address));
        }
        turn.live.lookups.want(&contact.address);
        return Ok(Judgement::Unknown);
    }
    Ok(Judgement::Admitted)
}

/// A leaf of this account is not as the own roster has it: the log may know better.
fn own_roster_judgement(turn: &mut Turn<'_>, member: &Member) -> Judgement {
    let now = turn.now;
    match turn.live.own_history {
        own_history::Check::Done(at) if !now.is_past(at, OWN_ROSTER_FRESH) => {
            if turn.live.links.mailbox.awaits(&Job::FetchHistory) {
                Judgement::Unknown
            } else if turn.live.lookups.settles(member.leaf_key, at, now) {
                Judgement::Refused
            } else {
                own_history::want(turn);
                Judgement::Unknown
            }
        }
        _ => {
            own_history::want(turn);
            Judgement::Unknown
        }
    }
}

/// Keeps what the log says of an address's owner; `false` if it contradicts what was known.
/// A new owner is marked in the conversation with the old one; where the old one had been
/// verified in person, nothing more is sent until the person decides.
pub(crate) fn keep(
    turn: &mut Turn<'_>,
    account: AccountId,
    address: &Address,
    statements: Vec<SignedStatement>,
) -> Result<bool, Fault> {
    let is_new = contact::of_account(turn.tx, account)?.is_none();
    let kept = contact::keep(turn.tx, turn.now, account, address, statements);
    if kept.is_ok() {
        overdue::looked_up(turn, account)?;
    }
    if is_new && kept.is_ok() {
        apply::contact_came(turn, account)?;
    }
    match kept {
        Ok(Kept::Quiet) => Ok(true),
        Ok(Kept::Grown) => {
            let due = conversation::groups::membership_due(turn.tx, Some(account))?;
            turn.live.due_groups.extend(due);
            Ok(true)
        }
        Ok(Kept::OwnerChanged { before, compared }) => {
            if let Some(old) = conversation::with_account(turn.tx, before)? {
                let kept = if let Some(other) = conversation::with_account(turn.tx, account)? {
                    // Known before, under another address: one history.
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
                if compared {
                    conversation::set_stopped(turn.tx, kept, true)?;
                    let found = conversation::find(turn.tx, kept)?;
                    if let Some(found) = found {
                        let problem = Problem::ContactChanged {
                            address: address.display().to_owned(),
                        };
                        conversation::start::tell_waiting(turn, &found, &problem)?;
                        alarm::raise(turn, &problem)?;
                    }
                }
                turn.live.due_conversations.insert(kept);
            }
            Ok(true)
        }
        Err(NotBelieved::Store(error)) => Err(error.into()),
        Err(NotBelieved::Rewritten) => {
            let what = RelayMisdeed::RosterRolledBack;
            alarm::raise(turn, &Problem::RelayMisbehaves { what })?;
            Ok(false)
        }
        Err(NotBelieved::Roster(_) | NotBelieved::AnotherAccount) => {
            let what = RelayMisdeed::RosterFalse;
            alarm::raise(turn, &Problem::RelayMisbehaves { what })?;
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
