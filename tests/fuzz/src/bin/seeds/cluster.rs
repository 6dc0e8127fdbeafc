//! The objects of a cluster in memory: rows are written, deleted and flushed.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use neap_bucket::{
    Bucket, Clock, Get, GetOptions, HEADER_BYTES, Key, ListRequest, MemoryStore, ProtocolRules,
    World, compression,
};
use neap_catalog::{
    ANY_AGE, Catalog, DocumentKind, DocumentStore, ErrorBehavior, NewDistinctCache, NewDocument,
    NewLastCache, NewTrigger, TriggerSpecification,
};
use neap_compact::{FlushLimits, Flusher};
use neap_manifest::{LoggedRowDelete, ManifestSettings, ManifestStore, RowDeleteLog};
use neap_row_delete::Predicate;
use neap_schema::DatabaseId;
use neap_wal::{TailReader, TailReaderSettings};
use neap_write::{DeleteOptions, RowSelection, WriteOptions, WriteService, WriteServiceParts};

use crate::{
    Seeds,
    stepped_clock::{START_NS, SteppedClock},
};

const DATABASE: &str = "garden";

/// The number of sections in a manifest before older ones move to pages.
const INLINE_SECTIONS: usize = 2;

/// Maximum length of a seed in bytes.
const MAX_SEED_BYTES: usize = 6 << 10;

/// A cluster in memory.
struct Cluster {
    clock: Arc<SteppedClock>,
    bucket: Bucket,
    catalog: Arc<Catalog>,
    writer: WriteService,
    flusher: Flusher,
}

/// Adds the objects of a cluster.
pub(crate) fn add_objects(seeds: &mut Seeds) {
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    runtime.expect("a runtime").block_on(async {
        let cluster = Cluster::new().await;
        cluster.fill(seeds).await;
        cluster.add_seeds(seeds).await;
    });
}

impl Cluster {
    async fn new() -> Self {
        let clock = Arc::new(SteppedClock::default());
        let store = MemoryStore::new(Arc::clone(&clock) as Arc<dyn Clock>);
        let world = World::seeded(Arc::clone(&clock) as Arc<dyn Clock>, 1);
        let bucket = Bucket::new(Arc::new(store), world);
        // Changes do not wait for other processes, because the clock does not advance by itself.
        let catalog = Arc::new(Catalog::for_sole_process(bucket.clone()));
        let rules: ProtocolRules = catalog.rules().await.expect("a catalog");
        let settings = ManifestSettings::with_inline_sections(INLINE_SECTIONS);
        let writer = WriteService::new(WriteServiceParts::local(&catalog, rules));
        let flusher = Flusher::new(
            bucket.clone(),
            Arc::clone(&catalog),
            ManifestStore::new(bucket.clone(), &rules, settings),
            TailReader::new(bucket.clone(), TailReaderSettings::default()),
            rules,
            FlushLimits::default(),
        );
        Self { clock, bucket, catalog, writer, flusher }
    }

    /// Writes, deletes and flushes rows, and adds the segments of the tail before each flush.
    async fn fill(&self, seeds: &mut Seeds) {
        self.write("bed,zone=a,host=x moisture=0.5,pump=3i,on=true 1").await;
        let database = self.database().await;
        self.define(database).await;
        for day in 0..5_i64 {
            let time = START_NS + day * 86_400_000_000_000;
            let bed = format!("bed,zone=a,host=x moisture={day}.25,note=\"wet\" {time}");
            let sky = format!("sky,station=s{day} rain={day}u,clouds=f {time}");
            self.write(&format!("{bed}\nbed,zone=b moisture=0.75 {time}\n{sky}")).await;
            // Enough rows for narrow columns.
            let plot = |plot: i64| {
                let (count, level) = (plot * 7 - day * 1_000, plot * 1_000);
                format!("plots,plot=p{plot} count={count}i,level={level}u {time}\n")
            };
            self.write(&(0..400).map(plot).collect::<String>()).await;
            self.delete(&format!("zone='b' AND host='h{day}'"), time).await;
            self.add_objects(seeds, |key| matches!(key, Key::Segment(..))).await;
            self.clock.advance(Duration::from_secs(60));
            self.flusher.flush(database).await.expect("a flush");
        }
        self.write(&format!("bed,zone=c moisture=1 {START_NS}")).await;
    }

