//! Checks that triggers process every acknowledged segment, with all its rows.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use neap_bucket::{SegmentName, StoreTime};
use neap_schema::{DatabaseId, TriggerId};
use neap_wal::TRIGGER_RETENTION;

use super::{Invariant, SimulationOracle, objects::CLOCK_ERROR};
use crate::{instance::DATABASE, machine::BEGIN_MICROS, rows::Row};

/// Maximum number of failed runs of a trigger for one segment: less than the attempts after which an engine gives up.
const MAX_FAILURES: usize = 2;

/// The runs of triggers.
#[derive(Debug, Default)]
pub(super) struct DeliveryHistory {
    /// The triggers of [`DATABASE`]. Each of them is for the rows of every write.
    triggers: Vec<TriggerId>,
    processed: BTreeSet<(TriggerId, SegmentName)>,
    failures: BTreeMap<(TriggerId, SegmentName), usize>,
}

impl SimulationOracle {
    /// Records a trigger that must process every acknowledged segment from now on.
    pub(crate) fn expect_deliveries(&mut self, trigger: TriggerId) {
        self.deliveries.triggers.push(trigger);
    }

    /// Decides whether a run may fail, and counts it.
    pub(crate) fn may_fail(&mut self, trigger: TriggerId, name: SegmentName) -> bool {
        let failures = self.deliveries.failures.entry((trigger, name)).or_default();
        *failures += 1;
        *failures <= MAX_FAILURES
    }

    /// Records a successful run. `rows` are those of each table. Checks that they are all rows of the table.
    pub(crate) fn segment_processed(
        &mut self,
        database: DatabaseId,
        trigger: TriggerId,
        name: SegmentName,
        rows: Vec<Vec<Row>>,
    ) {
        let Some(segment) = self.segments.get(&name) else {
            let text = format!("trigger {trigger} has processed {name:?}, which nobody has put");
            return self.fail(Invariant::DeliveryIsComplete, text);
        };
        let is_whole = |given: &Vec<Row>| segment.rows.values().any(|rows| rows == given);
        if !rows.iter().all(is_whole) {
            let text = format!("trigger {trigger} has received other rows of {name:?}: {rows:?}");
            self.fail(Invariant::DeliveryIsComplete, text);
        }
        if database == DATABASE {
            self.deliveries.processed.insert((trigger, name));
            self.counts.deliveries += 1;
        }
    }

    /// Returns the triggers that have not processed a segment with rows.
    fn waiting_for(&self, database: DatabaseId, name: SegmentName) -> Vec<TriggerId> {
        let segment = self.segments.get(&name);
        if database != DATABASE || segment.is_none_or(|segment| segment.rows.is_empty()) {
            return Vec::new();
        }
        let deliveries = &self.deliveries;
        let triggers = deliveries.triggers.iter().copied();
        let waits = |trigger: &TriggerId| !deliveries.processed.contains(&(*trigger, name));
        triggers.filter(waits).collect()
    }

    /// Checks a segment of which an engine says that all triggers have processed it. Void segments need no delivery.
    pub(crate) fn check_delivery(&mut self, database: DatabaseId, name: SegmentName) {
        if self.is_acknowledged(name) {
            let waiting = self.waiting_for(database, name);
            if !waiting.is_empty() {
                let text = format!("{name:?} was reported as delivered, without {waiting:?}");
                self.fail(Invariant::DeliveryIsComplete, text);
            }
        }
    }

    /// Checks a segment that is deleted.
    pub(super) fn check_deleted_delivery(
        &mut self,
        database: DatabaseId,
        name: SegmentName,
        now: Duration,
    ) {
        if self.is_acknowledged(name) && !is_given_up(name, now) {
            let waiting = self.waiting_for(database, name);
            if !waiting.is_empty() {
                let text = format!("{name:?} was deleted before {waiting:?} have processed it");
                self.fail(Invariant::DeliveryIsComplete, text);
            }
        }
    }

    /// Returns the acknowledged segments of a database.
    pub(crate) fn segments_to_deliver(&self, database: DatabaseId) -> BTreeSet<SegmentName> {
        self.acknowledged_of(database).map(|(_, name)| name).collect()
    }

    /// Checks that segments are delivered.
    pub(crate) fn check_deliveries(
        &mut self,
        database: DatabaseId,
        segments: BTreeSet<SegmentName>,
        now: Duration,
    ) {
        for name in segments.into_iter().filter(|name| !is_given_up(*name, now)) {
            let waiting = self.waiting_for(database, name);
            if !waiting.is_empty() {
                let text = format!("{waiting:?} have not processed {name:?} in the end");
                self.fail(Invariant::DeliveryIsComplete, text);
            }
        }
    }

    fn is_acknowledged(&self, name: SegmentName) -> bool {
        let mut acknowledged = self.acknowledged.iter();
        acknowledged.any(|request| self.of_request.get(request) == Some(&name))
    }
}

/// Whether a segment is so old that engines and collectors give it up.
fn is_given_up(name: SegmentName, now: Duration) -> bool {
    let begin = StoreTime::from_micros(BEGIN_MICROS);
    begin.plus(now + CLOCK_ERROR).since(name.stamp.time()) >= TRIGGER_RETENTION
}
