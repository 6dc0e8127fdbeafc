//! Functions of the samples in a range.

mod comparison;
mod input;
mod over_time;
mod rate;
mod trend;

use crate::number::{from_count, seconds};
use input::{RangeResult, float};

pub(crate) use input::RangeInput;

/// A function of the samples in a range, of which there is at least one.
pub(crate) type RangeFunction = fn(&RangeInput<'_>) -> RangeResult;

pub(crate) fn range_function(name: &str) -> Option<RangeFunction> {
    Some(match name {
        "rate" => |input| Ok(rate::extrapolated(input, true, true)),
        "increase" => |input| Ok(rate::extrapolated(input, true, false)),
        "delta" => |input| Ok(rate::extrapolated(input, false, false)),
        "irate" => |input| Ok(rate::of_last_samples(input, true)),
        "idelta" => |input| Ok(rate::of_last_samples(input, false)),
        "changes" => comparison::changes,
        "resets" => comparison::resets,
        "deriv" => trend::derivative,
        "predict_linear" => trend::prediction,
        "double_exponential_smoothing" | "holt_winters" => trend::smoothed,
        "avg_over_time" => |input| Ok(over_time::average(input)),
        "sum_over_time" => |input| Ok(over_time::sum(input)),
        "min_over_time" => |input| {
            over_time::selected(input, |value, least| value < least || least.is_nan(), false)
        },
        "max_over_time" => {
            |input| over_time::selected(input, |value, most| value > most || most.is_nan(), false)
        }
        "ts_of_min_over_time" => |input| {
            over_time::selected(input, |value, least| value <= least || least.is_nan(), true)
        },
        "ts_of_max_over_time" => {
            |input| over_time::selected(input, |value, most| value >= most || most.is_nan(), true)
        }
        "count_over_time" => |input| float(from_count(input.floats.len() + input.histograms.len())),
        "present_over_time" | "absent_over_time" => |_| float(1.0),
        "quantile_over_time" => over_time::quantile,
        "mad_over_time" => over_time::median_deviation,
        "stddev_over_time" => |input| over_time::variance(input, f64::sqrt),
        "stdvar_over_time" => |input| over_time::variance(input, |variance| variance),
        "first_over_time" => |input| Ok(comparison::first(input)),
        "last_over_time" => |input| Ok(comparison::last(input)),
        "ts_of_first_over_time" => |input| float(seconds(comparison::first_time(input))),
        "ts_of_last_over_time" => |input| float(seconds(comparison::last_time(input))),
        _ => return None,
    })
}

/// Returns whether a function returns one of the samples, with the name of its metric.
pub(crate) fn keeps_name(function: &str) -> bool {
    matches!(function, "first_over_time" | "last_over_time")
}

#[cfg(test)]
pub(crate) mod testing {
    use super::*;
    use crate::{annotations::Annotations, window::FloatSample};

    /// Calls a function with numbers in a range from 0 to 60 seconds.
    pub(crate) fn call(name: &str, floats: &[FloatSample], arguments: &[f64]) -> Option<f64> {
        let function = range_function(name).unwrap();
        let annotations = Annotations::default();
        let input = RangeInput {
            floats,
            histograms: &[],
            at_ms: 60_000,
            start_ms: 0,
            end_ms: 60_000,
            arguments,
            metric: "x_total",
            annotations: &annotations,
        };
        function(&input).unwrap().and_then(|value| value.float())
    }

    /// Samples each ten seconds, from the tenth one.
    pub(crate) fn each_ten_seconds(values: &[f64]) -> Vec<FloatSample> {
        (1..).map(|position| position * 10_000).zip(values.iter().copied()).collect()
    }
}
