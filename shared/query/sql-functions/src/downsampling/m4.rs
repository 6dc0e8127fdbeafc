//! M4, as in Jugel, Jerzak, Hackenbroich and Markl, *M4: A Visualization-Oriented Time Series Data Aggregation*, VLDB 2014.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;

use super::series::Point;

/// Returns the first, the last, the lowest and the highest point of each of `buckets` (1 or more) parts of `bounds` that have the
/// same duration.
///
/// The points are within `bounds`, in the order of their times. The result for the results of parts is that for all points.
pub(super) fn m4(points: &[Point], buckets: usize, bounds: &RangeInclusive<i64>) -> Vec<Point> {
    debug_assert!(buckets > 0, "points are in buckets");
    let duration = u128::from(bounds.end().abs_diff(*bounds.start())).max(1);
    let bucket_of = |point: &Point| {
        let elapsed = u128::from(point.time.abs_diff(*bounds.start()));
        // The end belongs to the last bucket.
        (elapsed * buckets as u128 / duration).min(buckets as u128 - 1)
    };
    let mut remaining = Vec::new();
    let mut rest = points;
    while let Some(first) = rest.first() {
        let bucket = bucket_of(first);
        let length = rest.partition_point(|point| bucket_of(point) <= bucket);
        let (points_of_bucket, later) = rest.split_at(length);
        remaining.extend(extremes(points_of_bucket).iter().map(|index| points_of_bucket[*index]));
        rest = later;
    }
    remaining
}

/// Returns the positions of the first, the last, the lowest and the highest of some points. Of equal values, it is the earliest one.
fn extremes(points: &[Point]) -> BTreeSet<usize> {
    let (mut lowest, mut highest) = (0, 0);
    for (index, point) in points.iter().enumerate() {
        if point.value < points[lowest].value {
            lowest = index;
        }
        if point.value > points[highest].value {
            highest = index;
        }
    }
    BTreeSet::from([0, lowest, highest, points.len() - 1])
}
