//! Copies a cluster from one bucket to another while it is in use.
//!
//! ```text
//!   tail -> manifests -> data, objects of caches -> database catalogs, documents -> root catalog
//! ```
//!
//! This order makes the copy consistent. Segments that a flush removes from the tail after they were copied are in the
//! manifest, which is copied later. Objects that a manifest names exist when data is listed later, and the catalogs are
//! at least as new as the data. The check that follows reports objects that the source deleted before they were copied;
//! another run starts with newer manifests. The root catalog comes last, so that an incomplete copy is not a cluster.

use std::collections::BTreeMap;

use futures::{StreamExt, TryStreamExt, stream};
use indicatif::ProgressBar;
use neap_bucket::{
    Bucket, FormatError, Get, GetOptions, Key, ListRequest, PutMode, RECENT_PUT_IDS, Register,
    RegisterError, RegisterValue, StoreError, VersionedValue,
};
use neap_catalog::RootCatalog;
use neap_manifest::Manifest;
use neap_schema::DatabaseId;
use tokio::sync::Semaphore;

/// Number of concurrent copies.
const OBJECTS_AT_ONCE: usize = 16;

/// Maximum memory for objects in flight, in units of [`UNIT_BYTES`]; a larger object is copied alone.
const UNITS: u32 = 256;

/// Bytes per unit of memory (1 MiB).
const UNIT_BYTES: u64 = 1 << 20;

/// Maximum number of pages of one listing.
const MAX_PAGES: usize = 1_000_000;

/// Error of a cluster copy.
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    /// A store did not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The source's root catalog or a manifest can't be read.
    #[error(transparent)]
    Format(#[from] FormatError),
    /// The destination holds another cluster.
    #[error("the destination holds another cluster, {cluster}")]
    OtherCluster {
        /// The cluster at the destination.
        cluster: String,
    },
    /// The destination was written to after an earlier copy.
    #[error("'{key}' is newer in the copy than in the source: the copy was used as a cluster")]
    Ahead {
        /// The object.
        key: Key,
    },
    /// A listing exceeds the page limit.
    #[error("the listing of '{0}' exceeds the page limit")]
    ListingTooLong(String),
    /// The process is stopping.
    #[error("the copy was interrupted")]
    Interrupted,
}

impl From<RegisterError> for CopyError {
    fn from(error: RegisterError) -> Self {
        match error {
            RegisterError::Store(error) => Self::Store(error),
            RegisterError::Format(error) => Self::Format(error),
        }
    }
}

/// Counts of a finished copy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct CopyStats {
    /// Number of copied objects.
    pub(super) objects: u64,
    /// Size of the copied objects in bytes.
    pub(super) bytes: u64,
    /// Immutable objects that already existed with the same size.
    pub(super) kept: u64,
}

/// Copies a cluster from one bucket to another.
#[derive(Debug)]
pub(super) struct Copier<'a> {
    pub(super) from: &'a Bucket,
    pub(super) to: &'a Bucket,
    pub(super) progress: &'a ProgressBar,
}

