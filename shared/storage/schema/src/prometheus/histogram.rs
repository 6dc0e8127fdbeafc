//! Native histograms as JSON.
//!
//! ```json
//! {"type":"integer","count":12,"sum":18.4,"schema":1,"zero_threshold":0.001,"zero_count":2,"reset_hint":2,
//!  "positive_spans":[[0,2],[1,2]],"positive_deltas":[1,2,-2,3]}
//! ```
//!
//! The names are those of Prometheus's protobuf message. Integer histograms have `…_deltas`, float histograms `…_counts`. A
//! number that JSON does not have is a string: `"NaN"`, `"+Inf"`, `"-Inf"`, `"stale"`.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

use super::{non_finite_name, non_finite_value};

/// A native histogram without its time, as it is stored.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StoredHistogram {
    /// The type of the counts.
    #[serde(rename = "type")]
    pub kind: HistogramKind,
    /// The number of observations.
    pub count: HistogramNumber,
    /// The sum of the observations.
    pub sum: HistogramNumber,
    /// The resolution; -53 if the buckets have `custom_values` as bounds.
    pub schema: i32,
    /// The absolute value that bounds the zero bucket.
    pub zero_threshold: HistogramNumber,
    /// The observations in the zero bucket.
    pub zero_count: HistogramNumber,
    /// 0: unknown, 1: the counters were reset, 2: they were not reset, 3: a gauge.
    #[serde(default)]
    pub reset_hint: i32,
    /// The spans of the buckets of negative observations: offset and length.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub negative_spans: Vec<(i32, u32)>,
    /// The counts of negative buckets of integer histograms, each as the difference to the one before.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub negative_deltas: Vec<i64>,
    /// The counts of negative buckets of float histograms.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub negative_counts: Vec<HistogramNumber>,
    /// The spans of the buckets of positive observations: offset and length.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub positive_spans: Vec<(i32, u32)>,
    /// The counts of positive buckets of integer histograms, each as the difference to the one before.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub positive_deltas: Vec<i64>,
    /// The counts of positive buckets of float histograms.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub positive_counts: Vec<HistogramNumber>,
    /// The upper bounds of custom buckets.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub custom_values: Vec<HistogramNumber>,
}

/// The type of the counts of a histogram.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum HistogramKind {
    /// Integers.
    Integer,
    /// Floats.
    Float,
}

/// A number of a histogram.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum HistogramNumber {
    /// An integer.
    Integer(u64),
    /// A float.
    Float(f64),
}

impl HistogramNumber {
    /// Returns the number as a float.
    // A float histogram has floats, whatever their text is.
    pub fn float(self) -> f64 {
        match self {
            Self::Integer(value) => value as f64,
            Self::Float(value) => value,
        }
    }

    /// Returns the integer; `None` if the number is a float.
    pub fn integer(self) -> Option<u64> {
        match self {
            Self::Integer(value) => Some(value),
            Self::Float(_) => None,
        }
    }
}

impl Serialize for HistogramNumber {
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

impl<'de> Deserialize<'de> for HistogramNumber {
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

impl StoredHistogram {
    /// Returns the histogram as JSON.
    pub fn to_json(&self) -> String {
        // Numbers, strings and lists always have a text.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// Parses the JSON of a histogram; `None` if the text is not one.
    pub fn from_json(text: &str) -> Option<Self> {
        serde_json::from_str(text).ok()
    }
}
