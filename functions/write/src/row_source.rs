//! The forms in which a request carries rows.

use std::fmt;

use neap_line_protocol::{Options, ParseError, ParsedBody, SchemaView, parse};

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

/// A body of line protocol.
pub(crate) struct LineProtocolBody<'a>(pub(crate) &'a [u8]);

impl RowSource for LineProtocolBody<'_> {
    fn size_bytes(&self) -> usize {
        self.0.len()
    }

    fn validate(
        &self,
        schema: &dyn SchemaView,
        options: &Options,
    ) -> Result<ParsedBody, ParseError> {
        parse(self.0, schema, options)
    }
}

impl fmt::Debug for LineProtocolBody<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LineProtocolBody({} bytes)", self.0.len())
    }
}
