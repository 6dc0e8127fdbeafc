//! Readers of CSV, JSON lines, Parquet and Arrow files as record batches.
//!
//! [`FileReader`] reads a [`FileInput`] and returns its rows in parts of at most [`MAX_BATCH_ROWS`] rows, each with the
//! [`ColumnMapping`](neap_rows::columnar::ColumnMapping) of its table. A part knows the number of its first row, so that an
//! import can continue with a later row. Memory is bounded by a part, whatever the size of the file is. For Parquet, the pages
//! of all columns at one place of the file come in addition ([`FileReader::memory_bytes`]).
//!
//! # Formats
//!
//! | [`Format`] | types | a row that cannot be read |
//! |---|---|---|
//! | CSV with a header | inferred from the first [`MAX_BATCH_ROWS`] rows, unless they are given ([`CsvDialect`]) | is refused alone |
//! | annotated CSV of InfluxDB 2 | of its `#datatype` | is refused alone |
//! | JSON lines: one object in each line | inferred from the first rows that have a key | is refused alone |
//! | Parquet | of the file | ends the file |
//! | Arrow file (Feather version 2) or stream | of the file | ends the file |
//!
//! Rows are numbered from 1. A header, annotations and blank lines are no rows. Files compressed with gzip or zstd are
//! decompressed, whatever their name is.

mod arrow_file;
mod arrow_limits;
mod cells;
mod csv;
mod decoding_plan;
mod error;
mod format;
mod input;
mod json_cell;
mod json_lines;
mod limits;
mod parquet_file;
mod parquet_pages;
mod parquet_summary;
mod part_source;
mod reader;
#[cfg(test)]
mod tests;

pub use self::csv::{CsvDialect, CsvOptionError};
pub use cells::{CellType, DecimalMark, UnknownCellType};
pub use error::ReadError;
pub use format::{Compression, Format};
pub use input::FileInput;
pub use limits::{MAX_BATCH_ROWS, MAX_COLUMNS};
pub use parquet_summary::{PARQUET_TAIL_BYTES, ParquetSummary, parquet_footer_bytes};
pub use reader::{FileReader, ReadOptions};
