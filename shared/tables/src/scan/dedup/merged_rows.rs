//! Collects rows of several batches as one batch.

use std::{ops::Range, sync::Arc};

use arrow::{
    array::{
        Array, ArrayRef, DictionaryArray, Int32Array, MutableArrayData, RecordBatch, StringArray,
        make_array,
    },
    compute::interleave,
    datatypes::{Int32Type, SchemaRef},
};
use datafusion::common::{HashMap, Result};

use super::source_batch::SourceBatch;

/// Minimum rows of a piece on average, to copy pieces instead of single rows.
const MIN_PIECE_ROWS: usize = 8;

/// Rows of one tag set in a batch.
#[derive(Clone)]
struct Piece {
    source: usize,
    rows: Range<usize>,
}

/// An older version of a point.
struct OlderVersion {
    /// The row of the newest version in the output.
    row: usize,
    source: usize,
    source_row: usize,
}

/// Rows of an output batch.
pub(super) struct MergedRows {
    schema: SchemaRef,
    /// The indexes of the columns of tags, in the order of the series key.
    tags: Vec<usize>,
    sources: Vec<Arc<SourceBatch>>,
    /// For each input, the last of `sources` that is of it.
    of_input: Vec<Option<usize>>,
    pieces: Vec<Piece>,
    /// From the newest to the oldest for each point.
    older: Vec<OlderVersion>,
    rows: usize,
}

impl MergedRows {
    /// No rows. `keys` are the indexes of the columns of tags, and of the time as the last.
    pub(super) fn new(schema: &SchemaRef, keys: &[usize], inputs: usize) -> Self {
        let tags = keys.split_last().map_or(&[][..], |(_, tags)| tags);
        Self {
            schema: Arc::clone(schema),
            tags: tags.to_vec(),
            sources: Vec::new(),
            of_input: vec![None; inputs],
            pieces: Vec::new(),
            older: Vec::new(),
            rows: 0,
        }
    }

    /// The number of rows.
    pub(super) fn len(&self) -> usize {
        self.rows
    }

    /// Adds rows of a batch of an input, which have the same tag set.
    pub(super) fn push(&mut self, input: usize, batch: &Arc<SourceBatch>, rows: Range<usize>) {
        self.rows += rows.len();
        let source = self.source(input, batch);
        self.pieces.push(Piece { source, rows });
    }

    /// Adds the next older version of the last row.
    pub(super) fn push_older(&mut self, input: usize, batch: &Arc<SourceBatch>, row: usize) {
        let source = self.source(input, batch);
        self.older.push(OlderVersion {
            row: self.rows.saturating_sub(1),
            source,
            source_row: row,
        });
    }

    fn source(&mut self, input: usize, batch: &Arc<SourceBatch>) -> usize {
        let last = self.of_input.get_mut(input);
        let is_it = |at: &usize| {
            let source = self.sources.get(*at);
            source.is_some_and(|source| Arc::ptr_eq(source, batch))
        };
        match last {
            Some(Some(last)) if is_it(last) => *last,
            last => {
                let next = self.sources.len();
                if let Some(last) = last {
                    *last = Some(next);
                }
                self.sources.push(Arc::clone(batch));
                next
            }
        }
    }

    /// Returns the rows; `None` if there are none. None are left.
    pub(super) fn finish(&mut self) -> Result<Option<RecordBatch>> {
        if self.rows == 0 {
            return Ok(None);
        }
        let batch = self.batch()?;
        self.sources.clear();
        self.of_input.fill(None);
        self.pieces.clear();
        self.older.clear();
        self.rows = 0;
        Ok(Some(batch))
    }

