//! Deduplicates rows: sorts them by tag set and time and merges the versions of each point.

use std::sync::Arc;

use arrow_array::{Array, ArrayRef, RecordBatch, RecordBatchOptions, UInt32Array};
use arrow_schema::{DataType, SchemaRef};
use arrow_select::{concat::concat, take::take};

use crate::{PointsError, SeriesIndex, columns::null_column, times};

/// Maximum number of rows that are deduplicated at once.
const MAX_ROWS: usize = u32::MAX as usize;

/// Deduplicates rows of one table, given from the oldest to the newest. Returns one row for each point, sorted by tag
/// set (tag by tag in the order of `tags`, a missing tag first), then by time.
///
/// Each field keeps its newest non-null value. The result has the columns of `schema`; the rows may lack some of them.
/// A column of the rows is dropped when that of the result is made, so rows that nothing else holds are in memory about once.
///
/// # Errors
/// There are more than 2^32 - 1 rows, or a column has another type than in `schema`.
pub fn deduplicate(
    tags: &[String],
    schema: &SchemaRef,
    batches: Vec<RecordBatch>,
) -> Result<RecordBatch, PointsError> {
    let rows: usize = batches.iter().map(RecordBatch::num_rows).sum();
    if rows > MAX_ROWS {
        return Err(PointsError::TooManyRows { limit: MAX_ROWS });
    }
    let mut index = SeriesIndex::new(tags);
    let mut series = Vec::with_capacity(rows);
    let mut time = Vec::with_capacity(rows);
    let mut inputs = Vec::with_capacity(batches.len());
    for batch in batches {
        index.resolve(&batch, &mut series)?;
        time.extend_from_slice(times(&batch)?.values());
        let mut input = InputColumns::new(batch);
        // The index has them.
        for tag in tags {
            drop(input.take(tag));
        }
        inputs.push(input);
    }
    let ranks = index.ranks();
    let order = sorted(&series, &time, &ranks);
    let groups = PointRuns::of(&order);

    let newest = UInt32Array::from_iter_values(groups.newest(&order));
    let columns = schema
        .fields()
        .iter()
        .map(|field| {
            if let Some(tag) = tags.iter().position(|tag| tag == field.name()) {
                let rows = newest.values().iter();
                let of = |row: &u32| series.get(*row as usize).copied().unwrap_or(0);
                return index.tag_column(tag, rows.map(of));
            }
            let column = take_concatenated(&mut inputs, field.name(), field.data_type())?;
            let rows = groups.newest_valid(&order, column.as_ref(), &newest);
            Ok(take(column.as_ref(), &rows, None)?)
        })
        .collect::<Result<Vec<ArrayRef>, PointsError>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(newest.len()));
    Ok(RecordBatch::try_new_with_options(
        Arc::clone(schema),
        columns,
        &options,
    )?)
}

/// The columns of a batch that were not taken yet.
struct InputColumns {
    schema: SchemaRef,
    rows: usize,
    /// By the index in the schema.
    columns: Vec<Option<ArrayRef>>,
}

impl InputColumns {
    fn new(batch: RecordBatch) -> Self {
        let (schema, columns, rows) = batch.into_parts();
        Self {
            schema,
            rows,
            columns: columns.into_iter().map(Some).collect(),
        }
    }

    fn take(&mut self, name: &str) -> Option<ArrayRef> {
        let (at, _) = self.schema.column_with_name(name)?;
        self.columns.get_mut(at)?.take()
    }
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct RowSortKey {
    rank: u32,
    time: i64,
    row: u32,
}

/// Returns the rows sorted by series, time, and age.
fn sorted(series: &[u32], time: &[i64], ranks: &[u32]) -> Vec<RowSortKey> {
    let mut order: Vec<RowSortKey> = series
        .iter()
        .zip(time)
        .zip(0..)
        .map(|((series, time), row)| RowSortKey {
            rank: ranks.get(*series as usize).copied().unwrap_or(0),
            time: *time,
            row,
        })
        .collect();
    order.sort_unstable();
    order
}

/// The ends of the runs of sorted rows that are versions of one point.
struct PointRuns {
    ends: Vec<usize>,
    rows: usize,
}

impl PointRuns {
    fn of(order: &[RowSortKey]) -> Self {
        let mut ends = Vec::with_capacity(order.len());
        let mut at = 0;
        for run in order.chunk_by(|a, b| a.rank == b.rank && a.time == b.time) {
            at += run.len();
            ends.push(at);
        }
        Self {
            ends,
            rows: order.len(),
        }
    }

    /// Returns the newest row of each point.
    fn newest<'a>(&'a self, order: &'a [RowSortKey]) -> impl Iterator<Item = u32> + 'a {
        self.ends
            .iter()
            .map(|end| order.get(end - 1).map_or(0, |place| place.row))
    }

    /// Returns the newest row of each point that has a value in `column`, or the newest row of the point if none has.
    fn newest_valid(
        &self,
        order: &[RowSortKey],
        column: &dyn Array,
        newest: &UInt32Array,
    ) -> UInt32Array {
        if self.ends.len() == self.rows || column.null_count() == 0 {
            return newest.clone();
        }
        let mut start = 0;
        self.ends
            .iter()
            .zip(newest.values())
            .map(|(end, newest)| {
                let run = order.get(start..*end).unwrap_or(&[]);
                start = *end;
                let valid = run
                    .iter()
                    .rev()
                    .find(|place| column.is_valid(place.row as usize));
                valid.map_or(*newest, |place| place.row)
            })
            .collect::<Vec<_>>()
            .into()
    }
}

/// Takes one column of all rows.
fn take_concatenated(
    inputs: &mut [InputColumns],
    name: &str,
    data_type: &DataType,
) -> Result<ArrayRef, PointsError> {
    let parts = inputs
        .iter_mut()
        .map(|input| match input.take(name) {
            Some(column) if column.data_type() == data_type => Ok(column),
            Some(column) => Err(PointsError::ColumnType {
                column: name.to_owned(),
                found: column.data_type().to_string(),
                expected: data_type.to_string(),
            }),
            None => Ok(null_column(data_type, input.rows)),
        })
        .collect::<Result<Vec<_>, _>>()?;
    let parts: Vec<&dyn Array> = parts.iter().map(AsRef::as_ref).collect();
    match parts.as_slice() {
        [] => Ok(null_column(data_type, 0)),
        parts => Ok(concat(parts)?),
    }
}
