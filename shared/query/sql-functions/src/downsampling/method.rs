//! The choice of the points that remain.

use std::ops::RangeInclusive;

use super::lttb::lttb;
use super::m4::m4;
use super::series::Point;

/// Points of a bucket of M4.
const POINTS_PER_BUCKET: usize = 4;

/// Points that [`Downsampling::compaction_length`] adds, so that small results don't cause a sort for each batch.
const MIN_COMPACTED_POINTS: usize = 1_024;

/// An algorithm.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum DownsamplingKind {
    Lttb,
    M4,
}

impl DownsamplingKind {
    pub(crate) const ALL: [Self; 2] = [Self::Lttb, Self::M4];

    /// Returns the smallest allowed [`Downsampling::max_points`].
    pub(super) fn min_points(self) -> usize {
        match self {
            Self::Lttb => 2,
            Self::M4 => POINTS_PER_BUCKET,
        }
    }
}

/// An algorithm and its parameters.
#[derive(Clone, Debug)]
pub(super) struct Downsampling {
    pub(super) kind: DownsamplingKind,
    /// Maximum points of a result, at least [`DownsamplingKind::min_points`].
    pub(super) max_points: usize,
    /// The range of times that M4 divides into buckets, in nanoseconds; `None`: that of the points.
    pub(super) bounds: Option<RangeInclusive<i64>>,
}

impl Downsampling {
    /// Returns whether a point may remain.
    pub(super) fn includes(&self, point: &Point) -> bool {
        point.value.is_finite()
            && self.bounds.as_ref().is_none_or(|bounds| bounds.contains(&point.time))
    }

    /// Returns the number of points from which on they are replaced by those that may remain; `None` if all are needed until
    /// the last one is known.
    pub(super) fn compaction_length(&self) -> Option<usize> {
        let length = self.max_points.saturating_mul(2).saturating_add(MIN_COMPACTED_POINTS);
        self.bounds.as_ref().map(|_| length)
    }

    /// Returns the points that remain, in the order of their times. Sorts `points`, so that their order does not matter.
    pub(super) fn reduce(&self, points: &mut [Point]) -> Vec<Point> {
        points.sort_unstable_by(|left, right| {
            left.time.cmp(&right.time).then(left.value.total_cmp(&right.value))
        });
        let (Some(first), Some(last)) = (points.first(), points.last()) else {
            return Vec::new();
        };
        match self.kind {
            DownsamplingKind::Lttb => lttb(points, self.max_points),
            DownsamplingKind::M4 => {
                let range = first.time..=last.time;
                let bounds = self.bounds.as_ref().unwrap_or(&range);
                m4(points, self.max_points / POINTS_PER_BUCKET, bounds)
            }
        }
    }
}
