//! The two phases of deleting an object: one commit marks its entry as doomed, a later one removes the entry.

use std::{collections::BTreeSet, time::Duration};

use neap_bucket::{Operation, VersionedValue};
use neap_schema::DatabaseId;

use super::fixture::{ManifestFixture, ORPHAN_AGE, mark};
use crate::{CommitAbandoned, DroppedItem, Manifest, OBJECT_NAME_AGE, ObjectName, PendingObject};

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
    let site = ManifestFixture::new(100);
    for _ in 0..3 {
        site.flush(&[(1, 0)]).await;
    }
    let base = site.read().await;
    let inputs = bundles(&base);
    let merge = site.merge(&base, &site.table(1).await).await;
    site.replaced(base, &merge).await;
    (site, inputs)
}

#[tokio::test(start_paused = true)]
async fn a_dropped_section_is_doomed_after_the_period_then_deleted_then_removed() {
    let (site, inputs) = merged().await;
    let dropped_in = site.read().await.version;
    site.stage.sleep(HOUR - Duration::from_secs(1)).await;
    let current = site.collect(HOUR).await;
    assert_eq!((current.version, doomed(&current)), (dropped_in, 0));

    site.stage.sleep(Duration::from_secs(1)).await;
    let current = site.collect(HOUR).await;
    assert_eq!((current.value.condemned.len(), doomed(&current)), (3, 3));
    assert_eq!(current.value.oldest_readable, dropped_in);
    for object in &inputs {
        assert!(site.exists(*object).await);
    }

    let current = site.collect(HOUR).await;
    assert_eq!(current.value.condemned, []);
    for object in &inputs {
        assert!(!site.exists(*object).await);
    }
    assert_eq!(site.table(1).await.len(), 1);
    // A further collection has nothing to do, and commits nothing.
    assert_eq!(site.collect(HOUR).await.version, current.version);
}

#[tokio::test(start_paused = true)]
async fn an_object_is_deleted_after_the_last_of_its_sections() {
    let site = ManifestFixture::new(100);
    site.flush(&[(1, 0), (2, 0)]).await;
    let bundle = *bundles(&site.read().await).first().unwrap();
    let removal = ManifestFixture::removal(&site.table(1).await);
    site.replaced(site.read().await, &removal).await;
    for _ in 0..3 {
        site.stage.sleep(HOUR).await;
        site.collect(HOUR).await;
    }
    // The entry of the first section is gone; the entry of the other section keeps the object.
    assert_eq!(site.read().await.value.condemned, []);
    assert!(site.exists(bundle).await);

    let removal = ManifestFixture::removal(&site.table(2).await);
    site.replaced(site.read().await, &removal).await;
    site.stage.sleep(HOUR).await;
    site.collect(HOUR).await;
    assert!(site.exists(bundle).await);
    site.collect(HOUR).await;
    assert!(!site.exists(bundle).await);
}

#[tokio::test(start_paused = true)]
async fn an_object_stays_while_an_earlier_version_reads_one_of_its_sections() {
    let site = ManifestFixture::new(100);
    site.flush(&[(1, 0), (2, 0)]).await;
    let removal = ManifestFixture::removal(&site.table(1).await);
    site.replaced(site.read().await, &removal).await;
    site.stage.sleep(HOUR).await;
    let current = site.collect(HOUR).await;
    let removal = ManifestFixture::removal(&site.table(2).await);
    let current = site.replaced(current, &removal).await;
    assert_eq!((current.value.condemned.len(), doomed(&current)), (2, 1));
    let census = site.census(&current.value).await;
    assert_eq!(census.deletable(), BTreeSet::new());
}

#[tokio::test(start_paused = true)]
async fn an_entry_doomed_after_the_references_were_read_stays_for_the_next_collection() {
    let site = ManifestFixture::new(100);
    site.flush(&[(1, 0), (2, 0)]).await;
    let bundle = *bundles(&site.read().await).first().unwrap();
    for table in [1, 2] {
        let removal = ManifestFixture::removal(&site.table(table).await);
        site.replaced(site.read().await, &removal).await;
        site.stage.sleep(HOUR).await;
    }
    // The first section is doomed and the second is not when a collector reads the references and stops.
    let current = site.collect(HOUR + HOUR / 2).await;
    assert_eq!((current.value.condemned.len(), doomed(&current)), (2, 1));
    let frozen = site.look(&current, HOUR).await;
    assert_eq!(frozen.deleted, BTreeSet::new());
    let rival = site.collect(HOUR).await;
    assert_eq!(rival.value.condemned.len(), 1);
    let thawed = site.commit_collection(current, &frozen).await;
    assert_eq!((thawed.value.condemned.len(), doomed(&thawed)), (1, 1));
    assert!(site.exists(bundle).await);
    site.collect(HOUR).await;
    assert!(!site.exists(bundle).await);
}

