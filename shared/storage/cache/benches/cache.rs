//! Benchmarks of building, updating, reading and decoding a last value cache of 100,000 hosts.
#![allow(missing_docs, clippy::unwrap_used, reason = "a benchmark")]

use std::{hint::black_box, sync::Arc};

use arrow_array::{
    Array, ArrayRef, DictionaryArray, Float64Array, Int32Array, RecordBatch, StringArray,
    TimestampNanosecondArray, types::Int32Type,
};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use neap_cache::{
    KeyFilter, KeyPredicate, LastCacheQuery, LastCacheShape, LastRows, LastRowsBuilder,
    LastTailIndex, decode_last, encode_last,
};
use neap_catalog::{LastCacheDefinition, Table, ValueColumns};
use neap_points::TailImageBuilder;
use neap_schema::{CacheId, ColumnId};
use serde_json::json;

const HOSTS: usize = 100_000;

/// Number of rows of each host that a build reads.
const ROUNDS: usize = 20;

const ROWS_PER_BATCH: usize = 8192;

const ALL_COLUMNS: [usize; 5] = [0, 1, 2, 3, 4];

fn table() -> Table {
    let columns: Vec<_> = [
        (0, "time", "time"),
        (1, "host", "tag"),
        (2, "a", "float"),
        (3, "b", "float"),
        (4, "c", "float"),
    ]
    .iter()
    .map(|(id, name, kind)| json!({"id": id, "name": name, "type": kind}))
    .collect();
    let table = json!({"id": 1, "name": "cpu", "columns": columns, "next_column": 5});
    serde_json::from_value(table).unwrap()
}

fn shape(table: &Table) -> LastCacheShape {
    let cache = LastCacheDefinition {
        id: CacheId::new(1),
        name: "latest".to_owned(),
        key_columns: vec![ColumnId::new(1)],
        value_columns: ValueColumns::AllNonKey,
        count: 1,
        ttl_s: 60,
    };
    LastCacheShape::for_cache(table, &cache).unwrap()
}

/// One row of each host, in an order that differs from that of their names.
fn round(table: &Table, time: i64) -> RecordBatch {
    let names = (0..HOSTS).map(|host| format!("host_{}", host * 7919 % HOSTS));
    let names = StringArray::from_iter_values(names);
    let codes =
        Int32Array::from_iter_values((0..names.len()).map(|code| i32::try_from(code).unwrap()));
    let host = DictionaryArray::<Int32Type>::try_new(codes, Arc::new(names)).unwrap();
    let floats = |offset: f64| -> ArrayRef {
        let values =
            (0..HOSTS).map(|host| f64::from(u32::try_from(host).unwrap()).mul_add(0.1, offset));
        Arc::new(Float64Array::from_iter_values(values))
    };
    let times = TimestampNanosecondArray::from_value(time, HOSTS);
    let columns: Vec<ArrayRef> =
        vec![floats(0.0), floats(1.0), floats(2.0), Arc::new(host), Arc::new(times)];
    RecordBatch::try_new(table.arrow_schema(), columns).unwrap()
}

fn built(shape: &LastCacheShape, rounds: &[RecordBatch]) -> LastRows {
    let mut builder = LastRowsBuilder::new(shape, 0, usize::MAX);
    for rows in rounds {
        for start in (0..HOSTS).step_by(ROWS_PER_BATCH) {
            builder.push(&rows.slice(start, ROWS_PER_BATCH.min(HOSTS - start))).unwrap();
        }
    }
    builder.finish().unwrap()
}

fn hosts(count: usize) -> [KeyFilter; 1] {
    let names = (0..count).map(|host| format!("host_{}", host * 31));
    [KeyFilter {
        column: "host".to_owned(),
        test: KeyPredicate::In(names.collect()),
    }]
}

fn last(c: &mut Criterion) {
    let table = table();
    let shape = shape(&table);
    let rounds: Vec<_> =
        (0..ROUNDS).map(|time| round(&table, i64::try_from(time).unwrap())).collect();
    let base = built(&shape, &rounds);
    let mut tail = TailImageBuilder::new(shape.tags(), table.arrow_schema());
    tail.push(&round(&table, 100)).unwrap();
    let mut index = LastTailIndex::new(&shape);
    index.update(&tail).unwrap();

    let mut group = c.benchmark_group("last");
    group.throughput(Throughput::Elements((HOSTS * ROUNDS) as u64));
    group.sample_size(10);
    group.bench_function("build", |b| b.iter(|| built(&shape, black_box(&rounds))));
    group.throughput(Throughput::Elements(HOSTS as u64));
    group.bench_function("update", |b| {
        b.iter(|| {
            let mut index = LastTailIndex::new(&shape);
            index.update(black_box(&tail)).unwrap();
            index
        });
    });
    group.bench_function("merge", |b| {
        let newer = index.rows(&tail, &[], 0).unwrap();
        b.iter(|| base.merged(&shape, black_box(&newer), 0).unwrap());
    });
    let object = encode_last(CacheId::new(1), 1, &base).unwrap();
    group.bench_function("encode", |b| {
        b.iter(|| encode_last(CacheId::new(1), 1, black_box(&base)).unwrap())
    });
    group.bench_function("decode", |b| {
        b.iter(|| decode_last(CacheId::new(1), "k", black_box(&object), &shape).unwrap());
    });
    group.finish();

    let mut group = c.benchmark_group("read");
    for (name, filters) in
        [("1 host", &hosts(1)[..]), ("100 hosts", &hosts(100)[..]), ("all hosts", &[])]
    {
        let wanted = LastCacheQuery { filters, from: 0, count: 1, projection: &ALL_COLUMNS };
        group.bench_function(format!("{name}, base"), |b| {
            b.iter(|| base.select(&shape, None, black_box(&wanted)).unwrap());
        });
        group.bench_function(format!("{name}, base and tail"), |b| {
            b.iter(|| {
                let newer = index.rows(&tail, black_box(filters), 0).unwrap();
                base.select(&shape, Some(&newer), &wanted).unwrap()
            });
        });
    }
    group.finish();
}

criterion_group!(benches, last);
criterion_main!(benches);
