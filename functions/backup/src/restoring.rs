//! The job of a restore.
//!
//! ```text
//!   job                                              store
//!     |-- root catalog: hidden databases ------------> |   crash after: another process makes others; these are
//!     |                                                |   removed after a day
//!     |-- register: the hidden databases ------------> |   from a place, before they have contents: another process
//!     |-- objects, manifests, catalogs of these -----> |   continues to fill them; otherwise after it
//!     |-- root catalog: publish them, drop others ---> |   one commit
//! ```
//!
//! The register has the hidden databases before they are published, and they never change. So two processes that
//! restore the same backup, one of which was frozen, publish the same databases.

use std::{collections::BTreeMap, time::Duration};

use futures::{StreamExt, TryStreamExt, stream};
use neap_bucket::{
    Bucket, Get, GetOptions, Key, PutMode, RECENT_PUT_IDS, Register, RestorePolicy, Stamp,
};
use neap_catalog::{
    CatalogError, CopyOptions, DatabaseCatalog, DatabaseDocuments, DatabaseEntry,
    INTERNAL_DATABASE, RestoredDatabase, is_or_is_policy_of, policy_name,
};
use neap_fsck::ReferencedContents;
use neap_manifest::{ManifestSettings, ManifestStore, ObjectName, RestoreError};
use neap_schema::DatabaseId;

use crate::{
    Backup, BackupError, BackupParts, Restore, RestoreSource,
    backup_contents::code_of,
    chain_store::ChainStore,
    copying::options_of_restore,
    job::{CopiedObjects, JobLease},
    listing::list_sizes,
    place::BackupPlace,
    place_objects::{PlaceManifest, StoredObject},
    register::DatabaseInBackup,
    uploading::ObjectMemory,
};

/// Number of databases, and of objects of one of them, that are restored concurrently.
const AT_ONCE: usize = 8;

/// The version of the catalog of a restored database.
const RESTORED_CATALOG: u64 = 1;

#[derive(Debug)]
pub(crate) enum RestoredContents {
    /// Copies in the bucket of the cluster.
    Copies(Vec<DatabaseInBackup>),
    Objects(Box<PlaceManifest>, BackupPlace),
    /// Live databases at an earlier moment.
    Moment(Vec<DatabaseInBackup>),
}

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
    fn is_at_place(&self) -> bool {
        matches!(self.contents, RestoredContents::Objects(..))
    }

    /// Returns the names of the restored databases. A new name of a database is also that of its retention policies.
    fn names(&self, restore: &Restore) -> Vec<String> {
        let names = self.databases.iter().map(|one| {
            let renamed = restore.database.as_ref().zip(restore.to.as_ref());
            renamed.map_or_else(
                || one.name.clone(),
                |(old, new)| match policy_name(&one.name, old) {
                    Some(policy) => format!("{new}/{policy}"),
                    None => new.clone(),
                },
            )
        });
        names.collect()
    }
}

