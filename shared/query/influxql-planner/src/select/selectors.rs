//! Selectors that return rows: with other columns of the row, or with several rows.

use datafusion::{
    common::{Result, plan_err},
    functions::expr_fn::{concat, md5},
    functions_aggregate::count::count_udaf,
    functions_window::expr_fn::row_number,
    logical_expr::{
        Expr, ExprFunctionExt, LogicalPlan, LogicalPlanBuilder, SortExpr, cast,
        expr::WindowFunction, ident, lit, when,
    },
};
use neap_influxql::{Call, Column, Expr as Ast, Fill};
use neap_schema::{ColumnType, TIME_COLUMN};
use neap_tables::balanced;

use super::{
    aggregate::nearest_rank,
    argument_types::check_type,
    columns::{ResolvedColumn, tag_column},
    query::{AnswerPart, SelectQuery},
    shape::{self, argument, number},
    typed_expr::TypedExpr,
};

/// The column with the start of a row's window.
const WINDOW: &str = "window";
/// The column with the rank of a row in its group.
const RANK: &str = "rank";
/// The column with the number of rows in the group.
const TOTAL: &str = "total";

/// Plans a query of one selector.
pub(super) fn plan(query: &SelectQuery<'_>, rows: LogicalPlan, call: &Call) -> Result<AnswerPart> {
    let value = argument(call).map_or_else(TypedExpr::null, |column| query.argument(column));
    if let Some(kind) = value.kind {
        check_type(&call.name, kind)?;
    }
    let (mut plan, groups) = with_windows(query, rows)?;
    let order = order(query, call, &value.expr)?;
    let tags = picked_tags(call);
    if !tags.is_empty() {
        let mut series = groups.clone();
        for tag in tags {
            series.extend(tag_value(query, call, tag)?);
        }
        plan = ranked(plan, series, order.clone(), "best")?;
        plan = LogicalPlanBuilder::from(plan).filter(ident("best").eq(lit(1_u64)))?.build()?;
    }
    if call.name == "percentile" {
        let count = WindowFunction::new(count_udaf(), vec![value.expr.clone()]);
        let total = Expr::from(count).partition_by(groups.clone()).build()?;
        plan = LogicalPlanBuilder::from(plan).window([total.alias(TOTAL)])?.build()?;
    }
    plan = ranked(plan, groups, order, RANK)?;
    plan = LogicalPlanBuilder::from(plan).filter(is_picked(call))?.build()?;
    project(query, plan, call, value)
}

/// Plans a query of several samples. Each row of the answer is one that at least one call picks, with nulls for the others.
pub(super) fn samples(
    query: &SelectQuery<'_>,
    rows: LogicalPlan,
    calls: &[Call],
) -> Result<AnswerPart> {
    let (mut plan, groups) = with_windows(query, rows)?;
    let mut sampled = Vec::with_capacity(calls.len());
    for (index, call) in calls.iter().enumerate() {
        let value = argument(call).map_or_else(TypedExpr::null, |column| query.argument(column));
        let rank = format!("{RANK}:{index}");
        let mut order = vec![value.expr.clone().is_null().sort(true, false)];
        order.extend(self::order(query, call, &value.expr)?);
        plan = ranked(plan, groups.clone(), order, &rank)?;
        let rows = shape::count(call.args.last()).unwrap_or_default();
        let picked = when(ident(rank).lt_eq(lit(rows)), value.expr).end()?;
        let value = TypedExpr { expr: picked, kind: value.kind };
        sampled.push((Ast::Call(call.clone()), value));
    }
    let any = sampled.iter().map(|(_, value)| value.expr.clone().is_not_null());
    let plan = LogicalPlanBuilder::from(plan)
        .filter(balanced(any.collect(), Expr::or))?
        .build()?;
    query.project(plan, ident(TIME_COLUMN), query.row_keys(), &|expr| {
        let known = sampled.iter().find(|(call, _)| call == expr);
        known.map(|(_, value)| value.clone())
    })
}

/// Projects the columns of a selected row. With windows, the row of a selector of single rows gets the time of its
/// window.
fn project(
    query: &SelectQuery<'_>,
    plan: LogicalPlan,
    call: &Call,
    value: TypedExpr,
) -> Result<AnswerPart> {
    let picked = Ast::Call(call.clone());
    let leaf = |expr: &Ast| match expr {
        Ast::Column(column) => Some(query.read(column)),
        _ if *expr == picked => Some(value.clone()),
        _ => None,
    };
    let is_window = query.window.is_some() && picks_one(call);
    if is_window && query.fill != Fill::None {
        let mut values = vec![(picked.clone(), value.clone())];
        for output in &query.outputs {
            add_columns(query, &output.expr, &mut values);
        }
        let computed = query.fill_selected(plan, values)?;
        return query.project(computed.plan, ident(TIME_COLUMN), Vec::new(), &|expr| {
            let known = computed.values.iter().find(|(known, _)| known == expr);
            known.map_or_else(|| grouped_tag(query, expr), |(_, value)| Some(value.clone()))
        });
    }
    let time = if is_window { WINDOW } else { TIME_COLUMN };
    query.project(plan, ident(time), query.row_keys(), &leaf)
}

