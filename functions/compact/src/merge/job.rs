//! One merge from the manifest to its commit, within limits of time and memory.
//!
//! ```text
//!   merger                                        store
//!     |-- GET manifest, catalog ----------------->  |   inputs gone or no longer closed: nothing to do
//!     |-- GET each input: whole, or its footer -->  |
//!     |-- GET windows of inputs, as needed ------>  |   out of time or memory: given up
//!     |-- PUT the bundle ------------------------>  |   crash after: an orphan
//!     |-- commit: inputs out, output in --------->  |   overtaken: an orphan
//! ```

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use neap_bucket::{Bucket, Key, Moment, Put, PutMode, Versioned};
use neap_catalog::{Catalog, DatabaseCatalog, Table};
use neap_manifest::{
    DrawnObject, JobKind, JobRecord, Manifest, ManifestStore, ReplaceOutcome, ReplaceRefused,
    Replacement, Section, SectionWithFooter, TimeRange,
};
use neap_schema::DatabaseId;
use ulid::Ulid;

use super::{
    InputRef, MergeError, MergeJob, MergeJobRef,
    input::RowFilter,
    source::{ReadSizes, Source},
    stream::{MergeStream, Progress},
};
use crate::{
    EncodedSection, SectionProfile, SectionWriter, flush::millis, removal::is_being_removed,
};

/// Sections of at most so many bytes are read whole: a second request costs more than the transfer.
const WHOLE_BYTES: u64 = 4 << 20;

/// Row groups are read together up to this.
const MAX_WINDOW_BYTES: u64 = 8 << 20;

/// The memory that a merge needs besides its inputs and its output.
const BASE_MEMORY_BYTES: u64 = 96 << 20;

/// How many inputs are opened at once.
pub(super) const PARALLEL_OPENS: usize = 16;

const DAY_NANOS: i64 = 86_400_000_000_000;

/// What a job may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JobLimits {
    /// How long it may take until its output is put.
    pub time: Duration,
    /// How many bytes of memory it may take.
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

/// Why a merge did nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MergeGaveUp {
    /// Somebody else has replaced an input, or added one.
    #[error("somebody else has changed the sections")]
    Overtaken,
    /// The catalog no longer has the table, or not yet, as in a bucket that is being restored.
    #[error("the catalog lacks the table")]
    NoTable,
    /// The store gives no time.
    #[error("the store's answers have no date")]
    NoDate,
    /// The time is over.
    #[error("it was not done in time")]
    OutOfTime,
    /// It would take more memory than it may.
    #[error("it needs more than {} MiB of memory", .0 >> 20)]
    OutOfMemory(u64),
    /// The bundle could not be stored.
    #[error("the bundle could not be stored")]
    NotStored,
    /// It took so long that the bundle may count as an orphan.
    #[error("it took too long")]
    TooOld,
    /// Others have always been faster.
    #[error("the sections were moved again and again")]
    Busy,
    /// It can't be told whether it is in the manifest. If it is not, the next plan has it again.
    #[error("the outcome is unknown: {0}")]
    Unknown(String),
}

impl From<ReplaceRefused> for MergeGaveUp {
    fn from(reason: ReplaceRefused) -> Self {
        match reason {
            ReplaceRefused::InputsGone | ReplaceRefused::NotClosed => Self::Overtaken,
            ReplaceRefused::ObjectTooOld => Self::TooOld,
            ReplaceRefused::Busy => Self::Busy,
        }
    }
}

/// What a merge did.
#[derive(Clone, Debug)]
pub enum MergeOutcome {
    /// Its inputs have become one section, or none if no row was left.
    Done {
        /// The newest manifest known.
        current: Versioned<Manifest>,
        /// The rows of the output.
        rows: u64,
        /// The length of the inputs.
        bytes_in: u64,
        /// The length of the output.
        bytes_out: u64,
    },
    /// Nothing was changed.
    Nothing(MergeGaveUp),
}

