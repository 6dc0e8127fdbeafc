//! Record batches as writes.

use std::{collections::HashMap, sync::Arc};

use arrow::{
    array::{
        ArrayRef, BooleanArray, DictionaryArray, Float64Array, Int64Array, RecordBatch,
        StringArray, TimestampNanosecondArray, UInt64Array, types::Int32Type,
    },
    datatypes::{DataType, Field, Schema, TimeUnit},
};
use arrow_flight::{
    FlightData, FlightDescriptor,
    sql::{
        CommandStatementIngest, DoPutUpdateResult, ProstMessageExt, TableDefinitionOptions,
        TableExistsOption, TableNotExistOption,
    },
};
use axum::body::Body;
use axum::http::Response;
use futures::{StreamExt, stream};
use prost::Message;
use tokio::task::JoinHandle;
use tonic::Code;
use tower::ServiceExt;

use super::{FlightTestClient, ServerUnderTest, code, server_and_client, server_with_rows};

fn ingest(table: &str) -> CommandStatementIngest {
    CommandStatementIngest { table: table.to_owned(), ..CommandStatementIngest::default() }
}

fn descriptor(command: &CommandStatementIngest) -> FlightDescriptor {
    FlightDescriptor::new_cmd(command.as_any().encode_to_vec())
}

/// Rows with a column of each type. The client sends the texts of dictionaries as plain texts.
fn batch() -> RecordBatch {
    let rooms: DictionaryArray<Int32Type> = vec!["hall", "attic"].into_iter().collect();
    let columns: [(&str, ArrayRef); 7] = [
        ("room", Arc::new(rooms)),
        ("temp", Arc::new(Float64Array::from(vec![Some(20.5), None]))),
        ("people", Arc::new(Int64Array::from(vec![i64::MIN, i64::MAX]))),
        ("id", Arc::new(UInt64Array::from(vec![Some(u64::MAX), None]))),
        ("open", Arc::new(BooleanArray::from(vec![true, false]))),
        ("note", Arc::new(StringArray::from(vec!["é", ""]))),
        ("time", Arc::new(TimestampNanosecondArray::from(vec![1, 2]))),
    ];
    RecordBatch::try_from_iter(columns).unwrap()
}

async fn table(client: &FlightTestClient, sql: &str) -> String {
    let ticket = serde_json::json!({ "database": "d", "sql_query": sql });
    client.rows(ticket.to_string()).await.unwrap().table()
}

