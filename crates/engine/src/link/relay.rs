//! Which relay this device belongs to.

use crate::{
    api::{Notice, Problem, RelayMoved},
    settings::{self, Setting},
    turn::{EventError, Turn},
};

use super::tokens;

/// The relay is there from now on.
pub(crate) fn set(turn: &mut Turn<'_>, url: &str, pin: Option<&str>) -> Result<(), EventError> {
    let url = url.trim();
    if !is_url(url) {
        return Err(EventError::Refused(Problem::RelayUrlMalformed));
    }
    if pin.is_some_and(|pin| !is_pin(pin)) {
        return Err(EventError::Refused(Problem::PinMalformed));
    }
    let before = settings::relay(turn.tx)?;
    settings::write(turn.tx, Setting::RelayUrl, url)?;
    settings::write(turn.tx, Setting::RelayPin, pin)?;
    let after = settings::relay(turn.tx)?;
    if before.is_some() && before != after {
        tokens::forget_keys(turn.tx)?;
        // Another relay, or another pin: the link to the old one is of no use.
        turn.close_links();
    }
    Ok(())
}

/// The same relay is at another place from now on. Its pin stays, so that nobody else can answer
/// there; what is stored about the relay belongs to its key and stays too.
pub(crate) fn follow(turn: &mut Turn<'_>, url: &str) -> Result<(), EventError> {
    let Some(before) = settings::relay(turn.tx)?.filter(|relay| relay.pin.is_some()) else {
        return Err(EventError::Refused(Problem::NotRegistered));
    };
    if !is_url(url) {
        return Err(EventError::Refused(Problem::RelayUrlMalformed));
    }
    if before.url == url {
        return Ok(());
    }
    settings::write(turn.tx, Setting::RelayUrl, url)?;
    turn.close_links();
    let url = url.to_owned();
    turn.notify(Notice::RelayMoved(RelayMoved { url }));
    Ok(())
}

fn is_url(url: &str) -> bool {
    ["wss://", "https://", "waxwing://"].iter().any(|scheme| {
        url.strip_prefix(scheme)
            .is_some_and(|rest| !rest.is_empty())
    })
}

/// `sha256/` and the base64 of 32 bytes.
fn is_pin(pin: &str) -> bool {
    pin.strip_prefix("sha256/").is_some_and(|hash| {
        hash.len() == 44
            && hash.ends_with('=')
            && hash
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"+/=-_".contains(&byte))
    })
}
