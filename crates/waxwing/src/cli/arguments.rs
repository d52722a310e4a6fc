//! Arguments and defaults that several commands share.

use clap::Args;
use waxwing_client::Session;
use waxwing_engine::api::{FindMessage, Message, Request};

use crate::outcome::Failure;

/// A conversation, as a person names it.
#[derive(Debug, Args)]
pub(super) struct Whose {
    /// An address, the name of a group, or the id of a conversation
    #[arg(value_name = "ADDRESS|GROUP|CONVERSATION")]
    pub(super) whose: String,
}

/// A text to send: it may begin with a hyphen, but a mistyped option is not sent to anybody, unless
/// `--` says that no options follow.
pub(super) fn text(text: &str) -> Result<String, String> {
    checked_text(text, std::env::args_os().any(|word| word == "--"))
}

fn checked_text(text: &str, is_no_option: bool) -> Result<String, String> {
    let name = text.strip_prefix("--").or_else(|| {
        let short = text.strip_prefix('-')?;
        (short.chars().count() == 1).then_some(short)
    });
    let is_option = name.is_some_and(|name| {
        let name = name.split('=').next().unwrap_or_default();
        name.starts_with(|c: char| c.is_ascii_alphabetic())
            && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
    });
    if is_option && !is_no_option {
        return Err(format!(
            "there is no such option; to use this as a text, write -- before it: -- {text}"
        ));
    }
    Ok(text.to_owned())
}

/// The start of a message's id.
pub(super) fn start_of_id(text: &str) -> Result<String, String> {
    let digits = text.bytes().all(|byte| byte.is_ascii_hexdigit());
    if digits && (6..=64).contains(&text.len()) {
        Ok(text.to_owned())
    } else {
        Err("an id is at least 6 hexadecimal digits; `waxwing history --ids` shows ids".to_owned())
    }
}

/// The message whose id begins like this.
pub(super) async fn message(session: &mut Session, prefix: String) -> Result<Message, Failure> {
    let find = Request::FindMessage(FindMessage { prefix });
    Ok(session.ask(&find).await?)
}

/// What this device is called where nobody says otherwise: its name on the network.
pub(super) fn device_name() -> String {
    let name = rustix::system::uname();
    let name = name.nodename().to_string_lossy();
    let short = name.split('.').next().unwrap_or_default();
    if short.is_empty() {
        "Waxwing".to_owned()
    } else {
        short.chars().take(64).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_may_begin_with_a_hyphen_and_a_mistyped_option_is_none() {
        for said in [
            "-5 °C",
            "- milk",
            "--",
            "-- or so --",
            "-",
            "—",
            "-1",
            "-:)",
            "---",
        ] {
            assert_eq!(checked_text(said, false).as_deref(), Ok(said));
        }
        for mistyped in ["--queu", "--reply-two", "-q", "--wait=5"] {
            assert!(checked_text(mistyped, false).is_err(), "{mistyped}");
            assert!(checked_text(mistyped, true).is_ok(), "{mistyped}");
        }
    }
}
