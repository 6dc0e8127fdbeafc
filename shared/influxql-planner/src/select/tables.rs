//! The tables that a statement reads.

use std::{collections::BTreeMap, sync::Arc};

use datafusion::{
    catalog::TableProvider,
    common::{Result, TableReference, internal_datafusion_err},
    datasource::provider_as_source,
    execution::SessionState,
    logical_expr::{LogicalPlan, LogicalPlanBuilder},
};
use neap_influxql::{MeasurementName, Select, SelectSource};
use neap_tables::{CATALOG, SCHEMA};

use super::{condition::compile_pattern, relation::Relation};

/// The tables that a statement or its subqueries read, by name.
#[derive(Debug)]
pub(super) struct SourceTables(BTreeMap<String, Arc<dyn TableProvider>>);

impl SourceTables {
    /// Looks up the tables. Unknown ones are left out.
    pub(super) async fn of(state: &SessionState, select: &Select) -> Result<Self> {
        let catalog = state.catalog_list().catalog(CATALOG);
        let schema = catalog.and_then(|catalog| catalog.schema(SCHEMA));
        let schema = schema.ok_or_else(|| internal_datafusion_err!("no schema {SCHEMA}"))?;
        let known = schema.table_names();
        let mut wanted = Vec::new();
        collect(select, &known, &mut wanted)?;
        let mut tables = BTreeMap::new();
        for name in wanted {
            if !tables.contains_key(name)
                && let Some(table) = schema.table(name).await?
            {
                tables.insert(name.clone(), table);
            }
        }
        Ok(Self(tables))
    }

    /// Returns the tables that match a measurement of the statement.
    pub(super) fn relations(&self, name: &MeasurementName) -> Result<Vec<Relation>> {
        let regex = match name {
            MeasurementName::Name(_) => None,
            MeasurementName::Regex(regex) => Some(compile_pattern(regex)?),
        };
        let tables = self.0.iter().filter(|(table, _)| match (name, &regex) {
            (MeasurementName::Name(name), _) => *table == name,
            (_, Some(regex)) => regex.is_match(table),
            (_, None) => false,
        });
        tables
            .map(|(name, table)| {
                let plan = scan(name, table)?;
                Ok(Relation::new(name.clone(), plan, true))
            })
            .collect()
    }
}

fn scan(name: &str, table: &Arc<dyn TableProvider>) -> Result<LogicalPlan> {
    let source = provider_as_source(Arc::clone(table));
    LogicalPlanBuilder::scan(TableReference::bare(name), source, None)?.build()
}

/// Collects the names of the known tables that a statement reads.
fn collect<'a>(select: &Select, known: &'a [String], wanted: &mut Vec<&'a String>) -> Result<()> {
    for source in &select.from {
        match source {
            SelectSource::Subquery(select) => collect(select, known, wanted)?,
            SelectSource::Measurement(measurement) => match &measurement.name {
                MeasurementName::Name(name) => {
                    wanted.extend(known.iter().filter(|known| *known == name));
                }
                MeasurementName::Regex(regex) => {
                    let regex = compile_pattern(regex)?;
                    wanted.extend(known.iter().filter(|known| regex.is_match(known)));
                }
            },
        }
    }
    Ok(())
}
