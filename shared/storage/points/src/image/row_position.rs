//! The positions of rows in chunks, which are ordered by the numbers of their rows.

use super::{chunk::ImageChunk, tail_row::TailRow};

/// The position of a row: a chunk, and a row in it.
pub(super) type RowPosition = (usize, usize);

pub(super) fn place(chunks: &[ImageChunk], row: u32) -> Option<RowPosition> {
    let after = chunks.partition_point(|chunk| chunk.first_row <= row);
    let chunk = after.checked_sub(1)?;
    let first = chunks.get(chunk)?.first_row;
    Some((chunk, (row - first) as usize))
}

pub(super) fn tail_row(chunks: &[ImageChunk], row: u32) -> Option<TailRow> {
    let (chunk, at) = place(chunks, row)?;
    chunks.get(chunk)?.row(at)
}

/// Returns the live rows of chunks, from number `first` on.
pub(super) fn live_rows(chunks: &[ImageChunk], first: usize) -> impl Iterator<Item = TailRow> {
    let start = chunks.partition_point(|chunk| chunk.end() <= first);
    let chunks = chunks.get(start..).unwrap_or(&[]);
    chunks.iter().flat_map(move |chunk| {
        let skipped = first.saturating_sub(chunk.first_row as usize);
        let rows = chunk.rows().enumerate().skip(skipped);
        rows.filter(|(at, _)| chunk.is_live(*at)).map(|(_, row)| row)
    })
}
