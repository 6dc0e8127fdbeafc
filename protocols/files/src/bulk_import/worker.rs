//! The worker that imports the files of jobs.

use std::{collections::BTreeSet, fs::File, path::PathBuf, sync::Arc, time::Duration};

use neap_bucket::{ClockReading, ObjectUploads, World};
use neap_http::{ApiError, CounterFamily, Kind, Metrics};
use neap_rows::line_protocol::RowSource;
use neap_write::{
    DuplicateCheck, ImportProgress, RequestMemoryReservation, WriteFailure, WriteOptions,
    WriteService,
};
use tokio::{
    io::{AsyncSeekExt, AsyncWriteExt},
    sync::{Notify, Semaphore},
};
use ulid::Ulid;

use super::{
    job::{CLAIM_DURATION, ClaimRefusal, ImportAttemptEnd, ImportJob, ImportStatus, ImportedFile},
    rows::{ImportBatch, OpenedImport, RowSelection},
    store::{ImportStore, ImportStoreError},
};

/// Time from the start of the process to the first search for jobs of other processes.
const FIRST_SEARCH: Duration = Duration::from_secs(60);

/// Interval of searches while other workers have jobs, or jobs were interrupted.
const UNFINISHED_INTERVAL: Duration = Duration::from_secs(30);

/// Interval of searches while there are no unfinished jobs.
const IDLE_INTERVAL: Duration = Duration::from_secs(10 * 60);

/// Interval of garbage collections.
const GARBAGE_INTERVAL: Duration = Duration::from_secs(24 * 60 * 60);

/// Minimum time between two stores of the progress, well below the duration of a claim.
const PROGRESS_INTERVAL: Duration = Duration::from_secs(5);

/// Minimum time from the arrival of a write to the end of the claim: more than rule W1 allows, and more than stamps may be
/// ahead of the store's clock. So no write of a claim has a later stamp, even if the process freezes.
const WRITE_MARGIN: Duration = Duration::from_secs(30);

/// The size of the parts in which a file is read from the store, in bytes.
const DOWNLOAD_BYTES: u64 = 8 << 20;

/// The share of the memory of all requests that decoding a file may take.
const MAX_DECODING_SHARE: usize = 2;

/// The share of the memory of all requests that the rows of a write may have.
const MAX_BATCH_SHARE: usize = 16;

/// The number of times that a write is tried before the job is interrupted, and the pauses between them.
const MAX_WRITE_ATTEMPTS: u32 = 20;
const FIRST_RETRY_PAUSE: Duration = Duration::from_millis(250);
const MAX_RETRY_PAUSE: Duration = Duration::from_secs(10);

/// The number of files that are uploaded at once.
const CONCURRENT_UPLOADS: usize = 8;

/// The settings of imports.
#[derive(Clone, Debug)]
pub struct ImportSettings {
    /// The folder for the file of a running job; the system's temporary directory by default.
    pub spool_dir: Option<PathBuf>,
    /// Maximum size of the rows of a write, in bytes. A larger row is written alone.
    pub max_batch_bytes: usize,
}

impl Default for ImportSettings {
    /// The system's temporary directory, and 8 MiB for a write.
    fn default() -> Self {
        Self { spool_dir: None, max_batch_bytes: 8 << 20 }
    }
}

/// Imports the files of jobs, one after the other.
#[derive(Debug)]
pub struct ImportWorker {
    pub(crate) service: Arc<WriteService>,
    pub(crate) store: ImportStore,
    /// Permits of uploads.
    pub(crate) uploads: Semaphore,
    settings: ImportSettings,
    rows: CounterFamily,
    jobs: CounterFamily,
    id: Ulid,
    new_job: Notify,
}

/// A claimed job and the number of its rows that are stored.
struct ImportAttempt<'a> {
    worker: &'a ImportWorker,
    id: Ulid,
    job: ImportJob,
    stored_rows: u64,
    /// A time before the claim was made or renewed last.
    claimed: ClockReading,
}

