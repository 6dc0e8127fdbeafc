//! Metrics of distributed queries.

use std::sync::Arc;

use neap_distributed::TaskCounters;
use neap_http::{
    MetricKind::{Counter, Gauge},
    Metrics,
};
use neap_query::{DistributionStats, QueryEngine};

use super::{MetricDefinition, collect, number};
use crate::cluster::ClusterMember;

/// Registers the metrics of a process that may distribute queries.
pub(crate) fn register(metrics: &Metrics, engine: &Arc<QueryEngine>, member: &ClusterMember) {
    let shown: [MetricDefinition<DistributionStats>; 3] = [
        (
            "neap_distributed_queries_total",
            "Queries that ran on workers.",
            Counter,
            |stats| number(stats.queries),
        ),
        (
            "neap_distributed_retries_total",
            "Queries that started again because a worker failed.",
            Counter,
            |stats| number(stats.retries),
        ),
        (
            "neap_distributed_worker_failures_total",
            "Failures of workers during queries of this process.",
            Counter,
            |stats| number(stats.worker_failures),
        ),
    ];
    collect(metrics, engine, |engine| engine.distribution_stats(), shown);
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
                samples.add(&[("state", state)], number(count));
            }
        },
    );
    let refused = Arc::clone(&member.port_stats);
    metrics.collect(
        "neap_distributed_requests_refused_total",
        "Requests to the worker port of this process without a valid ticket.",
        Counter,
        move |samples| samples.add(&[], number(refused.refused_tickets())),
    );
}

/// Registers the metrics of the worker of this process.
pub(crate) fn register_tasks(metrics: &Metrics, tasks: &TaskCounters) {
    let shown: [MetricDefinition<TaskCounters>; 2] = [
        (
            "neap_distributed_tasks_total",
            "Tasks of other processes that this process accepted.",
            Counter,
            |tasks| number(tasks.started()),
        ),
        (
            "neap_distributed_tasks_refused_total",
            "Tasks of other processes that this process refused.",
            Counter,
            |tasks| number(tasks.refused()),
        ),
    ];
    collect(
        metrics,
        &Arc::new(tasks.clone()),
        TaskCounters::clone,
        shown,
    );
}
