//! The rows of a table that a plan requires.

use std::collections::BTreeSet;

use datafusion::{
    common::Column,
    datasource::source_as_provider,
    logical_expr::{
        Aggregate, Expr, LogicalPlan, Sort, SortExpr, TableScan,
        expr::{AggregateFunction, NullTreatment},
        utils::split_conjunction,
    },
};
use neap_schema::TIME_COLUMN;

use crate::caches::cached_table::CachedTable;

/// The rows of a table that are sufficient for a plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum RequiredRows {
    /// One row for each combination of values of these tags, with the maximum time.
    TagValues(BTreeSet<String>),
    /// The newest row for each combination of values of these tags.
    NewestPerKey {
        /// The tags.
        keys: BTreeSet<String>,
        /// Whether the choice matters if several rows have the same newest time.
        by_one: bool,
        /// Fields whose older values matter if the newest row has no value.
        filled: BTreeSet<String>,
    },
    /// This many of the newest rows.
    NewestRows(usize),
}

impl RequiredRows {
    /// Returns the rows that the root of a plan requires of the one table below it; `None` if the shape of the plan is
    /// unknown.
    pub(super) fn from_plan(plan: &LogicalPlan) -> Option<Self> {
        match plan {
            LogicalPlan::Aggregate(aggregate) => of_aggregate(aggregate),
            LogicalPlan::Sort(sort) => of_sort(sort),
            _ => None,
        }
    }
}

fn of_aggregate(aggregate: &Aggregate) -> Option<RequiredRows> {
    let scan = scan_below(&aggregate.input)?;
    let tags = table_of(scan)?.rows.table().tag_names();
    let groups: BTreeSet<String> = aggregate
        .group_expr
        .iter()
        .map(|group| base_column(group, &aggregate.input))
        .collect::<Option<_>>()?;
    if !groups.iter().all(|group| tags.contains(group)) {
        return None;
    }
    let mut only_values = !groups.is_empty();
    let (mut by_one, mut filled) = (false, BTreeSet::new());
    for expr in &aggregate.aggr_expr {
        match of_function(expr, &aggregate.input, &groups)? {
            AggregateInput::MaxTime => {}
            AggregateInput::NewestRow => only_values = false,
            AggregateInput::NewestValue(field) => {
                (only_values, by_one) = (false, true);
                filled.insert(field);
            }
        }
    }
    Some(if only_values {
        RequiredRows::TagValues(groups)
    } else {
        RequiredRows::NewestPerKey { keys: groups, by_one, filled }
    })
}

/// The rows that an aggregate function reads.
enum AggregateInput {
    /// The maximum time.
    MaxTime,
    /// The newest row; any of several with the same time.
    NewestRow,
    /// The newest value of a field that is not null. Among several rows with the same time, a certain one.
    NewestValue(String),
}

fn of_function(
    expr: &Expr,
    input: &LogicalPlan,
    groups: &BTreeSet<String>,
) -> Option<AggregateInput> {
    let expr = match expr {
        Expr::Alias(alias) => alias.expr.as_ref(),
        expr => expr,
    };
    let Expr::AggregateFunction(AggregateFunction { func, params }) = expr else {
        return None;
    };
    if params.filter.is_some() || params.distinct {
        return None;
    }
    let columns: Vec<String> =
        params.args.iter().map(|arg| base_column(arg, input)).collect::<Option<_>>()?;
    let arguments: Vec<&str> = columns.iter().map(String::as_str).collect();
    let keeps_nulls = params.null_treatment != Some(NullTreatment::IgnoreNulls);
    match (func.name(), arguments.as_slice()) {
        ("max", [TIME_COLUMN]) => Some(AggregateInput::MaxTime),
        ("selector_last", [field, TIME_COLUMN]) => {
            Some(AggregateInput::NewestValue((*field).to_owned()))
        }
        ("last_value", [_]) if keeps_nulls => {
            let by_time = is_by_time(&params.order_by, input, groups, true);
            by_time.then_some(AggregateInput::NewestRow)
        }
        ("first_value", [_]) if keeps_nulls => {
            let by_time = is_by_time(&params.order_by, input, groups, false);
            by_time.then_some(AggregateInput::NewestRow)
        }
        _ => None,
    }
}

/// Whether the rows of a group are ordered by time alone.
fn is_by_time(
    order: &[SortExpr],
    input: &LogicalPlan,
    groups: &BTreeSet<String>,
    ascending: bool,
) -> bool {
    let mut within = order.iter().filter(|sort| {
        let column = base_column(&sort.expr, input);
        column.is_none_or(|column| !groups.contains(&column))
    });
    match (within.next(), within.next()) {
        (Some(sort), None) => {
            sort.asc == ascending && base_column(&sort.expr, input).as_deref() == Some(TIME_COLUMN)
        }
        _ => false,
    }
}

fn of_sort(sort: &Sort) -> Option<RequiredRows> {
    let [first] = sort.expr.as_slice() else {
        return None;
    };
    let is_by_time = base_column(&first.expr, &sort.input)? == TIME_COLUMN;
    let is_ours = is_by_time && !first.asc && scan_below(&sort.input).is_some();
    is_ours.then_some(RequiredRows::NewestRows(sort.fetch?))
}

/// Returns the scan of a table of a snapshot if there are only projections and filters between `plan` and the scan, and
/// the filters were pushed down into the scan.
fn scan_below(plan: &LogicalPlan) -> Option<&TableScan> {
    let mut filters = Vec::new();
    let mut node = plan;
    loop {
        match node {
            LogicalPlan::Filter(filter) => {
                filters.extend(split_conjunction(&filter.predicate));
                node = &filter.input;
            }
            LogicalPlan::Projection(projection) => node = &projection.input,
            LogicalPlan::SubqueryAlias(alias) => node = &alias.input,
            LogicalPlan::TableScan(scan) => {
                let knows = filters.iter().all(|filter| scan.filters.contains(filter));
                let is_ours = table_of(scan).is_some() && scan.fetch.is_none();
                return (knows && is_ours).then_some(scan);
            }
            _ => return None,
        }
    }
}

/// Returns the table that a scan reads, if its caches may answer.
pub(super) fn table_of(scan: &TableScan) -> Option<CachedTable> {
    let source = source_as_provider(&scan.source).ok()?;
    let provider: &dyn std::any::Any = source.as_ref();
    provider.downcast_ref::<CachedTable>().cloned()
}

/// Resolves an expression over a plan to a column of the table; `None` if it is not a column.
fn base_column(expr: &Expr, plan: &LogicalPlan) -> Option<String> {
    let column = match expr {
        Expr::Column(column) => column,
        Expr::Alias(alias) => return base_column(&alias.expr, plan),
        _ => return None,
    };
    base_name(column, plan)
}

fn base_name(column: &Column, plan: &LogicalPlan) -> Option<String> {
    match plan {
        LogicalPlan::TableScan(_) => Some(column.name.clone()),
        LogicalPlan::Filter(filter) => base_name(column, &filter.input),
        LogicalPlan::SubqueryAlias(alias) => {
            let at = alias.schema.maybe_index_of_column(column)?;
            let (relation, field) = alias.input.schema().qualified_field(at);
            base_name(&Column::new(relation.cloned(), field.name()), &alias.input)
        }
        LogicalPlan::Projection(projection) => {
            let at = projection.schema.maybe_index_of_column(column)?;
            base_column(projection.expr.get(at)?, &projection.input)
        }
        _ => None,
    }
}
