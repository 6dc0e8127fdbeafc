//! Aggregates and selectors over groups of rows.

use datafusion::{
    common::{Result, plan_err},
    functions::expr_fn::{coalesce, floor, get_field, nullif},
    functions_aggregate::expr_fn::{
        array_agg, avg, count, count_distinct, first_value, max, median, min, stddev, sum,
    },
    functions_nested::expr_fn::{array_element, array_sort},
    logical_expr::{Expr, ExprFunctionExt, LogicalPlan, LogicalPlanBuilder, cast, ident, lit},
};
use neap_formats::series::AnswerInterface;
use neap_influxql::{Call, Expr as Ast, Fill};
use neap_schema::{ColumnType, TIME_COLUMN};

use super::{
    argument_types::check_type,
    condition::nanos,
    forecast,
    group_values::{GroupValues, drop_empty_rows},
    integral,
    mode::mode,
    query::{AnswerPart, SelectQuery, output_column},
    series,
    shape::{argument, number},
    time::StatementTimeRange,
    typed_expr::{TypedExpr, is_number},
};

/// The name of the column with the start of the window.
const WINDOW: &str = "window";

/// The distinct aggregate expressions of a plan under construction.
#[derive(Debug, Default)]
struct AggregateExprs(Vec<Expr>);

impl AggregateExprs {
    /// Adds an aggregate, unless it exists, and returns its column.
    fn column(&mut self, aggregate: Expr) -> Expr {
        let known = self.0.iter().position(|known| *known == aggregate);
        let index = known.unwrap_or_else(|| {
            self.0.push(aggregate);
            self.0.len() - 1
        });
        ident(format!("agg:{index}"))
    }

    fn named(self) -> Vec<Expr> {
        let named = self.0.into_iter().enumerate();
        named
            .map(|(index, aggregate)| aggregate.alias(format!("agg:{index}")))
            .collect()
    }
}

/// The value of a call, computed from the columns of aggregates.
struct AggregateValue {
    value: TypedExpr,
    /// Whether the value is 0 if there are no rows.
    is_count: bool,
    /// Whether `FILL` gives the value to windows without rows.
    is_filled: bool,
}

