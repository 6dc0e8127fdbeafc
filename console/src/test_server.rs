//! A server with tokens over a store in memory, for tests.

use std::sync::Arc;

use axum::{Router, body::Body, extract::Request};
use http::{HeaderMap, Method, header::AUTHORIZATION};
use http_body_util::BodyExt;
use neap_bucket::{Bucket, World};
use neap_catalog::{Catalog, PermissionRequest};
use neap_http::{
    AccessControl, AuthSettings, Authenticator, ClusterId, Metrics, ServiceContext,
    with_common_layers,
};
use serde_json::Value;
use tower::ServiceExt;

use crate::{
    Assistant, PageBucket, SessionServer, assistant_routes, bucket_page_routes, document_routes,
    embedded_page_routes, session_routes,
};

/// The routes of the console, a catalog with the databases `garden` and `kitchen`, and an administrator.
pub(crate) struct TestServer {
    routes: Router,
    pub(crate) catalog: Arc<Catalog>,
    pub(crate) admin: String,
}

/// The pages of a [`TestServer`].
pub(crate) enum TestPage {
    Embedded,
    Bucket { is_on: bool },
}

pub(crate) struct TestAnswer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl TestAnswer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&self.body)))
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }
}

impl TestServer {
    /// Creates a server that requires tokens.
    pub(crate) async fn new() -> Self {
        Self::with(TestPage::Embedded, true).await
    }

    pub(crate) async fn with(page: TestPage, requires_tokens: bool) -> Self {
        Self::build(page, requires_tokens, None).await
    }

    /// Creates a server that requires tokens and has an assistant.
    pub(crate) async fn with_assistant(assistant: Assistant) -> Self {
        Self::build(TestPage::Embedded, true, Some(assistant)).await
    }

    async fn build(page: TestPage, requires_tokens: bool, assistant: Option<Assistant>) -> Self {
        let world = World::system();
        let bucket = Bucket::in_memory(world.clone());
        // A drop does not wait for other processes.
        let catalog = Arc::new(Catalog::for_sole_process(bucket.clone()));
        for name in ["garden", "kitchen"] {
            catalog.create_database(name, None).await.unwrap();
        }
        let admin = catalog.create_admin_token().await.unwrap();
        let metrics = Metrics::default();
        let authenticator =
            Authenticator::new(Arc::clone(&catalog), &metrics, AuthSettings::default());
        let server = SessionServer {
            catalog: Arc::clone(&catalog),
            requires_tokens,
            has_users: requires_tokens,
            version: "1.2.3",
            revision: "0123abc",
            mode: "all".to_owned(),
            node_id: Some("one".to_owned()),
            assistant_model: assistant.as_ref().map(|_| "small".to_owned()),
        };
        let page = match page {
            TestPage::Embedded => embedded_page_routes(),
            TestPage::Bucket { is_on } => {
                bucket_page_routes(PageBucket { bucket, links: None, is_on })
            }
        };
        let routes = page
            .merge(session_routes(server))
            .merge(document_routes(Arc::clone(&catalog)))
            .merge(assistant_routes(Arc::clone(&catalog), assistant));
        let common = ServiceContext {
            cluster: ClusterId::new(Arc::clone(&catalog)),
            world,
            metrics,
            access: if requires_tokens {
                AccessControl::Tokens(Arc::new(authenticator))
            } else {
                AccessControl::Open
            },
        };
        Self {
            routes: with_common_layers(routes, common),
            catalog,
            admin: admin.secret.reveal().to_owned(),
        }
    }

    /// Creates a token with permissions such as `db:garden:read`.
    pub(crate) async fn token(&self, name: &str, permissions: &[&str]) -> String {
        let permissions: Vec<PermissionRequest> =
            permissions.iter().map(|text| text.parse().unwrap()).collect();
        let issued = self.catalog.create_resource_token(name, &permissions, None, None);
        issued.await.unwrap().secret.reveal().to_owned()
    }

    /// Sends a request, with a token if it is not empty.
    pub(crate) async fn send(
        &self,
        method: Method,
        path: &str,
        token: &str,
        more: &[(&str, &str)],
        body: impl Into<Body>,
    ) -> TestAnswer {
        let mut request = Request::builder().method(method).uri(path);
        if !token.is_empty() {
            request = request.header(AUTHORIZATION, format!("Bearer {token}"));
        }
        for (name, value) in more {
            request = request.header(*name, *value);
        }
        let request = request.body(body.into()).unwrap();
        let response = self.routes.clone().oneshot(request).await.unwrap();
        let (head, body) = response.into_parts();
        TestAnswer {
            status: head.status.as_u16(),
            headers: head.headers,
            body: body.collect().await.unwrap().to_bytes().to_vec(),
        }
    }

    pub(crate) async fn get(&self, path: &str, token: &str) -> TestAnswer {
        self.send(Method::GET, path, token, &[], Body::empty()).await
    }

    /// Sends a JSON body.
    pub(crate) async fn send_json(
        &self,
        method: Method,
        path: &str,
        token: &str,
        body: &Value,
    ) -> TestAnswer {
        let kind = [("content-type", "application/json")];
        self.send(method, path, token, &kind, body.to_string()).await
    }
}
