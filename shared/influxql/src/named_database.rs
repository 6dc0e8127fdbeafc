//! Extracts the database that a statement names.

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
    /// Returns an error if the statement names several databases.
    pub fn extract_database(&mut self) -> Result<Option<NamedDatabase>, MultipleDatabasesError> {
        let mut found = None;
        match self {
            Self::Select(select) => extract_from_select(select, &mut found)?,
            Self::SelectInto(stored) => extract_from_select(&mut stored.select, &mut found)?,
            Self::Explain(explain) => extract_from_select(&mut explain.select, &mut found)?,
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
            | Self::ContinuousQuery(_) => {}
        }
        Ok(found)
    }
}

fn extract_from_select(
    select: &mut Select,
    found: &mut Option<NamedDatabase>,
) -> Result<(), MultipleDatabasesError> {
    for source in &mut select.from {
        match source {
            SelectSource::Measurement(measurement) => extract_from_measurement(measurement, found)?,
            SelectSource::Subquery(select) => extract_from_select(select, found)?,
        }
    }
    Ok(())
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
    let named = NamedDatabase {
        database: Some(database),
        retention_policy: None,
    };
    merge(named, found)
}

fn extract_from_measurement(
    measurement: &mut Measurement,
    found: &mut Option<NamedDatabase>,
) -> Result<(), MultipleDatabasesError> {
    let named = NamedDatabase {
        database: measurement.database.take(),
        retention_policy: measurement.retention_policy.take(),
    };
    if named.database.is_none() && named.retention_policy.is_none() {
        return Ok(());
    }
    merge(named, found)
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
