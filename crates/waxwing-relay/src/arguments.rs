//! The command line.
//!
//! **Elsewhere**: the configuration file has the same settings ([`crate::configuration`]).
//!
//! **Always**: what is said here comes before what a configuration file says.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use serde::Deserialize;

/// Runs a Waxwing relay: it verifies addresses and passes on messages that it cannot read.
#[derive(Debug, Parser)]
#[command(version, arg_required_else_help = true)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run the relay until it is interrupted.
    ///
    /// The first start creates the data directory and the relay's identity. When the relay
    /// is ready it prints `listening URL`, where URL is what people give to
    /// `waxwing register --relay`: the address, and the fingerprint that they pin.
    ///
    /// SIGINT and SIGTERM stop it: what it took is made durable, links are closed, and it
    /// exits with 0 within a few seconds. Killing it loses nothing that it acknowledged.
    #[command(after_help = "\
Examples:
  Try it on this machine, with codes as files in ./mail:
      waxwing-relay serve --data ./relay --mail-dir ./mail

  For others, with a mail server:
      waxwing-relay serve --data /var/lib/waxwing-relay --listen [::]:8443 \\
          --name relay.example.org --config /etc/waxwing-relay.toml")]
    Serve(Box<Serve>),
    /// Verify a data directory: every record is read and checked, and the key log is
    /// verified from its first head to its newest.
    ///
    /// The relay must not be running. Nothing is changed. Exits with 1 when something is
    /// damaged.
    Check(Check),
    /// Confirm that this machine's clock is right, after the relay's log says that it leapt.
    ///
    /// Until then, or until the clock has gone on evenly for half an hour, nothing expires and
    /// the key log signs nothing. Check the clock first: what is deleted too early does not
    /// come back, and clients refuse a key log that is ahead of them. Works while the relay
    /// runs, and up to ten minutes before it is started.
    ConfirmClock(ConfirmClock),
    /// Print the pin that clients check, and the URL for a name.
    ///
    /// Works while the relay runs, and while it does not.
    Identity(Identity),
    /// Print a completion script for a shell.
    ///
    /// For bash, for example:
    ///     waxwing-relay completions bash > ~/.local/share/bash-completion/completions/waxwing-relay
    #[command(verbatim_doc_comment)]
    Completions {
        /// Which shell.
        shell: Shell,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Serve {
    /// Where the relay keeps its identity and messages; made when it is not there.
    #[arg(long, value_name = "DIR", env = "WAXWING_RELAY_DATA")]
    pub(crate) data: PathBuf,

    /// Settings in a TOML file: the options below, under the same names.
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,

    /// Print the ready line to this file as well; it appears when the relay is ready.
    #[arg(long, value_name = "FILE")]
    pub(crate) ready_file: Option<PathBuf>,

    #[command(flatten)]
    pub(crate) settings: Choices,
}

/// What can be set on the command line and in the file.
#[derive(Debug, Default, Args, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct Choices {
    /// Where clients connect; port 0 takes any free one [default: 127.0.0.1:8443].
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub(crate) listen: Option<SocketAddr>,

    /// The host name that people reach the relay by [default: the listening address].
    #[arg(long, value_name = "HOST")]
    pub(crate) name: Option<String>,

    /// The mail server for registration codes: `smtp://host`, `smtp://host?tls=required`
    /// or `smtps://host`, with `user:password@` before the host where it asks for them.
    /// Better in the file or the environment: a command line can be seen by others.
    #[arg(
        long,
        value_name = "URL",
        env = "WAXWING_RELAY_SMTP",
        hide_env_values = true,
        conflicts_with = "mail_dir"
    )]
    pub(crate) smtp: Option<String>,

    /// Write each mail as a file to this directory instead of sending it: for trying out.
    #[arg(long, value_name = "DIR")]
    pub(crate) mail_dir: Option<PathBuf>,

    /// Who mails come from (by default `Waxwing <waxwing@HOST>`).
    #[arg(long, value_name = "MAILBOX")]
    pub(crate) mail_from: Option<String>,

    /// Codes that are mailed in an hour, in all [default: 1800]; half as many at once.
    #[arg(long, value_name = "NUMBER", env = "WAXWING_RELAY_CODES_PER_HOUR")]
    pub(crate) codes_per_hour: Option<u32>,

    /// The SMSC for codes to phone numbers: `smpp://user:password@host:2775`, or `smpps://…` for
    /// TLS. Better in the file or the environment: a command line can be seen by others.
    #[arg(
        long,
        value_name = "URL",
        env = "WAXWING_RELAY_SMSC",
        hide_env_values = true,
        conflicts_with = "sms_dir"
    )]
    pub(crate) smsc: Option<String>,

    /// Write each text to a phone as a file to this directory instead: for trying out.
    #[arg(long, value_name = "DIR")]
    pub(crate) sms_dir: Option<PathBuf>,

    /// Who texts come from: a number such as +15551234567, a short number, or a name of eleven
    /// letters at most [default: Waxwing].
    #[arg(long, value_name = "SENDER")]
    pub(crate) sms_from: Option<String>,

    /// How much is texted: in the file only.
    #[arg(skip)]
    #[serde(default)]
    pub(crate) sms: Texts,

    /// What may be stored: in the file only.
    #[arg(skip)]
    #[serde(default)]
    pub(crate) quotas: Quotas,

    /// Where Prometheus reads `/metrics`, in plain HTTP; keep it local.
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub(crate) metrics: Option<SocketAddr>,

    /// How log lines look [default: text].
    #[arg(long, value_name = "FORMAT")]
    pub(crate) log_format: Option<LogFormat>,

    /// Connections at one time [default: 50000].
    #[arg(long, value_name = "NUMBER")]
    pub(crate) max_links: Option<usize>,

    /// Connections at one time from one IPv4 address or one IPv6 /64 [default: 1000]. A /56 may
    /// have twice, a /48 four times as many.
    #[arg(long, value_name = "NUMBER")]
    pub(crate) max_links_per_source: Option<usize>,

    /// Memory for what all links together have queued or half received, in MiB [default: 256].
    #[arg(long, value_name = "MIB")]
    pub(crate) link_memory: Option<usize>,

    /// An address that many people share, a TCP proxy or an onion service: limits per source
    /// count each of its connections by itself, and all of them share a budget. May be repeated.
    #[arg(long = "shared-source", value_name = "ADDRESS")]
    #[serde(default)]
    pub(crate) shared_sources: Vec<IpAddr>,

    /// An auditor whose co-signatures of the key log this relay publishes, by the id that
    /// `waxwing audit` shows: `waxwing-auditor-…`. May be repeated.
    #[arg(long = "auditor", value_name = "ID")]
    #[serde(default)]
    pub(crate) auditors: Vec<String>,
    /// An address that may be registered although it looks like one that is. May be
    /// repeated.
    #[arg(long = "look-alike", value_name = "ADDRESS")]
    #[serde(default)]
    pub(crate) look_alikes: Vec<String>,
}

