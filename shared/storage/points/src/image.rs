//! The deduplicated tail of a table, updated segment by segment.
//!
//! ```text
//!   segments          chunks of the image            index
//!   1: a@1 b@1        [a@1 b@1]                      a@1 -> chunk 1 row 0, b@1 -> chunk 1 row 1
//!   2: a@1 c@2        [ -  b@1] [a@1' c@2]           a@1 -> chunk 2 row 0, c@2 -> chunk 2 row 1
//! ```
//!
//! A row that is a newer version of a point copies the values that it lacks from the older version, and the older
//! version is masked. If the table keeps earlier values, the row copies all values that the older version has. Older rows
//! are never copied or sorted again, so the cost of a segment is proportional to its size, and queries read the chunks in
//! parallel.
//!
//! A row delete masks the matching rows and removes them from the index, so that a later row of the same point is a new
//! point.
//!
//! The values of a column are loaded when a query first needs them: most queries read few of the columns of a table. Of tags, the
//! number of the tag set of each row is enough to find and to sort rows, and to read few of them. Only scans of whole chunks are
//! faster with tags that are loaded.
//!
//! Most integers are small. They keep the narrow types that they have in segments, and a scan widens the rows that it returns.

mod chunk;
mod chunk_rows;
mod lock;
mod order;
mod row_lookup;
mod row_position;
mod rows;
mod selected_series;
mod selection;
mod series_rows;
mod sorted_rows;
mod tail_row;
mod values;
mod versions;

use std::{
    collections::BTreeSet,
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicBool, Ordering},
    },
};

use arrow_array::{ArrayRef, RecordBatch};
use arrow_schema::SchemaRef;
use neap_row_delete::Condition;
use neap_schema::{OnDuplicate, TIME_COLUMN};

use crate::{PointsError, SeriesIndex, columns::conform_narrow_column, times};

pub use chunk::ImageChunk;
pub use chunk_rows::ChunkRows;
use lock::read;
use order::LazyRowOrder;
use row_position::{RowPosition, place};
pub use selected_series::{MAX_LOOKED_UP_SERIES, SelectedSeries, TagFilter};
use series_rows::SeriesRows;
pub use sorted_rows::SortedRows;
pub use tail_row::TailRow;
use versions::PointVersions;

/// Maximum number of rows in an image.
const MAX_ROWS: usize = u32::MAX as usize;

/// An immutable image of the tail of a table, with each point once.
#[derive(Debug)]
pub struct TailImage {
    /// The rows, from the oldest to the newest.
    pub chunks: Vec<ImageChunk>,
    schema: SchemaRef,
    /// Whether the values of each column are in the image.
    is_loaded: Arc<[bool]>,
    /// For each column, whether a query has scanned whole chunks with it.
    is_scanned: Arc<[AtomicBool]>,
    /// The series of these rows, and of later ones.
    index: Arc<RwLock<SeriesIndex>>,
    /// The rows of each series, and later ones.
    rows: Arc<RwLock<SeriesRows>>,
    order: Arc<LazyRowOrder>,
}

impl TailImage {
    /// The columns of the table.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// Whether the image has the values of all these columns of the table.
    pub fn has_columns(&self, columns: &[usize]) -> bool {
        are_loaded(&self.is_loaded, columns)
    }

    /// Returns the earliest and the latest time of all rows; `None` if there are none.
    pub fn time_range(&self) -> Option<(i64, i64)> {
        let min = self.chunks.iter().map(|chunk| chunk.min_time).min()?;
        let max = self.chunks.iter().map(|chunk| chunk.max_time).max()?;
        Some((min, max))
    }

    /// Returns the number of points.
    pub fn num_rows(&self) -> usize {
        self.chunks.iter().map(ImageChunk::live_rows).sum()
    }

    /// The number of rows, live or not.
    pub fn row_count(&self) -> usize {
        let last = self.chunks.last();
        last.map_or(0, ImageChunk::end)
    }

    /// Whether a row may have no value of a tag. True for other columns.
    pub fn lacks_tag(&self, tag: &str) -> bool {
        read(&self.index).has_missing(tag)
    }

    /// Remembers that a query scans whole chunks with these columns of the table.
    pub fn note_scan(&self, columns: &[usize]) {
        for column in columns {
            if let Some(is_scanned) = self.is_scanned.get(*column) {
                is_scanned.store(true, Ordering::Relaxed);
            }
        }
    }

    /// Returns the number of the tag in a column of the table; `None` if it is no tag.
    fn tag(&self, column: usize) -> Option<usize> {
        read(&self.index).tag(self.schema.fields().get(column)?.name())
    }

    fn place(&self, row: u32) -> Option<RowPosition> {
        place(&self.chunks, row)
    }

    fn row_at(&self, (chunk, row): RowPosition) -> Option<TailRow> {
        self.chunks.get(chunk)?.row(row)
    }
}

