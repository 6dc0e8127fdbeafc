//! The metrics of the engine.

use std::time::Duration;

use neap_http::{CounterFamily, HistogramFamily, Metrics};

use crate::{PluginCallError, RunError};

/// Upper bounds of the histogram buckets for runs, in seconds: from a few lines of Python to the time limit of a run.
const RUN_BUCKETS: &[f64] = &[
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0,
];

/// The counters of the engine.
#[derive(Clone, Debug)]
pub(crate) struct EngineMetrics {
    runs: CounterFamily,
    failures: CounterFamily,
    durations: HistogramFamily,
    loops: CounterFamily,
    lost: CounterFamily,
    ticks_skipped: CounterFamily,
    unwritten: CounterFamily,
}

impl EngineMetrics {
    pub(crate) fn new(metrics: &Metrics) -> Self {
        const TRIGGER: &[&str] = &["db", "trigger"];
        Self {
            runs: metrics.counter("neap_plugin_runs_total", "Runs of plugins.", TRIGGER),
            failures: metrics.counter(
                "neap_plugin_failures_total",
                "Runs of plugins that failed.",
                &["db", "trigger", "reason"],
            ),
            durations: metrics.histogram(
                "neap_plugin_duration_seconds",
                "Duration of plugin runs in seconds, including failed runs.",
                TRIGGER,
                RUN_BUCKETS,
            ),
            loops: metrics.counter(
                "neap_plugin_loops_total",
                "Segments not delivered to a trigger because too many plugins in a row led to them.",
                TRIGGER,
            ),
            lost: metrics.counter(
                "neap_plugin_lost_segments_total",
                "Segments never delivered to a trigger: deleted, damaged, or too old to retry.",
                TRIGGER,
            ),
            ticks_skipped: metrics.counter(
                "neap_plugin_ticks_skipped_total",
                "Scheduled ticks skipped because the previous run was still active or the tick was too late.",
                TRIGGER,
            ),
            unwritten: metrics.counter(
                "neap_plugin_unwritten_total",
                "Plugin runs whose queued lines could not be written.",
                TRIGGER,
            ),
        }
    }

    pub(crate) fn ran(
        &self,
        (database, trigger): (&str, &str),
        took: Duration,
        failure: Option<&PluginCallError>,
    ) {
        let labels = [database, trigger];
        self.runs.add(&labels, 1);
        self.durations.observe(&labels, took.as_secs_f64());
        if let Some(failure) = failure {
            self.failures.add(&[database, trigger, reason(failure)], 1);
        }
    }

    pub(crate) fn looped(&self, (database, trigger): (&str, &str)) {
        self.loops.add(&[database, trigger], 1);
    }

    pub(crate) fn lost(&self, (database, trigger): (&str, &str)) {
        self.lost.add(&[database, trigger], 1);
    }

    pub(crate) fn tick_skipped(&self, (database, trigger): (&str, &str)) {
        self.ticks_skipped.add(&[database, trigger], 1);
    }

    pub(crate) fn unwritten(&self, (database, trigger): (&str, &str)) {
        self.unwritten.add(&[database, trigger], 1);
    }
}

/// Returns the value of the label `reason`.
fn reason(failure: &PluginCallError) -> &'static str {
    let failure = match failure {
        PluginCallError::NotStarted(_) => return "not_run",
        PluginCallError::Failed(failure) => failure,
    };
    match failure {
        RunError::NoPython { .. } => "no_python",
        RunError::Plugin { .. } => "exception",
        RunError::WallTime(_) => "wall_time",
        RunError::CpuTime(_) => "cpu_time",
        RunError::Memory { .. } => "memory",
        RunError::Output(_) => "output",
        RunError::Processes(_) => "processes",
        RunError::Exited(_) => "exited",
        RunError::Protocol(_) => "protocol",
        RunError::Busy(_) | RunError::NoProcess(_) => "busy",
        RunError::Stopping => "stopping",
    }
}
