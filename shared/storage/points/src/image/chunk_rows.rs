//! The rows of chunks that scans return, part by part.

use std::{ops::Range, sync::Arc};

use arrow_array::{Array, ArrayRef, BooleanArray, RecordBatch, RecordBatchOptions};
use arrow_buffer::BooleanBuffer;
use arrow_schema::SchemaRef;
use arrow_select::filter::{FilterBuilder, FilterPredicate};
use neap_schema::narrow_integers::{concat_parts, widened};

use super::{ImageChunk, SelectedSeries, TailImage, lock::read};
use crate::PointsError;

/// Adjacent rows of a chunk, without rows that are not live and rows of series that are not selected. There is at least one row.
#[derive(Debug)]
pub struct ChunkRows {
    chunk: ImageChunk,
    range: Range<usize>,
    /// The rows of the range; `None` if it has all of them.
    mask: Option<BooleanBuffer>,
    count: usize,
}

impl ChunkRows {
    /// Returns the rows of a range; `None` if the mask, which has a bit for each of them, has none.
    fn masked(chunk: ImageChunk, range: Range<usize>, mask: Option<BooleanBuffer>) -> Option<Self> {
        let rows = range.len();
        let count = mask.as_ref().map_or(rows, BooleanBuffer::count_set_bits);
        (count > 0).then(|| Self { chunk, range, mask: mask.filter(|_| count < rows), count })
    }

    /// Returns the number of rows.
    pub fn count(&self) -> usize {
        self.count
    }
}

impl ImageChunk {
    /// Returns the live rows of these series (`None`: all), in parts of at most `part_rows` adjacent rows.
    pub fn parts(
        &self,
        selected: Option<&SelectedSeries>,
        part_rows: usize,
    ) -> impl Iterator<Item = ChunkRows> + use<> {
        let chunk = self.clone();
        let mask = self.mask(selected);
        let (rows, part_rows) = (self.num_rows(), part_rows.max(1));
        let starts = (0..rows).step_by(part_rows);
        starts.filter_map(move |start| {
            let end = rows.min(start.saturating_add(part_rows));
            let mask = mask.as_ref().map(|mask| mask.slice(start, end - start));
            ChunkRows::masked(chunk.clone(), start..end, mask)
        })
    }
}

/// Rows of a chunk, and the filter that copies them.
struct CopiedRows<'a> {
    rows: &'a ChunkRows,
    /// `None` if the range has no other rows.
    filter: Option<FilterPredicate>,
}

impl<'a> CopiedRows<'a> {
    /// Prepares copies of so many columns.
    fn new(rows: &'a ChunkRows, columns: usize) -> Self {
        let filter = rows.mask.as_ref().map(|mask| {
            let mask = BooleanArray::new(mask.clone(), None);
            let filter = FilterBuilder::new(&mask);
            match columns {
                0 | 1 => filter.build(),
                _ => filter.optimize().build(),
            }
        });
        Self { rows, filter }
    }

    /// Returns a column of the table. Integers may be narrow.
    fn column(&self, at: usize) -> Result<ArrayRef, PointsError> {
        let values = self.rows.chunk.column(at)?;
        let range = &self.rows.range;
        // There may be thousands of chunks with few rows.
        let values = if range.len() == values.len() {
            Arc::clone(values)
        } else {
            values.slice(range.start, range.len())
        };
        Ok(match &self.filter {
            Some(filter) => filter.filter(&values)?,
            None => values,
        })
    }

    /// Appends the number of the series of each row.
    fn append_series(&self, all: &mut Vec<u32>) {
        let series = self.rows.chunk.series.get(self.rows.range.clone()).unwrap_or(&[]);
        match &self.rows.mask {
            Some(mask) => all.extend(mask.set_indices().filter_map(|row| series.get(row))),
            None => all.extend_from_slice(series),
        }
    }
}

impl TailImage {
    /// Returns rows of chunks of this image, part after part, with these columns of the table, whose schema is `schema`. Tags that
    /// are not loaded come from the index of series, which takes longer.
    ///
    /// # Errors
    /// There are no parts, there is no such column, a field was not loaded, or the schema has other columns.
    pub fn rows_of(
        &self,
        parts: &[ChunkRows],
        columns: &[usize],
        schema: &SchemaRef,
    ) -> Result<RecordBatch, PointsError> {
        let rows = parts.iter().map(ChunkRows::count).sum();
        let parts: Vec<_> = parts.iter().map(|part| CopiedRows::new(part, columns.len())).collect();
        let mut series = Vec::new();
        let values = |column: &usize| {
            let tag = self.tag_to_look_up(*column);
            let Some(tag) = tag else {
                return column_of(&parts, *column);
            };
            if series.is_empty() {
                series.reserve_exact(rows);
                parts.iter().for_each(|part| part.append_series(&mut series));
            }
            read(&self.index).tag_column_of(tag, &series)
        };
        let arrays: Vec<ArrayRef> = columns.iter().map(values).collect::<Result<_, _>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        let schema = Arc::clone(schema);
        Ok(RecordBatch::try_new_with_options(schema, arrays, &options)?)
    }

    /// Returns the number of the tag in a column of the table, if it is a tag that was not loaded.
    fn tag_to_look_up(&self, column: usize) -> Option<usize> {
        if self.has_columns(&[column]) {
            None
        } else {
            self.tag(column)
        }
    }
}

/// Returns a column of the table for the rows of all parts.
fn column_of(parts: &[CopiedRows<'_>], column: usize) -> Result<ArrayRef, PointsError> {
    let pieces: Vec<ArrayRef> =
        parts.iter().map(|part| part.column(column)).collect::<Result<_, _>>()?;
    let values = match pieces.as_slice() {
        [piece] => Arc::clone(piece),
        pieces => {
            let pieces: Vec<&dyn Array> = pieces.iter().map(AsRef::as_ref).collect();
            concat_parts(&pieces)?
        }
    };
    // Integers are widened last, so that rows that are left out are not copied.
    Ok(widened(&values).unwrap_or(values))
}
