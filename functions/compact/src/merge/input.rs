//! One input of a merge: decodes bytes to batches of rows, and drops deleted rows.
//!
//! An input requests its bytes window by window, so that at most two windows are in memory: the one being decoded, and
//! the next one being fetched.

use std::{collections::VecDeque, ops::Range, sync::Arc};

use arrow_array::{BooleanArray, RecordBatch};
use arrow_buffer::BooleanBuffer;
use arrow_schema::SchemaRef;
use arrow_select::filter::filter_record_batch;
use bytes::Bytes;
use neap_manifest::{Manifest, RecordedDelete, Section};
use neap_points::times;
use neap_row_delete::DeleteIndex;
use neap_schema::TableId;
use parquet::{
    DecodeResult,
    arrow::push_decoder::{ParquetPushDecoder, ParquetPushDecoderBuilder},
    file::metadata::{ParquetMetaData, RowGroupMetaData},
};

use super::{MergeError, key::SortKeys};

/// Maximum bytes of one request. A larger column chunk is still read by one request.
const MAX_READ_BYTES: u64 = 16 << 20;

/// The deletes of a table, which all inputs of a merge share.
#[derive(Clone, Debug)]
pub(super) struct TableDeletes {
    deletes: Vec<RecordedDelete>,
    index: Arc<DeleteIndex>,
}

impl TableDeletes {
    /// Returns the deletes that a manifest records for a table.
    pub(super) fn new(manifest: &Manifest, table: TableId) -> Self {
        let mut deletes: Vec<RecordedDelete> = manifest.deletes_of(table).cloned().collect();
        deletes.sort_by_key(|recorded| recorded.stamp);
        let conditions = deletes.iter().map(|recorded| &recorded.delete.condition);
        let index = Arc::new(conditions.collect());
        Self { deletes, index }
    }

    /// Returns the filter of a section: its deletes, and rows before `floor`.
    pub(super) fn filter(&self, section: &Section, floor: Option<i64>) -> InputRowFilter {
        let clean_upto = section.clean_upto();
        let from = self.deletes.partition_point(|recorded| recorded.stamp <= clean_upto);
        let mut later = self.deletes.iter().skip(from);
        let is_met = later.any(|recorded| recorded.applies_to(section));
        InputRowFilter {
            deleted: is_met.then(|| (Arc::clone(&self.index), from)),
            floor: floor.filter(|floor| section.min_time < *floor),
        }
    }
}

/// Rows of an input to drop.
#[derive(Clone, Debug, Default)]
pub(super) struct InputRowFilter {
    /// Drops the rows that these deletes match, from a position on.
    pub(super) deleted: Option<(Arc<DeleteIndex>, usize)>,
    /// Drops rows before this time.
    pub(super) floor: Option<i64>,
}

impl InputRowFilter {
    fn apply(&self, rows: RecordBatch) -> Result<RecordBatch, MergeError> {
        let mut kept: Option<BooleanBuffer> = None;
        if let Some(floor) = self.floor {
            let times = times(&rows)?;
            let is_kept = |row: usize| times.value(row) >= floor;
            kept = Some(BooleanBuffer::collect_bool(rows.num_rows(), is_kept));
        }
        if let Some((deletes, from)) = &self.deleted {
            let rest = !&deletes.mask(&rows, *from)?;
            kept = Some(match kept {
                Some(kept) => &kept & &rest,
                None => rest,
            });
        }
        match kept {
            Some(kept) if kept.count_set_bits() < rows.num_rows() => {
                let kept = BooleanArray::new(kept, None);
                filter_record_batch(&rows, &kept).map_err(|error| MergeError::Points(error.into()))
            }
            _ => Ok(rows),
        }
    }
}

/// Byte ranges of a section, relative to its start, that are read together: some row groups.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ReadWindow {
    /// One range for each request.
    pub(super) ranges: Vec<Range<u64>>,
}

impl ReadWindow {
    pub(super) fn size_bytes(&self) -> u64 {
        self.ranges.iter().map(|range| range.end - range.start).sum()
    }
}

/// Divides a section into windows of at least one row group, and of more while a window has at most `window_bytes`
/// bytes.
pub(super) fn windows(metadata: &ParquetMetaData, window_bytes: u64) -> VecDeque<ReadWindow> {
    let mut windows: VecDeque<ReadWindow> = VecDeque::new();
    for group in metadata.row_groups() {
        let chunks = chunks_of(group);
        let size: u64 = chunks.iter().map(|chunk| chunk.end - chunk.start).sum();
        let starts_new =
            windows.back().is_none_or(|window| window.size_bytes() + size > window_bytes);
        if starts_new {
            windows.push_back(ReadWindow { ranges: Vec::new() });
        }
        if let Some(window) = windows.back_mut() {
            for chunk in chunks {
                append(&mut window.ranges, chunk);
            }
        }
    }
    windows
}

