//! The rules of the commit that replaces sections.

use std::{sync::Arc, time::Duration};

use bytes::BytesMut;
use futures::future::BoxFuture;
use neap_bucket::{Key, Operation, PutMode, RegisterChange, Stamp, VersionedValue};
use neap_schema::TableId;
use ulid::Ulid;

use super::{
    ManifestTestBed,
    fixture::{DAY_NANOS, ManifestFixture, mark},
    job, stamp,
};
use crate::{
    Claim, DroppedItem, JobKind, Manifest, ManifestError, ObjectName, PendingObject,
    ReplaceRefusal, Replacement, Section,
};

/// Returns a site with one section of table 1 for each flush, all of day 0.
async fn flushed(inline_sections: usize, count: usize) -> ManifestFixture {
    let fixture = ManifestFixture::new(inline_sections);
    fixture.flush_times(count, &[(1, 0)]).await;
    fixture
}

fn intervals(sections: &[Arc<Section>]) -> Vec<(u64, u64)> {
    let number = |section: &Section| {
        let at = |stamp: Stamp| u64::try_from(stamp.time().micros() + 1).unwrap() / 20_000_000;
        (at(section.above), at(section.upto))
    };
    sections.iter().map(|section| number(section)).collect()
}

fn dropped_sections(manifest: &Manifest) -> usize {
    let condemned = manifest.condemned.iter();
    condemned.filter(|entry| matches!(entry.what, DroppedItem::Section(_))).count()
}

#[tokio::test(start_paused = true)]
async fn a_merge_replaces_its_inputs_by_one_section_and_condemns_them() {
    let fixture = flushed(100, 5).await;
    let base = fixture.read().await;
    let inputs = fixture.table(1).await;
    let mut merge = fixture.merge(&base, &inputs[1..4]).await;
    let claim = Claim {
        job: Ulid::from_parts(9, 9),
        table: TableId::new(1),
        first_day: 0,
        last_day: 0,
        above: inputs[1].above,
        upto: inputs[3].upto,
        expires: base.current_at.unwrap().plus(Duration::from_secs(600)),
    };
    let now = base.current_at.unwrap();
    let claimed = fixture.store().claim(fixture.database, base, &[claim], now).await;
    let base = claimed.unwrap().current;
    assert_eq!(base.value.claims, [claim]);
    merge.claim = Some(claim.job);
    merge.floor = Some(-5);
    fixture.stage.taken();
    let current = fixture.replaced(base, &merge).await;
    let requests = fixture.stage.taken();
    assert_eq!((requests.gets, requests.puts), (0, 1));

    assert_eq!(intervals(&fixture.table(1).await), [(0, 1), (1, 4), (4, 5)]);
    let value = &current.value;
    assert_eq!(value.sections[1].added, current.version);
    assert_eq!(value.claims, []);
    // No section has rows before the floor.
    assert_eq!(value.deletes, []);
    let record = value.jobs.last().unwrap();
    assert_eq!((record.kind, record.version), (JobKind::Merge, current.version));
    assert_eq!(dropped_sections(value), 3);
    assert!(value.condemned.iter().all(|entry| {
        entry.version == current.version && !entry.doomed && entry.committed.is_none()
    }));
    // The next commit records the commit time.
    let next = fixture.flush(&[]).await;
    assert!(next.value.condemned.iter().all(|entry| entry.committed == current.committed));
}

#[tokio::test(start_paused = true)]
async fn inputs_that_a_rival_has_replaced_are_gone() {
    let fixture = flushed(100, 4).await;
    let base = fixture.read().await;
    let inputs = fixture.table(1).await;
    let ours = fixture.merge(&base, &inputs[..3]).await;
    let theirs = fixture.merge(&base, &inputs[2..]).await;
    fixture.replaced(base.clone(), &theirs).await;
    assert_eq!(fixture.refused(base, &ours).await, ReplaceRefusal::InputsGone);
    assert_eq!(intervals(&fixture.table(1).await), [(0, 1), (1, 2), (2, 4)]);
}

#[tokio::test(start_paused = true)]
async fn inputs_that_leave_a_section_out_between_them_are_not_closed() {
    let fixture = flushed(100, 3).await;
    let base = fixture.read().await;
    let inputs = fixture.table(1).await;
    let merge = fixture.merge(&base, &[Arc::clone(&inputs[0]), Arc::clone(&inputs[2])]).await;
    assert_eq!(fixture.refused(base.clone(), &merge).await, ReplaceRefusal::NotClosed);
    // A removal without outputs may leave other sections between its inputs.
    let removal = ManifestFixture::removal(&[Arc::clone(&inputs[0]), Arc::clone(&inputs[2])]);
    fixture.replaced(base, &removal).await;
    assert_eq!(intervals(&fixture.table(1).await), [(1, 2)]);
}

