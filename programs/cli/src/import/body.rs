//! Requests of an import.

use std::sync::Arc;

use bytes::Bytes;

/// Rows to send in one request.
#[derive(Clone, Debug)]
pub(crate) struct ImportBody {
    pub(crate) database: Arc<str>,
    /// The rows.
    pub(crate) content: BodyContent,
    /// What the rows are of, for messages about refused rows.
    pub(crate) origin: Arc<str>,
    /// Number of rows or lines.
    pub(crate) rows: u64,
}

/// The rows of a request.
#[derive(Clone, Debug)]
pub(crate) enum BodyContent {
    /// An Arrow stream with rows of a table.
    Arrow {
        /// The table.
        table: String,
        /// The stream.
        bytes: Bytes,
    },
    /// Line protocol with times in nanoseconds, or in the unit that `precision` names.
    Lines {
        /// The lines.
        bytes: Bytes,
        /// The places of the lines in their source.
        places: LinePlaces,
        /// The value of the parameter.
        precision: &'static str,
    },
}

/// The places of lines in their source.
#[derive(Clone, Debug)]
pub(crate) enum LinePlaces {
    /// The lines follow this number of lines.
    After(u64),
    /// Each line is a row of a file with this number.
    Rows(Vec<u64>),
}

impl BodyContent {
    /// Returns the body of the request.
    pub(crate) fn bytes(&self) -> &Bytes {
        match self {
            Self::Arrow { bytes, .. } | Self::Lines { bytes, .. } => bytes,
        }
    }
}
