//! Speed of the answer formats, next to arrow's writers, for a result of 43,000 rows with ten tags,
//! five floats, five integers and a time.

#![allow(missing_docs, reason = "criterion_group! makes a public function")]

use std::hint::black_box;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, DictionaryArray, Float64Array, Int32Array, Int64Array, RecordBatch,
    StringArray, TimestampNanosecondArray,
};
use arrow::datatypes::{Field, Schema};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use neap_formats::{Encoder, Format, FormatLimits};
use neap_test_inputs::XorShift;

const ROWS: usize = 43_000;
const BATCH_ROWS: usize = 8_192;

/// Values per tag.
const CARDINALITIES: [u32; 10] = [2, 4, 10, 10, 10, 20, 40, 100, 1_000, 4_000];

fn below(random: &mut XorShift, bound: u32) -> u32 {
    u32::try_from(random.below(bound.into())).unwrap_or(0)
}

fn tag(random: &mut XorShift, dictionary: &ArrayRef, cardinality: u32, rows: usize) -> ArrayRef {
    let keys = (0..rows).map(|_| below(random, cardinality).cast_signed());
    let keys = Int32Array::from_iter_values(keys);
    Arc::new(DictionaryArray::new(keys, Arc::clone(dictionary)))
}

fn batch(random: &mut XorShift, dictionaries: &[ArrayRef], rows: usize) -> RecordBatch {
    let mut columns: Vec<(String, ArrayRef)> = Vec::new();
    for (dictionary, cardinality) in dictionaries.iter().zip(CARDINALITIES) {
        let name = format!("tag_{}", columns.len());
        columns.push((name, tag(random, dictionary, cardinality, rows)));
    }
    for _ in 0..5 {
        let values = (0..rows).map(|_| f64::from(below(random, 10_000)) / 100.0);
        let name = format!("usage_{}", columns.len());
        columns.push((name, Arc::new(Float64Array::from_iter_values(values))));
    }
    for bits in [7, 14, 20, 40, 62] {
        let values = (0..rows).map(|_| (random.draw() >> (64 - bits)).cast_signed());
        let name = format!("count_{}", columns.len());
        columns.push((name, Arc::new(Int64Array::from_iter_values(values))));
    }
    let times = (1_704_096_000i64..).map(|second| second * 1_000_000_000).take(rows);
    columns.push(("time".to_owned(), Arc::new(TimestampNanosecondArray::from_iter_values(times))));
    let fields = columns.iter().map(|(name, a)| Field::new(name, a.data_type().clone(), true));
    let schema = Schema::new(fields.collect::<Vec<_>>());
    let arrays = columns.iter().map(|(_, array)| Arc::clone(array)).collect();
    RecordBatch::try_new(Arc::new(schema), arrays).unwrap_or_else(|error| unreachable!("{error}"))
}

fn batches() -> Vec<RecordBatch> {
    let mut random = XorShift::new(88_172_645_463_325_252);
    let dictionaries = CARDINALITIES.map(|cardinality| {
        let values = (0..cardinality).map(|value| format!("value-{cardinality}-{value}"));
        Arc::new(StringArray::from_iter_values(values)) as ArrayRef
    });
    (0..ROWS)
        .step_by(BATCH_ROWS)
        .map(|start| batch(&mut random, &dictionaries, BATCH_ROWS.min(ROWS - start)))
        .collect()
}

fn encode(format: Format, batches: &[RecordBatch]) -> Option<Vec<u8>> {
    let schema = batches.first()?.schema();
    let mut encoder = Encoder::new(format, schema, FormatLimits::default());
    let mut out = Vec::new();
    batches.iter().try_for_each(|batch| encoder.write(batch, &mut out)).ok()?;
    encoder.finish(&mut out).ok()?;
    Some(out)
}

fn arrow_json(batches: &[RecordBatch]) -> Option<Vec<u8>> {
    let mut writer = arrow::json::ArrayWriter::new(Vec::new());
    batches.iter().try_for_each(|batch| writer.write(batch)).ok()?;
    writer.finish().ok()?;
    Some(writer.into_inner())
}

fn arrow_csv(batches: &[RecordBatch]) -> Option<Vec<u8>> {
    let mut writer = arrow::csv::Writer::new(Vec::new());
    batches.iter().try_for_each(|batch| writer.write(batch)).ok()?;
    Some(writer.into_inner())
}

fn formats(criterion: &mut Criterion) {
    let batches = batches();
    let mut group = criterion.benchmark_group("format");
    let mut measure = |name: &str, write: &dyn Fn(&[RecordBatch]) -> Option<Vec<u8>>| {
        let bytes = write(&batches).map_or(0, |out| out.len());
        group.throughput(Throughput::Bytes(bytes.try_into().unwrap_or(u64::MAX)));
        group.bench_function(name, |bencher| bencher.iter(|| write(black_box(&batches))));
    };
    for format in [Format::Json, Format::JsonLines, Format::Csv, Format::Pretty, Format::Parquet] {
        measure(&format.to_string(), &|batches| encode(format, batches));
    }
    measure("arrow-json", &arrow_json);
    measure("arrow-csv", &arrow_csv);
    group.finish();
}

criterion_group!(benches, formats);
criterion_main!(benches);
