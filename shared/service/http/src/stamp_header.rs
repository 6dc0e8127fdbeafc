//! The header with a stamp, in answers and in requests.

use http::HeaderName;

/// The header with the stamp of a write in answers, and with the stamp to be ordered after in requests.
pub const STAMP_HEADER: HeaderName = HeaderName::from_static("x-neap-stamp");
