//! akd's proofs, to and from their wire form.
//!
//! **Elsewhere**: checking them is [`crate::proof`].
//!
//! **Always**: what came from outside is decoded within bounds, or is `None`.

use akd_core::{
    AkdValue, AppendOnlyProof, AzksElement, AzksValue, Direction, HistoryProof, LookupProof,
    MembershipProof, NodeLabel, NonMembershipProof, SiblingProof, SingleAppendOnlyProof,
    UpdateProof,
};
use bytes::Bytes;
use waxwing_protocol::{limits, pb};

/// Bytes of a VRF proof (RFC 9381 section 5.5).
const VRF_PROOF_BYTES: usize = 80;
/// Bytes of a commitment's nonce, at most.
const NONCE_BYTES: usize = 64;
/// Bytes of a value, at most.
const VALUE_BYTES: usize = 512;
/// Markers of a history, at most: two for each bit of a version.
const MARKERS: usize = 192;

/// For the wire.
pub fn from_look_up_proof(proof: LookupProof) -> pb::LookUpProof {
    pb::LookUpProof {
        epoch: proof.epoch,
        value: proof.value.0.into(),
        version: proof.version,
        existence_vrf_proof: proof.existence_vrf_proof.into(),
        existence_proof: Some(from_membership(proof.existence_proof)),
        marker_vrf_proof: proof.marker_vrf_proof.into(),
        marker_proof: Some(from_membership(proof.marker_proof)),
        freshness_vrf_proof: proof.freshness_vrf_proof.into(),
        freshness_proof: Some(from_non_membership(proof.freshness_proof)),
        commitment_nonce: proof.commitment_nonce.into(),
    }
}

/// From the wire.
pub fn look_up_proof(proof: &pb::LookUpProof) -> Option<LookupProof> {
    Some(LookupProof {
        epoch: proof.epoch,
        value: AkdValue(bounded(&proof.value, VALUE_BYTES)?),
        version: proof.version,
        existence_vrf_proof: vrf(&proof.existence_vrf_proof)?,
        existence_proof: membership(proof.existence_proof.as_ref())?,
        marker_vrf_proof: vrf(&proof.marker_vrf_proof)?,
        marker_proof: membership(proof.marker_proof.as_ref())?,
        freshness_vrf_proof: vrf(&proof.freshness_vrf_proof)?,
        freshness_proof: non_membership(proof.freshness_proof.as_ref())?,
        commitment_nonce: bounded(&proof.commitment_nonce, NONCE_BYTES)?,
    })
}

/// For the wire.
pub fn from_history_proof(proof: HistoryProof) -> pb::HistoryProof {
    pb::HistoryProof {
        updates: proof.update_proofs.into_iter().map(from_update).collect(),
        past_marker_vrf_proofs: all(proof.past_marker_vrf_proofs, Bytes::from),
        past_marker_proofs: all(proof.existence_of_past_marker_proofs, from_membership),
        future_marker_vrf_proofs: all(proof.future_marker_vrf_proofs, Bytes::from),
        future_marker_proofs: all(
            proof.non_existence_of_future_marker_proofs,
            from_non_membership,
        ),
    }
}

/// From the wire.
pub fn history_proof(proof: &pb::HistoryProof) -> Option<HistoryProof> {
    let fits = proof.updates.len() <= limits::HISTORY_VERSIONS
        && proof.past_marker_vrf_proofs.len() <= MARKERS
        && proof.past_marker_proofs.len() <= MARKERS
        && proof.future_marker_vrf_proofs.len() <= MARKERS
        && proof.future_marker_proofs.len() <= MARKERS;
    if !fits {
        return None;
    }
    Some(HistoryProof {
        update_proofs: proof.updates.iter().map(update).collect::<Option<_>>()?,
        past_marker_vrf_proofs: proof
            .past_marker_vrf_proofs
            .iter()
            .map(vrf)
            .collect::<Option<_>>()?,
        existence_of_past_marker_proofs: proof
            .past_marker_proofs
            .iter()
            .map(|one| membership(Some(one)))
            .collect::<Option<_>>()?,
        future_marker_vrf_proofs: proof
            .future_marker_vrf_proofs
            .iter()
            .map(vrf)
            .collect::<Option<_>>()?,
        non_existence_of_future_marker_proofs: proof
            .future_marker_proofs
            .iter()
            .map(|one| non_membership(Some(one)))
            .collect::<Option<_>>()?,
    })
}

/// For the wire: one proof for each log epoch, in order.
pub fn from_append_only_proof(proof: AppendOnlyProof) -> Vec<pb::AuditProof> {
    proof
        .epochs
        .into_iter()
        .zip(proof.proofs)
        .map(|(before, proof)| pb::AuditProof {
            epoch: before.saturating_add(1),
            inserted: all(proof.inserted, from_element),
            unchanged: all(proof.unchanged_nodes, from_element),
        })
        .collect()
}

/// From the wire: that the log of `proof.epoch` only adds to the one before.
pub fn audit_proof(proof: &pb::AuditProof) -> Option<AppendOnlyProof> {
    let elements = |elements: &[pb::LogElement]| {
        elements
            .iter()
            .map(|one| element(Some(one)))
            .collect::<Option<Vec<_>>>()
    };
    Some(AppendOnlyProof {
        epochs: vec![proof.epoch.checked_sub(1)?],
        proofs: vec![SingleAppendOnlyProof {
            inserted: elements(&proof.inserted)?,
            unchanged_nodes: elements(&proof.unchanged)?,
        }],
    })
}

