//! Moving sections to pages, and reading them from there.

use std::ops::Range;

use bytes::Bytes;
use neap_bucket::{Operation, PutMode, RegisterChange, Stamp, VersionedValue};
use neap_schema::TableId;

use super::{DATABASE, Instance, ManifestTestBed, fixture::ManifestFixture, job, section, stamp};
use crate::{
    FlushCommit, FlushOutcome, JobKind, Manifest, ManifestError, ManifestSettings, ManifestStore,
    PendingObject, SectionWithFooter, SnapshotSettings, TimeRange,
};

const DAY_NANOS: i64 = 86_400_000_000_000;

fn stage(inline_sections: usize) -> (ManifestTestBed, Instance) {
    let stage = ManifestTestBed::new();
    let mut instance = stage.instance(1, SnapshotSettings::default());
    let settings = ManifestSettings::with_inline_sections(inline_sections);
    instance.manifests = ManifestStore::new(instance.bucket.clone(), &instance.rules, settings);
    (stage, instance)
}

async fn read(instance: &Instance) -> VersionedValue<Manifest> {
    instance.manifests.read(DATABASE, None).await.unwrap()
}

/// Flushes a bundle with a section of each table, of the day `n` and the interval (n, n + 1].
async fn flush(instance: &Instance, n: u64, tables: u32) -> FlushOutcome {
    let base = read(instance).await;
    let object = PendingObject::draw(&instance.bucket).unwrap();
    let mut bundle = Vec::new();
    let mut sections = Vec::new();
    for table in 1..=tables {
        let mut section = section(table, i32::try_from(n).unwrap(), n, n + 1);
        section.object = object.ulid;
        section.in_bundle = tables > 1;
        section.offset = bundle.len() as u64;
        let footer = format!("{table:04}{n:04}");
        section.footer_length = u32::try_from(footer.len()).unwrap();
        section.length = 24 + u64::from(section.footer_length);
        section.footer_crc32c = crc32c::crc32c(footer.as_bytes());
        bundle.extend_from_slice(&[0; 24]);
        bundle.extend_from_slice(footer.as_bytes());
        sections.push(section);
    }
    let key = sections[0].key(DATABASE);
    let put = instance.bucket.put(&key, bundle.into(), PutMode::Overwrite);
    put.await.unwrap();
    let flush = FlushCommit {
        sections,
        object: Some(object),
        ..FlushCommit::new(stamp(n), stamp(n + 1), job(JobKind::Flush))
    };
    let committed = instance.manifests.commit_flush(DATABASE, base, flush);
    committed.await.unwrap()
}

/// Commits flushes with these numbers.
async fn flush_all(instance: &Instance, numbers: Range<u64>, tables: u32) {
    for n in numbers {
        flush(instance, n, tables).await;
    }
}

