//! The own history: checks that this account made every entry for its address in the log.
//!
//! At each login, whenever the relay says that something changed, and at least every twelve
//! hours, the whole history of the own address is fetched and proved. Each entry of this
//! account must name a position in its own roster chain; an entry of another account after
//! ours means that somebody else has the address now. The roster that the log proves is ours
//! if it continues ours, with every statement signed. This is how a device learns about other
//! devices, and about its own removal.
//!
//! **Elsewhere**: what a statement may contain is in `waxwing_protocol::roster`; other
//! people's entries are in [`super::lookups`].
//!
//! **Always**: the roster grows only by statements that its chain admits, and that the log
//! has. A change that this account did not make is an alarm on every device.

use rusqlite::Transaction;
use sha2::{Digest as _, Sha256};
use waxwing_protocol::{
    ids::{AccountId, DeviceId},
    pb::{Error, FetchHistory, HistoryFetched, SignedStatement, client_frame::Body},
    roster::Roster,
    time::{Span, Time},
};
use waxwing_transparency::proof::{self, Entry, Version};

use super::{
    alarm,
    log::{self, Unproven},
    lookups, overdue_proofs,
};
use crate::{
    account::{self, NotExtended},
    api::{Problem, RelayMisdeed},
    clock::Passed as _,
    event::LinkKind,
    link::{Job, LinkPhase, retry_after},
    memory::{Memory, Remembered},
    store::StoreError,
    turn::{Fault, Postponed, Turn},
};

/// It is checked again after this long on one link.
const AGAIN: Span = Span::hours(12);

/// What could not be checked is tried again after this long.
const RETRY: Span = Span::seconds(30);

/// And at the latest after this long, no matter how long the relay tells us to wait.
const RETRY_MAX: Span = Span::minutes(10);

/// What other rooms do when the own history was checked.
pub(crate) trait OwnHistoryHook: Sync {
    /// Devices whose addition to the account was asked for on this device.
    fn devices_asked_for(&self, _tx: &Transaction<'_>) -> Result<Vec<DeviceId>, StoreError> {
        Ok(Vec::new())
    }

    /// The own roster, in the store, has grown by statements that the log has: devices were
    /// added or revoked.
    fn handle_roster_grown(&self, _turn: &mut Turn<'_>) -> Result<(), Fault> {
        Ok(())
    }

    /// The whole history was proved; `locked` says whether the log has the address as locked,
    /// where its newest entry is this account's.
    fn handle_history_proved(
        &self,
        _turn: &mut Turn<'_>,
        _locked: Option<bool>,
    ) -> Result<(), Fault> {
        Ok(())
    }
}

/// Whether the history is checked, on this login.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Check {
    /// It has to be.
    #[default]
    Due,
    /// It was.
    Done(Time),
    /// The relay does not let this device log in: anybody may look up why.
    LoginRefused,
}

impl Remembered for Check {}

impl Memory {
    fn own_history(&self) -> Check {
        self.states.get().copied().unwrap_or_default()
    }

    fn own_history_mut(&mut self) -> &mut Check {
        self.states.get_mut()
    }
}

/// Something changed, says the relay or a group.
pub(crate) fn request_check(turn: &mut Turn<'_>) {
    *turn.memory.own_history_mut() = Check::Due;
}

/// Whether it was asked for since this time, and has come.
pub(crate) fn is_checked_since(turn: &Turn<'_>, since: Time) -> bool {
    let asked = matches!(turn.memory.own_history(), Check::Done(at) if at >= since);
    asked && !turn.memory.links.mailbox.awaits(&Job::FetchHistory)
}

/// Whether it has changed since this time is to be known.
pub(crate) fn want_since(turn: &mut Turn<'_>, since: Time) {
    if matches!(turn.memory.own_history(), Check::Done(at) if at < since) {
        request_check(turn);
    }
}

/// When it is due again.
pub(crate) fn next_due(turn: &Turn<'_>) -> Option<Time> {
    match turn.memory.own_history() {
        Check::Done(at) if turn.memory.links.mailbox.phase == LinkPhase::LoggedIn => {
            Some(at.after(AGAIN))
        }
        _ => None,
    }
}

