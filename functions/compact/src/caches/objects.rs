//! Reads and writes cache objects in the bucket. Keeps recently written or read objects in memory, so that a flush does
//! not read the objects that the previous flush has written.

use std::{collections::hash_map::DefaultHasher, hash::BuildHasherDefault, time::Duration};

use bytes::Bytes;
use moka::{future::Cache, policy::EvictionPolicy};
use neap_bucket::{Bucket, Get, GetOptions, Operation, Put, PutMode, StoreError};
use neap_cache::{CacheError, CacheLayer, CacheShape};
use neap_manifest::{CacheEntry, PendingObject};
use neap_schema::{CacheId, DatabaseId, TableId};
use ulid::Ulid;

/// Maximum length of an object. A larger object is not worth rewriting with each flush.
const MAX_OBJECT_BYTES: usize = 64 << 20;

/// Timeout of a request, after which a flush continues without the object.
const REQUEST_LIMIT: Duration = Duration::from_secs(30);

/// Maximum bytes for work on the current thread; larger work runs on another thread.
const INLINE_BYTES: u64 = 1 << 20;

/// Reason why an object could not be read, built or written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ObjectError {
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The object cannot be decoded, or its rows do not fit.
    #[error(transparent)]
    Cache(#[from] CacheError),
    #[error("the object is missing")]
    Missing,
    /// The bytes are not those that were written.
    #[error("the object is damaged")]
    Damaged,
    /// The object would exceed the maximum length.
    #[error("the object would have {0} bytes")]
    TooLong(usize),
    #[error("the object could not be stored")]
    NotStored,
    #[error("the flush had no time left for this cache")]
    OutOfTime,
    #[error("the task was cancelled because the process is shutting down")]
    Stopped,
}

impl ObjectError {
    /// Returns whether the contents of the cache are too large to keep.
    pub(crate) fn is_too_large(&self) -> bool {
        let is_much = |error: &CacheError| matches!(error, CacheError::TooLarge { .. });
        match self {
            Self::TooLong(_) => true,
            Self::Cache(error) => is_much(error),
            _ => false,
        }
    }
}

/// The contents of objects. The hasher has fixed keys, so that eviction depends only on the sequence of requests.
type LayerCache = Cache<(DatabaseId, CacheId, Ulid), CacheLayer, BuildHasherDefault<DefaultHasher>>;

/// Reads and writes cache objects. Clones share the objects in memory.
#[derive(Clone, Debug)]
pub(crate) struct CacheObjects {
    bucket: Bucket,
    at_hand: LayerCache,
}

impl CacheObjects {
    /// Creates access to the cache objects of a bucket, with `at_hand_bytes` bytes of memory for recent ones.
    pub(crate) fn new(bucket: Bucket, at_hand_bytes: u64) -> Self {
        let at_hand = Cache::builder()
            .max_capacity(at_hand_bytes)
            .eviction_policy(EvictionPolicy::lru())
            .weigher(|_, contents: &CacheLayer| {
                u32::try_from(contents.size_bytes()).unwrap_or(u32::MAX)
            })
            .build_with_hasher(BuildHasherDefault::default());
        Self { bucket, at_hand }
    }

    /// Returns the object of an entry, from memory or by one request.
    pub(crate) async fn fetch(
        &self,
        database: DatabaseId,
        entry: &CacheEntry,
    ) -> Result<FetchedCacheObject, ObjectError> {
        let name = (database, entry.cache, entry.object);
        if let Some(known) = self.at_hand.get(&name).await {
            return Ok(FetchedCacheObject::Cached(known));
        }
        let key = entry.key(database);
        let get = self.bucket.get(&key, GetOptions::default());
        let answer = self.bucket.in_time(REQUEST_LIMIT, Operation::Get, &key, get).await?;
        let Get::Found(object) = answer.value else {
            return Err(ObjectError::Missing);
        };
        Ok(FetchedCacheObject::Object { key: key.to_string(), bytes: object.bytes })
    }

    /// Writes an object. The caller commits the returned entry.
    pub(crate) async fn write(
        &self,
        database: DatabaseId,
        (cache, table): (CacheId, TableId),
        object: PendingObject,
        encoded: EncodedCacheObject,
    ) -> Result<CacheEntry, ObjectError> {
        let EncodedCacheObject { contents, bytes, crc32c } = encoded;
        let entry = CacheEntry {
            cache,
            table,
            object: object.ulid,
            length: bytes.len() as u64,
            rows: contents.num_rows() as u64,
            crc32c,
            complete_from: contents.complete_from(),
            floor: None,
        };
        let key = entry.key(database);
        let put = self.bucket.put(&key, bytes, PutMode::Overwrite);
        let answer = self.bucket.in_time(REQUEST_LIMIT, Operation::Put, &key, put).await?;
        if answer.value == Put::Refused {
            return Err(ObjectError::NotStored);
        }
        let name = (database, cache, object.ulid);
        self.at_hand.insert(name, contents).await;
        Ok(entry)
    }

    pub(crate) fn bucket(&self) -> &Bucket {
        &self.bucket
    }

    /// Draws a random number for the bytes of a PUT.
    pub(crate) fn put_id(&self) -> u128 {
        self.bucket.world().entropy.next_u128()
    }

    /// Removes an object from memory.
    pub(crate) async fn forget(&self, database: DatabaseId, entry: &CacheEntry) {
        let name = (database, entry.cache, entry.object);
        self.at_hand.invalidate(&name).await;
    }
}

/// The object of an entry.
#[derive(Debug)]
pub(crate) enum FetchedCacheObject {
    /// The decoded contents, from memory.
    Cached(CacheLayer),
    /// The bytes of the object.
    Object {
        key: String,
        /// The whole object.
        bytes: Bytes,
    },
}

impl FetchedCacheObject {
    /// Returns the contents. Decoding is CPU-bound work.
    pub(crate) fn decoded(
        self,
        entry: &CacheEntry,
        shape: &CacheShape,
    ) -> Result<CacheLayer, ObjectError> {
        let (key, bytes) = match self {
            Self::Cached(contents) => return Ok(contents),
            Self::Object { key, bytes } => (key, bytes),
        };
        if bytes.len() as u64 != entry.length || crc32c::crc32c(&bytes) != entry.crc32c {
            return Err(ObjectError::Damaged);
        }
        Ok(CacheLayer::decode(entry.cache, &key, &bytes, shape)?)
    }
}

/// An encoded object to be put.
#[derive(Debug)]
pub(crate) struct EncodedCacheObject {
    contents: CacheLayer,
    bytes: Bytes,
    crc32c: u32,
}

impl EncodedCacheObject {
    /// Encodes the contents. This is CPU-bound work.
    pub(crate) fn encode(
        cache: CacheId,
        put_id: u128,
        contents: CacheLayer,
    ) -> Result<Self, ObjectError> {
        let bytes = contents.encode(cache, put_id)?;
        if bytes.len() > MAX_OBJECT_BYTES {
            return Err(ObjectError::TooLong(bytes.len()));
        }
        Ok(Self { crc32c: crc32c::crc32c(&bytes), contents, bytes })
    }
}

/// Runs work on `bytes` bytes: on a blocking thread if it is large, so that it does not delay requests.
pub(crate) async fn run_blocking<T: Send + 'static>(
    bytes: u64,
    work: impl FnOnce() -> Result<T, ObjectError> + Send + 'static,
) -> Result<T, ObjectError> {
    if bytes <= INLINE_BYTES {
        return work();
    }
    let work = tokio::task::spawn_blocking(work).await;
    work.map_err(|_| ObjectError::Stopped)?
}
