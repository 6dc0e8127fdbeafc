//! Streams the answer of a request: executes its statements one after the other and forwards rows as they arrive.

use std::{collections::VecDeque, sync::Arc};

use bytes::Bytes;
use futures::{Stream, StreamExt, stream};

use neap_formats::v1::{SeriesEncoder, SeriesWriter};

use crate::{
    QueryError,
    answer_cache::{AnswerRecorder, AnswerReuse},
    influxql::{
        error::InfluxqlError,
        prepared_statement::PreparedStatement,
        session::{InfluxqlSession, StatementAnswer},
    },
    query_log::LoggedQuery,
    rows::BatchStream,
};

/// The size at which a piece of the answer is sent, in bytes.
const PIECE_BYTES: usize = 256 << 10;

/// The outcome of a statement.
pub(super) type StatementResult = Result<StatementAnswer, InfluxqlError>;

/// An answer that is being streamed.
pub(super) struct AnswerStream {
    session: InfluxqlSession,
    encoder: Box<dyn SeriesEncoder>,
    /// The remaining statements with their numbers.
    left: VecDeque<(usize, PreparedStatement)>,
    /// The outcome of the first statement, until it is written.
    first: Option<StatementResult>,
    rows: Option<StreamedStatement>,
    out: Vec<u8>,
    /// The recorder of the answer, if it may be kept.
    recorder: Option<Box<AnswerRecorder>>,
    has_left: bool,
    is_finished: bool,
}

/// A statement whose rows are being streamed.
struct StreamedStatement {
    batches: BatchStream,
    series_writer: SeriesWriter,
    logged: Option<Arc<LoggedQuery>>,
}

impl AnswerStream {
    /// Creates an answer. `first` is the outcome of the first statement, if there is one.
    pub(super) fn new(
        session: InfluxqlSession,
        encoder: Box<dyn SeriesEncoder>,
        statements: Vec<PreparedStatement>,
        first: Option<StatementResult>,
    ) -> Self {
        Self {
            session,
            encoder,
            left: statements.into_iter().enumerate().collect(),
            first,
            rows: None,
            out: Vec::new(),
            recorder: None,
            has_left: false,
            is_finished: false,
        }
    }

    /// Returns the pieces of the answer. The stream never fails, because errors are part of the answer.
    pub(super) fn pieces(self) -> impl Stream<Item = Result<Bytes, QueryError>> + Send {
        stream::unfold(self, async |mut answering| {
            let piece = answering.next_piece().await?;
            Some((Ok(piece), answering))
        })
    }

    async fn next_piece(&mut self) -> Option<Bytes> {
        while !self.is_finished && !self.is_enough() {
            self.step().await;
        }
        self.has_left = true;
        if let Some(recorder) = &mut self.recorder {
            recorder.push(&self.out);
        }
        if self.is_finished
            && let Some(recorder) = self.recorder.take()
        {
            recorder.finish();
        }
        (!self.out.is_empty()).then(|| Bytes::from(std::mem::take(&mut self.out)))
    }

    /// Whether the buffered piece is large enough to send. The first piece is sent at once.
    fn is_enough(&self) -> bool {
        let enough = if self.has_left { PIECE_BYTES } else { 1 };
        self.out.len() >= enough
    }

    async fn step(&mut self) {
        let Some(running) = &mut self.rows else {
            return self.next_statement().await;
        };
        let failed = match running.batches.next().await {
            Some(Ok(batch)) => {
                let encoder = self.encoder.as_mut();
                match running.series_writer.write(&batch, encoder, &mut self.out) {
                    Ok(()) => return,
                    Err(error) => Some(error.to_string()),
                }
            }
            Some(Err(error)) => Some(InfluxqlError::from(error).answer_text()),
            None => None,
        };
        if failed.is_some() {
            running.logged.iter().for_each(|query| query.fail());
            self.recorder = None;
        }
        self.rows = None;
        self.encoder.end(failed.as_deref(), &mut self.out);
    }

    async fn next_statement(&mut self) {
        let Some((number, statement)) = self.left.pop_front() else {
            self.encoder.finish(&mut self.out);
            self.is_finished = true;
            return;
        };
        let outcome = match self.first.take() {
            Some(outcome) => outcome,
            None => self.session.run(&statement).await,
        };
        match outcome {
            Ok(StatementAnswer { rows, series }) => {
                let series_writer = SeriesWriter::new(&rows.schema, &series);
                // Only the answer of a single statement is kept.
                if let AnswerReuse::Recorded(recorder) = rows.reuse {
                    self.recorder = Some(recorder);
                }
                self.encoder.begin(number, series_writer.columns(), &mut self.out);
                self.rows = Some(StreamedStatement {
                    batches: rows.batches,
                    series_writer,
                    logged: rows.logged,
                });
            }
            Err(error) => {
                self.encoder.begin(number, &[], &mut self.out);
                self.encoder.end(Some(&error.answer_text()), &mut self.out);
            }
        }
    }
}
