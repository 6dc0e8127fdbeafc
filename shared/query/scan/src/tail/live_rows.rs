//! The live rows of chunks of a tail image: those that were not replaced or deleted by later segments.
//!
//! ```text
//!   chunks -> parts -> groups of parts -> rows that meet the condition -> batches
//! ```
//!
//! A tail of many small requests has many small chunks. Their rows are read in groups, so that operators process many rows at once.

use std::{collections::BTreeSet, fmt, iter::Peekable, sync::Arc};

use arrow::{
    array::{Array, RecordBatch, cast::AsArray},
    buffer::BooleanBuffer,
    datatypes::{Schema, SchemaRef},
};
use datafusion::{
    common::{Result, plan_datafusion_err},
    execution::SendableRecordBatchStream,
    physical_expr::{
        PhysicalExpr,
        expressions::Column,
        utils::{collect_columns, reassign_expr_columns},
    },
    physical_plan::{
        coop::make_cooperative,
        metrics::{BaselineMetrics, RecordOutput},
        stream::RecordBatchStreamAdapter,
    },
};
use futures::stream;
use neap_points::{ChunkRows, ImageChunk, TailImage};
use tokio::task::coop::consume_budget;

use super::streams::ImageRows;
use crate::error::external;

/// The number of the smallest groups whose rows make a batch. Larger parts are not put together, because that copies them.
const GROUPS_PER_BATCH: usize = 8;

/// The number of the smallest batches of filtered rows that make a batch. These rows are copied in any case.
const FILTERED_PER_BATCH: usize = 2;

/// Maximum number of parts of a group, and of a batch of filtered rows: they are copied at once, column by column.
const MAX_PARTS: usize = 256;

/// A condition that a scan evaluates with the columns that it reads, before the rows that meet it are copied with all columns.
#[derive(Clone, Debug)]
pub(super) struct TailCondition {
    /// The condition, by the indexes of `columns`, with which plans show it.
    predicate: Arc<dyn PhysicalExpr>,
    /// The columns of the table that it reads.
    pub(super) columns: Vec<usize>,
    schema: SchemaRef,
}

impl TailCondition {
    /// Creates a condition from a predicate on rows with these columns of the table, whose schema is `schema`.
    ///
    /// # Errors
    /// There is no such column.
    pub(super) fn new(
        predicate: &Arc<dyn PhysicalExpr>,
        columns: &[usize],
        schema: &Schema,
    ) -> Result<Self> {
        let indexes: BTreeSet<usize> =
            collect_columns(predicate).iter().map(Column::index).collect();
        let read: Vec<usize> = indexes.into_iter().collect();
        let schema = Arc::new(schema.project(&read)?);
        Ok(Self {
            predicate: reassign_expr_columns(Arc::clone(predicate), &schema)?,
            columns: projected(columns, &read)?,
            schema,
        })
    }

    /// Returns the condition as an expression.
    pub(super) fn predicate(&self) -> &Arc<dyn PhysicalExpr> {
        &self.predicate
    }

    /// Returns the rows that meet the condition.
    fn filter(&self, image: &TailImage, parts: Vec<ChunkRows>) -> Result<Vec<ChunkRows>> {
        let rows = image.rows_of(&parts, &self.columns, &self.schema).map_err(external)?;
        let evaluated = self.predicate.evaluate(&rows)?.into_array(rows.num_rows())?;
        let condition = evaluated.as_boolean();
        // Rows for which the condition is null do not meet it.
        let is_met: BooleanBuffer = match condition.nulls() {
            Some(nulls) => condition.values() & nulls.inner(),
            None => condition.values().clone(),
        };
        let mut first = 0;
        let filtered = parts.into_iter().filter_map(|part| {
            let of_part = is_met.slice(first, part.count());
            first += part.count();
            part.filtered(&of_part)
        });
        Ok(filtered.collect())
    }
}

impl fmt::Display for TailCondition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.predicate.fmt(f)
    }
}

