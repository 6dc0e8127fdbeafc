//! Ids of traces and spans.

use super::ItemError;

/// The id of a trace as hexadecimal text; `None`: it is missing.
pub(super) fn trace_id(id: &[u8]) -> Result<Option<String>, ItemError> {
    hex_id("trace_id", id, 16)
}

/// The id of a span as hexadecimal text; `None`: it is missing.
pub(super) fn span_id(id: &[u8]) -> Result<Option<String>, ItemError> {
    hex_id("span_id", id, 8)
}

/// The id of the parent of a span as hexadecimal text; `None`: it is missing.
pub(super) fn parent_span_id(id: &[u8]) -> Result<Option<String>, ItemError> {
    hex_id("parent_span_id", id, 8)
}

fn hex_id(name: &'static str, id: &[u8], bytes: usize) -> Result<Option<String>, ItemError> {
    // An id of zeros is missing, by the specification.
    if id.is_empty() || (id.len() == bytes && id.iter().all(|byte| *byte == 0)) {
        return Ok(None);
    }
    if id.len() != bytes {
        return Err(ItemError::IdLength(name, id.len(), bytes));
    }
    Ok(Some(hex::encode(id)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_lower_case() {
        let id = [0x5b, 0x8e, 0xff, 0xf7, 0x98, 0x03, 0x81, 0x00];
        assert_eq!(span_id(&id), Ok(Some("5b8efff798038100".to_owned())));
    }

    #[test]
    fn ids_of_zeros_are_missing() {
        assert_eq!(trace_id(&[]), Ok(None));
        assert_eq!(trace_id(&[0; 16]), Ok(None));
        assert_eq!(trace_id(&[0; 8]), Err(ItemError::IdLength("trace_id", 8, 16)));
        assert!(parent_span_id(&[1; 16]).is_err());
    }
}
