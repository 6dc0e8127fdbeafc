//! Flips single bits of objects: a query must return the right answer or an error.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use axum::body::Body;
use bytes::Bytes;
use http::Request;
use http_body_util::BodyExt;
use neap_bucket::{
    Bucket, Clock, Entropy, Get, GetOptions, KeyClass, ListPage, ListRequest, MemoryStore,
    ProtocolMargins, ProtocolRules, Put, PutMode, SteppedClock, Store, StoreError, StoreResponse,
    World,
};
use neap_catalog::Catalog;
use neap_compact::{FlushLimits, FlushResult, Flusher};
use neap_manifest::{ManifestSettings, ManifestStore, Section};
use neap_wal::{TailReader, TailReaderSettings};
use tower::ServiceExt;

use super::{
    DATABASE, QueryTestInstance,
    caches::{create_distinct, create_last},
    instance::TestDeleter,
};
use crate::QuerySettings;

const DAY: i64 = 86_400_000_000_000;

/// The period of the caches, longer than the age of all rows.
const PERIOD: Duration = Duration::from_secs(1_000 * 3_600);

/// The number of flips tried for each class of objects.
const FLIPS: u64 = 60;

#[derive(Clone, Debug)]
struct BitFlip {
    key: String,
    byte: u64,
    bit: u8,
    /// The number of reads of the byte that return the flipped bit.
    reads: usize,
}

/// A store that returns one flipped bit.
#[derive(Debug)]
struct FlippedStore {
    inner: Arc<MemoryStore>,
    flip: Mutex<Option<BitFlip>>,
}

#[async_trait]
impl Store for FlippedStore {
    async fn get(&self, key: &str, options: GetOptions) -> Result<StoreResponse<Get>, StoreError> {
        let start = options.range.as_ref().map_or(0, |range| range.start);
        let mut answer = self.inner.get(key, options).await?;
        let mut flip = self.flip.lock().unwrap();
        if let (Get::Found(object), Some(flip)) = (&mut answer.value, flip.as_mut())
            && flip.key == key
            && flip.byte >= start
            && flip.byte - start < object.bytes.len() as u64
            && flip.reads > 0
        {
            flip.reads -= 1;
            let mut bytes = object.bytes.to_vec();
            bytes[usize::try_from(flip.byte - start).unwrap()] ^= 1 << flip.bit;
            object.bytes = bytes.into();
        }
        Ok(answer)
    }

    async fn put(
        &self,
        key: &str,
        body: Bytes,
        mode: PutMode,
    ) -> Result<StoreResponse<Put>, StoreError> {
        self.inner.put(key, body, mode).await
    }

    async fn list(&self, request: ListRequest<'_>) -> Result<StoreResponse<ListPage>, StoreError> {
        self.inner.list(request).await
    }

    async fn delete(&self, keys: &[String]) -> Result<StoreResponse<()>, StoreError> {
        self.inner.delete(keys).await
    }
}

/// A bucket that is written intact and read with a flipped bit.
struct BitFlipFixture {
    clock: Arc<SteppedClock>,
    store: Arc<FlippedStore>,
    entropy: Entropy,
}

impl BitFlipFixture {
    fn new() -> (Self, Arc<MemoryStore>) {
        let clock = Arc::new(SteppedClock::self_advancing());
        let inner = Arc::new(MemoryStore::new(Arc::clone(&clock) as _));
        let store = FlippedStore { inner: Arc::clone(&inner), flip: Mutex::default() };
        let stage = Self {
            clock,
            store: Arc::new(store),
            entropy: Entropy::from_seed(20),
        };
        (stage, inner)
    }

