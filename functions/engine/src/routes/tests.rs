//! Tests of the endpoints, without the engine that runs triggers.

mod dry_runs;
mod repositories;

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use axum::body::Body;
use bytes::Bytes;
use http::{HeaderMap, Method};
use http_body_util::BodyExt;
use neap_bucket::{Bucket, MemoryStore, ProtocolMargins, SystemClock, World};
use neap_catalog::{Catalog, CatalogError};
use neap_http::{
    AccessControl, BodyLimits, ClusterId, Metrics, ServiceContext, with_common_layers,
};
use tower::ServiceExt;

use super::*;
use crate::{
    DatabaseAccess, DatabaseAccessError, PackageManager, PackageSettings, PluginCodeSettings,
    PluginCodeStore, PluginResponse, PluginWriteOptions, PythonEnvironment, QueryRows, RunError,
    TriggerKind, WorkerPool, WorkerSettings,
};

/// A database that rejects queries and panics on writes.
#[derive(Debug)]
struct StubDatabase;

#[async_trait]
impl DatabaseAccess for StubDatabase {
    async fn query(
        &self,
        _: &str,
        sql: &str,
        _: &[(String, String)],
    ) -> Result<QueryRows, DatabaseAccessError> {
        Err(DatabaseAccessError(format!("no answer to {sql}")))
    }

    async fn write(
        &self,
        _: &str,
        _: Bytes,
        _: PluginWriteOptions,
    ) -> Result<Option<neap_bucket::Stamp>, DatabaseAccessError> {
        panic!("a dry run wrote")
    }
}

/// A fake engine that returns a fixed response and records requests.
#[derive(Debug)]
struct FakeDispatcher {
    catalog: Arc<Catalog>,
    answer: Mutex<Result<PluginResponse, RunError>>,
    requests: Mutex<Vec<PluginRequest>>,
    changed: AtomicUsize,
}

#[async_trait]
impl RequestDispatcher for FakeDispatcher {
    async fn find(&self, path: &str) -> Result<Option<RequestTrigger>, CatalogError> {
        let root = self.catalog.root(Duration::ZERO).await?.value;
        for (database, entry) in root.databases_with_triggers() {
            let catalog = self.catalog.database(database, Duration::ZERO).await?.value;
            if let Some(trigger) = catalog.trigger(path) {
                return Ok(Some(RequestTrigger {
                    database,
                    database_name: entry.name.as_str().into(),
                    trigger: Arc::clone(trigger),
                }));
            }
        }
        Ok(None)
    }

    async fn request(
        self: Arc<Self>,
        _: RequestTrigger,
        request: PluginRequest,
    ) -> Result<PluginResponse, RunError> {
        self.requests.lock().unwrap().push(request);
        self.answer.lock().unwrap().clone()
    }

    fn changed(&self) {
        self.changed.fetch_add(1, Ordering::Relaxed);
    }
}

struct RoutesFixture {
    folder: tempfile::TempDir,
    _cache: tempfile::TempDir,
    catalog: Arc<Catalog>,
    triggers: Arc<FakeDispatcher>,
    router: Router,
}

const TRIGGER: &str = "/api/v3/configure/processing_engine_trigger";

impl RoutesFixture {
    async fn new(allowed: &[TriggerKind]) -> Self {
        let packages = PackageSettings {
            manager: PackageManager::Disabled,
            ..PackageSettings::default()
        };
        Self::with_packages(allowed, packages).await
    }

