//! Opens the store that the options name, for the server and for commands that work without one.

mod timing;

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use neap_aws_chain::AwsCredentialChain;
use neap_bucket::{
    Bucket, CountingStore, Get, GetOptions, Key, KeyClass, ObjectStoreKind, ObjectUploads,
    OpenedStore, Operation, OperationCount, ProtocolMargins, Store, StoreConfig, StoreConfigError,
    StoreError, StoreKind, StoreUrl, World,
    conformance::{self, ConformanceReport},
};
use neap_http::Metrics;
use neap_query::StoreRequests;

use self::timing::{StoreMetrics, TimedStore};

/// Folder name below the user's data directory.
const FOLDER: &str = "neap";

/// The stores of a bucket, with counted and timed requests.
#[derive(Debug)]
pub struct Stores {
    /// Bucket on the stores.
    pub bucket: Bucket,
    /// Kind of the store.
    pub kind: StoreKind,
    /// Margins of a new cluster.
    pub margins: ProtocolMargins,
    /// Description of the location, for messages.
    pub place: String,
    /// Uploads of objects that `COPY` statements produce.
    pub uploads: ObjectUploads,
    /// Metrics registry of the process, which already contains the store metrics.
    pub metrics: Metrics,
    counters: Vec<Arc<CountingStore>>,
    times: StoreMetrics,
    /// When the stores were opened, in nanoseconds since the Unix epoch.
    opened: i64,
    world: World,
}

/// Error of a store that can't be used.
#[derive(Debug, thiserror::Error)]
pub enum StoresError {
    /// The options name no usable store.
    #[error(transparent)]
    Config(#[from] StoreConfigError),
    /// The store does not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The store lacks an operation that Neap needs.
    #[error("{place} can't be used, data could be lost:\n{report}")]
    Unsupported {
        /// The store.
        place: String,
        /// Results of the checks.
        report: ConformanceReport,
    },
}

/// Opens the store that the options name, with the credential chain of the AWS SDK.
///
/// # Errors
///
/// The options name no usable store.
pub fn open(config: &StoreConfig, world: &World) -> Result<OpenedStore, StoreConfigError> {
    config.open(world, Some(&AwsCredentialChain::for_store(config)))
}

impl Stores {
    /// Opens the store that the options name; by default, a folder of the user.
    pub fn open(config: &StoreConfig, world: &World) -> Result<Self, StoresError> {
        let metrics = Metrics::default();
        let times = StoreMetrics::new(&metrics);
        Self::open_with(config, world, metrics, times)
    }

    fn open_with(
        config: &StoreConfig,
        world: &World,
        metrics: Metrics,
        times: StoreMetrics,
    ) -> Result<Self, StoresError> {
        let config = with_default_folder(config);
        let opened = open(&config, world)?;
        let (bucket, counters) = opened.bucket(world, |store| {
            let timed = TimedStore::new(store, Arc::clone(&world.clock), times.clone());
            CountingStore::new(Arc::new(timed))
        });
        Ok(Self {
            bucket,
            kind: opened.kind,
            margins: opened.margins,
            place: place(&config),
            uploads: opened.uploads,
            metrics,
            counters,
            times,
            opened: world.clock.wall_micros().saturating_mul(1_000),
            world: world.clone(),
        })
    }

    /// Sets whether the store's clock is right even if it differs from this machine's clock.
    #[must_use]
    pub fn trusting_store_clock(self, trusted: bool) -> Self {
        Self { bucket: self.bucket.trusting_store_clock(trusted), ..self }
    }

    /// Opens the same store over separate connections, for background work that must not slow down requests. An
    /// in-memory store has only one instance, which is returned.
    ///
    /// # Errors
    ///
    /// The store can't be opened a second time.
    pub fn open_again(&mut self, config: &StoreConfig) -> Result<Bucket, StoresError> {
        if self.kind == StoreKind::Memory {
            return Ok(self.bucket.clone());
        }
        let (metrics, times) = (self.metrics.clone(), self.times.clone());
        let other = Self::open_with(config, &self.world, metrics, times)?;
        self.counters.extend(other.counters);
        let trusted = self.bucket.trusts_store_clock();
        Ok(other.bucket.trusting_store_clock(trusted))
    }

    /// Checks the most important properties of a store that is still empty.
    ///
    /// # Errors
    ///
    /// The store does not answer, or lacks an operation that Neap needs.
    pub async fn probe_if_unused(&self) -> Result<(), StoresError> {
        if self.kind == StoreKind::Memory {
            return Ok(());
        }
        let root = self.bucket.get(&Key::RootCatalog, GetOptions::default()).await?;
        if !matches!(root.value, Get::Missing) {
            return Ok(());
        }
        for store in self.each() {
            let run = self.world.entropy.next_u64();
            let report = conformance::probe(&store, &self.world, run).await;
            self.require_supported(report)?;
        }
        Ok(())
    }

