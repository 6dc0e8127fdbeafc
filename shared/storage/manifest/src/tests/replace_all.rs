//! The commit of several replacements.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use neap_bucket::{Operation, VersionedValue};
use neap_schema::TableId;
use ulid::Ulid;

use super::fixture::ManifestFixture;
use crate::{
    Claim, DroppedItem, Manifest, ReplaceAllOutcome, ReplaceRefusal, Replacement,
    ReplacementResults, Section, VersionPin,
};

/// Returns a site with this number of tables, each with one section of day 0 for each flush.
async fn flushed(inline_sections: usize, tables: u32, count: usize) -> ManifestFixture {
    let fixture = ManifestFixture::new(inline_sections);
    let sections: Vec<_> = (1..=tables).map(|table| (table, 0)).collect();
    for _ in 0..count {
        fixture.flush(&sections).await;
    }
    fixture
}

/// Returns a merge of all sections of each table.
async fn merges(
    fixture: &ManifestFixture,
    base: &VersionedValue<Manifest>,
    tables: u32,
) -> Vec<Replacement> {
    let mut merges = Vec::new();
    for table in 1..=tables {
        merges.push(fixture.merge(base, &fixture.table(table).await).await);
    }
    merges
}

async fn replaced(
    fixture: &ManifestFixture,
    base: VersionedValue<Manifest>,
    replacements: &[Replacement],
    release: &[Ulid],
) -> ReplacementResults {
    let outcome = fixture.store().replace_all(fixture.database, base, replacements, release);
    match outcome.await.unwrap() {
        ReplaceAllOutcome::Completed(replaced) => replaced,
        other => panic!("{other:?}"),
    }
}

/// Claims these jobs, each on its own table.
async fn claimed(fixture: &ManifestFixture, jobs: &[Ulid]) -> VersionedValue<Manifest> {
    let base = fixture.read().await;
    let now = base.current_at.unwrap();
    let claims: Vec<_> = (1..)
        .zip(jobs)
        .map(|(table, job)| Claim {
            job: *job,
            table: TableId::new(table),
            first_day: 0,
            last_day: 0,
            above: base.value.sections[0].above,
            upto: base.value.low_water_mark,
            expires: now.plus(Duration::from_secs(600)),
        })
        .collect();
    let claimed = fixture.store().claim(fixture.database, base, &claims, now);
    claimed.await.unwrap().current
}

#[tokio::test(start_paused = true)]
async fn merges_of_several_tables_are_one_commit_that_ends_their_claims() {
    let fixture = flushed(100, 3, 4).await;
    let jobs: Vec<_> = (1..=4).map(|job| Ulid::from_parts(9, job)).collect();
    let base = claimed(&fixture, &jobs).await;
    assert_eq!(base.value.claims.len(), 4);
    let mut merges = merges(&fixture, &base, 3).await;
    for (merge, job) in merges.iter_mut().zip(&jobs) {
        merge.claim = Some(*job);
        merge.job.id = *job;
    }
    fixture.stage.taken();
    let replaced = replaced(&fixture, base.clone(), &merges, &jobs[3..]).await;
    let requests = fixture.stage.taken();
    assert_eq!((requests.gets, requests.puts), (0, 1));
    assert_eq!(replaced.refused, [None; 3]);
    let (current, value) = (&replaced.current, &replaced.current.value);
    assert_eq!(current.version, base.version + 1);
    assert_eq!(value.claims, []);
    assert_eq!((value.sections.len(), value.condemned.len()), (3, 12));
    let done: Vec<_> = value.jobs.iter().rev().take(3).map(|job| job.id).collect();
    assert_eq!(done, [jobs[2], jobs[1], jobs[0]]);
}

#[tokio::test(start_paused = true)]
async fn a_merge_whose_input_a_rival_has_taken_is_left_out_and_the_others_are_committed() {
    let fixture = flushed(100, 3, 4).await;
    let jobs: Vec<_> = (1..=3).map(|job| Ulid::from_parts(9, job)).collect();
    let base = claimed(&fixture, &jobs).await;
    let mut merges = merges(&fixture, &base, 3).await;
    for (merge, job) in merges.iter_mut().zip(&jobs) {
        merge.claim = Some(*job);
    }
    let rival = ManifestFixture::on(&fixture.stage, 2, 100);
    let act = async move {
        let base = rival.read().await;
        let inputs = rival.table(2).await;
        rival.replaced(base, &ManifestFixture::removal(&inputs[..1])).await;
    };
    fixture.stage.before(Operation::Put, "db/1/manifest", act);
    let replaced = replaced(&fixture, base, &merges, &[]).await;
    let gone = Some(ReplaceRefusal::InputsGone);
    assert_eq!(replaced.refused, [None, gone, None]);
    assert_eq!(replaced.current.value.claims, []);
    for (table, sections) in [(1, 1), (2, 3), (3, 1)] {
        assert_eq!(fixture.table(table).await.len(), sections, "table {table}");
    }
}

