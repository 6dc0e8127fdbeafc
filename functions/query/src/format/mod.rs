//! The answer formats of `/api/v3/query_sql` and `/api/v3/query_influxql`: JSON, JSON lines, CSV,
//! a text table and Parquet.
//!
//! [`stream`] turns a stream of record batches into the chunks of a response body; [`Encoder`] is
//! the incremental writer beneath it, for callers that have the batches at hand.
//!
//! How a value looks follows InfluxDB 3 (which uses the writers of arrow-rs):
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
//! A result without rows is `[]`, nothing, nothing, `++\n++` and nothing in the five formats; whether
//! the plan produced no batch or only empty ones makes no difference.
//!
//! JSON, JSON lines and CSV leave as they are written. The table has to know every cell before its
//! first line, so it is kept, up to [`Limits::table_bytes`]. A Parquet file leaves row group by row
//! group, each of about [`Limits::row_group_bytes`], so that most files leave in one piece.

mod column;
mod encoder;
mod kind;
mod number;
mod parquet;
mod rows;
mod stream;
mod table;
mod text;
mod timestamp;

#[cfg(test)]
mod tests;

pub use encoder::{Encoder, FormatError, Limits};
pub use kind::{Format, InvalidMimeType, UnknownFormat};
pub use stream::stream;
pub(crate) use timestamp::TimestampText;
