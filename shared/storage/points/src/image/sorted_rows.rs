//! Reads the points of an image in the order of sections, in batches, so that memory never holds a second copy of a
//! tail.

use std::{
    collections::VecDeque,
    ops::{Range, RangeInclusive},
    sync::Arc,
};

use arrow_array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow_schema::SchemaRef;
use neap_schema::narrow_integers::interleave_parts;

use super::{
    SelectedSeries, TailImage, TailRow, lock::read, row_position::RowPosition, rows::SourceChunks,
};
use crate::{PointsError, series::NO_SERIES};

/// Iterates over points of an image in batches, in the order of a list of row numbers, which is sorted by tag set and time.
/// Each batch has its own dictionaries with the values of its rows.
#[derive(Debug)]
pub struct SortedRows {
    image: Arc<TailImage>,
    order: Arc<[u32]>,
    /// The positions in `order` of the next rows.
    next: VecDeque<Range<usize>>,
    range: RangeInclusive<i64>,
    selected: Option<SelectedSeries>,
    columns: Vec<usize>,
    schema: SchemaRef,
    batch_rows: usize,
}

impl TailImage {
    /// Returns the points of the selected series, or of all, within a time range (nanoseconds since the Unix epoch),
    /// sorted by tag set and time, with these columns of the table, in batches of `batch_rows` rows. Sorts the image
    /// unless it is sorted already or the series have few rows. CPU-bound.
    ///
    /// # Errors
    /// There is no such column. A batch is an error if a column was not loaded.
    pub fn sorted(
        self: Arc<Self>,
        range: RangeInclusive<i64>,
        selected: Option<SelectedSeries>,
        columns: &[usize],
        batch_rows: usize,
    ) -> Result<SortedRows, PointsError> {
        let few = match &selected {
            Some(selected) => self.look_up_rows(selected, std::slice::from_ref(&range)),
            None => None,
        };
        match few {
            Some(rows) => self.numbered_rows(rows.into(), columns, batch_rows),
            None => self.sorted_by_order(range, selected, columns, batch_rows),
        }
    }

    /// Does what [`Self::sorted`] does by sorting all rows, unless they are sorted already.
    pub(crate) fn sorted_by_order(
        self: Arc<Self>,
        range: RangeInclusive<i64>,
        selected: Option<SelectedSeries>,
        columns: &[usize],
        batch_rows: usize,
    ) -> Result<SortedRows, PointsError> {
        let order = Arc::clone(&self.order.of(&self.chunks, &self.index).rows);
        let times = (*range.start(), *range.end());
        let positions = match &selected {
            Some(selected) => self.positions(selected, times),
            None => None,
        };
        let all = || std::iter::once(0..order.len()).collect();
        let positions = positions.unwrap_or_else(all);
        Ok(SortedRows {
            next: positions,
            range,
            selected,
            ..self.numbered_rows(order, columns, batch_rows)?
        })
    }

    /// Returns the rows with these numbers in the given order, with these columns of the table, in batches of
    /// `batch_rows` rows.
    ///
    /// # Errors
    /// There is no such column. A batch is an error if a column was not loaded.
    pub fn numbered_rows(
        self: Arc<Self>,
        rows: Arc<[u32]>,
        columns: &[usize],
        batch_rows: usize,
    ) -> Result<SortedRows, PointsError> {
        let schema = Arc::new(self.schema.project(columns)?);
        let all = 0..rows.len();
        Ok(SortedRows {
            image: self,
            order: rows,
            next: std::iter::once(all).collect(),
            range: i64::MIN..=i64::MAX,
            selected: None,
            columns: columns.to_vec(),
            schema,
            batch_rows: batch_rows.max(1),
        })
    }
}

impl SortedRows {
    /// The columns of the batches.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// Returns the positions of the rows of the next batch.
    fn places(&mut self) -> Vec<RowPosition> {
        let rows: usize = self.next.iter().map(ExactSizeIterator::len).sum();
        let mut places = Vec::with_capacity(self.batch_rows.min(rows));
        let image = Arc::clone(&self.image);
        while places.len() < self.batch_rows
            && let Some(row) = self.next_row()
        {
            let Some(place) = image.place(row) else {
                continue;
            };
            let row = image.row_at(place);
            if row.is_some_and(|row| self.range.contains(&row.time) && self.is_selected(row)) {
                places.push(place);
            }
        }
        places
    }

    fn next_row(&mut self) -> Option<u32> {
        while let Some(range) = self.next.front_mut() {
            if let Some(position) = range.next() {
                return self.order.get(position).copied();
            }
            self.next.pop_front();
        }
        None
    }

    fn is_selected(&self, row: TailRow) -> bool {
        let selected = self.selected.as_ref();
        selected.is_none_or(|selected| selected.contains(row.series))
    }

    fn batch(&mut self) -> Result<Option<RecordBatch>, PointsError> {
        let places = self.places();
        if places.is_empty() {
            return Ok(None);
        }
        let sources = SourceChunks::from_positions(&places, self.image.chunks.len());
        let rows = places.iter().map(|place| self.image.row_at(*place));
        let series: Vec<u32> = rows.map(|row| row.map_or(NO_SERIES, |row| row.series)).collect();
        let index = read(&self.image.index);
        let columns = self
            .columns
            .iter()
            .zip(self.schema.fields())
            .map(|(column, field)| {
                if let Some(tag) = index.tag(field.name()) {
                    return index.tag_column_of(tag, &series);
                }
                let parts = sources.parts(&self.image.chunks, *column)?;
                Ok(interleave_parts(&parts, &sources.places)?)
            })
            .collect::<Result<Vec<ArrayRef>, PointsError>>()?;
        drop(index);
        let options = RecordBatchOptions::new().with_row_count(Some(places.len()));
        let schema = Arc::clone(&self.schema);
        let batch = RecordBatch::try_new_with_options(schema, columns, &options)?;
        Ok(Some(batch))
    }
}

impl Iterator for SortedRows {
    type Item = Result<RecordBatch, PointsError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.batch().transpose()
    }
}
