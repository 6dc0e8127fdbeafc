//! The columns of a view in its table.

use std::{collections::BTreeMap, sync::Arc};

use arrow::datatypes::DataType;
use datafusion::logical_expr::{Aggregate, Expr, LogicalPlan};
use neap_catalog::{MaterializedView, Table, ViewWindows};
use neap_schema::TIME_COLUMN;
use neap_tables::QueryContext;

use super::{
    table_aggregate::{GroupingKey, TableAggregate, unqualified},
    typed_plan::with_types,
};
use crate::{
    Parameters,
    statement::{self, PlannedStatement},
};

/// A view whose table has a row for each group of its query.
#[derive(Debug)]
pub(super) struct StoredView {
    pub(super) view: Arc<MaterializedView>,
    /// The table with the rows.
    pub(super) table: Arc<Table>,
    pub(super) windows: ViewWindows,
    /// The conditions on the rows of the source, with unqualified columns.
    pub(super) conditions: Vec<Expr>,
    /// The columns with the tags of the source.
    tags: BTreeMap<String, String>,
    /// The aggregate functions, with unqualified columns, and the columns with their values.
    values: Vec<(Expr, String)>,
}

impl StoredView {
    /// Plans the query of a view; `None` if its table may lack groups. A row without a value is not stored, so that the
    /// query has to count.
    pub(super) async fn load(context: &QueryContext, view: &Arc<MaterializedView>) -> Option<Self> {
        let catalog = &context.snapshot.catalog.value;
        let table = catalog.table(&view.target.table)?;
        let context = &context.with_statement(&view.query);
        let planned = statement::plan(context, &view.query, Parameters::default()).await;
        let PlannedStatement::Query(state, plan) = planned.ok()? else {
            return None;
        };
        let plan = with_types(&state, plan).ok()?;
        let aggregate = TableAggregate::from_plan(&state, catalog, aggregate_of(&plan)?)?;
        let windows = aggregate.windows()??;
        let names = stored_names(&plan);
        let (mut tags, mut values) = (BTreeMap::new(), Vec::new());
        for (index, key) in aggregate.keys.iter().enumerate() {
            match key {
                GroupingKey::Window(_) => {
                    let is_time = |name: &&String| *name == TIME_COLUMN;
                    names.get(&index)?.iter().find(is_time)?;
                }
                GroupingKey::Tag(tag) => {
                    let name = names.get(&index)?.first()?;
                    tags.insert(tag.clone(), name.clone());
                }
            }
        }
        for (index, function) in (aggregate.keys.len()..).zip(aggregate.functions().ok()?) {
            let columns = names.get(&index).into_iter().flatten();
            values.extend(columns.map(|name| (function.clone(), name.clone())));
        }
        let conditions =
            aggregate.conditions.iter().map(|condition| unqualified((*condition).clone()));
        let stored = Self {
            view: Arc::clone(view),
            table: Arc::clone(table),
            windows,
            conditions: conditions.collect::<Result<_, _>>().ok()?,
            tags,
            values,
        };
        stored.has_all_groups().then_some(stored)
    }

    /// Returns the column with a tag of the source.
    pub(super) fn tag(&self, name: &str) -> Option<&String> {
        self.tags.get(name)
    }

    pub(super) fn tag_count(&self) -> usize {
        self.tags.len()
    }

    /// Returns the column with the values of an aggregate function, if it can represent all values of a type. Floats
    /// that are not finite are null.
    pub(super) fn value(&self, function: &Expr, data_type: &DataType) -> Option<&String> {
        let mut columns = self.values.iter().filter(|(known, _)| known == function);
        columns.find_map(|(_, name)| {
            let stored = self.column_type(name)?;
            represents(&stored, data_type).then_some(name)
        })
    }

    fn column_type(&self, name: &str) -> Option<DataType> {
        let schema = self.table.arrow_schema();
        let field = schema.field_with_name(name).ok()?;
        Some(field.data_type().clone())
    }

    fn has_all_groups(&self) -> bool {
        let is_count = |function: &Expr| matches!(function, Expr::AggregateFunction(call) if call.func.name() == "count");
        self.values.iter().any(|(function, name)| {
            is_count(function) && self.column_type(name) == Some(DataType::Int64)
        })
    }
}

/// Returns the aggregate below the columns of a query, if all its groups are in the result.
fn aggregate_of(mut plan: &LogicalPlan) -> Option<&Aggregate> {
    loop {
        plan = match plan {
            LogicalPlan::Projection(projection) => &projection.input,
            LogicalPlan::SubqueryAlias(alias) => &alias.input,
            LogicalPlan::Aggregate(aggregate) => return Some(aggregate),
            _ => return None,
        };
    }
}

/// Returns the names of the columns of a query that are columns of its aggregate, by their indexes in the aggregate.
fn stored_names(plan: &LogicalPlan) -> BTreeMap<usize, Vec<String>> {
    let mut names: BTreeMap<usize, Vec<String>> = BTreeMap::new();
    for (index, field) in plan.schema().fields().iter().enumerate() {
        if let Some(origin) = origin(plan, index) {
            names.entry(origin).or_default().push(field.name().clone());
        }
    }
    names
}

/// Returns the index of the column of the aggregate that a column shows; `None` if it is computed from others.
fn origin(plan: &LogicalPlan, index: usize) -> Option<usize> {
    match plan {
        LogicalPlan::Aggregate(_) => Some(index),
        LogicalPlan::SubqueryAlias(alias) => origin(&alias.input, index),
        LogicalPlan::Projection(projection) => {
            // `count(*) AS n` has two names.
            let expr = projection.expr.get(index)?.clone().unalias_nested().data;
            let Expr::Column(column) = expr else {
                return None;
            };
            let schema = projection.input.schema();
            origin(&projection.input, schema.maybe_index_of_column(&column)?)
        }
        _ => None,
    }
}

/// Whether a stored type has all values of a type.
fn represents(stored: &DataType, data_type: &DataType) -> bool {
    match data_type {
        DataType::Int64 | DataType::UInt64 | DataType::Float64 | DataType::Boolean => {
            stored == data_type
        }
        // Times are stored as integers.
        DataType::Timestamp(arrow::datatypes::TimeUnit::Nanosecond, None) => {
            *stored == DataType::Int64
        }
        DataType::Dictionary(_, values) => values.is_string() && stored.is_string(),
        other => other.is_string() && stored.is_string(),
    }
}
