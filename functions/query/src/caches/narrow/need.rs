//! What a plan needs of the rows of a table.

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

use crate::scan::SnapshotTable;

/// Which rows of a table are enough.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Need {
    /// Of each combination of values of these tags one row, with the greatest time.
    Values(BTreeSet<String>),
    /// Of each combination of values of these tags the newest row.
    Newest {
        /// The tags.
        keys: BTreeSet<String>,
        /// Whether it matters which one, if several are equally new.
        by_one: bool,
        /// Fields of which older values count where the newest row has none.
        filled: BTreeSet<String>,
    },
    /// So many of the newest rows.
    Top(usize),
}

impl Need {
    /// What the top of a plan needs of the one table below it, if it is of a known shape.
    pub(super) fn of(plan: &LogicalPlan) -> Option<Self> {
        match plan {
            LogicalPlan::Aggregate(aggregate) => of_aggregate(aggregate),
            LogicalPlan::Sort(sort) => of_sort(sort),
            _ => None,
        }
    }
}

fn of_aggregate(aggregate: &Aggregate) -> Option<Need> {
    let scan = scan_below(&aggregate.input)?;
    let tags = table_of(scan)?.table().tag_names();
    let groups = aggregate.group_expr.iter();
    let groups = groups.map(|group| base_column(group, &aggregate.input));
    let groups: BTreeSet<String> = groups.collect::<Option<_>>()?;
    if !groups.iter().all(|group| tags.contains(group)) {
        return None;
    }
    let mut only_values = !groups.is_empty();
    let (mut by_one, mut filled) = (false, BTreeSet::new());
    for expr in &aggregate.aggr_expr {
        match of_function(expr, &aggregate.input, &groups)? {
            Wants::Time => {}
            Wants::Row => only_values = false,
            Wants::Value(field) => {
                (only_values, by_one) = (false, true);
                filled.insert(field);
            }
        }
    }
    Some(match only_values {
        true => Need::Values(groups),
        false => Need::Newest {
            keys: groups,
            by_one,
            filled,
        },
    })
}

/// What an aggregate function looks at.
enum Wants {
    /// The greatest time.
    Time,
    /// The newest row, any of several.
    Row,
    /// The newest value of a field that is not null; of several rows, a certain one.
    Value(String),
}

fn of_function(expr: &Expr, input: &LogicalPlan, groups: &BTreeSet<String>) -> Option<Wants> {
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
    let arguments = params.args.iter().map(|arg| base_column(arg, input));
    let arguments: Vec<String> = arguments.collect::<Option<_>>()?;
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let keeps_nulls = params.null_treatment != Some(NullTreatment::IgnoreNulls);
    match (func.name(), arguments.as_slice()) {
        ("max", [TIME_COLUMN]) => Some(Wants::Time),
        ("selector_last", [field, TIME_COLUMN]) => Some(Wants::Value((*field).to_owned())),
        ("last_value", [_]) if keeps_nulls => {
            let by_time = is_by_time(&params.order_by, input, groups, true);
            by_time.then_some(Wants::Row)
        }
        ("first_value", [_]) if keeps_nulls => {
            let by_time = is_by_time(&params.order_by, input, groups, false);
            by_time.then_some(Wants::Row)
        }
        _ => None,
    }
}

/// Whether an order within a group is that of time alone.
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

fn of_sort(sort: &Sort) -> Option<Need> {
    let [first] = sort.expr.as_slice() else {
        return None;
    };
    let is_by_time = base_column(&first.expr, &sort.input)? == TIME_COLUMN;
    let is_ours = is_by_time && !first.asc && scan_below(&sort.input).is_some();
    is_ours.then_some(Need::Top(sort.fetch?))
}

/// The scan of a table of a snapshot below nothing but filters that it knows of and projections.
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

/// The table that a scan reads, if it is one of a snapshot.
pub(super) fn table_of(scan: &TableScan) -> Option<SnapshotTable> {
    let provider = source_as_provider(&scan.source).ok()?;
    let provider: &dyn std::any::Any = provider.as_ref();
    provider.downcast_ref::<SnapshotTable>().cloned()
}

/// The column of the table that an expression over a plan is.
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