/// Asks for the history when it is due.
pub(crate) fn pump(turn: &mut Turn<'_>) -> Result<(), Fault> {
    let due = match turn.memory.own_history() {
        Check::Due | Check::LoginRefused => true,
        Check::Done(at) => turn.now.has_passed(at, AGAIN),
    };
    let ready =
        turn.memory.links.mailbox.phase == LinkPhase::LoggedIn && turn.memory.log().is_some();
    if !due
        || !ready
        || turn.memory.links.mailbox.awaits(&Job::FetchHistory)
        || turn.is_postponed(&Postponed::OwnHistory)
    {
        return Ok(());
    }
    // What changes from here on is asked for again.
    *turn.memory.own_history_mut() = Check::Done(turn.now);
    let fetch = FetchHistory {
        address: turn.account()?.address().canonical().to_owned(),
        known_head: log::known_head(turn),
        most_recent: 0,
    };
    turn.send_request(
        LinkKind::Mailbox,
        Job::FetchHistory,
        Body::FetchHistory(fetch),
    );
    Ok(())
}

/// The relay does not let this device in.
pub(crate) fn handle_login_refused(turn: &mut Turn<'_>) {
    *turn.memory.own_history_mut() = Check::LoginRefused;
}

/// Whether it is to be looked up why the relay does not let this device in.
pub(crate) fn wants_look_up(turn: &Turn<'_>) -> bool {
    turn.memory.own_history() == Check::LoginRefused && turn.memory.account.is_some()
}

/// Looks up why the relay does not let this device in. Gives whether the posting link is of
/// use for that.
pub(crate) fn look_up(turn: &mut Turn<'_>) -> Result<bool, Fault> {
    if !wants_look_up(turn) {
        return Ok(false);
    }
    let address = turn.account()?.address().canonical().to_owned();
    if turn
        .memory
        .lookups_mut()
        .outcome(&address, turn.now)
        .is_some()
    {
        *turn.memory.own_history_mut() = Check::Due;
        // Its key log has this device.
        let detail = "login".into();
        turn.warn(&Problem::RelayRefused { detail });
        return Ok(false);
    }
    turn.memory.lookups_mut().request_look_up(&address);
    if turn.memory.links.posting.ready().is_some() {
        lookups::pump(turn);
    }
    Ok(true)
}

/// The own address was looked up, and is this account's, with this roster.
pub(crate) fn handle_look_up(
    turn: &mut Turn<'_>,
    statements: &[SignedStatement],
) -> Result<(), Fault> {
    let own = turn.account()?.id();
    if let Err(what) = grow(turn, own, statements)? {
        alarm::raise(turn, &Problem::RelayMisbehaves { what })?;
    }
    Ok(())
}

/// The relay refused.
pub(crate) fn handle_refusal(turn: &mut Turn<'_>, error: &Error) {
    *turn.memory.own_history_mut() = Check::Due;
    let pause = retry_after(error).min(RETRY_MAX);
    turn.postpone(Postponed::OwnHistory, pause);
}

/// The history has come.
pub(crate) fn handle_history(turn: &mut Turn<'_>, fetched: &HistoryFetched) -> Result<(), Fault> {
    let unproven = match checked(turn, fetched)? {
        Ok(()) => return Ok(()),
        Err(unproven) => unproven,
    };
    *turn.memory.own_history_mut() = Check::Due;
    match unproven {
        Unproven::AskAgain => {}
        Unproven::Problem(problem) => {
            turn.postpone(Postponed::OwnHistory, RETRY);
            turn.warn(&problem);
        }
    }
    Ok(())
}

fn checked(turn: &mut Turn<'_>, fetched: &HistoryFetched) -> Result<Result<(), Unproven>, Fault> {
    let view = match log::follow(turn, fetched.log.as_ref())? {
        Ok(view) => view,
        Err(unproven) => return Ok(Err(unproven)),
    };
    let own = turn.account()?.id();
    let address = turn.account()?.address().clone();
    let Some(known) = turn.memory.log() else {
        return log::misdeed(turn, RelayMisdeed::LogFalse);
    };
    let versions = fetched.proof.as_ref().and_then(|proof| {
        proof::history(&known.identity, view.newest().head(), &address, 0, proof).ok()
    });
    let Some(versions) = versions else {
        return log::misdeed(turn, RelayMisdeed::LogFalse);
    };
    if let Err(what) = grow(turn, own, &fetched.roster)? {
        return log::misdeed(turn, what);
    }
    let statements = account::statements(turn.tx)?;
    if let Some(problem) = judged(own, &statements, &versions) {
        alarm::raise(turn, &problem)?;
    }
    overdue_proofs::record_history_proved(turn)?;
    let newest = versions.first();
    let locked = newest
        .filter(|newest| newest.entry.account == own)
        .map(|newest| newest.entry.locked);
    for hook in turn.hooks.of::<dyn OwnHistoryHook>() {
        hook.handle_history_proved(turn, locked)?;
    }
    Ok(Ok(()))
}

