//! The collection of expired query results and records of processes.

use std::time::Duration;

use neap_bucket::{Key, ListEntry};
use neap_catalog::NODE_RECORD_AGE;

use super::{CollectionReport, GarbageCollector};
use crate::{CompactError, listing::ListingPages};

/// Prefix of query results.
const RESULTS_PREFIX: &str = "results/";

impl GarbageCollector {
    /// Deletes expired query results and node records of processes that no longer update them.
    pub async fn collect_results(&self) -> Result<CollectionReport, CompactError> {
        let results = self.collect_expired(RESULTS_PREFIX).await?;
        let nodes = self.collect_expired(Key::NODES_PREFIX);
        Ok(results.and(nodes.await?))
    }

    /// Returns the age since the last put at which an object expires; `None` if it does not expire.
    fn lifetime(&self, key: &str) -> Option<Duration> {
        match key.parse() {
            Ok(Key::QueryResult(..)) => Some(self.settings.result_age),
            Ok(Key::TaskResult(..)) => Some(self.settings.task_result_age),
            Ok(Key::Node(_)) => Some(NODE_RECORD_AGE),
            _ => None,
        }
    }

    /// Deletes the expired objects with a prefix.
    async fn collect_expired(&self, prefix: &str) -> Result<CollectionReport, CompactError> {
        let mut collected = CollectionReport::default();
        let mut pages = ListingPages::new(&self.bucket, prefix);
        while let Some(page) = pages.next().await? {
            let is_expired = |entry: &&ListEntry| {
                let age = page.date.map(|date| date.since(entry.last_modified));
                let lifetime = self.lifetime(&entry.key);
                lifetime.is_some_and(|lifetime| age.is_some_and(|age| age >= lifetime))
            };
            let expired = page.entries.iter().filter(is_expired);
            let keys: Vec<_> = expired.map(|entry| entry.key.clone()).collect();
            collected.results += keys.len();
            self.delete(keys, &mut collected).await?;
        }
        Ok(collected)
    }
}
