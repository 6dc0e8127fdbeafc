//! Native histograms and the JSON that they are stored as.

use neap_schema::prometheus::{HistogramKind, HistogramNumber, StoredHistogram};

use crate::messages::{BucketSpan, Histogram, HistogramCount, HistogramZeroCount};

impl Histogram {
    /// Returns the number of observations; 0 if it is absent.
    #[expect(clippy::cast_precision_loss, reason = "the exact count is in the JSON")]
    pub fn count_value(&self) -> f64 {
        match self.count {
            Some(HistogramCount::Integer(count)) => count as f64,
            Some(HistogramCount::Float(count)) => count,
            None => 0.0,
        }
    }

    /// Returns the histogram without its time as JSON.
    pub fn to_json(&self) -> String {
        let is_float = matches!(self.count, Some(HistogramCount::Float(_)))
            || matches!(self.zero_count, Some(HistogramZeroCount::Float(_)));
        let (integer, float) = (HistogramNumber::Integer, HistogramNumber::Float);
        let stored = StoredHistogram {
            kind: if is_float {
                HistogramKind::Float
            } else {
                HistogramKind::Integer
            },
            count: match self.count {
                Some(HistogramCount::Integer(count)) => integer(count),
                Some(HistogramCount::Float(count)) => float(count),
                None => integer(0),
            },
            sum: float(self.sum),
            schema: self.schema,
            zero_threshold: float(self.zero_threshold),
            zero_count: match self.zero_count {
                Some(HistogramZeroCount::Integer(count)) => integer(count),
                Some(HistogramZeroCount::Float(count)) => float(count),
                None => integer(0),
            },
            reset_hint: self.reset_hint,
            negative_spans: pairs(&self.negative_spans),
            negative_deltas: self.negative_deltas.clone(),
            negative_counts: numbers(&self.negative_counts),
            positive_spans: pairs(&self.positive_spans),
            positive_deltas: self.positive_deltas.clone(),
            positive_counts: numbers(&self.positive_counts),
            custom_values: numbers(&self.custom_values),
        };
        stored.to_json()
    }

    /// Parses the JSON of a histogram; `None` if the text is not one.
    pub fn from_json(text: &str, timestamp_ms: i64) -> Option<Self> {
        let stored = StoredHistogram::from_json(text)?;
        let (count, zero_count) = match stored.kind {
            HistogramKind::Integer => (
                HistogramCount::Integer(stored.count.integer()?),
                HistogramZeroCount::Integer(stored.zero_count.integer()?),
            ),
            HistogramKind::Float => (
                HistogramCount::Float(stored.count.float()),
                HistogramZeroCount::Float(stored.zero_count.float()),
            ),
        };
        Some(Self {
            count: Some(count),
            sum: stored.sum.float(),
            schema: stored.schema,
            zero_threshold: stored.zero_threshold.float(),
            zero_count: Some(zero_count),
            negative_spans: spans(&stored.negative_spans),
            negative_deltas: stored.negative_deltas,
            negative_counts: floats(&stored.negative_counts),
            positive_spans: spans(&stored.positive_spans),
            positive_deltas: stored.positive_deltas,
            positive_counts: floats(&stored.positive_counts),
            reset_hint: stored.reset_hint,
            timestamp: timestamp_ms,
            custom_values: floats(&stored.custom_values),
        })
    }
}

fn pairs(spans: &[BucketSpan]) -> Vec<(i32, u32)> {
    let pairs = spans.iter().map(|span| (span.offset, span.length));
    pairs.collect()
}

fn spans(pairs: &[(i32, u32)]) -> Vec<BucketSpan> {
    let spans = pairs.iter();
    spans
        .map(|(offset, length)| BucketSpan { offset: *offset, length: *length })
        .collect()
}

fn numbers(values: &[f64]) -> Vec<HistogramNumber> {
    values.iter().copied().map(HistogramNumber::Float).collect()
}

fn floats(values: &[HistogramNumber]) -> Vec<f64> {
    values.iter().map(|value| value.float()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::STALE_BITS;

    fn integer_histogram() -> Histogram {
        Histogram {
            count: Some(HistogramCount::Integer(12)),
            sum: 18.4,
            schema: 1,
            zero_threshold: 2.938_735_877_055_719e-39,
            zero_count: Some(HistogramZeroCount::Integer(2)),
            positive_spans: spans(&[(0, 2), (1, 2)]),
            positive_deltas: vec![1, 2, -2, 3],
            reset_hint: 2,
            timestamp: 5,
            ..Histogram::default()
        }
    }

    #[test]
    fn a_histogram_is_json_without_its_time() {
        insta::assert_snapshot!(integer_histogram().to_json(), @r#"{"type":"integer","count":12,"sum":18.4,"schema":1,"zero_threshold":2.938735877055719e-39,"zero_count":2,"reset_hint":2,"positive_spans":[[0,2],[1,2]],"positive_deltas":[1,2,-2,3]}"#);
    }

    #[test]
    fn json_leads_back_to_the_same_histogram() {
        let float = Histogram {
            count: Some(HistogramCount::Float(2.5)),
            zero_count: Some(HistogramZeroCount::Float(1.0)),
            sum: f64::INFINITY,
            schema: -53,
            negative_spans: spans(&[(-3, 1)]),
            negative_counts: vec![1.5],
            custom_values: vec![0.1, 0.30000000000000004, 1e300],
            ..integer_histogram()
        };
        let largest = Histogram {
            count: Some(HistogramCount::Integer(u64::MAX)),
            ..integer_histogram()
        };
        for histogram in [integer_histogram(), float, largest] {
            let text = histogram.to_json();
            assert_eq!(Histogram::from_json(&text, 5), Some(histogram), "{text}");
        }
        let stale = Histogram { sum: f64::from_bits(STALE_BITS), ..integer_histogram() };
        let parsed = Histogram::from_json(&stale.to_json(), 5).unwrap();
        assert_eq!(parsed.sum.to_bits(), STALE_BITS);
    }

    #[test]
    fn other_texts_are_no_histograms() {
        for text in ["", "{}", "1", r#"{"type":"integer"}"#] {
            assert_eq!(Histogram::from_json(text, 0), None, "{text}");
        }
    }
}
