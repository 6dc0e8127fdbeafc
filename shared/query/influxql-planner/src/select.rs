//! Plans `SELECT`.
//!
//! ```text
//!   tables, subqueries -> relations: rows of one measurement each, with the condition applied
//!                                    |
//!        raw | aggregates | functions of series | selected rows | distinct values
//!                                    |
//!                  parts: rows of the answer, one part for each measurement
//!                                    |
//!                       limits per series, union, order, names
//! ```
//!
//! A statement is resolved against all its sources together: wildcards, types and names are the same for each
//! measurement. In the plans below the last projection, columns have a prefix for their role (`tag:room`, `field:temp`,
//! `out:0`), so that names of users can't collide.

mod aggregate;
mod answer;
mod argument_types;
mod columns;
mod condition;
mod expand;
mod forecast;
mod functions;
mod group_values;
mod holt_winters;
mod indicators;
mod integral;
mod lifted_select;
mod math;
mod mode;
mod nelder_mead;
mod query;
mod relation;
mod request_time;
mod running_functions;
mod scope;
mod selectors;
mod series;
mod shape;
mod tables;
mod time;
mod typed_expr;
mod v1_errors;
mod v1_rules;
mod value;
mod window;

use std::collections::BTreeMap;

use arrow::datatypes::SchemaRef;
use datafusion::{
    common::{Result, plan_err},
    execution::SessionState,
    logical_expr::{Expr, LogicalPlan},
};
use neap_formats::series::{AnswerInterface, GroupKey};
use neap_influxql::{Condition, Fill, Select, SelectSource};
use neap_tables::QueryContext;

use answer::SelectAnswer;
use columns::SourceColumns;
use condition::ConditionContext;

pub use condition::compile_pattern;
use expand::{OutputColumns, WildcardRules};
use functions::SessionFunctions;
pub use lifted_select::{LiftedSelect, LiftedValue};
use query::{AnswerPart, SelectQuery};
use relation::Relation;
pub use request_time::depends_on_now;
use scope::{InheritedScope, SelectScope};
use shape::{FieldCalls, QueryShape};
use tables::SourceTables;
use time::TimeContext;

/// A plan of a `SELECT`, with its session and the layout of its series.
#[derive(Debug)]
pub(crate) struct SelectPlan {
    /// The session that executes the plan.
    pub(crate) state: SessionState,
    /// The plan. Its columns are the measurement, the time, the tags of `GROUP BY` that are not selected, and the
    /// fields as selected. Rows are sorted by measurement, tags of `GROUP BY` (nulls last), and time.
    pub(crate) plan: LogicalPlan,
    /// The columns that identify the series of a row.
    pub(crate) group_key: GroupKey,
}

/// Plans a `SELECT` without placeholders. Ignores databases and retention policies in it.
/// Fails with `DataFusionError::Plan` if the statement is wrong, `NotImplemented` if it is not supported, possibly
/// wrapped in contexts.
pub(crate) fn plan_select(
    context: &QueryContext,
    select: &Select,
    interface: AnswerInterface,
) -> Result<SelectPlan> {
    if interface == AnswerInterface::V1 {
        v1_rules::check(select)?;
    }
    let state = context.full_session();
    let tables = SourceTables::resolve(context, select)?;
    let planner = SelectPlanner {
        functions: SessionFunctions(&state),
        tables: &tables,
        now: context.times.now.saturating_mul(1_000),
        interface,
    };
    let answer = planner.answer(select, &InheritedScope::default())?;
    let (plan, group_key) = answer.finish(planner.functions, select.time_zone.as_deref())?;
    Ok(SelectPlan { state, plan, group_key })
}

/// Translates a condition into a predicate over the columns of a table.
/// Fails with a planning error if the condition is wrong.
pub(crate) fn row_predicate(
    schema: &SchemaRef,
    condition: &Condition,
    now_nanos: i64,
) -> Result<Expr> {
    let rows = ConditionContext {
        columns: &SourceColumns::from_schema(schema),
        clock: &TimeContext::new(now_nanos, None, AnswerInterface::V3)?,
    };
    rows.predicate(condition)
}

struct SelectPlanner<'a> {
    functions: SessionFunctions<'a>,
    tables: &'a SourceTables,
    now: i64,
    interface: AnswerInterface,
}