impl Copier<'_> {
    /// Copies everything that is missing at the destination.
    ///
    /// # Errors
    ///
    /// A store does not answer, or the destination holds another cluster or a newer copy.
    pub(super) async fn run(&self) -> Result<CopyStats, CopyError> {
        self.check_root().await?;
        let mut copied = CopyStats::default();
        self.copy_tail(&mut copied).await?;
        let databases = self.copy_manifests(&mut copied).await?;
        for database in databases {
            self.copy_data(database, &mut copied).await?;
            self.copy_caches(database, &mut copied).await?;
        }
        self.progress.set_message("catalogs");
        let is_catalog = |key: &Key| matches!(key, Key::DatabaseCatalog(_) | Key::Documents(_));
        let catalogs = keys(self.from, DATABASES_PREFIX, is_catalog).await?;
        self.copy_all(catalogs, &mut copied).await?;
        // The register of backups comes before the root catalog, which names the copies that backups hold.
        for register in [Key::Backups, Key::RootCatalog] {
            let register = BTreeMap::from([(register, 0)]);
            self.copy_all(register, &mut copied).await?;
        }
        Ok(copied)
    }

    /// Refuses a destination with another cluster, or with a copy that has diverged.
    async fn check_root(&self) -> Result<(), CopyError> {
        let source: VersionedValue<RootCatalog> = self.read(self.from, Key::RootCatalog).await?;
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

    async fn copy_tail(&self, copied: &mut CopyStats) -> Result<(), CopyError> {
        self.progress.set_message("new data");
        let is_segment = |key: &Key| matches!(key, Key::Segment(..));
        let segments = keys(self.from, Key::TAIL_PREFIX, is_segment).await?;
        self.copy_all(segments, copied).await
    }

    /// Copies manifests and returns the databases that have one.
    async fn copy_manifests(&self, copied: &mut CopyStats) -> Result<Vec<DatabaseId>, CopyError> {
        self.progress.set_message("manifests");
        let is_manifest = |key: &Key| matches!(key, Key::Manifest(_));
        let manifests = keys(self.from, DATABASES_PREFIX, is_manifest).await?;
        let mut databases = Vec::new();
        for key in manifests.keys() {
            let Key::Manifest(database) = key else {
                continue;
            };
            let source: VersionedValue<Manifest> = self.read(self.from, key.clone()).await?;
            let there: VersionedValue<Manifest> = self.read(self.to, key.clone()).await?;
            check_not_ahead(&source, &there, key.clone())?;
            databases.push(*database);
        }
        self.copy_all(manifests, copied).await?;
        Ok(databases)
    }

    /// Copies sections, bundles and pages that don't exist at the destination with the same size.
    async fn copy_data(
        &self,
        database: DatabaseId,
        copied: &mut CopyStats,
    ) -> Result<(), CopyError> {
        self.progress.set_message(format!("database {database}"));
        let prefix = Key::data_prefix(database);
        let is_data = |key: &Key| matches!(key, Key::Parquet(..) | Key::Bundle(..) | Key::Page(..));
        let mut wanted = keys(self.from, &prefix, is_data).await?;
        let there = keys(self.to, &prefix, is_data).await?;
        retain_missing(&mut wanted, &there, copied);
        self.copy_all(wanted, copied).await
    }

    /// Copies the cache objects that the copied manifest names. A missing object is not an error.
    async fn copy_caches(
        &self,
        database: DatabaseId,
        copied: &mut CopyStats,
    ) -> Result<(), CopyError> {
        let manifest: VersionedValue<Manifest> =
            self.read(self.to, Key::Manifest(database)).await?;
        let entries = manifest.value.caches.iter();
        let mut wanted: BTreeMap<Key, u64> = entries
            .map(|entry| (entry.key(database), entry.length))
            .collect();
        if wanted.is_empty() {
            return Ok(());
        }
        let is_cache = |key: &Key| matches!(key, Key::Cache(..));
        let there = keys(self.to, &Key::cache_prefix(database), is_cache).await?;
        retain_missing(&mut wanted, &there, copied);
        self.copy_all(wanted, copied).await
    }

    /// Copies objects. A missing object was unreferenced, or else the check that follows reports it.
    async fn copy_all(
        &self,
        objects: BTreeMap<Key, u64>,
        copied: &mut CopyStats,
    ) -> Result<(), CopyError> {
        let memory = Semaphore::new(UNITS as usize);
        let memory = &memory;
        let sizes: Vec<Option<u64>> = stream::iter(objects)
            .map(|(key, size_bytes)| async move {
                let units = u32::try_from(size_bytes.div_ceil(UNIT_BYTES)).unwrap_or(UNITS);
                let permit = memory.acquire_many(units.clamp(1, UNITS)).await;
                let _memory = permit.map_err(|_| CopyError::Interrupted)?;
                self.copy(&key).await
            })
            .buffer_unordered(OBJECTS_AT_ONCE)
            .try_collect()
            .await?;
        for size_bytes in sizes.into_iter().flatten() {
            copied.objects += 1;
            copied.bytes += size_bytes;
        }
        Ok(())
    }

    async fn copy(&self, key: &Key) -> Result<Option<u64>, CopyError> {
        let got = self.from.get(key, GetOptions::default()).await?;
        let Get::Found(object) = got.value else {
            return Ok(None);
        };
        let size_bytes = object.bytes.len() as u64;
        self.to.put(key, object.bytes, PutMode::Overwrite).await?;
        self.progress.inc(size_bytes);
        Ok(Some(size_bytes))
    }
}

/// Retains the keys that don't exist at the destination with the same size. The objects are immutable.
fn retain_missing(
    wanted: &mut BTreeMap<Key, u64>,
    there: &BTreeMap<Key, u64>,
    copied: &mut CopyStats,
) {
    let all = wanted.len();
    wanted.retain(|key, size_bytes| there.get(key) != Some(size_bytes));
    copied.kept += (all - wanted.len()) as u64;
}

/// Prefix of the registers of all databases.
const DATABASES_PREFIX: &str = "db/";

fn check_not_ahead<T>(
    source: &VersionedValue<T>,
    there: &VersionedValue<T>,
    key: Key,
) -> Result<(), CopyError> {
    match there.version > source.version {
        true => Err(CopyError::Ahead { key }),
        false => Ok(()),
    }
}

/// Lists the keys below a prefix that pass the filter, with object sizes.
async fn keys(
    bucket: &Bucket,
    prefix: &str,
    is_wanted: impl Fn(&Key) -> bool,
) -> Result<BTreeMap<Key, u64>, CopyError> {
    let mut keys = BTreeMap::new();
    let mut page_token = None;
    for _ in 0..MAX_PAGES {
        let request = ListRequest {
            prefix,
            start_after: None,
            page_token,
        };
        let page = bucket.list(request).await?.value;
        let parsed = page.entries.iter().filter_map(|entry| {
            let key = entry.key.parse::<Key>().ok()?;
            Some((key, entry.size_bytes))
        });
        keys.extend(parsed.filter(|(key, _)| is_wanted(key)));
        page_token = page.next_page_token;
        if page_token.is_none() {
            return Ok(keys);
        }
    }
    Err(CopyError::ListingTooLong(prefix.to_owned()))
}