    /// Creates a bucket with merged sections that have bloom filters, sections in pages and in the manifest, cache
    /// objects, and a tail with rows and a delete.
    async fn filled() -> Self {
        let (stage, inner) = Self::new();
        let one = QueryTestInstance::new(inner, Arc::clone(&stage.clock)).await;
        for flush in 0..3 {
            one.write(&stations(0, flush)).await;
            one.flush().await;
        }
        assert!(one.merge().await > 0);
        create_last(&one, "latest", &["room"], None, 1, PERIOD).await;
        create_distinct(&one, "rooms", &["room"], 100, PERIOD).await;
        let flusher = paging_flusher(&one);
        for day in 1..12 {
            one.write(&stations(day, 0)).await;
            one.pass(Duration::from_secs(10));
            let flushed = flusher.flush(DATABASE).await.unwrap();
            assert!(matches!(flushed, FlushResult::Done { .. }), "{flushed:?}");
        }
        one.fill_caches().await;
        one.write(&stations(12, 0)).await;
        one.sql("DELETE FROM home WHERE room = 'r3'").await;
        let manifest = one.manifests.read(DATABASE, None).await.unwrap().value;
        assert!(!manifest.pages.is_empty() && !manifest.sections.is_empty());
        assert_eq!(manifest.caches.len(), 2);
        stage
    }

    /// Answers queries with a flipped bit, each by a new instance with empty caches. An error has no rows.
    async fn answers(
        &self,
        flip: Option<BitFlip>,
        queries: &[&str],
    ) -> Vec<Result<String, String>> {
        *self.store.flip.lock().unwrap() = flip;
        let reader = self.reader().await;
        let mut answers = Vec::new();
        for query in queries {
            answers.push(match &reader {
                Ok(reader) => ask(reader, query).await,
                Err(error) => Err(error.clone()),
            });
        }
        answers
    }

    async fn reader(&self) -> Result<QueryTestInstance, String> {
        let world = World::seeded(Arc::clone(&self.clock) as Arc<dyn Clock>, 7);
        // An instance needs the cluster rules to start.
        let bucket = Bucket::new(Arc::clone(&self.store) as _, world);
        let catalog = Catalog::new(bucket, ProtocolMargins::LOCAL, None);
        catalog.rules().await.map_err(|error| error.to_string())?;
        let (store, clock) = (Arc::clone(&self.store) as _, Arc::clone(&self.clock));
        Ok(
            QueryTestInstance::over(store, clock, QuerySettings::default(), TestDeleter::None)
                .await,
        )
    }

    /// Returns the objects with their lengths, by class.
    async fn objects(&self) -> BTreeMap<String, Vec<(String, u64)>> {
        let page = self.store.list(ListRequest::new("")).await.unwrap().value;
        assert!(page.next_page_token.is_none());
        let mut objects: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for entry in page.entries {
            let class = format!("{:?}", KeyClass::from_key(&entry.key));
            let object = (entry.key, entry.size_bytes);
            objects.entry(class).or_default().push(object);
        }
        objects
    }

    fn random_flip(&self, objects: &[(String, u64)]) -> BitFlip {
        let object = self.entropy.next_u64() % objects.len() as u64;
        let (key, length) = &objects[usize::try_from(object).unwrap()];
        BitFlip {
            key: key.clone(),
            byte: self.entropy.next_u64() % length,
            bit: u8::try_from(self.entropy.next_u64() % 8).unwrap(),
            reads: usize::MAX,
        }
    }
}

/// Creates a flusher that keeps few sections in the manifest itself.
fn paging_flusher(one: &QueryTestInstance) -> Flusher {
    let settings = ManifestSettings::with_inline_sections(4);
    let rules = ProtocolRules::new(ProtocolMargins::LOCAL);
    Flusher::new(
        one.bucket.clone(),
        Arc::clone(&one.catalog),
        ManifestStore::new(one.bucket.clone(), &rules, settings),
        TailReader::new(one.bucket.clone(), TailReaderSettings::default()),
        rules,
        FlushLimits::default(),
    )
}

