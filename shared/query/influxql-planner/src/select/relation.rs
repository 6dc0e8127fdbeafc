//! The sources of a statement, and the rows read from them.

use arrow::datatypes::SchemaRef;
use datafusion::{
    common::Result,
    functions::expr_fn::coalesce,
    logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, Union, cast, ident, lit},
};
use neap_influxql::Column;
use neap_schema::{ColumnType, TIME_COLUMN};
use neap_tables::balanced;
use std::sync::Arc;

use super::{
    columns::{ResolvedColumn, SourceColumns, align_type, field_column, null_of, tag_column},
    condition::{ConditionContext, nanos, requires_value},
    query::{SOURCE, SelectQuery},
    shape::QueryShape,
    time::StatementTimeRange,
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
            columns: SourceColumns::from_schema(&schema),
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
        needed.retain(|column| {
            let is_value = query.tags_are_values && self.columns.has_tag(column);
            is_value || self.columns.field(column).is_some()
        });
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
        let has_value: Vec<Expr> = needed
            .iter()
            .map(|column| ident(column).is_not_null())
            .filter(|_| !has_all_rows && !is_implied)
            .collect();
        // A subquery has read the rows of the range. The starts of its windows may be before it.
        let range = if self.is_table {
            query.range
        } else {
            StatementTimeRange::default()
        };
        let mut predicates: Vec<Expr> = time_bounds(range).collect();
        // As in InfluxDB 1, a tag that a subquery selects is null where it is missing, and then satisfies no condition.
        let columns = if query.tags_are_values {
            &self.columns.with_texts(&self.dimensions)
        } else {
            &self.columns
        };
        let rows = ConditionContext { columns, clock: &query.clock };
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
        let is_grouped = matches!(query.shape, QueryShape::Aggregate | QueryShape::Distinct(_));
        if !is_grouped || query.survey.has_integral() {
            tags.extend(query.columns.tags().map(str::to_owned));
        }
        for tag in tags {
            let tag_kind = ColumnType::Tag;
            let column = if !self.columns.has_tag(&tag) {
                null_of(tag_kind)?
            } else if query.tags_are_values && self.dimensions.contains(&tag) {
                // As in InfluxDB 1, a missing tag of the `GROUP BY` of a subquery is an empty one.
                let text = coalesce(vec![ident(&tag), lit("")]);
                cast(text, tag_kind.data_type())
            } else {
                ident(&tag)
            };
            projection.push(column.alias(tag_column(&tag)));
        }
        for field in query.fields() {
            let Some(wanted) = query.columns.field(&field) else {
                continue;
            };
            let column = match self.columns.field(&field) {
                Some(kind) => align_type(ident(&field), kind, wanted)?,
                None => null_of(wanted)?,
            };
            projection.push(column.alias(field_column(&field)));
        }
        Ok(projection)
    }
}

/// Returns the predicates of a range of times.
fn time_bounds(range: StatementTimeRange) -> impl Iterator<Item = Expr> {
    let lower = range.lower.map(|time| ident(TIME_COLUMN).gt_eq(nanos(time)));
    let upper = range.upper.map(|time| ident(TIME_COLUMN).lt_eq(nanos(time)));
    lower.into_iter().chain(upper)
}

/// Returns the rows of all relations of one measurement; `None` if no relation contributes rows.
pub(super) fn rows(relations: &[Relation], query: &SelectQuery<'_>) -> Result<Option<LogicalPlan>> {
    let mut plans = Vec::with_capacity(relations.len());
    for (number, relation) in (0..).zip(relations) {
        plans.extend(relation.rows(query, number)?);
    }
    union(plans)
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
