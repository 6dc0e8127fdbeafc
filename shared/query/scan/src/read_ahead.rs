//! Reads row groups before they are asked for.
//!
//! The Parquet reader asks for one row group after the other, and each request of a store has a latency. If it reads
//! whole column chunks of consecutive row groups, the next ones are read with the same request: first one, then two,
//! then four. A query that stops early, or skips row groups, has therefore read few bytes too many.

use std::ops::Range;

use parquet::file::metadata::{ColumnChunkMetaData, ParquetMetaData, RowGroupMetaData};

/// Maximum number of row groups that are read ahead.
const MAX_ROW_GROUPS: usize = 4;

/// Maximum bytes that a reader reads ahead.
pub(crate) const MAX_READ_AHEAD_BYTES: u64 = 8 << 20;

/// The row groups that a reader has asked for.
#[derive(Clone, Debug, Default)]
pub(crate) struct ReadAhead {
    /// The part of the file, in bytes, in which the row groups of the reader begin; `None`: all of it.
    part: Option<Range<u64>>,
    /// Maximum bytes to read ahead.
    max_bytes: u64,
    /// The row group of the last request.
    last: Option<usize>,
    /// The number of row groups that the last request has read ahead.
    window: usize,
    /// The end of the row groups that were read.
    read_until: usize,
}

impl ReadAhead {
    /// Creates the state of a reader of the row groups that begin in a part of a file.
    pub(crate) fn new(part: Option<Range<u64>>, max_bytes: u64) -> Self {
        Self {
            part,
            max_bytes: max_bytes.min(MAX_READ_AHEAD_BYTES),
            ..Self::default()
        }
    }

    /// Records a request, and returns the ranges to read with it. They are ranges of the same columns in the next row
    /// groups.
    pub(crate) fn after(
        &mut self,
        metadata: &ParquetMetaData,
        ranges: &[Range<u64>],
    ) -> Vec<Range<u64>> {
        let Some((row_group, columns)) = find_chunks(metadata, ranges) else {
            *self = Self::new(self.part.take(), self.max_bytes);
            return Vec::new();
        };
        let previous = self.last.replace(row_group);
        if previous.is_none_or(|previous| previous + 1 != row_group) {
            self.window = 0;
            self.read_until = row_group + 1;
            return Vec::new();
        }
        if row_group < self.read_until {
            return Vec::new();
        }
        self.window = (self.window * 2).clamp(1, MAX_ROW_GROUPS);
        let (mut ahead, mut bytes) = (Vec::new(), 0);
        self.read_until = row_group + 1;
        let next = metadata.row_groups().iter().skip(row_group + 1);
        for group in next.take(self.window) {
            let chunks: Option<Vec<Range<u64>>> = columns
                .iter()
                .filter_map(|column| group.columns().get(*column))
                .map(chunk_range)
                .collect();
            let Some(chunks) = chunks.filter(|_| self.is_of_reader(group)) else {
                break;
            };
            bytes += chunks.iter().map(|chunk| chunk.end - chunk.start).sum::<u64>();
            if bytes > self.max_bytes {
                break;
            }
            self.read_until += 1;
            ahead.extend(chunks);
        }
        ahead
    }

    /// Returns whether the reader asks for a row group. DataFusion assigns it to the part in which its first page begins.
    fn is_of_reader(&self, group: &RowGroupMetaData) -> bool {
        let Some(part) = &self.part else { return true };
        let first = group.columns().first().and_then(chunk_range);
        first.is_some_and(|first| part.contains(&first.start))
    }
}

/// Returns the row group and the columns whose chunks are exactly these ranges.
fn find_chunks(metadata: &ParquetMetaData, ranges: &[Range<u64>]) -> Option<(usize, Vec<usize>)> {
    let first = ranges.first()?;
    let groups = metadata.row_groups();
    let is_before = |group: &RowGroupMetaData| {
        let last = group.columns().last().and_then(chunk_range);
        last.is_some_and(|last| last.end <= first.start)
    };
    let row_group = groups.partition_point(is_before);
    let chunks = groups.get(row_group)?.columns();
    let is = |chunk: &ColumnChunkMetaData, range: &Range<u64>| {
        chunk_range(chunk).is_some_and(|bytes| bytes == *range)
    };
    let column_of = |range: &Range<u64>| chunks.iter().position(|chunk| is(chunk, range));
    let columns: Option<Vec<usize>> = ranges.iter().map(column_of).collect();
    Some((row_group, columns?))
}

