//! Queries over Flight and Flight SQL.

use std::sync::Arc;

use arrow::{
    array::{ArrayRef, Float64Array, RecordBatch, StringArray},
    datatypes::DataType,
};
use arrow_flight::{
    CancelFlightInfoRequest, Criteria, Empty, FlightDescriptor, FlightInfo, HandshakeRequest,
    PutResult,
    sql::{
        ActionCancelQueryRequest, ActionClosePreparedStatementRequest,
        ActionCreatePreparedStatementRequest, ActionCreatePreparedStatementResult, Any,
        CommandGetCatalogs, CommandGetCrossReference, CommandGetDbSchemas, CommandGetPrimaryKeys,
        CommandGetSqlInfo, CommandGetTableTypes, CommandGetTables, CommandGetXdbcTypeInfo,
        CommandPreparedStatementQuery, CommandPreparedStatementUpdate, CommandStatementQuery,
        CommandStatementSubstraitPlan, CommandStatementUpdate, DoPutPreparedStatementResult,
        DoPutUpdateResult, ProstMessageExt,
    },
};
use futures::{TryStreamExt, stream};
use prost::Message;
use serde_json::json;
use tonic::Code;

use super::{FlightTestClient, code, schema_of, server_and_client, server_with_rows};

fn statement(query: &str) -> CommandStatementQuery {
    CommandStatementQuery { query: query.to_owned(), transaction_id: None }
}

/// Prepares a statement.
async fn prepare(client: &FlightTestClient, query: &str) -> ActionCreatePreparedStatementResult {
    let request =
        ActionCreatePreparedStatementRequest { query: query.to_owned(), transaction_id: None };
    let body = request.as_any().encode_to_vec();
    let created = client.act("CreatePreparedStatement", body).await.unwrap();
    let created = Any::decode(&*created[0]).unwrap().unpack();
    created.unwrap().unwrap()
}

fn native(query: &str, language: &str) -> Vec<u8> {
    let ticket = json!({ "database": "d", "sql_query": query, "query_type": language });
    ticket.to_string().into_bytes()
}