    /// Creates caches, a trigger, a token, a document, and an entry of the log of deletes.
    async fn define(&self, database: DatabaseId) {
        let last = NewLastCache {
            table: "bed".to_owned(),
            name: None,
            key_columns: Some(vec!["zone".to_owned()]),
            value_columns: None,
            count: 2,
            ttl_s: 600,
        };
        self.catalog.create_last_cache(database, &last).await.expect("a cache");
        let distinct = NewDistinctCache {
            table: "bed".to_owned(),
            name: Some("hosts".to_owned()),
            columns: vec!["host".to_owned()],
            max_cardinality: 10,
            max_age_s: 600,
        };
        self.catalog.create_distinct_cache(database, &distinct).await.expect("a cache");
        let trigger = NewTrigger {
            error_behavior: ErrorBehavior::Retry,
            ..NewTrigger::new(
                "water",
                "water.py",
                TriggerSpecification::Every { duration: Duration::from_secs(60) },
            )
        };
        self.catalog.create_trigger(database, &trigger).await.expect("a trigger");
        self.catalog.create_admin_token().await.expect("a token");
        let retention = Some(Duration::from_secs(86_400));
        self.catalog.set_retention(database, retention).await.expect("a retention");
        self.catalog.create_database("empty", None).await.expect("a database");
        let document = NewDocument {
            name: "rain".to_owned(),
            content: "{}".to_owned(),
            updated_by: None,
        };
        let documents = DocumentStore::new(&self.catalog, database);
        documents.create(DocumentKind::Query, document).await.expect("a document");
        self.log_delete(database).await;
    }

    async fn log_delete(&self, database: DatabaseId) {
        let delete = LoggedRowDelete {
            database,
            table: neap_schema::TableId::new(1),
            database_name: DATABASE.to_owned(),
            table_name: "bed".to_owned(),
            min_time: Some(1),
            max_time: None,
            predicate: "zone='b'".to_owned(),
            stamp: None,
        };
        RowDeleteLog::new(&self.catalog).add(delete).await.expect("a log of deletes");
    }

    async fn write(&self, lines: &str) {
        self.clock.advance(Duration::from_millis(1));
        let body = Bytes::from(lines.to_owned());
        let written = self.writer.write(DATABASE, body, WriteOptions::default()).await;
        written.expect("rows are stored");
    }

    async fn delete(&self, predicate: &str, before: i64) {
        self.clock.advance(Duration::from_millis(1));
        let selection = RowSelection {
            table: Some("bed".to_owned()),
            predicate: Predicate::parse(predicate).expect("a predicate"),
            min_time: 0,
            max_time: before,
        };
        let options = DeleteOptions::default();
        let deleted = self.writer.delete_rows(DATABASE, &selection, options).await;
        deleted.expect("a delete is stored");
    }

    async fn database(&self) -> DatabaseId {
        let root = self.catalog.root(ANY_AGE).await.expect("the root catalog");
        root.value.database(DATABASE).expect("it was written to")
    }

    /// Adds all objects except segments that are flushed.
    async fn add_seeds(&self, seeds: &mut Seeds) {
        self.add_objects(seeds, |_| true).await;
    }

    async fn add_objects(&self, seeds: &mut Seeds, is_wanted: fn(&Key) -> bool) {
        let page = self.bucket.list(ListRequest::new("")).await.expect("a listing").value;
        for entry in page.entries {
            let key: Key = entry.key.parse().expect("a key of the product");
            if is_wanted(&key) {
                let got = self.bucket.get(&key, GetOptions::default()).await;
                let Get::Found(object) = got.expect("memory answers").value else {
                    continue;
                };
                add_object(seeds, &key, &object.bytes);
            }
        }
    }
}

fn add_object(seeds: &mut Seeds, key: &Key, object: &Bytes) {
    let target = match key {
        Key::RootCatalog => "root-catalog",
        Key::DatabaseCatalog(_) => "database-catalog",
        Key::Manifest(_) => "manifest",
        Key::Documents(_) | Key::RowDeletes => "other-register",
        Key::Segment(..) => return add_bytes(seeds, "wal-segment", object),
        Key::Parquet(..) => {
            add_bytes(seeds, "section", object);
            return add_bytes(seeds, "parquet-file", object);
        }
        Key::Page(..) => return add_page(seeds, object),
        _ => return,
    };
    let frame = object.slice(HEADER_BYTES..);
    let json = compression::decompress(&frame).expect("a register");
    add_bytes(seeds, target, &json);
    add_bytes(seeds, "register-frame", &frame);
}

/// Adds the first page of an object: its JSON, a zero, and the footers.
fn add_page(seeds: &mut Seeds, object: &Bytes) {
    let payload = object.slice(HEADER_BYTES..);
    let (length, rest) = payload.split_first_chunk::<4>().expect("a page");
    let length = usize::try_from(u32::from_le_bytes(*length)).expect("a length");
    let (json, footers) = rest.split_at(length);
    let json = compression::decompress(json).expect("a page");
    add_bytes(seeds, "manifest-page", &[&json, &[0][..], footers].concat());
}

fn add_bytes(seeds: &mut Seeds, target: &'static str, input: &[u8]) {
    if input.len() <= MAX_SEED_BYTES {
        seeds.add(target, input);
    }
}
