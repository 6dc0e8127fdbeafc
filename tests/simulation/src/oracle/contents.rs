//! Checks the rows of a manifest. The rows of its sections, without those that its deletes remove, must equal the rows
//! of the previous version plus the flushed segments. Only expired rows may disappear, and then all rows up to a time
//! together.
//!
//! A manifest does not record every flushed delete: it records only those that older sections need. For the others, the
//! oracle infers from the resulting rows whether they were flushed.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use neap_bucket::SegmentName;
use neap_manifest::{Manifest, Section};
use neap_schema::{DatabaseId, TableId};

use super::{Invariant, ManifestCommit, OracleSegment, SegmentNames, SimulationOracle};
use crate::rows::{Rows, SECOND, TableRows, holds, merge_rows};

/// Maximum number of uncertain deletes whose combinations are tried.
const MAX_UNCERTAIN_DELETES: usize = 6;

/// The error of the store times of an instance, because hosts differ and return whole seconds.
const CLOCK_ERROR: i64 = 7 * SECOND;

/// The transition from one version to the next: all its sections, and the writes that they contain.
pub(super) struct VersionTransition<'a> {
    pub(super) database: DatabaseId,
    pub(super) version: u64,
    pub(super) before: &'a ManifestCommit,
    pub(super) value: &'a Manifest,
    pub(super) sections: &'a [Arc<Section>],
    pub(super) witnesses: &'a SegmentNames,
    pub(super) now: Duration,
}

/// The segments that a transition flushed, and the resulting rows of the version.
pub(super) struct FlushedSegments {
    pub(super) names: SegmentNames,
    pub(super) rows: TableRows,
}

impl SimulationOracle {
    /// Determines the segments that a transition flushed.
    pub(super) fn apply_transition(&mut self, step: &VersionTransition<'_>) -> FlushedSegments {
        let there = self.rows_of(step);
        let before = &step.before.taken;
        let writes = step.witnesses.iter().filter(|name| !before.contains(name));
        let (certain, doubtful) = self.deletes_of(step);
        let new: SegmentNames =
            writes.copied().chain(certain).chain(self.flushed_imports(step)).collect();
        let mut reason = None;
        for choice in (0..1_usize << doubtful.len()).rev() {
            let places = doubtful.iter().enumerate();
            let chosen = places.filter(|(place, _)| choice >> place & 1 == 1);
            let names: SegmentNames = chosen.map(|(_, name)| *name).chain(new.clone()).collect();
            let mut rows = step.before.rows.as_ref().clone();
            self.apply(&mut rows, &names);
            match self.explain(step, rows, &there) {
                Ok(rows) => return FlushedSegments { names, rows },
                Err(broken) => reason = reason.or(Some(broken)),
            }
        }
        if let Some((invariant, text)) = reason {
            let text = format!("version {} after {new:?}: {text}", step.version);
            self.fail(invariant, text);
        }
        let mut rows = step.before.rows.as_ref().clone();
        self.apply(&mut rows, &new);
        FlushedSegments { names: new, rows }
    }

    /// Applies segments in order.
    pub(super) fn apply(&self, rows: &mut TableRows, names: &SegmentNames) {
        for segment in names.iter().map(|name| &self.segments[name]) {
            for (table, of_table) in &segment.rows {
                merge_rows(rows.entry(*table).or_default(), of_table);
            }
            for delete in &segment.deletes {
                let of_table = rows.entry(delete.table).or_default();
                of_table.retain(|point, _| !holds(&delete.condition, point));
            }
        }
    }

