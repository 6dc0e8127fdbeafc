//! Collects rows of several batches as one batch.

use std::{cell::LazyCell, ops::Range, sync::Arc};

use arrow::{
    array::{
        Array, ArrayRef, MutableArrayData, RecordBatch, RecordBatchOptions,
        builder::StringDictionaryBuilder, make_array,
    },
    compute::interleave,
    datatypes::{Int32Type, SchemaRef},
};
use datafusion::common::Result;

use super::source_batch::SourceBatch;

/// Minimum rows of a slice on average, to copy slices instead of single rows.
const MIN_SLICE_ROWS: usize = 8;

/// Rows of a batch that follow each other.
#[derive(Clone)]
struct RowSlice {
    source: usize,
    rows: Range<usize>,
}

/// The location of a row: the number of its batch and of the row in it.
type SourceRow = (usize, usize);

/// Consecutive rows of the output with the same tag set.
struct TagSetRows {
    /// The location of the first row.
    first: SourceRow,
    rows: usize,
}

/// An older version of a point.
struct OlderVersion {
    /// The row of the newest version in the output.
    row: usize,
    older: SourceRow,
}

#[derive(Clone, Debug)]
pub(super) struct OutputColumns {
    pub(super) schema: SchemaRef,
    /// The index of each column in the inputs.
    pub(super) in_inputs: Arc<[usize]>,
}

/// Rows of an output batch.
pub(super) struct MergedRows {
    columns: OutputColumns,
    /// The indexes of the columns of tags, in the order of the series key.
    tags: Vec<usize>,
    sources: Vec<Arc<SourceBatch>>,
    /// For each input, the last of `sources` that is of it.
    of_input: Vec<Option<usize>>,
    /// The newest versions of points. All rows of a slice have the same tag set.
    slices: Vec<RowSlice>,
    /// The tag sets of the slices. Neighbors may be equal.
    tag_sets: Vec<TagSetRows>,
    /// Whether the next rows may have another tag set than the last ones.
    starts_tag_set: bool,
    /// From the newest to the oldest for each point.
    older: Vec<OlderVersion>,
    rows: usize,
}

