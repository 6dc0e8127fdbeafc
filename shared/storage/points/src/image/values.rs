//! The values of columns of an image: loads them, and copies values of replaced rows to the newer ones.

use std::{collections::BTreeSet, sync::Arc};

use arrow_array::{Array, ArrayRef, RecordBatch};
use arrow_buffer::BooleanBufferBuilder;
use arrow_schema::DataType;
use neap_schema::{
    OnDuplicate,
    narrow_integers::{interleave_parts, narrowed},
};

use super::{ImageChunk, TailImageBuilder, chunk::array_bytes, row_position::RowPosition};
use crate::{PointsError, columns::conform_narrow_column};

impl TailImageBuilder {
    /// Loads columns of the table: adds their values to all rows, and to those that are pushed later. `batches` has the rows
    /// in the batches in which they were pushed, with those of the columns that they had; integers may be narrow. Images from
    /// before stay as they are.
    ///
    /// # Errors
    /// The rows are not those of the tail, or a column has another type than in the table. Then the tail is not usable.
    pub fn load(&mut self, columns: &[usize], batches: &[RecordBatch]) -> Result<(), PointsError> {
        let missing: BTreeSet<usize> =
            columns.iter().copied().filter(|column| !self.has_columns(&[*column])).collect();
        let sizes = batches.iter().map(RecordBatch::num_rows).filter(|rows| *rows > 0);
        if !sizes.eq(self.chunks.iter().map(ImageChunk::num_rows)) {
            return Err(PointsError::OtherRows);
        }
        let schema = Arc::clone(&self.schema);
        let fields = || missing.iter().filter_map(|at| Some((*at, schema.fields().get(*at)?)));
        let batches = batches.iter().filter(|batch| batch.num_rows() > 0);
        for (chunk, batch) in self.chunks.iter_mut().zip(batches) {
            let values = fields().map(|(at, field)| Ok((at, conform_narrow_column(batch, field)?)));
            chunk.set_columns(values.collect::<Result<Vec<_>, PointsError>>()?);
        }
        let loaded = self
            .is_loaded
            .iter()
            .enumerate()
            .map(|(at, is_loaded)| *is_loaded || missing.contains(&at));
        self.is_loaded = loaded.collect();
        self.fill_replaced(&missing)?;
        let chunks = self.chunks.iter();
        let added = chunks.flat_map(|chunk| missing.iter().filter_map(|at| chunk.column(*at).ok()));
        self.column_bytes += added.map(array_bytes).sum::<usize>();
        self.image = None;
        Ok(())
    }

    /// Copies values of these columns into all rows that replaced others and lack them, or keep theirs.
    fn fill_replaced(&mut self, columns: &BTreeSet<usize>) -> Result<(), PointsError> {
        let replaced = std::mem::take(&mut self.replaced);
        let chunk_of = |(newer, _): &(u32, u32)| self.place(*newer).map(|place| place.0);
        let runs: Vec<_> = replaced
            .chunk_by(|one, other| chunk_of(one) == chunk_of(other))
            .filter_map(|pairs| Some((chunk_of(pairs.first()?)?, self.places(pairs))))
            .collect();
        for (chunk, places) in runs {
            self.fill_chunk(chunk, columns.iter().copied(), &places)?;
        }
        if !self.is_loaded.iter().all(|is_loaded| *is_loaded) {
            self.replaced = replaced;
        }
        Ok(())
    }

