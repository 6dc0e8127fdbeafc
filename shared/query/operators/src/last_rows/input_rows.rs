//! The rows that operators need of their inputs, so that the newest rows of each series come out.

use std::sync::Arc;

use arrow::datatypes::Schema;
use datafusion::{
    common::ScalarValue,
    logical_expr::Operator,
    physical_expr::{
        PhysicalExpr,
        expressions::{BinaryExpr, Column, IsNotNullExpr, Literal},
        utils::{collect_columns, split_conjunction, split_disjunction},
    },
    physical_expr_common::physical_expr::is_volatile,
    physical_plan::{ExecutionPlan, filter::FilterExec, projection::ProjectionExec},
};
use neap_scan::NewestRows;
use neap_schema::ColumnType;

use crate::passing_operators::passes_all_rows;

/// Returns the rows that an operator needs of its inputs; `None` if it may need all.
pub(super) fn needed_of_input(
    plan: &Arc<dyn ExecutionPlan>,
    needed: NewestRows,
) -> Option<NewestRows> {
    if plan.fetch().is_some() {
        return None;
    }
    if let Some(projection) = plan.downcast_ref::<ProjectionExec>() {
        return mapped(needed, |column| {
            let projected = projection.expr().get(column)?;
            Some(projected.expr.downcast_ref::<Column>()?.index())
        });
    }
    if let Some(filter) = plan.downcast_ref::<FilterExec>() {
        let needed = match filter.projection() {
            Some(projection) => mapped(needed, |column| projection.get(column).copied())?,
            None => needed,
        };
        return filtered(needed, filter.predicate(), &filter.input().schema());
    }
    passes_all_rows(plan.as_ref()).then_some(needed)
}

/// Returns the needed rows with other indexes of columns.
fn mapped(needed: NewestRows, index: impl Fn(usize) -> Option<usize>) -> Option<NewestRows> {
    let all = |columns: Vec<usize>| columns.into_iter().map(&index).collect::<Option<Vec<_>>>();
    Some(NewestRows {
        keys: all(needed.keys)?,
        time: index(needed.time)?,
        required: all(needed.required)?,
        ..needed
    })
}

/// Returns the rows that are needed of the input of a filter; `None` if rows that pass it may be older than others of their
/// series that do not.
fn filtered(
    mut needed: NewestRows,
    predicate: &Arc<dyn PhysicalExpr>,
    schema: &Schema,
) -> Option<NewestRows> {
    let is_tag = |column: &usize| {
        let field = schema.fields().get(*column);
        field.is_some_and(|field| ColumnType::is_tag_type(field.data_type()))
    };
    for condition in split_conjunction(predicate) {
        match bound_of_time(condition, needed.time) {
            // A row that is too old has no older one that is not.
            Some((Operator::Gt, time)) => needed.from = needed.from.max(time.checked_add(1)?),
            Some((Operator::GtEq, time)) => needed.from = needed.from.max(time),
            Some((Operator::Lt, time)) => needed.until = needed.until.min(time.checked_sub(1)?),
            Some((Operator::LtEq, time)) => needed.until = needed.until.min(time),
            Some(_) => return None,
            None if let Some(columns) = columns_with_a_value(condition)
                && !columns.iter().all(is_tag) =>
            {
                // A row that has values of all required columns meets the condition.
                let is_met = columns.iter().any(|column| needed.required.contains(column));
                let first = columns.first().copied();
                needed.required.extend(first.filter(|_| !is_met));
            }
            // A condition on tags holds for all rows of a series, or for none.
            None if is_volatile(condition) => return None,
            None => {
                let columns = collect_columns(condition);
                needed.keys.extend(columns.iter().map(Column::index));
            }
        }
    }
    Some(needed)
}

/// Returns the columns of which a condition requires that one is not null; `None` if it is another condition.
fn columns_with_a_value(condition: &Arc<dyn PhysicalExpr>) -> Option<Vec<usize>> {
    let alternatives = split_disjunction(condition).into_iter();
    let columns = alternatives.map(|alternative| {
        let is_not_null = alternative.downcast_ref::<IsNotNullExpr>()?;
        Some(is_not_null.arg().downcast_ref::<Column>()?.index())
    });
    columns.collect()
}

/// Returns the operator and the value of a comparison of the time with a value.
fn bound_of_time(condition: &Arc<dyn PhysicalExpr>, time: usize) -> Option<(Operator, i64)> {
    let comparison = condition.downcast_ref::<BinaryExpr>()?;
    let column = comparison.left().downcast_ref::<Column>()?;
    let value = comparison.right().downcast_ref::<Literal>()?;
    match value.value() {
        ScalarValue::TimestampNanosecond(Some(value), _) if column.index() == time => {
            Some((*comparison.op(), *value))
        }
        _ => None,
    }
}