impl SelectQuery<'_> {
    pub(super) fn aggregate(&self, rows: LogicalPlan) -> Result<AnswerPart> {
        let mut computed = self.groups(rows)?;
        if !self.survey.series_calls().is_empty() {
            computed = series::over_groups(self, computed)?;
        }
        if !self.survey.forecast_calls().is_empty() {
            computed = forecast::over_groups(self, computed)?;
        }
        self.project(computed.plan, ident(TIME_COLUMN), Vec::new(), &|expr| {
            let known = computed.values.iter().find(|(call, _)| call == expr);
            known.map(|(_, value)| value.clone())
        })
    }

    /// Plans a query for the distinct values of a field.
    pub(super) fn distinct(&self, rows: LogicalPlan, call: &Call) -> Result<AnswerPart> {
        const VALUE: &str = "value";
        let argument = argument(call).map_or_else(TypedExpr::null, |column| self.argument(column));
        let mut groups: Vec<Expr> = self.tag_columns().collect();
        groups.push(argument.expr.clone().alias(VALUE));
        let time = match &self.window {
            Some(window) => {
                let start = self.window_start(window, ident(TIME_COLUMN))?;
                groups.push(start.alias(WINDOW));
                ident(WINDOW)
            }
            None => self.whole_range(),
        };
        let plan = LogicalPlanBuilder::from(rows).aggregate(groups, Vec::<Expr>::new())?.build()?;
        let value = TypedExpr { expr: ident(VALUE), kind: argument.kind };
        let mut part = self.project(plan, time, Vec::new(), &|expr| {
            matches!(expr, Ast::Call(_)).then(|| value.clone())
        })?;
        part.keys.push(output_column(0));
        Ok(part)
    }

    /// Plans one row for each group, or for each group and window.
    fn groups(&self, rows: LogicalPlan) -> Result<GroupValues> {
        let calls = self.survey.group_calls();
        let rows = integral::with_neighbours(self, rows, &calls)?;
        let mut aggregates = AggregateExprs::default();
        let mut combined = Vec::with_capacity(calls.len());
        let has_epoch = self.interface == AnswerInterface::V1 && self.survey.has_only_integrals();
        let mut time = if has_epoch {
            nanos(0)
        } else {
            self.whole_range()
        };
        for call in &calls {
            let (value, selected) = self.combined(call, &mut aggregates)?;
            if let Some(selected) = selected {
                time = selected;
            }
            combined.push(value);
        }
        let calls = calls.into_iter().map(Ast::Call).zip(combined);
        let mut groups = self.grouped(rows, aggregates, time, calls.collect())?;
        if self.window.is_some() && self.fill == Fill::None && self.survey.has_only_integrals() {
            groups.plan = drop_empty_rows(groups.plan, &groups.values)?;
        }
        Ok(groups)
    }

    /// Returns the range of the windows; `None` if filters of the plan have its bounds. A plan with copies of them would not be
    /// kept for other times.
    fn unfiltered_range(&self) -> Option<StatementTimeRange> {
        let has_bounds = self.range.lower.is_some() && self.range.upper.is_some();
        let is_filtered = self.reads_tables && has_bounds;
        (!is_filtered).then_some(self.range)
    }

    /// Groups rows, computes the values of `calls`, and fills windows without rows.
    fn grouped(
        &self,
        rows: LogicalPlan,
        mut aggregates: AggregateExprs,
        time: Expr,
        calls: Vec<(Ast, AggregateValue)>,
    ) -> Result<GroupValues> {
        let mut groups: Vec<Expr> = self.tag_columns().collect();
        let time = match &self.window {
            Some(window) => {
                let start = match self.fill {
                    Fill::None => window.start(self.functions, ident(TIME_COLUMN))?,
                    _ => window.start_with_gaps(
                        self.functions,
                        ident(TIME_COLUMN),
                        self.unfiltered_range(),
                    )?,
                };
                groups.push(start.alias(WINDOW));
                match self.fill {
                    Fill::None => ident(WINDOW),
                    _ => window.without_zone(ident(WINDOW)),
                }
            }
            None => time,
        };
        // Without group columns, DataFusion returns a row even for no input.
        let rows_of_all = groups.is_empty().then(|| aggregates.column(count(lit(1_i64))));
        let mut plan = LogicalPlanBuilder::from(rows).aggregate(groups, aggregates.named())?;
        if let Some(rows_of_all) = rows_of_all {
            plan = plan.filter(rows_of_all.gt(lit(0_i64)))?;
        }
        let mut columns = vec![time.alias(TIME_COLUMN)];
        columns.extend(self.tag_columns());
        let mut values = Vec::with_capacity(calls.len());
        for (index, (call, combined)) in calls.into_iter().enumerate() {
            let name = format!("call:{index}");
            let kind = combined.value.kind;
            columns.push(self.filled(combined)?.alias(&name));
            let expr = ident(name);
            values.push((call, TypedExpr { expr, kind }));
        }
        let plan = plan.project(columns)?.build()?;
        Ok(GroupValues { plan, values })
    }

    /// Applies `FILL` to a value.
    fn filled(&self, combined: AggregateValue) -> Result<Expr> {
        let TypedExpr { expr, kind } = combined.value;
        let (Some(kind), true) = (kind, self.window.is_some() && combined.is_filled) else {
            return Ok(expr);
        };
        let or_null = |expr: Expr| {
            if combined.is_count {
                nullif(expr, lit(0_i64))
            } else {
                expr
            }
        };
        match &self.fill {
            Fill::Null | Fill::None => Ok(expr),
            Fill::Previous => self.functions.call("locf", vec![or_null(expr)]),
            Fill::Linear if is_number(kind) => {
                self.functions.call("interpolate", vec![or_null(expr)])
            }
            Fill::Linear => Ok(expr),
            // As in InfluxDB 1, a number is an empty text and false.
            Fill::Value(_) if self.interface == AnswerInterface::V1 && !is_number(kind) => {
                let missing = match kind {
                    ColumnType::Boolean => lit(false),
                    _ => lit(""),
                };
                Ok(coalesce(vec![expr, missing]))
            }
            Fill::Value(literal) => {
                let value = TypedExpr::of_literal(literal).read_as(kind);
                if value.kind == Some(kind) {
                    Ok(coalesce(vec![or_null(expr), value.expr]))
                } else {
                    Ok(expr)
                }
            }
        }
    }

    /// Returns the value of a call, and its time if it is the only selector of a query without windows.
    fn combined(
        &self,
        call: &Call,
        aggregates: &mut AggregateExprs,
    ) -> Result<(AggregateValue, Option<Expr>)> {
        let argument = argument(call).map_or_else(TypedExpr::null, |column| self.argument(column));
        let Some(kind) = argument.kind else {
            let nothing =
                AggregateValue { value: TypedExpr::null(), is_count: false, is_filled: true };
            return Ok((nothing, None));
        };
        check_type(&call.name, kind)?;
        let is_alone = self.survey.only_selector().is_some() && self.window.is_none();
        let selects = match call.name.as_str() {
            "first" | "last" => true,
            "max" | "min" => is_alone,
            _ => false,
        };
        if selects {
            let function = format!("selector_{}", call.name);
            let function = self.functions.aggregate(&function)?;
            let selected =
                aggregates.column(function.call(vec![argument.expr, ident(TIME_COLUMN)]));
            let time = is_alone.then(|| get_field(selected.clone(), "time"));
            let value = TypedExpr::new(get_field(selected, "value"), kind);
            let combined = AggregateValue { value, is_count: false, is_filled: true };
            return Ok((combined, time));
        }
        let mut value = match call.name.as_str() {
            "integral" => integral::total(self, call, |sum| aggregates.column(sum))?,
            _ => plain(call, argument.expr, kind, aggregates)?,
        };
        let is_unfilled = self.window.is_none() || self.fill == Fill::None;
        if self.interface == AnswerInterface::V1 && call.name == "count" && is_unfilled {
            // As in InfluxDB 1, only FILL makes a count of 0.
            value.expr = nullif(value.expr, lit(0_i64));
        }
        let combined = AggregateValue { value, is_count: call.name == "count", is_filled: true };
        Ok((combined, None))
    }

    /// Fills the windows between selected rows, one of which exists for each group and window. In InfluxDB 3, only the
    /// selector is filled, because the other columns of the row are unknown there.
    pub(super) fn fill_selected(
        &self,
        rows: LogicalPlan,
        values: Vec<(Ast, TypedExpr)>,
    ) -> Result<GroupValues> {
        let mut aggregates = AggregateExprs::default();
        let calls = values.into_iter().map(|(expr, value)| {
            let only = aggregates.column(first_value(value.expr, Vec::new()));
            let value = TypedExpr { expr: only, kind: value.kind };
            let is_filled = matches!(expr, Ast::Call(_)) || self.fills_other_columns(&value);
            let combined = AggregateValue { value, is_count: false, is_filled };
            (expr, combined)
        });
        let calls = calls.collect();
        self.grouped(rows, aggregates, nanos(0), calls)
    }
}

