//! Copies a cluster from one bucket to another while it is in use.
//!
//! The stages of [`CopyStage`] make the copy consistent. The progress of views, triggers, imports and row delete requests
//! comes first, so that it is not ahead of the data in the copy. Segments that a flush removes from the tail after they
//! were copied are in the manifest, which is copied later. Objects that a manifest names exist when data is listed later,
//! and the catalogs are at least as new as the data. In the copy, a catalog does not record a register that was created
//! after its stage, so that it does not look lost. The check that follows reports objects that the source deleted before
//! they were copied; another run starts with newer manifests. The root catalog comes last, so that an incomplete copy is
//! not a cluster.
//!
//! Objects are compared with their checksums. Damage is reported, and never replaces an object of an earlier run: damaged
//! registers are not copied, and objects that never change are copied only if the destination lacks them. Other parts of
//! such an object may be intact. A later run reads an object with sections or pages again, because its copy has another
//! size.
//!
//! Only the manifest tells the checksums of sections and pages. So objects that the copied manifest does not reference are
//! left to a later run, whose manifest does.
//!
//! A run that was suspended replaces nothing that a later run has put: it reads the version of an object at the destination
//! before it reads the source, and puts the object on the condition that this version is still there.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use neap_bucket::{
    Bucket, CopyPolicy, CopyStage, FormatError, Get, GetOptions, Key, MissingObject,
    ProtocolMargins, ProtocolRules, Put, PutMode, RECENT_PUT_IDS, Register, RegisterError,
    RegisterValue, StoreError, VersionedValue,
};
use neap_catalog::{
    CatalogError, RecordedRegister, RootCatalog, with_tail_location, without_records,
};
use neap_manifest::{Manifest, ManifestError, ManifestSettings, ManifestStore};
use neap_schema::DatabaseId;
use tokio::sync::Semaphore;

use crate::{listing::list_parsed, needed_objects::NeededObjects};

/// Number of concurrent copies.
const OBJECTS_AT_ONCE: usize = 16;

/// Maximum memory for objects in flight, in units of [`UNIT_BYTES`]; a larger object is copied alone.
const UNITS: u32 = 256;

/// Bytes per unit of memory (1 MiB).
const UNIT_BYTES: u64 = 1 << 20;

/// Error of a cluster copy.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the messages and names document themselves")]
pub enum CopyError {
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The source's root catalog or a manifest can't be read.
    #[error(transparent)]
    Format(#[from] FormatError),
    /// A register of the source is lost.
    #[error(transparent)]
    Missing(#[from] MissingObject),
    #[error("the destination holds another cluster, {cluster}")]
    OtherCluster { cluster: String },
    /// The destination was written to after an earlier copy.
    #[error("'{key}' is newer in the copy than in the source: the copy was used as a cluster")]
    Ahead { key: Key },
    /// Another run has replaced the object meanwhile.
    #[error("another copy to the same destination has replaced '{key}'")]
    Replaced { key: Key },
    /// The source has new data in a location that is not read.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    /// A page of a manifest can't be read.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// The process is stopping.
    #[error("the copy was interrupted")]
    Interrupted,
}

impl From<RegisterError> for CopyError {
    fn from(error: RegisterError) -> Self {
        match error {
            RegisterError::Store(error) => Self::Store(error),
            RegisterError::Format(error) => Self::Format(error),
            RegisterError::Missing(error) => Self::Missing(error),
        }
    }
}

/// Counts of a finished copy.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CopyStats {
    /// Number of copied objects.
    pub objects: u64,
    /// Size of the copied objects in bytes.
    pub bytes: u64,
    /// Objects that already existed with the same contents.
    pub kept: u64,
    /// Damaged objects, and how they are damaged.
    pub damaged: BTreeMap<Key, String>,
}

/// The progress of a copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CopyProgress {
    /// The objects of this stage come next.
    Stage(CopyStage),
    /// This many bytes were copied.
    Bytes(u64),
}

/// Copies a cluster from one bucket to another.
#[derive(derive_more::Debug)]
pub struct ClusterCopier<'a> {
    /// The bucket of the cluster.
    pub from: &'a Bucket,
    /// The destination.
    pub to: &'a Bucket,
    /// Receives the progress.
    #[debug(skip)]
    pub progress: &'a (dyn Fn(CopyProgress) + Sync),
}