#[tokio::test(start_paused = true)]
async fn a_second_collector_completes_a_collection_that_died_before_its_commit() {
    let (site, inputs) = merged().await;
    site.stage.sleep(HOUR).await;
    let base = site.collect(HOUR).await;
    let died = site.look(&base, HOUR).await;
    assert_eq!(died.deleted, inputs);
    site.delete(&died.deleted).await;
    let next = site.look(&site.read().await, HOUR).await;
    assert_eq!(next.deleted, inputs);
    let current = site.collect(HOUR).await;
    assert_eq!(current.value.condemned, []);
    // The first collector continues; its commit changes nothing.
    let late = site.commit_collection(base, &died).await;
    assert_eq!(late.version, current.version);
}

#[tokio::test(start_paused = true)]
async fn an_object_that_could_not_be_deleted_keeps_its_entry() {
    let (site, inputs) = merged().await;
    site.stage.sleep(HOUR).await;
    let base = site.collect(HOUR).await;
    let mut partial = site.look(&base, HOUR).await;
    let left = partial.deleted.pop_first().unwrap();
    site.delete(&partial.deleted).await;
    let current = site.commit_collection(base, &partial).await;
    let [entry] = current.value.condemned.as_slice() else {
        panic!("{:?}", current.value.condemned);
    };
    assert!(entry.names([]).contains(&left) && inputs.contains(&left));
}

#[tokio::test(start_paused = true)]
async fn an_orphan_is_condemned_once_and_can_never_be_named_again() {
    let site = ManifestFixture::new(100);
    site.flush(&[(1, 0)]).await;
    let late = site.next_flush(&site.read().await, &[(1, 0)]).await;
    let orphan = ObjectName::Parquet(late.object.unwrap().ulid);
    assert_eq!(site.collect(HOUR).await.value.condemned, []);
    site.stage.sleep(ORPHAN_AGE).await;
    let base = site.read().await;
    let collection = site.look(&base, HOUR).await;
    assert_eq!(collection.orphans, [orphan].into());
    let current = site.commit_collection(base.clone(), &collection).await;
    assert_eq!(current.value.condemned[0].what, DroppedItem::Object(orphan));
    // A second collector has found the same orphan.
    let current = site.commit_collection(base, &collection).await;
    assert_eq!(current.value.condemned.len(), 1);

    // The flush is late by its own clock, so pretend that its name is recent.
    let mut young = late;
    young.object = Some(PendingObject {
        drawn: current.proven.unwrap(),
        ..young.object.unwrap()
    });
    let flushed = site.commit_flush(current, young).await;
    assert!(matches!(
        flushed,
        crate::FlushOutcome::GivenUp(CommitAbandoned::ObjectTooOld)
    ));
    site.stage.sleep(HOUR).await;
    site.collect(HOUR).await;
    assert!(site.exists(orphan).await);
    let current = site.collect(HOUR).await;
    assert!(!site.exists(orphan).await);
    assert_eq!(current.value.condemned, []);
    // An orphan belongs to no version, so deleting it makes no version unreadable.
    assert_eq!(current.value.oldest_readable, 0);
}

#[tokio::test(start_paused = true)]
async fn an_object_referenced_after_the_listing_is_not_an_orphan() {
    let site = ManifestFixture::new(100);
    let base = site.flush(&[(1, 0)]).await;
    let flush = site.next_flush(&base, &[(1, 0)]).await;
    let bundle = ObjectName::Parquet(flush.object.unwrap().ulid);
    let mut collection = site.look(&base, HOUR).await;
    collection.orphans.insert(bundle);
    site.commit_flush(base.clone(), flush).await;
    let current = site.commit_collection(base, &collection).await;
    assert_eq!(current.value.condemned, []);
}

