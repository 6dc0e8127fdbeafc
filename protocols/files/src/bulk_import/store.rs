//! The jobs and files of imports in a bucket.

use std::{collections::BTreeMap, time::Duration};

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use neap_bucket::{
    Bucket, CommitOutcome, FormatError, Get, GetOptions, Key, ObjectHeaders, ObjectUploads,
    PendingUpload, PrefixListing, RECENT_PUT_IDS, Register, RegisterChange, RegisterError, Stamp,
    StoreError, StoreTime, UploadMode, VersionedValue,
};
use neap_write::SettledImport;
use ulid::Ulid;

use super::job::{ClaimRefusal, ImportAttemptEnd, ImportJob, ImportedFile};

/// Maximum number of jobs, ended ones included.
pub(crate) const MAX_JOBS: usize = 2_000;

/// How long ended jobs are kept.
const ENDED_JOB_AGE: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// The age at which a file without job is deleted.
const ORPHAN_AGE: Duration = Duration::from_secs(24 * 60 * 60);

/// Maximum number of listing pages that are read.
const MAX_PAGES: usize = 10;

/// Number of jobs that are read concurrently.
const CONCURRENT_READS: usize = 16;

/// Error of an access to jobs and files.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum ImportStoreError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Register(#[from] RegisterError),
    #[error(transparent)]
    Claim(#[from] ClaimRefusal),
    #[error("it is unknown whether the job was changed: {0}")]
    Unknown(String),
    #[error("the store's time is unknown")]
    NoStoreTime,
    #[error("there are {MAX_JOBS} import jobs; ended jobs are removed after 7 days")]
    TooMany,
    #[error("the file of the job is gone")]
    NoFile,
    /// The job was deleted or lost. It is not created again.
    #[error("there is no import job '{0}'")]
    NoJob(Ulid),
}

/// A job, or the reason why its register can't be read.
pub(crate) type ListedJob = (Ulid, Result<ImportJob, FormatError>);

/// The jobs and files of imports.
#[derive(Clone, Debug)]
pub(crate) struct ImportStore {
    bucket: Bucket,
    uploads: ObjectUploads,
}

/// The ids in a listing.
#[derive(Debug, Default)]
struct ListedImports {
    jobs: Vec<Ulid>,
    /// When files were stored.
    files: BTreeMap<Ulid, StoreTime>,
}

impl ImportStore {
    pub(crate) fn new(bucket: Bucket, uploads: ObjectUploads) -> Self {
        Self { bucket, uploads }
    }

    fn register(&self, id: Ulid) -> Register<ImportJob> {
        Register::new(self.bucket.clone(), Key::ImportJob(id), RECENT_PUT_IDS)
    }

    async fn list(&self) -> Result<ListedImports, ImportStoreError> {
        let mut listed = ListedImports::default();
        let mut listing = PrefixListing::new(&self.bucket, Key::IMPORTS_PREFIX);
        for _ in 0..MAX_PAGES {
            let Some(page) = listing.next().await? else {
                break;
            };
            for entry in page.value {
                match entry.key.parse() {
                    Ok(Key::ImportJob(id)) => listed.jobs.push(id),
                    Ok(Key::ImportFile(id)) => {
                        listed.files.insert(id, entry.last_modified);
                    }
                    _ => {}
                }
            }
        }
        listed.jobs.sort_unstable();
        Ok(listed)
    }

    /// Checks that there is room for another job: 1 LIST.
    ///
    /// # Errors
    /// `TooMany`, or the store does not answer.
    pub(crate) async fn check_room(&self) -> Result<(), ImportStoreError> {
        match self.list().await?.jobs.len() {
            count if count >= MAX_JOBS => Err(ImportStoreError::TooMany),
            _ => Ok(()),
        }
    }

    /// Returns all jobs except those that `known` is true for, oldest first: 1 LIST, and 1 GET for each.
    pub(crate) async fn jobs(
        &self,
        known: impl Fn(Ulid) -> bool,
    ) -> Result<Vec<ListedJob>, ImportStoreError> {
        let listed = self.list().await?;
        self.read_all(listed.jobs.into_iter().filter(|id| !known(*id))).await
    }

    async fn read_all(
        &self,
        ids: impl Iterator<Item = Ulid>,
    ) -> Result<Vec<ListedJob>, ImportStoreError> {
        let reads = ids.map(|id| async move {
            match self.register(id).read(None).await {
                Ok(job) => Ok((id, Ok(ImportJob::clone(&job.value)))),
                Err(RegisterError::Format(error)) => Ok((id, Err(error))),
                Err(error) => Err(ImportStoreError::from(error)),
            }
        });
        let mut jobs: Vec<ListedJob> =
            stream::iter(reads).buffered(CONCURRENT_READS).try_collect().await?;
        // A job that was deleted meanwhile is empty.
        jobs.retain(|(_, job)| !job.as_ref().is_ok_and(|job| job.created.is_none()));
        Ok(jobs)
    }

    /// Begins to store the file of a new job.
    pub(crate) async fn begin_file(&self) -> Result<(Ulid, PendingUpload), ImportStoreError> {
        let id = self.bucket.draw_ulid();
        let key = Key::ImportFile(id);
        let upload = self.uploads.begin(&key, ObjectHeaders::default(), UploadMode::Create);
        Ok((id, upload.await?))
    }