    async fn with_packages(allowed: &[TriggerKind], packages: PackageSettings) -> Self {
        let store = MemoryStore::new(Arc::new(SystemClock::new()));
        let bucket = Bucket::new(Arc::new(store), World::system());
        let catalog = Arc::new(Catalog::new(bucket, ProtocolMargins::LOCAL, None));
        catalog.create_database("home", None).await.unwrap();
        let (folder, cache) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let code = PluginCodeSettings {
            plugin_folder: Some(folder.path().to_owned()),
            cache_folder: Some(cache.path().to_owned()),
            ..PluginCodeSettings::default()
        };
        let triggers = Arc::new(FakeDispatcher {
            catalog: Arc::clone(&catalog),
            answer: Mutex::new(Err(RunError::Stopping)),
            requests: Mutex::default(),
            changed: AtomicUsize::default(),
        });
        let world = World::system();
        let routes = routes(EngineRoutes {
            code: Arc::new(PluginCodeStore::new(code, Arc::clone(&catalog))),
            catalog: Arc::clone(&catalog),
            packages: Arc::new(PythonEnvironment::new(packages, world.clone())),
            workers: Arc::new(WorkerPool::new(WorkerSettings::default(), world.clone())),
            database: Arc::new(StubDatabase),
            triggers: Arc::clone(&triggers) as _,
            allowed: allowed.to_vec(),
            body: BodyLimits::with_max_bytes(1_000),
        });
        let common = ServiceContext {
            cluster: ClusterId::new(Arc::clone(&catalog)),
            world,
            metrics: Metrics::default(),
            access: AccessControl::Open,
        };
        Self {
            folder,
            _cache: cache,
            catalog,
            triggers,
            router: with_common_layers(routes, common),
        }
    }

    fn plugin(&self, name: &str, content: &str) {
        fs::write(self.folder.path().join(name), content).unwrap();
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> (u16, HeaderMap, String) {
        let mut request = http::Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Body::from(body.to_owned())).unwrap();
        let (head, body) = self.router.clone().oneshot(request).await.unwrap().into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        let folder = self.folder.path().display().to_string();
        let body = String::from_utf8(body.to_vec()).unwrap().replace(&folder, "<folder>");
        (head.status.as_u16(), head.headers, body)
    }

    /// Sends JSON and returns the status and the body.
    async fn json(&self, method: Method, path: &str, body: serde_json::Value) -> (u16, String) {
        let headers = [("content-type", "application/json")];
        let (status, _, body) = self.send(method, path, &headers, &body.to_string()).await;
        (status, body)
    }

    async fn create(&self, change: impl FnOnce(&mut serde_json::Value)) -> (u16, String) {
        let mut body = serde_json::json!({
            "db": "home", "plugin_filename": "echo.py", "trigger_name": "echo",
            "trigger_settings": {"run_async": false, "error_behavior": "log"},
            "trigger_specification": "request:echo", "trigger_arguments": {"k": "v"}, "disabled": false,
        });
        change(&mut body);
        self.json(Method::POST, TRIGGER, body).await
    }

    async fn switch(&self, method: Method, action: &str, query: &str) -> (u16, String) {
        let path = format!("{TRIGGER}{action}?{query}");
        let (status, _, body) = self.send(method, &path, &[], "").await;
        (status, body)
    }
}

fn answer(status: u16, body: &str) -> (u16, String) {
    (status, body.to_owned())
}

#[tokio::test]
async fn triggers_are_created_switched_and_deleted_in_the_words_of_influxdb() {
    let stage = RoutesFixture::new(&[]).await;
    stage.plugin("echo.py", "");
    let ok = answer(200, "");
    assert_eq!(stage.create(|_| ()).await, ok);
    let again = answer(409, "attempted to create a resource that already exists");
    assert_eq!(stage.create(|_| ()).await, again);
    let echo = "db=home&trigger_name=echo";
    for action in ["/enable", "/disable", "/disable", "/enable"] {
        assert_eq!(stage.switch(Method::POST, action, echo).await, ok);
    }
    let missing = answer(404, "the requested resource was not found: nope");
    let nope = "db=home&trigger_name=nope";
    assert_eq!(stage.switch(Method::POST, "/enable", nope).await, missing);
    assert_eq!(stage.switch(Method::DELETE, "", nope).await, missing);
    let running = "Cannot delete running plugin echo. Disable it first or use --force.";
    assert_eq!(stage.switch(Method::DELETE, "", echo).await, answer(500, running));
    let body = serde_json::json!({"db": "home", "trigger_name": "echo", "force": true});
    assert_eq!(stage.json(Method::DELETE, TRIGGER, body).await, ok);
    assert_eq!(
        stage.switch(Method::DELETE, "", "db=no&trigger_name=x").await,
        answer(404, "Database not found no")
    );
    assert_eq!(stage.triggers.changed.load(Ordering::Relaxed), 6);
    assert_eq!(stage.create(|body| body["disabled"] = true.into()).await, ok);
    assert_eq!(stage.switch(Method::DELETE, "", echo).await, ok);
}

