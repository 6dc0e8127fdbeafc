//! Restores a version of a database as a new database.

use std::{collections::BTreeSet, time::Duration};

use bytes::Bytes;
use neap_bucket::{Key, RegisterChange, SegmentName, Stamp, VersionedValue};
use neap_schema::{DatabaseId, TableId};

use super::fixture::{DAY_NANOS, ManifestFixture, delete_of, mark};
use crate::{
    DamageRecord, DamagedPart, LostRows, Manifest, ManifestError, Replacement, RestoreError,
    Section, TimeRange, section::SectionLocation,
};

const RESTORED: DatabaseId = DatabaseId::new(2);
const HOUR: Duration = Duration::from_secs(3_600);

fn of_restored(fixture: &ManifestFixture) -> ManifestFixture {
    ManifestFixture { database: RESTORED, ..fixture.clone() }
}

/// Returns the locations of the sections, relative to the source.
fn places(sections: &[std::sync::Arc<Section>], source: DatabaseId) -> BTreeSet<SectionLocation> {
    let sections = sections.iter();
    let places = sections.map(|one| (one.origin.or(Some(source)), one.object, one.offset));
    places.collect()
}

async fn restore(
    fixture: &ManifestFixture,
    current: VersionedValue<Manifest>,
    at: u64,
) -> VersionedValue<Manifest> {
    let (version, view) = Manifest::at(&current, mark(at)).unwrap();
    let store = fixture.store();
    let pin = store.pin(fixture.database, current, version, RESTORED);
    pin.await.unwrap();
    let adopted = store.adopt(fixture.database, &view, RESTORED, 7, &[]).await;
    adopted.unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_restored_database_has_the_contents_of_the_version() {
    for (inline, count) in [(1_000, 10), (16, 60)] {
        let fixture = ManifestFixture::new(inline);
        for _ in 0..count {
            fixture.flush(&[(1, 0), (2, 1)]).await;
        }
        fixture.flush_with(&[], vec![delete_of(1, 0, 0)]).await;
        let removal = Replacement {
            floor: Some(i64::MAX),
            ..ManifestFixture::removal(&fixture.table(2).await[..3])
        };
        fixture.replaced(fixture.read().await, &removal).await;
        // Later commits change everything in the source.
        fixture.flush(&[(1, 0)]).await;
        let base = fixture.read().await;
        let merge = fixture.merge(&base, &fixture.table(1).await).await;
        fixture.replaced(base, &merge).await;
        let current = fixture.flush(&[]).await;

        let (_, view) = Manifest::at(&current, mark(count + 1)).unwrap();
        let expected = fixture.sections_of(&view).await;
        assert_eq!(expected.len() as u64, 2 * count - 3);
        let restored = restore(&fixture, current, count + 1).await;
        let copy = of_restored(&fixture);
        assert_eq!(restored.version, 1);
        assert_eq!(restored.value.check(), Ok(()));
        assert_eq!(restored.value.low_water_mark, view.low_water_mark);
        assert_eq!(restored.value.needs_catalog, 7);
        let pending = restored.value.pending_deletes();
        assert_eq!(pending.filter(|recorded| !recorded.expiry).count(), 1);
        // Expired rows do not reappear.
        assert_eq!(restored.value.deletes_of(TableId::new(2)).count(), 1);
        assert!(restored.value.sections.len() <= inline);
        assert_eq!(restored.value.pages.is_empty(), inline == 1_000);
        let found = copy.sections_of(&restored.value).await;
        assert_eq!(places(&found, fixture.database), places(&expected, fixture.database));
        assert!(found.iter().all(|one| one.origin == Some(fixture.database) && one.added == 1));
        // Only the source has the earlier states.
        assert!(Manifest::at(&restored, mark(1)).is_err());
    }
}

#[tokio::test(start_paused = true)]
async fn a_restore_copies_damage_records_and_each_database_quarantines_separately() {
    let fixture = ManifestFixture::new(1_000);
    fixture.flush(&[(1, 0)]).await;
    let lost = |table| LostRows {
        table: TableId::new(table),
        last_table: None,
        rows: 2,
        min_time: 3,
        max_time: 4,
    };
    let name = SegmentName { stamp: Stamp::from_u64(7), nonce: 1 };
    let record = DamageRecord::of_object(DamagedPart::Segment(name), vec![lost(1)], 0);
    let change = |base: &VersionedValue<Manifest>| {
        let mut next = Manifest::successor(base);
        next.record_damage([record.clone()], base.version + 1);
        Ok::<_, ()>(RegisterChange::Put(next, ()))
    };
    let register = fixture.store().register(fixture.database);
    register.commit(None, change).await.unwrap();
    let current = fixture.flush(&[(1, 0)]).await;
    let table = (TableId::new(1), "t");
    let check =
        |manifest: &Manifest, database| manifest.check_intact(database, table, TimeRange::ALL);
    let restored = restore(&fixture, current, 2).await;
    let error = check(&restored.value, RESTORED).unwrap_err();
    assert_eq!(error.name, Key::Segment(fixture.database, name).to_string());
    let [copied] = &restored.value.damage[..] else {
        panic!("{:?}", restored.value.damage);
    };
    let set_aside = fixture.store().quarantine(RESTORED, restored.clone(), copied);
    let restored = set_aside.await.unwrap();
    assert_eq!(check(&restored.value, RESTORED), Ok(()));
    assert_eq!(restored.value.damage.len(), 1);
    assert!(!restored.value.keeps_segment(name), "it is the source's");
    let source = fixture.read().await;
    assert!(source.value.keeps_segment(name));
    check(&source.value, fixture.database).unwrap_err();
}

#[tokio::test(start_paused = true)]
async fn a_restore_copies_footers() {
    let fixture = ManifestFixture::new(16);
    fixture.flush_times(17, &[(1, 0)]).await;
    let current = fixture.flush(&[]).await;
    let restored = restore(&fixture, current, 17).await;
    let found = fixture.store().all_sections(RESTORED, &restored.value).await.unwrap();
    let with_footer = found.iter().filter(|one| one.footer == Some(Bytes::from_static(&[0; 8])));
    assert_eq!(with_footer.count(), 8);
}

#[tokio::test(start_paused = true)]
async fn a_restored_database_never_deletes_objects_of_its_source() {
    let fixture = ManifestFixture::new(16);
    fixture.flush_times(20, &[(1, 0)]).await;
    let current = fixture.flush(&[]).await;
    restore(&fixture, current, 20).await;
    let copy = of_restored(&fixture);
    copy.flush(&[(1, 0)]).await;
    let base = copy.read().await;
    let merge = copy.merge(&base, &copy.table(1).await).await;
    copy.replaced(base, &merge).await;
    let before = fixture.objects().await;
    let referenced = copy.referenced_objects(&copy.read().await.value).await;
    assert_eq!(referenced.origins(), &BTreeSet::from([fixture.database]));
    for _ in 0..3 {
        fixture.stage.sleep(HOUR).await;
        copy.collect(HOUR).await;
    }
    let current = copy.read().await;
    assert_eq!(current.value.condemned, []);
    // No object of the source is needed any more, and none was changed.
    assert_eq!(copy.referenced_objects(&current.value).await.origins(), &BTreeSet::new());
    assert_eq!(fixture.objects().await, before);
    assert_eq!(copy.objects().await.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_restored_database_outlives_its_source() {
    let fixture = ManifestFixture::new(16);
    fixture.flush_times(20, &[(1, 0)]).await;
    let current = fixture.flush(&[]).await;
    let restored = restore(&fixture, current, 20).await;
    let removal = ManifestFixture::removal(&fixture.table(1).await);
    fixture.replaced(fixture.read().await, &removal).await;
    fixture.collect_hourly(3).await;
    let copy = of_restored(&fixture);
    for section in copy.sections_of(&restored.value).await {
        assert!(fixture.exists(section.object_name()).await);
    }
    // A restore of the restored database references the source, too.
    let pin = copy.store().pin(RESTORED, restored.clone(), 1, DatabaseId::new(3));
    pin.await.unwrap();
    let third = copy
        .store()
        .adopt(RESTORED, &restored.value, DatabaseId::new(3), 0, &[])
        .await
        .unwrap();
    let found = fixture.store().all_sections(DatabaseId::new(3), &third.value).await.unwrap();
    assert_eq!(found.len(), 20);
    assert!(found.iter().all(|one| one.section.origin == Some(fixture.database)));
}

#[tokio::test(start_paused = true)]
async fn expired_rows_stay_invisible_and_expiries_are_remembered() {
    let fixture = ManifestFixture::new(100);
    fixture.flush_times(2, &[(1, 0), (2, 5), (3, 0)]).await;
    let removal = Replacement {
        floor: Some(7),
        ..ManifestFixture::removal(&fixture.table(3).await)
    };
    let current = fixture.replaced(fixture.read().await, &removal).await;
    let (version, view) = Manifest::at(&current, mark(2)).unwrap();
    let store = fixture.store();
    let pin = store.pin(fixture.database, current, version, RESTORED);
    pin.await.unwrap();
    let cutoffs = [1, 2].map(|table| (TableId::new(table), DAY_NANOS));
    let adopted = store.adopt(fixture.database, &view, RESTORED, 0, &cutoffs);
    let restored = adopted.await.unwrap().value;
    assert_eq!(restored.check(), Ok(()));
    // Table 1 has rows before its cutoff, and table 2 has none.
    let deletes = [1, 2].map(|table| restored.deletes_of(TableId::new(table)).count());
    assert_eq!(deletes, [1, 0]);
    let delete = restored.deletes_of(TableId::new(1)).next().unwrap();
    assert!(delete.expiry);
    let expired = [1, 2, 3].map(|table| restored.expired_before(TableId::new(table)));
    assert_eq!(expired, [Some(DAY_NANOS), Some(DAY_NANOS), Some(7)]);

    // A restore of the restored database remembers them, too.
    let copy = of_restored(&fixture);
    let store = copy.store();
    let current = store.read(RESTORED, None).await.unwrap();
    let third = DatabaseId::new(3);
    let pin = store.pin(RESTORED, current.clone(), current.version, third);
    pin.await.unwrap();
    let adopted = store.adopt(RESTORED, &current.value, third, 0, &[]);
    let again = adopted.await.unwrap().value;
    let expired_again = [1, 2, 3].map(|table| again.expired_before(TableId::new(table)));
    assert_eq!(expired_again, expired);
}

#[tokio::test(start_paused = true)]
async fn a_database_with_a_manifest_is_not_overwritten() {
    let fixture = ManifestFixture::new(100);
    let current = fixture.flush(&[(1, 0)]).await;
    of_restored(&fixture).flush(&[(1, 0)]).await;
    let (version, view) = Manifest::at(&current, mark(1)).unwrap();
    let pin = fixture.store().pin(fixture.database, current, version, RESTORED);
    pin.await.unwrap();
    let adopted = fixture.store().adopt(fixture.database, &view, RESTORED, 0, &[]).await;
    assert!(matches!(adopted, Err(RestoreError::NotEmpty)));
}

#[tokio::test(start_paused = true)]
async fn a_restore_without_a_pin_or_that_takes_too_long_fails() {
    let fixture = ManifestFixture::new(100);
    let current = fixture.flush(&[(1, 0)]).await;
    let fails = || async {
        let adopted =
            fixture.store().adopt(fixture.database, &current.value, RESTORED, 0, &[]).await;
        matches!(adopted, Err(RestoreError::Manifest(ManifestError::InvalidCommit { .. })))
    };
    assert!(fails().await);
    let register = fixture.store().register(RESTORED);
    assert_eq!(register.read(None).await.unwrap().version, 1);

    let other = DatabaseId::new(3);
    let pin = fixture.store().pin(fixture.database, current.clone(), current.version, other);
    pin.await.unwrap();
    fixture.stage.sleep(12 * HOUR).await;
    let adopted = fixture.store().adopt(fixture.database, &current.value, other, 0, &[]).await;
    assert!(matches!(
        adopted,
        Err(RestoreError::Manifest(ManifestError::InvalidCommit { .. }))
    ));
}
