//! Builds cache contents from the sections up to a mark, and advances them to a later mark.

use std::collections::BTreeMap;

use arrow_array::RecordBatch;
use neap_bucket::{Stamp, VersionedValue};
use neap_cache::{CacheError, CacheLayer, CacheLayerBuilder};
use neap_manifest::{Manifest, SectionWithFooter, TimeRange};
use neap_row_delete::Condition;
use neap_schema::CacheId;

use super::{
    CacheBackfill,
    backfill_task::{BackfillStop, BackfillTask, BuiltLayer, BuiltLayers},
    contents::{MAX_CONTENT_BYTES, advanced},
};
use crate::{
    CompactError,
    merge::{MergeError, RowSink, ScanOutcome, SectionScan},
};

/// Writes rows to all caches of a table. Drops a cache that cannot take them, and the largest cache if all together
/// exceed the memory limit.
struct LayerBuilders {
    slots: Vec<Result<CacheLayerBuilder, CacheError>>,
    limit_bytes: usize,
}

impl LayerBuilders {
    fn sizes(&self) -> impl Iterator<Item = (usize, usize)> {
        let builders = self.slots.iter().enumerate();
        builders.filter_map(|(place, slot)| Some((slot.as_ref().ok()?.size_bytes(), place)))
    }

    fn shrink(&mut self) {
        while self.size_bytes() > self.limit_bytes {
            let largest = self.sizes().max().map(|(_, place)| place);
            let Some(slot) = largest.and_then(|place| self.slots.get_mut(place)) else {
                return;
            };
            *slot = Err(CacheError::TooLarge { limit: self.limit_bytes });
        }
    }
}

impl RowSink for LayerBuilders {
    fn write(&mut self, rows: &RecordBatch) -> Result<(), MergeError> {
        for slot in &mut self.slots {
            if let Ok(builder) = slot
                && let Err(error) = builder.push(rows)
            {
                *slot = Err(error);
            }
        }
        self.shrink();
        Ok(())
    }

    fn size_bytes(&self) -> usize {
        self.sizes().map(|(size, _)| size).sum()
    }
}

impl CacheBackfill {
    /// Builds the contents of the caches at the mark of a manifest.
    pub(super) async fn build(
        &self,
        task: &BackfillTask,
        base: &VersionedValue<Manifest>,
    ) -> Result<Result<BuiltLayers, BackfillStop>, CompactError> {
        let sections = self.sections(task, &base.value, Stamp::ZERO).await?;
        let (inputs, bytes_in) = (sections.len(), length_of(&sections));
        let contents = match self.read(task, &base.value, sections).await? {
            Ok(contents) => contents,
            Err(stopped) => return Ok(Err(stopped)),
        };
        let layers = task.layers.iter().zip(contents);
        let built = layers.filter_map(|((cache, shape, from), contents)| {
            Some(BuiltLayer {
                cache: *cache,
                shape: shape.clone(),
                from: *from,
                contents: self.ok_or_pause(task.database, *cache, contents)?,
            })
        });
        Ok(Ok(BuiltLayers {
            mark: base.value.low_water_mark,
            version: base.version,
            layers: built.collect(),
            inputs: u32::try_from(inputs).unwrap_or(u32::MAX),
            bytes_in,
        }))
    }

    /// Returns the sections with needed rows above a stamp.
    async fn sections(
        &self,
        task: &BackfillTask,
        manifest: &Manifest,
        above: Stamp,
    ) -> Result<Vec<SectionWithFooter>, CompactError> {
        let times = TimeRange { first: task.from(), last: i64::MAX };
        let found = self
            .manifests
            .load_sections(task.database, manifest, task.table.id(), times)
            .await?;
        let is_newer = |found: &SectionWithFooter| found.section.upto > above;
        Ok(found.into_iter().filter(is_newer).collect())
    }

    /// Reads sections into the contents of each cache.
    async fn read(
        &self,
        task: &BackfillTask,
        manifest: &Manifest,
        sections: Vec<SectionWithFooter>,
    ) -> Result<Result<Vec<Result<CacheLayer, CacheError>>, BackfillStop>, CompactError> {
        let slots = task
            .layers
            .iter()
            .map(|(_, shape, from)| Ok(CacheLayerBuilder::new(shape, *from, MAX_CONTENT_BYTES)));
        let builders = LayerBuilders {
            slots: slots.collect(),
            // The other half is for reading.
            limit_bytes: usize::try_from(task.limits.max_memory_bytes / 2).unwrap_or(usize::MAX),
        };
        let scan = SectionScan {
            bucket: &self.bucket,
            database: task.database,
            manifest,
            table: &task.table,
            sections,
            from: task.from(),
            started_at: &task.started_at,
            limits: &task.limits,
        };
        let world = self.bucket.world();
        let left = task.limits.time.saturating_sub(world.elapsed(&task.started_at));
        let scan = scan.run(builders);
        let Some(scanned) = world.timeout(left, scan).await else {
            return Ok(Err(BackfillStop::OutOfTime));
        };
        Ok(match scanned? {
            ScanOutcome::Completed(LayerBuilders { slots, .. }) => {
                let finish = |slot: Result<CacheLayerBuilder, CacheError>| slot?.finish();
                Ok(slots.into_iter().map(finish).collect())
            }
            ScanOutcome::OutOfTime => Err(BackfillStop::OutOfTime),
            ScanOutcome::OutOfMemory => {
                Err(BackfillStop::Abandoned("the caches need too much memory"))
            }
        })
    }

