//! What conversations with phones are called.
//!
//! **Elsewhere**: [`super::target`] finds what a person means by a name.

use rusqlite::Transaction;

use super::{Conversation, Kind};
use crate::store::StoreError;

/// The conversation that is called so.
pub(crate) fn find_sms(
    tx: &Transaction<'_>,
    name: &str,
) -> Result<Option<Conversation>, StoreError> {
    super::one_of_kind(tx, Kind::Sms, name)
}

/// What a conversation with a number or a name is called.
pub(crate) fn sms_name(value: &str, is_number: bool) -> String {
    let looks_like_number = value.bytes().all(|one| one.is_ascii_digit() || one == b'+');
    if is_number || !looks_like_number {
        format!("sms:{value}")
    } else {
        // A name that looks like a number is not that number.
        format!("sms:\"{value}\"")
    }
}
