//! The plan of an aggregate over the current windows of a view, and over its source for all other times.

use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::{
    common::{Column, DFSchema, Result, TableReference, plan_datafusion_err, plan_err},
    datasource::provider_as_source,
    functions::expr_fn::coalesce,
    logical_expr::{
        Aggregate, Expr, ExprSchemable, Filter, LogicalPlan, LogicalPlanBuilder, cast, ident, lit,
    },
};
use neap_rollup::DividedTimes;
use neap_schema::TIME_COLUMN;
use neap_tables::QueryContext;

use super::{
    stored_view::StoredView,
    table_aggregate::{GroupingKey, TableAggregate},
    times::{in_ranges, time_column},
    values::{PartialValue, ViewValue},
    view_match::{GroupMatch, ViewMatch},
};

/// A view that answers an aggregate.
#[derive(Debug)]
pub(super) struct UnionPlan<'a> {
    pub(super) aggregate: &'a TableAggregate<'a>,
    pub(super) stored: &'a StoredView,
    pub(super) rows: &'a ViewMatch,
    pub(super) values: &'a [ViewValue],
    pub(super) times: &'a DividedTimes,
}

impl UnionPlan<'_> {
    /// Returns a plan with the columns of the aggregate.
    pub(super) fn build(&self, context: &QueryContext) -> Result<LogicalPlan> {
        let of_source = self.of_source()?;
        let of_view = self.of_view(context, of_source.schema())?;
        let union = if self.times.rest.is_empty() {
            of_view
        } else {
            LogicalPlanBuilder::from(of_view).union(of_source)?.build()?
        };
        let merged = match self.rows.groups {
            GroupMatch::Same => union,
            GroupMatch::Merged => self.merged(union)?,
        };
        self.projected(merged)
    }

    fn parts(&self) -> Vec<&PartialValue> {
        self.values.iter().flat_map(|value| &value.parts).collect()
    }

    /// Returns the keys and the partial values for the times that are not current in the view.
    fn of_source(&self) -> Result<LogicalPlan> {
        let aggregate = self.aggregate.aggregate;
        let time = time_column(aggregate.input.schema())?;
        let predicate = in_ranges(&time, &self.times.rest);
        let filter = Filter::try_new(predicate, Arc::clone(&aggregate.input))?;
        let input = Arc::new(LogicalPlan::Filter(filter));
        let values = self
            .parts()
            .into_iter()
            .enumerate()
            .map(|(index, part)| part.of_source.clone().alias(value_name(index)));
        let grouped = Aggregate::try_new(input, aggregate.group_expr.clone(), values.collect())?;
        let grouped = LogicalPlan::Aggregate(grouped);
        let columns = columns_of(grouped.schema());
        let names = self.names();
        let columns: Vec<Expr> = columns
            .into_iter()
            .zip(names)
            .map(|(column, name)| column.alias(name))
            .collect();
        LogicalPlanBuilder::from(grouped).project(columns)?.build()
    }

    /// Returns the keys and the partial values of the current windows, with the types of those of the source.
    fn of_view(&self, context: &QueryContext, types: &DFSchema) -> Result<LogicalPlan> {
        let table = &self.stored.table;
        let name = TableReference::bare(table.name().to_owned());
        let source = provider_as_source(context.table_provider(table));
        let mut rows = LogicalPlanBuilder::scan(name, source, None)?;
        let time = time_column(rows.schema())?;
        rows = rows.filter(in_ranges(&time, &self.times.current))?;
        for condition in &self.rows.conditions {
            rows = rows.filter(condition.clone())?;
        }
        let keys = self.aggregate.keys.iter().zip(&self.aggregate.aggregate.group_expr);
        let mut columns = Vec::new();
        for (key, expr) in keys {
            columns.push(match key {
                GroupingKey::Tag(tag) => ident(self.stored_tag(tag)?),
                GroupingKey::Window(_) => match self.rows.groups {
                    GroupMatch::Same => ident(TIME_COLUMN),
                    GroupMatch::Merged => {
                        self.aggregate.of_table(expr.clone().unalias_nested().data)?
                    }
                },
            });
        }
        columns.extend(self.parts().into_iter().map(|part| part.of_view.clone()));
        let schema = Arc::clone(rows.schema());
        let columns = columns
            .into_iter()
            .zip(types.fields())
            .map(|(column, field)| {
                let column = of_type(column, field.data_type(), &schema)?;
                Ok(column.alias(field.name()))
            })
            .collect::<Result<Vec<Expr>>>()?;
        rows.project(columns)?.build()
    }

    fn stored_tag(&self, tag: &str) -> Result<String> {
        let column = self.stored.tag(tag).cloned();
        column.ok_or_else(|| plan_datafusion_err!("the view has no tag '{tag}'"))
    }

    /// Merges the rows of each group.
    fn merged(&self, union: LogicalPlan) -> Result<LogicalPlan> {
        let columns = columns_of(union.schema());
        let Some((keys, values)) = columns.split_at_checked(self.aggregate.keys.len()) else {
            return plan_err!("a key is missing");
        };
        let values = values.iter().zip(self.parts()).enumerate().map(|(index, (value, part))| {
            let merged = part.merge.call(value.clone());
            merged.alias(value_name(index))
        });
        let merged = Aggregate::try_new(Arc::new(union), keys.to_vec(), values.collect())?;
        Ok(LogicalPlan::Aggregate(merged))
    }

    /// Returns the columns of the aggregate.
    fn projected(&self, merged: LogicalPlan) -> Result<LogicalPlan> {
        let schema = Arc::clone(merged.schema());
        let mut columns = columns_of(&schema).into_iter();
        let keys = columns.by_ref().take(self.aggregate.keys.len());
        let mut exprs: Vec<Expr> = keys.collect();
        for value in self.values {
            let parts: Vec<Expr> = columns.by_ref().take(value.parts.len()).collect();
            let combined = value.combine(&parts);
            exprs.push(combined.ok_or_else(|| plan_datafusion_err!("a value is missing"))?);
        }
        let wanted = &self.aggregate.aggregate.schema;
        let exprs = exprs
            .into_iter()
            .zip(wanted.iter())
            .map(|(expr, (qualifier, field))| {
                let expr = of_type(expr, field.data_type(), &schema)?;
                let is_count = !field.is_nullable() && *field.data_type() == DataType::Int64;
                let expr = if is_count {
                    coalesce(vec![expr, lit(0_i64)])
                } else {
                    expr
                };
                Ok(expr.alias_qualified(qualifier.cloned(), field.name()))
            })
            .collect::<Result<Vec<Expr>>>()?;
        let plan = LogicalPlanBuilder::from(merged).project(exprs)?.build()?;
        plan.schema().has_equivalent_names_and_types(wanted)?;
        Ok(plan)
    }

    /// Returns the names of the columns of both parts.
    fn names(&self) -> Vec<String> {
        let keys = (0..self.aggregate.keys.len()).map(|index| format!("key:{index}"));
        let values = 0..self.parts().len();
        keys.chain(values.map(value_name)).collect()
    }
}

fn value_name(index: usize) -> String {
    format!("value:{index}")
}

fn columns_of(schema: &DFSchema) -> Vec<Expr> {
    schema.iter().map(|field| Expr::Column(Column::from(field))).collect()
}

/// Converts an expression to a type.
fn of_type(expr: Expr, data_type: &DataType, schema: &DFSchema) -> Result<Expr> {
    let is_of_type = expr.get_type(schema).is_ok_and(|known| known == *data_type);
    Ok(if is_of_type {
        expr
    } else {
        cast(expr, data_type.clone())
    })
}
