//! The events of the compact function: what a scheduler, a queue or a person asks for.
//!
//! | event | what is done | requests when there is nothing to do |
//! |---|---|---|
//! | [`Event::Scheduled`] | flush what is due, plan merges there, hand both out | 1 LIST, whatever the number of databases |
//! | [`Event::Flush`] | flush what is due of some databases, plan merges there | 1 GET, 1 LIST for each database |
//! | [`Event::Merge`] | one merge | |
//! | [`Event::Collect`] | look at every database: settle, expire, drop, delete garbage | some for each database |
//!
//! An invocation stops in time: what it has committed stays, and it says whether something is left.

use std::{fmt, time::Duration};

use async_trait::async_trait;
use neap_schema::DatabaseId;
use serde::{Deserialize, Serialize};

use crate::MergeOrder;

/// What the function is asked to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// The time has come to look for tails that are due.
    Scheduled,
    /// Flushes were handed out.
    Flush(FlushOrder),
    /// A merge was handed out.
    Merge(MergeOrder),
    /// The time has come to look at every database.
    Collect,
}

/// Databases whose tails were due, as they are handed to a worker. It flushes those that still are: an order that comes
/// twice or late does no harm, and the tails of one that is lost are found due again.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FlushOrder {
    /// The databases, those first that come first.
    #[serde(default)]
    pub databases: Vec<DatabaseId>,
}

/// When a tail is worth a flush. Small flushes make small objects, long tails make slow queries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FlushTriggers {
    /// Bytes of segments.
    pub bytes: u64,
    /// The number of segments: each is an object to read for a query that starts cold.
    pub segments: usize,
    /// The age of the oldest segment.
    pub age: Duration,
}

impl Default for FlushTriggers {
    fn default() -> Self {
        Self {
            bytes: 8 << 20,
            segments: 300,
            age: Duration::from_secs(600),
        }
    }
}

/// Hands events to other workers.
#[async_trait]
pub trait Dispatch: fmt::Debug + Send + Sync {
    /// Hands out an [`Event::Flush`] or [`Event::Merge`]. A worker gets it at least once, or never: the tails are then
    /// found due again, and the claim of a merge expires.
    ///
    /// # Errors
    /// It could not be handed out, for a reason for people.
    async fn dispatch(&self, event: Event) -> Result<(), String>;
}
