//! A server with an engine, triggers, and waiting for their effects.

use std::{
    fmt::Debug,
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use neap_test_inputs::{InputOrigin, skip};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::harness::{NeapProcess, Reply, ServerClient, StoreFixture, pause, repository};

/// The database of the tests.
pub(super) const DB: &str = "plants";

/// The endpoint that configures triggers.
const TRIGGER: &str = "/api/v3/configure/processing_engine_trigger";

/// Maximum number of attempts until an expected value counts as missing, and the pause after each attempt.
const MAX_ATTEMPTS: usize = 1800;
const PAUSE: Duration = Duration::from_millis(50);

/// A server whose plugin folder contains the files of `tests/plugins`, and files that a test adds.
pub(super) struct PluginServerFixture {
    pub(super) server: NeapProcess,
    pub(super) place: StoreFixture,
    folder: TempDir,
    flags: Vec<String>,
}

impl PluginServerFixture {
    /// Starts a server in memory.
    pub(super) fn new() -> Self {
        Self::on(StoreFixture::memory(), &[])
    }

    /// Starts a server in memory with the packages in `tests/plugins/requirements.txt`, if there is an environment with
    /// them (`scripts/test --all` creates one).
    pub(super) fn with_packages() -> Option<Self> {
        Self::with_packages_and(&[])
    }

    /// The same with additional flags, in which `FOLDER` is the plugin folder.
    pub(super) fn with_packages_and(flags: &[&str]) -> Option<Self> {
        let Ok(environment) = std::env::var("NEAP_PLUGINS_ENVIRONMENT") else {
            skip(
                InputOrigin::Installed,
                "NEAP_PLUGINS_ENVIRONMENT names no virtual environment that has the packages",
            );
            return None;
        };
        let flags = [&["--virtual-env-location", &environment], flags].concat();
        Some(Self::on(StoreFixture::memory(), &flags))
    }

    /// Starts a server on a store, with additional flags, in which `FOLDER` is the plugin folder.
    pub(super) fn on(place: StoreFixture, flags: &[&str]) -> Self {
        let folder = TempDir::new().unwrap();
        copy(&repository().join("tests/plugins"), folder.path());
        let path = folder.path().to_str().unwrap();
        let flags: Vec<_> = ["--plugin-dir", path]
            .into_iter()
            .chain(flags.iter().copied())
            .map(|flag| flag.replace("FOLDER", path))
            .collect();
        let server = serve(&place, &flags);
        server.write(DB, "begin value=1i 1");
        Self { server, place, folder, flags }
    }

    /// Starts another server on the same store, with the same plugins.
    pub(super) fn another(&self) -> NeapProcess {
        serve(&self.place, &self.flags)
    }

    /// Ends the server with `end`, and starts a new one with the same store and plugins.
    pub(super) fn restarted(self, end: impl FnOnce(NeapProcess)) -> Self {
        end(self.server);
        Self { server: serve(&self.place, &self.flags), ..self }
    }

    /// Returns the plugin folder.
    pub(super) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Creates a file in the plugin folder.
    pub(super) fn put(&self, path: &str, text: &str) {
        let path = self.folder().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// Runs a command against the server.
    pub(super) fn run(&self, arguments: &[&str]) -> crate::harness::CommandOutput {
        self.server.run_command(arguments)
    }

    /// Returns the rows of an answer; `None` on an error, because a table does not exist before its first row.
    pub(super) fn rows(&self, sql: &str) -> Option<Vec<Value>> {
        rows(&self.server, DB, sql)
    }

    /// Waits until a query returns these rows.
    pub(super) fn wait_for_rows(&self, sql: &str, expected: Value) {
        self.shows_in(DB, sql, expected);
    }

    /// Waits until a query of another database returns these rows.
    pub(super) fn shows_in(&self, database: &str, sql: &str, expected: Value) {
        let expected = Some(expected.as_array().unwrap().clone());
        eventually(sql, expected, || rows(&self.server, database, sql));
    }

    /// Returns the log of a trigger, as `LEVEL text`, in order.
    pub(super) fn log(&self, trigger: &str) -> Vec<String> {
        self.log_in(DB, trigger)
    }

    /// Returns the log of a trigger of another database.
    pub(super) fn log_in(&self, database: &str, trigger: &str) -> Vec<String> {
        log(&self.server, database, trigger)
    }

    /// Waits until the log of a trigger contains a text, and returns the line.
    pub(super) fn wait_for_log(&self, trigger: &str, text: &str) -> String {
        for _ in 0..MAX_ATTEMPTS {
            let mut lines = self.log(trigger).into_iter();
            if let Some(line) = lines.find(|line| line.contains(text)) {
                return line;
            }
            pause(PAUSE);
        }
        panic!("{trigger} never logged {text}: {:#?}", self.log(trigger));
    }

    /// Sends a request to a path of the engine.
    pub(super) fn ask(&self, path: &str) -> Reply {
        self.server.get(&format!("/api/v3/engine/{path}"))
    }

    /// Enables or disables a trigger.
    pub(super) fn switch(&self, trigger: &str, to: &str) {
        let path = format!("{TRIGGER}/{to}?db={DB}&trigger_name={trigger}");
        let reply = Reply::receive(self.server.request("POST", &path)).unwrap();
        assert_eq!(reply.status, 200, "{}", reply.text());
    }

    /// Requests the deletion of a trigger.
    pub(super) fn delete(&self, trigger: &str, force: bool) -> Reply {
        let path = format!("{TRIGGER}?db={DB}&trigger_name={trigger}&force={force}");
        Reply::receive(self.server.request("DELETE", &path)).unwrap()
    }

    /// Sends JSON.
    pub(super) fn send(&self, method: &str, path: &str, body: &Value) -> Reply {
        send(&self.server, method, path, body)
    }

    /// Returns the store's time in seconds.
    pub(super) fn now(&self) -> i64 {
        let sql = "SELECT CAST(to_unixtime(now()) AS BIGINT) AS now";
        self.rows(sql).unwrap()[0]["now"].as_i64().unwrap()
    }

    /// Returns the sum of a metric over its labels.
    pub(super) fn metric(&self, name: &str) -> f64 {
        let text = self.server.get("/metrics").text();
        let values = text.lines().filter_map(|line| {
            let rest = line.strip_prefix(name)?;
            let is_it = rest.starts_with([' ', '{']);
            is_it.then(|| line.rsplit_once(' ')?.1.parse::<f64>().ok())?
        });
        values.sum()
    }
}

fn serve(place: &StoreFixture, flags: &[String]) -> NeapProcess {
    let flags: Vec<_> = flags.iter().map(String::as_str).collect();
    let interval = ["--wal-flush-interval", "20ms"];
    NeapProcess::serve_with(place, &interval.into_iter().chain(flags).collect::<Vec<_>>())
}

/// Copies a folder, without Python's compiled files.
fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target: PathBuf = to.join(entry.file_name());
        if !entry.file_type().unwrap().is_dir() {
            fs::copy(entry.path(), target).unwrap();
        } else if entry.file_name() != "__pycache__" {
            copy(&entry.path(), &target);
        }
    }
}

