//! Checks a history against the promises of `docs/concepts.md`. The checks are pure functions of the history.
//!
//! | module | promise |
//! |---|---|
//! | `visibility` | acknowledged writes are present, the newest value of each field wins, deletes and drops are exact |
//! | `reads` | the freshness of each kind of read: strong, stale, after a stamp, as of an earlier time |
//! | `cached` | the newest rows and the tags of a table, which caches have |
//! | `windows` | aggregates of windows, which materialized views have |
//! | `deliveries` | a trigger receives each row at least once |
//! | `stamps` | the order of stamps |
//! | `linearizability` | strict writes, deletes and strong reads of one cell have one order |

mod cached;
mod deliveries;
mod linearizability;
mod reads;
mod stamps;
#[cfg(test)]
mod tests;
mod visibility;
mod windows;

use std::{collections::BTreeMap, fmt, time::Duration};

use super::history::History;

/// A promise that a history can break.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Promise {
    /// An acknowledged write is visible to every later read.
    Durability,
    /// A read shows only values that were written before it ended, and not refused.
    NoInvention,
    /// The value with the newest stamp wins.
    NewestWins,
    /// A delete removes all matching rows that are older, and no others.
    ExactDeletes,
    /// A drop removes all rows that were written before it.
    ExactDrops,
    /// A request is stored completely or not at all.
    Atomicity,
    /// A read after a stamp shows everything that its client wrote or read before the write with this stamp.
    Sessions,
    /// Stamps follow the order of requests.
    StampOrder,
    /// Strict writes, deletes and strong reads of one cell have one order.
    Linearizability,
    /// A cache has no more rows of a key than its definition says.
    CacheRows,
    /// The aggregates of a window are those of rows that a read may show, also if a view has them. A view without pending
    /// windows has the result of its query.
    Views,
    /// A trigger receives each acknowledged row at least once, and no row that was not written.
    Deliveries,
}

/// A place in a history that breaks a promise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Violation {
    pub(super) promise: Promise,
    pub(super) text: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.promise, self.text)
    }
}

/// The result of a check.
#[derive(Debug, Default)]
pub(super) struct CheckReport {
    pub(super) violations: Vec<Violation>,
    /// The number of checked facts of each kind.
    pub(super) facts: BTreeMap<&'static str, u64>,
}

impl CheckReport {
    fn count(&mut self, fact: &'static str, number: u64) {
        *self.facts.entry(fact).or_default() += number;
    }

    fn add(&mut self, promise: Promise, text: String) {
        self.violations.push(Violation { promise, text });
    }
}

/// The limits of the store of a history.
#[derive(Clone, Copy, Debug)]
pub(super) struct ClockMargin {
    /// Maximum difference between the clocks of two instances. Writes of two instances that are further apart have the
    /// order of their requests.
    pub(super) between_instances: Duration,
}

/// Checks all promises.
pub(super) fn check(history: &History, margin: ClockMargin) -> CheckReport {
    let mut report = CheckReport::default();
    reads::check(history, &mut report);
    windows::check_settled_views(history, &mut report);
    stamps::check(history, margin, &mut report);
    linearizability::check(history, &mut report);
    report
}