/// Merges sections.
#[derive(Clone, Debug)]
pub struct Merger {
    bucket: Bucket,
    catalog: Arc<Catalog>,
    manifests: ManifestStore,
}

/// What a merge works from.
struct Task {
    database: DatabaseId,
    begun: Moment,
    manifest: Versioned<Manifest>,
    table: Arc<Table>,
    job: MergeJob,
    inputs: Vec<SectionWithFooter>,
    /// Rows before this time have expired.
    cutoff: Option<i64>,
}

impl Merger {
    /// A merger for the databases of a bucket.
    pub fn new(bucket: Bucket, catalog: Arc<Catalog>, manifests: ManifestStore) -> Self {
        Self {
            bucket,
            catalog,
            manifests,
        }
    }

    /// Merges the inputs of a job, without the rows that were deleted or have expired. `claim` is the claim
    /// that the job has, which ends with its commit.
    ///
    /// # Errors
    /// What the store answers, and damaged or missing sections by their names.
    pub async fn run(
        &self,
        database: DatabaseId,
        job: &MergeJobRef,
        claim: Option<Ulid>,
        limits: &JobLimits,
    ) -> Result<MergeOutcome, MergeError> {
        let task = match self.prepare(database, job).await? {
            Ok(task) => task,
            Err(reason) => return Ok(MergeOutcome::Nothing(reason)),
        };
        let needed = memory_needed(&task.job);
        if needed > limits.max_memory_bytes {
            return Ok(MergeOutcome::Nothing(MergeGaveUp::OutOfMemory(needed)));
        }
        // The future must not end between the put and the commit, so only what is before is cut short.
        let merged = self.merge(&task, limits);
        let left = limits.time.saturating_sub(self.elapsed(&task));
        let merged = self.bucket.world().timeout(left, merged).await;
        let Some(merged) = merged.filter(|_| self.elapsed(&task) <= limits.time) else {
            return Ok(MergeOutcome::Nothing(MergeGaveUp::OutOfTime));
        };
        match merged? {
            Ok(encoded) => self.commit(task, claim, encoded).await,
            Err(reason) => Ok(MergeOutcome::Nothing(reason)),
        }
    }

    fn elapsed(&self, task: &Task) -> Duration {
        self.bucket.world().elapsed(&task.begun)
    }

    /// Reads what the job is made from.
    async fn prepare(
        &self,
        database: DatabaseId,
        job: &MergeJobRef,
    ) -> Result<Result<Task, MergeGaveUp>, MergeError> {
        let begun = self.bucket.world().moment();
        let manifest = self.manifests.read(database, None).await?;
        let catalog = self
            .catalog_of(database, manifest.value.needs_catalog)
            .await?;
        let times = TimeRange {
            first: i64::from(job.first_day).saturating_mul(DAY_NANOS),
            last: (i64::from(job.last_day) + 1)
                .saturating_mul(DAY_NANOS)
                .saturating_sub(1),
        };
        let value = &manifest.value;
        let loaded = self
            .manifests
            .load_sections(database, value, job.table, times)
            .await?;
        let sections: Vec<_> = loaded
            .iter()
            .map(|found| Arc::clone(&found.section))
            .collect();
        let Some(resolved) = job.resolve(&sections) else {
            return Ok(Err(MergeGaveUp::Overtaken));
        };
        // What the catalog says is known to be true of this time, and not of any later one.
        let Some(proven) = catalog.proven else {
            return Ok(Err(MergeGaveUp::NoDate));
        };
        let table = catalog.value.table_by_id(job.table);
        let Some(table) = table.filter(|table| !is_being_removed(table.deletion())) else {
            return Ok(Err(MergeGaveUp::NoTable));
        };
        let is_input = |found: &SectionWithFooter| {
            let mut inputs = resolved.inputs.iter();
            inputs.any(|input| InputRef::of(input) == InputRef::of(&found.section))
        };
        Ok(Ok(Task {
            database,
            begun,
            cutoff: catalog.value.cutoff_of(job.table, proven),
            inputs: loaded.into_iter().filter(is_input).collect(),
            table: Arc::clone(table),
            manifest,
            job: resolved,
        }))
    }

