//! Tests of the assistant over HTTP, with a model that a test plays.

use std::sync::Mutex;

use axum::response::{IntoResponse, Response};
use http::{HeaderMap, Method, StatusCode};
use neap_bucket::Secret;
use neap_schema::ColumnType;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::*;
use crate::test_server::{TestAnswer, TestServer};

const GARDEN: &str = "/api/v3/console/assistant?db=garden";

/// A model that answers each request with one status and body.
struct TestModel {
    status: StatusCode,
    body: String,
    /// The value of the header with the key, and the body, of each request.
    requests: Mutex<Vec<(Option<String>, Value)>>,
}

async fn complete(
    State(model): State<Arc<TestModel>>,
    headers: HeaderMap,
    Json(body): Json<Value>,
) -> Response {
    let key = headers.get("authorization").map(|value| value.to_str().unwrap().to_owned());
    model.requests.lock().unwrap().push((key, body));
    let location = [("location", "/elsewhere")];
    (model.status, location, model.body.clone()).into_response()
}

/// Returns the body of an answer of chat completions.
fn completion(content: &str) -> String {
    json!({"choices": [{"message": {"role": "assistant", "content": content}}]}).to_string()
}

/// Starts a model, and a server whose assistant asks it.
async fn start(status: u16, body: String) -> (Arc<TestModel>, TestServer) {
    let model = Arc::new(TestModel {
        status: StatusCode::from_u16(status).unwrap(),
        body,
        requests: Mutex::default(),
    });
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = Router::new()
        .route("/v1/chat/completions", post(complete))
        .with_state(Arc::clone(&model));
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    let secret = |text: &str| text.parse::<Secret>().unwrap();
    let assistant = Assistant::new(ChatModelSettings {
        url: secret(&format!("http://{address}/v1/chat/completions")),
        name: "small".to_owned(),
        key: Some(secret("sk-secret")),
    });
    let server = TestServer::with_assistant(assistant.unwrap()).await;
    let catalog = &server.catalog;
    let garden = catalog.database_by_name("garden", catalog.max_age()).await.unwrap().unwrap();
    let (tags, fields) = (["bed".to_owned()], [("moisture".to_owned(), ColumnType::Float)]);
    catalog.create_table(garden, "soil", &tags, &fields).await.unwrap();
    (model, server)
}

async fn ask(server: &TestServer, path: &str, token: &str, body: &Value) -> TestAnswer {
    server.send_json(Method::POST, path, token, body).await
}

fn fix() -> Value {
    json!({
        "task": "fix",
        "language": "sql",
        "statement": "SELECT moistur FROM soil",
        "error": "Schema error: No field named moistur.",
    })
}

#[tokio::test]
async fn the_model_gets_names_types_and_the_statement_and_its_answer_is_taken_apart() {
    let content = "The column is moisture.\n```sql\nSELECT moisture FROM soil\n```";
    let (model, server) = start(200, completion(content)).await;
    let token = server.token("reader", &["db:garden:read"]).await;
    let answer = ask(&server, GARDEN, &token, &fix()).await;
    assert_eq!(answer.status, 200, "{:?}", answer.json());
    assert_eq!(
        answer.json(),
        json!({"text": "The column is moisture.", "statement": "SELECT moisture FROM soil"})
    );
    let requests = model.requests.lock().unwrap();
    let [(key, body)] = requests.as_slice() else {
        panic!("{} requests", requests.len());
    };
    assert_eq!(key.as_deref(), Some("Bearer sk-secret"));
    assert_eq!((&body["model"], &body["stream"]), (&json!("small"), &json!(false)));
    let prompt = body["messages"][1]["content"].as_str().unwrap();
    insta::assert_snapshot!(prompt, @r#"
    Tables and columns with their types:
    "soil": "time" time, "bed" tag, "moisture" float

    Statement:
    SELECT moistur FROM soil

    Error:
    Schema error: No field named moistur.
    "#);
}

#[tokio::test]
async fn a_caller_asks_about_databases_that_it_may_read() {
    let (model, server) = start(200, completion("Yes.")).await;
    let writer = server.token("writer", &["db:garden:write"]).await;
    let other = server.token("other", &["db:kitchen:read"]).await;
    let admin = server.admin.as_str();
    for (path, token, status) in [
        (GARDEN, "", 401),
        (GARDEN, writer.as_str(), 403),
        (GARDEN, other.as_str(), 403),
        ("/api/v3/console/assistant?db=missing", other.as_str(), 403),
        ("/api/v3/console/assistant?db=missing", admin, 404),
        ("/api/v3/console/assistant", admin, 400),
    ] {
        let answer = ask(&server, path, token, &fix()).await;
        assert_eq!(answer.status, status, "{path}");
    }
    assert!(model.requests.lock().unwrap().is_empty());
}

#[tokio::test]
async fn incomplete_and_long_questions_are_refused() {
    let (model, server) = start(200, completion("Yes.")).await;
    let long = "x".repeat(MAX_BODY_BYTES);
    for (body, status) in [
        (json!({"task": "fix", "language": "sql", "statement": "SELECT"}), 400),
        (json!({"task": "run", "language": "sql", "statement": "SELECT"}), 400),
        (json!({"task": "explain", "language": "flux", "statement": "x"}), 400),
        (json!({"task": "explain", "language": "sql", "statement": long}), 413),
    ] {
        let answer = ask(&server, GARDEN, &server.admin, &body).await;
        assert_eq!(answer.status, status);
    }
    assert!(model.requests.lock().unwrap().is_empty());
}

#[tokio::test]
async fn failures_of_the_model_are_answers_without_secrets() {
    let quoting = r#"{"error":"Incorrect API key provided: sk-secret"}"#;
    for (status, body, reason) in [
        (401, quoting.to_owned(), "the model answers 401 Unauthorized"),
        // Redirects are not followed.
        (307, String::new(), "the model answers 307 Temporary Redirect"),
        (
            200,
            "sk-secret".to_owned(),
            "the answer of the model is not one of chat completions, or is empty",
        ),
        (
            200,
            completion(&"x".repeat(300_000)),
            "the answer of the model is longer than 262144 bytes",
        ),
    ] {
        let (model, server) = start(status, body).await;
        let answer = ask(&server, GARDEN, &server.admin, &fix()).await;
        assert_eq!((answer.status, answer.json()), (503, json!({"error": reason})));
        assert_eq!(model.requests.lock().unwrap().len(), 1);
    }
}

#[tokio::test]
async fn a_caller_asks_a_limited_number_of_questions() {
    let (model, server) = start(200, completion("Yes.")).await;
    let mut refused = None;
    for _ in 0..100 {
        let answer = ask(&server, GARDEN, &server.admin, &fix()).await;
        if answer.status != 200 {
            refused = Some(answer);
            break;
        }
    }
    let refused = refused.unwrap();
    assert_eq!(refused.status, 429);
    assert!(refused.header("retry-after").is_some());
    assert!(model.requests.lock().unwrap().len() < 100);
}

#[tokio::test]
async fn a_server_without_a_model_has_no_assistant() {
    let server = TestServer::new().await;
    let answer = ask(&server, GARDEN, &server.admin, &fix()).await;
    assert_eq!(answer.status, 405);
    let session = server.get("/api/v3/console/session", &server.admin).await.json();
    assert_eq!(session.get("assistant_model"), None);
    let (_, on) = start(200, String::new()).await;
    let session = on.get("/api/v3/console/session", &on.admin).await.json();
    assert_eq!(session["assistant_model"], "small");
}
