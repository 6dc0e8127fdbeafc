//! The sources of the schema `system`.

use std::{
    collections::BTreeMap,
    sync::{Arc, OnceLock},
};

use neap_bucket::{CountingStore, OperationCounts};
use neap_catalog::{Catalog, EngineLogs};
use neap_schema::DatabaseId;

use super::queries::QueryHistory;
use crate::plugin_files::PluginFiles;

/// The sources of the schema `system`, besides the database of a query.
#[derive(Debug)]
pub struct SystemSources {
    /// The catalogs.
    pub catalog: Arc<Catalog>,
    /// The queries of this process.
    pub queries: Arc<dyn QueryHistory>,
    /// The log lines of plugins of this process that are not in the bucket yet.
    pub plugin_logs: OnceLock<Arc<EngineLogs>>,
    /// The files of plugins, if this process knows them.
    pub plugin_files: OnceLock<Arc<dyn PluginFiles>>,
    /// The requests of this process to the store, if it counts them.
    pub store_requests: OnceLock<StoreRequests>,
    /// Whether `tokens` shows the first characters of hashes.
    pub shows_token_hashes: bool,
}

/// The requests of a process to its stores.
#[derive(Clone, Debug)]
pub struct StoreRequests {
    /// The stores, which count their requests.
    pub stores: Vec<Arc<CountingStore>>,
    /// When the stores were opened, in nanoseconds since the Unix epoch.
    pub since: i64,
}

impl StoreRequests {
    /// Adds up the counts of the stores.
    pub(super) fn by_database(&self) -> BTreeMap<Option<DatabaseId>, OperationCounts> {
        let mut all: BTreeMap<Option<DatabaseId>, OperationCounts> = BTreeMap::new();
        for store in &self.stores {
            for (database, counts) in store.counts_by_database() {
                *all.entry(database).or_default() += counts;
            }
        }
        all
    }
}
