//! Look-ups: asks the relay whose address it is, and has the relay prove the answer.
//!
//! An answer counts if the log proves it: the newest entry of the address, in the log of a
//! head that continues what was known, proves exactly the roster in the answer; and as many
//! auditors as the person requires have co-signed that head. An unproved answer does not
//! count: the relay is asked again, and the person learns why they have to wait.
//!
//! **Always**: a look-up is asked once at a time, and its outcome is valid only for a moment
//! and only in memory, so that it is always fresh. That an address is unknown cannot be
//! proved; only the relay says so.

use std::collections::{BTreeSet, HashMap};

use waxwing_protocol::{
    address::Address,
    ids::{AccountId, DeviceId, GroupId},
    pb::{
        Error, ErrorCode, FetchHeads, HeadsFetched, LookUp, LookedUp, SignedStatement,
        client_frame::Body,
    },
    roster::Roster,
    time::{Span, Time},
};
use waxwing_transparency::proof;

use super::{
    alarm, auditors, gossip,
    log::{self, Unproven},
    own_history,
};
use crate::{
    api::{Problem, RelayMisdeed},
    clock::Passed as _,
    event::LinkKind,
    link::{self, Job, retry_after},
    memory::{Memory, Remembered},
    mls::Member,
    turn::{Fault, Postponed, Turn},
};

/// Look-ups that may be wanted at a time.
const WANTED_MAX: usize = 256;

/// Look-ups that may be on their way at a time.
const AT_ONCE: usize = 16;

/// An outcome is valid for this long.
const FRESH_FOR: Span = Span::minutes(1);

/// What could not be proved is asked again after this long.
const AGAIN: Span = Span::seconds(20);

/// Auditors are asked for again after this long…
const AUDITORS_AGAIN: Span = Span::seconds(2);

/// …and missed after this long.
const AUDITORS_MISSED: Span = Span::seconds(30);

/// A refused look-up is asked again after this long at the latest, no matter how long the relay
/// tells us to wait.
const REFUSED_MAX: Span = Span::minutes(10);

/// Groups look again at what has come after this long, though more is on its way.
const ALL_WITHIN: Span = Span::seconds(15);

/// What a look-up gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LookUpOutcome {
    /// This account; the log proves it.
    Account(AccountId),
    /// Nobody, says the relay.
    Nobody,
}

/// What other rooms do about look-ups.
pub(crate) trait LookUpHook: Sync {
    /// An address (canonical) was looked up.
    fn handle_look_up(
        &self,
        _turn: &mut Turn<'_>,
        _address: &str,
        _outcome: LookUpOutcome,
    ) -> Result<(), Fault> {
        Ok(())
    }

    /// There is no answer about an address (canonical) for now, and this is why.
    fn handle_stalled(
        &self,
        _turn: &mut Turn<'_>,
        _address: &str,
        _problem: &Problem,
    ) -> Result<(), Fault> {
        Ok(())
    }

    /// All look-ups that were on their way have been answered, or take too long.
    fn handle_all_answered(&self, _turn: &mut Turn<'_>) -> Result<(), Fault> {
        Ok(())
    }
}

/// A look-up that was made.
struct Done {
    outcome: LookUpOutcome,
    asked_at: Time,
    at: Time,
}

/// A look-up that is proved, and waits for auditors.
struct Proved {
    account: AccountId,
    roster: Vec<SignedStatement>,
    /// The head that it is proved against.
    head: u64,
    since: Time,
}

/// Look-ups that are wanted, and what those gave that were made; by canonical address.
#[derive(Default)]
pub(crate) struct LookUps {
    wanted: BTreeSet<String>,
    done: HashMap<String, Done>,
    /// When those were asked that are on their way.
    asked: HashMap<String, Time>,
    /// When the leaves of groups that are being rejoined were first seen.
    seen: HashMap<GroupId, HashMap<(DeviceId, [u8; 32]), Time>>,
    proved: HashMap<String, Proved>,
    /// Since when there is something that groups have not looked at.
    news: Option<Time>,
}

impl Remembered for LookUps {}

impl Memory {
    pub(crate) fn lookups(&self) -> Option<&LookUps> {
        self.states.get()
    }

    pub(crate) fn lookups_mut(&mut self) -> &mut LookUps {
        self.states.get_mut()
    }
}

impl LookUps {
    /// What it gave, if it was made a moment ago.
    pub(crate) fn outcome(&self, address: &str, now: Time) -> Option<LookUpOutcome> {
        self.done
            .get(address)
            .filter(|done| !now.has_passed(done.at, FRESH_FOR))
            .map(|done| done.outcome)
    }

    /// What it gave, if it was asked since this time, and not long ago.
    pub(crate) fn outcome_since(
        &self,
        address: &str,
        since: Time,
        now: Time,
    ) -> Option<LookUpOutcome> {
        let done = self.done.get(address)?;
        let fresh = !now.has_passed(done.at, FRESH_FOR) && done.asked_at >= since;
        fresh.then_some(done.outcome)
    }

