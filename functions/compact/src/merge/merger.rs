//! Runs merges from the manifest to their commit, within limits of time and memory.
//!
//! ```text
//!   merger                                        store
//!     |-- GET manifest if changed, catalog ------>  |   inputs gone or no longer closed: nothing to do
//!     |   for each merge                            |
//!     |-- GET each input: whole, or its footer -->  |
//!     |-- GET windows of inputs, as needed ------>  |   out of time or memory: give up
//!     |   for all of them together                  |
//!     |-- PUT the bundle ------------------------>  |   crash after: an orphan
//!     |-- commit: inputs out, outputs in -------->  |   overtaken: committed without this output
//! ```

use std::{sync::Arc, time::Duration};

use futures::{StreamExt, TryStreamExt, stream};
use neap_bucket::{Bucket, ClockReading, VersionedValue};
use neap_catalog::{Catalog, DatabaseCatalog, Table};
use neap_manifest::{Manifest, ManifestStore, ReplaceRefusal, SectionWithFooter, TimeRange};
use neap_schema::DatabaseId;
use ulid::Ulid;

use super::{
    MergeError, MergeJob, MergeJobRef, SectionRef,
    input::TableDeletes,
    memory::{memory_needed, read_sizes, row_group_bytes},
    source::SectionSource,
    stream::{MergeProgress, MergeStream},
};
use crate::{EncodedSection, SectionProfile, SectionWriter, removal::is_being_removed};

/// Maximum number of merges of one commit that run in parallel. Merges that share a commit are small.
const PARALLEL_MERGES: usize = 16;

/// Maximum number of inputs opened in parallel.
pub(super) const PARALLEL_OPENS: usize = 16;

const DAY_NANOS: i64 = 86_400_000_000_000;

/// Limits of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JobLimits {
    /// Maximum time until its output is put.
    pub time: Duration,
    /// Maximum memory in bytes.
    pub max_memory_bytes: u64,
}

impl Default for JobLimits {
    fn default() -> Self {
        Self {
            time: Duration::from_secs(10 * 60),
            max_memory_bytes: 768 << 20,
        }
    }
}

/// Reason why a merge did nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs, reason = "the messages and names document themselves")]
pub enum MergeSkipped {
    /// A concurrent commit has replaced an input, or added a section within the bounds.
    #[error("another process has changed the sections")]
    Overtaken,
    /// The catalog does not have the table: it was removed, or the bucket is being restored.
    #[error("the catalog does not have the table")]
    NoTable,
    #[error("the store's responses have no Date header")]
    NoDate,
    #[error("the merge exceeded its time limit")]
    OutOfTime,
    #[error("the merge needs more than {} MiB of memory", .0 >> 20)]
    OutOfMemory(u64),
    #[error("the bundle could not be stored")]
    NotStored,
    #[error("the merge took too long: its bundle may count as an orphan")]
    TooSlow,
    #[error("the commit lost too many races with other commits")]
    RacesLost,
    /// It is unknown whether the merge is in the manifest. If it is not, the next plan includes it again.
    #[error("the outcome is unknown: {0}")]
    Unknown(String),
}

impl From<ReplaceRefusal> for MergeSkipped {
    fn from(reason: ReplaceRefusal) -> Self {
        match reason {
            ReplaceRefusal::InputsGone | ReplaceRefusal::NotClosed => Self::Overtaken,
            ReplaceRefusal::ObjectTooOld => Self::TooSlow,
            ReplaceRefusal::Busy => Self::RacesLost,
        }
    }
}

/// Outcome of a merge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MergeOutcome {
    /// The inputs were replaced by one section, or by none if no row was left.
    Done {
        /// The rows of the output.
        rows: u64,
        /// Length of the inputs in bytes.
        bytes_in: u64,
        /// Length of the output in bytes.
        bytes_out: u64,
    },
    /// Nothing was changed.
    Skipped(MergeSkipped),
}

/// Merges sections.
#[derive(Clone, Debug)]
pub struct Merger {
    pub(super) bucket: Bucket,
    catalog: Arc<Catalog>,
    pub(super) manifests: ManifestStore,
}

/// A requested merge and its claim, which ends with the commit.
pub(crate) type MergeRequest<'a> = (&'a MergeJobRef, Option<Ulid>);

pub(crate) type MergeResult = Result<MergeOutcome, MergeError>;

/// The state from which merges of one database start.
pub(super) struct MergeContext {
    pub(super) database: DatabaseId,
    pub(super) started_at: ClockReading,
    pub(super) manifest: VersionedValue<Manifest>,
    catalog: VersionedValue<DatabaseCatalog>,
}