#[tokio::test]
async fn record_batches_are_rows_of_a_table() {
    let (_served, client) = server_and_client(&[("database", "d"), ("x-neap-tags", "room")]).await;
    let (headers, results) =
        client.put(descriptor(&ingest("rooms")), vec![batch(), batch()]).await.unwrap();
    assert!(headers.contains_key("x-neap-stamp"));
    let result = DoPutUpdateResult::decode(&*results[0].app_metadata).unwrap();
    assert_eq!((result.record_count, results.len()), (4, 1));
    // The second batch repeats the points of the first.
    insta::assert_snapshot!(table(&client, "SELECT * FROM rooms ORDER BY time").await, @r"
    +----------------------+------+-------+----------------------+-------+------+-------------------------------+
    | id                   | note | open  | people               | room  | temp | time                          |
    +----------------------+------+-------+----------------------+-------+------+-------------------------------+
    | 18446744073709551615 | é    | true  | -9223372036854775808 | hall  | 20.5 | 1970-01-01T00:00:00.000000001 |
    |                      |      | false | 9223372036854775807  | attic |      | 1970-01-01T00:00:00.000000002 |
    +----------------------+------+-------+----------------------+-------+------+-------------------------------+
    ");
}

#[tokio::test]
async fn a_path_names_the_table_and_each_part_is_acknowledged() {
    let (_served, client) = server_and_client(&[]).await;
    let path = FlightDescriptor::new_path(vec!["d".to_owned(), "rooms".to_owned()]);
    let (_, results) = client.put(path, vec![batch()]).await.unwrap();
    let result: serde_json::Value = serde_json::from_slice(&results[0].app_metadata).unwrap();
    assert_eq!(result["rows"], 2);
    assert!(result["stamp"].as_str().unwrap().parse::<u64>().is_ok());
    let count = table(&client, "SELECT count(*) AS n FROM rooms").await;
    assert!(count.contains("| 2 |"), "{count}");
}

#[tokio::test]
async fn tags_and_time_are_chosen_by_headers_metadata_or_the_table() {
    let served = server_with_rows().await;
    let texts: ArrayRef = Arc::new(StringArray::from(vec!["a"]));
    let times: ArrayRef = Arc::new(TimestampNanosecondArray::from(vec![1]));
    let tag = HashMap::from([("iox::column::type".to_owned(), "iox::column_type::tag".to_owned())]);
    let time = |name: &str| Field::new(name, DataType::Timestamp(TimeUnit::Nanosecond, None), true);
    let batch = |room: Field, time: Field| {
        let schema = Schema::new(vec![room, Field::new("v", DataType::Utf8, true), time]);
        let columns = vec![Arc::clone(&texts), Arc::clone(&texts), Arc::clone(&times)];
        RecordBatch::try_new(Arc::new(schema), columns).unwrap()
    };
    let room = || Field::new("room", DataType::Utf8, true);
    let by_header = [("database", "d"), ("x-neap-tags", "room"), ("x-neap-time-column", "at")];
    let plain = [("database", "d")];
    for (headers, table_name, batch) in [
        (&by_header[..], "one", batch(room(), time("at"))),
        (&plain[..], "two", batch(room().with_metadata(tag), time("time"))),
        // The table exists, and has a tag of this name.
        (&plain[..], "one", batch(room(), time("time"))),
    ] {
        let client = FlightTestClient::new(&served, headers);
        let target = descriptor(&ingest(table_name));
        client.put(target, vec![batch]).await.unwrap();
        let client = FlightTestClient::new(&served, &plain);
        let rows = client
            .rows(format!(r#"{{"database":"d","sql_query":"SELECT * FROM {table_name}"}}"#))
            .await
            .unwrap();
        let room = rows.schema.field_with_name("room").unwrap();
        assert_eq!(room.metadata()["iox::column::type"], "iox::column_type::tag");
        assert_eq!(rows.count(), 1);
    }
}

#[tokio::test]
async fn a_refused_row_is_named_and_its_part_is_not_stored() {
    let (_served, client) = server_and_client(&[("database", "d")]).await;
    let rows = |texts: Vec<String>| {
        let times: Vec<i64> = (1..).take(texts.len()).collect();
        let columns: [(&str, ArrayRef); 2] = [
            ("s", Arc::new(StringArray::from(texts))),
            ("time", Arc::new(TimestampNanosecondArray::from(times))),
        ];
        RecordBatch::try_from_iter(columns).unwrap()
    };
    let long = "x".repeat((1 << 20) + 1);
    let batches = vec![rows(vec!["a".to_owned()]), rows(vec!["b".to_owned(), long])];
    let refused = client.put(descriptor(&ingest("texts")), batches).await.err().unwrap();
    assert_eq!(refused.code(), Code::InvalidArgument);
    assert!(refused.message().starts_with("row 3: "), "{refused}");
    let missing = client.rows(r#"{"database":"d","sql_query":"SELECT * FROM texts"}"#).await;
    assert!(missing.is_err());
}

#[tokio::test]
async fn a_table_must_exist_or_not_if_the_client_says_so() {
    let (_served, client) = server_and_client(&[("database", "d")]).await;
    let put = async |table: &str, missing: TableNotExistOption, exists: TableExistsOption| {
        let command = CommandStatementIngest {
            table_definition_options: Some(TableDefinitionOptions {
                if_not_exist: missing.into(),
                if_exists: exists.into(),
            }),
            ..ingest(table)
        };
        code(client.put(descriptor(&command), vec![batch()]).await)
    };
    let (create, append) = (TableNotExistOption::Create, TableExistsOption::Append);
    assert_eq!(put("n", TableNotExistOption::Fail, append).await, Code::NotFound);
    assert_eq!(put("n", create, TableExistsOption::Fail).await, Code::Ok);
    assert_eq!(put("n", create, TableExistsOption::Fail).await, Code::AlreadyExists);
    assert_eq!(put("n", TableNotExistOption::Fail, append).await, Code::Ok);
    assert_eq!(put("n", create, TableExistsOption::Replace).await, Code::Unimplemented);
    let temporary = CommandStatementIngest { temporary: true, ..ingest("t") };
    let refused = client.put(descriptor(&temporary), vec![batch()]).await;
    assert_eq!(code(refused), Code::Unimplemented);
}

#[tokio::test]
async fn a_client_without_rows_sends_no_message() {
    let (_served, client) = server_and_client(&[("database", "d")]).await;
    let (_, results) = client.put_messages(Vec::new()).await.unwrap();
    let result = DoPutUpdateResult::decode(&*results[0].app_metadata).unwrap();
    assert_eq!(result.record_count, 0);
}

#[tokio::test]
async fn malformed_uploads_are_refused() {
    let (_served, client) = server_and_client(&[("database", "d")]).await;
    let target = descriptor(&ingest("m"));
    let refused = async |messages: Vec<FlightData>| code(client.put_messages(messages).await);
    let data = |header: &'static [u8], body: &'static [u8]| {
        FlightData::new()
            .with_descriptor(target.clone())
            .with_data_header(header)
            .with_data_body(body)
    };
    assert_eq!(refused(vec![FlightData::new()]).await, Code::InvalidArgument);
    assert_eq!(refused(vec![data(b"no header", b"")]).await, Code::InvalidArgument);
    let path = FlightDescriptor::new_path(Vec::new());
    let no_table = FlightData::new().with_descriptor(path);
    assert_eq!(refused(vec![no_table]).await, Code::InvalidArgument);
    let no_command = FlightDescriptor::new_cmd("no command");
    let no_command = FlightData::new().with_descriptor(no_command);
    assert_eq!(refused(vec![no_command]).await, Code::InvalidArgument);
}

/// Sends a request of `DoPut` whose only message announces this length, and is incomplete until the sender is dropped.
fn begin_message(
    served: &ServerUnderTest,
    length: u32,
) -> (tokio::sync::oneshot::Sender<()>, JoinHandle<Response<Body>>) {
    let (sender, ended) = tokio::sync::oneshot::channel();
    let prefix = [&[0][..], &length.to_be_bytes(), b"the first bytes"].concat();
    let body = stream::iter([Ok::<_, std::io::Error>(prefix)]).chain(stream::once(async move {
        let _ = ended.await;
        Err(std::io::Error::from(std::io::ErrorKind::ConnectionReset))
    }));
    let request = axum::http::Request::post("/arrow.flight.protocol.FlightService/DoPut")
        .header("content-type", "application/grpc")
        .header("database", "d")
        .body(Body::from_stream(body))
        .unwrap();
    let router = served.app.router.clone();
    let answer = tokio::spawn(async move { router.oneshot(request).await.unwrap() });
    (sender, answer)
}

/// Returns the memory that is reserved for requests, in bytes.
async fn reserved_bytes(served: &ServerUnderTest) -> u64 {
    let (_, metrics) = served.request("GET", "/metrics", "").await;
    let line = r#"neap_memory_charged_bytes{part="bodies"}"#;
    let value = metrics.lines().find_map(|found| found.strip_prefix(line));
    value.unwrap().trim().parse().unwrap()
}

#[tokio::test]
async fn messages_that_are_arriving_take_memory_until_they_end() {
    let served = server_with_rows().await;
    let (first, first_answer) = begin_message(&served, 1 << 20);
    let (second, second_answer) = begin_message(&served, 3 << 20);
    while reserved_bytes(&served).await < 4 << 20 {
        tokio::task::yield_now().await;
    }
    assert_eq!(reserved_bytes(&served).await, 4 << 20);
    drop((first, second));
    first_answer.await.unwrap();
    second_answer.await.unwrap();
    assert_eq!(reserved_bytes(&served).await, 0);
}

#[tokio::test]
async fn a_message_beyond_the_limit_is_refused_before_it_arrives() {
    let served = server_with_rows().await;
    let (_incomplete, answer) = begin_message(&served, u32::MAX);
    let answer = answer.await.unwrap();
    // 8: RESOURCE_EXHAUSTED.
    assert_eq!(answer.headers()["grpc-status"], "8");
    assert_eq!(reserved_bytes(&served).await, 0);
}

#[tokio::test]
async fn rows_that_replace_each_other_create_no_table_unless_the_client_allows_it() {
    let (served, client) = server_and_client(&[("database", "d")]).await;
    let hosts: Vec<String> = (0..10).map(|host| format!("h{host}")).collect();
    let columns: [(&str, ArrayRef); 2] = [
        ("host", Arc::new(StringArray::from(hosts))),
        ("time", Arc::new(TimestampNanosecondArray::from(vec![7; 10]))),
    ];
    let rows = RecordBatch::try_from_iter(columns).unwrap();
    let command = descriptor(&ingest("cpu"));
    let refused = client.put(command.clone(), vec![rows.clone()]).await.err().unwrap();
    assert_eq!(refused.code(), Code::InvalidArgument);
    for part in ["9 of 10 rows", "'host'"] {
        assert!(refused.message().contains(part), "{}", refused.message());
    }
    let headers = [("database", "d"), ("x-neap-allow-duplicates", "true")];
    let allowed = FlightTestClient::new(&served, &headers);
    let (headers, _) = allowed.put(command.clone(), vec![rows.clone()]).await.unwrap();
    assert!(!headers.contains_key("x-neap-warning"));
    // The table exists now.
    let (headers, _) = client.put(command, vec![rows.clone()]).await.unwrap();
    let warning = headers.get("x-neap-warning").unwrap().to_str().unwrap();
    assert!(warning.starts_with("9 of 10 rows"), "{warning}");
    let path = FlightDescriptor::new_path(vec!["d".to_owned(), "cpu".to_owned()]);
    let (_, results) = client.put(path, vec![rows]).await.unwrap();
    let result: serde_json::Value = serde_json::from_slice(&results[0].app_metadata).unwrap();
    assert!(result["warning"].as_str().unwrap().starts_with("9 of 10 rows"));
}