impl ImportWorker {
    /// Creates the worker of a process.
    pub fn new(
        service: Arc<WriteService>,
        uploads: ObjectUploads,
        settings: ImportSettings,
        metrics: &Metrics,
    ) -> Self {
        let bucket = service.catalog().bucket().clone();
        Self {
            id: bucket.draw_ulid(),
            store: ImportStore::new(bucket, uploads),
            uploads: Semaphore::new(CONCURRENT_UPLOADS),
            service,
            settings,
            rows: metrics.counter(
                "neap_import_rows_total",
                "Rows that import jobs have stored.",
                &["db"],
            ),
            jobs: metrics.counter("neap_import_jobs_total", "Ended import jobs.", &["status"]),
            new_job: Notify::new(),
        }
    }

    fn world(&self) -> &World {
        self.service.world()
    }

    /// Tells the worker of a new job.
    pub(crate) fn wake(&self) {
        self.new_job.notify_one();
    }

    /// Imports the files of jobs for ever. Can be dropped at any time: another worker continues the job.
    pub async fn run(&self) {
        let mut ended = BTreeSet::new();
        let mut collected: Option<ClockReading> = None;
        self.wait(FIRST_SEARCH).await;
        loop {
            let pause = match self.import_all(&mut ended).await {
                Ok(true) => IDLE_INTERVAL,
                Ok(false) => UNFINISHED_INTERVAL,
                Err(error) => {
                    tracing::warn!(%error, "import jobs can't be read");
                    UNFINISHED_INTERVAL
                }
            };
            let is_due = collected
                .is_none_or(|collected| self.world().elapsed(&collected) >= GARBAGE_INTERVAL);
            if is_due {
                collected = Some(self.world().clock_reading());
                if let Err(error) = self.store.collect_garbage().await {
                    tracing::warn!(%error, "ended import jobs were not removed");
                }
            }
            self.wait(pause).await;
        }
    }

    /// Waits for a new job, at most for a time.
    async fn wait(&self, time: Duration) {
        self.world().timeout(time, self.new_job.notified()).await;
    }

    /// Imports the files of all jobs that no other worker has claimed. Returns whether all readable jobs have ended;
    /// `ended` has their ids.
    pub(crate) async fn import_all(
        &self,
        ended: &mut BTreeSet<Ulid>,
    ) -> Result<bool, ImportStoreError> {
        let jobs = self.store.jobs(|id| ended.contains(&id)).await?;
        let mut have_all_ended = true;
        for (id, job) in jobs {
            let job = match job {
                Ok(job) => job,
                Err(error) => {
                    tracing::warn!(%id, %error, "an import job can't be read");
                    continue;
                }
            };
            if job.has_ended() || self.import(id, &job.file).await {
                ended.insert(id);
            } else {
                have_all_ended = false;
            }
        }
        Ok(have_all_ended)
    }

    /// Tries to import the file of a job. Returns whether the job has ended.
    async fn import(&self, id: Ulid, file: &ImportedFile) -> bool {
        match self.try_import(id, file).await {
            Ok(job) => {
                tracing::info!(%id, status = ?job.status, rows = job.stored_rows, message = job.message, "import job");
                if job.has_ended() {
                    self.record_end(id, &job).await;
                }
                job.has_ended()
            }
            Err(ImportError::Store(ImportStoreError::Claim(reason))) => {
                tracing::debug!(%id, %reason, "an import job is not available");
                false
            }
            Err(error) => {
                tracing::warn!(%id, %error, "an import job is interrupted");
                false
            }
        }
    }

    async fn try_import(&self, id: Ulid, file: &ImportedFile) -> Result<ImportJob, ImportError> {
        let claimed = self.world().clock_reading();
        let settled = self
            .service
            .imported_rows(file.database, id)
            .await
            .map_err(|error| ImportError::Manifest(error.to_string()))?;
        let job = match self.store.claim(id, self.id, settled).await {
            Err(ImportStoreError::Claim(ClaimRefusal::NotSettled)) => {
                return self.settle(id, file).await;
            }
            job => job?,
        };
        if job.has_ended() {
            return Ok(job);
        }
        let stored_rows = job.stored_rows;
        let mut attempt = ImportAttempt { worker: self, id, job, stored_rows, claimed };
        let end = match attempt.run().await {
            Ok(()) => ImportAttemptEnd::Imported,
            Err(AttemptError::End(end)) => end,
            Err(AttemptError::Claim(error)) => return Err(error.into()),
        };
        let ended = self.store.end(id, self.id, attempt.stored_rows, &end).await;
        Ok(ended?)
    }

