//! Tests of connections to a directory and to an S3 server.

use std::sync::Arc;

use arrow_array::{
    ArrayRef, BooleanArray, Float64Array, Int64Array, RecordBatch, StringArray,
    TimestampNanosecondArray, cast::AsArray, types::Int64Type,
};
use arrow_schema::ArrowError;
use futures::TryStreamExt;
use neap_assembly::stores::StoresError;
use neap_bucket::{Operation, StoreError};
use neap_catalog::CatalogError;
use neap_http::{ApiError, Kind};
use neap_s3_server::{Options, S3Server};
use tempfile::TempDir;

use super::*;

/// A directory, and a connection to it.
struct DirectoryFixture {
    folder: TempDir,
    connection: Connection,
}

impl DirectoryFixture {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let connection = open(&folder).await;
        Self { folder, connection }
    }
}

async fn open(folder: &TempDir) -> Connection {
    let location = folder.path().to_str().unwrap();
    ConnectOptions::default().connect(location).await.unwrap()
}

/// Returns the answer to a statement with one number.
async fn number(connection: &Connection, statement: &str) -> i64 {
    let rows = connection.sql(statement).await.unwrap();
    let batches: Vec<_> = rows.batches.try_collect().await.unwrap();
    batches[0].column(0).as_primitive::<Int64Type>().value(0)
}

/// Returns rows of two beds with times from `first_ns`, in columns of texts and numbers.
fn beds(rows: usize, first_ns: i64) -> RecordBatch {
    let names = (0..rows).map(|row| if row % 2 == 0 { "herbs" } else { "roses" });
    let times = (0..rows).map(|row| first_ns + i64::try_from(row).unwrap());
    let moistures = (0..rows).map(|row| i64::try_from(row).unwrap());
    let columns: [(&str, ArrayRef); 3] = [
        ("bed", Arc::new(StringArray::from_iter_values(names))),
        ("moisture", Arc::new(Int64Array::from_iter_values(moistures))),
        ("time", Arc::new(TimestampNanosecondArray::from_iter_values(times))),
    ];
    RecordBatch::try_from_iter(columns).unwrap()
}

fn soil() -> TableWrite {
    TableWrite::new("soil").with_tags(["bed"])
}

async fn write_beds(connection: &Connection) -> WrittenRows {
    connection.write(&soil(), [Ok(beds(10, 1))]).await.unwrap()
}

#[tokio::test]
async fn written_rows_are_in_the_next_query() {
    let one = DirectoryFixture::new().await;
    let written = write_beds(&one.connection).await;
    assert_eq!((written.rows, written.duplicates), (10, None));
    let accepted = one.connection.write_lines("soil,bed=ferns moisture=7i 50\nsoil moisture=1i 51");
    assert_eq!(accepted.await.unwrap().rows, 2);
    let count = "SELECT count(*) FROM soil";
    assert_eq!(number(&one.connection, count).await, 12);
    let by_tag = "SELECT moisture FROM soil WHERE bed = 'ferns'";
    assert_eq!(number(&one.connection, by_tag).await, 7);
}

#[tokio::test]
async fn another_connection_sees_each_acknowledged_write() {
    let one = DirectoryFixture::new().await;
    write_beds(&one.connection).await;
    let other = open(&one.folder).await;
    let count = "SELECT count(*) FROM soil";
    assert_eq!(number(&other, count).await, 10);
    for row in 1..=3 {
        let line = format!("soil,bed=ferns moisture={row}i {}", 100 + row);
        one.connection.write_lines(line).await.unwrap();
        assert_eq!(number(&other, count).await, 10 + row);
    }
}

