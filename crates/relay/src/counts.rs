//! What the relay counts, for metrics.
//!
//! **Elsewhere**: [`crate::server`] shows it to operators.

/// Counts, for metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Links that are open.
    pub links: u64,
    /// Links that are logged in.
    pub logged_in: u64,
    /// Bytes of memory that unencrypted fan-out lists use.
    pub fan_out_bytes: u64,
    /// Posts accepted since the start.
    pub posts: u64,
    /// Posts delivered to a device, counted for each mailbox.
    pub delivered: u64,
    /// Posts that devices acknowledged.
    pub acknowledged: u64,
    /// Posts that all recipients had before they were written to disk.
    pub never_written: u64,
    /// Posts that waited longer than allowed.
    pub expired: u64,
    /// Posts for which a mailbox had no room, counted for each mailbox.
    pub left_out: u64,
    /// Requests refused.
    pub refused: u64,
    /// Codes sent.
    pub codes: u64,
    /// Addresses registered.
    pub registrations: u64,
    /// Changes that were added to the key log.
    pub changes: u64,
    /// Publications that failed.
    pub failed_publications: u64,
    /// Batches written.
    pub batches: u64,
    /// Batches that failed, counted for each attempt.
    pub failed_batches: u64,
    /// Damaged records that were skipped.
    pub damaged: u64,
    /// How often the machine's clock has jumped.
    pub clock_leaps: u64,
}
