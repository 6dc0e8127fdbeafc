//! One side: a cluster in memory with one database, and what its queries would see.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use arrow_array::{
    Array, RecordBatch, StringArray,
    cast::AsArray,
    types::{Float64Type, Int32Type, TimestampNanosecondType},
};
use async_trait::async_trait;
use axum::{Extension, Router, body::Body};
use http::Request;
use http_body_util::BodyExt;
use neap_bucket::{
    Bucket, Clock, Get, GetOptions, Key, ListRequest, MemoryStore, PausedClock, ProtocolMargins,
    ProtocolRules, RegisterChange, SegmentName, Stamp, Store, VersionedValue, World,
};
use neap_catalog::Catalog;
use neap_compact::{FlushLimits, Flusher, GarbageCollector, GarbageCollectorSettings};
use neap_http::{Caller, STAMP_HEADER};
use neap_manifest::{Manifest, ManifestSettings, ManifestStore, ShippingHold};
use neap_row_delete::{Condition, RowDelete, RowDeleter};
use neap_schema::{DatabaseId, TableId};
use neap_wal::{Segment, TailReader, TailReaderSettings};
use neap_write::{Precision, WriteOptions, WriteService, WriteServiceParts};

use crate::{
    ShipperSettings, SiteAnswer, SiteIdentity, SiteRequest, SiteSource, SiteTarget,
    SiteTargetError, router,
};

/// A second in nanoseconds.
pub(super) const SECOND: i64 = 1_000_000_000;

/// The name of the database of a side.
const NAME: &str = "central";

/// The time after which a request without answer counts as lost.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);

/// A point of table `m`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct PointKey {
    pub(super) site: Option<String>,
    pub(super) host: String,
    /// In seconds.
    pub(super) time: i64,
}

/// The values of points.
pub(super) type Contents = BTreeMap<PointKey, String>;

/// A cluster with the database `central`.
#[derive(Debug)]
pub(super) struct Side {
    pub(super) memory: Arc<MemoryStore>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) service: Arc<WriteService>,
    pub(super) database: DatabaseId,
    flusher: Flusher,
    manifests: ManifestStore,
    /// The segments that flushes took.
    flushed: BTreeSet<SegmentName>,
}

/// Returns a write function over a store.
pub(super) fn write_service(store: Arc<dyn Store>, world: World) -> Arc<WriteService> {
    let bucket = Bucket::new(store, world).trusting_store_clock(true);
    let catalog = Arc::new(Catalog::new(bucket, ProtocolMargins::LOCAL, None));
    let rules = ProtocolRules::new(ProtocolMargins::LOCAL);
    Arc::new(WriteService::new(WriteServiceParts::local(&catalog, rules)))
}

/// Returns the routes of a receiving process for a caller with all permissions.
pub(super) fn receiver(service: &Arc<WriteService>) -> Router {
    router(Arc::clone(service)).layer(Extension(Caller::unrestricted()))
}

pub(super) fn shipper_settings() -> ShipperSettings {
    ShipperSettings {
        identity: SiteIdentity { database: NAME.to_owned(), site: "plant-1".to_owned() },
        skips_history: false,
        part_bytes: ShipperSettings::PART_BYTES,
        interval: Duration::from_secs(5),
    }
}

impl Side {
    /// Returns a site and a receiving cluster with one clock.
    pub(super) async fn pair() -> (Self, Self) {
        // In the year 2023.
        let clock: Arc<dyn Clock> = Arc::new(PausedClock::new(1_700_000_000_000_000));
        let site = Self::new(&clock, 1).await;
        let central = Self::new(&clock, 2).await;
        (site, central)
    }

    async fn new(clock: &Arc<dyn Clock>, seed: u64) -> Self {
        let memory = Arc::new(MemoryStore::new(Arc::clone(clock)));
        let world = World::seeded(Arc::clone(clock), seed);
        let service = write_service(Arc::clone(&memory) as _, world);
        let catalog = service.catalog();
        let database = catalog.create_database(NAME, None).await.unwrap();
        let rules = ProtocolRules::new(ProtocolMargins::LOCAL);
        let bucket = catalog.bucket().clone();
        let manifests = ManifestStore::new(bucket.clone(), &rules, ManifestSettings::default());
        let flusher = Flusher::new(
            bucket.clone(),
            Arc::clone(catalog),
            manifests.clone(),
            TailReader::new(bucket, TailReaderSettings::default()),
            rules,
            FlushLimits::default(),
        );
        Self {
            memory,
            clock: Arc::clone(clock),
            service,
            database,
            flusher,
            manifests,
            flushed: BTreeSet::new(),
        }
    }

