//! The two phases of deleting an object: one commit marks its entry as doomed, a later one removes the entry.

use std::{collections::BTreeSet, time::Duration};

use neap_bucket::{Operation, VersionedValue};
use neap_schema::DatabaseId;

use super::fixture::{ManifestFixture, ORPHAN_AGE, mark};
use crate::{
    CommitAbandoned, DroppedItem, Manifest, OBJECT_NAME_AGE, ObjectName, PendingObject,
    row_delete_progress::delete_progress,
};

const HOUR: Duration = Duration::from_secs(3_600);
const RESTORED: DatabaseId = DatabaseId::new(2);

fn doomed(current: &VersionedValue<Manifest>) -> usize {
    let condemned = current.value.condemned.iter();
    condemned.filter(|entry| entry.doomed).count()
}

fn bundles(current: &VersionedValue<Manifest>) -> BTreeSet<ObjectName> {
    let sections = current.value.sections.iter();
    sections.map(|section| section.object_name()).collect()
}

/// Returns a site where three sections were merged into one.
async fn merged() -> (ManifestFixture, BTreeSet<ObjectName>) {
    let fixture = ManifestFixture::new(100);
    fixture.flush_times(3, &[(1, 0)]).await;
    let base = fixture.read().await;
    let inputs = bundles(&base);
    let merge = fixture.merge(&base, &fixture.table(1).await).await;
    fixture.replaced(base, &merge).await;
    (fixture, inputs)
}

#[tokio::test(start_paused = true)]
async fn a_dropped_section_is_doomed_after_the_period_then_deleted_then_removed() {
    let (fixture, inputs) = merged().await;
    let dropped_in = fixture.read().await.version;
    fixture.stage.sleep(HOUR - Duration::from_secs(1)).await;
    let current = fixture.collect(HOUR).await;
    assert_eq!((current.version, doomed(&current)), (dropped_in, 0));

    fixture.stage.sleep(Duration::from_secs(1)).await;
    let current = fixture.collect(HOUR).await;
    assert_eq!((current.value.condemned.len(), doomed(&current)), (3, 3));
    assert_eq!(current.value.oldest_readable, dropped_in);
    for object in &inputs {
        assert!(fixture.exists(*object).await);
    }

    let current = fixture.collect(HOUR).await;
    assert_eq!(current.value.condemned, []);
    for object in &inputs {
        assert!(!fixture.exists(*object).await);
    }
    assert_eq!(fixture.table(1).await.len(), 1);
    // A further collection has nothing to do, and commits nothing.
    assert_eq!(fixture.collect(HOUR).await.version, current.version);
}

#[tokio::test(start_paused = true)]
async fn an_object_is_deleted_after_the_last_of_its_sections() {
    let fixture = ManifestFixture::new(100);
    fixture.flush(&[(1, 0), (2, 0)]).await;
    let bundle = *bundles(&fixture.read().await).first().unwrap();
    let removal = ManifestFixture::removal(&fixture.table(1).await);
    fixture.replaced(fixture.read().await, &removal).await;
    fixture.collect_hourly(3).await;
    // The entry of the first section is gone; the entry of the other section keeps the object.
    assert_eq!(fixture.read().await.value.condemned, []);
    assert!(fixture.exists(bundle).await);

    let removal = ManifestFixture::removal(&fixture.table(2).await);
    fixture.replaced(fixture.read().await, &removal).await;
    fixture.stage.sleep(HOUR).await;
    fixture.collect(HOUR).await;
    assert!(fixture.exists(bundle).await);
    fixture.collect(HOUR).await;
    assert!(!fixture.exists(bundle).await);
}

#[tokio::test(start_paused = true)]
async fn an_object_stays_while_an_earlier_version_reads_one_of_its_sections() {
    let fixture = ManifestFixture::new(100);
    fixture.flush(&[(1, 0), (2, 0)]).await;
    let removal = ManifestFixture::removal(&fixture.table(1).await);
    fixture.replaced(fixture.read().await, &removal).await;
    fixture.stage.sleep(HOUR).await;
    let current = fixture.collect(HOUR).await;
    let removal = ManifestFixture::removal(&fixture.table(2).await);
    let current = fixture.replaced(current, &removal).await;
    assert_eq!((current.value.condemned.len(), doomed(&current)), (2, 1));
    let referenced = fixture.referenced_objects(&current.value).await;
    assert_eq!(referenced.deletable(), BTreeSet::new());
}

