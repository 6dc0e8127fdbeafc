//! Records the content of segments, and which of them were acknowledged.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use neap_bucket::{SegmentName, Stamp};
use neap_schema::DatabaseId;
use neap_wal::Segment;

use super::{Invariant, ManifestCommit, OracleSegment, SimulationOracle};
use crate::{
    rows::{plain, requests},
    write::deleting_request,
};

impl SimulationOracle {
    pub(super) fn segment_put(&mut self, database: DatabaseId, name: SegmentName, body: &Bytes) {
        if let Some(known) = self.segments.get_mut(&name) {
            known.copies.insert(database);
            return;
        }
        let segment = Segment::decode(database, name, body.clone()).unwrap();
        let mut rows = BTreeMap::new();
        let mut columns: BTreeMap<_, BTreeSet<_>> = BTreeMap::new();
        for table in segment.tables() {
            let mut of_table = Vec::new();
            for batch in segment.rows(table.table).unwrap() {
                let schema = batch.schema();
                let names = schema.fields().iter().map(|field| field.name().clone());
                columns.entry(table.table).or_default().extend(names);
                of_table.extend(plain(&batch));
            }
            rows.insert(table.table, of_table);
        }
        let points = rows.values().flatten().map(|(point, _)| point);
        let mut requests = requests(points);
        let deletes = segment.deletes().to_vec();
        requests.extend(deletes.iter().filter_map(|delete| deleting_request(&delete.condition)));
        for request in &requests {
            if let Some(other) = self.of_request.insert(*request, name) {
                let text = format!("request {request} is in {other:?} and in {name:?}");
                self.fail(Invariant::NoUnexpectedError, text);
            }
        }
        let segment = OracleSegment {
            database,
            copies: BTreeSet::new(),
            progress: segment.progress().to_vec(),
            rows,
            deletes,
            columns,
        };
        self.segments.insert(name, segment);
    }

    /// Whether the low-water mark passed a segment that was not flushed.
    pub(super) fn is_passed(name: &SegmentName, commit: &ManifestCommit) -> bool {
        name.stamp <= commit.mark() && !commit.taken.contains(name)
    }

    /// Records that a write or a delete was acknowledged.
    pub(crate) fn acknowledge(&mut self, request: u64) {
        self.acknowledged.insert(request);
        let Some(name) = self.of_request.get(&request).copied() else {
            let text = format!("request {request} was acknowledged but has no segment");
            return self.fail(Invariant::AcknowledgedIsVisible, text);
        };
        let current = self.current(self.segments[&name].database);
        if Self::is_passed(&name, &current) {
            let text = format!("request {request} was acknowledged and is void");
            self.fail(Invariant::AcknowledgedIsVisible, text);
        }
        self.check_backups_of(&name);
        self.record_write_to_dropped(request, &name);
    }

    /// Returns the number of acknowledged requests.
    pub(crate) fn acknowledged(&self) -> usize {
        self.acknowledged.len()
    }

    /// Returns the acknowledged segments of a database, with their requests.
    pub(super) fn acknowledged_of(
        &self,
        database: DatabaseId,
    ) -> impl Iterator<Item = (u64, SegmentName)> + '_ {
        let all = self.acknowledged.iter();
        let named = all.filter_map(|request| Some((*request, *self.of_request.get(request)?)));
        named.filter(move |(_, name)| self.segments[name].database == database)
    }

    /// Returns the stamp of a segment of a database.
    pub(crate) fn some_stamp(&self, database: DatabaseId, number: usize) -> Option<Stamp> {
        let of_database =
            |(_, segment): &(&SegmentName, &OracleSegment)| segment.database == database;
        let names: Vec<_> = self.segments.iter().filter(of_database).collect();
        let place = number % names.len().max(1);
        names.get(place).map(|(name, _)| name.stamp)
    }
}
