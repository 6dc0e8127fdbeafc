//! Measures the decoding of remote write in samples per second: from the compressed message to validated columns.

#![expect(missing_docs, reason = "criterion's macros document nothing")]
#![allow(clippy::unwrap_used, reason = "a benchmark")]

use std::{hint::black_box, sync::Arc};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use neap_prometheus::{
    Label, Message, Sample, TimeSeries, WriteVersion, compress, decode_write, decompress,
};
use neap_rows::line_protocol::{Options, Precision, RowSource, SchemaView, TableView};

const METRICS: usize = 10;
const HOSTS: usize = 200;
const LIMIT: usize = 1 << 30;

/// A database without tables.
struct EmptySchema;

impl SchemaView for EmptySchema {
    fn table(&self, _name: &str) -> Option<Arc<TableView>> {
        None
    }
}

#[derive(Clone, PartialEq, Message)]
struct WriteRequest {
    #[prost(message, repeated, tag = "1")]
    timeseries: Vec<TimeSeries>,
}

#[derive(Clone, PartialEq, Message)]
struct SymbolSeries {
    #[prost(uint32, repeated, tag = "1")]
    labels_refs: Vec<u32>,
    #[prost(message, repeated, tag = "2")]
    samples: Vec<Sample>,
}

#[derive(Clone, PartialEq, Message)]
struct SymbolRequest {
    #[prost(string, repeated, tag = "4")]
    symbols: Vec<String>,
    #[prost(message, repeated, tag = "5")]
    timeseries: Vec<SymbolSeries>,
}

/// Returns series with ten labels, as in the benchmarks of TSBS.
fn series() -> Vec<TimeSeries> {
    let mut series = Vec::new();
    for host in 0..HOSTS {
        for metric in 0..METRICS {
            let mut labels = vec![("__name__".to_owned(), format!("cpu_usage_{metric}"))];
            for name in ["arch", "datacenter", "os", "rack", "region", "service", "team"] {
                labels.push((name.to_owned(), format!("{name}-{}", host % 20)));
            }
            labels.insert(4, ("hostname".to_owned(), format!("host_{host}")));
            let labels = labels.into_iter().map(|(name, value)| Label { name, value });
            series.push(TimeSeries {
                labels: labels.collect(),
                samples: vec![Sample {
                    value: 0.25 * f64::from(u32::try_from(host).unwrap()),
                    timestamp: 1_700_000_000_000,
                }],
                histograms: Vec::new(),
            });
        }
    }
    series
}

fn version_2(series: &[TimeSeries]) -> Vec<u8> {
    let mut request = SymbolRequest { symbols: vec![String::new()], timeseries: Vec::new() };
    let symbols = &mut request.symbols;
    let mut symbol = |text: &str| {
        let found = symbols.iter().position(|symbol| symbol == text);
        let index = found.unwrap_or_else(|| {
            symbols.push(text.to_owned());
            symbols.len() - 1
        });
        u32::try_from(index).unwrap()
    };
    for series in series {
        let labels = series.labels.iter();
        let labels_refs = labels.flat_map(|label| [symbol(&label.name), symbol(&label.value)]);
        request.timeseries.push(SymbolSeries {
            labels_refs: labels_refs.collect(),
            samples: series.samples.clone(),
        });
    }
    request.encode_to_vec()
}

fn benchmark(criterion: &mut Criterion) {
    let series = series();
    let samples = series.len() as u64;
    let two = version_2(&series);
    let one = WriteRequest { timeseries: series }.encode_to_vec();
    let options = Options::with_precision(Precision::Nanosecond);
    let mut group = criterion.benchmark_group("remote write");
    group.throughput(Throughput::Elements(samples));
    for (name, version, message) in
        [("version 1", WriteVersion::One, one), ("version 2", WriteVersion::Two, two)]
    {
        let block = compress(&message).unwrap();
        group.bench_function(format!("{name}: decompress"), |bencher| {
            bencher.iter(|| decompress(black_box(&block), LIMIT).unwrap());
        });
        group.bench_function(format!("{name}: decode"), |bencher| {
            bencher.iter(|| decode_write(black_box(&message), version, LIMIT).unwrap());
        });
        group.bench_function(format!("{name}: decode and validate"), |bencher| {
            bencher.iter(|| {
                let write = decode_write(black_box(&message), version, LIMIT).unwrap();
                let rows = write.points.into_rows().unwrap();
                rows.validate(&EmptySchema, &options).unwrap()
            });
        });
    }
    group.finish();
}

criterion_group!(benches, benchmark);
criterion_main!(benches);
