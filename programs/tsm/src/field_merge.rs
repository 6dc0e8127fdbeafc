//! Merges the values of a field that several files have.

use crate::{TimeRange, Values};

/// Times and values of a field, in the order of increasing priority.
#[derive(Debug)]
pub(crate) struct FieldValues {
    pub(crate) times: Vec<i64>,
    pub(crate) values: Values,
    /// Ranges of positions with ascending times. Positions between them are dropped.
    runs: Vec<(usize, usize)>,
}

impl FieldValues {
    pub(crate) fn new(values: Values) -> Self {
        Self { times: Vec::new(), values, runs: Vec::new() }
    }

    /// Adds the positions from `start` on, without the times outside of `window` and those in `deleted` ranges.
    pub(crate) fn add_run(&mut self, start: usize, window: TimeRange, deleted: &[TimeRange]) {
        let times = self.times.get(start..).unwrap_or_default();
        let is_whole = deleted.is_empty()
            && times.first().is_some_and(|time| window.contains(*time))
            && times.last().is_some_and(|time| window.contains(*time))
            && times.is_sorted_by(|one, next| one < next);
        if is_whole {
            self.runs.push((start, self.times.len()));
            return;
        }
        let is_kept =
            |time: i64| window.contains(time) && !deleted.iter().any(|range| range.contains(time));
        let mut run: Option<(usize, i64)> = None;
        for (offset, &time) in times.iter().enumerate() {
            let at = start + offset;
            if let Some((from, last)) = run
                && (time <= last || !is_kept(time))
            {
                self.runs.push((from, at));
                run = None;
            }
            if is_kept(time) {
                run = Some((run.map_or(at, |(from, _)| from), time));
            }
        }
        if let Some((from, _)) = run {
            self.runs.push((from, self.times.len()));
        }
    }

    /// Returns the times in ascending order, each once, with the value of the last run that has it.
    pub(crate) fn merge(self) -> (Vec<i64>, Values) {
        if let [(0, end)] = self.runs.as_slice()
            && *end == self.times.len()
        {
            return (self.times, self.values);
        }
        let mut times = Vec::new();
        let mut values = Values::new(self.values.value_type());
        for (start, end) in self.ordered_ranges() {
            times.extend_from_slice(self.times.get(start..end).unwrap_or_default());
            values.extend_from(&self.values, start..end);
        }
        (times, values)
    }

    /// Returns ranges of positions whose concatenation has ascending times.
    fn ordered_ranges(&self) -> Vec<(usize, usize)> {
        let first = |run: &(usize, usize)| self.times.get(run.0).copied().unwrap_or_default();
        let last = |run: &(usize, usize)| {
            let at = run.1.saturating_sub(1);
            self.times.get(at).copied().unwrap_or_default()
        };
        let mut runs = self.runs.clone();
        runs.sort_by_key(first);
        let pairs = runs.iter().zip(runs.iter().skip(1));
        if pairs.into_iter().all(|(one, next)| last(one) < first(next)) {
            return runs;
        }
        let positions = self.runs.iter().flat_map(|(start, end)| *start..*end);
        let mut ordered: Vec<(i64, usize)> = positions
            .map(|at| (self.times.get(at).copied().unwrap_or_default(), at))
            .collect();
        ordered.sort_unstable();
        let mut ranges: Vec<(usize, usize)> = Vec::new();
        let mut last_time = None;
        for (time, at) in ordered {
            if last_time == Some(time) {
                // The later position has the newer value.
                shorten_last(&mut ranges);
            }
            last_time = Some(time);
            match ranges.last_mut() {
                Some((_, end)) if *end == at => *end += 1,
                _ => ranges.push((at, at + 1)),
            }
        }
        ranges
    }
}

/// Removes the last position of the last range.
fn shorten_last(ranges: &mut Vec<(usize, usize)>) {
    if let Some((start, end)) = ranges.last_mut() {
        *end -= 1;
        if start == end {
            ranges.pop();
        }
    }
}
