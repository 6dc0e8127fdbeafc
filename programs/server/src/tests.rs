//! Tests of the assembled server.

mod access;
mod agents;
mod auto_create;
mod flight;
mod operations;
mod store_requests;
mod token_secrecy;

use std::sync::Arc;

use axum::{Router, body::Body, routing::get};
use clap::{Args, Command, FromArgMatches};
use http_body_util::BodyExt;
use neap_http::Metrics;
use tokio::sync::{Notify, oneshot};
use tower::ServiceExt;

use super::*;
use crate::{console::testing::console, options::ServeMode};

pub(super) fn parse(args: &[&str]) -> Result<ServeArgs, clap::Error> {
    let command = ServeArgs::augment_args(Command::new("serve"));
    let args = ["serve"].iter().chain(args);
    ServeArgs::from_arg_matches(&command.try_get_matches_from(args)?)
}

/// A server without a listener.
pub(super) struct ServerUnderTest {
    pub(super) app: ServerComponents,
    pub(super) metrics: Metrics,
    pub(super) stop: CancellationToken,
}

impl ServerUnderTest {
    pub(super) async fn new(args: &[&str]) -> Self {
        let (args, world) = (parse(args).unwrap(), World::system());
        let stores = Stores::open(&args.store, &world).unwrap();
        stores.probe_if_unused().await.unwrap();
        Self::with_stores(&args, stores, &world).await
    }

    pub(super) async fn with_stores(args: &ServeArgs, mut stores: Stores, world: &World) -> Self {
        let stop = CancellationToken::new();
        let this = ProcessContext {
            node: None,
            own: &Arc::new(OwnNode::new(&stores.bucket)),
            stop: &stop,
            traces: None,
        };
        Self {
            app: ServerComponents::new(args, this, &mut stores, world).await.unwrap(),
            metrics: stores.metrics,
            stop,
        }
    }

    pub(super) async fn request(&self, method: &str, path: &str, body: &str) -> (u16, String) {
        self.send(method, path, &[], body).await
    }

    pub(super) async fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> (u16, String) {
        let mut request = axum::http::Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Body::from(body.to_owned())).unwrap();
        let response = self.app.router.clone().oneshot(request).await.unwrap();
        let status = response.status().as_u16();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }
}

async fn app(args: &[&str]) -> ServerUnderTest {
    let open = args.iter().copied().chain(["--without-auth"]);
    ServerUnderTest::new(&open.collect::<Vec<_>>()).await
}

async fn request(served: &ServerUnderTest, method: &str, path: &str, body: &str) -> (u16, String) {
    served.request(method, path, body).await
}

