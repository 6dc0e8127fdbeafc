//! The costs of an event in requests to the store, as counted by the store: the numbers of the architecture also hold
//! for the functions. A starting instance does not record itself in the store, so it sends only the requests that its
//! event needs.

use std::thread;

use crate::{
    harness::{ServerClient, StoreRequests, pause},
    request_budget::{REVALIDATION_AGE, costs_by},
};

use super::{LambdaStack, use_standard_margins};

/// Returns the requests that a function sends for an operation.
fn cost(stack: &LambdaStack, function: &str, operation: impl FnOnce()) -> StoreRequests {
    let before = stack.requests(function);
    operation();
    stack.requests(function).since(&before)
}

/// Checks the cost of an operation, without revalidations of copies that are too old.
fn costs(stack: &LambdaStack, function: &str, expected: &str, operation: impl FnMut()) {
    costs_by(|| stack.requests(function), expected, operation);
}

fn query(stack: &LambdaStack) -> Vec<serde_json::Value> {
    stack.query("budget", "SELECT sum(v) AS v FROM m")
}

#[test]
fn events_have_the_expected_request_costs() {
    let stack = LambdaStack::start_alone_with(use_standard_margins);
    stack.write("budget", "m,t=a v=1i 1");
    stack.kill_all("write");
    let registers = "1 get database_catalog, 1 get manifest, 1 get root_catalog";
    let cold = cost(&stack, "write", || _ = stack.write("budget", "m,t=a v=1i 2"));
    assert_eq!(cold.to_string(), format!("{registers}, 1 put tail"), "cold write");
    let mut time = 10;
    costs(&stack, "write", "1 put tail", || {
        time += 1;
        stack.write("budget", &format!("m,t=a v=1i {time}"));
    });
    let mut name = 0;
    costs(&stack, "write", "1 put database_catalog, 1 put tail", || {
        name += 1;
        stack.write("budget", &format!("m,t=a v=1i,column_{name}=1i 5"));
    });

    let before = stack.requests("write").of("put tail");
    let cold = cost(&stack, "query", || drop(query(&stack)));
    let expected = format!("{registers}, {before} get tail, 1 list tail");
    assert_eq!(cold.to_string(), expected, "cold query of a tail");
    let nothing_new = "1 get database_catalog, 1 get manifest, 1 list tail";
    costs(&stack, "query", nothing_new, || drop(query(&stack)));
    let two_new = "1 get database_catalog, 1 get manifest, 2 get tail, 1 list tail";
    costs(&stack, "query", two_new, || {
        for _ in 0..2 {
            time += 1;
            stack.write("budget", &format!("m,t=a v=1i {time}"));
        }
        query(&stack);
    });
    costs(&stack, "query", "", || {
        let path = "/api/v3/query_sql?db=budget&q=SELECT%20sum(v)%20AS%20v%20FROM%20m";
        let request = stack.request("GET", path).header("x-neap-max-staleness", "1h");
        assert_eq!(request.send().unwrap().status(), 200);
    });

    // An instance that was frozen for a while revalidates its copies and sends no other requests.
    pause(REVALIDATION_AGE);
    let renewed = cost(&stack, "write", || _ = stack.write("budget", "m,t=a v=1i 3"));
    assert_eq!(renewed.to_string(), format!("{registers}, 1 put tail"), "renewed write");

    let idle = cost(&stack, "compact", || {
        stack.invoke("compact", &serde_json::json!({ "event": "scheduled" }));
    });
    assert_eq!(idle.of("list tail"), 1, "{idle}");
    assert_eq!(idle.of("put manifest") + idle.of("put data"), 0, "{idle}");
    let idle = cost(&stack, "compact", || {
        stack.invoke("compact", &serde_json::json!({ "event": "scheduled" }));
    });
    assert_eq!(idle.to_string(), "1 list tail", "an event with nothing to do");
    stack.finish();
}

#[test]
fn concurrent_events_of_one_instance_share_a_put() {
    let stack = LambdaStack::start_with(|configuration| {
        let limits = &mut configuration["functions"]["write"]["limits"];
        limits["max_instances"] = serde_json::json!(1);
        limits["concurrency"] = serde_json::json!(16);
        let environment = &mut configuration["functions"]["write"]["environment"];
        environment["NEAP_WAL_FLUSH_INTERVAL"] = serde_json::json!("1s");
    });
    stack.write("budget", "m,t=a v=1i 1");
    let writes = 16_u64;
    let cost = cost(&stack, "write", || {
        thread::scope(|scope| {
            for time in 0..writes {
                let server: &ServerClient = &stack;
                scope.spawn(move || server.write("budget", &format!("m,t=b v=1i {time}")));
            }
        });
    });
    assert!(cost.of("put tail") < writes / 2, "{cost}");
    let rows = stack.query("budget", "SELECT count(*) AS n FROM m WHERE t = 'b'");
    assert_eq!(rows, [serde_json::json!({ "n": writes })]);
    stack.finish();
}
