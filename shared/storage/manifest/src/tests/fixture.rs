//! A test instance that commits flushes, merges and collections, with real bundles.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use neap_bucket::{Get, GetOptions, Key, PrefixListing, PutMode, Stamp, StoreTime, VersionedValue};
use neap_row_delete::{Condition, RowDelete};
use neap_schema::{DatabaseId, TableId};

use super::{DATABASE, Instance, ManifestTestBed, job, section};
use crate::{
    FlushCommit, FlushOutcome, GarbageCollection, JobKind, Manifest, ManifestSettings,
    ManifestStore, ObjectName, PendingObject, ReferencedObjects, ReplaceOutcome, ReplaceRefusal,
    Replacement, Section, SnapshotSettings, TimeRange,
};

pub(super) const DAY_NANOS: i64 = 86_400_000_000_000;

/// Minimum age of an unreferenced object to count as an orphan (24 h).
pub(super) const ORPHAN_AGE: Duration = Duration::from_secs(24 * 60 * 60);

/// Returns mark number `number`. Marks are so far apart that none is thinned out.
pub(super) fn mark(number: u64) -> Stamp {
    let seconds = i64::try_from(number).unwrap() * 20;
    Stamp::end_of(StoreTime::from_micros(seconds * 1_000_000 - 1))
}

/// Returns a delete of all rows of a table in a range of days.
pub(super) fn delete_of(table: u32, first_day: i32, last_day: i32) -> RowDelete {
    let min = i64::from(first_day) * DAY_NANOS;
    let max = (i64::from(last_day) + 1) * DAY_NANOS - 1;
    RowDelete {
        table: TableId::new(table),
        condition: Condition::between(min, max),
    }
}

#[derive(Clone, Debug)]
pub(super) struct ManifestFixture {
    pub(super) stage: ManifestTestBed,
    pub(super) instance: Instance,
    pub(super) database: DatabaseId,
}

impl ManifestFixture {
    pub(super) fn new(inline_sections: usize) -> Self {
        Self::on(&ManifestTestBed::new(), 1, inline_sections)
    }

    /// Creates an instance with its own caches.
    pub(super) fn on(stage: &ManifestTestBed, seed: u64, inline_sections: usize) -> Self {
        let mut instance = stage.instance(seed, SnapshotSettings::default());
        let settings = ManifestSettings::with_inline_sections(inline_sections);
        instance.manifests = ManifestStore::new(instance.bucket.clone(), &instance.rules, settings);
        Self { stage: stage.clone(), instance, database: DATABASE }
    }

    pub(super) fn store(&self) -> &ManifestStore {
        &self.instance.manifests
    }

    pub(super) async fn read(&self) -> VersionedValue<Manifest> {
        self.store().read(self.database, None).await.unwrap()
    }

    pub(super) async fn sections_of(&self, manifest: &Manifest) -> Vec<Arc<Section>> {
        let found = self.store().all_sections(self.database, manifest).await.unwrap().into_iter();
        found.map(|found| found.section).collect()
    }

    /// Returns the sections of a table, ordered by stamp.
    pub(super) async fn table(&self, table: u32) -> Vec<Arc<Section>> {
        let manifest = self.read().await.value;
        let table = TableId::new(table);
        let found = self
            .store()
            .load_sections(self.database, &manifest, table, TimeRange::ALL)
            .await
            .unwrap()
            .into_iter();
        found.map(|found| found.section).collect()
    }

    /// Puts a bundle with these sections.
    pub(super) async fn bundle(&self, sections: &mut [Section]) -> PendingObject {
        let object = match PendingObject::draw(&self.instance.bucket) {
            Some(object) => object,
            None => {
                self.read().await;
                PendingObject::draw(&self.instance.bucket).unwrap()
            }
        };
        let mut bundle = Vec::new();
        let in_bundle = sections.len() > 1;
        for section in sections.iter_mut() {
            section.in_bundle = in_bundle;
            section.object = object.ulid;
            section.offset = bundle.len() as u64;
            bundle.extend_from_slice(&[0; 32]);
        }
        let key = sections[0].key(self.database);
        let put = self.instance.bucket.put(&key, bundle.into(), PutMode::Overwrite);
        put.await.unwrap();
        object
    }

