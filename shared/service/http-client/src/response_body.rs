//! Bodies of responses, which a server could send without end.

use bytes::{Bytes, BytesMut};
use reqwest::Response;

/// A body can't be read.
#[derive(Debug, thiserror::Error)]
pub enum ResponseBodyError {
    /// It is longer than this number of bytes.
    #[error("the answer has more than {0} bytes")]
    TooLong(usize),
    /// The response was interrupted.
    #[error(transparent)]
    Interrupted(#[from] reqwest::Error),
}

/// Reads a body of at most `max_bytes`.
///
/// # Errors
/// The body is longer, or the response was interrupted.
pub async fn read_response(
    response: &mut Response,
    max_bytes: usize,
) -> Result<Bytes, ResponseBodyError> {
    let body = read(response, max_bytes).await?;
    if body.is_complete {
        Ok(body.bytes)
    } else {
        Err(ResponseBodyError::TooLong(max_bytes))
    }
}

/// Reads a body, or its first `max_bytes` if it is longer.
///
/// # Errors
/// The response was interrupted.
pub async fn read_response_start(
    response: &mut Response,
    max_bytes: usize,
) -> Result<Bytes, reqwest::Error> {
    Ok(read(response, max_bytes).await?.bytes)
}

/// The bytes of a body that were read.
struct LimitedBody {
    bytes: Bytes,
    is_complete: bool,
}

async fn read(response: &mut Response, max_bytes: usize) -> Result<LimitedBody, reqwest::Error> {
    let mut bytes = BytesMut::new();
    let mut is_complete = true;
    while let Some(chunk) = response.chunk().await? {
        let free_bytes = max_bytes.saturating_sub(bytes.len());
        if chunk.len() > free_bytes {
            bytes.extend_from_slice(&chunk.slice(..free_bytes));
            is_complete = false;
            break;
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(LimitedBody { bytes: bytes.freeze(), is_complete })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn response(body: &'static str) -> Response {
        http::Response::new(body).into()
    }

    #[tokio::test]
    async fn a_body_that_is_too_long_is_refused_or_cut_off() {
        let whole = read_response(&mut response("abcd"), 4).await;
        assert_eq!(whole.unwrap(), "abcd");
        let refused = read_response(&mut response("abcde"), 4).await;
        assert!(matches!(refused, Err(ResponseBodyError::TooLong(4))));
        let start = read_response_start(&mut response("abcde"), 4).await;
        assert_eq!(start.unwrap(), "abcd");
    }
}
