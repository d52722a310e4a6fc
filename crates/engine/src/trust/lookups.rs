//! Look-ups: asking the relay who is behind an address or an account.
//!
//! **Always**: what is wanted is asked once, and its outcome is remembered until those
//! who wanted it were judged; it is in memory only, so that it is always fresh.

use std::collections::{BTreeMap, HashMap};

use waxwing_protocol::{
    address::Address,
    ids::AccountId,
    pb::{Error, ErrorCode, LookUp, LookedUp, client_frame::Body, look_up::By},
};

use crate::{
    api::RelayMisdeed,
    conversation::start::retry_after,
    event::LinkKind,
    link::{Job, LookUpBy},
    turn::{Fault, Turn, Waiting},
};

/// Look-ups that may be wanted at a time.
const WANTED_MAX: usize = 256;

/// Look-ups that may be on their way at a time.
const AT_ONCE: usize = 16;

/// What a look-up gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// This account, with a roster that holds.
    Account(AccountId),
    /// Nobody, or somebody whose roster does not hold.
    Nobody,
}

/// Look-ups that are wanted, and what those gave that were made.
#[derive(Default)]
pub(crate) struct LookUps {
    /// With the address that an account claims, where it is looked up by account.
    wanted: BTreeMap<LookUpBy, Option<Address>>,
    done: HashMap<LookUpBy, Outcome>,
}

impl LookUps {
    /// What it gave, if it was made.
    pub(crate) fn outcome(&self, by: &LookUpBy) -> Option<&Outcome> {
        self.done.get(by)
    }

    /// It is to be made.
    pub(crate) fn want(&mut self, by: LookUpBy) {
        if self.wanted.len() < WANTED_MAX {
            self.wanted.entry(by).or_default();
        }
    }

    /// It is to be made by account, which claims this address.
    pub(crate) fn want_as(&mut self, by: LookUpBy, address: Address) {
        if self.wanted.len() < WANTED_MAX {
            self.wanted.insert(by, Some(address));
        }
    }

    /// Whether any is to be made.
    pub(crate) fn any_wanted(&self) -> bool {
        !self.wanted.is_empty()
    }

    /// Those who wanted them were judged: the next ask anew.
    pub(crate) fn forget_outcomes(&mut self) {
        self.done.clear();
    }
}

/// Asks for what is wanted.
pub(crate) fn pump(turn: &mut Turn<'_>) {
    if turn.waits(&Waiting::LookUps) {
        return;
    }
    let links = &turn.live.links;
    let next: Vec<LookUpBy> = turn
        .live
        .lookups
        .wanted
        .keys()
        .filter(|by| !links.posting.awaits(&Job::LookUp((*by).clone())))
        .take(AT_ONCE.saturating_sub(links.posting.awaited()))
        .cloned()
        .collect();
    for by in next {
        let request = LookUp {
            by: Some(match &by {
                LookUpBy::Address(address) => By::Address(address.clone()),
                LookUpBy::Account(account) => By::AccountId(account.to_vec().into()),
            }),
        };
        turn.ask(LinkKind::Posting, Job::LookUp(by), Body::LookUp(request));
    }
}

/// The relay answered.
pub(crate) fn looked_up(turn: &mut Turn<'_>, by: LookUpBy, answer: LookedUp) -> Result<(), Fault> {
    let Some(claimed) = turn.live.lookups.wanted.remove(&by) else {
        return Ok(());
    };
    let account = AccountId::try_from(&answer.account_id).ok();
    let address = match &by {
        LookUpBy::Address(address) => Address::parse(address).ok(),
        LookUpBy::Account(id) => claimed.filter(|_| account == Some(AccountId(*id))),
    };
    let (Some(account), Some(address)) = (account, address) else {
        turn.warn_misdeed(RelayMisdeed::Malformed);
        return finished(turn, by, Outcome::Nobody);
    };
    let by_address = matches!(by, LookUpBy::Address(_));
    let holds = super::keep(turn, account, &address, by_address, answer.roster)?;
    finished(
        turn,
        by,
        if holds {
            Outcome::Account(account)
        } else {
            Outcome::Nobody
        },
    )
}

/// The relay refused.
pub(crate) fn refused(turn: &mut Turn<'_>, by: LookUpBy, error: &Error) -> Result<(), Fault> {
    match error.code() {
        ErrorCode::RateLimited | ErrorCode::Unavailable => {
            turn.wait(Waiting::LookUps, retry_after(error));
            Ok(())
        }
        _ => {
            turn.live.lookups.wanted.remove(&by);
            finished(turn, by, Outcome::Nobody)
        }
    }
}

fn finished(turn: &mut Turn<'_>, by: LookUpBy, outcome: Outcome) -> Result<(), Fault> {
    turn.live.lookups.done.insert(by, outcome);
    // Whoever waits for look-ups looks again.
    let waiting = crate::conversation::groups::busy(turn.tx)?;
    turn.live.due_groups.extend(waiting);
    Ok(())
}
