//! Builds a layer from the points of a table in any order.

use std::{cmp::Ordering, sync::Arc};

use arrow_array::{Array, ArrayRef, RecordBatch, StringArray, new_empty_array};
use arrow_select::interleave::interleave;
use neap_points::{SeriesIndex, conform_to_schema, times};

use super::{
    newest_entries::{InsertOutcome, NewestEntries},
    rows::check_rows,
};
use crate::{
    CacheError, LastCacheShape, LastRows,
    codes::{MISSING, TagColumn, compacted_column, tag_array},
    row_age::not_before,
};

/// Number of bytes that may be added, besides as many as the rows took after the last clearing, until replaced rows are
/// dropped.
const SLACK_BYTES: usize = 8 << 20;

/// Builds a layer from points of a table, in any order and in any batches. Keeps the newest rows of each key.
///
/// The builder holds at most about twice the size of the newest rows and 8 MiB more, and at most a quarter more than
/// its limit and the size of a batch. While it drops replaced rows, and at the end, it also holds a copy of the newest
/// rows.
#[derive(Debug)]
pub struct LastRowsBuilder {
    shape: LastCacheShape,
    complete_from: i64,
    limit: usize,
    /// The columns with which rows are kept: all except those of the key.
    kept: Vec<usize>,
    /// The keys by number, including those with a missing tag.
    keys: SeriesIndex,
    /// The newest rows of each key.
    rings: Vec<NewestEntries<RowEntry>>,
    /// The heap memory of the rings in bytes.
    ring_bytes: usize,
    chunks: Vec<RowChunk>,
    /// The number of the next row.
    next_row: u32,
    chunk_bytes: usize,
    /// The size in bytes above which replaced rows are dropped.
    clear_at: usize,
    scratch: Vec<u32>,
}

#[derive(Clone, Copy, Debug)]
struct RowEntry {
    time: i64,
    row: u32,
}

/// Rows with consecutive numbers, without the columns of the key.
#[derive(Debug)]
struct RowChunk {
    first_row: u32,
    rows: RecordBatch,
}

impl LastRowsBuilder {
    /// Creates an empty builder, which ignores rows older than `complete_from`. `limit_bytes` is the maximum size of
    /// the newest rows of all keys.
    pub fn new(shape: &LastCacheShape, complete_from: i64, limit_bytes: usize) -> Self {
        let columns = 0..shape.schema().fields().len();
        Self {
            shape: shape.clone(),
            complete_from,
            limit: limit_bytes,
            kept: columns.filter(|column| !shape.key_columns().contains(column)).collect(),
            keys: SeriesIndex::new(shape.keys()),
            rings: Vec::new(),
            ring_bytes: 0,
            chunks: Vec::new(),
            next_row: 0,
            chunk_bytes: 0,
            clear_at: SLACK_BYTES.min(limit_bytes),
            scratch: Vec::new(),
        }
    }

    /// The approximate current memory size in bytes.
    pub fn size_bytes(&self) -> usize {
        let rings = self.rings.capacity() * size_of::<NewestEntries<RowEntry>>() + self.ring_bytes;
        self.chunk_bytes + self.keys.size_bytes() + rings
    }

    /// Adds points that were not added before. Columns are matched by name; a missing column is null. Skips rows that
    /// lack a key column.
    ///
    /// # Errors
    /// [`CacheError::TooLarge`], or the rows do not match the table.
    pub fn push(&mut self, batch: &RecordBatch) -> Result<(), CacheError> {
        let batch = not_before(batch, self.complete_from)?;
        if batch.num_rows() == 0 {
            return Ok(());
        }
        check_rows(self.next_row as usize + batch.num_rows())?;
        let rows = conform_to_schema(&batch, self.shape.schema())?;
        let mut keys = std::mem::take(&mut self.scratch);
        keys.clear();
        self.keys.resolve(&rows, &mut keys)?;
        self.rings.resize(self.keys.len(), NewestEntries::Empty);
        self.chunks
            .push(RowChunk { first_row: self.next_row, rows: rows.project(&self.kept)? });
        let candidates = self.insert_rows(&keys)?;
        let survivors = self.renumber(&keys, candidates);
        self.scratch = keys;
        self.keep(survivors)?;
        if self.size_bytes() > self.clear_at {
            self.clear()?;
        }
        Ok(())
    }

