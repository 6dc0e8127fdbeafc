//! What Neap asks of a store: four operations, each of whose answers carries the store's own time.
//!
//! The trait is narrower than `object_store::ObjectStore`, which gives neither the `Date` of an answer nor
//! single pages of a listing; both are part of the protocol. Every implementation, and every wrapper that
//! counts or disturbs, passes the same conformance suite.

use std::{fmt, ops::Range, sync::Arc};

use async_trait::async_trait;
use bytes::Bytes;

use crate::StoreTime;

/// An opaque version of an object's bytes, compared for equality only.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ETag(Arc<str>);

impl ETag {
    /// The version that the store calls by this text.
    pub fn new(text: impl Into<Arc<str>>) -> Self {
        Self(text.into())
    }

    /// The store's text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A value with the store's time (`Date`) when it answered.
#[derive(Clone, Debug)]
pub struct Answer<T> {
    /// What was answered.
    pub value: T,
    /// When, by the store's clock; `None` when the answer has no usable `Date`, as from a cache on the
    /// way (`Age`).
    pub date: Option<StoreTime>,
}

/// What to read of an object.
#[derive(Clone, Debug, Default)]
pub struct GetOptions {
    /// The bytes to read; all by default.
    pub range: Option<Range<u64>>,
    /// Answer [`Get::Unchanged`] when the object is still this one.
    pub if_none_match: Option<ETag>,
}

/// The outcome of a read.
#[derive(Clone, Debug)]
pub enum Get {
    /// The object, or the range of it.
    Found(Object),
    /// The object is the one that the caller has.
    Unchanged,
    /// There is no such object.
    Missing,
}

/// An object's bytes and what the store tells of it.
#[derive(Clone, Debug)]
pub struct Object {
    /// The bytes of the object or of the range that was asked for.
    pub bytes: Bytes,
    /// The version of the object.
    pub etag: ETag,
    /// When the object was put, by the store's clock.
    pub last_modified: StoreTime,
}

/// On what condition to put an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PutMode {
    /// None: for keys that name one content for ever.
    Overwrite,
    /// There is no object with this key.
    Create,
    /// The object is still this one.
    Update(ETag),
}

/// The outcome of a put that the store answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Put {
    /// The object is stored.
    Done(ETag),
    /// The store says that the condition does not hold. After a retry inside the client this may be the
    /// caller's own first attempt, or a rival that failed later: it proves nothing.
    Refused,
}

/// One page of a listing.
#[derive(Clone, Debug)]
pub struct ListRequest<'a> {
    /// The start of the keys to list.
    pub prefix: &'a str,
    /// Only keys that sort after this one. A store that does not sort applies it as a filter.
    pub start_after: Option<&'a str>,
    /// Where the page before this one ended.
    pub page_token: Option<String>,
}

/// The keys of one page.
#[derive(Clone, Debug, Default)]
pub struct ListPage {
    /// The objects; sorted by key unless the store does not sort.
    pub entries: Vec<ListEntry>,
    /// Where the next page starts; `None` on the last one.
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

/// Why a store did not answer.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StoreError {
    /// The operation may or may not have taken effect: a timeout, a broken connection, a server error.
    /// Reads can be repeated; of a write nothing is known.
    #[error("{operation} of '{key}' got no answer: {reason}")]
    Unavailable {
        /// What was asked for.
        operation: Operation,
        /// The object or prefix.
        key: String,
        /// The cause, for people.
        reason: String,
    },
    /// The store refuses the operation itself, and would again: missing rights, no such bucket, a full
    /// disk. It had no effect.
    #[error("{operation} of '{key}' is refused: {reason}")]
    Rejected {
        /// What was asked for.
        operation: Operation,
        /// The object or prefix.
        key: String,
        /// The cause, for people.
        reason: String,
    },
}

/// The operations of a store, as they are counted and billed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
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
        match self {
            Self::Get => "get",
            Self::Put => "put",
            Self::List => "list",
            Self::Delete => "delete",
        }
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The largest number of keys in one [`Store::delete`] (S3's limit for a bulk deletion).
pub const MAX_DELETE_KEYS: usize = 1000;

/// A place for objects.
///
/// Reads see every write that was answered before they began, and so do listings. A put is atomic: a
/// reader gets all of one version or all of another.
#[async_trait]
pub trait Store: fmt::Debug + Send + Sync + 'static {
    /// Reads an object or a range of it. A range that ends behind the object is cut to it.
    async fn get(&self, key: &str, options: GetOptions) -> Result<Answer<Get>, StoreError>;

    /// Stores an object. A caller that stops waiting does not know whether it took effect.
    async fn put(&self, key: &str, body: Bytes, mode: PutMode) -> Result<Answer<Put>, StoreError>;

    /// Lists one page.
    async fn list(&self, request: ListRequest<'_>) -> Result<Answer<ListPage>, StoreError>;

    /// Deletes objects; those that don't exist count as deleted. At most [`MAX_DELETE_KEYS`].
    async fn delete(&self, keys: &[String]) -> Result<Answer<()>, StoreError>;

    /// Whether listings are sorted by key over all their pages, so that a caller that wants the first keys may
    /// stop after some pages. A wrapper passes on the answer of the store that it wraps.
    fn is_sorted(&self) -> bool {
        false
    }
}
