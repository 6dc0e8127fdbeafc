//! The deduplicated tail of a table, updated segment by segment.
//!
//! ```text
//!   segments          chunks of the image            index
//!   1: a@1 b@1        [a@1 b@1]                      a@1 -> chunk 1 row 0, b@1 -> chunk 1 row 1
//!   2: a@1 c@2        [ -  b@1] [a@1' c@2]           a@1 -> chunk 2 row 0, c@2 -> chunk 2 row 1
//! ```
//!
//! A row that is a newer version of a point copies the values that it lacks from the older version, and the older
//! version is masked. Older rows are never copied or sorted again, so the cost of a segment is proportional to its
//! size, and a query reads the chunks as they are, in parallel.
//!
//! A row delete masks the matching rows and removes them from the index, so that a later row of the same point is a new
//! point.

mod order;
mod rows;
mod selection;
mod series_rows;
mod sorted_rows;
mod versions;

use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

use arrow_array::{Array, ArrayRef, RecordBatch, TimestampNanosecondArray};
use arrow_buffer::{BooleanBuffer, BooleanBufferBuilder};
use arrow_schema::{DataType, SchemaRef};
use arrow_select::interleave::interleave;
use neap_row_delete::Condition;

use crate::{PointsError, SeriesIndex, conform_to_schema, times};

use order::LazyRowOrder;
pub use rows::TailRow;
pub(crate) use selection::MAX_LOOKED_UP_SERIES;
pub use selection::{SelectedSeries, TagFilter};
use series_rows::SeriesRows;
pub use sorted_rows::SortedRows;
use versions::{PointVersions, RowKeys};

/// Maximum number of rows in an image.
const MAX_ROWS: usize = u32::MAX as usize;

/// The position of a row: a chunk, and a row in it.
type RowPosition = (usize, usize);

/// Rows of an image. Rows that were replaced or deleted are masked.
#[derive(Clone, Debug)]
pub struct ImageChunk {
    /// The rows, with the columns of the table.
    pub rows: RecordBatch,
    /// The mask of live rows; `None` if all are live.
    pub live: Option<BooleanBuffer>,
    /// The earliest time of all rows, in nanoseconds since the Unix epoch.
    pub min_time: i64,
    /// The latest time of all rows, in nanoseconds since the Unix epoch.
    pub max_time: i64,
    /// The number of this chunk's first row in the image.
    first_row: u32,
    /// The number of each row's series.
    series: Arc<[u32]>,
}

/// An immutable image of the tail of a table, with each point once.
#[derive(Debug)]
pub struct TailImage {
    /// The rows, from the oldest to the newest.
    pub chunks: Vec<ImageChunk>,
    /// The series of these rows, and of later ones.
    index: Arc<RwLock<SeriesIndex>>,
    /// The rows of each series, and later ones.
    rows: Arc<RwLock<SeriesRows>>,
    order: Arc<LazyRowOrder>,
}

impl ImageChunk {
    /// Whether a row was neither replaced nor deleted.
    fn is_live(&self, row: usize) -> bool {
        self.live.as_ref().is_none_or(|live| live.value(row))
    }

    /// The number of the row after the last one.
    fn end(&self) -> usize {
        self.first_row as usize + self.rows.num_rows()
    }

    /// Returns the chunk with these columns.
    ///
    /// # Errors
    /// There is no such column.
    pub fn project(&self, columns: &[usize]) -> Result<Self, PointsError> {
        Ok(Self {
            rows: self.rows.project(columns)?,
            live: self.live.clone(),
            series: Arc::clone(&self.series),
            ..*self
        })
    }
}

impl TailImage {
    /// Returns the earliest and the latest time of all rows; `None` if there are none.
    pub fn time_range(&self) -> Option<(i64, i64)> {
        let min = self.chunks.iter().map(|chunk| chunk.min_time).min()?;
        let max = self.chunks.iter().map(|chunk| chunk.max_time).max()?;
        Some((min, max))
    }

    /// Returns the number of points.
    pub fn num_rows(&self) -> usize {
        let live = |chunk: &ImageChunk| {
            chunk
                .live
                .as_ref()
                .map_or(chunk.rows.num_rows(), BooleanBuffer::count_set_bits)
        };
        self.chunks.iter().map(live).sum()
    }

    /// Returns the times of the rows of all chunks.
    fn times(&self) -> Result<Vec<&TimestampNanosecondArray>, PointsError> {
        let chunks = self.chunks.iter();
        chunks.map(|chunk| times(&chunk.rows)).collect()
    }

    /// The number of rows, live or not.
    fn row_count(&self) -> usize {
        let last = self.chunks.last();
        last.map_or(0, ImageChunk::end)
    }

    /// Returns the position of a row.
    fn place(&self, row: u32) -> Option<RowPosition> {
        place(&self.chunks, row)
    }

    /// Returns the number of the series of a row.
    fn series_of(&self, (chunk, row): RowPosition) -> Option<u32> {
        self.chunks.get(chunk)?.series.get(row).copied()
    }
}

