//! The assistant of a server, with a model that the test plays.

use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::harness::{NeapProcess, Reply, ServerClient, StoreFixture, assert_contains, receive};

/// The time until a request arrives that the server has sent.
const LIMIT: Duration = Duration::from_secs(60);

const KEY: &str = "sk-0123456789";

fn ask(server: &ServerClient, body: &Value) -> (u16, Value) {
    let request = server.request("POST", "/api/v3/console/assistant?db=garden");
    let typed = request.header("content-type", "application/json");
    let reply = Reply::receive(typed.body(body.to_string())).unwrap();
    (reply.status, serde_json::from_slice(&reply.bytes).unwrap())
}

#[test]
fn the_assistant_asks_the_model_of_the_administrator_about_names_and_types() {
    let content = "Alice is no number.\n```sql\nSELECT owner FROM soil\n```";
    let answer = json!({"choices": [{"message": {"role": "assistant", "content": content}}]});
    let (url, requests) = receive(&answer.to_string());
    let folder = TempDir::new().unwrap();
    let key = folder.path().join("key");
    std::fs::write(&key, format!("{KEY}\n")).unwrap();
    let server = NeapProcess::serve_with_tokens(
        &StoreFixture::memory(),
        &[
            "--assistant-url",
            &format!("{url}/v1/chat/completions"),
            "--assistant-model",
            "small",
            "--assistant-key-file",
            key.to_str().unwrap(),
        ],
    );
    let admin = server.with_token(&server.first_token());
    admin.write("garden", "soil,bed=herbs owner=\"Alice\",moisture=38.5 1");
    let session: Value =
        serde_json::from_slice(&admin.get("/api/v3/console/session").bytes).unwrap();
    assert_eq!(session["assistant_model"], "small");

    // The error of the server quotes a value.
    let statement = "SELECT CAST(owner AS BIGINT) FROM soil";
    let query = json!({"db": "garden", "q": statement}).to_string();
    let failed = Reply::receive(admin.request("POST", "/api/v3/query_sql").body(query)).unwrap();
    assert_contains!(failed.text(), "Alice");
    let question =
        json!({"task": "fix", "language": "sql", "statement": statement, "error": failed.text()});
    assert_eq!(ask(&server, &question).0, 401);
    let (status, body) = ask(&admin, &question);
    assert_eq!(
        (status, body),
        (
            200,
            json!({"text": "Alice is no number.", "statement": "SELECT owner FROM soil"})
        )
    );
    let request = requests.recv_timeout(LIMIT).unwrap();
    assert!(request.head.starts_with("POST /v1/chat/completions "), "{}", request.head);
    assert_contains!(request.head, &format!("Bearer {KEY}"));
    let sent = request.body.to_string();
    assert!(sent.contains("moisture") && sent.contains(statement), "{sent}");
    assert!(!sent.contains("Alice") && !sent.contains("herbs"), "{sent}");
    assert!(!server.log().contains(KEY));
}

#[test]
fn a_server_without_a_model_refuses_questions() {
    let server = NeapProcess::serve(&StoreFixture::memory());
    server.write("garden", "soil moisture=38.5 1");
    let question = json!({"task": "explain", "language": "sql", "statement": "SELECT 1"});
    let (status, body) = ask(&server, &question);
    assert_eq!((status, body), (405, json!({"error": "the server has no --assistant-url"})));
    let session: Value =
        serde_json::from_slice(&server.get("/api/v3/console/session").bytes).unwrap();
    assert_eq!(session.get("assistant_model"), None);
}
