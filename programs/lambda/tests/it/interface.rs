//! Checks the declared interfaces of the binaries.

use std::collections::BTreeSet;

use neap_lambda::{
    compact::CompactProgram, engine::EngineProgram, options, query::QueryProgram, runtime::Program,
    write::WriteProgram,
};
use serde_json::Value;

use crate::instance::{SharedDirectory, recorded, request};

fn interface<P: Program>() -> Value {
    let json = P::INTERFACE.to_json(&options::command::<P::Options>()).unwrap();
    serde_json::from_str(&json).unwrap()
}

/// Returns the interface without the descriptions of the options, which are long, and without the routes, which follow
/// from `ENDPOINTS`.
fn shown<P: Program>() -> Value {
    let mut interface = interface::<P>();
    interface.as_object_mut().unwrap().remove("options");
    interface.as_object_mut().unwrap().remove("version");
    interface.as_object_mut().unwrap().remove("routes");
    interface
}

#[test]
fn interfaces_match_their_snapshots() {
    insta::assert_json_snapshot!("interface-write", shown::<WriteProgram>());
    insta::assert_json_snapshot!("interface-query", shown::<QueryProgram>());
    insta::assert_json_snapshot!("interface-compact", shown::<CompactProgram>());
    insta::assert_json_snapshot!("interface-engine", shown::<EngineProgram>());
}

/// Returns the requests that an instance has sent to its store, read from its metrics: operations and key prefixes.
async fn asked<P: Program>(
    place: &SharedDirectory,
    events: &[&str],
) -> BTreeSet<(String, &'static str)> {
    let instance = place.open::<P>(&["--without-auth"]);
    for name in events {
        instance.say(&recorded(name)).await;
    }
    let metrics = instance.say(&request("GET", "/metrics", "", "")).await;
    let text = metrics["body"].as_str().unwrap();
    let counts = text.lines().filter(|line| line.starts_with("neap_store_requests_total{"));
    let asked = counts.map(|line| {
        let mut quoted = line.split('"').skip(1).step_by(2);
        let (operation, class) = (quoted.next().unwrap(), quoted.next().unwrap());
        let prefix = match class {
            "root_catalog" => "catalog",
            "database_catalog" | "manifest" => "db/",
            "tail" => "tail/",
            "data" | "page" => "data/",
            "cache" => "cache/",
            "engine" => "engine/",
            "plugin" => "plugins/",
            "result" => "results/",
            "node" => "nodes/",
            other => panic!("{other}"),
        };
        (operation.to_owned(), prefix)
    });
    asked.collect()
}

#[tokio::test]
async fn all_store_requests_are_declared() {
    let place = SharedDirectory::new();
    let writes = ["write-http-api", "write-rest-api", "write-load-balancer", "write-function-url"];
    let write = asked::<WriteProgram>(&place, &writes).await;
    let queries = ["query-http-api", "query-influxql", "query-delete", "query-parquet"];
    let query = asked::<QueryProgram>(&place, &queries).await;
    let events = [
        "engine-bucket",
        "engine-queue",
        "engine-schedule",
        "engine-sweep",
        "engine-request",
    ];
    let engine = asked::<EngineProgram>(&place, &events).await;
    assert!(write.contains(&("put".to_owned(), "tail/")), "{write:?}");
    assert!(query.contains(&("list".to_owned(), "tail/")), "{query:?}");
    for (asked, interface) in [
        (write, interface::<WriteProgram>()),
        (query, interface::<QueryProgram>()),
        (engine, interface::<EngineProgram>()),
    ] {
        for (operation, prefix) in asked {
            let store = interface["store"].as_array().unwrap();
            let declared = store.iter().find(|access| access["prefix"] == prefix);
            let operations =
                declared.map(|access| access["operations"].clone()).unwrap_or_default();
            let is_declared =
                operations.as_array().is_some_and(|all| all.contains(&operation.clone().into()));
            assert!(is_declared, "{}: {operation} {prefix}", interface["function"]);
        }
    }
}
