//! A body of line protocol as the rows of a request.

use std::fmt;

use neap_rows::line_protocol::{Options, ParseError, ParsedBody, RowSource, SchemaView, parse};

/// A body of line protocol.
pub struct LineProtocolBody<'a>(pub &'a [u8]);

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
