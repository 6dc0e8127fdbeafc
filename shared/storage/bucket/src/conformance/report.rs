//! The outcomes of checks.

use std::fmt;

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

    pub(super) fn add(&mut self, name: &'static str, outcome: Result<(), String>) {
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
