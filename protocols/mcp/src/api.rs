//! Requests to the HTTP interface of a server, wherever it is.

use std::fmt;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use futures::{StreamExt, stream::BoxStream};
use http::{HeaderMap, HeaderValue, Method, StatusCode, header::AUTHORIZATION, request::Parts};
use neap_http::PeerAddress;
use serde::de::DeserializeOwned;

use crate::{ApiUnavailable, error::ToolError};

/// Maximum bytes of an answer that is read as a whole.
const MAX_TEXT_BYTES: usize = 64 << 10;

/// Maximum bytes of a refusal that are shown.
const MAX_REFUSAL_BYTES: usize = 4 << 10;

/// The HTTP interface of a server.
#[async_trait]
pub trait HttpApi: fmt::Debug + Send + Sync {
    /// Sends a request with these credentials, and returns the head of the answer with any status.
    ///
    /// # Errors
    /// The server could not be reached, or did not answer.
    async fn send(
        &self,
        request: ApiRequest,
        credentials: &ClientCredentials,
    ) -> Result<ApiResponse, ApiUnavailable>;
}

/// The credentials of an agent, and its address. Over stdio both are those of the HTTP client, and this is empty.
#[derive(Clone, Debug, Default)]
pub struct ClientCredentials {
    /// The header `Authorization`, which is marked as sensitive.
    pub authorization: Option<HeaderValue>,
    /// The address of the agent.
    pub peer: Option<PeerAddress>,
}

impl ClientCredentials {
    /// Returns the credentials in the head of a request.
    pub(crate) fn from_head(head: &Parts) -> Self {
        let authorization = head.headers.get(AUTHORIZATION).cloned();
        Self {
            authorization: authorization.map(|mut value| {
                value.set_sensitive(true);
                value
            }),
            peer: head.extensions.get().copied(),
        }
    }
}

/// The body of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiBody {
    /// The media type.
    pub content_type: &'static str,
    /// The bytes.
    pub bytes: Bytes,
}

/// A request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiRequest {
    /// The method.
    pub method: Method,
    /// The path, without parameters.
    pub path: &'static str,
    /// The parameters of the URL.
    pub query: Vec<(&'static str, String)>,
    /// The body.
    pub body: Option<ApiBody>,
}

impl ApiRequest {
    /// Creates a GET request.
    pub(crate) fn get(path: &'static str, query: Vec<(&'static str, String)>) -> Self {
        Self { method: Method::GET, path, query, body: None }
    }

    /// Creates a POST request.
    pub(crate) fn post(
        path: &'static str,
        query: Vec<(&'static str, String)>,
        content_type: &'static str,
        bytes: impl Into<Bytes>,
    ) -> Self {
        let bytes = bytes.into();
        Self {
            method: Method::POST,
            path,
            query,
            body: Some(ApiBody { content_type, bytes }),
        }
    }
}

/// The bytes of an answer as they arrive. Dropping it cancels a query.
pub(crate) type ApiResponseBody = BoxStream<'static, Result<Bytes, ApiUnavailable>>;

/// An answer.
pub struct ApiResponse {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: ApiResponseBody,
}

impl fmt::Debug for ApiResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ApiResponse")
            .field("status", &self.status)
            .finish_non_exhaustive()
    }
}

impl ApiResponse {
    /// Returns the answer if its status is a success.
    ///
    /// # Errors
    /// [`ToolError::Refused`] with the first bytes of the answer, or [`ToolError::Unavailable`].
    pub(crate) async fn accepted(self) -> Result<Self, ToolError> {
        if self.status.is_success() {
            return Ok(self);
        }
        let status = self.status;
        let bytes = self.read_up_to(MAX_REFUSAL_BYTES).await?;
        Err(ToolError::Refused {
            status,
            message: String::from_utf8_lossy(&bytes).trim().to_owned(),
        })
    }

    /// Reads a short answer, whatever its status.
    ///
    /// # Errors
    /// [`ToolError::Unavailable`].
    pub(crate) async fn text(self) -> Result<String, ToolError> {
        let bytes = self.read_up_to(MAX_TEXT_BYTES).await?;
        Ok(String::from_utf8_lossy(&bytes).trim().to_owned())
    }

    /// Reads a short answer in JSON.
    ///
    /// # Errors
    /// [`ToolError::Unavailable`], or [`ToolError::UnexpectedAnswer`] if it is not JSON of this type.
    pub(crate) async fn json<T: DeserializeOwned>(self) -> Result<T, ToolError> {
        let bytes = self.read_up_to(MAX_TEXT_BYTES).await?;
        serde_json::from_slice(&bytes)
            .map_err(|error| ToolError::UnexpectedAnswer(error.to_string()))
    }

    /// Reads at most `limit` bytes.
    async fn read_up_to(mut self, limit: usize) -> Result<BytesMut, ToolError> {
        let mut bytes = BytesMut::new();
        while let Some(chunk) = self.body.next().await.transpose()? {
            let room = limit.saturating_sub(bytes.len());
            let end = chunk.len().min(room);
            bytes.extend_from_slice(chunk.get(..end).unwrap_or_default());
            if end < chunk.len() {
                break;
            }
        }
        Ok(bytes)
    }
}
