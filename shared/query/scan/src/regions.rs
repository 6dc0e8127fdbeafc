//! Divides the time axis into parts that one source covers and parts that several sources cover.
//!
//! ```text
//!   section 1   |-----------------|
//!   section 2                  |--------------|
//!   tail                                   |-------|
//!                direct: 1     merge  2    merge tail
//!                              1,2         2,tail
//! ```
//!
//! Versions of a point have the same time, so rows are compared only where sources overlap. All other parts are scanned
//! without a merge, in parallel.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

/// A range of time in nanoseconds since the Unix epoch, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct TimeInterval {
    /// The first nanosecond.
    pub(crate) min: i64,
    /// The last nanosecond.
    pub(crate) max: i64,
}

impl TimeInterval {
    /// All times.
    pub(crate) const ALL: Self = Self { min: i64::MIN, max: i64::MAX };

    /// Returns the common part of two ranges; `None` if they are disjoint.
    pub(crate) fn intersection(self, other: Self) -> Option<Self> {
        let (min, max) = (self.min.max(other.min), self.max.min(other.max));
        (min <= max).then_some(Self { min, max })
    }

    /// Returns the range from the start of the first one to the end of the last one.
    pub(crate) fn enclosing(self, other: Self) -> Self {
        Self { min: self.min.min(other.min), max: self.max.max(other.max) }
    }

    /// Whether all of `other` is in this range.
    pub(crate) fn contains(self, other: Self) -> bool {
        self.min <= other.min && other.max <= self.max
    }
}

/// A time range that several sources cover.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TimeOverlap {
    pub(crate) range: TimeInterval,
    /// The indexes of the sources that overlap with the range, ascending unless the plan of the scan reverses them.
    pub(crate) sources: Vec<usize>,
}

/// The division of the time axis among sources.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct TimeRegions {
    /// For each source the ranges that it alone covers. May be empty.
    pub(crate) direct: Vec<Vec<TimeInterval>>,
    /// The ranges that several sources cover. Adjacent ranges are joined.
    pub(crate) overlaps: Vec<TimeOverlap>,
}

impl TimeRegions {
    /// Puts all rows of `sources` into one merge, which outputs them in the order of their series.
    pub(crate) fn merged(sources: &[TimeInterval]) -> Self {
        let range = sources.iter().copied().reduce(TimeInterval::enclosing);
        Self {
            direct: vec![Vec::new(); sources.len()],
            overlaps: range
                .map(|range| TimeOverlap { range, sources: (0..sources.len()).collect() })
                .into_iter()
                .collect(),
        }
    }

    /// Divides the time axis among `sources`.
    pub(crate) fn from_sources(sources: &[TimeInterval]) -> Self {
        let mut regions = Self {
            direct: vec![Vec::new(); sources.len()],
            overlaps: Vec::new(),
        };
        // i128, because the end of a range is its last nanosecond plus 1.
        let mut events: Vec<(i128, bool, usize)> = Vec::with_capacity(2 * sources.len());
        for (source, range) in sources.iter().enumerate() {
            events.push((i128::from(range.min), true, source));
            events.push((i128::from(range.max) + 1, false, source));
        }
        events.sort_unstable();
        let mut open = BTreeSet::new();
        let mut from = i128::MIN;
        for run in events.chunk_by(|a, b| a.0 == b.0) {
            let Some((at, ..)) = run.first() else {
                continue;
            };
            regions.add(from, *at - 1, &open);
            for (_, starts, source) in run {
                if *starts {
                    open.insert(*source);
                } else {
                    open.remove(source);
                }
            }
            from = *at;
        }
        regions
    }

    fn add(&mut self, min: i128, max: i128, open: &BTreeSet<usize>) {
        let (Ok(min), Ok(max)) = (i64::try_from(min), i64::try_from(max)) else {
            return;
        };
        let range = TimeInterval { min, max };
        let mut sources = open.iter().copied();
        match (sources.next(), sources.next()) {
            (None, _) => {}
            (Some(only), None) => {
                if let Some(direct) = self.direct.get_mut(only) {
                    direct.push(range);
                }
            }
            (Some(_), Some(_)) => match self.overlaps.last_mut() {
                Some(last) if last.range.max.checked_add(1) == Some(min) => {
                    last.range.max = max;
                    let all: BTreeSet<usize> =
                        last.sources.iter().chain(open.iter()).copied().collect();
                    last.sources = all.into_iter().collect();
                }
                _ => {
                    self.overlaps
                        .push(TimeOverlap { range, sources: open.iter().copied().collect() });
                }
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn range(min: i64, max: i64) -> TimeInterval {
        TimeInterval { min, max }
    }

    #[test]
    fn only_overlapping_ranges_are_merged() {
        let regions = TimeRegions::from_sources(&[range(0, 100), range(95, 200), range(300, 400)]);
        assert_eq!(
            regions.direct,
            vec![vec![range(0, 94)], vec![range(101, 200)], vec![range(300, 400)]]
        );
        assert_eq!(
            regions.overlaps,
            vec![TimeOverlap { range: range(95, 100), sources: vec![0, 1] }]
        );
    }

    #[test]
    fn neighbouring_overlaps_are_one() {
        let regions = TimeRegions::from_sources(&[range(0, 100), range(50, 60), range(55, 58)]);
        assert_eq!(regions.direct, vec![vec![range(0, 49), range(61, 100)], vec![], vec![]]);
        assert_eq!(
            regions.overlaps,
            vec![TimeOverlap { range: range(50, 60), sources: vec![0, 1, 2] }]
        );
    }

    #[test]
    fn the_ends_of_time_are_covered() {
        let regions = TimeRegions::from_sources(&[TimeInterval::ALL, range(i64::MAX, i64::MAX)]);
        assert_eq!(regions.direct[0], vec![range(i64::MIN, i64::MAX - 1)]);
        assert_eq!(regions.overlaps[0].range, range(i64::MAX, i64::MAX));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(neap_test_inputs::cases(256)))]
        #[test]
        fn every_time_of_every_source_is_in_exactly_one_region(
            sources in proptest::collection::vec((0..40i64, 0..20i64), 0..8)
        ) {
            let sources: Vec<_> = sources.into_iter().map(|(min, length)| range(min, min + length)).collect();
            let regions = TimeRegions::from_sources(&sources);
            for moment in 0..60 {
                let at = range(moment, moment);
                let covering: Vec<usize> =
                    (0..sources.len()).filter(|source| sources[*source].contains(at)).collect();
                for source in 0..sources.len() {
                    let direct = regions.direct[source].iter().filter(|range| range.contains(at)).count();
                    prop_assert_eq!(direct, usize::from(covering == [source]));
                }
                let merged: Vec<_> = regions.overlaps.iter().filter(|overlap| overlap.range.contains(at)).collect();
                prop_assert_eq!(merged.len(), usize::from(covering.len() > 1));
                for overlap in merged {
                    prop_assert!(covering.iter().all(|source| overlap.sources.contains(source)));
                }
            }
        }
    }
}
