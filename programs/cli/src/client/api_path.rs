//! Paths of requests.

use std::borrow::Cow;

use neap_http_client::path_segment;

use super::ClientResult;

/// The path of a request below the server's address. A name in it is one segment, whatever its characters are.
#[derive(Clone, Debug)]
pub(crate) struct ApiPath(Cow<'static, str>);

impl ApiPath {
    /// Returns the path of a resource below another one.
    ///
    /// # Errors
    ///
    /// [`ClientError::Name`](super::ClientError::Name): a segment is empty, `.` or `..`.
    pub(crate) fn below(base: &'static str, segments: &[&str]) -> ClientResult<Self> {
        let mut path = base.to_owned();
        for segment in segments {
            path.push('/');
            path.push_str(&path_segment(segment)?);
        }
        Ok(Self(Cow::Owned(path)))
    }

    /// Returns the escaped text.
    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<&'static str> for ApiPath {
    fn from(path: &'static str) -> Self {
        Self(Cow::Borrowed(path))
    }
}