#[tokio::test(start_paused = true)]
async fn orphans_are_not_condemned_while_pages_are_unread() {
    let site = ManifestFixture::new(16);
    for _ in 0..16 {
        site.flush(&[(1, 0)]).await;
    }
    let base = site.read().await;
    let mut collection = site.look(&base, HOUR).await;
    let bundle = *bundles(&base).first().unwrap();
    let nowhere = ObjectName::Bundle(ulid::Ulid::from_parts(1, 1));
    collection.orphans.extend([bundle, nowhere]);
    collection.census = Default::default();
    let current = site.flush(&[(1, 0)]).await;
    assert!(!bundles(&current).contains(&bundle));
    let current = site.commit_collection(base, &collection).await;
    assert_eq!(
        (current.value.pages.len(), current.value.condemned.len()),
        (1, 0)
    );
}

#[tokio::test(start_paused = true)]
async fn an_object_name_can_be_committed_for_15_minutes_and_orphans_are_older() {
    assert!(ORPHAN_AGE >= 2 * OBJECT_NAME_AGE);
    let site = ManifestFixture::new(100);
    let base = site.flush(&[(1, 0)]).await;
    let flush = site.next_flush(&base, &[(1, 0)]).await;
    site.stage.sleep(OBJECT_NAME_AGE).await;
    let flushed = site.commit_flush(site.read().await, flush).await;
    assert!(matches!(flushed, crate::FlushOutcome::Committed(_)));
}

#[tokio::test(start_paused = true)]
async fn pins_keep_only_the_objects_of_their_version() {
    let (site, inputs) = merged().await;
    let base = site.read().await;
    let (version, _) = Manifest::at(&site.flush(&[(2, 0)]).await, mark(2)).unwrap();
    let pinned = site
        .store()
        .pin(site.database, base, version, RESTORED)
        .await;
    pinned.unwrap();
    // A section that is added after the pinned version, and dropped again.
    let removal = ManifestFixture::removal(&site.table(2).await);
    site.replaced(site.read().await, &removal).await;
    for _ in 0..3 {
        site.stage.sleep(HOUR).await;
        site.collect(HOUR).await;
    }
    let current = site.read().await;
    // The pinned version had two of the three inputs.
    assert_eq!((current.value.condemned.len(), doomed(&current)), (2, 0));
    let mut kept = 0;
    for object in &inputs {
        kept += usize::from(site.exists(*object).await);
    }
    assert_eq!(kept, 2);

    let mut collection = site.look(&current, HOUR).await;
    collection.released.insert(RESTORED);
    let current = site.commit_collection(current, &collection).await;
    assert_eq!((current.value.pins.len(), doomed(&current)), (0, 2));
    let current = site.collect(HOUR).await;
    assert_eq!(current.value.condemned, []);
}

#[tokio::test(start_paused = true)]
async fn a_version_that_is_gone_cannot_be_pinned() {
    let (site, _) = merged().await;
    let before = site.read().await;
    site.stage.sleep(HOUR).await;
    site.collect(HOUR).await;
    for version in [1, before.version - 1, before.version + 10] {
        let pin = site
            .store()
            .pin(site.database, before.clone(), version, RESTORED);
        assert!(matches!(pin.await, Err(crate::RestoreError::Gone(_))));
    }
    let pin = site
        .store()
        .pin(site.database, before.clone(), before.version, RESTORED);
    pin.await.unwrap();
}

/// Returns a site whose manifest has moved dropped sections to a page.
async fn fixture_with_dropped_pages() -> ManifestFixture {
    let site = ManifestFixture::new(16);
    for _ in 0..40 {
        site.flush(&[(1, 0)]).await;
        let removal = ManifestFixture::removal(&site.table(1).await);
        site.replaced(site.read().await, &removal).await;
    }
    site
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
    let site = fixture_with_dropped_pages().await;
    let current = site.read().await;
    assert!(!graves(&current).is_empty());
    assert!(current.value.condemned.len() < 20);
    for version in Manifest::versions(&current) {
        let (_, view) = Manifest::at(&current, version.mark).unwrap();
        assert_eq!(site.sections_of(&view).await.len(), 0);
    }
    assert_eq!(
        site.census(&current.value).await.deletable(),
        BTreeSet::new()
    );
    assert_eq!(site.objects().await.len(), 40 + graves(&current).len());
}

