//! Applies another device's setting where something other than the register holds it too.
//!
//! **Always**: a setting is not passed on from here, and nobody else is told about it: the
//! device on which the person changed it has done so.

use waxwing_protocol::ids::AccountId;

use super::{SettingKind, SyncedSetting, conversation_of, is_set};
use crate::{
    api::{Notice, Synced},
    contact,
    conversation::{acceptance, requests},
    message::{deleting, read_marks},
    settings::{self, Setting},
    turn::{Fault, Turn},
};

/// A setting of another device is later than the one that was known.
pub(crate) fn apply(turn: &mut Turn<'_>, register: &SyncedSetting) -> Result<(), Fault> {
    let Some(about) = SettingKind::from_number(register.kind) else {
        return Ok(());
    };
    let yes = !register.value.is_empty();
    let account = || AccountId::try_from(register.key.as_slice()).ok();
    match about {
        SettingKind::Read => {
            if let Some(conversation) = conversation_of(turn.tx, &register.key)? {
                read_marks::read_up_to(turn, &conversation, &register.value)?;
            }
        }
        SettingKind::Blocked => {
            if let Some(account) = account() {
                contact::set_blocked(turn.tx, account, yes)?;
                acceptance::opened(turn, account)?;
            }
        }
        SettingKind::Compared => {
            if let Some(account) = account() {
                contact::set_compared(turn.tx, account, yes)?;
                acceptance::opened(turn, account)?;
            }
        }
        SettingKind::Receipts => {
            let setting = match register.key.as_slice() {
                b"delivered" => Setting::TellDelivered,
                b"read" => Setting::TellRead,
                b"typing" => Setting::TellTyping,
                _ => return Ok(()),
            };
            settings::write(turn.tx, setting, register.value != b"off")?;
        }
        SettingKind::Accepted => {
            if yes && let Some(conversation) = conversation_of(turn.tx, &register.key)? {
                acceptance::written_to(turn, &conversation, false)?;
            }
        }
        SettingKind::Declined => {
            if let Some(conversation) = conversation_of(turn.tx, &register.key)? {
                requests::declined(turn, &conversation, &register.value)?;
            }
        }
        SettingKind::Deleted => deleting::apply_message(turn, &register.key)?,
        SettingKind::DeletedFile => deleting::apply_file(turn, &register.key)?,
        SettingKind::Cleared => deleting::apply_conversation(turn, &register.key)?,
        SettingKind::Profile
        | SettingKind::TheirProfile
        | SettingKind::Nickname
        | SettingKind::Muted
        | SettingKind::Pinned
        | SettingKind::Archived
        | SettingKind::Draft
        | SettingKind::Starred
        | SettingKind::AccountClosing => {}
    }
    let conversation = conversation_of(turn.tx, &register.key)?.map(|found| found.id);
    turn.notify(Notice::Synced(Synced { conversation }));
    Ok(())
}

/// A contact has become known: what was set for them holds.
pub(crate) fn apply_to_new_contact(turn: &mut Turn<'_>, account: AccountId) -> Result<(), Fault> {
    if is_set(turn.tx, SettingKind::Blocked, &account.0)? {
        contact::set_blocked(turn.tx, account, true)?;
    }
    if is_set(turn.tx, SettingKind::Compared, &account.0)? {
        contact::set_compared(turn.tx, account, true)?;
    }
    Ok(())
}
