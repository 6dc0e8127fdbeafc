//! The setup of a new cluster.

use serde_json::{Value, json};

use super::server::{TestServer, error};

const SETUP: &str = "/api/v2/setup";

fn request() -> Value {
    json!({
        "username": "ann",
        "password": "correct horse",
        "org": "works",
        "bucket": "home",
        "retentionPeriodSeconds": 3_600,
    })
}

async fn post(server: &TestServer, body: Value) -> (u16, Value) {
    server.send_with(&[], "POST", SETUP, body).await
}

async fn is_allowed(server: &TestServer) -> Value {
    let (status, answer) = server.send_with(&[], "GET", SETUP, Value::Null).await;
    assert_eq!(status, 200);
    answer["allowed"].clone()
}

#[tokio::test(start_paused = true)]
async fn a_setup_creates_the_operator_token_and_a_bucket_once() {
    let server = TestServer::without_token();
    assert_eq!(is_allowed(&server).await, true);
    let (status, answer) = post(&server, request()).await;
    assert_eq!(status, 201);
    assert_eq!(answer["org"]["name"], "works");
    assert_eq!(answer["bucket"]["name"], "home");
    assert_eq!(answer["bucket"]["retentionRules"][0]["everySeconds"], 3_600);
    // Users can't sign in by password, so there is no user.
    assert_eq!(answer["user"]["name"], "_admin");
    assert_eq!(answer["auth"]["id"], "746f000000000000");
    let token = answer["auth"]["token"].as_str().unwrap();
    let me = server.send_as(token, "GET", "/api/v2/me", Value::Null).await;
    assert_eq!(me, (200, answer["user"].clone()));
    assert_eq!(is_allowed(&server).await, false);
    let refused = error("conflict", "onboarding has already been completed");
    let again = json!({ "username": "eve", "org": "x", "bucket": "x" });
    assert_eq!(post(&server, again).await, (422, refused));
    let (_, list) = server.send_as(token, "GET", "/api/v2/buckets", Value::Null).await;
    assert_eq!(list["buckets"].as_array().unwrap().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_setup_may_choose_the_token_and_take_an_existing_bucket() {
    let server = TestServer::without_token();
    server.create_databases(&["home"]).await;
    let mut body = request();
    for (token, message) in [
        ("short", "a token has at least 32 characters: letters, digits, and -_=+/"),
        (
            "with.dots.and.more.than.32.characters",
            "a token has at least 32 characters: letters, digits, and -_=+/",
        ),
    ] {
        body["token"] = token.into();
        assert_eq!(post(&server, body.clone()).await, (400, error("invalid", message)));
    }
    let token = "x".repeat(64) + "-_==";
    body["token"] = token.clone().into();
    let (status, answer) = post(&server, body).await;
    assert_eq!((status, &answer["auth"]["token"]), (201, &json!(token)));
    assert_eq!(answer["bucket"]["id"], "6e65617000000001");
    assert_eq!(answer["bucket"]["retentionRules"][0]["everySeconds"], 0);
    let list = server.send_as(&token, "GET", "/api/v2/buckets", Value::Null).await;
    assert_eq!(list.0, 200);
}

#[tokio::test(start_paused = true)]
async fn a_setup_that_is_refused_leaves_no_token() {
    let server = TestServer::without_token();
    let with = |name: &str, value: Value| {
        let mut body = request();
        body[name] = value;
        body
    };
    for (body, status) in [
        (with("username", "".into()), 400),
        (with("org", Value::Null), 400),
        (with("bucket", "_x".into()), 400),
        (with("retentionPeriodSeconds", (-1).into()), 422),
    ] {
        assert_eq!(post(&server, body.clone()).await.0, status, "{body}");
    }
    let page = [("origin", "http://example.com")];
    let (status, _) = server.send_with(&page, "POST", SETUP, request()).await;
    assert_eq!(status, 403, "a web page must not set a server up");
    assert_eq!(is_allowed(&server).await, true);
}
