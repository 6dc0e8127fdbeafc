//! The routes of a server with tokens, on a store in memory, in the year 2023.

use std::sync::Arc;

use axum::{Router, body::Body};
use http::Request;
use http_body_util::BodyExt;
use neap_bucket::{Bucket, MemoryStore, PausedClock, ProtocolMargins, ProtocolRules, World};
use neap_catalog::{Catalog, PermissionRequest, TokenId};
use neap_http::{
    AccessControl, AuthSettings, Authenticator, ClusterId, Metrics, ServiceContext,
    with_common_layers,
};
use neap_write::{WriteService, WriteServiceParts};
use serde_json::{Value, json};
use tower::ServiceExt;

/// The time of all changes.
pub(super) const NOW: &str = "2023-11-14T22:13:20Z";

/// The id of the organization.
pub(super) const ORG: &str = "6e65617000000000";

/// A server. Requests have the operator token, unless they have another one.
pub(super) struct TestServer {
    pub(super) catalog: Arc<Catalog>,
    routes: Router,
    operator: String,
}

/// Returns the answer of an error.
pub(super) fn error(code: &str, message: &str) -> Value {
    json!({ "code": code, "message": message })
}

impl TestServer {
    /// Returns a server without a token.
    pub(super) fn without_token() -> Self {
        let clock = Arc::new(PausedClock::new(1_700_000_000_000_000));
        let store = Arc::new(MemoryStore::new(Arc::clone(&clock) as _));
        let world = World::seeded(clock, 1);
        let bucket = Bucket::new(store, world.clone());
        let rules = ProtocolRules::new(ProtocolMargins::LOCAL);
        // Drops are answered without waiting for other processes.
        let catalog = Arc::new(Catalog::for_sole_process(bucket));
        let metrics = Metrics::default();
        let service = Arc::new(WriteService::new(WriteServiceParts {
            metrics: metrics.clone(),
            ..WriteServiceParts::local(&catalog, rules)
        }));
        let settings = AuthSettings::default();
        let authenticator = Authenticator::new(Arc::clone(&catalog), &metrics, settings);
        let common = ServiceContext {
            cluster: ClusterId::new(Arc::clone(&catalog)),
            world,
            metrics,
            access: AccessControl::Tokens(Arc::new(authenticator)),
        };
        let routes = crate::router(Arc::clone(&service)).merge(neap_write::router(service));
        Self {
            routes: with_common_layers(routes, common),
            operator: String::new(),
            catalog,
        }
    }

    pub(super) async fn new() -> Self {
        let server = Self::without_token();
        let operator = server.catalog.create_admin_token().await.unwrap();
        Self { operator: operator.secret.reveal().to_owned(), ..server }
    }

    /// Creates a token with these permissions.
    pub(super) async fn token(&self, permissions: &str) -> String {
        let requests: Vec<PermissionRequest> =
            permissions.split(';').map(|permission| permission.parse().unwrap()).collect();
        let by = Some(TokenId::OPERATOR.into());
        let issued = self.catalog.create_resource_token(permissions, &requests, None, by);
        issued.await.unwrap().secret.reveal().to_owned()
    }

    pub(super) async fn create_databases(&self, names: &[&str]) {
        for name in names {
            self.catalog.create_database(name, None).await.unwrap();
        }
    }

    /// Sends a request with headers, and returns the status and the answer.
    pub(super) async fn send_with(
        &self,
        headers: &[(&str, &str)],
        method: &str,
        path: &str,
        body: Value,
    ) -> (u16, Value) {
        let mut request_head = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request_head = request_head.header(*name, *value);
        }
        let body = match body {
            Value::Null => Body::empty(),
            body => Body::from(body.to_string()),
        };
        let request = request_head.body(body).unwrap();
        let (head, body) = self.routes.clone().oneshot(request).await.unwrap().into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        if bytes.is_empty() {
            return (head.status.as_u16(), Value::Null);
        }
        let content_type = head.headers["content-type"].to_str().unwrap();
        assert!(content_type.starts_with("application/json"), "{content_type}");
        let answer = serde_json::from_slice(&bytes).unwrap();
        (head.status.as_u16(), answer)
    }

    /// Sends a request with a token.
    pub(super) async fn send_as(
        &self,
        token: &str,
        method: &str,
        path: &str,
        body: Value,
    ) -> (u16, Value) {
        let authorization = format!("Token {token}");
        self.send_with(&[("authorization", &authorization)], method, path, body).await
    }

    /// Sends a request with the operator token.
    pub(super) async fn send(&self, method: &str, path: &str, body: Value) -> (u16, Value) {
        self.send_as(&self.operator, method, path, body).await
    }

    /// Sends the request of each line, `METHOD PATH BODY ==> STATUS CODE: MESSAGE`, and asserts its answer.
    pub(super) async fn assert_refusals(&self, requests: &str) {
        for (request, refusal) in neap_test_inputs::text_pairs(requests) {
            let parts: Vec<&str> = request.splitn(3, ' ').collect();
            let body = parts.get(2).map_or(Value::Null, |body| serde_json::from_str(body).unwrap());
            let (status, reason) = refusal.split_once(' ').unwrap();
            let (code, message) = reason.split_once(": ").unwrap();
            let expected = (status.parse::<u16>().unwrap(), error(code, message));
            let answer = self.send(parts[0], parts[1], body).await;
            assert_eq!(answer, expected, "{request}");
        }
    }

    /// Returns the operator token.
    pub(super) fn operator(&self) -> &str {
        &self.operator
    }

    /// Writes a line with an `Authorization` header, and returns the status.
    pub(super) async fn write(&self, authorization: &str, path: &str, line: &'static str) -> u16 {
        let head = Request::post(path).header("authorization", authorization);
        let request = head.body(Body::from(line)).unwrap();
        self.routes.clone().oneshot(request).await.unwrap().status().as_u16()
    }

    pub(super) async fn get(&self, path: &str) -> (u16, Value) {
        self.send("GET", path, Value::Null).await
    }
}
