//! The batches of an upload that are not answered yet, and where to continue it.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

#[derive(Clone, Debug)]
pub(crate) struct BatchSource {
    pub(crate) index: usize,
    /// `None` if the source has no name.
    pub(crate) name: Option<Arc<str>>,
    /// Whether no sources follow.
    pub(crate) is_last: bool,
}

impl BatchSource {
    /// Returns the position of a row, from 1.
    pub(crate) fn position(&self, row: u64) -> RowPosition {
        RowPosition { source: self.name.clone(), row, is_last_source: self.is_last }
    }
}

/// A row of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RowPosition {
    /// Name of the file; `None` if it has none.
    pub(crate) source: Option<Arc<str>>,
    /// Number of the row, from 1.
    pub(crate) row: u64,
    /// Whether no sources follow the file.
    pub(crate) is_last_source: bool,
}

impl RowPosition {
    /// Returns the advice to continue an upload at this row.
    pub(crate) fn resume_hint(&self) -> String {
        let Self { source, row, .. } = self;
        let (of_source, file) = match source {
            Some(source) => (format!(" of {source}"), format!(" and the file {source}")),
            None => (String::new(), String::new()),
        };
        let rest = if self.is_last_source {
            ""
        } else {
            ", then the files after it"
        };
        format!(
            "everything before row {row}{of_source} is answered: continue with `--start-at {row}`{file}{rest}"
        )
    }
}

/// The positions of batches in the order in which they were read.
#[derive(Debug, Default)]
pub(crate) struct PendingBatches {
    state: Mutex<PendingState>,
}

#[derive(Debug, Default)]
struct PendingState {
    /// Number of the next batch.
    next: u64,
    positions: BTreeMap<u64, Option<RowPosition>>,
}

impl PendingBatches {
    /// Adds a batch and returns its number. Batches without a position are not files of rows.
    pub(crate) fn add(&self, position: Option<RowPosition>) -> u64 {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let number = state.next;
        state.next += 1;
        state.positions.insert(number, position);
        number
    }

    /// Removes an answered batch.
    pub(crate) fn remove(&self, number: u64) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.positions.remove(&number);
    }

    /// Returns the position before which everything is answered; `None` if nothing is, or it is not in a file of rows.
    pub(crate) fn first(&self) -> Option<RowPosition> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let (number, position) = state.positions.first_key_value()?;
        position.clone().filter(|_| *number > 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_batch_without_an_answer_is_the_place_to_continue() {
        let pending = PendingBatches::default();
        let position =
            |row| Some(RowPosition { source: Some("a.csv".into()), row, is_last_source: row > 10 });
        let first = pending.add(position(1));
        let second = pending.add(position(10));
        let third = pending.add(position(20));
        pending.remove(third);
        assert_eq!(pending.first(), None, "nothing is before the first batch");
        pending.remove(first);
        assert_eq!(pending.first(), position(10));
        assert_eq!(
            pending.first().unwrap().resume_hint(),
            "everything before row 10 of a.csv is answered: continue with `--start-at 10` and the file a.csv, then the files after it"
        );
        pending.remove(second);
        assert_eq!(pending.first(), None);
        pending.add(position(30));
        assert_eq!(pending.first(), position(30));
    }
}
