//! A store that counts requests, for metrics, for the costs of each database, and for tests of the request budget.

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    ops::{AddAssign, Sub},
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicU64, Ordering},
    },
};

use async_trait::async_trait;
use bytes::Bytes;
use neap_schema::DatabaseId;
use tracing::{Instrument, Span};

use crate::{
    Get, GetOptions, Key, KeyClass, ListPage, ListRequest, Operation, Put, PutMode, Store,
    StoreError, StoreResponse, TRACE_TARGET,
};

const OPERATIONS: usize = Operation::ALL.len();
const CLASSES: usize = KeyClass::ALL.len();

/// Maximum number of databases whose requests are counted apart. Counts of a database take about 1 KiB. Requests of other
/// databases are counted together with those of no database.
const MAX_DATABASES: usize = 1_000;

/// A number of requests, and the bytes that they transferred.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OperationCount {
    /// Requests, including failed ones. One page of a listing and one bulk deletion each count as one.
    pub requests: u64,
    /// Bytes of objects that were read or sent.
    pub bytes: u64,
}

/// The requests to a store, by operation and key class.
///
/// [`fmt::Display`] prints the numbers of requests, such as `2 get manifest, 1 put tail`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OperationCounts([[OperationCount; CLASSES]; OPERATIONS]);

impl OperationCounts {
    /// The count of an operation on a class of keys.
    pub fn of(&self, operation: Operation, class: KeyClass) -> OperationCount {
        let classes = self.0.get(operation as usize);
        classes
            .and_then(|classes| classes.get(class as usize))
            .copied()
            .unwrap_or_default()
    }

    /// The requests of an operation on all keys.
    pub fn requests(&self, operation: Operation) -> u64 {
        KeyClass::ALL.iter().map(|class| self.of(operation, *class).requests).sum()
    }

    /// All counts that are not zero, by operation and class.
    pub fn iter(&self) -> impl Iterator<Item = (Operation, KeyClass, OperationCount)> + '_ {
        Operation::ALL.into_iter().flat_map(move |operation| {
            KeyClass::ALL.iter().copied().filter_map(move |class| {
                let count = self.of(operation, class);
                (count.requests > 0).then_some((operation, class, count))
            })
        })
    }
}

impl AddAssign for OperationCounts {
    fn add_assign(&mut self, other: Self) {
        for (mine, theirs) in self.0.iter_mut().zip(other.0) {
            for (count, more) in mine.iter_mut().zip(theirs) {
                count.requests = count.requests.saturating_add(more.requests);
                count.bytes = count.bytes.saturating_add(more.bytes);
            }
        }
    }
}

impl Sub for OperationCounts {
    type Output = Self;

    /// Returns the counts since `earlier`.
    fn sub(mut self, earlier: Self) -> Self {
        for (mine, theirs) in self.0.iter_mut().zip(earlier.0) {
            for (count, before) in mine.iter_mut().zip(theirs) {
                count.requests = count.requests.saturating_sub(before.requests);
                count.bytes = count.bytes.saturating_sub(before.bytes);
            }
        }
        self
    }
}

impl fmt::Display for OperationCounts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "";
        for (operation, class, count) in self.iter() {
            let class = class.as_str();
            write!(f, "{separator}{} {operation} {class}", count.requests)?;
            separator = ", ";
        }
        if separator.is_empty() {
            f.write_str("nothing")?;
        }
        Ok(())
    }
}

#[derive(Debug, Default)]
struct AtomicCount {
    requests: AtomicU64,
    bytes: AtomicU64,
}

/// Counts that change while they are read.
#[derive(Debug, Default)]
struct AtomicCounts([[AtomicCount; CLASSES]; OPERATIONS]);

impl AtomicCounts {
    fn add(&self, operation: Operation, class: KeyClass, requests: u64, bytes: usize) {
        let cells = self.0.get(operation as usize);
        if let Some(cell) = cells.and_then(|cells| cells.get(class as usize)) {
            cell.requests.fetch_add(requests, Ordering::Relaxed);
            cell.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
        }
    }

