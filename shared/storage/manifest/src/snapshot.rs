//! Snapshots: the data of a database at one point in the order of its writes, as a query reads it.

use std::{
    ptr,
    sync::{Arc, Weak},
    time::Duration,
};

use neap_bucket::{ClockReading, SegmentName, Stamp, StoreTime, VersionedValue};
use neap_catalog::{CatalogError, DatabaseCatalog};
use neap_schema::DatabaseId;
use neap_wal::{Segment, StampError, TailError};

use crate::{Manifest, ManifestError, VersionGone};

/// The contents of a database at one moment.
///
/// It contains every write that was acknowledged before [`taken`](Self::taken), as a segment of the tail or in a
/// section. While the data does not change, the next snapshot shares the `Arc`s of the parts.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// The database.
    pub database: DatabaseId,
    /// The database catalog. It defines every table and column of the data.
    pub catalog: VersionedValue<DatabaseCatalog>,
    /// The sections, and the low-water mark.
    pub manifest: VersionedValue<Manifest>,
    /// The segments above the mark, sorted by name. Rows of later segments override those of earlier ones.
    pub tail: Arc<[Arc<Segment>]>,
    /// Start of the first request for the snapshot, on this machine's clocks.
    pub taken: ClockReading,
    /// The earliest time of the store's responses.
    pub shown: StoreTime,
    /// The stamp up to which the snapshot has writes, if an earlier state was requested. Manifest and tail are those of
    /// that state; the catalog is the current one.
    pub as_of: Option<Stamp>,
}

impl Snapshot {
    /// Returns the low-water mark: writes at or below it are in sections, later writes are in the tail.
    pub fn mark(&self) -> Stamp {
        self.manifest.value.low_water_mark
    }

    /// Returns the names of the tail's segments, sorted.
    pub fn tail_names(&self) -> impl Iterator<Item = SegmentName> {
        self.tail.iter().map(|segment| segment.name())
    }

    /// Returns whether the snapshot certainly contains the write with this stamp.
    pub fn covers(&self, stamp: Stamp) -> bool {
        stamp <= self.mark() || self.tail_names().any(|name| name.stamp == stamp)
    }

    /// Returns the identity of the contents.
    pub fn identity(&self) -> SnapshotIdentity {
        SnapshotIdentity {
            catalog: Arc::downgrade(&self.catalog.value),
            manifest: Arc::downgrade(&self.manifest.value),
            tail: Arc::downgrade(&self.tail),
        }
    }

    /// Returns the state of the database up to a stamp: the newest version of the manifest whose mark is not above the
    /// stamp. If that is the current version, the segments of the tail up to the stamp are included.
    pub(crate) fn at(&self, as_of: Stamp) -> Result<Self, VersionGone> {
        let (version, value) = Manifest::at(&self.manifest, as_of)?;
        let mark = value.low_water_mark;
        let is_present = version == self.manifest.version;
        let tail = self.tail.iter().filter(|segment| is_present && segment.name().stamp <= as_of);
        Ok(Self {
            manifest: self.manifest.view(value, version),
            tail: tail.cloned().collect(),
            as_of: Some(if is_present { as_of } else { mark }),
            ..self.clone()
        })
    }

    /// Returns whether both snapshots have the same contents. A snapshot with a damaged segment never matches, because
    /// the segment may be intact when it is read again.
    pub(crate) fn has_contents_of(&self, other: &Self) -> bool {
        !self.tail.iter().any(|segment| segment.is_damaged())
            && self.catalog.version == other.catalog.version
            && self.manifest.version == other.manifest.version
            && self.tail_names().eq(other.tail_names())
    }

    /// Returns the size of the tail's segments in memory, in bytes.
    pub(crate) fn tail_bytes(&self) -> usize {
        self.tail.iter().map(|segment| segment.size_bytes()).sum()
    }
}

/// Identifies the contents of a snapshot of the present, without holding them in memory.
///
/// Its weak references keep the addresses of the parts from being used again, and nothing of what the parts refer to.
#[derive(Clone, Debug)]
pub struct SnapshotIdentity {
    catalog: Weak<DatabaseCatalog>,
    manifest: Weak<Manifest>,
    tail: Weak<[Arc<Segment>]>,
}

impl SnapshotIdentity {
    /// Returns whether a snapshot shares the parts of the identified one. Snapshots with the same contents may have parts of
    /// their own, if no reader retained the earlier one.
    pub fn matches(&self, snapshot: &Snapshot) -> bool {
        ptr::eq(self.catalog.as_ptr(), Arc::as_ptr(&snapshot.catalog.value))
            && ptr::eq(self.manifest.as_ptr(), Arc::as_ptr(&snapshot.manifest.value))
            && ptr::eq(self.tail.as_ptr(), Arc::as_ptr(&snapshot.tail))
    }

