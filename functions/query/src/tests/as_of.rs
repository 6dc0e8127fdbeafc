//! Answers as of earlier times.

use std::{sync::Arc, time::Duration};

use neap_compact::{GarbageCollector, GarbageCollectorSettings};

use super::{DATABASE, QueryTestInstance};

const COUNT: &str = "SELECT count(*) AS n FROM t";

impl QueryTestInstance {
    async fn count_at(&self, as_of: &str) -> String {
        let (status, shown, body) = self.sql_at(COUNT, as_of).await;
        assert_eq!(status, 200, "{body}");
        let shown: u64 = shown.unwrap().parse().unwrap();
        if let Ok(asked) = as_of.parse::<u64>() {
            assert!(shown <= asked);
        }
        body.lines().nth(1).unwrap().to_owned()
    }

    /// Returns the stamp up to which a present answer includes writes.
    async fn stamp(&self) -> String {
        self.sql_at(COUNT, "2030-01-01T00:00:00Z").await.1.unwrap()
    }
}

#[tokio::test]
async fn an_answer_has_the_writes_up_to_the_stamp() {
    let one = QueryTestInstance::with_rows("t v=1i 1").await;
    let first = one.stamp().await;
    one.write("t v=2i 2").await;
    let second = one.stamp().await;
    one.sql("DELETE FROM t WHERE time = '1970-01-01T00:00:01Z'").await;
    one.write("t v=3i 3\nt v=4i 4").await;
    assert_eq!(one.count_at(&first).await, "1");
    assert_eq!(one.count_at(&second).await, "2");
    assert_eq!(one.count_at(&one.stamp().await).await, "3");
    // The writes are 1 ms apart, from 22:13:20.001 on.
    assert_eq!(one.count_at("2023-11-14T22:13:20.002Z").await, "2");
    assert_eq!(one.count_at("2023-11-14T22:13:20.001999Z").await, "1");
    let (status, _, body) = one.sql_at(COUNT, "2023-11-14T22:13:20.002+00:00").await;
    assert_eq!((status, body.as_str()), (200, "n\n2\n"));
}

#[tokio::test]
async fn versions_that_were_flushed_over_are_read_as_they_were() {
    let one = QueryTestInstance::with_rows("t,k=a v=1i 1\nt,k=b v=1i 1").await;
    one.flush().await;
    one.pass(Duration::from_secs(60));
    let first = one.stamp().await;
    one.sql("DELETE FROM t WHERE k = 'a'").await;
    one.write("t,k=c v=1i 1").await;
    one.write("t,k=d v=1i 1").await;
    one.flush().await;
    one.pass(Duration::from_secs(60));
    let second = one.stamp().await;
    one.write("t,k=e v=1i 1").await;
    one.flush().await;
    assert_eq!(one.count_at(&first).await, "2");
    assert_eq!(one.count_at(&second).await, "3");
    assert_eq!(one.count_at(&one.stamp().await).await, "4");
}

#[tokio::test]
async fn retention_counts_back_from_the_time_that_is_asked_for() {
    let one =
        QueryTestInstance::with_rows("t v=1i 1699999990000000000\nt v=1i 1700000000000000000")
            .await;
    one.flush().await;
    let retention = Some(Duration::from_secs(60));
    one.catalog.set_retention(DATABASE, retention).await.unwrap();
    one.pass(Duration::from_secs(45));
    assert_eq!(one.count_at("2030-01-01T00:00:00Z").await, "1");
    assert_eq!(one.count_at("2023-11-14T22:13:40Z").await, "2");
    one.pass(Duration::from_secs(30));
    assert_eq!(one.count_at("2030-01-01T00:00:00Z").await, "0");
    assert_eq!(one.count_at("2023-11-14T22:14:15Z").await, "1");
}

#[tokio::test]
async fn the_error_for_a_time_that_is_gone_names_the_oldest_readable_one() {
    let one = QueryTestInstance::with_rows("t v=1i 1").await;
    one.flush().await;
    let first = one.stamp().await;
    one.pass(Duration::from_secs(60));
    one.write("t v=2i 2").await;
    one.flush().await;
    assert_eq!(one.merge().await, 1);
    assert_eq!(one.count_at(&first).await, "1");
    let collector = GarbageCollector::new(
        one.bucket.clone(),
        Arc::clone(&one.catalog),
        one.manifests.clone(),
        GarbageCollectorSettings::default(),
    );
    one.pass(Duration::from_secs(3_599));
    collector.collect(DATABASE).await.unwrap();
    assert_eq!(one.count_at(&first).await, "1");
    one.pass(Duration::from_secs(2));
    collector.collect(DATABASE).await.unwrap();
    let (status, _, body) = one.sql_at(COUNT, &first).await;
    assert_eq!(status, 410, "{body}");
    let Some((_, oldest)) = body.split_once("the oldest readable state is that of ") else {
        panic!("{body}");
    };
    assert_eq!(one.count_at(oldest).await, "2");
}

#[tokio::test]
async fn a_malformed_as_of_time_is_rejected() {
    let one = QueryTestInstance::with_rows("t v=1i 1").await;
    let (status, _, body) = one.sql_at(COUNT, "yesterday").await;
    assert_eq!(status, 400);
    assert_eq!(
        body,
        "header x-neap-as-of is neither a time such as 2026-01-31T12:00:00Z nor a stamp"
    );
}