#[tokio::test(start_paused = true)]
async fn an_entry_doomed_after_the_references_were_read_stays_for_the_next_collection() {
    let fixture = ManifestFixture::new(100);
    fixture.flush(&[(1, 0), (2, 0)]).await;
    let bundle = *bundles(&fixture.read().await).first().unwrap();
    for table in [1, 2] {
        let removal = ManifestFixture::removal(&fixture.table(table).await);
        fixture.replaced(fixture.read().await, &removal).await;
        fixture.stage.sleep(HOUR).await;
    }
    // The first section is doomed and the second is not when a collector reads the references and stops.
    let current = fixture.collect(HOUR + HOUR / 2).await;
    assert_eq!((current.value.condemned.len(), doomed(&current)), (2, 1));
    let frozen = fixture.look(&current, HOUR).await;
    assert_eq!(frozen.deleted, BTreeSet::new());
    let rival = fixture.collect(HOUR).await;
    assert_eq!(rival.value.condemned.len(), 1);
    let thawed = fixture.commit_collection(current, &frozen).await;
    assert_eq!((thawed.value.condemned.len(), doomed(&thawed)), (1, 1));
    assert!(fixture.exists(bundle).await);
    fixture.collect(HOUR).await;
    assert!(!fixture.exists(bundle).await);
}

#[tokio::test(start_paused = true)]
async fn a_second_collector_completes_a_collection_that_died_before_its_commit() {
    let (fixture, inputs) = merged().await;
    fixture.stage.sleep(HOUR).await;
    let base = fixture.collect(HOUR).await;
    let died = fixture.look(&base, HOUR).await;
    assert_eq!(died.deleted, inputs);
    fixture.delete(&died.deleted).await;
    let next = fixture.look(&fixture.read().await, HOUR).await;
    assert_eq!(next.deleted, inputs);
    let current = fixture.collect(HOUR).await;
    assert_eq!(current.value.condemned, []);
    // The first collector continues; its commit changes nothing.
    let late = fixture.commit_collection(base, &died).await;
    assert_eq!(late.version, current.version);
}

#[tokio::test(start_paused = true)]
async fn an_object_that_could_not_be_deleted_keeps_its_entry() {
    let (fixture, inputs) = merged().await;
    fixture.stage.sleep(HOUR).await;
    let base = fixture.collect(HOUR).await;
    let mut partial = fixture.look(&base, HOUR).await;
    let left = partial.deleted.pop_first().unwrap();
    fixture.delete(&partial.deleted).await;
    let current = fixture.commit_collection(base, &partial).await;
    let [entry] = current.value.condemned.as_slice() else {
        panic!("{:?}", current.value.condemned);
    };
    assert!(entry.names([]).contains(&left) && inputs.contains(&left));
}

#[tokio::test(start_paused = true)]
async fn an_orphan_is_condemned_once_and_can_never_be_named_again() {
    let fixture = ManifestFixture::new(100);
    fixture.flush(&[(1, 0)]).await;
    let late = fixture.next_flush(&fixture.read().await, &[(1, 0)]).await;
    let orphan = ObjectName::Parquet(late.object.unwrap().ulid);
    assert_eq!(fixture.collect(HOUR).await.value.condemned, []);
    fixture.stage.sleep(ORPHAN_AGE).await;
    let base = fixture.read().await;
    let collection = fixture.look(&base, HOUR).await;
    assert_eq!(collection.orphans, [orphan].into());
    let current = fixture.commit_collection(base.clone(), &collection).await;
    assert_eq!(current.value.condemned[0].what, DroppedItem::Object(orphan));
    // A second collector has found the same orphan.
    let current = fixture.commit_collection(base, &collection).await;
    assert_eq!(current.value.condemned.len(), 1);

    // The flush is late by its own clock, so pretend that its name is recent.
    let mut young = late;
    young.object =
        Some(PendingObject { drawn: current.current_at.unwrap(), ..young.object.unwrap() });
    let flushed = fixture.commit_flush(current, young).await;
    assert!(matches!(flushed, crate::FlushOutcome::GivenUp(CommitAbandoned::ObjectTooOld)));
    fixture.stage.sleep(HOUR).await;
    fixture.collect(HOUR).await;
    assert!(fixture.exists(orphan).await);
    let current = fixture.collect(HOUR).await;
    assert!(!fixture.exists(orphan).await);
    assert_eq!(current.value.condemned, []);
    // An orphan belongs to no version, so deleting it makes no version unreadable.
    assert_eq!(current.value.oldest_readable, 0);
}

