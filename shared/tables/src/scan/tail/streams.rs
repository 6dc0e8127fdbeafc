//! The rows of a tail image as partitions of a plan. Rows are copied on demand, one batch at a time.

use std::sync::Arc;

use arrow::{
    array::{BooleanArray, RecordBatch},
    buffer::BooleanBuffer,
    compute::filter_record_batch,
    datatypes::SchemaRef,
};
use datafusion::{
    common::Result,
    error::DataFusionError,
    execution::{SendableRecordBatchStream, TaskContext},
    physical_plan::{stream::RecordBatchStreamAdapter, streaming::PartitionStream},
};
use futures::{StreamExt, stream};
use neap_points::{ImageChunk, SortedRows, TailImage};

use crate::scan::{external, regions::TimeInterval};

/// Rows of a batch in a spill file. Batches are small because a query reads all runs of a tail at once.
pub(super) const RUN_BATCH_ROWS: usize = 1_024;

/// Returns a stream with one item, an error.
pub(super) fn failed(schema: &SchemaRef, error: DataFusionError) -> SendableRecordBatchStream {
    let rows = stream::iter([Err(error)]);
    Box::pin(RecordBatchStreamAdapter::new(Arc::clone(schema), rows))
}

/// The points of an image in a range of time, sorted by tag set and time.
#[derive(Debug)]
pub(in crate::scan) struct SortedTailRows {
    image: Arc<TailImage>,
    range: TimeInterval,
    columns: Vec<usize>,
    schema: SchemaRef,
}

impl SortedTailRows {
    /// The points in `range` with these columns, whose schema is `schema`.
    pub(in crate::scan) fn new(
        image: &Arc<TailImage>,
        range: TimeInterval,
        columns: &[usize],
        schema: &SchemaRef,
    ) -> Self {
        Self {
            image: Arc::clone(image),
            range,
            columns: columns.to_vec(),
            schema: Arc::clone(schema),
        }
    }
}

impl PartitionStream for SortedTailRows {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, context: Arc<TaskContext>) -> SendableRecordBatchStream {
        let (image, range) = (Arc::clone(&self.image), self.range);
        let columns = self.columns.clone();
        let batch_rows = context.session_config().batch_size();
        let sort = move || image.sorted(range.min..=range.max, &columns, batch_rows);
        let rows = stream::once(async move {
            // The sort is CPU-bound.
            let rows = tokio::task::spawn_blocking(sort).await;
            let rows: SortedRows = rows.map_err(external)?.map_err(external)?;
            let batches = rows.map(|batch| batch.map_err(external));
            Ok::<_, DataFusionError>(stream::iter(batches))
        });
        let rows = rows.flat_map(|rows| match rows {
            Ok(rows) => rows.left_stream(),
            Err(error) => stream::iter([Err(error)]).right_stream(),
        });
        Box::pin(RecordBatchStreamAdapter::new(
            Arc::clone(&self.schema),
            rows,
        ))
    }
}

/// The live rows of chunks, unsorted. Live rows were not replaced or deleted by later segments.
#[derive(Debug)]
pub(in crate::scan) struct LiveTailRows {
    chunks: Vec<(RecordBatch, Option<BooleanBuffer>)>,
    schema: SchemaRef,
    rows: usize,
}

impl LiveTailRows {
    /// No chunks; the columns are those of `schema`.
    pub(in crate::scan) fn new(schema: &SchemaRef) -> Self {
        Self {
            chunks: Vec::new(),
            schema: Arc::clone(schema),
            rows: 0,
        }
    }

    /// The number of rows of all chunks, including rows that are not live.
    pub(in crate::scan) fn rows(&self) -> usize {
        self.rows
    }

    /// Adds these columns of a chunk.
    pub(in crate::scan) fn push(&mut self, chunk: &ImageChunk, columns: &[usize]) -> Result<()> {
        let rows = chunk.rows.project(columns)?;
        self.rows += rows.num_rows();
        self.chunks.push((rows, chunk.live.clone()));
        Ok(())
    }

    /// Returns the chunks if all of their rows are live.
    pub(in crate::scan) fn all(&self) -> Option<Vec<RecordBatch>> {
        let chunks = self.chunks.iter();
        chunks
            .map(|(rows, live)| live.is_none().then(|| rows.clone()))
            .collect()
    }
}

impl PartitionStream for LiveTailRows {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, _: Arc<TaskContext>) -> SendableRecordBatchStream {
        let live = |(rows, live): (RecordBatch, Option<BooleanBuffer>)| match live {
            Some(live) => Ok(filter_record_batch(&rows, &BooleanArray::new(live, None))?),
            None => Ok(rows),
        };
        let rows = stream::iter(self.chunks.clone()).map(live);
        Box::pin(RecordBatchStreamAdapter::new(
            Arc::clone(&self.schema),
            rows,
        ))
    }
}
