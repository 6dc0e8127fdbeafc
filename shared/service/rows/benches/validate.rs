//! Measures the validation of record batches in rows per second, beside the parser of line protocol over the same rows.

#![expect(missing_docs, reason = "criterion's macros document nothing")]
#![allow(clippy::unwrap_used, reason = "a benchmark")]

use std::{fmt::Write, hint::black_box, sync::Arc};

use arrow_array::{
    ArrayRef, DictionaryArray, Float64Array, Int64Array, RecordBatch, StringArray,
    TimestampNanosecondArray, types::Int32Type,
};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use neap_rows::{
    columnar::{ColumnMapping, ColumnarRows, TagColumns},
    line_protocol::{Options, Precision, RowSource, SchemaView, TableView, parse},
};

const ROWS: usize = 8192;
const HOSTS: usize = 100;
const FIELDS: usize = 5;

/// A database without tables.
struct EmptySchema;

impl SchemaView for EmptySchema {
    fn table(&self, _name: &str) -> Option<Arc<TableView>> {
        None
    }
}

fn host(row: usize) -> String {
    format!("host_{}", row % HOSTS)
}

fn time(row: usize) -> i64 {
    1_700_000_000_000_000_000 + i64::try_from(row).unwrap_or_default()
}

fn value(row: usize, field: usize) -> f64 {
    f64::from(u32::try_from(row * 7 + field).unwrap_or_default()) / 8.0
}

fn lines() -> String {
    let mut text = String::new();
    for row in 0..ROWS {
        write!(text, "cpu,host={},region=eu ", host(row)).ok();
        for field in 0..FIELDS {
            write!(text, "f{field}={},", value(row, field)).ok();
        }
        writeln!(text, "n={row}i {}", time(row)).ok();
    }
    text
}

fn batch(has_dictionaries: bool) -> RecordBatch {
    let host_names: Vec<String> = (0..ROWS).map(host).collect();
    let hosts = host_names.iter().map(String::as_str);
    let regions = (0..ROWS).map(|_| "eu");
    let mut columns: Vec<(String, ArrayRef)> = if has_dictionaries {
        vec![
            ("host".into(), Arc::new(hosts.collect::<DictionaryArray<Int32Type>>())),
            ("region".into(), Arc::new(regions.collect::<DictionaryArray<Int32Type>>())),
        ]
    } else {
        vec![
            ("host".into(), Arc::new(StringArray::from_iter_values(hosts))),
            ("region".into(), Arc::new(StringArray::from_iter_values(regions))),
        ]
    };
    for field in 0..FIELDS {
        let values = (0..ROWS).map(|row| value(row, field));
        columns.push((format!("f{field}"), Arc::new(Float64Array::from_iter_values(values))));
    }
    let counts = (0..ROWS).map(|row| i64::try_from(row).unwrap_or_default());
    columns.push(("n".into(), Arc::new(Int64Array::from_iter_values(counts))));
    let times = TimestampNanosecondArray::from_iter_values((0..ROWS).map(time));
    columns.push(("time".into(), Arc::new(times)));
    RecordBatch::try_from_iter(columns).unwrap()
}

fn benchmark(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("validate");
    group.throughput(Throughput::Elements(ROWS as u64));
    let options = Options::with_precision(Precision::Nanosecond);
    let lines = lines();
    group.bench_function("line protocol", |bencher| {
        bencher.iter(|| parse(black_box(lines.as_bytes()), &EmptySchema, &options));
    });
    for (name, has_dictionaries) in [("dictionaries", true), ("texts", false)] {
        let mapping = ColumnMapping {
            table: "cpu".to_owned(),
            tags: TagColumns::Named(vec!["host".to_owned(), "region".to_owned()]),
            ..ColumnMapping::default()
        };
        let batch = batch(has_dictionaries);
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                let rows = ColumnarRows::new(mapping.clone(), vec![black_box(batch.clone())]);
                rows.map(|rows| rows.validate(&EmptySchema, &options))
            });
        });
    }
    group.finish();
}

criterion_group!(benches, benchmark);
criterion_main!(benches);
