//! The channel of a query's outcome and rows, from the query threads to the receiver.
//!
//! ```text
//!   planned ---oneshot--> StartedQuery
//!   rows ------channel--> Rows, Rows, ..., LastRows or End
//! ```
//!
//! To wake the receiver on another thread takes as long as a small query computes. So the outcome of planning is sent with
//! the first rows if they need no wait, and the end is sent with the last rows if it is known.

use std::task::Poll;

use arrow::{array::RecordBatch, datatypes::SchemaRef};
use futures::{StreamExt, poll};
use neap_row_delete::RowDelete;
use neap_tables::ScannedTimes;
use tokio::sync::{mpsc, oneshot};

use crate::{BatchStream, QueryError, copy::StartedCopy, query_log::QueryTracker};

/// The outcome of planning a query.
#[derive(Debug)]
pub(crate) enum StartedQuery {
    /// Rows follow.
    Rows {
        /// The columns.
        schema: SchemaRef,
        /// The number of workers that compute the rows; zero if this process does.
        workers: usize,
        /// The times that the plan reads, if its answer may be kept.
        times: Option<ScannedTimes>,
    },
    /// Rows follow, which the caller writes into a file.
    Copy(StartedCopy),
    /// The statement deletes rows. The caller executes the delete, because it waits for the commit order of writes, as
    /// writes do.
    Delete(RowDelete),
}

/// The rows of a plan that executes.
pub(super) struct ExecutedRows {
    pub(super) schema: SchemaRef,
    pub(super) batches: BatchStream,
    /// The number of rows of a full batch.
    pub(super) batch_size: usize,
    /// The number of workers that compute the rows; zero if this process does.
    pub(super) workers: usize,
    /// Whether the rows are pieces of a text, which are not counted as rows.
    pub(super) is_text: bool,
    /// The times that the plan reads, if its answer may be kept.
    pub(super) times: Option<ScannedTimes>,
}

impl ExecutedRows {
    /// Returns the same rows. Their answer is not kept unless the condition holds.
    pub(super) fn kept_if(self, may_be_kept: bool) -> Self {
        Self { times: self.times.filter(|_| may_be_kept), ..self }
    }
}

/// A message of the row channel.
#[derive(Debug)]
pub(crate) enum RowMessage {
    Rows(RecordBatch),
    /// The last rows. No message follows.
    LastRows(RecordBatch),
    /// There are no more rows.
    End,
    Failed(QueryError),
}

/// The outcome of planning, for the receiver of the rows.
pub(crate) type StartedReceiver = oneshot::Receiver<Result<StartedQuery, QueryError>>;

/// Creates the channel of a query.
pub(super) fn row_channel() -> (RowSender, StartedReceiver, mpsc::Receiver<RowMessage>) {
    let (outcome, started_receiver) = oneshot::channel();
    let (messages, receiver) = mpsc::channel(1);
    let sender = RowSender { outcome: Some(outcome), started: None, messages };
    (sender, started_receiver, receiver)
}

/// The sender of a query's outcome and rows.
pub(super) struct RowSender {
    /// Present until the outcome of planning is sent.
    outcome: Option<oneshot::Sender<Result<StartedQuery, QueryError>>>,
    started: Option<StartedQuery>,
    messages: mpsc::Sender<RowMessage>,
}

impl RowSender {
    /// Sends an outcome of planning that no rows follow.
    pub(super) fn send_outcome(mut self, outcome: Result<StartedQuery, QueryError>) {
        if let Some(sender) = self.outcome.take() {
            sender.send(outcome).ok();
        }
    }

    /// Records the outcome of planning. It is sent before the first wait for rows, or with the first message.
    pub(super) fn record_start(&mut self, started: StartedQuery) {
        self.started = Some(started);
    }

    /// Sends the recorded outcome of planning, unless it was sent.
    pub(super) fn send_start(&mut self) {
        if let (Some(sender), Some(started)) = (self.outcome.take(), self.started.take()) {
            // An error means that the receiver is gone, which the channel of rows reports, too.
            sender.send(Ok(started)).ok();
        }
    }

    /// Sends a message. Returns false if the receiver is gone.
    pub(super) async fn send(&mut self, message: RowMessage) -> bool {
        // The first message finds room in the channel, so that the outcome is not delayed.
        let sent = self.messages.send(message).await;
        self.send_start();
        sent.is_ok()
    }