    pub(super) async fn sleep(&self, seconds: u64) {
        self.clock.sleep(Duration::from_secs(seconds)).await;
    }

    pub(super) async fn source(&self) -> SiteSource {
        let catalog = Arc::clone(self.service.catalog());
        let opened = SiteSource::open(catalog, self.manifests.clone(), self.database);
        opened.await.unwrap()
    }

    /// Gives the database the hold of another one, as a copy has it.
    pub(super) async fn set_hold(&self, hold: ShippingHold) {
        let set = |base: &VersionedValue<Manifest>| {
            let mut next = Manifest::successor(base);
            next.shipping = Some(hold.clone());
            Ok::<_, ()>(RegisterChange::Put(next, ()))
        };
        self.manifests.register(self.database).commit(None, set).await.unwrap();
    }

    pub(super) fn target(&self) -> RouterTarget {
        RouterTarget {
            router: receiver(&self.service),
            clock: Arc::clone(&self.clock),
        }
    }

    /// Writes lines with times in seconds.
    pub(super) async fn write(&self, lines: &str) {
        let options = WriteOptions::with_precision(Precision::Second);
        let written = self.service.write(NAME, lines.to_owned().into(), options);
        written.await.unwrap();
    }

    /// Deletes rows of the first table.
    pub(super) async fn delete(&self, condition: Condition) {
        let delete = RowDelete { table: TableId::new(1), condition };
        let arrived = self.service.world().clock_reading();
        let (service, database) = (&*self.service, self.database);
        let deleted = RowDeleter::delete_rows(service, database, vec![delete], arrived, None);
        deleted.await.unwrap();
    }

    pub(super) async fn mark(&self) -> Stamp {
        let manifest = self.manifests.read(self.database, None).await;
        manifest.unwrap().value.low_water_mark
    }

    pub(super) async fn keys(&self, prefix: &str) -> Vec<String> {
        let page = self.memory.list(ListRequest::new(prefix)).await.unwrap().value;
        page.entries.into_iter().map(|entry| entry.key).collect()
    }

    async fn tail(&self) -> Vec<SegmentName> {
        let keys = self.keys(Key::TAIL_PREFIX).await;
        let names = keys.iter().map(|key| match key.parse() {
            Ok(Key::Segment(_, name)) => name,
            other => panic!("{other:?}"),
        });
        names.collect()
    }

    /// Flushes all writes that are acknowledged.
    pub(super) async fn flush(&mut self) {
        self.sleep(15).await;
        self.flush_now().await;
    }

    pub(super) async fn flush_now(&mut self) {
        let before = self.mark().await;
        let tail = self.tail().await;
        self.flusher.flush(self.database).await.unwrap();
        let mark = self.mark().await;
        let taken = tail.into_iter().filter(|name| before < name.stamp && name.stamp <= mark);
        self.flushed.extend(taken);
    }

    /// Flushes again and again.
    pub(super) async fn flush_for_ever(&mut self) {
        loop {
            self.sleep(5).await;
            self.flush_now().await;
        }
    }

    /// Deletes the segments that nothing needs any more.
    pub(super) async fn collect_garbage(&self) {
        self.sleep(300).await;
        let collector = GarbageCollector::new(
            self.service.catalog().bucket().clone(),
            Arc::clone(self.service.catalog()),
            self.manifests.clone(),
            GarbageCollectorSettings::default(),
        );
        collector.collect(self.database).await.unwrap();
    }

    /// Returns the segments that are not void, in their order. None of them may be collected.
    pub(super) async fn segments(&self) -> Vec<Segment> {
        let mark = self.mark().await;
        let mut names = self.tail().await;
        names.retain(|name| name.stamp > mark || self.flushed.contains(name));
        names.sort_unstable();
        let mut segments = Vec::new();
        for name in names {
            let key = Key::Segment(self.database, name).to_string();
            let object = self.memory.get(&key, GetOptions::default()).await;
            let Get::Found(object) = object.unwrap().value else {
                panic!("{key}");
            };
            segments.push(Segment::decode(self.database, name, object.bytes).unwrap());
        }
        segments
    }

