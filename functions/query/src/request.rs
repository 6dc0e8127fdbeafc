//! What is asked of the query function, in whichever language.

use std::{fmt, sync::Arc, time::Duration};

use async_trait::async_trait;
use datafusion::common::Result;
use neap_bucket::Stamp;

use crate::{
    Parameters,
    session::Scope,
    statement::{self, Planned},
};

/// A query as a client sends it.
#[derive(Clone, Debug, Default)]
pub struct QueryRequest {
    /// One statement.
    pub text: String,
    /// Values for its placeholders.
    pub parameters: Parameters,
    /// The age that the snapshot may have; the server's default if absent.
    pub max_staleness: Option<Duration>,
    /// A stamp that the answer must not be older than.
    pub after: Option<Stamp>,
    /// The stamp as of which to answer: without the writes after it; the present if absent.
    pub as_of: Option<Stamp>,
    /// Whether the statement may delete rows.
    pub may_delete: bool,
    /// Whether to read tables even where a cache has the rows at hand (`x-neap-cache: off`).
    pub without_caches: bool,
    /// When the answer must be complete, by the monotonic clock, if that is before the server's own limit.
    pub ends: Option<Duration>,
    /// By what the query is found in other logs.
    pub trace_id: Option<String>,
}

/// What a statement is written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Language {
    /// SQL.
    Sql,
    /// InfluxQL.
    InfluxQl,
}

impl Language {
    /// The name in `system.queries`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Sql => "sql",
            Self::InfluxQl => "influxql",
        }
    }
}

/// A statement that can be planned over whatever a database holds.
#[async_trait]
pub(crate) trait Planner: fmt::Debug + Send + Sync + 'static {
    /// What it is written in.
    fn language(&self) -> Language;

    /// What a request asks for over a scope. May be asked again, with a newer scope.
    async fn plan(&self, scope: &Arc<Scope>, request: &QueryRequest) -> Result<Planned>;
}

/// The text of the request, in SQL.
#[derive(Debug)]
pub(crate) struct SqlPlanner;

#[async_trait]
impl Planner for SqlPlanner {
    fn language(&self) -> Language {
        Language::Sql
    }

    async fn plan(&self, scope: &Arc<Scope>, request: &QueryRequest) -> Result<Planned> {
        statement::plan(scope, &request.text, request.parameters.clone()).await
    }
}
