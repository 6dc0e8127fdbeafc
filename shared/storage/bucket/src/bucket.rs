//! The access of all components to a cluster's stores and to the stores' clock.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use ulid::Ulid;

use crate::{
    Get, GetOptions, Key, ListPage, ListRequest, Put, PutMode, Store, StoreClock, StoreError,
    StoreResponse, World,
};

/// A bucket: a store for everything, or one for the tail and one for the rest.
///
/// Every answer updates the [`StoreClock`]. Cloning is cheap and shares everything.
///
/// # Examples
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use std::sync::Arc;
///
/// use bytes::Bytes;
/// use neap_bucket::{Bucket, Get, GetOptions, Key, MemoryStore, PutMode, World};
///
/// let world = World::system();
/// let store = Arc::new(MemoryStore::new(Arc::clone(&world.clock)));
/// let bucket = Bucket::new(store, world);
/// let body = Bytes::from_static(b"1");
/// bucket.put(&Key::RootCatalog, body.clone(), PutMode::Create).await?;
/// let answer = bucket.get(&Key::RootCatalog, GetOptions::default()).await?;
/// assert!(matches!(answer.value, Get::Found(object) if object.bytes == body));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Bucket {
    main: Arc<dyn Store>,
    tail: Arc<dyn Store>,
    clock: Arc<StoreClock>,
    world: World,
    trusts_store_clock: bool,
}

impl Bucket {
    /// A bucket on one store.
    pub fn new(store: Arc<dyn Store>, world: World) -> Self {
        Self::with_tail(Arc::clone(&store), store, world)
    }

    /// A bucket whose segments are in a separate store.
    pub fn with_tail(main: Arc<dyn Store>, tail: Arc<dyn Store>, world: World) -> Self {
        let clock = Arc::new(StoreClock::new(world.clone()));
        Self {
            main,
            tail,
            clock,
            world,
            trusts_store_clock: false,
        }
    }

    /// Sets whether the store's clock is right even if it differs from the local clock.
    #[must_use]
    pub fn trusting_store_clock(self, trusted: bool) -> Self {
        Self {
            trusts_store_clock: trusted,
            ..self
        }
    }

    /// Whether the store's clock is right even if it differs from the local clock.
    pub fn trusts_store_clock(&self) -> bool {
        self.trusts_store_clock
    }

    /// Returns by how much the time of a store leapt ahead, if it did so recently.
    pub(crate) fn recent_leap(&self) -> Option<Duration> {
        self.main.recent_leap().max(self.tail.recent_leap())
    }

    /// The estimate of the store's clock.
    pub fn clock(&self) -> &StoreClock {
        &self.clock
    }

    /// Time, sleep and randomness.
    pub fn world(&self) -> &World {
        &self.world
    }

    /// Draws a new object name: the store's time, if known, and 80 random bits.
    pub fn draw_ulid(&self) -> Ulid {
        let millis = self.clock.now().map_or(0, |now| now.micros() / 1000);
        Ulid::from_parts(
            u64::try_from(millis).unwrap_or(0),
            self.world.entropy.next_u128(),
        )
    }

    fn store(&self, key: &str) -> &Arc<dyn Store> {
        if key.starts_with(Key::TAIL_PREFIX) {
            &self.tail
        } else {
            &self.main
        }
    }

    fn record_date<T>(
        &self,
        answer: Result<StoreResponse<T>, StoreError>,
    ) -> Result<StoreResponse<T>, StoreError> {
        answer.inspect(|answer| self.clock.saw(answer.date))
    }

    /// Reads an object or a range of it.
    pub async fn get(
        &self,
        key: &Key,
        options: GetOptions,
    ) -> Result<StoreResponse<Get>, StoreError> {
        let key = key.to_string();
        self.record_date(self.store(&key).get(&key, options).await)
    }

    /// Stores an object.
    pub async fn put(
        &self,
        key: &Key,
        body: Bytes,
        mode: PutMode,
    ) -> Result<StoreResponse<Put>, StoreError> {
        let key = key.to_string();
        self.record_date(self.store(&key).put(&key, body, mode).await)
    }

    /// Lists one page of the keys that start with `request.prefix`.
    pub async fn list(
        &self,
        request: ListRequest<'_>,
    ) -> Result<StoreResponse<ListPage>, StoreError> {
        self.record_date(self.store(request.prefix).list(request).await)
    }

    /// Whether listings of segments are sorted by key.
    pub fn sorts_segments(&self) -> bool {
        self.tail.is_sorted()
    }

    /// Deletes objects, all of them segments or none.
    pub async fn delete(&self, keys: &[String]) -> Result<StoreResponse<()>, StoreError> {
        let Some(first) = keys.first() else {
            return Ok(StoreResponse {
                value: (),
                date: None,
            });
        };
        self.record_date(self.store(first).delete(keys).await)
    }
}
