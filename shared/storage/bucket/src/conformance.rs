//! Checks that a store has the properties that Neap requires. They run on Neap's own stores and on users' buckets.
//!
//! [`check`] runs all checks, in about 1,500 requests. [`probe`] takes about ten requests and is meant for the first
//! start on a store. Both write only keys below `probe/<run>/` and remove them.

mod checks;
mod report;

use std::sync::Arc;

use self::checks::ConformanceSuite;
pub use self::report::{Check, CheckOutcome, ConformanceReport};
use crate::{Store, World};

/// Checks all properties that Neap requires of a store. `run` is part of the keys of this run; draw a new number for
/// each run.
pub async fn check(store: &Arc<dyn Store>, world: &World, run: u64) -> ConformanceReport {
    let suite = ConformanceSuite::new(store, world, run);
    let mut report = ConformanceReport::default();
    report.add("of concurrent creates of an object, one succeeds", suite.create_race().await);
    report.add("no concurrent update is lost", suite.update_race().await);
    report.add("an update needs the newest version", suite.stale_update().await);
    report.add("a read sees the write before it", suite.overwrite().await);
    report.add("a read of a missing object reports it as missing", suite.missing().await);
    report.add("a range is read exactly", suite.range().await);
    report.add("a conditional read reports an unchanged object", suite.unchanged().await);
    report.add("a listing sees the write before it", suite.listing().await);
    report.add("a listing starts after a key", suite.start_after().await);
    report.add("pages of a listing have each key once", suite.paging().await);
    report.add("a deletion lasts and can be repeated", suite.deletion().await);
    report.add("modification times agree with the clock", suite.modification_times().await);
    suite.finish(&mut report).await;
    report
}

/// Checks the essential properties in about ten requests.
pub async fn probe(store: &Arc<dyn Store>, world: &World, run: u64) -> ConformanceReport {
    let suite = ConformanceSuite::new(store, world, run);
    let mut report = ConformanceReport::default();
    report.add("an update needs the newest version", suite.stale_update().await);
    report.add("a listing sees the write before it", suite.first_listing().await);
    suite.finish(&mut report).await;
    report
}

#[cfg(test)]
mod tests;