    /// Checks all operations that Neap needs, and returns the report.
    ///
    /// # Errors
    ///
    /// The store lacks an operation.
    pub async fn check(&self) -> Result<String, StoresError> {
        let mut text = String::new();
        for store in self.each() {
            let run = self.world.entropy.next_u64();
            let report = conformance::check(&store, &self.world, run).await;
            text.push_str(&report.to_string());
            self.require_supported(report)?;
        }
        Ok(text)
    }

    fn each(&self) -> impl Iterator<Item = Arc<dyn Store>> {
        self.counters.iter().map(|store| Arc::clone(store) as Arc<dyn Store>)
    }

    fn require_supported(&self, report: ConformanceReport) -> Result<(), StoresError> {
        if report.passed() {
            Ok(())
        } else {
            Err(StoresError::Unsupported { place: self.place.clone(), report })
        }
    }

    /// Returns the requests so far by operation and key class.
    pub fn requests(&self) -> StoreRequestCounts {
        StoreRequestCounts(self.counters.clone())
    }

    /// Returns the stores with their counts, and when they were opened.
    pub fn counted_requests(&self) -> StoreRequests {
        StoreRequests { stores: self.counters.clone(), since: self.opened }
    }
}

/// Request counters of the stores of a bucket.
#[derive(Clone, Debug)]
pub struct StoreRequestCounts(Vec<Arc<CountingStore>>);

impl StoreRequestCounts {
    /// Returns all nonzero counts.
    pub fn counts(&self) -> Vec<(Operation, KeyClass, OperationCount)> {
        let mut all: Vec<(Operation, KeyClass, OperationCount)> = Vec::new();
        for (operation, class, count) in
            self.0.iter().flat_map(|store| store.counts().iter().collect::<Vec<_>>())
        {
            match all.iter_mut().find(|known| (known.0, known.1) == (operation, class)) {
                None => all.push((operation, class, count)),
                Some((_, _, known)) => {
                    known.requests += count.requests;
                    known.bytes += count.bytes;
                }
            }
        }
        all
    }
}

/// Returns the data directory, if the store is a directory.
pub fn data_directory(config: &StoreConfig) -> Option<PathBuf> {
    if config.kind() != ObjectStoreKind::File {
        return None;
    }
    let of_user = || dirs::data_dir().map(|folder| folder.join(FOLDER));
    config.data_dir.clone().or_else(of_user)
}

/// Returns the URL of the store's objects.
///
/// # Errors
///
/// The options name no usable store, or other programs can't read it.
pub fn url(config: &StoreConfig) -> Result<StoreUrl, StoresError> {
    Ok(StoreUrl::from_config(&with_default_folder(config))?)
}

fn with_default_folder(config: &StoreConfig) -> StoreConfig {
    StoreConfig {
        data_dir: data_directory(config).or_else(|| config.data_dir.clone()),
        ..config.clone()
    }
}

fn place(config: &StoreConfig) -> String {
    let bucket = config.bucket.as_deref().unwrap_or_default();
    let shown = |name: &Option<String>, what| {
        name.as_ref().map_or(String::new(), |name| format!(", {what} in bucket {name}"))
    };
    let tail = shown(&config.tail_bucket, "new data");
    let former = shown(&config.former_tail_bucket, "earlier ones");
    match config.kind() {
        ObjectStoreKind::Memory | ObjectStoreKind::MemoryThrottled => {
            "the memory of this process, gone when it ends".to_owned()
        }
        ObjectStoreKind::File => {
            let folder = config.data_dir.as_deref().map(Path::display);
            folder.map_or(String::new(), |folder| format!("directory {folder}"))
        }
        kind => format!("{kind} bucket {bucket}{tail}{former}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_options_the_data_are_in_a_folder_of_the_user() {
        let config = with_default_folder(&StoreConfig::default());
        assert!(config.data_dir.unwrap().ends_with(FOLDER));
    }

    #[tokio::test]
    async fn an_unused_directory_passes_the_probe() {
        let folder = tempfile::tempdir().unwrap();
        let config = StoreConfig {
            data_dir: Some(folder.path().to_owned()),
            ..StoreConfig::default()
        };
        let stores = Stores::open(&config, &World::system()).unwrap();
        assert_eq!(stores.place, format!("directory {}", folder.path().display()));
        stores.probe_if_unused().await.unwrap();
        let requests: u64 = stores.requests().counts().iter().map(|count| count.2.requests).sum();
        assert!((3..40).contains(&requests), "{requests}");
    }
}
