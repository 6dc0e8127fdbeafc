//! The rows of chunks that scans return, part by part.

use std::{ops::Range, sync::Arc};

use arrow_array::{Array, ArrayRef, BooleanArray, RecordBatch, RecordBatchOptions};
use arrow_schema::SchemaRef;
use arrow_select::filter::{FilterBuilder, FilterPredicate};
use neap_narrow_integers::widened;

use super::{ImageChunk, SelectedSeries, TailImage, read};
use crate::PointsError;

/// Adjacent rows of a chunk, without rows that are not live and rows of series that are not selected.
#[derive(Debug)]
pub struct ChunkRows {
    range: Range<usize>,
    /// The rows of the range; `None` if it has all of them.
    filter: Option<FilterPredicate>,
}

impl ChunkRows {
    /// Returns the rows of a range; `None` if the mask of the chunk has none of them.
    fn of(range: Range<usize>, mask: Option<&BooleanArray>) -> Option<Self> {
        let filter = mask.map(|mask| mask.slice(range.start, range.len()));
        let filter = filter.filter(|mask| mask.has_false());
        if filter.as_ref().is_some_and(|mask| !mask.has_true()) {
            return None;
        }
        Some(Self {
            range,
            filter: filter.map(|mask| FilterBuilder::new(&mask).optimize().build()),
        })
    }

    fn count(&self) -> usize {
        let filter = self.filter.as_ref();
        filter.map_or(self.range.len(), FilterPredicate::count)
    }

    fn filter(&self, values: ArrayRef) -> Result<ArrayRef, PointsError> {
        match &self.filter {
            Some(filter) => Ok(filter.filter(&values)?),
            None => Ok(values),
        }
    }
}

impl ImageChunk {
    /// Returns the live rows of these series (`None`: all), in parts of at most `part_rows` adjacent rows. Parts have at least one
    /// row.
    pub fn parts(
        &self,
        selected: Option<&SelectedSeries>,
        part_rows: usize,
    ) -> impl Iterator<Item = ChunkRows> + use<> {
        let mask = self
            .mask(selected)
            .map(|mask| BooleanArray::new(mask, None));
        let (rows, part_rows) = (self.num_rows(), part_rows.max(1));
        let starts = (0..rows).step_by(part_rows);
        starts.filter_map(move |start| {
            let end = rows.min(start.saturating_add(part_rows));
            ChunkRows::of(start..end, mask.as_ref())
        })
    }
}

impl TailImage {
    /// Returns rows of a chunk of this image with these columns of the table, whose schema is `schema`. Tags that are not loaded
    /// come from the index of series, which takes longer.
    ///
    /// # Errors
    /// There is no such column, a field was not loaded, or the schema has other columns.
    pub fn chunk_rows(
        &self,
        chunk: &ImageChunk,
        rows: &ChunkRows,
        columns: &[usize],
        schema: &SchemaRef,
    ) -> Result<RecordBatch, PointsError> {
        let values = |column: &usize| self.column_of(chunk, rows, *column);
        let arrays: Vec<ArrayRef> = columns.iter().map(values).collect::<Result<_, _>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(rows.count()));
        let schema = Arc::clone(schema);
        Ok(RecordBatch::try_new_with_options(schema, arrays, &options)?)
    }

    /// Returns a column of rows of a chunk.
    fn column_of(
        &self,
        chunk: &ImageChunk,
        rows: &ChunkRows,
        column: usize,
    ) -> Result<ArrayRef, PointsError> {
        let tag = match self.has_columns(&[column]) {
            true => None,
            false => self.tag(column),
        };
        if let Some(tag) = tag {
            let series = chunk.series.get(rows.range.clone()).unwrap_or(&[]);
            return rows.filter(read(&self.index).tag_column_of(tag, series)?);
        }
        let values = chunk.column(column)?;
        // There may be thousands of chunks with few rows.
        let values = match rows.range.len() == values.len() {
            true => Arc::clone(values),
            false => values.slice(rows.range.start, rows.range.len()),
        };
        // Integers are widened last, so that rows that are left out are not copied.
        let values = rows.filter(values)?;
        Ok(widened(&values).unwrap_or(values))
    }
}
