//! Metrics without labels that one source keeps.

use std::fmt::Display;

use crate::{MetricKind, Metrics};

/// Adds metrics whose values are read from a source each time that they are rendered.
///
/// # Examples
///
/// ```
/// use std::sync::{
///     Arc,
///     atomic::{AtomicU64, Ordering},
/// };
///
/// use neap_http::Metrics;
///
/// let (metrics, runs) = (Metrics::default(), Arc::new(AtomicU64::new(0)));
/// let shown = metrics.read_from(Arc::clone(&runs));
/// shown.counter("runs_total", "Runs.", |runs| runs.load(Ordering::Relaxed));
/// runs.fetch_add(2, Ordering::Relaxed);
/// assert!(metrics.render().contains("runs_total 2\n"));
/// ```
#[derive(Debug)]
pub struct SourceMetrics<'a, S> {
    metrics: &'a Metrics,
    source: S,
}

impl Metrics {
    /// Returns an object that adds metrics whose values a source keeps. Clones of the source must share the values.
    pub fn read_from<S>(&self, source: S) -> SourceMetrics<'_, S> {
        SourceMetrics { metrics: self, source }
    }
}

impl<S: Clone + Send + Sync + 'static> SourceMetrics<'_, S> {
    /// Adds a number that only increases.
    pub fn counter<V: Display>(
        &self,
        name: &'static str,
        help: &'static str,
        read: impl Fn(&S) -> V + Send + Sync + 'static,
    ) {
        self.add(name, help, MetricKind::Counter, read);
    }

    /// Adds a number that increases and decreases.
    pub fn gauge<V: Display>(
        &self,
        name: &'static str,
        help: &'static str,
        read: impl Fn(&S) -> V + Send + Sync + 'static,
    ) {
        self.add(name, help, MetricKind::Gauge, read);
    }

    fn add<V: Display>(
        &self,
        name: &'static str,
        help: &'static str,
        kind: MetricKind,
        read: impl Fn(&S) -> V + Send + Sync + 'static,
    ) {
        let source = self.source.clone();
        self.metrics.collect(name, help, kind, move |samples| {
            samples.add(&[], read(&source));
        });
    }
}
