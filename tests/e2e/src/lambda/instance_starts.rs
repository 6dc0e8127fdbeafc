//! Instances that thaw or start: connections that died while an instance was frozen, and instances that are restored
//! from a snapshot.

use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use serde_json::json;

use super::{LambdaStack, use_standard_margins};
use crate::harness::assert_contains;

/// A TCP proxy to the store that can silence its existing connections.
struct SilencingProxy {
    endpoint: String,
    store: Arc<OnceLock<String>>,
    forgotten: Arc<AtomicU64>,
}

impl SilencingProxy {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let store: Arc<OnceLock<String>> = Arc::default();
        let forgotten: Arc<AtomicU64> = Arc::default();
        let (to, now) = (Arc::clone(&store), Arc::clone(&forgotten));
        thread::spawn(move || {
            for outside in listener.incoming() {
                let outside = outside.unwrap();
                let inside = TcpStream::connect(to.get().unwrap()).unwrap();
                let both = (outside.try_clone().unwrap(), inside.try_clone().unwrap());
                let made = now.load(Ordering::Relaxed);
                for (from, to) in [(outside, inside), (both.1, both.0)] {
                    let now = Arc::clone(&now);
                    thread::spawn(move || pass(from, to, || now.load(Ordering::Relaxed) == made));
                }
            }
        });
        Self { endpoint, store, forgotten }
    }

    /// Sets the store of a stack as the target.
    fn set_target(&self, stack: &LambdaStack) {
        let mut flags = stack.place.flags.iter();
        let store = flags.find_map(|flag| flag.strip_prefix("http://"));
        self.store.set(store.unwrap().to_owned()).unwrap();
    }

    /// Silences all existing connections: they forward no more data, and not even their end.
    fn silence_connections(&self) {
        self.forgotten.fetch_add(1, Ordering::Relaxed);
    }
}

fn pass(mut from: TcpStream, mut to: TcpStream, is_known: impl Fn() -> bool) {
    let mut buffer = vec![0; 64 << 10];
    loop {
        let read = from.read(&mut buffer).unwrap_or(0);
        if !is_known() && read > 0 {
            continue;
        }
        if read == 0 || to.write_all(&buffer[..read]).is_err() {
            break;
        }
    }
    if is_known() {
        to.shutdown(std::net::Shutdown::Both).ok();
    }
}

#[test]
fn connections_that_die_while_instances_are_frozen_cause_no_failures() {
    let router = SilencingProxy::start();
    let stack = LambdaStack::start_with(|configuration| {
        // A write after a timeout of a connection takes longer than short margins allow.
        use_standard_margins(configuration);
        for name in ["write", "query"] {
            let function = &mut configuration["functions"][name];
            function["limits"]["max_instances"] = json!(1);
            function["environment"]["AWS_ENDPOINT"] = json!(router.endpoint);
        }
    });
    router.set_target(&stack);
    let mut written = 0;
    let mut write_and_count = || {
        written += 1;
        stack.write("db", &format!("m v=1i {written}"));
        let rows = stack.query("db", "SELECT count(*) AS n FROM m");
        assert_eq!(rows[0]["n"], written);
    };
    write_and_count();
    write_and_count();
    for _ in 0..2 {
        let frozen = ["write", "query"].map(|function| (function, stack.instances(function)[0]));
        for (function, instance) in frozen {
            stack.change_instance(function, instance, "freeze");
        }
        router.silence_connections();
        // Long enough that the client verifies a connection before it uses it again.
        thread::sleep(Duration::from_secs(3));
        for (function, instance) in frozen {
            stack.change_instance(function, instance, "thaw");
        }
        write_and_count();
        write_and_count();
        let now = ["write", "query"].map(|function| (function, stack.instances(function)[0]));
        assert_eq!(now, frozen, "the same instances go on");
    }
    stack.finish();
}

#[test]
fn an_instance_restored_from_a_snapshot_refuses_to_start() {
    let stack = LambdaStack::start_with(|configuration| {
        let environment = &mut configuration["functions"]["write"]["environment"];
        environment["AWS_LAMBDA_INITIALIZATION_TYPE"] = json!("snap-start");
    });
    let reply = stack.try_write("db", "m v=1i 1", None).unwrap();
    // This emulation sends no event for the restoring of a snapshot, so the instance ends before its first event.
    assert!(matches!(reply.status, 500 | 502), "{}", reply.text());
    let log = stack.log("write");
    assert_contains!(log, "SnapStart is not supported");
    assert_eq!(stack.requests("write").to_string(), "");
    stack.finish();
}
