//! The database of a request, and queries by its sender.

use std::sync::Arc;

use arrow_schema::SchemaRef;
use futures::TryStreamExt;
use http::request::Parts;
use neap_catalog::{ChangeOrigin, origin};
use neap_http::{ApiError, Caller, Kind, named_database};
use neap_query::{ClientQuery, Language, QueryEngine, QueryRequest, query_request};

use crate::{
    span_batch::SpanBatch,
    statements::{EVENTS, SPANS},
};

/// The sender of a request, and the database that it reads.
#[derive(Clone, Debug)]
pub(crate) struct SpanReader {
    engine: Arc<QueryEngine>,
    caller: Caller,
    origin: ChangeOrigin,
    database: String,
    options: QueryRequest,
}

/// The tables of OpenTelemetry that a database has.
#[derive(Clone, Debug, Default)]
pub(crate) struct TraceTables {
    /// The columns of the table of spans, if it exists.
    pub(crate) spans: Option<SchemaRef>,
    /// Whether the table of events and log records exists, with the ids of their traces.
    pub(crate) has_events: bool,
}

impl SpanReader {
    /// Reads the headers of a request. All of its statements together have the time of one query. `database` is that of its
    /// parameters, and `default` the one of requests that name none.
    ///
    /// # Errors
    /// `Invalid`: no database or several ones are named, or a header is malformed.
    pub(crate) fn new(
        engine: &Arc<QueryEngine>,
        head: &Parts,
        database: Option<&str>,
        default: Option<&str>,
    ) -> Result<Self, ApiError> {
        let Some(database) = named_database(&head.headers, database)?.or(default) else {
            let text =
                "missing query parameter 'db': add it to the URL, or send the header 'database'";
            return Err(ApiError::text(Kind::Invalid, text));
        };
        let options = query_request(&head.headers, &head.extensions)?;
        let now = engine.world().clock.monotonic();
        let limit = now.saturating_add(engine.settings().timeout);
        let ends = options.ends.map_or(limit, |ends| ends.min(limit));
        Ok(Self {
            engine: Arc::clone(engine),
            caller: Caller::from_head(head)?,
            origin: origin::current(),
            database: database.to_owned(),
            options: QueryRequest {
                ends: Some(ends),
                ..options
            },
        })
    }

    /// Returns the tables of OpenTelemetry.
    ///
    /// # Errors
    /// The caller may not read the database, it does not exist, or its state can't be read.
    pub(crate) async fn tables(&self) -> Result<TraceTables, ApiError> {
        let database = self.engine.resolve_for_read(&self.caller, &self.database).await;
        let database_id = database.map_err(ApiError::from)?;
        let listed = self.engine.list_tables(database_id, &self.options, true).await?;
        let [own_schema, ..] = QueryEngine::SCHEMAS;
        let mut tables = TraceTables::default();
        for table in listed.into_iter().filter(|table| table.schema == own_schema) {
            let has_traces = |columns: &SchemaRef| columns.column_with_name("trace_id").is_some();
            let columns = table.columns.filter(has_traces);
            match table.name.as_str() {
                SPANS => tables.spans = columns,
                EVENTS => tables.has_events = columns.is_some(),
                _ => {}
            }
        }
        Ok(tables)
    }

    /// Executes a statement, and passes each batch of its rows to a function.
    ///
    /// # Errors
    /// Those of the statement and of the function.
    pub(crate) async fn read(
        &self,
        text: String,
        mut visit: impl FnMut(SpanBatch) -> Result<(), ApiError> + Send,
    ) -> Result<(), ApiError> {
        let query = ClientQuery {
            caller: self.caller.clone(),
            origin: self.origin.clone(),
            database: Some(self.database.clone()),
            language: Language::Sql,
            request: QueryRequest {
                text,
                ..self.options.clone()
            },
        };
        let mut rows = self.engine.query_as(query).await?;
        while let Some(batch) = rows.batches.try_next().await? {
            visit(SpanBatch::new(&batch)?)?;
        }
        Ok(())
    }

    /// Executes a statement, and returns the texts of a column. Nulls are left out.
    ///
    /// # Errors
    /// Those of the statement.
    pub(crate) async fn texts(&self, text: String, column: &str) -> Result<Vec<String>, ApiError> {
        let mut texts = Vec::new();
        let read = self.read(text, |batch| {
            let found = (0..batch.rows()).filter_map(|row| batch.text(column, row));
            texts.extend(found.map(str::to_owned));
            Ok(())
        });
        read.await?;
        Ok(texts)
    }
}
