//! The answer formats of queries: JSON, JSON lines, CSV, a text table, Parquet and Arrow, those of the v1 interface ([`v1`]), and
//! that of Flux ([`annotated_csv`]).
//!
//! [`stream`] turns a stream of record batches into the chunks of a response body; [`Encoder`] is the incremental
//! writer beneath it, for callers that already have the batches.
//!
//! Values are formatted as in InfluxDB 3 (which uses the writers of arrow-rs):
//!
//! | Arrow type | JSON, JSON lines | CSV | table |
//! | --- | --- | --- | --- |
//! | null | the key is left out | empty | empty |
//! | timestamp | `"2024-01-01T08:00:00"`, fraction of 0, 3, 6 or 9 digits, no `Z` | unquoted | unquoted |
//! | timestamp with zone | RFC 3339 with `Z` or offset | unquoted | unquoted |
//! | float | shortest text that reads back the same, with a decimal point; `null` if not finite | `NaN`, `inf` | `NaN`, `inf` |
//! | string, dictionary | string | quoted where RFC 4180 needs it | as is |
//! | struct | object | `{a: 1, b: 2}` | `{a: 1, b: 2}` |
//! | list | array | `[1, 2]` | `[1, 2]` |
//! | duration | `"PT0.001S"` | unquoted | unquoted |
//!
//! The text of a result without rows is `[]` in JSON, `++\n++` in the table, and empty in JSON lines, CSV and Parquet,
//! whether the plan produced no batch or only empty ones. [`empty_table_with_columns`] replaces the table by one with columns.
//!
//! JSON, JSON lines and CSV are streamed row by row. The table is buffered, because its first line depends on every
//! cell; it ends at [`FormatLimits::table_bytes`] with the number of the rows that are left out. A Parquet file is streamed by row group, each of about
//! [`FormatLimits::row_group_bytes`], so that most files are sent in one piece. An Arrow stream is sent in messages of
//! about 256 KiB; without rows, it has the columns only.

pub mod annotated_csv;
mod arrow_file;
mod arrow_stream;
mod column;
mod encoder;
mod error;
mod format;
mod number;
mod parquet;
mod plain_columns;
mod rendered;
mod rows;
pub mod series;
mod stream;
mod table;
mod text;
mod timestamp;
pub mod v1;

#[cfg(test)]
mod tests;

pub use arrow_file::ArrowFileWriter;
pub use encoder::{Encoder, FormatLimits};
pub use error::FormatError;
pub use format::{Format, InvalidMimeType, UnknownFormat};
pub use plain_columns::PlainColumns;
pub use stream::stream;
pub use table::empty_table_with_columns;
