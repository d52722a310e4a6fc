//! Trust: whether a leaf belongs to the account it claims, and an address to the account that
//! uses it.
//!
//! A leaf names its account; the group's creator states in the group's context with which
//! address that account takes part. A leaf is *admitted* if the key log binds that address to
//! the account, and the account's signed roster, which the log proves, has the leaf's device
//! with its key. Look-ups are made and proved on the posting link ([`lookups`]), against the
//! log as this device has checked it ([`log`]). Welcomes wait for them
//! ([`crate::conversation::welcomes`]), and so do commits with leaves that the known roster does not have
//! ([`crate::conversation::commits`]). [`own_history`] checks what the log says about this
//! account; [`gossip`] compares heads with other people's; [`overdue_proofs`] tracks what was not
//! proved or compared for too long; the person may require [`auditors`]; warnings for the
//! person are kept as an [`alarm`].
//!
//! A roster names each device's leaf key, and anybody can name somebody else's key in their
//! own roster. In a group this gains them nothing: a leaf is signed by its key over its own
//! credential (RFC 9420 section 7.2), which names account and device, and a leaf counts only
//! for an account that it names and that names it. Outside groups there is no leaf to check: a
//! report shows a message with the roster alone ([`crate::message::report`]). A device's entry
//! in the roster therefore has a signature by the leaf key over the device's id; if an older
//! version left it out, a report says that the key is only claimed.
//!
//! **Elsewhere**: `waxwing_protocol::roster` checks a roster's chain; proofs are in
//! `waxwing_transparency`; [`crate::contact`] stores contacts.
//!
//! **Always**: a leaf that was not admitted never counts; the relay's word alone admits
//! nobody.

pub(crate) mod alarm;
pub(crate) mod auditors;
pub(crate) mod confusables;
pub(crate) mod gossip;
pub(crate) mod hooks;
pub(crate) mod known_heads;
pub(crate) mod log;
pub(crate) mod lookups;
pub(crate) mod overdue_proofs;
pub(crate) mod own_history;
pub(crate) mod safety_number;
#[cfg(test)]
mod tests;

use rusqlite::Transaction;
use waxwing_protocol::{
    address::Address,
    conversation::MemberAddresses,
    ids::AccountId,
    pb::SignedStatement,
    roster::Roster,
    time::{Span, Time},
};

use self::lookups::LookUpOutcome;
use crate::{
    api::{ConversationId, Problem, RelayMisdeed},
    contact::{self, Contact, ContactChange, NotBelieved},
    mls::Member,
    store::StoreError,
    turn::{Fault, Turn},
};

/// What other rooms do when something changes about a contact.
pub(crate) trait ContactHook: Sync {
    /// An account has become known.
    fn handle_new_contact(&self, _turn: &mut Turn<'_>, _account: AccountId) -> Result<(), Fault> {
        Ok(())
    }

    /// An account has added or revoked devices.
    fn handle_devices_changed(
        &self,
        _turn: &mut Turn<'_>,
        _account: AccountId,
    ) -> Result<(), Fault> {
        Ok(())
    }

    /// An account has no device any more: its owner has deleted it.
    fn handle_account_closed(
        &self,
        _turn: &mut Turn<'_>,
        _account: AccountId,
    ) -> Result<(), Fault> {
        Ok(())
    }

    /// An address has a new owner.
    fn handle_owner_changed(
        &self,
        _turn: &mut Turn<'_>,
        _change: &OwnerChange<'_>,
    ) -> Result<(), Fault> {
        Ok(())
    }
}

/// An address has a new owner, says the log.
pub(crate) struct OwnerChange<'a> {
    pub address: &'a Address,
    pub before: AccountId,
    pub now: AccountId,
    /// Whether the owner before had been verified in person.
    pub compared: bool,
}

