//! Measures latencies and failures of a store.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use neap_bucket::{
    Clock, Get, GetOptions, ListPage, ListRequest, Operation, Put, PutMode, Store, StoreError,
    StoreResponse,
};
use neap_http::{CounterFamily, HistogramFamily, LATENCY_BUCKETS, Metrics};

/// Latency and failure metrics of all stores of a process. Clones share them.
#[derive(Clone, Debug)]
pub(super) struct StoreMetrics {
    seconds: HistogramFamily,
    failures: CounterFamily,
}

impl StoreMetrics {
    pub(super) fn new(metrics: &Metrics) -> Self {
        let failures = metrics.counter(
            "neap_store_failures_total",
            "Requests to the store that failed after all retries, by operation.",
            &["operation"],
        );
        for operation in Operation::ALL {
            failures.add(&[operation.as_str()], 0);
        }
        Self {
            seconds: metrics.histogram(
                "neap_store_request_duration_seconds",
                "Time that the store took for a request, retries included, by operation.",
                &["operation"],
                LATENCY_BUCKETS,
            ),
            failures,
        }
    }
}

/// A store that records latencies and failures.
#[derive(Debug)]
pub(super) struct TimedStore {
    inner: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    times: StoreMetrics,
}

impl TimedStore {
    pub(super) fn new(inner: Arc<dyn Store>, clock: Arc<dyn Clock>, times: StoreMetrics) -> Self {
        Self { inner, clock, times }
    }

    fn note<T>(&self, operation: Operation, started_at: Duration, outcome: &Result<T, StoreError>) {
        let took = self.clock.monotonic().saturating_sub(started_at);
        let labels = &[operation.as_str()];
        self.times.seconds.observe(labels, took.as_secs_f64());
        if outcome.is_err() {
            self.times.failures.add(labels, 1);
        }
    }
}

#[async_trait]
impl Store for TimedStore {
    async fn get(&self, key: &str, options: GetOptions) -> Result<StoreResponse<Get>, StoreError> {
        let started_at = self.clock.monotonic();
        let outcome = self.inner.get(key, options).await;
        self.note(Operation::Get, started_at, &outcome);
        outcome
    }

    async fn put(
        &self,
        key: &str,
        body: Bytes,
        mode: PutMode,
    ) -> Result<StoreResponse<Put>, StoreError> {
        let started_at = self.clock.monotonic();
        let outcome = self.inner.put(key, body, mode).await;
        self.note(Operation::Put, started_at, &outcome);
        outcome
    }

    async fn list(&self, request: ListRequest<'_>) -> Result<StoreResponse<ListPage>, StoreError> {
        let started_at = self.clock.monotonic();
        let outcome = self.inner.list(request).await;
        self.note(Operation::List, started_at, &outcome);
        outcome
    }

    async fn delete(&self, keys: &[String]) -> Result<StoreResponse<()>, StoreError> {
        let started_at = self.clock.monotonic();
        let outcome = self.inner.delete(keys).await;
        self.note(Operation::Delete, started_at, &outcome);
        outcome
    }

    fn wrapped(&self) -> Option<&dyn Store> {
        Some(&*self.inner)
    }
}