/// A merge whose output is encoded but not committed.
pub(super) struct EncodedMerge {
    pub(super) job: MergeJob,
    /// Rows before this time have expired.
    pub(super) cutoff: Option<i64>,
    pub(super) claim: Option<Ulid>,
    pub(super) encoded: EncodedSection,
}

/// Inputs of a merge.
struct PreparedMerge {
    table: Arc<Table>,
    job: MergeJob,
    inputs: Vec<SectionWithFooter>,
    /// Rows before this time have expired.
    cutoff: Option<i64>,
}

impl Merger {
    /// Creates a merger for the databases of a bucket.
    pub fn new(bucket: Bucket, catalog: Arc<Catalog>, manifests: ManifestStore) -> Self {
        Self { bucket, catalog, manifests }
    }

    /// Merges the inputs of a job, without deleted or expired rows. `claim` is the claim of the job; it ends with the
    /// commit, or if a concurrent commit has changed the sections.
    ///
    /// # Errors
    /// Errors of the store; damaged or missing sections, by name.
    pub async fn run(
        &self,
        database: DatabaseId,
        job: &MergeJobRef,
        claim: Option<Ulid>,
        limits: &JobLimits,
    ) -> Result<MergeOutcome, MergeError> {
        let requests = [(job, claim)];
        let results = self.run_all(database, &requests, limits, &mut None).await?;
        let first = results.into_iter().next();
        first.unwrap_or(Ok(MergeOutcome::Skipped(MergeSkipped::Overtaken)))
    }