    /// Writes a segment, so that the next flush raises the low-water mark above the last claim of a job. The job continues
    /// later, or ends if its database is gone.
    async fn settle(&self, id: Ulid, file: &ImportedFile) -> Result<ImportJob, ImportError> {
        let marked = self.service.mark_import(&file.database_name, file.database, id).await;
        let Err(failure) = marked else {
            return Err(ImportStoreError::Claim(ClaimRefusal::NotSettled).into());
        };
        let message = failure.to_string();
        if is_temporary(failure) {
            return Err(ImportError::NotSettled(message));
        }
        Ok(self.store.fail(id, &message).await?)
    }

    async fn record_end(&self, id: Ulid, job: &ImportJob) {
        let status = match job.status {
            ImportStatus::Imported => "imported",
            _ => "terminal_failed",
        };
        self.jobs.add(&[status], 1);
        self.store.delete_file(id).await;
    }
}

/// The reason why a worker does not continue a job.
#[derive(Debug, thiserror::Error)]
enum ImportError {
    #[error(transparent)]
    Store(#[from] ImportStoreError),
    #[error("its manifest can't be read: {0}")]
    Manifest(String),
    #[error("the low-water mark does not pass its last claim: {0}")]
    NotSettled(String),
}

/// Why an attempt did not store all rows.
enum AttemptError {
    End(ImportAttemptEnd),
    /// The claim is lost, or it is unknown whether it is.
    Claim(ImportStoreError),
}

impl AttemptError {
    fn interrupted(error: impl ToString) -> Self {
        Self::End(ImportAttemptEnd::Interrupted(error.to_string()))
    }

    fn failed(error: impl ToString) -> Self {
        Self::End(ImportAttemptEnd::Failed(error.to_string()))
    }
}

impl ImportAttempt<'_> {
    async fn run(&mut self) -> Result<(), AttemptError> {
        let file = self.download().await?;
        let share = self.worker.service.settings().max_bytes_in_flight / MAX_BATCH_SHARE;
        let batch_bytes = self.worker.settings.max_batch_bytes.min(share);
        let selection = RowSelection {
            table: self.job.file.table_name.clone(),
            columns: self.job.file.columns.clone(),
            skip_rows: usize::try_from(self.stored_rows).map_err(AttemptError::failed)?,
            batch_bytes,
        };
        let opened = OpenedImport::open(file, selection).await.map_err(AttemptError::failed)?;
        let _reservation = self.reserve_decoding(opened.memory_bytes()).await?;
        let mut rows = opened.read();
        while let Some(batch) = rows.next().await.map_err(AttemptError::failed)? {
            self.write(&batch).await?;
            let stored = batch.end_row.saturating_sub(self.stored_rows);
            let database = self.job.file.database_name.as_str();
            self.worker.rows.add(&[database], stored);
            self.stored_rows = batch.end_row;
            self.report().await?;
        }
        Ok(())
    }

    /// Reserves memory to decode a file.
    async fn reserve_decoding(
        &mut self,
        bytes: u64,
    ) -> Result<RequestMemoryReservation, AttemptError> {
        let service = &self.worker.service;
        let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
        let limit = service.settings().max_bytes_in_flight / MAX_DECODING_SHARE;
        if bytes > limit {
            return Err(AttemptError::failed(format!(
                "the file needs {bytes} bytes of memory to be decoded (limit: {limit} bytes): write it with smaller pages"
            )));
        }
        let reserved = service.reserve_exactly(bytes).await;
        self.report().await?;
        reserved.map_err(AttemptError::interrupted)
    }

