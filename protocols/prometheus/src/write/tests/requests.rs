//! Requests of both versions as bytes.

use prost::Message;

use crate::{
    Histogram, Sample, TimeSeries, WriteVersion,
    test_messages::{Exemplar, Metadata, WriteRequest, WriteSeries, labels},
};

#[derive(Clone, PartialEq, Message)]
struct SymbolExemplar {
    #[prost(uint32, repeated, tag = "1")]
    labels_refs: Vec<u32>,
    #[prost(double, tag = "2")]
    value: f64,
    #[prost(int64, tag = "3")]
    timestamp: i64,
}

#[derive(Clone, PartialEq, Message)]
struct SymbolRequest {
    #[prost(string, repeated, tag = "4")]
    symbols: Vec<String>,
    #[prost(message, repeated, tag = "5")]
    timeseries: Vec<SymbolSeries>,
}

#[derive(Clone, PartialEq, Message)]
struct SymbolSeries {
    #[prost(uint32, repeated, tag = "1")]
    labels_refs: Vec<u32>,
    #[prost(message, repeated, tag = "2")]
    samples: Vec<Sample>,
    #[prost(message, repeated, tag = "3")]
    histograms: Vec<Histogram>,
    #[prost(message, repeated, tag = "4")]
    exemplars: Vec<SymbolExemplar>,
    #[prost(message, optional, tag = "5")]
    metadata: Option<SymbolMetadata>,
}

#[derive(Clone, PartialEq, Message)]
struct SymbolMetadata {
    #[prost(int32, tag = "1")]
    kind: i32,
    #[prost(uint32, tag = "3")]
    help_ref: u32,
    #[prost(uint32, tag = "4")]
    unit_ref: u32,
}

/// A request that both versions can encode.
#[derive(Clone, Debug)]
pub(super) struct RequestBuilder<'a> {
    series: Vec<TimeSeries>,
    /// The values of the label `trace_id` of the exemplars of the first series, whose times are 1 ms, 2 ms and so on.
    pub(super) exemplars: Vec<&'a str>,
    /// The name, type, help and unit of a metric.
    pub(super) metadata: Option<(&'a str, i32, &'a str, &'a str)>,
}

impl RequestBuilder<'_> {
    pub(super) fn new(series: &[TimeSeries]) -> Self {
        Self {
            series: series.to_vec(),
            exemplars: Vec::new(),
            metadata: None,
        }
    }

    /// Returns the traces of the exemplars of a series, with their times.
    fn exemplars(&self, index: usize) -> impl Iterator<Item = (&str, i64)> {
        let traces = self.exemplars.iter().copied().filter(move |_| index == 0);
        traces.zip(1..)
    }

    pub(super) fn version_1(&self) -> Vec<u8> {
        let series = self.series.iter().enumerate().map(|(index, series)| WriteSeries {
            exemplars: self
                .exemplars(index)
                .map(|(trace, timestamp)| Exemplar {
                    labels: labels(&[("trace_id", trace)]),
                    value: 1.5,
                    timestamp,
                })
                .collect(),
            ..WriteSeries::from(series.clone())
        });
        let metadata = self.metadata.iter().map(|(name, kind, help, unit)| Metadata {
            kind: *kind,
            name: (*name).to_owned(),
            help: (*help).to_owned(),
            unit: (*unit).to_owned(),
        });
        let request = WriteRequest { timeseries: series.collect(), metadata: metadata.collect() };
        request.encode_to_vec()
    }

    pub(super) fn version_2(&self) -> Vec<u8> {
        let mut symbols = vec![String::new()];
        let mut symbol = |text: &str| {
            let found = symbols.iter().position(|symbol| symbol == text);
            let index = found.unwrap_or_else(|| {
                symbols.push(text.to_owned());
                symbols.len() - 1
            });
            u32::try_from(index).unwrap()
        };
        let mut timeseries = Vec::new();
        for (index, series) in self.series.iter().enumerate() {
            let labels = series.labels.iter();
            let labels_refs = labels.flat_map(|label| [symbol(&label.name), symbol(&label.value)]);
            timeseries.push(SymbolSeries {
                labels_refs: labels_refs.collect(),
                samples: series.samples.clone(),
                histograms: series.histograms.clone(),
                exemplars: self
                    .exemplars(index)
                    .map(|(trace, timestamp)| SymbolExemplar {
                        labels_refs: vec![symbol("trace_id"), symbol(trace)],
                        value: 1.5,
                        timestamp,
                    })
                    .collect(),
                metadata: self.metadata.map(|(_, kind, help, unit)| SymbolMetadata {
                    kind,
                    help_ref: symbol(help),
                    unit_ref: symbol(unit),
                }),
            });
        }
        let request = SymbolRequest { symbols, timeseries };
        request.encode_to_vec()
    }
}

/// Returns a request of version 2 with these symbols, and a series with one sample for each list of references.
pub(super) fn symbol_request(symbols: &[&str], references: &[&[u32]]) -> Vec<u8> {
    let series = references.iter().map(|references| SymbolSeries {
        labels_refs: references.to_vec(),
        samples: vec![Sample { value: 1.0, timestamp: 1 }],
        ..SymbolSeries::default()
    });
    let request = SymbolRequest {
        symbols: symbols.iter().map(|symbol| (*symbol).to_owned()).collect(),
        timeseries: series.collect(),
    };
    request.encode_to_vec()
}

/// Returns a request with the types of this number of metrics.
pub(super) fn described_metrics(metrics: usize, version: WriteVersion) -> Vec<u8> {
    let names = (0..metrics).map(|metric| metric.to_string());
    match version {
        WriteVersion::One => {
            let metadata = names.map(|name| Metadata { kind: 1, name, ..Metadata::default() });
            let request = WriteRequest { timeseries: Vec::new(), metadata: metadata.collect() };
            request.encode_to_vec()
        }
        WriteVersion::Two => {
            let symbols: Vec<_> =
                ["", "__name__"].into_iter().map(str::to_owned).chain(names).collect();
            let series = (2..).take(metrics).map(|name| SymbolSeries {
                labels_refs: vec![1, name],
                metadata: Some(SymbolMetadata { kind: 1, ..SymbolMetadata::default() }),
                ..SymbolSeries::default()
            });
            let request = SymbolRequest { timeseries: series.collect(), symbols };
            request.encode_to_vec()
        }
    }
}

/// Returns a value of a column as text.
pub(super) fn value_text(column: &dyn arrow_array::Array, row: usize) -> String {
    let options = arrow_cast::display::FormatOptions::default();
    let formatter = arrow_cast::display::ArrayFormatter::try_new(column, &options).unwrap();
    formatter.value(row).to_string()
}