    /// When a leaf of a group that is being rejoined was first seen: look-ups that were
    /// asked since tell of it.
    pub(crate) fn first_seen(&mut self, group: GroupId, member: &Member, now: Time) -> Time {
        let seen = self.seen.entry(group).or_default();
        *seen.entry((member.device, member.leaf_key)).or_insert(now)
    }

    /// The group was rejoined, or is over.
    pub(crate) fn forget_seen(&mut self, group: GroupId) {
        self.seen.remove(&group);
    }

    fn asked_at(&self, address: &str) -> Time {
        self.asked.get(address).copied().unwrap_or_default()
    }

    /// It is to be made.
    pub(crate) fn request_look_up(&mut self, address: &str) {
        if self.wanted.len() < WANTED_MAX && !self.wanted.contains(address) {
            self.wanted.insert(address.to_owned());
        }
    }

    /// Whether any is to be made.
    pub(crate) fn any_wanted(&self) -> bool {
        !self.wanted.is_empty() || !self.proved.is_empty()
    }

    /// The waiting checks were made: the next one asks again.
    pub(crate) fn forget_outcomes(&mut self) {
        self.done.clear();
    }

    /// The next look-up asks the relay again.
    pub(crate) fn forget(&mut self, address: &str) {
        self.done.remove(address);
    }
}

/// Groups that wait for look-ups look again, once all that are on their way have come:
/// a group of many would else judge all its members with each answer.
pub(crate) fn look_again(turn: &mut Turn<'_>) -> Result<(), Fault> {
    let Some(since) = turn.memory.lookups_mut().news else {
        return Ok(());
    };
    // One that is not answered holds nobody else up.
    let late = turn.now.since(since) >= ALL_WITHIN;
    if late || !turn.memory.links.posting.awaits_look_ups() {
        turn.memory.lookups_mut().news = None;
        for hook in turn.hooks.of::<dyn LookUpHook>() {
            hook.handle_all_answered(turn)?;
        }
    }
    Ok(())
}

/// Asks for what is wanted.
pub(crate) fn pump(turn: &mut Turn<'_>) {
    // Without the log's identity no answer could be checked.
    if turn.memory.log().is_none() {
        return;
    }
    ask_for_auditors(turn);
    if turn.is_postponed(&Postponed::LookUps) {
        return;
    }
    let Some(lookups) = turn.memory.lookups() else {
        return;
    };
    let links = &turn.memory.links;
    let next: Vec<String> = lookups
        .wanted
        .iter()
        .filter(|address| !lookups.proved.contains_key(*address))
        .filter(|address| !links.posting.awaits(&Job::LookUp((*address).clone())))
        .take(AT_ONCE.saturating_sub(links.posting.awaited()))
        .cloned()
        .collect();
    for address in next {
        let now = turn.now;
        turn.memory.lookups_mut().asked.insert(address.clone(), now);
        let request = LookUp {
            address: address.clone(),
            known_head: log::known_head(turn),
        };
        turn.send_request(
            LinkKind::Posting,
            Job::LookUp(address),
            Body::LookUp(request),
        );
    }
}

/// The relay answered.
pub(crate) fn handle_look_up(
    turn: &mut Turn<'_>,
    address: &str,
    answer: LookedUp,
) -> Result<(), Fault> {
    if !turn.memory.lookups_mut().wanted.contains(address) {
        return Ok(());
    }
    match proved(turn, address, answer)? {
        Ok(proved) => {
            turn.memory
                .lookups_mut()
                .proved
                .insert(address.to_owned(), proved);
            covered(turn)
        }
        Err(Unproven::AskAgain) => Ok(()),
        Err(Unproven::Problem(problem)) => {
            turn.postpone(Postponed::LookUps, AGAIN);
            notify_waiting(turn, address, &problem)
        }
    }
}

/// The newest head has come, for look-ups that wait for auditors and for heads of others.
pub(crate) fn handle_heads(turn: &mut Turn<'_>, answer: &HeadsFetched) -> Result<(), Fault> {
    let (Ok(view), Some(log)) = (log::follow(turn, answer.log.as_ref())?, &answer.log) else {
        turn.postpone(Postponed::Auditors, AGAIN);
        turn.postpone(Postponed::Heads, AGAIN);
        return Ok(());
    };
    gossip::compare(turn, &view, log)?;
    covered(turn)
}

/// The relay refused.
pub(crate) fn handle_refusal(
    turn: &mut Turn<'_>,
    address: &str,
    error: &Error,
) -> Result<(), Fault> {
    match error.code() {
        ErrorCode::AddressUnknown | ErrorCode::Malformed => {
            finished(turn, address, LookUpOutcome::Nobody)
        }
        _ => {
            let pause = retry_after(error).min(REFUSED_MAX);
            turn.postpone(Postponed::LookUps, pause);
            notify_waiting(turn, address, &link::problem_of(error))
        }
    }
}

