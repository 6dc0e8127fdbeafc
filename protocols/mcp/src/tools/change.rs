//! `write` and `create_database`, which only servers that allow writes have.

use neap_http::STAMP_HEADER;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{ToolCall, query::check_limit};
use crate::{ApiRequest, error::ToolError};

/// Maximum bytes of line protocol of a call.
pub(crate) const MAX_LINE_PROTOCOL_BYTES: usize = 1 << 20;

/// The arguments of `write`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WriteArguments {
    database: String,
    lines: String,
    #[serde(default)]
    precision: TimeUnit,
}

#[derive(Clone, Copy, Debug, Default, Deserialize, strum::IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
#[serde(rename_all = "lowercase")]
enum TimeUnit {
    #[default]
    Nanosecond,
    Microsecond,
    Millisecond,
    Second,
}

impl TimeUnit {
    fn as_str(self) -> &'static str {
        self.into()
    }
}

/// The arguments of `create_database`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CreateArguments {
    database: String,
    retention_period: Option<String>,
}

impl ToolCall<'_> {
    /// Stores all lines, or none.
    pub(super) async fn write(&self, arguments: WriteArguments) -> Result<Value, ToolError> {
        let (bytes, maximum) = (arguments.lines.len(), MAX_LINE_PROTOCOL_BYTES);
        check_limit("bytes of lines", bytes, maximum)?;
        let query = vec![
            ("db", arguments.database),
            ("precision", arguments.precision.as_str().to_owned()),
            ("accept_partial", "false".to_owned()),
        ];
        let text = "text/plain; charset=utf-8";
        let request = ApiRequest::post("/api/v3/write_lp", query, text, arguments.lines);
        let answer = self.send(request).await?.accepted().await?;
        let stamp = answer.headers.get(STAMP_HEADER).and_then(|stamp| stamp.to_str().ok());
        Ok(json!({ "stored": true, "stamp": stamp }))
    }

    /// Creates a database.
    pub(super) async fn create_database(
        &self,
        arguments: CreateArguments,
    ) -> Result<Value, ToolError> {
        let mut body = json!({ "db": arguments.database });
        if let Some(period) = arguments.retention_period {
            body["retention_period"] = json!(period);
        }
        let path = "/api/v3/configure/database";
        let request = ApiRequest::post(path, Vec::new(), "application/json", body.to_string());
        self.send(request).await?.accepted().await?;
        Ok(json!({ "created": true }))
    }
}
