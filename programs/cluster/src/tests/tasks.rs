//! Tests of the admission of tasks by a worker with the tables of a process.

use std::{sync::Arc, time::Duration};

use datafusion::{execution::TaskContext, physical_plan::metrics::ExecutionPlanMetricsSet};
use datafusion_distributed::{MaybeEncoded, SetPlanRequest, TaskKey, Worker};
use futures::{StreamExt, stream};
use http::{HeaderMap, HeaderName, HeaderValue};
use neap_distributed::{TICKET_HEADER, TaskCounters, WorkerSettings, worker};
use neap_manifest::{ManifestSettings, ManifestStore, SnapshotReader, SnapshotSettings};
use neap_query::{QueryEngine, QuerySettings};
use neap_wal::{TailReader, TailReaderSettings};
use tokio_util::sync::CancellationToken;
use url::Url;
use uuid::Uuid;

use super::fixture::{ClusterFixture, version};
use crate::ClientSecurity;

/// Serves a worker with the tables of a process, which executes up to 2 tasks.
async fn serve(cluster: &ClusterFixture) -> (Url, TaskCounters) {
    let rules = cluster.catalog.rules().await.unwrap();
    let bucket = cluster.bucket.clone();
    let manifests = ManifestStore::new(bucket.clone(), &rules, ManifestSettings::default());
    let tail = TailReader::new(bucket.clone(), TailReaderSettings::default());
    let snapshots = SnapshotReader::new(
        manifests.clone(),
        Arc::clone(&cluster.catalog),
        tail.clone(),
        rules,
        SnapshotSettings::default(),
    );
    let engine = QueryEngine::new(
        bucket,
        Arc::clone(&cluster.catalog),
        manifests,
        Arc::new(snapshots),
        QuerySettings::default(),
    );
    let settings = WorkerSettings {
        version: "v1".to_owned(),
        max_tasks: 2,
        tickets: Some(cluster.tickets.verifier()),
        channels: Arc::new(cluster.channels(ClientSecurity::default())),
        start_timeout: Duration::from_secs(60),
    };
    let environment = engine.unwrap().scan_environment(tail);
    let (worker, counters) = worker(environment, settings, cluster.world.clone());
    (cluster.serve_worker(worker, None).await, counters)
}

/// Returns the header of a ticket for one task.
fn task_header(cluster: &ClusterFixture, task: &str) -> (HeaderName, HeaderValue) {
    let issuer = cluster.tickets.issuer("test");
    let (ticket, _) = cluster.ticket();
    let header = issuer.sign_task(&ticket, task).unwrap();
    (HeaderName::from_static(TICKET_HEADER), header)
}

/// Sends a task whose plan is damaged, and returns the error.
async fn send(
    cluster: &ClusterFixture,
    url: &Url,
    header: Option<(HeaderName, HeaderValue)>,
) -> String {
    let channels = cluster.channels(ClientSecurity::default());
    let mut client = channels.client(url, None).await.unwrap();
    let request = SetPlanRequest {
        task_key: TaskKey {
            query_id: Uuid::from_u128(cluster.world.entropy.next_u128()),
            stage_id: 1,
            task_number: 0,
        },
        task_count: 1,
        plan: MaybeEncoded::Encoded(b"damaged".to_vec()),
        work_unit_feed_declarations: Vec::new(),
        target_worker_url: url.clone(),
        query_start_time_ns: 0,
    };
    let headers: HeaderMap = header.into_iter().collect();
    let messages = stream::pending().boxed();
    let metrics = ExecutionPlanMetricsSet::new();
    let context = Arc::new(TaskContext::default());
    let sent = client.coordinator_channel(headers, request, messages, metrics, &context);
    match sent.await {
        Ok(_) => String::new(),
        Err(error) => error.to_string(),
    }
}

#[tokio::test]
async fn a_task_needs_a_ticket_of_its_own_that_was_not_used() {
    let cluster = ClusterFixture::new().await;
    let (url, counters) = serve(&cluster).await;
    let error = send(&cluster, &url, None).await;
    assert!(error.contains("a valid ticket is required"), "{error}");
    assert_eq!((counters.started(), counters.refused()), (0, 0));
    let (_, of_no_task) = cluster.ticket();
    let error = send(&cluster, &url, Some(of_no_task)).await;
    assert!(error.contains("the ticket names no task"), "{error}");
    let first = task_header(&cluster, "1/0");
    let error = send(&cluster, &url, Some(first.clone())).await;
    assert_eq!((counters.started(), counters.refused()), (1, 1), "{error}");
    let error = send(&cluster, &url, Some(first)).await;
    assert!(error.contains("already used"), "{error}");
    assert_eq!((counters.started(), counters.refused()), (1, 2));
}

#[tokio::test]
async fn a_worker_that_stops_takes_no_tasks_and_answers_requests_for_those_that_it_has() {
    let cluster = ClusterFixture::new().await;
    let stop = CancellationToken::new();
    let worker = Worker::default().with_version("v1".to_owned());
    let grace = Duration::from_secs(600);
    let url = cluster.serve_until(worker, None, stop.clone(), grace).await;
    let (ticket, header) = cluster.ticket();
    let running = cluster.tickets.verifier().watch(&ticket);
    stop.cancel();
    let error = send(&cluster, &url, Some(task_header(&cluster, "1/0"))).await;
    assert!(error.contains("the worker stops"), "{error}");
    // A connection of its own, as that of another worker which reads the rows of the task.
    let channels = cluster.channels(ClientSecurity::default());
    let answer = version(&channels, &url, Some(header.clone())).await;
    assert_eq!(answer.as_deref(), Ok("v1"));
    drop(running);
    let is_open = async || {
        let channels = cluster.channels(ClientSecurity::default());
        version(&channels, &url, Some(header.clone())).await.is_ok()
    };
    while is_open().await {
        tokio::task::yield_now().await;
    }
}
