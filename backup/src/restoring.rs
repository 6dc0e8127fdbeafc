//! The job of a restore.
//!
//! ```text
//!   job                                              store
//!     |-- root catalog: hidden databases ------------> |   crash after: they are removed after a day
//!     |-- manifests and catalogs of these -----------> |   the same; the present databases are untouched
//!     |-- root catalog: publish them, drop others ---> |   one commit
//! ```

use std::time::Duration;

use futures::{StreamExt, TryStreamExt, stream};
use neap_bucket::{Bucket, Get, GetOptions, Key, PutMode, RECENT_PUT_IDS, Register};
use neap_catalog::{DatabaseCatalog, DatabaseDocuments, INTERNAL_DATABASE, RestoredDatabase};
use neap_manifest::{ManifestSettings, ManifestStore, ObjectName};
use neap_schema::DatabaseId;

use crate::{
    Backup, BackupError, BackupParts, Restore, RestoreSource, chain_store::ChainStore,
    place::BackupPlace, place_objects::PlaceManifest, register::DatabaseInBackup,
    uploading::ObjectMemory,
};

/// Number of databases, and of objects of one of them, that are restored concurrently.
const AT_ONCE: usize = 8;

/// The version of the catalog of a restored database.
const RESTORED_CATALOG: u64 = 1;

/// The contents that a restore restores.
#[derive(Debug)]
pub(crate) enum RestoredContents {
    /// Copies in the bucket of the cluster.
    Copies(Vec<DatabaseInBackup>),
    /// Objects at a place.
    Objects(Box<PlaceManifest>, BackupPlace),
    /// A database at an earlier moment.
    Moment(DatabaseInBackup),
}

/// The plan of a restore.
#[derive(Debug)]
pub(crate) struct RestorePlan {
    contents: RestoredContents,
    /// The databases to restore. Their `copy` is the restored database once that exists.
    databases: Vec<DatabaseInBackup>,
    /// Whether the restore covers the whole cluster, so that other databases are dropped.
    is_whole: bool,
    /// Whether the backup is of this cluster.
    is_own: bool,
}

impl RestorePlan {
    /// Returns the names of the restored databases.
    fn names(&self, restore: &Restore) -> Vec<String> {
        let names = self.databases.iter().map(|one| one.name.clone());
        match &restore.to {
            Some(name) => vec![name.clone()],
            None => names.collect(),
        }
    }
}

impl BackupParts {
    /// Finds the contents of a restore.
    ///
    /// # Errors
    /// `NotFound` without such a database, or the place can't be used.
    pub(crate) async fn plan_restore(
        &self,
        restore: &Restore,
        backup: Option<&Backup>,
        cluster: &str,
    ) -> Result<RestorePlan, BackupError> {
        let at_place = match (&restore.source, backup) {
            (RestoreSource::AtPlace { place, backup }, _) => Some((place, *backup)),
            (
                _,
                Some(Backup {
                    id,
                    place: Some(place),
                    ..
                }),
            ) => Some((place, *id)),
            _ => None,
        };
        let (contents, of_backup, is_own) = match (&restore.source, at_place) {
            (RestoreSource::Moment(_), _) => {
                let database = self.live_database(restore).await?;
                (
                    RestoredContents::Moment(database),
                    Some(String::new()),
                    true,
                )
            }
            (_, Some((place, id))) => {
                let place = self.open_place(place)?;
                let manifest = PlaceManifest::read(&place, id).await?;
                let is_own = manifest.cluster == cluster;
                let of_backup = manifest.backup.database.clone();
                let contents = RestoredContents::Objects(Box::new(manifest), place);
                (contents, of_backup, is_own)
            }
            (_, None) => {
                let gone = || BackupError::NotFound("the backup is gone".to_owned());
                let backup = backup.ok_or_else(gone)?;
                let contents = RestoredContents::Copies(backup.databases.clone());
                (contents, backup.database.clone(), true)
            }
        };
        let all = match &contents {
            RestoredContents::Copies(databases) => databases.as_slice(),
            RestoredContents::Objects(manifest, _) => &manifest.backup.databases,
            RestoredContents::Moment(database) => std::slice::from_ref(database),
        };
        let is_wanted = |one: &&DatabaseInBackup| {
            restore
                .database
                .as_ref()
                .is_none_or(|name| *name == one.name)
        };
        let databases: Vec<_> = all.iter().filter(is_wanted).cloned().collect();
        if databases.is_empty() && restore.database.is_some() {
            let name = restore.database.as_deref().unwrap_or_default();
            let text = format!("the backup has no database {name:?}");
            return Err(BackupError::NotFound(text));
        }
        Ok(RestorePlan {
            contents,
            databases,
            is_whole: restore.database.is_none()
                && restore.to.is_none()
                && of_backup.is_none()
                && is_own,
            is_own,
        })
    }

