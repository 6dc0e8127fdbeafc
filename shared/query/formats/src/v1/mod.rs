//! The answer formats of `/query`, the interface of InfluxDB 1.x: JSON, chunks of JSON, CSV and MessagePack.
//!
//! ```text
//!   statement, record batches --SeriesWriter--> series --SeriesEncoder--> bytes
//! ```
//!
//! Rows are streamed. Only MessagePack buffers the answer in memory, because its lists begin with their lengths.

mod cell;
mod csv;
mod encoder;
mod epoch;
mod format;
mod json;
mod msgpack;
mod rows;
mod series_writer;

pub use cell::InfiniteFloatError;
pub(crate) use cell::{Rfc3339Formatter, SeriesValue, push_float, push_integer};
pub use encoder::{SeriesEncoder, SeriesKey};
pub use epoch::Epoch;
pub use format::{EncodingOptions, V1Format};
pub use rows::AnswerRows;
pub use series_writer::{SeriesError, SeriesWriter};

#[cfg(test)]
mod tests;
