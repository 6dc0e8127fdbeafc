//! Limits of a request, and its behaviour when the client disconnects.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use axum::body::Body;
use bytes::Bytes;
use futures::{future::join, poll};
use http::{Request, header};
use neap_bucket::{
    Get, GetOptions, ListPage, ListRequest, MemoryStore, Operation, Put, PutMode, Store,
    StoreError, StoreResponse,
};
use tokio::sync::Semaphore;

use super::{form, home};
use crate::{
    QuerySettings,
    tests::instance::{QueryTestInstance, SelfAdvancingClock, TestDeleter},
};

#[tokio::test]
async fn statements_of_a_request_ask_for_the_databases_once() {
    let one = home().await;
    for statement in [
        "SHOW DATABASES",
        "SHOW RETENTION POLICIES ON db",
        "SHOW MEASUREMENTS ON nowhere",
    ] {
        let before = one.counting.counts();
        let body = one
            .v1(&[("db", "db"), ("q", &vec![statement; 100].join(";"))])
            .await;
        assert_eq!(body.matches("statement_id").count(), 100);
        let gets = (one.counting.counts() - before).requests(Operation::Get);
        assert!(gets <= 2, "{statement}: {gets}");
    }
    let many = vec!["SHOW DATABASES"; 101].join(";");
    insta::assert_snapshot!(one.v1(&[("q", &many)]).await, @r#"{"results":[{"statement_id":0,"error":"more than 100 statements in one request"}]}"#);
}

#[tokio::test]
async fn a_request_sees_what_it_has_changed() {
    let one = home().await;
    let (_, body) = one
        .change("SHOW DATABASES; CREATE DATABASE x; SHOW DATABASES")
        .await;
    assert_eq!(body.matches(r#"["x"]"#).count(), 1, "{body}");
    let (_, body) = one
        .change("SHOW RETENTION POLICIES; ALTER RETENTION POLICY autogen ON db DURATION 1d; SHOW RETENTION POLICIES")
        .await;
    assert_eq!(body.matches(r#"["autogen","24h0m0s""#).count(), 1, "{body}");
}

#[tokio::test]
async fn lists_of_databases_wait_for_a_permit_until_the_query_timeout() {
    let told = async |timeout, passed| {
        let clock = Arc::new(SelfAdvancingClock::default());
        let settings = QuerySettings {
            concurrent_queries: 0,
            timeout: Duration::from_secs(timeout),
            ..QuerySettings::default()
        };
        let store = Arc::new(MemoryStore::new(Arc::clone(&clock) as _));
        let one = QueryTestInstance::with(store, clock, settings).await;
        let asked = one.get("/query?q=SHOW%20DATABASES");
        let later = async { one.pass(Duration::from_secs(passed)) };
        let ((status, body), ()) = join(asked, later).await;
        format!("{status} {}", body.trim_end())
    };
    insta::assert_snapshot!(told(100, 40).await, @r#"503 {"error":"query error: too many queries are waiting"}"#);
    insta::assert_snapshot!(told(5, 7).await, @r#"200 {"results":[{"statement_id":0,"error":"query error: timed out after 5 s"}]}"#);
}

/// A store whose conditional writes wait for permits.
#[derive(Debug)]
struct DelayedPutStore {
    inner: Arc<MemoryStore>,
    may_go_on: Semaphore,
}

#[async_trait]
impl Store for DelayedPutStore {
    async fn get(&self, key: &str, options: GetOptions) -> Result<StoreResponse<Get>, StoreError> {
        self.inner.get(key, options).await
    }

    async fn put(
        &self,
        key: &str,
        body: Bytes,
        mode: PutMode,
    ) -> Result<StoreResponse<Put>, StoreError> {
        self.may_go_on.acquire().await.unwrap().forget();
        self.inner.put(key, body, mode).await
    }

    async fn list(&self, request: ListRequest<'_>) -> Result<StoreResponse<ListPage>, StoreError> {
        self.inner.list(request).await
    }

    async fn delete(&self, keys: &[String]) -> Result<StoreResponse<()>, StoreError> {
        self.inner.delete(keys).await
    }
}

#[tokio::test]
async fn a_change_completes_after_its_client_disconnects() {
    let clock = Arc::new(SelfAdvancingClock::default());
    let store = Arc::new(DelayedPutStore {
        inner: Arc::new(MemoryStore::new(Arc::clone(&clock) as _)),
        may_go_on: Semaphore::new(100),
    });
    let settings = QuerySettings::default();
    let one = QueryTestInstance::over(
        Arc::clone(&store) as _,
        clock,
        settings,
        TestDeleter::Writer,
    )
    .await;
    store.may_go_on.forget_permits(100);
    let request = Request::post("/query")
        .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
        .body(Body::from(form(&[("q", "CREATE DATABASE new")])));
    {
        let mut sent = Box::pin(one.send(request.unwrap()));
        for _ in 0..100 {
            assert!(poll!(&mut sent).is_pending());
            tokio::task::yield_now().await;
        }
    }
    store.may_go_on.add_permits(100);
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    let found = one.catalog.database_by_name("new", Duration::ZERO).await;
    assert!(found.unwrap().is_some());
}