    fn batch(&self) -> Result<RecordBatch> {
        let pieces = self.joined_pieces();
        if let ([piece], true) = (pieces.as_slice(), self.older.is_empty())
            && let Some(source) = self.sources.get(piece.source)
        {
            return Ok(source.rows.slice(piece.rows.start, piece.rows.len()));
        }
        let rows = pieces.iter().flat_map(|piece| {
            let rows = piece.rows.clone();
            rows.map(|row| (piece.source, row))
        });
        let rows: Vec<(usize, usize)> = rows.collect();
        let columns = (0..self.schema.fields().len()).map(|column| {
            match self.tags.iter().position(|tag| *tag == column) {
                Some(tag) => self.tag_column(tag),
                None => self.field_column(column, &pieces, &rows),
            }
        });
        let columns = columns.collect::<Result<Vec<_>>>()?;
        Ok(RecordBatch::try_new(Arc::clone(&self.schema), columns)?)
    }

    /// Returns the pieces; those that follow each other in a batch are one.
    fn joined_pieces(&self) -> Vec<Piece> {
        let mut joined: Vec<Piece> = Vec::new();
        for piece in &self.pieces {
            match joined.last_mut() {
                Some(last) if last.source == piece.source && last.rows.end == piece.rows.start => {
                    last.rows.end = piece.rows.end;
                }
                _ => joined.push(piece.clone()),
            }
        }
        joined
    }

    /// Returns the column of a tag. Its dictionary has the values of its rows, once each.
    fn tag_column(&self, tag: usize) -> Result<ArrayRef> {
        let mut values: Vec<&str> = Vec::new();
        let mut codes = HashMap::<&str, i32>::default();
        let mut keys: Vec<Option<i32>> = Vec::with_capacity(self.rows);
        let mut before: (Option<(usize, usize)>, Option<i32>) = (None, None);
        for piece in &self.pieces {
            let source = self.sources.get(piece.source);
            let value = source.and_then(|source| source.tag(tag, piece.rows.start));
            let here = value.map(|(code, _)| (piece.source, code));
            if here != before.0 {
                let code = value.map(|(_, text)| {
                    *codes.entry(text).or_insert_with(|| {
                        values.push(text);
                        i32::try_from(values.len() - 1).unwrap_or(i32::MAX)
                    })
                });
                before = (here, code);
            }
            keys.extend(std::iter::repeat_n(before.1, piece.rows.len()));
        }
        let values = Arc::new(StringArray::from_iter_values(values));
        let keys = Int32Array::from(keys);
        Ok(Arc::new(DictionaryArray::<Int32Type>::try_new(
            keys, values,
        )?))
    }

    /// Returns the column of a field or of the time. `rows` are the rows of the pieces: their batches and rows there.
    fn field_column(
        &self,
        column: usize,
        pieces: &[Piece],
        rows: &[(usize, usize)],
    ) -> Result<ArrayRef> {
        let sources = self.sources.iter().map(|one| one.rows.column(column));
        let sources: Vec<&dyn Array> = sources.map(AsRef::as_ref).collect();
        if !self.older.is_empty() && sources.iter().any(|source| source.null_count() > 0) {
            let rows = self.newest_values(&sources, rows);
            return Ok(interleave(&sources, &rows)?);
        }
        if pieces.len() * MIN_PIECE_ROWS > self.rows {
            return Ok(interleave(&sources, rows)?);
        }
        let data: Vec<_> = sources.iter().map(|source| source.to_data()).collect();
        let mut copy = MutableArrayData::new(data.iter().collect(), false, self.rows);
        for piece in pieces {
            copy.try_extend(piece.source, piece.rows.start, piece.rows.end)?;
        }
        Ok(make_array(copy.freeze()))
    }

    /// Returns for each row where its newest value of a column is.
    fn newest_values(
        &self,
        sources: &[&dyn Array],
        rows: &[(usize, usize)],
    ) -> Vec<(usize, usize)> {
        let mut rows = rows.to_vec();
        let is_null = |(source, row): (usize, usize)| {
            let source = sources.get(source);
            source.is_none_or(|source| source.is_null(row))
        };
        for older in &self.older {
            if let Some(newest) = rows.get_mut(older.row)
                && is_null(*newest)
            {
                *newest = (older.source, older.source_row);
            }
        }
        rows
    }
}
