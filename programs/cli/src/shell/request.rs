//! Sends a statement to the server.

use neap_query::AS_OF_HEADER;
use reqwest::{Method, Response, header};
use serde::Serialize;

use super::tokens::QueryLanguage;
use crate::client::{Client, ClientError};

/// A statement for a server.
#[derive(Clone, Copy, Debug)]
pub(crate) struct StatementRequest<'a> {
    pub(crate) language: QueryLanguage,
    /// Database; some InfluxQL statements need none.
    pub(crate) database: Option<&'a str>,
    pub(crate) text: &'a str,
    /// The format of the result: `pretty`, `json` and so on.
    pub(crate) form: &'a str,
    /// Time or stamp as of which the query is answered.
    pub(crate) as_of: Option<&'a str>,
}

#[derive(Serialize)]
struct StatementBody<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    db: Option<&'a str>,
    q: &'a str,
    format: &'a str,
}

impl StatementRequest<'_> {
    /// Sends the statement; the response contains the result.
    pub(crate) async fn send(&self, client: &Client) -> Result<Response, ClientError> {
        let path = match self.language {
            QueryLanguage::Sql => "/api/v3/query_sql",
            QueryLanguage::Influxql => "/api/v3/query_influxql",
        };
        let body = StatementBody { db: self.database, q: self.text, format: self.form };
        // Serializing strings to JSON does not fail.
        let body = serde_json::to_vec(&body).unwrap_or_default();
        let mut request = client
            .request(Method::POST, path)
            .header(header::CONTENT_TYPE, "application/json");
        if let Some(as_of) = self.as_of {
            request = request.header(AS_OF_HEADER, as_of);
        }
        client.send(request.body(body)).await
    }
}
