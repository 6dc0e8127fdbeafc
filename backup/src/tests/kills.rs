//! Backups and restores whose process is killed at any request to the store.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use super::test_cluster::TestCluster;
use crate::{BackupKeeper, BackupRequest, JobState, RestoreRequest, check_backups};

/// Time after which a killed job counts as failed.
const ABANDONED: Duration = Duration::from_secs(90);

fn named(name: String) -> BackupRequest {
    BackupRequest {
        name: Some(name),
        ..BackupRequest::default()
    }
}

async fn new_cluster() -> TestCluster {
    let cluster = TestCluster::new().await;
    for database in ["one", "two"] {
        cluster.write(database, "a", 1, 1).await;
        cluster.write(database, "b", 2, 2).await;
    }
    cluster.maintain().await;
    cluster.write("one", "c", 3, 3).await;
    cluster.delete("two", "a").await;
    cluster
}

#[tokio::test]
async fn a_backup_that_is_killed_at_any_request_has_failed_and_leaves_nothing() {
    let cluster = new_cluster().await;
    let calls = Arc::new(Mutex::new(0));
    let mut killed = 0;
    for last_call in 0.. {
        *calls.lock().unwrap() = 0;
        let engine = cluster.mortal_engine(last_call, &calls);
        let name = format!("b{last_call}");
        let job = async {
            let begun = engine.begin_backup(&named(name.clone())).await;
            engine.run_backup(begun.unwrap()).await;
        };
        let ended = cluster.drive_for(ABANDONED, job).await;
        let keeper = BackupKeeper::new(cluster.engine(), None);
        keeper.tidy().await.unwrap();
        let register = cluster.register().await;
        let state = register.find(&name).map(|one| one.state);
        if ended.is_some() {
            assert_eq!(state, Some(JobState::Completed));
            break;
        }
        // The process was killed before the last commit, or after it.
        killed += usize::from(state != Some(JobState::Completed));
        let ended = [None, Some(JobState::Failed), Some(JobState::Completed)];
        assert!(ended.contains(&state), "{last_call}: {state:?}");
        for database in ["one", "two"] {
            assert_eq!(cluster.points(database).await, cluster.points_now(database));
        }
        // The tails stay short, so that each backup takes about as many requests.
        cluster.maintain().await;
        cluster
            .write("one", "d", i64::try_from(last_call).unwrap(), 1)
            .await;
    }
    assert!(killed > 30, "{killed}");
    assert_eq!(check_backups(&cluster.bucket).await.unwrap(), []);
    // Nothing of the killed backups stays.
    let engine = cluster.engine();
    for backup in cluster.register().await.backups() {
        engine.delete_backup(&backup.name, false).await.unwrap();
    }
    BackupKeeper::new(engine, None).tidy().await.unwrap();
    cluster.collect_all_garbage().await;
    assert_eq!(cluster.count("db/").await, 4);
    assert_eq!(cluster.points("one").await, cluster.points_now("one"));
}

#[tokio::test]
async fn a_restore_that_is_killed_at_any_request_leaves_the_old_or_the_new_state_whole() {
    let cluster = new_cluster().await;
    let stamp = cluster.back_up(&named("b".to_owned())).await.stamp.unwrap();
    let old = |database: &str| cluster.points_at(database, stamp);
    let calls = Arc::new(Mutex::new(0));
    let (mut stayed, mut replaced) = (0, 0);
    for last_call in 0.. {
        // After the backup, both databases have changed.
        for database in ["one", "two"] {
            cluster.rewind(database, stamp);
            cluster.write(database, "later", 1, 1).await;
        }
        let engine = cluster.mortal_engine(last_call, &calls);
        let request = RestoreRequest {
            backup: Some("b".to_owned()),
            ..RestoreRequest::default()
        };
        let job = async {
            if let Ok(restore) = engine.begin_restore(&request).await {
                engine.run_restore(restore).await;
            }
        };
        let ended = cluster.drive_for(ABANDONED, job).await;
        let keeper = BackupKeeper::new(cluster.engine(), None);
        keeper.tidy().await.unwrap();
        let mut is_restored = Vec::new();
        for database in ["one", "two"] {
            let points = cluster.points(database).await;
            is_restored.push(points == old(database));
            let expected = [old(database), cluster.points_now(database)];
            assert!(expected.contains(&points), "{last_call}: {points:?}");
        }
        assert_eq!(is_restored[0], is_restored[1], "both or none");
        let register = cluster.register().await;
        let state = register.restores().next().map(|one| one.state);
        match is_restored[0] {
            true => {
                replaced += 1;
                assert_eq!(state, Some(JobState::Completed), "{last_call}");
            }
            false => stayed += 1,
        }
        if ended.is_some() {
            assert!(is_restored[0]);
            break;
        }
    }
    assert!(stayed > 10 && replaced > 1, "{stayed}, {replaced}");
}
