//! Flushes of several databases at once, in the memory of one.

use std::sync::Arc;

use neap_bucket::Versioned;
use neap_manifest::Manifest;
use neap_schema::DatabaseId;
use tokio::sync::SemaphorePermit;

use crate::{CompactError, DamagedObjects, FlushLimits, Flushed, Flusher, job_slots::JobSlots};

/// How many databases are worked on at once.
pub(crate) const PARALLEL_DATABASES: usize = 16;

/// Flushes several databases at once. The limits of one flush are divided between them by the lengths of their tails: a
/// tail that is as large as one flush takes is flushed alone. Cloning shares them.
#[derive(Clone, Debug)]
pub struct ParallelFlusher {
    flusher: Flusher,
    slots: JobSlots,
}

impl ParallelFlusher {
    /// At most 16 flushes at once.
    pub fn new(flusher: Flusher) -> Self {
        Self::of_slots(flusher, JobSlots::new(PARALLEL_DATABASES))
    }

    pub(crate) fn of_slots(flusher: Flusher, slots: JobSlots) -> Self {
        Self { flusher, slots }
    }

    /// The maximum number of flushes at once. More of them wait.
    pub fn parallel(&self) -> usize {
        self.slots.total()
    }

    /// The damaged objects that flushes have met.
    pub fn damaged_objects(&self) -> Arc<DamagedObjects> {
        self.flusher.damaged_objects()
    }

    /// Flushes a database whose tail has about so many bytes, once its part of the memory is free. The flush takes no
    /// more than that part, whatever the tail has; `u64::MAX` stands for all that one flush may take.
    ///
    /// # Errors
    /// The database can't be read, or a segment is damaged.
    pub async fn flush(
        &self,
        database: DatabaseId,
        tail_bytes: u64,
    ) -> Result<Flushed, CompactError> {
        self.reserve(tail_bytes).await.flush(database, None).await
    }

    /// Waits for the memory of a flush of so many bytes.
    pub(crate) async fn reserve(&self, tail_bytes: u64) -> ReservedFlush<'_> {
        let limits = *self.flusher.limits();
        let slots = self.slots.needed(tail_bytes, limits.segment_bytes);
        let permit = self.slots.acquire(slots).await;
        let limits = FlushLimits {
            segment_bytes: self.slots.part(limits.segment_bytes, slots),
            table_bytes: self.slots.part(limits.table_bytes, slots),
            ..limits
        };
        ReservedFlush {
            flusher: self.flusher.limited_to(limits),
            _permit: permit,
        }
    }
}

/// A flush that has its memory, until it is dropped.
#[derive(Debug)]
pub(crate) struct ReservedFlush<'a> {
    flusher: Flusher,
    _permit: Option<SemaphorePermit<'a>>,
}

impl ReservedFlush<'_> {
    /// Flushes a database, by its manifest if that was read just now.
    pub(crate) async fn flush(
        self,
        database: DatabaseId,
        manifest: Option<Versioned<Manifest>>,
    ) -> Result<Flushed, CompactError> {
        match manifest {
            Some(manifest) => self.flusher.flush_by(database, manifest).await,
            None => self.flusher.flush(database).await,
        }
    }
}