#[tokio::test(start_paused = true)]
async fn pages_of_dropped_sections_are_doomed_with_their_sections() {
    let site = fixture_with_dropped_pages().await;
    for _ in 0..3 {
        site.stage.sleep(HOUR).await;
        site.collect(HOUR).await;
    }
    assert_eq!(site.read().await.value.condemned, []);
    assert_eq!(site.objects().await, []);
}

#[tokio::test(start_paused = true)]
async fn a_collection_tolerates_a_doomed_page_that_is_already_deleted() {
    let site = fixture_with_dropped_pages().await;
    site.stage.sleep(HOUR).await;
    let current = site.collect(HOUR).await;
    let pages = graves(&current).into_iter();
    let pages: BTreeSet<_> = pages.map(|page| ObjectName::Page(page.object)).collect();
    site.delete(&pages).await;
    let cold = ManifestFixture::on(&site.stage, 2, 16);
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
    let site = ManifestFixture::new(16);
    let base = site.flush(&[(1, 0)]).await;
    let version = base.version;
    let pin = site.store().pin(site.database, base, version, RESTORED);
    pin.await.unwrap();
    for _ in 0..40 {
        let removal = ManifestFixture::removal(&site.table(1).await);
        site.replaced(site.read().await, &removal).await;
        site.flush(&[(1, 0)]).await;
    }
    assert!(!graves(&site.read().await).is_empty());
    for _ in 0..3 {
        site.stage.sleep(HOUR).await;
        site.collect(HOUR).await;
    }
    // The first bundle is pinned, and the last one is live.
    assert_eq!(site.objects().await.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn an_object_with_pages_is_deleted_after_its_last_page() {
    let site = ManifestFixture::new(32);
    for _ in 0..17 {
        site.flush(&[(1, 0), (2, 0)]).await;
    }
    let base = site.read().await;
    let object = ObjectName::Page(base.value.pages[0].object);
    assert_eq!(base.value.pages.len(), 2);
    assert_eq!(ObjectName::Page(base.value.pages[1].object), object);
    for table in [1, 2] {
        let base = site.read().await;
        let merge = site.merge(&base, &site.table(table).await).await;
        site.replaced(base, &merge).await;
        assert!(site.exists(object).await);
        for _ in 0..3 {
            site.stage.sleep(HOUR).await;
            site.collect(HOUR).await;
        }
        assert_eq!(site.exists(object).await, table == 1);
    }
    assert_eq!(site.read().await.value.condemned, []);
}

#[tokio::test(start_paused = true)]
async fn finding_references_reads_page_heads_without_footers() {
    let site = ManifestFixture::new(32);
    for _ in 0..33 {
        site.flush(&[(1, 0)]).await;
    }
    let current = site.read().await;
    let cold = ManifestFixture::on(&site.stage, 2, 32);
    cold.stage.taken();
    let census = cold.census(&current.value).await;
    assert_eq!(cold.stage.taken().gets, 1);
    assert_eq!(census.live.len(), 33 + 1);
    let found = cold.store().all_sections(cold.database, &current.value);
    let found = found.await.unwrap();
    assert_eq!(cold.stage.taken().gets, 1);
    assert_eq!(found.iter().filter(|one| one.footer.is_some()).count(), 16);
    // A cached page needs no read of its head.
    cold.census(&current.value).await;
    assert_eq!(cold.stage.taken().gets, 0);
}

#[tokio::test(start_paused = true)]
async fn entries_that_become_doomed_before_they_move_to_pages_stay_inline() {
    let site = ManifestFixture::new(16);
    for _ in 0..17 {
        site.flush(&[(1, 0)]).await;
    }
    let removal = ManifestFixture::removal(&site.read().await.value.sections);
    site.replaced(site.read().await, &removal).await;
    for _ in 0..9 {
        site.flush(&[(2, 0)]).await;
    }
    let removal = ManifestFixture::removal(&site.table(2).await);
    site.replaced(site.read().await, &removal).await;
    let rival = ManifestFixture::on(&site.stage, 2, 16);
    let act = async move {
        rival.collect(Duration::ZERO).await;
    };
    assert_eq!(site.read().await.value.condemned.len(), 18);
    site.stage.before(Operation::Put, "db/1/manifest", act);
    let current = site.flush(&[(3, 0)]).await;
    assert_eq!((current.value.condemned.len(), doomed(&current)), (18, 18));
    assert_eq!(graves(&current), Vec::<&crate::PageRef>::new());
}
