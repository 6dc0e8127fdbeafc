//! The answers with files of the page.

use std::io::Read;

use axum::{
    body::Body,
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use flate2::{Compression, read::GzDecoder, read::GzEncoder};
use http::{
    HeaderMap, HeaderValue,
    header::{ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_TYPE},
};
use neap_http::{ApiError, Kind};

use crate::headers::{Caching, add_page_headers};

/// The content of a file of the page.
#[derive(Clone, Debug)]
pub(crate) enum FileContent {
    /// Compressed with gzip.
    Compressed(Bytes),
    /// Not compressed.
    Plain(Bytes),
}

/// Answers with a file of the page, compressed if the client accepts it.
///
/// # Errors
/// `Internal`: a compressed file is damaged.
pub(crate) fn file(
    path: &str,
    content: FileContent,
    caching: Caching,
    request: &HeaderMap,
) -> Result<Response, ApiError> {
    let is_compressed = accepts_gzip(request);
    let body = match (content, is_compressed) {
        (FileContent::Compressed(bytes), true) | (FileContent::Plain(bytes), false) => bytes,
        (FileContent::Compressed(bytes), false) => read(GzDecoder::new(bytes.as_ref()))?,
        (FileContent::Plain(bytes), true) => {
            read(GzEncoder::new(bytes.as_ref(), Compression::default()))?
        }
    };
    let mut response = Body::from(body).into_response();
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type(path)));
    if is_compressed {
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    add_page_headers(headers, caching);
    Ok(response)
}

/// Answers with a text in place of the page.
pub(crate) fn text(text: &'static str) -> Response {
    let mut response = Body::from(text).into_response();
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type("x.txt")));
    add_page_headers(headers, Caching::Revalidated);
    response
}

fn read(mut from: impl Read) -> Result<Bytes, ApiError> {
    let mut bytes = Vec::new();
    let outcome = from.read_to_end(&mut bytes);
    outcome.map_err(|error| ApiError::text(Kind::Internal, error.to_string()))?;
    Ok(bytes.into())
}

/// Returns whether a client accepts gzip.
fn accepts_gzip(request: &HeaderMap) -> bool {
    let mut accepted = request
        .get_all(ACCEPT_ENCODING)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','));
    accepted.any(|coding| {
        let mut parts = coding.split(';').map(str::trim);
        let is_gzip = parts.next().is_some_and(|name| name.eq_ignore_ascii_case("gzip"));
        let is_refused = |weight: &str| {
            let weight = weight.strip_prefix("q=").map(str::parse::<f32>);
            matches!(weight, Some(Ok(weight)) if weight <= 0.0)
        };
        is_gzip && !parts.any(is_refused)
    })
}

/// Returns the content type of a file by the extension of its name.
fn content_type(path: &str) -> &'static str {
    match path.rsplit_once('.').map(|(_, extension)| extension) {
        None | Some("html") => "text/html; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("svg") => "image/svg+xml",
        Some("png") => "image/png",
        Some("woff2") => "font/woff2",
        Some("json" | "map") => "application/json",
        Some("txt") => "text/plain; charset=utf-8",
        Some(_) => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gzip_is_accepted_if_a_client_names_it_with_a_weight() {
        for (header, accepts) in [
            (None, false),
            (Some("gzip"), true),
            (Some("br, GZIP;q=0.5"), true),
            (Some("gzip;q=0"), false),
            (Some("gzip; q=0.000, br"), false),
            (Some("identity"), false),
        ] {
            let mut headers = HeaderMap::new();
            headers.extend(header.map(|value| (ACCEPT_ENCODING, HeaderValue::from_static(value))));
            assert_eq!(accepts_gzip(&headers), accepts, "{header:?}");
        }
    }
}
