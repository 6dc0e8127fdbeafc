//! The work of a round.

use std::time::Duration;

/// The work of an evaluation of the rules of a database.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RuleReport {
    /// The number of evaluations of groups.
    pub evaluations: u64,
    /// The number of samples that were stored.
    pub samples: u64,
    /// The rules that could not be evaluated, with the reasons.
    pub failures: Vec<(String, String)>,
    /// The number of alerts that targets of notifications have acknowledged.
    pub notifications: u64,
    /// The targets that did not acknowledge a notification, with the reasons.
    pub undelivered: Vec<(String, String)>,
    /// Whether evaluations are due that the time limit did not permit.
    pub unfinished: bool,
    /// The time until the next evaluation is due; `None` if there are no rules.
    pub next: Option<Duration>,
}