    /// Runs several merges of a database, puts their outputs in one bundle, and commits them together. The outputs are
    /// in memory at the same time. `known` is a manifest that was read before: it is transferred and decoded again only
    /// if it has changed. It becomes the newest manifest known.
    /// Fails if the manifest or the catalog cannot be read, or the manifest cannot be changed. Errors of single merges
    /// are in their results.
    pub(crate) async fn run_all(
        &self,
        database: DatabaseId,
        requests: &[MergeRequest<'_>],
        limits: &JobLimits,
        known: &mut Option<VersionedValue<Manifest>>,
    ) -> Result<Vec<MergeResult>, MergeError> {
        let base = self.base(database, known).await?;
        // Only the merges have a timeout, because the future must not be dropped between the PUT and the commit.
        // Collect the futures, so that this future is `Send` for all lifetimes.
        let merges: Vec<_> = requests
            .iter()
            .map(|(job, claim)| self.merge_in_time(&base, job, *claim, limits))
            .collect();
        let merged: Vec<_> = stream::iter(merges).buffered(PARALLEL_MERGES).collect().await;
        let results = requests.iter().zip(&merged);
        let overtaken = results.filter_map(|((_, claim), merged)| match merged {
            Ok(Err(MergeSkipped::Overtaken)) => *claim,
            _ => None,
        });
        let release: Vec<Ulid> = overtaken.collect();
        self.commit(base, merged, &release, known).await
    }

    pub(super) fn elapsed(&self, base: &MergeContext) -> Duration {
        self.bucket.world().elapsed(&base.started_at)
    }

    async fn base(
        &self,
        database: DatabaseId,
        known: &mut Option<VersionedValue<Manifest>>,
    ) -> Result<MergeContext, MergeError> {
        let started_at = self.bucket.world().clock_reading();
        let manifest = self.manifests.read(database, known.as_ref()).await?;
        // Drop the known manifest, so that memory holds only one.
        *known = None;
        let catalog = self.catalog_of(database, manifest.value.needs_catalog).await?;
        Ok(MergeContext { database, started_at, manifest, catalog })
    }

    /// Runs one merge up to its output.
    async fn merge_in_time(
        &self,
        base: &MergeContext,
        job: &MergeJobRef,
        claim: Option<Ulid>,
        limits: &JobLimits,
    ) -> Result<Result<EncodedMerge, MergeSkipped>, MergeError> {
        if self.elapsed(base) > limits.time {
            return Ok(Err(MergeSkipped::OutOfTime));
        }
        let task = match self.prepare(base, job).await? {
            Ok(task) => task,
            Err(reason) => return Ok(Err(reason)),
        };
        let needed = memory_needed(&task.job, limits.max_memory_bytes);
        if needed > limits.max_memory_bytes {
            return Ok(Err(MergeSkipped::OutOfMemory(needed)));
        }
        let merged = self.merge(base, &task, limits);
        let left = limits.time.saturating_sub(self.elapsed(base));
        let merged = self.bucket.world().timeout(left, merged).await;
        let Some(merged) = merged.filter(|_| self.elapsed(base) <= limits.time) else {
            return Ok(Err(MergeSkipped::OutOfTime));
        };
        // Drops the inputs, and with them the pages that contain their footers.
        let PreparedMerge { job, cutoff, .. } = task;
        Ok(merged?.map(|encoded| EncodedMerge { job, cutoff, claim, encoded }))
    }

    /// Loads the sections and the table of a job.
    async fn prepare(
        &self,
        base: &MergeContext,
        job: &MergeJobRef,
    ) -> Result<Result<PreparedMerge, MergeSkipped>, MergeError> {
        let times = TimeRange {
            first: i64::from(job.first_day).saturating_mul(DAY_NANOS),
            last: (i64::from(job.last_day) + 1).saturating_mul(DAY_NANOS).saturating_sub(1),
        };
        let loaded = self
            .manifests
            .load_sections(base.database, &base.manifest.value, job.table, times)
            .await?;
        let sections: Vec<_> = loaded.iter().map(|found| Arc::clone(&found.section)).collect();
        let Some(resolved) = job.resolve(&sections) else {
            return Ok(Err(MergeSkipped::Overtaken));
        };
        // The catalog is proven current as of this time, but not of any later time.
        let Some(current_at) = base.catalog.current_at else {
            return Ok(Err(MergeSkipped::NoDate));
        };
        let catalog = &base.catalog.value;
        let table = catalog.table_by_id(job.table);
        let Some(table) = table.filter(|table| !is_being_removed(table.deletion())) else {
            return Ok(Err(MergeSkipped::NoTable));
        };
        let is_input = |found: &SectionWithFooter| {
            let mut inputs = resolved.inputs.iter();
            inputs.any(|input| {
                SectionRef::from_section(input) == SectionRef::from_section(&found.section)
            })
        };
        let mark = base.manifest.value.low_water_mark;
        let removal_time = self.bucket.removal_time(mark).ok();
        Ok(Ok(PreparedMerge {
            cutoff: removal_time.and_then(|now| catalog.cutoff_of(job.table, current_at.min(now))),
            inputs: loaded.into_iter().filter(is_input).collect(),
            table: table.stored(),
            job: resolved,
        }))
    }

    async fn catalog_of(
        &self,
        database: DatabaseId,
        version: u64,
    ) -> Result<VersionedValue<DatabaseCatalog>, MergeError> {
        // A catalog from memory is not sufficient, because the retention period must be current.
        let catalog = self.catalog.database(database, self.catalog.max_age()).await?;
        if catalog.version >= version {
            return Ok(catalog);
        }
        Ok(self.catalog.database(database, Duration::ZERO).await?)
    }

    /// Reads the inputs and encodes the output in memory.
    async fn merge(
        &self,
        base: &MergeContext,
        task: &PreparedMerge,
        limits: &JobLimits,
    ) -> Result<Result<EncodedSection, MergeSkipped>, MergeError> {
        let sizes = read_sizes(&task.job, limits.max_memory_bytes);
        let opened: Vec<SectionSource> = stream::iter(task.inputs.clone())
            .map(|input| SectionSource::open(self.bucket.clone(), base.database, input, sizes))
            .buffered(PARALLEL_OPENS)
            .try_collect()
            .await?;
        let deletes = TableDeletes::new(&base.manifest.value, task.table.id());
        let filters = task.inputs.iter().map(|input| deletes.filter(&input.section, task.cutoff));
        let inputs = opened.into_iter().zip(filters).collect();
        let capacity = usize::try_from(task.job.bytes()).unwrap_or(0);
        let row_group = row_group_bytes(limits.max_memory_bytes);
        let writer = |tags: &[String], schema, rows| {
            SectionWriter::new(tags, schema, SectionProfile::Merge)
                .with_expectation(rows, capacity)
                .with_row_group_bytes(row_group)
        };
        let merge = MergeStream::new(&task.table, inputs, task.job.bytes(), writer)?;
        let mut used = 0;
        let go_on = |progress: MergeProgress| {
            used = progress.memory_bytes;
            used <= limits.max_memory_bytes && self.elapsed(base) <= limits.time
        };
        match merge.run(go_on).await? {
            Some(writer) => Ok(Ok(writer.finish()?)),
            None if used > limits.max_memory_bytes => Ok(Err(MergeSkipped::OutOfMemory(used))),
            None => Ok(Err(MergeSkipped::OutOfTime)),
        }
    }
}
