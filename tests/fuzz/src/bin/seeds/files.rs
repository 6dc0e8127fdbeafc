//! Files of Arrow and Parquet, layers of caches, and compressed frames.

use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_ipc::{
    CompressionType,
    writer::{FileWriter, IpcWriteOptions, StreamWriter},
};
use neap_bucket::{HEADER_BYTES, compression};
use neap_cache::{
    CacheShape, DistinctValuesBuilder, LastRowsBuilder, encode_distinct, encode_last,
};
use neap_fuzz::{LAYER_HEADER_BYTES, cache_table};
use neap_points::conform_to_schema;
use neap_rows::line_protocol::{Options, SchemaView, TableView, parse};
use parquet::{
    arrow::ArrowWriter,
    basic::Compression,
    file::properties::{EnabledStatistics, WriterProperties},
};

use crate::Seeds;

/// Rows of the table of caches.
const LINES: &str = "\
cpu,zone=a,host=x f=0.5,s=\"one\" 10
cpu,zone=a,host=y f=1.5 11
cpu,zone=b,host=x f=2.5,s=\"two\" 12
cpu,host=x f=3.5 13";

#[derive(Debug)]
struct NoTables;

impl SchemaView for NoTables {
    fn table(&self, _name: &str) -> Option<Arc<TableView>> {
        None
    }
}

pub(crate) fn add_files(seeds: &mut Seeds) {
    let rows = rows();
    add_arrow_files(seeds, &rows);
    add_parquet_files(seeds, &rows);
    add_layers(seeds, &rows);
    for text in [&b""[..], b"a", &[7; 300], br#"{"version":1,"recent":[],"value":{}}"#] {
        seeds.add("register-frame", compression::compress(text).expect("a frame"));
    }
}

fn rows() -> RecordBatch {
    let parsed = parse(LINES.as_bytes(), &NoTables, &Options::default());
    let mut tables = parsed.expect("lines").tables;
    tables.pop().expect("a table").batch
}

fn add_arrow_files(seeds: &mut Seeds, rows: &RecordBatch) {
    let plain = IpcWriteOptions::default();
    let compressed = plain.clone().try_with_compression(Some(CompressionType::ZSTD));
    for options in [plain, compressed.expect("zstd is enabled")] {
        let mut stream =
            StreamWriter::try_new_with_options(Vec::new(), &rows.schema(), options.clone())
                .expect("a stream");
        stream.write(rows).expect("rows");
        seeds.add("arrow-file", stream.into_inner().expect("a stream"));
        let mut file =
            FileWriter::try_new_with_options(Vec::new(), &rows.schema(), options).expect("a file");
        file.write(rows).expect("rows");
        seeds.add("arrow-file", file.into_inner().expect("a file"));
    }
}

fn add_parquet_files(seeds: &mut Seeds, rows: &RecordBatch) {
    let plain = WriterProperties::builder()
        .set_compression(Compression::UNCOMPRESSED)
        .set_dictionary_enabled(false)
        .set_statistics_enabled(EnabledStatistics::None);
    let compressed = WriterProperties::builder()
        .set_compression(Compression::ZSTD(Default::default()))
        .set_statistics_enabled(EnabledStatistics::Page);
    for (at, properties) in [plain.build(), compressed.build()].into_iter().enumerate() {
        let columns: &[usize] = if at == 0 { &[0, 2, 4] } else { &[1, 3, 4] };
        let rows = rows.project(columns).expect("columns");
        let mut writer =
            ArrowWriter::try_new(Vec::new(), rows.schema(), Some(properties)).expect("a file");
        writer.write(&rows).expect("rows");
        let metadata = writer.finish().expect("a file");
        let file = std::mem::take(writer.inner_mut());
        seeds.add("parquet-file", file.clone());
        let section = neap_section::add_checksums(file, &metadata);
        seeds.add("section", section.expect("checksums"));
    }
}

/// Adds the rows of layers, without the header that identifies their cache.
fn add_layers(seeds: &mut Seeds, rows: &RecordBatch) {
    for (cache, shape) in CacheShape::all_of(&cache_table()) {
        let encoded = match &shape {
            CacheShape::Last(shape) => {
                let rows = conform_to_schema(rows, shape.schema()).expect("the table's columns");
                let mut builder = LastRowsBuilder::new(shape, 0, usize::MAX);
                builder.push(&rows).expect("rows");
                encode_last(cache, 7, &builder.finish().expect("a layer"))
            }
            CacheShape::Distinct(shape) => {
                let mut builder = DistinctValuesBuilder::new(shape, 0, usize::MAX);
                builder.push(rows).expect("rows");
                encode_distinct(cache, 7, &builder.finish().expect("a layer"))
            }
        };
        let object = encoded.expect("an object");
        seeds.add("cache-layer", &object[HEADER_BYTES + LAYER_HEADER_BYTES..]);
    }
}
