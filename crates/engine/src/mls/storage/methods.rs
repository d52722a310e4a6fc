//! The methods through which openmls stores its state: each names a kind and a key.
//!
//! **Elsewhere**: [`super`] stores the values.

use ciborium::Value;
use openmls_traits::storage::{CURRENT_VERSION, StorageProvider, traits};

use super::{Label, Storage, StorageError};

impl StorageProvider<CURRENT_VERSION> for Storage<'_> {
    type Error = StorageError;

    fn write_mls_join_config<
        K: traits::GroupId<CURRENT_VERSION>,
        V: traits::MlsGroupJoinConfig<CURRENT_VERSION>,
    >(
        &self,
        group_id: &K,
        value: &V,
    ) -> Result<(), StorageError> {
        self.write(Label::JoinConfig, group_id, value)
    }

    fn mls_group_join_config<
        K: traits::GroupId<CURRENT_VERSION>,
        V: traits::MlsGroupJoinConfig<CURRENT_VERSION>,
    >(
        &self,
        group_id: &K,
    ) -> Result<Option<V>, StorageError> {
        self.read(Label::JoinConfig, group_id)
    }

    fn delete_group_config<K: traits::GroupId<CURRENT_VERSION>>(
        &self,
        group_id: &K,
    ) -> Result<(), StorageError> {
        self.delete(Label::JoinConfig, group_id)
    }

    fn write_tree<K: traits::GroupId<CURRENT_VERSION>, V: traits::TreeSync<CURRENT_VERSION>>(
        &self,
        group_id: &K,
        value: &V,
    ) -> Result<(), StorageError> {
        self.write(Label::Tree, group_id, value)
    }

    fn tree<K: traits::GroupId<CURRENT_VERSION>, V: traits::TreeSync<CURRENT_VERSION>>(
        &self,
        group_id: &K,
    ) -> Result<Option<V>, StorageError> {
        self.read(Label::Tree, group_id)
    }

    fn delete_tree<K: traits::GroupId<CURRENT_VERSION>>(
        &self,
        group_id: &K,
    ) -> Result<(), StorageError> {
        self.delete(Label::Tree, group_id)
    }

    fn write_interim_transcript_hash<
        K: traits::GroupId<CURRENT_VERSION>,
        V: traits::InterimTranscriptHash<CURRENT_VERSION>,
    >(
        &self,
        group_id: &K,
        value: &V,
    ) -> Result<(), StorageError> {
        self.write(Label::InterimTranscriptHash, group_id, value)
    }

    fn interim_transcript_hash<
        K: traits::GroupId<CURRENT_VERSION>,
        V: traits::InterimTranscriptHash<CURRENT_VERSION>,
    >(
        &self,
        group_id: &K,
    ) -> Result<Option<V>, StorageError> {
        self.read(Label::InterimTranscriptHash, group_id)
    }

    fn delete_interim_transcript_hash<K: traits::GroupId<CURRENT_VERSION>>(
        &self,
        group_id: &K,
    ) -> Result<(), StorageError> {
        self.delete(Label::InterimTranscriptHash, group_id)
    }

    fn write_context<
        K: traits::GroupId<CURRENT_VERSION>,
        V: traits::GroupContext<CURRENT_VERSION>,
    >(
        &self,
        group_id: &K,
        value: &V,
    ) -> Result<(), StorageError> {
        self.write(Label::GroupContext, group_id, value)
    }

    fn group_context<
        K: traits::GroupId<CURRENT_VERSION>,
        V: traits::GroupContext<CURRENT_VERSION>,
    >(
        &self,
        group_id: &K,
    ) -> Result<Option<V>, StorageError> {
        self.read(Label::GroupContext, group_id)
    }

    fn delete_context<K: traits::GroupId<CURRENT_VERSION>>(
        &self,
        group_id: &K,
    ) -> Result<(), StorageError> {
        self.delete(Label::GroupContext, group_id)
    }

    fn write_confirmation_tag<
        K: traits::GroupId<CURRENT_VERSION>,
        V: traits::ConfirmationTag<CURRENT_VERSION>,
    >(
        &self,
        group_id: &K,
        value: &V,
    ) -> Result<(), StorageError> {
        self.write(Label::ConfirmationTag, group_id, value)
    }

    fn confirmation_tag<
        K: traits::GroupId<CURRENT_VERSION>,
        V: traits::ConfirmationTag<CURRENT_VERSION>,
    >(
        &self,
        group_id: &K,
    ) -> Result<Option<V>, StorageError> {
        self.read(Label::ConfirmationTag, group_id)
    }

    fn delete_confirmation_tag<K: traits::GroupId<CURRENT_VERSION>>(
        &self,
        group_id: &K,
    ) -> Result<(), StorageError> {
        self.delete(Label::ConfirmationTag, group_id)
    }

    fn write_message_secrets<
        K: traits::GroupId<CURRENT_VERSION>,
        V: traits::MessageSecrets<CURRENT_VERSION>,
    >(
        &self,
        group_id: &K,
        value: &V,
    ) -> Result<(), StorageError> {
        self.write(Label::MessageSecrets, group_id, value)
    }

    fn message_secrets<
        K: traits::GroupId<CURRENT_VERSION>,
        V: traits::MessageSecrets<CURRENT_VERSION>,
    >(
        &self,
        group_id: &K,
    ) -> Result<Option<V>, StorageError> {
        self.read(Label::MessageSecrets, group_id)
    }

    fn delete_message_secrets<K: traits::GroupId<CURRENT_VERSION>>(
        &self,
        group_id: &K,
    ) -> Result<(), StorageError> {
        self.delete(Label::MessageSecrets, group_id)
    }

    fn write_resumption_psk_store<
        K: traits::GroupId<CURRENT_VERSION>,
        V: traits::ResumptionPskStore<CURRENT_VERSION>,
    >(
        &self,
        group_id: &K,
        value: &V,
    ) -> Result<(), StorageError> {
        self.write(Label::ResumptionPsks, group_id, value)
    }

    fn resumption_psk_store<
        K: traits::GroupId<CURRENT_VERSION>,
        V: traits::ResumptionPskStore<CURRENT_VERSION>,
    >(
        &self,
        group_id: &K,
    ) -> Result<Option<V>, StorageError> {
        self.read(Label::ResumptionPsks, group_id)
    }

    fn delete_all_resumption_psk_secrets<K: traits::GroupId<CURRENT_VERSION>>(
        &self,
        group_id: &K,
    ) -> Result<(), StorageError> {
        self.delete(Label::ResumptionPsks, group_id)
    }

    fn write_own_leaf_index<
        K: traits::GroupId<CURRENT_VERSION>,
        V: traits::LeafNodeIndex<CURRENT_VERSION>,
    >(
        &self,
        group_id: &K,
        value: &V,
    ) -> Result<(), StorageError> {
        self.write(Label::OwnLeafIndex, group_id, value)
    }

    fn own_leaf_index<
        K: traits::GroupId<CURRENT_VERSION>,
        V: traits::LeafNodeIndex<CURRENT_VERSION>,
    >(
        &self,
        group_id: &K,
    ) -> Result<Option<V>, StorageError> {
        self.read(Label::OwnLeafIndex, group_id)
    }

    fn delete_own_leaf_index<K: traits::GroupId<CURRENT_VERSION>>(
        &self,
        group_id: &K,
    ) -> Result<(), StorageError> {
        self.delete(Label::OwnLeafIndex, group_id)
    }

    fn write_group_epoch_secrets<
        K: traits::GroupId<CURRENT_VERSION>,
        V: traits::GroupEpochSecrets<CURRENT_VERSION>,
    >(
        &self,
        group_id: &K,
        value: &V,
    ) -> Result<(), StorageError> {
        self.write(Label::EpochSecrets, group_id, value)
    }

    fn group_epoch_secrets<
        K: traits::GroupId<CURRENT_VERSION>,
        V: traits::GroupEpochSecrets<CURRENT_VERSION>,
    >(
        &self,
        group_id: &K,
    ) -> Result<Option<V>, StorageError> {
        self.read(Label::EpochSecrets, group_id)
    }

    fn delete_group_epoch_secrets<K: traits::GroupId<CURRENT_VERSION>>(
        &self,
        group_id: &K,
    ) -> Result<(), StorageError> {
        self.delete(Label::EpochSecrets, group_id)
    }

    fn write_group_state<
        V: traits::GroupState<CURRENT_VERSION>,
        K: traits::GroupId<CURRENT_VERSION>,
    >(
        &self,
        group_id: &K,
        value: &V,
    ) -> Result<(), StorageError> {
        self.write(Label::GroupState, group_id, value)
    }

    fn group_state<V: traits::GroupState<CURRENT_VERSION>, K: traits::GroupId<CURRENT_VERSION>>(
        &self,
        group_id: &K,
    ) -> Result<Option<V>, StorageError> {
        self.read(Label::GroupState, group_id)
    }

    fn delete_group_state<K: traits::GroupId<CURRENT_VERSION>>(
        &self,
        group_id: &K,
    ) -> Result<(), StorageError> {
        self.delete(Label::GroupState, group_id)
    }

    fn write_signature_key_pair<
        K: traits::SignaturePublicKey<CURRENT_VERSION>,
        V: traits::SignatureKeyPair<CURRENT_VERSION>,
    >(
        &self,
        public_key: &K,
        value: &V,
    ) -> Result<(), StorageError> {
        self.write(Label::SignatureKeyPair, public_key, value)
    }

    fn signature_key_pair<
        K: traits::SignaturePublicKey<CURRENT_VERSION>,
        V: traits::SignatureKeyPair<CURRENT_VERSION>,
    >(
        &self,
        public_key: &K,
    ) -> Result<Option<V>, StorageError> {
        self.read(Label::SignatureKeyPair, public_key)
    }

    fn delete_signature_key_pair<K: traits::SignaturePublicKey<CURRENT_VERSION>>(
        &self,
        public_key: &K,
    ) -> Result<(), StorageError> {
        self.delete(Label::SignatureKeyPair, public_key)
    }

    fn write_encryption_key_pair<
        K: traits::EncryptionKey<CURRENT_VERSION>,
        V: traits::HpkeKeyPair<CURRENT_VERSION>,
    >(
        &self,
        public_key: &K,
        value: &V,
    ) -> Result<(), StorageError> {
        self.write(Label::EncryptionKeyPair, public_key, value)
    }

    fn encryption_key_pair<
        V: traits::HpkeKeyPair<CURRENT_VERSION>,
        K: traits::EncryptionKey<CURRENT_VERSION>,
    >(
        &self,
        public_key: &K,
    ) -> Result<Option<V>, StorageError> {
        self.read(Label::EncryptionKeyPair, public_key)
    }

    fn delete_encryption_key_pair<K: traits::EncryptionKey<CURRENT_VERSION>>(
        &self,
        public_key: &K,
    ) -> Result<(), StorageError> {
        self.delete(Label::EncryptionKeyPair, public_key)
    }

    fn write_key_package<
        K: traits::HashReference<CURRENT_VERSION>,
        V: traits::KeyPackage<CURRENT_VERSION>,
    >(
        &self,
        hash_ref: &K,
        value: &V,
    ) -> Result<(), StorageError> {
        self.write(Label::KeyPackage, hash_ref, value)
    }

    fn key_package<
        K: traits::HashReference<CURRENT_VERSION>,
        V: traits::KeyPackage<CURRENT_VERSION>,
    >(
        &self,
        hash_ref: &K,
    ) -> Result<Option<V>, StorageError> {
        self.read(Label::KeyPackage, hash_ref)
    }

    fn delete_key_package<K: traits::HashReference<CURRENT_VERSION>>(
        &self,
        hash_ref: &K,
    ) -> Result<(), StorageError> {
        self.delete(Label::KeyPackage, hash_ref)
    }

    fn write_psk<K: traits::PskId<CURRENT_VERSION>, V: traits::PskBundle<CURRENT_VERSION>>(
        &self,
        psk_id: &K,
        value: &V,
    ) -> Result<(), StorageError> {
        self.write(Label::Psk, psk_id, value)
    }

    fn psk<V: traits::PskBundle<CURRENT_VERSION>, K: traits::PskId<CURRENT_VERSION>>(
        &self,
        psk_id: &K,
    ) -> Result<Option<V>, StorageError> {
        self.read(Label::Psk, psk_id)
    }

    fn delete_psk<K: traits::PskId<CURRENT_VERSION>>(
        &self,
        psk_id: &K,
    ) -> Result<(), StorageError> {
        self.delete(Label::Psk, psk_id)
    }

    fn append_own_leaf_node<
        K: traits::GroupId<CURRENT_VERSION>,
        V: traits::LeafNode<CURRENT_VERSION>,
    >(
        &self,
        group_id: &K,
        leaf_node: &V,
    ) -> Result<(), StorageError> {
        let mut list: Vec<Value> = self
            .read(Label::OwnLeafNodes, group_id)?
            .unwrap_or_default();
        list.push(self.encoded(Value::serialized(leaf_node))?);
        self.write(Label::OwnLeafNodes, group_id, &list)
    }

    fn own_leaf_nodes<K: traits::GroupId<CURRENT_VERSION>, V: traits::LeafNode<CURRENT_VERSION>>(
        &self,
        group_id: &K,
    ) -> Result<Vec<V>, StorageError> {
        Ok(self
            .read(Label::OwnLeafNodes, group_id)?
            .unwrap_or_default())
    }

    fn delete_own_leaf_nodes<K: traits::GroupId<CURRENT_VERSION>>(
        &self,
        group_id: &K,
    ) -> Result<(), StorageError> {
        self.delete(Label::OwnLeafNodes, group_id)
    }

    fn queue_proposal<
        K: traits::GroupId<CURRENT_VERSION>,
        R: traits::ProposalRef<CURRENT_VERSION>,
        V: traits::QueuedProposal<CURRENT_VERSION>,
    >(
        &self,
        group_id: &K,
        proposal_ref: &R,
        proposal: &V,
    ) -> Result<(), StorageError> {
        let mut list: Vec<(Value, Value)> =
            self.read(Label::Proposals, group_id)?.unwrap_or_default();
        let entry = (
            self.encoded(Value::serialized(proposal_ref))?,
            self.encoded(Value::serialized(proposal))?,
        );
        list.retain(|(queued, _)| *queued != entry.0);
        list.push(entry);
        self.write(Label::Proposals, group_id, &list)
    }

    fn queued_proposal_refs<
        K: traits::GroupId<CURRENT_VERSION>,
        R: traits::ProposalRef<CURRENT_VERSION>,
    >(
        &self,
        group_id: &K,
    ) -> Result<Vec<R>, StorageError> {
        let list: Vec<(R, Value)> = self.read(Label::Proposals, group_id)?.unwrap_or_default();
        Ok(list
            .into_iter()
            .map(|(proposal_ref, _)| proposal_ref)
            .collect())
    }

    fn queued_proposals<
        K: traits::GroupId<CURRENT_VERSION>,
        R: traits::ProposalRef<CURRENT_VERSION>,
        V: traits::QueuedProposal<CURRENT_VERSION>,
    >(
        &self,
        group_id: &K,
    ) -> Result<Vec<(R, V)>, StorageError> {
        Ok(self.read(Label::Proposals, group_id)?.unwrap_or_default())
    }

    fn remove_proposal<
        K: traits::GroupId<CURRENT_VERSION>,
        R: traits::ProposalRef<CURRENT_VERSION>,
    >(
        &self,
        group_id: &K,
        proposal_ref: &R,
    ) -> Result<(), StorageError> {
        let mut list: Vec<(Value, Value)> =
            self.read(Label::Proposals, group_id)?.unwrap_or_default();
        let removed = self.encoded(Value::serialized(proposal_ref))?;
        list.retain(|(queued, _)| *queued != removed);
        self.write(Label::Proposals, group_id, &list)
    }

    fn clear_proposal_queue<
        K: traits::GroupId<CURRENT_VERSION>,
        R: traits::ProposalRef<CURRENT_VERSION>,
    >(
        &self,
        group_id: &K,
    ) -> Result<(), StorageError> {
        self.delete(Label::Proposals, group_id)
    }

    fn write_encryption_epoch_key_pairs<
        K: traits::GroupId<CURRENT_VERSION>,
        E: traits::EpochKey<CURRENT_VERSION>,
        V: traits::HpkeKeyPair<CURRENT_VERSION>,
    >(
        &self,
        group_id: &K,
        epoch: &E,
        leaf_index: u32,
        key_pairs: &[V],
    ) -> Result<(), StorageError> {
        self.write(
            Label::EpochKeyPairs,
            &(group_id, epoch, leaf_index),
            &key_pairs,
        )
    }

    fn encryption_epoch_key_pairs<
        K: traits::GroupId<CURRENT_VERSION>,
        E: traits::EpochKey<CURRENT_VERSION>,
        V: traits::HpkeKeyPair<CURRENT_VERSION>,
    >(
        &self,
        group_id: &K,
        epoch: &E,
        leaf_index: u32,
    ) -> Result<Vec<V>, StorageError> {
        Ok(self
            .read(Label::EpochKeyPairs, &(group_id, epoch, leaf_index))?
            .unwrap_or_default())
    }

    fn delete_encryption_epoch_key_pairs<
        K: traits::GroupId<CURRENT_VERSION>,
        E: traits::EpochKey<CURRENT_VERSION>,
    >(
        &self,
        group_id: &K,
        epoch: &E,
        leaf_index: u32,
    ) -> Result<(), StorageError> {
        self.delete(Label::EpochKeyPairs, &(group_id, epoch, leaf_index))
    }
}
