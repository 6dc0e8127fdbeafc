//! Determines the shape of a query from its field list, and validates the calls.

use datafusion::common::{DataFusionError, Result, plan_err};
use neap_formats::series::AnswerInterface;
use neap_influxql::{Call, Column, Expr as Ast, Literal};
use neap_schema::TIME_COLUMN;

use super::{
    holt_winters::{Forecast, is_forecast},
    indicators::{Indicator, is_indicator},
    math,
};

/// How the rows of an answer derive from those of the tables.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum QueryShape {
    /// One output row for each row.
    Raw,
    /// One output row for each distinct value of a field.
    Distinct(Call),
    /// One output row for each group.
    Aggregate,
    /// One output row for each row, computed with previous rows of its series.
    Series,
    /// The rows that a selector picks.
    Picked(Call),
    /// The rows that any of several calls of `sample` picks.
    Sampled(Vec<Call>),
}

/// The class of a function, by its input and result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FunctionClass {
    /// A single value.
    Math,
    /// A group; returns the value of one row.
    Selector,
    /// A group; returns several rows.
    Picker,
    /// A group; returns its distinct values.
    Distinct,
    /// A group; returns one computed value.
    Aggregate,
    Series,
    /// A series of groups; returns other rows.
    Forecast,
}

/// Returns the class of a function; `None` if it is unknown.
pub(super) fn class(name: &str) -> Option<FunctionClass> {
    Some(match name {
        "first" | "last" | "max" | "min" | "percentile" => FunctionClass::Selector,
        "bottom" | "sample" | "top" => FunctionClass::Picker,
        "distinct" => FunctionClass::Distinct,
        "count" | "integral" | "mean" | "median" | "mode" | "spread" | "stddev" | "sum" => {
            FunctionClass::Aggregate
        }
        "cumulative_sum"
        | "derivative"
        | "difference"
        | "elapsed"
        | "moving_average"
        | "non_negative_derivative"
        | "non_negative_difference" => FunctionClass::Series,
        name if is_indicator(name) => FunctionClass::Series,
        name if is_forecast(name) => FunctionClass::Forecast,
        name if math::is_known(name) => FunctionClass::Math,
        _ => return None,
    })
}

/// Whether InfluxDB has a function that is not computed here.
pub(super) fn is_unsupported(name: &str) -> bool {
    name == "histogram"
}

/// Returns the minimum and maximum number of arguments of a function.
fn arguments(name: &str) -> (usize, usize) {
    match name {
        "derivative" | "non_negative_derivative" | "elapsed" | "integral" => (1, 2),
        "percentile" | "moving_average" | "sample" => (2, 2),
        "bottom" | "top" => (2, usize::MAX),
        // They are checked with the values of the arguments.
        name if is_indicator(name) || is_forecast(name) => (0, usize::MAX),
        _ => (1, 1),
    }
}

/// The calls and columns of a field list by class. Arguments of aggregates and selectors are not included.
#[derive(Debug, Default)]
pub(super) struct FieldCalls {
    /// Whether the rules are those of InfluxDB 1, where they differ.
    is_v1: bool,
    aggregates: Vec<Call>,
    selectors: Vec<Call>,
    pickers: Vec<Call>,
    distincts: Vec<Call>,
    /// Functions of series over rows. Those over groups are in `nested`.
    series: Vec<Call>,
    nested: Vec<Call>,
    forecasts: Vec<Call>,
    columns: usize,
}

