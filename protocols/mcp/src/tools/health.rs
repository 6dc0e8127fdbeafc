//! `health`: whether the server is alive and ready.

use http::StatusCode;
use serde_json::{Value, json};

use super::ToolCall;
use crate::{ApiRequest, error::ToolError};

impl ToolCall<'_> {
    /// Returns the state and the version of the server. An endpoint that the token does not permit is left out.
    pub(super) async fn health(&self) -> Result<Value, ToolError> {
        let health = self.send(ApiRequest::get("/health", Vec::new())).await?;
        let mut result = json!({ "alive": !health.status.is_server_error() });
        if health.status == StatusCode::UNAUTHORIZED {
            health.accepted().await?;
        }
        let ready = self.send(ApiRequest::get("/ready", Vec::new())).await?;
        if ready.status.is_success() || ready.status == StatusCode::SERVICE_UNAVAILABLE {
            result["ready"] = json!(ready.status.is_success());
            let text = ready.text().await?;
            let conditions: Vec<_> = text.lines().filter(|line| *line != "OK").collect();
            result["conditions"] = json!(conditions);
        }
        let ping = self.send(ApiRequest::get("/ping", Vec::new())).await?;
        if ping.status.is_success() {
            let version =
                ping.headers.get("x-neap-version").and_then(|version| version.to_str().ok());
            result["version"] = json!(version);
            let ping: Value = ping.json().await?;
            result["compatible_with_influxdb"] = ping["version"].clone();
        }
        Ok(result)
    }
}
