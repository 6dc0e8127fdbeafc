//! The tail of a table, without duplicates, kept up to date segment by segment.
//!
//! ```text
//!   segments          chunks of the image            index
//!   1: a@1 b@1        [a@1 b@1]                      a@1 -> chunk 1 row 0, b@1 -> chunk 1 row 1
//!   2: a@1 c@2        [ -  b@1] [a@1' c@2]           a@1 -> chunk 2 row 0, c@2 -> chunk 2 row 1
//! ```
//!
//! A row that is a newer version of a point takes over what the older one has and it lacks, and the older
//! one is masked. Rows that were there before are never copied or sorted again, so a segment costs what is
//! in it, and a query reads the chunks as they are, in parallel.
//!
//! A row delete masks what it matches and takes it out of the index, so that a later row of the same point
//! is a new one.

mod rows;
mod sorted;

use std::sync::{Arc, OnceLock};

use ahash::RandomState;
use arrow_array::{Array, ArrayRef, RecordBatch};
use arrow_buffer::{BooleanBuffer, BooleanBufferBuilder};
use arrow_schema::{DataType, SchemaRef};
use arrow_select::interleave::interleave;
use hashbrown::HashTable;
use neap_row_delete::Condition;

use crate::{PointsError, SeriesIndex, conform, times};

pub use rows::TailRow;
pub use sorted::SortedRows;

/// The largest number of rows in an image.
const MAX_ROWS: usize = u32::MAX as usize;

/// A chunk, and a row in it.
type Place = (usize, usize);

/// Rows of an image, some of which may have been replaced.
#[derive(Clone, Debug)]
pub struct Chunk {
    /// The rows, in the shape of the table.
    pub rows: RecordBatch,
    /// The rows that count; `None` when all do.
    pub live: Option<BooleanBuffer>,
    /// The earliest time of all rows, in nanoseconds since the Unix epoch.
    pub min_time: i64,
    /// The latest time of all rows.
    pub max_time: i64,
    /// The number of this chunk's first row in the whole image.
    first_row: u32,
}

/// The tail of a table at one moment: every point once.
#[derive(Debug)]
pub struct TailImage {
    /// The rows, by age.
    pub chunks: Vec<Chunk>,
    series: SeriesNumbers,
    sorted: OnceLock<Arc<[u32]>>,
}

/// The series and the times of all rows of an image, by row number, and the order of the series.
#[derive(Debug)]
struct SeriesNumbers {
    series: Vec<u32>,
    ranks: Vec<u32>,
}

impl TailImage {
    /// The earliest and the latest time of all rows; `None` when there are none.
    pub fn time_range(&self) -> Option<(i64, i64)> {
        let min = self.chunks.iter().map(|chunk| chunk.min_time).min()?;
        let max = self.chunks.iter().map(|chunk| chunk.max_time).max()?;
        Some((min, max))
    }

    /// The number of points.
    pub fn num_rows(&self) -> usize {
        let live = |chunk: &Chunk| {
            chunk
                .live
                .as_ref()
                .map_or(chunk.rows.num_rows(), BooleanBuffer::count_set_bits)
        };
        self.chunks.iter().map(live).sum()
    }

    /// The numbers of the live rows, sorted by tag set and time. Computed once; 4 bytes a row are kept, and 16 are
    /// taken for a moment.
    fn order(&self) -> Result<Arc<[u32]>, PointsError> {
        if let Some(order) = self.sorted.get() {
            return Ok(Arc::clone(order));
        }
        let times = self
            .chunks
            .iter()
            .map(|chunk| times(&chunk.rows))
            .collect::<Result<Vec<_>, _>>()?;
        let order = self.sort(&times);
        Ok(Arc::clone(self.sorted.get_or_init(|| order)))
    }

