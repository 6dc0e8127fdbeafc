//! The access of all components to a cluster's stores and to the stores' clock.

use std::{fmt::Display, sync::Arc, time::Duration};

use bytes::Bytes;
use ulid::Ulid;

use crate::{
    FormatLevels, Get, GetOptions, Key, ListPage, ListRequest, MemoryStore, Operation, Put,
    PutMode, StorageClass, Store, StoreClock, StoreError, StoreResponse, TailLocations, World,
};

/// The start of a page token of a listing that is in the current location of the tail, if there is a former one.
const CURRENT_TOKEN: &str = "c";

/// The start of a page token of a listing that has reached the former location of the tail.
const FORMER_TOKEN: &str = "f";

/// A bucket: a store for everything, or one for the tail and one for the rest. While the tail is moved, its segments are
/// in two stores: new ones are put into the current one, and both are read.
///
/// Every answer updates the [`StoreClock`]. Cloning is cheap and shares everything.
///
/// # Examples
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use bytes::Bytes;
/// use neap_bucket::{Bucket, Get, GetOptions, Key, PutMode, World};
///
/// let bucket = Bucket::in_memory(World::system());
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
    former_tail: Option<Arc<dyn Store>>,
    /// `None` if the kind of the store has only one location.
    tail_locations: Option<TailLocations>,
    format_levels: FormatLevels,
    clock: Arc<StoreClock>,
    world: World,
    trusts_store_clock: bool,
}

impl Bucket {
    /// A bucket on one store.
    pub fn new(store: Arc<dyn Store>, world: World) -> Self {
        Self::with_tail(Arc::clone(&store), store, world)
    }

    /// An empty bucket in memory.
    pub fn in_memory(world: World) -> Self {
        let store = MemoryStore::new(Arc::clone(&world.clock));
        Self::new(Arc::new(store), world)
    }

    /// A bucket whose segments are in a separate store.
    pub fn with_tail(main: Arc<dyn Store>, tail: Arc<dyn Store>, world: World) -> Self {
        let clock = Arc::new(StoreClock::new(world.clone()));
        Self {
            main,
            tail,
            former_tail: None,
            tail_locations: None,
            format_levels: FormatLevels::SUPPORTED,
            clock,
            world,
            trusts_store_clock: false,
        }
    }

    /// Sets the names of the tail's locations, and the store of the former one, if there is one. Catalogs compare the
    /// names with the recorded ones.
    #[must_use]
    pub fn with_tail_locations(
        self,
        locations: TailLocations,
        former: Option<Arc<dyn Store>>,
    ) -> Self {
        Self { former_tail: former, tail_locations: Some(locations), ..self }
    }

    /// Returns the locations of the tail.
    pub fn tail_locations(&self) -> &TailLocations {
        static MAIN: TailLocations = TailLocations::MAIN;
        self.tail_locations.as_ref().unwrap_or(&MAIN)
    }

    /// Returns whether the kind of the store has more than one location for the tail, so that another process may move
    /// it.
    pub fn can_move_tail(&self) -> bool {
        self.tail_locations.is_some()
    }

    /// Sets the format levels of this program. Catalogs compare them with the recorded one.
    #[must_use]
    pub fn with_format_levels(self, levels: FormatLevels) -> Self {
        Self { format_levels: levels, ..self }
    }

    /// Returns the format levels of this program.
    pub fn format_levels(&self) -> FormatLevels {
        self.format_levels
    }

    /// Sets whether the store's clock is right even if it differs from the local clock.
    #[must_use]
    pub fn trusting_store_clock(self, trusted: bool) -> Self {
        Self { trusts_store_clock: trusted, ..self }
    }

    /// Whether the store's clock is right even if it differs from the local clock.
    pub fn trusts_store_clock(&self) -> bool {
        self.trusts_store_clock
    }

    /// Returns by how much the time of a store leapt ahead, if it did so recently.
    pub(crate) fn recent_leap(&self) -> Option<Duration> {
        let former = self.former_tail.as_ref().and_then(|store| store.recent_leap());
        self.main.recent_leap().max(self.tail.recent_leap()).max(former)
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
        Ulid::from_parts(u64::try_from(millis).unwrap_or(0), self.world.entropy.next_u128())
    }

