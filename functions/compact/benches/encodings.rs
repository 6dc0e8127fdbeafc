//! Measures each encoding for each column type: bytes of a value, and the speed of writing and reading.
//!
//! ```text
//! cargo bench -p neap-compact --bench encodings -- FILE.lp...
//! ```
//!
//! Each column is written to its own Parquet file, with the rows in the order of a section.

#![allow(missing_docs, clippy::print_stdout, clippy::disallowed_methods)]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a benchmark")]

mod support;

use std::{collections::BTreeMap, path::Path, sync::Arc, time::Duration, time::Instant};

use arrow_array::{Array, RecordBatch};
use arrow_schema::Schema;
use bytes::Bytes;
use parquet::{
    arrow::{ArrowWriter, arrow_reader::ParquetRecordBatchReaderBuilder},
    basic::{Compression, Encoding, ZstdLevel},
    file::properties::WriterProperties,
};

const LEVELS: [i32; 4] = [1, 3, 6, 9];
const ROW_GROUP_ROWS: [usize; 3] = [131_072, 262_144, 1_048_576];
const PAGE_ROWS: usize = 8_192;

#[derive(Clone, Copy, Default)]
struct EncodingCost {
    values: usize,
    bytes: usize,
    write: Duration,
    read: Duration,
}

/// Returns the encodings for a type; `None` is a dictionary.
fn candidates(kind: &str) -> &'static [Option<Encoding>] {
    match kind {
        "tag" | "string" => &[
            None,
            Some(Encoding::PLAIN),
            Some(Encoding::DELTA_LENGTH_BYTE_ARRAY),
            Some(Encoding::DELTA_BYTE_ARRAY),
        ],
        "float" => &[None, Some(Encoding::PLAIN), Some(Encoding::BYTE_STREAM_SPLIT)],
        "boolean" => &[Some(Encoding::PLAIN), Some(Encoding::RLE)],
        _ => &[
            None,
            Some(Encoding::PLAIN),
            Some(Encoding::DELTA_BINARY_PACKED),
            Some(Encoding::BYTE_STREAM_SPLIT),
        ],
    }
}

fn measure(
    column: &RecordBatch,
    encoding: Option<Encoding>,
    level: i32,
    group: usize,
) -> EncodingCost {
    let mut properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(level).unwrap()))
        .set_max_row_group_row_count(Some(group))
        .set_data_page_row_count_limit(PAGE_ROWS)
        .set_write_batch_size(PAGE_ROWS)
        .set_dictionary_enabled(encoding.is_none());
    if let Some(encoding) = encoding {
        properties = properties.set_encoding(encoding);
    }
    let start = Instant::now();
    let mut bytes = Vec::new();
    let mut writer =
        ArrowWriter::try_new(&mut bytes, column.schema(), Some(properties.build())).unwrap();
    writer.write(column).unwrap();
    let metadata = writer.close().unwrap();
    let write = start.elapsed();
    let stored: i64 = metadata.row_groups().iter().map(|group| group.compressed_size()).sum();
    let start = Instant::now();
    let reader = ParquetRecordBatchReaderBuilder::try_new(Bytes::from(bytes)).unwrap();
    let rows: usize = reader.build().unwrap().map(|batch| batch.unwrap().num_rows()).sum();
    assert_eq!(rows, column.num_rows());
    EncodingCost {
        values: rows,
        bytes: usize::try_from(stored).unwrap(),
        write,
        read: start.elapsed(),
    }
}

fn main() {
    let files: Vec<String> =
        std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    for file in &files {
        let tables = support::load(Path::new(file));
        for floats in [false, true] {
            let mut sums: BTreeMap<(&str, usize, String, i32), EncodingCost> = BTreeMap::new();
            for table in &tables {
                let rows = if floats {
                    support::with_floats(table)
                } else {
                    table.clone()
                };
                for (field, column) in rows.schema().fields().iter().zip(rows.columns()) {
                    let kind = support::kind_of(field);
                    if column.null_count() == column.len() || (floats && kind != "float") {
                        continue;
                    }
                    let schema = Arc::new(Schema::new(vec![Arc::clone(field)]));
                    let column = RecordBatch::try_new(schema, vec![Arc::clone(column)]).unwrap();
                    for (group, level) in
                        ROW_GROUP_ROWS.iter().flat_map(|group| LEVELS.map(|level| (*group, level)))
                    {
                        if group != ROW_GROUP_ROWS[0] && level != 3 {
                            continue;
                        }
                        for encoding in candidates(kind) {
                            let found = measure(&column, *encoding, level, group);
                            let name = encoding
                                .map_or("dictionary".to_owned(), |encoding| encoding.to_string());
                            let sum = sums.entry((kind, group, name, level)).or_default();
                            sum.values += found.values;
                            sum.bytes += found.bytes;
                            sum.write += found.write;
                            sum.read += found.read;
                        }
                    }
                }
            }
            let what = if floats {
                "integers as floats"
            } else {
                "as is"
            };
            println!("\n{file}, {what}");
            println!(
                "| type | rows of a group | encoding | zstd | bytes/value | write, M values/s | read, M values/s |\n|---|--:|---|--:|--:|--:|--:|"
            );
            for ((kind, group, name, level), sum) in sums {
                let rate = |time: Duration| sum.values as f64 / time.as_secs_f64() / 1e6;
                let size = sum.bytes as f64 / sum.values as f64;
                println!(
                    "| {kind} | {group} | {name} | {level} | {size:.3} | {:.1} | {:.1} |",
                    rate(sum.write),
                    rate(sum.read)
                );
            }
        }
    }
}
