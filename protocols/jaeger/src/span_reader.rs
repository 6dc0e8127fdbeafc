//! The tables of OpenTelemetry in the database of a request, and their rows.

use arrow_schema::SchemaRef;
use futures::TryStreamExt;
use neap_http::ApiError;
use neap_query::DatabaseReader;

use crate::{
    span_batch::SpanBatch,
    statements::{EVENTS, SPANS},
};

/// Reads the tables of OpenTelemetry.
#[derive(Clone, Debug)]
pub(crate) struct SpanReader(pub(crate) DatabaseReader);

/// The tables of OpenTelemetry that a database has.
#[derive(Clone, Debug, Default)]
pub(crate) struct TraceTables {
    /// The columns of the table of spans, if it exists.
    pub(crate) spans: Option<SchemaRef>,
    /// Whether the table of events and log records exists, with the ids of their traces.
    pub(crate) has_events: bool,
}

impl SpanReader {
    /// Returns the tables of OpenTelemetry.
    ///
    /// # Errors
    /// The caller may not read the database, it does not exist, or its state can't be read.
    pub(crate) async fn tables(&self) -> Result<TraceTables, ApiError> {
        let mut tables = TraceTables::default();
        for table in self.0.tables().await? {
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
    pub(crate) async fn read(
        &self,
        text: String,
        mut visit: impl FnMut(SpanBatch) -> Result<(), ApiError> + Send,
    ) -> Result<(), ApiError> {
        let mut rows = self.0.query(text).await?;
        while let Some(batch) = rows.batches.try_next().await? {
            visit(SpanBatch::new(&batch)?)?;
        }
        Ok(())
    }

    /// Executes a statement, and returns the texts of a column. Nulls are left out.
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
