//! Empty batches during long queries, so that proxies and clients do not close the connection.

use std::{
    pin::{Pin, pin},
    time::Duration,
};

use arrow::{array::RecordBatch, datatypes::SchemaRef};
use futures::{
    Stream, StreamExt,
    future::{Either, select},
    stream,
};
use neap_bucket::World;

/// The time without a batch after which an empty one is sent, as in InfluxDB 3.
pub(crate) const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(5);

/// Returns the batches of a stream, and an empty batch whenever the stream has had none for an interval.
pub(crate) fn with_keep_alive<E: Send + 'static>(
    batches: Pin<Box<dyn Stream<Item = Result<RecordBatch, E>> + Send>>,
    columns: SchemaRef,
    interval: Duration,
    world: World,
) -> impl Stream<Item = Result<RecordBatch, E>> + Send {
    stream::unfold((batches, columns, world), move |(mut batches, columns, world)| async move {
        let pause = world.clock.sleep(interval);
        let next = match select(pin!(batches.next()), pause).await {
            Either::Left((next, _)) => next?,
            Either::Right(_) => Ok(RecordBatch::new_empty(SchemaRef::clone(&columns))),
        };
        Some((next, (batches, columns, world)))
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Int64Array};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn empty_batches_fill_the_time_until_the_next_rows() {
        let column: ArrayRef = Arc::new(Int64Array::from(vec![1]));
        let batch = RecordBatch::try_from_iter([("i", column)]).unwrap();
        let columns = batch.schema();
        let slow = stream::once(async move {
            let clock = World::system().clock;
            clock.sleep(KEEP_ALIVE_INTERVAL * 5 / 2).await;
            Ok::<_, ()>(batch)
        });
        let world = World::system();
        let batches = with_keep_alive(Box::pin(slow), columns, KEEP_ALIVE_INTERVAL, world);
        let rows: Vec<_> = batches.map(|batch| batch.unwrap().num_rows()).collect().await;
        assert_eq!(rows, [0, 0, 1]);
    }
}
