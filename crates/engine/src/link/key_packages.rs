//! Key packages: makes sure that the relay has enough of them to hand out, and a fresh last
//! resort.
//!
//! Each is handed out once. The *last resort*, which is handed out when there is no other,
//! serves any number of welcomes with one key. A new one therefore replaces it each day, and
//! the private key of an old one is deleted once no welcome for it can still be waiting.
//!
//! **Elsewhere**: `mls::key_package` makes them.
//!
//! **Always**: the private keys are in the store before the relay has the package.

use waxwing_protocol::{
    limits,
    pb::{Error, PublishKeyPackages, client_frame::Body},
    time::{Span, Time},
};

use super::{Job, retry_after};
use crate::{
    event::LinkKind,
    link::LinkPhase,
    mls::{self, KeyPackageUse},
    settings::{self, Setting},
    turn::{Fault, Postponed, Turn},
};

pub(crate) const SCHEMA: &str = "
CREATE TABLE last_resort (reference BLOB PRIMARY KEY, made_at INTEGER NOT NULL) WITHOUT ROWID;
";

/// Key packages that a device keeps with the relay.
const KEPT: usize = 50;

/// A last resort is replaced after this long, so that none serves for more than a day.
const LAST_RESORT_FOR: Span = Span::hours(20);

/// What the relay did not take is tried again after this long.
const REFUSED: Span = Span::minutes(30);

/// The private key of a last resort is kept for this long: a welcome may have waited in the
/// mailbox for as long as posts do, since the last moment at which it was handed out.
const LAST_RESORT_KEY_KEPT: Span = Span::days(32);

/// This device has logged in; whether the relay has a last resort of it.
pub(crate) fn logged_in(turn: &mut Turn<'_>, last_resort: bool) -> Result<(), Fault> {
    // Made under a clock that has been set back since: as if it were made now, or it would
    // serve until the clock gets there.
    turn.tx.execute(
        "UPDATE last_resort SET made_at = ?1 WHERE made_at > ?1",
        [turn.now.0.cast_signed()],
    )?;
    let newest: Option<i64> =
        turn.tx
            .query_row("SELECT max(made_at) FROM last_resort", [], |row| row.get(0))?;
    turn.memory.links.last_resort = newest
        .filter(|_| last_resort)
        .map(|made_at| Time(made_at.cast_unsigned()));
    let over = turn
        .now
        .0
        .saturating_sub(LAST_RESORT_KEY_KEPT.0)
        .cast_signed();
    let old: Vec<Vec<u8>> = {
        let mut statement = turn
            .tx
            .prepare("DELETE FROM last_resort WHERE made_at < ?1 RETURNING reference")?;
        let rows = statement.query_map([over], |row| row.get(0))?;
        rows.collect::<Result<_, _>>()?
    };
    for reference in old {
        turn.with_mls(|provider, _| mls::forget_key_package(provider, &reference))??;
    }
    Ok(())
}

/// When a new last resort is due.
pub(crate) fn next_due(turn: &Turn<'_>) -> Option<Time> {
    let made_at = turn.memory.links.last_resort?;
    let mailbox = &turn.memory.links.mailbox;
    // Otherwise it is due, and cannot be made before something else happens.
    let may_publish = mailbox.phase == LinkPhase::LoggedIn
        && !mailbox.awaits(&Job::PublishKeyPackages)
        && !turn.is_postponed(&Postponed::KeyPackages);
    may_publish.then(|| made_at.after(LAST_RESORT_FOR))
}

/// Makes and publishes key packages when few are left, or the last resort is old.
pub(crate) fn publish(turn: &mut Turn<'_>) -> Result<(), Fault> {
    let links = &turn.memory.links;
    let Some(left) = links.key_packages_left else {
        return Ok(());
    };
    let replace = settings::read(turn.tx, Setting::ReplaceKeyPackages)?.unwrap_or(false);
    let left = if replace {
        0
    } else {
        usize::try_from(left).unwrap_or(usize::MAX)
    };
    let low = left < limits::KEY_PACKAGES_LOW;
    let fresh = links
        .last_resort
        .is_some_and(|made_at| turn.now.since(made_at) < LAST_RESORT_FOR);
    let last_resort_too = replace || !fresh;
    if (!low && !last_resort_too)
        || links.mailbox.awaits(&Job::PublishKeyPackages)
        || turn.is_postponed(&Postponed::KeyPackages)
    {
        return Ok(());
    }
    let count = if low {
        KEPT.saturating_sub(left)
            .min(limits::KEY_PACKAGES_PER_UPLOAD)
    } else {
        0
    };
    let made = turn.with_mls(|provider, leaf| {
        let packages = (0..count)
            .map(|_| mls::make_key_package(provider, leaf, KeyPackageUse::Once))
            .collect::<Result<Vec<_>, _>>()?;
        let last_resort = last_resort_too
            .then(|| mls::make_key_package(provider, leaf, KeyPackageUse::LastResort))
            .transpose()?;
        Ok::<_, mls::MlsError>((packages, last_resort))
    })?;
    let (packages, last_resort) = made?;
    if let Some(package) = &last_resort {
        turn.tx.execute(
            "INSERT INTO last_resort (reference, made_at) VALUES (?1, ?2) ON CONFLICT DO NOTHING",
            (&package.reference, turn.now.0.cast_signed()),
        )?;
    }
    let publish = PublishKeyPackages {
        key_packages: packages
            .into_iter()
            .map(|package| package.bytes.into())
            .collect(),
        last_resort: last_resort
            .map(|package| package.bytes.into())
            .unwrap_or_default(),
        replace,
    };
    turn.send_request(
        LinkKind::Mailbox,
        Job::PublishKeyPackages,
        Body::PublishKeyPackages(publish),
    );
    Ok(())
}

/// The relay has them.
pub(crate) fn published(turn: &mut Turn<'_>, left: u32) -> Result<(), Fault> {
    turn.memory.links.key_packages_left = Some(left);
    settings::write(turn.tx, Setting::ReplaceKeyPackages, false)?;
    logged_in(turn, true)
}

/// The relay did not take them: others are made later. How many it has is not forgotten,
/// since nobody else would ask for new ones.
pub(crate) fn handle_refusal(turn: &mut Turn<'_>, error: &Error) {
    let pause = if error.retry_after_ms == 0 {
        REFUSED
    } else {
        retry_after(error)
    };
    turn.postpone(Postponed::KeyPackages, pause);
}

/// Private keys may be gone: all that the relay has are replaced.
pub(crate) fn replace_all(turn: &mut Turn<'_>) -> Result<(), Fault> {
    turn.with_mls(|provider, _| mls::forget_key_packages(provider))??;
    turn.tx.execute("DELETE FROM last_resort", [])?;
    settings::write(turn.tx, Setting::ReplaceKeyPackages, true)?;
    Ok(())
}
