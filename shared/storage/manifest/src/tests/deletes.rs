//! Row deletes in a manifest, and when they are removed.

use std::time::Duration;

use neap_row_delete::{Condition, RowDelete};
use neap_schema::TableId;
use ulid::Ulid;

use super::{
    fixture::{DAY_NANOS, ManifestFixture, delete_of, mark},
    job,
};
use crate::{JobKind, Manifest, ManifestError, ObjectName, Replacement, TagRange};

fn pending(manifest: &Manifest) -> usize {
    manifest.pending_deletes().count()
}

#[tokio::test(start_paused = true)]
async fn a_delete_stays_until_it_is_applied_to_all_older_sections_that_it_may_match() {
    let fixture = ManifestFixture::new(100);
    fixture.flush(&[(1, 0), (1, 1), (2, 0)]).await;
    let current = fixture.flush_with(&[(1, 0)], vec![delete_of(1, 0, 1)]).await;
    assert_eq!(pending(&current.value), 1);
    let recorded = current.value.deletes[0].clone();
    assert_eq!((recorded.stamp, recorded.added), (mark(2), current.version));
    let applies = |sections: &[std::sync::Arc<crate::Section>]| {
        let sections = sections.iter();
        sections.filter(|one| recorded.applies_to(one)).count()
    };
    // The delete applies neither to the section of the same flush, which already has it applied, nor to another table.
    assert_eq!(applies(&fixture.table(1).await), 2);
    assert_eq!(applies(&fixture.table(2).await), 0);

    for day in [0, 1] {
        assert_eq!(pending(&fixture.read().await.value), 1);
        let base = fixture.read().await;
        let old = fixture.table(1).await.into_iter();
        let inputs: Vec<_> = old.filter(|one| one.first_day == day).collect();
        let merge = fixture.merge(&base, &inputs).await;
        fixture.replaced(base, &merge).await;
    }
    let current = fixture.read().await;
    assert_eq!(pending(&current.value), 0);
    assert_eq!(current.value.deletes[0].dropped, Some(current.version));
    // A version from before the delete does not have it.
    let (_, view) = Manifest::at(&fixture.flush(&[]).await, mark(1)).unwrap();
    assert_eq!(pending(&view), 0);
}

#[tokio::test(start_paused = true)]
async fn a_delete_that_no_section_needs_is_not_recorded() {
    let fixture = ManifestFixture::new(100);
    fixture.flush(&[(1, 0)]).await;
    let other_day = delete_of(1, 5, 6);
    let other_table = delete_of(3, 0, 0);
    let nothing = RowDelete { table: TableId::new(1), condition: Condition::NOTHING };
    let deletes = vec![other_day, other_table, nothing];
    let current = fixture.flush_with(&[(1, 5)], deletes).await;
    assert_eq!(current.value.deletes, []);
}

#[tokio::test(start_paused = true)]
async fn a_rewrite_of_one_section_can_complete_a_delete() {
    let fixture = ManifestFixture::new(100);
    fixture.flush(&[(1, 0)]).await;
    let base = fixture.flush_with(&[], vec![delete_of(1, 0, 0)]).await;
    let rewrite = fixture.merge(&base, &fixture.table(1).await).await;
    let current = fixture.replaced(base, &rewrite).await;
    assert_eq!(pending(&current.value), 0);
    assert_eq!(current.value.sections[0].upto, mark(1));
    assert_eq!(current.value.sections[0].cleaned, mark(2));
}

#[tokio::test(start_paused = true)]
async fn a_merge_that_began_before_a_delete_was_flushed_does_not_apply_it() {
    let fixture = ManifestFixture::new(100);
    fixture.flush(&[(1, 0)]).await;
    let base = fixture.flush(&[(1, 0)]).await;
    let merge = fixture.merge(&base, &fixture.table(1).await).await;
    fixture.flush_with(&[], vec![delete_of(1, 0, 0)]).await;
    let current = fixture.replaced(base, &merge).await;
    assert_eq!(pending(&current.value), 1);
    assert!(current.value.deletes[0].applies_to(&current.value.sections[0]));
}

