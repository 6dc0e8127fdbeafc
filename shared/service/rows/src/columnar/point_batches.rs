//! Points of any tables, collected in columns.
//!
//! Protocols whose messages name the table of each point, such as Prometheus remote write and OpenTelemetry, append
//! their points to [`PointBatches`]. A row may have any of the columns of its table. The result is [`PointRows`], which
//! are validated like lines of line protocol.
//!
//! # Performance
//!
//! Rows of a table mostly have the same columns in the same order. Therefore a column is looked up by its name only if
//! it is not the one after the column of the previous value. The tags of all tables have their values in common: a value is
//! hashed only if it is neither the one that was looked up last nor the one that was added after it.

mod column;
mod column_conflict;
mod rows;
mod table;
mod tags;
#[cfg(test)]
mod tests;

use crate::line_protocol::ParseError;
use ahash::RandomState;
use hashbrown::HashTable;

pub use column_conflict::ColumnConflict;
pub use rows::PointRows;
pub use table::TableBatch;
pub use tags::{PointTag, PointTagValue};

/// Points of any tables.
///
/// # Examples
///
/// ```
/// use neap_rows::columnar::PointBatches;
///
/// let mut points = PointBatches::new();
/// let cpu = points.table("cpu");
/// cpu.begin_row(1_700_000_000_000_000_000);
/// cpu.tag("host", "a")?;
/// cpu.float("value", 0.5)?;
/// assert_eq!(points.into_rows()?.row_count(), 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct PointBatches {
    /// The table that [`Self::table`] returned last.
    current: TableBatch,
    /// The other tables that have rows.
    others: HashTable<TableBatch>,
    /// The memory of the other tables, in bytes.
    other_bytes: usize,
    /// The number of tables that were added.
    table_count: usize,
    hasher: RandomState,
}

impl Default for PointBatches {
    fn default() -> Self {
        let hasher = RandomState::new();
        Self {
            current: TableBatch::new("", hasher.clone(), 0, 0),
            others: HashTable::new(),
            other_bytes: 0,
            table_count: 0,
            hasher,
        }
    }
}

impl PointBatches {
    /// Creates a collection without points.
    pub fn new() -> Self {
        Self::default()
    }

    /// Returns the table with a name. Adds it if it is new.
    #[inline]
    pub fn table(&mut self, name: &str) -> &mut TableBatch {
        if self.current.name() != name {
            self.change_current(name);
        }
        &mut self.current
    }

    /// Returns the tag with a name, which any table may have.
    pub fn tag(&mut self, name: &str) -> PointTag {
        self.current.tags.tag(name, &self.hasher)
    }

    /// Returns a value of a tag of these points, for [`TableBatch::tag_value`]; `None` if the text is empty, because an empty
    /// tag is absent.
    #[inline]
    pub fn tag_value(&mut self, tag: PointTag, text: &str) -> Option<PointTagValue> {
        self.current.tags.value(tag, text)
    }

    fn change_current(&mut self, name: &str) {
        let hash = self.hasher.hash_one(name);
        let found = self.others.find_entry(hash, |table| table.name() == name);
        let mut next = match found {
            Ok(entry) => {
                let table = entry.remove().0;
                self.other_bytes = self.other_bytes.saturating_sub(table.size_bytes());
                table
            }
            Err(_) => {
                self.table_count += 1;
                // Tables of a request mostly have the same number of rows.
                let expected = self.current.batch_rows();
                TableBatch::new(name, self.hasher.clone(), self.table_count, expected)
            }
        };
        next.follow(&mut self.current);
        let previous = std::mem::replace(&mut self.current, next);
        if !previous.is_empty() {
            self.other_bytes = self.other_bytes.saturating_add(previous.size_bytes());
            self.others.insert_unique(previous.hash(), previous, TableBatch::hash);
        }
    }

    /// Returns the number of rows that were begun, including discarded rows.
    pub fn row_count(&self) -> usize {
        self.current.rows_begun()
    }

    /// Returns the memory of the points, in bytes. It includes that of absent values.
    pub fn size_bytes(&self) -> usize {
        let bytes = self.current.tags.size_bytes().saturating_add(self.current.size_bytes());
        bytes.saturating_add(self.other_bytes)
    }

    /// Returns the points as the rows of a request. Rows are numbered from 1 in the order in which they were begun.
    /// Discarded rows keep their numbers.
    ///
    /// # Errors
    /// The points have 2 GiB or more, or Arrow cannot build a column.
    pub fn into_rows(mut self) -> Result<PointRows, ParseError> {
        let tags = std::mem::take(&mut self.current.tags);
        let mut tables: Vec<_> = self.others.into_iter().chain([self.current]).collect();
        tables.sort_unstable_by_key(TableBatch::position);
        PointRows::new(tables, tags)
    }
}
