//! Rows that can be validated against the tables of a database, in any form.

use std::fmt;

use crate::line_protocol::{Options, ParseError, ParsedBody, SchemaView};

/// The rows of a request. Validation may ask for them several times, because the catalog may change meanwhile.
pub trait RowSource: fmt::Debug + Send + Sync {
    /// The memory of the rows in the form in which they arrived, in bytes.
    fn size_bytes(&self) -> usize;

    /// Validates the rows against the existing tables.
    ///
    /// # Errors
    /// All rows are refused. A row that is refused alone is reported in [`ParsedBody::errors`].
    fn validate(
        &self,
        schema: &dyn SchemaView,
        options: &Options,
    ) -> Result<ParsedBody, ParseError>;
}
