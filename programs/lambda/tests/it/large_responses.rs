//! Responses that exceed Lambda's payload limit.

use axum::{Router, extract::Request, routing::any};
use neap_bucket::{Get, GetOptions, StoreConfig, World};
use neap_lambda::{query::QueryProgram, write::WriteProgram};
use neap_s3_server::{Options, S3Server};
use object_store::{
    ClientOptions,
    client::{HttpConnector, HttpRequestBody, ReqwestConnector},
};
use serde_json::Value;

use crate::instance::{FunctionUnderTest, SharedDirectory, open, request};

/// Maximum number of times that a refused write is repeated.
const ATTEMPTS: usize = 10;

/// Returns rows whose response has some kilobytes.
fn lines(rows: usize) -> String {
    let line = |row: usize| format!("t,k=\"{row}\" v={row}i {}\n", 1_700_000_000 + row);
    (0..rows).map(line).collect()
}

async fn write(writes: &FunctionUnderTest, rows: usize) {
    let event = request("POST", "/api/v3/write_lp", "db=d&precision=second", &lines(rows));
    let mut answer = writes.say(&event).await;
    // A disk that stalls longer than rule W1 allows makes a write worth repeating.
    for _ in 0..ATTEMPTS {
        if answer["statusCode"] != 503 {
            break;
        }
        answer = writes.say(&event).await;
    }
    assert_eq!(answer["statusCode"], 204, "{answer}");
}

fn select(format: &str) -> Value {
    let query = format!("db=d&format={format}&q=SELECT%20*%20FROM%20t%20ORDER%20BY%20time");
    request("GET", "/api/v3/query_sql", &query, "")
}

async fn fetch(url: &str) -> (u16, String, Vec<u8>) {
    let options = ClientOptions::new().with_allow_http(true);
    let client = ReqwestConnector::default().connect(&options).unwrap();
    let request = http::Request::get(url).body(HttpRequestBody::empty());
    let answer = client.execute(request.unwrap()).await.unwrap();
    let status = answer.status().as_u16();
    let kind = answer.headers()["content-type"].to_str().unwrap().to_owned();
    (status, kind, answer.into_body().bytes().await.unwrap().to_vec())
}

/// Returns flags that name the bucket of a server.
pub(crate) fn flags(server: &S3Server) -> Vec<String> {
    [
        "--bucket",
        server.bucket(),
        "--aws-endpoint",
        &server.endpoint(),
        "--aws-allow-http",
        "--aws-access-key-id",
        S3Server::ACCESS_KEY,
        "--aws-secret-access-key",
        S3Server::SECRET_KEY,
        "--without-auth",
    ]
    .map(str::to_owned)
    .to_vec()
}

#[tokio::test]
async fn a_large_answer_goes_into_the_bucket_and_comes_back_whole() {
    let server = S3Server::start(Options::default()).await.unwrap();
    let flags = flags(&server);
    write(&open::<WriteProgram>(&flags, &[]), 500).await;
    let whole = open::<QueryProgram>(&flags, &[]);
    let small = open::<QueryProgram>(&flags, &["--payload-limit", "10kb"]);
    for (format, extension, kind) in [
        ("json", "json", "application/json"),
        ("csv", "csv", "text/csv"),
        ("jsonl", "jsonl", "application/jsonl"),
    ] {
        let expected = whole.say(&select(format)).await;
        assert_eq!(expected["statusCode"], 200, "{expected}");
        let expected = expected["body"].as_str().unwrap();
        let answer = small.say(&select(format)).await;
        assert_eq!(answer["statusCode"], 303, "{answer}");
        assert_eq!(answer["body"], "");
        let headers = &answer["headers"];
        assert_eq!(headers["cache-control"], "no-store");
        assert_eq!(headers["access-control-allow-origin"], "*");
        assert!(headers["x-neap-as-of"].is_string() && headers["content-type"].is_null());
        let url = headers["location"].as_str().unwrap();
        let path = url.split('?').next().unwrap();
        assert!(path.contains("/results/") && path.ends_with(&format!(".{extension}")), "{url}");
        let (status, stored, body) = fetch(url).await;
        assert_eq!((status, stored.split(';').next()), (200, Some(kind)));
        assert_eq!(String::from_utf8(body).unwrap(), expected);
    }
}

#[tokio::test]
async fn the_payload_limit_includes_json_escapes() {
    let server = S3Server::start(Options::default()).await.unwrap();
    let flags = flags(&server);
    write(&open::<WriteProgram>(&flags, &[]), 100).await;
    let function = open::<QueryProgram>(&flags, &[]);
    let body = function.say(&select("json")).await["body"].as_str().unwrap().len();
    let limit = (body + 100).to_string();
    let small = open::<QueryProgram>(&flags, &["--payload-limit", &limit]);
    let answer = small.say(&select("json")).await;
    assert_eq!(answer["statusCode"], 303, "{answer}");
    let (_, _, stored) = fetch(answer["headers"]["location"].as_str().unwrap()).await;
    assert_eq!(stored.len(), body);
}

/// A redirect would lead to a response with a success status.
#[tokio::test]
async fn a_large_error_response_keeps_its_status_and_loses_its_body() {
    let server = S3Server::start(Options::default()).await.unwrap();
    let flags = flags(&server);
    let writes = open::<WriteProgram>(&flags, &["--payload-limit", "1kb"]);
    let lines = format!("t {}", "x".repeat(3_000));
    let event = request("POST", "/api/v3/write_lp", "db=d", &lines);
    let answer = writes.say(&event).await;
    assert_eq!(answer["statusCode"], 400, "{answer}");
    assert_eq!(
        answer["body"],
        r#"{"error":"the response has more than 1000 bytes, the limit of this function, and was dropped"}"#
    );
    assert!(answer["headers"]["location"].is_null());
}

