//! Forms with files.

use http::{HeaderMap, HeaderValue, header::CONTENT_TYPE};
use neap_http::{multipart_boundary, multipart_parts};

/// Splits a form. The first line is its content type. The content of a part contains no boundary.
pub(super) fn run(input: &[u8]) {
    let mut lines = input.splitn(2, |byte| *byte == b'\n');
    let (Some(content_type), Some(body)) = (lines.next(), lines.next()) else {
        return;
    };
    let Ok(content_type) = HeaderValue::from_bytes(content_type) else {
        return;
    };
    let Some(boundary) = multipart_boundary(&HeaderMap::from_iter([(CONTENT_TYPE, content_type)]))
    else {
        return;
    };
    let delimiter = format!("\r\n--{boundary}");
    for (_, content) in multipart_parts(body, &boundary).map_while(Result::ok) {
        let mut windows = content.windows(delimiter.len());
        assert!(!windows.any(|window| window == delimiter.as_bytes()));
    }
}
