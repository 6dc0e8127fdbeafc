//! `cost`: the requests of the server to its store.

use serde::Deserialize;
use serde_json::{Value, json};

use super::{ToolCall, query::LIST_LIMITS};
use crate::error::ToolError;

/// The database with the tables about the server.
const INTERNAL_DATABASE: &str = "_internal";

const STATEMENT: &str = "\
SELECT operation, class, sum(requests) AS requests, sum(bytes) AS bytes, min(since) AS since \
FROM system.store_requests GROUP BY operation, class ORDER BY operation, class";

/// List prices of requests to Amazon S3 Standard in us-east-1, in US dollars per request.
const WRITE_PRICE: f64 = 0.005 / 1_000.0;
const READ_PRICE: f64 = 0.0004 / 1_000.0;

/// A row of the counts.
#[derive(Debug, Deserialize)]
struct RequestCount {
    operation: String,
    class: String,
    requests: u64,
    bytes: u64,
    since: Option<String>,
}

impl RequestCount {
    /// Returns the list price of the requests, in US dollars. Deletes are free.
    fn price(&self) -> f64 {
        let price = match self.operation.as_str() {
            "put" | "list" | "copy" => WRITE_PRICE,
            "get" | "head" => READ_PRICE,
            _ => 0.0,
        };
        price * self.requests as f64
    }
}

impl ToolCall<'_> {
    /// Returns the requests to the store and their price.
    pub(super) async fn cost(&self) -> Result<Value, ToolError> {
        let read = self.sql_rows(INTERNAL_DATABASE, STATEMENT, LIST_LIMITS).await?;
        let counts: Vec<RequestCount> = read
            .rows
            .into_iter()
            .map(serde_json::from_value)
            .collect::<Result<_, _>>()
            .map_err(|error| ToolError::UnexpectedAnswer(error.to_string()))?;
        let total: f64 = counts.iter().map(RequestCount::price).sum();
        let since = counts.iter().filter_map(|count| count.since.as_deref());
        let rows: Vec<_> = counts
            .iter()
            .map(|count| {
                json!({
                    "operation": count.operation,
                    "class": count.class,
                    "requests": count.requests,
                    "bytes": count.bytes,
                })
            })
            .collect();
        Ok(json!({
            "since": since.min(),
            "store_requests": rows,
            "estimated_usd_of_requests": total,
            "prices": "Amazon S3 Standard, us-east-1: $0.005 per 1,000 PUT and LIST, $0.0004 per 1,000 GET",
            "scope": "this process; storage, traffic and reads of cold data are not included",
        }))
    }
}
