//! Whether the log says of an address what the relay says that it says.
//!
//! **Elsewhere**: akd's proofs on the wire are [`crate::wire`]; whether the head that a
//! proof is made against is to be believed is [`crate::view`].
//!
//! **Always**: akd_core is given nothing that it does not expect (it panics at some
//! numbers that no log has). That a label has *no* entry is not proved by akd: "not found"
//! is the relay's word and nothing more.

use akd_core::{
    AkdLabel, VerifyResult,
    verify::{
        history::{HistoryParams, HistoryVerificationParams, key_history_verify},
        lookup::lookup_verify,
    },
};
use bytes::Bytes;
use prost::Message as _;
use waxwing_protocol::{address::Address, ids::AccountId, limits, pb, roster::Roster, time::Time};

use crate::{Configuration, head::Head, identity::LogIdentity, wire};

const VERSION: u32 = 1;
/// Bytes of an entry, at most.
const ENTRY_BYTES: usize = 512;

/// What the log says of an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Whose it is.
    pub account: AccountId,
    /// How many statements the account's roster has.
    pub roster_length: u64,
    /// The hash of the last one.
    pub roster_head: [u8; 32],
    /// How the address was verified.
    pub verified_by: pb::Verification,
    /// When.
    pub verified_at: Time,
    /// Whether its registration is locked.
    pub locked: bool,
}

/// A value that an address had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version {
    /// From 1.
    pub version: u64,
    /// The log epoch in which it came.
    pub epoch: u64,
    /// The value.
    pub entry: Entry,
}

/// A proof that proves nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProofError {
    /// It does not decode, or is larger than it may be.
    #[error("the proof is malformed")]
    Malformed,
    /// It does not hold against the head.
    #[error("the proof does not hold")]
    Invalid,
}

impl Entry {
    /// The entry for an account with this roster.
    pub fn new(roster: &Roster, verified_by: pb::Verification, verified_at: Time) -> Self {
        Self {
            account: roster.account(),
            roster_length: roster.length(),
            roster_head: *roster.head(),
            verified_by,
            verified_at,
            locked: false,
        }
    }

    /// As the log commits to it.
    pub fn encode(&self) -> Vec<u8> {
        pb::LogEntry {
            version: VERSION,
            account_id: self.account.to_bytes(),
            roster_length: self.roster_length,
            roster_head: Bytes::copy_from_slice(&self.roster_head),
            verified_by: self.verified_by.into(),
            verified_at_ms: self.verified_at.0,
            locked: self.locked,
        }
        .encode_to_vec()
    }

    /// What the log commits to.
    pub fn decode(bytes: &[u8]) -> Result<Self, ProofError> {
        if bytes.len() > ENTRY_BYTES {
            return Err(ProofError::Malformed);
        }
        let entry = pb::LogEntry::decode(bytes).map_err(|_| ProofError::Malformed)?;
        if entry.version != VERSION {
            return Err(ProofError::Malformed);
        }
        Ok(Self {
            account: AccountId::try_from(&entry.account_id).map_err(|_| ProofError::Malformed)?,
            roster_length: entry.roster_length,
            roster_head: entry
                .roster_head
                .as_ref()
                .try_into()
                .map_err(|_| ProofError::Malformed)?,
            verified_by: entry.verified_by(),
            verified_at: Time(entry.verified_at_ms),
            locked: entry.locked,
        })
    }

    /// Whether the log vouches for exactly this roster.
    pub fn vouches_for(&self, roster: &Roster) -> bool {
        self.account == roster.account()
            && self.roster_length == roster.length()
            && self.roster_head == *roster.head()
    }
}

/// The log's label of an address.
pub fn label(address: &Address) -> AkdLabel {
    AkdLabel(address.canonical().as_bytes().to_vec())
}

/// Checks what a look-up gave: the newest entry of `address` in the log of `head`.
pub fn look_up(
    log: &LogIdentity,
    head: &Head,
    address: &Address,
    proof: &pb::LookUpProof,
) -> Result<Version, ProofError> {
    let proof = wire::look_up_proof(proof).ok_or(ProofError::Malformed)?;
    if proof.version == 0 || proof.epoch > head.epoch {
        return Err(ProofError::Malformed);
    }
    let result =
        lookup_verify::<Configuration>(log.vrf_key(), head.root, head.epoch, label(address), proof)
            .map_err(|_| ProofError::Invalid)?;
    version(&result)
}

/// Checks a history: every value that `address` had, or the newest `most_recent` where
/// that is not 0. Newest first.
pub fn history(
    log: &LogIdentity,
    head: &Head,
    address: &Address,
    most_recent: u32,
    proof: &pb::HistoryProof,
) -> Result<Vec<Version>, ProofError> {
    let proof = wire::history_proof(proof).ok_or(ProofError::Malformed)?;
    let sane = !proof.update_proofs.is_empty()
        && proof.update_proofs.len() <= limits::HISTORY_VERSIONS
        && proof.update_proofs.iter().all(|update| {
            update.version > 0 && update.version <= head.epoch && update.epoch <= head.epoch
        });
    if !sane {
        return Err(ProofError::Malformed);
    }
    let history_params = match most_recent {
        0 => HistoryParams::Complete,
        most => HistoryParams::MostRecent(most as usize),
    };
    let results = key_history_verify::<Configuration>(
        log.vrf_key(),
        head.root,
        head.epoch,
        label(address),
        proof,
        HistoryVerificationParams::Default { history_params },
    )
    .map_err(|_| ProofError::Invalid)?;
    results.iter().map(version).collect()
}

fn version(result: &VerifyResult) -> Result<Version, ProofError> {
    Ok(Version {
        version: result.version,
        epoch: result.epoch,
        entry: Entry::decode(&result.value.0)?,
    })
}