    async fn catalog_of(
        &self,
        database: DatabaseId,
        version: u64,
    ) -> Result<Versioned<DatabaseCatalog>, MergeError> {
        // How long rows are kept must be what it is now, so a catalog that is at hand does not do.
        let catalog = self.catalog.database(database, CATALOG_AGE).await?;
        if catalog.version >= version {
            return Ok(catalog);
        }
        Ok(self.catalog.database(database, Duration::ZERO).await?)
    }

    /// Reads the inputs and writes the output, in memory.
    async fn merge(
        &self,
        task: &Task,
        limits: &JobLimits,
    ) -> Result<Result<EncodedSection, MergeGaveUp>, MergeError> {
        let sizes = read_sizes(&task.job, limits);
        let opened: Vec<Source> = stream::iter(task.inputs.clone())
            .map(|input| Source::open(self.bucket.clone(), task.database, input, sizes))
            .buffered(PARALLEL_OPENS)
            .try_collect()
            .await?;
        let filters = task.inputs.iter().map(|input| task.filter(&input.section));
        let inputs = opened.into_iter().zip(filters).collect();
        let capacity = usize::try_from(task.job.bytes()).unwrap_or(0);
        let writer = |tags: &[String], schema, rows| {
            SectionWriter::new(tags, schema, SectionProfile::Merge).with_expectation(rows, capacity)
        };
        let merge = MergeStream::new(&task.table, inputs, task.job.bytes(), writer)?;
        let mut used = 0;
        let go_on = |progress: Progress| {
            used = progress.memory_bytes;
            used <= limits.max_memory_bytes && self.elapsed(task) <= limits.time
        };
        match merge.run(go_on).await? {
            Some(writer) => Ok(Ok(writer.finish()?)),
            None if used > limits.max_memory_bytes => Ok(Err(MergeGaveUp::OutOfMemory(used))),
            None => Ok(Err(MergeGaveUp::OutOfTime)),
        }
    }

    /// Stores the output and puts it in the place of the inputs.
    async fn commit(
        &self,
        task: Task,
        claim: Option<Ulid>,
        encoded: EncodedSection,
    ) -> Result<MergeOutcome, MergeError> {
        let (rows, bytes_in) = (encoded.rows, task.job.bytes());
        let bytes_out = if rows > 0 {
            encoded.bytes.len() as u64
        } else {
            0
        };
        let Some(object) = DrawnObject::draw(&self.bucket) else {
            return Ok(MergeOutcome::Nothing(MergeGaveUp::NoDate));
        };
        let add = (rows > 0).then(|| task.section(object, &encoded));
        if add.is_some() {
            let key = Key::Parquet(task.database, object.ulid);
            let body = Bytes::from(encoded.bytes);
            let put = self.bucket.put(&key, body, PutMode::Overwrite).await?;
            if put.value == Put::Refused {
                return Ok(MergeOutcome::Nothing(MergeGaveUp::NotStored));
            }
        }
        let job = JobRecord {
            id: claim.unwrap_or(object.ulid),
            kind: JobKind::Merge,
            table: Some(task.job.table),
            inputs: u32::try_from(task.job.inputs.len()).unwrap_or(u32::MAX),
            outputs: u32::from(add.is_some()),
            rows,
            bytes_in,
            bytes_out,
            duration_ms: millis(self.elapsed(&task)),
            finished: self.bucket.clock().now().unwrap_or_default(),
            version: 0,
        };
        let replacement = Replacement {
            table: task.job.table,
            remove: task.job.inputs.clone(),
            object: add.is_some().then_some(object),
            add: add.into_iter().collect(),
            floor: task.cutoff.filter(|cutoff| task.has_expired_rows(*cutoff)),
            claim,
            job,
        };
        let outcome = self
            .manifests
            .replace(task.database, task.manifest, &replacement)
            .await?;
        Ok(match outcome {
            ReplaceOutcome::Committed(current) => MergeOutcome::Done {
                current,
                rows,
                bytes_in,
                bytes_out,
            },
            ReplaceOutcome::GivenUp(reason) => MergeOutcome::Nothing(reason.into()),
            ReplaceOutcome::Unknown { reason } => {
                MergeOutcome::Nothing(MergeGaveUp::Unknown(reason))
            }
        })
    }
}