    /// Inserts the rows of the last chunk into the rings. Returns the indexes of the rows that were inserted.
    fn insert_rows(&mut self, keys: &[u32]) -> Result<Vec<u32>, CacheError> {
        let Self { shape, rings, ring_bytes, chunks, keys: index, kept, .. } = self;
        let Some(chunk) = chunks.last() else {
            return Ok(Vec::new());
        };
        let ties = EntryOrder::try_new(shape, kept, chunks)?;
        let times = times(&chunk.rows)?.values();
        let mut candidates = Vec::new();
        let mut before: Option<(u32, bool)> = None;
        for ((key, time), at) in keys.iter().zip(times).zip(0_u32..) {
            let lacks_a_tag = match before {
                Some((same, lacks)) if same == *key => lacks,
                _ => index.value_numbers(*key).contains(&0),
            };
            before = Some((*key, lacks_a_tag));
            let Some(ring) = rings.get_mut(*key as usize).filter(|_| !lacks_a_tag) else {
                continue;
            };
            let entry = RowEntry { time: *time, row: chunk.first_row + at };
            let bytes_before = ring.heap_bytes();
            let inserted = ring.insert(entry, shape.count(), |one, other| ties.compare(one, other));
            *ring_bytes += ring.heap_bytes() - bytes_before;
            if inserted != InsertOutcome::TooOld {
                candidates.push(at);
            }
        }
        Ok(candidates)
    }

    /// Returns those of the inserted rows of the last chunk that are still in a ring, and gives them the numbers that
    /// they have without the other rows.
    fn renumber(&mut self, keys: &[u32], candidates: Vec<u32>) -> Vec<u32> {
        let first_row = self.next_row;
        let mut kept = 0;
        let rings = &mut self.rings;
        let survivors = candidates.into_iter().filter(|at| {
            let key = keys.get(*at as usize).copied().unwrap_or(u32::MAX);
            let mut entries = rings
                .get_mut(key as usize)
                .map(NewestEntries::as_mut_slice)
                .unwrap_or_default()
                .iter_mut()
                .rev();
            let Some(entry) = entries.find(|entry| entry.row == first_row + at) else {
                return false;
            };
            entry.row = first_row + kept;
            kept += 1;
            true
        });
        survivors.collect()
    }

    /// Reduces the last chunk to a copy of these rows, because the chunk may be a small part of the memory that it
    /// shares.
    fn keep(&mut self, survivors: Vec<u32>) -> Result<(), CacheError> {
        let Some(mut chunk) = self.chunks.pop().filter(|_| !survivors.is_empty()) else {
            return Ok(());
        };
        let places: Vec<(usize, usize)> =
            survivors.into_iter().map(|row| (0, row as usize)).collect();
        let left = self.gather_columns(std::slice::from_ref(&chunk), &places)?;
        chunk.rows = RecordBatch::try_new(chunk.rows.schema(), left)?;
        self.next_row += u32::try_from(chunk.rows.num_rows()).unwrap_or(u32::MAX);
        self.chunk_bytes += chunk.rows.get_array_memory_size();
        self.chunks.push(chunk);
        Ok(())
    }

    /// Drops the rows that are not in a ring any more.
    pub(super) fn clear(&mut self) -> Result<(), CacheError> {
        let mut rows = Vec::new();
        for entry in self.rings.iter_mut().flat_map(NewestEntries::as_mut_slice) {
            let next = u32::try_from(rows.len()).unwrap_or(u32::MAX);
            rows.push(std::mem::replace(&mut entry.row, next));
        }
        let left = self.gather_columns(&self.chunks, &self.places(&rows))?;
        let schema = Arc::new(self.shape.schema().project(&self.kept)?);
        let rows = RecordBatch::try_new(schema, left)?;
        self.next_row = u32::try_from(rows.num_rows()).unwrap_or(u32::MAX);
        self.chunk_bytes = rows.get_array_memory_size();
        self.chunks = vec![RowChunk { first_row: 0, rows }];
        let held = self.size_bytes();
        let left =
            self.limit.checked_sub(held).ok_or(CacheError::TooLarge { limit: self.limit })?;
        // At least a quarter, so that the rows are not copied again after every few new rows.
        let room = left.max(self.chunk_bytes / 4);
        self.clear_at = held + room.min(self.chunk_bytes + SLACK_BYTES);
        Ok(())
    }

