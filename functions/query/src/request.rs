//! Requests to the query engine, in any language.

use std::{fmt, sync::Arc, time::Duration};

use async_trait::async_trait;
use datafusion::common::Result;
use neap_bucket::Stamp;
use neap_schema::DatabaseId;
use neap_tables::QueryContext;

use crate::{AnswerEncoding, Parameters, SessionExtension, statement::PlannedStatement};

/// A query as a client sends it.
#[derive(Clone, Debug, Default)]
pub struct QueryRequest {
    /// One statement.
    pub text: String,
    /// The values of its placeholders.
    pub parameters: Parameters,
    /// The maximum age of the snapshot; the server's default if absent.
    pub max_staleness: Option<Duration>,
    /// A stamp that the answer must include.
    pub after: Option<Stamp>,
    /// The stamp as of which to answer, without later writes; the present if absent.
    pub as_of: Option<Stamp>,
    /// Whether the statement may delete rows.
    pub may_delete: bool,
    /// Whether the statement may write files into the exports of the database (`COPY`).
    pub may_copy: bool,
    /// Whether to read tables even if a cache has the rows (`x-neap-cache: off`).
    pub without_caches: bool,
    /// How materialized views answer queries of their sources (`x-neap-rollups`).
    pub rollups: RollupUse,
    /// The deadline of the answer on the monotonic clock, if it is earlier than the server's timeout.
    pub ends: Option<Duration>,
    /// An id that identifies the query in other logs.
    pub trace_id: Option<String>,
    /// The extension of the session that plans the statement. A statement with one is a query.
    pub extension: Option<Arc<dyn SessionExtension>>,
    /// Whether scans output rows in the order of their series and times, for a statement that sorts them so.
    pub in_series_order: bool,
    /// How the caller encodes the answer; `None`: the answer is neither kept nor taken from kept ones. A caller that sets it
    /// passes the rows to the encoder of this crate, because those of a kept answer are encoded already.
    pub encoding: Option<AnswerEncoding>,
}

impl QueryRequest {
    /// Creates a request of one statement.
    pub fn new(text: impl Into<String>) -> Self {
        Self { text: text.into(), ..Self::default() }
    }
}

/// How materialized views answer queries of their sources.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum RollupUse {
    /// Sources are read.
    Off,
    /// Views are read if the answer is exactly that of the source.
    #[default]
    Exact,
    /// Views are also read if floats may differ in the last digits, because they are added in another order.
    On,
}

/// The language of a statement of a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Language {
    /// SQL.
    Sql,
    /// InfluxQL.
    InfluxQl,
}

/// The language of a statement that is planned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, strum::IntoStaticStr)]
#[strum(serialize_all = "lowercase")]
pub(crate) enum StatementLanguage {
    Sql,
    InfluxQl,
    Flux,
    PromQl,
}

impl StatementLanguage {
    /// The name of the language in `system.queries`.
    pub(crate) fn as_str(self) -> &'static str {
        self.into()
    }
}

#[derive(Clone, Debug)]
pub(crate) struct QueryDatabases {
    /// The database of tables that the statement names without a database. In a query of several databases, the first.
    pub(crate) first: DatabaseId,
    /// The databases of a query of several ones, by the names that its statement has for them; otherwise empty.
    pub(crate) named: Vec<(String, DatabaseId)>,
}

impl QueryDatabases {
    /// Returns the ids, the first one first.
    pub(crate) fn ids(&self) -> Vec<DatabaseId> {
        let named = self.named.iter().map(|(_, id)| *id);
        let others = named.filter(|id| *id != self.first);
        std::iter::once(self.first).chain(others).collect()
    }
}

impl From<DatabaseId> for QueryDatabases {
    fn from(first: DatabaseId) -> Self {
        Self { first, named: Vec::new() }
    }
}

/// Plans a statement over the tables of its databases.
#[async_trait]
pub(crate) trait Planner: fmt::Debug + Send + Sync + 'static {
    /// The language of the statement: SQL, unless a planner says otherwise.
    fn language(&self) -> StatementLanguage {
        StatementLanguage::Sql
    }

    /// Whether the plan depends on the time of the request in other ways than by calls of functions.
    fn depends_on_now(&self) -> bool {
        false
    }

    /// Plans a request over a context. The engine may call it again with a newer context.
    async fn plan(
        &self,
        context: &QueryContext,
        request: &QueryRequest,
    ) -> Result<PlannedStatement>;
}
