//! The call of a tool.

use neap_bucket::World;

use crate::{ApiRequest, ApiResponse, ClientCredentials, HttpApi, error::ToolError};

/// A call of a tool.
#[derive(Debug)]
pub(crate) struct ToolCall<'a> {
    pub(crate) api: &'a dyn HttpApi,
    pub(crate) world: &'a World,
    pub(crate) credentials: ClientCredentials,
}

impl ToolCall<'_> {
    /// Sends a request, and returns an answer of any status.
    pub(super) async fn send(&self, request: ApiRequest) -> Result<ApiResponse, ToolError> {
        Ok(self.api.send(request, &self.credentials).await?)
    }
}
