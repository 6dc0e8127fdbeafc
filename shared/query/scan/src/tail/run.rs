//! A part of a tail in a spill file.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use datafusion::{
    common::Result,
    execution::{
        SendableRecordBatchStream, TaskContext, runtime_env::RuntimeEnv, spill_file::SpillFile,
    },
    physical_plan::{
        SpillManager,
        metrics::{ExecutionPlanMetricsSet, SpillMetrics},
        stream::RecordBatchStreamAdapter,
        streaming::PartitionStream,
    },
};
use futures::StreamExt;
use neap_bucket::SegmentName;
use neap_points::TailImage;

use super::streams::{RUN_BATCH_ROWS, failed};
use crate::{error::external, regions::TimeInterval};

/// The points of consecutive segments in a spill file, sorted by tag set and time. The file is deleted with its last
/// reader.
#[derive(derive_more::Debug)]
#[debug("TailRun {{ last: {last:?}, segments: {:?}, bytes: {:?}, .. }}", self.segments.len(), self.file.size())]
pub struct TailRun {
    file: Arc<dyn SpillFile>,
    schema: SchemaRef,
    segments: Vec<SegmentName>,
    last: SegmentName,
    time: TimeInterval,
    /// For each column, whether it has nulls.
    with_nulls: Vec<bool>,
}

impl TailRun {
    /// Writes the points of an image, which contains `segments`, to a spill file. Returns `None` if there are no
    /// points. Blocks on disk I/O.
    /// Fails if the folder for spill files can't be written, or is full.
    pub(super) fn write(
        runtime: &Arc<RuntimeEnv>,
        image: Arc<TailImage>,
        segments: &[SegmentName],
    ) -> Result<Option<Arc<Self>>> {
        let (Some((min, max)), Some(last)) = (image.time_range(), segments.last().copied()) else {
            return Ok(None);
        };
        let schema = Arc::clone(image.schema());
        let columns: Vec<usize> = (0..schema.fields().len()).collect();
        let rows = image.sorted(i64::MIN..=i64::MAX, None, &columns, RUN_BATCH_ROWS);
        let mut with_nulls = vec![false; columns.len()];
        let manager = spill_manager(runtime, &schema);
        let mut file = manager.create_in_progress_file("the tail of a table")?;
        for batch in rows.map_err(external)? {
            let batch = batch.map_err(external)?;
            for (column, has_nulls) in batch.columns().iter().zip(&mut with_nulls) {
                *has_nulls |= column.null_count() > 0;
            }
            file.append_batch(&batch)?;
        }
        let run = file.finish()?.map(|file| Self {
            file,
            schema,
            segments: segments.to_vec(),
            last,
            time: TimeInterval { min, max },
            with_nulls,
        });
        Ok(run.map(Arc::new))
    }

    /// The segments of its rows, in their order.
    pub(super) fn segments(&self) -> &[SegmentName] {
        &self.segments
    }

    pub(crate) fn last(&self) -> SegmentName {
        self.last
    }

    /// The time range of its rows.
    pub(crate) fn time(&self) -> TimeInterval {
        self.time
    }

    /// Whether a row may have no value of one of these tags.
    pub(super) fn lacks(&self, tags: &[&str]) -> bool {
        tags.iter().any(|tag| {
            let column = self.schema.index_of(tag).ok();
            column.is_none_or(|column| self.with_nulls.get(column).copied().unwrap_or(true))
        })
    }

    /// Returns the rows with these columns as a partition of a plan.
    /// Fails if a column does not exist.
    pub(crate) fn rows(self: &Arc<Self>, columns: &[usize]) -> Result<TailRunRows> {
        Ok(TailRunRows {
            run: Arc::clone(self),
            schema: Arc::new(self.schema.project(columns)?),
            columns: columns.to_vec(),
        })
    }
}

fn spill_manager(runtime: &Arc<RuntimeEnv>, schema: &SchemaRef) -> SpillManager {
    let metrics = SpillMetrics::new(&ExecutionPlanMetricsSet::new(), 0);
    SpillManager::new(Arc::clone(runtime), metrics, Arc::clone(schema))
}

/// The rows of a run in its sort order.
#[derive(Debug)]
pub(crate) struct TailRunRows {
    run: Arc<TailRun>,
    schema: SchemaRef,
    columns: Vec<usize>,
}

impl PartitionStream for TailRunRows {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, context: Arc<TaskContext>) -> SendableRecordBatchStream {
        let manager = spill_manager(&context.runtime_env(), &self.run.schema);
        let rows = match manager.read_spill_as_stream_unbuffered(Arc::clone(&self.run.file), None) {
            Ok(rows) => rows,
            Err(error) => return failed(&self.schema, error),
        };
        let columns = self.columns.clone();
        let rows = rows.map(move |batch| Ok(batch?.project(&columns)?));
        Box::pin(RecordBatchStreamAdapter::new(Arc::clone(&self.schema), rows))
    }
}
