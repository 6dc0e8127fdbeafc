//! Evaluates the rules of all databases within a time limit, for functions that a scheduler invokes.

use std::time::Duration;

use neap_catalog::CatalogError;
use neap_schema::DatabaseId;

use crate::QueryEngine;

/// Maximum age of the catalogs that show which databases have rules. A refresh of all views has just read them.
const RULE_LIST_AGE: Duration = Duration::from_secs(60);

/// The work of an evaluation of all rules.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AllRulesReport {
    /// The number of databases with rules.
    pub databases: usize,
    /// The number of evaluations of groups.
    pub evaluations: u64,
    /// The number of alerts that targets of notifications have acknowledged.
    pub notifications: u64,
    /// The databases whose rules were not evaluated, or whose notifications were not delivered, with the reasons.
    pub failures: Vec<(DatabaseId, String)>,
    /// Whether evaluations are due that the time did not permit.
    pub unfinished: bool,
}

impl QueryEngine {
    /// Returns the live databases with rules, by catalogs that are at most `max_age` old, and those whose catalog can't be
    /// read.
    ///
    /// # Errors
    /// The root catalog can't be read.
    pub async fn databases_with_rules(
        &self,
        max_age: Duration,
    ) -> Result<Vec<DatabaseId>, CatalogError> {
        self.databases_where(max_age, |catalog| !catalog.rules().is_empty()).await
    }

    /// Evaluates the rules of all databases. Begins no further evaluations after `limit`, of which each database has an equal
    /// share.
    ///
    /// # Errors
    /// The root catalog can't be read. Failures of single databases are in the report.
    pub async fn evaluate_all_rules(
        &self,
        limit: Duration,
    ) -> Result<AllRulesReport, CatalogError> {
        let world = self.world();
        let started_at = world.clock_reading();
        let databases = self.databases_with_rules(RULE_LIST_AGE).await?;
        let count = databases.len();
        let mut report = AllRulesReport { databases: count, ..AllRulesReport::default() };
        for (index, database) in databases.into_iter().enumerate() {
            let remaining = limit.saturating_sub(world.elapsed(&started_at));
            let others = u32::try_from(count - index).unwrap_or(u32::MAX);
            match self.evaluate_rules(database, remaining / others).await {
                Ok(round) => {
                    report.evaluations += round.evaluations;
                    report.notifications += round.notifications;
                    report.unfinished |= round.unfinished;
                    let failures = round.failures.into_iter().chain(round.undelivered);
                    report.failures.extend(
                        failures.map(|(name, reason)| (database, format!("{name}: {reason}"))),
                    );
                }
                Err(error) => report.failures.push((database, error.to_string())),
            }
        }
        Ok(report)
    }
}
