//! Tests of the crate as a whole. Rows are shown as line protocol.

mod annotated_csv;
mod binary;
mod plain_text;
mod robustness;

use std::fmt::Write;

use bytes::Bytes;
use neap_rows::{
    columnar::{ColumnMapping, LineEncoder, LineRows, TablePart, TagColumns},
    line_protocol::Precision,
};

use crate::{FileInput, FileReader, Format, ReadError, ReadOptions};

fn options(format: Format, table: &str, tags: &[&str]) -> ReadOptions {
    ReadOptions {
        format: Some(format),
        mapping: ColumnMapping {
            table: table.to_owned(),
            tags: TagColumns::Named(tags.iter().map(|tag| (*tag).to_owned()).collect()),
            ..ColumnMapping::default()
        },
        ..ReadOptions::default()
    }
}

fn read_parts(file: impl Into<Bytes>, options: ReadOptions) -> Result<Vec<TablePart>, ReadError> {
    let mut reader = FileReader::open(FileInput::Bytes(file.into()), options)?;
    let mut parts = Vec::new();
    while let Some(part) = reader.next_part()? {
        parts.push(part);
    }
    Ok(parts)
}

/// Returns the lines of all rows, and the errors of refused ones.
fn show(parts: &[TablePart]) -> String {
    let mut text = String::new();
    for part in parts {
        for batch in &part.batches {
            let mut lines = LineRows::default();
            let encoder = LineEncoder::new(batch, &part.mapping, Precision::Auto);
            encoder.unwrap().encode(&mut lines, usize::MAX);
            for (row, line) in lines.rows.iter().zip(lines.text.lines()) {
                writeln!(text, "{row}: {line}").unwrap();
            }
            for error in lines.errors {
                writeln!(text, "{}: ! {}", error.line_number, error.error_message).unwrap();
            }
        }
    }
    text
}

/// Reads a text, and shows its rows or its error.
fn show_text(text: &str, options: ReadOptions) -> String {
    match read_parts(text.as_bytes().to_vec(), options) {
        Ok(parts) => show(&parts),
        Err(error) => error.to_string(),
    }
}
