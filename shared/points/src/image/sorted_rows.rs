//! Reads the points of an image in the order of sections, in batches, so that memory never holds a second copy of a
//! tail.

use std::{ops::RangeInclusive, sync::Arc};

use arrow_array::{Array, ArrayRef, RecordBatch, RecordBatchOptions};
use arrow_schema::SchemaRef;
use arrow_select::interleave::interleave;

use super::{RowPosition, TailImage, rows::SourceChunks};
use crate::{PointsError, times};

/// Iterates over the points of an image within a time range, sorted by tag set and time, in batches. Each batch has its
/// own dictionaries with the values of its rows.
#[derive(Debug)]
pub struct SortedRows {
    image: Arc<TailImage>,
    order: Arc<[u32]>,
    /// The position in `order` of the next row.
    next: usize,
    range: RangeInclusive<i64>,
    columns: Vec<usize>,
    schema: SchemaRef,
    batch_rows: usize,
}

impl TailImage {
    /// Returns the points within a time range (nanoseconds since the Unix epoch), sorted by tag set and time, with
    /// these columns of the table, in batches of `batch_rows` rows. Sorts the image unless it is sorted already.
    /// CPU-bound.
    ///
    /// # Errors
    /// There is no such column, or the image has no chunk and therefore no columns.
    pub fn sorted(
        self: Arc<Self>,
        range: RangeInclusive<i64>,
        columns: &[usize],
        batch_rows: usize,
    ) -> Result<SortedRows, PointsError> {
        let first = self.chunks.first().ok_or(PointsError::MissingTimeColumn)?;
        let schema = Arc::new(first.rows.schema().project(columns)?);
        let order = self.order()?;
        Ok(SortedRows {
            image: self,
            order,
            next: 0,
            range,
            columns: columns.to_vec(),
            schema,
            batch_rows: batch_rows.max(1),
        })
    }
}

impl SortedRows {
    /// The columns of the batches.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// Returns the positions of the rows of the next batch.
    fn places(&mut self) -> Result<Vec<RowPosition>, PointsError> {
        let mut places = Vec::with_capacity(self.batch_rows.min(self.order.len() - self.next));
        let all_times = self.image.chunks.iter().map(|chunk| times(&chunk.rows));
        let all_times = all_times.collect::<Result<Vec<_>, _>>()?;
        while places.len() < self.batch_rows
            && let Some(row) = self.order.get(self.next)
        {
            self.next += 1;
            let Some((chunk, row)) = self.image.place(*row) else {
                continue;
            };
            let time = all_times.get(chunk).map(|times| times.value(row));
            if time.is_some_and(|time| self.range.contains(&time)) {
                places.push((chunk, row));
            }
        }
        Ok(places)
    }

    fn batch(&mut self) -> Result<Option<RecordBatch>, PointsError> {
        let places = self.places()?;
        if places.is_empty() {
            return Ok(None);
        }
        let sources = SourceChunks::of(&places, self.image.chunks.len());
        let columns = self
            .columns
            .iter()
            .map(|column| {
                let parts: Vec<&dyn Array> = sources
                    .chunks
                    .iter()
                    .filter_map(|chunk| self.image.chunks.get(*chunk))
                    .map(|chunk| chunk.rows.column(*column).as_ref())
                    .collect();
                interleave(&parts, &sources.places)
            })
            .collect::<Result<Vec<ArrayRef>, _>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(places.len()));
        let schema = Arc::clone(&self.schema);
        let batch = RecordBatch::try_new_with_options(schema, columns, &options)?;
        Ok(Some(batch))
    }
}

impl Iterator for SortedRows {
    type Item = Result<RecordBatch, PointsError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.batch().transpose()
    }
}