    fn sort(&self, times: &[&arrow_array::TimestampNanosecondArray]) -> Arc<[u32]> {
        let SeriesNumbers { series, ranks } = &self.series;
        let mut keys = Vec::with_capacity(series.len());
        for (chunk, times) in self.chunks.iter().zip(times) {
            for (at, time) in times.values().iter().enumerate() {
                if chunk.live.as_ref().is_none_or(|live| live.value(at)) {
                    let row = chunk.first_row + u32::try_from(at).unwrap_or(u32::MAX);
                    let rank = series
                        .get(row as usize)
                        .and_then(|series| ranks.get(*series as usize))
                        .copied()
                        .unwrap_or(0);
                    keys.push((rank, *time, row));
                }
            }
        }
        keys.sort_unstable();
        keys.into_iter().map(|(_, _, row)| row).collect()
    }

    /// The chunk of a row, and its place there.
    fn place(&self, row: u32) -> Option<Place> {
        let chunk = self
            .chunks
            .partition_point(|chunk| chunk.first_row <= row)
            .checked_sub(1)?;
        let first = self.chunks.get(chunk)?.first_row;
        Some((chunk, (row - first) as usize))
    }
}

/// Takes in the segments of a tail, one after the other, and gives out images.
#[derive(Debug)]
pub struct TailImageBuilder {
    schema: SchemaRef,
    index: SeriesIndex,
    chunks: Vec<Chunk>,
    series: Vec<u32>,
    time: Vec<i64>,
    /// The newest row of each point.
    newest: HashTable<u32>,
    hasher: RandomState,
    bytes: usize,
    /// How often rows were taken out.
    removals: u64,
    image: Option<Arc<TailImage>>,
}

impl TailImageBuilder {
    /// An empty tail of a table with these tags, in the order of its series key, and these columns.
    pub fn new(tags: &[String], schema: SchemaRef) -> Self {
        Self {
            schema,
            index: SeriesIndex::new(tags),
            chunks: Vec::new(),
            series: Vec::new(),
            time: Vec::new(),
            newest: HashTable::new(),
            hasher: RandomState::with_seeds(5, 6, 7, 8),
            bytes: 0,
            removals: 0,
            image: None,
        }
    }

    /// The columns of the table.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// The tags of the table.
    pub fn tags(&self) -> &[String] {
        self.index.tags()
    }

    /// About how many bytes the image and its index hold.
    pub fn size_bytes(&self) -> usize {
        self.bytes
            + self.index.own_bytes()
            + 16 * self.series.capacity()
            + 5 * self.newest.capacity()
    }

    /// Takes in rows that are newer than all before.
    pub fn push(&mut self, batch: &RecordBatch) -> Result<(), PointsError> {
        if batch.num_rows() == 0 {
            return Ok(());
        }
        let first = self.series.len();
        if first + batch.num_rows() > MAX_ROWS {
            return Err(PointsError::TooManyRows { limit: MAX_ROWS });
        }
        let rows = conform(batch, &self.schema)?;
        self.index.resolve(batch, &mut self.series)?;
        self.time.extend_from_slice(times(&rows)?.values());
        let older = self.replace_newest(first);
        let added = self.time.get(first..).unwrap_or(&[]);
        let min_time = added.iter().copied().min().unwrap_or(i64::MAX);
        let max_time = added.iter().copied().max().unwrap_or(i64::MIN);
        let first_row = u32::try_from(first).unwrap_or(u32::MAX);
        self.chunks.push(Chunk {
            rows,
            live: None,
            min_time,
            max_time,
            first_row,
        });
        if !older.is_empty() {
            self.take_over(&older)?;
        }
        self.bytes += self
            .chunks
            .last()
            .map_or(0, |chunk| chunk.rows.get_array_memory_size());
        self.image = None;
        Ok(())
    }