    /// Applies flushes and deletes since the build.
    pub(super) async fn catch_up(
        &self,
        task: &BackfillTask,
        built: &mut BuiltLayers,
        current: &VersionedValue<Manifest>,
    ) -> Result<Result<(), BackfillStop>, CompactError> {
        let (value, table) = (&current.value, task.table.id());
        let is_stale =
            |layer: &BuiltLayer| value.may_have_expired(table, layer.from, built.version);
        // A delete that was applied to all sections may be forgotten, together with the versions that need it.
        let is_forgotten = value.oldest_readable > built.version;
        let has_new_columns = value.needs_catalog > task.catalog_version;
        if is_forgotten || has_new_columns || built.layers.iter().any(is_stale) {
            return Ok(Err(BackfillStop::Stale));
        }
        if value.low_water_mark == built.mark {
            built.version = current.version;
            return Ok(Ok(()));
        }
        let since = value.deletes.iter().filter(|recorded| {
            recorded.added > built.version && !recorded.expiry && recorded.delete.table == table
        });
        let deletes: Vec<&Condition> = since.map(|recorded| &recorded.delete.condition).collect();
        let sections = self.sections(task, value, built.mark).await?;
        built.inputs =
            built.inputs.saturating_add(u32::try_from(sections.len()).unwrap_or(u32::MAX));
        built.bytes_in += length_of(&sections);
        let newer = match self.read(task, value, sections).await? {
            Ok(newer) => newer,
            Err(stopped) => return Ok(Err(stopped)),
        };
        let caches = task.layers.iter().map(|(cache, _, _)| *cache);
        let mut newer: BTreeMap<CacheId, _> = caches.zip(newer).collect();
        let mut layers = Vec::new();
        for layer in std::mem::take(&mut built.layers) {
            let advanced = match newer.remove(&layer.cache) {
                Some(Ok(newer)) => {
                    let BuiltLayer { shape, from, contents, .. } = &layer;
                    advanced(contents, shape, &deletes, None, &newer, *from)
                }
                Some(Err(error)) => Err(error),
                None => continue,
            };
            if matches!(advanced, Err(CacheError::Incomplete)) {
                return Ok(Err(BackfillStop::Stale));
            }
            if let Some(contents) = self.ok_or_pause(task.database, layer.cache, advanced) {
                layers.push(BuiltLayer { contents, ..layer });
            }
        }
        built.layers = layers;
        built.mark = value.low_water_mark;
        built.version = current.version;
        Ok(Ok(()))
    }
}

fn length_of(sections: &[SectionWithFooter]) -> u64 {
    sections.iter().map(|found| found.section.length).sum()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow_array::{ArrayRef, DictionaryArray, TimestampNanosecondArray, types::Int32Type};
    use neap_cache::CacheShape;
    use neap_catalog::{ANY_AGE, NewDistinctCache};

    use super::*;
    use crate::tests::test_bed::{CompactTestBed, NOW};

    #[tokio::test]
    async fn the_largest_cache_is_dropped_when_memory_is_short() {
        let stage = CompactTestBed::with_rows(&format!("m,host=a,zone=x v=1 {NOW}")).await;
        let id = stage.id("db").await;
        for columns in [["zone"], ["host"]] {
            let new = NewDistinctCache {
                table: "m".to_owned(),
                name: None,
                columns: columns.map(str::to_owned).to_vec(),
                max_cardinality: 100_000,
                max_age_s: 3_600,
            };
            stage.catalog.create_distinct_cache(id, &new).await.unwrap();
        }
        let catalog = stage.catalog.database(id, ANY_AGE).await.unwrap();
        let table = catalog.value.table("m").unwrap();
        let shapes: Vec<_> = CacheShape::all_of(table).map(|(_, shape)| shape).collect();
        let slots = shapes
            .iter()
            .map(|shape| Ok(CacheLayerBuilder::new(shape, 0, MAX_CONTENT_BYTES)));
        let mut builders = LayerBuilders { slots: slots.collect(), limit_bytes: 256 << 10 };
        let names: Vec<_> = (0..20_000).map(|n| format!("host-{n}")).collect();
        let hosts: DictionaryArray<Int32Type> = names.iter().map(String::as_str).collect();
        let zones: DictionaryArray<Int32Type> = (0..20_000).map(|_| "x").collect();
        let rows = RecordBatch::try_from_iter([
            ("host", Arc::new(hosts) as ArrayRef),
            ("zone", Arc::new(zones)),
            ("time", Arc::new(TimestampNanosecondArray::from_iter_values(0..20_000))),
        ]);
        builders.write(&rows.unwrap()).unwrap();
        let is_there: Vec<_> = builders.slots.iter().map(Result::is_ok).collect();
        assert_eq!(is_there, [true, false]);
        assert!(builders.size_bytes() <= 256 << 10);
    }
}
