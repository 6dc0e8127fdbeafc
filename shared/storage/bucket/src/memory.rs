//! An in-memory store, for tests and for databases that may be lost with their process.

use std::{
    collections::BTreeMap,
    ops::Bound,
    sync::{Arc, PoisonError, RwLock},
};

use async_trait::async_trait;
use bytes::Bytes;

use crate::{
    Clock, ETag, Get, GetOptions, ListEntry, ListPage, ListRequest, Object, Put, PutMode,
    StorageClass, Store, StoreError, StoreResponse, StoreTime,
};

/// The number of keys on one page of a listing, as on S3.
const PAGE_KEYS: usize = 1000;

/// An in-memory store. Its `Date` is the wall time of the given clock and never goes back.
///
/// # Examples
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use bytes::Bytes;
/// use neap_bucket::{ListRequest, MemoryStore, PutMode, Store, World};
///
/// let store = MemoryStore::new(World::system().clock);
/// for key in ["db/1", "tail/1", "tail/2"] {
///     store.put(key, Bytes::new(), PutMode::Create).await?;
/// }
/// let request = ListRequest {
///     prefix: "tail/",
///     start_after: Some("tail/1"),
///     page_token: None,
/// };
/// let page = store.list(request).await?.value;
/// let keys: Vec<_> = page.entries.into_iter().map(|entry| entry.key).collect();
/// assert_eq!(keys, ["tail/2"]);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct MemoryStore {
    clock: Arc<dyn Clock>,
    page_keys: usize,
    classes: &'static [StorageClass],
    state: RwLock<MemoryState>,
}

#[derive(Debug, Default)]
struct MemoryState {
    objects: BTreeMap<String, Object>,
    /// The classes of cold objects by key.
    cold: BTreeMap<String, StorageClass>,
    newest: StoreTime,
    versions: u64,
}

impl MemoryStore {
    /// An empty store.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            clock,
            page_keys: PAGE_KEYS,
            classes: &[],
            state: RwLock::default(),
        }
    }

    /// An empty store whose listings have at most `page_keys` keys a page.
    pub fn with_page_keys(clock: Arc<dyn Clock>, page_keys: usize) -> Self {
        Self { page_keys: page_keys.max(1), ..Self::new(clock) }
    }

    /// Returns the same store with these storage classes, which it only records.
    #[must_use]
    pub fn with_storage_classes(self, classes: &'static [StorageClass]) -> Self {
        Self { classes, ..self }
    }

    /// Returns the storage class of an object; `None` if it is not cold.
    pub fn class_of(&self, key: &str) -> Option<StorageClass> {
        self.read(|state| state.cold.get(key).copied()).value
    }

    fn write<R>(&self, change: impl FnOnce(&mut MemoryState, StoreTime) -> R) -> StoreResponse<R> {
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        let date = state.newest.max(StoreTime::from_micros(self.clock.wall_micros()));
        state.newest = date;
        StoreResponse { value: change(&mut state, date), date: Some(date) }
    }

    fn read<R>(&self, look: impl FnOnce(&MemoryState) -> R) -> StoreResponse<R> {
        let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
        let date = state.newest.max(StoreTime::from_micros(self.clock.wall_micros()));
        StoreResponse { value: look(&state), date: Some(date) }
    }
}

fn cut(object: &Object, range: Option<std::ops::Range<u64>>) -> Object {
    let Some(range) = range else {
        return object.clone();
    };
    let length = object.bytes.len();
    let end = usize::try_from(range.end).unwrap_or(length).min(length);
    let start = usize::try_from(range.start).unwrap_or(end).min(end);
    Object { bytes: object.bytes.slice(start..end), ..object.clone() }
}

#[async_trait]
impl Store for MemoryStore {
    async fn get(&self, key: &str, options: GetOptions) -> Result<StoreResponse<Get>, StoreError> {
        Ok(self.read(|state| match state.objects.get(key) {
            None => Get::Missing,
            Some(object) if options.if_none_match.as_ref() == Some(&object.etag) => Get::Unchanged,
            Some(object) => Get::Found(cut(object, options.range)),
        }))
    }

    async fn put(
        &self,
        key: &str,
        body: Bytes,
        mode: PutMode,
    ) -> Result<StoreResponse<Put>, StoreError> {
        Ok(self.write(|state, date| {
            let there = state.objects.get(key).map(|object| &object.etag);
            let allowed = match &mode {
                PutMode::Overwrite | PutMode::OverwriteIn(_) => true,
                PutMode::Create => there.is_none(),
                PutMode::Update(etag) => there == Some(etag),
            };
            if !allowed {
                return Put::Refused;
            }
            let class = match mode {
                PutMode::OverwriteIn(class) if self.classes.contains(&class) => Some(class),
                _ => None,
            };
            if let Some(class) = class {
                state.cold.insert(key.to_owned(), class);
            } else {
                state.cold.remove(key);
            }
            state.versions += 1;
            let etag = ETag::new(format!("\"{}\"", state.versions));
            let object = Object { bytes: body, etag: etag.clone(), last_modified: date };
            state.objects.insert(key.to_owned(), object);
            Put::Done(etag)
        }))
    }

    async fn list(&self, request: ListRequest<'_>) -> Result<StoreResponse<ListPage>, StoreError> {
        let after = request.page_token.as_deref().or(request.start_after).unwrap_or("");
        let start = if after >= request.prefix {
            Bound::Excluded(after.to_owned())
        } else {
            Bound::Included(request.prefix.to_owned())
        };
        Ok(self.read(|state| {
            let mut entries: Vec<_> = state
                .objects
                .range((start, Bound::Unbounded))
                .take_while(|(key, _)| key.starts_with(request.prefix))
                .take(self.page_keys + 1)
                .map(|(key, object)| ListEntry {
                    key: key.clone(),
                    size_bytes: object.bytes.len() as u64,
                    last_modified: object.last_modified,
                })
                .collect();
            let more = entries.len() > self.page_keys;
            entries.truncate(self.page_keys);
            let next_page_token = entries.last().filter(|_| more).map(|entry| entry.key.clone());
            ListPage { entries, next_page_token }
        }))
    }

    async fn delete(&self, keys: &[String]) -> Result<StoreResponse<()>, StoreError> {
        Ok(self.write(|state, _| {
            for key in keys {
                state.objects.remove(key);
                state.cold.remove(key);
            }
        }))
    }

    fn is_sorted(&self) -> bool {
        true
    }

    fn storage_classes(&self) -> &'static [StorageClass] {
        self.classes
    }
}