    /// Copies into each newer row the values that it lacks from its older version, or all values that its older version has,
    /// and masks the older version.
    pub(super) fn merge_older_versions(&mut self, pairs: &[(u32, u32)]) -> Result<(), PointsError> {
        let places = self.places(pairs);
        let is_loaded = Arc::clone(&self.is_loaded);
        let loaded = is_loaded.iter().enumerate().filter(|(_, is_loaded)| **is_loaded);
        let last = self.chunks.len().saturating_sub(1);
        self.fill_chunk(last, loaded.map(|(column, _)| column), &places)?;
        if is_loaded.iter().any(|is_loaded| !is_loaded) {
            self.replaced.extend_from_slice(pairs);
        }
        let mut masked: Vec<RowPosition> = places.into_iter().map(|(_, older)| older).collect();
        masked.sort_unstable();
        for run in masked.chunk_by(|a, b| a.0 == b.0) {
            let Some(chunk) = run.first().and_then(|(chunk, _)| self.chunks.get_mut(*chunk)) else {
                continue;
            };
            let mut live = BooleanBufferBuilder::new(chunk.num_rows());
            match &chunk.live {
                Some(before) => live.append_buffer(before),
                None => live.append_n(chunk.num_rows(), true),
            }
            for (_, row) in run {
                live.set_bit(*row, false);
            }
            chunk.live = Some(live.finish());
        }
        Ok(())
    }

    /// Returns the positions of rows that replaced others, and of these.
    fn places(&self, pairs: &[(u32, u32)]) -> Vec<(RowPosition, RowPosition)> {
        let places = |(newer, older): &(u32, u32)| Some((self.place(*newer)?, self.place(*older)?));
        pairs.iter().filter_map(places).collect()
    }

    /// Copies values of older versions into columns of a chunk whose rows replaced others.
    fn fill_chunk(
        &mut self,
        chunk: usize,
        columns: impl Iterator<Item = usize>,
        places: &[(RowPosition, RowPosition)],
    ) -> Result<(), PointsError> {
        let mut filled = Vec::new();
        for column in columns {
            let values = self.with_older_values(chunk, column, places)?;
            filled.extend(values.map(|values| (column, values)));
        }
        if let Some(chunk) = self.chunks.get_mut(chunk).filter(|_| !filled.is_empty()) {
            chunk.set_columns(filled);
        }
        Ok(())
    }

    /// Returns a column of a chunk with the values that come from older versions; `None` if there are none.
    fn with_older_values(
        &self,
        chunk: usize,
        column: usize,
        places: &[(RowPosition, RowPosition)],
    ) -> Result<Option<ArrayRef>, PointsError> {
        let values_of = |chunk: usize| match self.chunks.get(chunk) {
            Some(chunk) => chunk.column(column),
            None => Err(PointsError::OtherRows),
        };
        let newest = values_of(chunk)?;
        // All versions of a point have the same tags and time.
        let is_key =
            matches!(newest.data_type(), DataType::Dictionary(..) | DataType::Timestamp(..));
        let keeps_older = self.on_duplicate == OnDuplicate::Keep;
        if is_key || newest.null_count() == 0 && !keeps_older {
            return Ok(None);
        }
        let mut from: Vec<RowPosition> = (0..newest.len()).map(|row| (chunk, row)).collect();
        for ((_, row), older) in places {
            // An older version in the same chunk may have been filled by an earlier pair.
            let older = match older {
                (at, row) if *at == chunk => from.get(*row).copied().unwrap_or(*older),
                _ => *older,
            };
            let takes_older = if keeps_older {
                values_of(older.0)?.is_valid(older.1)
            } else {
                newest.is_null(*row)
            };
            if takes_older && let Some(slot) = from.get_mut(*row) {
                *slot = older;
            }
        }
        // Only the chunks with such rows: there may be thousands.
        let distinct: BTreeSet<usize> = from.iter().map(|(chunk, _)| *chunk).collect();
        let sources: Vec<usize> = distinct.into_iter().collect();
        let parts: Vec<&dyn Array> = sources
            .iter()
            .map(|chunk| values_of(*chunk).map(AsRef::as_ref))
            .collect::<Result<_, _>>()?;
        for (chunk, _) in &mut from {
            *chunk = sources.partition_point(|source| *source < *chunk);
        }
        let filled = interleave_parts(&parts, &from)?;
        Ok(Some(narrowed(&filled).unwrap_or(filled)))
    }
}