    fn store(&self, key: &str) -> &Arc<dyn Store> {
        if key.starts_with(Key::TAIL_PREFIX) {
            &self.tail
        } else {
            &self.main
        }
    }

    /// Returns the store of the tail's former location, if the key or prefix is one of segments.
    pub(crate) fn former_store(&self, key: &str) -> Option<&Arc<dyn Store>> {
        self.former_tail.as_ref().filter(|_| key.starts_with(Key::TAIL_PREFIX))
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
        let former = self.former_store(&key).map(|store| (store, options.clone()));
        let answer = self.record_date(self.store(&key).get(&key, options).await)?;
        match former {
            Some((store, options)) if matches!(answer.value, Get::Missing) => {
                self.record_date(store.get(&key, options).await)
            }
            _ => Ok(answer),
        }
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
        let listed = match self.former_store(request.prefix) {
            None => self.store(request.prefix).list(request).await,
            Some(former) => self.list_both(former, request).await,
        };
        self.record_date(listed)
    }

    /// Lists the pages of the tail's current location, and then those of its former one.
    async fn list_both(
        &self,
        former: &Arc<dyn Store>,
        request: ListRequest<'_>,
    ) -> Result<StoreResponse<ListPage>, StoreError> {
        let token = request.page_token.as_deref().unwrap_or(CURRENT_TOKEN);
        let (store, prefix, token) = match token.strip_prefix(FORMER_TOKEN) {
            Some(token) => (former, FORMER_TOKEN, token),
            None => {
                let token = token.strip_prefix(CURRENT_TOKEN).unwrap_or(token);
                (&self.tail, CURRENT_TOKEN, token)
            }
        };
        let of_store = ListRequest {
            page_token: (!token.is_empty()).then(|| token.to_owned()),
            ..request
        };
        let mut answer = store.list(of_store).await?;
        let next = answer.value.next_page_token.take();
        answer.value.next_page_token = match next {
            Some(next) => Some(format!("{prefix}{next}")),
            None => (prefix == CURRENT_TOKEN).then(|| FORMER_TOKEN.to_owned()),
        };
        Ok(answer)
    }

    /// Returns whether no segment is left in the former location of the tail.
    pub async fn is_former_tail_empty(&self) -> Result<bool, StoreError> {
        let Some(former) = &self.former_tail else {
            return Ok(true);
        };
        let request = ListRequest::new(Key::TAIL_PREFIX);
        let page = self.record_date(former.list(request).await)?.value;
        // A page may be empty although others follow.
        Ok(page.entries.is_empty() && page.next_page_token.is_none())
    }

    /// Awaits the answer to a request, or to several requests for one object, for at most `limit`.
    ///
    /// # Errors
    /// Those of the request; [`StoreError::Unavailable`] without an answer in time.
    pub fn in_time<T, E: From<StoreError>>(
        &self,
        limit: Duration,
        operation: Operation,
        key: impl Display,
        request: impl Future<Output = Result<T, E>>,
    ) -> impl Future<Output = Result<T, E>> {
        // All reads end here: on the heap, they don't add to the size of each future that reads.
        let request = Box::pin(request);
        async move {
            let answer = self.world.timeout(limit, request).await;
            answer.unwrap_or_else(|| {
                let unanswered = StoreError::Unavailable {
                    operation,
                    key: key.to_string(),
                    reason: format!("no answer within {} s", limit.as_secs_f64()),
                };
                Err(unanswered.into())
            })
        }
    }

    /// Whether listings of segments are sorted by key.
    pub fn sorts_segments(&self) -> bool {
        self.former_tail.is_none() && self.tail.is_sorted()
    }

