//! The store as akd sees it.
//!
//! **Elsewhere**: [`super::codec`] encodes records; [`super::KeyLog`] decides when an epoch
//! that was gathered here is committed.
//!
//! **Always**: nothing is written here. What akd writes is gathered and can be read back from
//! the same database; the key log then takes it, and commits all of it or drops it. The cache
//! holds only what is committed, and at most twice [`CACHED_NODES`] nodes.

use std::collections::HashMap;
use std::sync::Arc;

use akd::{
    AkdLabel, AkdValue, Azks, NodeLabel,
    errors::StorageError,
    storage::{
        Database, DbSetState, Storable,
        types::{DbRecord, KeyData, StorageType, ValueState, ValueStateRetrievalFlag},
    },
    tree_node::TreeNodeWithPreviousValue,
};
use parking_lot::Mutex;

use super::codec::{self, LabelKey, STATE};
use crate::store::{KeySpace, Store, StoreError, Write, behind, key};

/// Nodes in each of the cache's two generations; a node takes about 400 bytes.
const CACHED_NODES: usize = 32_768;
/// Values of one label that are read at a time.
const PAGE: usize = 256;

/// What both of the log's databases share.
pub(super) struct LogStorage<S> {
    store: Arc<S>,
    keys: LabelKey,
    cache: Mutex<Cache>,
}

/// The nodes that were used last: when the young ones are many they become the old ones,
/// and the old ones go.
#[derive(Default)]
struct Cache {
    azks: Option<Azks>,
    young: HashMap<NodeLabel, TreeNodeWithPreviousValue>,
    old: HashMap<NodeLabel, TreeNodeWithPreviousValue>,
}

/// An epoch that is not committed.
#[derive(Default)]
struct Gathered {
    azks: Option<Azks>,
    nodes: HashMap<NodeLabel, TreeNodeWithPreviousValue>,
    values: Vec<ValueState>,
}

/// A database for akd.
pub(super) struct Records<S> {
    shared: Arc<LogStorage<S>>,
    /// `None` where nothing is ever written: akd does not when it makes proofs.
    gathered: Option<Arc<Mutex<Gathered>>>,
}

impl<S> Clone for Records<S> {
    fn clone(&self) -> Self {
        Self {
            shared: Arc::clone(&self.shared),
            gathered: self.gathered.clone(),
        }
    }
}

impl Cache {
    fn node(&mut self, label: NodeLabel) -> Option<TreeNodeWithPreviousValue> {
        if let Some(node) = self.young.get(&label) {
            return Some(node.clone());
        }
        let node = self.old.remove(&label)?;
        self.insert(node.clone());
        Some(node)
    }

    fn insert(&mut self, node: TreeNodeWithPreviousValue) {
        if self.young.len() >= CACHED_NODES {
            self.old = std::mem::take(&mut self.young);
        }
        self.old.remove(&node.label);
        self.young.insert(node.label, node);
    }
}

impl<S: Store> Records<S> {
    /// One that reads what is committed, and one that gathers an epoch.
    pub(super) fn new(store: Arc<S>, keys: LabelKey) -> (Self, Self) {
        let shared = Arc::new(LogStorage {
            store,
            keys,
            cache: Mutex::default(),
        });
        let reading = Self {
            shared: Arc::clone(&shared),
            gathered: None,
        };
        let gathering = Self {
            shared,
            gathered: Some(Arc::default()),
        };
        (reading, gathering)
    }

    /// What was gathered, as it is to be committed. It goes on being read until it is
    /// [`settled`](Self::settle).
    pub(super) fn writes(&self) -> Vec<Write> {
        let Some(gathered) = &self.gathered else {
            return Vec::new();
        };
        let gathered = gathered.lock();
        let values = gathered.values.iter();
        gathered
            .nodes
            .values()
            .map(codec::node_write)
            .chain(values.map(|value| codec::value_write(&self.shared.keys, value)))
            .chain(gathered.azks.iter().map(codec::state_write))
            .collect()
    }

