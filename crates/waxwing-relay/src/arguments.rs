//! The command line.
//!
//! **Elsewhere**: the configuration file has the same settings ([`crate::configuration`]).
//!
//! **Always**: what is given here takes precedence over a configuration file.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use serde::Deserialize;

/// Run a Waxwing relay, which verifies addresses and delivers messages that it cannot read.
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
    /// The first start creates the data directory and the relay's identity. When the relay is ready
    /// it prints `listening URL`. People give this URL to `waxwing register --relay`; it holds the
    /// relay's address and the fingerprint that clients pin.
    ///
    /// SIGINT and SIGTERM stop it: the relay saves what it has accepted, closes its links, and
    /// exits with 0 within a few seconds. Killing it loses nothing that it acknowledged.
    #[command(after_help = "\
Examples:
  Try it on this machine, with codes as files in ./mail:
      waxwing-relay serve --data ./relay --mail-dir ./mail

  For others, with a mail server:
      waxwing-relay serve --data /var/lib/waxwing-relay --listen [::]:8443 \\
          --name relay.example.org --config /etc/waxwing-relay.toml")]
    Serve(Box<Serve>),
    /// Check a data directory: read and check every record, and verify the key log from its first
    /// head to its newest.
    ///
    /// The relay must not be running. Nothing is changed. Exits with 1 when something is
    /// damaged.
    Check(Check),
    /// Confirm that this machine's clock is right, after the relay logged that it jumped.
    ///
    /// Until you confirm it, or until the clock has run evenly for half an hour, nothing expires
    /// and the key log signs nothing. Check the clock first: the relay cannot restore what it
    /// deleted too early, and clients refuse a key log from the future. You can confirm while the
    /// relay runs, or up to ten minutes before it starts.
    ConfirmClock(ConfirmClock),
    /// Print the relay's pin, and its URL for a host name.
    ///
    /// Works whether or not the relay is running.
    Identity(Identity),
    /// Ask about the cluster that a relay is a node of, or have it led by another node.
    ///
    /// docs/operations.md, chapter "Several machines", describes how to set one up.
    #[command(subcommand)]
    Cluster(Cluster),
    /// Print a completion script for a shell.
    ///
    /// For bash, for example:
    ///     waxwing-relay completions bash > ~/.local/share/bash-completion/completions/waxwing-relay
    #[command(verbatim_doc_comment)]
    Completions {
        /// Which shell.
        shell: Shell,
    },
    /// Print the manual page.
    ///
    /// To read it:
    ///     waxwing-relay man | man -l -
    #[command(verbatim_doc_comment)]
    Man,
}

#[derive(Debug, Args)]
pub(crate) struct Serve {
    /// The directory for the relay's identity and messages; created if it does not exist.
    #[arg(long, value_name = "DIR", env = "WAXWING_RELAY_DATA")]
    pub(crate) data: PathBuf,

    /// A TOML file with settings: the options below, under the same names.
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,

    /// Also write the ready line to this file, which appears once the relay is ready.
    #[arg(long, value_name = "FILE")]
    pub(crate) ready_file: Option<PathBuf>,

    #[command(flatten)]
    pub(crate) settings: Choices,
}

/// What can be set on the command line and in the file.
#[derive(Debug, Default, Args, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct Choices {
    /// The address for clients to connect to; port 0 takes any free port [default: 127.0.0.1:8443].
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub(crate) listen: Option<SocketAddr>,

    /// The host name under which people reach the relay [default: the listening address].
    #[arg(long, value_name = "HOST")]
    pub(crate) name: Option<String>,

    /// The mail server for registration codes: `smtp://host`, `smtp://host?tls=required` or
    /// `smtps://host`, with `user:password@` before the host if it requires a login. Prefer the
    /// file or the environment variable: other users of this machine can see a command line.
    #[arg(
        long,
        value_name = "URL",
        env = "WAXWING_RELAY_SMTP",
        hide_env_values = true,
        conflicts_with = "mail_dir"
    )]
    pub(crate) smtp: Option<String>,

    /// Write each mail as a file to this directory instead of sending it, to try the relay out.
    #[arg(long, value_name = "DIR")]
    pub(crate) mail_dir: Option<PathBuf>,

    /// The sender of mails (by default `Waxwing <waxwing@HOST>`).
    #[arg(long, value_name = "MAILBOX")]
    pub(crate) mail_from: Option<String>,

    /// How many codes the relay mails per hour in total [default: 1800], at most half of them at
    /// once.
    #[arg(long, value_name = "NUMBER", env = "WAXWING_RELAY_CODES_PER_HOUR")]
    pub(crate) codes_per_hour: Option<u32>,

    /// The SMSC that sends codes to phone numbers: `smpp://user:password@host:2775`, or `smpps://…`
    /// for TLS. Prefer the file or the environment variable: other users of this machine can see a
    /// command line.
    #[arg(
        long,
        value_name = "URL",
        env = "WAXWING_RELAY_SMSC",
        hide_env_values = true,
        conflicts_with = "sms_dir"
    )]
    pub(crate) smsc: Option<String>,

    /// Write each text as a file to this directory instead of sending it, to try the relay out.
    #[arg(long, value_name = "DIR")]
    pub(crate) sms_dir: Option<PathBuf>,

    /// The sender of texts: a number such as +15551234567, a short number, or a name of at most
    /// eleven letters [default: Waxwing].
    #[arg(long, value_name = "SENDER")]
    pub(crate) sms_from: Option<String>,

    /// Limits for texts: in the file only.
    #[arg(skip)]
    #[serde(default)]
    pub(crate) sms: Texts,

    /// Limits for storage: in the file only.
    #[arg(skip)]
    #[serde(default)]
    pub(crate) quotas: Quotas,

    /// The cluster that this relay is a node of: in the file only.
    #[arg(skip)]
    pub(crate) cluster: Option<ClusterChoices>,

    /// The address where Prometheus reads `/metrics`, over plain HTTP; keep it local.
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub(crate) metrics: Option<SocketAddr>,

    /// The format of log lines [default: text].
    #[arg(long, value_name = "FORMAT")]
    pub(crate) log_format: Option<LogFormat>,

    /// The most connections at one time [default: 50000].
    #[arg(long, value_name = "NUMBER")]
    pub(crate) max_links: Option<usize>,

    /// The most connections at one time from one IPv4 address or one IPv6 /64 [default: 1000]. A
    /// /56 may have twice as many, a /48 four times as many.
    #[arg(long, value_name = "NUMBER")]
    pub(crate) max_links_per_source: Option<usize>,

    /// Memory for what all links together have queued or partly received, in MiB [default: 256].
    #[arg(long, value_name = "MIB")]
    pub(crate) link_memory: Option<usize>,

    /// An address that many people share, such as a TCP proxy or an onion service. Limits per
    /// source count each of its connections separately, and all of them share one budget. Can be
    /// repeated.
    #[arg(long = "shared-source", value_name = "ADDRESS")]
    #[serde(default)]
    pub(crate) shared_sources: Vec<IpAddr>,

    /// The id of an auditor whose co-signatures of the key log this relay publishes, as `waxwing
    /// audit id` prints it: `waxwing-auditor-…`. Can be repeated.
    #[arg(long = "auditor", value_name = "ID")]
    #[serde(default)]
    pub(crate) auditors: Vec<String>,
    /// An address that may be registered although it looks like a registered one. Can be repeated.
    #[arg(long = "look-alike", value_name = "ADDRESS")]
    #[serde(default)]
    pub(crate) look_alikes: Vec<String>,
}

