//! Metrics: a registry of counters, histograms and callbacks, rendered as Prometheus text.

mod family;
mod text;

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use axum::{Router, extract::State, response::IntoResponse, routing::get};
use http::header::CONTENT_TYPE;

pub use family::{CounterFamily, HistogramFamily};
pub use text::SampleWriter;

/// The upper bounds of the latency buckets, in seconds: from a cached query to a slow store.
pub const LATENCY_BUCKETS: &[f64] = &[
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0,
];

/// The kind of a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetricKind {
    /// A number that only increases.
    Counter,
    /// A number that increases and decreases.
    Gauge,
    /// A distribution over buckets.
    Histogram,
}

impl MetricKind {
    fn as_str(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

type CollectFn = Box<dyn Fn(&mut SampleWriter<'_>) + Send + Sync>;

struct Metric {
    help: &'static str,
    kind: MetricKind,
    collect: CollectFn,
}

/// The metrics of a process. Clones share them.
///
/// # Examples
///
/// ```
/// use neap_http::Metrics;
///
/// let metrics = Metrics::default();
/// let lines = metrics.counter("lines_total", "Lines.", &["db"]);
/// lines.add(&["sensors"], 41);
/// lines.add(&["sensors"], 1);
/// assert!(metrics.render().contains("lines_total{db=\"sensors\"} 42\n"));
/// ```
#[derive(Clone, Default)]
pub struct Metrics {
    metrics: Arc<Mutex<BTreeMap<&'static str, Metric>>>,
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.lock().keys()).finish()
    }
}

impl Metrics {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<&'static str, Metric>> {
        self.metrics.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a metric whose values are collected each time that it is rendered: gauges, and counters that are kept
    /// elsewhere. Replaces a metric with the same name.
    pub fn collect(
        &self,
        name: &'static str,
        help: &'static str,
        kind: MetricKind,
        collect: impl Fn(&mut SampleWriter<'_>) + Send + Sync + 'static,
    ) {
        let collect = Box::new(collect);
        self.lock().insert(name, Metric { help, kind, collect });
    }

    /// Adds counters that differ by the values of these labels.
    pub fn counter(
        &self,
        name: &'static str,
        help: &'static str,
        labels: &'static [&'static str],
    ) -> CounterFamily {
        let family = CounterFamily::new(labels);
        let shown = family.clone();
        self.collect(name, help, MetricKind::Counter, move |samples| {
            shown.show(samples);
        });
        family
    }

    /// Adds histograms that differ by the values of these labels. `buckets` are upper bounds in ascending order.
    pub fn histogram(
        &self,
        name: &'static str,
        help: &'static str,
        labels: &'static [&'static str],
        buckets: &'static [f64],
    ) -> HistogramFamily {
        let family = HistogramFamily::new(labels, buckets);
        let shown = family.clone();
        self.collect(name, help, MetricKind::Histogram, move |samples| {
            shown.show(samples);
        });
        family
    }

    /// Renders all metrics by name in Prometheus' text format 0.0.4, with `# EOF` at the end as in InfluxDB 3.
    pub fn render(&self) -> String {
        let mut text = String::new();
        for (name, metric) in self.lock().iter() {
            text::head(&mut text, name, metric.help, metric.kind.as_str());
            (metric.collect)(&mut SampleWriter::new(&mut text, name));
        }
        text.push_str("# EOF\n");
        text
    }
}

/// Creates the route `/metrics`.
pub fn metrics_routes(metrics: Metrics) -> Router {
    let show = async |State(metrics): State<Metrics>| {
        let content_type = (CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8");
        ([content_type], metrics.render()).into_response()
    };
    Router::new().route("/metrics", get(show)).with_state(metrics)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_are_shown_as_prometheus_text() {
        let metrics = Metrics::default();
        let lines = metrics.counter("lines_total", "Lines.", &["db"]);
        lines.add(&["a\"b\\c\nd"], 3);
        lines.add(&["x"], 1);
        lines.add(&["x"], 41);
        metrics.collect("tail_bytes", "Bytes in the tail.", MetricKind::Gauge, |samples| {
            samples.add(&[], 1.5);
        });
        let seconds = metrics.histogram("seconds", "Times.", &["path"], &[0.1, 1.0]);
        for value in [0.05, 0.1, 0.5, 7.0] {
            seconds.observe(&["/"], value);
        }
        insta::assert_snapshot!(metrics.render(), @r##"
        # HELP lines_total Lines.
        # TYPE lines_total counter
        lines_total{db="a\"b\\c\nd"} 3
        lines_total{db="x"} 42
        # HELP seconds Times.
        # TYPE seconds histogram
        seconds_bucket{path="/",le="0.1"} 2
        seconds_bucket{path="/",le="1"} 3
        seconds_bucket{path="/",le="+Inf"} 4
        seconds_sum{path="/"} 7.65
        seconds_count{path="/"} 4
        # HELP tail_bytes Bytes in the tail.
        # TYPE tail_bytes gauge
        tail_bytes 1.5
        # EOF
        "##);
    }

    #[test]
    fn labels_beyond_the_limit_are_counted_together() {
        let metrics = Metrics::default();
        let lines = metrics.counter("lines_total", "Lines.", &["db"]);
        for number in 0..3_000 {
            lines.add(&[&number.to_string()], 1);
        }
        lines.add(&["0"], 1);
        let text = metrics.render();
        assert!(text.contains("lines_total{db=\"0\"} 2\n"));
        assert!(text.contains("lines_total{db=\"other\"} 2000\n"));
        assert_eq!(text.lines().count(), 3 + 1_001);
    }
}
