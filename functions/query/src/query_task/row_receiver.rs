//! Receives the rows of a query from the query threads, within its time limit.

use std::{
    pin::pin,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use arrow::{array::RecordBatch, datatypes::SchemaRef};
use futures::{
    TryStreamExt,
    future::{BoxFuture, Either, select},
    stream,
};
use neap_bucket::{Stamp, World};
use tokio::sync::mpsc;

use super::row_channel::RowMessage;
use crate::{
    BatchStream, QueryError, Rows,
    answer_cache::{AnswerRecorder, AnswerReuse},
    executor::QueryTaskHandle,
    query_log::RunningQuery,
};

/// The answer to a query that runs on the query threads.
#[derive(Debug)]
pub(crate) struct RowReceiver {
    pub(crate) schema: SchemaRef,
    pub(crate) as_of: Option<Stamp>,
    /// The number of workers that compute the rows.
    pub(crate) workers: usize,
    /// The recorder of the answer, if it may be kept.
    pub(crate) recorder: Option<Box<AnswerRecorder>>,
    pub(crate) receiver: mpsc::Receiver<RowMessage>,
    pub(crate) job: QueryTaskHandle,
}

impl RowReceiver {
    /// Returns the rows as a stream. When the remaining time is over, it yields an error at once, whatever the query
    /// computes. The query is cancelled then, or when the stream is dropped, and releases its permit.
    pub(crate) fn rows(
        self,
        running: RunningQuery,
        timeout: Duration,
        left: Duration,
        world: &World,
    ) -> Rows {
        let (schema, as_of, workers) = (self.schema, self.as_of, self.workers);
        let logged = Some(Arc::clone(running.logged()));
        let open = OpenRowStream {
            receiver: self.receiver,
            over: world.clock.sleep(left),
            job: self.job,
            running,
            timeout,
        };
        let batches = stream::unfold(Some(open), |open| async { open?.next().await });
        let (batches, reuse): (BatchStream, AnswerReuse) = match self.recorder {
            Some(recorder) => {
                let rows = Arc::clone(recorder.rows());
                let counted = batches.inspect_ok(move |batch| {
                    rows.fetch_add(batch.num_rows(), Ordering::Relaxed);
                });
                (Box::pin(counted), AnswerReuse::Recorded(recorder))
            }
            None => (Box::pin(batches), AnswerReuse::None),
        };
        Rows { as_of, workers, logged, reuse, ..Rows::new(schema, batches) }
    }
}

/// A stream of rows that has not ended.
struct OpenRowStream {
    receiver: mpsc::Receiver<RowMessage>,
    /// Completes at the timeout.
    over: BoxFuture<'static, ()>,
    job: QueryTaskHandle,
    running: RunningQuery,
    timeout: Duration,
}

impl OpenRowStream {
    /// Returns the next rows and the remaining stream.
    async fn next(mut self) -> Option<(Result<RecordBatch, QueryError>, Option<Self>)> {
        let next = match select(pin!(self.receiver.recv()), &mut self.over).await {
            Either::Left((next, _)) => next,
            Either::Right(_) => {
                self.running.record_failure();
                return Some((Err(QueryError::Timeout(self.timeout)), None));
            }
        };
        match next {
            Some(RowMessage::Rows(batch)) => Some((Ok(batch), Some(self))),
            Some(RowMessage::LastRows(batch)) => {
                self.job.done();
                Some((Ok(batch), None))
            }
            Some(RowMessage::Failed(error)) => {
                self.job.done();
                Some((Err(error), None))
            }
            Some(RowMessage::End) => {
                self.job.done();
                None
            }
            None => Some((Err(self.end_error().await), None)),
        }
    }

    /// Returns the reason why the channel closed without a final message.
    async fn end_error(mut self) -> QueryError {
        self.running.record_failure();
        if self.job.ended().await {
            QueryError::Timeout(self.timeout)
        } else {
            QueryError::Stopped
        }
    }
}
