//! Detects requests that a web page makes a browser send to a server that only the browser's machine may reach.

use http::{HeaderMap, HeaderName, header::ORIGIN};

use super::error_answers;
use crate::ApiError;

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Refuses requests of web pages, for endpoints that return a token to any client. Browsers add one of these headers to
/// every POST of a page; other clients do not.
///
/// # Errors
/// `Forbidden`.
pub fn refuse_web_pages(headers: &HeaderMap) -> Result<(), ApiError> {
    let site = headers.get(SEC_FETCH_SITE);
    let by_page = site.is_some_and(|site| site != "none");
    if by_page || headers.contains_key(ORIGIN) {
        return Err(error_answers::forbidden());
    }
    Ok(())
}
