//! Trends of the numbers in a range.

use super::input::{RangeInput, RangeResult, float};
use crate::{error::PromqlError, kahan::KahanSum, number::seconds, window::FloatSample};

/// A line through samples.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Line {
    /// The change per second.
    slope: f64,
    /// The value at a time.
    intercept: f64,
}

/// Fits a line to samples by least squares. Its intercept is the value at a time.
fn linear_regression(samples: &[FloatSample], intercept_ms: i64) -> Line {
    let first = samples.first().map_or(f64::NAN, |(_, value)| *value);
    let is_constant = samples.iter().skip(1).all(|(_, value)| *value == first);
    if is_constant {
        return if first.is_infinite() {
            Line { slope: f64::NAN, intercept: f64::NAN }
        } else {
            Line { slope: 0.0, intercept: first }
        };
    }
    let [mut x_sum, mut y_sum, mut xy_sum, mut xx_sum] = [KahanSum::default(); 4];
    let mut count = 0.0;
    for (time, y) in samples {
        let x = seconds(time.saturating_sub(intercept_ms));
        count += 1.0;
        x_sum.add(x);
        y_sum.add(*y);
        xy_sum.add(x * y);
        xx_sum.add(x * x);
    }
    let [x, y, xy, xx] = [x_sum, y_sum, xy_sum, xx_sum].map(KahanSum::total);
    let slope = (xy - x * y / count) / (xx - x * x / count);
    Line { slope, intercept: y / count - slope * x / count }
}

/// Returns the numbers if there are at least two.
fn two_or_more<'a>(input: &RangeInput<'a>) -> Option<&'a [FloatSample]> {
    input.ignore_histograms();
    (input.floats.len() >= 2).then_some(input.floats)
}

/// Returns the change per second.
pub(super) fn derivative(input: &RangeInput<'_>) -> RangeResult {
    match two_or_more(input) {
        // A time near the samples keeps the precision.
        Some(samples @ [(first_ms, _), ..]) => float(linear_regression(samples, *first_ms).slope),
        _ => Ok(None),
    }
}

/// Returns the value at a number of seconds after the step.
pub(super) fn prediction(input: &RangeInput<'_>) -> RangeResult {
    let Some(samples) = two_or_more(input) else {
        return Ok(None);
    };
    let line = linear_regression(samples, input.at_ms);
    float(line.slope * input.argument(0) + line.intercept)
}

/// Returns a factor between 0 and 1.
fn factor(value: f64, name: &str) -> Result<f64, PromqlError> {
    if value <= 0.0 || value >= 1.0 {
        let text = format!("invalid {name} factor. Expected: 0 < ");
        let short = if name == "trend" { "tf" } else { "sf" };
        return Err(PromqlError::Execution(format!("{text}{short} < 1, got: {value:.6}")));
    }
    Ok(value)
}

/// Returns the smoothed value, in which older values and their trend have less weight.
pub(super) fn smoothed(input: &RangeInput<'_>) -> RangeResult {
    let smoothing = factor(input.argument(0), "smoothing")?;
    let trend_factor = factor(input.argument(1), "trend")?;
    let Some([(_, first), (_, second), ..]) = two_or_more(input) else {
        return Ok(None);
    };
    let (mut before, mut current) = (0.0, *first);
    let mut trend = second - first;
    for (position, value) in input.values().skip(1).enumerate() {
        if position > 0 {
            trend = trend_factor * (current - before) + (1.0 - trend_factor) * trend;
        }
        let next = smoothing * value + (1.0 - smoothing) * (current + trend);
        (before, current) = (current, next);
    }
    float(current)
}

#[cfg(test)]
mod tests {
    use super::super::testing::{call, each_ten_seconds};

    #[test]
    fn lines_are_fitted_to_samples() {
        let line = each_ten_seconds(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
        let slope = call("deriv", &line, &[]).unwrap();
        assert!((slope - 0.1).abs() < 1e-12);
        // 6 at the step, and 4 in the next 40 seconds.
        let value = call("predict_linear", &line, &[40.0]).unwrap();
        assert!((value - 10.0).abs() < 1e-12);
        assert_eq!(call("deriv", &each_ten_seconds(&[3.0, 3.0]), &[]), Some(0.0));
        assert_eq!(call("deriv", &each_ten_seconds(&[3.0]), &[]), None);
    }

    #[test]
    fn values_are_smoothed_with_their_trend() {
        let samples = each_ten_seconds(&[1.0, 3.0, 4.0]);
        // The second value is 0.5 · 3 + 0.5 · (1 + 2) = 3; the trend is 0.5 · 2 + 0.5 · 2 = 2; the third value is
        // 0.5 · 4 + 0.5 · (3 + 2) = 4.5.
        let arguments = [0.5, 0.5];
        assert_eq!(call("double_exponential_smoothing", &samples, &arguments), Some(4.5));
        assert_eq!(call("holt_winters", &samples, &arguments), Some(4.5));
    }
}
