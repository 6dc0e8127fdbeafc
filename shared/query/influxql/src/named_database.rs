//! The databases that a statement names.

use crate::{Measurement, Select, SelectSource, ShowClauses, Statement};

/// The database that a statement names: `db.rp.table` or `ON db`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedDatabase {
    /// The database; absent in `rp.table`.
    pub database: Option<String>,
    /// The retention policy; absent in `db..table` and `ON db`.
    pub retention_policy: Option<String>,
}

/// The error for a statement that names several databases.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("can only perform queries on a single database")]
pub struct MultipleDatabasesError;

impl Statement {
    /// Removes the database that a query or a `SHOW` statement names as its source, and returns it. `INTO` keeps the
    /// database that it names.
    ///
    /// # Errors
    /// Returns an error if the statement names several databases. As in InfluxDB 3, all sources of a query have the same
    /// name, or none.
    pub fn extract_database(&mut self) -> Result<Option<NamedDatabase>, MultipleDatabasesError> {
        let mut found = None;
        match self {
            Self::Select(_) | Self::SelectInto(_) | Self::Explain(_) => {
                return extract_from_query(self);
            }
            Self::ShowRetentionPolicies { on } => extract_from_on(on, &mut found)?,
            Self::ShowMeasurements(show) => extract_from_on(&mut show.on, &mut found)?,
            Self::ShowTagKeys(keys) => extract_from_show(&mut keys.show, &mut found)?,
            Self::ShowFieldKeys(show) | Self::ShowSeries(show) => {
                extract_from_show(show, &mut found)?;
            }
            Self::ShowTagValues(values) => extract_from_show(&mut values.show, &mut found)?,
            Self::ShowCardinality(count) => extract_from_show(&mut count.show, &mut found)?,
            Self::ShowDatabases
            | Self::CreateDatabase { .. }
            | Self::DropDatabase(_)
            | Self::DropMeasurement(_)
            | Self::DropSeries(_)
            | Self::Delete(_)
            | Self::CreateRetentionPolicy(_)
            | Self::AlterRetentionPolicy(_)
            | Self::DropRetentionPolicy { .. }
            | Self::Server(_)
            | Self::ContinuousQuery(_)
            | Self::User(_) => {}
        }
        Ok(found)
    }

    /// Returns the sources of a query and of its subqueries, in their order. Other statements have none.
    pub fn query_sources(&mut self) -> Vec<&mut Measurement> {
        let mut sources = Vec::new();
        match self {
            Self::Select(select) => collect_sources(select, &mut sources),
            Self::SelectInto(stored) => collect_sources(&mut stored.select, &mut sources),
            Self::Explain(explain) => collect_sources(&mut explain.select, &mut sources),
            _ => {}
        }
        sources
    }
}

fn collect_sources<'a>(select: &'a mut Select, sources: &mut Vec<&'a mut Measurement>) {
    for source in &mut select.from {
        match source {
            SelectSource::Measurement(measurement) => sources.push(measurement),
            SelectSource::Subquery(select) => collect_sources(select, sources),
        }
    }
}

fn extract_from_query(
    query: &mut Statement,
) -> Result<Option<NamedDatabase>, MultipleDatabasesError> {
    let mut found: Option<NamedDatabase> = None;
    for source in query.query_sources() {
        let named = source.take_database();
        if found.as_ref().is_some_and(|found| *found != named) {
            return Err(MultipleDatabasesError);
        }
        found = Some(named);
    }
    Ok(found.filter(NamedDatabase::has_name))
}

impl NamedDatabase {
    fn has_name(&self) -> bool {
        self.database.is_some() || self.retention_policy.is_some()
    }
}

impl Measurement {
    /// Removes the names of the database and of the retention policy, and returns them.
    pub fn take_database(&mut self) -> NamedDatabase {
        NamedDatabase {
            database: self.database.take(),
            retention_policy: self.retention_policy.take(),
        }
    }
}

fn extract_from_show(
    show: &mut ShowClauses,
    found: &mut Option<NamedDatabase>,
) -> Result<(), MultipleDatabasesError> {
    extract_from_on(&mut show.on, found)?;
    let mut from = show.from.iter_mut();
    from.try_for_each(|measurement| extract_from_measurement(measurement, found))
}

fn extract_from_on(
    on: &mut Option<String>,
    found: &mut Option<NamedDatabase>,
) -> Result<(), MultipleDatabasesError> {
    let Some(database) = on.take() else {
        return Ok(());
    };
    let named = NamedDatabase { database: Some(database), retention_policy: None };
    merge(named, found)
}

fn extract_from_measurement(
    measurement: &mut Measurement,
    found: &mut Option<NamedDatabase>,
) -> Result<(), MultipleDatabasesError> {
    let named = measurement.take_database();
    if named.has_name() {
        merge(named, found)
    } else {
        Ok(())
    }
}

fn merge(
    named: NamedDatabase,
    found: &mut Option<NamedDatabase>,
) -> Result<(), MultipleDatabasesError> {
    let Some(found) = found else {
        *found = Some(named);
        return Ok(());
    };
    merge_equal(&mut found.database, named.database)?;
    merge_equal(&mut found.retention_policy, named.retention_policy)
}

/// Merges two names of the same thing. They must be equal if both are present.
fn merge_equal(
    found: &mut Option<String>,
    named: Option<String>,
) -> Result<(), MultipleDatabasesError> {
    match (&found, named) {
        (Some(found), Some(named)) if *found != named => Err(MultipleDatabasesError),
        (None, Some(named)) => {
            *found = Some(named);
            Ok(())
        }
        _ => Ok(()),
    }
}