#[tokio::test]
async fn a_native_ticket_returns_rows_with_the_types_of_the_table() {
    let (_served, client) = server_and_client(&[]).await;
    let sql = "SELECT * FROM home ORDER BY time";
    let rows = client.rows(native(sql, "sql")).await.unwrap();
    insta::assert_snapshot!(rows.table(), @r"
    +----+------+------+--------+-------+-------+---------------------+
    | id | note | open | people | room  | temp  | time                |
    +----+------+------+--------+-------+-------+---------------------+
    | 7  | é    | true | 2      | hall  | 20.5  | 1970-01-01T00:00:01 |
    |    |      |      |        | attic | 18.25 | 1970-01-01T00:00:02 |
    +----+------+------+--------+-------+-------+---------------------+
    ");
    let field = |name: &str| rows.schema.field_with_name(name).unwrap();
    assert_eq!(field("room").data_type(), &DataType::Utf8);
    let metadata = |name: &str| field(name).metadata()["iox::column::type"].as_str();
    assert_eq!(metadata("room"), "iox::column_type::tag");
    assert_eq!(metadata("people"), "iox::column_type::field::integer");
    assert_eq!(metadata("time"), "iox::column_type::timestamp");
    assert!(rows.headers.contains_key("x-neap-as-of"));
}

#[tokio::test]
async fn influxql_has_the_measurement_and_the_group_key() {
    let (served, client) = server_and_client(&[]).await;
    let query = "SELECT temp FROM home GROUP BY room";
    let rows = client.rows(native(query, "influxql")).await.unwrap();
    insta::assert_snapshot!(rows.table(), @r"
    +------------------+---------------------+-------+-------+
    | iox::measurement | time                | room  | temp  |
    +------------------+---------------------+-------+-------+
    | home             | 1970-01-01T00:00:02 | attic | 18.25 |
    | home             | 1970-01-01T00:00:01 | hall  | 20.5  |
    +------------------+---------------------+-------+-------+
    ");
    let key = &rows.schema.metadata()["iox::influxql::group_key::metadata"];
    assert!(key.contains("room"), "{key}");
    let client = FlightTestClient::new(
        &served,
        &[("database", "d"), ("x-influxdata-query-language", "influxql")],
    );
    let rows = client.command_rows(&statement(query)).await.unwrap();
    assert_eq!(rows.count(), 2);
}

#[tokio::test]
async fn a_native_ticket_has_parameters() {
    let (_served, client) = server_and_client(&[]).await;
    for (language, query) in [
        ("sql", "SELECT temp FROM home WHERE room = $room"),
        ("influxql", "SELECT temp FROM home WHERE room = $room"),
    ] {
        let ticket = json!({
            "database": "d", "sql_query": query, "query_type": language, "params": {"room": "hall"},
        });
        let rows = client.rows(ticket.to_string()).await.unwrap();
        assert_eq!(rows.count(), 1, "{language}");
    }
}

#[tokio::test]
async fn answers_without_rows_have_columns() {
    let (_served, client) = server_and_client(&[]).await;
    let sql = "SELECT temp FROM home WHERE room = 'cellar'";
    let rows = client.rows(native(sql, "sql")).await.unwrap();
    assert_eq!(rows.count(), 0);
    assert_eq!(rows.schema.fields().len(), 1);
}

#[tokio::test]
async fn rows_are_compressed_on_request() {
    let served = server_with_rows().await;
    for compression in ["lz4", "zstd", "none"] {
        let client = FlightTestClient::new(&served, &[("x-neap-compression", compression)]);
        let rows = client.rows(native("SELECT * FROM home", "sql")).await;
        assert_eq!(rows.unwrap().count(), 2, "{compression}");
    }
    let client = FlightTestClient::new(&served, &[("x-neap-compression", "brotli")]);
    let refused = client.rows(native("SELECT * FROM home", "sql")).await;
    assert_eq!(code(refused), Code::InvalidArgument);
}

#[tokio::test]
async fn errors_have_the_codes_and_texts_of_influxdb() {
    let (served, client) = server_and_client(&[]).await;
    for (ticket, code, text) in [
        (
            json!({"database": "x", "sql_query": "SELECT 1"}).to_string(),
            Code::NotFound,
            "database not found: x",
        ),
        (
            json!({"database": "d", "sql_query": "SELECT nothing FROM home"}).to_string(),
            Code::InvalidArgument,
            "Error while planning query: ",
        ),
        (
            json!({"database": "d", "sql_query": "CREATE TABLE t (a INT)"}).to_string(),
            Code::InvalidArgument,
            "Error while planning query: ",
        ),
        ("{".to_owned(), Code::InvalidArgument, "Invalid ticket. Error: "),
    ] {
        let error = client.rows(ticket.clone()).await.err().unwrap();
        assert_eq!(error.code(), code, "{ticket}: {error}");
        assert!(error.message().starts_with(text), "{ticket}: {error}");
    }
    let error = client.info(&statement("SELECT 1")).await.unwrap_err();
    assert_eq!(error.message(), "no 'database' header in request");
    let client = FlightTestClient::new(&served, &[("database", "d")]);
    let unknown = CommandStatementSubstraitPlan::default();
    assert_eq!(code(client.info(&unknown).await), Code::Unimplemented);
}

#[tokio::test]
async fn a_statement_of_flight_sql_is_described_and_then_executed() {
    let (_served, client) = server_and_client(&[("database", "d")]).await;
    let rows = client
        .command_rows(&statement("SELECT room, max(temp) AS m FROM home GROUP BY room ORDER BY m"))
        .await
        .unwrap();
    insta::assert_snapshot!(rows.table(), @r"
    +-------+-------+
    | room  | m     |
    +-------+-------+
    | attic | 18.25 |
    | hall  | 20.5  |
    +-------+-------+
    ");
    // A command is a ticket, too.
    let ticket = statement("SELECT 1").as_any().encode_to_vec();
    assert_eq!(client.rows(ticket).await.unwrap().count(), 1);
}

#[tokio::test]
async fn a_prepared_statement_is_executed_with_the_values_of_its_placeholders() {
    let (_served, client) = server_and_client(&[("database", "d")]).await;
    let created = prepare(&client, "SELECT room, temp FROM home WHERE room = ? AND temp > ?").await;
    let parameters = schema_of(&created.parameter_schema);
    assert_eq!(parameters.fields().len(), 2);
    assert_eq!(schema_of(&created.dataset_schema).field(1).name(), "temp");

    let values: [(&str, ArrayRef); 2] = [
        ("0", Arc::new(StringArray::from(vec!["hall"]))),
        ("1", Arc::new(Float64Array::from(vec![20.0]))),
    ];
    let values = RecordBatch::try_from_iter(values).unwrap();
    let command = CommandPreparedStatementQuery {
        prepared_statement_handle: created.prepared_statement_handle.clone(),
    };
    let descriptor = FlightDescriptor::new_cmd(command.as_any().encode_to_vec());
    let (_, results) = client.put(descriptor, vec![values]).await.unwrap();
    let bound = DoPutPreparedStatementResult::decode(&*results[0].app_metadata).unwrap();
    let command = CommandPreparedStatementQuery {
        prepared_statement_handle: bound.prepared_statement_handle.unwrap(),
    };
    let rows = client.command_rows(&command).await.unwrap();
    assert_eq!(rows.count(), 1);

    let close = ActionClosePreparedStatementRequest {
        prepared_statement_handle: created.prepared_statement_handle,
    };
    let body = close.as_any().encode_to_vec();
    let closed = client.act("ClosePreparedStatement", body).await.unwrap();
    assert!(closed.is_empty());
}

#[tokio::test]
async fn a_delete_needs_no_rows_to_be_read() {
    let (_served, client) = server_and_client(&[("database", "d")]).await;
    let update = CommandStatementUpdate {
        query: "DELETE FROM home WHERE room = 'hall'".to_owned(),
        transaction_id: None,
    };
    let descriptor = FlightDescriptor::new_cmd(update.as_any().encode_to_vec());
    let (_, results) = client.put(descriptor, Vec::new()).await.unwrap();
    assert_eq!(results.len(), 1);
    let rows = client.command_rows(&statement("SELECT * FROM home")).await;
    assert_eq!(rows.unwrap().count(), 1);
}

#[tokio::test]
async fn a_prepared_delete_has_placeholders() {
    let (_served, client) = server_and_client(&[("database", "d")]).await;
    let created = prepare(&client, "DELETE FROM home WHERE room = $1").await;
    let update = CommandPreparedStatementUpdate {
        prepared_statement_handle: created.prepared_statement_handle,
    };
    let descriptor = FlightDescriptor::new_cmd(update.as_any().encode_to_vec());
    let room: ArrayRef = Arc::new(StringArray::from(vec!["hall"]));
    let values = RecordBatch::try_from_iter([("1", room)]).unwrap();
    client.put(descriptor, vec![values]).await.unwrap();
    let rows = client.command_rows(&statement("SELECT * FROM home")).await;
    assert_eq!(rows.unwrap().count(), 1);
}

/// Returns the number of rows that an update changed.
fn changed_rows(results: &[PutResult]) -> i64 {
    assert_eq!(results.len(), 1);
    DoPutUpdateResult::decode(&*results[0].app_metadata).unwrap().record_count
}

#[tokio::test]
async fn updates_create_fill_and_drop_a_table() {
    let (_served, client) = server_and_client(&[("database", "d")]).await;
    for (query, rows) in [
        ("CREATE TABLE fees (time TIMESTAMP, room TAG, fee DOUBLE)", -1),
        (
            "INSERT INTO fees (time, room, fee) VALUES ('2024-01-01', 'hall', 1.5), ('2024-01-01', 'attic', 2)",
            2,
        ),
        ("INSERT INTO fees (time, room, fee) SELECT time, 'roof', fee FROM fees", 2),
    ] {
        let update = CommandStatementUpdate { query: query.to_owned(), transaction_id: None };
        let descriptor = FlightDescriptor::new_cmd(update.as_any().encode_to_vec());
        let (_, results) = client.put(descriptor, Vec::new()).await.unwrap();
        assert_eq!(changed_rows(&results), rows, "{query}");
    }
    // Both rows of the query have the same tags and time.
    let rows = client.command_rows(&statement("SELECT * FROM fees")).await;
    assert_eq!(rows.unwrap().count(), 3);
    let refused = client.command_rows(&statement("DROP TABLE fees")).await;
    assert!(refused.err().unwrap().message().contains("/api/v3/execute_sql"));
    let created = prepare(&client, "DROP TABLE fees").await;
    let update = CommandPreparedStatementUpdate {
        prepared_statement_handle: created.prepared_statement_handle,
    };
    let descriptor = FlightDescriptor::new_cmd(update.as_any().encode_to_vec());
    let (_, results) = client.put(descriptor, Vec::new()).await.unwrap();
    assert_eq!(changed_rows(&results), -1);
    assert!(client.command_rows(&statement("SELECT * FROM fees")).await.is_err());
}

#[tokio::test]
async fn a_prepared_insert_has_the_types_of_the_columns() {
    let (_served, client) = server_and_client(&[("database", "d")]).await;
    let insert = "INSERT INTO home (time, room, temp) VALUES (?, ?, ?)";
    let created = prepare(&client, insert).await;
    let parameters = schema_of(&created.parameter_schema);
    assert_eq!(parameters.fields().len(), 3);
    assert_eq!(parameters.field(2).data_type(), &DataType::Float64);
    assert!(schema_of(&created.dataset_schema).fields().is_empty());
    let update = CommandPreparedStatementUpdate {
        prepared_statement_handle: created.prepared_statement_handle,
    };
    let descriptor = FlightDescriptor::new_cmd(update.as_any().encode_to_vec());
    let values: [(&str, ArrayRef); 3] = [
        ("1", Arc::new(StringArray::from(vec!["2024-01-01"]))),
        ("2", Arc::new(StringArray::from(vec!["roof"]))),
        ("3", Arc::new(Float64Array::from(vec![7.5]))),
    ];
    let values = RecordBatch::try_from_iter(values).unwrap();
    let (_, results) = client.put(descriptor, vec![values]).await.unwrap();
    assert_eq!(changed_rows(&results), 1);
    let rows = client.command_rows(&statement("SELECT * FROM home WHERE room = 'roof'")).await;
    assert_eq!(rows.unwrap().count(), 1);
}

#[tokio::test]
async fn described_columns_are_those_of_the_rows() {
    let (_served, client) = server_and_client(&[("database", "d")]).await;
    // `command_rows` compares them.
    for sql in [
        "SELECT repeat('x', 10) AS s",
        "SELECT count(*), max(temp), min(time) FROM home",
        "SELECT date_bin(INTERVAL '1 s', time) AS t, room, avg(temp) FROM home GROUP BY t, room",
        "SELECT room, people + 1, temp > 20 FROM home WHERE open",
        "SELECT * FROM home a LEFT JOIN home b ON a.room = b.room",
        "SHOW TABLES",
        "EXPLAIN SELECT * FROM home",
        "SELECT * FROM system.queries",
        "SELECT * FROM information_schema.columns",
    ] {
        client.command_rows(&statement(sql)).await.expect(sql);
    }
}

#[tokio::test]
async fn catalogs_schemas_and_tables_are_listed() {
    let (served, client) = server_and_client(&[("database", "d")]).await;
    let catalogs = client.command_rows(&CommandGetCatalogs {}).await.unwrap();
    assert!(catalogs.table().contains("public"));
    let schemas = CommandGetDbSchemas::default();
    let schemas = client.command_rows(&schemas).await.unwrap();
    assert_eq!(schemas.count(), 3);
    let tables = CommandGetTables {
        db_schema_filter_pattern: Some("iox".to_owned()),
        include_schema: true,
        ..CommandGetTables::default()
    };
    let rows = client.command_rows(&tables).await.unwrap();
    assert_eq!(rows.count(), 1);
    let schema = rows.batches[0]
        .column_by_name("table_schema")
        .unwrap()
        .as_any()
        .downcast_ref::<arrow::array::BinaryArray>();
    let schema = schema_of(schema.unwrap().value(0));
    assert_eq!(schema.fields().len(), 7);
    let all = client.command_rows(&CommandGetTables::default()).await.unwrap().table();
    for name in ["home", "queries", "columns"] {
        assert!(all.contains(name), "{all}");
    }
    let types = client.command_rows(&CommandGetTableTypes {}).await.unwrap();
    assert!(types.table().contains("BASE TABLE"));
    let client = FlightTestClient::new(
        &served,
        &[("database", "d"), ("x-influxdata-base-table-type", "TABLE")],
    );
    let types = client.command_rows(&CommandGetTableTypes {}).await.unwrap();
    assert!(!types.table().contains("BASE TABLE"));
}

#[tokio::test]
async fn keys_and_properties_are_described() {
    let (_served, client) = server_and_client(&[("database", "d")]).await;
    let keys =
        CommandGetPrimaryKeys { table: "home".to_owned(), ..CommandGetPrimaryKeys::default() };
    let keys = client.command_rows(&keys).await.unwrap();
    insta::assert_snapshot!(keys.table(), @r"
    +--------------+----------------+------------+-------------+----------+--------------+
    | catalog_name | db_schema_name | table_name | column_name | key_name | key_sequence |
    +--------------+----------------+------------+-------------+----------+--------------+
    | public       | iox            | home       | room        |          | 1            |
    | public       | iox            | home       | time        |          | 2            |
    +--------------+----------------+------------+-------------+----------+--------------+
    ");
    let foreign = CommandGetCrossReference::default();
    assert_eq!(client.command_rows(&foreign).await.unwrap().count(), 0);
    let info = CommandGetSqlInfo { info: vec![0] };
    assert_eq!(client.command_rows(&info).await.unwrap().count(), 1);
    let types = CommandGetXdbcTypeInfo { data_type: None };
    assert_eq!(client.command_rows(&types).await.unwrap().count(), 6);
}

#[tokio::test]
async fn a_query_that_does_not_run_cannot_be_cancelled() {
    let (_served, client) = server_and_client(&[("database", "d")]).await;
    let info: FlightInfo = client.info(&statement("SELECT 1")).await.unwrap();
    let request = CancelFlightInfoRequest { info: Some(info.clone()) };
    let cancelled = client.act("CancelFlightInfo", request.encode_to_vec()).await;
    assert_eq!(code(cancelled), Code::NotFound);
    let request = ActionCancelQueryRequest { info: info.encode_to_vec().into() };
    let body = request.as_any().encode_to_vec();
    assert_eq!(code(client.act("CancelQuery", body).await), Code::NotFound);
    assert_eq!(code(client.act("Unknown", Vec::new()).await), Code::Unimplemented);
}

#[tokio::test]
async fn a_handshake_returns_payload_and_token() {
    let (_served, client) = server_and_client(&[("authorization", "Basic dTphOmI=")]).await;
    let message = HandshakeRequest { protocol_version: 0, payload: "hello".into() };
    let request = client.request(stream::iter([message]));
    let answer = client.client.clone().handshake(request).await.unwrap();
    let token = answer.metadata().get("authorization").unwrap();
    assert_eq!(token, "Bearer a:b");
    let answers: Vec<_> = answer.into_inner().try_collect().await.unwrap();
    assert_eq!(&answers[0].payload[..], b"hello");
}

#[tokio::test]
async fn actions_are_listed_and_flights_are_not() {
    let (_served, client) = server_and_client(&[]).await;
    let request = client.request(Empty {});
    let actions: Vec<_> = client
        .client
        .clone()
        .list_actions(request)
        .await
        .unwrap()
        .into_inner()
        .try_collect()
        .await
        .unwrap();
    assert_eq!(actions.len(), 4);
    let request = client.request(Criteria::default());
    let flights = client.client.clone().list_flights(request).await;
    assert_eq!(code(flights), Code::Unimplemented);
}

#[tokio::test]
async fn a_deadline_of_the_client_ends_a_query() {
    let (_served, client) = server_and_client(&[("grpc-timeout", "50m")]).await;
    let endless = "SELECT count(*) FROM generate_series(1, 100000000) a \
                   CROSS JOIN generate_series(1, 100000000) b";
    let ended = client.rows(native(endless, "sql")).await;
    assert_eq!(code(ended), Code::DeadlineExceeded);
}

#[tokio::test]
async fn requests_are_counted_by_method_and_code() {
    let (served, client) = server_and_client(&[]).await;
    client.rows(native("SELECT 1", "sql")).await.unwrap();
    assert!(client.rows("{").await.is_err());
    let (_, metrics) = served.request("GET", "/metrics", "").await;
    for line in [
        r#"neap_flight_requests_total{method="DoGet",code="Ok"} 1"#,
        r#"neap_flight_requests_total{method="DoGet",code="InvalidArgument"} 1"#,
    ] {
        assert!(metrics.contains(line), "{metrics}");
    }
}
