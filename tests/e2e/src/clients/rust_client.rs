//! `influxdb3-client`, InfluxDB's client library for Rust.
//!
//! Not covered: data frames of Polars, which the library turns into line protocol and back without the server.

use std::{future::Future, time::Duration};

use futures::TryStreamExt;
use influxdb3_client::{
    Client, ClientConfig, ClientConfigBuilder, Error, Point, Precision, QueryType, RetryConfig,
    Row, Value,
};

use super::{TlsServer, serve};
use crate::harness::StoreFixture;

/// Runs a test with a client of a new server.
fn with_client<F: Future<Output = ()>>(
    configure: impl FnOnce(ClientConfigBuilder) -> ClientConfigBuilder,
    test: impl FnOnce(Client) -> F,
) {
    let (server, token) = serve(&StoreFixture::memory(), &[]);
    let config = ClientConfig::builder().host(server.url()).token(token).database("sensors");
    run_test(configure(config), test);
}

fn run_test<F: Future<Output = ()>>(config: ClientConfigBuilder, test: impl FnOnce(Client) -> F) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        test(Client::new(config.build().unwrap()).await.unwrap()).await;
    });
}

/// Returns the values of a query in SQL, row by row.
async fn select(client: &Client, query: &str) -> Vec<Vec<Value>> {
    values(client.sql(query).await.unwrap().rows().unwrap())
}

fn values(rows: Vec<Row>) -> Vec<Vec<Value>> {
    rows.iter().map(|row| row.values().to_vec()).collect()
}

fn text(value: &str) -> Value {
    Value::String(value.to_owned())
}

#[test]
fn influxdb3_client_for_rust_writes_and_reads_values_of_every_type() {
    with_client(
        |config| config,
        |client| async move {
            let points = vec![
                Point::new("temperature")
                    .tag("location", "office")
                    .field("celsius", 22.5)
                    .field("humidity", 48_i64)
                    .field("visits", u64::MAX)
                    .field("note", "a \"quoted\" text, with = and \\")
                    .field("occupied", true)
                    .timestamp_nanos(1_700_000_000_000_000_001),
                Point::new("temperature")
                    .tag("location", "store room")
                    .field("celsius", -1.25)
                    .timestamp_nanos(1_700_000_000_000_000_002),
            ];
            client.write(points).await.unwrap();

            let result = client.sql("SELECT * FROM temperature ORDER BY time").await.unwrap();
            assert_eq!(result.num_rows(), 2);
            assert_eq!(
                result.column_names(),
                ["celsius", "humidity", "location", "note", "occupied", "time", "visits"]
            );
            assert_eq!(
                values(result.rows().unwrap()),
                [
                    vec![
                        Value::F64(22.5),
                        Value::I64(48),
                        text("office"),
                        text("a \"quoted\" text, with = and \\"),
                        Value::Bool(true),
                        Value::Timestamp(1_700_000_000_000_000_001),
                        Value::U64(u64::MAX),
                    ],
                    vec![
                        Value::F64(-1.25),
                        Value::Null,
                        text("store room"),
                        Value::Null,
                        Value::Null,
                        Value::Timestamp(1_700_000_000_000_000_002),
                        Value::Null,
                    ],
                ]
            );
        },
    );
}

#[test]
fn influxdb3_client_for_rust_writes_with_every_option() {
    with_client(
        |config| config.write_use_v2_api(false),
        |client| async move {
            let points = (0..2_500).map(|n| {
                Point::new("counts")
                    .tag("host", format!("h{}", n % 5))
                    .field("n", i64::from(n))
                    .timestamp_nanos(i64::from(n) * 1_000_000)
            });
            client
                .write(points.collect::<Vec<_>>())
                .precision(Precision::Millisecond)
                .batch_size(1_000)
                .max_inflight(3)
                .gzip_threshold(Some(0))
                .default_tag("region", "us-east")
                .tag_order(["region", "host"])
                .await
                .unwrap();
            assert_eq!(
                select(&client, "SELECT count(*), max(n), max(time), min(region) FROM counts")
                    .await,
                [[
                    Value::I64(2_500),
                    Value::I64(2_499),
                    Value::Timestamp(2_499_000_000),
                    text("us-east"),
                ]]
            );

            client
                .write("second v=1 7")
                .precision(Precision::Second)
                .no_sync()
                .no_retry()
                .await
                .unwrap();
            client
                .write("second v=2 8000000")
                .precision(Precision::Microsecond)
                .gzip_threshold(None)
                .await
                .unwrap();
            assert_eq!(
                select(&client, "SELECT time, v FROM second ORDER BY time").await,
                [
                    [Value::Timestamp(7_000_000_000), Value::F64(1.0)],
                    [Value::Timestamp(8_000_000_000), Value::F64(2.0)],
                ]
            );
        },
    );
}

