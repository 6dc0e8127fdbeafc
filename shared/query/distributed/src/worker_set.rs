//! The workers that a coordinator knows.

use std::fmt;

use async_trait::async_trait;
use url::Url;

/// A process or an invocation that executes tasks.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct WorkerAddress {
    /// The name, which decides the data that the worker caches: it stays the same when the address changes.
    pub name: String,
    /// The address, which the channels of the coordinator and of other workers understand.
    pub url: Url,
}

/// The workers that a coordinator knows.
#[async_trait]
pub trait WorkerSet: fmt::Debug + Send + Sync {
    /// The workers of this version that accept tasks, in any order. Called once for each query above the threshold.
    async fn workers(&self) -> Vec<WorkerAddress>;

    /// Records that a worker failed, so that it can be left out for a while. Called at most once for each attempt.
    fn record_failure(&self, worker: &Url) {
        let _ = worker;
    }
}