    /// Prepares a flush of the next interval that adds sections of these tables and days.
    pub(super) async fn next_flush(
        &self,
        base: &VersionedValue<Manifest>,
        sections: &[(u32, i32)],
    ) -> FlushCommit {
        let read_mark = base.value.low_water_mark;
        let number = read_mark.time().micros() / 20_000_000;
        let cut = match read_mark {
            Stamp::ZERO => mark(1),
            _ => mark(u64::try_from(number).unwrap() + 2),
        };
        let (above, upto) = (read_mark.as_u64(), cut.as_u64());
        let mut sections: Vec<_> =
            sections.iter().map(|(table, day)| section(*table, *day, above, upto)).collect();
        let object = if sections.is_empty() {
            None
        } else {
            Some(self.bundle(&mut sections).await)
        };
        FlushCommit {
            sections,
            object,
            ..FlushCommit::new(read_mark, cut, job(JobKind::Flush))
        }
    }

    pub(super) async fn commit_flush(
        &self,
        base: VersionedValue<Manifest>,
        flush: FlushCommit,
    ) -> FlushOutcome {
        let outcome = self.store().commit_flush(self.database, base, flush);
        outcome.await.unwrap()
    }

    pub(super) async fn flush(&self, sections: &[(u32, i32)]) -> VersionedValue<Manifest> {
        self.flush_with(sections, Vec::new()).await
    }

    /// Commits flushes with these sections, one after the other.
    pub(super) async fn flush_times(&self, count: usize, sections: &[(u32, i32)]) {
        for _ in 0..count {
            self.flush(sections).await;
        }
    }

    /// Commits a flush with deletes, whose stamp is the end of the interval.
    pub(super) async fn flush_with(
        &self,
        sections: &[(u32, i32)],
        deletes: Vec<RowDelete>,
    ) -> VersionedValue<Manifest> {
        let base = self.read().await;
        let mut flush = self.next_flush(&base, sections).await;
        let cut = flush.cut;
        flush.deletes = deletes.into_iter().map(|delete| (cut, delete)).collect();
        match self.commit_flush(base, flush).await {
            FlushOutcome::Committed(current) => current,
            other => panic!("{other:?}"),
        }
    }

    /// Returns a replacement that removes sections.
    pub(super) fn removal(inputs: &[Arc<Section>]) -> Replacement {
        Replacement {
            table: inputs[0].table,
            remove: inputs.to_vec(),
            add: Vec::new(),
            object: None,
            floor: None,
            claim: None,
            job: job(JobKind::Expire),
        }
    }

    /// Prepares a merge of sections into one, with all deletes of `base` applied, and puts its object.
    pub(super) async fn merge(
        &self,
        base: &VersionedValue<Manifest>,
        inputs: &[Arc<Section>],
    ) -> Replacement {
        let mut output = Section::clone(&inputs[0]);
        for input in inputs {
            output.first_day = output.first_day.min(input.first_day);
            output.last_day = output.last_day.max(input.last_day);
            output.min_time = output.min_time.min(input.min_time);
            output.max_time = output.max_time.max(input.max_time);
            output.above = output.above.min(input.above);
            output.upto = output.upto.max(input.upto);
        }
        output.rows = inputs.iter().map(|input| input.rows).sum();
        output.cleaned = base.value.low_water_mark;
        output.origin = None;
        let mut add = vec![output];
        let object = self.bundle(&mut add).await;
        Replacement {
            add,
            object: Some(object),
            job: job(JobKind::Merge),
            ..Self::removal(inputs)
        }
    }