/// The relay did not show the newest head. Look-ups that wait for auditors say so.
pub(crate) fn handle_heads_refused(turn: &mut Turn<'_>, error: &Error) -> Result<(), Fault> {
    covered(turn)?;
    let pause = retry_after(error).min(REFUSED_MAX);
    turn.postpone(Postponed::Auditors, pause);
    turn.postpone(Postponed::Heads, pause);
    Ok(())
}

/// Checks an answer.
fn proved(
    turn: &mut Turn<'_>,
    address: &str,
    answer: LookedUp,
) -> Result<Result<Proved, Unproven>, Fault> {
    let view = match log::follow(turn, answer.log.as_ref())? {
        Ok(view) => view,
        Err(unproven) => return Ok(Err(unproven)),
    };
    let (Some(known), Ok(parsed)) = (turn.memory.log(), Address::parse(address)) else {
        return log::misdeed(turn, RelayMisdeed::Malformed);
    };
    let head = view.newest().head();
    let entry = answer
        .proof
        .as_ref()
        .and_then(|proof| proof::look_up(&known.identity, head, &parsed, proof).ok())
        .map(|version| version.entry);
    let Some(entry) = entry else {
        return log::misdeed(turn, RelayMisdeed::LogFalse);
    };
    let vouched = Roster::verify(&answer.roster).is_ok_and(|roster| entry.vouches_for(&roster));
    if !vouched {
        return log::misdeed(turn, RelayMisdeed::RosterFalse);
    }
    Ok(Ok(Proved {
        account: entry.account,
        roster: answer.roster,
        head: head.number,
        since: turn.now,
    }))
}

/// Takes those proved look-ups that enough auditors vouch for.
fn covered(turn: &mut Turn<'_>) -> Result<(), Fault> {
    for (address, proved) in std::mem::take(&mut turn.memory.lookups_mut().proved) {
        let cover = auditors::cosignature_status(turn.tx, proved.head)?;
        if cover.is_enough() {
            taken(turn, &address, proved)?;
            continue;
        }
        if turn.now.since(proved.since) >= AUDITORS_MISSED {
            let problem = Problem::AuditorsMissing {
                present: cover.present,
                required: cover.required,
            };
            notify_waiting(turn, &address, &problem)?;
        }
        turn.memory.lookups_mut().proved.insert(address, proved);
    }
    if !turn.memory.lookups_mut().proved.is_empty() {
        turn.postpone(Postponed::Auditors, AUDITORS_AGAIN);
    }
    Ok(())
}

fn taken(turn: &mut Turn<'_>, address: &str, proved: Proved) -> Result<(), Fault> {
    let Ok(parsed) = Address::parse(address) else {
        return Ok(());
    };
    let own = turn.memory.account.as_ref();
    if own.is_some_and(|own| own.id() == proved.account) {
        own_history::handle_look_up(turn, &proved.roster)?;
        return finished(turn, address, LookUpOutcome::Account(proved.account));
    }
    if own.is_some_and(|own| own.address().canonical() == address) {
        alarm::raise(turn, &Problem::AddressTaken)?;
    }
    let asked_at = turn.memory.lookups_mut().asked_at(address);
    if super::keep(turn, proved.account, &parsed, proved.roster, asked_at)? {
        finished(turn, address, LookUpOutcome::Account(proved.account))
    } else {
        turn.postpone(Postponed::LookUps, AGAIN);
        let problem = Problem::RelayMisbehaves {
            what: RelayMisdeed::RosterRolledBack,
        };
        notify_waiting(turn, address, &problem)
    }
}

fn ask_for_auditors(turn: &mut Turn<'_>) {
    let waits = turn.is_postponed(&Postponed::Auditors);
    if turn.memory.lookups_mut().proved.is_empty()
        || waits
        || turn.memory.links.posting.awaits(&Job::FetchHeads)
    {
        return;
    }
    let mut known = vec![log::known_head(turn)];
    known.retain(|number| *number > 0);
    turn.send_request(
        LinkKind::Posting,
        Job::FetchHeads,
        Body::FetchHeads(FetchHeads { known }),
    );
}

/// Tells everything that waits for the address why there is no answer.
fn notify_waiting(turn: &mut Turn<'_>, address: &str, problem: &Problem) -> Result<(), Fault> {
    for hook in turn.hooks.of::<dyn LookUpHook>() {
        hook.handle_stalled(turn, address, problem)?;
    }
    Ok(())
}

fn finished(turn: &mut Turn<'_>, address: &str, outcome: LookUpOutcome) -> Result<(), Fault> {
    turn.memory.lookups_mut().wanted.remove(address);
    let done = Done {
        outcome,
        asked_at: turn.memory.lookups_mut().asked_at(address),
        at: turn.now,
    };
    turn.memory.lookups_mut().asked.remove(address);
    turn.memory
        .lookups_mut()
        .done
        .insert(address.to_owned(), done);
    let now = turn.now;
    turn.memory.lookups_mut().news.get_or_insert(now);
    for hook in turn.hooks.of::<dyn LookUpHook>() {
        hook.handle_look_up(turn, address, outcome)?;
    }
    Ok(())
}