    fn read(&self) -> OperationCounts {
        let mut counts = OperationCounts::default();
        for (row, cells) in counts.0.iter_mut().zip(&self.0) {
            for (count, cell) in row.iter_mut().zip(cells) {
                count.requests = cell.requests.load(Ordering::Relaxed);
                count.bytes = cell.bytes.load(Ordering::Relaxed);
            }
        }
        counts
    }
}

/// A wrapper that counts the requests to a store.
///
/// # Examples
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use std::sync::Arc;
///
/// use bytes::Bytes;
/// use neap_bucket::{CountingStore, GetOptions, MemoryStore, PutMode, Store, World};
///
/// let store = CountingStore::new(Arc::new(MemoryStore::new(World::system().clock)));
/// store.put("catalog", Bytes::new(), PutMode::Create).await?;
/// store.get("catalog", GetOptions::default()).await?;
/// assert_eq!(store.counts().to_string(), "1 get root_catalog, 1 put root_catalog");
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct CountingStore {
    inner: Arc<dyn Store>,
    /// Requests for no database, or for databases beyond [`MAX_DATABASES`].
    others: AtomicCounts,
    databases: RwLock<HashMap<DatabaseId, Arc<AtomicCounts>>>,
}

impl CountingStore {
    /// Wraps `inner`. Counts start at zero.
    pub fn new(inner: Arc<dyn Store>) -> Self {
        Self {
            inner,
            others: AtomicCounts::default(),
            databases: RwLock::default(),
        }
    }

    /// Returns the counts so far.
    pub fn counts(&self) -> OperationCounts {
        let mut counts = OperationCounts::default();
        for of_database in self.counts_by_database().into_values() {
            counts += of_database;
        }
        counts
    }

    /// Returns the counts so far by database; `None`: requests for no database, or for databases beyond the first
    /// thousand.
    pub fn counts_by_database(&self) -> BTreeMap<Option<DatabaseId>, OperationCounts> {
        let databases = self.databases.read().unwrap_or_else(PoisonError::into_inner);
        let counted = databases.iter();
        let mut counts: BTreeMap<_, _> =
            counted.map(|(database, counts)| (Some(*database), counts.read())).collect();
        counts.insert(None, self.others.read());
        counts
    }

    /// Adds to the counts of the database that a key or prefix names.
    fn add(&self, operation: Operation, key: &str, requests: u64, bytes: usize) {
        let class = KeyClass::from_key(key);
        match Key::database_in(key).and_then(|database| self.of_database(database)) {
            Some(counts) => counts.add(operation, class, requests, bytes),
            None => self.others.add(operation, class, requests, bytes),
        }
    }

    /// Returns the counts of a database; `None` if there are too many databases.
    fn of_database(&self, database: DatabaseId) -> Option<Arc<AtomicCounts>> {
        let known = self.databases.read().unwrap_or_else(PoisonError::into_inner);
        let (counts, is_full) = (known.get(&database).cloned(), known.len() >= MAX_DATABASES);
        drop(known);
        if counts.is_some() || is_full {
            return counts;
        }
        let mut databases = self.databases.write().unwrap_or_else(PoisonError::into_inner);
        if databases.len() >= MAX_DATABASES {
            return databases.get(&database).cloned();
        }
        Some(Arc::clone(databases.entry(database).or_default()))
    }
}

/// Returns the span of a request to the store, for traces.
fn step(operation: Operation, key: &str) -> Span {
    tracing::trace_span!(target: TRACE_TARGET, "store", %operation, key)
}

#[async_trait]
impl Store for CountingStore {
    async fn get(&self, key: &str, options: GetOptions) -> Result<StoreResponse<Get>, StoreError> {
        self.add(Operation::Get, key, 1, 0);
        let get = self.inner.get(key, options);
        let answer = get.instrument(step(Operation::Get, key)).await?;
        if let Get::Found(object) = &answer.value {
            self.add(Operation::Get, key, 0, object.bytes.len());
        }
        Ok(answer)
    }

