//! The batches of an upload that are not answered yet.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

/// A row of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RowPosition {
    /// Name of the file; `None` if there is only one source.
    pub source: Option<Arc<str>>,
    /// Number of the row, from 1.
    pub row: u64,
}

/// The positions of batches in the order in which they were read.
#[derive(Debug, Default)]
pub(crate) struct PendingBatches {
    pending: Mutex<BTreeMap<u64, Option<RowPosition>>>,
}

impl PendingBatches {
    /// Adds a batch and returns its number. Batches without a position are not files of rows.
    pub(crate) fn add(&self, position: Option<RowPosition>) -> u64 {
        let mut pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
        let number = pending.last_key_value().map_or(0, |(last, _)| last + 1);
        pending.insert(number, position);
        number
    }

    /// Removes an answered batch.
    pub(crate) fn remove(&self, number: u64) {
        let mut pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
        pending.remove(&number);
    }

    /// Returns the position before which everything is answered; `None` if it is not in a file of rows.
    pub(crate) fn first(&self) -> Option<RowPosition> {
        let pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
        pending
            .first_key_value()
            .and_then(|(_, position)| position.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_batch_without_an_answer_is_the_place_to_continue() {
        let pending = PendingBatches::default();
        let position = |row| Some(RowPosition { source: None, row });
        let first = pending.add(position(1));
        let second = pending.add(position(10));
        let third = pending.add(position(20));
        pending.remove(second);
        assert_eq!(pending.first(), position(1));
        pending.remove(first);
        assert_eq!(pending.first(), position(20));
        pending.remove(third);
        assert_eq!(pending.first(), None);
    }
}
