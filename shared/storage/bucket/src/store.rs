//! The interface to a store: four operations, whose answers all carry the store's own time.
//!
//! The trait is narrower than `object_store::ObjectStore`, which exposes neither the `Date` of an answer nor single
//! pages of a listing; the protocol needs both. Every implementation, and every wrapper that counts requests or injects
//! faults, passes the same conformance suite.

use std::{fmt, ops::Range, sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;

use crate::{StorageClass, StoreTime};

/// An opaque version of an object's bytes, compared for equality only.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ETag(Arc<str>);

impl ETag {
    /// Creates a version from the store's text.
    pub fn new(text: impl Into<Arc<str>>) -> Self {
        Self(text.into())
    }

    /// The store's text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The answer of a store, with the time (`Date`) at which the store gave it.
#[derive(Clone, Debug)]
pub struct StoreResponse<T> {
    /// The answer.
    pub value: T,
    /// The store's time of the answer; `None` if the answer has no usable `Date`, as one from an intermediate cache
    /// (`Age`).
    pub date: Option<StoreTime>,
}

/// The options of a read.
#[derive(Clone, Debug, Default)]
pub struct GetOptions {
    /// The bytes to read; all by default.
    pub range: Option<Range<u64>>,
    /// Returns [`Get::Unchanged`] if the object still has this version.
    pub if_none_match: Option<ETag>,
}

/// The outcome of a read.
#[derive(Clone, Debug)]
pub enum Get {
    /// The object, or the range of it.
    Found(Object),
    /// The object still has the version in [`GetOptions::if_none_match`].
    Unchanged,
    /// There is no such object.
    Missing,
}

/// An object's bytes and metadata.
#[derive(Clone, Debug)]
pub struct Object {
    /// The bytes of the object, or of the requested range.
    pub bytes: Bytes,
    /// The version of the object.
    pub etag: ETag,
    /// When the object was put, by the store's clock.
    pub last_modified: StoreTime,
}

/// The condition of a put, and the storage class of the object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PutMode {
    /// No condition, for keys whose content never changes.
    Overwrite,
    /// No condition, and the object is stored in a class for cold objects if it is one of
    /// [`Store::storage_classes`]. Otherwise it is stored as any other.
    OverwriteIn(StorageClass),
    /// The key has no object yet.
    Create,
    /// The object still has this version.
    Update(ETag),
}

impl PutMode {
    /// Returns whether the put depends on the object that is there.
    pub fn is_conditional(&self) -> bool {
        match self {
            Self::Overwrite | Self::OverwriteIn(_) => false,
            Self::Create | Self::Update(_) => true,
        }
    }
}

/// The outcome of a put that the store answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Put {
    /// The object is stored.
    Done(ETag),
    /// The store answered that the condition does not hold. This proves nothing, because after a retry inside the
    /// client the conflict may be with the caller's own first attempt, or with a rival put that failed later.
    Refused,
}

/// A request for one page of a listing.
#[derive(Clone, Debug)]
pub struct ListRequest<'a> {
    /// The prefix of the keys to list.
    pub prefix: &'a str,
    /// Only keys that sort after this one. A store that does not sort applies it as a filter.
    pub start_after: Option<&'a str>,
    /// The token from the previous page; `None` for the first page.
    pub page_token: Option<String>,
}

impl<'a> ListRequest<'a> {
    /// Requests the first page of the keys with a prefix.
    pub const fn new(prefix: &'a str) -> Self {
        Self { prefix, start_after: None, page_token: None }
    }
}

/// One page of a listing.
#[derive(Clone, Debug, Default)]
pub struct ListPage {
    /// The objects; sorted by key unless the store does not sort.
    pub entries: Vec<ListEntry>,
    /// The token for the next page; `None` on the last page.
    pub next_page_token: Option<String>,
}

/// An object in a listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListEntry {
    /// The whole key.
    pub key: String,
    /// The number of bytes.
    pub size_bytes: u64,
    /// When the object was put, by the store's clock.
    pub last_modified: StoreTime,
}

/// Error of a store operation.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StoreError {
    /// The operation may or may not have taken effect: a timeout, a broken connection, a server error. Reads can be
    /// repeated; the outcome of a write is unknown.
    #[error("no answer to {operation} of '{key}': {reason}")]
    Unavailable {
        /// The operation.
        operation: Operation,
        /// The object or prefix.
        key: String,
        /// The cause, in a form for users.
        reason: String,
    },
    /// The store rejects the operation and would reject it again: missing permissions, no such bucket, a full disk. The
    /// operation had no effect.
    #[error("the store rejects {operation} of '{key}': {reason}")]
    Rejected {
        /// The operation.
        operation: Operation,
        /// The object or prefix.
        key: String,
        /// The cause, in a form for users.
        reason: String,
    },
}

/// The operations of a store, as they are counted and billed.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, strum::Display, strum::IntoStaticStr,
)]
#[strum(serialize_all = "snake_case")]
pub enum Operation {
    /// A read of an object or a range of it.
    Get,
    /// A write of an object.
    Put,
    /// One page of a listing.
    List,
    /// The deletion of up to [`MAX_DELETE_KEYS`] objects.
    Delete,
}

impl Operation {
    /// All operations.
    pub const ALL: [Self; 4] = [Self::Get, Self::Put, Self::List, Self::Delete];

    /// The name in metrics and messages.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

/// Maximum number of keys in one [`Store::delete`] (S3's limit for a bulk deletion).
pub const MAX_DELETE_KEYS: usize = 1000;

/// An object store.
///
/// Reads and listings see every write that was answered before they started. A put is atomic: a reader gets all of one
/// version or all of another.
#[async_trait]
pub trait Store: fmt::Debug + Send + Sync + 'static {
    /// Reads an object or a range of it. Truncates a range that extends past the end of the object.
    async fn get(&self, key: &str, options: GetOptions) -> Result<StoreResponse<Get>, StoreError>;

    /// Stores an object. If the caller stops waiting, the outcome is unknown.
    async fn put(
        &self,
        key: &str,
        body: Bytes,
        mode: PutMode,
    ) -> Result<StoreResponse<Put>, StoreError>;

    /// Lists one page.
    async fn list(&self, request: ListRequest<'_>) -> Result<StoreResponse<ListPage>, StoreError>;

    /// Deletes at most [`MAX_DELETE_KEYS`] objects. Missing objects count as deleted.
    async fn delete(&self, keys: &[String]) -> Result<StoreResponse<()>, StoreError>;

    /// Returns the store that this one wraps, whose properties are its own; `None` if it wraps no store.
    fn wrapped(&self) -> Option<&dyn Store> {
        None
    }

    /// Whether listings are sorted by key across pages, so that a caller that needs only the first keys may stop early.
    fn is_sorted(&self) -> bool {
        self.wrapped().is_some_and(|store| store.is_sorted())
    }

    /// Returns the storage classes of cold objects that the store has.
    fn storage_classes(&self) -> &'static [StorageClass] {
        self.wrapped().map(|store| store.storage_classes()).unwrap_or_default()
    }

    /// Returns by how much the store's time leapt ahead, if it did so recently and its clock may therefore be wrong.
    fn recent_leap(&self) -> Option<Duration> {
        self.wrapped()?.recent_leap()
    }
}
