//! The databases with work in the background, each with the time from which on it is due.

use std::{collections::BTreeMap, time::Duration};

use neap_schema::DatabaseId;

/// Databases, each with the time on the monotonic clock from which on it is due.
#[derive(Debug, Default)]
pub(super) struct DueDatabases(BTreeMap<DatabaseId, Duration>);

impl DueDatabases {
    /// Adds a database that is due at a time, or earlier if it was added before.
    pub(super) fn add(&mut self, database: DatabaseId, at: Duration) {
        let due = self.0.entry(database).or_insert(at);
        *due = at.min(*due);
    }

    /// Returns the number of databases.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Removes and returns the databases that are due.
    pub(super) fn take_due(&mut self, now: Duration) -> Vec<DatabaseId> {
        let due = self.0.extract_if(.., |_, at| *at <= now);
        due.map(|(database, _)| database).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_database_is_due_at_the_earliest_of_its_times() {
        let (one, two) = (DatabaseId::new(1), DatabaseId::new(2));
        let seconds = Duration::from_secs;
        let mut queue = DueDatabases::default();
        queue.add(one, seconds(10));
        queue.add(two, seconds(5));
        queue.add(one, seconds(3));
        queue.add(one, seconds(20));
        assert_eq!(queue.take_due(seconds(3)), [one]);
        assert_eq!(queue.take_due(seconds(30)), [two]);
        assert_eq!(queue.take_due(seconds(30)), []);
    }
}