/// The table `[cluster]` of the file.
#[derive(Clone, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct ClusterChoices {
    /// The database that all nodes share: `postgres://user:password@host/database`.
    pub(crate) log: String,
    /// What this node is called; each has a name of its own.
    pub(crate) name: String,
    /// `"synchronous"` or `"provider"`.
    pub(crate) durability: Option<String>,
    /// A file with the certificates of authorities that may have issued the database's.
    pub(crate) authorities: Option<PathBuf>,
}

impl std::fmt::Debug for ClusterChoices {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ClusterChoices")
    }
}

/// The table `[quotas]` of the file.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub(crate) struct Quotas {
    /// GiB of attachments at one time, in total.
    pub(crate) blob_gib: Option<u32>,
    /// GiB of attachments that are started in a day, in total.
    pub(crate) blob_gib_per_day: Option<u32>,
    /// GiB of backups at one time, in total.
    pub(crate) backup_gib: Option<u32>,
    /// Groups at one time, in total.
    pub(crate) groups: Option<u64>,
    /// GiB that are stored for groups, in total.
    pub(crate) group_gib: Option<u32>,
    /// Days after which the relay deletes a group that nobody uses.
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
    /// Texts that the relay gives to the SMSC before it waits for an answer.
    pub(crate) window: Option<usize>,
    /// Texts per second.
    pub(crate) per_second: Option<u32>,
    /// The version of SMPP: `"3.4"` or `"5.0"`.
    pub(crate) smpp: Option<String>,
    /// A file with the certificates of authorities that may have issued the SMSC's certificate.
    pub(crate) authorities: Option<PathBuf>,
    /// Texts that people may write in a day, to all numbers together.
    pub(crate) per_day: Option<u32>,
    /// Codes in a day, to all numbers together.
    pub(crate) codes_per_day: Option<u32>,
    /// Texts of people in a day to the numbers of one country or prefix, and as many codes.
    pub(crate) per_prefix_per_day: Option<u32>,
    /// Prefixes with a limit of their own: `"+44" = 500`; 0 allows none.
    pub(crate) prefixes: BTreeMap<String, u32>,
    /// Whether people may exchange texts with phones; yes by default.
    pub(crate) conversations: Option<bool>,
    /// Texts that one account may write in a day.
    pub(crate) per_account_per_day: Option<u32>,
    /// The price of a text, which people see before they send: `"+358" = "0.07 EUR"`; `"+"` for all
    /// other numbers.
    pub(crate) prices: BTreeMap<String, String>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object per line.
    Json,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Cluster {
    /// Print which node leads, and how far each node is.
    Status(ClusterAt),
    /// Have the node that leads hand over to one that stands by.
    ///
    /// Clients connect to the new one by themselves. The old one stands by afterwards.
    Handover(ClusterAt),
}

#[derive(Debug, Args)]
pub(crate) struct ClusterAt {
    /// The data directory of a node.
    #[arg(long, value_name = "DIR", env = "WAXWING_RELAY_DATA")]
    pub(crate) data: PathBuf,

    /// The file with the node's settings.
    #[arg(long, value_name = "FILE")]
    pub(crate) config: PathBuf,
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

    /// The host name under which people reach the relay.
    #[arg(long, value_name = "HOST", default_value = "127.0.0.1")]
    pub(crate) name: String,

    /// The port under which people reach the relay.
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
