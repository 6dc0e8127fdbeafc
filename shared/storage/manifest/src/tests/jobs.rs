//! Claims and records of jobs.

use std::time::Duration;

use neap_bucket::{Operation, StoreTime};
use neap_schema::TableId;
use ulid::Ulid;

use super::{fixture::ManifestFixture, stamp};
use crate::Claim;

fn claim(number: u64, days: (i32, i32), interval: (u64, u64), expires: StoreTime) -> Claim {
    Claim {
        job: Ulid::from_parts(number, 0),
        table: TableId::new(1),
        first_day: days.0,
        last_day: days.1,
        above: stamp(interval.0),
        upto: stamp(interval.1),
        expires,
    }
}

fn jobs(numbers: &[u64]) -> Vec<Ulid> {
    let numbers = numbers.iter();
    numbers.map(|number| Ulid::from_parts(*number, 0)).collect()
}

#[tokio::test(start_paused = true)]
async fn ranges_that_overlap_are_claimed_once() {
    let fixture = ManifestFixture::new(100);
    let base = fixture.flush(&[(1, 0)]).await;
    let now = base.current_at.unwrap();
    let expires = now.plus(Duration::from_secs(60));
    let mut other_table = claim(5, (0, 1), (0, 10), expires);
    other_table.table = TableId::new(2);
    let claims = [
        claim(1, (0, 1), (0, 10), expires),
        claim(2, (1, 2), (9, 20), expires),
        claim(3, (2, 3), (0, 10), expires),
        claim(4, (0, 1), (10, 20), expires),
        other_table,
    ];
    fixture.stage.taken();
    let claimed = fixture.store().claim(fixture.database, base, &claims, now).await.unwrap();
    assert_eq!(claimed.jobs, jobs(&[1, 3, 4, 5]));
    assert_eq!(fixture.stage.taken().puts, 1);
    let live = claimed.current.value.live_claims(now);
    assert_eq!(live.count(), 4);

    // Nothing is committed if no claim is free.
    let again = fixture
        .store()
        .claim(fixture.database, claimed.current.clone(), &claims[..2], now)
        .await
        .unwrap();
    assert_eq!(again.jobs, []);
    assert_eq!(again.current.version, claimed.current.version);
}

#[tokio::test(start_paused = true)]
async fn claims_expire_and_can_be_released() {
    let fixture = ManifestFixture::new(100);
    let base = fixture.flush(&[(1, 0)]).await;
    let now = base.current_at.unwrap();
    let later = now.plus(Duration::from_secs(60));
    let first = [claim(1, (0, 0), (0, 10), later), claim(2, (1, 1), (0, 10), later)];
    let claimed = fixture.store().claim(fixture.database, base, &first, now).await.unwrap();
    assert_eq!(claimed.current.value.live_claims(later).count(), 0);
    let second = [claim(3, (0, 0), (0, 10), later.plus(Duration::from_secs(60)))];
    let store = fixture.store();
    let refused = store.claim(fixture.database, claimed.current, &second, now).await.unwrap();
    assert_eq!(refused.jobs, []);
    let taken = store.claim(fixture.database, refused.current, &second, later).await.unwrap();
    assert_eq!(taken.jobs, jobs(&[3]));
    // The expired claims are gone.
    assert_eq!(taken.current.value.claims, second);
    store.release(fixture.database, taken.current, &jobs(&[3])).await.unwrap();
    let current = fixture.read().await;
    assert_eq!(current.value.claims, []);
    // A second release commits nothing.
    store.release(fixture.database, current.clone(), &jobs(&[3])).await.unwrap();
    assert_eq!(fixture.read().await.version, current.version);
}

#[tokio::test(start_paused = true)]
async fn rivals_claim_a_range_once() {
    let fixture = ManifestFixture::new(100);
    let base = fixture.flush(&[(1, 0)]).await;
    let now = base.current_at.unwrap();
    let expires = now.plus(Duration::from_secs(60));
    let rival = ManifestFixture::on(&fixture.stage, 2, 100);
    let known = base.clone();
    let act = async move {
        let claims = [claim(1, (0, 0), (0, 10), expires)];
        rival.store().claim(rival.database, known, &claims, now).await.unwrap();
    };
    fixture.stage.before(Operation::Put, "db/1/manifest", act);
    let claims = [claim(2, (0, 0), (0, 10), expires), claim(3, (1, 1), (0, 10), expires)];
    let claimed = fixture.store().claim(fixture.database, base, &claims, now).await.unwrap();
    assert_eq!(claimed.jobs, jobs(&[3]));
}

#[tokio::test(start_paused = true)]
async fn the_latest_jobs_are_recorded() {
    let fixture = ManifestFixture::new(1_000);
    fixture.flush_times(70, &[]).await;
    let jobs = &fixture.read().await.value.jobs;
    let versions: Vec<_> = jobs.iter().map(|job| job.version).collect();
    assert_eq!(versions, (7..=70).collect::<Vec<_>>());
}
