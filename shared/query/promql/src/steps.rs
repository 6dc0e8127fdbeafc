//! The times of an evaluation.

/// Equidistant times, in milliseconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Steps {
    pub(crate) start_ms: i64,
    /// The time between steps, greater than 0.
    pub(crate) step_ms: i64,
    pub(crate) count: usize,
    /// Whether the steps are those of a subquery.
    pub(crate) is_of_subquery: bool,
}

impl Steps {
    /// One time.
    pub(crate) fn one(at_ms: i64) -> Self {
        Self { start_ms: at_ms, step_ms: 1, count: 1, is_of_subquery: false }
    }

    /// The first step only.
    pub(crate) fn first(self) -> Self {
        Self {
            is_of_subquery: self.is_of_subquery,
            ..Self::one(self.start_ms)
        }
    }

    /// The times from a start to an end, which is included; none if the end is before the start.
    pub(crate) fn between(start_ms: i64, end_ms: i64, step_ms: i64) -> Self {
        let step_ms = step_ms.max(1);
        let last = end_ms.checked_sub(start_ms).filter(|duration| *duration >= 0);
        let count = last.map_or(0, |duration| {
            usize::try_from(duration / step_ms).unwrap_or(usize::MAX).saturating_add(1)
        });
        Self { start_ms, step_ms, count, is_of_subquery: false }
    }

    /// The steps of a subquery: multiples of its step after the start of the range of the first step.
    pub(crate) fn of_subquery(self, range_ms: i64, offset_ms: i64, step_ms: i64) -> Self {
        let step = step_ms.max(1);
        let after_ms = self.start_ms.saturating_sub(offset_ms).saturating_sub(range_ms);
        let multiple = step.saturating_mul(after_ms / step);
        let start_ms = if multiple <= after_ms {
            multiple.saturating_add(step)
        } else {
            multiple
        };
        Self {
            is_of_subquery: true,
            ..Self::between(start_ms, self.end_ms().saturating_sub(offset_ms), step)
        }
    }

    pub(crate) fn time(self, step: usize) -> i64 {
        let step = i64::try_from(step).unwrap_or(i64::MAX);
        self.start_ms.saturating_add(self.step_ms.saturating_mul(step))
    }

    /// Returns the time of the last step.
    pub(crate) fn end_ms(self) -> i64 {
        self.time(self.count.saturating_sub(1))
    }

    /// Iterates over the times.
    pub(crate) fn times(self) -> impl Iterator<Item = i64> {
        (0..self.count).map(move |step| self.time(step))
    }
}

/// The times at which a selector reads samples: those of the steps, with an offset, or always the same one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SelectorTimes {
    pub(crate) steps: Steps,
    pub(crate) offset_ms: i64,
    /// The time of `@`.
    pub(crate) at_ms: Option<i64>,
}

impl SelectorTimes {
    /// Returns the time that a step reads.
    pub(crate) fn time(&self, step: usize) -> i64 {
        let at_ms = self.at_ms.unwrap_or_else(|| self.steps.time(step));
        at_ms.saturating_sub(self.offset_ms)
    }

    /// Returns the first and the last time.
    pub(crate) fn bounds(&self) -> (i64, i64) {
        (self.time(0), self.time(self.steps.count.saturating_sub(1)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_include_the_end() {
        let steps = Steps::between(10, 30, 10);
        assert_eq!(steps.times().collect::<Vec<_>>(), [10, 20, 30]);
        assert_eq!(Steps::between(10, 29, 10).count, 2);
        assert_eq!(Steps::between(10, 9, 10).count, 0);
    }

    #[test]
    fn steps_of_subqueries_are_multiples_after_the_start_of_the_range() {
        let steps = Steps::one(100);
        let inner = steps.of_subquery(50, 0, 25);
        assert_eq!(inner.times().collect::<Vec<_>>(), [75, 100]);
        let shifted = steps.of_subquery(50, 20, 25);
        assert_eq!(shifted.times().collect::<Vec<_>>(), [50, 75]);
        let before_1970 = Steps::one(-10).of_subquery(20, 0, 10);
        assert_eq!(before_1970.times().collect::<Vec<_>>(), [-20, -10]);
    }

    #[test]
    fn a_selector_with_a_time_reads_the_same_time_at_each_step() {
        let steps = Steps::between(10, 30, 10);
        let fixed = SelectorTimes { steps, offset_ms: 5, at_ms: Some(100) };
        assert_eq!(fixed.bounds(), (95, 95));
        let moving = SelectorTimes { at_ms: None, ..fixed };
        assert_eq!(moving.bounds(), (5, 25));
    }
}
