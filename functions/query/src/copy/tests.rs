//! `COPY` statements against an instance in memory.

use std::{io::Cursor, sync::Arc};

use arrow::{
    array::{AsArray, RecordBatch},
    compute::{cast, concat_batches},
    datatypes::Int32Type,
    ipc::reader::FileReader,
};
use bytes::Bytes;
use http::Request;
use neap_bucket::{Get, GetOptions, Key, SteppedClock};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::{
    QuerySettings,
    tests::instance::{DATABASE, QueryTestInstance, TestDeleter},
};

const WEATHER: &str = "\
weather,city=Rome,country=it temp=20.5,wind=3i 1700000000000000000
weather,city=Oslo,country=no temp=2.5,ok=true 1700000000000000000
weather,city=Rome,country=it temp=21.5,note=\"sun, and more\" 1700000060000000000";

async fn weather() -> QueryTestInstance {
    QueryTestInstance::with_rows(WEATHER).await
}

/// Executes a statement that must succeed, and returns the row of its answer.
async fn copy(one: &QueryTestInstance, sql: &str) -> Value {
    let body = one.sql_as(sql, "json").await;
    let rows: Value = serde_json::from_str(&body).unwrap();
    rows[0].clone()
}

/// Returns the status and the text of the answer to a statement.
async fn refusal(one: &QueryTestInstance, sql: &str) -> (u16, String) {
    one.post(json!({"db": "db", "q": sql})).await
}

async fn stored(one: &QueryTestInstance, name: &str) -> Option<Bytes> {
    let key = Key::Export(DATABASE, name.parse().unwrap());
    let got = one.bucket.get(&key, GetOptions::default()).await;
    match got.unwrap().value {
        Get::Found(object) => Some(object.bytes),
        _ => None,
    }
}

fn parquet_rows(bytes: Bytes) -> RecordBatch {
    let reader = ParquetRecordBatchReaderBuilder::try_new(bytes).unwrap();
    let schema = Arc::clone(reader.schema());
    let batches: Vec<_> = reader.build().unwrap().map(Result::unwrap).collect();
    concat_batches(&schema, &batches).unwrap()
}

#[tokio::test]
async fn the_file_has_the_rows_of_the_query_and_the_answer_describes_it() {
    let one = weather().await;
    let sql = "COPY (SELECT city, temp FROM weather ORDER BY temp) TO 'reports/weather.csv'";
    let answer = copy(&one, sql).await;
    let file = stored(&one, "reports/weather.csv").await.unwrap();
    assert_eq!(file, "city,temp\nOslo,2.5\nRome,20.5\nRome,21.5\n");
    assert_eq!(answer["path"], "exports/1/reports/weather.csv");
    assert_eq!((&answer["rows"], &answer["bytes"]), (&json!(3), &json!(file.len())));
    assert_eq!(answer["sha256"], hex::encode(Sha256::digest(&file)));
    // A store in memory signs no URLs.
    assert_eq!(answer.get("url"), None);
}

#[tokio::test]
async fn each_format_has_all_rows() {
    let one = weather().await;
    for name in ["weather.parquet", "weather.arrow", "weather.json"] {
        let answer = copy(&one, &format!("COPY weather TO '{name}'")).await;
        assert_eq!(answer["rows"], 3, "{name}");
    }
    let rows = parquet_rows(stored(&one, "weather.parquet").await.unwrap());
    let arrow = Cursor::new(stored(&one, "weather.arrow").await.unwrap());
    let arrow = FileReader::try_new(arrow, None).unwrap();
    let batches: Vec<_> = arrow.map(Result::unwrap).collect();
    let file_columns = batches[0].columns().iter().zip(rows.columns());
    for (file, parquet) in file_columns {
        assert_eq!(file, &cast(parquet, file.data_type()).unwrap());
    }
    let cities = rows.column_by_name("city").unwrap();
    assert!(cities.as_dictionary_opt::<Int32Type>().is_some());
    let json = stored(&one, "weather.json").await.unwrap();
    let lines: Vec<Value> = std::str::from_utf8(&json)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(lines.len(), 3);
    let named = copy(&one, "COPY weather TO 'weather' STORED AS PARQUET").await;
    assert_eq!(named["rows"], 3);
}

#[tokio::test]
async fn a_query_without_rows_makes_a_valid_file() {
    let one = weather().await;
    let none = "(SELECT * FROM weather WHERE temp > 100)";
    let answer = copy(&one, &format!("COPY {none} TO 'none.parquet'")).await;
    assert_eq!(answer["rows"], 0);
    let rows = parquet_rows(stored(&one, "none.parquet").await.unwrap());
    assert_eq!((rows.num_rows(), rows.num_columns()), (0, 7));
    let answer = copy(&one, &format!("COPY {none} TO 'none.csv'")).await;
    assert_eq!(answer["bytes"], 0);
}

#[tokio::test]
async fn a_file_is_replaced_only_on_request() {
    let one = weather().await;
    copy(&one, "COPY weather TO 'weather.csv'").await;
    let first = stored(&one, "weather.csv").await;
    let other = "COPY (SELECT 1 AS one) TO 'weather.csv'";
    let (status, text) = refusal(&one, other).await;
    assert_eq!(status, 400, "{text}");
    assert_contains!(text, "the export 'exports/1/weather.csv' exists");
    assert_eq!(stored(&one, "weather.csv").await, first);
    copy(&one, &format!("{other} OPTIONS ('overwrite' 'true')")).await;
    assert_eq!(stored(&one, "weather.csv").await.unwrap(), "one\n1\n");
}

