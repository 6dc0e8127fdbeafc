//! Files that users upload or import.

use bytes::Bytes;
use neap_file_formats::{FileInput, FileReader, Format, ReadOptions};
use neap_rows::{
    columnar::{ColumnMapping, ColumnarRows},
    line_protocol::RowSource,
};

use crate::{
    decoder_panics::catch_decoder_panic,
    empty_schema::{EmptySchema, WRITE_OPTIONS},
};

/// Maximum bytes of a decompressed file, and of its rows.
const MAX_DECODED_BYTES: u64 = 4 << 20;

/// Maximum number of parts that are validated. Each part of annotated CSV may be of another table.
const MAX_PARTS: usize = 1_000;

pub(crate) fn csv(input: &[u8]) {
    read(Format::Csv, input);
}

pub(crate) fn json_lines(input: &[u8]) {
    read(Format::JsonLines, input);
}

pub(crate) fn parquet(input: &[u8]) {
    catch_decoder_panic(|| read(Format::Parquet, input));
}

pub(crate) fn arrow(input: &[u8]) {
    catch_decoder_panic(|| read(Format::Arrow, input));
}

/// Reads all rows of a file, and validates them.
fn read(format: Format, input: &[u8]) {
    let options = ReadOptions {
        format: Some(format),
        mapping: ColumnMapping::for_table("m"),
        max_decoded_bytes: Some(MAX_DECODED_BYTES),
        ..ReadOptions::default()
    };
    let file = FileInput::Bytes(Bytes::copy_from_slice(input));
    let Ok(mut reader) = FileReader::open(file, options) else {
        return;
    };
    let mut parts = Vec::new();
    while let Ok(Some(part)) = reader.next_part() {
        if parts.len() < MAX_PARTS {
            parts.push(part);
        }
    }
    let Ok(rows) = ColumnarRows::from_parts(parts) else {
        return;
    };
    if let Ok(parsed) = rows.validate(&EmptySchema, &WRITE_OPTIONS) {
        assert!(parsed.rows <= parsed.lines);
    }
}
