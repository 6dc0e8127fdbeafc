//! Detects writes and queries that act on a dropped database or table after the drop was answered.

use std::{collections::BTreeMap, time::Duration};

use neap_bucket::SegmentName;
use neap_schema::{DatabaseId, TableId};

use super::{Invariant, SimulationOracle};

/// The answered drops, and the writes that may have gone into dropped tables and databases.
#[derive(Debug, Default)]
pub(super) struct DropHistory {
    /// When the drop of a database, or of one of its tables, was answered.
    answered: BTreeMap<(DatabaseId, Option<TableId>), Duration>,
    /// Acknowledged requests with rows in a dropped table or database, with the time when the drop was answered.
    suspects: Vec<(u64, Duration)>,
}

impl SimulationOracle {
    /// Records an answered drop.
    pub(crate) fn drop_answered(
        &mut self,
        database: DatabaseId,
        table: Option<TableId>,
        now: Duration,
    ) {
        self.drops.answered.insert((database, table), now);
    }

    /// Clears the recorded drops, because an undeletion may begin.
    pub(crate) fn clear_drops(&mut self) {
        self.drops.answered.clear();
    }

    /// Records an acknowledged request with rows in a dropped table or database. [`SimulationOracle::check_drops`] decides at the
    /// end whether the request began before the drop was answered.
    pub(super) fn record_write_to_dropped(&mut self, request: u64, name: &SegmentName) {
        let Some(segment) = self.segments.get(name) else {
            return;
        };
        let tables = segment.rows.keys().map(|table| Some(*table));
        let of_database = tables.chain([None]);
        let answered = of_database.filter_map(|table| {
            let place = (segment.database, table);
            self.drops.answered.get(&place).copied()
        });
        if let Some(answered) = answered.min() {
            self.drops.suspects.push((request, answered));
        }
    }

    /// Checks that a query found no database that was dropped before the query began.
    pub(crate) fn database_found(&mut self, database: DatabaseId, started_at: Duration) {
        let answered = self.drops.answered.get(&(database, None)).copied();
        if answered.is_some_and(|answered| answered <= started_at) {
            let text = format!("a query found database {database} at {started_at:?}: {answered:?}");
            self.fail(Invariant::DropIsObserved, text);
        }
    }

    /// At the end, checks that no acknowledged write that began after a drop was answered went into the dropped table
    /// or database.
    pub(crate) fn check_drops(&mut self) {
        for (request, answered) in std::mem::take(&mut self.drops.suspects) {
            let mut writes = self.writes.iter();
            let write = writes.find(|write| write.request == request);
            let late = write.filter(|write| write.begin >= answered && !write.deceived);
            if let Some(late) = late {
                let text =
                    format!("{late:?} went into a table or database dropped at {answered:?}");
                self.fail(Invariant::DropIsObserved, text);
            }
        }
    }
}