#[tokio::test(start_paused = true)]
async fn a_section_of_another_day_or_table_between_the_inputs_does_not_matter() {
    let fixture = ManifestFixture::new(100);
    fixture.flush(&[(1, 0), (1, 1), (2, 0)]).await;
    fixture.flush(&[(1, 1), (2, 0)]).await;
    let base = fixture.flush(&[(1, 0)]).await;
    let inputs: Vec<_> =
        fixture.table(1).await.into_iter().filter(|one| one.first_day == 0).collect();
    let merge = fixture.merge(&base, &inputs).await;
    let current = fixture.replaced(base, &merge).await;
    assert_eq!(current.value.section_count(), 5);
}

#[tokio::test(start_paused = true)]
async fn a_section_between_the_inputs_is_found_in_a_page_too() {
    let fixture = flushed(16, 17).await;
    let base = fixture.read().await;
    assert_eq!(base.value.pages.len(), 1);
    let sections = fixture.table(1).await;
    let inline = &base.value.sections;
    // The first input is in the page and the last one is inline; the page has the section between them.
    let merge = fixture.merge(&base, &[Arc::clone(&sections[0]), Arc::clone(&inline[0])]).await;
    assert_eq!(fixture.refused(base, &merge).await, ReplaceRefusal::NotClosed);
}

#[tokio::test(start_paused = true)]
async fn a_page_that_overlaps_the_inputs_after_planning_is_examined() {
    let fixture = flushed(16, 16).await;
    let base = fixture.read().await;
    let sections = fixture.table(1).await;
    let merge = fixture
        .merge(&base, &[Arc::clone(&sections[14]), Arc::clone(&sections[15])])
        .await;
    // A flush moves the older sections to a page whose days overlap those of the inputs and whose stamps do not.
    fixture.flush(&[(1, 0)]).await;
    fixture.replaced(base, &merge).await;
    assert_eq!(fixture.table(1).await.len(), 16);
}

#[tokio::test(start_paused = true)]
async fn a_section_between_the_inputs_that_moves_to_a_page_before_the_commit_is_found() {
    let fixture = ManifestFixture::new(100);
    fixture.flush_times(8, &[(1, 1), (1, 20), (1, 21)]).await;
    fixture.flush(&[(1, 0), (1, 1)]).await;
    fixture.flush(&[(1, 0), (1, 2)]).await;
    for day in [0, 1] {
        let all = fixture.table(1).await.into_iter();
        let inputs: Vec<_> = all.filter(|one| one.first_day == day).collect();
        let base = fixture.read().await;
        let merge = fixture.merge(&base, &inputs).await;
        fixture.replaced(base, &merge).await;
    }
    // Day 0 of (8, 10] and day 2 of (9, 10] with day 1 of (0, 9] between them.
    let base = fixture.read().await;
    let all = fixture.table(1).await.into_iter();
    let inputs: Vec<_> = all.filter(|one| [0, 2].contains(&one.first_day)).collect();
    assert_eq!(intervals(&inputs), [(8, 10), (9, 10)]);
    let merge = fixture.merge(&base, &inputs).await;
    let rival = ManifestFixture::on(&fixture.stage, 2, 4);
    let flushed = rival.flush(&[(1, 30)]).await;
    let inline = flushed.value.sections.iter();
    let days: Vec<_> = inline.map(|section| section.first_day).collect();
    assert_eq!(days, [0, 2, 30]);
    assert_eq!(fixture.refused(base, &merge).await, ReplaceRefusal::NotClosed);
}

#[tokio::test(start_paused = true)]
async fn removals_that_rewrite_one_page_both_succeed() {
    let fixture = flushed(32, 33).await;
    let base = fixture.read().await;
    let all = fixture.table(1).await;
    fixture.replaced(base.clone(), &ManifestFixture::removal(&all[..2])).await;
    let current = fixture.replaced(base, &ManifestFixture::removal(&all[2..4])).await;
    assert_eq!(current.value.section_count(), 29);
    assert_eq!(fixture.table(1).await.len(), 29);
}

