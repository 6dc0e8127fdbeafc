//! Damaged segments: tables without rows in them are answered. The others fail with an error that names the segment,
//! until an operator quarantines it.

use std::time::Duration;

use neap_bucket::{Get, GetOptions, Key, ListRequest, PutMode, SegmentName, Store};
use neap_catalog::NewLastCache;
use neap_manifest::{DamageRecord, DamagedPart, LostRows};
use neap_schema::TableId;
use neap_wal::Segment;

use super::{DATABASE, QueryTestInstance};

const COUNT_A: &str = "SELECT count(*) AS n FROM a";
const COUNT_B: &str = "SELECT count(*) AS n FROM b";

impl QueryTestInstance {
    async fn segment(&self) -> (SegmentName, Segment) {
        let prefix = Key::tail_prefix(DATABASE);
        let page = self.counting.list(ListRequest::new(&prefix)).await.unwrap().value;
        let key = page.entries.last().unwrap().key.clone();
        let Ok(Key::Segment(_, name)) = key.parse() else {
            panic!("{key}");
        };
        let found = self.counting.get(&key, GetOptions::default()).await;
        let Get::Found(object) = found.unwrap().value else {
            panic!("{key} is gone");
        };
        (name, Segment::decode(DATABASE, name, object.bytes).unwrap())
    }

    /// Flips a bit of the newest segment, in the rows of `a` or in the header. Returns the key.
    async fn flip(&self, in_header: bool) -> String {
        let (name, segment) = self.segment().await;
        let streams = segment.directory();
        let rows: usize = streams.iter().map(|one| one.length as usize).sum();
        let of_a = streams.iter().find(|one| one.table == TableId::new(1));
        let first = segment.size_bytes() - rows;
        let mut bytes = segment.object().to_vec();
        if in_header {
            bytes[first - 5] ^= 1;
        } else {
            bytes[first + of_a.unwrap().offset as usize + 40] ^= 1;
        }
        let key = Key::Segment(DATABASE, name).to_string();
        let put = self.counting.put(&key, bytes.into(), PutMode::Overwrite);
        put.await.unwrap();
        key
    }

    async fn failure(&self, sql: &str) -> String {
        let body = serde_json::json!({"db": "db", "q": sql, "format": "csv"});
        let (status, body) = self.post(body).await;
        assert_eq!(status, 500, "{sql}: {body}");
        body
    }

    async fn quarantine(&self, record: &DamageRecord) {
        let base = self.manifests.read(DATABASE, None).await.unwrap();
        let set_aside = self.manifests.quarantine(DATABASE, base, record);
        set_aside.await.unwrap();
    }
}

#[tokio::test]
async fn tables_without_damaged_rows_are_answered_before_and_after_a_flush() {
    let one = QueryTestInstance::with_rows("a,k=x v=1i 1\nb,k=x v=1i 1").await;
    one.write("a,k=x v=2i 2\na,k=x v=3i 3\nb,k=x v=2i 2").await;
    let key = one.flip(false).await;
    let (_, segment) = one.segment().await;
    for _ in 0..2 {
        assert_eq!(one.sql(COUNT_B).await, "n\n2\n");
        let error = one.failure(COUNT_A).await;
        assert!(error.contains(&key), "{error}");
        assert!(error.contains("table 'a'"), "{error}");
    }
    let latest = NewLastCache {
        table: "a".to_owned(),
        name: Some("latest".to_owned()),
        key_columns: None,
        value_columns: None,
        count: 1,
        ttl_s: u64::MAX >> 32,
    };
    let created = one.catalog.create_last_cache(DATABASE, &latest).await;
    created.unwrap();
    one.flush().await;
    assert_eq!(one.sql(COUNT_B).await, "n\n2\n");
    for sql in [COUNT_A, "SELECT * FROM last_cache('a', 'latest')"] {
        let error = one.failure(sql).await;
        assert_contains!(error, &format!("'{key}' is damaged: 2 rows of table 'a'"));
    }
    // Rows outside the lost range of time are intact.
    let older = "SELECT count(*) AS n FROM a WHERE time < '1970-01-01T00:00:02Z'";
    assert_eq!(one.sql(older).await, "n\n1\n");
    one.pass(Duration::from_secs(60));
    let manifest = one.manifests.read(DATABASE, None).await.unwrap();
    let before = manifest.value.low_water_mark.as_u64().to_string();
    one.write("a,k=x v=4i 4").await;
    one.flush().await;
    one.failure(COUNT_A).await;

    one.quarantine(&DamageRecord::of_streams(&segment)).await;
    assert_eq!(one.sql(COUNT_A).await, "n\n2\n");
    let latest = "SELECT v FROM last_cache('a', 'latest')";
    assert_eq!(one.sql(latest).await, "v\n4\n");
    assert_eq!(one.sql(COUNT_B).await, "n\n2\n");
    let (status, _, body) = one.sql_at(COUNT_A, &before).await;
    assert_eq!(status, 500, "as of then they were not set aside: {body}");
    let versions = "SELECT version, quarantined FROM system.versions WHERE quarantined IS NOT NULL";
    let versions = one.sql(versions).await;
    assert!(versions.ends_with(&format!(",{key}\n")), "{versions}");
}

#[tokio::test]
async fn a_segment_that_is_set_aside_in_the_tail_costs_only_its_damaged_rows() {
    let one = QueryTestInstance::with_rows("a,k=x v=1i 1\nb,k=x v=1i 1").await;
    one.write("a,k=x v=2i 2\nb,k=x v=2i 2").await;
    one.flip(false).await;
    let (_, segment) = one.segment().await;
    assert_eq!(one.sql(COUNT_B).await, "n\n2\n");
    one.failure(COUNT_A).await;
    one.quarantine(&DamageRecord::of_streams(&segment)).await;
    assert_eq!(one.sql(COUNT_A).await, "n\n1\n");
    assert_eq!(one.sql(COUNT_B).await, "n\n2\n");
    one.flush().await;
    assert_eq!(one.sql(COUNT_A).await, "n\n1\n");
    assert_eq!(one.sql(COUNT_B).await, "n\n2\n");
}

#[tokio::test]
async fn a_segment_with_a_damaged_header_fails_every_table_until_it_is_set_aside() {
    let one = QueryTestInstance::with_rows("a,k=x v=1i 1\nb,k=x v=1i 1").await;
    assert_eq!(one.sql(COUNT_B).await, "n\n1\n");
    one.write("a,k=x v=2i 2\nb,k=x v=2i 2").await;
    let (name, _) = one.segment().await;
    let key = one.flip(true).await;
    for sql in [COUNT_A, COUNT_B] {
        let error = one.failure(sql).await;
        assert!(error.contains(&key), "{error}");
    }
    let part = DamagedPart::Segment(name);
    let claimed = Vec::<LostRows>::new();
    one.quarantine(&DamageRecord::of_object(part, claimed, 0)).await;
    for sql in [COUNT_A, COUNT_B] {
        assert_eq!(one.sql(sql).await, "n\n1\n");
    }
}
