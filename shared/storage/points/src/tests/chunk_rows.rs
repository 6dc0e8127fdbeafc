//! Rows of chunks that are read in parts.

use super::{ALL_COLUMNS, Point, points, schema};
use crate::{SelectedSeries, TailImage};

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

/// Checks that parts of all chunks are read at once.
fn check_parts(image: &TailImage, selected: Option<&SelectedSeries>, all: &[Point]) {
    let chunks = image.chunks.iter();
    let parts: Vec<_> = chunks.flat_map(|chunk| chunk.parts(selected, 3)).collect();
    let read = match parts.as_slice() {
        [] => Vec::new(),
        parts => points(&image.rows_of(parts, &ALL_COLUMNS, &schema()).unwrap()),
    };
    assert_eq!(read, all);
}