/// Adds the segments of a tail, one after the other, and creates images.
#[derive(Debug)]
pub struct TailImageBuilder {
    schema: SchemaRef,
    tags: Vec<String>,
    /// Images read it: rows of the same series have the same number in all of them.
    index: Arc<RwLock<SeriesIndex>>,
    /// Images read it.
    rows: Arc<RwLock<SeriesRows>>,
    chunks: Vec<ImageChunk>,
    series: Vec<u32>,
    time: Vec<i64>,
    versions: PointVersions,
    bytes: usize,
    /// The number of deletes that removed rows.
    removals: u64,
    image: Option<Arc<TailImage>>,
    /// The order of the newest image.
    order: Arc<LazyRowOrder>,
}

impl TailImageBuilder {
    /// Creates an empty tail of a table with these tags, in the order of its series key, and these columns.
    pub fn new(tags: &[String], schema: SchemaRef) -> Self {
        Self {
            schema,
            tags: tags.to_vec(),
            index: Arc::new(RwLock::new(SeriesIndex::new(tags))),
            rows: Arc::new(RwLock::new(SeriesRows::new())),
            chunks: Vec::new(),
            series: Vec::new(),
            time: Vec::new(),
            versions: PointVersions::new(),
            bytes: 0,
            removals: 0,
            image: None,
            order: Arc::default(),
        }
    }

    /// The columns of the table.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// The tags of the table.
    pub fn tags(&self) -> &[String] {
        &self.tags
    }

    /// Returns the approximate size of the image, its index and its order, in bytes.
    pub fn size_bytes(&self) -> usize {
        // Of each row: its time, and the number of its series here and in its chunk.
        let index = self.index().own_bytes();
        let rows = read(&self.rows).size_bytes() + 16 * self.series.capacity();
        self.bytes + index + rows + self.versions.size_bytes() + self.order.size_bytes()
    }

    /// Adds rows that are newer than all rows before.
    pub fn push(&mut self, batch: &RecordBatch) -> Result<(), PointsError> {
        if batch.num_rows() == 0 {
            return Ok(());
        }
        let first = self.series.len();
        if first + batch.num_rows() > MAX_ROWS {
            return Err(PointsError::TooManyRows { limit: MAX_ROWS });
        }
        let rows = conform_to_schema(batch, &self.schema)?;
        let index = self.index.write();
        let mut index = index.unwrap_or_else(PoisonError::into_inner);
        index.resolve(batch, &mut self.series)?;
        drop(index);
        self.time.extend_from_slice(times(&rows)?.values());
        let keys = RowKeys {
            series: &self.series,
            times: &self.time,
        };
        let older = self.versions.add(keys, first, live_rows(&self.chunks, 0));
        let series: Arc<[u32]> = self.series.get(first..).unwrap_or(&[]).into();
        self.rows
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .push(&series);
        let added = self.time.get(first..).unwrap_or(&[]);
        let min_time = added.iter().copied().min().unwrap_or(i64::MAX);
        let max_time = added.iter().copied().max().unwrap_or(i64::MIN);
        let first_row = u32::try_from(first).unwrap_or(u32::MAX);
        self.chunks.push(ImageChunk {
            rows,
            live: None,
            min_time,
            max_time,
            first_row,
            series,
        });
        if !older.is_empty() {
            self.merge_older_versions(&older)?;
        }
        self.bytes += self
            .chunks
            .last()
            .map_or(0, |chunk| chunk.rows.get_array_memory_size());
        self.image = None;
        Ok(())
    }

    /// Copies into each newer row the values that it lacks from its older version, and masks the older version.
    fn merge_older_versions(&mut self, pairs: &[(u32, u32)]) -> Result<(), PointsError> {
        let places: Vec<_> = pairs
            .iter()
            .filter_map(|(newer, older)| Some((self.place(*newer)?, self.place(*older)?)))
            .collect();
        let columns = (0..self.schema.fields().len())
            .map(|column| self.fill_nulls(column, &places))
            .collect::<Result<Vec<_>, _>>()?;
        if let Some(chunk) = self.chunks.last_mut() {
            chunk.rows = RecordBatch::try_new(Arc::clone(&self.schema), columns)?;
        }
        let mut masked: Vec<RowPosition> = places.into_iter().map(|(_, older)| older).collect();
        masked.sort_unstable();
        for run in masked.chunk_by(|a, b| a.0 == b.0) {
            let Some(chunk) = run
                .first()
                .and_then(|(chunk, _)| self.chunks.get_mut(*chunk))
            else {
                continue;
            };
            let mut live = BooleanBufferBuilder::new(chunk.rows.num_rows());
            match &chunk.live {
                Some(before) => live.append_buffer(before),
                None => live.append_n(chunk.rows.num_rows(), true),
            }
            for (_, row) in run {
                live.set_bit(*row, false);
            }
            chunk.live = Some(live.finish());
        }
        Ok(())
    }