#[tokio::test]
async fn a_trigger_may_end_runs_whose_client_disconnects() {
    let stage = RoutesFixture::new(&[]).await;
    stage.plugin("echo.py", "");
    for (name, setting) in [("goes-on", false), ("ends", true)] {
        let change = |body: &mut serde_json::Value| {
            body["trigger_name"] = name.into();
            body["trigger_settings"]["cancel_on_disconnect"] = setting.into();
        };
        assert_eq!(stage.create(change).await, answer(200, ""));
        let found = stage.triggers.find(name).await.unwrap().unwrap();
        assert_eq!(found.trigger.cancel_on_disconnect, setting);
    }
}

#[tokio::test]
async fn an_installation_continues_if_its_client_disconnects() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name);
    let python = file("python");
    let script = "#!/bin/sh\ncd \"${0%/*}\"\ntouch started\nwhile [ ! -e continue ]; do sleep 0.01; done\ntouch ended\n";
    fs::write(&python, script).unwrap();
    fs::set_permissions(&python, fs::Permissions::from_mode(0o755)).unwrap();
    let packages = PackageSettings {
        manager: PackageManager::Pip,
        environment: Some(file("environment")),
        python,
        ..PackageSettings::default()
    };
    let stage = RoutesFixture::with_packages(&[], packages).await;
    let exists = async |name: &str| {
        let world = World::system();
        let there = async {
            while !file(name).exists() {
                world.clock.sleep(Duration::from_millis(5)).await;
            }
        };
        world.timeout(Duration::from_secs(60), there).await.is_some()
    };
    let path = "/api/v3/configure/plugin_environment/install_packages";
    let request = stage.json(Method::POST, path, serde_json::json!({"packages": ["a"]}));
    tokio::select! {
        answer = request => panic!("{answer:?}"),
        started = exists("started") => assert!(started),
    }
    fs::write(file("continue"), "").unwrap();
    assert!(exists("ended").await);
}

