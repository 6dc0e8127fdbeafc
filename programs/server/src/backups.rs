//! Backups and restores: their options, the places that backups may go to, and the task that looks after them.

mod options;

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use axum::Router;
use bytes::Bytes;
use futures::future::BoxFuture;
use neap_backup::{
    BackupEngine, BackupKeeper, BackupParts, BackupPlaces, backup_refusals, backup_routes,
};
use neap_bucket::{Key, Store, StoreConfig, World};
use neap_compact::{FlushLimits, Flusher};
use neap_fsck::ObjectCopies;
use tokio_util::sync::CancellationToken;

pub(crate) use self::options::BackupArgs;
use super::{
    metrics,
    options::{ServeArgs, ServeMode},
    server_context::ServerContext,
};
use crate::{store_location, stores};

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
        if store_location::is_within(&config, &self.store) {
            return Err("it is the bucket itself, or inside of it".to_owned());
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
    use super::*;

    #[test]
    fn only_permitted_places_are_opened() {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        let own = data.display().to_string();
        let inside = data.join("backup").display().to_string();
        let place = folder.path().join("backup").display().to_string();
        let places = PermittedPlaces {
            permitted: vec![place.clone(), own.clone(), inside.clone()],
            store: StoreConfig {
                object_store: Some(neap_bucket::ObjectStoreKind::File),
                data_dir: Some(data),
                ..StoreConfig::default()
            },
            world: World::system(),
            opened: Mutex::default(),
        };
        places.open(&place).unwrap();
        let refused = places.open("/etc").unwrap_err();
        assert!(refused.contains("--backup-to"), "{refused}");
        for same in [own, inside] {
            let refused = places.open(&same).unwrap_err();
            assert_eq!(refused, "it is the bucket itself, or inside of it");
        }
    }
}