/// Returns a tag of `GROUP BY`.
fn grouped_tag(query: &SelectQuery<'_>, expr: &Ast) -> Option<TypedExpr> {
    let Ast::Column(column) = expr else {
        return None;
    };
    let is_tag = query.columns.resolve(column) == ResolvedColumn::Tag;
    let is_grouped = is_tag && query.tags.contains(&column.name);
    is_grouped.then(|| query.read(column))
}

/// Collects the columns of an expression outside of selector calls.
fn add_columns(query: &SelectQuery<'_>, expr: &Ast, values: &mut Vec<(Ast, TypedExpr)>) {
    match expr {
        // A window without rows has the tags of its group, too.
        Ast::Column(_) if grouped_tag(query, expr).is_some() => {}
        Ast::Column(column) if !values.iter().any(|(known, _)| known == expr) => {
            values.push((expr.clone(), query.read(column)));
        }
        Ast::Binary { left, right, .. } => {
            add_columns(query, left, values);
            add_columns(query, right, values);
        }
        Ast::Call(call) if shape::class(&call.name) == Some(shape::FunctionClass::Math) => {
            for arg in &call.args {
                add_columns(query, arg, values);
            }
        }
        _ => {}
    }
}

/// Returns the column of a tag argument of `top` or `bottom`. A name that is no column counts as a tag that all rows
/// lack, so it has one value.
fn tag_value(query: &SelectQuery<'_>, call: &Call, tag: &Column) -> Result<Option<Expr>> {
    match query.columns.resolve(tag) {
        ResolvedColumn::Tag => Ok(Some(ident(tag_column(&tag.name)))),
        ResolvedColumn::Unknown => Ok(None),
        ResolvedColumn::Field(..) | ResolvedColumn::Time => {
            plan_err!("invalid argument for {}: {} is not a tag", call.name, tag.name)
        }
    }
}

/// Adds the starts of windows, if the query has any. Returns the columns of the groups, too.
fn with_windows(query: &SelectQuery<'_>, rows: LogicalPlan) -> Result<(LogicalPlan, Vec<Expr>)> {
    let mut groups: Vec<Expr> = query.tag_columns().collect();
    let Some(window) = &query.window else {
        return Ok((rows, groups));
    };
    let start = query.window_start(window, ident(TIME_COLUMN))?;
    groups.push(ident(WINDOW));
    Ok((with_column(rows, start.alias(WINDOW))?, groups))
}

fn with_column(plan: LogicalPlan, column: Expr) -> Result<LogicalPlan> {
    let existing = plan.schema().columns().into_iter().map(Expr::Column);
    let all: Vec<Expr> = existing.chain([column]).collect();
    LogicalPlanBuilder::from(plan).project(all)?.build()
}

/// Adds the ranks of rows in their groups, counted from 1.
fn ranked(
    plan: LogicalPlan,
    groups: Vec<Expr>,
    order: Vec<SortExpr>,
    name: &str,
) -> Result<LogicalPlan> {
    let rank = row_number().partition_by(groups).order_by(order).build()?;
    LogicalPlanBuilder::from(plan).window([rank.alias(name)])?.build()
}

/// The order in which a selector prefers rows. Tags come last, so that the order is total.
fn order(query: &SelectQuery<'_>, call: &Call, value: &Expr) -> Result<Vec<SortExpr>> {
    let asc = |expr: Expr| expr.sort(true, false);
    let desc = |expr: Expr| expr.sort(false, false);
    let (time, value) = (ident(TIME_COLUMN), value.clone());
    let mut order = match call.name.as_str() {
        "first" => vec![asc(time), asc(value)],
        "last" => vec![desc(time), desc(value)],
        "max" | "top" => vec![desc(value), asc(time)],
        "sample" => vec![asc(sample_key(query, time))],
        _ => vec![asc(value), asc(time)],
    };
    order.extend(query.other_keys().into_iter().map(|key| asc(ident(key))));
    Ok(order)
}

/// Returns a pseudo-random key of each row, so that a sample is the same each time.
fn sample_key(query: &SelectQuery<'_>, time: Expr) -> Expr {
    let text = ColumnType::String.data_type();
    let keys = query.other_keys().into_iter().map(|key| cast(ident(key), text.clone()));
    let nanos = cast(cast(time, ColumnType::Integer.data_type()), text.clone());
    let key = std::iter::once(nanos).chain(keys).collect();
    md5(concat(key))
}

fn is_picked(call: &Call) -> Expr {
    let rank = ident(RANK);
    match call.name.as_str() {
        "percentile" => {
            let percent = number(call.args.get(1)).unwrap_or_default();
            cast(rank, ColumnType::Integer.data_type()).eq(nearest_rank(ident(TOTAL), percent))
        }
        "bottom" | "sample" | "top" => {
            let rows = shape::count(call.args.last()).unwrap_or_default();
            rank.lt_eq(lit(rows))
        }
        _ => rank.eq(lit(1_u64)),
    }
}

fn picks_one(call: &Call) -> bool {
    !matches!(call.name.as_str(), "bottom" | "sample" | "top")
}

/// Returns the tags of `top(field, tag, ..., n)`. Only the best row of each combination of tag values counts.
fn picked_tags(call: &Call) -> Vec<&Column> {
    if !matches!(call.name.as_str(), "bottom" | "top") {
        return Vec::new();
    }
    let between = call.args.len().saturating_sub(1);
    let tags = call.args.get(1..between).unwrap_or_default().iter();
    tags.filter_map(|tag| match tag {
        Ast::Column(column) => Some(column),
        _ => None,
    })
    .collect()
}
