//! The functions, the gateway and the store, as one process with child processes.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{BufRead, BufReader},
    ops::Deref,
    process::{Child, ChildStdin, Stdio},
    thread,
    time::Duration,
};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::harness::{
    Reply, ServerClient, StoreFixture, StoreRequests, lambda_binary, lambda_local_binary, program,
    wait_for,
};

/// Maximum duration of a graceful stop.
const END: Duration = Duration::from_secs(30);

/// `neap-lambda-local` with the functions, stopped on drop. Dereferences to the [`ServerClient`] of the gateway.
#[derive(Debug)]
pub(crate) struct LambdaStack {
    child: Child,
    input: Option<ChildStdin>,
    gateway: ServerClient,
    control: ServerClient,
    /// The store, for `neap` commands.
    pub(crate) place: StoreFixture,
    _folder: TempDir,
}

/// Returns the configuration of a function with at most `max_instances` instances, which are used in turn.
fn function(name: &str, max_instances: usize) -> Value {
    json!({
        "program": lambda_binary(name),
        "environment": {
            "NEAP_BUCKET": "${BUCKET}",
            "AWS_ENDPOINT": "${STORE_ENDPOINT}",
            "AWS_ALLOW_HTTP": "true",
            "NEAP_WITHOUT_AUTH": "true",
            "NEAP_PROTOCOL_MARGINS": "short",
            "NEAP_LOG_FILTER": "info",
        },
        "policy": { "deployed": name },
        "limits": {
            "max_instances": max_instances,
            "placement": "in_turn",
            "memory_mib": 1024,
            "timeout_seconds": 60,
            "init_seconds": 60,
            "retry_seconds": 0.1,
        },
    })
}

/// Gives the cluster the margins that clusters have by default, as [`StoreFixture::with_standard_margins`] does.
pub(crate) fn use_standard_margins(configuration: &mut Value) {
    for function in configuration["functions"].as_object_mut().unwrap().values_mut() {
        function["environment"]["NEAP_PROTOCOL_MARGINS"] = json!("standard");
    }
}

impl LambdaStack {
    /// Starts a stack with at most three writers, two queriers, and one instance of each other function.
    pub(crate) fn start() -> Self {
        Self::start_with(|_| {})
    }

    /// Starts a stack with at most one instance of each function.
    pub(crate) fn start_alone() -> Self {
        Self::start_alone_with(|_| {})
    }

    /// Starts a stack with at most one instance of each function, and a changed configuration.
    pub(crate) fn start_alone_with(change: impl FnOnce(&mut Value)) -> Self {
        Self::start_with(|configuration| {
            for name in ["write", "query", "compact"] {
                configuration["functions"][name]["limits"]["max_instances"] = json!(1);
            }
            change(configuration);
        })
    }

