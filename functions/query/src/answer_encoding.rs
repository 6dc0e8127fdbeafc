//! The encodings of answers.

use neap_formats::{
    Format,
    v1::{EncodingOptions, V1Format},
};

/// How an answer is encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AnswerEncoding {
    /// As one table.
    Table {
        /// The format.
        format: Format,
        /// Whether a table without rows has its columns.
        has_empty_columns: bool,
    },
    /// As series, for InfluxDB 1's interface.
    Series(V1Format, EncodingOptions),
}
