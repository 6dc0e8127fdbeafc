//! Moves of the tail to another location. A process that is configured for another one than the recorded is refused, because
//! it would neither see nor flush the segments of the others, and the others would not see its own.
//!
//! ```text
//!   process with the old location   root catalog                  process with the new and the former location
//!     |                               | <-- commit: the new location ----- |
//!     |   validates writes and lists  |                                    |   waits
//!     |   segments for at most 5 s    |                                    |   (settling time)
//!     |-- GET root catalog ---------> |                                    |-- puts segments into the new location
//!     |   refuses every request       |                                    |-- reads and flushes both
//!     |                               | <-- commit: the former is empty -- |   minutes later
//! ```
//!
//! Every process reads the root catalog before it lists segments ([`Catalog::verify_tail`]), not more than the maximum age
//! of a catalog ago. Therefore no process moves the low-water mark past segments in a location that it does not read.

use std::{sync::atomic::Ordering, time::Duration};

use bytes::Bytes;
use neap_bucket::{
    FormatError, Key, StoreTime, TailLocation, TailLocations, VersionedValue, rewrite_register,
};

use crate::{ANY_AGE, Catalog, CatalogError, RootCatalog, tail_record::TailRecord};

/// Time after a move, by the store's clock, during which a process that learns of the move waits for the settling time.
/// It is much longer than the settling time, because the store's clock may be wrong.
const MOVE_SPREAD_TIME: Duration = Duration::from_secs(10 * 60);

/// Returns the object of a root catalog with another location of the tail, for a copy of the cluster.
///
/// # Errors
/// The object is damaged or too new.
pub fn with_tail_location(object: Bytes, location: &TailLocation) -> Result<Bytes, FormatError> {
    let rewritten = rewrite_register(&Key::RootCatalog, &object, |root: &mut RootCatalog| {
        let record = TailRecord::new(location.clone());
        std::mem::replace(&mut root.tail, record.clone()) != record
    })?;
    Ok(rewritten.unwrap_or(object))
}

impl Catalog {
    /// Verifies that this process reads all segments. Called before each listing of segments whose result must have all
    /// of them. Costs nothing if the store has one location for them, or if the root catalog was read just before.
    ///
    /// # Errors
    /// `OtherTail`, or an error of reading the root catalog.
    pub async fn verify_tail(&self) -> Result<(), CatalogError> {
        if self.bucket.can_move_tail() {
            self.root(self.max_age()).await?;
        }
        Ok(())
    }

    /// Verifies the recorded location of the tail, and moves the tail if this process is configured for that.
    pub(crate) async fn follow_tail(
        &self,
        root: VersionedValue<RootCatalog>,
    ) -> Result<VersionedValue<RootCatalog>, CatalogError> {
        let configured = self.bucket.tail_locations();
        let followed = if root.value.tail.verify(configured).is_ok() {
            root
        } else {
            // Rare, and much larger than a read, which is a part of each request.
            Box::pin(self.move_tail(configured)).await?
        };
        if let Some(former) = &followed.value.tail.former {
            Box::pin(self.await_move(former.since)).await;
        }
        Ok(followed)
    }

    async fn move_tail(
        &self,
        configured: &TailLocations,
    ) -> Result<VersionedValue<RootCatalog>, CatalogError> {
        // Another process may have started or ended a move since the catalog was read.
        let current = self.root.get(Duration::ZERO).await?;
        self.change_known_root(current, |root| {
            if root.tail.verify(configured).is_ok() {
                return Ok((false, ()));
            }
            let now = self.now()?;
            let detail = Some(format!("from {}", root.tail.location));
            root.tail = root.tail.moved(configured, now)?;
            let target = configured.current.to_string();
            root.note(now, "move new data", &target, detail);
            Ok((true, ()))
        })
        .await?;
        Ok(self.root.get(ANY_AGE).await?)
    }