impl FieldCalls {
    /// Collects the calls and columns of a field list.
    /// Fails with planning errors for unknown functions, wrong arguments, and functions that can't be combined.
    pub(super) fn try_new<'a>(
        fields: impl Iterator<Item = &'a Ast>,
        interface: AnswerInterface,
    ) -> Result<Self> {
        let mut survey = Self { is_v1: interface == AnswerInterface::V1, ..Self::default() };
        for field in fields {
            survey.add(field)?;
        }
        Ok(survey)
    }

    /// The distinct calls that are computed from groups.
    pub(super) fn group_calls(&self) -> Vec<Call> {
        distinct_calls(self.aggregates.iter().chain(&self.selectors))
    }

    /// The distinct calls that are computed from series.
    pub(super) fn series_calls(&self) -> Vec<Call> {
        distinct_calls(self.series.iter().chain(&self.nested))
    }

    /// The distinct forecasts.
    pub(super) fn forecast_calls(&self) -> Vec<Call> {
        distinct_calls(self.forecasts.iter())
    }

    /// Whether there is an integral, whose value depends on the order of rows.
    pub(super) fn has_integral(&self) -> bool {
        self.aggregates.iter().any(|call| call.name == "integral")
    }

    /// Whether there are integrals, and no other aggregates and selectors.
    pub(super) fn has_only_integrals(&self) -> bool {
        let calls = self.group_calls();
        !calls.is_empty() && calls.iter().all(|call| call.name == "integral")
    }

    /// The only selector, if there are no aggregates and no other selectors.
    pub(super) fn only_selector(&self) -> Option<&Call> {
        let [first, others @ ..] = self.selectors.as_slice() else {
            return None;
        };
        // In InfluxDB 1, equal calls are one.
        let is_only = others.is_empty() || self.is_v1 && others.iter().all(|call| call == first);
        (self.aggregates.is_empty() && is_only).then_some(first)
    }

    /// Whether there are aggregates or selectors that are no arguments of functions of a series and of forecasts.
    pub(super) fn has_plain_groups(&self) -> bool {
        // Each function of a series over groups, and each forecast, has one of them as its argument.
        self.nested.len() + self.forecasts.len() < self.aggregates.len() + self.selectors.len()
    }

    fn add(&mut self, expr: &Ast) -> Result<()> {
        match expr {
            Ast::Column(column) => self.columns += usize::from(column.name != TIME_COLUMN),
            Ast::Binary { left, right, .. } => {
                self.add(left)?;
                self.add(right)?;
            }
            Ast::Call(call) => self.add_call(call)?,
            Ast::Literal(_) => {}
            Ast::Wildcard(_) | Ast::Regex(_) => {
                return plan_err!(
                    "unsupported expression: contains a wildcard or regular expression"
                );
            }
            Ast::Parameter(name) => return plan_err!("no value for parameter ${name}"),
        }
        Ok(())
    }

    fn add_call(&mut self, call: &Call) -> Result<()> {
        let Some(class) = class(&call.name) else {
            return if is_unsupported(&call.name) {
                plan_err!("Invalid function '{}'", call.name)
            } else {
                plan_err!("unsupported function {}()", call.name).map_err(with_influxdb_context)
            };
        };
        if class == FunctionClass::Math {
            return call.args.iter().try_for_each(|arg| self.add(arg));
        }
        check_arguments(call, self.is_v1)?;
        match class {
            FunctionClass::Selector => self.selectors.push(call.clone()),
            FunctionClass::Picker => self.pickers.push(call.clone()),
            FunctionClass::Distinct => self.distincts.push(call.clone()),
            FunctionClass::Series | FunctionClass::Forecast => {
                return self.add_series(call, class);
            }
            FunctionClass::Aggregate | FunctionClass::Math => self.aggregates.push(call.clone()),
        }
        Ok(())
    }

    fn add_series(&mut self, call: &Call, of_call: FunctionClass) -> Result<()> {
        match call.args.first() {
            Some(Ast::Call(inner)) => {
                let is_group = matches!(
                    class(&inner.name),
                    Some(FunctionClass::Selector | FunctionClass::Aggregate)
                );
                if class(&inner.name).is_some() && !is_group {
                    return plan_err!("expected aggregate argument in {}()", call.name)
                        .map_err(with_influxdb_context);
                }
                self.add_call(inner)?;
                if of_call == FunctionClass::Forecast {
                    self.forecasts.push(call.clone());
                } else {
                    self.nested.push(call.clone());
                }
            }
            _ => self.series.push(call.clone()),
        }
        Ok(())
    }

    /// Returns the shape of the query. `asks_windows` is whether it has `GROUP BY time` itself, `has_windows` whether
    /// it or an outer statement has.
    /// Fails with planning errors for calls that can't be combined.
    pub(super) fn shape(&self, asks_windows: bool, has_windows: bool) -> Result<QueryShape> {
        let shape = self.combined()?;
        match shape {
            QueryShape::Series if asks_windows => plan_err!(
                "aggregate function required inside the call to {}",
                self.series.first().map_or("", |call| &call.name)
            )
            .map_err(with_influxdb_context),
            QueryShape::Aggregate if !has_windows => {
                match self.nested.iter().chain(&self.forecasts).next() {
                    Some(Call { name, .. }) => {
                        plan_err!("{name} aggregate requires a GROUP BY interval")
                            .map_err(with_influxdb_context)
                    }
                    None => Ok(QueryShape::Aggregate),
                }
            }
            shape => Ok(shape),
        }
    }

    fn combined(&self) -> Result<QueryShape> {
        let groups = self.aggregates.len() + self.selectors.len();
        let others = groups + self.series.len() + self.nested.len() + self.forecasts.len();
        if let [call] = self.distincts.as_slice()
            && others + self.pickers.len() + self.columns == 0
        {
            return Ok(QueryShape::Distinct(call.clone()));
        }
        if !self.distincts.is_empty() {
            return plan_err!(
                "aggregate function distinct() cannot be combined with other functions or fields"
            )
            .map_err(with_influxdb_context);
        }
        let is_sampled = self.pickers.iter().all(|call| call.name == "sample");
        if self.is_v1 && is_sampled && self.pickers.len() > 1 && others + self.columns == 0 {
            let calls = distinct_calls(self.pickers.iter());
            return Ok(QueryShape::Sampled(calls));
        }
        if let Some(first) = self.pickers.first() {
            if others > 0 || self.pickers.len() > 1 {
                return plan_err!(
                    "selector function {}() cannot be combined with other functions",
                    first.name
                )
                .map_err(with_influxdb_context);
            }
            return Ok(QueryShape::Picked(first.clone()));
        }
        let is_pure = self.series.is_empty() || groups == 0;
        match (self.only_selector(), self.columns) {
            _ if others == 0 => Ok(QueryShape::Raw),
            (Some(selector), columns)
                if others == 1 && (columns > 0 || selector.name == "percentile") =>
            {
                Ok(QueryShape::Picked(selector.clone()))
            }
            (_, 0) if !is_pure => mixing_error(),
            (_, 0) if groups == 0 => Ok(QueryShape::Series),
            (_, 0) => Ok(QueryShape::Aggregate),
            _ if self.aggregates.is_empty() && self.selectors.len() > 1 => {
                plan_err!("mixing multiple selector functions with tags or fields is not supported")
                    .map_err(with_influxdb_context)
            }
            _ => mixing_error(),
        }
    }
}