/// What the history says that this account did not do; newest first.
fn judged(own: AccountId, statements: &[SignedStatement], versions: &[Version]) -> Option<Problem> {
    let Some(first_own) = versions
        .iter()
        .rposition(|version| version.entry.account == own)
    else {
        // It was registered, and there is no trace of it.
        return Some(Problem::RelayMisbehaves {
            what: RelayMisdeed::OwnEntryMissing,
        });
    };
    for version in versions.iter().take(first_own + 1) {
        if version.entry.account != own {
            return Some(Problem::AddressTaken);
        }
        if !names_a_place(&version.entry, statements) {
            return Some(Problem::RelayMisbehaves {
                what: RelayMisdeed::OwnEntryFalse,
            });
        }
    }
    let newest = versions.first()?;
    (newest.entry.roster_length != statements.len() as u64).then_some(Problem::RelayMisbehaves {
        what: RelayMisdeed::RosterRolledBack,
    })
}

fn names_a_place(entry: &Entry, statements: &[SignedStatement]) -> bool {
    entry
        .roster_length
        .checked_sub(1)
        .and_then(|place| usize::try_from(place).ok())
        .and_then(|place| statements.get(place))
        .is_some_and(|last| Sha256::digest(&last.statement).as_slice() == entry.roster_head)
}

/// Takes the statements that continue the own roster.
fn grow(
    turn: &mut Turn<'_>,
    own: AccountId,
    statements: &[SignedStatement],
) -> Result<Result<(), RelayMisdeed>, Fault> {
    let Ok(served) = Roster::verify(statements) else {
        return Ok(Err(RelayMisdeed::RosterFalse));
    };
    let before = turn.account()?.roster().clone();
    if served.account() != own {
        return Ok(Err(RelayMisdeed::RosterFalse));
    }
    if served.length() < before.length() {
        return Ok(Err(RelayMisdeed::RosterRolledBack));
    }
    let mut asked_for = Vec::new();
    for hook in turn.hooks.of::<dyn OwnHistoryHook>() {
        asked_for.extend(hook.devices_asked_for(turn.tx)?);
    }
    match account::extend(turn.tx, statements) {
        Ok(0) => return Ok(Ok(())),
        Ok(_) => {}
        Err(NotExtended::Store(error)) => return Err(error.into()),
        Err(NotExtended::Roster(_) | NotExtended::Rewritten) => {
            return Ok(Err(RelayMisdeed::RosterFalse));
        }
    }
    warn_of_changed_devices(turn, &before, &served, &asked_for)?;
    for hook in turn.hooks.of::<dyn OwnHistoryHook>() {
        hook.handle_roster_grown(turn)?;
    }
    Ok(Ok(()))
}

/// Tells of devices that came and went by another's doing.
fn warn_of_changed_devices(
    turn: &mut Turn<'_>,
    before: &Roster,
    after: &Roster,
    asked_for: &[DeviceId],
) -> Result<(), Fault> {
    let ids = |roster: &Roster| -> Vec<DeviceId> {
        roster.devices().iter().map(|device| device.id).collect()
    };
    let (old, new) = (ids(before), ids(after));
    // The account is deleted, and that is told instead.
    if new.is_empty() {
        return Ok(());
    }
    let added = new.iter().filter(|id| !old.contains(id));
    for device in added.filter(|id| !asked_for.contains(id)) {
        let device = short(*device);
        alarm::raise(turn, &Problem::DeviceAdded { device })?;
    }
    let this = turn.account()?.device();
    for device in old.iter().filter(|id| !new.contains(id)) {
        let problem = if *device == this {
            Problem::DeviceRevoked
        } else {
            Problem::DeviceRemoved {
                device: short(*device),
            }
        };
        alarm::raise(turn, &problem)?;
    }
    if before.recovery_key() != after.recovery_key() {
        alarm::raise(turn, &Problem::RecoveryKeyChanged)?;
    }
    Ok(())
}

/// The start of a device's id, as people see it.
pub(crate) fn short(device: DeviceId) -> String {
    let mut text = device.to_string();
    text.truncate(8);
    text
}
