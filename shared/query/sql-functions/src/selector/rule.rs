//! The rules that select a row of a group.

use std::cmp::Ordering;

/// The rule that selects a row of a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Selector {
    First,
    Last,
    Min,
    Max,
}

impl Selector {
    /// All four selectors.
    pub(crate) const ALL: [Self; 4] = [Self::First, Self::Last, Self::Min, Self::Max];

    /// Returns whether a row replaces the selected row, given the comparisons of their times and values.
    pub(super) fn prefers(self, time: Ordering, value: impl FnOnce() -> Ordering) -> bool {
        match self {
            Self::First => time.then_with(value).is_lt(),
            Self::Last => time.then_with(value).is_gt(),
            Self::Min => value().then(time).is_lt(),
            Self::Max => value().then(time.reverse()).is_gt(),
        }
    }
}
