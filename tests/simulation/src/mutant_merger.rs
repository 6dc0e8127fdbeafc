//! The simulation's own merger, which follows all rules of merging except one.

use std::sync::Arc;

use arrow_array::{BooleanArray, RecordBatch};
use arrow_select::filter::filter_record_batch;
use bytes::Bytes;
use neap_bucket::{
    CommitOutcome, Get, GetOptions, Key, PutMode, RegisterChange, Stamp, VersionedValue,
};
use neap_catalog::{ANY_AGE, Table};
use neap_compact::{EncodedSection, MergeJob, encode_section};
use neap_manifest::{
    CondemnedEntry, DroppedItem, Manifest, OBJECT_NAME_AGE, ObjectName, PendingObject,
    RecordedDelete, Section,
};
use neap_points::{deduplicate, times};
use neap_row_delete::{Condition, RowDelete};
use neap_schema::DatabaseId;

use crate::{
    compactors::closed_set, disabled_rule::DisabledRule, instance::Instance, query::without,
    rows::read_section,
};

/// A merge that is ready to be committed.
struct PendingMergeCommit {
    job: MergeJob,
    section: Option<Section>,
    object: PendingObject,
    /// Rows before this time have expired.
    cutoff: Option<i64>,
    weakness: DisabledRule,
}

impl Instance {
    /// Merges random sections. The manifest has no pages.
    pub(crate) async fn merge_without_rule(
        &self,
        database: DatabaseId,
        weakness: DisabledRule,
    ) -> Option<()> {
        let manifest = self.manifests.read(database, None).await.ok()?;
        let is_closed = weakness != DisabledRule::MergeClosure;
        let job = closed_set(&self.world.chance, &manifest.value.sections, is_closed)?;
        let count = job.inputs.len();
        let is_done = self.merge_on(database, manifest, job, weakness).await?;
        self.trace(format_args!("merge of {count} sections of {database}: {is_done}"));
        Some(())
    }

    /// Merges the sections of a job that are in this manifest, which may no longer be the current one. Returns whether
    /// the merge was committed; `None` if no commit was attempted or a request failed.
    pub(crate) async fn merge_on(
        &self,
        database: DatabaseId,
        manifest: VersionedValue<Manifest>,
        job: MergeJob,
        weakness: DisabledRule,
    ) -> Option<bool> {
        let needs = manifest.value.needs_catalog;
        let mut catalog = self.catalog.database(database, ANY_AGE).await.ok()?;
        if catalog.version < needs {
            let fresh = self.catalog.database(database, std::time::Duration::ZERO);
            catalog = fresh.await.ok()?;
        }
        let table = Arc::clone(catalog.value.table_by_id(job.table)?);
        let now = catalog.current_at?;
        let retention = catalog.value.retention_of(job.table);
        let cutoff = retention.map(|retention| now.minus(retention).micros() * 1_000);
        let rows = self.rows_left(database, &manifest.value, &job, cutoff, weakness).await?;
        let tags = table.tag_names();
        let folded = deduplicate(&tags, &schema(&table, &rows), rows).ok()?;
        let object = PendingObject::draw(&self.bucket)?;
        let section = match folded.num_rows() {
            0 => None,
            _ => Some(encode_section(&tags, &folded).ok()?),
        };
        let section = match section {
            None => None,
            Some(encoded) => {
                let section = section_of(&job, object, &encoded, &manifest.value);
                let key = Key::Parquet(database, object.ulid);
                let body = Bytes::from(encoded.bytes);
                self.bucket.put(&key, body, PutMode::Overwrite).await.ok()?;
                Some(section)
            }
        };
        let merged = PendingMergeCommit { job, section, object, cutoff, weakness };
        let register = self.manifests.register(database);
        let change = |base: &VersionedValue<Manifest>| {
            let next = merged.apply(base).ok_or(())?;
            Ok::<_, ()>(RegisterChange::Put(next, ()))
        };
        let outcome = register.commit(Some(manifest), change).await.ok()?;
        Some(matches!(outcome, CommitOutcome::Committed { .. }))
    }