#[tokio::test]
async fn invalid_triggers_are_rejected() {
    let stage = RoutesFixture::new(&[]).await;
    stage.plugin("echo.py", "");
    let change = |name: &'static str, value: &'static str| {
        stage.create(move |body| body[name] = value.into())
    };
    let answers = [
        change("trigger_specification", "sometimes").await,
        change("trigger_specification", "table:").await,
        change("trigger_specification", "every:1x").await,
        change("plugin_filename", "nope.py").await,
        change("plugin_filename", "../../../etc/passwd").await,
        change("db", "nope").await,
        change("trigger_name", "").await,
        stage
            .create(|body| body["trigger_settings"]["error_behavior"] = "x".into())
            .await,
        stage.create(|body| body["trigger_settings"] = serde_json::Value::Null).await,
    ];
    let shown = answers.map(|(status, body)| format!("{status} {body}"));
    insta::assert_snapshot!(shown.join("\n"), @r#"
    400 failed to parse trigger from sometimes: expect one of the following forms: 'table:<TABLE_NAME>', 'all_tables', 'cron:<CRON_EXPRESSION>', 'every:<DURATION>', or 'request:<PATH>'
    400 failed to parse trigger from table:: table name is empty
    400 failed to parse trigger from every:1x: couldn't parse to duration
    400 Plugin error: reading plugin file: Plugin not found: <folder>/nope.py
    400 Plugin error: Path traversal detected: plugin filename '../../../etc/passwd' attempts to access files outside the plugin directory
    404 Database not found nope
    400 trigger name cannot be empty
    400 serde json error: unknown variant `x`, expected one of `log`, `retry`, `disable` at line 1 column 150
    400 serde json error: invalid type: null, expected struct Settings at line 1 column 133
    "#);
    let no_json = stage.send(Method::POST, TRIGGER, &[], "{}").await;
    assert_eq!(no_json.0, 415);
}

#[tokio::test]
async fn a_server_can_reject_kinds_of_triggers() {
    let stage = RoutesFixture::new(&[TriggerKind::Schedule]).await;
    stage.plugin("echo.py", "");
    let text = "invalid request: server is configured to reject Request plugin triggers";
    assert_eq!(stage.create(|_| ()).await, answer(400, text));
    let wal = stage.create(|body| body["trigger_specification"] = "all_tables".into()).await;
    let text = "invalid request: server is configured to reject WalRows plugin triggers";
    assert_eq!(wal, answer(400, text));
    let every = stage.create(|body| body["trigger_specification"] = "every:1h".into()).await;
    assert_eq!(every, answer(200, ""));
}

#[tokio::test]
async fn code_is_uploaded_and_replaced() {
    let stage = RoutesFixture::new(&[]).await;
    let send = async |method, path: &str, body| stage.json(method, path, body).await;
    let (files, folder) = ("/api/v3/plugins/files", "/api/v3/plugins/directory");
    let upload = serde_json::json!({"plugin_name": "echo.py", "content": "x = 1\n"});
    assert_eq!(send(Method::POST, files, upload).await, answer(200, ""));
    let read = async |query: &str| {
        let path = format!("{files}?{query}");
        let (status, _, text) = stage.send(Method::GET, &path, &[], "").await;
        assert_eq!(status, 200, "{text}");
        text
    };
    let echo = |content: &str| {
        let file = serde_json::json!({"path": "echo.py", "content": content});
        serde_json::json!({"is_package": false, "files": [file]}).to_string()
    };
    let json = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
    let uploaded = read("plugin_name=echo.py").await;
    assert_eq!(json(&uploaded), json(&echo("x = 1\n")));
    assert_eq!(stage.create(|_| ()).await, answer(200, ""));
    let update = serde_json::json!({"plugin_name": "echo", "content": "x = 2\n"});
    assert_eq!(send(Method::PUT, files, update.clone()).await, answer(200, ""));
    let of_trigger = read("trigger_name=echo&db=home").await;
    assert_eq!(json(&of_trigger), json(&echo("x = 2\n")));
    for query in ["", "plugin_name=echo.py&trigger_name=echo"] {
        let path = format!("{files}?{query}");
        assert_eq!(stage.send(Method::GET, &path, &[], "").await.0, 400);
    }
    let package = serde_json::json!({
        "plugin_name": "echo", "files": [{"relative_path": "__init__.py", "content": ""}]
    });
    assert_eq!(send(Method::PUT, folder, package).await, answer(200, ""));
    let no_package = serde_json::json!({"plugin_name": "echo", "files": []});
    assert_eq!(send(Method::PUT, folder, no_package).await.0, 400);
    let nobody = serde_json::json!({"plugin_name": "nobody", "content": ""});
    let missing = answer(404, "Plugin not found: nobody");
    assert_eq!(send(Method::PUT, files, nobody).await, missing);
    let out = serde_json::json!({"plugin_name": "../x.py", "content": ""});
    let (status, text) = send(Method::POST, files, out).await;
    assert!(text.starts_with("Plugin error: Path traversal detected"), "{status} {text}");
    let large = serde_json::json!({"plugin_name": "l.py", "content": "x".repeat((2 << 20) + 1)});
    assert_eq!(send(Method::POST, files, large).await.0, 400);
    for status in [200, 404] {
        let path = format!("{files}?plugin_name=echo.py");
        assert_eq!(stage.send(Method::DELETE, &path, &[], "").await.0, status);
    }
    let database = stage.catalog.database_by_name("home", Duration::ZERO).await.unwrap();
    let catalog = stage.catalog.database(database.unwrap(), Duration::ZERO).await.unwrap();
    assert!(catalog.value.trigger("echo").unwrap().code.is_some());
}

#[tokio::test]
async fn package_installation_can_be_disabled() {
    let stage = RoutesFixture::new(&[]).await;
    let environment = "/api/v3/configure/plugin_environment";
    let text =
        "Package installation has been disabled. Contact your administrator for more information.";
    let packages = serde_json::json!({"packages": ["x"]});
    let path = format!("{environment}/install_packages");
    assert_eq!(stage.json(Method::POST, &path, packages).await, answer(403, text));
    let requirements = serde_json::json!({"requirements_location": "r.txt"});
    let path = format!("{environment}/install_requirements");
    assert_eq!(stage.json(Method::POST, &path, requirements).await, answer(403, text));
}

#[tokio::test]
async fn a_request_reaches_its_plugin_and_the_answer_the_client() {
    let stage = RoutesFixture::new(&[]).await;
    stage.plugin("echo.py", "");
    stage.create(|_| ()).await;
    *stage.triggers.answer.lock().unwrap() = Ok(PluginResponse {
        status: 207,
        headers: vec![
            ("X-Plugin".to_owned(), "yes".to_owned()),
            ("set-cookie".to_owned(), "a=1".to_owned()),
            ("Set-Cookie".to_owned(), "b=2".to_owned()),
            ("Content-Length".to_owned(), "77".to_owned()),
            ("Transfer-Encoding".to_owned(), "chunked".to_owned()),
        ],
        body: Bytes::from_static(b"made"),
    });
    let headers = [
        ("Authorization", "Bearer secret"),
        ("X-Own", "1"),
        ("content-type", "text/plain"),
    ];
    let path = "/api/v3/engine/echo?b=2&a=x%20y&b=3&flag";
    for method in ["GET", "POST", "PUT", "DELETE", "PATCH", "PURGE"] {
        let method: Method = method.parse().unwrap();
        let (status, headers, body) = stage.send(method.clone(), path, &headers, "hello").await;
        assert_eq!((status, body.as_str()), (207, "made"));
        assert_eq!(headers["x-plugin"], "yes");
        assert_eq!(headers.get_all("set-cookie").iter().count(), 2);
        assert_eq!(headers.get("transfer-encoding"), None);
        let request = stage.triggers.requests.lock().unwrap().pop().unwrap();
        assert_eq!(request.method, method.as_str());
        let pairs = [("b", "2"), ("a", "x y"), ("b", "3"), ("flag", "")]
            .map(|(key, value)| (key.to_owned(), value.to_owned()));
        assert_eq!(request.query, pairs);
        let names: Vec<_> = request.headers.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["x-own", "content-type"]);
        assert_eq!(request.body, Bytes::from_static(b"hello"));
    }
    let head = stage.send(Method::HEAD, path, &[], "").await;
    assert_eq!(head.0, 207);
    let large = stage.send(Method::POST, path, &[], &"x".repeat(1_001)).await;
    assert_eq!(large.0, 413);
}

