//! The live rows of chunks of a tail image: those that were not replaced or deleted by later segments.
//!
//! ```text
//!   chunks -> parts -> groups of parts -> batches
//! ```
//!
//! A tail of many small requests has many small chunks. Their rows are read in groups, so that operators process many rows at once.

use std::{
    iter::{self, Peekable},
    sync::Arc,
};

use arrow::{array::RecordBatch, datatypes::SchemaRef};
use datafusion::{
    common::Result,
    execution::SendableRecordBatchStream,
    physical_plan::{
        coop::make_cooperative,
        metrics::{BaselineMetrics, RecordOutput},
        stream::RecordBatchStreamAdapter,
    },
};
use futures::stream;
use neap_points::{ChunkRows, ImageChunk, TailImage};

use super::streams::ImageRows;
use crate::error::external;

/// The number of the smallest groups whose rows make a batch. Larger parts are not put together, because that copies them.
const GROUPS_PER_BATCH: usize = 8;

/// Maximum number of parts of a group, which are copied at once, column by column.
const MAX_PARTS: usize = 256;

struct PartGroups<I: Iterator<Item = ChunkRows>> {
    parts: Peekable<I>,
    /// A group has at least so many rows, except for the last one, those before a large part and those of [`MAX_PARTS`].
    min_rows: usize,
    max_rows: usize,
}

impl<I: Iterator<Item = ChunkRows>> Iterator for PartGroups<I> {
    type Item = Vec<ChunkRows>;

    fn next(&mut self) -> Option<Self::Item> {
        let first = self.parts.next()?;
        let mut rows = first.count();
        let mut group = vec![first];
        while rows < self.min_rows
            && group.len() < MAX_PARTS
            && let Some(part) = self.parts.next_if(|part| rows + part.count() <= self.max_rows)
        {
            rows += part.count();
            group.push(part);
        }
        Some(group)
    }
}

/// The rows of one partition of a scan of a tail.
pub(super) struct LiveRows {
    image: Arc<TailImage>,
    groups: PartGroups<Box<dyn Iterator<Item = ChunkRows> + Send>>,
    /// The columns of the table that are returned.
    columns: Vec<usize>,
    schema: SchemaRef,
}

impl LiveRows {
    /// Reads the selected rows of chunks with these columns of the table, whose schema is `schema`, in batches of at most
    /// `batch_rows` rows.
    pub(super) fn new(
        rows: &ImageRows,
        chunks: Arc<[ImageChunk]>,
        (columns, schema): (&[usize], SchemaRef),
        batch_rows: usize,
    ) -> Self {
        let selected = rows.selected.clone();
        let chunks = (0..chunks.len()).filter_map(move |at| chunks.get(at).cloned());
        let parts = chunks.flat_map(move |chunk| chunk.parts(selected.as_ref(), batch_rows));
        let parts: Box<dyn Iterator<Item = ChunkRows> + Send> = Box::new(parts);
        let groups = PartGroups {
            parts: parts.peekable(),
            min_rows: batch_rows / GROUPS_PER_BATCH,
            max_rows: batch_rows,
        };
        Self {
            image: Arc::clone(&rows.image),
            groups,
            columns: columns.to_vec(),
            schema,
        }
    }

    /// Returns the first rows at once, because no others than these are read.
    pub(super) fn with_fetch(mut self, rows: usize) -> Self {
        self.groups.min_rows = self.groups.min_rows.min(rows);
        self
    }

    fn next_batch(&mut self) -> Option<Result<RecordBatch>> {
        let parts = self.groups.next()?;
        let rows = self.image.rows_of(&parts, &self.columns, &self.schema);
        Some(rows.map_err(external))
    }

    /// Returns the rows as a stream, which lets other tasks run from time to time.
    pub(super) fn stream(mut self, metrics: BaselineMetrics) -> SendableRecordBatchStream {
        let schema = Arc::clone(&self.schema);
        let batches = iter::from_fn(move || {
            let timer = metrics.elapsed_compute().timer();
            let batch = self.next_batch();
            drop(timer);
            Some(batch?.record_output(&metrics))
        });
        let rows = RecordBatchStreamAdapter::new(schema, stream::iter(batches));
        make_cooperative(Box::pin(rows))
    }
}

#[cfg(test)]
mod tests;
