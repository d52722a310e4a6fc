//! What an operator may choose of how the relay treats its clients.
//!
//! **Elsewhere**: addresses, certificates and files are settings of [`crate::server`];
//! what clients may rely on is in the protocol's limits.

use waxwing_protocol::{limits, time::Span};

use crate::{rate::Rate, sms::limits::TextLimits};

/// What an operator may choose.
#[derive(Clone, Debug)]
pub struct Config {
    /// Codes that one address may be sent.
    pub codes_per_address: Rate,
    /// Codes that one source may ask for.
    pub codes_per_source: Rate,
    /// What may be texted, where anything can be: codes, and texts of accounts.
    pub texts: Option<TextLimits>,
    /// Whether accounts may write to phones, and hear from them.
    pub texts_of_accounts: bool,
    /// Segments that one account may write.
    pub texts_per_account: Rate,
    /// Segments that one account may get.
    pub inbound_texts_per_account: Rate,
    /// Registrations that wait for their code, in all.
    pub pending_registrations: usize,
    /// Requests of one link.
    pub requests_per_link: Rate,
    /// Look-ups and claims of one source.
    pub look_ups_per_source: Rate,
    /// Changes of its roster or locks that one account may make.
    pub changes_per_account: Rate,
    /// Tokens that one account gets in a day.
    pub tokens_per_day: u32,
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

impl Default for Config {
    fn default() -> Self {
        Self {
            codes_per_address: Rate {
                burst: 5,
                every: Span::minutes(10),
            },
            codes_per_source: Rate {
                burst: 30,
                every: Span::minutes(1),
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
            pending_registrations: 10_000,
            requests_per_link: Rate {
                burst: 20_000,
                every: Span(1),
            },
            look_ups_per_source: Rate {
                burst: 300,
                every: Span::seconds(1),
            },
            changes_per_account: Rate {
                burst: 30,
                every: Span::minutes(1),
            },
            tokens_per_day: u32::try_from(limits::TOKENS_PER_DAY).unwrap_or(u32::MAX),
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