#[tokio::test]
async fn placeholders_have_values() {
    let one = DirectoryFixture::new().await;
    write_beds(&one.connection).await;
    let statement = "SELECT count(*) FROM soil WHERE bed = $bed";
    let parameters = Parameters::from_iter([("bed".to_owned(), "roses".to_owned())]);
    let rows = one.connection.sql_with(statement, parameters).await.unwrap();
    let batches: Vec<_> = rows.batches.try_collect().await.unwrap();
    assert_eq!(batches[0].column(0).as_primitive::<Int64Type>().value(0), 5);
}

#[tokio::test]
async fn rows_can_be_deleted() {
    let one = DirectoryFixture::new().await;
    write_beds(&one.connection).await;
    let delete = "DELETE FROM soil WHERE bed = 'herbs' AND time < '1971-01-01T00:00:00Z'";
    let deleted = one.connection.sql(delete).await.unwrap();
    assert!(deleted.deleted_at.is_some());
    assert_eq!(number(&one.connection, "SELECT count(*) FROM soil").await, 5);
}

#[tokio::test]
async fn databases_of_a_store_are_separate() {
    let one = DirectoryFixture::new().await;
    write_beds(&one.connection).await;
    let other = one.connection.with_database("other");
    let missing = other.sql("SELECT count(*) FROM soil").await.unwrap_err();
    assert_eq!(missing.to_string(), "query error: database not found: other");
    other.write_lines("soil moisture=1i 1").await.unwrap();
    assert_eq!(number(&other, "SELECT count(*) FROM soil").await, 1);
    assert_eq!(number(&one.connection, "SELECT count(*) FROM soil").await, 10);
}

#[tokio::test]
async fn answers_can_be_written_to_a_table_with_the_same_tags() {
    let one = DirectoryFixture::new().await;
    write_beds(&one.connection).await;
    let rows = one.connection.sql("SELECT * FROM soil").await.unwrap();
    let batches: Vec<_> = rows.batches.try_collect().await.unwrap();
    let copy = TableWrite::new("copy");
    let written = one.connection.write(&copy, batches.into_iter().map(Ok)).await.unwrap();
    assert_eq!(written.rows, 10);
    let tags = "SELECT count(*) FROM information_schema.columns WHERE table_name = 'copy' \
                AND column_name = 'bed' AND data_type = 'Dictionary(Int32, Utf8)'";
    assert_eq!(number(&one.connection, tags).await, 1);
}

#[tokio::test]
async fn large_batches_are_stored_in_parts() {
    let one = DirectoryFixture::new().await;
    // Booleans are few bytes, but many values.
    let rows = 1_200_000;
    let times = (0..rows).collect::<Vec<i64>>();
    let on: ArrayRef = Arc::new(BooleanArray::from(vec![true; times.len()]));
    let columns: [(&str, ArrayRef); 2] =
        [("time", Arc::new(TimestampNanosecondArray::from(times))), ("on", on)];
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    let written = one.connection.write(&TableWrite::new("pump"), [Ok(batch)]).await.unwrap();
    assert_eq!(written.rows, 1_200_000);
    assert_eq!(number(&one.connection, "SELECT count(*) FROM pump").await, rows);
}

#[tokio::test]
async fn a_refused_row_is_named_and_nothing_of_its_part_is_stored() {
    let one = DirectoryFixture::new().await;
    write_beds(&one.connection).await;
    let columns: [(&str, ArrayRef); 2] = [
        ("moisture", Arc::new(Float64Array::from(vec![1.0, 1.5]))),
        ("time", Arc::new(TimestampNanosecondArray::from(vec![70, 71]))),
    ];
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    let no_tags = TableWrite::new("soil");
    let refused = one.connection.write(&no_tags, [Ok(batch)]).await.unwrap_err();
    assert!(refused.to_string().starts_with("row 2: "), "{refused}");
    assert!(!refused.is_temporary());
    let refused = one.connection.write_lines("soil moisture=1i 80\nsoil moisture=\"x\" 81").await;
    assert!(
        refused.unwrap_err().to_string().starts_with("line 2 is refused: "),
        "the line is named"
    );
    assert_eq!(number(&one.connection, "SELECT count(*) FROM soil").await, 10);
}