/// Returns these of the columns of the table.
///
/// # Errors
/// There is no such column.
pub(super) fn projected(columns: &[usize], at: &[usize]) -> Result<Vec<usize>> {
    let column = |at: &usize| columns.get(*at).copied();
    let columns = at.iter().map(column).collect::<Option<_>>();
    columns.ok_or_else(|| plan_datafusion_err!("a scan of a tail has no columns {at:?}"))
}

/// Groups of parts of chunks.
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

/// The result of a step of a scan.
enum ScanStep {
    /// A batch of rows.
    Rows(RecordBatch),
    /// Not enough rows for a batch yet.
    Searching,
    /// There are no more rows.
    Done,
}

/// The rows of one partition of a scan of a tail.
pub(super) struct LiveRows {
    image: Arc<TailImage>,
    groups: PartGroups<Box<dyn Iterator<Item = ChunkRows> + Send>>,
    /// The columns of the table that are returned.
    columns: Vec<usize>,
    schema: SchemaRef,
    condition: Option<TailCondition>,
    /// Rows that meet the condition and were not returned yet.
    filtered: Vec<ChunkRows>,
    filtered_rows: usize,
    /// The number of filtered rows that make a batch, and its maximum.
    enough_rows: usize,
    max_rows: usize,
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
            condition: None,
            filtered: Vec::new(),
            filtered_rows: 0,
            enough_rows: (batch_rows / FILTERED_PER_BATCH).max(1),
            max_rows: batch_rows,
        }
    }

    /// Returns only rows that meet a condition.
    pub(super) fn with_condition(self, condition: Option<TailCondition>) -> Self {
        Self { condition, ..self }
    }

    /// Returns the first rows at once, because no others than these are read.
    pub(super) fn with_fetch(mut self, rows: usize) -> Self {
        let rows = rows.max(1);
        self.enough_rows = self.enough_rows.min(rows);
        if self.condition.is_none() {
            self.groups.min_rows = self.groups.min_rows.min(rows);
        }
        self
    }

    fn step(&mut self) -> Result<ScanStep> {
        let Some(group) = self.groups.next() else {
            return if self.filtered.is_empty() {
                Ok(ScanStep::Done)
            } else {
                self.filtered_batch()
            };
        };
        let Some(condition) = &self.condition else {
            return self.batch(&group).map(ScanStep::Rows);
        };
        let group = condition.filter(&self.image, group)?;
        let rows: usize = group.iter().map(ChunkRows::count).sum();
        if self.filtered_rows > 0 && self.filtered_rows + rows > self.max_rows {
            let before = self.filtered_batch()?;
            self.add(group, rows);
            return Ok(before);
        }
        self.add(group, rows);
        if self.filtered_rows >= self.enough_rows || self.filtered.len() >= MAX_PARTS {
            self.filtered_batch()
        } else {
            Ok(ScanStep::Searching)
        }
    }

    fn add(&mut self, group: Vec<ChunkRows>, rows: usize) {
        self.filtered.extend(group);
        self.filtered_rows += rows;
    }

    fn filtered_batch(&mut self) -> Result<ScanStep> {
        self.filtered_rows = 0;
        let filtered = std::mem::take(&mut self.filtered);
        self.batch(&filtered).map(ScanStep::Rows)
    }

    fn batch(&self, parts: &[ChunkRows]) -> Result<RecordBatch> {
        let rows = self.image.rows_of(parts, &self.columns, &self.schema);
        rows.map_err(external)
    }

    /// Returns the rows as a stream, which lets other tasks run from time to time.
    pub(super) fn stream(self, metrics: BaselineMetrics) -> SendableRecordBatchStream {
        let schema = Arc::clone(&self.schema);
        let rows = stream::try_unfold((self, metrics), async |(mut rows, metrics)| {
            loop {
                let timer = metrics.elapsed_compute().timer();
                let step = rows.step();
                drop(timer);
                match step? {
                    ScanStep::Rows(batch) => {
                        let batch = batch.record_output(&metrics);
                        return Ok(Some((batch, (rows, metrics))));
                    }
                    ScanStep::Searching => consume_budget().await,
                    ScanStep::Done => return Ok(None),
                }
            }
        });
        make_cooperative(Box::pin(RecordBatchStreamAdapter::new(schema, rows)))
    }
}

#[cfg(test)]
mod tests;
