//! Whether the log of an epoch only adds to the one before.
//!
//! **Elsewhere**: the proof on the wire is `waxwing_transparency::wire`.
//!
//! **Always**: akd is given only what a log could have made: leaves where something was
//! inserted, and labels none of which lies on the way to another.

use akd::{
    NodeLabel, SingleAppendOnlyProof, WhatsAppV1Configuration as Akd, auditor::audit_verify,
    configuration::Configuration as _,
};
use waxwing_protocol::pb;
use waxwing_transparency::wire;

/// Bits of a leaf's label.
const LEAF_BITS: u32 = 256;

/// A proof that proves nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AppendOnlyError {
    /// It does not decode, or no log could have made it.
    #[error("the proof is malformed")]
    Malformed,
    /// It is another epoch's.
    #[error("the proof is for log epoch {0}")]
    OtherEpoch(u64),
    /// It does not lead from the one root to the other.
    #[error("the proof does not hold: something in the log was removed or changed")]
    Invalid,
}

/// The root of a log that nothing is in: that of epoch 0.
pub fn empty_root() -> [u8; 32] {
    Akd::compute_root_hash_from_val(&Akd::empty_root_value())
}

/// Checks that the log of `epoch` with the root `after` has everything that the log of
/// the epoch before, with the root `before`, had. To be called in a tokio runtime.
pub async fn verify(
    epoch: u64,
    before: [u8; 32],
    after: [u8; 32],
    proof: &pb::AuditProof,
) -> Result<(), AppendOnlyError> {
    if proof.epoch != epoch {
        return Err(AppendOnlyError::OtherEpoch(proof.epoch));
    }
    let proof = wire::audit_proof(proof).ok_or(AppendOnlyError::Malformed)?;
    if !proof.proofs.iter().all(is_sane) {
        return Err(AppendOnlyError::Malformed);
    }
    audit_verify::<Akd>(vec![before, after], proof)
        .await
        .map_err(|_| AppendOnlyError::Invalid)
}

/// akd checks some of this, of late. It is what the proof's meaning rests on.
fn is_sane(proof: &SingleAppendOnlyProof) -> bool {
    if proof
        .inserted
        .iter()
        .any(|one| one.label.label_len != LEAF_BITS)
    {
        return false;
    }
    let mut labels: Vec<&NodeLabel> = proof
        .inserted
        .iter()
        .chain(&proof.unchanged_nodes)
        .map(|one| &one.label)
        .collect();
    if !labels.iter().all(|label| has_no_bits_behind(label)) {
        return false;
    }
    // In this order, a label is followed by those that it lies on the way to.
    labels.sort_by_key(|label| (label.label_val, label.label_len));
    labels
        .iter()
        .zip(labels.iter().skip(1))
        .all(|(a, b)| !begins(a, b))
}

/// Whether nothing is set behind the label's length.
fn has_no_bits_behind(label: &NodeLabel) -> bool {
    (label.label_len..LEAF_BITS).all(|bit| !bit_of(label, bit))
}

/// Whether `label` begins with `prefix`.
fn begins(prefix: &NodeLabel, label: &NodeLabel) -> bool {
    prefix.label_len <= label.label_len
        && (0..prefix.label_len).all(|bit| bit_of(prefix, bit) == bit_of(label, bit))
}

fn bit_of(label: &NodeLabel, bit: u32) -> bool {
    let byte = label.label_val.get(bit as usize / 8).copied();
    byte.is_some_and(|byte| byte >> (7 - bit % 8) & 1 == 1)
}
