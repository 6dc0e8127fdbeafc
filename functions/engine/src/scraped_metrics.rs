//! The metrics of the engine that are computed when they are scraped.

use std::sync::{Arc, Weak};

use neap_http::{MetricKind, Metrics};

use crate::engine::Engine;

impl Engine {
    /// Registers metrics that are computed when they are scraped.
    pub(crate) fn register_scraped_metrics(self: &Arc<Self>, metrics: &Metrics) {
        let engine = Arc::downgrade(self);
        let pending = Weak::clone(&engine);
        metrics.collect(
            "neap_plugin_pending_segments",
            "Segments queued for a trigger.",
            MetricKind::Gauge,
            move |samples| {
                for backlog in pending.upgrade().iter().flat_map(|engine| engine.backlogs()) {
                    let labels = [("db", &*backlog.database), ("trigger", &*backlog.trigger)];
                    samples.add(&labels, backlog.pending);
                }
            },
        );
        let lag = Weak::clone(&engine);
        metrics.collect(
            "neap_plugin_lag_seconds",
            "Age in seconds of the oldest segment queued for a trigger.",
            MetricKind::Gauge,
            move |samples| {
                for backlog in lag.upgrade().iter().flat_map(|engine| engine.backlogs()) {
                    let labels = [("db", &*backlog.database), ("trigger", &*backlog.trigger)];
                    samples.add(&labels, backlog.lag.as_secs_f64());
                }
            },
        );
        metrics.collect(
            "neap_plugin_log_lines_dropped_total",
            "Log lines of plugins dropped because they could not be saved in time.",
            MetricKind::Counter,
            move |samples| {
                if let Some(engine) = engine.upgrade() {
                    samples.add(&[], engine.dropped_log_lines());
                }
            },
        );
    }
}
