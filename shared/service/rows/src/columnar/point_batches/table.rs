//! The points of one table.

use std::sync::Arc;

use ahash::RandomState;
use arrow_array::{ArrayRef, RecordBatch, TimestampNanosecondArray};
use arrow_schema::ArrowError;
use neap_schema::{ColumnType, TIME_COLUMN};

use super::{
    column::{COLUMN_BYTES, PointColumn, PointValue},
    column_conflict::ColumnConflict,
    tags::{FinishedTags, PointTagValue, PointTags},
};
use crate::columnar::{column_names::ColumnNames, recent_schemas::RecentSchemas};

/// The memory of a table besides its columns, in bytes.
const TABLE_BYTES: usize = 512;

/// The memory of a cell, that is a row of a column, in bytes. Most values are 64 bits, and an absent value takes as
/// much.
const CELL_BYTES: usize = 8;

/// The memory of a row besides its columns, in bytes: its time and its number.
const ROW_BYTES: usize = 16;

/// Maximum cells of a batch for each value that it has. Rows that share few columns begin another batch, because absent
/// values would take more memory than the message that leaves them out.
const MAX_CELLS_PER_VALUE: usize = 8;

/// Maximum number of rows for which a new table has room at first.
const MAX_EXPECTED_ROWS: usize = 128;

/// The cells that a batch may always have.
const MIN_CELLS: usize = 4096;

/// Points of one table. Values belong to the row that was begun last.
#[derive(Debug)]
pub struct TableBatch {
    name: String,
    /// The hash of the name.
    hash: u64,
    /// The position among all tables.
    position: usize,
    /// Rows that are complete, in batches with different columns.
    complete: Vec<RowBatch>,
    rows: RowBatch,
    names: ColumnNames,
    hasher: RandomState,
    /// The column that the next value probably belongs to.
    expected: usize,
    /// The number of columns and the number of values before the row.
    row_start: (usize, usize),
    is_row_open: bool,
    /// The tags of all tables while this one is the current one.
    pub(super) tags: PointTags,
    /// The number of the batch among those of all tables.
    batch: usize,
    /// The number of rows of all tables that were begun until this table was left.
    rows_begun: usize,
    values: usize,
    /// The memory of complete batches and of texts, in bytes.
    bytes: usize,
}

/// Rows with the same columns.
#[derive(Debug, Default)]
struct RowBatch {
    columns: Vec<PointColumn>,
    times: Vec<i64>,
    /// The number of each row in the request, from 1.
    numbers: Vec<usize>,
    /// The number of rows for which columns have room at first.
    expected_rows: usize,
}

impl RowBatch {
    fn size_bytes(&self) -> usize {
        let rows = self.times.len().max(self.expected_rows);
        let columns = self.columns.len();
        columns * (COLUMN_BYTES + rows * CELL_BYTES) + rows * ROW_BYTES
    }

    fn with_capacity(rows: usize) -> Self {
        Self {
            columns: Vec::new(),
            times: Vec::with_capacity(rows),
            numbers: Vec::with_capacity(rows),
            expected_rows: rows,
        }
    }

    fn finish(
        self,
        tags: &mut FinishedTags,
        schemas: &mut RecentSchemas,
    ) -> Result<NumberedRows, ArrowError> {
        let rows = self.times.len();
        let mut time_name = TIME_COLUMN.to_owned();
        // A column with the name of the time is refused with its rows. The time needs another name to make that happen.
        while self.columns.iter().any(|column| *column.name == time_name) {
            time_name.push('\0');
        }
        let columns: Vec<_> = self
            .columns
            .iter()
            .map(|column| (&*column.name, column.column_type()))
            .chain([(&*time_name, ColumnType::Time)])
            .collect();
        let schema = schemas.schema(&columns);
        let mut arrays: Vec<ArrayRef> = Vec::with_capacity(columns.len());
        for column in self.columns {
            arrays.push(column.finish(rows, tags)?);
        }
        arrays.push(Arc::new(TimestampNanosecondArray::from(self.times)));
        Ok(NumberedRows {
            batch: RecordBatch::try_new(schema, arrays)?,
            time_name,
            numbers: self.numbers,
        })
    }
}

/// A record batch of points.
#[derive(Debug)]
pub(super) struct NumberedRows {
    pub(super) batch: RecordBatch,
    /// The name of the column with the times.
    pub(super) time_name: String,
    pub(super) numbers: Vec<usize>,
}