async fn load(instance: &Instance, table: u32, times: TimeRange) -> Vec<SectionWithFooter> {
    let manifest = read(instance).await.value;
    let table = TableId::new(table);
    let loaded = instance.manifests.load_sections(DATABASE, &manifest, table, times);
    loaded.await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn old_sections_move_to_pages_with_their_footers_and_are_found_again() {
    let (_, instance) = stage(60);
    for n in 0..50 {
        let flushed = flush(&instance, n, 3).await;
        assert!(matches!(flushed, FlushOutcome::Committed(_)));
        let manifest = read(&instance).await.value;
        assert_eq!(manifest.check(), Ok(()));
        assert!(manifest.sections.len() <= 60);
        assert_eq!(manifest.section_count(), 3 * (n + 1));
    }
    let mut footers = 0;
    for table in 1..=3 {
        let sections = load(&instance, table, TimeRange::ALL).await;
        let uptos: Vec<_> = sections.iter().map(|found| found.section.upto.as_u64()).collect();
        assert_eq!(uptos, (1..=50).collect::<Vec<_>>());
        for found in sections {
            if let Some(footer) = found.footer {
                let n = found.section.above.as_u64();
                assert_eq!(footer, Bytes::from(format!("{table:04}{n:04}")));
                footers += 1;
            }
        }
    }
    let inline = read(&instance).await.value.sections.len();
    assert_eq!(footers, 150 - inline);
}

#[tokio::test(start_paused = true)]
async fn a_damaged_page_does_not_keep_sections_in_the_manifest() {
    let (_, instance) = stage(16);
    for n in 0..300 {
        flush(&instance, n, 1).await;
        if n == 90 {
            // The newest page is the first to be rewritten.
            let manifest = read(&instance).await.value;
            let page = manifest.pages.iter().max_by_key(|page| page.upto).unwrap();
            let bytes = Bytes::from_static(b"damaged");
            let key = page.key(DATABASE);
            let put = instance.bucket.put(&key, bytes, PutMode::Overwrite);
            put.await.unwrap();
        }
        let manifest = read(&instance).await.value;
        assert!(manifest.sections.len() <= 16, "{n}");
        assert_eq!(manifest.section_count(), n + 1);
    }
}

#[tokio::test(start_paused = true)]
async fn only_pages_whose_times_meet_are_read_and_only_once() {
    let (stage, instance) = stage(40);
    flush_all(&instance, 0..50, 3).await;
    let manifest = read(&instance).await.value;
    let table = TableId::new(2);
    let pages: Vec<_> =
        manifest.pages.iter().filter(|page| page.may_hold(table)).cloned().collect();
    assert!(pages.len() > 1);
    let load = |times| {
        let (manifest, instance) = (&manifest, &instance);
        async move {
            let store = &instance.manifests;
            let sections = store.load_sections(DATABASE, manifest, table, times);
            sections.await.unwrap().len()
        }
    };
    let at_hand = |times| {
        let sections = instance.manifests.sections_at_hand(&manifest, table, times);
        sections.map(|sections| sections.len())
    };
    stage.taken();
    let newest = TimeRange { first: 49 * DAY_NANOS, last: i64::MAX };
    assert_eq!((load(newest).await, stage.taken().gets), (1, 0));
    assert_eq!((at_hand(newest), at_hand(TimeRange::ALL)), (Some(1), None));
    let first = TimeRange { first: pages[0].min_time, last: pages[0].min_time };
    assert_eq!((load(first).await, stage.taken().gets), (1, 1));
    assert_eq!((at_hand(first), at_hand(TimeRange::ALL)), (Some(1), None));
    assert_eq!((load(TimeRange::ALL).await, stage.taken().gets), (50, pages.len() - 1));
    assert_eq!((load(TimeRange::ALL).await, stage.taken().gets), (50, 0));
    assert_eq!((at_hand(TimeRange::ALL), stage.taken().gets), (Some(50), 0));
}

#[tokio::test(start_paused = true)]
async fn tables_with_few_old_sections_share_pages() {
    let (_, instance) = stage(40);
    flush_all(&instance, 0..5, 20).await;
    let manifest = read(&instance).await.value;
    // Each flush after the second one moves one section of each table.
    assert_eq!((manifest.sections.len(), manifest.pages.len()), (40, 3));
    let tables = TableId::new(1)..=TableId::new(20);
    assert!(manifest.pages.iter().all(|page| page.tables() == tables));
    assert_eq!(load(&instance, 7, TimeRange::ALL).await.len(), 5);
}

#[tokio::test(start_paused = true)]
async fn pages_of_all_tables_cost_one_put_and_one_get_a_bundle() {
    let (stage, instance) = stage(60);
    flush_all(&instance, 0..20, 3).await;
    assert!(read(&instance).await.value.pages.is_empty());
    stage.taken();
    flush(&instance, 20, 3).await;
    let requests = stage.taken();
    assert_eq!(read(&instance).await.value.pages.len(), 3);
    // The flush: read, bundle, commit. The pages: the footers of 10 bundles, one object.
    assert_eq!((requests.gets, requests.puts), (1 + 10, 2 + 1));
}

#[tokio::test(start_paused = true)]
async fn sections_that_a_rival_has_replaced_stay_as_the_rival_left_them() {
    let (stage, instance) = stage(20);
    flush_all(&instance, 0..20, 1).await;
    let rival = instance.clone();
    let act = async move {
        let register = rival.manifests.register(DATABASE);
        let change = |base: &VersionedValue<Manifest>| {
            let mut next = Manifest::successor(base);
            next.sections.remove(0);
            Ok::<_, ()>(RegisterChange::Put(next, ()))
        };
        register.commit(None, change).await.unwrap();
    };
    stage.before(Operation::Put, "db/1/manifest", act);
    let flushed = flush(&instance, 20, 1).await;
    assert!(matches!(flushed, FlushOutcome::Committed(_)));
    let manifest = read(&instance).await.value;
    assert_eq!((manifest.sections.len(), manifest.pages.len()), (20, 0));
    assert_eq!(load(&instance, 1, TimeRange::ALL).await.len(), 20);
}

#[tokio::test(start_paused = true)]
async fn a_flush_succeeds_when_its_pages_cannot_be_put() {
    let (stage, instance) = stage(20);
    flush_all(&instance, 0..20, 1).await;
    let dark = stage.clone();
    stage.before(Operation::Put, "data/1/", async {});
    stage.before(Operation::Put, "data/1/", async move { dark.set_unavailable(true) });
    let light = stage.clone();
    stage.before(Operation::Put, "db/1/manifest", async move { light.set_unavailable(false) });
    let flushed = flush(&instance, 20, 1).await;
    assert!(matches!(flushed, FlushOutcome::Committed(_)));
    let manifest = read(&instance).await.value;
    assert_eq!((manifest.sections.len(), manifest.pages.len()), (21, 0));
}

#[tokio::test(start_paused = true)]
async fn sections_whose_bundle_is_gone_are_moved_without_footers() {
    let (_, instance) = stage(20);
    flush_all(&instance, 0..20, 1).await;
    let oldest = read(&instance).await.value.sections[0].key(DATABASE);
    instance.bucket.delete(&[oldest.to_string()]).await.unwrap();
    flush(&instance, 20, 1).await;
    let sections = load(&instance, 1, TimeRange::ALL).await;
    assert_eq!(sections[0].footer, None);
    assert!(sections[1].footer.is_some());
}

#[tokio::test(start_paused = true)]
async fn damaged_footers_are_not_written_to_pages() {
    let (_, instance) = stage(20);
    flush_all(&instance, 0..20, 1).await;
    let oldest = read(&instance).await.value.sections[0].key(DATABASE);
    let damaged = Bytes::from_static(b"........................00010001");
    let put = instance.bucket.put(&oldest, damaged, PutMode::Overwrite);
    put.await.unwrap();
    flush(&instance, 20, 1).await;
    let sections = load(&instance, 1, TimeRange::ALL).await;
    assert_eq!(sections[0].footer, None);
    assert!(sections[1].footer.is_some());
}

#[tokio::test(start_paused = true)]
async fn a_missing_page_and_a_failing_store_are_different_errors() {
    let (stage, instance) = stage(20);
    flush_all(&instance, 0..21, 1).await;
    let manifest = read(&instance).await.value;
    let load = || async {
        let store = &instance.manifests;
        let sections = store.load_sections(DATABASE, &manifest, TableId::new(1), TimeRange::ALL);
        sections.await.unwrap_err()
    };
    stage.set_unavailable(true);
    assert!(matches!(load().await, ManifestError::Store(_)));
    stage.set_unavailable(false);
    let page = manifest.pages[0].key(DATABASE);
    instance.bucket.delete(&[page.to_string()]).await.unwrap();
    assert!(matches!(load().await, ManifestError::PageGone { key } if key == page));
}

#[tokio::test(start_paused = true)]
async fn an_empty_manifest_has_no_sections() {
    let (_, instance) = stage(20);
    assert!(load(&instance, 1, TimeRange::ALL).await.is_empty());
    assert_eq!(read(&instance).await.value.low_water_mark, Stamp::ZERO);
}

#[tokio::test(start_paused = true)]
async fn small_pages_are_written_together_when_they_are_many() {
    let (stage, instance) = stage(20);
    for n in 0..300 {
        flush(&instance, n, 2).await;
        let manifest = read(&instance).await.value;
        assert_eq!(manifest.check(), Ok(()));
        assert_eq!(manifest.section_count(), 2 * (n + 1));
    }
    let manifest = read(&instance).await.value;
    let largest = manifest.pages.iter().map(|page| page.sections).max();
    assert!(largest > Some(64), "{largest:?}");
    assert!(manifest.pages.len() <= 20, "{}", manifest.pages.len());
    for table in 1..=2 {
        let sections = load(&instance, table, TimeRange::ALL).await;
        let uptos = sections.iter().map(|found| found.section.upto.as_u64());
        assert_eq!(uptos.collect::<Vec<_>>(), (1..=300).collect::<Vec<_>>());
        for found in sections.iter().filter(|one| one.footer.is_some()) {
            let n = found.section.above.as_u64();
            let footer = found.footer.as_deref();
            assert_eq!(footer, Some(format!("{table:04}{n:04}").as_bytes()));
        }
    }
    // The old pages are condemned: one entry per object for each commit that took a page from it.
    assert!(!manifest.condemned.is_empty());
    stage.taken();
}

#[tokio::test(start_paused = true)]
async fn very_many_tables_share_pages_which_later_ones_absorb() {
    let (stage, instance) = stage(40);
    flush_all(&instance, 0..3, 50).await;
    stage.taken();
    flush(&instance, 3, 50).await;
    let requests = stage.taken();
    let manifest = read(&instance).await.value;
    assert_eq!((manifest.pages.len(), manifest.sections.len()), (3, 70));
    assert_eq!(manifest.section_count(), 200);
    // The flush: read, bundle, commit. The pages: the footers of two bundles, one object.
    assert_eq!((requests.gets, requests.puts), (1 + 2, 2 + 1));
    for n in 4..100 {
        flush(&instance, n, 50).await;
        let manifest = read(&instance).await.value;
        assert_eq!(manifest.check(), Ok(()));
        assert!(manifest.sections.len() <= 40 / 2 + 50, "{n}");
        assert_eq!(manifest.section_count(), 50 * (n + 1));
    }
    let manifest = read(&instance).await.value;
    // Of 4,930 sections, up to 256 in each.
    assert!(manifest.pages.len() <= 40, "{}", manifest.pages.len());
    for table in 1..=50 {
        stage.taken();
        let sections = load(&instance, table, TimeRange::ALL).await;
        // The manifest, and about as many pages as the eight that may span a table.
        let gets = stage.taken().gets;
        assert!(gets <= 1 + 8 + 4, "{gets} of table {table}");
        let uptos = sections.iter().map(|found| found.section.upto.as_u64());
        assert_eq!(uptos.collect::<Vec<_>>(), (1..=100).collect::<Vec<_>>());
        for found in sections.iter().filter(|one| one.footer.is_some()) {
            let n = found.section.above.as_u64();
            let footer = found.footer.as_deref();
            assert_eq!(footer, Some(format!("{table:04}{n:04}").as_bytes()));
        }
        let with_footer = sections.iter().filter(|one| one.footer.is_some());
        assert!(with_footer.count() >= 98);
    }
}

#[tokio::test(start_paused = true)]
async fn more_tables_than_one_commit_moves_do_not_accumulate_in_the_manifest() {
    let (_, instance) = stage(512);
    for n in 0..4 {
        flush(&instance, n, 20_000).await;
        let manifest = read(&instance).await.value;
        assert!(manifest.sections.len() <= 512 / 2 + 20_000, "{n}");
        assert_eq!(manifest.section_count(), 20_000 * (n + 1));
    }
    let manifest = read(&instance).await.value;
    assert!(manifest.pages.len() <= 60_000 / 200, "{}", manifest.pages.len());
    assert_eq!(load(&instance, 17_001, TimeRange::ALL).await.len(), 4);
}

#[tokio::test(start_paused = true)]
async fn a_page_that_a_rival_has_rewritten_is_not_written_together_with_others() {
    let fixture = ManifestFixture::new(32);
    let mut count = 0;
    let is_ready = |current: VersionedValue<Manifest>| {
        current.value.pages.len() > 16 && current.value.sections.len() == 32
    };
    while !is_ready(fixture.read().await) {
        fixture.flush(&[(1, 0), (2, 0)]).await;
        count += 1;
    }
    let rival = ManifestFixture::on(&fixture.stage, 2, 32);
    let act = async move {
        let current = rival.read().await;
        let inline = current.value.sections.len() / 2;
        let all = rival.table(1).await;
        // The newest section that is in a page.
        let newest = &all[all.len() - inline - 1..all.len() - inline];
        rival.replaced(current, &ManifestFixture::removal(newest)).await;
    };
    let before = fixture.read().await.value.pages.len();
    fixture.stage.before(Operation::Put, "db/1/manifest", act);
    let current = fixture.flush(&[(1, 0), (2, 0)]).await;
    assert_eq!(current.value.section_count(), 2 * count + 1);
    assert!(current.value.pages.len() >= before - 1);
    let mut uptos: Vec<_> = fixture.table(1).await.iter().map(|one| one.upto).collect();
    uptos.dedup();
    assert_eq!(uptos.len() as u64, count);
    // The next flush moves the sections.
    let current = fixture.flush(&[(1, 0), (2, 0)]).await;
    assert!(current.value.pages.len() < before - 1);
    assert_eq!(fixture.table(1).await.len() as u64, count + 1);
}
