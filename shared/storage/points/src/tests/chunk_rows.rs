//! Rows of chunks that are read in parts.

use arrow_buffer::BooleanBuffer;

use super::{ALL_COLUMNS, Point, points, schema};
use crate::{ChunkRows, SelectedSeries, TailImage};

/// Returns the points of the chunks of an image.
pub(super) fn points_of(image: &TailImage, selected: Option<&SelectedSeries>) -> Vec<Point> {
    let chunks = image.chunks.iter().flat_map(|chunk| {
        let [parts, whole] = [3, usize::MAX].map(|part_rows| {
            let parts = chunk.parts(selected, part_rows);
            let rows = parts.map(|part| image.rows_of(&[part], &ALL_COLUMNS, &schema()));
            let points = rows.flat_map(|rows| points(&rows.unwrap()));
            points.collect::<Vec<_>>()
        });
        assert_eq!(parts, whole);
        whole
    });
    let all: Vec<Point> = chunks.collect();
    check_parts(image, selected, &all);
    all
}

/// Checks that parts of all chunks are read at once, and that rows which a filter leaves out are not read.
fn check_parts(image: &TailImage, selected: Option<&SelectedSeries>, all: &[Point]) {
    let points_of = |parts: &[ChunkRows]| match parts {
        [] => Vec::new(),
        parts => points(&image.rows_of(parts, &ALL_COLUMNS, &schema()).unwrap()),
    };
    let chunks = image.chunks.iter();
    let parts: Vec<_> = chunks.flat_map(|chunk| chunk.parts(selected, 3)).collect();
    assert_eq!(points_of(&parts), all);
    for skipped in 0..3 {
        let is_read = |row: usize| row % 3 != skipped;
        let filtered = |part: ChunkRows| {
            let rows = part.count();
            part.filtered(&BooleanBuffer::collect_bool(rows, is_read))
        };
        let expected = parts.iter().flat_map(|part| {
            let rows = points_of(std::slice::from_ref(part))
                .into_iter()
                .enumerate()
                .filter(|(row, _)| is_read(*row));
            rows.map(|(_, point)| point).collect::<Vec<_>>()
        });
        let expected: Vec<Point> = expected.collect();
        let filtered: Vec<_> = parts.iter().cloned().filter_map(filtered).collect();
        let count = filtered.iter().map(ChunkRows::count).sum::<usize>();
        assert_eq!(count, expected.len());
        assert_eq!(points_of(&filtered), expected);
    }
}
