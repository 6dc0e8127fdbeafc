//! Tests of the adapter on a real server that answers, fails, or loses replies.

use std::{sync::Arc, time::Duration};

use neap_s3_server::{Faults, Options, S3Server};

use super::*;
use crate::s3_fixture::{s3_builder, s3_store};

async fn server() -> S3Server {
    S3Server::start(Options::default()).await.unwrap()
}

fn adapter(server: &S3Server, bucket: &str, secret: &str) -> ObjectStoreAdapter {
    let builder = s3_builder(server).with_bucket_name(bucket).with_secret_access_key(secret);
    let options = RemoteOptions {
        max_retries: 1,
        ..RemoteOptions::default()
    };
    s3_store(builder, options)
}

fn good(server: &S3Server) -> ObjectStoreAdapter {
    adapter(server, server.bucket(), S3Server::SECRET_KEY)
}

async fn put(store: &ObjectStoreAdapter, mode: PutMode) -> Result<Put, StoreError> {
    let answer = store.put("catalog", Bytes::from_static(b"body"), mode).await?;
    Ok(answer.value)
}

async fn exists(store: &ObjectStoreAdapter) -> bool {
    let answer = store.get("catalog", GetOptions::default()).await.unwrap();
    matches!(answer.value, Get::Found(_))
}

#[tokio::test]
async fn a_wrong_key_and_a_missing_bucket_are_rejected() {
    let server = server().await;
    for store in [
        adapter(&server, server.bucket(), "wrong"),
        adapter(&server, "no-such-bucket", S3Server::SECRET_KEY),
    ] {
        let list = ListRequest {
            prefix: "tail/",
            start_after: None,
            page_token: None,
        };
        let answers = [
            put(&store, PutMode::Overwrite).await.err(),
            store.list(list).await.err(),
        ];
        for error in answers {
            assert!(
                matches!(error, Some(StoreError::Rejected { .. })),
                "{error:?}"
            );
        }
    }
}

#[tokio::test]
async fn a_busy_store_is_unavailable_and_nothing_happened() {
    let server = server().await;
    let store = good(&server);
    server.set_faults(Faults {
        unavailable: 1.0,
        ..Faults::default()
    });
    let outcome = put(&store, PutMode::Create).await;
    assert!(
        matches!(outcome, Err(StoreError::Unavailable { .. })),
        "{outcome:?}"
    );
    server.set_faults(Faults::default());
    assert!(!exists(&store).await);
}

#[tokio::test]
async fn a_conditional_put_whose_reply_is_lost_is_unavailable_although_it_happened() {
    let server = server().await;
    let store = good(&server);
    server.set_faults(Faults {
        lost_replies: 1.0,
        ..Faults::default()
    });
    let outcome = put(&store, PutMode::Create).await;
    // The client may have retried it, and conflicted with its own first attempt.
    assert!(
        matches!(
            outcome,
            Err(StoreError::Unavailable { .. }) | Ok(Put::Refused)
        ),
        "{outcome:?}"
    );
    server.set_faults(Faults::default());
    assert!(exists(&store).await);
}

#[tokio::test]
async fn a_put_that_failed_after_its_effect_is_refused_on_the_retry() {
    let server = server().await;
    let store = good(&server);
    server.set_faults(Faults {
        failed_replies: 1.0,
        ..Faults::default()
    });
    assert_eq!(put(&store, PutMode::Create).await.unwrap(), Put::Refused);
    assert!(exists(&store).await);
}

#[tokio::test]
async fn an_unreachable_store_is_unavailable() {
    let server = server().await;
    let store = good(&server);
    drop(server);
    let error = store.get("catalog", GetOptions::default()).await.unwrap_err();
    assert!(matches!(error, StoreError::Unavailable { .. }), "{error:?}");
}

#[tokio::test]
async fn each_of_many_concurrent_calls_has_the_date_of_its_own_answer() {
    let server = server().await;
    let store = Arc::new(good(&server));
    server.set_faults(Faults {
        date_skew: Duration::from_secs(1000),
        ..Faults::default()
    });
    let gets = (0..16).map(|_| store.get("catalog", GetOptions::default()));
    let answers = futures::future::join_all(gets).await;
    let dates: std::collections::BTreeSet<_> =
        answers.into_iter().map(|answer| answer.unwrap().date.unwrap()).collect();
    assert!(dates.len() > 8, "{dates:?}");
}

#[tokio::test]
async fn a_deletion_of_nothing_and_of_much_has_a_date() {
    let server = server().await;
    let store = good(&server);
    let keys: Vec<_> = (0..1000).map(|n| format!("tail/1/{n}")).collect();
    let answer = store.delete(&keys).await.unwrap();
    assert!(answer.date.is_some());
}
