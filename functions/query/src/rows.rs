//! The rows of an answer, given out within the limits of a query.

use std::{pin::Pin, sync::Arc, time::Duration};

use arrow::{array::RecordBatch, datatypes::SchemaRef};
use futures::{Stream, StreamExt, stream};
use neap_bucket::{Stamp, World};
use tokio::sync::{OwnedSemaphorePermit, mpsc};

use crate::{
    QueryError,
    log::{LoggedQuery, RunningQuery},
    totals::Totals,
};

/// Rows as they come.
pub type Batches = Pin<Box<dyn Stream<Item = Result<RecordBatch, QueryError>> + Send>>;

/// The rows of an answer, as they come.
pub struct Rows {
    /// Their columns.
    pub schema: SchemaRef,
    /// The rows. An error ends them.
    pub batches: Batches,
    /// The stamp up to which writes are in the answer; none if it is no answer of a snapshot.
    pub as_of: Option<Stamp>,
    /// The stamp of the delete, if the statement was one: what comes after it does not see the rows.
    pub deleted_at: Option<Stamp>,
    /// The query in the log; none if it is no query.
    pub(crate) logged: Option<Arc<LoggedQuery>>,
}

impl Rows {
    /// Rows that come, of which no more is known.
    pub(crate) fn new(schema: SchemaRef, batches: Batches) -> Self {
        Self {
            schema,
            batches,
            as_of: None,
            deleted_at: None,
            logged: None,
        }
    }

    /// Rows that are there already.
    pub(crate) fn at_hand(rows: RecordBatch) -> Self {
        Self::new(rows.schema(), Box::pin(stream::iter([Ok(rows)])))
    }
}

impl std::fmt::Debug for Rows {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Rows")
            .field("schema", &self.schema)
            .finish_non_exhaustive()
    }
}

/// What ends an answer that is not at its end.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// The time that a query may take.
    pub(crate) timeout: Duration,
    /// What is left of it.
    pub(crate) left: Duration,
    /// The most rows.
    pub(crate) max_rows: Option<u64>,
}

/// The same rows, with an error when a bound is reached. The query ends then, or when nobody waits for its rows
/// any more, and gives its place back.
pub(crate) fn bounded(
    batches: Batches,
    bounds: Bounds,
    world: World,
    running: RunningQuery,
    permit: OwnedSemaphorePermit,
) -> Batches {
    // `None` is the end of the rows: a channel that closes without it was given up.
    let (sender, receiver) = mpsc::channel(1);
    tokio::spawn(async move {
        let _permit = permit;
        let totals = running.totals().clone();
        let handed = hand_over(batches, bounds.max_rows, &sender, &totals);
        let handed = world.timeout(bounds.left, handed).await;
        // Before the last word, so that whoever has it finds the query ended.
        match handed {
            Some(Handed::All) => running.succeeds(),
            Some(Handed::NotAll) => drop(running),
            Some(Handed::Failed(error)) => {
                running.fails();
                sender.send(Some(Err(error))).await.ok();
                return;
            }
            None => return running.fails(),
        }
        // Whoever does not listen any more need not be told.
        sender.send(None).await.ok();
    });
    let rows = stream::unfold(Some(receiver), move |open| async move {
        let mut receiver = open?;
        match receiver.recv().await {
            Some(Some(Ok(batch))) => Some((Ok(batch), Some(receiver))),
            Some(Some(Err(error))) => Some((Err(error), None)),
            Some(None) => None,
            None => Some((Err(QueryError::Timeout(bounds.timeout)), None)),
        }
    });
    Box::pin(rows)
}

/// What became of the rows of a query.
enum Handed {
    All,
    /// Nobody waits for them.
    NotAll,
    Failed(QueryError),
}

async fn hand_over(
    mut batches: Batches,
    max_rows: Option<u64>,
    sender: &mpsc::Sender<Option<Result<RecordBatch, QueryError>>>,
    totals: &Totals,
) -> Handed {
    let mut rows = 0;
    loop {
        let next = tokio::select! {
            next = batches.next() => next,
            () = sender.closed() => return Handed::NotAll,
        };
        let batch = match next {
            Some(Ok(batch)) => batch,
            Some(Err(error)) => return Handed::Failed(error),
            None => return Handed::All,
        };
        rows += batch.num_rows() as u64;
        if let Some(limit) = max_rows.filter(|limit| rows > *limit) {
            return Handed::Failed(QueryError::TooManyRows { limit });
        }
        let given = batch.num_rows();
        if sender.send(Some(Ok(batch))).await.is_err() {
            return Handed::NotAll;
        }
        totals.gave(given);
    }
}

#[cfg(test)]
mod tests {
    use arrow::datatypes::Schema;
    use neap_schema::DatabaseId;
    use tokio::sync::Semaphore;

    use super::*;
    use crate::{
        QueryRequest,
        log::{Phase, QueryLog},
        request::Language,
    };

    #[tokio::test]
    async fn a_query_that_computes_for_nobody_gives_its_place_back() {
        let world = World::system();
        let log = QueryLog::new(world.clone(), 10);
        let request = QueryRequest::default();
        let running = log.begin(DatabaseId::new(1), Language::Sql, &request);
        let places = Arc::new(Semaphore::new(1));
        let permit = Arc::clone(&places).acquire_owned().await.unwrap();
        let hour = Duration::from_secs(3_600);
        let bounds = Bounds {
            timeout: hour,
            left: hour,
            max_rows: None,
        };
        let first = RecordBatch::new_empty(Arc::new(Schema::empty()));
        let endless = stream::iter([Ok(first)]).chain(stream::pending());
        let mut rows = bounded(Box::pin(endless), bounds, world, running, permit);
        assert!(rows.next().await.is_some_and(|batch| batch.is_ok()));
        assert_eq!(places.available_permits(), 0);
        drop(rows);
        let permit = places.acquire().await;
        assert!(permit.is_ok());
        let logged = log.queries(None);
        assert_eq!(logged[0].progress().phase, Phase::Cancel);
    }
}
