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
mod json;
mod msgpack;
mod rows;
mod series_writer;

pub use cell::InfiniteFloatError;
pub use encoder::{EncodingOptions, SeriesEncoder, SeriesKey, V1Format};
pub use epoch::Epoch;
pub use rows::AnswerRows;
pub use series_writer::{SeriesError, SeriesWriter};

#[cfg(test)]
mod tests;
