//! Damaged segments, pages and sections: readable data is flushed, merged and kept, and damage is reported by name.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use neap_bucket::{Get, GetOptions, Key, PutMode, SegmentName, Store};
use neap_manifest::{
    DamageRecord, DamagedPart, JobKind, JobRecord, LostRows, Manifest, ReplaceOutcome, Replacement,
    TimeRange,
};
use neap_schema::TableId;
use neap_wal::Segment;

use super::test_bed::{CompactTestBed, NOW};
use crate::{FlushResult, FlushSkipped};

const HOUR: Duration = Duration::from_secs(3600);

impl CompactTestBed {
    async fn bytes(&self, key: &str) -> Vec<u8> {
        let found = self.store.get(key, GetOptions::default()).await.unwrap();
        match found.value {
            Get::Found(object) => object.bytes.to_vec(),
            other => panic!("{key}: {other:?}"),
        }
    }

    /// Flips a bit of an object.
    async fn flip(&self, key: &str, byte: usize) {
        let mut bytes = self.bytes(key).await;
        bytes[byte] ^= 1;
        let put = self.store.put(key, bytes.into(), PutMode::Overwrite);
        put.await.unwrap();
    }

    /// Flips a bit of the rows of a table in the only segment.
    async fn flip_rows(&self, table: TableId) -> SegmentName {
        let [key] = &self.keys("tail/").await[..] else {
            panic!("more than one segment");
        };
        let Ok(Key::Segment(database, name)) = key.parse() else {
            panic!("{key}");
        };
        let bytes = self.bytes(key).await;
        let segment = Segment::decode(database, name, bytes.into()).unwrap();
        self.flip_stream(key, &segment, table).await;
        name
    }

    /// Flips a bit of the rows of a table in a segment that was read before the damage.
    async fn flip_stream(&self, key: &str, segment: &Segment, table: TableId) {
        let streams = segment.directory();
        let length: usize = streams.iter().map(|one| one.length as usize).sum();
        let of_table = streams.iter().find(|one| one.table == table).unwrap();
        let place = segment.size_bytes() - length + of_table.offset as usize + 40;
        self.flip(key, place).await;
    }

    async fn table(&self, name: &str) -> TableId {
        let id = self.id("db").await;
        let catalog = self.catalog.database(id, Duration::ZERO).await.unwrap();
        catalog.value.table(name).unwrap().id()
    }

    async fn try_flush(&self) -> FlushResult {
        self.pass(Duration::from_secs(10));
        let id = self.id("db").await;
        self.compactor().flush(id).await.unwrap()
    }

    async fn quarantine(&self, record: &DamageRecord) {
        let id = self.id("db").await;
        let base = self.manifests.read(id, None).await.unwrap();
        self.manifests.quarantine(id, base, record).await.unwrap();
    }
}

/// Returns the number of rows of a table in sections.
fn rows(manifest: &Manifest, table: TableId) -> u64 {
    let sections = manifest.sections.iter().filter(|one| one.table == table);
    sections.map(|one| one.rows).sum()
}

#[tokio::test]
async fn a_flush_takes_readable_streams_and_records_damaged_ones() {
    let stage = CompactTestBed::with_rows(&format!("a v=1 {NOW}\na v=2 7\nb v=3 {NOW}")).await;
    let (a, b) = (stage.table("a").await, stage.table("b").await);
    let name = stage.flip_rows(a).await;
    let key = stage.keys("tail/").await.remove(0);
    let flushed = stage.try_flush().await;
    assert!(matches!(flushed, FlushResult::Done { rows: 1, sections: 1, .. }), "{flushed:?}");
    stage.write("db", &format!("a v=4 {}", NOW + 1)).await;
    stage.flush("db").await;
    let manifest = stage.manifest("db").await;
    assert_eq!((rows(&manifest, a), rows(&manifest, b)), (1, 1));
    let [record] = &manifest.damage[..] else {
        panic!("{:?}", manifest.damage);
    };
    let lost = LostRows {
        table: a,
        last_table: None,
        rows: 2,
        min_time: 7_000_000_000,
        max_time: NOW,
    };
    assert_eq!(record.part, DamagedPart::Segment(name));
    assert_eq!((&record.lost[..], record.since), (&[lost][..], 1));
    let id = stage.id("db").await;
    let check = |manifest: &Manifest, table, first, last| {
        manifest.check_intact(id, (table, "t"), TimeRange { first, last })
    };
    let error = check(&manifest, a, 0, 7_000_000_000).unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with(&format!("'{key}' is damaged: 2 rows of table 't'"))
    );
    // The bounds of the damaged rows are known.
    assert_eq!(check(&manifest, a, NOW + 1, i64::MAX), Ok(()));
    assert_eq!(check(&manifest, b, i64::MIN, i64::MAX), Ok(()));

    stage.quarantine(record).await;
    let manifest = stage.manifest("db").await;
    assert_eq!(check(&manifest, a, i64::MIN, i64::MAX), Ok(()));
    stage.look_times(4, 25 * HOUR).await;
    assert_eq!(stage.keys("tail/").await, [key]);
}

