//! The rows of each series of an image, so that a query of few series, or of the newest rows of all, reads no others.
//!
//! ```text
//!   rows       0: a   1: b   2: a   3: a   4: b
//!   last       a -> 3, b -> 4
//!   previous   3 -> 2 -> 0, 4 -> 1
//! ```

/// The previous row of the first row of a series.
const NONE: u32 = u32::MAX;

/// The rows of each series, from the last to the first. Grows with the rows of a builder; its images share it.
#[derive(Debug)]
pub(super) struct SeriesRows {
    /// The number of the last row of each series.
    last: Vec<u32>,
    /// The number of the previous row of the same series, for each row.
    previous: Vec<u32>,
}

impl SeriesRows {
    /// No rows.
    pub(super) fn new() -> Self {
        Self { last: Vec::new(), previous: Vec::new() }
    }

    /// Adds the next rows, which have these series.
    pub(super) fn push(&mut self, series: &[u32]) {
        for series in series {
            let row = u32::try_from(self.previous.len()).unwrap_or(NONE);
            let at = *series as usize;
            if at >= self.last.len() {
                self.last.resize(at + 1, NONE);
            }
            let last = self.last.get_mut(at);
            let previous = last.map(|last| std::mem::replace(last, row));
            self.previous.push(previous.unwrap_or(NONE));
        }
    }

    pub(super) fn series_count(&self) -> usize {
        self.last.len()
    }

    /// Returns the numbers of the rows of a series, from the last to the first.
    pub(super) fn of(&self, series: u32) -> impl Iterator<Item = u32> {
        let last = self.last.get(series as usize).copied();
        std::iter::successors(last.filter(|row| *row != NONE), |row| {
            let previous = self.previous.get(*row as usize).copied();
            previous.filter(|row| *row != NONE)
        })
    }

    /// The approximate size in bytes.
    pub(super) fn size_bytes(&self) -> usize {
        4 * (self.last.capacity() + self.previous.capacity())
    }
}