#[tokio::test(start_paused = true)]
async fn inputs_in_pages_leave_and_the_rest_becomes_a_new_page() {
    let fixture = flushed(32, 33).await;
    let base = fixture.read().await;
    let [page] = base.value.pages.as_slice() else {
        panic!("{:?}", base.value.pages);
    };
    assert_eq!(page.sections, 16);
    let inputs = fixture.table(1).await;
    let merge = fixture.merge(&base, &inputs[3..9]).await;
    fixture.stage.taken();
    let current = fixture.replaced(base.clone(), &merge).await;
    let requests = fixture.stage.taken();
    // The page is in the cache.
    assert_eq!((requests.gets, requests.puts), (0, 2));
    let [rest] = current.value.pages.as_slice() else {
        panic!("{:?}", current.value.pages);
    };
    assert_eq!(rest.sections, 10);
    assert_eq!(fixture.table(1).await.len(), 33 - 6 + 1);
    assert_eq!(dropped_sections(&current.value), 6);
    let old = DroppedItem::Object(ObjectName::Page(page.object));
    assert!(current.value.condemned.iter().any(|entry| entry.what == old));
    // A reader of the previous version finds all sections, although the page is no longer referenced.
    let (_, view) = Manifest::at(&fixture.flush(&[]).await, base.value.low_water_mark).unwrap();
    assert_eq!(fixture.sections_of(&view).await.len(), 28);
    assert_eq!(fixture.sections_of(&base.value).await.len(), 33);
}

#[tokio::test(start_paused = true)]
async fn few_remaining_sections_of_a_page_return_to_the_manifest() {
    let fixture = flushed(32, 33).await;
    let base = fixture.read().await;
    let inputs = fixture.table(1).await;
    let merge = fixture.merge(&base, &inputs[..12]).await;
    let current = fixture.replaced(base, &merge).await;
    assert_eq!(current.value.pages, []);
    assert_eq!(current.value.check(), Ok(()));
    assert_eq!(current.value.sections.len(), 33 - 12 + 1);
}

#[tokio::test(start_paused = true)]
async fn a_page_without_remaining_sections_is_condemned_as_a_whole() {
    let fixture = flushed(32, 33).await;
    let base = fixture.read().await;
    let page = base.value.pages[0].clone();
    let inputs = fixture.table(1).await;
    let removal = Replacement { floor: Some(7), ..ManifestFixture::removal(&inputs[..20]) };
    fixture.stage.taken();
    let current = fixture.replaced(base, &removal).await;
    assert_eq!(fixture.stage.taken().puts, 1);
    assert_eq!(current.value.pages, []);
    assert_eq!(dropped_sections(&current.value), 4);
    let whole = current
        .value
        .condemned
        .iter()
        .filter(|entry| entry.what == DroppedItem::Page(page.clone()));
    assert_eq!(whole.count(), 1);
    assert_eq!(fixture.table(1).await.len(), 13);
    assert!(current.value.deletes.iter().all(|one| one.expiry));
}

#[tokio::test(start_paused = true)]
async fn inputs_that_a_flush_moves_to_a_page_are_found_there() {
    for before_put in [false, true] {
        let fixture = flushed(16, 16).await;
        let base = fixture.read().await;
        let inputs = fixture.table(1).await;
        let merge = fixture.merge(&base, &inputs[..4]).await;
        let rival = ManifestFixture::on(&fixture.stage, 2, 16);
        if before_put {
            let act = async move {
                rival.flush(&[(1, 0)]).await;
            };
            fixture.stage.before(Operation::Put, "db/1/manifest", act);
        } else {
            rival.flush(&[(1, 0)]).await;
        }
        let current = fixture.replaced(base, &merge).await;
        assert_eq!(current.value.check(), Ok(()));
        assert_eq!(current.value.low_water_mark, mark(17));
        let merged = intervals(&fixture.table(1).await);
        assert_eq!((merged[0], merged.len()), ((0, 4), 14));
    }
}