impl MergedRows {
    /// No rows. `keys` are the indexes of the columns of tags, and of the time as the last.
    pub(super) fn new(columns: OutputColumns, keys: &[usize], inputs: usize) -> Self {
        let tags = keys.split_last().map_or(&[][..], |(_, tags)| tags);
        Self {
            columns,
            tags: tags.to_vec(),
            sources: Vec::new(),
            of_input: vec![None; inputs],
            slices: Vec::new(),
            tag_sets: Vec::new(),
            starts_tag_set: true,
            older: Vec::new(),
            rows: 0,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.rows
    }

    /// The next rows may have another tag set than the last ones.
    pub(super) fn start_tag_set(&mut self) {
        self.starts_tag_set = true;
    }

    /// Adds rows of a batch of an input, which have the same tag set: that of the last rows unless
    /// [`start_tag_set`](Self::start_tag_set) was called.
    pub(super) fn push(&mut self, input: usize, batch: &Arc<SourceBatch>, rows: Range<usize>) {
        self.rows += rows.len();
        let source = self.source(input, batch);
        match self.tag_sets.last_mut().filter(|_| !self.starts_tag_set) {
            Some(set) => set.rows += rows.len(),
            None => {
                self.tag_sets.push(TagSetRows { first: (source, rows.start), rows: rows.len() })
            }
        }
        self.starts_tag_set = false;
        self.slices.push(RowSlice { source, rows });
    }

    /// Adds the next older version of the last row.
    pub(super) fn push_older(&mut self, input: usize, batch: &Arc<SourceBatch>, row: usize) {
        let source = self.source(input, batch);
        self.older
            .push(OlderVersion { row: self.rows.saturating_sub(1), older: (source, row) });
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
        self.slices.clear();
        self.tag_sets.clear();
        self.older.clear();
        self.rows = 0;
        Ok(Some(batch))
    }

    /// Returns the output columns of some rows of one input batch, without a copy.
    pub(super) fn uncopied(&self, batch: &SourceBatch, rows: Range<usize>) -> Result<RecordBatch> {
        let columns = self.columns.in_inputs.iter().map(|column| {
            let column = batch.rows.column(*column);
            column.slice(rows.start, rows.len())
        });
        self.record_batch(columns.collect(), rows.len())
    }

    fn record_batch(&self, columns: Vec<ArrayRef>, rows: usize) -> Result<RecordBatch> {
        let schema = Arc::clone(&self.columns.schema);
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        let batch = RecordBatch::try_new_with_options(schema, columns, &options)?;
        Ok(batch)
    }

    fn batch(&self) -> Result<RecordBatch> {
        let slices = self.joined_slices();
        if let ([slice], true) = (slices.as_slice(), self.older.is_empty())
            && let Some(source) = self.sources.get(slice.source)
        {
            return self.uncopied(source, slice.rows.clone());
        }
        let rows = LazyCell::new(|| {
            let rows = slices.iter().flat_map(|slice| {
                let rows = slice.rows.clone();
                rows.map(|row| (slice.source, row))
            });
            rows.collect::<Vec<SourceRow>>()
        });
        let columns = self.columns.in_inputs.iter().map(|column| {
            match self.tags.iter().position(|tag| tag == column) {
                Some(tag) => self.tag_column(tag),
                None => self.field_column(*column, &slices, &rows),
            }
        });
        self.record_batch(columns.collect::<Result<_>>()?, self.rows)
    }

    /// Returns the slices; those that follow each other in a batch are one.
    fn joined_slices(&self) -> Vec<RowSlice> {
        let mut joined: Vec<RowSlice> = Vec::new();
        for slice in &self.slices {
            match joined.last_mut() {
                Some(last) if last.source == slice.source && last.rows.end == slice.rows.start => {
                    last.rows.end = slice.rows.end;
                }
                _ => joined.push(slice.clone()),
            }
        }
        joined
    }

    /// Returns the column of a tag. Its dictionary has the values of its rows, once each.
    fn tag_column(&self, tag: usize) -> Result<ArrayRef> {
        let value = |set: &TagSetRows| {
            let (source, row) = set.first;
            self.sources.get(source)?.tag(tag, row)
        };
        let mut column = StringDictionaryBuilder::<Int32Type>::new();
        let sets = &self.tag_sets;
        for alike in sets.chunk_by(|one, other| value(one) == value(other)) {
            let rows = alike.iter().map(|set| set.rows).sum();
            match alike.first().and_then(value) {
                Some(value) => _ = column.append_n(value, rows)?,
                None => column.append_nulls(rows),
            }
        }
        Ok(Arc::new(column.finish()))
    }

    /// Returns the column of a field or of the time. `rows` are the rows of the slices.
    fn field_column(
        &self,
        column: usize,
        slices: &[RowSlice],
        rows: &LazyCell<Vec<SourceRow>, impl FnOnce() -> Vec<SourceRow>>,
    ) -> Result<ArrayRef> {
        let sources: Vec<&dyn Array> = self
            .sources
            .iter()
            .map(|one| one.rows.column(column))
            .map(AsRef::as_ref)
            .collect();
        if !self.older.is_empty() && sources.iter().any(|source| source.null_count() > 0) {
            return Ok(interleave(&sources, &self.newest_values(&sources, rows))?);
        }
        if slices.len() * MIN_SLICE_ROWS > self.rows {
            return Ok(interleave(&sources, rows)?);
        }
        let data: Vec<_> = sources.iter().map(|source| source.to_data()).collect();
        let mut copy = MutableArrayData::new(data.iter().collect(), false, self.rows);
        for slice in slices {
            copy.try_extend(slice.source, slice.rows.start, slice.rows.end)?;
        }
        Ok(make_array(copy.freeze()))
    }

    /// Returns the location of the newest value of a column for each row.
    fn newest_values(&self, sources: &[&dyn Array], rows: &[SourceRow]) -> Vec<SourceRow> {
        let mut rows = rows.to_vec();
        let is_null = |(source, row): SourceRow| {
            let source = sources.get(source);
            source.is_none_or(|source| source.is_null(row))
        };
        for version in &self.older {
            if let Some(newest) = rows.get_mut(version.row)
                && is_null(*newest)
            {
                *newest = version.older;
            }
        }
        rows
    }
}
