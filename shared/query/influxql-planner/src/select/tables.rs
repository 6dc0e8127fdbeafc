//! The tables that a statement reads.

use std::{collections::BTreeMap, sync::Arc};

use datafusion::{
    catalog::TableProvider,
    common::{Result, TableReference, internal_datafusion_err},
    datasource::provider_as_source,
    logical_expr::{LogicalPlan, LogicalPlanBuilder},
};
use neap_catalog::Table;
use neap_influxql::{Measurement, MeasurementName, Select, SelectSource};
use neap_tables::QueryContext;

use super::{condition::compile_pattern, relation::Relation};

/// The tables of one database that a statement or its subqueries read, by name.
type DatabaseTables = BTreeMap<String, SourceTable>;

/// A table that a statement or its subqueries read.
#[derive(Debug)]
struct SourceTable {
    provider: Arc<dyn TableProvider>,
    /// The aliases of columns that the provider shows.
    aliases: Vec<String>,
}

impl SourceTable {
    fn new(context: &QueryContext, table: &Arc<Table>) -> Self {
        let aliases = context.named_aliases(table).into_iter();
        Self {
            provider: context.table_provider(table),
            aliases: aliases.map(str::to_owned).collect(),
        }
    }
}

/// The tables that a statement or its subqueries read.
#[derive(Debug, Default)]
pub(super) struct SourceTables {
    /// By the name of the database; `None` in a query of one database.
    databases: BTreeMap<Option<String>, DatabaseTables>,
}

impl SourceTables {
    /// Looks up the tables. Unknown ones are left out.
    pub(super) fn resolve(context: &QueryContext, select: &Select) -> Result<Self> {
        let mut tables = Self::default();
        tables.add(context, select)?;
        Ok(tables)
    }

    fn add(&mut self, context: &QueryContext, select: &Select) -> Result<()> {
        for source in &select.from {
            match source {
                SelectSource::Subquery(select) => self.add(context, select)?,
                SelectSource::Measurement(measurement) => {
                    self.add_measurement(context, measurement)?;
                }
            }
        }
        Ok(())
    }

    fn add_measurement(&mut self, context: &QueryContext, measurement: &Measurement) -> Result<()> {
        let context = match &measurement.database {
            None => context,
            Some(name) => context
                .database(name)
                .ok_or_else(|| internal_datafusion_err!("no snapshot of the database {name}"))?,
        };
        let catalog = &context.snapshot.catalog.value;
        let tables = self.databases.entry(measurement.database.clone()).or_default();
        match &measurement.name {
            MeasurementName::Name(name) => {
                if let Some(table) = catalog.table(name)
                    && !tables.contains_key(name)
                {
                    tables.insert(name.clone(), SourceTable::new(context, table));
                }
            }
            MeasurementName::Regex(regex) => {
                let regex = compile_pattern(regex)?;
                for table in catalog.tables() {
                    if regex.is_match(table.name()) && !tables.contains_key(table.name()) {
                        let source = SourceTable::new(context, table);
                        tables.insert(table.name().to_owned(), source);
                    }
                }
            }
        }
        Ok(())
    }

    /// Whether the statement reads several databases.
    pub(super) fn has_several_databases(&self) -> bool {
        self.databases.len() > 1
    }

    /// Returns the tables that match a measurement of the statement, sorted by name.
    pub(super) fn relations(&self, measurement: &Measurement) -> Result<Vec<Relation>> {
        let regex = match &measurement.name {
            MeasurementName::Name(_) => None,
            MeasurementName::Regex(regex) => Some(compile_pattern(regex)?),
        };
        let tables = self.databases.get(&measurement.database);
        let is_selected = |table: &str| match (&measurement.name, &regex) {
            (MeasurementName::Name(name), _) => table == name,
            (_, Some(regex)) => regex.is_match(table),
            (_, None) => false,
        };
        let tables = tables.into_iter().flatten().filter(|(table, _)| is_selected(table));
        tables
            .map(|(name, table)| {
                let plan = scan(measurement.database.as_deref(), name, &table.provider)?;
                let relation = Relation::new(name.clone(), plan, true);
                Ok(Relation {
                    columns: relation.columns.hiding(table.aliases.iter().cloned()),
                    ..relation
                })
            })
            .collect()
    }
}

fn scan(database: Option<&str>, name: &str, table: &Arc<dyn TableProvider>) -> Result<LogicalPlan> {
    let reference = match database {
        None => TableReference::bare(name),
        Some(database) => TableReference::partial(database, name),
    };
    let source = provider_as_source(Arc::clone(table));
    LogicalPlanBuilder::scan(reference, source, None)?.build()
}