    pub(super) async fn replace(
        &self,
        base: VersionedValue<Manifest>,
        replacement: &Replacement,
    ) -> ReplaceOutcome {
        let outcome = self.store().replace(self.database, base, replacement);
        outcome.await.unwrap()
    }

    pub(super) async fn replaced(
        &self,
        base: VersionedValue<Manifest>,
        replacement: &Replacement,
    ) -> VersionedValue<Manifest> {
        match self.replace(base, replacement).await {
            ReplaceOutcome::Committed(current) => current,
            other => panic!("{other:?}"),
        }
    }

    pub(super) async fn refused(
        &self,
        base: VersionedValue<Manifest>,
        replacement: &Replacement,
    ) -> ReplaceRefusal {
        match self.replace(base, replacement).await {
            ReplaceOutcome::GivenUp(reason) => reason,
            other => panic!("{other:?}"),
        }
    }

    pub(super) async fn referenced_objects(&self, manifest: &Manifest) -> ReferencedObjects {
        let referenced = self.store().referenced_objects(self.database, manifest).await;
        referenced.unwrap()
    }

    /// Returns the objects with sections and pages in the store, with the times of their puts.
    pub(super) async fn objects(&self) -> Vec<(ObjectName, StoreTime)> {
        let prefix = Key::data_prefix(self.database);
        let mut found = Vec::new();
        let mut listing = PrefixListing::new(&self.instance.bucket, &prefix);
        while let Some(page) = listing.next().await.unwrap() {
            found.extend(page.value.iter().map(|entry| {
                let (_, name) = ObjectName::of_key(&entry.key.parse().unwrap()).unwrap();
                (name, entry.last_modified)
            }));
        }
        found
    }

    pub(super) async fn exists(&self, object: ObjectName) -> bool {
        let key = object.key(self.database);
        let found = self.instance.bucket.get(&key, GetOptions::default()).await;
        matches!(found.unwrap().value, Get::Found(_))
    }

    pub(super) async fn delete(&self, objects: &BTreeSet<ObjectName>) {
        let keys: Vec<_> =
            objects.iter().map(|object| object.key(self.database).to_string()).collect();
        self.instance.bucket.delete(&keys).await.unwrap();
    }

    /// Prepares a collection: finds deletable objects and orphans, and deletes nothing.
    pub(super) async fn look(
        &self,
        base: &VersionedValue<Manifest>,
        time_travel: Duration,
    ) -> GarbageCollection {
        let referenced = self.referenced_objects(&base.value).await;
        let now = base.current_at.unwrap();
        let old = self
            .objects()
            .await
            .into_iter()
            .filter(|(_, put)| now.since(*put) >= ORPHAN_AGE);
        let orphans = old.map(|(name, _)| name);
        GarbageCollection {
            bundle_sizes: BTreeMap::new(),
            orphans: orphans.filter(|name| !referenced.names(*name)).collect(),
            deleted: referenced.deletable(),
            referenced,
            time_travel,
            released: BTreeSet::new(),
            ended_publications: BTreeSet::new(),
        }
    }

    pub(super) async fn commit_collection(
        &self,
        base: VersionedValue<Manifest>,
        collection: &GarbageCollection,
    ) -> VersionedValue<Manifest> {
        let commit = self.store().commit_collection(self.database, base, collection);
        commit.await.unwrap()
    }

    /// Runs a whole collection.
    pub(super) async fn collect(&self, time_travel: Duration) -> VersionedValue<Manifest> {
        let base = self.read().await;
        let collection = self.look(&base, time_travel).await;
        self.delete(&collection.deleted).await;
        self.commit_collection(base, &collection).await
    }

    /// Collects garbage every hour.
    pub(super) async fn collect_hourly(&self, times: usize) {
        const HOUR: Duration = Duration::from_secs(3_600);
        for _ in 0..times {
            self.stage.sleep(HOUR).await;
            self.collect(HOUR).await;
        }
    }
}
