//! Checks the answers of queries.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use neap_bucket::{SegmentName, Stamp};
use neap_manifest::Section;
use neap_schema::{DatabaseId, TableId};

use super::{
    DecodedSection, Invariant, ManifestCommit, SegmentNames, SimulationOracle, contents::since,
};
use crate::rows::TableRows;

/// Low-water marks closer than this are thinned out, so a returned state may be older than the best one by this time.
const MARK_SPACING: Duration = Duration::from_secs(15);

/// The state when a query begins, which the query must see.
#[derive(Clone, Debug)]
pub(crate) struct QueryBaseline {
    /// The acknowledged requests and their segments.
    acknowledged: BTreeMap<u64, SegmentName>,
    /// The versions of manifest and catalog.
    versions: (u64, u64),
}

/// The snapshot and the answer of a query.
#[derive(Debug)]
pub(crate) struct ObservedAnswer {
    pub(crate) database: DatabaseId,
    /// The state that the query must see.
    pub(crate) baseline: QueryBaseline,
    pub(crate) catalog_version: u64,
    pub(crate) manifest_version: u64,
    pub(crate) mark: Stamp,
    /// The requested state and the returned one.
    pub(crate) as_of: Option<(Stamp, Stamp)>,
    pub(crate) tail: Vec<SegmentName>,
    /// For each table, the time before which its rows have expired.
    pub(crate) cutoffs: BTreeMap<TableId, i64>,
    pub(crate) answer: TableRows,
}

impl SimulationOracle {
    /// Returns the state that a strong query of a database must see if it begins now.
    pub(crate) fn begin(&self, database: DatabaseId) -> QueryBaseline {
        let known = self.databases.get(&database);
        let catalog = known.and_then(|known| known.catalogs.last());
        QueryBaseline {
            acknowledged: self.acknowledged_of(database).collect(),
            versions: (
                known.map_or(0, |known| known.version()),
                catalog.map_or(0, |kept| kept.version),
            ),
        }
    }

    /// Returns the state that a stale query must see, which is only the last acknowledged write, with the stamp of that
    /// write.
    pub(crate) fn stale_baseline(&self, database: DatabaseId) -> (QueryBaseline, Option<Stamp>) {
        let last = self.acknowledged_of(database).last();
        let baseline = QueryBaseline { acknowledged: last.into_iter().collect(), versions: (0, 0) };
        (baseline, last.map(|(_, name)| name.stamp))
    }

