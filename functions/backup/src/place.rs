//! Places for backups: other buckets, or directories.
//!
//! ```text
//! backups/register             the backups at the place
//! backups/<id>/manifest        the objects of a backup: keys, sizes, checksums, and the backups that have put them
//! backups/<id>/objects/<key>   the objects that this backup has put, under the keys that they have in the cluster
//! ```

use std::{collections::BTreeSet, fmt, sync::Arc};

use neap_bucket::{Bucket, Key, MissingObject, PrefixedStore, Store, World};
use ulid::Ulid;

use crate::{BackupError, BackupStore, listing::list_sizes};

/// Opens places for backups.
pub trait BackupPlaces: fmt::Debug + Send + Sync + 'static {
    /// Opens a place. The error is the reason why it can't be used.
    ///
    /// # Errors
    /// The place is not one that the operator permits, or its store can't be opened.
    fn open(&self, place: &str) -> Result<Arc<dyn Store>, String>;
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
        let store =
            opened.map_err(|reason| BackupError::Place { place: place.to_owned(), reason })?;
        Ok(Self::new(store, world))
    }

    pub(crate) fn new(store: Arc<dyn Store>, world: &World) -> Self {
        Self {
            bucket: Bucket::new(Arc::clone(&store), world.clone()),
            store,
            world: world.clone(),
        }
    }

    pub(crate) fn register(&self) -> BackupStore {
        BackupStore::new(&self.bucket)
    }

    /// Returns the backups at the place, whether or not the register lists them.
    pub(crate) async fn backups(&self) -> Result<BTreeSet<Ulid>, BackupError> {
        let listed = list_sizes(&self.bucket, Key::BACKUPS_PREFIX).await?;
        let backups = listed.keys().filter_map(|key| match key.parse() {
            Ok(Key::BackupManifest(backup)) => Some(backup),
            _ => None,
        });
        Ok(backups.collect())
    }

    /// Checks that the place has no backup except `own`, because its register does not exist.
    /// Fails with `Missing` if it has one: the register is lost.
    pub(crate) async fn check_unused(&self, own: &[Option<Ulid>]) -> Result<(), BackupError> {
        let backups = self.backups().await?;
        match backups.into_iter().find(|backup| !own.contains(&Some(*backup))) {
            None => Ok(()),
            Some(other) => {
                let dependent = Key::BackupManifest(other);
                Err(MissingObject::needed_by(&Key::Backups, &dependent).into())
            }
        }
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