    /// Removes the existing rows for which the condition holds. Rows that are pushed later stay, and copy no values
    /// from the removed rows. The cost is proportional to the size of the chunks whose time range overlaps that of the
    /// condition. Memory is not released.
    ///
    /// # Errors
    /// The condition names a column that is not a tag of this table.
    pub fn delete(&mut self, condition: &Condition) -> Result<(), PointsError> {
        let hull = condition.time_bounds();
        let mut masks = Vec::new();
        for (at, chunk) in self.chunks.iter().enumerate() {
            let meets = |(min, max): (i64, i64)| min <= chunk.max_time && chunk.min_time <= max;
            if !hull.is_some_and(meets) {
                continue;
            }
            let matching = condition.mask(&chunk.rows)?;
            let gone = match &chunk.live {
                Some(live) => live & &matching,
                None => matching,
            };
            if gone.count_set_bits() > 0 {
                masks.push((at, gone));
            }
        }
        self.removals += u64::from(!masks.is_empty());
        for (at, gone) in masks {
            let Some(chunk) = self.chunks.get_mut(at) else {
                continue;
            };
            chunk.live = Some(match &chunk.live {
                Some(live) => live & &!&gone,
                None => !&gone,
            });
            let first = chunk.first_row;
            let rows = gone.set_indices().filter_map(|row| u32::try_from(row).ok());
            let keys = RowKeys {
                series: &self.series,
                times: &self.time,
            };
            let rows = rows.map(|row| first.saturating_add(row));
            self.versions.remove(keys, rows);
            self.image = None;
        }
        Ok(())
    }

    /// Returns a column of the newest chunk with its nulls filled from older versions.
    fn fill_nulls(
        &self,
        column: usize,
        places: &[(RowPosition, RowPosition)],
    ) -> Result<ArrayRef, PointsError> {
        let parts: Vec<&dyn Array> = self
            .chunks
            .iter()
            .map(|chunk| chunk.rows.column(column).as_ref())
            .collect();
        let last = self.chunks.len().saturating_sub(1);
        let Some(newest) = self.chunks.last().map(|chunk| chunk.rows.column(column)) else {
            return Err(PointsError::MissingTimeColumn);
        };
        // All versions of a point have the same tags.
        let is_tag = matches!(newest.data_type(), DataType::Dictionary(..));
        if newest.null_count() == 0 || is_tag {
            return Ok(Arc::clone(newest));
        }
        let mut from: Vec<RowPosition> = (0..newest.len()).map(|row| (last, row)).collect();
        for ((_, row), older) in places {
            // An older version in the same chunk may have been filled by an earlier pair.
            let older = match older {
                (chunk, row) if *chunk == last => from.get(*row).copied().unwrap_or(*older),
                _ => *older,
            };
            if newest.is_null(*row)
                && let Some(slot) = from.get_mut(*row)
            {
                *slot = older;
            }
        }
        Ok(interleave(&parts, &from)?)
    }

    fn place(&self, row: u32) -> Option<RowPosition> {
        place(&self.chunks, row)
    }

    /// Returns the image that [`image`](Self::image) would return, if it was created before.
    pub fn kept_image(&self) -> Option<Arc<TailImage>> {
        self.image.clone()
    }

    /// Returns an image of the tail. Later rows do not change it.
    pub fn image(&mut self) -> Arc<TailImage> {
        if let Some(image) = &self.image {
            return Arc::clone(image);
        }
        self.order = Arc::new(LazyRowOrder::after(&self.order));
        let image = Arc::new(TailImage {
            chunks: self.chunks.clone(),
            index: Arc::clone(&self.index),
            rows: Arc::clone(&self.rows),
            order: Arc::clone(&self.order),
        });
        self.image = Some(Arc::clone(&image));
        image
    }
}

fn read<T>(lock: &RwLock<T>) -> RwLockReadGuard<'_, T> {
    lock.read().unwrap_or_else(PoisonError::into_inner)
}

/// Returns the position of a row in chunks.
fn place(chunks: &[ImageChunk], row: u32) -> Option<RowPosition> {
    let after = chunks.partition_point(|chunk| chunk.first_row <= row);
    let chunk = after.checked_sub(1)?;
    let first = chunks.get(chunk)?.first_row;
    Some((chunk, (row - first) as usize))
}

/// Returns the numbers of the live rows of chunks, from number `first` on.
fn live_rows(chunks: &[ImageChunk], first: usize) -> impl Iterator<Item = u32> {
    let start = chunks.partition_point(|chunk| chunk.end() <= first);
    let chunks = chunks.get(start..).unwrap_or(&[]);
    chunks.iter().flat_map(move |chunk| {
        let chunk_first = chunk.first_row as usize;
        let skipped = first.saturating_sub(chunk_first);
        (skipped..chunk.rows.num_rows())
            .filter(|at| chunk.is_live(*at))
            .filter_map(move |at| u32::try_from(chunk_first + at).ok())
    })
}