    /// Makes the rows from `first` on the newest of their points; the pairs (newer, older) of those that
    /// are versions of a point that was there.
    fn replace_newest(&mut self, first: usize) -> Vec<(u32, u32)> {
        let Self {
            series,
            time,
            newest,
            hasher,
            ..
        } = self;
        let key = |row: u32| (series.get(row as usize), time.get(row as usize));
        let mut older = Vec::new();
        for row in first..series.len() {
            let row = u32::try_from(row).unwrap_or(u32::MAX);
            let hash = hasher.hash_one(key(row));
            match newest.find_mut(hash, |other| key(*other) == key(row)) {
                Some(other) => older.push((row, std::mem::replace(other, row))),
                None => {
                    newest.insert_unique(hash, row, |row| hasher.hash_one(key(*row)));
                }
            }
        }
        older
    }

    /// Gives each newer row what it lacks of its older one, and masks the older.
    fn take_over(&mut self, pairs: &[(u32, u32)]) -> Result<(), PointsError> {
        let places: Vec<_> = pairs
            .iter()
            .filter_map(|(newer, older)| Some((self.place(*newer)?, self.place(*older)?)))
            .collect();
        let columns = (0..self.schema.fields().len())
            .map(|column| self.filled(column, &places))
            .collect::<Result<Vec<_>, _>>()?;
        if let Some(chunk) = self.chunks.last_mut() {
            chunk.rows = RecordBatch::try_new(Arc::clone(&self.schema), columns)?;
        }
        let mut masked: Vec<Place> = places.into_iter().map(|(_, older)| older).collect();
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

    /// Takes out the rows that are there now and for which the condition holds. What is pushed later stays,
    /// and takes nothing over from them. Costs in proportion to the chunks whose times the condition meets;
    /// memory is not given back.
    ///
    /// # Errors
    /// The condition asks for a tag that is none in this table.
    pub fn delete(&mut self, condition: &Condition) -> Result<(), PointsError> {
        let hull = condition.time_hull();
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
            self.forget(rows.map(|row| first.saturating_add(row)));
            self.image = None;
        }
        Ok(())
    }

    /// Lets these rows be no versions of their points any more.
    fn forget(&mut self, rows: impl Iterator<Item = u32>) {
        let Self {
            series,
            time,
            newest,
            hasher,
            ..
        } = self;
        for row in rows {
            let key = (series.get(row as usize), time.get(row as usize));
            // A row that is live is the newest of its point.
            if let Ok(found) = newest.find_entry(hasher.hash_one(key), |other| *other == row) {
                found.remove();
            }
        }
    }

    /// A column of the newest chunk, its nulls filled from older versions.
    fn filled(&self, column: usize, places: &[(Place, Place)]) -> Result<ArrayRef, PointsError> {
        let parts: Vec<&dyn Array> = self
            .chunks
            .iter()
            .map(|chunk| chunk.rows.column(column).as_ref())
            .collect();
        let last = self.chunks.len().saturating_sub(1);
        let Some(newest) = self.chunks.last().map(|chunk| chunk.rows.column(column)) else {
            return Err(PointsError::NoTime);
        };
        // Versions of a point have the same tags.
        let is_tag = matches!(newest.data_type(), DataType::Dictionary(..));
        if newest.null_count() == 0 || is_tag {
            return Ok(Arc::clone(newest));
        }
        let mut from: Vec<Place> = (0..newest.len()).map(|row| (last, row)).collect();
        for ((_, row), older) in places {
            // An older version in the same chunk may itself have been filled a moment ago.
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

    fn place(&self, row: u32) -> Option<Place> {
        let chunk = self
            .chunks
            .partition_point(|chunk| chunk.first_row <= row)
            .checked_sub(1)?;
        let first = self.chunks.get(chunk)?.first_row;
        Some((chunk, (row - first) as usize))
    }

    /// The tail as it is now. Later rows do not change it.
    pub fn image(&mut self) -> Arc<TailImage> {
        if let Some(image) = &self.image {
            return Arc::clone(image);
        }
        let series = SeriesNumbers {
            series: self.series.clone(),
            ranks: self.index.ranks(),
        };
        let image = Arc::new(TailImage {
            chunks: self.chunks.clone(),
            series,
            sorted: OnceLock::new(),
        });
        self.image = Some(Arc::clone(&image));
        image
    }
}
