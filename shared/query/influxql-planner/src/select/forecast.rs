//! `holt_winters` and `holt_winters_with_fit`: forecasts of the values of windows.
//!
//! The values of a series are gathered, and their forecast becomes rows again. Rows of other calls are merged with them by
//! time.

use std::sync::Arc;

use arrow::{
    array::{
        Array, ArrayRef, AsArray, Float64Array, ListArray, StructArray, TimestampNanosecondArray,
    },
    buffer::OffsetBuffer,
    compute::cast as cast_array,
    datatypes::{DataType, Field, Fields, Float64Type, Int64Type},
};
use async_trait::async_trait;
use datafusion::{
    common::{Column, NullHandling, Result, UnnestOptions, exec_err, plan_err},
    functions::expr_fn::{get_field, named_struct},
    functions_aggregate::expr_fn::{array_agg, max},
    logical_expr::{
        ColumnarValue, Expr, ExprFunctionExt, LogicalPlan, LogicalPlanBuilder, ScalarFunctionArgs,
        ScalarUDFImpl, Signature, Volatility,
        async_udf::{AsyncScalarUDF, AsyncScalarUDFImpl},
        cast, ident, lit,
    },
};
use neap_influxql::{Call, Expr as Ast};
use neap_schema::{ColumnType, TIME_COLUMN};

use super::{
    argument_types::check_type,
    columns::null_of,
    group_values::{GroupValues, drop_empty_rows},
    holt_winters::Forecast,
    query::SelectQuery,
    relation::union,
    typed_expr::TypedExpr,
    window::WindowSpec,
};

/// Maximum points in the forecasts that are computed together.
const MAX_POINTS: usize = 5_000_000;

/// The column with the points of a series, and that with the values of a forecast.
const POINTS: &str = "points";

/// Replaces the values of groups by forecasts of them. The values that the answer has too are kept.
pub(super) fn over_groups(query: &SelectQuery<'_>, computed: GroupValues) -> Result<GroupValues> {
    let GroupValues { plan, values } = computed;
    let mut unknown = Vec::new();
    let mut parts = Vec::new();
    for call in query.survey.forecast_calls() {
        let argument = values.iter().find(|(known, _)| call.args.first() == Some(known));
        let typed = argument.and_then(|(_, value)| Some((value, value.kind?)));
        let Some((value, kind)) = typed else {
            unknown.push((Ast::Call(call), TypedExpr::null()));
            continue;
        };
        check_type(&call.name, kind)?;
        let points = TypedExpr::new(ident(POINTS), ColumnType::Float);
        parts.push(GroupValues {
            plan: forecast(query, plan.clone(), &call, &value.expr)?,
            values: vec![(Ast::Call(call), points)],
        });
    }
    let has_plain_groups = query.survey.has_plain_groups();
    let steps = query.survey.series_calls();
    let is_shown = |value: &Ast| {
        let is_step = matches!(value, Ast::Call(call) if steps.contains(call));
        is_step || has_plain_groups || parts.is_empty()
    };
    let shown: Vec<_> = values.into_iter().filter(|(value, _)| is_shown(value)).collect();
    if !shown.is_empty() {
        let plan = if has_plain_groups {
            plan
        } else {
            drop_empty_rows(plan, &shown)?
        };
        parts.push(GroupValues { plan, values: shown });
    }
    let mut merged = merged(query, parts)?;
    merged.values.extend(unknown);
    Ok(merged)
}

/// Merges the rows of the same time and tags.
fn merged(query: &SelectQuery<'_>, mut parts: Vec<GroupValues>) -> Result<GroupValues> {
    if parts.len() == 1
        && let Some(only) = parts.pop()
    {
        return Ok(only);
    }
    let keys = || std::iter::once(ident(TIME_COLUMN)).chain(query.tag_columns());
    let column = |index: usize| format!("value:{index}");
    let all: Vec<_> = parts.iter().flat_map(|part| part.values.clone()).collect();
    let mut plans = Vec::with_capacity(parts.len());
    let mut first = 0;
    for part in parts {
        let own = first..first + part.values.len();
        first = own.end;
        let mut columns: Vec<Expr> = keys().collect();
        for (index, (_, value)) in all.iter().enumerate() {
            let expr = if own.contains(&index) {
                value.expr.clone()
            } else {
                null_of(value.kind.unwrap_or(ColumnType::Float))?
            };
            columns.push(expr.alias(column(index)));
        }
        plans.push(LogicalPlanBuilder::from(part.plan).project(columns)?.build()?);
    }
    let Some(rows) = union(plans)? else {
        return plan_err!("a forecast needs a value");
    };
    let only = (0..all.len()).map(|index| max(ident(column(index))).alias(column(index)));
    let plan = LogicalPlanBuilder::from(rows).aggregate(keys(), only)?.build()?;
    let values = all.into_iter().enumerate().map(|(index, (call, value))| {
        let expr = ident(column(index));
        let kind = value.kind;
        (call, TypedExpr { expr, kind })
    });
    Ok(GroupValues { plan, values: values.collect() })
}

