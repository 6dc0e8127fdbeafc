//! The points of one table.

use std::sync::Arc;

use ahash::RandomState;
use arrow_array::{ArrayRef, RecordBatch, TimestampNanosecondArray};
use arrow_schema::ArrowError;
use hashbrown::HashTable;
use neap_schema::{ColumnType, TIME_COLUMN};

use super::{
    ColumnConflict,
    column::{COLUMN_BYTES, PointColumn, PointValue},
};
use crate::{recent_schemas::RecentSchemas, tag_dictionary::TagDictionary};

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
    columns_by_name: HashTable<usize>,
    hasher: RandomState,
    /// The column that the next value probably belongs to.
    expected: usize,
    /// The number of columns and the number of values before the row.
    row_start: (usize, usize),
    is_row_open: bool,
    /// Whether a row was discarded, whose texts may be in dictionaries.
    has_discarded: bool,
    /// The number of rows of all tables that were begun until this table was left.
    rows_begun: usize,
    /// The number of values of the batch.
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
        let initial = TagDictionary::initial_bytes(self.expected_rows);
        columns * (COLUMN_BYTES + initial + rows * CELL_BYTES) + rows * ROW_BYTES
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
        has_exact_dictionaries: bool,
        schemas: &mut RecentSchemas,
    ) -> Result<NumberedRows, ArrowError> {
        let rows = self.times.len();
        let mut time_name = TIME_COLUMN.to_owned();
        // A column with the name of the time is refused with its rows. The time needs another name to make that happen.
        while self.columns.iter().any(|column| column.name == time_name) {
            time_name.push('\0');
        }
        let columns = self.columns.iter();
        let columns = columns.map(|column| (column.name.as_str(), column.column_type()));
        let columns: Vec<_> = columns.chain([(&*time_name, ColumnType::Time)]).collect();
        let schema = schemas.schema(&columns);
        let mut arrays: Vec<ArrayRef> = Vec::with_capacity(columns.len());
        for column in self.columns {
            arrays.push(column.finish(rows)?);
        }
        arrays.push(Arc::new(TimestampNanosecondArray::from(self.times)));
        Ok(NumberedRows {
            batch: RecordBatch::try_new(schema, arrays)?,
            time_name,
            numbers: self.numbers,
            has_exact_dictionaries,
        })
    }
}

/// A record batch of points.
#[derive(Debug)]
pub(super) struct NumberedRows {
    pub(super) batch: RecordBatch,
    /// The name of the column with the times.
    pub(super) time_name: String,
    /// The number of each row.
    pub(super) numbers: Vec<usize>,
    /// Whether each dictionary has exactly the values of the rows.
    pub(super) has_exact_dictionaries: bool,
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
            columns_by_name: HashTable::new(),
            hasher,
            expected: 0,
            row_start: (0, 0),
            is_row_open: false,
            has_discarded: false,
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

    /// Numbers the next rows after those of another table.
    pub(super) fn continue_numbers(&mut self, previous: &Self) {
        self.rows_begun = previous.rows_begun;
    }

    /// Returns the number of rows of the batch.
    pub(super) fn batch_rows(&self) -> usize {
        self.rows.times.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rows.times.is_empty() && self.complete.is_empty()
    }

    /// Returns the memory of the rows, in bytes.
    pub fn size_bytes(&self) -> usize {
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
        self.has_discarded = true;
        self.rows.times.pop();
        self.rows.numbers.pop();
        let (columns, values) = self.row_start;
        for column in self.rows.columns.drain(columns..) {
            let hash = self.hasher.hash_one(column.name.as_str());
            let found = self
                .columns_by_name
                .find_entry(hash, |index| *index >= columns);
            if let Ok(entry) = found {
                entry.remove();
            }
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
        match value.is_empty() {
            true => Ok(()),
            false => self.set(key, PointValue::Tag(value)),
        }
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
        if !self.is_row_open {
            return Err(ColumnConflict::NoRow);
        }
        let row = self.rows.times.len().saturating_sub(1);
        let expected = self.rows.columns.get(self.expected);
        let index = match expected.is_some_and(|column| column.name == key) {
            true => self.expected,
            false => self.find_or_add(key, value.column_type())?,
        };
        let Some(column) = self.rows.columns.get_mut(index) else {
            return Err(ColumnConflict::NoRow);
        };
        if column.len() > row {
            return Err(ColumnConflict::Repeated(column.name.clone()));
        }
        let Some(bytes) = column.set(row, value) else {
            return Err(ColumnConflict::Type {
                column: column.name.clone(),
                expected: column.column_type(),
                got: value.column_type(),
            });
        };
        self.expected = index + 1;
        self.values += 1;
        self.bytes = self.bytes.saturating_add(bytes);
        Ok(())
    }

    /// Returns the index of a column. Adds it with a type if it is new.
    #[cold]
    fn find_or_add(&mut self, key: &str, column_type: ColumnType) -> Result<usize, ColumnConflict> {
        if key.is_empty() {
            return Err(ColumnConflict::Unnamed);
        }
        let columns = &mut self.rows.columns;
        let name_of = |index: usize| columns.get(index).map(|column| column.name.as_str());
        let hash = self.hasher.hash_one(key);
        let found = self
            .columns_by_name
            .find(hash, |index| name_of(*index) == Some(key));
        if let Some(index) = found {
            return Ok(*index);
        }
        let index = columns.len();
        let hasher = &self.hasher;
        let hash_of = |index: &usize| hasher.hash_one(name_of(*index).unwrap_or_default());
        self.columns_by_name.insert_unique(hash, index, hash_of);
        let (rows, hasher) = (self.rows.expected_rows, self.hasher.clone());
        columns.push(PointColumn::new(key, column_type, rows, hasher));
        self.bytes = self.bytes.saturating_add(key.len());
        Ok(index)
    }

    /// Begins a batch with columns of its own.
    fn complete_batch(&mut self) {
        let complete = std::mem::take(&mut self.rows);
        self.bytes = self.bytes.saturating_add(complete.size_bytes());
        self.complete.push(complete);
        self.columns_by_name.clear();
        self.values = 0;
    }

    /// Returns the rows in their order.
    pub(super) fn finish(
        self,
        schemas: &mut RecentSchemas,
    ) -> Result<(String, Vec<NumberedRows>), ArrowError> {
        let is_exact = !self.has_discarded;
        let batches = self.complete.into_iter().chain([self.rows]);
        let batches = batches.filter(|batch| !batch.times.is_empty());
        let batches = batches.map(|batch| batch.finish(is_exact, schemas));
        let batches = batches.collect::<Result<_, _>>()?;
        Ok((self.name, batches))
    }
}
