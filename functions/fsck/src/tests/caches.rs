//! Tests of cache objects: damage is found, is not an error, and is repaired by removing the entries.

use std::time::Duration;

use neap_catalog::{NewDistinctCache, NewLastCache};
use neap_compact::{CompactParts, CompactorSettings, GarbageCollectorSettings, MergePolicy};
use neap_manifest::CacheEntry;

use super::*;

/// Creates a fixture with a filled last value cache and a filled distinct value cache of `cpu`.
async fn filled() -> FsckFixture {
    let stage = FsckFixture::in_memory().await;
    stage.write(CPU, &[("b", Some("x"), 5, 1.0), ("a", None, 7, 2.0)]).await;
    stage.flush().await;
    // Longer than the age of the rows.
    let age = 100 * 365 * 24 * 60 * 60;
    let last = NewLastCache {
        table: CPU.to_owned(),
        name: None,
        key_columns: Some(vec!["host".to_owned()]),
        value_columns: None,
        count: 1,
        ttl_s: age,
    };
    let distinct = NewDistinctCache {
        table: CPU.to_owned(),
        name: None,
        columns: vec!["zone".to_owned()],
        max_cardinality: 10,
        max_age_s: age,
    };
    let (catalog, id) = (&stage.catalog, stage.database);
    catalog.create_last_cache(id, &last).await.unwrap();
    catalog.create_distinct_cache(id, &distinct).await.unwrap();
    stage.fill_caches().await;
    assert_eq!(stage.entries().await.len(), 2);
    stage
}

impl FsckFixture {
    async fn fill_caches(&self) {
        let parts = CompactParts {
            bucket: self.bucket.clone(),
            margins: ProtocolMargins::LOCAL,
            rules: ProtocolRules::new(ProtocolMargins::LOCAL),
            flush: FlushLimits::default(),
            merge: MergePolicy::default(),
            collect: GarbageCollectorSettings::default(),
            settings: CompactorSettings::default(),
        };
        let compactor = parts.assemble(None);
        compactor.fill_caches(self.database, None).await.unwrap();
    }

    async fn entries(&self) -> Vec<CacheEntry> {
        self.manifest().await.value.caches.clone()
    }
}

#[tokio::test(start_paused = true)]
async fn filled_caches_are_clean_and_counted() {
    let stage = filled().await;
    let report = stage.full().await;
    assert_eq!(lines(&report), "");
    assert_eq!(report.checked.objects, 3);
    assert_eq!(lines(&stage.quick().await), "");
}

#[tokio::test(start_paused = true)]
async fn missing_or_truncated_cache_objects_are_warnings_and_rebuilt_after_a_repair() {
    let stage = filled().await;
    let [one, other] = stage.entries().await.try_into().unwrap();
    stage.delete(&one.key(stage.database)).await;
    stage.truncate(&other.key(stage.database), 10).await;
    let report = stage.repair(false).await;
    assert!(report.clean);
    let length = other.length;
    assert_eq!(
        lines(&report),
        format!(
            "warning  <cache> (\"db\".\"cpu\"): it is missing: queries read the sections instead\n\
             warning  <cache> (\"db\".\"cpu\"): it has 10 of {length} bytes: queries read the sections instead"
        )
    );
    assert_eq!(
        report.repaired,
        [r#""db": 2 cache objects are removed from the manifest, compaction rebuilds them"#]
    );
    assert_eq!(stage.entries().await, []);
    stage.fill_caches().await;
    assert_eq!(lines(&stage.full().await), "");
    assert_eq!(stage.entries().await.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn damage_inside_a_cache_object_is_found_by_a_full_check() {
    let stage = filled().await;
    let entry = stage.entries().await.remove(0);
    stage.flip_bit(&entry.key(stage.database), 40).await;
    assert_eq!(lines(&stage.quick().await), "");
    let report = stage.full().await;
    assert_eq!(
        lines(&report),
        "warning  <cache> (\"db\".\"cpu\"): its checksum does not match: queries read the sections instead"
    );
    // Bytes that are not a cache, with the right checksum.
    let bytes = vec![0; usize::try_from(entry.length).unwrap()];
    let crc = crc32c::crc32c(&bytes);
    stage.put(&entry.key(stage.database).to_string(), bytes).await;
    stage.tamper(|manifest| manifest.caches[0].crc32c = crc).await;
    let report = lines(&stage.full().await);
    assert!(report.contains("it can't be decoded"), "{report}");
}

#[tokio::test(start_paused = true)]
async fn superseded_objects_are_noted_after_a_day() {
    let stage = filled().await;
    stage.write(CPU, &[("c", None, 9, 1.0)]).await;
    stage.flush().await;
    assert_eq!(lines(&stage.full().await), "");
    stage.advance(Duration::from_secs(25 * 60 * 60));
    let report = stage.quick().await;
    assert_eq!((report.notes, report.warnings, report.errors), (2, 0, 0));
    assert!(lines(&report).contains("it is unreferenced"));
}