    /// Returns what queries see.
    pub(super) async fn contents(&self) -> Contents {
        let mut contents = Contents::new();
        for segment in self.segments().await {
            for delete in segment.deletes() {
                contents.retain(|key, _| !holds(&delete.condition, key));
            }
            for table in segment.tables() {
                for batch in segment.rows(table.table).unwrap() {
                    contents.extend(points(&batch));
                }
            }
        }
        contents
    }

    /// Returns what queries see, with the tag that the rows get when they are shipped.
    pub(super) async fn contents_as_site(&self, site: &str) -> Contents {
        let contents = self.contents().await.into_iter();
        let tagged = contents.map(|(key, value)| {
            let site = Some(site.to_owned());
            (PointKey { site, ..key }, value)
        });
        tagged.collect()
    }
}

/// Returns the values of the points of a batch. Values are texts, because they are compared exactly.
fn points(batch: &RecordBatch) -> Vec<(PointKey, String)> {
    let tag = |name: &str, row: usize| {
        let column = batch.column_by_name(name)?.as_dictionary::<Int32Type>();
        let texts = column.downcast_dict::<StringArray>().unwrap();
        (!column.is_null(row)).then(|| texts.into_iter().nth(row).flatten().unwrap().to_owned())
    };
    let time = batch.column_by_name("time").unwrap();
    let times = time.as_primitive::<TimestampNanosecondType>();
    let values = batch.column_by_name("value").unwrap().as_primitive::<Float64Type>();
    (0..batch.num_rows())
        .map(|row| {
            let key = PointKey {
                site: tag("site", row),
                host: tag("host", row).unwrap(),
                time: times.value(row) / SECOND,
            };
            (key, values.value(row).to_string())
        })
        .collect()
}

/// Returns whether a delete applies to a point.
fn holds(condition: &Condition, key: &PointKey) -> bool {
    match condition {
        Condition::Time { min, max } => (*min..=*max).contains(&(key.time * SECOND)),
        Condition::Tag { name, value } => match name.as_str() {
            "site" => *value == key.site,
            "host" => value.as_ref() == Some(&key.host),
            other => panic!("{other}"),
        },
        Condition::All(all) => all.iter().all(|one| holds(one, key)),
        Condition::Any(any) => any.iter().any(|one| holds(one, key)),
    }
}

/// A target that is a process in memory. A request whose sender is gone is still executed.
#[derive(Debug)]
pub(super) struct RouterTarget {
    pub(super) router: Router,
    pub(super) clock: Arc<dyn Clock>,
}

#[async_trait]
impl SiteTarget for RouterTarget {
    async fn send(&self, request: SiteRequest) -> Result<SiteAnswer, SiteTargetError> {
        let query: Vec<_> = request
            .query
            .iter()
            .map(|(name, value)| format!("{name}={}", value.replace('/', "%2F")))
            .collect();
        let mut head = Request::builder()
            .method(request.method)
            .uri(format!("{}?{}", request.path, query.join("&")))
            .header("content-type", request.content_type);
        if let Some(stamp) = request.stamp {
            head = head.header(STAMP_HEADER, stamp.as_u64());
        }
        let sent = head.body(Body::from(request.body)).unwrap();
        let router = self.router.clone();
        let handled = tokio::spawn(tower::ServiceExt::oneshot(router, sent));
        let lost = |message: &str| SiteTargetError::Temporary {
            message: message.to_owned(),
            retry_after: None,
        };
        let world = World::seeded(Arc::clone(&self.clock), 0);
        let response = match world.timeout(REQUEST_TIMEOUT, handled).await {
            Some(response) => response.unwrap().unwrap(),
            None => return Err(lost("no answer")),
        };
        let (head, body) = response.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        let number = |name: &str| head.headers.get(name)?.to_str().ok()?.parse::<u64>().ok();
        Ok(SiteAnswer {
            status: head.status,
            stamp: number("x-neap-stamp").map(Stamp::from_u64),
            retry_after: number("retry-after").map(Duration::from_secs),
            body,
        })
    }
}
