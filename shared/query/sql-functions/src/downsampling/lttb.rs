//! Largest Triangle Three Buckets, as in Sveinn Steinarsson, *Downsampling Time Series for Visual Representation*,
//! University of Iceland, 2013.

use super::series::Point;

/// Returns at most `max_points` (2 or more) of `points`, which are in the order of their times.
///
/// The first and the last point remain. Those between them are divided into buckets of about the same number of points. Of
/// each bucket, the point remains that forms the largest triangle with the one before and the mean of the next bucket.
pub(super) fn lttb(points: &[Point], max_points: usize) -> Vec<Point> {
    debug_assert!(max_points >= 2, "both ends remain");
    let (Some(first), Some(last)) = (points.first(), points.last()) else {
        return Vec::new();
    };
    if points.len() <= max_points {
        return points.to_vec();
    }
    let (buckets, inner) = (max_points - 2, points.len() - 2);
    let edge = |bucket: usize| (1 + bucket * inner / buckets).min(points.len());
    let mut remaining = vec![*first];
    let mut previous = *first;
    for bucket in 0..buckets {
        let (start, end, next_end) = (edge(bucket), edge(bucket + 1), edge(bucket + 2));
        previous = largest_triangle(previous, &points[start..end], &points[end..next_end]);
        remaining.push(previous);
    }
    remaining.push(*last);
    remaining
}

/// Returns the first of `candidates` whose triangle with `previous` and the mean of `next` has the largest area.
fn largest_triangle(previous: Point, candidates: &[Point], next: &[Point]) -> Point {
    let elapsed = |point: &Point| point.time.abs_diff(previous.time) as f64;
    let count = next.len() as f64;
    let mean_elapsed = next.iter().map(elapsed).sum::<f64>() / count;
    let mean_rise = next.iter().map(|point| point.value).sum::<f64>() / count - previous.value;
    let mut vertex = candidates[0];
    let mut largest = -1.0;
    for candidate in candidates {
        let rise = candidate.value - previous.value;
        let area = (mean_elapsed * rise - elapsed(candidate) * mean_rise).abs();
        if area > largest {
            largest = area;
            vertex = *candidate;
        }
    }
    vertex
}
