//! Checks requests to delete rows: if one is reported as completed, no object has the rows any more.

use std::collections::BTreeSet;

use bytes::Bytes;
use neap_bucket::{Key, RegisterValue};
use neap_manifest::{RowDeleteRequest, RowDeleteRequests};

use super::{DecodedRegister, Invariant, SimulationOracle, StoredObjects, decode};
use crate::rows::{Point, holds};

impl SimulationOracle {
    /// Processes a change of the log of row deletes.
    pub(super) fn erasures_put(&mut self, body: &Bytes, all: &StoredObjects) {
        let DecodedRegister { value, .. } =
            decode::<RowDeleteRequests>(RowDeleteRequests::FORMAT, body);
        for request in value.iter().filter(|request| request.completed.is_some()) {
            if self.erasures.insert(request.sequence) {
                self.check_erasure(request, all);
            }
        }
    }

    /// Checks that no object has rows that were written before a delete and match it. An object that live sections are in,
    /// too, may still have rows that were gone from the database when the delete was flushed: expired ones.
    fn check_erasure(&mut self, request: &RowDeleteRequest, all: &StoredObjects) {
        let delete = &request.delete;
        let database = delete.database;
        let mut segments = self.segments.iter();
        let segment = segments
            .find(|(name, segment)| {
                Some(name.stamp) == delete.stamp && segment.database == database
            })
            .map(|(_, segment)| segment);
        let (Some(stamp), Some(segment)) = (delete.stamp, segment) else {
            return;
        };
        let deletes = || segment.deletes.iter().filter(|one| one.table == delete.table);
        let is_earlier = |value: &i64| {
            let request = u64::try_from(value / 100).unwrap_or(0);
            self.of_request.get(&request).is_some_and(|name| name.stamp < stamp)
        };
        let current = self.current(database);
        let live: BTreeSet<_> = current
            .sections
            .iter()
            .map(|section| (section.key(database).to_string(), section.offset))
            .collect();
        let commits = self.databases.get(&database).map(|known| &known.commits);
        let flushed = commits.and_then(|commits| {
            let mut newest_first = commits.values().rev();
            newest_first.find(|commit| commit.mark() < stamp)
        });
        let rows_before = flushed.and_then(|commit| commit.rows.get(&delete.table));
        let was_there = |point: &Point| rows_before.is_some_and(|rows| rows.contains_key(point));
        let prefix = Key::data_prefix(database);
        let remaining: Vec<_> = self
            .sections
            .iter()
            .filter(|(place, section)| {
                section.table == delete.table
                    && place.0.starts_with(&prefix)
                    && all.contains_key(&place.0)
                    && !self.deleted_objects.contains(&place.0)
            })
            .filter(|(place, section)| {
                let is_rest = !live.contains(*place) && current.bundles.contains(&place.0);
                let mut rows = section.rows.iter();
                rows.any(|(point, fields)| {
                    deletes().any(|one| holds(&one.condition, point))
                        && (!is_rest || was_there(point))
                        && fields.values().any(is_earlier)
                })
            })
            .map(|(place, _)| place.clone())
            .collect();
        let is_wrong = !remaining.is_empty() && !self.removed.contains(&database);
        self.counts.erasures += 1;
        if is_wrong {
            let text =
                format!("{delete:?} is reported as completed, but {remaining:?} have its rows");
            self.fail(Invariant::ErasureIsComplete, text);
        }
    }
}
