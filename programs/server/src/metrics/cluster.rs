//! Metrics of distributed queries.

use std::sync::Arc;

use neap_distributed::TaskCounters;
use neap_http::{MetricKind::Gauge, Metrics};
use neap_query::QueryEngine;

use crate::cluster::ClusterMember;

/// Registers the metrics of a process that may distribute queries.
pub(crate) fn register(metrics: &Metrics, engine: &Arc<QueryEngine>, member: &ClusterMember) {
    let queries = metrics.read_from(Arc::clone(engine));
    queries.counter("neap_distributed_queries_total", "Queries that ran on workers.", |engine| {
        engine.distribution_stats().queries
    });
    queries.counter(
        "neap_distributed_retries_total",
        "Queries that started again because a worker failed.",
        |engine| engine.distribution_stats().retries,
    );
    queries.counter(
        "neap_distributed_worker_failures_total",
        "Failures of workers during queries of this process.",
        |engine| engine.distribution_stats().worker_failures,
    );
    let directory = Arc::clone(&member.directory);
    metrics.collect(
        "neap_distributed_workers",
        "Workers of the cluster by state, when a query last needed them.",
        Gauge,
        move |samples| {
            let counts = directory.counts();
            for (state, count) in [
                ("usable", counts.usable),
                ("failed", counts.failed),
                ("other_version", counts.other_version),
            ] {
                samples.add(&[("state", state)], count);
            }
        },
    );
    metrics.read_from(Arc::clone(&member.port_stats)).counter(
        "neap_distributed_requests_refused_total",
        "Requests to the worker port of this process without a valid ticket.",
        |port| port.refused_tickets(),
    );
}

/// Registers the metrics of the worker of this process.
pub(crate) fn register_tasks(metrics: &Metrics, tasks: &TaskCounters) {
    let accepted = metrics.read_from(tasks.clone());
    accepted.counter(
        "neap_distributed_tasks_total",
        "Tasks of other processes that this process accepted.",
        TaskCounters::started,
    );
    accepted.counter(
        "neap_distributed_tasks_refused_total",
        "Tasks of other processes that this process refused.",
        TaskCounters::refused,
    );
}
