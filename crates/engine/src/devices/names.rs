//! The names of this account's devices, and the list of devices that people see.
//!
//! **Always**: names belong to this account alone: its devices exchange them encrypted, and
//! the relay never learns one.

use prost::Message as _;
use rusqlite::{OptionalExtension as _, Transaction};
use waxwing_protocol::{
    ids::DeviceId,
    limits,
    pb::{self, statement::Signer},
    time::Time,
};

use crate::{
    account,
    api::{Device, DevicesChanged, Notice, Problem},
    store::StoreError,
    turn::{Fault, Turn},
};

pub(crate) const SCHEMA: &str = "
CREATE TABLE device_name (device BLOB PRIMARY KEY, name TEXT NOT NULL) WITHOUT ROWID;
";

/// A name as a person gave it, trimmed; `None` where it is none.
pub(crate) fn checked(name: &str) -> Option<&str> {
    let name = name.trim();
    let fits = !name.is_empty()
        && name.len() <= limits::DEVICE_NAME_BYTES
        && !name.chars().any(char::is_control);
    fits.then_some(name)
}

/// The device is called so from now on.
pub(crate) fn set(tx: &Transaction<'_>, device: DeviceId, name: &str) -> Result<(), StoreError> {
    tx.execute(
        "INSERT INTO device_name (device, name) VALUES (?1, ?2)
         ON CONFLICT DO UPDATE SET name = excluded.name",
        (device.0, name),
    )?;
    Ok(())
}

/// What the device is called, where that is known.
pub(crate) fn name_of_device(
    tx: &Transaction<'_>,
    device: DeviceId,
) -> Result<Option<String>, StoreError> {
    Ok(tx
        .prepare_cached("SELECT name FROM device_name WHERE device = ?1")?
        .query_row([device.0], |row| row.get(0))
        .optional()?)
}

/// All names.
pub(crate) fn all(tx: &Transaction<'_>) -> Result<Vec<(DeviceId, String)>, StoreError> {
    let mut statement =
        tx.prepare_cached("SELECT device, name FROM device_name ORDER BY device")?;
    let rows = statement.query_map([], |row| Ok((DeviceId(row.get(0)?), row.get(1)?)))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// A device's id as both devices show it while they are linked: 8 bytes of the hash of its keys.
/// Somebody who wants another device with the same name must try 2^64 keys.
pub(crate) fn short(device: DeviceId) -> String {
    let hex = device.to_string();
    let mut short = String::new();
    for (place, digit) in hex.chars().take(16).enumerate() {
        if place > 0 && place % 4 == 0 {
            short.push(' ');
        }
        short.push(digit);
    }
    short
}

/// The account's devices, in the order in which they were admitted.
pub(crate) fn list(turn: &Turn<'_>) -> Result<Vec<Device>, Fault> {
    let Some(own) = &turn.memory.account else {
        return Ok(Vec::new());
    };
    let mut devices = Vec::new();
    for signed in account::statements(turn.tx)? {
        let Some(id) = account::device_added(&signed) else {
            continue;
        };
        if own.roster().device(id).is_none() {
            continue;
        }
        let statement = pb::Statement::decode(signed.statement)
            .map_err(|_| Fault::Broken("a roster statement that does not decode".into()))?;
        // One that was revoked and admitted again counts from the last time.
        devices.retain(|device: &Device| device.id != id.to_string());
        devices.push(Device {
            id: id.to_string(),
            short: short(id),
            name: name_of_device(turn.tx, id)?,
            this: id == own.device(),
            added_at: Time(statement.made_at_ms).into(),
            added_by: match statement.signer {
                _ if statement.position == 0 => None,
                Some(Signer::DeviceId(by)) => DeviceId::try_from(&by).ok().map(|by| by.to_string()),
                _ => Some("recovery_key".into()),
            },
        });
    }
    Ok(devices)
}

/// Tells what devices there are now, and what stood in the way of a change.
pub(crate) fn notify_devices(turn: &mut Turn<'_>, problem: Option<&Problem>) -> Result<(), Fault> {
    let devices = list(turn)?;
    turn.notify(Notice::Devices(DevicesChanged {
        devices,
        problem: problem.map(Problem::report),
    }));
    Ok(())
}

/// The one device that is meant by an id or the start of one.
pub(crate) fn meant(turn: &Turn<'_>, text: &str) -> Option<DeviceId> {
    let own = turn.memory.account.as_ref()?;
    let text: String = text
        .chars()
        .filter(|c| !matches!(c, ' ' | '-'))
        .map(|c| c.to_ascii_lowercase())
        .collect();
    if text.len() < 8 {
        return None;
    }
    let mut meant = own
        .roster()
        .devices()
        .iter()
        .map(|device| device.id)
        .filter(|id| id.to_string().starts_with(&text));
    let first = meant.next()?;
    meant.next().is_none().then_some(first)
}