    /// Waits until no process uses a root catalog from before a move of the tail.
    async fn await_move(&self, since: StoreTime) {
        let is_recent = |now: StoreTime| now.since(since) < MOVE_SPREAD_TIME;
        let awaited = self.awaited_move.load(Ordering::Relaxed);
        if awaited != since.micros() && self.bucket.clock().now().is_none_or(is_recent) {
            self.settle().await;
            self.awaited_move.store(since.micros(), Ordering::Relaxed);
        }
    }

    /// Ends a move of the tail if no segment is left in the former location: 1 LIST while the tail is moved. `now` is the
    /// store's time, without doubt.
    ///
    /// # Errors
    /// An error of the listing or the commit.
    pub async fn finish_tail_move(&self, now: StoreTime) -> Result<(), CatalogError> {
        let root = self.root(self.max_age()).await?;
        let Some(former) = root.value.tail.former.clone() else {
            return Ok(());
        };
        // Writes that were validated before the move may be put for some seconds after it.
        let is_settled = now.since(former.since) >= MOVE_SPREAD_TIME;
        if !is_settled || !self.bucket.is_former_tail_empty().await? {
            tracing::info!(former = %former.location, "new data are being moved to another bucket");
            return Ok(());
        }
        self.change_known_root(root, |root| {
            if root.tail.former.as_ref() != Some(&former) {
                return Ok((false, ()));
            }
            root.tail.former = None;
            let target = root.tail.location.to_string();
            let detail = Some(format!("{} is empty", former.location));
            root.note(now, "finish the move of new data", &target, detail);
            Ok((true, ()))
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, atomic::AtomicU64};

    use neap_bucket::{
        Bucket, Clock, MemoryStore, PausedClock, ProtocolMargins, PutMode, SegmentName, Stamp,
        Store, World,
    };
    use neap_schema::DatabaseId;

    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    /// Two buckets, and processes that are configured for one or both of them.
    struct MoveFixture {
        clock: Arc<PausedClock>,
        main: Arc<dyn Store>,
        fast: Arc<dyn Store>,
        processes: AtomicU64,
    }

    impl MoveFixture {
        fn new() -> Self {
            let clock = Arc::new(PausedClock::new(1_757_510_705_000_000));
            let [main, fast] = [(); 2].map(|()| {
                let store = MemoryStore::new(Arc::clone(&clock) as _);
                Arc::new(store) as Arc<dyn Store>
            });
            Self { clock, main, fast, processes: AtomicU64::new(0) }
        }

        fn process(&self, current: Option<&str>, former: Option<TailLocation>) -> Catalog {
            let process = self.processes.fetch_add(1, Ordering::Relaxed);
            let world = World::seeded(Arc::clone(&self.clock) as _, process);
            let store = |location: &TailLocation| {
                Arc::clone(if location.is_main() {
                    &self.main
                } else {
                    &self.fast
                })
            };
            let current = current.map_or(TailLocation::MAIN, TailLocation::bucket);
            let former_store = former.as_ref().map(store);
            let bucket = Bucket::with_tail(Arc::clone(&self.main), store(&current), world)
                .with_tail_locations(TailLocations { current, former }, former_store);
            Catalog::new(bucket, ProtocolMargins::LOCAL, None)
        }
    }

    async fn is_refused(catalog: &Catalog) -> bool {
        let root = catalog.root(Duration::ZERO).await;
        matches!(root, Err(CatalogError::OtherTail { .. }))
    }

    async fn record(catalog: &Catalog) -> TailRecord {
        catalog.root(Duration::ZERO).await.unwrap().value.tail.clone()
    }

    #[tokio::test(start_paused = true)]
    async fn a_process_with_another_tail_is_refused_and_names_both() {
        let fixture = MoveFixture::new();
        let fast = fixture.process(Some("fast"), None);
        fast.create_database("db", None).await.unwrap();
        let main = fixture.process(None, None);
        assert!(is_refused(&main).await);
        let error = main.verify_tail().await.unwrap_err().to_string();
        assert!(error.contains("has new data in bucket 'fast'"), "{error}");
        assert!(error.contains("looks for them in the main bucket"), "{error}");
        let other = fixture.process(Some("other"), Some(TailLocation::MAIN));
        assert!(is_refused(&other).await);
        assert!(fast.verify_tail().await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn a_move_refuses_all_who_do_not_read_both_locations_until_the_former_one_is_empty() {
        let fixture = MoveFixture::new();
        let (old, new) = (fixture.process(None, None), || {
            fixture.process(Some("fast"), Some(TailLocation::MAIN))
        });
        old.create_database("db", None).await.unwrap();
        let name = SegmentName { stamp: Stamp::from_u64(1), nonce: 1 };
        let key = Key::Segment(DatabaseId::new(1), name);
        let put = old.bucket.put(&key, Bytes::new(), PutMode::Create);
        put.await.unwrap();

        let mover = new();
        mover.root(Duration::ZERO).await.unwrap();
        assert!(is_refused(&old).await);
        assert!(is_refused(&fixture.process(Some("fast"), None)).await);
        assert!(!is_refused(&new()).await);

        fixture.clock.sleep(11 * MINUTE).await;
        let now = || mover.bucket.clock().now().unwrap();
        mover.root(Duration::ZERO).await.unwrap();
        mover.finish_tail_move(now()).await.unwrap();
        assert!(is_refused(&fixture.process(Some("fast"), None)).await);
        mover.bucket.delete(&[key.to_string()]).await.unwrap();
        mover.finish_tail_move(now()).await.unwrap();
        assert_eq!(record(&mover).await, TailRecord::new(TailLocation::bucket("fast")));
        assert!(!is_refused(&fixture.process(Some("fast"), None)).await);
        assert!(is_refused(&old).await);
    }

    #[tokio::test(start_paused = true)]
    async fn a_move_is_used_when_no_other_process_relies_on_an_earlier_catalog() {
        let fixture = MoveFixture::new();
        let old = fixture.process(None, None);
        old.root(Duration::ZERO).await.unwrap();
        for _ in 0..2 {
            let new = fixture.process(Some("fast"), Some(TailLocation::MAIN));
            let before = fixture.clock.monotonic();
            new.root(Duration::ZERO).await.unwrap();
            assert!(fixture.clock.monotonic() - before > old.max_age());
            let settled = fixture.clock.monotonic();
            new.root(Duration::ZERO).await.unwrap();
            assert_eq!(fixture.clock.monotonic(), settled);
        }
        fixture.clock.sleep(11 * MINUTE).await;
        let late = fixture.process(Some("fast"), Some(TailLocation::MAIN));
        let before = fixture.clock.monotonic();
        late.root(Duration::ZERO).await.unwrap();
        assert_eq!(fixture.clock.monotonic(), before);
    }

    #[tokio::test(start_paused = true)]
    async fn a_move_can_be_taken_back() {
        let fixture = MoveFixture::new();
        let old = fixture.process(None, None);
        old.root(Duration::ZERO).await.unwrap();
        let new = fixture.process(Some("fast"), Some(TailLocation::MAIN));
        new.root(Duration::ZERO).await.unwrap();
        let back = fixture.process(None, Some(TailLocation::bucket("fast")));
        let former = record(&back).await.former.unwrap();
        assert_eq!(former.location, TailLocation::bucket("fast"));
        assert!(is_refused(&old).await, "it does not read the bucket 'fast'");
    }

    #[tokio::test(start_paused = true)]
    async fn a_copy_of_a_root_catalog_has_the_tail_of_its_own_bucket() {
        let fixture = MoveFixture::new();
        let fast = fixture.process(Some("fast"), None);
        fast.create_database("db", None).await.unwrap();
        let key = Key::RootCatalog;
        let read = fast.bucket.get(&key, neap_bucket::GetOptions::default()).await.unwrap();
        let neap_bucket::Get::Found(object) = read.value else {
            panic!("there is no root catalog");
        };
        let copy = with_tail_location(object.bytes, &TailLocation::MAIN).unwrap();
        fast.bucket.put(&key, copy, PutMode::Overwrite).await.unwrap();
        let there = fixture.process(None, None);
        assert!(there.root(Duration::ZERO).await.unwrap().value.database("db").is_some());
    }
}
