//! Checks that a store has the properties that Neap requires. They run on Neap's own stores and on users' buckets.
//!
//! [`check`] runs all checks, in about 1,500 requests. [`probe`] takes about ten requests and is meant for the first
//! start on a store. Both write only keys below `probe/<run>/` and remove them.

mod checks;

use std::{fmt, sync::Arc};

use self::checks::ConformanceSuite;
use crate::{Store, World};

/// The outcome of a check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CheckOutcome {
    /// The store has the property.
    Passed,
    /// The store has the property, but something about it is unusual.
    Warning(String),
    /// The store does not have the property, or did not answer: data could be lost.
    Failed(String),
}

/// A property and whether the store has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// The property.
    pub name: &'static str,
    /// Whether the store has it.
    pub outcome: CheckOutcome,
}

/// The outcome of all checks. [`fmt::Display`] gives a line for each.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConformanceReport {
    /// The checks in the order in which they ran.
    pub checks: Vec<Check>,
}

impl ConformanceReport {
    /// Whether the store can be used.
    pub fn passed(&self) -> bool {
        self.failures().next().is_none()
    }

    /// The properties that the store does not have.
    pub fn failures(&self) -> impl Iterator<Item = &Check> {
        let failed = |check: &&Check| matches!(check.outcome, CheckOutcome::Failed(_));
        self.checks.iter().filter(failed)
    }

    fn add(&mut self, name: &'static str, outcome: Result<(), String>) {
        self.checks.push(Check {
            name,
            outcome: outcome.map_or_else(CheckOutcome::Failed, |()| CheckOutcome::Passed),
        });
    }
}

impl fmt::Display for ConformanceReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for Check { name, outcome } in &self.checks {
            match outcome {
                CheckOutcome::Passed => writeln!(f, "ok       {name}")?,
                CheckOutcome::Warning(reason) => writeln!(f, "warning  {name}: {reason}")?,
                CheckOutcome::Failed(reason) => writeln!(f, "FAILED   {name}: {reason}")?,
            }
        }
        Ok(())
    }
}

/// Checks all properties that Neap requires of a store. `run` is part of the keys of this run; draw a new number for
/// each run.
pub async fn check(store: &Arc<dyn Store>, world: &World, run: u64) -> ConformanceReport {
    let suite = ConformanceSuite::new(store, world, run);
    let mut report = ConformanceReport::default();
    report.add(
        "of concurrent creates of an object, one succeeds",
        suite.create_race().await,
    );
    report.add("no concurrent update is lost", suite.update_race().await);
    report.add(
        "an update needs the newest version",
        suite.stale_update().await,
    );
    report.add("a read sees the write before it", suite.overwrite().await);
    report.add(
        "a read of a missing object reports it as missing",
        suite.missing().await,
    );
    report.add("a range is read exactly", suite.range().await);
    report.add(
        "a conditional read reports an unchanged object",
        suite.unchanged().await,
    );
    report.add("a listing sees the write before it", suite.listing().await);
    report.add("a listing starts after a key", suite.start_after().await);
    report.add(
        "pages of a listing have each key once",
        suite.paging().await,
    );
    report.add(
        "a deletion lasts and can be repeated",
        suite.deletion().await,
    );
    report.add(
        "modification times agree with the clock",
        suite.modification_times().await,
    );
    suite.finish(&mut report).await;
    report
}

/// Checks the essential properties in about ten requests.
pub async fn probe(store: &Arc<dyn Store>, world: &World, run: u64) -> ConformanceReport {
    let suite = ConformanceSuite::new(store, world, run);
    let mut report = ConformanceReport::default();
    report.add(
        "an update needs the newest version",
        suite.stale_update().await,
    );
    report.add(
        "a listing sees the write before it",
        suite.first_listing().await,
    );
    suite.finish(&mut report).await;
    report
}

#[cfg(test)]
mod tests;
