//! Checks that texts are UTF-8.

use crate::line_protocol::error::LineRefusal;

/// Checks that a text is UTF-8. `what` is its name in the error.
pub(super) fn check_utf8(text: &[u8], what: &'static str) -> Result<(), LineRefusal> {
    match simdutf8::basic::from_utf8(text) {
        Ok(_) => Ok(()),
        Err(_) => Err(LineRefusal::NotUtf8(what)),
    }
}