/// Returns lines of two tables on one day.
fn stations(day: i64, flush: i64) -> String {
    let lines = (0..40).map(|at| {
        let time = 1_699_000_000_000_000_000 - (12 - day) * DAY + flush * 1_000 + at;
        let (host, room, value) = (at % 40, at % 5, at * 31 % 97 + flush + day);
        format!(
            "weather,country=c{},station=s{host} temp={value}.25,wind={value}i,note=\"n{value}\" {time}\n\
             home,room=r{room} temp={value}.5 {time}\n",
            at % 3
        )
    });
    lines.collect()
}

/// Returns the answer to a query, or the error, which may come after a part of the answer.
async fn ask(one: &QueryTestInstance, sql: &str) -> Result<String, String> {
    let body = serde_json::json!({"db": "db", "q": sql, "format": "csv"});
    let request = Request::post("/api/v3/query_sql").body(Body::from(body.to_string()));
    let answer = one.router.clone().oneshot(request.unwrap()).await.unwrap();
    let (head, body) = answer.into_parts();
    let body = body.collect().await.map_err(|error| error.to_string())?;
    let text = String::from_utf8_lossy(&body.to_bytes()).into_owned();
    match head.status.as_u16() {
        200 => Ok(text),
        _ => Err(text),
    }
}

const QUERIES: [&str; 6] = [
    "SELECT count(*) AS n, sum(temp) AS t, sum(wind) AS w, min(time) AS a, max(time) AS z FROM weather",
    "SELECT country, note, temp, time FROM weather WHERE station = 's7' ORDER BY time, note",
    "SELECT station, note FROM weather WHERE wind > 90 ORDER BY time, station",
    "SELECT room, sum(temp) AS t, count(*) AS n FROM home GROUP BY room ORDER BY room",
    "SELECT room, temp, time FROM last_cache('home', 'latest') ORDER BY room",
    "SELECT room FROM distinct_cache('home', 'rooms') ORDER BY room",
];

#[tokio::test]
async fn a_flipped_bit_of_any_object_never_changes_an_answer() {
    let stage = BitFlipFixture::filled().await;
    let right = stage.answers(None, &QUERIES).await;
    assert!(right.iter().all(Result::is_ok), "{right:?}");
    let objects = stage.objects().await;
    let mut errors = BTreeMap::new();
    for (class, objects) in &objects {
        for _ in 0..FLIPS {
            let flip = stage.random_flip(objects);
            let answers = stage.answers(Some(flip.clone()), &QUERIES).await;
            for (query, (answer, right)) in QUERIES.iter().zip(answers.iter().zip(&right)) {
                assert!(
                    answer.is_err() || answer == right,
                    "{flip:?}: {query}: {answer:?}, not {right:?}"
                );
            }
            let failed = answers.iter().filter(|answer| answer.is_err()).count();
            *errors.entry(class.as_str()).or_insert(0) += failed;
        }
    }
    let found: Vec<_> = errors.iter().filter(|(_, count)| **count > 0).collect();
    let classes: Vec<_> = found.iter().map(|(class, _)| **class).collect();
    // A cache whose object is damaged is rebuilt from the sections.
    assert_eq!(classes, ["Data", "DatabaseCatalog", "Manifest", "Page", "RootCatalog", "Tail"]);
    let all: Vec<_> = errors.keys().copied().collect();
    assert!(all.contains(&"Cache"), "{all:?}");
}

/// Creates a bucket with one section of each of two tables in one bundle; returns the section of the first.
async fn two_tables() -> (BitFlipFixture, Section) {
    let (stage, inner) = BitFlipFixture::new();
    let one = QueryTestInstance::new(inner, Arc::clone(&stage.clock)).await;
    one.write(
        "first,k=a v=1.5,s=\"one\" 1700000000000000000\n\
         first,k=b v=2.5,s=\"two\" 1700000060000000000\n\
         second,k=a v=4 1700000000000000000",
    )
    .await;
    one.flush().await;
    let manifest = one.manifests.read(DATABASE, None).await.unwrap().value;
    let section = manifest.sections.iter().find(|one| one.offset == 0);
    (stage, Section::clone(section.unwrap()))
}

