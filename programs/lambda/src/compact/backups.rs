//! Backups that a scheduler requests, and the continuation of interrupted ones.
//!
//! A backup that does not end within the time of an invocation is continued by a later one.

use std::{num::NonZeroU32, sync::Arc, time::Duration};

use clap::Args;
use neap_backup::{BackupEngine, BackupKeeper, BackupParts, BackupSchedule, JobReport, NoPlaces};
use neap_catalog::Catalog;
use neap_compact::{FlushLimits, Flusher};
use neap_manifest::{ManifestSettings, ManifestStore};
use neap_wal::{TailReader, TailReaderSettings};

use crate::{options::parse_duration, runtime::EventFailure, store::FunctionStore};

/// Options of scheduled backups.
#[derive(Args, Clone, Debug)]
pub(super) struct BackupOptions {
    /// How long scheduled backups are kept; the newest one is always kept. Until they are deleted by default
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    backup_retention: Option<Duration>,
}

impl BackupOptions {
    /// The events of a scheduler are the times of the schedule.
    fn schedule(&self) -> BackupSchedule {
        BackupSchedule {
            next: Arc::new(|_| None),
            full_every: NonZeroU32::MIN,
            retention: self.backup_retention,
            place: None,
        }
    }
}

/// Makes backups in the bucket of the cluster.
#[derive(Debug)]
pub(super) struct FunctionBackups {
    keeper: BackupKeeper,
    /// Looks after backups of a cluster that may have none.
    idle_keeper: BackupKeeper,
}

impl FunctionBackups {
    /// Creates the components. Reads the rules of the cluster.
    ///
    /// # Errors
    /// The catalog can't be read.
    pub(super) async fn new(
        opened: &FunctionStore,
        limits: FlushLimits,
        options: &BackupOptions,
    ) -> Result<Self, EventFailure> {
        let FunctionStore {
            bucket, margins, ..
        } = opened;
        let catalog = Arc::new(Catalog::new(bucket.clone(), *margins, None));
        let rules = catalog.rules().await.map_err(|error| EventFailure {
            kind: "Catalog",
            message: error.to_string(),
        })?;
        let manifests = ManifestStore::new(bucket.clone(), &rules, ManifestSettings::default());
        let tail = TailReader::new(bucket.clone(), TailReaderSettings::default());
        let flusher = Flusher::new(
            bucket.clone(),
            Arc::clone(&catalog),
            manifests.clone(),
            tail.clone(),
            rules,
            limits,
        );
        let engine = Arc::new(BackupEngine::new(BackupParts {
            bucket: bucket.clone(),
            catalog,
            manifests,
            tail,
            flusher,
            rules,
            places: Arc::new(NoPlaces),
        }));
        Ok(Self {
            idle_keeper: BackupKeeper::new(Arc::clone(&engine), None),
            keeper: BackupKeeper::new(engine, Some(options.schedule())),
        })
    }

    /// Makes a scheduled backup.
    ///
    /// # Errors
    /// The backup has failed, or the store does not answer.
    pub(super) async fn make(&self) -> Result<usize, EventFailure> {
        report(self.keeper.run_once(true).await)
    }

    /// Continues interrupted backups, and deletes what is old. Returns the number of jobs.
    ///
    /// # Errors
    /// A backup has failed, or the store does not answer.
    pub(super) async fn look_after(&self) -> Result<usize, EventFailure> {
        report(self.idle_keeper.run_once(false).await)
    }
}

fn report(ended: Result<JobReport, neap_backup::BackupError>) -> Result<usize, EventFailure> {
    let failed = |message: String| EventFailure {
        kind: "Backup",
        message,
    };
    let report = ended.map_err(|error| failed(error.to_string()))?;
    match report.failures.into_iter().next() {
        None => Ok(report.jobs),
        Some(reason) => Err(failed(reason)),
    }
}
