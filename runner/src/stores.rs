//! Opening the store that the options name, for the commands that work on it without a server.

mod timing;

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use neap_aws_chain::AwsChain;
use neap_bucket::{
    AwsCredentialSource, Bucket, Count, CountingStore, Get, GetOptions, Key, KeyClass, Margins,
    ObjectStoreKind, OpenedStore, Operation, Store, StoreConfig, StoreConfigError, StoreError,
    StoreKind, World,
    conformance::{self, Report},
};
use neap_http::Metrics;

use self::timing::{StoreTimes, TimedStore};

/// The folder below the user's folder for data.
const FOLDER: &str = "neap";

/// A store with its requests counted and timed.
#[derive(Debug)]
pub(crate) struct Stores {
    /// The bucket on it.
    pub(crate) bucket: Bucket,
    /// What kind it is.
    pub(crate) kind: StoreKind,
    /// The margins that a new cluster gets.
    pub(crate) margins: Margins,
    /// What people call the place.
    pub(crate) place: String,
    /// The metrics of the process, of which the first are those of the store.
    pub(crate) metrics: Metrics,
    counters: Vec<Arc<CountingStore>>,
    times: StoreTimes,
    world: World,
}

/// Why a store can't be used.
#[derive(Debug, thiserror::Error)]
pub enum StoresError {
    /// The options open none.
    #[error(transparent)]
    Config(#[from] StoreConfigError),
    /// It does not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// It lacks what Neap needs.
    #[error("{place} can't be used, data could be lost:\n{report}")]
    Unfit {
        /// The store.
        place: String,
        /// What was tried.
        report: Report,
    },
}

/// Opens what the options name, with the AWS SDK's chain of credentials.
///
/// # Errors
///
/// The options open none.
pub(crate) fn open(config: &StoreConfig, world: &World) -> Result<OpenedStore, StoreConfigError> {
    let chain: Arc<dyn AwsCredentialSource> = Arc::new(AwsChain::default());
    config.open(world, Some(&chain))
}

impl Stores {
    /// Opens what the options name; a folder of the user's if they name nothing.
    pub(crate) fn open(config: &StoreConfig, world: &World) -> Result<Self, StoresError> {
        let metrics = Metrics::default();
        let times = StoreTimes::new(&metrics);
        Self::open_with(config, world, metrics, times)
    }

    fn open_with(
        config: &StoreConfig,
        world: &World,
        metrics: Metrics,
        times: StoreTimes,
    ) -> Result<Self, StoresError> {
        let config = with_default_folder(config);
        let opened = open(&config, world)?;
        let count = |store| {
            let timed = TimedStore::new(store, Arc::clone(&world.clock), times.clone());
            Arc::new(CountingStore::new(Arc::new(timed)))
        };
        let is_one = Arc::ptr_eq(&opened.main, &opened.tail);
        let main = count(opened.main);
        let counted = Arc::clone(&main) as Arc<dyn Store>;
        let (bucket, counters) = if is_one {
            (Bucket::new(counted, world.clone()), vec![main])
        } else {
            let tail = count(opened.tail);
            let bucket = Bucket::with_tail(counted, Arc::clone(&tail) as _, world.clone());
            (bucket, vec![main, tail])
        };
        Ok(Self {
            bucket,
            kind: opened.kind,
            margins: opened.margins,
            place: place(&config),
            metrics,
            counters,
            times,
            world: world.clone(),
        })
    }

    /// The same store over connections of its own, for work that must not get in the way of the rest. In
    /// memory, which is there only once, it is the same.
    ///
    /// # Errors
    ///
    /// It can't be opened a second time.
    pub(crate) fn open_again(&mut self, config: &StoreConfig) -> Result<Bucket, StoresError> {
        if self.kind == StoreKind::Memory {
            return Ok(self.bucket.clone());
        }
        let (metrics, times) = (self.metrics.clone(), self.times.clone());
        let other = Self::open_with(config, &self.world, metrics, times)?;
        self.counters.extend(other.counters);
        Ok(other.bucket)
    }