#[tokio::test]
async fn quarantined_parts_of_the_tail_are_not_flushed_even_if_readable() {
    let stage = CompactTestBed::with_rows(&format!("a v=1 {NOW}\nb v=3 {NOW}")).await;
    let (a, b) = (stage.table("a").await, stage.table("b").await);
    let key = stage.keys("tail/").await.remove(0);
    let whole = stage.bytes(&key).await;
    let name = stage.flip_rows(a).await;
    let id = stage.id("db").await;
    let damaged = Segment::decode(id, name, stage.bytes(&key).await.into()).unwrap();
    stage.quarantine(&DamageRecord::of_streams(&damaged)).await;
    let put = stage.store.put(&key, whole.into(), PutMode::Overwrite);
    put.await.unwrap();
    stage.flush("db").await;
    let manifest = stage.manifest("db").await;
    assert_eq!((rows(&manifest, a), rows(&manifest, b)), (0, 1));
    assert_eq!(manifest.damage.len(), 1);
    assert!(manifest.damage[0].quarantine.is_some());
}

#[tokio::test]
async fn damage_after_a_quarantine_is_recorded_and_not_lost_silently() {
    let stage = CompactTestBed::with_rows(&format!("a v=1 {NOW}\nb v=3 {NOW}\nc v=5 {NOW}")).await;
    let tables = [stage.table("a").await, stage.table("b").await];
    let key = stage.keys("tail/").await.remove(0);
    let name = stage.flip_rows(tables[0]).await;
    let id = stage.id("db").await;
    let damaged = Segment::decode(id, name, stage.bytes(&key).await.into()).unwrap();
    stage.quarantine(&DamageRecord::of_streams(&damaged)).await;
    stage.flip_stream(&key, &damaged, tables[1]).await;
    stage.flush("db").await;
    let manifest = stage.manifest("db").await;
    assert_eq!(rows(&manifest, stage.table("c").await), 1);
    let reported: Vec<_> = manifest.reported_damage().collect();
    let lost: Vec<_> =
        reported.iter().flat_map(|record| &record.lost).map(|rows| rows.table).collect();
    assert_eq!(lost, tables);
    let all = TimeRange::ALL;
    assert!(manifest.check_intact(id, (tables[1], "b"), all).is_err());

    stage.quarantine(&reported[0].clone()).await;
    let manifest = stage.manifest("db").await;
    assert_eq!(manifest.check_intact(id, (tables[1], "b"), all), Ok(()));
}

#[tokio::test]
async fn a_flush_stops_below_an_unreadable_segment_until_its_quarantine() {
    let stage = CompactTestBed::new().await;
    for number in 0..3 {
        let line = format!("a v={number} {}", NOW + number);
        stage.write("db", &line).await;
        stage.pass(Duration::from_secs(1));
    }
    let keys = stage.keys("tail/").await;
    stage.flip(&keys[1], 40).await;
    let id = stage.id("db").await;
    stage.pass(Duration::from_secs(10));
    let compactor = stage.compactor();
    let flushed = compactor.flush(id).await.unwrap();
    assert!(
        matches!(flushed, FlushResult::Done { segments: 1, more: true, .. }),
        "{flushed:?}"
    );
    let stopped = compactor.flush(id).await.unwrap();
    let FlushResult::Skipped(FlushSkipped::Unreadable(error)) = &stopped else {
        panic!("{stopped:?}");
    };
    assert!(error.to_string().contains(&keys[1]), "{error}");
    let damaged = compactor.damaged_objects();
    assert_eq!(damaged.names(), [keys[1].clone()]);

    let Ok(Key::Segment(_, name)) = keys[1].parse() else {
        panic!("{}", keys[1]);
    };
    let part = DamagedPart::Segment(name);
    stage.quarantine(&DamageRecord::of_object(part, Vec::new(), 0)).await;
    let flushed = compactor.flush(id).await.unwrap();
    assert!(
        matches!(flushed, FlushResult::Done { segments: 1, more: false, .. }),
        "{flushed:?}"
    );
    assert_eq!(damaged.names(), Vec::<String>::new());
    let table = stage.table("a").await;
    assert_eq!(rows(&*stage.manifest("db").await, table), 2);
    stage.look_times(4, 25 * HOUR).await;
    assert_eq!(stage.keys("tail/").await, [keys[1].clone()]);
}

/// Writes enough sections of two tables that the oldest are in pages.
async fn write_pages(stage: &CompactTestBed, inline_sections: usize) {
    for number in 0..24 {
        let time = NOW + number;
        let lines = format!("a v={number} {time}\nb v={number} {time}");
        stage.write("db", &lines).await;
        stage.flush_to_pages("db", inline_sections).await;
    }
}

