//! Metrics of the unflushed tail and of the age of query snapshots.

use std::{sync::Arc, time::Duration};

use neap_http::MetricKind::Gauge;
use neap_http::Metrics;
use neap_manifest::SnapshotReader;

use super::{MetricDefinition, MetricSources, collect, number};
use crate::backlog::FlushBacklog;

/// A sample of this process's backlog.
struct BacklogSample {
    bytes: u64,
    segments: usize,
    oldest: Duration,
}

impl BacklogSample {
    fn from_backlog(backlog: &FlushBacklog) -> Self {
        let segments = backlog.segments();
        Self {
            bytes: backlog.bytes(),
            segments: segments.iter().map(|(_, segments)| segments).sum(),
            oldest: backlog.oldest().unwrap_or_default(),
        }
    }
}

/// Registers the metrics of tails and snapshots.
pub(crate) fn register(metrics: &Metrics, observed: &MetricSources) {
    let tail: [MetricDefinition<BacklogSample>; 3] = [
        (
            "neap_tail_bytes",
            "Bytes of segments that this process has put and that are not flushed.",
            Gauge,
            |tail| number(tail.bytes),
        ),
        (
            "neap_tail_segments",
            "Segments that this process has put and that are not flushed.",
            Gauge,
            |tail| number(tail.segments),
        ),
        (
            "neap_tail_oldest_seconds",
            "Age of the oldest segment that this process has put and that is not flushed; 0 if there is none.",
            Gauge,
            |tail| tail.oldest.as_secs_f64(),
        ),
    ];
    collect(
        metrics,
        &observed.backlog,
        BacklogSample::from_backlog,
        tail,
    );
    let blocked = Arc::clone(&observed.blocked);
    let help = "Databases whose last flush by this process failed, by reason.";
    metrics.collect("neap_flush_blocked", help, Gauge, move |samples| {
        for (reason, databases) in blocked.counts() {
            samples.add(&[("reason", reason.as_str())], databases);
        }
    });
    let bytes: [MetricDefinition<usize>; 1] = [(
        "neap_snapshot_bytes",
        "Bytes of tails and manifests kept between queries.",
        Gauge,
        |bytes| number(*bytes),
    )];
    let read = |snapshots: &SnapshotReader| snapshots.retained_bytes();
    collect(metrics, &observed.snapshots, read, bytes);
    let snapshots = Arc::clone(&observed.snapshots);
    let help = "Age of the database snapshots retained for queries: the newest and the oldest.";
    metrics.collect("neap_snapshot_age_seconds", help, Gauge, move |samples| {
        let ages = snapshots.ages();
        let extremes = [("newest", ages.iter().min()), ("oldest", ages.iter().max())];
        for (which, age) in extremes {
            if let Some(age) = age {
                samples.add(&[("which", which)], age.as_secs_f64());
            }
        }
    });
}
