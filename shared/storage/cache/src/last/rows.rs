//! A layer of a last value cache: the newest rows of each key, sorted.

use std::sync::Arc;

use arrow_array::{Array, ArrayRef, RecordBatch, cast::AsArray, types::TimestampNanosecondType};
use arrow_buffer::BooleanBuffer;
use arrow_schema::ArrowError;
use neap_points::PointsError;

use crate::{
    CacheError, LastCacheShape,
    codes::{TagColumn, compare_rows, is_sorted},
    definition::DefinitionChecksum,
};

/// A layer of a last value cache: the newest rows of each key, of all rows written up to a point in time. Immutable; a
/// clone shares the rows.
///
/// The rows are sorted by the key columns, then from the newest to the oldest, then by the other tags in the
/// order of the series key, a missing one first. The dictionaries of the tags are sorted.
#[derive(Clone, Debug)]
pub struct LastRows(Arc<LastRowsInner>);

#[derive(Debug)]
struct LastRowsInner {
    rows: RecordBatch,
    /// The first row of each key; `None` if each key has one row.
    firsts: Option<BooleanBuffer>,
    keys: usize,
    time_range: Option<(i64, i64)>,
    complete_from: i64,
    definition: DefinitionChecksum,
}

impl LastRows {
    /// Returns an empty layer: that of a table without rows from `complete_from` on.
    pub fn empty(shape: &LastCacheShape, complete_from: i64) -> Self {
        Self(Arc::new(LastRowsInner {
            rows: RecordBatch::new_empty(Arc::clone(shape.schema())),
            firsts: None,
            keys: 0,
            time_range: None,
            complete_from,
            definition: shape.definition(),
        }))
    }

    /// Creates a layer from rows in the shape of the cache and the order of a layer, with at most as many rows of each
    /// key as the cache keeps.
    pub(crate) fn new(
        shape: &LastCacheShape,
        rows: RecordBatch,
        complete_from: i64,
    ) -> Result<Self, CacheError> {
        check_rows(rows.num_rows())?;
        let count = rows.num_rows();
        let columns = tag_columns(&rows, shape.key_columns())?;
        let is_first = |row: usize| {
            row == 0 || columns.iter().any(|column| column.code(row) != column.code(row - 1))
        };
        let firsts = BooleanBuffer::collect_bool(count, is_first);
        let keys = firsts.count_set_bits();
        let times = times_of(&rows, shape)?;
        let range = times.iter().copied().min().zip(times.iter().copied().max());
        Ok(Self(Arc::new(LastRowsInner {
            firsts: (keys < count).then_some(firsts),
            keys,
            time_range: range,
            complete_from,
            definition: shape.definition(),
            rows,
        })))
    }

    /// Returns the same rows with columns added or removed that do not affect their order, and with another time from
    /// which they are complete.
    pub(crate) fn with(&self, rows: RecordBatch, complete_from: i64) -> Self {
        Self(Arc::new(LastRowsInner {
            rows,
            firsts: self.0.firsts.clone(),
            keys: self.0.keys,
            time_range: self.0.time_range,
            complete_from,
            definition: self.0.definition,
        }))
    }

    /// The time from which the newest rows are all known. Older rows may exist that the layer does not know.
    pub fn complete_from(&self) -> i64 {
        self.0.complete_from
    }

    /// The number of keys.
    pub fn num_keys(&self) -> usize {
        self.0.keys
    }

    /// The number of rows.
    pub fn num_rows(&self) -> usize {
        self.0.rows.num_rows()
    }

    /// The approximate memory size of the rows in bytes.
    pub fn size_bytes(&self) -> usize {
        let firsts = self.0.firsts.as_ref().map_or(0, |firsts| firsts.len() / 8);
        self.0.rows.get_array_memory_size() + firsts
    }

    /// All rows, with the columns of the shape for which they were built.
    pub fn batch(&self) -> &RecordBatch {
        &self.0.rows
    }

    /// The earliest and the latest time; `None` when there are no rows.
    pub fn time_range(&self) -> Option<(i64, i64)> {
        self.0.time_range
    }

    /// The definition with which the layer was built.
    pub(crate) fn definition(&self) -> DefinitionChecksum {
        self.0.definition
    }

    /// Whether these are valid rows of a layer: in order, with sorted dictionaries, with no more rows of a key than the
    /// cache keeps, without missing key columns, and complete from [`LastRows::complete_from`].
    pub(crate) fn is_in_order(&self, shape: &LastCacheShape) -> Result<bool, CacheError> {
        let columns = self.sort_columns(shape)?;
        let times = self.times(shape)?;
        let keys = shape.keys().len();
        let (key, others) = columns.split_at(keys);
        let have_keys = key.iter().all(|column| !column.has_nulls());
        let precedes = |row: usize, next: usize| {
            compare_rows(key, row, next)
                .then_with(|| times.get(next).cmp(&times.get(row)))
                .then_with(|| compare_rows(others, row, next))
                .is_lt()
        };
        let mut of_key = 0;
        let mut has_room = |row: usize| {
            of_key = if self.is_first(row) { 1 } else { of_key + 1 };
            of_key <= shape.count()
        };
        Ok(have_keys
            && columns.iter().all(|column| is_sorted(column.values()))
            && times.iter().all(|time| *time >= self.complete_from())
            && (1..self.num_rows()).all(|row| precedes(row - 1, row))
            && (0..self.num_rows()).all(&mut has_room))
    }

    /// Whether a row is the first of its key.
    pub(crate) fn is_first(&self, row: usize) -> bool {
        self.0.firsts.as_ref().is_none_or(|firsts| firsts.value(row))
    }

    pub(crate) fn key_columns(
        &self,
        shape: &LastCacheShape,
    ) -> Result<Vec<TagColumn<'_>>, CacheError> {
        tag_columns(&self.0.rows, shape.key_columns())
    }

    /// The columns of the key, then the other tags.
    pub(crate) fn sort_columns(
        &self,
        shape: &LastCacheShape,
    ) -> Result<Vec<TagColumn<'_>>, CacheError> {
        tag_columns(&self.0.rows, shape.sort_columns())
    }

    pub(crate) fn times(&self, shape: &LastCacheShape) -> Result<&[i64], CacheError> {
        times_of(&self.0.rows, shape)
    }

    pub(crate) fn column(&self, column: usize) -> Result<&ArrayRef, CacheError> {
        column_of(&self.0.rows, column)
    }
}

/// Checks that `u32` can number this many rows.
pub(super) fn check_rows(rows: usize) -> Result<(), CacheError> {
    let limit = u32::MAX as usize - 1;
    if rows > limit {
        return Err(PointsError::TooManyRows { limit }.into());
    }
    Ok(())
}

fn column_of(rows: &RecordBatch, column: usize) -> Result<&ArrayRef, CacheError> {
    let missing = || ArrowError::SchemaError(format!("no column {column} in a cache"));
    Ok(rows.columns().get(column).ok_or_else(missing)?)
}

fn tag_columns<'a>(
    rows: &'a RecordBatch,
    columns: &[usize],
) -> Result<Vec<TagColumn<'a>>, CacheError> {
    let columns = columns.iter().map(|column| TagColumn::from_column(column_of(rows, *column)?));
    columns.collect()
}

fn times_of<'a>(rows: &'a RecordBatch, shape: &LastCacheShape) -> Result<&'a [i64], CacheError> {
    let column = column_of(rows, shape.time_column())?;
    let times = column
        .as_primitive_opt::<TimestampNanosecondType>()
        .filter(|times| times.null_count() == 0);
    Ok(times.ok_or(PointsError::MissingTimeColumn)?.values())
}