    /// Returns the rows of the inputs, without deleted and expired ones.
    async fn rows_left(
        &self,
        database: DatabaseId,
        manifest: &Manifest,
        job: &MergeJob,
        cutoff: Option<i64>,
        weakness: DisabledRule,
    ) -> Option<Vec<RecordBatch>> {
        let mut left = Vec::new();
        for input in &job.inputs {
            let options = GetOptions { range: Some(input.range()), if_none_match: None };
            let answer = self.bucket.get(&input.key(database), options).await.ok()?;
            let Get::Found(found) = answer.value else {
                return None;
            };
            let deletes: Vec<_> = manifest
                .deletes_of(job.table)
                .filter(|recorded| match weakness {
                    DisabledRule::MergeAppliesDeletes => false,
                    DisabledRule::DeleteStampLimit => true,
                    _ => recorded.applies_to(input),
                })
                .collect();
            for batch in read_section(found.bytes) {
                let rows = without(&batch, &deletes);
                let kept = times(&rows)
                    .ok()?
                    .values()
                    .iter()
                    .map(|time| cutoff.is_none_or(|cutoff| cutoff <= *time));
                let kept = BooleanArray::from(kept.collect::<Vec<_>>());
                left.push(filter_record_batch(&rows, &kept).ok()?);
            }
        }
        Some(left)
    }
}

/// Returns the columns of a table that occur in the rows.
fn schema(table: &Table, rows: &[RecordBatch]) -> arrow_schema::SchemaRef {
    let all = table.arrow_schema();
    let is_there = |name: &str| rows.iter().any(|batch| batch.column_by_name(name).is_some());
    let fields: Vec<_> =
        all.fields().iter().filter(|field| is_there(field.name())).cloned().collect();
    Arc::new(arrow_schema::Schema::new(fields))
}

fn section_of(
    job: &MergeJob,
    object: PendingObject,
    encoded: &EncodedSection,
    manifest: &Manifest,
) -> Section {
    let days = job.first_day..=job.last_day;
    Section {
        cleaned: manifest.low_water_mark,
        ..encoded.describe(object, job.table, days, (job.above, job.upto))
    }
}

impl PendingMergeCommit {
    /// Returns the manifest after the merge, if the merge may be committed on this base.
    fn apply(&self, base: &VersionedValue<Manifest>) -> Option<Manifest> {
        let version = base.version + 1;
        let is_input = |section: &Section| self.job.inputs.iter().any(|one| one.is_same(section));
        let mut next = Manifest::successor(base);
        let (removed, kept): (Vec<_>, Vec<_>) =
            next.sections.into_iter().partition(|one| is_input(one));
        next.sections = kept;
        let all_there = removed.len() == self.job.inputs.len();
        let bounds = self.job.bounds();
        let is_met = |section: &Arc<Section>| {
            section.table == self.job.table && bounds.overlaps(&section.bounds())
        };
        let needs_inputs = self.weakness != DisabledRule::MergeInputCheck;
        let needs_closure = !matches!(
            self.weakness,
            DisabledRule::MergeClosure
                | DisabledRule::MergeClosureRecheck
                | DisabledRule::MergeInputCheck
        );
        if needs_inputs && !all_there
            || needs_closure && next.sections.iter().any(is_met)
            || !self.may_be_named(base)
        {
            return None;
        }
        next.condemned.extend(removed.into_iter().map(|section| CondemnedEntry {
            what: DroppedItem::Section(section),
            version,
            first_version: None,
            committed: None,
            doomed: false,
        }));
        let section = self.section.clone().map(|section| Section { added: version, ..section });
        next.sections.extend(section.map(Arc::new));
        next.sections.sort_by_key(|one| (one.upto, one.above, one.table, one.first_day));
        if let Some(cutoff) = self.cutoff
            && self.weakness != DisabledRule::ExpiryRecord
        {
            let mark = next.low_water_mark.as_u64();
            let condition = Condition::Time { min: i64::MIN, max: cutoff - 1 };
            next.deletes.push(RecordedDelete {
                stamp: Stamp::from_u64(mark + 1),
                delete: RowDelete { table: self.job.table, condition },
                added: version,
                dropped: None,
                expiry: true,
            });
        }
        let Manifest { deletes, sections, .. } = &mut next;
        for recorded in deletes.iter_mut().filter(|one| one.dropped.is_none()) {
            let is_needed = sections.iter().any(|section| recorded.applies_to(section));
            recorded.dropped = (!is_needed).then_some(version);
        }
        deletes.retain(|recorded| recorded.dropped != Some(recorded.added));
        Some(next)
    }

    /// Whether the object is young, and was not condemned as an orphan.
    fn may_be_named(&self, base: &VersionedValue<Manifest>) -> bool {
        let name = ObjectName::Parquet(self.object.ulid);
        let mut condemned = base.value.condemned.iter();
        let is_condemned = condemned
            .any(|entry| matches!(&entry.what, DroppedItem::Object(object) if *object == name));
        let age = base.current_at.map(|current_at| current_at.since(self.object.drawn));
        !is_condemned && age.is_some_and(|age| age <= OBJECT_NAME_AGE)
    }
}
