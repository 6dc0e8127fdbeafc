//! A server with the routes of remote write and remote read.

use std::{sync::Arc, time::Duration};

use axum::{Extension, Router, body::Body};
use bytes::Bytes;
use http::{Method, Request, Response};
use http_body_util::BodyExt;
use neap_catalog::Catalog;
use neap_http::{Caller, Metrics};
use neap_sql_changes::testing::{MemoryServer, MemoryServerSettings};
use serde_json::{Value, json};
use tower::ServiceExt;

use crate::{
    ChunkedReadResponse, LabelMatcher, MatcherType, Message, Query, ReadRequest, ReadResponse,
    ResponseType, TimeSeries, compress, decompress,
    test_messages::{Metadata, WriteRequest},
};

/// A server with empty databases.
pub(super) struct TestServer {
    pub(super) router: Router,
    catalog: Arc<Catalog>,
}

impl TestServer {
    pub(super) fn new() -> Self {
        let MemoryServer { catalog, queries, writes, .. } =
            MemoryServer::with(MemoryServerSettings::default()).unwrap();
        let reads = crate::remote_read::router(queries, Some("prom".to_owned()));
        let router = crate::remote_write::router(writes, &Metrics::default()).merge(reads);
        Self {
            router: router.layer(Extension(Caller::unrestricted())),
            catalog,
        }
    }

    /// Renames a table.
    pub(super) async fn rename_table(&self, name: &str, new_name: &str) {
        let root = self.catalog.root(Duration::ZERO).await.unwrap();
        let database = root.value.database("prom").unwrap();
        self.catalog.rename_table(database, name, new_name).await.unwrap();
    }

    /// Sends a request, and returns the status and the body of the answer.
    pub(super) async fn send(&self, method: Method, path: &str, body: Vec<u8>) -> (u16, Bytes) {
        let response = self.respond(method, path, body).await;
        let status = response.status().as_u16();
        let body = response.into_body().collect().await.unwrap();
        (status, body.to_bytes())
    }

    async fn respond(&self, method: Method, path: &str, body: Vec<u8>) -> Response<Body> {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("content-encoding", "snappy")
            .body(Body::from(body))
            .unwrap();
        self.router.clone().oneshot(request).await.unwrap()
    }

    /// Stores series, and descriptions of metrics as pairs of a name and a help text.
    pub(super) async fn write(&self, series: &[TimeSeries], metadata: &[(&str, &str)]) {
        let metadata = metadata.iter().map(|(name, help)| Metadata {
            kind: 2,
            name: (*name).to_owned(),
            help: (*help).to_owned(),
            ..Metadata::default()
        });
        let message = WriteRequest {
            timeseries: series.iter().cloned().map(Into::into).collect(),
            metadata: metadata.collect(),
        };
        let body = compress(&message.encode_to_vec()).unwrap();
        let (status, text) = self.send(Method::POST, "/api/v1/write?db=prom", body).await;
        assert_eq!(status, 204, "{text:?}");
    }

    /// Returns the answer to remote read.
    pub(super) async fn read(
        &self,
        queries: Vec<Query>,
        accepted: &[ResponseType],
    ) -> (u16, Bytes) {
        let response = self.open(queries, accepted).await;
        let status = response.status().as_u16();
        let body = response.into_body().collect().await.unwrap();
        (status, body.to_bytes())
    }

    /// Returns the answer to remote read without reading it.
    pub(super) async fn open(
        &self,
        queries: Vec<Query>,
        accepted: &[ResponseType],
    ) -> Response<Body> {
        let message = ReadRequest {
            queries,
            accepted_response_types: accepted.iter().map(|kind| i32::from(*kind)).collect(),
        };
        let body = compress(&message.encode_to_vec()).unwrap();
        self.respond(Method::POST, "/api/v1/read", body).await
    }

    pub(super) async fn series(&self, query: Query) -> Vec<TimeSeries> {
        let (status, body) = self.read(vec![query], &[]).await;
        assert_eq!(status, 200, "{body:?}");
        let message = decompress(&body, usize::MAX).unwrap();
        let mut response = ReadResponse::decode(message.as_slice()).unwrap();
        response.results.remove(0).timeseries
    }

    /// Returns the status and the JSON of an answer.
    pub(super) async fn list(&self, path: &str) -> (u16, Value) {
        let path = format!("/api/v1/{path}");
        let (status, body) = self.send(Method::GET, &path, Vec::new()).await;
        (status, serde_json::from_slice(&body).unwrap())
    }
}

/// Returns the data of an answer.
pub(super) async fn data(server: &TestServer, path: &str) -> Value {
    let (status, mut body) = server.list(path).await;
    assert_eq!((status, &body["status"]), (200, &json!("success")), "{path}: {body}");
    body["data"].take()
}

/// Returns a query for a range of times in milliseconds.
pub(super) fn query(range: (i64, i64), matchers: &[(MatcherType, &str, &str)]) -> Query {
    let matchers = matchers.iter().map(|(kind, name, value)| LabelMatcher {
        kind: i32::from(*kind),
        name: (*name).to_owned(),
        value: (*value).to_owned(),
    });
    Query {
        start_timestamp_ms: range.0,
        end_timestamp_ms: range.1,
        matchers: matchers.collect(),
        hints: None,
    }
}

/// Returns the messages of a streamed answer.
pub(super) fn frames(mut stream: &[u8]) -> Vec<ChunkedReadResponse> {
    let mut messages = Vec::new();
    while !stream.is_empty() {
        let length = prost::decode_length_delimiter(&mut stream).unwrap();
        let (checksum, rest) = stream.split_at(4);
        let (message, rest) = rest.split_at(length);
        assert_eq!(checksum, crc32c::crc32c(message).to_be_bytes());
        messages.push(ChunkedReadResponse::decode(message).unwrap());
        stream = rest;
    }
    messages
}
