//! Parallel flushes of several databases within the memory of one flush.

use std::sync::Arc;

use neap_bucket::VersionedValue;
use neap_manifest::Manifest;
use neap_schema::DatabaseId;
use tokio::sync::SemaphorePermit;

use crate::{CompactError, DamagedObjects, FlushLimits, FlushResult, Flusher, job_slots::JobSlots};

/// Maximum number of databases processed in parallel.
pub(crate) const PARALLEL_DATABASES: usize = 16;

/// Flushes several databases in parallel. The tail lengths determine how the limits of one flush are divided: a tail as
/// large as the limit of one flush is flushed alone. Clones share the slots.
#[derive(Clone, Debug)]
pub struct ParallelFlusher {
    flusher: Flusher,
    slots: JobSlots,
}

impl ParallelFlusher {
    /// Creates a flusher that runs at most 16 flushes in parallel.
    pub fn new(flusher: Flusher) -> Self {
        Self::with_slots(flusher, JobSlots::new(PARALLEL_DATABASES))
    }

    pub(crate) fn with_slots(flusher: Flusher, slots: JobSlots) -> Self {
        Self { flusher, slots }
    }

    /// Maximum number of parallel flushes. Further flushes wait.
    pub fn parallel(&self) -> usize {
        self.slots.total()
    }

    /// Returns the damaged objects that flushes have found.
    pub fn damaged_objects(&self) -> Arc<DamagedObjects> {
        self.flusher.damaged_objects()
    }

    /// Flushes a database whose tail has about `tail_bytes` bytes, as soon as its share of the memory is free. The
    /// flush never exceeds this share, even if the tail is longer. `u64::MAX` requests the limits of a whole flush.
    ///
    /// # Errors
    /// The database can't be read, or a segment is damaged.
    pub async fn flush(
        &self,
        database: DatabaseId,
        tail_bytes: u64,
    ) -> Result<FlushResult, CompactError> {
        self.reserve(tail_bytes).await.flush(database, None).await
    }

    /// Waits until the memory for a flush of `tail_bytes` bytes is free.
    pub(crate) async fn reserve(&self, tail_bytes: u64) -> ReservedFlush<'_> {
        let limits = *self.flusher.limits();
        let slots = self.slots.needed(tail_bytes, limits.segment_bytes);
        let permit = self.slots.acquire(slots).await;
        let limits = FlushLimits {
            segment_bytes: self.slots.part(limits.segment_bytes, slots),
            table_bytes: self.slots.part(limits.table_bytes, slots),
            ..limits
        };
        ReservedFlush { flusher: self.flusher.with_limits(limits), _permit: permit }
    }
}

/// A flush that holds its memory until it is dropped.
#[derive(Debug)]
pub(crate) struct ReservedFlush<'a> {
    flusher: Flusher,
    _permit: Option<SemaphorePermit<'a>>,
}

impl ReservedFlush<'_> {
    /// Flushes a database, starting from `manifest` if the caller has just read it.
    pub(crate) async fn flush(
        self,
        database: DatabaseId,
        manifest: Option<VersionedValue<Manifest>>,
    ) -> Result<FlushResult, CompactError> {
        match manifest {
            Some(manifest) => self.flusher.flush_from(database, manifest).await,
            None => self.flusher.flush(database).await,
        }
    }
}
