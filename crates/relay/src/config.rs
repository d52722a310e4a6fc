//! What an operator can choose about how the relay treats its clients.
//!
//! **Elsewhere**: addresses, certificates and files are settings of [`crate::server`]; what
//! clients can rely on is in the protocol's limits.

use std::collections::BTreeMap;

use waxwing_protocol::{address::Address, limits, time::Span};

use crate::rate_limit::Rate;

/// How many texts may go where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TextLimits {
    /// What people write, in a day, to all numbers together.
    pub per_day: u32,
    /// Codes, in a day, to all numbers together.
    pub codes_per_day: u32,
    /// Of each of the two, in a day, to the numbers of one prefix that has no limit of its own.
    pub per_prefix_per_day: u32,
    /// Prefixes with limits of their own for each of the two: `+358` and how many in a day.
    pub prefixes: BTreeMap<String, u32>,
    /// The price of a segment to the numbers of a prefix, which people see before they send: `+358`
    /// and `0.07 EUR`; `+` is for all others.
    pub prices: BTreeMap<String, String>,
}

impl Default for TextLimits {
    fn default() -> Self {
        Self {
            per_day: 1_000,
            codes_per_day: 500,
            per_prefix_per_day: 100,
            prefixes: BTreeMap::new(),
            prices: BTreeMap::new(),
        }
    }
}

/// What an operator may choose.
#[derive(Clone, Debug)]
pub struct Config {
    /// Codes that one address may be sent, for all who ask from one network.
    pub codes_per_address: Rate,
    /// Codes that one address may be sent in all. One comes back before a code expires:
    /// there always is one that is good, or one may be sent.
    pub codes_per_address_in_all: Rate,
    /// Codes that one source may ask for.
    pub codes_per_source: Rate,
    /// Codes that one network (a /24 of IPv4, a /48 of IPv6) may ask for.
    pub codes_per_network: Rate,
    /// Codes by mail, in all.
    pub mailed_codes: Rate,
    /// Codes by text for those who ask from one network.
    pub texted_codes_per_network: Rate,
    /// What may be texted, where anything can be: codes, and texts of accounts.
    pub texts: Option<TextLimits>,
    /// Whether accounts may write to phones, and hear from them.
    pub texts_of_accounts: bool,
    /// Segments that one account may write.
    pub texts_per_account: Rate,
    /// Segments that one account may get.
    pub inbound_texts_per_account: Rate,
    /// Addresses that may be registered though they look like one that is.
    pub look_alikes: Vec<Address>,
    /// Registrations that wait for their code, in all.
    pub pending_registrations: usize,
    /// What one link may ask for, in posts: [`crate::cost`] has what other requests cost.
    pub requests_per_link: Rate,
    /// Work that one source may cause by expensive requests, in tenths of a millisecond of
    /// one processor.
    pub work_per_source: Rate,
    /// Logins that fail on one link before it is closed.
    pub failed_logins_per_link: u8,
    /// Look-ups and claims of one source.
    pub look_ups_per_source: Rate,
    /// Changes of its roster or locks that one account may make.
    pub changes_per_account: Rate,
    /// Tokens that one account gets in a day.
    pub tokens_per_day: u32,
    /// Tokens that one account gets in 15 days.
    pub tokens_per_period: u32,
    /// Bytes of blobs at one time, in all.
    pub blob_bytes: u64,
    /// Mebibytes of blobs that are opened in a day, in all.
    pub blob_mib_per_day: u32,
    /// Parts of backups at one time, in all.
    pub backup_parts_in_all: u64,
    /// Groups at one time, in all.
    pub groups: u64,
    /// Bytes of groups' lists and group information, in all.
    pub group_bytes: u64,
    /// A group that nobody uses for so many days is deleted.
    pub group_idle_days: u64,
    /// Posts that wait in one mailbox.
    pub mailbox_posts: u64,
    /// Bytes that wait in one mailbox.
    pub mailbox_bytes: u64,
    /// Bytes of posts that are not on disk yet, in all.
    pub unwritten_bytes: usize,
    /// Bytes of fan-out lists that links post by, in all; each list is kept once.
    pub fan_out_bytes: usize,
    /// Authorisations to post, in all; from here on only links that have few get more.
    pub authorisations: usize,
    /// Rendezvous under way, in all.
    pub rendezvous: usize,
    /// Bytes that wait at them for somebody, in all.
    pub rendezvous_bytes: usize,
    /// Rendezvous that one source may make.
    pub rendezvous_per_source: Rate,
    /// Numbers of rendezvous that one source may try.
    pub rendezvous_tries_per_source: Rate,
    /// Parts that an account's backup may have; of an unfinished one as many again.
    pub backup_parts: u32,
    /// Parts of backups that one account may put.
    pub backup_puts_per_account: Rate,
    /// Parts of backups that one account may fetch.
    pub backup_fetches_per_account: Rate,
    /// Bytes of backups that are not on disk yet, in all.
    pub unwritten_backup_bytes: usize,
}

