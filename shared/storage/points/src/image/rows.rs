//! Access to the rows of a tail by number, for indexes over a tail.
//!
//! Rows are numbered from 0 in the order of arrival and keep their numbers. A row that a newer version of its point
//! replaced is not live any more; the newer version has all of its values. Therefore an index follows a tail by the
//! live rows since its last update, and is rebuilt when rows were deleted.

use std::sync::{Arc, RwLockReadGuard};

use arrow_array::{
    Array, ArrayRef, DictionaryArray, Int32Array, RecordBatch, RecordBatchOptions, types::Int32Type,
};
use arrow_buffer::NullBuffer;
use arrow_schema::SchemaRef;
use neap_schema::narrow_integers::interleave_parts;

use super::{
    ImageChunk, TailImageBuilder, TailRow,
    lock::read,
    row_position::{RowPosition, live_rows, tail_row},
};
use crate::{PointsError, SeriesIndex, columns::null_column};

impl TailImageBuilder {
    /// The tag sets of the rows.
    pub fn index(&self) -> RwLockReadGuard<'_, SeriesIndex> {
        read(&self.index)
    }

    /// The number of the next row.
    pub fn next_row(&self) -> usize {
        self.chunks.last().map_or(0, ImageChunk::end)
    }

    /// The number of deletes that removed rows.
    pub fn removals(&self) -> u64 {
        self.removals
    }

    /// Returns the tag set and the time of a row, live or not.
    pub fn row(&self, row: u32) -> Option<TailRow> {
        tail_row(&self.chunks, row)
    }

    /// Returns the live rows from number `first` on: the newest version of each point that was not deleted.
    pub fn live_rows(&self, first: usize) -> impl Iterator<Item = TailRow> {
        live_rows(&self.chunks, first)
    }

    /// Returns the rows with these numbers in the given order, with the columns of `schema`. Columns that the tail
    /// lacks are null. The dictionaries of tags are sorted and have all values of the tail.
    ///
    /// # Errors
    /// A column has another type or was not loaded, or there is no row with one of the numbers.
    pub fn take(&self, rows: &[u32], schema: &SchemaRef) -> Result<RecordBatch, PointsError> {
        let limit = self.next_row();
        let known = |row: &u32| (*row as usize) < limit;
        let places = rows
            .iter()
            .map(|row| self.place(*row).filter(|_| known(row)))
            .collect::<Option<Vec<RowPosition>>>()
            .ok_or(PointsError::TooManyRows { limit })?;
        let sources = SourceChunks::from_positions(&places, self.chunks.len());
        let columns = schema
            .fields()
            .iter()
            .map(|field| {
                if let Some(tag) = self.tags().iter().position(|tag| tag == field.name()) {
                    return self.sorted_tag_column(tag, rows);
                }
                let Ok(column) = self.schema.index_of(field.name()) else {
                    return Ok(null_column(field.data_type(), rows.len()));
                };
                let found = self.schema.field(column).data_type();
                if found != field.data_type() {
                    return Err(PointsError::ColumnType {
                        column: field.name().clone(),
                        found: found.to_string(),
                        expected: field.data_type().to_string(),
                    });
                }
                let parts = sources.parts(&self.chunks, column)?;
                if parts.is_empty() {
                    return Ok(null_column(field.data_type(), 0));
                }
                Ok(interleave_parts(&parts, &sources.places)?)
            })
            .collect::<Result<Vec<ArrayRef>, PointsError>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(rows.len()));
        Ok(RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options)?)
    }

    fn sorted_tag_column(&self, tag: usize, rows: &[u32]) -> Result<ArrayRef, PointsError> {
        let limit = self.next_row();
        let index = self.index();
        let Some(values) = index.sorted_values(tag) else {
            return Err(PointsError::TooManyRows { limit });
        };
        let code = |row: &u32| {
            let series = self.row(*row)?.series;
            let number = index.value_numbers(series).get(tag)?;
            Some(values.code(*number))
        };
        let codes: Vec<i32> = rows.iter().map(|row| code(row).unwrap_or(-1)).collect();
        let validity = NullBuffer::from_iter(codes.iter().map(|code| *code >= 0));
        let nulls = Some(validity).filter(|nulls| nulls.null_count() > 0);
        let codes = Int32Array::try_new(codes.into(), nulls)?;
        let values: ArrayRef = Arc::<arrow_array::StringArray>::clone(values.values());
        Ok(Arc::new(DictionaryArray::<Int32Type>::try_new(codes, values)?))
    }
}

/// The chunks that contain a set of rows, so that reading a few rows of a tail of many segments accesses few of them.
pub(super) struct SourceChunks {
    pub(super) chunks: Vec<usize>,
    pub(super) places: Vec<RowPosition>,
}

impl SourceChunks {
    pub(super) fn from_positions(places: &[RowPosition], chunks: usize) -> Self {
        let mut slots = vec![usize::MAX; chunks];
        let mut used = Vec::new();
        let places = places
            .iter()
            .map(|(chunk, row)| {
                let Some(slot) = slots.get_mut(*chunk) else {
                    return (0, *row);
                };
                if *slot == usize::MAX {
                    *slot = used.len();
                    used.push(*chunk);
                }
                (*slot, *row)
            })
            .collect();
        Self { chunks: used, places }
    }

    /// Returns the values of a column of the table in these chunks. Integers may be narrow.
    pub(super) fn parts<'a>(
        &self,
        chunks: &'a [ImageChunk],
        column: usize,
    ) -> Result<Vec<&'a dyn Array>, PointsError> {
        let used = self.chunks.iter().filter_map(|chunk| chunks.get(*chunk));
        let parts = used.map(|chunk| chunk.column(column).map(AsRef::as_ref));
        parts.collect()
    }
}
