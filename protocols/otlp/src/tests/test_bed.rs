//! A write function on a store in memory, and its routes.

use std::{sync::Arc, time::Duration};

use axum::{Router, body::Body};
use bytes::Bytes;
use http::{HeaderMap, Request};
use http_body_util::BodyExt;
use neap_bucket::{
    Bucket, Get, GetOptions, Key, ListRequest, MemoryStore, ProtocolMargins, ProtocolRules, Store,
    World,
};
use neap_catalog::Catalog;
use neap_http::{AccessControl, ClusterId, Metrics, ServiceContext, with_common_layers};
use neap_wal::Segment;
use neap_write::{WriteService, WriteServiceParts, WriteSettings};
use tower::ServiceExt;

/// An instance of the write function.
pub(super) struct TestBed {
    pub(super) service: Arc<WriteService>,
    memory: Arc<MemoryStore>,
    routes: Router,
}

/// An answer.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) headers: HeaderMap,
    pub(super) trailers: HeaderMap,
    pub(super) body: Bytes,
}

impl Reply {
    pub(super) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    /// Returns a header or trailer; empty if it is absent.
    pub(super) fn header(&self, name: &str) -> &str {
        let value = self.headers.get(name).or_else(|| self.trailers.get(name));
        value.map_or("", |value| value.to_str().unwrap())
    }
}

impl TestBed {
    pub(super) fn new(settings: WriteSettings) -> Self {
        let world = World::system();
        let memory = Arc::new(MemoryStore::new(Arc::clone(&world.clock)));
        let bucket = Bucket::new(Arc::clone(&memory) as _, world.clone());
        let rules = ProtocolRules::new(ProtocolMargins::LOCAL);
        let catalog = Arc::new(Catalog::new(bucket, ProtocolMargins::LOCAL, None));
        let metrics = Metrics::default();
        let service = Arc::new(WriteService::new(WriteServiceParts {
            metrics: metrics.clone(),
            settings,
            ..WriteServiceParts::local(&catalog, rules)
        }));
        let routes = crate::router(Arc::clone(&service));
        #[cfg(feature = "grpc")]
        let routes = routes.merge(crate::grpc_router(Arc::clone(&service)));
        let common = ServiceContext {
            cluster: ClusterId::new(catalog),
            world,
            metrics,
            access: AccessControl::Open,
        };
        Self { service, memory, routes: with_common_layers(routes, common) }
    }

    pub(super) async fn send(&self, request: Request<Body>) -> Reply {
        let response = self.routes.clone().oneshot(request).await.unwrap();
        let (head, body) = response.into_parts();
        let body = body.collect().await.unwrap();
        Reply {
            status: head.status.as_u16(),
            headers: head.headers,
            trailers: body.trailers().cloned().unwrap_or_default(),
            body: body.to_bytes(),
        }
    }

    pub(super) async fn post(
        &self,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Body>,
    ) -> Reply {
        let mut request = Request::post(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.send(request.body(body.into()).unwrap()).await
    }

    /// Returns the number of stored rows of all databases.
    pub(super) async fn rows(&self) -> u64 {
        let request = ListRequest::new(Key::TAIL_PREFIX);
        let mut rows = 0;
        for entry in self.memory.list(request).await.unwrap().value.entries {
            let Ok(Key::Segment(database, name)) = entry.key.parse() else {
                panic!("{}", entry.key);
            };
            let object = self.memory.get(&entry.key, GetOptions::default()).await;
            let Get::Found(object) = object.unwrap().value else {
                panic!("{}", entry.key);
            };
            let segment = Segment::decode(database, name, object.bytes).unwrap();
            rows += segment.tables().map(|table| table.rows).sum::<u64>();
        }
        rows
    }
}

/// Settings with a default database, and with short waits.
pub(super) fn settings() -> WriteSettings {
    WriteSettings {
        default_database: Some("telemetry".to_owned()),
        body_timeout: Duration::from_millis(50),
        ..WriteSettings::default()
    }
}