#[tokio::test(start_paused = true)]
async fn merges_commit_after_a_concurrent_flush() {
    let fixture = flushed(100, 2, 4).await;
    let base = fixture.read().await;
    let merges = merges(&fixture, &base, 2).await;
    let rival = ManifestFixture::on(&fixture.stage, 2, 100);
    let act = async move {
        rival.flush(&[(1, 0), (2, 0)]).await;
    };
    fixture.stage.before(Operation::Put, "db/1/manifest", act);
    let replaced = replaced(&fixture, base, &merges, &[]).await;
    assert_eq!(replaced.refused, [None, None]);
    assert_eq!(replaced.current.value.sections.len(), 4);
}

#[tokio::test(start_paused = true)]
async fn the_later_of_two_merges_with_overlapping_bounds_is_left_out() {
    let fixture = ManifestFixture::new(100);
    // The first and the last section are the inputs of one merge, the others of another one. No section lies within the
    // bounds of both.
    for day in [1, 0, 2, 1] {
        fixture.flush(&[(1, day)]).await;
    }
    let base = fixture.read().await;
    let all = fixture.table(1).await;
    let one = [Arc::clone(&all[0]), Arc::clone(&all[3])];
    let other = [Arc::clone(&all[1]), Arc::clone(&all[2])];
    let merges = [fixture.merge(&base, &one).await, fixture.merge(&base, &other).await];
    let replaced = replaced(&fixture, base, &merges, &[]).await;
    assert_eq!(replaced.refused, [None, Some(ReplaceRefusal::NotClosed)]);
    assert_eq!(replaced.current.value.check(), Ok(()));
    assert_eq!(fixture.table(1).await.len(), 3);
}

#[tokio::test(start_paused = true)]
async fn many_removed_sections_are_listed_in_pages_and_earlier_versions_still_read_them() {
    let fixture = flushed(1_000, 150, 3).await;
    let before = fixture.read().await;
    let as_of = before.value.low_water_mark;
    fixture.flush(&[(1, 0)]).await;
    let base = fixture.read().await;
    let merges = merges(&fixture, &base, 150).await;
    fixture.stage.taken();
    let replaced = replaced(&fixture, base, &merges, &[]).await;
    let requests = fixture.stage.taken();
    // One put for the pages of removed sections, and one for the commit.
    assert_eq!((requests.gets, requests.puts), (0, 2));
    let current = replaced.current;
    let is_page = |what: &DroppedItem| matches!(what, DroppedItem::Page(_));
    let condemned = &current.value.condemned;
    assert!(condemned.iter().all(|entry| is_page(&entry.what)));
    assert!(condemned.len() <= 2, "{}", condemned.len());
    let (_, then) = Manifest::at(&current, as_of).unwrap();
    let places = |sections: Vec<Arc<Section>>| {
        let places = sections.iter().map(|section| (section.object, section.offset));
        (places.collect::<BTreeSet<_>>(), sections.len())
    };
    let expected = places(fixture.sections_of(&before.value).await);
    assert_eq!(expected.1, 450);
    assert_eq!(places(fixture.sections_of(&then).await), expected);
    // Their bundles are deleted when no version can read them.
    fixture.stage.sleep(Duration::from_secs(7_200)).await;
    for _ in 0..3 {
        fixture.collect(Duration::from_secs(3_600)).await;
        fixture.stage.sleep(Duration::from_secs(60)).await;
    }
    assert_eq!(fixture.read().await.value.condemned, []);
    // One section of each merge remains.
    assert_eq!(fixture.objects().await.len(), 150);
}

#[tokio::test(start_paused = true)]
async fn removed_sections_that_a_restored_database_needs_have_separate_pages() {
    let fixture = flushed(1_000, 50, 4).await;
    let base = fixture.read().await;
    let version = base.version;
    let pinned = fixture.store().pin(fixture.database, base, version, super::DATABASE);
    pinned.await.unwrap();
    let sections: Vec<_> = (1..=50).map(|table| (table, 0)).collect();
    fixture.flush(&sections).await;
    let base = fixture.read().await;
    let merges = merges(&fixture, &base, 50).await;
    let current = replaced(&fixture, base, &merges, &[]).await.current;
    let [VersionPin { version: pinned, .. }] = current.value.pins[..] else {
        panic!("{:?}", current.value.pins);
    };
    let mut sections = Vec::new();
    for entry in &current.value.condemned {
        let DroppedItem::Page(page) = &entry.what else {
            panic!("{entry:?}");
        };
        sections.push((page.sections, page.first_added <= pinned));
    }
    assert_eq!(sections, [(200, true), (50, false)]);
}

#[tokio::test(start_paused = true)]
async fn shared_pages_are_rewritten_without_the_inputs_of_all_merges() {
    let fixture = flushed(40, 50, 6).await;
    let base = fixture.read().await;
    assert!(base.value.pages.iter().any(|page| page.last_table.is_some()));
    let merges = merges(&fixture, &base, 20).await;
    let replaced = replaced(&fixture, base, &merges, &[]).await;
    assert_eq!(replaced.refused, [None; 20]);
    let value = &replaced.current.value;
    assert_eq!(value.section_count(), 20 + 30 * 6);
    // The commit moves sections to pages, because there are far too many.
    assert!(value.sections.len() <= 40 / 2 + 20, "{}", value.sections.len());
    for table in 1..=50 {
        let expected = if table <= 20 { 1 } else { 6 };
        assert_eq!(fixture.table(table).await.len(), expected, "table {table}");
    }
}
