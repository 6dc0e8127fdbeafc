//! Metrics of backups and restores.

use std::sync::Arc;

use neap_backup::{BackupEngine, BackupMetrics, LastBackup};
use neap_bucket::StoreTime;
use neap_http::{
    MetricKind::{self, Counter, Gauge},
    Metrics,
};

/// Registers the metrics of a process that runs backups. Backups of the cluster are those that the process knows: it
/// reads their register at least every ten minutes, and every minute if there are backups.
pub(crate) fn register(metrics: &Metrics, engine: &Arc<BackupEngine>) {
    type Labels = Vec<(&'static str, &'static str)>;
    type Labelled = fn(&BackupMetrics) -> Vec<(Labels, u64)>;
    let labelled: [(&'static str, &'static str, MetricKind, Labelled); 2] = [
        ("neap_backups", "Backups of the cluster by state.", Gauge, |known| {
            [
                ("in_progress", known.in_progress),
                ("completed", known.completed),
                ("failed", known.failed),
            ]
            .map(|(state, count)| (vec![("state", state)], count))
            .into()
        }),
        (
            "neap_backup_jobs_total",
            "Backups and restores that ended in this process, by outcome.",
            Counter,
            |known| {
                [
                    ("backup", "success", known.backups_succeeded),
                    ("backup", "failure", known.backups_failed),
                    ("restore", "success", known.restores_succeeded),
                    ("restore", "failure", known.restores_failed),
                ]
                .map(|(job, outcome, count)| (vec![("kind", job), ("outcome", outcome)], count))
                .into()
            },
        ),
    ];
    for (name, help, kind, read) in labelled {
        let engine = Arc::clone(engine);
        metrics.collect(name, help, kind, move |samples| {
            for (labels, count) in read(&engine.metrics()) {
                samples.add(&labels, count);
            }
        });
    }
    register_last(metrics, engine);
}

/// Registers the metrics of the newest completed backup, which have no samples without one.
fn register_last(metrics: &Metrics, engine: &Arc<BackupEngine>) {
    type Read = fn(&LastBackup) -> String;
    let shown: [(&'static str, &'static str, Read); 3] = [
        (
            "neap_backup_last_success_timestamp_seconds",
            "Time of the request of the newest completed backup, in seconds since 1970.",
            |last| last.requested.since(StoreTime::from_micros(0)).as_secs_f64().to_string(),
        ),
        (
            "neap_backup_last_duration_seconds",
            "Time from the request of the newest completed backup to its completion.",
            |last| last.duration.as_secs_f64().to_string(),
        ),
        (
            "neap_backup_last_bytes",
            "Bytes of the objects of the newest completed backup.",
            |last| last.bytes.to_string(),
        ),
    ];
    for (name, help, read) in shown {
        let engine = Arc::clone(engine);
        metrics.collect(name, help, Gauge, move |samples| {
            if let Some(last) = engine.metrics().last {
                samples.add(&[], read(&last));
            }
        });
    }
}
