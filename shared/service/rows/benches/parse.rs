//! Measures the throughput of the parser, in bytes of text per second, and compares it with the parser of InfluxDB 3.
//!
//! `influxdb-line-protocol` only parses: its lines would still have to be validated and converted to columns, which the
//! other figures include.

#![expect(
    missing_docs,
    clippy::cast_possible_truncation,
    reason = "criterion's macros document nothing, and the numbers are small"
)]

use std::{hint::black_box, sync::Arc};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use neap_rows::line_protocol::{
    Dialect, Options, SchemaView, TableView, parse, questdb_line_length,
};
use neap_test_inputs::{XorShift, tsbs::CPU_FIELDS};

/// A database without tables.
struct EmptySchema;

impl SchemaView for EmptySchema {
    fn table(&self, _name: &str) -> Option<Arc<TableView>> {
        None
    }
}

fn tags(noise: &mut XorShift, host: u64) -> String {
    let region =
        ["us-east-1", "us-west-2", "eu-central-1", "ap-southeast-2"][noise.below(4) as usize];
    format!(
        "hostname=host_{host},region={region},datacenter={region}{},rack={},os={},arch={},team={},\
         service={},service_version={},service_environment={}",
        ["a", "b", "c"][noise.below(3) as usize],
        noise.below(100),
        ["Ubuntu16.10", "Ubuntu16.04LTS", "Ubuntu15.10"][noise.below(3) as usize],
        ["x64", "x86"][noise.below(2) as usize],
        ["SF", "NYC", "LON", "CHI"][noise.below(4) as usize],
        noise.below(20),
        noise.below(2),
        ["production", "staging", "test"][noise.below(3) as usize],
    )
}

/// Returns lines of the TSBS "cpu-only" shape: 10 tags, 10 fields, `hosts` lines for each of `rounds` times.
fn cpu(hosts: u64, rounds: u64, field: impl Fn(&mut XorShift) -> String) -> String {
    let mut noise = XorShift::new(42);
    let tags: Vec<String> = (0..hosts).map(|host| tags(&mut noise, host)).collect();
    let mut body = String::new();
    for round in 0..rounds {
        for tags in &tags {
            let fields = CPU_FIELDS.map(|name| format!("{name}={}", field(&mut noise))).join(",");
            let time = 1_704_067_200_000_000_000 + round * 10_000_000_000;
            body.push_str(&format!("cpu,{tags} {fields} {time}\n"));
        }
    }
    body
}

/// Returns lines of the same shape with binary floats, as QuestDB's clients send them.
fn questdb_cpu(hosts: u64, rounds: u64) -> Vec<u8> {
    let mut noise = XorShift::new(42);
    let tags: Vec<String> = (0..hosts).map(|host| tags(&mut noise, host)).collect();
    let mut body = Vec::new();
    for round in 0..rounds {
        for tags in &tags {
            body.extend_from_slice(format!("cpu,{tags}").as_bytes());
            let mut separator = b' ';
            for name in CPU_FIELDS {
                body.push(separator);
                body.extend_from_slice(name.as_bytes());
                body.extend_from_slice(b"==\x10");
                let value = noise.below(1 << 50) as f64 / 1.1e13;
                body.extend_from_slice(&value.to_le_bytes());
                separator = b',';
            }
            let time = 1_704_067_200_000_000_000 + round * 10_000_000_000;
            body.extend_from_slice(format!(" {time}n\n").as_bytes());
        }
    }
    body
}

fn bodies() -> Vec<(&'static str, String)> {
    let integer = |noise: &mut XorShift| format!("{}i", noise.below(101));
    let long_float = |noise: &mut XorShift| format!("{}", noise.below(1 << 50) as f64 / 1.1e13);
    let text =
        |noise: &mut XorShift| format!("\"state {}, a \\\"quoted\\\" word\"", noise.below(1000));
    vec![
        ("cpu integers", cpu(100, 200, integer)),
        (
            "cpu floats of 3 decimals",
            cpu(100, 200, |noise| format!("{}.{:03}", noise.below(101), noise.below(1000))),
        ),
        ("cpu floats of 17 digits", cpu(100, 200, long_float)),
        ("cpu strings", cpu(100, 200, text)),
        ("cpu integers, each line its own series", cpu(20_000, 1, integer)),
        (
            "short lines",
            cpu(1, 50_000, integer)
                .lines()
                .enumerate()
                .fold(String::new(), |body, (number, _)| {
                    body + &format!("m,t=a v={number}i {number}\n")
                }),
        ),
    ]
}

fn benchmark(criterion: &mut Criterion) {
    for (name, body) in bodies() {
        let mut group = criterion.benchmark_group(name);
        group.throughput(Throughput::Bytes(body.len() as u64));
        group.sample_size(20);
        group.bench_function("to columns", |bencher| {
            bencher.iter(|| parse(black_box(body.as_bytes()), &EmptySchema, &Options::default()));
        });
        group.bench_function("influxdb-line-protocol, parse only", |bencher| {
            bencher.iter(|| {
                influxdb_line_protocol::parse_lines(black_box(&body))
                    .map(|line| line.map_or(0, |line| line.column_count()))
                    .sum::<usize>()
            });
        });
        group.finish();
    }
}

/// Measures rows per second, because a binary row is shorter than a text.
fn benchmark_questdb(criterion: &mut Criterion) {
    let body = questdb_cpu(100, 200);
    let options = Options { dialect: Dialect::QuestDb, ..Options::default() };
    let mut group = criterion.benchmark_group("QuestDB, cpu binary floats, rows");
    group.throughput(Throughput::Elements(100 * 200));
    group.sample_size(20);
    group.bench_function("to columns", |bencher| {
        bencher.iter(|| parse(black_box(&body), &EmptySchema, &options));
    });
    group.bench_function("ends of lines only", |bencher| {
        bencher.iter(|| {
            let mut at = 0;
            while let Some(length) = body.get(at..).and_then(questdb_line_length) {
                at += length;
            }
            at
        });
    });
    group.finish();
}

criterion_group!(benches, benchmark, benchmark_questdb);
criterion_main!(benches);
