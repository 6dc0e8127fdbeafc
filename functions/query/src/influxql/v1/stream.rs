//! An answer as it is carried out: statement by statement, and of each the rows as they come.

use std::{collections::VecDeque, sync::Arc};

use bytes::Bytes;
use futures::{Stream, StreamExt, stream};

use super::{encoder::Encoder, rows::Divider};
use crate::{
    QueryError,
    influxql::{
        error::InfluxqlError,
        prepared::Prepared,
        session::{Answer, Session},
    },
    log::LoggedQuery,
    rows::Batches,
};

/// Bytes after which a piece of the answer leaves.
const PIECE_BYTES: usize = 256 << 10;

/// What has become of a statement.
pub(super) type Outcome = Result<Answer, InfluxqlError>;

/// An answer that is on its way.
pub(super) struct Answering {
    session: Session,
    encoder: Box<dyn Encoder>,
    /// The statements that are left, with their numbers.
    left: VecDeque<(usize, Prepared)>,
    /// What the first of them has come to, if it is known.
    first: Option<Outcome>,
    rows: Option<Running>,
    out: Vec<u8>,
    has_left: bool,
    is_finished: bool,
}

/// A statement whose rows come.
struct Running {
    batches: Batches,
    divider: Divider,
    logged: Option<Arc<LoggedQuery>>,
}

impl Answering {
    /// `first` is what the first statement has come to, if there is one.
    pub(super) fn new(
        session: Session,
        encoder: Box<dyn Encoder>,
        statements: Vec<Prepared>,
        first: Option<Outcome>,
    ) -> Self {
        Self {
            session,
            encoder,
            left: statements.into_iter().enumerate().collect(),
            first,
            rows: None,
            out: Vec::new(),
            has_left: false,
            is_finished: false,
        }
    }

    /// The pieces of the answer. It never fails: errors are in the answer.
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
        (!self.out.is_empty()).then(|| Bytes::from(std::mem::take(&mut self.out)))
    }

    /// Whether a piece is worth sending. The first one leaves at once.
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
                match running.divider.write(&batch, encoder, &mut self.out) {
                    Ok(()) => return,
                    Err(error) => Some(error.to_string()),
                }
            }
            Some(Err(error)) => Some(InfluxqlError::from(error).in_answer()),
            None => None,
        };
        if failed.is_some() {
            running.logged.iter().for_each(|query| query.fail());
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
            Ok(Answer { rows, series }) => {
                let divider = Divider::new(&rows.schema, &series);
                self.encoder.begin(number, divider.columns(), &mut self.out);
                self.rows = Some(Running {
                    batches: rows.batches,
                    divider,
                    logged: rows.logged,
                });
            }
            Err(error) => {
                self.encoder.begin(number, &[], &mut self.out);
                self.encoder.end(Some(&error.in_answer()), &mut self.out);
            }
        }
    }
}