impl ClusterCopier<'_> {
    /// Copies everything that is missing at the destination.
    ///
    /// # Errors
    /// A store does not answer, the destination holds another cluster or a newer copy, or another run copies to it.
    pub async fn run(&self) -> Result<CopyStats, CopyError> {
        self.check_root().await?;
        let mut databases = self.databases().await?;
        let mut copied = CopyStats::default();
        for stage in CopyStage::ALL {
            (self.progress)(CopyProgress::Stage(stage));
            if stage == CopyStage::Manifests {
                self.check_manifests().await?;
            }
            if stage == CopyStage::Objects {
                // Those whose manifests were copied may be newer than the copy.
                databases = self.databases().await?;
            }
            for prefix in stage.prefixes(databases.iter().copied()) {
                self.copy_prefix(stage, &prefix, &mut copied).await?;
            }
        }
        // The first backup may have started after the stage of its register, which the copied root catalog needs.
        if !exists(self.to, &Key::Backups).await? {
            let register = Key::Backups.to_string();
            self.copy_prefix(CopyStage::Backups, &register, &mut copied).await?;
        }
        Ok(copied)
    }

    /// Returns the databases that have registers.
    async fn databases(&self) -> Result<BTreeSet<DatabaseId>, CopyError> {
        let registers = keys(self.from, Key::DATABASES_PREFIX, |_| true).await?;
        Ok(registers.keys().filter_map(Key::database).collect())
    }

    /// Refuses a destination with another cluster, or with a copy that has diverged.
    async fn check_root(&self) -> Result<(), CopyError> {
        let source: VersionedValue<RootCatalog> = self.read(self.from, Key::RootCatalog).await?;
        if source.version > 0 {
            source.value.verify_reader(self.from)?;
        }
        let there: VersionedValue<RootCatalog> = self.read(self.to, Key::RootCatalog).await?;
        if there.version > 0 && there.value.cluster() != source.value.cluster() {
            let cluster = there.value.cluster().to_owned();
            return Err(CopyError::OtherCluster { cluster });
        }
        let key = Key::RootCatalog;
        check_not_ahead(&source, &there, key)
    }

    async fn read<T: RegisterValue>(
        &self,
        bucket: &Bucket,
        key: Key,
    ) -> Result<VersionedValue<T>, CopyError> {
        let register: Register<T> = Register::new(bucket.clone(), key, RECENT_PUT_IDS);
        Ok(register.read(None).await?)
    }

    /// Refuses a destination whose manifests are newer than those of the source.
    async fn check_manifests(&self) -> Result<(), CopyError> {
        let is_manifest = |key: &Key| matches!(key, Key::Manifest(_));
        for key in keys(self.from, Key::DATABASES_PREFIX, is_manifest).await?.into_keys() {
            let source: VersionedValue<Manifest> = self.read(self.from, key.clone()).await?;
            let there: VersionedValue<Manifest> = self.read(self.to, key.clone()).await?;
            check_not_ahead(&source, &there, key)?;
        }
        Ok(())
    }

    /// Copies the objects with a prefix that belong to a stage. Objects that never change are copied unless they exist at
    /// the destination with the same size.
    async fn copy_prefix(
        &self,
        stage: CopyStage,
        prefix: &str,
        copied: &mut CopyStats,
    ) -> Result<(), CopyError> {
        let is_of_stage = |key: &Key| key.policy().copy.stage() == Some(stage);
        let objects = match Key::database_in(prefix) {
            Some(database) if prefix == Key::data_prefix(database) => {
                self.objects_of(database).await?
            }
            _ => NeededObjects::default(),
        };
        let mut wanted = keys(self.from, prefix, is_of_stage).await?;
        wanted.retain(|key, _| objects.may_be_needed(key));
        let is_immutable = |key: &Key| matches!(key.policy().copy, CopyPolicy::Added(_));
        if wanted.keys().any(is_immutable) {
            let there = keys(self.to, prefix, |key| is_of_stage(key) && is_immutable(key)).await?;
            let all = wanted.len();
            wanted.retain(|key, size_bytes| there.get(key) != Some(size_bytes));
            copied.kept += (all - wanted.len()) as u64;
        }
        self.copy_all(wanted, &objects, copied).await
    }

    /// Returns the objects of a database that the copied manifest references.
    async fn objects_of(&self, database: DatabaseId) -> Result<NeededObjects, CopyError> {
        let key = Key::Manifest(database);
        let manifest: VersionedValue<Manifest> = self.read(self.to, key.clone()).await?;
        if manifest.version == 0 {
            // The source may have created it after its stage.
            return Ok(if self.is_intact(&key).await? {
                NeededObjects::none()
            } else {
                NeededObjects::default()
            });
        }
        let rules = ProtocolRules::new(ProtocolMargins::NETWORK);
        let pages = ManifestStore::new(self.from.clone(), &rules, ManifestSettings::default());
        Ok(NeededObjects::read(&pages, database, &manifest.value).await?)
    }

    /// Copies objects. A missing object was unreferenced, or else the check that follows reports it.
    async fn copy_all(
        &self,
        wanted: BTreeMap<Key, u64>,
        objects: &NeededObjects,
        copied: &mut CopyStats,
    ) -> Result<(), CopyError> {
        let memory = Semaphore::new(UNITS as usize);
        let memory = &memory;
        let mut outcomes = stream::iter(wanted)
            .map(|(key, size_bytes)| async move {
                let units = u32::try_from(size_bytes.div_ceil(UNIT_BYTES)).unwrap_or(UNITS);
                let permit = memory.acquire_many(units.clamp(1, UNITS)).await;
                let _memory = permit.map_err(|_| CopyError::Interrupted)?;
                let outcome = self.copy(&key, objects).await?;
                Ok::<_, CopyError>((key, outcome))
            })
            .buffer_unordered(OBJECTS_AT_ONCE);
        while let Some((key, outcome)) = outcomes.try_next().await? {
            if let Some(size_bytes) = outcome.copied {
                copied.objects += 1;
                copied.bytes += size_bytes;
            }
            if let Some(reason) = outcome.damage {
                copied.damaged.insert(key, reason);
            }
        }
        Ok(())
    }

    async fn copy(&self, key: &Key, objects: &NeededObjects) -> Result<ObjectOutcome, CopyError> {
        let may_replace = matches!(key.policy().copy, CopyPolicy::Replaced(_));
        let unchanged = if may_replace {
            self.unchanged(key).await?
        } else {
            PutMode::Overwrite
        };
        let got = self.from.get(key, GetOptions::default()).await?;
        let Get::Found(object) = got.value else {
            return Ok(ObjectOutcome::default());
        };
        let verified = objects.contents.verify(key, &object.bytes);
        let damage = verified.err().map(|finding| finding.message);
        if may_replace && damage.is_some() {
            return Ok(ObjectOutcome { copied: None, damage });
        }
        let (bytes, mode) = if damage.is_some() {
            (objects.with_other_size(key, object.bytes), PutMode::Create)
        } else {
            let bytes = self.without_later_registers(key, object.bytes).await?;
            let located = match key {
                Key::RootCatalog => with_tail_location(bytes, &self.to.tail_locations().current)?,
                _ => bytes,
            };
            (located, unchanged)
        };
        let size_bytes = bytes.len() as u64;
        let put = self.to.put(key, bytes.clone(), mode).await?;
        let is_put = matches!(put.value, Put::Done(_));
        if !is_put && may_replace && !self.has(key, &bytes).await? {
            return Err(CopyError::Replaced { key: key.clone() });
        }
        (self.progress)(CopyProgress::Bytes(size_bytes));
        Ok(ObjectOutcome {
            copied: (is_put || may_replace).then_some(size_bytes),
            damage,
        })
    }

    /// Returns the condition that the destination still has the present version of an object. Files of clients, which are
    /// read by no protocol and may be large, are replaced without a condition.
    async fn unchanged(&self, key: &Key) -> Result<PutMode, CopyError> {
        if matches!(key, Key::Export(..)) {
            return Ok(PutMode::Overwrite);
        }
        let there = self.to.get(key, GetOptions::default()).await?;
        Ok(match there.value {
            Get::Found(object) => PutMode::Update(object.etag),
            Get::Missing | Get::Unchanged => PutMode::Create,
        })
    }

    /// Returns whether the destination has an object with these bytes, because a put took effect whose answer was lost.
    async fn has(&self, key: &Key, bytes: &Bytes) -> Result<bool, CopyError> {
        let there = self.to.get(key, GetOptions::default()).await?;
        Ok(matches!(there.value, Get::Found(object) if object.bytes == *bytes))
    }

    /// Returns whether the source has a register, and it is intact. A damaged one was not copied, and is lost in the copy.
    async fn is_intact(&self, register: &Key) -> Result<bool, CopyError> {
        let got = self.from.get(register, GetOptions::default()).await?;
        Ok(matches!(got.value, Get::Found(object) if register.verify(&object.bytes).is_ok()))
    }

    /// Returns an object as it is in the copy. A catalog does not record registers that the copy lacks, because they were
    /// created after their stage. What the source lacks, too, or has damaged, is lost and stays recorded.
    async fn without_later_registers(&self, key: &Key, object: Bytes) -> Result<Bytes, CopyError> {
        let mut later = Vec::new();
        for register in RecordedRegister::recorded_by(key) {
            if !exists(self.to, &register).await? && self.is_intact(&register).await? {
                later.push(register);
            }
        }
        if later.is_empty() {
            return Ok(object);
        }
        Ok(without_records(key, object, &later)?)
    }
}

/// The outcome of the copy of an object.
#[derive(Default)]
struct ObjectOutcome {
    /// Its size in bytes, if it was copied. The source may have deleted it.
    copied: Option<u64>,
    /// How it is damaged.
    damage: Option<String>,
}

fn check_not_ahead<T>(
    source: &VersionedValue<T>,
    there: &VersionedValue<T>,
    key: Key,
) -> Result<(), CopyError> {
    if there.version > source.version {
        Err(CopyError::Ahead { key })
    } else {
        Ok(())
    }
}

async fn exists(bucket: &Bucket, key: &Key) -> Result<bool, CopyError> {
    let listed = keys(bucket, &key.to_string(), |candidate| candidate == key).await?;
    Ok(!listed.is_empty())
}

/// Lists the keys below a prefix that pass the filter, with object sizes.
async fn keys(
    bucket: &Bucket,
    prefix: &str,
    is_wanted: impl Fn(&Key) -> bool,
) -> Result<BTreeMap<Key, u64>, CopyError> {
    let parse = move |key: String| key.parse::<Key>().ok().filter(&is_wanted);
    Ok(list_parsed(bucket, prefix, parse).await?)
}