#[tokio::test]
async fn a_failed_query_leaves_no_file() {
    let one = weather().await;
    let sql = "COPY (SELECT arrow_cast(note, 'Int64') AS n FROM weather) TO 'failed.csv'";
    assert_eq!(refusal(&one, sql).await.0, 400);
    assert_eq!(stored(&one, "failed.csv").await, None);
    let log = one.sql("SELECT phase FROM system.queries WHERE query_text LIKE 'COPY%'").await;
    assert_eq!(log, "phase\nfail\n");
}

#[tokio::test]
async fn names_formats_and_options_are_checked_before_anything_runs() {
    let one = weather().await;
    let pairs = "
        COPY weather TO '/tmp/x.csv' ==> COPY TO: the name '/tmp/x.csv' has the part ''
        COPY weather TO '../x.csv' ==> COPY TO: the name '../x.csv' has the part '..'
        COPY weather TO '' ==> COPY TO: the name is empty
        COPY weather TO 's3://b/x.csv' ==> has the part 's3:'
        COPY weather TO 'x' ==> COPY TO 'x': add STORED AS PARQUET, CSV, JSON or ARROW
        COPY weather TO 'x.csv' STORED AS AVRO ==> STORED AS AVRO is not supported
        COPY weather TO 'x.csv' OPTIONS ('color' 'red') ==> COPY has no option 'color'
        COPY weather TO 'x.csv' OPTIONS (overwrite 'yes') ==> is 'true' or 'false'
        COPY weather TO 'x.csv' PARTITIONED BY (city) ==> PARTITIONED BY (city) is not supported
        COPY weather ==> Missing TO clause
        COPY (DELETE FROM weather) TO 'x.csv' ==>
        COPY nothing TO 'x.csv' ==> nothing' not found
        EXPLAIN COPY weather TO 'x.csv' ==> EXPLAIN COPY is not supported
        COPY weather FROM 'x.csv' ==> COPY ... FROM is not supported
        COPY weather TO 'x.csv'; SELECT 1 ==>
    ";
    for (sql, expected) in neap_test_inputs::text_pairs(pairs) {
        let (status, text) = refusal(&one, sql).await;
        assert!(matches!(status, 400 | 405), "{sql}: {status} {text}");
        assert!(text.contains(expected), "{sql}: {text}");
    }
    assert_eq!(stored(&one, "x.csv").await, None);
}

#[tokio::test]
async fn only_a_post_request_writes_files() {
    let one = weather().await;
    let query = "db=db&q=COPY%20weather%20TO%20%27x.csv%27";
    let (status, text) = one.get(&format!("/api/v3/query_sql?{query}")).await;
    assert_eq!(status, 405, "{text}");
    assert_eq!(text, "COPY requires a POST request to /api/v3/query_sql");
    assert_eq!(stored(&one, "x.csv").await, None);
}

#[tokio::test]
async fn placeholders_earlier_states_and_large_files_work_as_in_queries() {
    let settings = QuerySettings { max_rows: Some(2), ..QuerySettings::default() };
    let clock = Arc::new(SteppedClock::self_advancing());
    let store = Arc::new(neap_bucket::MemoryStore::new(Arc::clone(&clock) as _));
    let one = QueryTestInstance::built(store, clock, settings, TestDeleter::Writer).await;
    let stamp = one.write(WEATHER).await;
    one.write("weather,city=Bonn temp=1 1700000000000000000").await;
    // The limit of rows applies to answers, and the answer has one row.
    let body = json!({
        "db": "db",
        "q": "COPY (SELECT city FROM weather WHERE temp > $low ORDER BY time) TO 'warm.csv'",
        "params": {"low": 0},
    });
    let request = Request::post("/api/v3/query_sql")
        .header("x-neap-as-of", stamp)
        .body(body.to_string().into())
        .unwrap();
    let (status, text) = one.send(request).await;
    assert_eq!(status, 200, "{text}");
    let file = stored(&one, "warm.csv").await.unwrap();
    assert_eq!(file.split(|byte| *byte == b'\n').count(), 5);
}

#[tokio::test]
async fn bytes_that_are_not_stored_yet_count_as_memory_of_the_query() {
    let settings = QuerySettings { memory_pool_bytes: 64 << 20, ..QuerySettings::default() };
    let clock = Arc::new(SteppedClock::self_advancing());
    let store = Arc::new(neap_bucket::MemoryStore::new(Arc::clone(&clock) as _));
    let one = QueryTestInstance::built(store, clock, settings, TestDeleter::Writer).await;
    one.write(WEATHER).await;
    let sql = |rows: u32, name: &str| {
        format!("COPY (SELECT repeat('x', 1000) AS x FROM generate_series(1, {rows})) TO '{name}'")
    };
    assert_eq!(copy(&one, &sql(10_000, "few.csv")).await["rows"], 10_000);
    let (status, text) = refusal(&one, &sql(100_000, "many.csv")).await;
    assert_eq!(status, 503, "{text}");
    assert_eq!(stored(&one, "many.csv").await, None);
}
