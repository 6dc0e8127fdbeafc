//! Backups and restores: their options, the places that backups may go to, and the task that looks after them.

use std::{
    collections::BTreeMap,
    num::NonZeroU32,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use axum::Router;
use bytes::Bytes;
use clap::Args;
use futures::future::BoxFuture;
use neap_backup::{
    BackupEngine, BackupKeeper, BackupParts, BackupPlaces, BackupSchedule, backup_refusals,
    backup_routes,
};
use neap_bucket::{Key, Store, StoreConfig, World};
use neap_catalog::TriggerSpecification;
use neap_compact::{FlushLimits, Flusher};
use neap_engine::{Timetable, parse_specification};
use neap_fsck::ObjectCopies;
use neap_options::parse_nonzero_duration;
use tokio_util::sync::CancellationToken;

use super::{
    metrics,
    options::{ServeArgs, ServeMode},
    server_context::ServerContext,
};
use crate::{store_location, stores};

/// The options of backups.
#[derive(Args, Clone, Debug)]
pub(super) struct BackupArgs {
    /// The places that backups may go to beside the bucket itself, separated by commas: directories, or URLs such as
    /// s3://bucket/prefix. A bucket is reached with the settings of the store.
    #[arg(long, value_name = "URL|DIR", value_delimiter = ',')]
    backup_to: Vec<String>,

    /// When backups are made without a request: an interval such as `24h`, or `cron:0 0 2 * * *` with seconds first.
    /// They go to the first place of --backup-to, otherwise they stay in the bucket.
    #[arg(long, value_name = "SCHEDULE", value_parser = parse_schedule)]
    backup_schedule: Option<ScheduledTimes>,

    /// Make every scheduled backup of this number a full one, and those between them incremental ones, which copy only the
    /// objects that the one before lacks. By default, all are full ones.
    #[arg(
        long,
        value_name = "NUMBER",
        default_value = "1",
        requires_all = ["backup_schedule", "backup_to"]
    )]
    backup_full_every: NonZeroU32,

    /// How long scheduled backups are kept, full ones together with the incremental ones that continue them. The newest
    /// one is always kept. Until they are deleted by default.
    #[arg(long, value_name = "DURATION", value_parser = parse_nonzero_duration, requires = "backup_schedule")]
    backup_retention: Option<Duration>,
}

/// The times of scheduled backups.
#[derive(Clone, Debug)]
struct ScheduledTimes(Arc<Timetable>);

/// Parses an interval, or a schedule of triggers (`every:…`, `cron:…`).
fn parse_schedule(text: &str) -> Result<ScheduledTimes, String> {
    let specification = match parse_nonzero_duration(text) {
        Ok(duration) => TriggerSpecification::Every { duration },
        Err(_) => parse_specification(text).map_err(|error| error.to_string())?,
    };
    let timetable = Timetable::of(&specification).map_err(|error| error.to_string())?;
    let expected = "an interval such as 24h, or cron:0 0 2 * * * is expected";
    let timetable = timetable.ok_or_else(|| expected.to_owned())?;
    Ok(ScheduledTimes(Arc::new(timetable)))
}

impl BackupArgs {
    fn schedule(&self) -> Option<BackupSchedule> {
        let times = self.backup_schedule.clone()?;
        Some(BackupSchedule {
            next: Arc::new(move |time| times.0.next_after(time)),
            full_every: self.backup_full_every,
            retention: self.backup_retention,
            place: self.backup_to.first().cloned(),
        })
    }
}

/// The places that `--backup-to` permits. A place is opened once.
#[derive(Debug)]
struct PermittedPlaces {
    permitted: Vec<String>,
    store: StoreConfig,
    world: World,
    opened: Mutex<BTreeMap<String, Arc<dyn Store>>>,
}

impl BackupPlaces for PermittedPlaces {
    fn open(&self, place: &str) -> Result<Arc<dyn Store>, String> {
        if !self.permitted.iter().any(|one| one == place) {
            return Err("the server does not permit this place (--backup-to)".to_owned());
        }
        let mut opened = self.opened.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(store) = opened.get(place) {
            return Ok(Arc::clone(store));
        }
        let config = store_location::parse(place, &self.store)?;
        if store_location::is_same(&self.store, &config) {
            return Err("it is the bucket itself".to_owned());
        }
        let store = stores::open(&config, &self.world).map_err(|error| error.to_string())?;
        opened.insert(place.to_owned(), Arc::clone(&store.main));
        Ok(store.main)
    }
}

