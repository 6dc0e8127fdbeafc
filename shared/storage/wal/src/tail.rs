//! Lists and fetches the segments of a tail above a mark.

use std::{
    collections::hash_map::DefaultHasher, hash::BuildHasherDefault, sync::Arc, time::Duration,
};

use futures::{StreamExt, TryStreamExt, stream};
use moka::{policy::EvictionPolicy, sync::Cache};
use neap_bucket::{
    Bucket, FormatError, Get, GetOptions, Key, ListEntry, ListPage, ListRequest, Operation,
    SegmentName, Stamp, StoreError, StoreResponse, StoreTime,
};
use neap_schema::DatabaseId;

use crate::{Segment, SegmentError};

/// Maximum number of segments that are fetched concurrently: enough to hide the latency of a store, few enough for its
/// rate limits and the memory of a function.
const MAX_CONCURRENT_FETCHES: usize = 32;

/// The size of a cache entry besides the object, in bytes: key, directory and bookkeeping.
const CACHE_ENTRY_BYTES: usize = 256;

/// The ratio of the memory size of row deletes to their size as text.
const DELETES_FACTOR: usize = 4;

/// Maximum number of pages of one listing. Ends the listing of a store that never returns a last page.
const MAX_PAGES: usize = 100_000;

/// The settings of a [`TailReader`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TailReaderSettings {
    /// Maximum bytes of cached segments, across all databases.
    pub cache_bytes: u64,
    /// Maximum number of segments above the mark that [`TailReader::list`] lists, for readers of the whole tail.
    /// Segments at or below the mark do not count, because stores that can't start after a key list them, too.
    pub max_segments: usize,
    /// The timeout of a request.
    pub request_timeout: Duration,
}

impl Default for TailReaderSettings {
    /// 128 MiB, 100,000 segments, 30 s.
    fn default() -> Self {
        Self {
            cache_bytes: 128 << 20,
            max_segments: 100_000,
            request_timeout: Duration::from_secs(30),
        }
    }
}

/// Reasons why the tail can't be read.
#[derive(Clone, Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the messages and names document themselves")]
pub enum TailError {
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A segment is damaged or was written by a newer release.
    #[error(transparent)]
    Segment(#[from] SegmentError),
    /// There are more segments above the mark than the maximum.
    #[error("the tail of database {database} has more than {segments} segments")]
    TooLong {
        database: DatabaseId,
        segments: usize,
        /// The time of the oldest listed stamp.
        oldest: StoreTime,
    },
    #[error("the listing of the tail of database {database} has more than {pages} pages")]
    TooManyPages { database: DatabaseId, pages: usize },
}

/// A segment in a listing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListedSegment {
    /// The name.
    pub name: SegmentName,
    /// The number of bytes of the object.
    pub size_bytes: u64,
    /// The time of the PUT, by the store's clock.
    pub last_modified: StoreTime,
}

/// The segments above a mark.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TailListing {
    /// The segments, sorted by name.
    pub segments: Vec<ListedSegment>,
    /// The `Date` of the first page: every segment whose put took effect before it is in the listing. `None`
    /// when that page had no usable `Date`.
    pub first_page_date: Option<StoreTime>,
    /// The earliest and the latest `Date` of the pages; `None` when one of them had no usable `Date`.
    pub dates: Option<(StoreTime, StoreTime)>,
    /// The number of keys under the prefix that are not segments. They are ignored.
    pub foreign_keys: usize,
    /// The stamp of the first omitted segment, if the listing keeps only the oldest segments.
    pub beyond: Option<Stamp>,
}

impl TailListing {
    /// The names, sorted.
    pub fn names(&self) -> Vec<SegmentName> {
        self.segments.iter().map(|segment| segment.name).collect()
    }

    /// Keeps only the `oldest` oldest segments, and all others with the same stamp as the last of them.
    fn keep(&mut self, oldest: usize) {
        self.segments.sort_by_key(|segment| segment.name);
        self.segments.dedup_by_key(|segment| segment.name);
        let last = oldest.checked_sub(1).and_then(|last| self.segments.get(last));
        let end = match last.map(|last| last.name.stamp) {
            Some(stamp) => self.segments.partition_point(|one| one.name.stamp <= stamp),
            None => oldest,
        };
        if let Some(first) = self.segments.get(end) {
            let stamp = first.name.stamp;
            self.beyond = Some(self.beyond.map_or(stamp, |beyond| beyond.min(stamp)));
            self.segments.truncate(end);
        }
    }

    fn add(&mut self, database: DatabaseId, above: Stamp, entry: ListEntry) {
        match entry.key.parse() {
            Ok(Key::Segment(of, name)) if of == database => {
                // A store that does not sort may return segments at or below the mark.
                if name.stamp > above {
                    self.segments.push(ListedSegment {
                        name,
                        size_bytes: entry.size_bytes,
                        last_modified: entry.last_modified,
                    });
                }
            }
            _ => {
                self.foreign_keys += 1;
                tracing::warn!(key = entry.key, "ignored a key that is not a segment");
            }
        }
    }
}

