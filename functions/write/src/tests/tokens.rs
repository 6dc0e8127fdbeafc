//! Tests of the token endpoints and of the recovery of a lost operator token. Authorization is tested with the complete
//! set of routes.

use std::sync::Arc;

use axum::{Extension, Router, body::Body};
use http::Request;
use http_body_util::BodyExt;
use neap_catalog::{CatalogError, HardDelete};
use neap_http::Caller;
use neap_row_delete::Predicate;
use neap_schema::DatabaseId;
use serde_json::{Value, json};
use tokio::sync::Notify;
use tower::ServiceExt;

use super::test_bed::WriteTestBed;
use crate::{DeleteOptions, RowSelection, WriteFailure, WriteOptions, recovery_router, router};

const TOKEN: &str = "/api/v3/configure/token";

/// Returns the routes with a caller who has all permissions.
fn routes(stage: &WriteTestBed) -> Router {
    router(stage.instance().service).layer(Extension(Caller::unrestricted()))
}

async fn send(routes: &Router, method: &str, path: &str, body: Option<Value>) -> (u16, String) {
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header("content-type", "application/json")
        .header("host", "127.0.0.1:8182");
    let body = body.map(|body| body.to_string()).unwrap_or_default();
    let request = request.body(Body::from(body)).unwrap();
    let (head, body) = routes.clone().oneshot(request).await.unwrap().into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    if head.status == 201 {
        assert_eq!(head.headers["content-type"], "json");
    }
    let body = String::from_utf8(body.to_vec()).unwrap();
    (head.status.as_u16(), body)
}

/// Masks the token and its hash in an answer, after checking that they match.
fn masked((status, body): (u16, String)) -> String {
    let Ok(parsed) = serde_json::from_str::<Value>(&body) else {
        return format!("{status} {body}");
    };
    let (token, hash) = (parsed["token"].as_str().unwrap(), parsed["hash"].as_str().unwrap());
    assert_eq!(neap_catalog::SecretToken::new(token).hash().to_hex(), hash);
    let body = body.replace(token, "<token>").replace(hash, "<sha512>");
    format!("{status} {body}")
}

#[tokio::test(start_paused = true)]
async fn a_key_is_registered_and_deleted_like_a_token() {
    let stage = WriteTestBed::new();
    let routes = routes(&stage);
    stage.instance().catalog.create_database("home", None).await.unwrap();
    let x = "fLKYEaoEb9lrn3nkwLDA-M_xnuFOdSt9y0Z7_vWSHLU";
    let y = "Dt5tbS1dEDMSYfym3fgMv0B99szno-dFc1rYF9t0aac";
    let body = |name: &str, x: &str| {
        Some(json!({
            "token_name": name,
            "permissions": [{"resource_type": "db", "resource_names": ["home"], "actions": ["write"]}],
            "public_key": {"x": x, "y": y},
        }))
    };
    let (status, answer) = send(&routes, "POST", TOKEN, body("sensors", x)).await;
    assert_eq!(status, 201);
    let answer: Value = serde_json::from_str(&answer).unwrap();
    assert_eq!(answer["public_key"], json!({"x": x, "y": y}));
    assert_eq!(answer.get("token"), None);
    assert_eq!(answer.get("hash"), None);
    for (name, x, reason) in [
        ("sensors", x, "token name already exists, sensors"),
        ("a b", x, "invalid name of a key"),
        ("other", "AA", "invalid coordinate 'x' of a key"),
        ("other", y, "not a point of the curve P-256"),
    ] {
        let (status, answer) = send(&routes, "POST", TOKEN, body(name, x)).await;
        assert!(status == 400 || status == 409, "{status}");
        assert!(answer.contains(reason), "{answer}");
    }
    let path = format!("{TOKEN}?token_name=sensors");
    assert_eq!(send(&routes, "DELETE", &path, None).await.0, 200);
}