impl TableBatch {
    /// Creates a table without rows. `position` orders the tables. The table has room for `expected_rows`, within limits.
    pub(super) fn new(
        name: &str,
        hasher: RandomState,
        position: usize,
        expected_rows: usize,
    ) -> Self {
        let expected_rows = expected_rows.min(MAX_EXPECTED_ROWS);
        Self {
            name: name.to_owned(),
            hash: hasher.hash_one(name),
            position,
            complete: Vec::new(),
            rows: RowBatch::with_capacity(expected_rows),
            names: ColumnNames::new(hasher.clone()),
            hasher,
            expected: 0,
            row_start: (0, 0),
            is_row_open: false,
            tags: PointTags::default(),
            batch: 0,
            rows_begun: 0,
            values: 0,
            bytes: TABLE_BYTES + name.len(),
        }
    }

    /// The name of the table.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the hash of the name.
    pub(super) fn hash(&self) -> u64 {
        self.hash
    }

    pub(super) fn position(&self) -> usize {
        self.position
    }

    /// Returns the number of rows of all tables that were begun until this table was left.
    pub(super) fn rows_begun(&self) -> usize {
        self.rows_begun
    }

    /// Makes this the current table after another one. It gets the tags of all tables, and numbers its next rows after those of
    /// the other one.
    pub(super) fn follow(&mut self, previous: &mut Self) {
        self.rows_begun = previous.rows_begun;
        self.tags = std::mem::take(&mut previous.tags);
        if self.rows.times.is_empty() {
            self.batch = self.tags.begin_batch();
        }
    }

    pub(super) fn batch_rows(&self) -> usize {
        self.rows.times.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rows.times.is_empty() && self.complete.is_empty()
    }

    /// Returns the memory of the rows, in bytes, without the tags of all tables.
    pub(super) fn size_bytes(&self) -> usize {
        self.bytes.saturating_add(self.rows.size_bytes())
    }

    /// Begins a row with a time in nanoseconds since the Unix epoch.
    #[inline]
    pub fn begin_row(&mut self, time_ns: i64) {
        let cells = self.rows.columns.len() * self.rows.times.len();
        if cells > MIN_CELLS && cells > self.values.saturating_mul(MAX_CELLS_PER_VALUE) {
            self.complete_batch();
        }
        self.rows_begun += 1;
        self.row_start = (self.rows.columns.len(), self.values);
        self.rows.times.push(time_ns);
        self.rows.numbers.push(self.rows_begun);
        self.expected = 0;
        self.is_row_open = true;
    }

    /// Removes the row that was begun last, with the columns that it added.
    pub fn discard_row(&mut self) {
        if !std::mem::replace(&mut self.is_row_open, false) {
            return;
        }
        self.rows.times.pop();
        self.rows.numbers.pop();
        let (columns, values) = self.row_start;
        for (offset, column) in self.rows.columns.drain(columns..).enumerate() {
            self.names.remove(&column.name, columns + offset);
        }
        self.values = values;
        let rows = self.rows.times.len();
        for column in &mut self.rows.columns {
            column.truncate(rows);
        }
    }

    /// Adds a tag to the row. An empty tag is absent.
    ///
    /// # Errors
    /// The value does not fit the column, see [`ColumnConflict`].
    #[inline]
    pub fn tag(&mut self, key: &str, value: &str) -> Result<(), ColumnConflict> {
        if value.is_empty() {
            return Ok(());
        }
        let expected = self.rows.columns.get(self.expected).filter(|column| *column.name == *key);
        let tag = match expected.and_then(PointColumn::tag) {
            Some(tag) => tag,
            None => self.tags.tag(key, &self.hasher),
        };
        match self.tags.value(tag, value) {
            Some(value) => self.tag_value(value),
            None => Ok(()),
        }
    }

    /// Adds a tag to the row, with a value of [`PointBatches::tag_value`](super::PointBatches::tag_value).
    ///
    /// # Errors
    /// The value does not fit the column, see [`ColumnConflict`].
    #[inline]
    pub fn tag_value(&mut self, value: PointTagValue) -> Result<(), ColumnConflict> {
        let index = match self.rows.columns.get(self.expected) {
            Some(column) if column.tag() == Some(value.tag) => self.expected,
            _ => self.find_or_add_tag(value)?,
        };
        let column = self.rows.columns.get_mut(index);
        if let Some(column) = column.filter(|column| !column.ends_with(value)) {
            let used = self.tags.use_value(value, self.batch, column.dictionary_bytes);
            let bytes = used.ok_or(ColumnConflict::ForeignTag)?;
            column.dictionary_bytes += bytes;
            self.bytes = self.bytes.saturating_add(bytes);
        }
        self.set_at(index, PointValue::Tag(value))
    }