    /// Reads a range of the file of a job.
    ///
    /// # Errors
    /// `NoFile`, or the store does not answer.
    pub(crate) async fn read_file(
        &self,
        id: Ulid,
        range: std::ops::Range<u64>,
    ) -> Result<Bytes, ImportStoreError> {
        let options = GetOptions { range: Some(range), ..GetOptions::default() };
        match self.bucket.get(&Key::ImportFile(id), options).await?.value {
            Get::Found(object) => Ok(object.bytes),
            Get::Missing | Get::Unchanged => Err(ImportStoreError::NoFile),
        }
    }

    /// Deletes the file of a job. A failure is only logged, because the file is deleted later.
    pub(crate) async fn delete_file(&self, id: Ulid) {
        let key = Key::ImportFile(id).to_string();
        if let Err(error) = self.bucket.delete(&[key]).await {
            tracing::warn!(%id, %error, "the file of an import was not deleted");
        }
    }

    /// Adds a job for a stored file.
    pub(crate) async fn create(
        &self,
        id: Ulid,
        file: &ImportedFile,
    ) -> Result<ImportJob, ImportStoreError> {
        self.commit(id, |job, now| {
            job.file = file.clone();
            job.created = Some(now);
            job.updated = Some(now);
            Ok(())
        })
        .await
    }

    /// Claims a job for a worker, or ends it if it can't continue.
    ///
    /// # Errors
    /// `Claim`, or the job can't be changed.
    pub(crate) async fn claim(
        &self,
        id: Ulid,
        worker: Ulid,
        settled: SettledImport,
    ) -> Result<ImportJob, ImportStoreError> {
        self.change(id, |job, now| job.claim(worker, settled, now)).await
    }

    /// Ends a job that no worker imports.
    pub(crate) async fn fail(
        &self,
        id: Ulid,
        message: &str,
    ) -> Result<ImportJob, ImportStoreError> {
        self.change(id, |job, now| job.fail_unclaimed(message, now)).await
    }

    /// Stores the progress of a worker.
    pub(crate) async fn progress(
        &self,
        id: Ulid,
        worker: Ulid,
        stored_rows: u64,
    ) -> Result<ImportJob, ImportStoreError> {
        self.change(id, |job, now| job.progress(worker, stored_rows, now)).await
    }

    /// Ends the attempt of a worker.
    pub(crate) async fn end(
        &self,
        id: Ulid,
        worker: Ulid,
        stored_rows: u64,
        end: &ImportAttemptEnd,
    ) -> Result<ImportJob, ImportStoreError> {
        self.change(id, |job, now| job.end(worker, stored_rows, end.clone(), now)).await
    }

    /// Changes a job that exists.
    async fn change(
        &self,
        id: Ulid,
        change: impl Fn(&mut ImportJob, StoreTime) -> Result<(), ClaimRefusal> + Sync,
    ) -> Result<ImportJob, ImportStoreError> {
        self.commit(id, |job, now| {
            if job.created.is_none() {
                return Err(ImportStoreError::NoJob(id));
            }
            Ok(change(job, now)?)
        })
        .await
    }

    async fn commit(
        &self,
        id: Ulid,
        change: impl Fn(&mut ImportJob, StoreTime) -> Result<(), ImportStoreError> + Sync,
    ) -> Result<ImportJob, ImportStoreError> {
        let commit = |base: &VersionedValue<ImportJob>| {
            let now = base
                .current_at
                .or_else(|| self.bucket.clock().now())
                .ok_or(ImportStoreError::NoStoreTime)?;
            let mut job = ImportJob::clone(&base.value);
            change(&mut job, now)?;
            Ok::<_, ImportStoreError>(RegisterChange::Put(job.clone(), job))
        };
        match self.register(id).commit(None, commit).await? {
            CommitOutcome::Committed { result, .. } => Ok(result),
            CommitOutcome::Refused(error) => Err(error),
            CommitOutcome::Unknown { reason } => Err(ImportStoreError::Unknown(reason)),
        }
    }

    /// Deletes jobs that ended long ago, and old files without job: 1 LIST, 1 GET for each job, and DELETEs.
    pub(crate) async fn collect_garbage(&self) -> Result<(), ImportStoreError> {
        let mut listed = self.list().await?;
        let jobs = self.read_all(listed.jobs.iter().copied()).await?;
        let Ok(now) = self.bucket.removal_time(Stamp::ZERO) else {
            return Ok(());
        };
        let mut garbage = Vec::new();
        for (id, job) in &jobs {
            let ended = match job {
                Ok(job) if job.has_ended() => job.ended,
                // An unreadable job may be one of a newer release, which continues it.
                Ok(_) | Err(_) => {
                    listed.files.remove(id);
                    continue;
                }
            };
            if ended.is_some_and(|ended| now.since(ended) >= ENDED_JOB_AGE) {
                garbage.push(Key::ImportJob(*id).to_string());
            }
        }
        let old = listed.files.iter().filter(|(_, stored)| now.since(**stored) >= ORPHAN_AGE);
        garbage.extend(old.map(|(id, _)| Key::ImportFile(*id).to_string()));
        for keys in garbage.chunks(neap_bucket::MAX_DELETE_KEYS) {
            self.bucket.delete(keys).await?;
        }
        Ok(())
    }
}