    /// Tries the most important properties of a store that holds nothing yet.
    ///
    /// # Errors
    ///
    /// The store does not answer, or lacks what Neap needs.
    pub(crate) async fn probe_if_unused(&self) -> Result<(), StoresError> {
        if self.kind == StoreKind::Memory {
            return Ok(());
        }
        let root = self
            .bucket
            .get(&Key::RootCatalog, GetOptions::default())
            .await?;
        if !matches!(root.value, Get::Missing) {
            return Ok(());
        }
        for store in self.each() {
            let run = self.world.entropy.next_u64();
            let report = conformance::probe(&store, &self.world, run).await;
            self.judge(report)?;
        }
        Ok(())
    }

    /// Tries everything that Neap needs, and tells what it found.
    ///
    /// # Errors
    ///
    /// The store lacks something.
    pub(crate) async fn check(&self) -> Result<String, StoresError> {
        let mut text = String::new();
        for store in self.each() {
            let run = self.world.entropy.next_u64();
            let report = conformance::check(&store, &self.world, run).await;
            text.push_str(&report.to_string());
            self.judge(report)?;
        }
        Ok(text)
    }

    fn each(&self) -> impl Iterator<Item = Arc<dyn Store>> {
        self.counters
            .iter()
            .map(|store| Arc::clone(store) as Arc<dyn Store>)
    }

    fn judge(&self, report: Report) -> Result<(), StoresError> {
        match report.passed() {
            true => Ok(()),
            false => Err(StoresError::Unfit {
                place: self.place.clone(),
                report,
            }),
        }
    }

    /// The requests so far by operation and class of key.
    pub(crate) fn requests(&self) -> Requests {
        Requests(self.counters.clone())
    }
}

/// The requests to the stores of a bucket.
#[derive(Clone, Debug)]
pub(crate) struct Requests(Vec<Arc<CountingStore>>);

impl Requests {
    /// All counts that are not zero.
    pub(crate) fn counts(&self) -> Vec<(Operation, KeyClass, Count)> {
        let mut all: Vec<(Operation, KeyClass, Count)> = Vec::new();
        for (operation, class, count) in self
            .0
            .iter()
            .flat_map(|store| store.counts().iter().collect::<Vec<_>>())
        {
            match all
                .iter_mut()
                .find(|known| (known.0, known.1) == (operation, class))
            {
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

/// The directory that the data are in, if they are in one.
pub(crate) fn data_directory(config: &StoreConfig) -> Option<PathBuf> {
    if config.kind() != ObjectStoreKind::File {
        return None;
    }
    let of_user = || dirs::data_dir().map(|folder| folder.join(FOLDER));
    config.data_dir.clone().or_else(of_user)
}

fn with_default_folder(config: &StoreConfig) -> StoreConfig {
    StoreConfig {
        data_dir: data_directory(config).or_else(|| config.data_dir.clone()),
        ..config.clone()
    }
}

fn place(config: &StoreConfig) -> String {
    let bucket = config.bucket.as_deref().unwrap_or_default();
    let tail = config.tail_bucket.as_ref();
    let tail = tail.map_or(String::new(), |tail| format!(", new data in bucket {tail}"));
    match config.kind() {
        ObjectStoreKind::Memory | ObjectStoreKind::MemoryThrottled => {
            "the memory of this process, gone when it ends".to_owned()
        }
        ObjectStoreKind::File => {
            let folder = config.data_dir.as_deref().map(Path::display);
            folder.map_or(String::new(), |folder| format!("directory {folder}"))
        }
        kind => format!("{kind} bucket {bucket}{tail}"),
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
    async fn an_unused_directory_is_tried_and_found_fit() {
        let folder = tempfile::tempdir().unwrap();
        let config = StoreConfig {
            data_dir: Some(folder.path().to_owned()),
            ..StoreConfig::default()
        };
        let stores = Stores::open(&config, &World::system()).unwrap();
        assert_eq!(
            stores.place,
            format!("directory {}", folder.path().display())
        );
        stores.probe_if_unused().await.unwrap();
        let requests: u64 = stores
            .requests()
            .counts()
            .iter()
            .map(|count| count.2.requests)
            .sum();
        assert!((3..40).contains(&requests), "{requests}");
    }
}
