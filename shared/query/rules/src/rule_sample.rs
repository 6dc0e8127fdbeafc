//! The results of expressions, and the samples that rules store.

use crate::{LabelSet, label_set::labels_size_bytes};

/// Maximum bytes of the labels of all results of a rule.
pub const MAX_RESULT_BYTES: usize = 8 << 20;

/// A result of an expression at the time of an evaluation.
#[derive(Clone, Debug, PartialEq)]
pub struct RuleResult {
    /// The labels, without the name of the metric.
    pub labels: LabelSet,
    /// The number.
    pub value: f64,
}

impl RuleResult {
    /// Returns the approximate memory size, in bytes.
    pub fn size_bytes(&self) -> usize {
        size_of::<Self>() + labels_size_bytes(&self.labels)
    }
}

/// The number of a sample to store.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum SampleNumber {
    /// A number.
    Number(f64),
    /// The series ends.
    Stale,
}

/// A sample to store at the time of an evaluation.
#[derive(Clone, Debug, PartialEq)]
pub struct RuleSample {
    /// The name of the metric.
    pub metric: String,
    /// The other labels.
    pub labels: LabelSet,
    /// The number.
    pub number: SampleNumber,
}

impl RuleSample {
    /// Returns the approximate memory size, in bytes.
    pub fn size_bytes(&self) -> usize {
        size_of::<Self>() + self.metric.len() + labels_size_bytes(&self.labels)
    }
}

/// Formats a number as Prometheus does.
pub(crate) fn format_number(value: f64) -> String {
    if value.is_nan() {
        return "NaN".to_owned();
    }
    if value.is_infinite() {
        return if value > 0.0 { "+Inf" } else { "-Inf" }.to_owned();
    }
    let size = value.abs();
    if size != 0.0 && !(1e-4..1e21).contains(&size) {
        let text = format!("{value:e}");
        let (digits, exponent) = text.split_once('e').unwrap_or((text.as_str(), "0"));
        let (sign, exponent) = match exponent.strip_prefix('-') {
            Some(exponent) => ('-', exponent),
            None => ('+', exponent),
        };
        return format!("{digits}e{sign}{exponent:0>2}");
    }
    value.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_the_form_of_prometheus() {
        for (value, text) in [
            (0.5, "0.5"),
            (3.0, "3"),
            (-0.25, "-0.25"),
            (1e21, "1e+21"),
            (1.5e-7, "1.5e-07"),
            (0.0, "0"),
            (f64::NAN, "NaN"),
            (f64::NEG_INFINITY, "-Inf"),
        ] {
            assert_eq!(format_number(value), text);
        }
    }
}
