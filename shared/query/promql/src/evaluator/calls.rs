//! Evaluates calls of functions over ranges, and of those without series.

use promql_parser::parser::{Call, Expr};

use super::{Evaluator, Value, selectors::RangeSamples, unexpected_type};
use crate::{
    error::PromqlError,
    expr_properties::{absent_labels, differs_in_name, unwrapped},
    labels::Labels,
    number::seconds,
    number_functions::{apply_to_milliseconds, time_function},
    range_function::{RangeFunction, keeps_name, range_function},
    range_series::{RangeCall, RangeSeries},
    series::{BoxStream, mapped, one},
    steps::Steps,
    unique_series::distinct,
    value::SampleValue,
    vector_summaries::{AbsentSeries, scalars},
};

impl Evaluator<'_> {
    pub(super) async fn evaluate_call<'b>(
        &'b self,
        call: &'b Call,
        steps: Steps,
    ) -> Result<Value<'b>, PromqlError> {
        let name = call.func.name;
        if let Some(function) = range_function(name) {
            return self.call_of_range(call, function, steps).await.map(Value::Vector);
        }
        let arguments: Vec<&'b Expr> =
            call.args.args.iter().map(|argument| unwrapped(argument)).collect();
        if let (Some(function), []) = (time_function(name), arguments.as_slice()) {
            let times = steps.times();
            let values =
                times.map(|time| Some(SampleValue::Float(apply_to_milliseconds(function, time))));
            return Ok(Value::Vector(one(Labels::default(), values.collect())));
        }
        match (name, arguments.as_slice()) {
            ("time", []) => Ok(Value::Scalar(steps.times().map(seconds).collect())),
            ("pi", []) => Ok(Value::Scalar(vec![std::f64::consts::PI; steps.count])),
            ("scalar", [vector]) => {
                let series = self.series(vector, steps).await?;
                scalars(series, steps.count).await.map(Value::Scalar)
            }
            ("vector", [scalar]) => {
                let values = self.scalars(scalar, steps).await?.into_iter();
                let samples = values.map(|value| Some(SampleValue::Float(value))).collect();
                Ok(Value::Vector(one(Labels::default(), samples)))
            }
            ("absent", [vector]) => Ok(Value::Vector(Box::new(AbsentSeries {
                input: Some(self.series(vector, steps).await?),
                labels: absent_labels(vector),
                steps: steps.count,
            }))),
            _ => self.call_of_vector(name, &arguments, steps).await.map(Value::Vector),
        }
    }

    /// Evaluates a function over ranges.
    async fn call_of_range<'b>(
        &'b self,
        call: &'b Call,
        function: RangeFunction,
        steps: Steps,
    ) -> Result<BoxStream<'b>, PromqlError> {
        let name = call.func.name;
        let mut range = None;
        let mut arguments = Vec::new();
        for argument in &call.args.args {
            match self.range_samples(argument, steps).await? {
                Some(samples) => range = Some((&**argument, samples)),
                None => arguments.push(self.scalars(argument, steps).await?),
            }
        }
        let Some((expr, samples)) = range else {
            let expr = call.args.args.first();
            return Err(expr.map_or_else(
                || PromqlError::BadData(format!("{name} has no argument")),
                |expr| unexpected_type(expr, "range vector"),
            ));
        };
        let results = self.results(name, function, samples, arguments);
        if name == "absent_over_time" {
            return Ok(Box::new(AbsentSeries {
                input: Some(results),
                labels: absent_labels(expr),
                steps: steps.count,
            }));
        }
        if keeps_name(name) {
            return Ok(results);
        }
        let unnamed = mapped(results, |series| Ok(series.without_metadata()));
        Ok(if differs_in_name(expr) {
            distinct(unnamed, self.budget.new_empty())
        } else {
            unnamed
        })
    }

    fn results<'b>(
        &'b self,
        name: &'b str,
        function: RangeFunction,
        range: RangeSamples<'b>,
        arguments: Vec<Vec<f64>>,
    ) -> BoxStream<'b> {
        let call = RangeCall {
            name,
            function,
            times: range.times,
            range_ms: range.range_ms,
            arguments,
            annotations: &self.annotations,
            counts: &self.samples,
        };
        Box::new(RangeSeries::new(range.samples, call, self.budget.new_empty()))
    }
}