/// What other rooms know of accounts.
pub(crate) trait Acquaintances: Sync {
    /// Whether this account has written to another, or compared safety numbers with it.
    fn is_known(&self, tx: &Transaction<'_>, account: AccountId) -> Result<bool, StoreError>;

    /// Whether an account that writes in a conversation is no stranger.
    fn is_acquainted(
        &self,
        tx: &Transaction<'_>,
        conversation: Option<ConversationId>,
        account: AccountId,
    ) -> Result<bool, StoreError>;
}

/// Whether a room above knows an account.
fn is_known(turn: &Turn<'_>, account: AccountId) -> Result<bool, StoreError> {
    for rooms in turn.hooks.of::<dyn Acquaintances>() {
        if rooms.is_known(turn.tx, account)? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Whether an account that writes in a conversation is no stranger to a room above.
fn is_acquainted(
    turn: &Turn<'_>,
    conversation: Option<ConversationId>,
    account: AccountId,
) -> Result<bool, StoreError> {
    for rooms in turn.hooks.of::<dyn Acquaintances>() {
        if rooms.is_acquainted(turn.tx, conversation, account)? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// What is known of some leaves.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Judgement {
    /// Every one is, or was, admitted by its account.
    Admitted,
    /// Look-ups are needed first.
    Unknown,
    /// One of them never was admitted, says a roster that was looked up since.
    Refused,
    /// The relay says that nobody has the address of one of them. That cannot be proved.
    Denied,
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
    /// The one that the group gives it.
    InGroup(&'a MemberAddresses),
    /// The one that it is known by.
    Known,
}

/// Somebody who is added to a group must have been looked up at most this long ago.
pub(crate) const GOOD_FOR: Span = Span::minutes(10);

/// Whether the roster has the leaf's device with its key, or had it.
fn vouches(roster: &Roster, member: &Member) -> bool {
    admits(roster, member)
        || (roster.account() == member.account
            && roster.admitted_once(member.device, &member.leaf_key))
}

/// Whether the account's roster, as it is known here, admits the leaf now.
pub(crate) fn is_admitted_now(turn: &Turn<'_>, member: &Member) -> Result<bool, Fault> {
    let own = turn.account()?;
    if member.account == own.id() {
        return Ok(admits(own.roster(), member));
    }
    Ok(match contact::of_account(turn.tx, member.account)? {
        Some(contact) => admits(&contact.roster()?, member),
        None => false,
    })
}

/// Judges new leaves by what was looked up since this time, when they came here. What is
/// missing is looked up.
///
/// A leaf that its account has revoked since is admitted too: whoever made it may not have
/// known, and whoever reads of both later cannot tell ([`crate::conversation::leaves`]).
pub(crate) fn judge(
    turn: &mut Turn<'_>,
    members: &[Member],
    claimed: Claimed<'_>,
    since: Time,
) -> Result<Judgement, Fault> {
    let mut judgement = Judgement::Admitted;
    for member in members {
        match judge_one(turn, member, claimed, since)? {
            Judgement::Admitted => {}
            Judgement::Unknown => judgement = Judgement::Unknown,
            refused => return Ok(refused),
        }
    }
    Ok(judgement)
}

/// Judges one of them.
pub(crate) fn judge_one(
    turn: &mut Turn<'_>,
    member: &Member,
    claimed: Claimed<'_>,
    since: Time,
) -> Result<Judgement, Fault> {
    let own = turn.account()?;
    if member.account == own.id() {
        let is_this = member.device == own.device() && member.leaf_key == own.leaf().public_key();
        if is_this {
            return Ok(Judgement::Admitted);
        }
        if !own_history::is_checked_since(turn, since) {
            own_history::want_since(turn, since);
            return Ok(Judgement::Unknown);
        }
        return Ok(Judgement::of(vouches(turn.account()?.roster(), member)));
    }
    let known = contact::of_account(turn.tx, member.account)?;
    let address = match claimed {
        Claimed::InGroup(addresses) => addresses.of(member.account).cloned(),
        Claimed::Known => known
            .as_ref()
            .and_then(|contact| Address::parse(&contact.display).ok()),
    };
    let Some(address) = address else {
        return Ok(Judgement::Refused);
    };
    match asked_since(turn, known.as_ref(), address.canonical(), since) {
        Some(LookUpOutcome::Account(account)) if account == member.account => {
            let vouched = match &known {
                Some(contact) => vouches(&contact.roster()?, member),
                None => false,
            };
            Ok(Judgement::of(vouched))
        }
        Some(LookUpOutcome::Account(_)) => Ok(Judgement::Refused),
        Some(LookUpOutcome::Nobody) => Ok(Judgement::Denied),
        None => {
            turn.memory
                .lookups_mut()
                .request_look_up(address.canonical());
            Ok(Judgement::Unknown)
        }
    }
}

/// Who has an address, if that was asked since this time.
fn asked_since(
    turn: &Turn<'_>,
    known: Option<&Contact>,
    address: &str,
    since: Time,
) -> Option<LookUpOutcome> {
    // A look-up that seems to be of the future was made before the clock was set back.
    let is_fresh = |contact: &&Contact| {
        contact.verified
            && contact.address == address
            && (since..=turn.now).contains(&contact.looked_up_at)
    };
    match known.filter(is_fresh) {
        Some(contact) => Some(LookUpOutcome::Account(contact.account)),
        None => turn
            .memory
            .lookups()?
            .outcome_since(address, since, turn.now),
    }
}

/// Judges whether this device may remove leaves: those of its own account always, those of others
/// when their account's roster does not admit them any more; what was looked up since this time
/// counts.
pub(crate) fn judge_removal(
    turn: &mut Turn<'_>,
    committer: &Member,
    removed: &[Member],
    since: Time,
) -> Result<Judgement, Fault> {
    for member in removed {
        if member.account == committer.account || is_known_to_be_gone(turn, member)? {
            continue;
        }
        if member.account == turn.account()?.id() {
            if own_history::is_checked_since(turn, since) {
                return Ok(Judgement::Refused);
            }
            own_history::want_since(turn, since);
            return Ok(Judgement::Unknown);
        }
        let Some(contact) = contact::of_account(turn.tx, member.account)? else {
            return Ok(Judgement::Refused);
        };
        // Revoked a moment ago, perhaps.
        match asked_since(turn, Some(&contact), &contact.address, since) {
            Some(LookUpOutcome::Account(account)) if account == member.account => {
                return Ok(Judgement::Refused);
            }
            // An account that has lost the address cannot be asked.
            Some(_) => {}
            None => {
                turn.memory.lookups_mut().request_look_up(&contact.address);
                return Ok(Judgement::Unknown);
            }
        }
    }
    Ok(Judgement::Admitted)
}

/// Whether the account is known and its roster does not admit the leaf.
fn is_known_to_be_gone(turn: &Turn<'_>, member: &Member) -> Result<bool, Fault> {
    let own = turn.account()?;
    if member.account == own.id() {
        return Ok(!admits(own.roster(), member));
    }
    Ok(match contact::of_account(turn.tx, member.account)? {
        Some(contact) => !admits(&contact.roster()?, member),
        None => false,
    })
}

impl Judgement {
    fn of(vouched: bool) -> Self {
        if vouched {
            Self::Admitted
        } else {
            Self::Refused
        }
    }
}

/// Keeps what the log says of an address's owner, which was asked at this time; `false` if it
/// contradicts what was known.
pub(crate) fn keep(
    turn: &mut Turn<'_>,
    account: AccountId,
    address: &Address,
    statements: Vec<SignedStatement>,
    asked_at: Time,
) -> Result<bool, Fault> {
    let is_new = contact::of_account(turn.tx, account)?.is_none();
    let kept = contact::store_look_up(turn.tx, asked_at, account, address, statements);
    if kept.is_ok() {
        overdue_proofs::record_look_up(turn, account)?;
    }
    if is_new && kept.is_ok() {
        for hook in turn.hooks.of::<dyn ContactHook>() {
            hook.handle_new_contact(turn, account)?;
        }
    }
    match kept {
        Ok(ContactChange::Unchanged) => Ok(true),
        Ok(ContactChange::DevicesChanged) => {
            for hook in turn.hooks.of::<dyn ContactHook>() {
                hook.handle_devices_changed(turn, account)?;
            }
            let is_closed = match contact::of_account(turn.tx, account)? {
                Some(contact) => contact.roster()?.devices().is_empty(),
                None => false,
            };
            if is_closed {
                for hook in turn.hooks.of::<dyn ContactHook>() {
                    hook.handle_account_closed(turn, account)?;
                }
            }
            Ok(true)
        }
        Ok(ContactChange::OwnerChanged { before, compared }) => {
            let change = OwnerChange {
                address,
                before,
                now: account,
                compared,
            };
            for hook in turn.hooks.of::<dyn ContactHook>() {
                hook.handle_owner_changed(turn, &change)?;
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