/// The bytes of a column chunk in the file; `None` if the footer has a negative number.
fn chunk_range(chunk: &ColumnChunkMetaData) -> Option<Range<u64>> {
    let dictionary = chunk.dictionary_page_offset();
    let start = u64::try_from(dictionary.unwrap_or_else(|| chunk.data_page_offset())).ok()?;
    let length = u64::try_from(chunk.compressed_size()).ok()?;
    Some(start..start.saturating_add(length))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Int64Array, RecordBatch};
    use parquet::{
        arrow::ArrowWriter, file::metadata::ParquetMetaDataReader,
        file::properties::WriterProperties,
    };

    use super::*;

    /// A file of two columns with this number of row groups.
    fn metadata(row_groups: usize) -> ParquetMetaData {
        let values =
            || Arc::new(Int64Array::from_iter_values(0..row_groups as i64 * 10)) as ArrayRef;
        let batch = RecordBatch::try_from_iter([("a", values()), ("b", values())]).unwrap();
        let properties = WriterProperties::builder().set_max_row_group_row_count(Some(10)).build();
        let mut file = Vec::new();
        let mut writer = ArrowWriter::try_new(&mut file, batch.schema(), Some(properties)).unwrap();
        writer.write(&batch).unwrap();
        writer.close().unwrap();
        let file = bytes::Bytes::from(file);
        ParquetMetaDataReader::new().parse_and_finish(&file).unwrap()
    }

    fn chunk(metadata: &ParquetMetaData, row_group: usize, column: usize) -> Range<u64> {
        chunk_range(metadata.row_group(row_group).column(column)).unwrap()
    }

    /// Returns the row groups that are read ahead with each of these.
    fn read_ahead(
        mut state: ReadAhead,
        metadata: &ParquetMetaData,
        order: &[usize],
    ) -> Vec<Vec<usize>> {
        let requests = order.iter().map(|row_group| {
            let ahead = state.after(metadata, &[chunk(metadata, *row_group, 1)]);
            let group_of = |range: &Range<u64>| {
                (0..metadata.num_row_groups())
                    .find(|group| chunk(metadata, *group, 1) == *range)
                    .unwrap()
            };
            ahead.iter().map(group_of).collect()
        });
        requests.collect()
    }

    #[test]
    fn consecutive_row_groups_are_read_with_fewer_requests() {
        let metadata = metadata(12);
        let all: Vec<usize> = (0..12).collect();
        let state = ReadAhead::new(None, MAX_READ_AHEAD_BYTES);
        let ahead = read_ahead(state, &metadata, &all);
        let expected: [&[usize]; 12] =
            [&[], &[2], &[], &[4, 5], &[], &[], &[7, 8, 9, 10], &[], &[], &[], &[], &[]];
        assert_eq!(ahead, expected);
    }

    #[test]
    fn nothing_is_read_ahead_if_row_groups_are_skipped() {
        let metadata = metadata(8);
        let state = ReadAhead::new(None, MAX_READ_AHEAD_BYTES);
        let ahead = read_ahead(state, &metadata, &[0, 2, 4, 7]);
        assert_eq!(ahead.concat(), [0; 0]);
    }

    #[test]
    fn the_row_groups_of_other_readers_and_those_above_the_limit_are_not_read() {
        let metadata = metadata(8);
        let part = 0..chunk(&metadata, 3, 0).start;
        let state = ReadAhead::new(Some(part), MAX_READ_AHEAD_BYTES);
        let ahead = read_ahead(state, &metadata, &[0, 1, 2]);
        assert_eq!(ahead, [vec![], vec![2], vec![]]);
        let part = 0..chunk(&metadata, 2, 0).start;
        let state = ReadAhead::new(Some(part), MAX_READ_AHEAD_BYTES);
        assert_eq!(read_ahead(state, &metadata, &[0, 1]).concat(), [0; 0]);
        let state = ReadAhead::new(None, 10);
        assert_eq!(read_ahead(state, &metadata, &[0, 1, 2, 3]).concat(), [0; 0]);
    }

    #[test]
    fn parts_of_column_chunks_are_read_alone() {
        let metadata = metadata(8);
        let mut state = ReadAhead::new(None, MAX_READ_AHEAD_BYTES);
        for row_group in 0..8 {
            let whole = chunk(&metadata, row_group, 0);
            let part = whole.start..whole.end - 1;
            let ahead = state.after(&metadata, std::slice::from_ref(&part));
            assert!(ahead.is_empty());
        }
    }
}
