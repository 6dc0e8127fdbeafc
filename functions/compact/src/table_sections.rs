//! Encodes the rows of one table in segments as sections, one for each range of days.
//!
//! ```text
//! segments ─► tags, times ─► points, sorted and divided by days
//!          ─► a few fields at a time ─► column of each part ─► encoded column
//! ```

use std::{ops::RangeInclusive, sync::Arc};

use arrow_array::{ArrayRef, RecordBatch};
use arrow_schema::{FieldRef, SchemaRef};
use neap_catalog::Table;
use neap_points::{
    DividedPoints, FieldColumns, PointSorter, SortedPoints, TableChange, apply_deletes,
};
use neap_row_delete::RowDelete;
use neap_schema::TIME_COLUMN;
use neap_wal::Segment;

use crate::{
    CompactError,
    caches::{IntervalLayers, MaterializedCaches},
    encode::{ColumnwiseWriter, EncodeError, EncodedSection},
    split_by_days,
};

/// About the memory of the fields that are decoded at a time, in bytes, if all columns are of the same size. Each time, the
/// headers of all streams are read again.
const FIELDS_BYTES: u64 = 32 << 20;

/// The sections of a table with their days: the first and the last, in days since the Unix epoch.
type DaySections = Vec<(RangeInclusive<i32>, EncodedSection)>;

/// The rows of a table in segments.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TableRows<'a> {
    table: &'a Table,
    segments: &'a [Arc<Segment>],
    /// The memory of the rows with all columns, in bytes.
    bytes: u64,
    pub(crate) fields_bytes: u64,
}

impl<'a> TableRows<'a> {
    /// The rows of a table in segments, from the oldest to the newest, which take `bytes` bytes of memory with all
    /// columns.
    pub(crate) fn new(table: &'a Table, segments: &'a [Arc<Segment>], bytes: u64) -> Self {
        Self { table, segments, bytes, fields_bytes: FIELDS_BYTES }
    }

    /// Encodes the deduplicated rows, without deleted ones, and adds them to the contents of the caches of the table.
    /// Fails if a segment is damaged, or the rows exceed a limit of Arrow or Parquet.
    pub(crate) fn encode(
        self,
        kept: &MaterializedCaches,
        interval: &mut IntervalLayers,
    ) -> Result<DaySections, CompactError> {
        let schema = self.table.arrow_schema();
        // Deletes are applied to whole rows: their conditions are on tags and times.
        let is_whole = self.bytes <= self.fields_bytes || self.has_deletes();
        let (points, mut loaded) = if is_whole {
            self.sorted_with_fields()?
        } else {
            (self.sorted()?, None)
        };
        let ranges = split_by_days(points.times()).into_iter();
        let (days, parts): (Vec<_>, Vec<_>) =
            ranges.map(|range| (range.first_day..=range.last_day, range.rows)).unzip();
        let points = points.divide(parts);
        let mut sections = PartEncoder::new(self.table, &points, kept);
        let columns = schema.fields().len();
        let at_a_time = if is_whole {
            columns
        } else {
            self.columns_at_a_time(columns)
        };
        for group in schema.fields().chunks(at_a_time.max(1)) {
            let mut fields = match loaded.take() {
                Some(fields) => fields,
                None => self.fields(group)?,
            };
            for field in group {
                sections.add(field, points.columns(field, &mut fields)?)?;
            }
        }
        let encoded = sections.finish(&schema, kept, interval)?;
        Ok(days.into_iter().zip(encoded).collect())
    }

    fn has_deletes(&self) -> bool {
        let mut segments = self.segments.iter();
        segments.any(|segment| self.deletes(segment).next().is_some())
    }