#[tokio::test(start_paused = true)]
async fn a_delete_that_sections_in_pages_need_stays() {
    let fixture = ManifestFixture::new(16);
    fixture.flush_times(17, &[(1, 0)]).await;
    assert_eq!(fixture.read().await.value.pages.len(), 1);
    let base = fixture.flush_with(&[], vec![delete_of(1, 0, 0)]).await;
    let inline: Vec<_> = base.value.sections.clone();
    let merge = fixture.merge(&base, &inline).await;
    let current = fixture.replaced(base, &merge).await;
    assert_eq!(pending(&current.value), 1);
    // A collection reads the pages, and keeps the delete because their sections need it.
    assert_eq!(pending(&fixture.collect(Duration::ZERO).await.value), 1);
    let base = fixture.read().await;
    let merge = fixture.merge(&base, &fixture.table(1).await).await;
    let current = fixture.replaced(base, &merge).await;
    assert_eq!(pending(&current.value), 0);
}

#[tokio::test(start_paused = true)]
async fn a_collection_removes_a_delete_that_matches_only_the_bounds_of_a_page() {
    let fixture = ManifestFixture::new(16);
    for day in 0..17 {
        fixture.flush(&[(1, day % 2 * 10)]).await;
    }
    let inline = fixture.read().await.value.sections.len();
    assert_eq!((inline, fixture.table(1).await.len()), (9, 17));
    // No section has the day, but it lies between the first and the last day of the page.
    let current = fixture.flush_with(&[], vec![delete_of(1, 5, 5)]).await;
    assert_eq!(pending(&current.value), 1);
    assert_eq!(pending(&fixture.collect(Duration::ZERO).await.value), 0);
}