#[tokio::test]
async fn a_load_balancer_has_a_lower_payload_limit() {
    let server = S3Server::start(Options::default()).await.unwrap();
    let flags = flags(&server);
    write(&open::<WriteProgram>(&flags, &[]), 30_000).await;
    let queries = open::<QueryProgram>(&flags, &[]);
    let event = serde_json::json!({
        "httpMethod": "GET", "path": "/api/v3/query_sql", "requestContext": {"elb": {}},
        "queryStringParameters": {"db": "d", "q": "SELECT%20*%20FROM%20t"}, "headers": {},
    });
    let answer = queries.say(&event).await;
    assert_eq!(answer["statusCode"], 303, "{:?}", answer["headers"]);
    assert_eq!(answer["statusDescription"], "303 See Other");
    assert_eq!(queries.say(&select("json")).await["statusCode"], 200);
}

#[tokio::test]
async fn a_large_answer_is_an_error_if_the_store_has_no_urls() {
    let place = SharedDirectory::new();
    write(&place.open::<WriteProgram>(&["--without-auth"]), 100).await;
    let flags = ["--without-auth", "--payload-limit", "1kb"];
    let answer = place.open::<QueryProgram>(&flags).say(&select("json")).await;
    assert_eq!(answer["statusCode"], 400);
    let body = answer["body"].as_str().unwrap();
    assert!(body.contains("more than 1000 bytes"), "{body}");
}

#[tokio::test]
async fn a_streamed_answer_has_no_payload_limit() {
    let place = SharedDirectory::new();
    write(&place.open::<WriteProgram>(&["--without-auth"]), 100).await;
    let flags = ["--without-auth", "--payload-limit", "1kb", "--response-streaming"];
    let answer = place.open::<QueryProgram>(&flags).say(&select("csv")).await;
    assert_eq!(answer["head"]["statusCode"], 200);
    assert_eq!(answer["head"]["headers"]["content-type"], "text/csv");
    let pieces = answer["pieces"].as_array().unwrap();
    let text: String = pieces.iter().map(|piece| piece.as_str().unwrap()).collect();
    assert_eq!(text.lines().count(), 101);
}

#[tokio::test]
async fn an_error_during_a_streamed_answer_is_its_last_piece() {
    let place = SharedDirectory::new();
    write(&place.open::<WriteProgram>(&["--without-auth"]), 50_000).await;
    let flags = ["--without-auth", "--max-result-rows", "20000", "--response-streaming"];
    let answer = place.open::<QueryProgram>(&flags).say(&select("csv")).await;
    assert_eq!(answer["head"]["statusCode"], 200);
    let pieces = answer["pieces"].as_array().unwrap();
    assert!(pieces.len() > 1, "{pieces:?}");
    let last = pieces.last().unwrap().as_str().unwrap();
    let expected = "\nquery error: the answer has more than 20000 rows, ";
    assert!(last.starts_with(expected), "{last}");
}

/// The store answers every request with an error.
#[tokio::test]
async fn a_failing_store_is_an_error_response_and_the_next_event_retries() {
    let refuse = any(async |_: Request| http::StatusCode::FORBIDDEN);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let serving = axum::serve(listener, Router::new().fallback_service(refuse.with_state(())));
    let serving = tokio::spawn(serving.into_future());
    let flags = [
        "--bucket",
        "b",
        "--aws-endpoint",
        &endpoint,
        "--aws-allow-http",
        "--aws-access-key-id",
        "k",
        "--aws-secret-access-key",
        "s",
        "--without-auth",
    ];
    let writes = FunctionUnderTest::open::<WriteProgram>(&flags);
    for _ in 0..2 {
        let event = request("POST", "/api/v3/write_lp", "db=d", "t v=1");
        let answer = writes.say(&event).await;
        assert_eq!(answer["statusCode"], 503, "{answer}");
    }
    serving.abort();
}

#[tokio::test]
async fn large_answers_have_keys_that_garbage_collection_knows() {
    let server = S3Server::start(Options::default()).await.unwrap();
    let flags = flags(&server);
    write(&open::<WriteProgram>(&flags, &[]), 100).await;
    let small = open::<QueryProgram>(&flags, &["--payload-limit", "1kb"]);
    let answer = small.say(&select("csv")).await;
    let url = answer["headers"]["location"].as_str().unwrap().to_owned();
    let key = url.split('?').next().unwrap().rsplit("/results/").next().unwrap().to_owned();
    let key: neap_bucket::Key = format!("results/{key}").parse().unwrap();
    let mut config = StoreConfig {
        bucket: Some(server.bucket().to_owned()),
        ..StoreConfig::default()
    };
    config.aws.aws_endpoint = Some(server.endpoint());
    config.aws.aws_allow_http = true;
    config.aws.aws_access_key_id = S3Server::ACCESS_KEY.parse().ok();
    config.aws.aws_secret_access_key = S3Server::SECRET_KEY.parse().ok();
    let store = config.open(&World::system(), None).unwrap().main;
    let found = store.get(&key.to_string(), GetOptions::default()).await.unwrap();
    assert!(matches!(found.value, Get::Found(_)));
}
