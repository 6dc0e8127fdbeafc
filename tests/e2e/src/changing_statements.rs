//! Statements that change something, over `/api/v3/execute_sql` and over QuestDB's `/exec`, through two processes and a restart.

use serde_json::{Value, json};

use crate::harness::{NeapProcess, Reply, STAMP, ServerClient, StoreFixture};

/// Executes a statement, ordered after a stamp.
fn execute(server: &ServerClient, sql: &str, after: Option<u64>) -> Reply {
    let body = json!({ "db": "home", "q": sql }).to_string();
    let mut request = server.request("POST", "/api/v3/execute_sql").body(body);
    if let Some(stamp) = after {
        request = request.header(STAMP, stamp);
    }
    Reply::receive(request).unwrap()
}

/// Executes a statement that is accepted, and returns the answer and the stamp.
fn executed(server: &ServerClient, sql: &str, after: Option<u64>) -> (Value, Option<u64>) {
    let reply = execute(server, sql, after);
    assert_eq!(reply.status, 200, "{sql}: {}", reply.text());
    (serde_json::from_slice(&reply.bytes).unwrap(), reply.stamp())
}

#[test]
fn a_table_is_created_filled_and_emptied_through_two_processes() {
    let place = StoreFixture::directory();
    let [one, other] = [(); 2].map(|()| NeapProcess::serve_with(&place, &[]));
    executed(&one, "CREATE DATABASE home", None);
    let create = "CREATE TABLE rooms (time TIMESTAMP, room TAG, temp DOUBLE, people BIGINT)";
    assert_eq!(executed(&one, create, None), (json!({"statement": "CREATE TABLE"}), None));
    let insert = "INSERT INTO rooms (time, room, temp, people) VALUES \
                  ('2024-01-01 00:00:00', 'attic', 18.5, 0), ('2024-01-01 00:00:00', 'hall', 20.5, 2)";
    let (answer, stamp) = executed(&one, insert, None);
    assert_eq!(answer, json!({"statement": "INSERT", "rows": 2}));
    assert!(stamp.is_some());
    let sql = "SELECT room, temp, people FROM rooms ORDER BY room";
    let attic = json!({"room": "attic", "temp": 18.5, "people": 0});
    let hall = json!({"room": "hall", "temp": 20.5, "people": 2});
    assert_eq!(other.query_after("home", sql, stamp), [attic.clone(), hall]);
    // A row with the same tags and time replaces the fields that it has.
    let replace =
        "INSERT INTO rooms (time, room, people) VALUES ('2024-01-01 00:00:00', 'hall', 3)";
    let (_, replaced) = executed(&other, replace, stamp);
    let hall = json!({"room": "hall", "temp": 20.5, "people": 3});
    assert_eq!(one.query_after("home", sql, replaced), [attic.clone(), hall]);
    let (answer, deleted) = executed(&one, "DELETE FROM rooms WHERE room = 'hall'", replaced);
    assert_eq!(answer, json!({"statement": "DELETE"}));
    assert_eq!(other.query_after("home", sql, deleted), std::slice::from_ref(&attic));
    drop((one, other));
    let restarted = NeapProcess::serve_with(&place, &[]);
    assert_eq!(restarted.query("home", sql), [attic]);
    executed(&restarted, "DROP TABLE rooms", None);
    let reply = execute(&restarted, "INSERT INTO rooms (time, temp) VALUES (now(), 1)", None);
    assert_eq!(reply.status, 404, "{}", reply.text());
}

#[test]
fn a_client_of_questdb_creates_and_fills_a_table() {
    let place = StoreFixture::memory();
    let server = NeapProcess::serve_with(&place, &["--default-database", "home"]);
    executed(&server, "CREATE DATABASE home", None);
    let pairs = r#"
        CREATE+TABLE+IF+NOT+EXISTS+trades+(time+TIMESTAMP,side+SYMBOL,price+DOUBLE) ==> {"ddl":"OK"}
        INSERT+INTO+trades+VALUES+(1.5,'buy',now()) ==> {"dml":"OK"}
        DELETE+FROM+trades+WHERE+side='sell' ==> {"dml":"OK"}
    "#;
    for (query, answer) in neap_test_inputs::text_pairs(pairs) {
        let reply = server.get(&format!("/exec?query={query}"));
        assert_eq!((reply.status, reply.text().as_str()), (200, answer), "{query}");
    }
    let rows = server.query("home", "SELECT side, price FROM trades");
    assert_eq!(rows, [json!({"side": "buy", "price": 1.5})]);
}
