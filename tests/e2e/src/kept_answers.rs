//! Answers of repeated statements are kept, and never outdated or shown to those who may not read the database.

use serde_json::{Value, json};

use crate::harness::{NeapProcess, Reply, ServerClient, StoreFixture, neap};

const SQL: &str = "SELECT sum(v) AS v FROM m";

/// Flags of a process that answers and writes, and changes no manifest in the background.
const WITHOUT_FLUSHES: [&str; 2] = ["--mode", "ingest,query"];

/// Sends a statement, and returns the reply.
fn ask(server: &ServerClient, sql: &str) -> Reply {
    let body = json!({ "db": "db", "q": sql, "format": "json" });
    let request = server.request("POST", "/api/v3/query_sql");
    Reply::receive(request.body(body.to_string())).unwrap()
}

/// Returns the sum, and whether it is that of a kept answer.
fn sum(server: &ServerClient) -> (Value, bool) {
    let reply = ask(server, SQL);
    assert_eq!(reply.status, 200, "{}", reply.text());
    let rows: Value = serde_json::from_slice(&reply.bytes).unwrap();
    (rows[0]["v"].clone(), reply.header("cache-status") == Some("neap; hit"))
}

fn metric(server: &ServerClient, name: &str) -> u64 {
    let text = server.get("/metrics").text();
    let value = text.lines().find_map(|line| line.strip_prefix(&format!("{name} ")));
    value.unwrap().parse().unwrap()
}

/// Writes through one process, and reads through it and another one.
fn after_writes_of_another_process(place: &StoreFixture) {
    let writer = NeapProcess::serve_with(place, &WITHOUT_FLUSHES);
    let reader = NeapProcess::serve_with(place, &["--mode", "query"]);
    for value in 1..=5 {
        writer.write("db", &format!("m,t=a v={value}i {value}"));
        let expected = json!((1..=value).sum::<u64>());
        for server in [&writer, &reader] {
            assert_eq!(sum(server), (expected.clone(), false));
            assert_eq!(sum(server), (expected.clone(), true));
        }
    }
    let deleted = ask(&writer, "DELETE FROM m WHERE time = '1970-01-01T00:00:05Z'");
    assert_eq!(deleted.status, 200, "{}", deleted.text());
    assert_eq!(sum(&reader), (json!(10), false));
    assert_eq!(
        ["hits", "misses"].map(|name| metric(&reader, &format!("neap_answer_cache_{name}_total"))),
        [5, 6]
    );
    assert!(metric(&reader, "neap_answer_cache_bytes") > 0);
}

#[test]
fn kept_answers_have_the_writes_of_another_process_on_a_directory() {
    after_writes_of_another_process(&StoreFixture::directory().with_standard_margins());
}

#[test]
fn kept_answers_have_the_writes_of_another_process_on_an_s3_server() {
    after_writes_of_another_process(&StoreFixture::neap_s3_server().with_standard_margins());
}

#[test]
fn a_kept_answer_is_sent_only_to_those_who_may_read_the_database() {
    let server = NeapProcess::serve_with_tokens(&StoreFixture::memory(), &WITHOUT_FLUSHES);
    let admin_token = server.first_token();
    let admin = server.with_token(&admin_token);
    admin.write("db", "m v=1i 1");
    admin.write("other", "m v=1i 1");
    assert_eq!(sum(&admin), (json!(1), false));
    assert_eq!(sum(&admin), (json!(1), true));
    for (permission, status) in [("db:db:read", 200), ("db:other:read", 403)] {
        let created = neap(&[
            "create",
            "token",
            "--name",
            permission,
            "--permission",
            permission,
            "--format",
            "json",
            "--host",
            server.url(),
            "--token",
            &admin_token,
        ]);
        let created: Value = serde_json::from_str(&created.succeeded()).unwrap();
        let client = server.with_token(created["token"].as_str().unwrap());
        assert_eq!(ask(&client, SQL).status, status, "{permission}");
    }
}

#[test]
fn a_server_can_keep_no_answers() {
    for flags in [&["--answer-cache-size", "0b"][..], &["--disable-caches"]] {
        let server = NeapProcess::serve_with(&StoreFixture::memory(), flags);
        server.write("db", "m v=1i 1");
        for _ in 0..2 {
            assert_eq!(sum(&server), (json!(1), false));
        }
        assert_eq!(metric(&server, "neap_answer_cache_misses_total"), 0);
    }
}