/// Adds the segments of a tail, one after the other, and creates images.
#[derive(Debug)]
pub struct TailImageBuilder {
    schema: SchemaRef,
    tags: Vec<String>,
    on_duplicate: OnDuplicate,
    /// Whether the values of each column are loaded.
    is_loaded: Arc<[bool]>,
    /// Images write it: for each column, whether a query has scanned whole chunks with it.
    is_scanned: Arc<[AtomicBool]>,
    /// Images read it: rows of the same series have the same number in all of them.
    index: Arc<RwLock<SeriesIndex>>,
    /// Images read it.
    rows: Arc<RwLock<SeriesRows>>,
    chunks: Vec<ImageChunk>,
    versions: PointVersions,
    /// The rows that were replaced, in the order of arrival of the newer ones, as pairs (newer, older). Kept while there are
    /// columns that are not loaded.
    replaced: Vec<(u32, u32)>,
    /// The size of the loaded values.
    column_bytes: usize,
    /// The number of deletes that removed rows.
    removals: u64,
    image: Option<Arc<TailImage>>,
    /// The order of the newest image.
    order: Arc<LazyRowOrder>,
}

impl TailImageBuilder {
    /// Creates an empty tail of a table with these tags, in the order of its series key, and these columns. All columns are
    /// loaded.
    pub fn new(tags: &[String], schema: SchemaRef) -> Self {
        Self::with_columns(tags, schema, |_| true)
    }

    /// Creates an empty tail, as [`new`](Self::new) does. Only times and the columns whose names are `wanted` are loaded.
    pub fn with_columns(tags: &[String], schema: SchemaRef, wanted: impl Fn(&str) -> bool) -> Self {
        let fields = schema.fields().iter().map(|field| field.name());
        Self {
            is_loaded: fields.map(|name| name == TIME_COLUMN || wanted(name)).collect(),
            is_scanned: schema.fields().iter().map(|_| AtomicBool::new(false)).collect(),
            schema,
            tags: tags.to_vec(),
            on_duplicate: OnDuplicate::default(),
            index: Arc::new(RwLock::new(SeriesIndex::new(tags))),
            rows: Arc::new(RwLock::new(SeriesRows::new())),
            chunks: Vec::new(),
            versions: PointVersions::new(),
            replaced: Vec::new(),
            column_bytes: 0,
            removals: 0,
            image: None,
            order: Arc::default(),
        }
    }

    /// Sets what a row does to an earlier one of its point. By default, its values replace those.
    #[must_use]
    pub fn with_on_duplicate(self, on_duplicate: OnDuplicate) -> Self {
        Self { on_duplicate, ..self }
    }

    /// Returns what a row does to an earlier one of its point.
    pub fn on_duplicate(&self) -> OnDuplicate {
        self.on_duplicate
    }

    /// The columns of the table.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// The tags of the table.
    pub fn tags(&self) -> &[String] {
        &self.tags
    }

    /// Whether the values of all these columns of the table are loaded.
    pub fn has_columns(&self, columns: &[usize]) -> bool {
        are_loaded(&self.is_loaded, columns)
    }

    /// Whether all columns whose values are loaded are among these.
    pub fn loads_only(&self, columns: &BTreeSet<String>) -> bool {
        let mut fields = self.schema.fields().iter().zip(self.is_loaded.iter());
        fields.all(|(field, is_loaded)| !is_loaded || columns.contains(field.name()))
    }

    /// Keeps the notes about scans of an earlier tail of the table.
    pub fn keep_scans_of(&mut self, earlier: &Self) {
        self.is_scanned = Arc::clone(&earlier.is_scanned);
    }

    /// Whether a column is a tag that scans of whole chunks did not read yet. All other reads of tags use the index of series.
    pub fn is_unscanned_tag(&self, column: usize) -> bool {
        let is_scanned = self
            .is_scanned
            .get(column)
            .is_some_and(|is_scanned| is_scanned.load(Ordering::Relaxed));
        let name = self.schema.fields().get(column).map(|field| field.name());
        !is_scanned && name.is_some_and(|name| self.tags.contains(name))
    }

    /// Whether newer rows have replaced rows since columns were left out. The newer ones get copies of the values that they
    /// lack, so that the size of columns that are not loaded is not known.
    pub fn has_replaced_rows(&self) -> bool {
        !self.replaced.is_empty()
    }

    /// Returns the names of the columns whose values are loaded.
    pub fn loaded_columns(&self) -> BTreeSet<String> {
        let fields = self.schema.fields().iter().zip(self.is_loaded.iter());
        let loaded = fields.filter(|(_, is_loaded)| **is_loaded);
        loaded.map(|(field, _)| field.name().clone()).collect()
    }

    /// Returns the approximate size of the image, its index and its order, in bytes.
    pub fn size_bytes(&self) -> usize {
        self.index_bytes() + self.column_bytes
    }