    /// Copies the file of the job to a temporary file, which is deleted when it is closed.
    async fn download(&mut self) -> Result<File, AttemptError> {
        let folder = self.worker.settings.spool_dir.clone().unwrap_or_else(std::env::temp_dir);
        let file = tempfile::tempfile_in(folder).map_err(AttemptError::interrupted)?;
        let mut file = tokio::fs::File::from_std(file);
        let size = self.job.file.size_bytes;
        let mut start = 0;
        while start < size {
            let end = size.min(start.saturating_add(DOWNLOAD_BYTES));
            let part = match self.worker.store.read_file(self.id, start..end).await {
                Ok(part) => part,
                Err(error @ ImportStoreError::NoFile) => return Err(AttemptError::failed(error)),
                Err(error) => return Err(AttemptError::interrupted(error)),
            };
            if part.is_empty() {
                return Err(AttemptError::failed("the file of the job is shorter than it was"));
            }
            file.write_all(&part).await.map_err(AttemptError::interrupted)?;
            start = start.saturating_add(part.len() as u64);
            self.report().await?;
        }
        file.flush().await.map_err(AttemptError::interrupted)?;
        file.rewind().await.map_err(AttemptError::interrupted)?;
        Ok(file.into_std().await)
    }

    /// Writes a batch. Repeats a write that was not put because of a temporary error.
    async fn write(&mut self, batch: &ImportBatch) -> Result<(), AttemptError> {
        let mut pause = FIRST_RETRY_PAUSE;
        let mut last = String::new();
        for _ in 0..MAX_WRITE_ATTEMPTS {
            let failure = match self.write_once(batch).await? {
                Ok(()) => return Ok(()),
                Err(failure) => failure,
            };
            last = failure.to_string();
            if !failure.stored_nothing() {
                // Queries may see the rows, now or later. Another put would replace what clients write until then.
                return Err(AttemptError::interrupted(last));
            }
            if !is_temporary(failure) {
                return Err(AttemptError::failed(last));
            }
            self.worker.world().clock.sleep(pause).await;
            pause = (pause * 2).min(MAX_RETRY_PAUSE);
            self.report().await?;
        }
        Err(AttemptError::interrupted(last))
    }

    async fn write_once(
        &self,
        batch: &ImportBatch,
    ) -> Result<Result<(), WriteFailure>, AttemptError> {
        let service = &self.worker.service;
        let reservation = match service.reserve(batch.rows.size_bytes()).await {
            Ok(reservation) => reservation,
            Err(failure) => return Ok(Err(failure)),
        };
        let world = self.worker.world();
        // A freeze after this line does not make the arrival later.
        let arrived = world.clock_reading();
        if world.elapsed(&self.claimed) + WRITE_MARGIN >= CLAIM_DURATION {
            return Err(AttemptError::interrupted("the claim of the job has ended"));
        }
        let file = &self.job.file;
        // Rows of later batches have a table with rows, as those of later uploads have.
        let duplicates = match file.duplicates {
            DuplicateCheck::NewTable if self.stored_rows > 0 => DuplicateCheck::On,
            check => check,
        };
        let options = WriteOptions {
            accept_partial: false,
            only: Some(file.database),
            progress: Some(ImportProgress {
                job: self.id,
                rows: batch.end_row,
                is_permanent: false,
            }),
            duplicates,
            ..WriteOptions::default()
        };
        let (name, rows) = (&file.database_name, &batch.rows);
        let written = service.write_arrived_rows(reservation, arrived, name, rows, options);
        Ok(written.await.map(drop))
    }

    /// Stores the progress and renews the claim, if [`PROGRESS_INTERVAL`] is over since the last time.
    async fn report(&mut self) -> Result<(), AttemptError> {
        let worker = self.worker;
        let now = worker.world().clock_reading();
        if worker.world().elapsed(&self.claimed) < PROGRESS_INTERVAL {
            return Ok(());
        }
        let stored = worker.store.progress(self.id, worker.id, self.stored_rows).await;
        stored.map_err(AttemptError::Claim)?;
        self.claimed = now;
        Ok(())
    }
}

/// Returns whether a write can succeed later.
fn is_temporary(failure: WriteFailure) -> bool {
    matches!(ApiError::from(failure).kind(), Kind::Unavailable | Kind::Unknown)
}