/// Plans the rows of a forecast of values in `plan`.
fn forecast(
    query: &SelectQuery<'_>,
    plan: LogicalPlan,
    call: &Call,
    value: &Expr,
) -> Result<LogicalPlan> {
    let Some(interval) = query.window.as_ref().and_then(WindowSpec::nanos) else {
        return plan_err!(
            "{} takes windows of a fixed length, without months and years",
            call.name
        );
    };
    let Some(forecast) = Forecast::from_call(call, interval)? else {
        return plan_err!("{} is no forecast", call.name);
    };
    let float = cast(value.clone(), ColumnType::Float.data_type());
    let point = named_struct(vec![lit("time"), ident(TIME_COLUMN), lit("value"), float]);
    let points = array_agg(point).filter(value.clone().is_not_null()).build()?;
    let function = AsyncScalarUDF::new(Arc::new(ForecastFunction {
        forecast,
        signature: Signature::any(1, Volatility::Immutable),
    }));
    let forecasts = function.into_scalar_udf().call(vec![ident(POINTS)]);
    let field = |name: &str| get_field(ident(POINTS), name);
    let with_tags = |first: Option<Expr>, last: Expr| -> Vec<Expr> {
        first.into_iter().chain(query.tag_columns()).chain([last]).collect()
    };
    let only_points = UnnestOptions::new().with_null_handling(NullHandling::Drop);
    LogicalPlanBuilder::from(plan)
        .aggregate(query.tag_columns(), [points.alias(POINTS)])?
        .project(with_tags(None, forecasts.alias(POINTS)))?
        .unnest_column_with_options(Column::from_name(POINTS), only_points)?
        .project(with_tags(Some(field("time").alias(TIME_COLUMN)), field("value").alias(POINTS)))?
        .build()
}

/// The function that takes the list of the points of a series and returns that of the forecast. It is asynchronous, so that
/// other tasks run while it computes, and so that it ends with the query.
#[derive(Debug, PartialEq, Eq, Hash)]
struct ForecastFunction {
    forecast: Forecast,
    signature: Signature,
}

impl ForecastFunction {
    fn fields() -> Fields {
        let time = Field::new("time", ColumnType::Time.data_type(), true);
        let value = Field::new("value", ColumnType::Float.data_type(), true);
        Fields::from(vec![time, value])
    }
}

impl ScalarUDFImpl for ForecastFunction {
    fn name(&self) -> &str {
        "holt_winters"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arg_types: &[DataType]) -> Result<DataType> {
        Ok(DataType::new_list(DataType::Struct(Self::fields()), true))
    }

    fn invoke_with_args(&self, _args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        exec_err!("a forecast is computed asynchronously")
    }
}

#[async_trait]
impl AsyncScalarUDFImpl for ForecastFunction {
    async fn invoke_async_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let [argument] = args.args.as_slice() else {
            return exec_err!("a forecast takes the points of a series");
        };
        let lists = argument.to_array(args.number_rows)?;
        let (mut times, mut values, mut lengths) = (Vec::new(), Vec::new(), Vec::new());
        for row in 0..lists.len() {
            if self.forecast.count.saturating_add(times.len()) > MAX_POINTS {
                return exec_err!("forecasts have more than {MAX_POINTS} points");
            }
            let series = points(&lists, row)?;
            let forecast = self.forecast.of(&series).await?;
            lengths.push(forecast.len());
            for (time, value) in forecast {
                times.push(time);
                values.push(value);
            }
        }
        let columns: Vec<ArrayRef> = vec![
            Arc::new(TimestampNanosecondArray::from(times)),
            Arc::new(Float64Array::from(values)),
        ];
        let points = StructArray::try_new(Self::fields(), columns, None)?;
        let item = Arc::new(Field::new_list_field(points.data_type().clone(), true));
        let offsets = OffsetBuffer::from_lengths(lengths);
        let lists = ListArray::try_new(item, offsets, Arc::new(points), None)?;
        Ok(ColumnarValue::Array(Arc::new(lists)))
    }
}

/// Returns the points of a series, in the order of their times.
fn points(lists: &ArrayRef, row: usize) -> Result<Vec<(i64, f64)>> {
    if lists.is_null(row) {
        return Ok(Vec::new());
    }
    let list = lists.as_list::<i32>().value(row);
    let [times, values] = list.as_struct().columns() else {
        return exec_err!("a point has a time and a value");
    };
    let nanos = cast_array(times, &DataType::Int64)?;
    let rows = nanos
        .as_primitive::<Int64Type>()
        .iter()
        .zip(values.as_primitive::<Float64Type>());
    let mut points: Vec<_> = rows.filter_map(|(time, value)| Some((time?, value?))).collect();
    points.sort_by_key(|(time, _)| *time);
    Ok(points)
}