#[tokio::test]
async fn the_rows_before_a_failure_are_counted() {
    let one = DirectoryFixture::new().await;
    let large = beds(400_000, 1);
    let broken = Err(ArrowError::IoError("the file ends".to_owned(), std::io::Error::other("end")));
    let failed = one.connection.write(&soil(), [Ok(large), broken]).await.unwrap_err();
    let Error::Batches { stored_rows, .. } = &failed else {
        panic!("{failed}");
    };
    assert!((1..400_000).contains(stored_rows), "{failed}");
    let count = number(&one.connection, "SELECT count(*) FROM soil").await;
    assert_eq!(count, i64::try_from(*stored_rows).unwrap());
}

#[tokio::test]
async fn a_table_without_tags_is_not_created_for_rows_that_replace_each_other() {
    let one = DirectoryFixture::new().await;
    let rows = vec![Ok(beds(10, 1)), Ok(beds(10, 1))];
    let untagged = TableWrite::new("soil").with_tags([]);
    let refused = one.connection.write(&untagged, rows).await.unwrap_err();
    assert_eq!(
        refused.to_string(),
        "table 'soil' is not created: 10 of 20 rows have the time of another row, which replaces them, because the table \
         has no tags; name the columns that are tags (columns with texts: 'bed')"
    );
    let rows = vec![Ok(beds(10, 1)), Ok(beds(10, 1))];
    let allowed = TableWrite { allow_duplicates: true, ..untagged };
    assert_eq!(one.connection.write(&allowed, rows).await.unwrap().rows, 20);
    assert_eq!(number(&one.connection, "SELECT count(*) FROM soil").await, 10);
}

#[test]
fn a_store_that_does_not_answer_is_a_temporary_failure_of_each_call() {
    let no_answer = || StoreError::Unavailable {
        operation: Operation::Get,
        key: "catalog".to_owned(),
        reason: "timeout".to_owned(),
    };
    for (error, expected) in [
        (Error::Store(StoresError::Store(no_answer())), true),
        (Error::Catalog(CatalogError::Store(no_answer())), true),
        (Error::Catalog(CatalogError::NoStoreTime), true),
        (Error::Catalog(CatalogError::Revoked), false),
        (Error::Query(ApiError::from(no_answer()).into()), true),
        (Error::Query(ApiError::text(Kind::Invalid, "no").into()), false),
    ] {
        assert_eq!(error.is_temporary(), expected, "{error}");
    }
}

#[tokio::test]
async fn locations_without_a_store_are_refused() {
    for location in ["", "s3://", "ftp://host/folder"] {
        let refused = ConnectOptions::default().connect(location).await.unwrap_err();
        assert!(matches!(refused, Error::Location { .. }), "{refused}");
    }
}

#[tokio::test]
async fn a_bucket_with_a_prefix_is_a_store() {
    let server = S3Server::start(Options::default()).await.unwrap();
    let options = ConnectOptions {
        store: StoreConfig {
            aws: AwsConfig {
                aws_endpoint: Some(server.endpoint()),
                aws_allow_http: true,
                aws_access_key_id: S3Server::ACCESS_KEY.parse().ok(),
                aws_secret_access_key: S3Server::SECRET_KEY.parse().ok(),
                ..AwsConfig::default()
            },
            ..StoreConfig::default()
        },
        ..ConnectOptions::default()
    };
    let location = format!("s3://{}/site/a", server.bucket());
    let connection = options.connect(&location).await.unwrap();
    write_beds(&connection).await;
    let other = options.connect(&location).await.unwrap();
    assert_eq!(number(&other, "SELECT count(*) FROM soil").await, 10);
    let elsewhere = format!("s3://{}/site/b", server.bucket());
    let empty = options.connect(&elsewhere).await.unwrap();
    assert!(empty.sql("SELECT count(*) FROM soil").await.is_err());
}