#[tokio::test(start_paused = true)]
async fn an_object_referenced_after_the_listing_is_not_an_orphan() {
    let fixture = ManifestFixture::new(100);
    let base = fixture.flush(&[(1, 0)]).await;
    let flush = fixture.next_flush(&base, &[(1, 0)]).await;
    let bundle = ObjectName::Parquet(flush.object.unwrap().ulid);
    let mut collection = fixture.look(&base, HOUR).await;
    collection.orphans.insert(bundle);
    fixture.commit_flush(base.clone(), flush).await;
    let current = fixture.commit_collection(base, &collection).await;
    assert_eq!(current.value.condemned, []);
}

#[tokio::test(start_paused = true)]
async fn orphans_are_not_condemned_while_pages_are_unread() {
    let fixture = ManifestFixture::new(16);
    fixture.flush_times(16, &[(1, 0)]).await;
    let base = fixture.read().await;
    let mut collection = fixture.look(&base, HOUR).await;
    let bundle = *bundles(&base).first().unwrap();
    let nowhere = ObjectName::Bundle(ulid::Ulid::from_parts(1, 1));
    collection.orphans.extend([bundle, nowhere]);
    collection.referenced = Default::default();
    let current = fixture.flush(&[(1, 0)]).await;
    assert!(!bundles(&current).contains(&bundle));
    let current = fixture.commit_collection(base, &collection).await;
    assert_eq!((current.value.pages.len(), current.value.condemned.len()), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn an_object_name_can_be_committed_for_15_minutes_and_orphans_are_older() {
    assert!(ORPHAN_AGE >= 2 * OBJECT_NAME_AGE);
    let fixture = ManifestFixture::new(100);
    let base = fixture.flush(&[(1, 0)]).await;
    let flush = fixture.next_flush(&base, &[(1, 0)]).await;
    fixture.stage.sleep(OBJECT_NAME_AGE).await;
    let flushed = fixture.commit_flush(fixture.read().await, flush).await;
    assert!(matches!(flushed, crate::FlushOutcome::Committed(_)));
}

#[tokio::test(start_paused = true)]
async fn pins_keep_only_the_objects_of_their_version() {
    let (fixture, inputs) = merged().await;
    let base = fixture.read().await;
    let (version, _) = Manifest::at(&fixture.flush(&[(2, 0)]).await, mark(2)).unwrap();
    let pinned = fixture.store().pin(fixture.database, base, version, RESTORED).await;
    pinned.unwrap();
    // A section that is added after the pinned version, and dropped again.
    let removal = ManifestFixture::removal(&fixture.table(2).await);
    fixture.replaced(fixture.read().await, &removal).await;
    fixture.collect_hourly(3).await;
    let current = fixture.read().await;
    // The pinned version had two of the three inputs.
    assert_eq!((current.value.condemned.len(), doomed(&current)), (2, 0));
    let mut kept = 0;
    for object in &inputs {
        kept += usize::from(fixture.exists(*object).await);
    }
    assert_eq!(kept, 2);

    let mut collection = fixture.look(&current, HOUR).await;
    collection.released.insert(RESTORED);
    let current = fixture.commit_collection(current, &collection).await;
    assert_eq!((current.value.pins.len(), doomed(&current)), (0, 2));
    let current = fixture.collect(HOUR).await;
    assert_eq!(current.value.condemned, []);
}

#[tokio::test(start_paused = true)]
async fn a_version_that_is_gone_cannot_be_pinned() {
    let (fixture, _) = merged().await;
    let before = fixture.read().await;
    fixture.stage.sleep(HOUR).await;
    fixture.collect(HOUR).await;
    for version in [1, before.version - 1, before.version + 10] {
        let pin = fixture.store().pin(fixture.database, before.clone(), version, RESTORED);
        assert!(matches!(pin.await, Err(crate::RestoreError::Gone(_))));
    }
    let pin = fixture.store().pin(fixture.database, before.clone(), before.version, RESTORED);
    pin.await.unwrap();
}

/// Returns a site whose manifest has moved dropped sections to a page.
async fn fixture_with_dropped_pages() -> ManifestFixture {
    let fixture = ManifestFixture::new(16);
    for _ in 0..40 {
        fixture.flush(&[(1, 0)]).await;
        let removal = ManifestFixture::removal(&fixture.table(1).await);
        fixture.replaced(fixture.read().await, &removal).await;
    }
    fixture
}

fn graves(current: &VersionedValue<Manifest>) -> Vec<&crate::PageRef> {
    let condemned = current.value.condemned.iter();
    condemned
        .filter_map(|entry| match &entry.what {
            DroppedItem::Page(page) => Some(page),
            _ => None,
        })
        .collect()
}

#[tokio::test(start_paused = true)]
async fn many_dropped_sections_move_to_pages_and_can_be_read_as_before() {
    let fixture = fixture_with_dropped_pages().await;
    let current = fixture.read().await;
    assert!(!graves(&current).is_empty());
    assert!(current.value.condemned.len() < 20);
    for version in Manifest::versions(&current) {
        let (_, view) = Manifest::at(&current, version.mark).unwrap();
        assert_eq!(fixture.sections_of(&view).await.len(), 0);
    }
    assert_eq!(fixture.referenced_objects(&current.value).await.deletable(), BTreeSet::new());
    assert_eq!(fixture.objects().await.len(), 40 + graves(&current).len());
}

#[tokio::test(start_paused = true)]
async fn pages_of_dropped_sections_are_doomed_with_their_sections() {
    let fixture = fixture_with_dropped_pages().await;
    fixture.collect_hourly(3).await;
    assert_eq!(fixture.read().await.value.condemned, []);
    assert_eq!(fixture.objects().await, []);
}

#[tokio::test(start_paused = true)]
async fn a_row_delete_is_not_completed_while_a_page_has_a_section_that_its_merge_dropped() {
    let fixture = ManifestFixture::new(16);
    let mut versions = Vec::new();
    for _ in 0..40 {
        fixture.flush(&[(1, 0)]).await;
        let removal = ManifestFixture::removal(&fixture.table(1).await);
        let removed = fixture.replaced(fixture.read().await, &removal).await;
        versions.push(removed.version);
    }
    let first = versions[0];
    let current = fixture.read().await;
    assert!(current.value.condemned.iter().all(|entry| entry.version > first));
    let progress = async || {
        let read = delete_progress(&fixture.instance.bucket, fixture.database).await;
        read.unwrap().value
    };
    assert!(progress().await.keeps_objects_before(first));
    assert!(!progress().await.keeps_objects_before(first - 1));
    fixture.collect_hourly(3).await;
    assert!(!progress().await.keeps_objects_before(u64::MAX));
}

#[tokio::test(start_paused = true)]
async fn a_collection_tolerates_a_doomed_page_that_is_already_deleted() {
    let fixture = fixture_with_dropped_pages().await;
    fixture.stage.sleep(HOUR).await;
    let current = fixture.collect(HOUR).await;
    let pages: BTreeSet<_> =
        graves(&current).into_iter().map(|page| ObjectName::Page(page.object)).collect();
    fixture.delete(&pages).await;
    let cold = ManifestFixture::on(&fixture.stage, 2, 16);
    let current = cold.collect(HOUR).await;
    assert_eq!(current.value.condemned, []);
    // Objects in the deleted pages are no longer referenced, and are collected as orphans.
    assert!(!cold.objects().await.is_empty());
    cold.stage.sleep(ORPHAN_AGE).await;
    for _ in 0..3 {
        cold.collect(Duration::ZERO).await;
    }
    assert_eq!(cold.objects().await, []);
}

#[tokio::test(start_paused = true)]
async fn a_pin_does_not_keep_later_sections_that_move_to_pages() {
    let fixture = ManifestFixture::new(16);
    let base = fixture.flush(&[(1, 0)]).await;
    let version = base.version;
    let pin = fixture.store().pin(fixture.database, base, version, RESTORED);
    pin.await.unwrap();
    for _ in 0..40 {
        let removal = ManifestFixture::removal(&fixture.table(1).await);
        fixture.replaced(fixture.read().await, &removal).await;
        fixture.flush(&[(1, 0)]).await;
    }
    assert!(!graves(&fixture.read().await).is_empty());
    fixture.collect_hourly(3).await;
    // The first bundle is pinned, and the last one is live.
    assert_eq!(fixture.objects().await.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn an_object_with_pages_is_deleted_after_its_last_page() {
    let fixture = ManifestFixture::new(32);
    fixture.flush_times(17, &[(1, 0), (2, 0)]).await;
    let base = fixture.read().await;
    let object = ObjectName::Page(base.value.pages[0].object);
    assert_eq!(base.value.pages.len(), 2);
    assert_eq!(ObjectName::Page(base.value.pages[1].object), object);
    for table in [1, 2] {
        let base = fixture.read().await;
        let merge = fixture.merge(&base, &fixture.table(table).await).await;
        fixture.replaced(base, &merge).await;
        assert!(fixture.exists(object).await);
        fixture.collect_hourly(3).await;
        assert_eq!(fixture.exists(object).await, table == 1);
    }
    assert_eq!(fixture.read().await.value.condemned, []);
}

#[tokio::test(start_paused = true)]
async fn finding_references_reads_page_heads_without_footers() {
    let fixture = ManifestFixture::new(32);
    fixture.flush_times(33, &[(1, 0)]).await;
    let current = fixture.read().await;
    let cold = ManifestFixture::on(&fixture.stage, 2, 32);
    cold.stage.taken();
    let referenced = cold.referenced_objects(&current.value).await;
    assert_eq!(cold.stage.taken().gets, 1);
    assert_eq!(referenced.live.len(), 33 + 1);
    let found = cold.store().all_sections(cold.database, &current.value).await.unwrap();
    assert_eq!(cold.stage.taken().gets, 1);
    assert_eq!(found.iter().filter(|one| one.footer.is_some()).count(), 16);
    // A cached page needs no read of its head.
    cold.referenced_objects(&current.value).await;
    assert_eq!(cold.stage.taken().gets, 0);
}

#[tokio::test(start_paused = true)]
async fn entries_that_become_doomed_before_they_move_to_pages_stay_inline() {
    let fixture = ManifestFixture::new(16);
    fixture.flush_times(17, &[(1, 0)]).await;
    let removal = ManifestFixture::removal(&fixture.read().await.value.sections);
    fixture.replaced(fixture.read().await, &removal).await;
    fixture.flush_times(9, &[(2, 0)]).await;
    let removal = ManifestFixture::removal(&fixture.table(2).await);
    fixture.replaced(fixture.read().await, &removal).await;
    let rival = ManifestFixture::on(&fixture.stage, 2, 16);
    let act = async move {
        rival.collect(Duration::ZERO).await;
    };
    assert_eq!(fixture.read().await.value.condemned.len(), 18);
    fixture.stage.before(Operation::Put, "db/1/manifest", act);
    let current = fixture.flush(&[(3, 0)]).await;
    assert_eq!((current.value.condemned.len(), doomed(&current)), (18, 18));
    assert_eq!(graves(&current), Vec::<&crate::PageRef>::new());
}
