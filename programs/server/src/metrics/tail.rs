//! Metrics of the unflushed tail and of the age of query snapshots.

use std::sync::Arc;

use neap_http::{MetricKind::Gauge, Metrics};

use super::MetricSources;

/// Registers the metrics of tails and snapshots.
pub(crate) fn register(metrics: &Metrics, observed: &MetricSources) {
    let tail = metrics.read_from(Arc::clone(&observed.backlog));
    tail.gauge(
        "neap_tail_bytes",
        "Bytes of segments that this process has put and that are not flushed.",
        |backlog| backlog.bytes(),
    );
    tail.gauge(
        "neap_tail_segments",
        "Segments that this process has put and that are not flushed.",
        |backlog| backlog.segments().iter().map(|(_, segments)| segments).sum::<usize>(),
    );
    tail.gauge(
        "neap_tail_oldest_seconds",
        "Age of the oldest segment that this process has put and that is not flushed; 0 if there is none.",
        |backlog| backlog.oldest().unwrap_or_default().as_secs_f64(),
    );
    let blocked = Arc::clone(&observed.blocked);
    let help = "Databases whose last flush by this process failed, by reason.";
    metrics.collect("neap_flush_blocked", help, Gauge, move |samples| {
        for (reason, databases) in blocked.counts() {
            samples.add(&[("reason", reason.as_str())], databases);
        }
    });
    metrics.read_from(Arc::clone(&observed.snapshots)).gauge(
        "neap_snapshot_bytes",
        "Bytes of tails and manifests kept between queries.",
        |snapshots| snapshots.retained_bytes(),
    );
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