    /// Returns the segments of the database that the mark passes.
    pub(super) fn due_segments<'a>(
        &'a self,
        step: &'a VersionTransition<'_>,
    ) -> impl Iterator<Item = (&'a SegmentName, &'a OracleSegment)> {
        self.segments.iter().filter(move |(name, segment)| {
            step.before.mark() < name.stamp
                && name.stamp <= step.value.low_water_mark
                && segment.is_in(step.database)
        })
    }

    /// Returns the deletes that the transition certainly flushed, and those that it may have flushed.
    fn deletes_of(&self, step: &VersionTransition<'_>) -> (SegmentNames, Vec<SegmentName>) {
        let recorded: BTreeSet<_> = step
            .value
            .deletes
            .iter()
            .filter(|recorded| recorded.added == step.version)
            .map(|recorded| recorded.stamp)
            .collect();
        let requests = self.acknowledged.iter();
        let acknowledged: SegmentNames =
            requests.filter_map(|request| self.of_request.get(request)).copied().collect();
        let due = self.due_segments(step).filter(|(_, segment)| !segment.deletes.is_empty());
        let (certain, mut doubtful): (Vec<_>, Vec<_>) = due
            .map(|(name, _)| *name)
            .partition(|name| recorded.contains(&name.stamp) || acknowledged.contains(name));
        doubtful.truncate(MAX_UNCERTAIN_DELETES);
        (certain.into_iter().collect(), doubtful)
    }

    /// Returns the rows of the sections, without those that the manifest's deletes remove.
    fn rows_of(&self, step: &VersionTransition<'_>) -> TableRows {
        let mut sections: Vec<_> = step.sections.iter().collect();
        sections.sort_by_key(|section| (section.upto, section.above));
        let mut rows = TableRows::new();
        for section in sections {
            let Some(decoded) = self.section(step.database, section) else {
                continue;
            };
            let deletes: Vec<_> = step
                .value
                .deletes_of(section.table)
                .filter(|recorded| recorded.applies_to(section))
                .collect();
            let left = decoded.rows.iter().filter(|(point, _)| {
                let mut deletes = deletes.iter();
                !deletes.any(|recorded| holds(&recorded.delete.condition, point))
            });
            merge_rows(rows.entry(section.table).or_default(), left);
        }
        rows
    }

    /// Returns the expected rows, or an error if the actual ones differ from them by more than expiry explains.
    fn explain(
        &self,
        step: &VersionTransition<'_>,
        mut expected: TableRows,
        there: &TableRows,
    ) -> Result<TableRows, (Invariant, String)> {
        let tables: BTreeSet<TableId> = expected.keys().chain(there.keys()).copied().collect();
        let nothing = Rows::new();
        for table in tables {
            let rows = there.get(&table).unwrap_or(&nothing);
            let expected = expected.entry(table).or_default();
            if self.is_removed(step.database, table) {
                expected.clone_from(rows);
                continue;
            }
            let left = expected
                .keys()
                .filter(|point| !rows.contains_key(*point))
                .map(|(_, time)| *time)
                .max();
            if let Some(last) = left {
                self.check_expiry(step, table, last)?;
                expected.retain(|(_, time), _| *time > last);
            }
            if expected != rows {
                let text = format!("table {table} is {rows:?}, not {expected:?}; left: {left:?}");
                return Err((Invariant::AnswerMatchesSegments, text));
            }
        }
        Ok(expected)
    }

    /// Checks that the rows up to a time had expired.
    fn check_expiry(
        &self,
        step: &VersionTransition<'_>,
        table: TableId,
        last: i64,
    ) -> Result<(), (Invariant, String)> {
        let is_flush = step.value.low_water_mark > step.before.mark();
        // A copy lacks the rows that have expired in the source.
        let known = self.databases.get(&step.database).filter(|_| step.version == 1);
        let source = known.and_then(|known| known.source);
        let due = [Some(step.database), source]
            .into_iter()
            .flatten()
            .filter_map(|database| self.expired_until(database, table, step.now))
            .max();
        let Some(due) = due.filter(|_| !is_flush) else {
            let text = format!("table {table} lost rows at {last}");
            return Err((Invariant::AnswerMatchesSegments, text));
        };
        if last < due + CLOCK_ERROR {
            return Ok(());
        }
        let late = (last - due) / SECOND;
        let text = format!("table {table} lost rows {late} s before their expiry");
        Err((Invariant::ExpiryIsJustified, text))
    }
}

/// Returns the rows that a query sees: those from a time on.
pub(super) fn since(rows: &Rows, first: Option<i64>) -> Rows {
    rows.iter()
        .filter(|((_, time), _)| first.is_none_or(|first| first <= *time))
        .map(|(point, fields)| (point.clone(), fields.clone()))
        .collect::<BTreeMap<_, _>>()
}