fn mixing_error<T>() -> Result<T> {
    plan_err!("mixing aggregate and non-aggregate columns is not supported")
        .map_err(with_influxdb_context)
}

/// Adds the context that InfluxDB 3 gives to errors in field lists.
fn with_influxdb_context(error: DataFusionError) -> DataFusionError {
    error
        .context("gather information about select statement")
        .context("rewriting statement")
}

fn distinct_calls<'a>(calls: impl Iterator<Item = &'a Call>) -> Vec<Call> {
    let mut all: Vec<Call> = Vec::new();
    for call in calls {
        if !all.contains(call) {
            all.push(call.clone());
        }
    }
    all
}

fn check_arguments(call: &Call, is_v1: bool) -> Result<()> {
    let (least, most) = arguments(&call.name);
    let given = call.args.len();
    if given < least || given > most {
        return match most {
            usize::MAX => plan_err!(
                "invalid number of arguments for {}, expected at least {least}, got {given}",
                call.name
            ),
            _ => plan_err!(
                "invalid number of arguments for {}, expected {most}, got {given}",
                call.name
            ),
        }
        .map_err(with_influxdb_context);
    }
    let is_right = match call.args.first() {
        Some(Ast::Column(_)) => true,
        Some(Ast::Call(inner)) if call.name == "count" && inner.name == "distinct" => {
            matches!(inner.args.as_slice(), [Ast::Column(_)])
        }
        Some(Ast::Call(_)) => {
            matches!(class(&call.name), Some(FunctionClass::Series | FunctionClass::Forecast))
        }
        _ => false,
    };
    Indicator::from_call(call).map_err(with_influxdb_context)?;
    Forecast::from_call(call, 1).map_err(with_influxdb_context)?;
    if is_forecast(&call.name) && !matches!(call.args.first(), Some(Ast::Call(_))) {
        return plan_err!("must use aggregate function with {}", call.name)
            .map_err(with_influxdb_context);
    }
    if !is_right {
        return plan_err!("expected field argument in {}()", call.name)
            .map_err(with_influxdb_context);
    }
    check_constants(call, is_v1)
}