    /// What was gathered is committed, or is given up. To be called while nobody reads.
    pub(super) fn settle(&self, is_committed: bool) {
        let Some(gathered) = &self.gathered else {
            return;
        };
        let gathered = std::mem::take(&mut *gathered.lock());
        if is_committed {
            let mut cache = self.shared.cache.lock();
            for node in gathered.nodes.into_values() {
                cache.insert(node);
            }
            if gathered.azks.is_some() {
                cache.azks = gathered.azks;
            }
        }
    }

    /// Forgets what was read: the store may show something else now.
    pub(super) fn forget(&self) {
        *self.shared.cache.lock() = Cache::default();
    }

    /// The newest value of a label; `None` where it has none.
    pub(super) fn newest(&self, label: &AkdLabel) -> Result<Option<ValueState>, StoreError> {
        self.value_up_to(label, u64::MAX)
    }

    fn value_up_to(&self, label: &AkdLabel, epoch: u64) -> Result<Option<ValueState>, StoreError> {
        let LogStorage { store, keys, .. } = &*self.shared;
        let from = keys.key(label, epoch);
        let to = behind(&keys.prefix(label));
        let found = store
            .scan(KeySpace::LogValues, &from, to.as_deref(), 1)?
            .pop();
        found
            .map(|(at, value)| codec::value(label, &at, value))
            .transpose()
    }

    /// Newest first.
    pub(super) fn values(&self, label: &AkdLabel) -> Result<Vec<ValueState>, StoreError> {
        let LogStorage { store, keys, .. } = &*self.shared;
        let to = behind(&keys.prefix(label));
        let mut from = keys.key(label, u64::MAX);
        let mut values = Vec::new();
        loop {
            let page = store.scan(KeySpace::LogValues, &from, to.as_deref(), PAGE)?;
            let Some((last, _)) = page.last() else {
                return Ok(values);
            };
            from = key(&[last, &[0]]);
            let is_last = page.len() < PAGE;
            for (at, value) in page {
                values.push(codec::value(label, &at, value)?);
            }
            if is_last {
                return Ok(values);
            }
        }
    }

    pub(super) fn azks(&self) -> Result<Option<Azks>, StoreError> {
        if let Some(gathered) = &self.gathered
            && let Some(azks) = &gathered.lock().azks
        {
            return Ok(Some(azks.clone()));
        }
        if let Some(azks) = &self.shared.cache.lock().azks {
            return Ok(Some(azks.clone()));
        }
        let value = self.shared.store.get(KeySpace::LogState, STATE)?;
        let azks = value.map(codec::state).transpose()?;
        self.shared.cache.lock().azks.clone_from(&azks);
        Ok(azks)
    }

    fn node(&self, label: NodeLabel) -> Result<Option<TreeNodeWithPreviousValue>, StoreError> {
        if let Some(gathered) = &self.gathered
            && let Some(node) = gathered.lock().nodes.get(&label)
        {
            return Ok(Some(node.clone()));
        }
        if let Some(node) = self.shared.cache.lock().node(label) {
            return Ok(Some(node));
        }
        let at = codec::node_key(label);
        let Some(value) = self.shared.store.get(KeySpace::LogNodes, &at)? else {
            return Ok(None);
        };
        let node = codec::node(label, value)?;
        self.shared.cache.lock().insert(node.clone());
        Ok(Some(node))
    }

    fn record<St: Storable>(&self, id: &St::StorageKey) -> Result<DbRecord, StorageError> {
        let id = St::get_full_binary_key_id(id);
        let found = match St::data_type() {
            StorageType::Azks => self.azks().map_err(failed)?.map(DbRecord::Azks),
            StorageType::TreeNode => {
                let key = TreeNodeWithPreviousValue::key_from_full_binary(&id)
                    .map_err(StorageError::Other)?;
                self.node(key.0).map_err(failed)?.map(DbRecord::TreeNode)
            }
            StorageType::ValueState => {
                let key = ValueState::key_from_full_binary(&id).map_err(StorageError::Other)?;
                let label = AkdLabel(key.0);
                self.value_up_to(&label, key.1)
                    .map_err(failed)?
                    .filter(|value| value.epoch == key.1)
                    .map(DbRecord::ValueState)
            }
        };
        found.ok_or_else(not_found)
    }

