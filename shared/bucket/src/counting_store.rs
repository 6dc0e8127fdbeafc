//! A store that counts requests, for metrics and for tests of the request budget.

use std::{
    fmt,
    ops::Sub,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use async_trait::async_trait;
use bytes::Bytes;

use crate::{
    Get, GetOptions, KeyClass, ListPage, ListRequest, Operation, Put, PutMode, Store, StoreError,
    StoreResponse,
};

const OPERATIONS: usize = Operation::ALL.len();
const CLASSES: usize = KeyClass::ALL.len();

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
        KeyClass::ALL
            .iter()
            .map(|class| self.of(operation, *class).requests)
            .sum()
    }

    /// All counts that are not zero, by operation and class.
    pub fn iter(&self) -> impl Iterator<Item = (Operation, KeyClass, OperationCount)> + '_ {
        Operation::ALL.into_iter().flat_map(move |operation| {
            KeyClass::ALL.into_iter().filter_map(move |class| {
                let count = self.of(operation, class);
                (count.requests > 0).then_some((operation, class, count))
            })
        })
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

/// A wrapper that counts the requests to a store.
#[derive(Debug)]
pub struct CountingStore {
    inner: Arc<dyn Store>,
    cells: [[AtomicCount; CLASSES]; OPERATIONS],
}

impl CountingStore {
    /// Wraps `inner`. Counts start at zero.
    pub fn new(inner: Arc<dyn Store>) -> Self {
        Self {
            inner,
            cells: Default::default(),
        }
    }

    /// Returns the counts so far.
    pub fn counts(&self) -> OperationCounts {
        let mut counts = OperationCounts::default();
        for (row, cells) in counts.0.iter_mut().zip(&self.cells) {
            for (count, cell) in row.iter_mut().zip(cells) {
                count.requests = cell.requests.load(Ordering::Relaxed);
                count.bytes = cell.bytes.load(Ordering::Relaxed);
            }
        }
        counts
    }

    fn add(&self, operation: Operation, key: &str, requests: u64, bytes: usize) {
        let cells = self.cells.get(operation as usize);
        if let Some(cell) = cells.and_then(|cells| cells.get(KeyClass::of(key) as usize)) {
            cell.requests.fetch_add(requests, Ordering::Relaxed);
            cell.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
        }
    }
}

#[async_trait]
impl Store for CountingStore {
    async fn get(&self, key: &str, options: GetOptions) -> Result<StoreResponse<Get>, StoreError> {
        self.add(Operation::Get, key, 1, 0);
        let answer = self.inner.get(key, options).await?;
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
        self.inner.put(key, body, mode).await
    }

    async fn list(&self, request: ListRequest<'_>) -> Result<StoreResponse<ListPage>, StoreError> {
        self.add(Operation::List, request.prefix, 1, 0);
        self.inner.list(request).await
    }

    async fn delete(&self, keys: &[String]) -> Result<StoreResponse<()>, StoreError> {
        let first = keys.first().map_or("", String::as_str);
        self.add(Operation::Delete, first, 1, 0);
        self.inner.delete(keys).await
    }

    fn is_sorted(&self) -> bool {
        self.inner.is_sorted()
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
        let request = ListRequest {
            prefix: "tail/",
            start_after: None,
            page_token: None,
        };
        store.list(request).await.unwrap();
        let since = store.counts() - before;
        assert_eq!(
            since.to_string(),
            "2 get manifest, 1 get other, 1 list tail"
        );
        let manifest = since.of(Operation::Get, KeyClass::Manifest);
        assert_eq!(manifest.bytes, 5);
        assert_eq!(before.requests(Operation::Put), 2);
    }

    #[test]
    fn every_operation_and_class_equals_its_index() {
        for (place, operation) in Operation::ALL.into_iter().enumerate() {
            assert_eq!(operation as usize, place);
        }
        for (place, class) in KeyClass::ALL.into_iter().enumerate() {
            assert_eq!(class as usize, place);
        }
    }
}
