//! The aggregation `limit_ratio`, which chooses a part of the series by the hash of their labels.
//!
//! The hash is that of Prometheus, so that both choose the same series: XXH64 of the names and values, each after its length.

use twox_hash::XxHash64;

use crate::{
    annotations::Annotations, error::PromqlError, labels::Labels, number::format_float,
    series::Series,
};

/// The length from which a text has a length of three bytes.
const LONG_TEXT: usize = 255;

/// Returns the ratio of each step. Those that are too large or too small are replaced by 1 and -1.
pub(crate) fn ratios(
    parameters: &[f64],
    annotations: &Annotations,
) -> Result<Vec<f64>, PromqlError> {
    if parameters.iter().any(|ratio| ratio.is_nan()) {
        return Err(PromqlError::Execution("Ratio value is NaN".to_owned()));
    }
    let warn = |ratio: f64, bound: f64| {
        let (value, replaced) = (format_float(ratio), format_float(bound));
        annotations.warn(&format!(
            "ratio value should be between -1 and 1, got {value}, capping to {replaced}"
        ));
    };
    let greatest = parameters.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    if greatest > 1.0 {
        warn(greatest, 1.0);
    }
    let least = parameters.iter().copied().fold(f64::INFINITY, f64::min);
    if least < -1.0 {
        warn(least, -1.0);
    }
    Ok(parameters.iter().map(|ratio| ratio.clamp(-1.0, 1.0)).collect())
}

/// Returns the samples of a series at the steps whose ratio includes it. A negative ratio includes the series that its
/// complement does not.
pub(crate) fn choose(series: Series, ratios: &[f64]) -> Series {
    let position = hash_position(&series.labels);
    series.map(|step, value| {
        let ratio = ratios.get(step)?;
        let is_included = if *ratio < 0.0 {
            position >= 1.0 + ratio
        } else {
            position < *ratio
        };
        is_included.then_some(value)
    })
}

/// Returns the position of the hash of labels in the range of hashes, from 0 to 1.
// Prometheus compares positions that are rounded like this.
fn hash_position(labels: &Labels) -> f64 {
    let mut bytes = Vec::with_capacity(labels.memory_size());
    for text in labels.iter().flat_map(|(name, value)| [name, value]) {
        let [first, second, third, ..] = text.len().to_le_bytes();
        if text.len() < LONG_TEXT {
            bytes.push(first);
        } else {
            bytes.extend([u8::MAX, first, second, third]);
        }
        bytes.extend_from_slice(text.as_bytes());
    }
    XxHash64::oneshot(0, &bytes) as f64 / u64::MAX as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::SampleValue;

    fn labels(n: &str) -> Labels {
        Labels::from_pairs([("__name__".into(), "v".into()), ("n".into(), n.into())])
    }

    /// Returns the series of four that a ratio includes.
    fn chosen(ratio: f64) -> String {
        let included = ["1", "2", "3", "4"].into_iter().filter(|n| {
            let series = Series {
                labels: labels(n),
                values: vec![Some(SampleValue::Float(1.0))],
            };
            !choose(series, &[ratio]).is_empty()
        });
        included.collect()
    }

    #[test]
    fn positions_are_those_of_prometheus() {
        for (n, position) in [
            ("1", 0.526_162_184_212_051_9),
            ("3", 0.100_094_195_616_017_98),
            ("x".repeat(300).as_str(), 0.470_034_179_376_330_3),
        ] {
            let difference = hash_position(&labels(n)) - position;
            assert!(difference.abs() < 1e-12, "{n}: {difference}");
        }
    }

    #[test]
    fn a_negative_ratio_includes_the_other_series() {
        for (ratio, expected) in
            [(0.0, ""), (0.3, "3"), (0.6, "13"), (1.0, "1234"), (-0.4, "24"), (-1.0, "1234")]
        {
            assert_eq!(chosen(ratio), expected, "{ratio}");
        }
    }

    #[test]
    fn ratios_have_bounds() {
        let annotations = Annotations::default();
        assert_eq!(ratios(&[0.5, 1.5, -2.0], &annotations).unwrap(), [0.5, 1.0, -1.0]);
        let (warnings, _) = annotations.into_texts();
        assert_eq!(
            warnings,
            [
                "PromQL warning: ratio value should be between -1 and 1, got -2, capping to -1",
                "PromQL warning: ratio value should be between -1 and 1, got 1.5, capping to 1",
            ]
        );
        let error = ratios(&[f64::NAN], &Annotations::default()).unwrap_err();
        assert_eq!(error.to_string(), "Ratio value is NaN");
    }
}
