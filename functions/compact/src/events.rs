//! Events of the compact function, sent by a scheduler, a queue or a person.
//!
//! | event | action | requests when there is nothing to do |
//! |---|---|---|
//! | [`CompactorEvent::Scheduled`] | flush due tails, plan merges there, dispatch both | 1 LIST for any number of databases |
//! | [`CompactorEvent::Flush`] | flush due tails of some databases, plan merges there | 1 GET, 1 LIST for each database |
//! | [`CompactorEvent::Merge`] | run one merge | |
//! | [`CompactorEvent::Collect`] | maintain every database: merge, expire, drop, delete garbage | some for each database |
//!
//! An invocation stops within its time limit. Its commits stay, and its report says whether work is left.

use std::{fmt, time::Duration};

use async_trait::async_trait;
use neap_schema::DatabaseId;
use serde::{Deserialize, Serialize};

use crate::ClaimedMerge;

/// An event that the function handles.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum CompactorEvent {
    /// Find and flush tails that are due.
    Scheduled,
    /// Run dispatched flushes.
    Flush(FlushRequest),
    /// Run a dispatched merge.
    Merge(ClaimedMerge),
    /// Maintain every database.
    Collect,
}

/// Databases with due tails, as dispatched to a worker. The worker flushes the tails that are still due: a duplicate or
/// late order does no harm, and tails of a lost order are found due again.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FlushRequest {
    /// The databases, in the order of processing.
    #[serde(default)]
    pub databases: Vec<DatabaseId>,
}

/// Thresholds at which a tail is flushed. Small flushes make small objects; long tails make slow queries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FlushTriggers {
    /// Size of the tail in bytes.
    pub bytes: u64,
    /// Number of segments: a cold query reads one object for each.
    pub segments: usize,
    /// Age of the oldest segment.
    pub age: Duration,
}

impl Default for FlushTriggers {
    fn default() -> Self {
        Self { bytes: 8 << 20, segments: 300, age: Duration::from_secs(600) }
    }
}

/// Dispatches events to other workers.
#[async_trait]
pub trait EventDispatcher: fmt::Debug + Send + Sync {
    /// Dispatches an [`CompactorEvent::Flush`] or [`CompactorEvent::Merge`]. A worker receives it at least once, or never: in that case
    /// the tails are found due again, and the claim of a merge expires.
    ///
    /// # Errors
    /// Returns a human-readable reason if the event could not be dispatched.
    async fn dispatch(&self, event: CompactorEvent) -> Result<(), String>;
}