#[tokio::test(start_paused = true)]
async fn merges_of_two_days_that_rewrite_one_page_both_succeed() {
    let fixture = ManifestFixture::new(32);
    fixture.flush_times(17, &[(1, 0), (1, 1)]).await;
    let base = fixture.read().await;
    let [page] = base.value.pages.as_slice() else {
        panic!("{:?}", base.value.pages);
    };
    assert_eq!((page.first_day, page.last_day), (0, 1));
    let rival = ManifestFixture::on(&fixture.stage, 2, 32);
    let of_day = |day| {
        let (fixture, base) = (&fixture, &base);
        async move {
            let sections = fixture.table(1).await.into_iter();
            let inputs: Vec<_> = sections.filter(|one| one.first_day == day).take(5).collect();
            fixture.merge(base, &inputs).await
        }
    };
    let merges = [of_day(0).await, of_day(1).await];
    fixture.stage.slow_down(Duration::from_millis(20));
    let (one, other) = futures::join!(
        fixture.replaced(base.clone(), &merges[0]),
        rival.replaced(base.clone(), &merges[1]),
    );
    assert_eq!(one.version.max(other.version), base.version + 2);
    let current = fixture.read().await;
    assert_eq!(current.value.check(), Ok(()));
    assert_eq!(current.value.section_count(), 34 - 8);
    assert_eq!(fixture.table(1).await.len(), 34 - 8);
}

#[tokio::test(start_paused = true)]
async fn a_stale_base_whose_pages_are_gone_is_read_again() {
    let fixture = flushed(32, 33).await;
    let stale = fixture.read().await;
    let inputs = fixture.table(1).await;
    let first = fixture.merge(&stale, &inputs[..2]).await;
    let current = fixture.replaced(stale.clone(), &first).await;
    let page = ObjectName::Page(stale.value.pages[0].object);
    fixture.delete(&[page].into()).await;
    // A new instance, which has not read the page.
    let cold = ManifestFixture::on(&fixture.stage, 2, 32);
    let second = cold.merge(&current, &inputs[4..6]).await;
    cold.replaced(stale, &second).await;
    assert_eq!(cold.table(1).await.len(), 31);
    // If the manifest is current, a missing page is damage.
    let damaged = cold.read().await;
    let page = ObjectName::Page(damaged.value.pages[0].object);
    cold.delete(&[page].into()).await;
    let cold = ManifestFixture::on(&fixture.stage, 3, 32);
    let removal = ManifestFixture::removal(&inputs[6..7]);
    let outcome = cold.store().replace(cold.database, damaged, &removal).await;
    assert!(matches!(outcome, Err(ManifestError::PageGone { .. })));
}