    /// Returns the columns in the data of a snapshot, by table.
    pub(crate) fn columns<'a>(
        &self,
        tail: &[SegmentName],
        sections: impl IntoIterator<Item = (&'a Section, &'a DecodedSection)>,
    ) -> BTreeMap<TableId, BTreeSet<String>> {
        let mut columns: BTreeMap<TableId, BTreeSet<String>> = BTreeMap::new();
        for segment in tail.iter().filter_map(|name| self.segments.get(name)) {
            for (table, names) in &segment.columns {
                let there = columns.entry(*table).or_default();
                there.extend(names.iter().cloned());
            }
        }
        for (section, decoded) in sections {
            for batch in &decoded.batches {
                let schema = batch.schema();
                let names = schema.fields().iter().map(|field| field.name().clone());
                columns.entry(section.table).or_default().extend(names);
            }
        }
        columns
    }

    /// Checks that the sections of a snapshot are those of its version.
    pub(crate) fn check_version<'a>(
        &mut self,
        database: DatabaseId,
        version: u64,
        sections: impl IntoIterator<Item = &'a Section>,
    ) {
        let commit = self.commit_of(database, version);
        let place = |section: &Section| (section.key(database).to_string(), section.offset);
        let seen: BTreeSet<_> = sections.into_iter().map(place).collect();
        let there: BTreeSet<_> = commit.sections.iter().map(|one| place(one)).collect();
        if seen != there {
            let more: Vec<_> = seen.difference(&there).collect();
            let less: Vec<_> = there.difference(&seen).collect();
            let text =
                format!("version {version} has unexpected sections {more:?} and misses {less:?}");
            self.fail(Invariant::HistoryIsRetained, text);
        }
    }

    fn commit_of(&self, database: DatabaseId, version: u64) -> ManifestCommit {
        let known = self.databases.get(&database);
        let commit = known.and_then(|known| known.commit(version));
        commit.unwrap_or_default()
    }

    /// Checks I1 and I2 for an answer.
    pub(crate) fn check_answer(&mut self, seen: &ObservedAnswer) {
        if self.removed.contains(&seen.database) {
            return;
        }
        let commit = self.commit_of(seen.database, seen.manifest_version);
        if commit.mark() != seen.mark {
            let text = format!("the mark is {}, not {}", commit.mark(), seen.mark);
            self.fail(Invariant::AnswerMatchesSegments, text);
        }
        match seen.as_of {
            Some((asked, shown)) => self.check_past(seen, asked, shown),
            None => {
                let versions = (seen.manifest_version, seen.catalog_version);
                let baseline = seen.baseline.versions;
                if versions.0 < baseline.0 || versions.1 < baseline.1 {
                    let text = format!("{versions:?} is older than {baseline:?}");
                    self.fail(Invariant::SnapshotIsCurrent, text);
                }
            }
        }
        let used: SegmentNames = commit.taken.iter().chain(&seen.tail).copied().collect();
        self.check_acknowledged(seen, &used);
        self.counts.answers += 1;
        let mut expected = commit.rows.as_ref().clone();
        self.apply(&mut expected, &seen.tail.iter().copied().collect());
        for (table, rows) in &seen.answer {
            let cutoff = seen.cutoffs.get(table).copied();
            let expected = since(expected.entry(*table).or_default(), cutoff);
            if *rows != expected {
                let text = format!(
                    "table {table} as of {:?} with version {}, from {cutoff:?}, is {rows:?}, not {expected:?}",
                    seen.as_of, seen.manifest_version,
                );
                self.fail(Invariant::AnswerMatchesSegments, text);
            }
        }
    }

    fn check_acknowledged(&mut self, seen: &ObservedAnswer, used: &SegmentNames) {
        let upto = seen.as_of.map(|(_, shown)| shown);
        let acknowledged = seen.baseline.acknowledged.iter();
        let missing: Vec<_> = acknowledged
            .filter(|(_, name)| upto.is_none_or(|upto| name.stamp <= upto))
            .filter(|(_, name)| !used.contains(name))
            .collect();
        if !missing.is_empty() {
            let text = format!("acknowledged requests {missing:?} are not in the answer");
            self.fail(Invariant::AcknowledgedIsVisible, text);
        }
    }

    /// Checks that the returned state is not later than the requested one, and at most [`MARK_SPACING`] older than the
    /// best readable one.
    fn check_past(&mut self, seen: &ObservedAnswer, asked: Stamp, shown: Stamp) {
        self.counts.past_answers += 1;
        let last = seen.tail.iter().map(|name| name.stamp).max();
        if shown > asked || seen.mark > shown || last.is_some_and(|last| last > shown) {
            let text = format!(
                "requested {asked}, returned {shown}, with mark {} and last segment {last:?}",
                seen.mark
            );
            self.fail(Invariant::HistoryIsRetained, text);
        }
        let Some(known) = self.databases.get(&seen.database) else {
            return;
        };
        let oldest = known.current().value.oldest_readable;
        let baseline = known.commits.range(..=seen.baseline.versions.0);
        let marks = baseline
            .filter(|(version, _)| **version >= oldest)
            .map(|(_, commit)| commit.mark());
        let best = marks.filter(|mark| *mark <= asked).max();
        if let Some(best) = best
            && best.time().since(shown.time()) > MARK_SPACING
        {
            let text = format!("requested {asked}, returned {shown}, although {best} can be read");
            self.fail(Invariant::HistoryIsRetained, text);
        }
    }
}
