//! Rows of Arrow record batches, validated against the tables of a database.
//!
//! [`ColumnarRows`] holds the batches of a request and the [`ColumnMapping`] that says which columns are tags and which
//! one is the time. [`ColumnarRows::validate`] returns what the line protocol parser returns for the same rows as text:
//! the same columns in the same order, the same limits, and one error for each refused row. The work is done per column
//! and not per value, so that it is faster than parsing. [`LineEncoder`] is for clients: it writes such rows as line
//! protocol.
//!
//! # Types
//!
//! | Arrow | stored as |
//! |---|---|
//! | signed integers | integer |
//! | unsigned integers | unsigned integer |
//! | floats, decimals | float |
//! | `Boolean` | boolean |
//! | `Utf8`, `LargeUtf8`, `Utf8View`, a dictionary of one of them | tag or string, see [`TagColumns`] |
//! | timestamps, dates | time, only in the time column |
//! | others | refused with the rows that have a value in the column |
//!
//! If the table has the column with another numeric type, values that this type represents exactly are converted, and
//! rows with other values are refused. A text column becomes the tag or the string that the table has under its name,
//! unless the mapping or the metadata of the column says otherwise.
//!
//! A null is an absent value, and so is an empty tag. A row without a time gets the default time of the request.

mod batch;
mod cast;
mod column_names;
mod convert;
mod error;
mod joined_column;
mod lines;
mod mapping;
mod message_limits;
mod numbered_batch;
mod point_batches;
mod recent_schemas;
mod render;
mod row_writer;
mod rows;
mod size;
mod table;
mod tag_dictionary;
#[cfg(test)]
mod tests;
mod time;
mod validator;

pub use arrow_array::timezone::Tz as TimeZone;

pub use error::{EncodeError, MappingError};
pub use lines::{LineEncoder, LineRows};
pub use mapping::{ColumnMapping, TagColumns, TimeColumn, TimeFormat};
pub use message_limits::{MAX_MESSAGE_ROWS, MessageLimitError, decompressed_bytes};
pub use numbered_batch::{NumberedBatch, UnreadableRow};
pub use point_batches::{
    ColumnConflict, PointBatches, PointRows, PointTag, PointTagValue, TableBatch,
};
pub use row_writer::{RowWriteError, RowWriter, StoredRows};
pub use rows::{ColumnarRows, TablePart};
pub use size::batch_bytes;