#[test]
fn influxdb3_client_for_rust_sees_which_lines_are_refused() {
    let lines = "home,room=Sunroom temp=96 1735545600000000000\n\
                 home,room=Sunroom temp=\"hi\" 1735549200000000000";
    with_client(
        |config| config.write_use_v2_api(false),
        |client| async move {
            let Err(Error::PartialWrite(refused)) = client.write(lines).await else {
                panic!("the write must be partial");
            };
            assert_eq!(refused.line_errors.len(), 1);
            assert_eq!(refused.line_errors[0].line, 2);
            assert_eq!(select(&client, "SELECT temp FROM home").await, [[Value::F64(96.0)]]);

            let all = lines.replace("home", "house");
            let refused = client.write(all).accept_partial(false).await;
            assert!(refused.is_err(), "{refused:?}");
            let missing = client.sql("SELECT * FROM house").await;
            assert!(matches!(missing, Err(Error::Flight(_))));

            let refused = client.write(lines).use_v2_api().await;
            assert!(
                matches!(&refused, Err(Error::Server { code: 400, message }) if message.contains("temp")),
                "{refused:?}"
            );
        },
    );
}

#[test]
fn influxdb3_client_for_rust_queries_in_both_languages() {
    with_client(
        |config| config,
        |client| async move {
            client.write("cpu,host=a usage=1.5 10\ncpu,host=b usage=2.5 20").await.unwrap();
            let result = client
                .sql("SELECT usage FROM cpu WHERE host = $host AND usage > $least")
                .param("host", "b")
                .params([("least", 2)])
                .await
                .unwrap();
            let rows = result.rows().unwrap();
            assert_eq!(rows[0]["usage"].as_f64(), Some(2.5));
            assert_eq!(rows.len(), 1);

            let rows = client
                .influxql("SELECT MEAN(usage) FROM cpu WHERE host = $host")
                .param("host", "a")
                .await
                .unwrap();
            assert_eq!(
                values(rows.rows().unwrap()),
                [[text("cpu"), Value::Timestamp(0), Value::F64(1.5)]]
            );
            let rows = client
                .query("SHOW TAG VALUES WITH KEY = host", QueryType::InfluxQL)
                .header("x-neap-max-staleness", "0s")
                .await
                .unwrap();
            assert_eq!(rows.num_rows(), 2);

            let batches: Vec<_> = client
                .sql("SELECT value FROM generate_series(1, 100000)")
                .stream()
                .await
                .unwrap()
                .try_collect()
                .await
                .unwrap();
            let rows: usize = batches.iter().map(|batch| batch.num_rows()).sum();
            assert_eq!(rows, 100_000);

            let retry = RetryConfig {
                max_retries: 1,
                base_delay: Duration::from_millis(1),
                ..RetryConfig::default()
            };
            let refused = client.sql("SELECT nothing FROM cpu").retry(retry).await;
            let Err(Error::Flight(status)) = refused else {
                panic!("the query must be refused");
            };
            assert!(status.message().contains("nothing"), "{status}");
        },
    );
}

#[test]
fn influxdb3_client_for_rust_learns_the_version() {
    with_client(
        |config| config,
        |client| async move {
            assert!(client.ping().await.unwrap().starts_with('3'));
        },
    );
}

#[test]
fn influxdb3_client_for_rust_is_refused_with_a_wrong_token() {
    with_client(
        |config| config.token("apiv3_wrong"),
        |client| async move {
            let refused = client.write("m v=1").no_retry().await;
            assert!(matches!(refused, Err(Error::Server { code: 401, .. })));
            let Err(Error::Flight(status)) = client.sql("SELECT 1").no_retry().await else {
                panic!("the query must be refused");
            };
            assert_eq!(status.code(), tonic::Code::Unauthenticated);
        },
    );
}

#[test]
fn influxdb3_client_for_rust_uses_tls_and_connection_strings() {
    let server = TlsServer::start();
    let config = ClientConfig::builder()
        .host(server.url())
        .token(server.token())
        .auth_scheme("Token")
        .database("sensors")
        .ssl_roots_path(server.certificate());
    run_test(config, |client| async move {
        client.write("m v=1 1").await.unwrap();
        assert_eq!(select(&client, "SELECT v FROM m").await, [[Value::F64(1.0)]]);
    });

    let (server, token) = serve(&StoreFixture::memory(), &[]);
    let connection = format!(
        "{}/?token={token}&database=sensors&precision=s&writeUseV2Api=false",
        server.url()
    );
    let config = ClientConfig::from_connection_string(&connection).unwrap();
    assert_eq!(config.host_url(), server.url());
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let client = Client::from_connection_string(&connection).await.unwrap();
        client.write("m v=1 1").await.unwrap();
        assert_eq!(
            select(&client, "SELECT time FROM m").await,
            [[Value::Timestamp(1_000_000_000)]]
        );
    });
}