    /// Returns the maximum of the bytes that the references keep allocated.
    pub fn held_bytes(&self) -> usize {
        let tail = self.tail.as_ptr().len() * size_of::<Arc<Segment>>();
        size_of::<DatabaseCatalog>() + size_of::<Manifest>() + tail
    }
}

/// The freshness that a reader requires. By default, a snapshot has every write acknowledged before the request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SnapshotOptions {
    /// Maximum age of the snapshot (`x-neap-max-staleness`).
    pub max_staleness: Duration,
    /// A stamp that a writer received (`x-neap-stamp`): the snapshot contains its write if it was acknowledged.
    pub at_least: Option<Stamp>,
    /// The state to read: writes with a later stamp are excluded (`x-neap-as-of`).
    pub as_of: Option<Stamp>,
}

/// A snapshot could not be read. All errors except damage, loss and `Stamp(FarAhead)` are transient.
#[derive(Clone, Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the messages and names document themselves")]
pub enum SnapshotError {
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    #[error(transparent)]
    Tail(#[from] TailError),
    /// The stamp in [`SnapshotOptions::at_least`] is ahead of the store's clock.
    #[error(transparent)]
    Stamp(#[from] StampError),
    /// The responses of the store were inconsistent in every attempt.
    #[error("no consistent snapshot: {reason}")]
    Inconsistent {
        /// Reason of the last attempt.
        reason: ResponseMismatch,
    },
    /// The tail exceeds the memory limit: flushes are missing or too slow.
    #[error(
        "{segments} unflushed segments have {bytes} bytes, the oldest is {} s old; a query reads at most \
         {limit} bytes of them",
        oldest.as_secs()
    )]
    TailTooLarge {
        segments: usize,
        /// The age of the oldest of these segments.
        oldest: Duration,
        /// The size of the objects above the mark, in bytes.
        bytes: u64,
        /// Maximum size of a snapshot's tail, in bytes.
        limit: usize,
        /// The low-water mark: states up to it can be read.
        mark: Stamp,
    },
    #[error(
        "more than {segments} segments are unflushed, the maximum that a query reads; the oldest is {} s old",
        oldest.as_secs()
    )]
    TailTooLong {
        /// Maximum number of segments that a query reads.
        segments: usize,
        /// The age of the oldest of these segments.
        oldest: Duration,
        /// The low-water mark: states up to it can be read.
        mark: Stamp,
    },
    /// The requested state can no longer be read.
    #[error(transparent)]
    VersionGone(#[from] VersionGone),
    #[error("no snapshot within {} s", limit.as_secs_f64())]
    TimedOut { limit: Duration },
}

impl SnapshotError {
    /// Returns an estimate of the time until flushes have shortened the tail, if the tail is too long or too large.
    /// Assumes 4,000 segments or 32 MiB in 10 seconds.
    pub fn retry_after(&self) -> Option<Duration> {
        let seconds = match self {
            Self::TailTooLong { segments, .. } => *segments as u64 / 400,
            Self::TailTooLarge { segments, bytes, .. } => {
                (*segments as u64 / 400).max(bytes / (3 << 20))
            }
            _ => return None,
        };
        Some(Duration::from_secs(seconds.clamp(5, 300)))
    }

    /// Returns whether the tail is the cause, so that flushed states can still be read.
    pub(crate) fn is_of_tail(&self) -> bool {
        matches!(self, Self::TailTooLong { .. } | Self::TailTooLarge { .. })
    }
}

/// The responses of one attempt do not form a consistent snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ResponseMismatch {
    /// The responses lie too far apart in time.
    #[error("the responses are {} s apart", span.as_secs())]
    Span {
        /// The distance: the maximum by store time, monotonic time and wall time.
        span: Duration,
    },
    /// A response has no usable `Date` header.
    #[error("a response has no usable Date header")]
    NoDate,
    /// The mark is below the mark that the listing started from.
    #[error("the low-water mark went back")]
    MarkWentBack,
    /// The manifest was created after it was read.
    #[error("the manifest was created meanwhile")]
    ManifestCreated,
    /// A listed segment above the newest mark is gone.
    #[error("a segment is gone")]
    SegmentGone,
    /// Some segments that this process wrote may be missing in memory.
    #[error("segments written by this process may be missing")]
    TailUncertain,
    /// The data needs a newer version of the catalog than the store returned.
    #[error("the catalog is older than the data")]
    CatalogOutdated,
}