impl SelectPlanner<'_> {
    fn answer(&self, select: &Select, inherited: &InheritedScope) -> Result<SelectAnswer> {
        let frame = SelectScope::try_new(select, inherited, self.interface, self.now)?;
        let relations = self.relations(select, &frame.for_subqueries())?;
        let mut columns = SourceColumns::default();
        for relation in relations.values().flatten() {
            columns.merge(&relation.columns);
        }
        let mut sources = relations.values().flatten();
        let has_only_subqueries = sources.all(|relation| !relation.is_table);
        let tags_are_values = self.interface == AnswerInterface::V1 && has_only_subqueries;
        let tags = if tags_are_values {
            let sources = relations.values().flatten();
            let dimensions: Vec<String> =
                sources.flat_map(|relation| relation.dimensions.clone()).collect();
            expand::tags(&frame.group_by, &columns.with_texts(&dimensions))?
        } else {
            expand::tags(&frame.group_by, &columns)?
        };
        let wildcards = WildcardRules::new(self.interface, &select.group_by);
        let outputs = expand::outputs(&select.fields, &columns, &tags, wildcards)?;
        let order = frame.order;
        let mut query = self.query(frame, columns, &tags, &outputs)?;
        query.tags_are_values = tags_are_values;
        let mut parts = relations.values();
        query.reads_tables = parts.all(|it| matches!(it.as_slice(), [only] if only.is_table));
        query.check_names()?;
        let mut parts = Vec::new();
        for (measurement, relations) in &relations {
            if let Some(rows) = relation::rows(relations, &query)? {
                parts.push((measurement.clone(), query.part(rows)?));
            }
        }
        let answer = SelectAnswer {
            tags,
            columns: query.columns,
            outputs,
            interface: self.interface,
            order,
            parts,
        };
        answer.limited(select)
    }

    fn query(
        &self,
        frame: SelectScope,
        columns: SourceColumns,
        tags: &[String],
        outputs: &OutputColumns,
    ) -> Result<SelectQuery<'_>> {
        let survey =
            FieldCalls::try_new(outputs.fields.iter().map(|output| &output.expr), self.interface)?;
        let shape = survey.shape(frame.has_own_window, frame.window.is_some())?;
        let window = match shape {
            QueryShape::Raw if frame.has_own_window && !outputs.fields.is_empty() => {
                return plan_err!("GROUP BY requires at least one aggregate function");
            }
            QueryShape::Raw | QueryShape::Series => None,
            _ => frame.window,
        };
        // As in InfluxDB 1, integrals are not filled.
        let is_filled = self.interface == AnswerInterface::V3 || !survey.has_only_integrals();
        let fill = if is_filled { frame.fill } else { Fill::None };
        Ok(SelectQuery {
            interface: self.interface,
            functions: self.functions,
            clock: frame.clock,
            tags_are_values: false,
            reads_tables: false,
            orders_sources: self.tables.has_several_databases(),
            columns,
            outputs: outputs.fields.clone(),
            tags: tags.to_vec(),
            window,
            fill,
            range: frame.range,
            order: frame.order,
            shown: frame.shown,
            condition: frame.condition,
            survey,
            shape,
        })
    }

    /// Returns the sources of a statement by measurement.
    fn relations(
        &self,
        select: &Select,
        within: &InheritedScope,
    ) -> Result<BTreeMap<String, Vec<Relation>>> {
        let mut relations: BTreeMap<String, Vec<Relation>> = BTreeMap::new();
        for source in &select.from {
            let found = match source {
                SelectSource::Measurement(measurement) => self.tables.relations(measurement)?,
                SelectSource::Subquery(select) => self.answer(select, within)?.into_relations()?,
            };
            for relation in found {
                let name = relation.measurement.clone();
                relations.entry(name).or_default().push(relation);
            }
        }
        Ok(relations)
    }
}

impl SelectQuery<'_> {
    /// Plans the rows of the answer for one measurement.
    fn part(&self, rows: LogicalPlan) -> Result<AnswerPart> {
        match &self.shape {
            QueryShape::Raw => self.raw(rows),
            QueryShape::Distinct(call) => self.distinct(rows, call),
            QueryShape::Aggregate => self.aggregate(rows),
            QueryShape::Series => series::over_rows(self, rows),
            QueryShape::Picked(call) => selectors::plan(self, rows, call),
            QueryShape::Sampled(calls) => selectors::samples(self, rows, calls),
        }
    }
}