    /// Returns the storage classes of cold objects that the store of everything but segments has.
    pub fn storage_classes(&self) -> &'static [StorageClass] {
        self.main.storage_classes()
    }

    /// Deletes objects, all of them segments or none.
    pub async fn delete(&self, keys: &[String]) -> Result<StoreResponse<()>, StoreError> {
        let Some(first) = keys.first() else {
            return Ok(StoreResponse { value: (), date: None });
        };
        if let Some(former) = self.former_store(first) {
            self.record_date(former.delete(keys).await)?;
        }
        self.record_date(self.store(first).delete(keys).await)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{PrefixListing, TailLocation};

    const KEYS: [&str; 3] = ["tail/1/a", "tail/1/b", "tail/1/c"];

    /// A bucket whose tail is moved, with one segment in each location, and a third one in both.
    async fn moving() -> (Bucket, [Arc<dyn Store>; 2]) {
        let world = World::system();
        let [main, tail] = [(); 2].map(|()| {
            let store = MemoryStore::new(Arc::clone(&world.clock));
            Arc::new(store) as Arc<dyn Store>
        });
        for (store, keys) in [(&main, ["tail/1/a", "tail/1/c"]), (&tail, ["tail/1/b", "tail/1/c"])]
        {
            for key in keys {
                store.put(key, Bytes::from_static(b"1"), PutMode::Create).await.unwrap();
            }
        }
        let locations = TailLocations {
            current: TailLocation::bucket("fast"),
            former: Some(TailLocation::MAIN),
        };
        let bucket = Bucket::with_tail(Arc::clone(&main), Arc::clone(&tail), world)
            .with_tail_locations(locations, Some(Arc::clone(&main)));
        (bucket, [main, tail])
    }

    async fn listed(bucket: &Bucket) -> Vec<String> {
        let mut keys = Vec::new();
        let mut listing = PrefixListing::new(bucket, Key::TAIL_PREFIX);
        while let Some(page) = listing.next().await.unwrap() {
            keys.extend(page.value.into_iter().map(|entry| entry.key));
        }
        keys
    }

    #[tokio::test]
    async fn listings_and_deletes_of_a_tail_that_is_moved_include_both_locations() {
        let (bucket, stores) = moving().await;
        let mut keys = listed(&bucket).await;
        keys.sort();
        keys.dedup();
        assert_eq!(keys, KEYS);
        assert!(!bucket.sorts_segments());
        assert!(!bucket.is_former_tail_empty().await.unwrap());
        bucket.delete(&KEYS.map(str::to_owned)).await.unwrap();
        assert!(listed(&bucket).await.is_empty());
        assert!(bucket.is_former_tail_empty().await.unwrap());
        for store in stores {
            let answer = store.get("tail/1/a", GetOptions::default()).await.unwrap();
            assert!(matches!(answer.value, Get::Missing));
        }
    }

    #[tokio::test]
    async fn segments_of_a_tail_that_is_moved_are_read_in_both_locations_and_put_in_the_current_one()
     {
        let (bucket, [main, tail]) = moving().await;
        let name = crate::SegmentName { stamp: crate::Stamp::from_u64(7), nonce: 1 };
        let key = Key::Segment(neap_schema::DatabaseId::new(1), name);
        let is_found = async || {
            let answer = bucket.get(&key, GetOptions::default()).await.unwrap();
            matches!(answer.value, Get::Found(_))
        };
        assert!(!is_found().await);
        let body = Bytes::from_static(b"1");
        main.put(&key.to_string(), body.clone(), PutMode::Create).await.unwrap();
        assert!(is_found().await);
        main.delete(&[key.to_string()]).await.unwrap();
        bucket.put(&key, body, PutMode::Create).await.unwrap();
        assert!(is_found().await);
        let put = tail.get(&key.to_string(), GetOptions::default()).await.unwrap();
        assert!(matches!(put.value, Get::Found(_)));
        let other = main.get(&key.to_string(), GetOptions::default()).await.unwrap();
        assert!(matches!(other.value, Get::Missing));
    }
    #[tokio::test(start_paused = true)]
    async fn a_request_without_an_answer_names_its_limit() {
        let bucket = Bucket::in_memory(World::system());
        for (limit_ms, text) in [(250, "no answer within 0.25 s"), (2_000, "no answer within 2 s")]
        {
            let limit = Duration::from_millis(limit_ms);
            let request = std::future::pending::<Result<(), StoreError>>();
            let answer = bucket.in_time(limit, Operation::Get, "key", request).await;
            let error = answer.unwrap_err().to_string();
            assert!(error.contains(text), "{error}");
        }
    }
}