    /// Returns the live database of a restore to a moment.
    async fn live_database(&self, restore: &Restore) -> Result<DatabaseInBackup, BackupError> {
        let name = restore.database.clone().unwrap_or_default();
        let root = self.catalog.root(Duration::ZERO).await?.value;
        let not_found = || BackupError::NotFound(format!("there is no database {name:?}"));
        let source = root.database(&name).ok_or_else(not_found)?;
        Ok(DatabaseInBackup {
            name,
            source,
            copy: source,
        })
    }

    /// Creates the hidden databases of a restore. Returns them in the order of the plan.
    pub(crate) async fn add_hidden(
        &self,
        plan: &RestorePlan,
        restore: &Restore,
    ) -> Result<Vec<DatabaseId>, BackupError> {
        let names = plan.names(restore);
        Ok(self.catalog.add_restored_databases(&names).await?)
    }

    /// Fills the hidden databases of a restore. Returns the number and bytes of their objects.
    ///
    /// # Errors
    /// An object is damaged or missing, or a store does not answer.
    pub(crate) async fn fill_restored(
        &self,
        plan: &RestorePlan,
        restore: &Restore,
        copies: &[DatabaseId],
    ) -> Result<(u64, u64), BackupError> {
        if let (RestoreSource::Moment(moment), Some(copy)) = (&restore.source, copies.first()) {
            let databases = plan.databases.iter();
            let databases = databases.map(|one| DatabaseInBackup {
                copy: *copy,
                ..one.clone()
            });
            let databases: Vec<_> = databases.collect();
            self.copy_databases(&databases, Some(*moment)).await?;
            return self.totals(copies).await;
        }
        let memory = &ObjectMemory::default();
        let pairs = plan.databases.iter().zip(copies);
        let fills = pairs.map(|(held, copy)| async move {
            match &plan.contents {
                RestoredContents::Objects(manifest, place) => {
                    self.copy_objects(place, manifest, held, *copy, memory)
                        .await
                }
                RestoredContents::Copies(_) | RestoredContents::Moment(_) => {
                    self.copy_backup(held.copy, *copy).await
                }
            }
        });
        let fills: Vec<_> = fills.collect();
        let fills = stream::iter(fills).buffer_unordered(AT_ONCE);
        fills.try_collect::<()>().await?;
        self.totals(copies).await
    }

    /// Returns the number and referenced bytes of the objects of databases.
    pub(crate) async fn totals(&self, copies: &[DatabaseId]) -> Result<(u64, u64), BackupError> {
        let (mut objects, mut bytes) = (0, 0);
        for copy in copies {
            let manifest = self.manifest_of(*copy).await?;
            let referenced = self.manifests.referenced_keys(*copy, &manifest.value);
            for referenced in referenced.await?.into_values() {
                objects += 1;
                bytes += referenced;
            }
        }
        Ok((objects, bytes))
    }

