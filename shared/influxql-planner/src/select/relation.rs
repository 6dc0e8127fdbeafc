//! The sources of a statement, and the rows read from them.

use arrow::datatypes::SchemaRef;
use datafusion::{
    common::Result,
    functions::expr_fn::coalesce,
    logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, Union, cast, ident, lit},
};
use neap_influxql::Column;
use neap_schema::{ColumnType, TIME_COLUMN};
use std::sync::Arc;

use super::{
    columns::{ResolvedColumn, SourceColumns, align_type, field_column, null_of, tag_column},
    condition::{ConditionContext, balanced, nanos, requires_value},
    query::{SOURCE, SelectQuery},
    shape::QueryShape,
};

/// The rows of one measurement, from a table or from a subquery. The columns of the plan have their original names.
#[derive(Debug)]
pub(super) struct Relation {
    pub(super) measurement: String,
    pub(super) plan: LogicalPlan,
    pub(super) columns: SourceColumns,
    pub(super) is_table: bool,
    /// The tags of a subquery's `GROUP BY` that it does not select.
    pub(super) dimensions: Vec<String>,
}

impl Relation {
    pub(super) fn new(measurement: String, plan: LogicalPlan, is_table: bool) -> Self {
        let schema: SchemaRef = Arc::clone(plan.schema().inner());
        Self {
            measurement,
            columns: SourceColumns::of(&schema),
            plan,
            is_table,
            dimensions: Vec::new(),
        }
    }

    /// Returns the rows that a query reads, as `time`, [`tag_column`]s and [`field_column`]s, with the types merged
    /// over all sources. `None` if the relation has none of the fields of the query, so that it contributes no rows.
    /// `number` is that of the source.
    fn rows(&self, query: &SelectQuery<'_>, number: u64) -> Result<Option<LogicalPlan>> {
        let mut needed = query.needed_columns();
        needed.retain(|column| self.columns.get(column).is_some());
        if needed.is_empty() {
            return Ok(None);
        }
        // As in InfluxDB 1, each row of a subquery is one of its source.
        let has_all_rows = query.tags_are_values && query.shape == QueryShape::Raw;
        let is_needed = |column: &Column| {
            let is_field = matches!(self.columns.resolve(column), ResolvedColumn::Field(..));
            is_field && needed.contains(&column.name)
        };
        let condition = query.condition.as_ref();
        let is_implied = condition.is_some_and(|condition| requires_value(condition, &is_needed));
        let has_value = needed.iter().map(|column| ident(column).is_not_null());
        let has_value: Vec<Expr> = has_value.filter(|_| !has_all_rows && !is_implied).collect();
        let mut predicates = match self.is_table {
            true => time_bounds(query, true)?,
            // The subquery has the same range.
            false => Vec::new(),
        };
        // As in InfluxDB 1, a tag that a subquery selects is null where it is missing, and then satisfies no condition.
        let columns = match query.tags_are_values {
            true => &self.columns.with_texts(&self.dimensions),
            false => &self.columns,
        };
        let rows = ConditionContext {
            columns,
            clock: &query.clock,
        };
        if let Some(condition) = &query.condition {
            predicates.push(rows.predicate(condition)?);
        }
        if !has_value.is_empty() {
            predicates.push(balanced(has_value, Expr::or));
        }
        let plan = LogicalPlanBuilder::from(self.plan.clone())
            .filter(balanced(predicates, Expr::and))?
            .project(self.projection(query, number)?)?
            .build()?;
        Ok(Some(plan))
    }

    fn projection(&self, query: &SelectQuery<'_>, number: u64) -> Result<Vec<Expr>> {
        let mut projection = vec![ident(TIME_COLUMN)];
        if query.orders_sources {
            projection.push(lit(number).alias(SOURCE));
        }
        let mut tags = query.read_tags();
        if !matches!(query.shape, QueryShape::Aggregate | QueryShape::Distinct(_)) {
            tags.extend(query.columns.tags().map(str::to_owned));
        }
        for tag in tags {
            let tag_kind = ColumnType::Tag;
            let column = match self.columns.get(&tag) {
                // As in InfluxDB 1, a missing tag of the `GROUP BY` of a subquery is an empty one.
                Some(ColumnType::Tag)
                    if query.tags_are_values && self.dimensions.contains(&tag) =>
                {
                    let text = coalesce(vec![ident(&tag), lit("")]);
                    cast(text, tag_kind.data_type())
                }
                Some(ColumnType::Tag) => ident(&tag),
                _ => null_of(tag_kind)?,
            };
            projection.push(column.alias(tag_column(&tag)));
        }
        for field in query.fields() {
            let Some(wanted) = query.columns.get(&field) else {
                continue;
            };
            let column = match self.columns.get(&field) {
                Some(kind) => align_type(ident(&field), kind, wanted)?,
                None => null_of(wanted)?,
            };
            projection.push(column.alias(field_column(&field)));
        }
        Ok(projection)
    }
}

/// Returns predicates for the time range of a query. Gap filling creates windows without rows between these bounds.
/// With `exact` false, the lower bound is the start of its window, because times that are starts of windows can be
/// before the range.
fn time_bounds(query: &SelectQuery<'_>, exact: bool) -> Result<Vec<Expr>> {
    let time = ident(TIME_COLUMN);
    let lower = match (query.range.lower, &query.window) {
        (Some(lower), Some(window)) if !exact => Some(query.window_start(window, nanos(lower))?),
        (Some(lower), _) => Some(nanos(lower)),
        // Each series begins with its first window.
        (None, Some(_)) => Some(nanos(i64::MIN)),
        (None, None) => None,
    };
    let upper = query.range.upper.map(nanos);
    let lower = lower.map(|lower| time.clone().gt_eq(lower));
    let upper = upper.map(|upper| time.clone().lt_eq(upper));
    Ok(lower.into_iter().chain(upper).collect())
}

/// Returns the rows of all relations of one measurement; `None` if no relation contributes rows.
pub(super) fn rows(relations: &[Relation], query: &SelectQuery<'_>) -> Result<Option<LogicalPlan>> {
    let mut plans = Vec::with_capacity(relations.len());
    for (number, relation) in (0..).zip(relations) {
        plans.extend(relation.rows(query, number)?);
    }
    let is_one_table = plans.len() < 2 && relations.iter().all(|relation| relation.is_table);
    let Some(plan) = union(plans)? else {
        return Ok(None);
    };
    if is_one_table || query.window.is_none() {
        return Ok(Some(plan));
    }
    // Gap filling searches its bounds below the aggregate, but not below a union.
    let exact = relations.iter().all(|relation| relation.is_table);
    let bounds = balanced(time_bounds(query, exact)?, Expr::and);
    let plan = LogicalPlanBuilder::from(plan).filter(bounds)?;
    plan.build().map(Some)
}

/// Returns the union of plans with the same columns.
pub(super) fn union(plans: Vec<LogicalPlan>) -> Result<Option<LogicalPlan>> {
    let mut plans = plans.into_iter();
    let Some(first) = plans.next() else {
        return Ok(None);
    };
    if plans.len() == 0 {
        return Ok(Some(first));
    }
    let inputs = std::iter::once(first).chain(plans).map(Arc::new);
    let union = Union::try_new(inputs.collect())?;
    Ok(Some(LogicalPlan::Union(union)))
}
