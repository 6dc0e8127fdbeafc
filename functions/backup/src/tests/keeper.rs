//! Scheduled backups.

use std::{num::NonZeroU32, sync::Arc, time::Duration};

use neap_bucket::StoreTime;

use super::test_cluster::TestCluster;
use crate::{BackupKeeper, BackupKind, BackupSchedule, JobState};

const HOUR: i64 = 3_600_000_000;

#[tokio::test]
async fn a_schedule_makes_one_backup_at_each_time_and_keeps_them_for_the_retention() {
    let cluster = TestCluster::with_row().await;
    let next = |time: StoreTime| Some(StoreTime::from_micros((time.micros() / HOUR + 1) * HOUR));
    let schedule = BackupSchedule {
        next: Arc::new(next),
        full_every: NonZeroU32::MIN,
        retention: Some(Duration::from_secs(2 * 3_600 + 1_800)),
        place: None,
    };
    // Two processes have the same schedule.
    let keepers = [cluster.engine(), cluster.engine()]
        .map(|engine| BackupKeeper::new(engine, Some(schedule.clone())));
    for keeper in &keepers {
        keeper.tidy().await.unwrap();
    }
    assert_eq!(cluster.register().await.backups().len(), 0);
    for hour in 1..=5 {
        cluster.pass(Duration::from_secs(3_600));
        for keeper in &keepers {
            keeper.tidy().await.unwrap();
        }
        cluster.drive_for(Duration::from_secs(30), std::future::pending::<()>()).await;
        let register = cluster.register().await;
        assert_eq!(register.backups().len(), hour.min(3), "{hour}");
        let mut states = register.backups().iter().map(|one| one.job.state);
        assert!(states.all(|state| state == JobState::Completed));
    }
}

#[tokio::test]
async fn scheduled_backups_at_a_place_are_incremental_between_full_ones() {
    let cluster = TestCluster::new().await;
    let next = |time: StoreTime| Some(StoreTime::from_micros((time.micros() / HOUR + 1) * HOUR));
    let schedule = BackupSchedule {
        next: Arc::new(next),
        full_every: NonZeroU32::new(3).unwrap(),
        retention: Some(Duration::from_secs(2 * 3_600 + 1_800)),
        place: Some("elsewhere".to_owned()),
    };
    let engine = cluster.engine();
    let keeper = BackupKeeper::new(Arc::clone(&engine), Some(schedule));
    keeper.tidy().await.unwrap();
    let mut counts = Vec::new();
    for hour in 1..=7 {
        cluster.write("one", "a", hour, hour).await;
        cluster.pass(Duration::from_secs(3_600));
        keeper.tidy().await.unwrap();
        cluster.drive_for(Duration::from_secs(30), std::future::pending::<()>()).await;
        let register = cluster.register().await;
        counts.push(register.backups().len());
    }
    // The first chain has three backups, and its last one is older than the retention at the sixth hour.
    assert_eq!(counts, [1, 2, 3, 4, 5, 3, 4]);
    let register = cluster.register().await;
    let kinds = register.backups().iter().map(|one| one.kind);
    let (full, incremental) = (BackupKind::Full, BackupKind::Incremental);
    assert_eq!(kinds.collect::<Vec<_>>(), [full, incremental, incremental, full]);
    let metrics = engine.metrics();
    assert_eq!((metrics.completed, metrics.backups_succeeded), (4, 7));
    let last = register.backups().last().unwrap();
    assert_eq!(metrics.last.unwrap().requested, last.job.created);
}

#[tokio::test]
async fn an_order_that_is_repeated_while_its_backup_is_in_progress_continues_it() {
    let cluster = TestCluster::with_row().await;
    let schedule = BackupSchedule {
        next: Arc::new(|_| None),
        full_every: NonZeroU32::MIN,
        retention: None,
        place: None,
    };
    let keeper = || BackupKeeper::new(cluster.engine(), Some(schedule.clone()));
    // The backup waits for the flush lag when the time of its invocation is over.
    let killed = keeper();
    let over = cluster.drive_for(Duration::from_secs(1), killed.run_once(true)).await;
    assert!(over.is_none());
    for backups in [1, 2] {
        cluster.pass(Duration::from_secs(360));
        let next = keeper();
        let report = cluster.drive(next.run_once(true)).await.unwrap();
        assert_eq!((report.jobs, report.failures.len()), (1, 0));
        let register = cluster.register().await;
        assert_eq!(register.backups().len(), backups);
        let mut states = register.backups().iter().map(|one| one.job.state);
        assert!(states.all(|state| state == JobState::Completed));
    }
}
