//! Places for backups: other buckets, or directories.
//!
//! ```text
//! backups/register             the backups at the place
//! backups/<id>/manifest        the objects of a backup: keys, sizes, checksums, and the backups that have put them
//! backups/<id>/objects/<key>   the objects that this backup has put, under the keys that they have in the cluster
//! ```

use std::{fmt, sync::Arc};

use neap_bucket::{Bucket, Key, PrefixedStore, Store, World};
use ulid::Ulid;

use crate::{BackupError, BackupStore};

/// Opens places for backups.
pub trait BackupPlaces: fmt::Debug + Send + Sync + 'static {
    /// Opens a place. The error is the reason why it can't be used.
    ///
    /// # Errors
    /// The place is not one that the operator permits, or its store can't be opened.
    fn open(&self, place: &str) -> Result<Arc<dyn Store>, String>;
}

/// No places: backups stay in the bucket of the cluster.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoPlaces;

impl BackupPlaces for NoPlaces {
    fn open(&self, _place: &str) -> Result<Arc<dyn Store>, String> {
        Err("the server permits no places for backups (--backup-to)".to_owned())
    }
}

/// An open place.
#[derive(Clone, Debug)]
pub(crate) struct BackupPlace {
    store: Arc<dyn Store>,
    world: World,
    /// The bucket with the register and the manifests.
    pub(crate) bucket: Bucket,
}

impl BackupPlace {
    pub(crate) fn open(
        places: &dyn BackupPlaces,
        place: &str,
        world: &World,
    ) -> Result<Self, BackupError> {
        let opened = places.open(place);
        let store = opened.map_err(|reason| BackupError::Place {
            place: place.to_owned(),
            reason,
        })?;
        Ok(Self::new(store, world))
    }

    pub(crate) fn new(store: Arc<dyn Store>, world: &World) -> Self {
        Self {
            bucket: Bucket::new(Arc::clone(&store), world.clone()),
            store,
            world: world.clone(),
        }
    }

    /// Returns the register of the place.
    pub(crate) fn register(&self) -> BackupStore {
        BackupStore::new(&self.bucket)
    }

    /// Returns the objects that a backup has put, under the keys that they have in the cluster.
    pub(crate) fn objects_of(&self, backup: Ulid) -> Bucket {
        Bucket::new(self.store_of(backup), self.world.clone())
    }

    pub(crate) fn store_of(&self, backup: Ulid) -> Arc<dyn Store> {
        let prefix = Key::backup_objects_prefix(backup);
        Arc::new(PrefixedStore::new(Arc::clone(&self.store), prefix))
    }

    pub(crate) fn world(&self) -> &World {
        &self.world
    }
}
