//! Sorts rows by series, time, and age.

/// The numbers of rows, sorted by point: by the rank of their series, then by time. The rows of a point are sorted by age.
#[derive(Debug)]
pub(crate) struct RowsByPoint(Vec<u32>);

impl RowsByPoint {
    /// Sorts rows that are given from the oldest to the newest: `series` and `time` have one value for each row, `ranks`
    /// one for each series.
    ///
    /// Rows are distributed to their series, and the rows of a series are sorted by time if they did not arrive in this
    /// order. That takes 4 bytes per row and per series, and 16 bytes for each row of the largest series that is sorted.
    pub(crate) fn new(series: &[u32], time: &[i64], ranks: &[u32]) -> Self {
        let rank = |series: &u32| ranks.get(*series as usize).copied().unwrap_or(0) as usize;
        let mut ends = vec![0_u32; ranks.len()];
        for series in series {
            if let Some(count) = ends.get_mut(rank(series)) {
                *count += 1;
            }
        }
        let mut start = 0;
        for slot in &mut ends {
            start += std::mem::replace(slot, start);
        }
        let mut rows = vec![0_u32; series.len()];
        for (series, row) in series.iter().zip(0_u32..) {
            if let Some(end) = ends.get_mut(rank(series))
                && let Some(slot) = rows.get_mut(*end as usize)
            {
                *slot = row;
                *end += 1;
            }
        }
        let mut start = 0;
        let mut scratch = Vec::new();
        for end in ends {
            let end = end as usize;
            sort_by_time(rows.get_mut(start..end).unwrap_or(&mut []), time, &mut scratch);
            start = end;
        }
        Self(rows)
    }

    /// Returns the end of the rows of each point: rows with the same series and time. `None` if each row is a point.
    pub(crate) fn ends_of_points(&self, series: &[u32], time: &[i64]) -> Option<Vec<u32>> {
        let key = |row: &u32| (series.get(*row as usize), time.get(*row as usize));
        let is_same = |one: &u32, next: &u32| key(one) == key(next);
        if self.0.is_sorted_by(|one, next| !is_same(one, next)) {
            return None;
        }
        let mut end = 0;
        let points = self.0.chunk_by(is_same).map(|rows| {
            end += u32::try_from(rows.len()).unwrap_or(u32::MAX);
            end
        });
        Some(points.collect())
    }

    pub(crate) fn into_inner(self) -> Vec<u32> {
        self.0
    }
}

/// Sorts rows of one series, which are sorted by age, by time. Equal times stay sorted by age.
fn sort_by_time(rows: &mut [u32], time: &[i64], scratch: &mut Vec<(i64, u32)>) {
    let of = |row: &u32| time.get(*row as usize).copied().unwrap_or_default();
    if rows.is_sorted_by_key(of) {
        return;
    }
    // Times beside the rows are compared without a look-up.
    scratch.clear();
    scratch.extend(rows.iter().map(|row| (of(row), *row)));
    scratch.sort_unstable();
    for (slot, (_, row)) in rows.iter_mut().zip(&*scratch) {
        *slot = *row;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(neap_test_inputs::cases(256)))]
        #[test]
        fn rows_are_sorted_by_rank_time_and_age(
            rows in proptest::collection::vec((0..5_u32, 0..7_i64), 0..60),
            ranks in Just([3_u32, 0, 4, 1, 2]).prop_shuffle(),
        ) {
            let (series, time): (Vec<u32>, Vec<i64>) = rows.iter().copied().unzip();
            let sorted = RowsByPoint::new(&series, &time, &ranks);
            let ends = sorted.ends_of_points(&series, &time);
            let mut expected: Vec<u32> = (0_u32..).take(rows.len()).collect();
            expected.sort_by_key(|row| {
                let (series, time) = rows[*row as usize];
                (ranks[series as usize], time)
            });
            let points = expected.chunk_by(|one, next| rows[*one as usize] == rows[*next as usize]);
            let mut lengths: Vec<usize> = points.map(<[u32]>::len).collect();
            if lengths.iter().all(|length| *length == 1) {
                prop_assert_eq!(ends, None);
            } else {
                let mut end = 0;
                for length in &mut lengths {
                    end += *length;
                    *length = end;
                }
                let ends: Vec<usize> = ends.unwrap().into_iter().map(|end| end as usize).collect();
                prop_assert_eq!(ends, lengths);
            }
            prop_assert_eq!(sorted.into_inner(), expected);
        }
    }
}
