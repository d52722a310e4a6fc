//! Parameters and results of the methods that the client answers itself: about files, the network
//! and the program.
//!
//! **Elsewhere**: the methods are in [`mod@crate::methods`].

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{MessageId, ProblemReport, closed_debug};

/// Parameters of `preview_link`.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PreviewLink {
    /// `https://…`
    pub url: String,
}

/// Parameters of `seal_file`.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SealFile {
    /// The whole path, starting with `/`.
    pub path: PathBuf,
    /// Whether a picture keeps what the camera stored in it, such as the place.
    #[serde(default, skip_serializing_if = "core::ops::Not::not")]
    pub keep_metadata: bool,
}

/// Parameters of `save_attachment`.
#[derive(Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SaveAttachment {
    /// The message.
    pub message: MessageId,
    /// The attachment's place among the message's, from 0.
    #[serde(default)]
    pub number: u32,
    /// The whole path of a new file or of a folder, starting with `/`.
    pub to: PathBuf,
}

/// The result of `save_attachment`.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SavedAttachment {
    /// The file that was written.
    pub path: PathBuf,
}

/// Parameters of `move_relay`.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MoveRelay {
    /// Where the relay is now: `https://host:port`, with or without its pin.
    pub url: String,
}

/// Parameters of `set_proxy`.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SetProxy {
    /// `socks5://host:port`, `socks5://user:password@host:port`, or `none` to connect directly.
    pub proxy: String,
}

/// The result of `relay`.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RelayInfo {
    /// Where the relay is, once somebody said so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// The only key that is accepted there, once it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pin: Option<String>,
    /// The proxy that all connections go through, without its password.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proxy: Option<String>,
    /// Whether this device is logged in.
    pub online: bool,
}

/// The result of `version`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ProgramVersion {
    /// The version of the process that answers.
    pub version: String,
}

/// How a check ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CheckResult {
    /// Everything is fine.
    Ok,
    /// It works, but the person should know.
    Warning,
    /// It does not work.
    Failed,
    /// It could not be looked at, because of another check.
    Skipped,
}

/// One check.
#[derive(Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Check {
    /// A stable name: `home`, `store`, `store_key`, `account`, `proxy`, `relay`, `pin`, `tls`,
    /// `clock`, `login`, `key_log`, `key_packages`, `outbox`, `conversations`, `alarms`. Each
    /// alarm is a check of its own.
    pub check: String,
    /// How it ended.
    pub result: CheckResult,
    /// What was found, in a sentence that names no command.
    pub sentence: String,
    /// The problem, if one was found for which there is a code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<ProblemReport>,
    /// What the check saw, if the problem does not say it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

/// All checks, in the order in which a person would look.
#[derive(Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct DoctorReport {
    /// Whether no check failed.
    pub healthy: bool,
    /// The checks.
    pub checks: Vec<Check>,
}

closed_debug!(
    PreviewLink,
    SealFile,
    SaveAttachment,
    SavedAttachment,
    MoveRelay,
    SetProxy,
    RelayInfo,
    Check,
    DoctorReport
);