    /// Returns the layer of all added rows.
    ///
    /// # Errors
    /// [`CacheError::TooLarge`].
    pub fn finish(self) -> Result<LastRows, CacheError> {
        let ranks = self.keys.ranks();
        let mut order: Vec<u32> =
            (0..u32::try_from(self.rings.len()).unwrap_or(u32::MAX)).collect();
        order.sort_unstable_by_key(|key| ranks.get(*key as usize));
        let mut keys = Vec::with_capacity(order.len());
        let mut rows = Vec::with_capacity(order.len());
        for key in order {
            let entries = self.rings.get(key as usize).map_or(&[][..], NewestEntries::as_slice);
            keys.extend(entries.iter().map(|_| key));
            rows.extend(entries.iter().rev().map(|entry| entry.row));
        }
        let mut kept = self.gather_columns(&self.chunks, &self.places(&rows))?.into_iter();
        let columns = (0..self.shape.schema().fields().len()).map(|column| {
            let key = self.shape.key_columns().iter().position(|key| *key == column);
            match key {
                Some(key) => self.key_column(key, &keys).map(Some),
                None => Ok(kept.next()),
            }
        });
        let columns =
            columns.collect::<Result<Vec<_>, CacheError>>()?.into_iter().flatten().collect();
        let sorted = RecordBatch::try_new(Arc::clone(self.shape.schema()), columns)?;
        let layer = LastRows::new(&self.shape, sorted, self.complete_from)?;
        if layer.size_bytes() > self.limit {
            return Err(CacheError::TooLarge { limit: self.limit });
        }
        Ok(layer)
    }

    /// Builds a key column for rows with these keys.
    fn key_column(&self, key: usize, keys: &[u32]) -> Result<ArrayRef, CacheError> {
        let Some(sorted) = self.keys.sorted_values(key) else {
            let column = self.shape.keys().get(key).cloned().unwrap_or_default();
            return Err(CacheError::NotAKey { column });
        };
        let code = |number: &u32| {
            let numbers = self.keys.value_numbers(*number);
            numbers.get(key).map_or(MISSING, |number| sorted.code(*number))
        };
        compacted_column(keys.iter().map(code).collect(), sorted.values())
    }

    fn places(&self, rows: &[u32]) -> Vec<(usize, usize)> {
        let chunks = &self.chunks;
        rows.iter().filter_map(|row| place(chunks, *row)).collect()
    }

    /// Builds the kept columns of rows, by their chunks and indexes. The dictionaries are sorted.
    fn gather_columns(
        &self,
        chunks: &[RowChunk],
        places: &[(usize, usize)],
    ) -> Result<Vec<ArrayRef>, CacheError> {
        let columns = self.kept.iter().enumerate().map(|(at, column)| {
            let parts: Vec<&ArrayRef> = chunks.iter().map(|chunk| chunk.rows.column(at)).collect();
            if self.shape.sort_columns().contains(column) {
                return sorted_tag(&parts, places);
            }
            if parts.is_empty() {
                let data_type = self.shape.schema().field(*column).data_type();
                return Ok(new_empty_array(data_type));
            }
            let parts: Vec<&dyn Array> = parts.into_iter().map(AsRef::as_ref).collect();
            Ok(interleave(&parts, places)?)
        });
        columns.collect()
    }
}

/// Returns the chunk of a row, and the row's index in it.
fn place(chunks: &[RowChunk], row: u32) -> Option<(usize, usize)> {
    let after = chunks.partition_point(|chunk| chunk.first_row <= row);
    let chunk = after.checked_sub(1)?;
    Some((chunk, (row - chunks.get(chunk)?.first_row) as usize))
}

