//! How the store encodes akd's records.
//!
//! **Elsewhere**: [`super::database`] reads and writes them; [`crate::store::records`]
//! describes their fields.
//!
//! **Always**: an encoded record decodes to the same record, and a record that does not decode
//! is damaged. Records contain no address: akd names the owner of a value, which is the
//! address; that name is left out here and filled in from the question.

use akd::{
    AkdLabel, AkdValue, Azks, AzksValue, NodeLabel,
    storage::types::ValueState,
    tree_node::{TreeNode, TreeNodeType, TreeNodeWithPreviousValue},
};
use bytes::Bytes;
use hmac::{Hmac, KeyInit as _, Mac as _};
use prost::Message as _;
use sha2::Sha256;
use zeroize::Zeroizing;

use crate::store::{
    Key, KeySpace, StoreError, Write, key,
    records::{LogNodeRecord, LogNodeState, LogStateRecord, LogValueRecord},
};

/// Where [`KeySpace::LogState`] is.
pub(crate) const STATE: &[u8] = b"state";

/// Keys the hash under which values are stored.
#[derive(Clone)]
pub(super) struct LabelKey(Zeroizing<[u8; 32]>);

impl LabelKey {
    pub(super) fn new(address_key: &[u8; 32]) -> Self {
        Self(Zeroizing::new(hash(
            address_key,
            b"waxwing log label key v1",
        )))
    }

    /// What every value of this label has in front of its key.
    pub(super) fn prefix(&self, label: &AkdLabel) -> [u8; 32] {
        hash(&self.0, label)
    }

    /// Newest first, so that the newest up to an epoch is the next one behind a key.
    pub(super) fn key(&self, label: &AkdLabel, epoch: u64) -> Key {
        key(&[&self.prefix(label), &(!epoch).to_be_bytes()])
    }
}

fn hash(with: &[u8; 32], message: &[u8]) -> [u8; 32] {
    // A key of any length is taken.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(with) else {
        return [0; 32];
    };
    mac.update(message);
    mac.finalize().into_bytes().into()
}

pub(super) fn node_key(label: NodeLabel) -> Key {
    key(&[&encode_label(label)])
}

pub(super) fn state_write(azks: &Azks) -> Write {
    let record = LogStateRecord {
        epoch: azks.latest_epoch,
        nodes: azks.num_nodes,
    };
    put(KeySpace::LogState, key(&[STATE]), record.encode_to_vec())
}

pub(super) fn state(value: Bytes) -> Result<Azks, StoreError> {
    let record = LogStateRecord::decode(value).map_err(|_| damaged())?;
    Ok(Azks {
        latest_epoch: record.epoch,
        num_nodes: record.nodes,
    })
}

pub(super) fn node_write(node: &TreeNodeWithPreviousValue) -> Write {
    let record = LogNodeRecord {
        latest: Some(encode_node(&node.latest_node)),
        previous: node.previous_node.as_ref().map(encode_node),
    };
    let at = node_key(node.label);
    put(KeySpace::LogNodes, at, record.encode_to_vec())
}

pub(super) fn node(
    label: NodeLabel,
    value: Bytes,
) -> Result<TreeNodeWithPreviousValue, StoreError> {
    let record = LogNodeRecord::decode(value).map_err(|_| damaged())?;
    let latest = record.latest.ok_or_else(damaged)?;
    Ok(TreeNodeWithPreviousValue {
        label,
        latest_node: decode_node(label, &latest)?,
        previous_node: record
            .previous
            .map(|previous| decode_node(label, &previous))
            .transpose()?,
    })
}

pub(super) fn value_write(keys: &LabelKey, state: &ValueState) -> Write {
    let record = LogValueRecord {
        value: Bytes::copy_from_slice(&state.value.0),
        version: state.version,
        label: encode_label(state.label).into(),
    };
    let at = keys.key(&state.username, state.epoch);
    put(KeySpace::LogValues, at, record.encode_to_vec())
}

pub(super) fn value(label: &AkdLabel, at: &[u8], value: Bytes) -> Result<ValueState, StoreError> {
    let record = LogValueRecord::decode(value).map_err(|_| damaged())?;
    let epoch = at.last_chunk::<8>().ok_or_else(damaged)?;
    Ok(ValueState {
        value: AkdValue(record.value.to_vec()),
        version: record.version,
        label: decode_label(&record.label)?,
        epoch: !u64::from_be_bytes(*epoch),
        username: label.clone(),
    })
}

/// Whether a record's key and value are of their form.
pub(crate) fn is_node(at: &[u8], bytes: &Bytes) -> bool {
    decode_label(at).is_ok_and(|label| node(label, bytes.clone()).is_ok())
}

/// Whether a record's key and value are of their form.
pub(crate) fn is_value(at: &[u8], bytes: &Bytes) -> bool {
    at.len() == 40 && value(&AkdLabel(Vec::new()), at, bytes.clone()).is_ok()
}

