//! A part of the rows of an image.

use std::sync::Arc;

use arrow_array::{Array, ArrayRef};
use arrow_buffer::{BooleanBuffer, ScalarBuffer};
use arrow_schema::{DataType, SchemaRef};

use super::tail_row::TailRow;
use crate::PointsError;

/// About the size of an array without its values, in bytes.
const ARRAY_BYTES: usize = 200;

/// Rows of an image. Rows that were replaced or deleted are masked.
#[derive(Clone, Debug)]
pub struct ImageChunk {
    /// The columns of the table.
    pub(super) schema: SchemaRef,
    /// The values of each column of the table; `None` if they were not loaded. Integers may have a narrower type than in the
    /// table.
    pub(super) columns: Arc<[Option<ArrayRef>]>,
    /// The mask of live rows; `None` if all are live.
    pub live: Option<BooleanBuffer>,
    /// The earliest time of all rows, in nanoseconds since the Unix epoch.
    pub min_time: i64,
    /// The latest time of all rows, in nanoseconds since the Unix epoch.
    pub max_time: i64,
    /// The number of this chunk's first row in the image.
    pub(super) first_row: u32,
    /// The number of each row's series.
    pub(super) series: Arc<[u32]>,
    /// The time of each row, in nanoseconds since the Unix epoch.
    pub(super) times: ScalarBuffer<i64>,
}

impl ImageChunk {
    /// Returns the number of rows, live or not.
    pub fn num_rows(&self) -> usize {
        self.series.len()
    }

    /// Returns the number of rows that were neither replaced nor deleted.
    pub fn live_rows(&self) -> usize {
        let live = self.live.as_ref();
        live.map_or(self.num_rows(), BooleanBuffer::count_set_bits)
    }

    /// Returns the values of a column of the table. Integers may have a narrower type than in the table.
    /// Fails if there is no such column, or it was not loaded.
    pub(super) fn column(&self, at: usize) -> Result<&ArrayRef, PointsError> {
        let column = self.columns.get(at).and_then(Option::as_ref);
        column.ok_or_else(|| PointsError::NotLoaded {
            column: match self.schema.fields().get(at) {
                Some(field) => field.name().clone(),
                None => at.to_string(),
            },
        })
    }

    /// Returns the number of rows, live or not, without a value of a column of the table; `None` if it was not loaded.
    pub fn null_count(&self, at: usize) -> Option<usize> {
        self.columns.get(at)?.as_ref().map(Array::logical_null_count)
    }

    /// Returns about the size of a chunk of a table with so many columns, without the values of its rows, in bytes. Chunks of
    /// a request with one row are mostly that.
    pub(super) fn own_bytes(columns: usize) -> usize {
        size_of::<Self>() + columns * size_of::<Option<ArrayRef>>()
    }

    /// The size of the loaded columns, in bytes.
    pub(super) fn size_bytes(&self) -> usize {
        self.columns.iter().flatten().map(array_bytes).sum()
    }

    /// Whether a row was neither replaced nor deleted.
    pub(super) fn is_live(&self, row: usize) -> bool {
        self.live.as_ref().is_none_or(|live| live.value(row))
    }

    /// The number of the row after the last one.
    pub(super) fn end(&self) -> usize {
        self.first_row as usize + self.num_rows()
    }

    /// Returns a row by its position in the chunk.
    pub(super) fn row(&self, at: usize) -> Option<TailRow> {
        Some(TailRow {
            row: self.first_row.saturating_add(u32::try_from(at).ok()?),
            series: *self.series.get(at)?,
            time: *self.times.get(at)?,
        })
    }

    /// Returns all rows, live or not.
    pub(super) fn rows(&self) -> impl Iterator<Item = TailRow> {
        let rows = self.series.iter().zip(self.times.iter());
        rows.zip(self.first_row..).map(|((series, time), row)| TailRow {
            row,
            series: *series,
            time: *time,
        })
    }

    /// Replaces the values of columns of the table, or adds them, in the types in which chunks keep them.
    pub(super) fn set_columns(&mut self, values: impl IntoIterator<Item = (usize, ArrayRef)>) {
        let mut columns = self.columns.to_vec();
        for (column, values) in values {
            if let Some(slot) = columns.get_mut(column) {
                *slot = Some(values);
            }
        }
        self.columns = columns.into();
    }
}

/// Returns about the size of an array in bytes, without parts of its buffers that belong to others.
pub(super) fn array_bytes(array: &ArrayRef) -> usize {
    let arrays = match array.data_type() {
        DataType::Dictionary(..) => 2,
        _ => 1,
    };
    let values = array.to_data().get_slice_memory_size();
    arrays * ARRAY_BYTES + values.unwrap_or_else(|_| array.get_array_memory_size())
}