/// How old the catalog may be by which a merge goes.
const CATALOG_AGE: Duration = Duration::from_secs(5);

impl Task {
    /// Whether rows before a time may be left out.
    fn has_expired_rows(&self, cutoff: i64) -> bool {
        self.job.inputs.iter().any(|input| input.min_time < cutoff)
    }

    /// What is left out of the rows of an input.
    fn filter(&self, section: &Section) -> RowFilter {
        RowFilter::of(&self.manifest.value, section, self.cutoff)
    }

    /// The output as the manifest will know it.
    fn section(&self, object: DrawnObject, encoded: &EncodedSection) -> Section {
        Section {
            object: object.ulid,
            offset: 0,
            in_bundle: false,
            length: encoded.bytes.len() as u64,
            footer_length: encoded.footer_length,
            table: self.job.table,
            first_day: self.job.first_day,
            last_day: self.job.last_day,
            above: self.job.above,
            upto: self.job.upto,
            rows: encoded.rows,
            min_time: encoded.min_time,
            max_time: encoded.max_time,
            tags: encoded.tags.clone(),
            crc32c: Some(encoded.crc32c),
            footer_crc32c: Some(encoded.footer_crc32c),
            // Every delete at or below the mark was known, and was applied to the inputs that it applies to.
            cleaned: self.manifest.value.low_water_mark,
            added: 0,
            dropped: None,
            origin: None,
        }
    }
}

/// The most bytes of inputs, so many of them, that surely fit into so much memory.
pub(crate) fn fitting_inputs(memory_bytes: u64, inputs: usize) -> u64 {
    let windows = (inputs as u64).saturating_mul(2 * MIN_WINDOW_BYTES);
    memory_bytes.saturating_sub(BASE_MEMORY_BYTES.saturating_add(windows))
}

/// About how many bytes of memory a job needs at least: its output in memory, and of each input a window.
fn memory_needed(job: &MergeJob) -> u64 {
    let windows = job
        .inputs
        .iter()
        .map(|input| input.length.min(MIN_WINDOW_BYTES));
    BASE_MEMORY_BYTES
        .saturating_add(job.bytes())
        .saturating_add(2 * windows.sum::<u64>())
}

/// About the least that can be read of a section at once.
const MIN_WINDOW_BYTES: u64 = 1 << 20;

/// What is left of the memory is for the inputs.
fn read_sizes(job: &MergeJob, limits: &JobLimits) -> ReadSizes {
    let left = limits.max_memory_bytes.saturating_sub(job.bytes());
    sizes_within(left, job.inputs.len())
}

/// How much is read at once of so many inputs, with so much memory for them and for the merge itself.
pub(super) fn sizes_within(memory_bytes: u64, inputs: usize) -> ReadSizes {
    let left = memory_bytes.saturating_sub(BASE_MEMORY_BYTES);
    let share = left / (2 * inputs.max(1) as u64);
    let window_bytes = share.clamp(MIN_WINDOW_BYTES, MAX_WINDOW_BYTES);
    ReadSizes {
        whole_bytes: WHOLE_BYTES.min(2 * window_bytes),
        window_bytes,
    }
}
