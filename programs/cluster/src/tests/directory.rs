//! Tests of the workers that a coordinator finds.

use std::time::Duration;

use neap_bucket::{Clock, SystemClock};
use neap_catalog::{NodeRecord, NodeState, QueryGroup};
use neap_distributed::{WorkerAddress, WorkerSet};
use url::Url;

use super::fixture::ClusterFixture;
use crate::WorkerCounts;

fn names(workers: &[WorkerAddress]) -> Vec<&str> {
    workers.iter().map(|worker| worker.name.as_str()).collect()
}

#[tokio::test]
async fn workers_of_other_versions_and_those_that_do_not_answer_are_left_out() {
    let cluster = ClusterFixture::new().await;
    let same = cluster.serve("v1", None).await;
    let other = cluster.serve("v2", None).await;
    // Nothing listens there.
    let closed: Url = "http://127.0.0.1:1".parse().unwrap();
    let not_allowed: Url = "http://192.0.2.1:1".parse().unwrap();
    for (number, url) in [&same, &other, &closed, &not_allowed].into_iter().enumerate() {
        cluster.record(number as u128, url).await;
    }
    let directory = cluster.directory();
    assert_eq!(directory.counts(), WorkerCounts::default());
    assert_eq!(names(&directory.workers().await), ["node-0"]);
    let counts = WorkerCounts { usable: 1, failed: 2, other_version: 1 };
    assert_eq!(directory.counts(), counts);
}

#[tokio::test]
async fn the_list_is_read_at_most_every_15_seconds_and_only_for_queries() {
    let cluster = ClusterFixture::new().await;
    let mut records = Vec::new();
    for number in 0..3 {
        let url = cluster.serve("v1", None).await;
        records.push(cluster.record(number, &url).await);
    }
    let directory = cluster.directory();
    cluster.requests();
    assert_eq!(directory.workers().await.len(), 3);
    assert_eq!(cluster.requests(), "3 get node, 1 list node");
    assert_eq!(directory.workers().await.len(), 3);
    cluster.clock.advance(Duration::from_secs(14));
    assert_eq!(directory.workers().await.len(), 3);
    assert_eq!(cluster.requests(), "nothing");
    cluster.clock.advance(Duration::from_secs(1));
    let stopped = NodeRecord {
        state: NodeState::Stopped,
        worker: None,
        ..records[0].clone()
    };
    stopped.put(&cluster.bucket).await.unwrap();
    cluster.requests();
    let workers = directory.workers().await;
    let mut names = names(&workers);
    names.sort_unstable();
    assert_eq!(names, ["node-1", "node-2"]);
    assert_eq!(cluster.requests(), "1 get node, 1 list node");
    // The secret is confirmed every 30 s.
    cluster.clock.advance(Duration::from_secs(15));
    assert_eq!(directory.workers().await.len(), 2);
    assert_eq!(cluster.requests(), "1 get root_catalog, 1 list node");
}

#[tokio::test]
async fn a_worker_that_failed_is_left_out_for_30_seconds() {
    let cluster = ClusterFixture::new().await;
    for number in 0..2 {
        let url = cluster.serve("v1", None).await;
        cluster.record(number, &url).await;
    }
    let directory = cluster.directory();
    let workers = directory.workers().await;
    assert_eq!(workers.len(), 2);
    directory.record_failure(&workers[0].url);
    let rest = [workers[1].clone()];
    assert_eq!(directory.workers().await, rest);
    cluster.clock.advance(Duration::from_secs(29));
    assert_eq!(directory.workers().await, rest);
    assert_eq!(directory.counts().failed, 1);
    cluster.clock.advance(Duration::from_secs(1));
    // It is asked again beside the query.
    while directory.workers().await != workers {
        SystemClock::new().sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn without_a_worker_port_a_cluster_has_no_secret_and_is_not_listed() {
    let cluster = ClusterFixture::without_secret().await;
    let url: Url = "http://127.0.0.1:1".parse().unwrap();
    cluster.record(0, &url).await;
    let directory = cluster.directory();
    cluster.requests();
    assert_eq!(directory.workers().await, []);
    assert_eq!(cluster.requests(), "nothing");
}

#[tokio::test]
async fn workers_outside_of_the_query_groups_of_the_coordinator_are_left_out() {
    let cluster = ClusterFixture::new().await;
    for number in 0..3 {
        let url = cluster.serve("v1", None).await;
        cluster.record(number, &url).await;
    }
    let group = QueryGroup {
        name: "near".to_owned(),
        nodes: ["test", "node-0", "node-2"].map(str::to_owned).into(),
        replication_factor: 1,
    };
    let id = cluster.catalog.create_query_group(group).await.unwrap();
    let directory = cluster.directory();
    cluster.requests();
    let workers = directory.workers().await;
    let mut found = names(&workers);
    found.sort_unstable();
    assert_eq!(found, ["node-0", "node-2"]);
    assert_eq!(cluster.requests(), "3 get node, 1 list node");
    cluster.catalog.delete_query_group(id).await.unwrap();
    cluster.clock.advance(Duration::from_secs(15));
    assert_eq!(directory.workers().await.len(), 3);
}