fn check_constants(call: &Call, is_v1: bool) -> Result<()> {
    let last = call.args.get(1..).and_then(<[Ast]>::last);
    let is_right = match call.name.as_str() {
        "percentile" => number(last).is_some_and(|p| is_v1 || (0.0..=100.0).contains(&p)),
        "bottom" | "top" | "sample" => {
            let tags = call.args.get(1..call.args.len() - 1).unwrap_or_default();
            count(last).is_some() && tags.iter().all(|tag| matches!(tag, Ast::Column(_)))
        }
        "moving_average" => count(last).is_some_and(|n| n > 1),
        "derivative" | "non_negative_derivative" | "elapsed" | "integral" => {
            last.is_none() || duration(last).is_some_and(|unit| unit > 0)
        }
        _ => true,
    };
    if is_right {
        Ok(())
    } else {
        let name = &call.name;
        plan_err!(
            "invalid argument for {name}: {}",
            last.map(ToString::to_string).unwrap_or_default()
        )
        .map_err(with_influxdb_context)
    }
}

/// Returns a constant number.
pub(super) fn number(expr: Option<&Ast>) -> Option<f64> {
    match expr? {
        Ast::Literal(Literal::Integer(value)) => Some(*value as f64),
        Ast::Literal(Literal::Float(value)) => Some(*value),
        _ => None,
    }
}

/// Returns a constant number of rows, at least one.
pub(super) fn count(expr: Option<&Ast>) -> Option<u64> {
    match expr? {
        Ast::Literal(Literal::Integer(value)) => u64::try_from(*value).ok().filter(|n| *n > 0),
        _ => None,
    }
}

/// Returns a constant duration in nanoseconds.
pub(super) fn duration(expr: Option<&Ast>) -> Option<i64> {
    expr?.as_duration()
}

/// Returns the column that a call is applied to. The tags of `top` and `bottom` do not count.
pub(super) fn argument(call: &Call) -> Option<&Column> {
    match call.args.first()? {
        Ast::Column(column) => Some(column),
        Ast::Call(inner) => argument(inner),
        _ => None,
    }
}

/// Returns the number of windows before the first one that the series functions read.
pub(super) fn windows_before<'a>(
    fields: impl Iterator<Item = &'a Ast>,
    interface: AnswerInterface,
) -> i64 {
    let windows = fields.map(lookback).max().unwrap_or_default();
    match interface {
        // As in InfluxDB 1, also of a moving average of more windows.
        AnswerInterface::V1 => windows.min(1),
        AnswerInterface::V3 => windows,
    }
}

fn lookback(expr: &Ast) -> i64 {
    match expr {
        Ast::Binary { left, right, .. } => lookback(left).max(lookback(right)),
        Ast::Call(call) => match call.name.as_str() {
            "moving_average" => count(call.args.get(1))
                .and_then(|n| i64::try_from(n).ok())
                .map_or(0, |n| n.saturating_sub(1)),
            "cumulative_sum" => 0,
            name if is_indicator(name) => count(call.args.get(1))
                .and_then(|n| i64::try_from(n).ok())
                .map_or(1, |n| n.saturating_sub(1).max(1)),
            name if class(name) == Some(FunctionClass::Series) => 1,
            _ => call.args.iter().map(lookback).max().unwrap_or_default(),
        },
        _ => 0,
    }
}
