//! A conversation's timer: how long its messages stay after they were read.
//!
//! In a conversation of two, either side sets the timer, and the later setting counts. In a
//! group the timer is in the group's state, which admins change.
//!
//! **Elsewhere**: [`crate::message::expiry`] deletes the messages.

use rusqlite::{OptionalExtension as _, Transaction};
use waxwing_protocol::time::Time;

use crate::{api::ConversationId, store::StoreError};

pub(crate) const SCHEMA: &str = "
ALTER TABLE conversation ADD COLUMN timer INTEGER NOT NULL DEFAULT 0;     -- seconds
ALTER TABLE conversation ADD COLUMN timer_at INTEGER NOT NULL DEFAULT 0;  -- when it was set
";

/// The timer in seconds; 0 for none.
pub(crate) fn seconds(tx: &Transaction<'_>, id: ConversationId) -> Result<u32, StoreError> {
    let timer: Option<u32> = tx
        .prepare_cached("SELECT timer FROM conversation WHERE id = ?1")?
        .query_row([id.as_bytes()], |row| row.get(0))
        .optional()?;
    Ok(timer.unwrap_or(0))
}

/// Sets the timer of two, unless it was set later already, or at the same time to more. Returns
/// whether it has changed.
pub(crate) fn set_if_later(
    tx: &Transaction<'_>,
    id: ConversationId,
    seconds: u32,
    set_at: Time,
) -> Result<bool, StoreError> {
    let before = self::seconds(tx, id)?;
    let set = tx.execute(
        "UPDATE conversation SET timer = ?2, timer_at = ?3
         WHERE id = ?1 AND (timer_at, timer) < (?3, ?2)",
        (id.as_bytes(), seconds, set_at.0.cast_signed()),
    )?;
    Ok(set > 0 && before != seconds)
}

/// A group's timer is what its state says.
pub(crate) fn follow_state(
    tx: &Transaction<'_>,
    id: ConversationId,
    seconds: u32,
) -> Result<(), StoreError> {
    tx.execute(
        "UPDATE conversation SET timer = ?2 WHERE id = ?1 AND timer != ?2",
        (id.as_bytes(), seconds),
    )?;
    Ok(())
}
