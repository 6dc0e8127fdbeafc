//! The value of a field with its length.

use crate::line_protocol::number::FieldValue;

/// The value at the start of an input.
#[derive(Debug)]
pub(super) struct ScannedValue<'a> {
    /// `None`: the field is absent.
    pub(super) value: Option<FieldValue<'a>>,
    pub(super) length: usize,
}