/// Returns the rows of an answer; `None` on an error.
pub(super) fn rows(server: &ServerClient, database: &str, sql: &str) -> Option<Vec<Value>> {
    let body = json!({ "db": database, "q": sql });
    let reply = send(server, "POST", "/api/v3/query_sql", &body);
    (reply.status == 200).then(|| serde_json::from_slice(&reply.bytes).unwrap())
}

/// Returns the log of a trigger as a server knows it, as `LEVEL text`, in order.
pub(super) fn log(server: &ServerClient, database: &str, trigger: &str) -> Vec<String> {
    let sql = format!(
        "SELECT log_level, log_text FROM system.processing_engine_logs \
         WHERE trigger_name = '{trigger}' ORDER BY event_time"
    );
    let lines = server.query(database, &sql);
    let text = |line: &Value, name: &str| line[name].as_str().unwrap().to_owned();
    let lines = lines
        .iter()
        .map(|line| format!("{} {}", text(line, "log_level"), text(line, "log_text")));
    lines.collect()
}

/// Sends JSON.
pub(super) fn send(server: &ServerClient, method: &str, path: &str, body: &Value) -> Reply {
    let request = server.request(method, path).header("content-type", "application/json");
    Reply::receive(request.body(body.to_string())).unwrap()
}

/// Waits until `look` returns the expected value.
pub(super) fn eventually<T: PartialEq + Debug>(
    what: &str,
    expected: T,
    mut look: impl FnMut() -> T,
) {
    let mut seen = look();
    for _ in 0..MAX_ATTEMPTS {
        if seen == expected {
            return;
        }
        pause(PAUSE);
        seen = look();
    }
    assert_eq!(seen, expected, "{what}");
}

