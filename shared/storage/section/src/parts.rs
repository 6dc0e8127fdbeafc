//! The parts of a section that can be read and verified separately.

use std::ops::Range;

use parquet::file::metadata::{ColumnChunkMetaData, ParquetMetaData};

/// A dictionary page, a data page or a bloom filter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ParquetPart {
    /// The bytes, relative to the start of the section.
    pub(crate) range: Range<u64>,
    /// The index of the column.
    pub(crate) column: usize,
}

/// Returns the parts of a section, in the order of their offsets. A column chunk without an offset index is one part.
pub(crate) fn parts_of(metadata: &ParquetMetaData) -> Vec<ParquetPart> {
    let mut parts = Vec::new();
    for (group, row_group) in metadata.row_groups().iter().enumerate() {
        for (column, chunk) in row_group.columns().iter().enumerate() {
            let index = metadata.offset_index().and_then(|index| index.get(group)?.get(column));
            let pages = index
                .map_or(&[][..], |index| index.page_locations().as_slice())
                .iter()
                .filter_map(|page| {
                    let start = u64::try_from(page.offset).ok()?;
                    let length = u64::try_from(page.compressed_page_size).ok()?;
                    Some(start..start.saturating_add(length))
                });
            let ranges = split_chunk(&chunk_range(chunk), pages)
                .into_iter()
                .chain(bloom_filter_range(chunk));
            parts.extend(ranges.map(|range| ParquetPart { range, column }));
        }
    }
    parts.sort_unstable_by_key(|part| part.range.start);
    parts
}

/// Returns the offset where the page index starts and the checksums end; `None` without a page index.
pub(crate) fn page_index_start(metadata: &ParquetMetaData) -> Option<u64> {
    let groups = metadata.row_groups().iter();
    let columns = groups.flat_map(|group| group.columns());
    let indexes =
        columns.flat_map(|column| [column.column_index_offset(), column.offset_index_offset()]);
    indexes.flatten().filter_map(|offset| u64::try_from(offset).ok()).min()
}

fn chunk_range(chunk: &ColumnChunkMetaData) -> Range<u64> {
    let (start, length) = chunk.byte_range();
    start..start.saturating_add(length)
}

fn bloom_filter_range(chunk: &ColumnChunkMetaData) -> Option<Range<u64>> {
    let start = u64::try_from(chunk.bloom_filter_offset()?).ok()?;
    let length = u64::try_from(chunk.bloom_filter_length()?).ok()?;
    (length > 0).then_some(start..start.saturating_add(length))
}

/// Splits a chunk into its pages and the remaining bytes before, between and after them, such as a dictionary page.
fn split_chunk(chunk: &Range<u64>, pages: impl Iterator<Item = Range<u64>>) -> Vec<Range<u64>> {
    let mut ranges = Vec::new();
    let mut end = chunk.start;
    let rest = chunk.end..chunk.end;
    for page in pages.chain([rest]) {
        let page = page.start.clamp(end, chunk.end)..page.end.clamp(end, chunk.end);
        if end < page.start {
            ranges.push(end..page.start);
        }
        if page.start < page.end {
            ranges.push(page.clone());
        }
        end = page.end;
    }
    ranges
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_cover_a_chunk_without_gaps() {
        let of = |pages: &[Range<u64>]| split_chunk(&(10..50), pages.iter().cloned());
        assert_eq!(of(&[]), std::iter::once(10..50).collect::<Vec<_>>());
        assert_eq!(of(&[10..30, 30..50]), [10..30, 30..50]);
        assert_eq!(of(&[15..30, 30..50]), [10..15, 15..30, 30..50]);
        assert_eq!(of(&[12..20, 30..40]), [10..12, 12..20, 20..30, 30..40, 40..50]);
        assert_eq!(of(&[0..20, 10..90]), [10..20, 20..50]);
    }
}
