//! Native histograms as JSON.
//!
//! ```json
//! {"type":"integer","count":12,"sum":18.4,"schema":1,"zero_threshold":0.001,"zero_count":2,"reset_hint":2,
//!  "positive_spans":[[0,2],[1,2]],"positive_deltas":[1,2,-2,3],"timestamp":…}
//! ```
//!
//! The names are those of the protobuf message. Integer histograms have `…_deltas`, float histograms `…_counts`. A
//! number that JSON does not have is a string: `"NaN"`, `"+Inf"`, `"-Inf"`, `"stale"`.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

use crate::{
    messages::{BucketSpan, Histogram, HistogramCount, HistogramZeroCount},
    non_finite::{non_finite_name, non_finite_value},
};

/// A histogram as JSON, without its time.
#[derive(Debug, Serialize, Deserialize)]
struct HistogramText {
    #[serde(rename = "type")]
    kind: HistogramKind,
    count: Number,
    sum: Number,
    schema: i32,
    zero_threshold: Number,
    zero_count: Number,
    #[serde(default)]
    reset_hint: i32,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    negative_spans: Vec<(i32, u32)>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    negative_deltas: Vec<i64>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    negative_counts: Vec<Number>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    positive_spans: Vec<(i32, u32)>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    positive_deltas: Vec<i64>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    positive_counts: Vec<Number>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    custom_values: Vec<Number>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum HistogramKind {
    Integer,
    Float,
}

/// A number of a histogram.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Number {
    Integer(u64),
    Float(f64),
}

impl Number {
    #[expect(
        clippy::cast_precision_loss,
        reason = "a float histogram has floats, whatever their text is"
    )]
    fn float(self) -> f64 {
        match self {
            Self::Integer(value) => value as f64,
            Self::Float(value) => value,
        }
    }

    fn integer(self) -> Option<u64> {
        match self {
            Self::Integer(value) => Some(value),
            Self::Float(_) => None,
        }
    }
}

impl Serialize for Number {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match *self {
            Self::Integer(value) => serializer.serialize_u64(value),
            Self::Float(value) => match non_finite_name(value) {
                Some(name) => serializer.serialize_str(name),
                None => serializer.serialize_f64(value),
            },
        }
    }
}

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Text {
            Integer(u64),
            Float(f64),
            Name(String),
        }
        Ok(match Text::deserialize(deserializer)? {
            Text::Integer(value) => Self::Integer(value),
            Text::Float(value) => Self::Float(value),
            Text::Name(name) => {
                let value = non_finite_value(&name);
                Self::Float(value.ok_or_else(|| D::Error::custom("unknown number"))?)
            }
        })
    }
}

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
        let (integer, float) = (Number::Integer, Number::Float);
        let text = HistogramText {
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
        // Numbers, strings and lists always have a text.
        serde_json::to_string(&text).unwrap_or_default()
    }

    /// Parses the JSON of a histogram; `None` if the text is not one.
    pub fn from_json(text: &str, timestamp_ms: i64) -> Option<Self> {
        let text: HistogramText = serde_json::from_str(text).ok()?;
        let (count, zero_count) = match text.kind {
            HistogramKind::Integer => (
                HistogramCount::Integer(text.count.integer()?),
                HistogramZeroCount::Integer(text.zero_count.integer()?),
            ),
            HistogramKind::Float => (
                HistogramCount::Float(text.count.float()),
                HistogramZeroCount::Float(text.zero_count.float()),
            ),
        };
        Some(Self {
            count: Some(count),
            sum: text.sum.float(),
            schema: text.schema,
            zero_threshold: text.zero_threshold.float(),
            zero_count: Some(zero_count),
            negative_spans: spans(&text.negative_spans),
            negative_deltas: text.negative_deltas,
            negative_counts: floats(&text.negative_counts),
            positive_spans: spans(&text.positive_spans),
            positive_deltas: text.positive_deltas,
            positive_counts: floats(&text.positive_counts),
            reset_hint: text.reset_hint,
            timestamp: timestamp_ms,
            custom_values: floats(&text.custom_values),
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
        .map(|(offset, length)| BucketSpan {
            offset: *offset,
            length: *length,
        })
        .collect()
}

fn numbers(values: &[f64]) -> Vec<Number> {
    values.iter().copied().map(Number::Float).collect()
}

fn floats(values: &[Number]) -> Vec<f64> {
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
        let stale = Histogram {
            sum: f64::from_bits(STALE_BITS),
            ..integer_histogram()
        };
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