#[tokio::test]
async fn a_query_of_the_sole_writer_sees_the_previous_write_without_a_list() {
    let app = app(&["--object-store", "memory"]).await;
    let written = request(&app, "POST", "/api/v3/write_lp?db=d", "cpu,host=a v=1 1").await;
    assert_eq!(written, (204, String::new()));
    for _ in 0..3 {
        let query = r#"{"db":"d","q":"SELECT host, v FROM cpu"}"#;
        let answer = request(&app, "POST", "/api/v3/query_sql", query).await;
        assert_eq!(answer, (200, r#"[{"host":"a","v":1.0}]"#.to_owned()));
    }
    let (status, metrics) = request(&app, "GET", "/metrics", "").await;
    assert_eq!(status, 200);
    let requests = |line: &str| {
        let found = metrics.lines().find_map(|found| found.strip_prefix(line));
        found.map(|count| count.trim().parse::<u64>().unwrap())
    };
    assert_eq!(requests(r#"neap_store_requests_total{operation="put",class="tail"}"#), Some(1));
    let listings = requests(r#"neap_store_requests_total{operation="list",class="tail"}"#);
    // One before the catalog of the database is created, and at most one of the first query.
    assert!(listings.unwrap_or(0) <= 2, "{metrics}");
    assert_eq!(requests("neap_tail_segments"), Some(1));
    assert_eq!(request(&app, "GET", "/health", "").await.0, 200);
    assert_eq!(request(&app, "GET", "/nothing", "").await, (404, "Not found".to_owned()));
}

#[tokio::test]
async fn a_process_does_what_its_mode_says() {
    let queries = app(&["--object-store", "memory", "--mode", "query"]).await;
    assert_eq!(request(&queries, "POST", "/api/v3/write_lp?db=d", "m v=1").await.0, 404);
    assert!(queries.app.flushing.is_none());
    let writes = app(&["--object-store", "memory", "--mode", "ingest,compact"]).await;
    assert_eq!(request(&writes, "POST", "/api/v3/write_lp?db=d", "m v=1").await.0, 204);
    assert_eq!(request(&writes, "GET", "/api/v3/query_sql?db=d&q=SELECT+1", "").await.0, 404);
    assert!(writes.app.flushing.is_some());
}

#[tokio::test]
async fn stopping_waits_for_requests_in_progress() {
    let (started_at, finish) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let slow = {
        let (started_at, finish) = (Arc::clone(&started_at), Arc::clone(&finish));
        async move || {
            started_at.notify_one();
            finish.notified().await;
            "done"
        }
    };
    let listener = Listener::bind("127.0.0.1:0", ListenerSettings::with_tls(None), World::system())
        .await
        .unwrap();
    let url = format!("http://{}/", listener.address().unwrap());
    let (stop, stopped) = oneshot::channel::<()>();
    let stopped = async { stopped.await.unwrap_or(()) };
    let router = Router::new().route("/", get(slow));
    let serving = tokio::spawn(listener.serve(router, stopped, Duration::from_secs(60)));
    let answer = tokio::spawn(reqwest::get(url.clone()));
    started_at.notified().await;
    stop.send(()).unwrap();
    while reqwest::get(url.clone()).await.is_ok() {
        tokio::task::yield_now().await;
    }
    assert!(!serving.is_finished());
    finish.notify_one();
    assert_eq!(answer.await.unwrap().unwrap().text().await.unwrap(), "done");
    serving.await.unwrap();
}

#[tokio::test]
async fn a_process_is_ready_until_it_is_asked_to_stop() {
    let served = app(&["--object-store", "memory"]).await;
    assert_eq!(served.request("GET", "/ready", "").await, (200, "OK".into()));
    served.stop.cancel();
    let (status, text) = served.request("GET", "/ready", "").await;
    assert_eq!((status, text.as_str()), (503, "stopping"));
    assert_eq!(served.request("GET", "/health", "").await.0, 200);
}

#[tokio::test]
async fn limit_errors_have_the_wording_of_influxdb() {
    let args = ["--object-store", "memory", "--max-databases", "1"];
    let more = ["--max-tables=1", "--max-tags-per-table=1", "--max-columns-per-table=3"];
    let args: Vec<_> = args.into_iter().chain(more).collect();
    let served = app(&args).await;
    let write = async |database: &str, line: &str| {
        let path = format!("/api/v3/write_lp?db={database}");
        served.request("POST", &path, line).await
    };
    assert_eq!(write("a", "m,t=x f=1").await.0, 204);
    for (database, line, expected) in [
        ("b", "m f=1", "limit of 1 databases"),
        ("a", "n f=1", "number of tables limit"),
        ("a", "m,u=x f=1", "limit of 1 columns"),
        ("a", "m,t=x g=1,h=1", "limit of 3 columns"),
    ] {
        let (status, text) = write(database, line).await;
        assert!(status == 422 || status == 400, "{status} {text}");
        assert!(text.contains(expected), "{text}");
    }
}

#[tokio::test]
async fn the_address_file_is_written_atomically() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("address");
    let args = parse(&["--tcp-listener-file-path", path.to_str().unwrap()]).unwrap();
    let greeting = StartupMessage {
        address: "127.0.0.1:4711".parse().unwrap(),
        is_encrypted: false,
        place: "",
        names: [None, None],
        questdb: None,
        postgres: None,
        worker: None,
        has_console: false,
        entry: AuthState::Open,
        has_passwords: false,
        program: "neap",
    };
    tell_address(&args, &greeting).unwrap();
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "127.0.0.1:4711");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn only_a_server_with_sign_in_by_password_names_passwords_at_its_start() {
    let has_passwords = |args: &[&str]| parse(args).unwrap().access.has_passwords();
    assert!(has_passwords(&["--user-auth-type", "basic"]));
    assert!(has_passwords(&["--user-auth-type", "oauth,basic"]));
    assert!(!has_passwords(&[]));
    assert!(!has_passwords(&["--user-auth-type", "oauth"]));
    assert!(!has_passwords(&["--user-auth-type", "basic", "--without-auth"]));
}

/// Has the variable POD.
struct TestVariables(Option<&'static str>);

impl Variables for TestVariables {
    fn get(&self, name: &str) -> Option<&str> {
        self.0.filter(|_| name == "POD")
    }

    fn former_variables(&self, _: &str) -> Vec<(String, String)> {
        Vec::new()
    }
}

#[test]
fn the_name_may_come_from_a_variable() {
    let args = parse(&["--node-id-from-env", "POD"]).unwrap();
    let environment = TestVariables(Some("pod-1"));
    assert_eq!(node_name(&args, &environment).unwrap().as_deref(), Some("pod-1"));
    let error = node_name(&args, &TestVariables(None)).unwrap_err();
    insta::assert_snapshot!(error, @"--node-id-from-env: the environment variable POD is not set");
}

#[test]
fn two_names_are_refused() {
    let args = parse(&["--node-id", "a", "--node-id-from-env", "POD"]).unwrap();
    let error = node_name(&args, &TestVariables(None)).unwrap_err();
    insta::assert_snapshot!(error, @"--node-id and --node-id-from-env are both set; set only one");
}

#[test]
fn incomplete_tls_options_are_refused() {
    let refused = |args: &[&str]| encryption(&parse(args).unwrap()).err().unwrap();
    let no_key = refused(&["--tls-cert", "c.pem"]);
    insta::assert_snapshot!(no_key, @"--tls-cert is set, but --tls-key is not: HTTPS requires both");
    let no_certificate = refused(&["--tls-key", "k.pem"]);
    insta::assert_snapshot!(no_certificate, @"--tls-key is set, but --tls-cert is not: HTTPS requires both");
    assert!(encryption(&parse(&[]).unwrap()).unwrap().is_none());
}

#[test]
fn flags_without_effect_cause_one_warning() {
    let (mut console, out, err) = console("");
    let args = ["--gen1-duration", "5m", "--wal-snapshot-size=10", "--query-file-limit", "432"];
    warn(&parse(&args).unwrap(), &mut console);
    assert_eq!(out.text(), "");
    insta::assert_snapshot!(err.text(), @"warning: without effect here: --gen1-duration, --query-file-limit, --wal-snapshot-size");
}

/// Every flag that InfluxDB 3 documents for `serve`, with a value where it has one.
const ALL_FLAGS: &str = "--node-id n --cluster-id c --mode ingest,query --object-store s3
    --http-bind 0.0.0.0:8181 --max-http-request-size 10485760 --tls-key k --tls-cert c
    --tls-minimum-version tls-1.2 --without-auth --disable-authz health --admin-token-file f
    --admin-token-recovery-http-bind --data-dir d --bucket b --aws-access-key-id i
    --aws-secret-access-key s --aws-default-region us-east-1 --aws-endpoint e --aws-session-token t
    --aws-allow-http --aws-skip-signature --aws-credentials-file f --azure-storage-account a
    --azure-storage-access-key k --azure-endpoint e --azure-allow-http --google-service-account g
    --object-store-connection-limit 16 --object-store-http2-only
    --object-store-http2-max-frame-size 16384 --object-store-max-retries 3
    --object-store-retry-timeout 5s --object-store-cache-endpoint e
    --object-store-tls-allow-insecure --object-store-tls-ca f --gen1-duration 10m
    --gen1-lookback-duration 1month --wal-flush-interval 1s --wal-snapshot-size 600
    --wal-max-write-buffer-size 100000 --wal-replay-concurrency-limit 4
    --wal-replay-fail-on-error --snapshotted-wal-files-to-keep 300 --snapshot-concurrency-limit 2
    --checkpoint-interval 1h --force-snapshot-mem-threshold 50% --retention-check-interval 30m
    --hard-delete-default-duration 72h --delete-grace-period 24h
    --last-cache-eviction-interval 10s --distinct-cache-eviction-interval 10s
    --parquet-mem-cache-size 20% --parquet-mem-cache-prune-percentage 0.1
    --parquet-mem-cache-prune-interval 1s --parquet-mem-cache-query-path-duration 5h
    --disable-parquet-mem-cache --table-index-cache-max-entries 100
    --table-index-cache-concurrency-limit 20 --query-log-size 1000 --query-file-limit 432
    --max-concurrent-queries 8 --exec-mem-pool-bytes 20% --datafusion-config a:b
    --datafusion-num-threads 2 --datafusion-runtime-type multi-thread
    --datafusion-max-parquet-fanout 100 --datafusion-use-cached-parquet-loader
    --plugin-dir p --virtual-env-location v --package-manager disabled --plugin-repo r
    --restrict-plugin-triggers-to wal --log-filter info --log-format full
    --log-destination stdout -v --traces-exporter none --num-io-threads 2
    --io-runtime-type multi-thread --tcp-listener-file-path f --disable-telemetry-upload
    --telemetry-endpoint e --test-mode";

#[test]
fn every_flag_of_influxdb_is_accepted() {
    let args: Vec<_> = ALL_FLAGS.split_whitespace().collect();
    let args = parse(&args).unwrap();
    assert!(args.does(ServeMode::Query) && !args.does(ServeMode::Compact));
    let short =
        parse(&["--object-store", "s3", "--aws-access-key", "i", "--aws-secret-access-key", "s"]);
    assert!(short.is_ok());
}