const OF_FIRST: &str = "SELECT k, s, v, time FROM first ORDER BY k";
const OF_SECOND: &str = "SELECT k, v FROM second";

/// The distance between flipped bytes. It shares no factor with the 8 bits of a byte, nor with the sizes of values.
const FLIP_DISTANCE: usize = 5;

#[tokio::test]
async fn a_flipped_bit_anywhere_in_a_section_is_an_error_of_its_table_alone() {
    let (stage, section) = two_tables().await;
    let queries = [OF_FIRST, OF_SECOND];
    let right = stage.answers(None, &queries).await;
    assert_eq!(right[1].as_deref(), Ok("k,v\na,4.0\n"));
    let key = section.key(DATABASE).to_string();
    let data = 4..section.footer_range().start;
    // Each byte at the borders of the parts, and some of all others.
    let borders = [0, data.start, data.end, section.range().end];
    let is_at_border = |byte: &u64| borders.iter().any(|border| border.abs_diff(*byte) <= 4);
    let bytes = section.range();
    let others = bytes.clone().step_by(FLIP_DISTANCE).filter(|byte| !is_at_border(byte));
    for byte in bytes.filter(is_at_border).chain(others) {
        let flip = BitFlip {
            key: key.clone(),
            byte,
            bit: u8::try_from(byte % 8).unwrap(),
            reads: usize::MAX,
        };
        let answers = stage.answers(Some(flip), &queries).await;
        assert_eq!(answers[1], right[1], "{byte}");
        if byte < 4 {
            // No query reads the magic of the file.
            assert_eq!(answers[0], right[0], "{byte}");
            continue;
        }
        let error = answers[0].as_ref().unwrap_err();
        assert!(error.contains(&key) && error.contains("'first'"), "{error}");
        let part = if data.contains(&byte) {
            "column '"
        } else {
            "its footer"
        };
        assert!(error.contains(part), "{byte}: {error}");
    }
}

#[tokio::test]
async fn a_flipped_bit_is_an_error_of_the_server_also_while_a_statement_is_planned() {
    let (stage, section) = two_tables().await;
    let show = "SHOW%20SERIES%20FROM%20first%20WHERE%20v%20%3E%200";
    let path = format!("/api/v3/query_influxql?db=db&q={show}");
    let key = section.key(DATABASE).to_string();
    let mut refused = 0;
    for byte in (4..section.footer_range().end).step_by(FLIP_DISTANCE) {
        let flip = BitFlip { key: key.clone(), byte, bit: 3, reads: usize::MAX };
        *stage.store.flip.lock().unwrap() = Some(flip);
        let (status, body) = stage.reader().await.unwrap().get(&path).await;
        if status != 200 {
            assert_eq!(status, 500, "{byte}: {body}");
            assert!(body.contains(&key), "{byte}: {body}");
            refused += 1;
        }
    }
    assert!(refused > 0);
}

#[tokio::test]
async fn a_range_that_arrives_damaged_is_read_once_more() {
    let (stage, section) = two_tables().await;
    let right = stage.answers(None, &[OF_FIRST]).await;
    let footer = section.footer_range();
    for byte in [footer.start - 1, footer.start, footer.end - 1] {
        for reads in [1, 2] {
            *stage.store.flip.lock().unwrap() =
                Some(BitFlip { key: section.key(DATABASE).to_string(), byte, bit: 3, reads });
            let reader = stage.reader().await.unwrap();
            let answer = ask(&reader, OF_FIRST).await;
            assert_eq!(answer.is_ok(), reads == 1, "{byte}: {answer:?}");
            let failures = reader.engine.data_cache_stats().checksum_failures;
            assert_eq!(failures, reads as u64);
            // The damaged bytes were not cached.
            assert_eq!(ask(&reader, OF_FIRST).await, right[0]);
            assert_eq!(reader.engine.data_cache_stats().checksum_failures, failures);
        }
    }
}