/// The table `[quotas]` of the file.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub(crate) struct Quotas {
    /// GiB of attached files at one time, in all.
    pub(crate) blob_gib: Option<u32>,
    /// GiB of attached files that are begun in a day, in all.
    pub(crate) blob_gib_per_day: Option<u32>,
    /// GiB of backups at one time, in all.
    pub(crate) backup_gib: Option<u32>,
    /// Groups at one time, in all.
    pub(crate) groups: Option<u64>,
    /// GiB of what is stored of groups, in all.
    pub(crate) group_gib: Option<u32>,
    /// A group that nobody uses for so many days is deleted.
    pub(crate) idle_group_days: Option<u64>,
    /// Tokens that one account gets in a day.
    pub(crate) tokens_per_day: Option<u32>,
    /// Tokens that one account gets in 15 days.
    pub(crate) tokens_per_period: Option<u32>,
}

/// The table `[sms]` of the file.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub(crate) struct Texts {
    /// Texts that the SMSC may be given before it has answered.
    pub(crate) window: Option<usize>,
    /// Texts in a second.
    pub(crate) per_second: Option<u32>,
    /// Which SMPP is spoken: `"3.4"` or `"5.0"`.
    pub(crate) smpp: Option<String>,
    /// A file with the certificates that may have issued the SMSC's.
    pub(crate) authorities: Option<PathBuf>,
    /// Texts that people write in a day, to all numbers together.
    pub(crate) per_day: Option<u32>,
    /// Codes in a day, to all numbers together.
    pub(crate) codes_per_day: Option<u32>,
    /// Texts of people in a day, to the numbers of one country or prefix; and codes as many
    /// again.
    pub(crate) per_prefix_per_day: Option<u32>,
    /// Prefixes that have a number of their own: `"+44" = 500`; 0 for none at all.
    pub(crate) prefixes: BTreeMap<String, u32>,
    /// Whether people may write to phones and hear from them; yes, where nothing is said.
    pub(crate) conversations: Option<bool>,
    /// Texts in a day that one account may write.
    pub(crate) per_account_per_day: Option<u32>,
    /// What a text costs, as people are told before they send: `"+358" = "0.07 EUR"`; `"+"` for
    /// all others.
    pub(crate) prices: BTreeMap<String, String>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

#[derive(Debug, Args)]
pub(crate) struct Check {
    /// The relay's data directory.
    #[arg(long, value_name = "DIR", env = "WAXWING_RELAY_DATA")]
    pub(crate) data: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct ConfirmClock {
    /// The relay's data directory.
    #[arg(long, value_name = "DIR", env = "WAXWING_RELAY_DATA")]
    pub(crate) data: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct Identity {
    /// The relay's data directory.
    #[arg(long, value_name = "DIR", env = "WAXWING_RELAY_DATA")]
    pub(crate) data: PathBuf,

    /// The host name that people reach the relay by.
    #[arg(long, value_name = "HOST", default_value = "127.0.0.1")]
    pub(crate) name: String,

    /// The port likewise.
    #[arg(long, value_name = "PORT", default_value_t = 8443)]
    pub(crate) port: u16,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }
}
