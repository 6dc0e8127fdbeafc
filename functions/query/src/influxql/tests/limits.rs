//! Limits of a request, and its behaviour when the client disconnects.

use std::{sync::Arc, time::Duration};

use axum::body::Body;
use futures::{future::join, poll};
use http::{Request, header};
use neap_bucket::{CallHook, CallPhase, MemoryStore, Operation, SteppedClock};
use tokio::sync::Semaphore;

use super::{form, home};
use crate::{
    QuerySettings,
    tests::instance::{QueryTestInstance, TestDeleter, hooked_store},
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
        let body = one.v1(&[("db", "db"), ("q", &vec![statement; 100].join(";"))]).await;
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
    let (_, body) = one.change("SHOW DATABASES; CREATE DATABASE x; SHOW DATABASES").await;
    assert_eq!(body.matches(r#"["x"]"#).count(), 1, "{body}");
    let (_, body) = one
        .change("SHOW RETENTION POLICIES; ALTER RETENTION POLICY autogen ON db DURATION 1d; SHOW RETENTION POLICIES")
        .await;
    assert_eq!(body.matches(r#"["autogen","24h0m0s""#).count(), 1, "{body}");
}

#[tokio::test]
async fn lists_of_databases_wait_for_a_permit_until_the_query_timeout() {
    let told = async |timeout, passed| {
        let clock = Arc::new(SteppedClock::self_advancing());
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

#[tokio::test]
async fn a_change_completes_after_its_client_disconnects() {
    let clock = Arc::new(SteppedClock::self_advancing());
    let memory = Arc::new(MemoryStore::new(Arc::clone(&clock) as _));
    let permits = Arc::new(Semaphore::new(100));
    let put_permits = Arc::clone(&permits);
    let hook: CallHook = Arc::new(move |call| {
        let is_put = call.operation == Operation::Put && call.phase == CallPhase::Before;
        let permits = Arc::clone(&put_permits);
        Box::pin(async move {
            if is_put {
                permits.acquire().await.unwrap().forget();
            }
        })
    });
    let store = Arc::new(hooked_store(memory, &clock, hook));
    let settings = QuerySettings::default();
    let one = QueryTestInstance::over(store, clock, settings, TestDeleter::Writer).await;
    permits.forget_permits(100);
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
    permits.add_permits(100);
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    let found = one.catalog.database_by_name("new", Duration::ZERO).await;
    assert!(found.unwrap().is_some());
}
