//! Tests of the plugin database, over real functions on an in-memory store.

use std::sync::Mutex;

use arrow_array::{RecordBatch, cast::AsArray, types::Int64Type};
use neap_catalog::{ANY_AGE, Catalog, HardDelete};
use neap_query::QuerySettings;
use neap_schema::DatabaseId;
use neap_sql_changes::testing::{MemoryServer, MemoryServerSettings};
use neap_wal::{Segment, SegmentObserver};

use super::*;

/// Records the trigger depths of the segments that were put.
#[derive(Debug, Default)]
struct SegmentDepths(Mutex<Vec<u8>>);

impl SegmentObserver for SegmentDepths {
    fn segment_put(&self, _: DatabaseId, segment: Arc<Segment>) {
        self.0.lock().unwrap().push(segment.depth());
    }

    fn put_unknown(&self, _: DatabaseId) {}
}

struct PluginDatabaseFixture {
    database: PluginDatabase,
    queries: Arc<QueryEngine>,
    catalog: Arc<Catalog>,
    depths: Arc<SegmentDepths>,
}

impl PluginDatabaseFixture {
    fn new(concurrent_queries: usize) -> Self {
        let depths = Arc::new(SegmentDepths::default());
        let settings = MemoryServerSettings {
            queries: QuerySettings { concurrent_queries, ..QuerySettings::default() },
            observer: Some(Arc::clone(&depths) as Arc<dyn SegmentObserver>),
            ..MemoryServerSettings::default()
        };
        let MemoryServer { catalog, queries, writes, .. } = MemoryServer::with(settings).unwrap();
        Self {
            database: PluginDatabase::new(writes, Arc::clone(&queries)),
            queries,
            catalog,
            depths,
        }
    }

    async fn write(
        &self,
        lines: &'static str,
        depth: u8,
    ) -> Result<Option<Stamp>, DatabaseAccessError> {
        let options = PluginWriteOptions { depth, no_sync: false, only: None };
        let lines = Bytes::from_static(lines.as_bytes());
        self.database.write("db", lines, options).await
    }

    async fn query(
        &self,
        database: &str,
        sql: &str,
        parameters: &[(&str, &str)],
    ) -> Result<Vec<RecordBatch>, DatabaseAccessError> {
        let parameters: Vec<_> = parameters
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        let rows = self.database.query(database, sql, &parameters).await?;
        let batches: Vec<_> = rows.batches.collect().await;
        batches.into_iter().collect()
    }

    /// Runs a query that returns a single number.
    async fn number(&self, sql: &str, parameters: &[(&str, &str)]) -> i64 {
        let batches = self.query("db", sql, parameters).await.unwrap();
        batches[0].column(0).as_primitive::<Int64Type>().value(0)
    }
}

#[tokio::test]
async fn plugin_queries_with_string_parameters_find_written_rows() {
    let one = PluginDatabaseFixture::new(8);
    let lines = "home,room=a v=1i 1700000000000000001\nhome,room=b v=2i 5";
    assert!(one.write(lines, 1).await.unwrap().is_some());
    let sql = "SELECT v FROM home WHERE room = $room";
    assert_eq!(one.number(sql, &[("room", "b")]).await, 2);
    // Timestamps are nanoseconds, even for small numbers, and can be compared with a string.
    let sql = "SELECT CAST(time AS BIGINT) FROM 'home' WHERE time < $until";
    let until = ("until", "1970-01-01T00:00:01Z");
    assert_eq!(one.number(sql, &[until]).await, 5);
    let sql = "SELECT count(*) FROM information_schema.columns \
               WHERE table_name = $table AND data_type = 'Dictionary(Int32, Utf8)'";
    assert_eq!(one.number(sql, &[("table", "home")]).await, 1);
}

#[tokio::test]
async fn writes_are_atomic_and_keep_their_depth() {
    let one = PluginDatabaseFixture::new(8);
    one.write("a v=1i 1", 3).await.unwrap();
    one.write("a v=1i 2", 1).await.unwrap();
    assert_eq!(*one.depths.0.lock().unwrap(), [3, 1]);
    let refused = one.write("a v=2i 3\na v=\"x\" 4", 1).await.unwrap_err();
    assert!(refused.0.contains("line 2"), "{refused}");
    assert_eq!(one.number("SELECT count(*) FROM a", &[]).await, 2);
    let later = PluginWriteOptions { depth: 1, no_sync: true, only: None };
    let lines = Bytes::from_static(b"a v=1i 9");
    let stamp = one.database.write("db", lines, later).await.unwrap();
    assert_eq!(stamp, None);
}

#[tokio::test]
async fn forbidden_operations_return_readable_errors() {
    let one = PluginDatabaseFixture::new(8);
    one.write("a v=1i 1", 1).await.unwrap();
    let text = async |database: &str, sql: &str| {
        let refused = one.query(database, sql, &[]).await;
        refused.unwrap_err().0
    };
    insta::assert_snapshot!(text("nope", "SELECT 1").await, @"query error: database not found: nope");
    insta::assert_snapshot!(text("db", "DELETE FROM a WHERE time < now()").await, @"plugins can't delete rows with a query");
    insta::assert_snapshot!(text("db", "SELECT * FROM nope").await, @"Error during planning: table 'public.iox.nope' not found");
    let internal = "SELECT * FROM system.databases";
    assert_eq!(one.query("_internal", internal, &[]).await.unwrap().len(), 1);
    let options = PluginWriteOptions { depth: 1, no_sync: false, only: None };
    let lines = Bytes::from_static(b"a v=1i 1");
    let refused = one.database.write("_internal", lines, options).await;
    insta::assert_snapshot!(refused.unwrap_err(), @"the database _internal can't be written to");
}

#[tokio::test]
async fn writes_to_a_dropped_database_do_not_create_another_one() {
    let one = PluginDatabaseFixture::new(8);
    one.write("a v=1i 1", 1).await.unwrap();
    let catalog = Arc::clone(&one.catalog);
    let root = catalog.root(ANY_AGE).await.unwrap();
    let options = PluginWriteOptions { depth: 1, no_sync: false, only: root.value.database("db") };
    let write = async || {
        let lines = Bytes::from_static(b"a v=1i 2");
        one.database.write("db", lines, options).await
    };
    assert!(write().await.is_ok());
    let dropped = catalog.delete_database("db", HardDelete::Never).await;
    dropped.unwrap();
    insta::assert_snapshot!(write().await.unwrap_err(), @"the database db of the trigger was dropped");
    let root = catalog.root(ANY_AGE).await.unwrap();
    assert_eq!(root.value.database("db"), None);
    // The lines don't go to a new database of the same name either.
    one.write("a v=1i 1", 1).await.unwrap();
    assert!(write().await.is_err());
}

#[tokio::test(start_paused = true)]
async fn plugins_take_at_most_half_of_the_query_permits() {
    let one = PluginDatabaseFixture::new(2);
    one.write("a v=1i 1", 1).await.unwrap();
    let sql = "SELECT v FROM a";
    let held = one.database.query("db", sql, &[]).await.unwrap();
    let refused = one.query("db", sql, &[]).await.unwrap_err();
    assert_eq!(refused.0, "query error: too many queries are waiting");
    let client = QueryRequest::new(sql);
    let database = one.queries.find_database("db").await.unwrap();
    assert!(one.queries.query(database, client).await.is_ok());
    drop(held);
    assert_eq!(one.number(sql, &[]).await, 1);
}