/// Codes that are mailed in an hour, where nothing else is chosen.
const CODES_PER_HOUR: u32 = 1_800;

/// Half of an hour's codes at once.
fn mailed(codes_per_hour: u32) -> Rate {
    let codes_per_hour = codes_per_hour.max(1);
    let every = Span::hours(1).0 / u64::from(codes_per_hour);
    Rate {
        burst: (codes_per_hour / 2).max(1),
        every: Span(every.max(1)),
    }
}

/// An eighth of them at once for those of one network, and a sixty-fourth as fast.
fn network_of(codes_per_hour: u32) -> Rate {
    let Rate { burst, every } = mailed(codes_per_hour);
    Rate {
        burst: (burst / 8).max(1),
        every: Span(every.0.saturating_mul(64)),
    }
}

impl Config {
    /// Chooses how many codes are mailed in an hour, and with it what one network may ask for.
    pub fn set_codes_per_hour(&mut self, codes: u32) {
        self.mailed_codes = mailed(codes);
        self.codes_per_network = network_of(codes);
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            codes_per_address: Rate {
                burst: 5,
                every: Span::minutes(10),
            },
            codes_per_address_in_all: Rate {
                burst: 15,
                every: Span::minutes(10),
            },
            codes_per_source: Rate {
                burst: 30,
                every: Span::minutes(1),
            },
            codes_per_network: network_of(CODES_PER_HOUR),
            mailed_codes: mailed(CODES_PER_HOUR),
            texted_codes_per_network: Rate {
                burst: 20,
                every: Span::minutes(30),
            },
            texts: None,
            texts_of_accounts: false,
            texts_per_account: Rate {
                burst: 50,
                every: Span::minutes(30),
            },
            inbound_texts_per_account: Rate {
                burst: 500,
                every: Span::minutes(1),
            },
            look_alikes: Vec::new(),
            pending_registrations: 10_000,
            requests_per_link: Rate {
                burst: 20_000,
                every: Span(1),
            },
            work_per_source: Rate {
                burst: 20_000,
                every: Span(1),
            },
            failed_logins_per_link: 3,
            look_ups_per_source: Rate {
                burst: 300,
                every: Span::seconds(1),
            },
            changes_per_account: Rate {
                burst: 30,
                every: Span::minutes(1),
            },
            tokens_per_day: u32::try_from(limits::TOKENS_PER_DAY).unwrap_or(u32::MAX),
            tokens_per_period: limits::TOKENS_PER_PERIOD,
            blob_bytes: 256 << 30,
            blob_mib_per_day: 128 << 10,
            backup_parts_in_all: 1 << 20,
            groups: 1_000_000,
            group_bytes: 64 << 30,
            group_idle_days: 180,
            mailbox_posts: limits::MAILBOX_POSTS,
            mailbox_bytes: limits::MAILBOX_BYTES,
            unwritten_bytes: 64 << 20,
            fan_out_bytes: 64 << 20,
            authorisations: 500_000,
            rendezvous: 10_000,
            rendezvous_bytes: 64 << 20,
            rendezvous_per_source: Rate {
                burst: 20,
                every: Span::seconds(30),
            },
            rendezvous_tries_per_source: Rate {
                burst: 10,
                every: Span::minutes(1),
            },
            backup_parts: limits::BACKUP_PARTS,
            backup_puts_per_account: Rate {
                burst: 2 * limits::BACKUP_PARTS,
                every: Span::seconds(20),
            },
            backup_fetches_per_account: Rate {
                burst: 4 * limits::BACKUP_PARTS,
                every: Span::seconds(5),
            },
            unwritten_backup_bytes: 32 << 20,
        }
    }
}
