//! Backups that a scheduler requests, and the continuation of interrupted ones.
//!
//! A backup that does not end within the time of an invocation is continued by a later one.

use std::{
    num::NonZeroU32,
    sync::{Arc, OnceLock},
    time::Duration,
};

use clap::Args;
use neap_assembly::store_location;
use neap_backup::{
    BackupEngine, BackupKeeper, BackupParts, BackupPlaces, BackupSchedule, JobReport,
};
use neap_bucket::{Store, StoreConfig, World};
use neap_catalog::Catalog;
use neap_compact::{FlushLimits, Flusher};
use neap_manifest::{ManifestSettings, ManifestStore};
use neap_wal::{TailReader, TailReaderSettings};

use crate::{
    options::{OptionsError, parse_duration},
    runtime::EventFailure,
    store::FunctionStore,
};

/// Options of scheduled backups.
#[derive(Args, Clone, Debug)]
pub(super) struct BackupOptions {
    /// How long scheduled backups are kept; the newest one is always kept. Until they are deleted by default
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    backup_retention: Option<Duration>,

    /// Another bucket to which scheduled backups go, as s3://BUCKET/PREFIX. By default they stay in the bucket of the cluster
    #[arg(long, value_name = "URL")]
    backup_to: Option<String>,

    /// Every backup of this number is a full one; the others have only what has changed
    #[arg(long, value_name = "NUMBER", default_value = "1")]
    backup_full_every: NonZeroU32,
}

impl BackupOptions {
    fn place(&self) -> Option<&str> {
        self.backup_to.as_deref().filter(|place| !place.is_empty())
    }

    /// Verifies the place of backups. Sends no request.
    ///
    /// # Errors
    /// It is no location of a store, or it is in the store of the cluster.
    pub(super) fn check(&self, store: &StoreConfig) -> Result<(), OptionsError> {
        let parsed = self.place().map_or(Ok(()), |place| parse_place(place, store).map(drop));
        parsed.map_err(|reason| OptionsError::Unusable { option: "backup-to", reason })
    }

    /// The events of a scheduler are the times of the schedule.
    fn schedule(&self) -> BackupSchedule {
        BackupSchedule {
            next: Arc::new(|_| None),
            full_every: self.backup_full_every,
            retention: self.backup_retention,
            place: self.place().map(str::to_owned),
        }
    }
}

fn parse_place(place: &str, store: &StoreConfig) -> Result<StoreConfig, String> {
    let config = store_location::parse(place, store)?;
    if store_location::is_within(&config, store) {
        return Err("it is the bucket itself, or inside of it".to_owned());
    }
    Ok(config)
}

/// The place of scheduled backups, which is opened once.
#[derive(Debug)]
struct PlaceOfBackups {
    options: BackupOptions,
    store: StoreConfig,
    world: World,
    opened: OnceLock<Arc<dyn Store>>,
}

impl BackupPlaces for PlaceOfBackups {
    fn open(&self, place: &str) -> Result<Arc<dyn Store>, String> {
        if self.options.place() != Some(place) {
            return Err("the function has another place for backups (NEAP_BACKUP_TO)".to_owned());
        }
        if let Some(store) = self.opened.get() {
            return Ok(Arc::clone(store));
        }
        let config = parse_place(place, &self.store)?;
        let opened = config.open(&self.world, None).map_err(|error| error.to_string())?;
        Ok(Arc::clone(self.opened.get_or_init(|| opened.main)))
    }
}

/// Makes backups in the bucket of the cluster, or at another place.
#[derive(Debug)]
pub(super) struct FunctionBackups {
    keeper: BackupKeeper,
    /// Looks after backups of a cluster that may have none.
    idle_keeper: BackupKeeper,
}

impl FunctionBackups {
    /// Creates the components. Reads the rules of the cluster.
    pub(super) async fn new(
        opened: &FunctionStore,
        limits: FlushLimits,
        options: &BackupOptions,
        store: &StoreConfig,
    ) -> Result<Self, EventFailure> {
        let FunctionStore { bucket, margins, .. } = opened;
        let catalog = Arc::new(Catalog::new(bucket.clone(), *margins, None));
        let rules = catalog
            .rules()
            .await
            .map_err(|error| EventFailure { kind: "Catalog", message: error.to_string() })?;
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
            places: Arc::new(PlaceOfBackups {
                options: options.clone(),
                store: store.clone(),
                world: bucket.world().clone(),
                opened: OnceLock::new(),
            }),
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
    let failed = |message: String| EventFailure { kind: "Backup", message };
    let report = ended.map_err(|error| failed(error.to_string()))?;
    match report.failures.into_iter().next() {
        None => Ok(report.jobs),
        Some(reason) => Err(failed(reason)),
    }
}
