//! The headers of the page and its files.

use http::{
    HeaderMap, HeaderName, HeaderValue,
    header::{
        CACHE_CONTROL, CONTENT_SECURITY_POLICY, REFERRER_POLICY, VARY, X_CONTENT_TYPE_OPTIONS,
        X_FRAME_OPTIONS,
    },
};

/// The content security policy: the page loads and calls only its own server, runs no inline script, and is shown in no
/// frame. Images may be data of the page, which charts export.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; \
    connect-src 'self'; font-src 'self'; form-action 'none'; base-uri 'none'; frame-ancestors 'none'";

/// The part of the policy with the servers that the page may call.
const CALLED_SERVERS: &str = "connect-src 'self'";

/// Allows the page to read results at another origin, such as `https://bucket.s3.amazonaws.com`.
pub(crate) fn allow_results_at(headers: &mut HeaderMap, origin: &str) {
    let policy = POLICY.replace(CALLED_SERVERS, &format!("{CALLED_SERVERS} {origin}"));
    if let Ok(policy) = HeaderValue::from_str(&policy) {
        headers.insert(CONTENT_SECURITY_POLICY, policy);
    }
}

/// How long browsers keep a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Caching {
    /// For ever: the name contains a hash of the content.
    Immutable,
    /// Browsers ask each time, so that they show the files of the present build.
    Revalidated,
}

/// Adds the headers of a file of the page.
pub(crate) fn add_page_headers(headers: &mut HeaderMap, caching: Caching) {
    let caching = match caching {
        Caching::Immutable => "public, max-age=31536000, immutable",
        Caching::Revalidated => "no-cache",
    };
    let shown = [
        (CACHE_CONTROL, HeaderValue::from_static(caching)),
        (CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY)),
        (X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
        (X_FRAME_OPTIONS, HeaderValue::from_static("DENY")),
        (REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
        (VARY, HeaderValue::from_static("accept-encoding")),
        (
            HeaderName::from_static("cross-origin-opener-policy"),
            HeaderValue::from_static("same-origin"),
        ),
        (
            HeaderName::from_static("cross-origin-resource-policy"),
            HeaderValue::from_static("same-origin"),
        ),
        (
            HeaderName::from_static("permissions-policy"),
            HeaderValue::from_static("camera=(), geolocation=(), microphone=()"),
        ),
    ];
    headers.extend(shown.map(|(name, value)| (Some(name), value)));
}