#[tokio::test(start_paused = true)]
async fn token_creation_answers_like_influxdb() {
    let stage = WriteTestBed::new();
    let routes = routes(&stage);
    let admin = format!("{TOKEN}/admin");
    insta::assert_snapshot!(masked(send(&routes, "POST", &admin, None).await), @r#"201 {"id":0,"name":"_admin","token":"<token>","hash":"<sha512>","created_at":"2023-11-14T22:13:20Z","expiry":null}"#);
    insta::assert_snapshot!(masked(send(&routes, "POST", &admin, None).await), @"409 token name already exists, _admin");
    let named = format!("{TOKEN}/named_admin");
    let body = json!({ "token_name": "brief", "expiry_secs": 60 });
    insta::assert_snapshot!(masked(send(&routes, "POST", &named, Some(body)).await), @r#"201 {"id":1,"name":"brief","token":"<token>","hash":"<sha512>","created_at":"2023-11-14T22:13:20Z","expiry":"2023-11-14T22:14:20Z"}"#);
    let body = json!({ "token_name": "" });
    insta::assert_snapshot!(masked(send(&routes, "POST", &named, Some(body)).await), @r#"201 {"id":2,"name":"","token":"<token>","hash":"<sha512>","created_at":"2023-11-14T22:13:20Z","expiry":null}"#);
    let permission = json!({ "resource_type": "db", "resource_names": ["*"], "actions": ["read"] });
    let body = json!({ "token_name": "reader", "permissions": [permission], "expiry_secs": null });
    let path = "/api/v3/enterprise/configure/token";
    insta::assert_snapshot!(masked(send(&routes, "POST", path, Some(body)).await), @r#"201 {"id":3,"name":"reader","token":"<token>","hash":"<sha512>","created_at":"2023-11-14T22:13:20Z","expiry":null}"#);
    let regenerated = send(&routes, "POST", &format!("{admin}/regenerate"), None).await;
    insta::assert_snapshot!(masked(regenerated), @r#"201 {"id":0,"name":"_admin","token":"<token>","hash":"<sha512>","created_at":"2023-11-14T22:13:20Z","expiry":null}"#);
}

#[tokio::test(start_paused = true)]
async fn invalid_token_requests_are_refused_with_a_message() {
    let stage = WriteTestBed::new();
    let routes = routes(&stage);
    let create = async |resource: &str, names: &str, action: &str| {
        let permission = json!({
            "resource_type": resource,
            "resource_names": names.split(',').collect::<Vec<_>>(),
            "actions": [action],
        });
        let body = json!({ "token_name": "x", "permissions": [permission] });
        let (status, body) = send(&routes, "POST", TOKEN, Some(body)).await;
        format!("{status} {body}")
    };
    let answers = [
        create("db", "missing", "read").await,
        create("db", "a,*", "read").await,
        create("db", "*", "drop").await,
        create("table", "*", "read").await,
        create("system", "pprof", "read").await,
    ];
    insta::assert_snapshot!(answers.join("\n"), @r"
    404 the requested resource was not found: missing
    400 mixed wildcard (*) and resource name
    400 invalid action 'drop' for 'db', expected one of read, write, append, create, describe, delete, *
    400 invalid resource type 'table', expected one of db, system, token, user, audit, site, *
    400 invalid resource name 'pprof' for 'system', expected one of health, metrics, ping, ready, *
    ");
    let (status, body) = send(&routes, "POST", TOKEN, Some(json!({}))).await;
    assert_eq!((status, body.starts_with("serde json error")), (400, true));
    for (query, expected) in [
        ("", "400 serde error: missing field `token_name`"),
        ("?token_name=x", "404 the requested resource was not found: x"),
        ("?token_name=_admin", "405 cannot delete operator token"),
    ] {
        let (status, body) = send(&routes, "DELETE", &format!("{TOKEN}{query}"), None).await;
        assert_eq!(format!("{status} {body}"), expected);
    }
}

#[tokio::test(start_paused = true)]
async fn a_token_with_zero_lifetime_is_refused() {
    let stage = WriteTestBed::new();
    let routes = routes(&stage);
    let permission = json!({ "resource_type": "db", "resource_names": ["*"], "actions": ["read"] });
    let named = json!({ "token_name": "x", "expiry_secs": 0 });
    let of_resources = json!({ "token_name": "x", "permissions": [permission], "expiry_secs": 0 });
    for (path, body) in [(format!("{TOKEN}/named_admin"), named), (TOKEN.to_owned(), of_resources)]
    {
        let answer = send(&routes, "POST", &path, Some(body)).await;
        assert_eq!(answer, (400, "expiry_secs must be greater than 0".to_owned()));
    }
}

#[tokio::test(start_paused = true)]
async fn recovery_refuses_web_pages_and_host_names() {
    let instance = WriteTestBed::new().instance();
    instance.catalog.create_admin_token().await.unwrap();
    let done = Arc::new(Notify::new());
    let recovery = recovery_router(Arc::clone(&instance.service), done);
    let recover = async |headers: &[(&str, &str)]| {
        let mut request = Request::post(format!("{TOKEN}/admin/regenerate"));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Body::empty()).unwrap();
        recovery.clone().oneshot(request).await.unwrap().status()
    };
    let host = ("host", "127.0.0.1:8182");
    for headers in [
        &[][..],
        &[("host", "evil.example:8182")],
        &[("host", "127.0.0.1.evil.example")],
        &[("host", "localhost.evil.example")],
        &[host, ("origin", "http://127.0.0.1:8182")],
        &[host, ("sec-fetch-site", "cross-site")],
    ] {
        assert_eq!(recover(headers).await, 403, "{headers:?}");
    }
    assert_eq!(recover(&[("host", "[::1]:8182")]).await, 201);
}

#[tokio::test(start_paused = true)]
async fn recovery_accepts_localhost() {
    let instance = WriteTestBed::new().instance();
    instance.catalog.create_admin_token().await.unwrap();
    let recovery = recovery_router(Arc::clone(&instance.service), Arc::default());
    let request = Request::post(format!("{TOKEN}/admin/regenerate"))
        .header("host", "localhost:8182")
        .body(Body::empty())
        .unwrap();
    assert_eq!(recovery.oneshot(request).await.unwrap().status(), 201);
}

#[tokio::test(start_paused = true)]
async fn revoking_a_token_twice_is_not_found() {
    let stage = WriteTestBed::new();
    let routes = routes(&stage);
    let body = json!({ "token_name": "x" });
    send(&routes, "POST", &format!("{TOKEN}/named_admin"), Some(body)).await;
    let path = format!("{TOKEN}?token_name=x");
    assert_eq!(send(&routes, "DELETE", &path, None).await, (200, String::new()));
    assert_eq!(send(&routes, "DELETE", &path, None).await.0, 404);
}

#[tokio::test(start_paused = true)]
async fn a_token_is_revoked_with_those_that_it_created_on_request() {
    let stage = WriteTestBed::new();
    let service = stage.instance().service;
    let routes = router(Arc::clone(&service)).layer(Extension(Caller::unrestricted()));
    let first = service.catalog.create_named_admin("first", None, None);
    let first = Some(first.await.unwrap().id.into());
    let second = service.catalog.create_named_admin("second", None, first);
    second.await.unwrap();
    let path = format!("{TOKEN}?token_name=first&with_created=true");
    let answer = send(&routes, "DELETE", &path, None).await;
    let names = r#"{"deleted_tokens":["first","second"]}"#;
    assert_eq!(answer, (200, names.to_owned()));
    assert_eq!(send(&routes, "DELETE", &path, None).await.0, 404);
    let path = format!("{TOKEN}?token_name=first&with_created=maybe");
    assert_eq!(send(&routes, "DELETE", &path, None).await.0, 400);
}

#[tokio::test(start_paused = true)]
async fn a_service_that_gives_no_first_credentials_refuses_until_there_is_a_token() {
    let stage = WriteTestBed::new();
    let service = stage.instance().service;
    let closed = Arc::into_inner(service).unwrap().with_first_credentials(false);
    let service = Arc::new(closed);
    let routes = router(Arc::clone(&service));
    let path = format!("{TOKEN}/admin");
    let (status, body) = send(&routes, "POST", &path, None).await;
    assert_eq!(status, 403);
    assert!(body.contains("NEAP_ADMIN_TOKEN_HASH"), "{body}");
    let hash = neap_catalog::SecretToken::new("operator").hash();
    assert!(service.catalog.install_admin_token(hash, None).await.unwrap());
    assert_eq!(send(&routes, "POST", &path, None).await.0, 409);
}

#[tokio::test(start_paused = true)]
async fn recovery_regenerates_the_operator_token_once_and_serves_nothing_else() {
    let instance = WriteTestBed::new().instance();
    let done = Arc::new(Notify::new());
    let recovery = recovery_router(Arc::clone(&instance.service), Arc::clone(&done));
    let path = format!("{TOKEN}/admin/regenerate");
    let none = send(&recovery, "POST", &path, None).await;
    assert_eq!(none, (404, "the requested resource was not found: _admin".to_owned()));
    let old = instance.catalog.create_admin_token().await.unwrap();
    for (method, path) in [
        ("POST", "/api/v3/configure/token/admin"),
        ("GET", path.as_str()),
        ("GET", "/health"),
    ] {
        let answer = send(&recovery, method, path, None).await;
        assert_eq!(answer, (404, "Not found".to_owned()));
    }
    let (status, body) = send(&recovery, "POST", &path, None).await;
    assert_eq!((status, body.contains(old.secret.reveal())), (201, false));
    done.notified().await;
    let again = send(&recovery, "POST", &path, None).await;
    assert_eq!(again, (404, "Not found".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn requests_limited_to_a_database_id_ignore_a_later_database_of_that_name() {
    let instance = WriteTestBed::new().instance();
    let (service, catalog) = (&instance.service, &instance.catalog);
    let write = async |only| {
        let options = WriteOptions { only: Some(only), ..WriteOptions::default() };
        service.write("d", "m v=1 1".into(), options).await
    };
    let forbidden = |failure| matches!(failure, WriteFailure::Catalog(CatalogError::Forbidden));
    assert!(forbidden(write(DatabaseId::new(1)).await.unwrap_err()));
    let id = catalog.create_database("d", None).await.unwrap();
    assert!(write(id).await.is_ok());
    let hard_delete = HardDelete::Never;
    catalog.delete_database("d", hard_delete).await.unwrap();
    catalog.create_database("d", None).await.unwrap();
    assert!(forbidden(write(id).await.unwrap_err()));
    let everything = RowSelection {
        table: Some("m".to_owned()),
        predicate: Predicate::parse("").unwrap(),
        min_time: i64::MIN,
        max_time: i64::MAX,
    };
    let options = DeleteOptions { only: Some(id), after: None };
    let deleted = service.delete_rows("d", &everything, options).await;
    let refused = CatalogError::Forbidden.to_string();
    assert_eq!(deleted.unwrap_err().to_string(), refused);
}
