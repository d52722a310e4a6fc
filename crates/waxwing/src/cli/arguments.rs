//! Arguments and defaults that several commands share.

use clap::Args;

/// A conversation, as a person names it.
#[derive(Debug, Args)]
pub(super) struct Whose {
    /// An address, the name of a group, or the id of a conversation
    #[arg(value_name = "ADDRESS|GROUP|CONVERSATION")]
    pub(super) whose: String,
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