fn chunks_of(group: &RowGroupMetaData) -> Vec<Range<u64>> {
    let columns = group.columns().iter().map(|column| {
        let (start, length) = column.byte_range();
        start..start.saturating_add(length)
    });
    let mut chunks: Vec<_> = columns.collect();
    chunks.sort_unstable_by_key(|chunk| chunk.start);
    chunks
}

fn append(ranges: &mut Vec<Range<u64>>, chunk: Range<u64>) {
    match ranges.last_mut() {
        Some(last) if chunk.start == last.end && chunk.end - last.start <= MAX_READ_BYTES => {
            last.end = chunk.end;
        }
        _ => ranges.push(chunk),
    }
}

/// A decoded batch of an input, and the number of rows taken from it.
#[derive(Debug)]
pub(super) struct CurrentBatch {
    rows: RecordBatch,
    pub(super) keys: SortKeys,
    pub(super) taken: usize,
}

impl CurrentBatch {
    /// Takes the rows from the first untaken one up to `end`.
    pub(super) fn take(&mut self, end: usize) -> RecordBatch {
        let rows = self.rows.slice(self.taken, end - self.taken);
        self.taken = end;
        rows
    }
}

/// Requirement of an input before its next row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum InputStatus {
    /// Nothing: rows are available.
    Ready,
    /// The next window.
    NeedsWindow,
    /// Nothing: the input has no more rows.
    End,
}

/// A section that is being merged.
#[derive(Debug)]
pub(super) struct MergeInput {
    name: String,
    tags: Arc<[String]>,
    decoder: ParquetPushDecoder,
    filter: InputRowFilter,
    current: Option<CurrentBatch>,
    /// Key of the last decoded row.
    last: Option<SortKeys>,
    ended: bool,
}

impl MergeInput {
    /// Creates the input for a section with this footer. `name` is for messages.
    pub(super) fn new(
        name: String,
        tags: Arc<[String]>,
        metadata: Arc<ParquetMetaData>,
        batch_rows: usize,
        filter: InputRowFilter,
    ) -> Result<Self, MergeError> {
        let decoder = ParquetPushDecoderBuilder::try_new_decoder(metadata)
            .and_then(|builder| builder.with_batch_size(batch_rows).build());
        Ok(Self {
            decoder: decoder.map_err(|error| MergeError::damaged(&name, &error))?,
            name,
            tags,
            filter,
            current: None,
            last: None,
            ended: false,
        })
    }

    /// Adds the bytes of a window.
    pub(super) fn push(&mut self, window: ReadWindow, bytes: Vec<Bytes>) -> Result<(), MergeError> {
        self.decoder.clear_all_ranges();
        self.decoder
            .push_ranges(window.ranges, bytes)
            .map_err(|error| MergeError::damaged(&self.name, &error))
    }

    /// Decodes until rows are available, and returns what is needed for that.
    pub(super) fn advance(&mut self) -> Result<InputStatus, MergeError> {
        loop {
            let unread = |current: &CurrentBatch| current.taken < current.keys.len();
            if self.current.as_ref().is_some_and(unread) {
                return Ok(InputStatus::Ready);
            }
            self.current = None;
            if self.ended {
                return Ok(InputStatus::End);
            }
            let decoded = self.decoder.try_decode();
            match decoded.map_err(|error| MergeError::damaged(&self.name, &error))? {
                DecodeResult::NeedsData(_) => return Ok(InputStatus::NeedsWindow),
                DecodeResult::Data(rows) => self.take_in(rows)?,
                DecodeResult::Finished => self.ended = true,
            }
        }
    }

    fn take_in(&mut self, rows: RecordBatch) -> Result<(), MergeError> {
        let keys = SortKeys::try_new(&self.tags, &rows)?;
        let Some(end) = keys.len().checked_sub(1) else {
            return Ok(());
        };
        // A merge of unsorted inputs would produce an unsorted section, and queries would miss rows.
        let is_after = |last: &SortKeys| last.compare(0, &keys, 0).is_lt();
        if !self.last.as_ref().is_none_or(is_after) || keys.compare(0, &keys, end).is_gt() {
            return Err(MergeError::NotSorted(self.name.clone()));
        }
        self.last = Some(SortKeys::try_new(&self.tags, &rows.slice(end, 1))?);
        let rows = self.filter.apply(rows)?;
        self.current =
            Some(CurrentBatch { keys: SortKeys::try_new(&self.tags, &rows)?, rows, taken: 0 });
        Ok(())
    }

    pub(super) fn current(&self) -> Option<&CurrentBatch> {
        self.current.as_ref()
    }

    pub(super) fn current_mut(&mut self) -> Option<&mut CurrentBatch> {
        self.current.as_mut()
    }

    /// Returns the schema of a section from its footer.
    pub(super) fn schema_of(
        name: &str,
        metadata: &Arc<ParquetMetaData>,
    ) -> Result<SchemaRef, MergeError> {
        let builder = ParquetPushDecoderBuilder::try_new_decoder(Arc::clone(metadata));
        builder
            .map(|builder| Arc::clone(builder.schema()))
            .map_err(|error| MergeError::damaged(name, &error))
    }
}