impl BackupParts {
    /// Finds the contents of a restore.
    /// Fails with `NotFound` without such a database, or the place can't be used.
    pub(crate) async fn plan_restore(
        &self,
        restore: &Restore,
        backup: Option<&Backup>,
        cluster: &str,
    ) -> Result<RestorePlan, BackupError> {
        let at_place = match (&restore.source, backup) {
            (RestoreSource::AtPlace { place, backup }, _) => Some((place, *backup)),
            (_, Some(Backup { id, place: Some(place), .. })) => Some((place, *id)),
            _ => None,
        };
        let (contents, of_backup, is_own) = match (&restore.source, at_place) {
            (RestoreSource::Moment(moment), _) => {
                let databases = self.live_databases(restore, *moment).await?;
                (RestoredContents::Moment(databases), Some(String::new()), true)
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
            RestoredContents::Copies(databases) | RestoredContents::Moment(databases) => databases,
            RestoredContents::Objects(manifest, _) => &manifest.backup.databases,
        };
        let is_wanted = |one: &&DatabaseInBackup| {
            restore.database.as_ref().is_none_or(|name| is_or_is_policy_of(&one.name, name))
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

    /// Returns the live database of a restore to a moment, and its retention policies that existed then.
    async fn live_databases(
        &self,
        restore: &Restore,
        moment: Stamp,
    ) -> Result<Vec<DatabaseInBackup>, BackupError> {
        let name = restore.database.clone().unwrap_or_default();
        let root = self.catalog.root(Duration::ZERO).await?.value;
        let not_found = || BackupError::NotFound(format!("there is no database {name:?}"));
        let database = root.database(&name).ok_or_else(not_found)?;
        let present = root.databases().get(&database).map(|entry| &entry.name);
        if let Some(present) = present.filter(|present| **present != name) {
            let text = format!("{name:?} is an alias: the name of the database is {present:?}");
            return Err(BackupError::NotFound(text));
        }
        let existed = |entry: &DatabaseEntry| {
            let created = entry.created;
            created.is_none_or(|created| created <= moment.time())
        };
        let policies = root
            .policies_of(&name)
            .filter(|(_, entry)| existed(entry))
            .map(|(id, entry)| (id, entry.name.clone()));
        let databases = std::iter::once((database, name.clone()))
            .chain(policies)
            .map(|(id, name)| DatabaseInBackup { name, source: id, copy: id });
        Ok(databases.collect())
    }

    /// Creates and fills the hidden databases of a restore, as far as an earlier run has not done so. When it returns,
    /// the register has them, in the order of the plan.
    /// Fails if an object is damaged or missing, the lease is lost, or a store does not answer.
    pub(crate) async fn prepare_restored(
        &self,
        plan: &RestorePlan,
        restore: &Restore,
        lease: &JobLease,
    ) -> Result<Vec<DatabaseId>, BackupError> {
        let is_new = restore.copies.is_empty();
        let copies = if is_new {
            let names = plan.names(restore);
            self.catalog.add_restored_databases(&names).await?
        } else {
            restore.copies.clone()
        };
        if copies.len() != plan.databases.len() {
            let text = "a retention policy of the database was dropped during the restore";
            return Err(BackupError::Conflict(text.to_owned()));
        }
        let record = async |totals: Option<(u64, u64)>| {
            let change = lease.change(|register, lease| {
                let restore = register.renewed_restore(restore.id, lease)?;
                restore.copies.clone_from(&copies);
                if let Some((objects, bytes)) = totals {
                    restore.job.report(objects, bytes);
                }
                Ok(())
            });
            change.await
        };
        if is_new && plan.is_at_place() {
            record(None).await?;
        }
        if is_new || plan.is_at_place() {
            self.fill_restored(plan, restore, &copies, &lease.copied).await?;
        }
        let totals = self.totals(&copies).await?;
        // Only a run with the lease publishes the databases.
        record(Some(totals)).await?;
        Ok(copies)
    }

    async fn fill_restored(
        &self,
        plan: &RestorePlan,
        restore: &Restore,
        copies: &[DatabaseId],
        copied: &CopiedObjects,
    ) -> Result<(), BackupError> {
        if let RestoreSource::Moment(moment) = &restore.source {
            let databases: Vec<_> = plan
                .databases
                .iter()
                .zip(copies)
                .map(|(one, copy)| DatabaseInBackup { copy: *copy, ..one.clone() })
                .collect();
            let options = options_of_restore(restore);
            self.copy_databases(&databases, Some(*moment), options).await?;
            return Ok(());
        }
        let memory = &ObjectMemory::default();
        let pairs = plan.databases.iter().zip(copies);
        let fills: Vec<_> = pairs
            .map(|(held, copy)| async move {
                match &plan.contents {
                    RestoredContents::Objects(manifest, place) => {
                        let from = PlaceObjects { place, manifest, memory, copied };
                        self.copy_objects(&from, held, *copy, options_of_restore(restore)).await
                    }
                    RestoredContents::Copies(_) | RestoredContents::Moment(_) => {
                        self.copy_backup(held.copy, *copy, options_of_restore(restore)).await
                    }
                }
            })
            .collect();
        let fills = stream::iter(fills).buffer_unordered(AT_ONCE);
        fills.try_collect::<()>().await
    }

    /// Returns the number and referenced bytes of the objects of databases.
    pub(crate) async fn totals(&self, copies: &[DatabaseId]) -> Result<(u64, u64), BackupError> {
        let (mut objects, mut bytes) = (0, 0);
        for copy in copies {
            let manifest = self.manifest_of(*copy).await?;
            let contents =
                ReferencedContents::read(&self.manifests, *copy, &manifest.value).await?;
            for (_, referenced) in contents.keys() {
                objects += 1;
                bytes += referenced;
            }
        }
        Ok((objects, bytes))
    }

    /// Publishes the restored databases in one commit.
    /// Fails if a new name is taken, or the store does not answer.
    pub(crate) async fn publish(
        &self,
        plan: &RestorePlan,
        restore: &Restore,
        copies: &[DatabaseId],
    ) -> Result<(), BackupError> {
        let names = plan.names(restore);
        let mut restored = Vec::with_capacity(copies.len());
        for ((copy, name), held) in copies.iter().zip(&names).zip(&plan.databases) {
            restored.push(RestoredDatabase {
                copy: *copy,
                name: name.clone(),
                source: Some(held.source).filter(|_| plan.is_own),
            });
        }
        let dropped = if plan.is_whole {
            self.others(&names).await?
        } else {
            Vec::new()
        };
        let replaces = restore.to.is_none();
        self.catalog.publish_restored(&restored, &dropped, replaces).await?;
        Ok(())
    }

    /// Returns the names of the live databases that are not in `names`.
    async fn others(&self, names: &[String]) -> Result<Vec<String>, BackupError> {
        let root = self.catalog.root(Duration::ZERO).await?.value;
        let live = root.live_databases().map(|(_, entry)| &entry.name);
        let others = live.filter(|name| !names.contains(name) && *name != INTERNAL_DATABASE);
        Ok(others.cloned().collect())
    }

    /// Copies the objects of a database from a place, and commits its manifest and catalog, as far as an earlier run has
    /// not done so.
    async fn copy_objects(
        &self,
        from: &PlaceObjects<'_>,
        held: &DatabaseInBackup,
        copy: DatabaseId,
        options: CopyOptions,
    ) -> Result<(), BackupError> {
        let chain = ChainStore::bucket(from.place, from.manifest);
        if self.manifest_of(copy).await?.version == 0 {
            self.copy_sections(from, &chain, held, copy).await?;
        }
        let catalog = read_catalog(&chain, held.copy).await?;
        self.copy_code(from, &catalog).await?;
        let put = self.catalog.put_copied_catalog(copy, &catalog, options);
        match put.await {
            // An earlier run has put it.
            Ok(_) | Err(CatalogError::AlreadyExists { .. }) => {}
            Err(error) => return Err(error.into()),
        }
        if self.documents(copy).read(None).await?.version > 0 {
            // The process may have ended before it recorded them.
            return Ok(self.catalog.record_register(&Key::Documents(copy)).await?);
        }
        let key = Key::Documents(held.copy);
        let documents = Register::<DatabaseDocuments>::new(chain, key, RECENT_PUT_IDS)
            .read(None)
            .await?;
        self.put_documents(copy, &documents).await
    }

    /// Copies the sections that the new database lacks, and then commits its manifest.
    async fn copy_sections(
        &self,
        from: &PlaceObjects<'_>,
        chain: &Bucket,
        held: &DatabaseInBackup,
        copy: DatabaseId,
    ) -> Result<(), BackupError> {
        let manifests = ManifestStore::new(chain.clone(), &self.rules, ManifestSettings::default());
        let view = manifests.read(held.copy, None).await?;
        if view.version == 0 {
            let key = Key::Manifest(held.copy);
            return Err(BackupError::damaged(&key, "it is missing at the place"));
        }
        let referenced = ReferencedContents::read(&manifests, held.copy, &view.value).await?;
        let present = &list_sizes(&self.bucket, &Key::data_prefix(copy)).await?;
        let sections: Vec<_> = referenced
            .keys()
            .filter(|(key, _)| key.policy().restore == RestorePolicy::Copied)
            .map(|(key, bytes)| (key.clone(), bytes))
            .collect();
        let copied = stream::iter(sections)
            .map(|(key, bytes)| async move {
                let _memory = from.memory.acquire(bytes).await?;
                self.copy_section(from, &key, copy, present).await
            })
            .buffer_unordered(AT_ONCE);
        copied.try_collect::<()>().await?;
        let adopted = self.manifests.adopt_copied_objects(
            &manifests,
            held.copy,
            &view.value,
            copy,
            RESTORED_CATALOG,
        );
        match adopted.await {
            // A run that was frozen has continued.
            Ok(_) | Err(RestoreError::NotEmpty) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Copies an object with sections, unless it is present: it was put as a whole, after its checksum was compared.
    async fn copy_section(
        &self,
        from: &PlaceObjects<'_>,
        key: &Key,
        copy: DatabaseId,
        present: &BTreeMap<String, u64>,
    ) -> Result<(), BackupError> {
        let missing = || BackupError::damaged(key, "it is missing at the place");
        let stored = from.manifest.objects.get(&key.to_string()).ok_or_else(missing)?;
        let (_, name) = ObjectName::of_key(key).ok_or_else(missing)?;
        let target = name.key(copy);
        if present.get(&target.to_string()) != Some(&stored.bytes) {
            self.copy_object(from, key, stored, &target).await?;
        }
        from.copied.add(stored.bytes);
        Ok(())
    }

    /// Copies the code of the triggers of a catalog before the catalog is put, also if the bucket has it, so that the
    /// collector does not find it old and without a reference.
    async fn copy_code(
        &self,
        from: &PlaceObjects<'_>,
        catalog: &DatabaseCatalog,
    ) -> Result<(), BackupError> {
        for key in code_of(catalog) {
            match from.manifest.objects.get(&key.to_string()) {
                Some(stored) => self.copy_object(from, &key, stored, &key).await?,
                None => {
                    tracing::warn!(%key, "the backup lacks the code of a trigger, because it was damaged");
                }
            }
        }
        Ok(())
    }

    /// Copies an object after its checksum was compared.
    async fn copy_object(
        &self,
        from: &PlaceObjects<'_>,
        key: &Key,
        stored: &StoredObject,
        target: &Key,
    ) -> Result<(), BackupError> {
        let source = from.place.objects_of(stored.put_by);
        let Get::Found(object) = source.get(key, GetOptions::default()).await?.value else {
            return Err(BackupError::damaged(key, "it is missing at the place"));
        };
        stored.check(&key.to_string(), &object.bytes)?;
        self.bucket.put(target, object.bytes, PutMode::Overwrite).await?;
        Ok(())
    }
}

/// The objects of a backup at a place, while they are copied.
#[derive(Clone, Copy)]
struct PlaceObjects<'a> {
    place: &'a BackupPlace,
    manifest: &'a PlaceManifest,
    memory: &'a ObjectMemory,
    copied: &'a CopiedObjects,
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