/// Backups and restores of a process.
#[derive(Debug)]
pub(super) struct Backups {
    engine: Arc<BackupEngine>,
    keeper: BackupKeeper,
}

impl Backups {
    /// Returns the backups of a process that maintains the store; `None` for others.
    pub(super) fn new(args: &ServeArgs, base: &ServerContext, limits: FlushLimits) -> Option<Self> {
        if !args.does(ServeMode::Compact) {
            return None;
        }
        let flusher = Flusher::new(
            base.bucket.clone(),
            Arc::clone(&base.catalog),
            base.manifests.clone(),
            base.tail.clone(),
            base.rules,
            limits,
        );
        let engine = Arc::new(BackupEngine::new(BackupParts {
            bucket: base.bucket.clone(),
            catalog: Arc::clone(&base.catalog),
            manifests: base.manifests.clone(),
            tail: base.tail.clone(),
            flusher,
            rules: base.rules,
            places: Arc::new(PermittedPlaces {
                permitted: args.backups.backup_to.clone(),
                store: args.store.clone(),
                world: base.world.clone(),
                opened: Mutex::default(),
            }),
        }));
        metrics::register_backups(&base.metrics, &engine);
        Some(Self {
            keeper: BackupKeeper::new(Arc::clone(&engine), args.backups.schedule()),
            engine,
        })
    }

    /// Returns the objects of backups at places.
    pub(super) fn copies(&self) -> Arc<dyn ObjectCopies> {
        Arc::new(BackupCopies(Arc::clone(&self.engine)))
    }

    /// Looks after the backups until `stop`.
    pub(super) async fn run(&self, stop: &CancellationToken) {
        tokio::select! {
            () = stop.cancelled() => {}
            () = self.keeper.run() => {}
        }
    }
}

/// The objects of backups at places, from which damaged objects of the bucket are mended.
#[derive(Debug)]
struct BackupCopies(Arc<BackupEngine>);

impl ObjectCopies for BackupCopies {
    fn read<'a>(
        &'a self,
        key: &'a Key,
        is_intact: &'a (dyn Fn(&Bytes) -> bool + Sync),
    ) -> BoxFuture<'a, Result<Option<Bytes>, String>> {
        Box::pin(async move {
            let copy = self.0.copy_of(key, is_intact).await;
            copy.map_err(|error| error.to_string())
        })
    }
}

/// Returns the routes of backups and restores, which refuse requests in a process that does not run them.
pub(super) fn routes(backups: Option<&Backups>) -> Router {
    match backups {
        Some(backups) => backup_routes(Arc::clone(&backups.engine)),
        None => backup_refusals(),
    }
}

#[cfg(test)]
mod tests {
    use neap_bucket::StoreTime;

    use super::*;

    #[test]
    fn a_schedule_is_an_interval_or_a_cron_expression() {
        let next = |text: &str, seconds: i64| {
            let times = parse_schedule(text).unwrap();
            let next = times
                .0
                .next_after(StoreTime::from_micros(seconds * 1_000_000));
            next.unwrap().micros() / 1_000_000
        };
        assert_eq!(next("1h", 10), 3_600);
        assert_eq!(next("every:1h", 3_600), 7_200);
        assert_eq!(next("cron:0 0 2 * * *", 0), 7_200);
        for bad in ["", "0s", "table:cpu", "cron:x", "tomorrow"] {
            assert!(parse_schedule(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn only_permitted_places_are_opened() {
        let folder = tempfile::tempdir().unwrap();
        let own = folder.path().join("data");
        let place = folder.path().join("backup").display().to_string();
        let places = PermittedPlaces {
            permitted: vec![place.clone(), own.display().to_string()],
            store: StoreConfig {
                object_store: Some(neap_bucket::ObjectStoreKind::File),
                data_dir: Some(own.clone()),
                ..StoreConfig::default()
            },
            world: World::system(),
            opened: Mutex::default(),
        };
        places.open(&place).unwrap();
        let refused = places.open("/etc").unwrap_err();
        assert!(refused.contains("--backup-to"), "{refused}");
        let same = places.open(&own.display().to_string()).unwrap_err();
        assert_eq!(same, "it is the bucket itself");
    }
}