/// Returns a site with two tables whose sections are all in pages: table 1 has days 0 and 10, table 2 has day 5.
async fn paged() -> ManifestFixture {
    let fixture = ManifestFixture::new(16);
    for number in 0..40 {
        fixture.flush(&[(1, number % 2 * 10), (2, 5)]).await;
    }
    loop {
        let current = fixture.flush(&[(3, 0)]).await;
        let mut inline = current.value.sections.iter();
        if inline.all(|section| section.table == TableId::new(3)) {
            return fixture;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_collection_drops_the_delete_of_one_table_and_keeps_that_of_another_with_the_same_stamp()
{
    let fixture = paged().await;
    // Pages of table 1 have sections before and after the day, but none on it.
    let deletes = vec![delete_of(1, 5, 5), delete_of(2, 5, 5)];
    let current = fixture.flush_with(&[], deletes).await;
    assert_eq!(pending(&current.value), 2);
    let [one, two] = current.value.deletes.as_slice() else {
        panic!("{:?}", current.value.deletes);
    };
    assert_eq!(one.stamp, two.stamp);

    let current = fixture.collect(Duration::ZERO).await;
    let tables: Vec<_> =
        current.value.pending_deletes().map(|recorded| recorded.delete.table).collect();
    assert_eq!(tables, [TableId::new(2)]);
}

#[tokio::test(start_paused = true)]
async fn a_collection_tells_deletes_of_one_table_with_the_same_stamp_apart_by_their_conditions() {
    let fixture = paged().await;
    let deletes = vec![delete_of(1, 5, 5), delete_of(1, 10, 10)];
    let current = fixture.flush_with(&[], deletes).await;
    assert_eq!(pending(&current.value), 2);
    let current = fixture.collect(Duration::ZERO).await;
    let conditions: Vec<_> =
        current.value.pending_deletes().map(|one| one.delete.clone()).collect();
    assert_eq!(conditions, [delete_of(1, 10, 10)]);
}

#[tokio::test(start_paused = true)]
async fn a_collection_keeps_an_expiry_whose_stamp_is_that_of_a_delete_that_it_drops() {
    let fixture = paged().await;
    let old = fixture.table(2).await;
    let base = fixture.read().await;
    let removal = Replacement {
        floor: Some(6 * DAY_NANOS),
        job: job(JobKind::Expire),
        ..ManifestFixture::removal(&old[..1])
    };
    let base = fixture.replaced(base, &removal).await;
    let stamp = base.value.deletes[0].stamp;
    let mut flush = fixture.next_flush(&base, &[]).await;
    flush.deletes = vec![(stamp, delete_of(1, 5, 5))];
    fixture.commit_flush(base, flush).await;
    assert_eq!(pending(&fixture.read().await.value), 2);

    let current = fixture.collect(Duration::ZERO).await;
    let mut left = current.value.pending_deletes();
    assert!(left.next().is_some_and(|one| one.expiry && one.applies_to(&old[1])));
    assert!(left.next().is_none());
}

#[tokio::test(start_paused = true)]
async fn a_collection_of_pages_that_have_changed_since_does_not_settle_deletes() {
    let fixture = ManifestFixture::new(16);
    for day in 0..16 {
        fixture.flush(&[(1, day % 2 * 10)]).await;
    }
    // The references are read without a page; then the sections move to one.
    let base = fixture.read().await;
    let current = fixture.flush_with(&[], vec![delete_of(1, 5, 5)]).await;
    assert_eq!(pending(&current.value), 0);
    let mut collection = fixture.look(&base, Duration::ZERO).await;
    // An orphan, so that the collection commits.
    let orphan = ObjectName::Parquet(Ulid::from_parts(1, 1));
    collection.orphans.insert(orphan);
    let current = fixture.flush_with(&[(1, 0)], vec![delete_of(1, 0, 0)]).await;
    assert_eq!(current.value.pages.len(), 1);
    let current = fixture.commit_collection(base, &collection).await;
    assert_eq!(pending(&current.value), 1);
}

#[tokio::test(start_paused = true)]
async fn a_delete_leaves_when_the_sections_expire() {
    let fixture = ManifestFixture::new(100);
    fixture.flush(&[(1, 0)]).await;
    let base = fixture.flush_with(&[], vec![delete_of(1, 0, 0)]).await;
    let removal = Replacement {
        floor: Some(DAY_NANOS),
        job: job(JobKind::Expire),
        ..ManifestFixture::removal(&fixture.table(1).await)
    };
    let current = fixture.replaced(base, &removal).await;
    assert_eq!(pending(&current.value), 0);
}

#[tokio::test(start_paused = true)]
async fn a_dropped_delete_is_forgotten_with_the_versions_that_need_it() {
    let fixture = ManifestFixture::new(100);
    let hour = Duration::from_secs(3_600);
    fixture.flush(&[(1, 0)]).await;
    let base = fixture.flush_with(&[], vec![delete_of(1, 0, 0)]).await;
    let rewrite = fixture.merge(&base, &fixture.table(1).await).await;
    let dropped_in = fixture.replaced(base, &rewrite).await.version;
    assert_eq!(fixture.collect(hour).await.value.deletes.len(), 1);
    fixture.stage.sleep(hour).await;
    let current = fixture.collect(hour).await;
    assert_eq!(current.value.deletes, []);
    assert!(current.value.oldest_readable >= dropped_in);
    assert!(Manifest::at(&current, mark(1)).is_err());
}

#[tokio::test(start_paused = true)]
async fn deletes_outside_of_the_interval_of_their_flush_are_refused() {
    let fixture = ManifestFixture::new(100);
    let base = fixture.flush(&[(1, 0)]).await;
    for stamp in [mark(1), mark(3)] {
        let mut flush = fixture.next_flush(&base, &[]).await;
        flush.deletes = vec![(stamp, delete_of(1, 0, 0))];
        let outcome = fixture.store().commit_flush(fixture.database, base.clone(), flush).await;
        assert!(matches!(outcome, Err(ManifestError::InvalidCommit { .. })));
    }
}

#[tokio::test(start_paused = true)]
async fn tag_ranges_tell_which_sections_a_delete_may_match() {
    let fixture = ManifestFixture::new(100);
    let base = fixture.read().await;
    let mut flush = fixture.next_flush(&base, &[(1, 0)]).await;
    let range = TagRange {
        min: Some("b".to_owned()),
        max: Some("d".to_owned()),
        has_null: false,
    };
    flush.sections[0].tags.insert("host".to_owned(), range);
    fixture.commit_flush(base, flush).await;
    let section = fixture.table(1).await.remove(0);
    let tag = |name: &str, value: Option<&str>| Condition::Tag {
        name: name.to_owned(),
        value: value.map(str::to_owned),
    };
    let may = [
        tag("host", Some("b")),
        tag("host", Some("c")),
        tag("zone", None),
        tag("zone", Some("")),
        tag("host", Some("a")).or(tag("host", Some("d"))),
        Condition::EVERYTHING,
    ];
    let may_not = [
        tag("host", Some("a")),
        tag("host", None),
        tag("host", Some("")),
        tag("zone", Some("x")),
        tag("host", Some("c")).and(Condition::between(DAY_NANOS, 2 * DAY_NANOS)),
        Condition::NOTHING,
    ];
    for condition in may {
        assert!(section.may_hold(&condition), "{condition:?}");
    }
    for condition in may_not {
        assert!(!section.may_hold(&condition), "{condition:?}");
    }
}