#[tokio::test]
async fn a_damaged_page_stops_only_its_table_and_keeps_the_bundles_it_may_reference() {
    let stage = CompactTestBed::new().await;
    write_pages(&stage, 24).await;
    let (a, b) = (stage.table("a").await, stage.table("b").await);
    let (id, manifest) = (stage.id("db").await, stage.manifest("db").await);
    let page = manifest.pages.iter().find(|page| page.table == a).unwrap().clone();
    stage
        .flip(&page.key(id).to_string(), usize::try_from(page.offset).unwrap() + 40)
        .await;
    // Objects that the page may reference: they existed before it.
    let bundles: BTreeSet<_> = stage.keys("data/").await.into_iter().collect();
    let may_be_named = |key: &&String| match key.parse() {
        Ok(Key::Parquet(_, bundle) | Key::Bundle(_, bundle)) => {
            bundle.timestamp_ms() <= page.object.timestamp_ms()
        }
        _ => false,
    };
    let bundles: BTreeSet<_> = bundles.iter().filter(may_be_named).cloned().collect();
    assert!(bundles.len() > 8);
    for _ in 0..4 {
        stage.pass(25 * HOUR);
        let compactor = stage.compactor();
        let report = compactor.handle(&crate::CompactorEvent::Collect, None).await;
        let failures = report.unwrap().failures;
        assert_eq!(failures.len(), 1, "{failures:?}");
        assert!(failures[0].1.contains(&page.key(id).to_string()));
        assert_eq!(compactor.damaged_objects().names(), [page.key(id).to_string()]);
    }
    let manifest = stage.manifest("db").await;
    let sections = |table| manifest.sections.iter().filter(move |one| one.table == table);
    assert_eq!(sections(b).count(), 1, "the other table is merged");
    let left: BTreeSet<_> = stage.keys("data/").await.into_iter().collect();
    assert!(left.is_superset(&bundles));

    // After the quarantine, the objects that it may reference stay, and the table is maintained again.
    let part = DamagedPart::Page(page.object, page.offset);
    let lost = vec![LostRows::of_page(&page)];
    stage.quarantine(&DamageRecord::of_object(part, lost, page.first_added)).await;
    stage.look_times(4, 25 * HOUR).await;
    let manifest = stage.manifest("db").await;
    assert_eq!(manifest.check(), Ok(()));
    assert_eq!((manifest.pages.len(), rows(&manifest, a)), (0, 24 - page.rows));
    assert_eq!(rows(&manifest, b), 24);
    let left: BTreeSet<_> = stage.keys("data/").await.into_iter().collect();
    assert!(left.contains(&page.key(id).to_string()));
    assert!(left.is_superset(&bundles));
}

fn removal(manifest: &Manifest, table: TableId) -> Replacement {
    let mut sections = manifest.sections.iter().filter(|one| one.table == table);
    Replacement {
        table,
        remove: sections.next().cloned().into_iter().collect(),
        add: Vec::new(),
        object: None,
        floor: None,
        claim: None,
        job: JobRecord {
            table: Some(table),
            inputs: 1,
            ..JobRecord::new(Default::default(), JobKind::Quarantine, Default::default())
        },
    }
}

#[tokio::test]
async fn a_quarantined_section_leaves_and_its_bundle_stays() {
    let stage = CompactTestBed::new().await;
    for number in 0..2 {
        stage.write("db", &format!("a v=1 {}\nb v=3 {NOW}", NOW + number)).await;
        stage.flush("db").await;
    }
    let (a, b, id) = (stage.table("a").await, stage.table("b").await, stage.id("db").await);
    let base = stage.manifests.read(id, None).await.unwrap();
    let section = Arc::clone(&removal(&base.value, a).remove[0]);
    let bundle = section.key(id).to_string();
    let end = usize::try_from(section.range().end).unwrap();
    stage.flip(&bundle, usize::try_from(section.offset).unwrap() + 10).await;
    stage.flip(&bundle, end - 1).await;
    stage.pass(HOUR);
    let compactor = stage.compactor();
    let report = compactor.handle(&crate::CompactorEvent::Collect, None).await.unwrap();
    assert!(report.failures[0].1.contains(&bundle), "{:?}", report.failures);
    assert_eq!(report.merges, 1, "the other table is merged");
    let name = format!("{bundle}@{}", section.offset);
    assert_eq!(compactor.damaged_objects().names(), [name]);

    let base = stage.manifests.read(id, None).await.unwrap();
    let removal = removal(&base.value, a);
    let outcome = stage.manifests.quarantine_sections(id, base, &removal).await;
    assert!(matches!(outcome, Ok(ReplaceOutcome::Committed(_))), "{outcome:?}");
    stage.look_times(4, 25 * HOUR).await;
    let manifest = stage.manifest("db").await;
    assert_eq!((rows(&manifest, a), rows(&manifest, b)), (1, 1));
    assert_eq!(manifest.condemned, []);
    let part = DamagedPart::of_section(&section);
    let record = manifest.damage_of(part).unwrap();
    assert_eq!(record.lost, [LostRows::of_section(&section)]);
    assert_eq!(record.name(id), format!("{bundle}@{}", section.offset));
    assert!(stage.keys("data/").await.contains(&bundle));
}
