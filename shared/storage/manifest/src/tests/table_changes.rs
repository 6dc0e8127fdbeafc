//! The times of changed rows since an earlier version.

use std::time::Duration;

use neap_schema::TableId;

use super::fixture::{DAY_NANOS, ManifestFixture, delete_of};
use crate::{ManifestPoint, TableChanges, TimeRange};

const HOUR: Duration = Duration::from_secs(3_600);

/// Returns the changes of table 1.
async fn changes(fixture: &ManifestFixture, since: ManifestPoint) -> TableChanges {
    let current = fixture.read().await;
    let mut changes = fixture
        .store()
        .changes_since(fixture.database, &current, TableId::new(1), since)
        .await
        .unwrap();
    if let TableChanges::Times { written, .. } = &mut changes {
        written.sort_by_key(|times| times.first);
    }
    changes
}

/// Returns changes with new rows at the start of these days.
fn written(days: &[i64]) -> TableChanges {
    let at = |day: &i64| TimeRange { first: day * DAY_NANOS, last: day * DAY_NANOS };
    TableChanges::Times { written: days.iter().map(at).collect(), deleted: Vec::new() }
}

#[tokio::test(start_paused = true)]
async fn new_sections_are_changes_of_their_table() {
    let fixture = ManifestFixture::new(100);
    let since = ManifestPoint::from_manifest(&fixture.flush(&[(1, 0)]).await);
    assert_eq!(changes(&fixture, since).await, written(&[]));
    fixture.flush(&[(1, 3), (2, 5)]).await;
    assert_eq!(changes(&fixture, since).await, written(&[3]));
    let empty = ManifestPoint { version: 0, mark: neap_bucket::Stamp::ZERO };
    assert_eq!(changes(&fixture, empty).await, written(&[0, 3]));
}

#[tokio::test(start_paused = true)]
async fn a_merge_with_older_rows_does_not_hide_or_add_changes() {
    let fixture = ManifestFixture::new(100);
    fixture.flush(&[(1, 0)]).await;
    let since = ManifestPoint::from_manifest(&fixture.flush(&[(1, 2)]).await);
    fixture.flush(&[(1, 1)]).await;
    let base = fixture.read().await;
    let merge = fixture.merge(&base, &fixture.table(1).await).await;
    fixture.replaced(base, &merge).await;
    assert_eq!(fixture.table(1).await.len(), 1);
    assert_eq!(changes(&fixture, since).await, written(&[1]));
}

#[tokio::test(start_paused = true)]
async fn sections_in_pages_are_changes() {
    let fixture = ManifestFixture::new(4);
    let since = ManifestPoint::from_manifest(&fixture.flush(&[(1, 0)]).await);
    for day in 1..30 {
        fixture.flush(&[(1, day)]).await;
    }
    let TableChanges::Times { written, .. } = changes(&fixture, since).await else {
        panic!("the version is readable");
    };
    assert!(!fixture.read().await.value.pages.is_empty());
    let days: Vec<i64> = written.iter().map(|times| times.first / DAY_NANOS).collect();
    assert_eq!(days, (1..30).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn row_deletes_are_changes_before_and_after_they_are_applied() {
    let fixture = ManifestFixture::new(100);
    let since = ManifestPoint::from_manifest(&fixture.flush(&[(1, 0), (1, 4)]).await);
    fixture.flush_with(&[], vec![delete_of(1, 0, 2), delete_of(2, 0, 9)]).await;
    let deleted = TableChanges::Times {
        written: Vec::new(),
        deleted: vec![TimeRange { first: 0, last: 3 * DAY_NANOS - 1 }],
    };
    assert_eq!(changes(&fixture, since).await, deleted);
    let base = fixture.read().await;
    let merge = fixture.merge(&base, &fixture.table(1).await).await;
    fixture.replaced(base, &merge).await;
    assert_eq!(changes(&fixture, since).await, deleted);
}

#[tokio::test(start_paused = true)]
async fn changes_are_unknown_when_the_version_is_gone() {
    let fixture = ManifestFixture::new(100);
    let since = ManifestPoint::from_manifest(&fixture.flush(&[(1, 0)]).await);
    fixture.flush(&[(1, 1)]).await;
    let base = fixture.read().await;
    let merge = fixture.merge(&base, &fixture.table(1).await).await;
    fixture.replaced(base, &merge).await;
    fixture.flush(&[(1, 2)]).await;
    assert_eq!(changes(&fixture, since).await, written(&[1, 2]));
    fixture.stage.sleep(2 * HOUR).await;
    fixture.collect(HOUR).await;
    assert_eq!(changes(&fixture, since).await, TableChanges::Unknown);
    let later = ManifestPoint { version: u64::MAX, ..since };
    assert_eq!(changes(&fixture, later).await, TableChanges::Unknown);
}