    /// Adds a float field to the row.
    ///
    /// # Errors
    /// The value does not fit the column, see [`ColumnConflict`].
    #[inline]
    pub fn float(&mut self, key: &str, value: f64) -> Result<(), ColumnConflict> {
        self.set(key, PointValue::Float(value))
    }

    /// Adds an integer field to the row.
    ///
    /// # Errors
    /// The value does not fit the column, see [`ColumnConflict`].
    #[inline]
    pub fn integer(&mut self, key: &str, value: i64) -> Result<(), ColumnConflict> {
        self.set(key, PointValue::Integer(value))
    }

    /// Adds an unsigned integer field to the row.
    ///
    /// # Errors
    /// The value does not fit the column, see [`ColumnConflict`].
    #[inline]
    pub fn unsigned(&mut self, key: &str, value: u64) -> Result<(), ColumnConflict> {
        self.set(key, PointValue::UInteger(value))
    }

    /// Adds a string field to the row.
    ///
    /// # Errors
    /// The value does not fit the column, see [`ColumnConflict`].
    #[inline]
    pub fn string(&mut self, key: &str, value: &str) -> Result<(), ColumnConflict> {
        self.set(key, PointValue::String(value))
    }

    /// Adds a boolean field to the row.
    ///
    /// # Errors
    /// The value does not fit the column, see [`ColumnConflict`].
    #[inline]
    pub fn boolean(&mut self, key: &str, value: bool) -> Result<(), ColumnConflict> {
        self.set(key, PointValue::Boolean(value))
    }

    #[inline]
    fn set(&mut self, key: &str, value: PointValue<'_>) -> Result<(), ColumnConflict> {
        let index = match self.rows.columns.get(self.expected) {
            Some(column) if *column.name == *key => self.expected,
            _ => self.find_or_add(key, value)?,
        };
        self.set_at(index, value)
    }

    /// Adds a value to the row, in a column that exists.
    #[inline]
    fn set_at(&mut self, index: usize, value: PointValue<'_>) -> Result<(), ColumnConflict> {
        let row = self.rows.times.len().saturating_sub(1);
        let column = self.rows.columns.get_mut(index);
        let Some(column) = column.filter(|_| self.is_row_open) else {
            return Err(ColumnConflict::NoRow);
        };
        if column.len() > row {
            return Err(ColumnConflict::Repeated(column.name.to_string()));
        }
        let Some(bytes) = column.set(row, value) else {
            return Err(ColumnConflict::Type {
                column: column.name.to_string(),
                expected: column.column_type(),
                got: value.column_type(),
            });
        };
        self.expected = index + 1;
        self.values += 1;
        self.bytes = self.bytes.saturating_add(bytes);
        Ok(())
    }

    /// Returns the index of the column of a tag. Adds the column if it is new.
    #[cold]
    fn find_or_add_tag(&mut self, value: PointTagValue) -> Result<usize, ColumnConflict> {
        let name = self.tags.name(value.tag).map(Arc::clone);
        self.find_or_add(name.unwrap_or_default(), PointValue::Tag(value))
    }

    /// Returns the index of a column. Adds it for values like this one if it is new.
    #[cold]
    fn find_or_add<N: AsRef<str> + Into<Arc<str>>>(
        &mut self,
        name: N,
        value: PointValue<'_>,
    ) -> Result<usize, ColumnConflict> {
        let key = name.as_ref();
        if !self.is_row_open {
            return Err(ColumnConflict::NoRow);
        }
        if key.is_empty() {
            return Err(ColumnConflict::Unnamed);
        }
        let columns = &mut self.rows.columns;
        if let Some(index) = self.names.find(key, columns, |column| &column.name) {
            return Ok(index);
        }
        let index = columns.len();
        self.bytes = self.bytes.saturating_add(key.len());
        columns.push(PointColumn::new(name.into(), value, self.rows.expected_rows));
        self.names.add_last(columns, |column| &column.name);
        Ok(index)
    }

    /// Begins a batch with columns of its own.
    fn complete_batch(&mut self) {
        let complete = std::mem::take(&mut self.rows);
        self.bytes = self.bytes.saturating_add(complete.size_bytes());
        self.complete.push(complete);
        self.names.clear();
        self.values = 0;
        self.batch = self.tags.begin_batch();
    }

    /// Returns the rows in their order.
    pub(super) fn finish(
        self,
        tags: &mut FinishedTags,
        schemas: &mut RecentSchemas,
    ) -> Result<(String, Vec<NumberedRows>), ArrowError> {
        let batches = self
            .complete
            .into_iter()
            .chain([self.rows])
            .filter(|batch| !batch.times.is_empty())
            .map(|batch| batch.finish(tags, schemas))
            .collect::<Result<_, _>>()?;
        Ok((self.name, batches))
    }
}