    /// Starts a stack with a changed configuration.
    pub(crate) fn start_with(change: impl FnOnce(&mut Value)) -> Self {
        let folder = tempfile::Builder::new().prefix("neap-e2e-").tempdir().unwrap();
        let mut compact = function("compact", 2);
        compact["environment"]["NEAP_MERGE_QUEUE_URL"] = json!("${QUEUE_URL:merges}");
        let dead_letters = |function: &str, batch: usize| {
            json!({
                "function": function,
                // A killed instance leaves a lease behind, and others wait until it expires.
                "visibility_seconds": 1,
                "batch_size": batch,
                "max_receives": 60,
                "dead_letters": "dead",
            })
        };
        let mut configuration = json!({
            "folder": folder.path(),
            "store": { "directory": folder.path().join("store") },
            "functions": {
                "write": function("write", 3),
                "query": function("query", 2),
                "compact": compact,
                "engine": function("engine", 1),
            },
            "queues": {
                "merges": dead_letters("compact", 1),
                "segments": dead_letters("engine", 10),
                "dead": {},
            },
        });
        change(&mut configuration);
        let path = folder.path().join("configuration.json");
        std::fs::write(&path, configuration.to_string()).unwrap();

        let log = File::create(folder.path().join("log")).unwrap();
        let mut command = program(&lambda_local_binary(), folder.path());
        command.arg("--until-end-of-input").arg(&path).stderr(log);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let log = || std::fs::read_to_string(folder.path().join("log")).unwrap();
        let addresses: Value =
            serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}{}", log()));
        let address = |name: &str| addresses[name].as_str().unwrap();
        Self {
            input: child.stdin.take(),
            child,
            gateway: ServerClient::at(address("gateway")),
            control: ServerClient::at(address("control")),
            place: StoreFixture::s3(address("store"), address("bucket")),
            _folder: folder,
        }
    }

    /// Sends a command and returns its answer.
    pub(crate) fn command(&self, method: &str, path: &str, body: &Value) -> Value {
        let request = self
            .control
            .request(method, path)
            .header("content-type", "application/json")
            .body(body.to_string());
        let reply = Reply::receive(request).unwrap();
        assert!(reply.status < 300, "{method} {path}: {}", reply.text());
        serde_json::from_slice(&reply.bytes).unwrap_or(Value::Null)
    }

    pub(crate) fn look(&self, path: &str) -> Value {
        self.command("GET", path, &Value::Null)
    }

    /// Invokes a function with an event, and returns its answer.
    pub(crate) fn invoke(&self, function: &str, event: &Value) -> Value {
        let said = self.try_invoke(function, event);
        said.unwrap_or_else(|error| panic!("{error}"))
    }

    /// Invokes a function with an event. Returns its answer, or the reason why there is none.
    pub(crate) fn try_invoke(&self, function: &str, event: &Value) -> Result<Value, String> {
        let path = format!("/2015-03-31/functions/{function}/invocations");
        let request = self.control.request("POST", &path).body(event.to_string());
        let reply = Reply::receive(request).unwrap();
        match reply.header("x-amz-function-error") {
            None if reply.status == 200 => Ok(serde_json::from_slice(&reply.bytes).unwrap()),
            _ => Err(reply.text()),
        }
    }

    /// Sets a trap: it kills or freezes an instance of a function after a number of requests to the store.
    pub(crate) fn set_trap(&self, function: &str, trap: &Value) {
        self.command("PUT", &format!("/store/traps/{function}"), trap);
    }

    /// Returns how often the trap of a function has caught an instance.
    pub(crate) fn caught(&self, function: &str) -> u64 {
        let trap = self.look(&format!("/store/traps/{function}"));
        trap["caught"].as_u64().unwrap()
    }

    /// Removes the trap of a function, and returns how often it has caught an instance.
    pub(crate) fn take_trap(&self, function: &str) -> u64 {
        let path = format!("/store/traps/{function}");
        let trap = self.command("DELETE", &path, &Value::Null);
        trap["caught"].as_u64().unwrap()
    }

    /// Returns the numbers of the living instances of a function.
    pub(crate) fn instances(&self, function: &str) -> Vec<u64> {
        let functions = self.look("/functions");
        let instances = functions[function].as_array().unwrap();
        let numbers = instances.iter().map(|one| one["number"].as_u64().unwrap());
        numbers.collect()
    }

    /// Returns the phases of the living instances of a function: `starting`, `idle` or `running`.
    pub(crate) fn phases(&self, function: &str) -> Vec<String> {
        let functions = self.look("/functions");
        let instances = functions[function].as_array().unwrap();
        let phases = instances.iter().map(|one| one["phase"].as_str().unwrap());
        phases.map(str::to_owned).collect()
    }

    /// Returns the numbers of the instances of a function that are frozen during an event.
    pub(crate) fn frozen_at_work(&self, function: &str) -> Vec<u64> {
        let functions = self.look("/functions");
        let instances = functions[function].as_array().unwrap().iter();
        let frozen = instances.filter(|one| one["phase"] == "running" && one["frozen"] == true);
        let numbers = frozen.map(|one| one["number"].as_u64().unwrap());
        numbers.collect()
    }

    /// Kills, freezes, thaws or stops an instance, which may already have ended.
    pub(crate) fn change_instance(&self, function: &str, instance: u64, how: &str) {
        let path = format!("/functions/{function}/instances/{instance}/{how}");
        let reply = Reply::receive(self.control.request("POST", &path)).unwrap();
        assert!(matches!(reply.status, 204 | 400), "{}", reply.text());
    }

    /// Kills all instances of a function, so that the next ones start cold.
    pub(crate) fn kill_all(&self, function: &str) {
        for instance in self.instances(function) {
            self.change_instance(function, instance, "kill");
        }
    }

    /// Returns the requests to the store that a function has sent.
    pub(crate) fn requests(&self, function: &str) -> StoreRequests {
        let counts = self.look("/store/requests")[function].clone();
        let counts: BTreeMap<String, u64> = serde_json::from_value(counts).unwrap_or_default();
        StoreRequests(counts)
    }

    /// Returns the requests to the store that a policy denied.
    pub(crate) fn refusals(&self) -> Vec<Value> {
        self.look("/store/refusals").as_array().unwrap().clone()
    }

    /// Returns the held notifications.
    pub(crate) fn held(&self) -> Vec<Value> {
        self.look("/notifications").as_array().unwrap().clone()
    }

    /// Delivers held notifications by their numbers, in this order.
    pub(crate) fn deliver(&self, numbers: &[usize]) {
        self.command("POST", "/notifications/deliver", &json!(numbers));
    }

    /// Sends a message to a queue.
    pub(crate) fn send(&self, queue: &str, body: &str) {
        let request = self.control.request("POST", &format!("/queues/{queue}"));
        let reply = Reply::receive(request.body(body.to_owned())).unwrap();
        assert_eq!(reply.status, 204, "{}", reply.text());
    }

    /// Returns the messages in a queue.
    pub(crate) fn queue(&self, name: &str) -> Vec<String> {
        let bodies = self.look("/queues")[name]["bodies"].clone();
        serde_json::from_value(bodies).unwrap()
    }

    /// Returns the output of all instances of a function.
    pub(crate) fn log(&self, function: &str) -> String {
        let logs = self.look(&format!("/functions/{function}/logs"));
        let logs: BTreeMap<u32, String> = serde_json::from_value(logs).unwrap();
        logs.into_values().collect()
    }

    /// Checks that no request was denied and that no function panicked. All tests call it at their end, except those of
    /// denials.
    pub(crate) fn finish(self) {
        assert_eq!(self.refusals(), Vec::<Value>::new());
        for function in ["write", "query", "compact", "engine"] {
            let log = self.log(function);
            assert!(!log.contains("panicked"), "{function}: {log}");
        }
    }
}

impl Deref for LambdaStack {
    type Target = ServerClient;

    fn deref(&self) -> &ServerClient {
        &self.gateway
    }
}

impl Drop for LambdaStack {
    fn drop(&mut self) {
        if thread::panicking() {
            for function in ["write", "query", "compact", "engine"] {
                let path = format!("/functions/{function}/logs");
                let logs = Reply::receive(self.control.request("GET", &path))
                    .map_or_else(|error| error.to_string(), |logs| logs.text());
                let shown = logs.len().saturating_sub(4_000);
                eprintln!("--- {function}: {}", logs.get(shown..).unwrap_or(&logs));
            }
        }
        // Closing the input also tells the process to stop the instances.
        drop(self.input.take());
        if thread::panicking() {
            thread::sleep(Duration::from_secs(1));
            self.child.kill().ok();
        } else {
            wait_for("end of the stack", END, || self.child.try_wait().unwrap());
        }
        self.child.wait().ok();
    }
}