impl SelectQuery<'_> {
    /// Whether the columns next to a selector are filled, as in InfluxDB 1.
    fn fills_other_columns(&self, value: &TypedExpr) -> bool {
        self.interface == AnswerInterface::V1
            && match self.fill {
                Fill::Previous => true,
                Fill::Value(_) => value.is_number(),
                Fill::Null | Fill::None | Fill::Linear => false,
            }
    }
}

/// Plans the aggregates that depend only on the rows of the group.
fn plain(
    call: &Call,
    x: Expr,
    kind: ColumnType,
    aggregates: &mut AggregateExprs,
) -> Result<TypedExpr> {
    let float = || cast(x.clone(), ColumnType::Float.data_type());
    let (expr, kind) = match call.name.as_str() {
        "count" if matches!(call.args.first(), Some(Ast::Call(_))) => {
            (count_distinct(x), ColumnType::Integer)
        }
        "count" => (count(x), ColumnType::Integer),
        "max" => (max(x), kind),
        "mean" => (avg(float()), ColumnType::Float),
        "median" => (median(float()), ColumnType::Float),
        "min" => (min(x), kind),
        "mode" => (mode(x, ident(TIME_COLUMN)), kind),
        "percentile" => return percentile(call, x, kind, aggregates),
        "spread" => {
            let (least, most) = (aggregates.column(min(x.clone())), aggregates.column(max(x)));
            return Ok(TypedExpr::new(most - least, kind));
        }
        "stddev" => (stddev(float()), ColumnType::Float),
        "sum" => (sum(x), kind),
        other => return plan_err!("unsupported function {other}()"),
    };
    Ok(TypedExpr::new(aggregates.column(expr), kind))
}

/// Returns the value at the nearest rank, or NULL if that is before the first value.
fn percentile(
    call: &Call,
    x: Expr,
    kind: ColumnType,
    aggregates: &mut AggregateExprs,
) -> Result<TypedExpr> {
    // A rank before the first value is none.
    let percent = number(call.args.get(1)).unwrap_or_default().max(0.0);
    let all = array_agg(x.clone()).filter(x.clone().is_not_null()).build()?;
    let all = aggregates.column(all);
    let sorted = array_sort(all, lit("ASC"), lit("NULLS FIRST"));
    let rank = nearest_rank(aggregates.column(count(x)), percent);
    Ok(TypedExpr::new(array_element(sorted, rank), kind))
}

/// Returns the rank of a percentile among `count` values, counted from 1.
pub(super) fn nearest_rank(count: Expr, percent: f64) -> Expr {
    let count = cast(count, ColumnType::Float.data_type());
    let rank = count * lit(percent) / lit(100.0) + lit(0.5);
    let rank = floor(rank);
    cast(rank, ColumnType::Integer.data_type())
}
