//! Rule D: a drop or an undeletion is answered when no instance uses a catalog from before it.
//!
//! ```text
//!   this instance                  store                 another instance
//!     |                              | <--- GET catalog ----- |   confirms the catalog from before the drop
//!     |-- commit the drop ---------> |                        |
//!     |   wait                       |      at most 5 s       |   validates writes and resolves names with it
//!     |   (settling time)            | <--- GET catalog ----- |   sees the drop before it stamps another row
//!     |-- answer the client          |                        |
//! ```
//!
//! Both sides measure time on their own machine: other instances from the start of the request that confirmed their
//! copy, which was before the commit, and this instance from the answer to its commit. The store's clock plays no part.
//! A crash during the wait leaves the drop committed and the client without an answer.

use std::{sync::atomic::Ordering, time::Duration};

use neap_bucket::{Bucket, Key, Operation, ProtocolMargins, ProtocolRules, Stamp, StoreTime};
use neap_schema::DatabaseId;

use crate::{Catalog, CatalogError, Deletion};

/// Maximum duration of the commit of a drop, before its settling time.
const MAX_COMMIT_TIME: Duration = Duration::from_secs(30);

/// Timeout of listing a tail.
const LIST_TIMEOUT: Duration = Duration::from_secs(10);

impl Catalog {
    /// Creates the catalogs of a local bucket that only this process uses, so that drops are answered immediately.
    pub fn for_sole_process(bucket: Bucket) -> Self {
        Self::new(bucket, ProtocolMargins::LOCAL, None).with_sole_process(true)
    }

    /// Sets whether this process is the only known one on its bucket. Drops of a sole process are answered immediately.
    pub fn with_sole_process(mut self, is_sole: bool) -> Self {
        *self.is_sole.get_mut() = is_sole;
        self
    }

    /// Records that there are other processes. Later drops wait for the settling time.
    pub fn end_sole_process(&self) {
        self.is_sole.store(false, Ordering::Relaxed);
    }

    /// Waits until no instance uses a catalog from before this call.
    pub(crate) async fn settle(&self) {
        if !self.is_sole.load(Ordering::Relaxed) {
            let rules = self.rules.unwrap_or_else(|| ProtocolRules::new(self.known_margins()));
            let clock = &self.bucket.world().clock;
            clock.sleep(rules.settling_time).await;
        }
    }

    /// Waits for the settling time after a change that takes a column or an alias away. A missing one may just have been taken
    /// away by a request that the client repeats.
    pub(crate) async fn settle_removal<T>(
        &self,
        removed: Result<T, CatalogError>,
    ) -> Result<T, CatalogError> {
        if let Ok(_) | Err(CatalogError::NotFound { .. } | CatalogError::NoSuchColumn { .. }) =
            removed
        {
            self.settle().await;
        }
        removed
    }

    /// Waits for the settling time if the missing database or table was dropped recently, because a client that repeats
    /// an unanswered drop relies on the second answer as on the first. `known` yields the original names of all
    /// databases or tables, with their deletions.
    pub(crate) async fn settle_missing<'a>(
        &self,
        name: &str,
        known: impl Iterator<Item = (&'a str, Option<Deletion>)>,
    ) {
        let now = self.bucket.clock().now();
        let is_recent = |deletion: Deletion| {
            now.is_none_or(|now| now.since(deletion.deleted_at) <= MAX_COMMIT_TIME)
        };
        let mut dropped = known.filter_map(|(known, deletion)| Some((known, deletion?)));
        if dropped.any(|(known, deletion)| known == name && is_recent(deletion)) {
            self.settle().await;
        }
    }

