//! Streams the answer of a request: executes its plans one after the other and forwards rows as they arrive.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use bytes::Bytes;
use futures::{Stream, StreamExt, stream};
use neap_bucket::Stamp;
use neap_flux::{Pipeline, ResultTables};
use neap_flux_planner::BucketList;
use neap_formats::{
    FormatError,
    annotated_csv::{AnnotatedCsvWriter, TableLayout},
};
use neap_schema::DatabaseId;

use super::{error::error_text, planner::TablesPlanner};
use crate::{QueryEngine, QueryError, QueryRequest, Rows};

/// The size at which a piece of the answer is sent, in bytes.
const PIECE_BYTES: usize = 256 << 10;

/// An answer that is being streamed.
pub(super) struct AnswerStream {
    pub(super) engine: Arc<QueryEngine>,
    /// The options of all plans.
    pub(super) request: QueryRequest,
    /// The start of the request on the monotonic clock.
    pub(super) started_at: Duration,
    pub(super) buckets: Arc<BucketList>,
    pub(super) writer: AnnotatedCsvWriter,
    /// The results that have not begun, each with its database.
    pub(super) results: VecDeque<(ResultTables, DatabaseId)>,
    pub(super) current: Option<CurrentResult>,
    pub(super) rows: Option<Rows>,
    pub(super) out: Vec<u8>,
    pub(super) has_sent: bool,
    pub(super) is_finished: bool,
    /// The stamp up to which the first plan includes writes.
    pub(super) as_of: Option<Stamp>,
}

/// The result that is being streamed.
pub(super) struct CurrentResult {
    pipeline: Pipeline,
    database: DatabaseId,
    /// The columns of the tables that follow.
    layouts: VecDeque<TableLayout>,
}

impl AnswerStream {
    /// Returns the remaining pieces of the answer. After the first one, errors are part of the answer.
    pub(super) fn pieces(self) -> impl Stream<Item = Result<Bytes, QueryError>> + Send {
        stream::unfold(self, async |mut answer| {
            let piece = answer.next_piece().await?;
            Some((piece, answer))
        })
    }

    /// Returns the next piece of the answer; `None` at its end.
    pub(super) async fn next_piece(&mut self) -> Option<Result<Bytes, QueryError>> {
        while !self.is_finished && !self.is_enough() {
            if let Err(error) = self.step().await {
                self.is_finished = true;
                if let Some(rows) = self.rows.take() {
                    rows.logged.iter().for_each(|query| query.fail());
                }
                if !self.has_sent {
                    return Some(Err(error));
                }
                self.writer.write_error(&error_text(&error), &mut self.out);
            }
        }
        self.has_sent = true;
        (!self.out.is_empty()).then(|| Ok(Bytes::from(std::mem::take(&mut self.out))))
    }

    /// Whether the buffered piece is large enough to send. The first piece is sent at once.
    fn is_enough(&self) -> bool {
        let enough = if self.has_sent { PIECE_BYTES } else { 1 };
        self.out.len() >= enough
    }

    async fn step(&mut self) -> Result<(), QueryError> {
        if let Some(rows) = &mut self.rows {
            match rows.batches.next().await.transpose()? {
                Some(batch) => {
                    let written = self.writer.write(&batch, &mut self.out);
                    written.map_err(|error| QueryError::Format(FormatError::Arrow(error)))?;
                }
                None => self.rows = None,
            }
            return Ok(());
        }
        let Some(current) = &mut self.current else {
            return self.begin_result().await;
        };
        if let Some(layout) = current.layouts.pop_front() {
            let (pipeline, database) = (current.pipeline.clone(), current.database);
            self.begin_tables(pipeline, database, Some(layout)).await?;
            return Ok(());
        }
        self.writer.end_result(&mut self.out);
        self.current = None;
        Ok(())
    }

    /// Begins the next result, or ends the answer.
    async fn begin_result(&mut self) -> Result<(), QueryError> {
        let Some((result, database)) = self.results.pop_front() else {
            self.is_finished = true;
            return Ok(());
        };
        self.writer.begin_result(&result.name);
        let layouts = self.begin_tables(result.pipeline.clone(), database, None).await?;
        self.current = Some(CurrentResult { pipeline: result.pipeline, database, layouts });
        Ok(())
    }

    /// Executes the plan of the tables with these columns, or of the first ones. Returns the columns of the tables that follow the
    /// first ones.
    async fn begin_tables(
        &mut self,
        pipeline: Pipeline,
        database: DatabaseId,
        wanted: Option<TableLayout>,
    ) -> Result<VecDeque<TableLayout>, QueryError> {
        let buckets = Arc::clone(&self.buckets);
        let planner = Arc::new(TablesPlanner::new(pipeline, buckets, wanted.clone()));
        let request = self.next_request();
        let rows = self.engine.run(database, request, Arc::clone(&planner) as _).await?;
        let mut layouts = VecDeque::from(planner.take_layouts());
        let first = layouts.pop_front().unwrap_or_default();
        self.writer.begin_tables(wanted.unwrap_or(first));
        self.as_of = self.as_of.or(rows.as_of);
        self.rows = Some(rows);
        Ok(layouts)
    }

    /// Returns the request of the next plan. It accepts any snapshot that was taken since the start of the answer.
    fn next_request(&self) -> QueryRequest {
        let elapsed = self.engine.world().clock.monotonic().saturating_sub(self.started_at);
        let usual = self.request.max_staleness.unwrap_or(self.engine.settings().max_staleness);
        QueryRequest {
            max_staleness: Some(usual.max(elapsed)),
            ..self.request.clone()
        }
    }
}