#[tokio::test]
async fn failures_of_a_request_are_reported() {
    let stage = RoutesFixture::new(&[]).await;
    stage.plugin("echo.py", "");
    stage.create(|_| ()).await;
    let (status, headers, body) = stage.send(Method::GET, "/api/v3/engine/nope", &[], "").await;
    assert_eq!((status, body.as_str()), (404, r#"{error: "not found"}"#));
    assert_eq!(headers["access-control-allow-origin"], "*");
    let response = |status, name: &str| {
        Ok(PluginResponse {
            status,
            headers: vec![(name.to_owned(), "x".to_owned())],
            body: Bytes::new(),
        })
    };
    let too_many = (0..40_000).map(|number| (format!("x-{number}"), String::new()));
    let text = "Python function call failed: ValueError: boom".to_owned();
    let traceback = None;
    for (answer, status, body) in [
        (
            Err(RunError::Plugin { text, traceback }),
            500,
            r#"{"error":"Python function call failed: ValueError: boom"}"#,
        ),
        (
            Err(RunError::Busy(3)),
            503,
            r#"{"error":"3 runs of this trigger are waiting already"}"#,
        ),
        (response(99, "a"), 500, r#"{"error":"invalid status 99"}"#),
        (response(101, "a"), 500, r#"{"error":"invalid status 101"}"#),
        (response(200, "a b"), 500, r#"{"error":"invalid header 'a b'"}"#),
        (response(204, "a"), 204, ""),
        (
            Ok(PluginResponse { status: 200, headers: too_many.collect(), body: Bytes::new() }),
            500,
            r#"{"error":"more than 1000 headers"}"#,
        ),
    ] {
        *stage.triggers.answer.lock().unwrap() = answer;
        let (got, headers, text) = stage.send(Method::POST, "/api/v3/engine/echo", &[], "").await;
        assert_eq!((got, text.as_str()), (status, body));
        assert_eq!(headers["access-control-allow-origin"], "*");
    }
}