    /// Returns the approximate size in bytes without the values of the rows.
    pub fn index_bytes(&self) -> usize {
        let chunks = ImageChunk::own_bytes(self.schema.fields().len()) * self.chunks.capacity();
        // Of each row: the number of its series, and that of the row that it replaced.
        let rows = chunks
            + 4 * self.next_row()
            + 8 * self.replaced.capacity()
            + read(&self.rows).size_bytes();
        self.index().size_bytes() + rows + self.versions.size_bytes() + self.order.size_bytes()
    }

    /// Adds rows that are newer than all rows before. The batch needs no fields that are not loaded, and its integers may have
    /// narrower types than in the table.
    ///
    /// # Errors
    /// A column has another type than in the table, there is no time column, or there are too many rows.
    pub fn push(&mut self, batch: &RecordBatch) -> Result<(), PointsError> {
        if batch.num_rows() == 0 {
            return Ok(());
        }
        let first = self.next_row();
        if first + batch.num_rows() > MAX_ROWS {
            return Err(PointsError::TooManyRows { limit: MAX_ROWS });
        }
        let fields = self.schema.fields().iter().zip(self.is_loaded.iter());
        let columns: Arc<[_]> = fields
            .map(|(field, is_loaded)| {
                if *is_loaded {
                    conform_narrow_column(batch, field).map(Some)
                } else {
                    Ok(None)
                }
            })
            .collect::<Result<_, _>>()?;
        let times = times(batch)?.values().clone();
        let mut series = Vec::with_capacity(batch.num_rows());
        let mut index = self.index.write().unwrap_or_else(PoisonError::into_inner);
        index.resolve(batch, &mut series)?;
        drop(index);
        let rows = self.rows.write();
        rows.unwrap_or_else(PoisonError::into_inner).push(&series);
        self.chunks.push(ImageChunk {
            schema: Arc::clone(&self.schema),
            columns,
            live: None,
            min_time: times.iter().copied().min().unwrap_or(i64::MAX),
            max_time: times.iter().copied().max().unwrap_or(i64::MIN),
            first_row: u32::try_from(first).unwrap_or(u32::MAX),
            series: series.into(),
            times,
        });
        let older = self.versions.add(&self.chunks);
        if !older.is_empty() {
            self.merge_older_versions(&older)?;
        }
        let added = self.chunks.last();
        self.column_bytes += added.map_or(0, ImageChunk::size_bytes);
        self.image = None;
        Ok(())
    }

    /// Removes the existing rows for which the condition holds. Rows that are pushed later stay, and copy no values
    /// from the removed rows. The cost is proportional to the size of the chunks whose time range overlaps that of the
    /// condition. Memory is not released.
    ///
    /// # Errors
    /// The condition names a column that is not a tag of this table.
    pub fn delete(&mut self, condition: &Condition) -> Result<(), PointsError> {
        let names: BTreeSet<&str> = condition.tags().into_iter().chain([TIME_COLUMN]).collect();
        let columns: Vec<usize> =
            names.into_iter().filter_map(|name| self.schema.index_of(name).ok()).collect();
        let schema = Arc::new(self.schema.project(&columns)?);
        let bounds = condition.time_bounds();
        let mut masks = Vec::new();
        for (at, chunk) in self.chunks.iter().enumerate() {
            let meets = |(min, max): (i64, i64)| min <= chunk.max_time && chunk.min_time <= max;
            if !bounds.is_some_and(meets) {
                continue;
            }
            let rows = RecordBatch::try_new(Arc::clone(&schema), self.keys(chunk, &columns)?)?;
            let matching = condition.mask(&rows)?;
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
            let rows = gone.set_indices().filter_map(|row| chunk.row(row));
            self.versions.remove(rows);
            self.image = None;
        }
        Ok(())
    }

    /// Returns columns of a chunk. Tags need not be loaded.
    fn keys(&self, chunk: &ImageChunk, columns: &[usize]) -> Result<Vec<ArrayRef>, PointsError> {
        let index = self.index();
        let columns = columns.iter().map(|column| {
            let name = self.schema.fields().get(*column).map(|field| field.name());
            match self.tags.iter().position(|tag| Some(tag) == name) {
                Some(tag) => index.tag_column_of(tag, &chunk.series),
                None => chunk.column(*column).cloned(),
            }
        });
        columns.collect()
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
            schema: Arc::clone(&self.schema),
            is_loaded: Arc::clone(&self.is_loaded),
            is_scanned: Arc::clone(&self.is_scanned),
            index: Arc::clone(&self.index),
            rows: Arc::clone(&self.rows),
            order: Arc::clone(&self.order),
        });
        self.image = Some(Arc::clone(&image));
        image
    }
}

/// Whether the values of all these columns are loaded.
fn are_loaded(is_loaded: &[bool], columns: &[usize]) -> bool {
    let mut columns = columns.iter();
    columns.all(|column| is_loaded.get(*column).copied().unwrap_or(false))
}