    fn gather(&self, records: Vec<DbRecord>) -> Result<(), StorageError> {
        let Some(gathered) = &self.gathered else {
            return Err(StorageError::Other("proofs write nothing".into()));
        };
        let mut gathered = gathered.lock();
        for record in records {
            match record {
                DbRecord::Azks(azks) => gathered.azks = Some(azks),
                DbRecord::TreeNode(node) => {
                    gathered.nodes.insert(node.label, node);
                }
                DbRecord::ValueState(value) => gathered.values.push(value),
            }
        }
        Ok(())
    }
}

#[async_trait::async_trait]
impl<S: Store> Database for Records<S> {
    async fn set(&self, record: DbRecord) -> Result<(), StorageError> {
        self.gather(vec![record])
    }

    async fn batch_set(
        &self,
        records: Vec<DbRecord>,
        _state: DbSetState,
    ) -> Result<(), StorageError> {
        self.gather(records)
    }

    async fn get<St: Storable>(&self, id: &St::StorageKey) -> Result<DbRecord, StorageError> {
        self.record::<St>(id)
    }

    async fn batch_get<St: Storable>(
        &self,
        ids: &[St::StorageKey],
    ) -> Result<Vec<DbRecord>, StorageError> {
        let mut records = Vec::with_capacity(ids.len());
        for id in ids {
            match self.record::<St>(id) {
                Ok(record) => records.push(record),
                Err(StorageError::NotFound(_)) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(records)
    }

    async fn get_user_data(&self, username: &AkdLabel) -> Result<KeyData, StorageError> {
        let states = self.values(username).map_err(failed)?;
        if states.is_empty() {
            return Err(not_found());
        }
        Ok(KeyData { states })
    }

    async fn get_user_state(
        &self,
        username: &AkdLabel,
        flag: ValueStateRetrievalFlag,
    ) -> Result<ValueState, StorageError> {
        let exactly = |value: &ValueState| match flag {
            ValueStateRetrievalFlag::SpecificEpoch(epoch) => value.epoch == epoch,
            ValueStateRetrievalFlag::SpecificVersion(version) => value.version == version,
            _ => true,
        };
        let found = match flag {
            ValueStateRetrievalFlag::LeqEpoch(epoch)
            | ValueStateRetrievalFlag::SpecificEpoch(epoch) => {
                self.value_up_to(username, epoch).map_err(failed)?
            }
            ValueStateRetrievalFlag::MaxEpoch => self.newest(username).map_err(failed)?,
            ValueStateRetrievalFlag::MinEpoch => self.values(username).map_err(failed)?.pop(),
            ValueStateRetrievalFlag::SpecificVersion(_) => {
                let values = self.values(username).map_err(failed)?;
                values.into_iter().find(exactly)
            }
        };
        found.filter(exactly).ok_or_else(not_found)
    }

    async fn get_user_state_versions(
        &self,
        usernames: &[AkdLabel],
        flag: ValueStateRetrievalFlag,
    ) -> Result<HashMap<AkdLabel, (u64, AkdValue)>, StorageError> {
        let mut versions = HashMap::with_capacity(usernames.len());
        for username in usernames {
            match self.get_user_state(username, flag).await {
                Ok(state) => {
                    versions.insert(username.clone(), (state.version, state.value));
                }
                Err(StorageError::NotFound(_)) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(versions)
    }
}

/// Without akd's words for it, which name the address.
fn not_found() -> StorageError {
    StorageError::NotFound(String::new())
}

#[expect(clippy::needless_pass_by_value, reason = "as `map_err` gives it")]
fn failed(error: StoreError) -> StorageError {
    StorageError::Connection(error.to_string())
}