/// The result of fetching segments by name.
#[derive(Clone, Debug, Default)]
pub struct FetchedSegments {
    /// The segments that exist, in the order of the names.
    pub segments: Vec<Arc<Segment>>,
    /// The segments that do not exist: they were flushed and garbage-collected, or never existed.
    pub missing: Vec<SegmentName>,
    /// The segments that can't be read, in the order of the names.
    pub unreadable: Vec<(SegmentName, SegmentError)>,
}

/// Tracks whether the keys of a listing are in order so far. The order that a store promises is verified, because a
/// flush that misses a segment would lose it.
#[derive(Debug)]
struct ListingOrder {
    is_sorted: bool,
    last: String,
}

impl ListingOrder {
    fn new(is_promised: bool) -> Self {
        Self { is_sorted: is_promised, last: String::new() }
    }

    fn check(&mut self, entry: &ListEntry) {
        if self.is_sorted {
            self.is_sorted = self.last < entry.key;
            self.last.clone_from(&entry.key);
        }
    }
}

type SegmentCache =
    Cache<(DatabaseId, SegmentName), Arc<Segment>, BuildHasherDefault<DefaultHasher>>;

/// Lists and reads segments. Cloning is cheap; clones share the cache.
#[derive(Clone, Debug)]
pub struct TailReader {
    bucket: Bucket,
    settings: TailReaderSettings,
    cache: SegmentCache,
}

impl TailReader {
    /// Creates a reader with an empty cache.
    pub fn new(bucket: Bucket, settings: TailReaderSettings) -> Self {
        // LRU, because the segments used last are used next. The hasher has fixed keys, so that eviction depends only
        // on the sequence of requests.
        let cache = Cache::builder()
            .max_capacity(settings.cache_bytes)
            .eviction_policy(EvictionPolicy::lru())
            .weigher(|_, segment: &Arc<Segment>| weight(segment))
            .build_with_hasher(BuildHasherDefault::default());
        Self { bucket, settings, cache }
    }

    /// Lists the segments of a database above a mark.
    ///
    /// A segment that is put during the listing may be in the result or not. A segment whose PUT was answered before
    /// the listing started is in the result.
    ///
    /// # Errors
    ///
    /// A page was not answered, or there are more segments above the mark than the settings allow. A listing is never
    /// partial.
    pub async fn list(&self, database: DatabaseId, above: Stamp) -> Result<TailListing, TailError> {
        self.list_limited(database, above, None).await
    }

    /// Lists the oldest segments of a database above a mark, in a tail of any length: at least `number` of them, if
    /// there are as many, and all that have the stamp of the last one. A sorted listing ends with the page that has the
    /// first segment beyond them.
    ///
    /// # Errors
    ///
    /// A page was not answered.
    pub async fn list_oldest(
        &self,
        database: DatabaseId,
        above: Stamp,
        number: usize,
    ) -> Result<TailListing, TailError> {
        self.list_limited(database, above, Some(number)).await
    }

    /// Lists all segments, or only the `oldest` ones.
    async fn list_limited(
        &self,
        database: DatabaseId,
        above: Stamp,
        oldest: Option<usize>,
    ) -> Result<TailListing, TailError> {
        let prefix = Key::tail_prefix(database);
        let start_after = Key::tail_after(database, above);
        let mut listing = TailListing::default();
        let mut order = ListingOrder::new(self.bucket.sorts_segments());
        let mut page_token = None;
        for page_number in 0..MAX_PAGES {
            let page = self.page(ListRequest {
                prefix: &prefix,
                start_after: Some(&start_after),
                page_token,
            });
            let StoreResponse { value: page, date } = page.await?;
            if page_number == 0 {
                listing.first_page_date = date;
                listing.dates = date.map(|date| (date, date));
            }
            listing.dates = listing
                .dates
                .zip(date)
                .map(|((first, last), date)| (first.min(date), last.max(date)));
            for entry in page.entries {
                order.check(&entry);
                listing.add(database, above, entry);
            }
            if let Some(oldest) = oldest {
                listing.keep(oldest);
                // A store that does not sort may return older segments on its next page.
                if listing.beyond.is_some() && order.is_sorted {
                    return Ok(listing);
                }
            } else if listing.segments.len() > self.settings.max_segments {
                let stamps = listing.segments.iter().map(|one| one.name.stamp);
                return Err(TailError::TooLong {
                    database,
                    segments: self.settings.max_segments,
                    oldest: stamps.min().unwrap_or(above).time(),
                });
            }
            page_token = page.next_page_token;
            if page_token.is_none() {
                listing.segments.sort_by_key(|segment| segment.name);
                listing.segments.dedup_by_key(|segment| segment.name);
                return Ok(listing);
            }
        }
        Err(TailError::TooManyPages { database, pages: MAX_PAGES })
    }