/// Builds a tag column from chunks whose dictionaries differ and are in any order.
fn sorted_tag(parts: &[&ArrayRef], places: &[(usize, usize)]) -> Result<ArrayRef, CacheError> {
    let columns = parts
        .iter()
        .map(|part| TagColumn::from_column(part))
        .collect::<Result<Vec<_>, _>>()?;
    // First reduce each part to the values that its rows use, because most values may be unused.
    let mut rows: Vec<Vec<usize>> = vec![Vec::new(); columns.len()];
    for (part, row) in places {
        if let Some(rows) = rows.get_mut(*part) {
            rows.push(*row);
        }
    }
    let selected = columns.iter().zip(rows).map(|(column, rows)| column.selected(rows.into_iter()));
    let (codes, values): (Vec<_>, Vec<_>) =
        selected.collect::<Result<Vec<_>, CacheError>>()?.into_iter().unzip();
    let (places_of_values, values) = sorted_values(&values);
    let mut next = vec![0; codes.len()];
    let mut code = |(part, _): &(usize, usize)| {
        let next = next.get_mut(*part)?;
        let own = usize::try_from(*codes.get(*part)?.get(*next)?);
        *next += 1;
        places_of_values.get(*part)?.get(own.ok()?).copied()
    };
    let codes = places.iter().map(|place| code(place).unwrap_or(MISSING));
    tag_array(codes.collect(), values)
}

/// Merges several dictionaries into a sorted one. Returns the code of each of their values in it, and the dictionary.
fn sorted_values(parts: &[StringArray]) -> (Vec<Vec<i32>>, StringArray) {
    let mut texts: Vec<(&str, usize, usize)> = Vec::new();
    for (part, values) in parts.iter().enumerate() {
        let values = values.iter().enumerate();
        texts.extend(values.filter_map(|(code, text)| Some((text?, part, code))));
    }
    // The parts may be sorted already: a stable sort merges them.
    texts.sort_by_key(|(text, ..)| *text);
    let mut codes: Vec<Vec<i32>> = parts.iter().map(|part| vec![MISSING; part.len()]).collect();
    let mut values = Vec::new();
    for same in texts.chunk_by(|one, other| one.0 == other.0) {
        let code = i32::try_from(values.len()).unwrap_or(i32::MAX);
        values.extend(same.first().map(|(text, ..)| *text));
        for (_, part, value) in same {
            if let Some(slot) = codes.get_mut(*part).and_then(|codes| codes.get_mut(*value)) {
                *slot = code;
            }
        }
    }
    (codes, StringArray::from(values))
}

/// The order of rows of one key, from the oldest to the newest, including rows with the same time.
struct EntryOrder<'a> {
    chunks: &'a [RowChunk],
    /// By chunk: the tags that are not in the key, in the order of the series key.
    tags: Vec<Vec<TagColumn<'a>>>,
}

impl<'a> EntryOrder<'a> {
    fn try_new(
        shape: &LastCacheShape,
        kept: &[usize],
        chunks: &'a [RowChunk],
    ) -> Result<Self, CacheError> {
        let others: Vec<usize> = shape
            .sort_columns()
            .iter()
            .skip(shape.keys().len())
            .filter_map(|column| kept.iter().position(|kept| kept == column))
            .collect();
        // If all tags are in the key, no two points have the same key and time.
        let chunks_with_ties = if others.is_empty() { &[] } else { chunks };
        let of_chunk = |chunk: &'a RowChunk| {
            let columns =
                others.iter().map(|column| TagColumn::from_column(chunk.rows.column(*column)));
            columns.collect::<Result<Vec<_>, _>>()
        };
        Ok(Self {
            chunks,
            tags: chunks_with_ties.iter().map(of_chunk).collect::<Result<_, _>>()?,
        })
    }

    fn compare(&self, one: &RowEntry, other: &RowEntry) -> Ordering {
        one.time.cmp(&other.time).then_with(|| self.compare_tags(one.row, other.row))
    }

    /// Of rows with the same time, the one that sorts first by its tags counts as the newest.
    fn compare_tags(&self, one: u32, other: u32) -> Ordering {
        let (Some((chunk, row)), Some((other_chunk, other_row))) =
            (place(self.chunks, one), place(self.chunks, other))
        else {
            return one.cmp(&other);
        };
        let (Some(tags), Some(others)) = (self.tags.get(chunk), self.tags.get(other_chunk)) else {
            return one.cmp(&other);
        };
        tags.iter()
            .zip(others)
            .map(|(tag, other)| other.text(other_row).cmp(&tag.text(row)))
            .find(|order| order.is_ne())
            .unwrap_or(Ordering::Equal)
    }
}
