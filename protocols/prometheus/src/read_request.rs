//! Requests of remote read, whose parts are counted before memory is allocated for them.

use prost::Message;

use crate::{DecodeError, ReadRequest, wire::WireReader};

/// Decodes a decompressed request.
///
/// # Errors
/// The message is not protobuf, or it has more queries or matchers than it may.
pub fn decode_read(
    message: &[u8],
    max_queries: usize,
    max_matchers: usize,
) -> Result<ReadRequest, DecodeError> {
    let (mut queries, mut matchers) = (0, 0);
    let mut request = WireReader::new(message);
    while let Some(field) = request.next_field()? {
        if field.number != 1 {
            continue;
        }
        queries += 1;
        let mut query = field.nested()?;
        while let Some(field) = query.next_field()? {
            matchers += usize::from(field.number == 3);
        }
        if queries > max_queries {
            return Err(DecodeError::TooManyQueries(max_queries));
        }
        if matchers > max_matchers {
            return Err(DecodeError::TooManyMatchers(max_matchers));
        }
    }
    Ok(ReadRequest::decode(message)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{LabelMatcher, Query};

    fn request(queries: usize, matchers: usize) -> ReadRequest {
        let query = Query {
            matchers: vec![LabelMatcher::default(); matchers],
            ..Query::default()
        };
        ReadRequest {
            queries: vec![query; queries],
            accepted_response_types: vec![1],
        }
    }

    #[test]
    fn queries_and_matchers_are_limited() {
        let decode = |request: &ReadRequest| decode_read(&request.encode_to_vec(), 3, 6);
        for accepted in [request(0, 0), request(3, 2), request(1, 6)] {
            assert_eq!(decode(&accepted).unwrap(), accepted);
        }
        let queries = decode(&request(4, 0));
        assert!(matches!(queries, Err(DecodeError::TooManyQueries(3))));
        let matchers = decode(&request(2, 4));
        assert!(matches!(matchers, Err(DecodeError::TooManyMatchers(6))));
        assert!(decode_read(&[0x0a], 3, 6).is_err());
    }
}
