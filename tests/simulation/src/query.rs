//! Queries: a snapshot, its sections and the deduplicated rows, checked by the oracle.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use arrow_array::{BooleanArray, RecordBatch};
use arrow_select::filter::filter_record_batch;
use neap_bucket::{Get, GetOptions, Key, Stamp, StoreTime};
use neap_catalog::Table;
use neap_manifest::{
    ManifestError, RecordedDelete, Section, Snapshot, SnapshotError, SnapshotOptions,
};
use neap_points::{TableChange, apply_deletes, deduplicate};
use neap_schema::{DatabaseId, TableId};

use crate::{
    disabled_rule::DisabledRule,
    instance::{DATABASE, Instance},
    oracle::{DecodedSection, Invariant, ObservedAnswer, QueryBaseline},
    rows::{Rows, TableRows, merge_rows, plain},
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum QueryConsistency {
    /// The query sees everything that was acknowledged before it.
    Strong,
    /// The query may be one minute old, but includes the last acknowledged write.
    Stale,
    /// The query reads an earlier state.
    AsOf(Stamp),
}

type SectionRows = (Arc<Section>, Arc<DecodedSection>);

/// An answer with the snapshot that it is from. The oracle has checked the answer.
pub(crate) struct SnapshotAnswer {
    pub(crate) snapshot: Arc<Snapshot>,
    pub(crate) rows: TableRows,
    /// The store time at which the retention period ends.
    pub(crate) retention_base: StoreTime,
}

/// The rows of one table.
pub(crate) struct TableAnswer {
    pub(crate) rows: Rows,
    /// The state that the rows are from, if an earlier one was requested.
    pub(crate) shown: Option<Stamp>,
}

impl Instance {
    /// Queries all tables of the first database in one snapshot; `None` if there is no answer.
    pub(crate) async fn query(&self) -> Option<Rows> {
        let answer = self.ask(DATABASE, QueryConsistency::Strong).await?;
        Some(answer.into_values().flatten().collect())
    }

    /// Queries all tables of a database; `None` if there is no answer.
    pub(crate) async fn ask(
        &self,
        database: DatabaseId,
        question: QueryConsistency,
    ) -> Option<TableRows> {
        let answer = self.ask_with_snapshot(database, question).await?;
        Some(answer.rows)
    }

    /// Queries all tables of a database, and returns the snapshot with the answer; `None` if there is no answer.
    pub(crate) async fn ask_with_snapshot(
        &self,
        database: DatabaseId,
        question: QueryConsistency,
    ) -> Option<SnapshotAnswer> {
        let world = &self.world;
        if world.choices.cast.destroying && !self.is_live(database).await? {
            return None;
        }
        let mut options = SnapshotOptions::default();
        let baseline = world.truth.oracle(|oracle| match question {
            QueryConsistency::Strong => oracle.begin(database),
            QueryConsistency::Stale => {
                options.max_staleness = Duration::from_secs(60);
                let (baseline, last) = oracle.stale_baseline(database);
                options.at_least = last;
                baseline
            }
            QueryConsistency::AsOf(stamp) => {
                options.as_of = Some(stamp);
                oracle.begin(database)
            }
        });
        let snapshot = match self.snapshots.read(database, options).await {
            Ok(snapshot) => snapshot,
            Err(error) => {
                self.trace(format_args!("no snapshot for {question:?}: {error}"));
                self.check_refusal(database, question, &error);
                return None;
            }
        };
        let sections = self.sections(&snapshot, None).await?;
        let kept_until = self.retention_base(&snapshot, question);
        let observed = self.observe(&snapshot, question, baseline, &sections, kept_until);
        self.trace(format_args!(
            "query of {database}, {question:?}: version {}, mark {}, {} sections, tail {:?}, {} tables",
            observed.manifest_version,
            observed.mark,
            sections.len(),
            observed.tail,
            observed.answer.len(),
        ));
        self.check(&snapshot, &observed, &sections);
        Some(SnapshotAnswer { snapshot, rows: observed.answer, retention_base: kept_until })
    }

    /// Returns the rows of one table, with the sections of this table only; `None` if there is no such table. With
    /// `as_of`, the rows are those of an earlier state.
    ///
    /// # Errors
    /// The snapshot or a section can't be read.
    pub(crate) async fn read_table(
        &self,
        database: DatabaseId,
        name: &str,
        as_of: Option<Stamp>,
    ) -> Result<Option<TableAnswer>, String> {
        let question = as_of.map_or(QueryConsistency::Strong, QueryConsistency::AsOf);
        let options = SnapshotOptions { as_of, ..SnapshotOptions::default() };
        let snapshot = self.snapshots.read(database, options).await.map_err(|error| {
            self.check_refusal(database, question, &error);
            error.to_string()
        })?;
        let catalog = &snapshot.catalog.value;
        let Some(table) = catalog.table(name) else {
            return Ok(None);
        };
        let sections = self
            .sections(&snapshot, Some(table.id()))
            .await
            .ok_or_else(|| format!("a section of {name} can't be read"))?;
        let now = self.retention_base(&snapshot, question);
        let cutoff = catalog.cutoff_of(table.id(), now);
        let mut rows = self.rows_of(&snapshot, table, &sections);
        rows.retain(|(_, time), _| cutoff.is_none_or(|first| first <= *time));
        Ok(Some(TableAnswer { rows, shown: snapshot.as_of }))
    }

    /// Whether a database exists and is not dropped; `None` if the catalog cannot be read.
    pub(crate) async fn is_live(&self, database: DatabaseId) -> Option<bool> {
        let root = self.catalog.root(Duration::ZERO).await.ok()?;
        let mut live = root.value.live_databases();
        Some(live.any(|(id, _)| id == database))
    }

    fn check_refusal(
        &self,
        database: DatabaseId,
        question: QueryConsistency,
        error: &SnapshotError,
    ) {
        let truth = &self.world.truth;
        let now = self.world.time.now();
        match (question, error) {
            (QueryConsistency::AsOf(stamp), SnapshotError::VersionGone(_)) => {
                truth.oracle(|oracle| oracle.past_refused(database, stamp, now));
            }
            (
                _,
                SnapshotError::VersionGone(_) | SnapshotError::Manifest(ManifestError::Format(_)),
            ) => {
                let text = format!("{question:?}: {error}");
                truth.oracle(|oracle| oracle.fail(Invariant::NoUnexpectedError, text));
            }
            _ => {}
        }
    }

    /// Returns the store time at which the retention period ends.
    fn retention_base(&self, snapshot: &Snapshot, question: QueryConsistency) -> StoreTime {
        let present = self.bucket.clock().now().unwrap_or(snapshot.shown);
        match question {
            QueryConsistency::AsOf(stamp) => stamp.time().min(present),
            _ => present,
        }
    }

    fn observe(
        &self,
        snapshot: &Snapshot,
        question: QueryConsistency,
        baseline: QueryBaseline,
        sections: &[SectionRows],
        kept_until: StoreTime,
    ) -> ObservedAnswer {
        let catalog = &snapshot.catalog.value;
        let mut cutoffs = BTreeMap::new();
        let mut answer = TableRows::new();
        for table in catalog.tables() {
            if let Some(retention) = catalog.retention_of(table.id()) {
                let cutoff = kept_until.minus(retention).micros() * 1_000;
                cutoffs.insert(table.id(), cutoff);
            }
            let first = cutoffs.get(&table.id()).copied();
            let mut rows = self.rows_of(snapshot, table, sections);
            rows.retain(|(_, time), _| first.is_none_or(|first| first <= *time));
            answer.insert(table.id(), rows);
        }
        let as_of = match question {
            QueryConsistency::AsOf(asked) => snapshot.as_of.map(|shown| (asked, shown)),
            _ => None,
        };
        ObservedAnswer {
            database: snapshot.database,
            baseline,
            catalog_version: snapshot.catalog.version,
            manifest_version: snapshot.manifest.version,
            mark: snapshot.mark(),
            as_of,
            tail: snapshot.tail_names().collect(),
            cutoffs,
            answer,
        }
    }

    fn check(&self, snapshot: &Snapshot, observed: &ObservedAnswer, sections: &[SectionRows]) {
        let catalog = &snapshot.catalog.value;
        self.world.truth.oracle(|oracle| {
            let all =
                sections.iter().map(|(section, decoded)| (section.as_ref(), decoded.as_ref()));
            for (id, columns) in oracle.columns(&observed.tail, all) {
                let table = catalog.table_by_id(id);
                let mut columns = columns.iter();
                let unknown =
                    columns.find(|column| table.is_none_or(|table| table.column(column).is_none()));
                if let Some(column) = unknown {
                    let text = format!("column {column} of table {id}");
                    oracle.fail(Invariant::CatalogCoversData, text);
                }
            }
            oracle.check_answer(observed);
        });
    }

    /// Reads the rows of all sections, or of those of one table, with one request for each bundle.
    pub(crate) async fn sections(
        &self,
        snapshot: &Snapshot,
        table: Option<TableId>,
    ) -> Option<Vec<SectionRows>> {
        let (database, manifest) = (snapshot.database, &snapshot.manifest);
        let (world, version) = (&self.world, manifest.version);
        let missed = |key: &Key| {
            let (now, key) = (world.time.now(), key.to_string());
            self.trace(format_args!("misses {key}"));
            let missed = |oracle: &mut crate::oracle::SimulationOracle| {
                oracle.object_missed(database, version, &key, now);
            };
            world.truth.oracle(missed);
        };
        let found = match self.manifests.all_sections(database, &manifest.value).await {
            Ok(found) => found,
            Err(ManifestError::PageGone { key }) => {
                missed(&key);
                return None;
            }
            Err(_) => return None,
        };
        let mut sections: Vec<_> = found.into_iter().map(|found| found.section).collect();
        world.truth.oracle(|oracle| {
            let seen = sections.iter().map(AsRef::as_ref);
            oracle.check_version(database, version, seen);
        });
        sections.retain(|section| table.is_none_or(|table| section.table == table));
        let keys: BTreeSet<Key> = sections.iter().map(|section| section.key(database)).collect();
        for key in keys {
            let of_key = || sections.iter().filter(|section| section.key(database) == key);
            let start = of_key().map(|section| section.offset).min()?;
            let end = of_key().map(|section| section.range().end).max()?;
            let options = GetOptions { range: Some(start..end), if_none_match: None };
            match self.bucket.get(&key, options).await.ok()?.value {
                Get::Found(object) if object.bytes.len() as u64 == end - start => {}
                _ => {
                    missed(&key);
                    return None;
                }
            }
        }
        world.truth.oracle(|oracle| {
            sections
                .into_iter()
                .map(|section| {
                    let decoded = oracle.section(database, &section)?;
                    Some((section, decoded))
                })
                .collect()
        })
    }

    /// Returns the rows of a table, including expired ones.
    fn rows_of(&self, snapshot: &Snapshot, table: &Table, sections: &[SectionRows]) -> Rows {
        let mut deletes: Vec<RecordedDelete> = Vec::new();
        let manifest = &snapshot.manifest.value;
        deletes.extend(manifest.deletes_of(table.id()).cloned());
        for segment in snapshot.tail.iter() {
            let of_table = segment.deletes().iter().filter(|delete| delete.table == table.id());
            deletes.extend(of_table.map(|delete| RecordedDelete {
                stamp: segment.name().stamp,
                delete: delete.clone(),
                added: 0,
                dropped: None,
                expiry: false,
            }));
        }
        let everywhere = self.weakness == Some(DisabledRule::DeleteStampLimit);
        let mut history = Vec::new();
        for (section, decoded) in sections.iter().filter(|(one, _)| one.table == table.id()) {
            let applying: Vec<_> = deletes
                .iter()
                .filter(|recorded| everywhere || recorded.applies_to(section))
                .collect();
            let rows = decoded.batches.iter().map(|batch| without(batch, &applying));
            history.extend(rows.map(TableChange::Rows));
        }
        for segment in snapshot.tail.iter() {
            let rows = segment.rows(table.id()).unwrap();
            history.extend(rows.into_iter().map(TableChange::Rows));
            let of_table = segment.deletes().iter().filter(|delete| delete.table == table.id());
            history.extend(of_table.map(|delete| TableChange::Delete(&delete.condition)));
        }
        let batches = apply_deletes(history).unwrap();
        let folded = deduplicate(&table.tag_names(), &table.arrow_schema(), batches).unwrap();
        let mut rows = Rows::new();
        merge_rows(&mut rows, &plain(&folded));
        rows
    }
}

/// Returns the rows that no delete removes.
pub(crate) fn without(batch: &RecordBatch, deletes: &[&RecordedDelete]) -> RecordBatch {
    let mut rows = batch.clone();
    for recorded in deletes {
        let gone = recorded.delete.condition.mask(&rows).unwrap();
        rows = filter_record_batch(&rows, &BooleanArray::new(!&gone, None)).unwrap();
    }
    rows
}
