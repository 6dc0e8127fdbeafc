//! Scheduled backups.

use std::{sync::Arc, time::Duration};

use neap_bucket::StoreTime;

use super::test_cluster::TestCluster;
use crate::{BackupKeeper, BackupSchedule, JobState};

const HOUR: i64 = 3_600_000_000;

#[tokio::test]
async fn a_schedule_makes_one_backup_at_each_time_and_keeps_them_for_the_retention() {
    let cluster = TestCluster::new().await;
    cluster.write("one", "a", 1, 1).await;
    let next = |time: StoreTime| Some(StoreTime::from_micros((time.micros() / HOUR + 1) * HOUR));
    let schedule = BackupSchedule {
        next: Arc::new(next),
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
        cluster
            .drive_for(Duration::from_secs(30), std::future::pending::<()>())
            .await;
        let register = cluster.register().await;
        assert_eq!(register.backups().len(), hour.min(3), "{hour}");
        let mut states = register.backups().iter().map(|one| one.state);
        assert!(states.all(|state| state == JobState::Completed));
    }
}