    async fn page(&self, request: ListRequest<'_>) -> Result<StoreResponse<ListPage>, StoreError> {
        let (limit, prefix) = (self.settings.request_timeout, request.prefix);
        let page = self.bucket.list(request);
        self.bucket.in_time(limit, Operation::List, prefix, page).await
    }

    /// Fetches segments from the cache or, concurrently, from the store.
    ///
    /// # Errors
    ///
    /// A request was not answered, or a segment can't be read. A result is never partial, but the segments that were
    /// read stay in the cache.
    pub async fn fetch(
        &self,
        database: DatabaseId,
        names: &[SegmentName],
    ) -> Result<FetchedSegments, TailError> {
        let fetched = self.fetch_readable(database, names).await?;
        match fetched.unreadable.into_iter().next() {
            Some((_, error)) => Err(error.into()),
            None => Ok(FetchedSegments { unreadable: Vec::new(), ..fetched }),
        }
    }

    /// Fetches segments like [`Self::fetch`], but returns the names of unreadable segments instead of an error.
    ///
    /// # Errors
    ///
    /// A request was not answered.
    pub async fn fetch_readable(
        &self,
        database: DatabaseId,
        names: &[SegmentName],
    ) -> Result<FetchedSegments, TailError> {
        let segments: Vec<_> = stream::iter(names.iter().copied())
            .map(|name| async move {
                match self.segment(database, name).await {
                    Err(TailError::Segment(error)) => Ok(Err(error)),
                    Ok(segment) => Ok(Ok(segment)),
                    Err(error) => Err(error),
                }
            })
            .buffered(MAX_CONCURRENT_FETCHES)
            .try_collect()
            .await?;
        let mut fetched = FetchedSegments::default();
        for (name, segment) in names.iter().zip(segments) {
            match segment {
                Ok(Some(segment)) => fetched.segments.push(segment),
                Ok(None) => fetched.missing.push(*name),
                Err(error) => fetched.unreadable.push((*name, error)),
            }
        }
        Ok(fetched)
    }

    /// Returns a segment from the cache or the store. A damaged segment is read once more, because its bytes may have
    /// been damaged in transfer, and is not cached, because the object may be repaired.
    async fn segment(
        &self,
        database: DatabaseId,
        name: SegmentName,
    ) -> Result<Option<Arc<Segment>>, TailError> {
        if let Some(segment) = self.cache.get(&(database, name)) {
            return Ok(Some(segment));
        }
        match self.read(database, name).await {
            Ok(Some(segment)) if segment.is_damaged() => self.read(database, name).await,
            Err(TailError::Segment(SegmentError::Format(FormatError::Damaged { .. }))) => {
                self.read(database, name).await
            }
            read => read,
        }
    }

    async fn read(
        &self,
        database: DatabaseId,
        name: SegmentName,
    ) -> Result<Option<Arc<Segment>>, TailError> {
        let key = Key::Segment(database, name);
        let limit = self.settings.request_timeout;
        let get = self.bucket.get(&key, GetOptions::default());
        match self.bucket.in_time(limit, Operation::Get, &key, get).await?.value {
            Get::Found(object) => {
                let segment = Arc::new(Segment::decode(database, name, object.bytes)?);
                if !segment.is_damaged() {
                    self.insert(Arc::clone(&segment));
                }
                Ok(Some(segment))
            }
            Get::Missing | Get::Unchanged => Ok(None),
        }
    }

    /// Caches a segment that was just put, so that it need not be read.
    pub fn insert(&self, segment: Arc<Segment>) {
        self.cache.insert((segment.database(), segment.name()), segment);
    }

    /// Removes flushed segments from the cache. Only readers that are behind the flush read them again.
    pub fn evict(&self, database: DatabaseId, names: impl Iterator<Item = SegmentName>) {
        for name in names {
            self.cache.invalidate(&(database, name));
        }
        // Otherwise up to 64 of them would stay in memory until the cache is used again.
        self.cache.run_pending_tasks();
    }

    /// Returns the size of the cache, in bytes.
    pub fn cached_bytes(&self) -> u64 {
        self.cache.run_pending_tasks();
        self.cache.weighted_size()
    }
}

fn weight(segment: &Segment) -> u32 {
    let directory = size_of_val(segment.directory());
    let deletes = match segment.deletes() {
        [] => 0,
        _ => DELETES_FACTOR * segment.size_bytes(),
    };
    let bytes = segment.size_bytes() + directory + deletes + CACHE_ENTRY_BYTES;
    u32::try_from(bytes).unwrap_or(u32::MAX)
}

#[cfg(test)]
#[path = "tail_tests.rs"]
mod tests;