/// Builds the package `leaves`, which pip can install without a network.
const BUILD_WHEEL: &str = r#"
import sys, zipfile
with zipfile.ZipFile(sys.argv[1] + "/leaves-1.0-py3-none-any.whl", "w") as wheel:
    wheel.writestr("leaves.py", "COUNT = 7\n")
    wheel.writestr("leaves-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: leaves\nVersion: 1.0\n")
    wheel.writestr("leaves-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
    wheel.writestr("leaves-1.0.dist-info/RECORD", "leaves.py,,\nleaves-1.0.dist-info/METADATA,,\nleaves-1.0.dist-info/WHEEL,,\nleaves-1.0.dist-info/RECORD,,\n")
"#;

/// Builds the package `leaves` 1.0 in a folder, and returns its path.
pub(super) fn make_wheel(folder: &Path) -> PathBuf {
    let made = Command::new("python3").args(["-c", BUILD_WHEEL]).arg(folder).status();
    assert!(made.unwrap().success());
    folder.join("leaves-1.0-py3-none-any.whl")
}

/// The settings of a new trigger.
#[derive(Clone, Debug)]
pub(super) struct TriggerDefinition {
    database: &'static str,
    name: String,
    body: Value,
}

impl TriggerDefinition {
    /// Returns a trigger that runs a plugin on a specification.
    pub(super) fn new(name: &str, plugin: &str, specification: &str) -> Self {
        let body = json!({
            "db": DB,
            "plugin_filename": plugin,
            "trigger_name": name,
            "trigger_settings": { "run_async": false, "error_behavior": "log" },
            "trigger_specification": specification,
            "trigger_arguments": null,
            "disabled": false,
        });
        Self { database: DB, name: name.to_owned(), body }
    }

    /// Sets the arguments.
    pub(super) fn with<V: AsRef<str>>(mut self, arguments: &[(&str, V)]) -> Self {
        for (name, value) in arguments {
            self.body["trigger_arguments"][*name] = value.as_ref().into();
        }
        self
    }

    /// Sets the behavior when the plugin fails.
    pub(super) fn on_error(mut self, behavior: &str) -> Self {
        self.body["trigger_settings"]["error_behavior"] = behavior.into();
        self
    }

    /// Allows concurrent runs.
    pub(super) fn concurrent(mut self) -> Self {
        self.body["trigger_settings"]["run_async"] = true.into();
        self
    }

    /// Creates the trigger disabled.
    pub(super) fn disabled(mut self) -> Self {
        self.body["disabled"] = true.into();
        self
    }

    /// Selects another database.
    pub(super) fn of(mut self, database: &'static str) -> Self {
        self.body["db"] = database.into();
        self.database = database;
        self
    }

    /// Sends the request that creates the trigger.
    pub(super) fn try_create(&self, server: &ServerClient) -> Reply {
        send(server, "POST", TRIGGER, &self.body)
    }

    /// Creates the trigger.
    pub(super) fn create(&self, stage: &PluginServerFixture) {
        let reply = self.try_create(&stage.server);
        let (name, database) = (&self.name, self.database);
        assert_eq!(reply.status, 200, "{name} of {database}: {}", reply.text());
    }
}