    /// Sends rows, except the last ones if they are recognised as such.
    ///
    /// Rows of fewer than `rows.batch_size` are often the last ones. Whether they are is seen by polling once more.
    pub(super) async fn send_rows(
        &mut self,
        rows: ExecutedRows,
        max_rows: Option<u64>,
        tracker: &QueryTracker,
    ) -> SendOutcome {
        let ExecutedRows { mut batches, batch_size, is_text, .. } = rows;
        let mut sent: usize = 0;
        let mut polled = None;
        loop {
            let next = match polled.take() {
                Some(next) => Poll::Ready(next),
                None => poll!(batches.next()),
            };
            let next = match next {
                Poll::Ready(next) => next,
                Poll::Pending => {
                    self.send_start();
                    tokio::select! {
                        next = batches.next() => next,
                        () = self.messages.closed() => return SendOutcome::ReceiverDropped,
                    }
                }
            };
            let batch = match next {
                Some(Ok(batch)) => batch,
                Some(Err(error)) => return SendOutcome::Failed { error, rows: sent },
                None => return SendOutcome::Complete(None),
            };
            let number = if is_text { 0 } else { batch.num_rows() };
            sent += number;
            if let Some(limit) = max_rows.filter(|limit| sent as u64 > *limit) {
                let error = QueryError::TooManyRows { limit };
                return SendOutcome::Failed { error, rows: sent };
            }
            if number < batch_size
                && let Poll::Ready(next) = poll!(batches.next())
            {
                if next.is_none() {
                    tracker.totals().count_rows(number);
                    return SendOutcome::Complete(Some(batch));
                }
                polled = Some(next);
            }
            if !self.send(RowMessage::Rows(batch)).await {
                return SendOutcome::ReceiverDropped;
            }
            tracker.totals().count_rows(number);
        }
    }
}

/// The outcome of sending rows.
pub(super) enum SendOutcome {
    /// All rows are sent, except these.
    Complete(Option<RecordBatch>),
    /// The receiver is gone.
    ReceiverDropped,
    /// The query failed after this number of rows.
    Failed { error: QueryError, rows: usize },
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Int64Array};
    use futures::{FutureExt, stream};
    use neap_bucket::World;

    use super::*;
    use crate::{
        QueryRequest,
        query_log::{QueryLog, RunningQuery},
        request::StatementLanguage,
    };

    fn batch(rows: i64) -> RecordBatch {
        let values = Arc::new(Int64Array::from_iter_values(0..rows)) as ArrayRef;
        RecordBatch::try_from_iter([("v", values)]).unwrap()
    }

    fn running() -> RunningQuery {
        let log = QueryLog::new(World::system(), 1);
        log.begin(Vec::new(), StatementLanguage::Sql, &QueryRequest::default())
    }

    /// Rows in batches of three.
    fn rows(batches: BatchStream) -> ExecutedRows {
        ExecutedRows {
            schema: schema(),
            batches,
            batch_size: 3,
            workers: 0,
            is_text: false,
            times: None,
        }
    }

    fn schema() -> SchemaRef {
        batch(0).schema()
    }

    fn started() -> StartedQuery {
        StartedQuery::Rows { schema: schema(), workers: 0, times: None }
    }

    #[test]
    fn few_rows_that_need_no_wait_come_with_the_outcome_of_planning_and_the_end() {
        let (mut sender, mut outcome, mut receiver) = row_channel();
        sender.record_start(started());
        let running = running();
        let batches = Box::pin(stream::iter([Ok(batch(2))]));
        let sent = sender.send_rows(rows(batches), None, &running);
        let Some(SendOutcome::Complete(Some(last))) = sent.now_or_never() else {
            panic!("the end is not recognised");
        };
        assert!(outcome.try_recv().is_err());
        let is_sent = sender.send(RowMessage::LastRows(last)).now_or_never();
        assert_eq!(is_sent, Some(true));
        assert!(matches!(outcome.try_recv(), Ok(Ok(StartedQuery::Rows { .. }))));
        assert!(
            matches!(receiver.try_recv(), Ok(RowMessage::LastRows(rows)) if rows.num_rows() == 2)
        );
    }

    #[test]
    fn the_outcome_of_planning_does_not_wait_for_rows() {
        let (mut sender, mut outcome, _receiver) = row_channel();
        sender.record_start(started());
        let running = running();
        let sent = sender.send_rows(rows(Box::pin(stream::pending())), None, &running);
        assert!(sent.now_or_never().is_none());
        assert!(outcome.try_recv().is_ok());
    }

    #[test]
    fn a_full_batch_is_sent_before_the_next_one_is_computed() {
        let (mut sender, _outcome, mut receiver) = row_channel();
        sender.record_start(started());
        let running = running();
        let next = stream::poll_fn(move |_| {
            assert!(matches!(receiver.try_recv(), Ok(RowMessage::Rows(_))));
            Poll::Ready(None)
        });
        let batches = Box::pin(stream::iter([Ok(batch(3))]).chain(next));
        let sent = sender.send_rows(rows(batches), None, &running);
        assert!(matches!(sent.now_or_never(), Some(SendOutcome::Complete(None))));
    }
}