    /// Returns the deletes of rows of the table in a segment.
    fn deletes<'s>(&self, segment: &'s Segment) -> impl Iterator<Item = &'s RowDelete> + use<'s> {
        let id = self.table.id();
        let deletes = segment.deletes().iter();
        deletes.filter(move |delete| delete.table == id)
    }

    fn columns_at_a_time(&self, columns: usize) -> usize {
        let column = self.bytes / (columns.max(1) as u64);
        usize::try_from(self.fields_bytes / column.max(1)).unwrap_or(usize::MAX)
    }

    fn sorted_with_fields(&self) -> Result<(SortedPoints, Option<FieldColumns>), CompactError> {
        let tags = self.table.tag_names();
        let mut sorter = self.sorter(&tags);
        let mut fields = FieldColumns::new(&tags);
        for rows in self.load(&|_| true)? {
            sorter.add(&rows)?;
            fields.add(rows);
        }
        Ok((sorter.sort(), Some(fields)))
    }

    fn sorter(&self, tags: &[String]) -> PointSorter {
        PointSorter::new(tags).with_on_duplicate(self.table.on_duplicate())
    }

    fn sorted(&self) -> Result<SortedPoints, CompactError> {
        let tags = self.table.tag_names();
        let mut sorter = self.sorter(&tags);
        for rows in self.load(&|name| is_key(&tags, name))? {
            sorter.add(&rows)?;
        }
        Ok(sorter.sort())
    }

    /// Decodes the fields among some columns.
    fn fields(&self, columns: &[FieldRef]) -> Result<FieldColumns, CompactError> {
        let tags = self.table.tag_names();
        let mut fields = FieldColumns::new(&tags);
        let wanted: Vec<&str> = columns
            .iter()
            .map(|column| column.name().as_str())
            .filter(|name| !is_key(&tags, name))
            .collect();
        if !wanted.is_empty() {
            for rows in self.load(&|name| wanted.contains(&name))? {
                fields.add(rows);
            }
        }
        Ok(fields)
    }

    /// Decodes some columns of the rows, without rows that a later segment deletes, with integers as they are in the segments.
    /// If there are deletes, all columns are needed.
    fn load(&self, wanted: &dyn Fn(&str) -> bool) -> Result<Vec<RecordBatch>, CompactError> {
        let mut history = Vec::new();
        for segment in self.segments {
            let rows = segment.narrow_columns(self.table.id(), wanted)?.into_iter();
            history.extend(rows.map(TableChange::Rows));
            let deletes = self.deletes(segment);
            history.extend(deletes.map(|delete| TableChange::Delete(&delete.condition)));
        }
        Ok(apply_deletes(history)?)
    }
}

/// Whether a column is a tag or the time.
fn is_key(tags: &[String], name: &str) -> bool {
    name == TIME_COLUMN || tags.iter().any(|tag| tag == name)
}

/// Encodes the columns of all parts. Keeps them only if a cache of the table needs them.
struct PartEncoder<'a> {
    table: &'a Table,
    writers: Vec<ColumnwiseWriter>,
    columns: Option<Vec<Vec<ArrayRef>>>,
}

impl<'a> PartEncoder<'a> {
    fn new(table: &'a Table, points: &DividedPoints, kept: &MaterializedCaches) -> Self {
        let tags = table.tag_names();
        let writers: Vec<_> =
            points.lengths().map(|rows| ColumnwiseWriter::new(&tags, rows)).collect();
        Self {
            table,
            columns: kept.has_any_of(table).then(|| vec![Vec::new(); writers.len()]),
            writers,
        }
    }

    /// Adds a column, with the rows of each part.
    fn add(&mut self, field: &FieldRef, of_parts: Vec<ArrayRef>) -> Result<(), CompactError> {
        for (writer, column) in self.writers.iter_mut().zip(&of_parts) {
            let added = writer.add(field, column);
            added.map_err(|error| encode_error(self.table, error))?;
        }
        let columns = self.columns.iter_mut().flatten();
        for (columns, column) in columns.zip(of_parts) {
            columns.push(column);
        }
        Ok(())
    }

    fn finish(
        self,
        schema: &SchemaRef,
        kept: &MaterializedCaches,
        interval: &mut IntervalLayers,
    ) -> Result<Vec<EncodedSection>, CompactError> {
        if let Some(columns) = self.columns {
            let parts = columns
                .into_iter()
                .map(|columns| RecordBatch::try_new(Arc::clone(schema), columns))
                .collect::<Result<Vec<_>, _>>()
                .map_err(|error| CompactError::Points(error.into()))?;
            interval.take_in(kept, self.table, parts.iter());
        }
        let finished = |writer: ColumnwiseWriter| {
            let section = writer.finish();
            section.map_err(|error| encode_error(self.table, error))
        };
        self.writers.into_iter().map(finished).collect()
    }
}

fn encode_error(table: &Table, error: EncodeError) -> CompactError {
    match error {
        EncodeError::Points(error) => CompactError::Points(error),
        EncodeError::Parquet(source) => {
            CompactError::Encode { table: table.name().to_owned(), source }
        }
    }
}
