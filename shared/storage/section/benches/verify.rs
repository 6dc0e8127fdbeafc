//! Compares the cost of verifying sections with the cost of decoding them, measured alternately.
//!
//! ```text
//! cargo bench -p neap-section --bench verify
//! ```
//!
//! A query verifies bytes once, when it loads them from the store, and decodes them on each use. It also reads, filters
//! and aggregates, so the measured share of the time is an upper bound.

#![allow(missing_docs, clippy::print_stdout, clippy::disallowed_methods)]
#![allow(clippy::unwrap_used, reason = "a benchmark")]

use std::{
    hint::black_box,
    sync::Arc,
    time::{Duration, Instant},
};

use arrow_array::{
    ArrayRef, DictionaryArray, Float64Array, Int64Array, RecordBatch, TimestampNanosecondArray,
    types::Int32Type,
};
use bytes::Bytes;
use neap_section::{SectionFooter, add_checksums};
use parquet::{
    arrow::{ArrowWriter, arrow_reader::ParquetRecordBatchReaderBuilder},
    basic::{Compression, Encoding, ZstdLevel},
    file::{
        metadata::{PageIndexPolicy, ParquetMetaDataReader},
        properties::WriterProperties,
    },
    schema::types::ColumnPath,
};

const ROWS: i64 = 1_000_000;
const ROUNDS: usize = 15;

/// Returns a pseudo-random number for `at`; the sequence is repeatable.
fn noise(at: i64) -> i64 {
    let mut bits = at.cast_unsigned().wrapping_mul(0x9E37_79B9_7F4A_7C15);
    bits ^= bits >> 29;
    bits = bits.wrapping_mul(0xBF58_476D_1CE4_E5B9);
    i64::try_from(bits >> 33).unwrap()
}

/// Returns the columns with their encodings. Each is named after how it compresses.
fn columns() -> Vec<(&'static str, ArrayRef, Encoding)> {
    let hosts: Vec<String> = (0..1_000).map(|host| format!("host_{host}")).collect();
    let host: DictionaryArray<Int32Type> = (0..ROWS)
        .map(|row| Some(hosts[usize::try_from(row / 1_000).unwrap()].as_str()))
        .collect();
    let walk = (0..ROWS).map(|row| 50 + noise(row / 7) % 10);
    let decimals = (0..ROWS).map(|row| noise(row) % 100_000).map(|value| value as f64 / 1e3);
    let random = (0..ROWS).map(|row| noise(row) as f64 / 7.0);
    let time = (0..ROWS).map(|row| 1_700_000_000_000_000_000 + row % 1_000 * 10_000_000_000);
    vec![
        ("tag", Arc::new(host), Encoding::PLAIN_DICTIONARY),
        (
            "time",
            Arc::new(TimestampNanosecondArray::from_iter_values(time)),
            Encoding::DELTA_BINARY_PACKED,
        ),
        (
            "integer, a walk",
            Arc::new(Int64Array::from_iter_values(walk)),
            Encoding::DELTA_BINARY_PACKED,
        ),
        (
            "float, three decimals",
            Arc::new(Float64Array::from_iter_values(decimals)),
            Encoding::PLAIN,
        ),
        (
            "float, random",
            Arc::new(Float64Array::from_iter_values(random)),
            Encoding::PLAIN,
        ),
    ]
}

fn section(rows: &RecordBatch, encodings: &[(&str, Encoding)]) -> Bytes {
    let mut properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(3).unwrap()))
        .set_data_page_row_count_limit(8_192)
        .set_write_batch_size(8_192)
        .set_max_row_group_row_count(Some(262_144));
    for (name, encoding) in encodings {
        let path = ColumnPath::new(vec![(*name).to_owned()]);
        let is_dictionary = *encoding == Encoding::PLAIN_DICTIONARY;
        properties = properties.set_column_dictionary_enabled(path.clone(), is_dictionary);
        if !is_dictionary {
            properties = properties.set_column_encoding(path, *encoding);
        }
    }
    let properties = properties.build();
    let mut writer = ArrowWriter::try_new(Vec::new(), rows.schema(), Some(properties)).unwrap();
    writer.write(rows).unwrap();
    let metadata = writer.finish().unwrap();
    let file = std::mem::take(writer.inner_mut());
    add_checksums(file, &metadata).unwrap().into()
}

fn timed(work: impl FnOnce()) -> Duration {
    let started_at = Instant::now();
    work();
    started_at.elapsed()
}

fn median(mut times: Vec<Duration>) -> f64 {
    times.sort_unstable();
    times[times.len() / 2].as_secs_f64()
}

fn measure(name: &str, section: &Bytes) {
    let length = section.len() as u64;
    let footer = SectionFooter::decode(section, length, PageIndexPolicy::Optional).unwrap();
    let groups = footer.metadata().row_groups().iter();
    let ends = groups.flat_map(|group| group.columns()).map(|column| {
        let (start, length) = column.byte_range();
        usize::try_from(start + length).unwrap()
    });
    let data_end = ends.max().unwrap();
    let (mut verify, mut decode) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        verify.push(timed(|| footer.verify_all(black_box(section)).unwrap()));
        decode.push(timed(|| {
            let reader = ParquetRecordBatchReaderBuilder::try_new(section.clone())
                .unwrap()
                .with_batch_size(8_192)
                .build()
                .unwrap();
            let rows: usize = reader.map(|rows| black_box(rows.unwrap()).num_rows()).sum();
            assert_eq!(rows as i64, ROWS);
        }));
    }
    let (verify, decode) = (median(verify), median(decode));
    let (mut plain, mut checked) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        plain.push(timed(|| {
            let mut reader =
                ParquetMetaDataReader::new().with_page_index_policy(PageIndexPolicy::Optional);
            reader.try_parse_sized(section, length).unwrap();
            black_box(reader.finish().unwrap());
        }));
        checked.push(timed(|| {
            black_box(crc32c::crc32c(section.slice(data_end..).as_ref()));
            let footer = SectionFooter::decode(section, length, PageIndexPolicy::Optional);
            black_box(footer.unwrap());
        }));
    }
    let (plain, checked) = (median(plain), median(checked));
    println!(
        "{name:24} {:>8.3} bytes/row, verify {:>6.2} GB/s, decode {:>6.2} GB/s of the same bytes: {:.2} %; \
         footer {:.0} µs, {:.0} µs verified",
        section.len() as f64 / ROWS as f64,
        section.len() as f64 / verify / 1e9,
        section.len() as f64 / decode / 1e9,
        100.0 * verify / decode,
        plain * 1e6,
        checked * 1e6
    );
}

fn main() {
    let columns = columns();
    for (name, column, encoding) in &columns {
        let rows = RecordBatch::try_from_iter([(*name, Arc::clone(column))]).unwrap();
        measure(name, &section(&rows, &[(name, *encoding)]));
    }
    let all = columns.iter().map(|(name, column, _)| (*name, Arc::clone(column)));
    let rows = RecordBatch::try_from_iter(all).unwrap();
    let encodings: Vec<_> = columns.iter().map(|(name, _, how)| (*name, *how)).collect();
    measure("all", &section(&rows, &encodings));
}