    /// Publishes the restored databases in one commit.
    ///
    /// # Errors
    /// A new name is taken, or the store does not answer.
    pub(crate) async fn publish(
        &self,
        plan: &RestorePlan,
        restore: &Restore,
        copies: &[DatabaseId],
    ) -> Result<(), BackupError> {
        let names = plan.names(restore);
        let mut restored = Vec::with_capacity(copies.len());
        for ((copy, name), held) in copies.iter().zip(&names).zip(&plan.databases) {
            let catalog = self.catalog.database(*copy, Duration::ZERO).await?;
            restored.push(RestoredDatabase {
                copy: *copy,
                name: name.clone(),
                source: Some(held.source).filter(|_| plan.is_own),
                has_triggers: catalog.value.triggers().next().is_some(),
            });
        }
        let dropped = match plan.is_whole {
            true => self.others(&names).await?,
            false => Vec::new(),
        };
        let replaces = restore.to.is_none();
        self.catalog
            .publish_restored(&restored, &dropped, replaces)
            .await?;
        Ok(())
    }

    /// Returns the names of the live databases that are not in `names`.
    async fn others(&self, names: &[String]) -> Result<Vec<String>, BackupError> {
        let root = self.catalog.root(Duration::ZERO).await?.value;
        let live = root.live_databases().map(|(_, entry)| &entry.name);
        let others = live.filter(|name| !names.contains(name) && *name != INTERNAL_DATABASE);
        Ok(others.cloned().collect())
    }

    /// Copies the objects of a database from a place, and commits its manifest and catalog.
    async fn copy_objects(
        &self,
        place: &BackupPlace,
        manifest: &PlaceManifest,
        held: &DatabaseInBackup,
        copy: DatabaseId,
        memory: &ObjectMemory,
    ) -> Result<(), BackupError> {
        let chain = ChainStore::bucket(place, manifest);
        let from = ManifestStore::new(chain.clone(), &self.rules, ManifestSettings::default());
        let view = from.read(held.copy, None).await?;
        if view.version == 0 {
            let key = Key::Manifest(held.copy);
            return Err(BackupError::damaged(&key, "it is missing at the place"));
        }
        let referenced = from.referenced_keys(held.copy, &view.value).await?;
        let sections = referenced.into_iter();
        let sections = sections.filter(|(key, _)| !matches!(key, Key::Page(..)));
        let copied = stream::iter(sections).map(|(key, bytes)| async move {
            let _memory = memory.acquire(bytes).await?;
            self.copy_object(place, manifest, &key, copy).await
        });
        let copied = copied.buffer_unordered(AT_ONCE);
        copied.try_collect::<()>().await?;
        self.manifests
            .adopt_copied_objects(&from, held.copy, &view.value, copy, RESTORED_CATALOG)
            .await?;
        let catalog = read_catalog(&chain, held.copy).await?;
        self.catalog
            .put_copied_catalog(copy, &catalog, None)
            .await?;
        let key = Key::Documents(held.copy);
        let documents: Register<DatabaseDocuments> = Register::new(chain, key, RECENT_PUT_IDS);
        let documents = documents.read(None).await?;
        self.put_documents(copy, &documents).await
    }

    async fn copy_object(
        &self,
        place: &BackupPlace,
        manifest: &PlaceManifest,
        key: &Key,
        copy: DatabaseId,
    ) -> Result<(), BackupError> {
        let text = key.to_string();
        let missing = || BackupError::damaged(key, "it is missing at the place");
        let stored = manifest.objects.get(&text).ok_or_else(missing)?;
        let from = place.objects_of(stored.put_by);
        let got = from.get(key, GetOptions::default()).await?;
        let Get::Found(object) = got.value else {
            return Err(missing());
        };
        stored.check(&text, &object.bytes)?;
        let (_, name) = ObjectName::of_key(key).ok_or_else(missing)?;
        let key = name.key(copy);
        self.bucket
            .put(&key, object.bytes, PutMode::Overwrite)
            .await?;
        Ok(())
    }
}

async fn read_catalog(chain: &Bucket, copy: DatabaseId) -> Result<DatabaseCatalog, BackupError> {
    let key = Key::DatabaseCatalog(copy);
    let register: Register<DatabaseCatalog> =
        Register::new(chain.clone(), key.clone(), RECENT_PUT_IDS);
    let catalog = register.read(None).await?;
    match catalog.version {
        0 => Err(BackupError::damaged(&key, "it is missing at the place")),
        _ => Ok(DatabaseCatalog::clone(&catalog.value)),
    }
}
