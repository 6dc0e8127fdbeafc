//! Stored native histograms as the evaluation needs them.

use neap_promql::{CounterResetHint, FloatHistogram, bucket_counts};
use neap_schema::prometheus::{HistogramKind, HistogramNumber, StoredHistogram};

/// Decodes the JSON of a native histogram; `None` if the text is not one.
pub(super) fn decode_histogram(text: &str) -> Option<FloatHistogram> {
    let stored = StoredHistogram::from_json(text)?;
    let buckets = |spans: &[(i32, u32)], deltas: &[i64], counts: &[HistogramNumber]| {
        let absolute = match stored.kind {
            HistogramKind::Integer => sums(deltas),
            HistogramKind::Float => floats(counts),
        };
        bucket_counts(spans.iter().copied(), &absolute)
    };
    let positive =
        buckets(&stored.positive_spans, &stored.positive_deltas, &stored.positive_counts)?;
    let negative =
        buckets(&stored.negative_spans, &stored.negative_deltas, &stored.negative_counts)?;
    Some(FloatHistogram {
        reset_hint: match stored.reset_hint {
            1 => CounterResetHint::Reset,
            2 => CounterResetHint::NotReset,
            3 => CounterResetHint::Gauge,
            _ => CounterResetHint::Unknown,
        },
        schema: stored.schema,
        zero_threshold: stored.zero_threshold.float(),
        zero_count: stored.zero_count.float(),
        count: stored.count.float(),
        sum: stored.sum.float(),
        positive,
        negative,
        custom_values: floats(&stored.custom_values),
    })
}

fn floats(numbers: &[HistogramNumber]) -> Vec<f64> {
    numbers.iter().map(|number| number.float()).collect()
}

/// Returns counts from their differences.
// Prometheus evaluates integer histograms with float counts, too.
fn sums(deltas: &[i64]) -> Vec<f64> {
    let counts = deltas.iter().scan(0_i64, |count, delta| {
        *count = count.saturating_add(*delta);
        Some(*count as f64)
    });
    counts.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_of_buckets_are_absolute() {
        let integer = r#"{"type":"integer","count":12,"sum":18.4,"schema":1,"zero_threshold":0.001,"zero_count":2,"reset_hint":2,"positive_spans":[[0,2],[1,2]],"positive_deltas":[1,2,-2,3]}"#;
        let decoded = decode_histogram(integer).unwrap();
        assert_eq!(decoded.positive, [(0, 1.0), (1, 3.0), (3, 1.0), (4, 4.0)]);
        assert_eq!((decoded.count, decoded.zero_count), (12.0, 2.0));
        assert_eq!(decoded.reset_hint, CounterResetHint::NotReset);
        let float = r#"{"type":"float","count":2.5,"sum":"+Inf","schema":-53,"zero_threshold":0,"zero_count":0,"negative_spans":[[-3,1]],"negative_counts":[1.5],"custom_values":[0.1]}"#;
        let decoded = decode_histogram(float).unwrap();
        assert_eq!(decoded.negative, [(-3, 1.5)]);
        assert_eq!(decoded.sum, f64::INFINITY);
        assert_eq!(decoded.custom_values, [0.1]);
        assert_eq!(decode_histogram("{}"), None);
        let other_length = integer.replace("[1,2]]", "[1,3]]");
        assert_eq!(decode_histogram(&other_length), None);
    }
}