#[tokio::test(start_paused = true)]
async fn a_base_older_than_the_inputs_is_read_again() {
    let fixture = flushed(100, 1).await;
    let stale = fixture.read().await;
    let base = fixture.flush(&[(1, 0)]).await;
    let merge = fixture.merge(&base, &fixture.table(1).await).await;
    fixture.replaced(stale, &merge).await;
    assert_eq!(fixture.table(1).await.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_object_with_an_old_name_or_condemned_as_an_orphan_is_refused() {
    let fixture = flushed(100, 2).await;
    let base = fixture.read().await;
    let inputs = fixture.table(1).await;
    let merge = fixture.merge(&base, &inputs).await;
    let name = ObjectName::Parquet(merge.object.unwrap().ulid);
    let mut collection = fixture.look(&base, Duration::from_secs(3_600)).await;
    collection.orphans.insert(name);
    let condemned = fixture.commit_collection(base.clone(), &collection).await;
    assert_eq!(condemned.value.condemned.len(), 1);
    assert_eq!(fixture.refused(base, &merge).await, ReplaceRefusal::ObjectTooOld);

    let base = fixture.read().await;
    let merge = fixture.merge(&base, &inputs).await;
    fixture.stage.sleep(Duration::from_secs(15 * 60 + 1)).await;
    let base = fixture.read().await;
    assert_eq!(fixture.refused(base, &merge).await, ReplaceRefusal::ObjectTooOld);
    assert_eq!(fixture.table(1).await.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_merge_whose_inputs_always_move_is_refused() {
    let fixture = flushed(100, 2).await;
    let base = fixture.read().await;
    let merge = fixture.merge(&base, &fixture.table(1).await).await;
    let rival = ManifestFixture::on(&fixture.stage, 2, 100);
    fixture.stage.before(Operation::Put, "db/1/manifest", move_again(rival, 8));
    assert_eq!(fixture.refused(base, &merge).await, ReplaceRefusal::Busy);
    assert_eq!(fixture.table(1).await.len(), 2);
}

/// Moves all sections to a page, now and before each of the next puts of the manifest.
fn move_again(fixture: ManifestFixture, times: usize) -> BoxFuture<'static, ()> {
    Box::pin(async move {
        let store = fixture.store();
        let base = fixture.read().await;
        let object = PendingObject::draw(&fixture.instance.bucket).unwrap();
        let found = store.all_sections(fixture.database, &base.value).await;
        let mut body = BytesMut::new();
        let page = store.append_page(&mut body, object, &found.unwrap()).unwrap().unwrap();
        let key = Key::Page(fixture.database, object.ulid);
        let put = fixture.instance.bucket.put(&key, body.freeze(), PutMode::Overwrite);
        put.await.unwrap();
        let change = |base: &VersionedValue<Manifest>| {
            let mut next = Manifest::successor(base);
            next.sections.clear();
            next.pages = vec![page.clone()];
            Ok::<_, ()>(RegisterChange::Put(next, ()))
        };
        let register = store.register(fixture.database);
        register.commit(Some(base), change).await.unwrap();
        if times > 1 {
            let stage = fixture.stage.clone();
            stage.before(Operation::Put, "db/1/manifest", move_again(fixture, times - 1));
        }
    })
}

#[tokio::test(start_paused = true)]
async fn a_commit_that_the_store_never_answers_is_unknown() {
    let fixture = flushed(100, 2).await;
    let base = fixture.read().await;
    let merge = fixture.merge(&base, &fixture.table(1).await).await;
    fixture.stage.set_unavailable(true);
    let outcome = fixture.replace(base, &merge).await;
    assert!(matches!(outcome, crate::ReplaceOutcome::Unknown { .. }));
}

#[tokio::test(start_paused = true)]
async fn inconsistent_parts_are_rejected() {
    let fixture = ManifestFixture::on(&ManifestTestBed::new(), 1, 100);
    fixture.flush(&[(1, 0), (2, 0)]).await;
    let base = fixture.flush(&[(1, 0)]).await;
    let inputs = fixture.table(1).await;
    let good = fixture.merge(&base, &inputs).await;
    let spoil = |change: fn(&mut Replacement)| {
        let mut bad = good.clone();
        change(&mut bad);
        bad
    };
    let other = fixture.table(2).await;
    let mut of_two_tables = good.clone();
    of_two_tables.remove.extend(other);
    let impossible = [
        spoil(|bad| bad.remove.clear()),
        spoil(|bad| bad.remove.push(Arc::clone(&bad.remove[0]))),
        spoil(|bad| bad.object = None),
        spoil(|bad| bad.add[0].first_day = -1),
        spoil(|bad| bad.add[0].upto = stamp(bad.add[0].upto.as_u64() + 1)),
        spoil(|bad| bad.add[0].table = TableId::new(2)),
        spoil(|bad| bad.add[0].origin = Some(neap_schema::DatabaseId::new(9))),
        of_two_tables,
    ];
    for bad in impossible {
        let outcome = fixture.store().replace(fixture.database, base.clone(), &bad).await;
        assert!(matches!(outcome, Err(ManifestError::InvalidCommit { .. })), "{bad:?}");
    }
    fixture.replaced(base, &good).await;
}

#[tokio::test(start_paused = true)]
async fn expired_rows_of_other_sections_stay_hidden_and_later_writes_are_visible() {
    let fixture = flushed(100, 4).await;
    let expire = async |floor: i64| {
        let removal = Replacement {
            floor: Some(floor),
            job: job(JobKind::Expire),
            ..ManifestFixture::removal(&fixture.table(1).await[..1])
        };
        fixture.replaced(fixture.read().await, &removal).await.value
    };
    let lasts = |manifest: &Manifest| -> Vec<i64> {
        let pending = manifest.pending_deletes();
        let bounds = pending.filter_map(|one| one.delete.condition.time_bounds());
        bounds.map(|(_, last)| last).collect()
    };
    assert_eq!(lasts(&*expire(5).await), [4]);
    // A floor with an earlier time is ignored, and one with a later time replaces the existing one.
    assert_eq!(lasts(&*expire(3).await), [4, 2]);
    let manifest = expire(DAY_NANOS).await;
    assert_eq!(lasts(&manifest), [DAY_NANOS - 1]);
    assert_eq!(manifest.delete_bytes().pending, 0);

    let manifest = fixture.flush(&[(1, 0)]).await.value;
    let [expiry] = manifest.deletes_of(TableId::new(1)).collect::<Vec<_>>()[..] else {
        panic!("{:?}", manifest.deletes);
    };
    let [older, newer] = &fixture.table(1).await[..] else {
        panic!("{:?}", manifest.sections);
    };
    assert!(expiry.applies_to(older));
    assert!(!expiry.applies_to(newer));
}
