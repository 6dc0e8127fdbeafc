//! The rows of a tail image as partitions of a plan. Rows are copied on demand, one batch at a time.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use datafusion::{
    common::Result,
    error::DataFusionError,
    execution::{SendableRecordBatchStream, TaskContext},
    physical_expr::LexOrdering,
    physical_plan::{
        ExecutionPlan,
        stream::RecordBatchStreamAdapter,
        streaming::{PartitionStream, StreamingTableExec},
    },
};
use futures::{StreamExt, stream};
use neap_points::{SelectedSeries, SortedRows, TailImage};

use crate::{error::external, regions::TimeInterval};

/// Rows of a batch in a spill file. Batches are small because a query reads all runs of a tail at once.
pub(super) const RUN_BATCH_ROWS: usize = 1_024;

/// The rows of a tail image that may be selected.
#[derive(Clone, Debug)]
pub(crate) struct ImageRows {
    pub(crate) image: Arc<TailImage>,
    /// The series with selected points; `None`: all.
    pub(crate) selected: Option<SelectedSeries>,
}

/// Plans a scan of streams, one partition each. Each stream is sorted by `order`, if there is one.
pub(crate) fn streamed(
    schema: &SchemaRef,
    parts: Vec<Arc<dyn PartitionStream>>,
    order: Option<&LexOrdering>,
) -> Result<Arc<dyn ExecutionPlan>> {
    let order = order.cloned();
    let rows = StreamingTableExec::try_new(Arc::clone(schema), parts, None, order, false, None)?;
    Ok(Arc::new(rows))
}

/// Returns a stream with one item, an error.
pub(super) fn failed(schema: &SchemaRef, error: DataFusionError) -> SendableRecordBatchStream {
    let rows = stream::iter([Err(error)]);
    Box::pin(RecordBatchStreamAdapter::new(Arc::clone(schema), rows))
}

/// The points of an image in a range of time, sorted by tag set and time.
#[derive(Debug)]
pub(crate) struct SortedTailRows {
    rows: ImageRows,
    range: TimeInterval,
    columns: Vec<usize>,
    schema: SchemaRef,
}

impl SortedTailRows {
    /// The points in `range` with these columns, whose schema is `schema`.
    pub(crate) fn new(
        rows: &ImageRows,
        range: TimeInterval,
        columns: &[usize],
        schema: &SchemaRef,
    ) -> Self {
        Self {
            rows: rows.clone(),
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
        let ImageRows { image, selected } = self.rows.clone();
        let range = self.range;
        let columns = self.columns.clone();
        let batch_rows = context.session_config().batch_size();
        let sort = move || image.sorted(range.min..=range.max, selected, &columns, batch_rows);
        let rows = stream::once(async move {
            // The sort is CPU-bound.
            let rows: SortedRows =
                tokio::task::spawn_blocking(sort).await.map_err(external)?.map_err(external)?;
            let batches = rows.map(|batch| batch.map_err(external));
            Ok::<_, DataFusionError>(stream::iter(batches))
        });
        let rows = rows.flat_map(|rows| match rows {
            Ok(rows) => rows.left_stream(),
            Err(error) => stream::iter([Err(error)]).right_stream(),
        });
        Box::pin(RecordBatchStreamAdapter::new(Arc::clone(&self.schema), rows))
    }
}

/// Plans a scan of rows of an image by their numbers, in as many partitions as the rows fill batches, but not more than
/// `max_partitions`. Returns `None` if there are none.
pub(crate) fn scan_numbered_rows(
    image: &Arc<TailImage>,
    numbers: &[u32],
    (columns, schema): (&[usize], &SchemaRef),
    (batch_rows, max_partitions): (usize, usize),
) -> Result<Option<Arc<dyn ExecutionPlan>>> {
    let batches = numbers.len().div_ceil(batch_rows.max(1));
    let part_count = batches.clamp(1, max_partitions.max(1));
    let parts: Vec<_> = numbers
        .chunks(numbers.len().div_ceil(part_count).max(1))
        .map(|numbers| NumberedTailRows::new(image, numbers, columns, schema))
        .map(|part| Arc::new(part) as _)
        .collect();
    if parts.is_empty() {
        Ok(None)
    } else {
        streamed(schema, parts, None).map(Some)
    }
}

/// Some rows of an image, by their numbers.
#[derive(Debug)]
struct NumberedTailRows {
    image: Arc<TailImage>,
    rows: Arc<[u32]>,
    columns: Vec<usize>,
    schema: SchemaRef,
}

impl NumberedTailRows {
    /// These rows of an image with these columns, whose schema is `schema`.
    fn new(image: &Arc<TailImage>, rows: &[u32], columns: &[usize], schema: &SchemaRef) -> Self {
        Self {
            image: Arc::clone(image),
            rows: rows.into(),
            columns: columns.to_vec(),
            schema: Arc::clone(schema),
        }
    }
}

impl PartitionStream for NumberedTailRows {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, context: Arc<TaskContext>) -> SendableRecordBatchStream {
        let (image, rows) = (Arc::clone(&self.image), Arc::clone(&self.rows));
        let batch_rows = context.session_config().batch_size();
        let rows = match image.numbered_rows(rows, &self.columns, batch_rows) {
            Ok(rows) => rows,
            Err(error) => return failed(&self.schema, external(error)),
        };
        let batches = stream::iter(rows.map(|batch| batch.map_err(external)));
        Box::pin(RecordBatchStreamAdapter::new(Arc::clone(&self.schema), batches))
    }
}