    async fn put(
        &self,
        key: &str,
        body: Bytes,
        mode: PutMode,
    ) -> Result<StoreResponse<Put>, StoreError> {
        self.add(Operation::Put, key, 1, body.len());
        let put = self.inner.put(key, body, mode);
        put.instrument(step(Operation::Put, key)).await
    }

    async fn list(&self, request: ListRequest<'_>) -> Result<StoreResponse<ListPage>, StoreError> {
        self.add(Operation::List, request.prefix, 1, 0);
        let step = step(Operation::List, request.prefix);
        self.inner.list(request).instrument(step).await
    }

    async fn delete(&self, keys: &[String]) -> Result<StoreResponse<()>, StoreError> {
        let first = keys.first().map_or("", String::as_str);
        self.add(Operation::Delete, first, 1, 0);
        let step = step(Operation::Delete, first);
        self.inner.delete(keys).instrument(step).await
    }

    fn wrapped(&self) -> Option<&dyn Store> {
        Some(&*self.inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{MemoryStore, World};

    #[tokio::test]
    async fn requests_and_bytes_are_counted_by_operation_and_class() {
        let inner = Arc::new(MemoryStore::new(World::system().clock));
        let store = CountingStore::new(inner);
        assert_eq!(store.counts().to_string(), "nothing");
        for key in ["catalog", "db/7/manifest"] {
            let body = Bytes::from_static(b"12345");
            store.put(key, body, PutMode::Create).await.unwrap();
        }
        let before = store.counts();
        for key in ["db/7/manifest", "db/8/manifest", "elsewhere"] {
            store.get(key, GetOptions::default()).await.unwrap();
        }
        store.list(ListRequest::new("tail/")).await.unwrap();
        let since = store.counts() - before;
        assert_eq!(since.to_string(), "2 get manifest, 1 get other, 1 list tail");
        let manifest = since.of(Operation::Get, KeyClass::Manifest);
        assert_eq!(manifest.bytes, 5);
        assert_eq!(before.requests(Operation::Put), 2);
    }

    #[tokio::test]
    async fn requests_are_counted_by_database_up_to_a_number_of_databases() {
        let inner = Arc::new(MemoryStore::new(World::system().clock));
        let store = CountingStore::new(inner);
        for key in ["db/7/manifest", "data/7/x", "db/8/catalog", "catalog"] {
            store.get(key, GetOptions::default()).await.unwrap();
        }
        store.list(ListRequest::new("tail/8/")).await.unwrap();
        let shown = |counts: BTreeMap<Option<DatabaseId>, OperationCounts>| -> Vec<String> {
            let counts = counts.into_iter();
            counts
                .map(|(database, counts)| format!("{:?}: {counts}", database.map(DatabaseId::get)))
                .collect()
        };
        assert_eq!(
            shown(store.counts_by_database()),
            [
                "None: 1 get root_catalog",
                "Some(7): 1 get manifest, 1 get data",
                "Some(8): 1 get database_catalog, 1 list tail"
            ]
        );
        for database in 0..2 * MAX_DATABASES {
            let key = format!("db/{database}/manifest");
            store.get(&key, GetOptions::default()).await.unwrap();
        }
        assert_eq!(store.counts_by_database().len(), MAX_DATABASES + 1);
        let gets = store.counts().requests(Operation::Get);
        assert_eq!(gets, 4 + 2 * MAX_DATABASES as u64);
    }

    #[test]
    fn every_operation_and_class_equals_its_index() {
        for (place, operation) in Operation::ALL.into_iter().enumerate() {
            assert_eq!(operation as usize, place);
        }
        for (place, class) in KeyClass::ALL.iter().copied().enumerate() {
            assert_eq!(class as usize, place);
        }
    }
}
