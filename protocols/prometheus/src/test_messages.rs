//! Messages of remote write in version 1, for tests.

use crate::{Histogram, Label, Message, Sample, TimeSeries};

/// `prometheus.WriteRequest`
#[derive(Clone, PartialEq, Message)]
pub(crate) struct WriteRequest {
    #[prost(message, repeated, tag = "1")]
    pub(crate) timeseries: Vec<WriteSeries>,
    #[prost(message, repeated, tag = "3")]
    pub(crate) metadata: Vec<Metadata>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct WriteSeries {
    #[prost(message, repeated, tag = "1")]
    pub(crate) labels: Vec<Label>,
    #[prost(message, repeated, tag = "2")]
    pub(crate) samples: Vec<Sample>,
    #[prost(message, repeated, tag = "3")]
    pub(crate) exemplars: Vec<Exemplar>,
    #[prost(message, repeated, tag = "4")]
    pub(crate) histograms: Vec<Histogram>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Exemplar {
    #[prost(message, repeated, tag = "1")]
    pub(crate) labels: Vec<Label>,
    #[prost(double, tag = "2")]
    pub(crate) value: f64,
    #[prost(int64, tag = "3")]
    pub(crate) timestamp: i64,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Metadata {
    #[prost(int32, tag = "1")]
    pub(crate) kind: i32,
    #[prost(string, tag = "2")]
    pub(crate) name: String,
    #[prost(string, tag = "4")]
    pub(crate) help: String,
    #[prost(string, tag = "5")]
    pub(crate) unit: String,
}

impl From<TimeSeries> for WriteSeries {
    fn from(series: TimeSeries) -> Self {
        Self {
            labels: series.labels,
            samples: series.samples,
            exemplars: Vec::new(),
            histograms: series.histograms,
        }
    }
}

pub(crate) fn labels(labels: &[(&str, &str)]) -> Vec<Label> {
    let labels = labels
        .iter()
        .map(|(name, value)| Label { name: (*name).to_owned(), value: (*value).to_owned() });
    labels.collect()
}

/// Returns a series with samples, as times in milliseconds and values.
pub(crate) fn series(pairs: &[(&str, &str)], samples: &[(i64, f64)]) -> TimeSeries {
    let samples = samples
        .iter()
        .map(|(timestamp, value)| Sample { value: *value, timestamp: *timestamp });
    TimeSeries {
        labels: labels(pairs),
        samples: samples.collect(),
        histograms: Vec::new(),
    }
}