fn from_update(proof: UpdateProof) -> pb::UpdateProof {
    pb::UpdateProof {
        epoch: proof.epoch,
        value: proof.value.0.into(),
        version: proof.version,
        existence_vrf_proof: proof.existence_vrf_proof.into(),
        existence_proof: Some(from_membership(proof.existence_proof)),
        previous_vrf_proof: proof.previous_version_vrf_proof.unwrap_or_default().into(),
        previous_proof: proof.previous_version_proof.map(from_membership),
        commitment_nonce: proof.commitment_nonce.into(),
    }
}

fn update(proof: &pb::UpdateProof) -> Option<UpdateProof> {
    let is_first = proof.previous_vrf_proof.is_empty();
    if is_first != proof.previous_proof.is_none() {
        return None;
    }
    Some(UpdateProof {
        epoch: proof.epoch,
        value: AkdValue(bounded(&proof.value, VALUE_BYTES)?),
        version: proof.version,
        existence_vrf_proof: vrf(&proof.existence_vrf_proof)?,
        existence_proof: membership(proof.existence_proof.as_ref())?,
        previous_version_vrf_proof: if is_first {
            None
        } else {
            Some(vrf(&proof.previous_vrf_proof)?)
        },
        previous_version_proof: if is_first {
            None
        } else {
            Some(membership(proof.previous_proof.as_ref())?)
        },
        commitment_nonce: bounded(&proof.commitment_nonce, NONCE_BYTES)?,
    })
}

fn from_membership(proof: MembershipProof) -> pb::MembershipProof {
    pb::MembershipProof {
        label: Some(from_label(proof.label)),
        value: Bytes::copy_from_slice(&proof.hash_val.0),
        siblings: all(proof.sibling_proofs, |one| {
            let [sibling] = one.siblings;
            pb::SiblingProof {
                label: Some(from_label(one.label)),
                sibling: Some(from_element(sibling)),
                right: one.direction == Direction::Left,
            }
        }),
    }
}

fn membership(proof: Option<&pb::MembershipProof>) -> Option<MembershipProof> {
    let proof = proof?;
    if proof.siblings.len() > limits::LOG_PATH {
        return None;
    }
    // akd leaves the topmost node's label out of what it checks: there is one that it has.
    if let Some(top) = proof.siblings.first()
        && label(top.label.as_ref()) != Some(NodeLabel::root())
    {
        return None;
    }
    Some(MembershipProof {
        label: label(proof.label.as_ref())?,
        hash_val: value(&proof.value)?,
        sibling_proofs: proof
            .siblings
            .iter()
            .map(|one| {
                Some(SiblingProof {
                    label: label(one.label.as_ref())?,
                    siblings: [element(one.sibling.as_ref())?],
                    // akd's direction is that of the node itself.
                    direction: if one.right {
                        Direction::Left
                    } else {
                        Direction::Right
                    },
                })
            })
            .collect::<Option<_>>()?,
    })
}

fn from_non_membership(proof: NonMembershipProof) -> pb::NonMembershipProof {
    let [left, right] = proof.longest_prefix_children;
    pb::NonMembershipProof {
        label: Some(from_label(proof.label)),
        longest_prefix: Some(from_label(proof.longest_prefix)),
        left: Some(from_element(left)),
        right: Some(from_element(right)),
        longest_prefix_proof: Some(from_membership(proof.longest_prefix_membership_proof)),
    }
}

fn non_membership(proof: Option<&pb::NonMembershipProof>) -> Option<NonMembershipProof> {
    let proof = proof?;
    Some(NonMembershipProof {
        label: label(proof.label.as_ref())?,
        longest_prefix: label(proof.longest_prefix.as_ref())?,
        longest_prefix_children: [
            element(proof.left.as_ref())?,
            element(proof.right.as_ref())?,
        ],
        longest_prefix_membership_proof: membership(proof.longest_prefix_proof.as_ref())?,
    })
}

fn from_element(element: AzksElement) -> pb::LogElement {
    pb::LogElement {
        label: Some(from_label(element.label)),
        value: Bytes::copy_from_slice(&element.value.0),
    }
}

fn element(element: Option<&pb::LogElement>) -> Option<AzksElement> {
    let element = element?;
    Some(AzksElement {
        label: label(element.label.as_ref())?,
        value: value(&element.value)?,
    })
}

fn from_label(label: NodeLabel) -> pb::NodeLabel {
    pb::NodeLabel {
        value: Bytes::copy_from_slice(&label.label_val),
        length: label.label_len,
    }
}

fn label(label: Option<&pb::NodeLabel>) -> Option<NodeLabel> {
    let label = label?;
    if label.length as usize > limits::LOG_PATH {
        return None;
    }
    Some(NodeLabel {
        label_val: label.value.as_ref().try_into().ok()?,
        label_len: label.length,
    })
}

fn value(bytes: &Bytes) -> Option<AzksValue> {
    bytes.as_ref().try_into().ok().map(AzksValue)
}

fn vrf(bytes: &Bytes) -> Option<Vec<u8>> {
    (bytes.len() == VRF_PROOF_BYTES).then(|| bytes.to_vec())
}

fn bounded(bytes: &Bytes, most: usize) -> Option<Vec<u8>> {
    (bytes.len() <= most).then(|| bytes.to_vec())
}

fn all<A, B>(many: Vec<A>, map: impl Fn(A) -> B) -> Vec<B> {
    many.into_iter().map(map).collect()
}