    /// Returns the present time of the store, or a later one above every stamp of the database that was acknowledged
    /// before this call. A version as of such a stamp is then from before an event at the returned time.
    pub(crate) async fn time_after_writes(
        &self,
        database: DatabaseId,
    ) -> Result<StoreTime, CatalogError> {
        let now = self.now()?;
        let listing = self.bucket.newest_stamp(database, Stamp::end_of(now));
        let prefix = Key::tail_prefix(database);
        let newest = self.bucket.in_time(LIST_TIMEOUT, Operation::List, prefix, listing).await?;
        Ok(newest.map_or(now, |stamp| stamp.time().plus(Duration::from_micros(1))))
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use neap_bucket::{MAX_CATALOG_AGE, PutMode, SegmentName, WriteOrder};

    use super::*;
    use crate::{HardDelete, tests::CatalogFixture};

    const NEVER: HardDelete = HardDelete::Never;

    #[tokio::test(start_paused = true)]
    async fn a_drop_is_answered_after_other_instances_see_it() {
        let stage = CatalogFixture::new();
        let (one, other) = (stage.instance(), stage.instance());
        let id = one.create_database("db", None).await.unwrap();
        one.create_table(id, "t", &[], &[]).await.unwrap();
        let has_table = async || {
            let catalog = other.database(id, MAX_CATALOG_AGE).await.unwrap();
            catalog.value.table("t").is_some()
        };
        assert!(has_table().await);
        one.delete_table(id, "t", NEVER).await.unwrap();
        assert!(!has_table().await);
        one.undelete_table(id, "t", None).await.unwrap();
        assert!(has_table().await);

        let find = async || other.database_by_name("db", MAX_CATALOG_AGE).await.unwrap();
        assert_eq!(find().await, Some(id));
        one.delete_database("db", NEVER).await.unwrap();
        assert_eq!(find().await, None);
        one.undelete_database("db", None).await.unwrap();
        assert_eq!(find().await, Some(id));

        other.database(id, MAX_CATALOG_AGE).await.unwrap();
        one.set_write_order(id, WriteOrder::Strict).await.unwrap();
        let catalog = other.database(id, MAX_CATALOG_AGE).await.unwrap();
        assert_eq!(catalog.value.write_order(), WriteOrder::Strict);
    }

    #[tokio::test(start_paused = true)]
    async fn instances_follow_the_margins_that_the_cluster_was_created_with() {
        let stage = CatalogFixture::new();
        let short = ProtocolMargins::SHORT_LOCAL;
        let creator = Catalog::new(stage.bucket.clone(), short, None);
        let other = stage.instance();
        let id = creator.create_database("db", None).await.unwrap();
        assert_eq!(other.max_age(), MAX_CATALOG_AGE);
        assert_eq!(other.rules().await.unwrap(), ProtocolRules::new(short));
        assert_eq!(other.max_age(), short.max_catalog_age());

        creator.create_table(id, "t", &[], &[]).await.unwrap();
        let has_table = async |max_age: Duration| {
            let catalog = creator.database(id, max_age).await.unwrap();
            catalog.value.table("t").is_some()
        };
        assert!(has_table(Duration::ZERO).await);
        let clock = &stage.bucket.world().clock;
        let started_at = clock.monotonic();
        other.delete_table(id, "t", NEVER).await.unwrap();
        let waited = clock.monotonic() - started_at;
        assert!(waited > short.max_catalog_age());
        assert!(waited < MAX_CATALOG_AGE);
        assert!(!has_table(creator.max_age()).await);
    }

    #[tokio::test(start_paused = true)]
    async fn a_repeated_drop_waits_for_the_settling_time_too() {
        let stage = CatalogFixture::new();
        let (one, other) = (stage.instance(), stage.instance());
        let id = one.create_database("db", None).await.unwrap();
        one.create_table(id, "t", &[], &[]).await.unwrap();
        let catalog = other.database(id, MAX_CATALOG_AGE).await.unwrap();
        assert!(catalog.value.table("t").is_some());
        // The client disconnects during the settling time, and retries.
        let drop = one.delete_table(id, "t", NEVER);
        let world = stage.bucket.world();
        assert!(world.timeout(Duration::from_secs(1), drop).await.is_none());
        let again = one.delete_table(id, "t", NEVER).await;
        assert!(matches!(again, Err(CatalogError::NotFound { .. })));
        let catalog = other.database(id, MAX_CATALOG_AGE).await.unwrap();
        assert!(catalog.value.table("t").is_none());

        assert!(other.root(MAX_CATALOG_AGE).await.is_ok());
        let drop = one.delete_database("db", NEVER);
        assert!(world.timeout(Duration::from_secs(1), drop).await.is_none());
        let again = one.delete_database("db", NEVER).await;
        assert!(matches!(again, Err(CatalogError::NotFound { .. })));
        let root = other.root(MAX_CATALOG_AGE).await.unwrap();
        assert_eq!(root.value.database("db"), None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_sole_process_answers_a_drop_immediately() {
        let stage = CatalogFixture::new();
        let catalog = stage.instance().with_sole_process(true);
        let clock = &stage.bucket.world().clock;
        let started_at = clock.monotonic();
        catalog.create_database("db", None).await.unwrap();
        catalog.delete_database("db", NEVER).await.unwrap();
        assert_eq!(clock.monotonic(), started_at);
        catalog.end_sole_process();
        catalog.undelete_database("db", None).await.unwrap();
        assert!(clock.monotonic() - started_at > MAX_CATALOG_AGE);
    }

    #[tokio::test(start_paused = true)]
    async fn the_time_of_a_drop_is_above_all_acknowledged_stamps() {
        let (stage, catalog) = CatalogFixture::with_instance();
        let id = catalog.create_database("db", None).await.unwrap();
        catalog.create_table(id, "t", &[], &[]).await.unwrap();
        let now = stage.bucket.clock().now().unwrap_or(catalog.now().unwrap());
        let stamp = Stamp::new(now.plus(Duration::from_millis(900)), 7);
        let key = Key::Segment(id, SegmentName { stamp, nonce: 1 });
        let put = stage.bucket.put(&key, Bytes::new(), PutMode::Overwrite);
        put.await.unwrap();
        let table = catalog.delete_table(id, "t", NEVER).await.unwrap();
        let read = catalog.database(id, Duration::ZERO).await.unwrap().value;
        let deletion = read.table_by_id(table).unwrap().deletion().unwrap();
        assert!(deletion.deleted_at > stamp.time());
    }

    #[test]
    fn the_write_order_is_serialized_only_if_it_was_set() {
        let mut catalog = crate::DatabaseCatalog::default();
        let json = serde_json::to_value(&catalog).unwrap();
        assert_eq!(json.get("write_order"), None);
        assert!(catalog.set_write_order(WriteOrder::Strict));
        assert!(!catalog.set_write_order(WriteOrder::Strict));
        let json = serde_json::to_value(&catalog).unwrap();
        assert_eq!(json["write_order"], "strict");
        let read: crate::DatabaseCatalog = serde_json::from_value(json).unwrap();
        assert_eq!(read.write_order(), WriteOrder::Strict);
    }
}
