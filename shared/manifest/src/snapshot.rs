//! Snapshots: all that a query reads of a database, at one point in the order of its writes.

use std::{sync::Arc, time::Duration};

use neap_bucket::{Moment, SegmentName, Stamp, StoreTime, Versioned};
use neap_catalog::{CatalogError, DatabaseCatalog};
use neap_schema::DatabaseId;
use neap_wal::{Segment, StampError, TailError};

use crate::{Manifest, ManifestError, VersionGone};

/// What a database held at some moment.
///
/// It has every write that was acknowledged before the moment at which it was [`taken`](Self::taken), as a
/// segment of the tail or in a section. As long as nothing changes, the parts of the next one are the same
/// by address.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// The database.
    pub database: DatabaseId,
    /// The tables. They name every table and column of the data.
    pub catalog: Versioned<DatabaseCatalog>,
    /// The sections, and the mark.
    pub manifest: Versioned<Manifest>,
    /// The segments above the mark, sorted by name: later ones win.
    pub tail: Arc<[Arc<Segment>]>,
    /// When the first request for it began, on this machine's clocks.
    pub taken: Moment,
    /// The earliest time of the store's answers.
    pub shown: StoreTime,
    /// The stamp up to which it has writes, if it was asked for an earlier state. Manifest and tail are those of
    /// that state; the catalog is the present one.
    pub as_of: Option<Stamp>,
}

impl Snapshot {
    /// The low-water mark: sections hold what is at or below it, the tail what is above.
    pub fn mark(&self) -> Stamp {
        self.manifest.value.low_water_mark
    }

    /// The names of the tail's segments, sorted.
    pub fn tail_names(&self) -> impl Iterator<Item = SegmentName> {
        self.tail.iter().map(|segment| segment.name())
    }

    /// Whether the write with this stamp is in it beyond doubt.
    pub fn covers(&self, stamp: Stamp) -> bool {
        stamp <= self.mark() || self.tail_names().any(|name| name.stamp == stamp)
    }

    /// The same database as it was up to a stamp: the newest version of the manifest whose mark is not above
    /// it, and of the tail what is not later, if that is the present version.
    pub(crate) fn at(&self, as_of: Stamp) -> Result<Self, VersionGone> {
        let (version, value) = Manifest::at(&self.manifest, as_of)?;
        let mark = value.low_water_mark;
        let is_present = version == self.manifest.version;
        let tail = self.tail.iter();
        let tail = tail.filter(|segment| is_present && segment.name().stamp <= as_of);
        Ok(Self {
            manifest: self.manifest.view(value, version),
            tail: tail.cloned().collect(),
            as_of: Some(if is_present { as_of } else { mark }),
            ..self.clone()
        })
    }

    /// Whether both hold the same. Damaged segments may be whole when they are read again.
    pub(crate) fn has_contents_of(&self, other: &Self) -> bool {
        !self.tail.iter().any(|segment| segment.is_damaged())
            && self.catalog.version == other.catalog.version
            && self.manifest.version == other.manifest.version
            && self.tail_names().eq(other.tail_names())
    }

    /// The bytes of its segments.
    pub(crate) fn tail_bytes(&self) -> usize {
        self.tail.iter().map(|segment| segment.size_bytes()).sum()
    }
}

/// What a reader asks of a snapshot. By default it has every write acknowledged before the question.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SnapshotOptions {
    /// How long ago the snapshot may have been taken (`x-neap-max-staleness`).
    pub max_staleness: Duration,
    /// A stamp that a writer was given (`x-neap-stamp`): its write is to be seen if it was acknowledged.
    pub at_least: Option<Stamp>,
    /// The state to show: no write with a later stamp is in it (`x-neap-as-of`).
    pub as_of: Option<Stamp>,
}

/// Why there is no snapshot. All but damage and `Stamp(FarAhead)` pass with time.
#[derive(Clone, Debug, thiserror::Error)]
pub enum SnapshotError {
    /// The catalog.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    /// The manifest.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// The tail.
    #[error(transparent)]
    Tail(#[from] TailError),
    /// The stamp to come after is ahead of the store's clock.
    #[error(transparent)]
    Stamp(#[from] StampError),
    /// The answers did not fit each other, and neither did those of the attempts that followed.
    #[error("no consistent snapshot: {reason}")]
    Unsettled {
        /// What did not fit at last.
        reason: Unfit,
    },
    /// The tail does not fit in memory: nobody flushes, or not fast enough.
    #[error(
        "{segments} segments of {bytes} bytes wait for a flush, the oldest for {} s; a query holds at most {limit} \
         bytes of them",
        oldest.as_secs()
    )]
    TailTooLarge {
        /// The number of segments above the mark.
        segments: usize,
        /// The age of the oldest of them.
        oldest: Duration,
        /// The bytes of the objects above the mark.
        bytes: u64,
        /// The most bytes that a snapshot may have.
        limit: usize,
        /// The low-water mark: up to it, earlier states can be read.
        mark: Stamp,
    },
    /// The tail has more segments than are read for a query.
    #[error(
        "more than {segments} segments wait for a flush, which is all that a query reads, the oldest for {} s",
        oldest.as_secs()
    )]
    TailTooLong {
        /// The greatest number of segments that are read.
        segments: usize,
        /// The age of the oldest of them.
        oldest: Duration,
        /// The low-water mark: up to it, earlier states can be read.
        mark: Stamp,
    },
    /// The state that was asked for can't be read any more.
    #[error(transparent)]
    VersionGone(#[from] VersionGone),
    /// It took too long.
    #[error("no snapshot within {} s", limit.as_secs())]
    TimedOut {
        /// The time allowed.
        limit: Duration,
    },
}

impl SnapshotError {
    /// How long the flushes take, if it is the tail that is too long to be read: about 4,000 segments or 32 MiB in ten
    /// seconds.
    pub fn retry_after(&self) -> Option<Duration> {
        let seconds = match self {
            Self::TailTooLong { segments, .. } => *segments as u64 / 400,
            Self::TailTooLarge {
                segments, bytes, ..
            } => (*segments as u64 / 400).max(bytes / (3 << 20)),
            _ => return None,
        };
        Some(Duration::from_secs(seconds.clamp(5, 300)))
    }

    /// Whether earlier states can be read although this one can't.
    pub(crate) fn is_of_tail(&self) -> bool {
        matches!(self, Self::TailTooLong { .. } | Self::TailTooLarge { .. })
    }
}

/// Why the answers of one attempt make no snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    /// They lie too far apart.
    #[error("the answers lie {} s apart", span.as_secs())]
    Span {
        /// How far: the longest of store time, monotonic time and wall time.
        span: Duration,
    },
    /// An answer has no usable `Date`.
    #[error("an answer carries no usable Date")]
    NoDate,
    /// The mark is below the one that the listing started from.
    #[error("the low-water mark went back")]
    MarkWentBack,
    /// A segment was listed, is above the newest mark, and is gone.
    #[error("a segment is gone")]
    SegmentGone,
    /// Of the segments that were handed over some may be missing.
    #[error("it is in doubt what was written here")]
    InDoubt,
    /// The data needs a catalog that is not there yet.
    #[error("the catalog is older than the data")]
    CatalogBehind,
}