fn encode_node(node: &TreeNode) -> LogNodeState {
    let child = |label: Option<NodeLabel>| label.map(encode_label).unwrap_or_default().into();
    LogNodeState {
        changed_in: node.last_epoch,
        least_in: node.min_descendant_epoch,
        parent: encode_label(node.parent).into(),
        kind: match node.node_type {
            TreeNodeType::Leaf => 1,
            TreeNodeType::Root => 2,
            TreeNodeType::Interior => 3,
        },
        left: child(node.left_child),
        right: child(node.right_child),
        value: Bytes::copy_from_slice(&node.hash.0),
    }
}

fn decode_node(label: NodeLabel, state: &LogNodeState) -> Result<TreeNode, StoreError> {
    let child = |bytes: &Bytes| (!bytes.is_empty()).then(|| decode_label(bytes)).transpose();
    let value = state.value.as_ref().try_into().map_err(|_| damaged())?;
    Ok(TreeNode {
        label,
        last_epoch: state.changed_in,
        min_descendant_epoch: state.least_in,
        parent: decode_label(&state.parent)?,
        node_type: match state.kind {
            1 => TreeNodeType::Leaf,
            2 => TreeNodeType::Root,
            3 => TreeNodeType::Interior,
            _ => return Err(damaged()),
        },
        left_child: child(&state.left)?,
        right_child: child(&state.right)?,
        hash: AzksValue(value),
    })
}

/// Short labels, which are most of them, are short on disk as well.
fn encode_label(label: NodeLabel) -> Vec<u8> {
    // At most 256.
    let bits = u16::try_from(label.label_len).unwrap_or(u16::MAX);
    let zeros = label.label_val.iter().rev().take_while(|byte| **byte == 0);
    let length = label.label_val.len() - zeros.count();
    let mut bytes = Vec::with_capacity(2 + length);
    bytes.extend_from_slice(&bits.to_be_bytes());
    bytes.extend(label.label_val.iter().take(length));
    bytes
}

fn decode_label(bytes: &[u8]) -> Result<NodeLabel, StoreError> {
    let (bits, start) = bytes.split_first_chunk::<2>().ok_or_else(damaged)?;
    let label_len = u32::from(u16::from_be_bytes(*bits));
    let mut label_val = [0; 32];
    let into = label_val.get_mut(..start.len()).ok_or_else(damaged)?;
    into.copy_from_slice(start);
    // One label has one encoding.
    if label_len > 256 || start.last() == Some(&0) {
        return Err(damaged());
    }
    Ok(NodeLabel {
        label_val,
        label_len,
    })
}

fn put(space: KeySpace, key: Key, value: Vec<u8>) -> Write {
    Write {
        space,
        key,
        value: Some(value.into()),
    }
}

fn damaged() -> StoreError {
    StoreError::Damaged("a record of the key log".into())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn label() -> impl Strategy<Value = NodeLabel> {
        (any::<[u8; 32]>(), 0..=256_u32, 0..=32_usize).prop_map(|(mut value, bits, zeros)| {
            value[32 - zeros..].fill(0);
            NodeLabel::new(value, bits)
        })
    }

    fn tree_node(label: NodeLabel) -> impl Strategy<Value = TreeNode> {
        let kind = prop_oneof![
            Just(TreeNodeType::Leaf),
            Just(TreeNodeType::Root),
            Just(TreeNodeType::Interior)
        ];
        let children = (
            proptest::option::of(self::label()),
            proptest::option::of(self::label()),
        );
        let numbers = (any::<u64>(), any::<u64>(), any::<[u8; 32]>());
        (numbers, self::label(), kind, children).prop_map(
            move |((last_epoch, least, hash), parent, node_type, (left_child, right_child))| {
                TreeNode {
                    label,
                    last_epoch,
                    min_descendant_epoch: least,
                    parent,
                    node_type,
                    left_child,
                    right_child,
                    hash: AzksValue(hash),
                }
            },
        )
    }

    proptest! {
        #[test]
        fn what_is_encoded_decodes_to_the_same(
            (label, latest_node, previous_node) in label().prop_flat_map(|label| (
                Just(label),
                tree_node(label),
                proptest::option::of(tree_node(label)),
            )),
            epoch: u64,
            version: u64,
            name: Vec<u8>,
        ) {
            let whole = TreeNodeWithPreviousValue { label, latest_node, previous_node };
            let write = node_write(&whole);
            prop_assert!(is_node(&write.key, write.value.as_ref().unwrap()));
            prop_assert_eq!(node(label, write.value.unwrap()).unwrap(), whole);

            let keys = LabelKey::new(&[1; 32]);
            let state = ValueState {
                value: AkdValue(vec![1, 2, 3]),
                version,
                label,
                epoch,
                username: AkdLabel(name),
            };
            let write = value_write(&keys, &state);
            let bytes = write.value.unwrap();
            prop_assert!(is_value(&write.key, &bytes));
            prop_assert_eq!(value(&state.username, &write.key, bytes).unwrap(), state);
        }

        #[test]
        fn bytes_that_are_no_record_are_damage(bytes: Vec<u8>, at: Vec<u8>) {
            let bytes = Bytes::from(bytes);
            is_node(&at, &bytes);
            is_value(&at, &bytes);
            let _ = state(bytes);
        }
    }
}
