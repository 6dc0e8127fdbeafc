//! Decodes blocks of 1,000 values.

#![expect(missing_docs, reason = "criterion's macros document nothing")]

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use neap_tsm::{BlockDecoder, ValueType, Values};

#[allow(
    dead_code,
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "the encoders of the tests"
)]
#[path = "../src/tests/encoder.rs"]
mod encoder;

const ROWS: i64 = 1_000;
/// Number of blocks in each iteration.
const BLOCKS: u64 = 100;

fn decode(criterion: &mut Criterion) {
    let time = |row: i64| 1_700_000_000_000_000_000 + row * 10_000_000_000;
    let jitter = |row: i64| time(row) + row * 7_919 % 1_000_003;
    let float = |row: i64| f64::from(i32::try_from(row * 7_919 % 10_000).unwrap_or(0)) / 100.0;
    let rows = || 0..ROWS;
    let blocks = [
        (
            "float",
            encoder::Points::Float(rows().map(|row| (time(row), float(row))).collect()),
        ),
        (
            "float, irregular times",
            encoder::Points::Float(rows().map(|row| (jitter(row), float(row))).collect()),
        ),
        (
            "integer",
            encoder::Points::Integer(rows().map(|row| (time(row), row * 7_919 % 1_000)).collect()),
        ),
        (
            "boolean",
            encoder::Points::Boolean(rows().map(|row| (time(row), row % 3 == 0)).collect()),
        ),
        (
            "string",
            encoder::Points::String(
                rows().map(|row| (time(row), format!("state {}", row % 7))).collect(),
            ),
        ),
        (
            "unsigned",
            encoder::Points::Unsigned(rows().map(|row| (time(row), row.unsigned_abs())).collect()),
        ),
    ];
    let mut group = criterion.benchmark_group("decode");
    group.throughput(Throughput::Elements(ROWS.unsigned_abs() * BLOCKS));
    for (name, points) in blocks {
        let block = encoder::block(&points);
        let Some(value_type) = ValueType::of_block(points.block_type()) else {
            continue;
        };
        group.bench_function(name, |bencher| {
            let mut decoder = BlockDecoder::default();
            let (mut times, mut values) = (Vec::new(), Values::new(value_type));
            bencher.iter(|| {
                times.clear();
                values.truncate(0);
                for _ in 0..BLOCKS {
                    decoder.decode(black_box(&block), &mut times, &mut values).ok();
                }
                assert_eq!(times.len(), values.len());
            });
        });
    }
}

criterion_group!(benches, decode);
criterion_main!(benches);
