//! Backups and restores whose process is killed or frozen at any request to a store. Another process continues them.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures::FutureExt;
use neap_bucket::{CallPhase, Operation, StoreCall};

use super::test_cluster::{PLACE, TestCluster, backup_to, restore_from};
use crate::{
    Backup, BackupEngine, BackupKeeper, BackupRequest, JobState, RestoreRequest, check_backups,
    check_place,
};

/// Time after which another process takes over a job.
const SILENCE: Duration = Duration::from_secs(90);

/// Time in which a job ends if its process is not killed.
const JOB_TIME: Duration = Duration::from_secs(40);

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

/// Registers a backup and makes it.
async fn make(engine: Arc<BackupEngine>, request: BackupRequest) {
    let started = engine.begin_backup(&request).await;
    engine.run_backup(started.unwrap()).await;
}

/// Lets the keeper of another process continue what was interrupted.
async fn continue_jobs(cluster: &TestCluster) {
    let keeper = BackupKeeper::new(cluster.engine(), None);
    keeper.tidy().await.unwrap();
    let jobs = cluster.drive_for(JOB_TIME, std::future::pending::<()>());
    jobs.await;
    keeper.tidy().await.unwrap();
}

/// Restores both databases of a backup as new ones, and compares them with the state at its stamp.
async fn check_contents(cluster: &TestCluster, backup: &Backup) {
    for database in ["one", "two"] {
        let to = format!("{database}-{}", backup.name);
        let restored = cluster
            .restore(&RestoreRequest {
                database: Some(database.to_owned()),
                to: Some(to.clone()),
                ..restore_from(&backup.name, None)
            })
            .await;
        assert_eq!(restored.job.error, None, "{}", backup.name);
        let expected = cluster.points_at(database, backup.stamp.unwrap());
        assert_eq!(cluster.points(&to).await, expected, "{}", backup.name);
        let now = neap_catalog::HardDelete::NOW;
        cluster.catalog.delete_database(&to, now).await.unwrap();
    }
}

/// Kills the process of a backup at each request, and checks that another one completes the backup.
async fn kill_backups(place: Option<&str>) -> TestCluster {
    let cluster = new_cluster().await;
    let mut continued = 0;
    for last_event in 0.. {
        let name = format!("b{last_event}");
        let job = make(cluster.mortal_engine(last_event), backup_to(&name, place));
        let has_ended = cluster.drive_for(JOB_TIME, job).await.is_some();
        if !has_ended {
            cluster.pass(SILENCE);
            continue_jobs(&cluster).await;
        }
        let register = cluster.register().await;
        match register.find(&name) {
            // It was killed before it had registered the backup.
            None => assert!(!has_ended && last_event < 10, "{last_event}"),
            Some(backup) => {
                let error = &backup.job.error;
                assert_eq!(backup.job.state, JobState::Completed, "{name}: {error:?}");
                if last_event % 20 == 0 {
                    check_contents(&cluster, backup).await;
                }
                continued += usize::from(!has_ended);
            }
        }
        if has_ended {
            break;
        }
        // The tails stay short, so that each backup takes about as many requests.
        cluster.maintain().await;
        let time = i64::try_from(last_event).unwrap();
        cluster.write("one", "d", time, 1).await;
    }
    assert!(continued > 60, "{continued}");
    assert_eq!(check_backups(&cluster.bucket).await.unwrap(), []);
    cluster
}

/// Deletes all backups, and checks that nothing of them or of killed processes stays in the bucket.
async fn delete_all(cluster: &TestCluster) {
    let engine = cluster.engine();
    for backup in cluster.register().await.backups() {
        engine.delete_backup(&backup.name, false).await.unwrap();
    }
    cluster.pass(SILENCE);
    BackupKeeper::new(engine, None).tidy().await.unwrap();
    cluster.collect_all_garbage().await;
    assert_eq!(cluster.count("db/").await, 4);
    assert_eq!(cluster.points("one").await, cluster.points_now("one"));
}

#[tokio::test]
async fn a_backup_that_is_killed_at_any_request_is_completed_by_another_process() {
    let cluster = kill_backups(None).await;
    delete_all(&cluster).await;
}

#[tokio::test]
async fn a_backup_to_a_place_that_is_killed_at_any_request_is_completed_by_another_process() {
    let cluster = kill_backups(Some(PLACE)).await;
    let store = cluster.places.store(PLACE);
    let report = check_place(Arc::clone(&store) as _, &cluster.world, true).await;
    assert_eq!(report.unwrap().findings, []);
    delete_all(&cluster).await;
    let left = super::test_cluster::count(store.as_ref(), "backups/").await;
    assert_eq!(left, 1, "only the register is left");
}

/// Kills the process of a restore at each request, and checks that the old state stays as a whole until another process
/// has completed the restore.
async fn kill_restores(place: Option<&str>) {
    let cluster = new_cluster().await;
    let backup = cluster.back_up(&backup_to("b", place)).await;
    let stamp = backup.stamp.unwrap();
    let old = |database: &str| cluster.points_at(database, stamp);
    let (mut stayed, mut replaced) = (0, 0);
    for last_event in 0.. {
        // After the backup, both databases have changed.
        for database in ["one", "two"] {
            cluster.rewind(database, stamp);
            cluster.write(database, "later", 1, 1).await;
        }
        let engine = cluster.mortal_engine(last_event);
        let job = async {
            if let Ok(restore) = engine.begin_restore(&restore_from("b", None)).await {
                engine.run_restore(restore).await;
            }
        };
        let has_ended = cluster.drive_for(JOB_TIME, job).await.is_some();
        let mut is_restored = Vec::new();
        for database in ["one", "two"] {
            let points = cluster.points(database).await;
            is_restored.push(points == old(database));
            let expected = [old(database), cluster.points_now(database)];
            assert!(expected.contains(&points), "{last_event}: {points:?}");
        }
        assert_eq!(is_restored[0], is_restored[1], "both or none");
        if is_restored[0] {
            replaced += 1;
        } else {
            stayed += 1;
        }
        if !has_ended {
            cluster.pass(SILENCE);
            continue_jobs(&cluster).await;
        }
        let register = cluster.register().await;
        let running = register.restores().next();
        if let Some(restore) = running.filter(|_| !has_ended && last_event > 10) {
            let error = &restore.job.error;
            assert_eq!(restore.job.state, JobState::Completed, "{last_event}: {error:?}");
            for database in ["one", "two"] {
                assert_eq!(cluster.points(database).await, old(database), "{last_event}");
            }
        }
        if has_ended {
            assert!(is_restored[0]);
            break;
        }
    }
    assert!(stayed > 20 && replaced > 1, "{stayed}, {replaced}");
}

#[tokio::test]
async fn a_restore_that_is_killed_at_any_request_is_completed_by_another_process() {
    kill_restores(None).await;
}

#[tokio::test]
async fn a_restore_from_a_place_that_is_killed_at_any_request_is_completed_by_another_process() {
    kill_restores(Some(PLACE)).await;
}

#[tokio::test]
async fn a_frozen_process_does_not_publish_the_databases_of_a_restore_again() {
    let cluster = new_cluster().await;
    let backup = cluster.back_up(&backup_to("b", None)).await;
    let [old_one, old_two] =
        ["one", "two"].map(|one| cluster.points_at(one, backup.stamp.unwrap()));
    let mut frozen = 0;
    for last_event in 0.. {
        let before = cluster.register().await.restores().count();
        let (engine, gate) = cluster.freezing_engine(last_event);
        let mut job = Box::pin(async {
            let restore = engine.begin_restore(&restore_from("b", None)).await?;
            engine.run_restore(restore).await;
            Ok::<_, crate::BackupError>(())
        });
        let has_ended = cluster.drive_for(JOB_TIME, job.as_mut()).await.is_some();
        if has_ended {
            break;
        }
        cluster.pass(SILENCE);
        continue_jobs(&cluster).await;
        if cluster.register().await.restores().count() == before {
            continue;
        }
        assert_eq!(cluster.points("one").await, old_one, "{last_event}");
        // A user replaces a restored database in the meantime.
        let default = neap_catalog::HardDelete::DEFAULT;
        cluster.catalog.delete_database("one", default).await.unwrap();
        cluster.rewind("one", neap_bucket::Stamp::ZERO);
        cluster.write("one", "new", 1, 1).await;
        gate.thaw();
        cluster.drive_for(JOB_TIME, job).await.unwrap().ok();
        assert_eq!(cluster.points("one").await, cluster.points_now("one"), "{last_event}");
        assert_eq!(cluster.points("two").await, old_two, "{last_event}");
        frozen += 1;
    }
    assert!(frozen > 20, "{frozen}");
}

#[tokio::test]
async fn objects_that_a_killed_process_has_recorded_are_not_copied_again() {
    const DATABASES: usize = 24;
    let cluster = TestCluster::new().await;
    for number in 0..DATABASES {
        cluster.write(&format!("db{number}"), "a", 1, 1).await;
    }
    cluster.maintain().await;
    let puts = Arc::new(AtomicUsize::new(0));
    let slow_engine = || {
        let (puts, world) = (Arc::clone(&puts), cluster.world.clone());
        let hook = move |call: &StoreCall| {
            let is_put = call.operation == Operation::Put && call.phase == CallPhase::Before;
            if !is_put || !call.key.contains("/objects/data/") {
                return std::future::ready(()).boxed();
            }
            puts.fetch_add(1, Ordering::Relaxed);
            world.clock.sleep(Duration::from_secs(20))
        };
        cluster.hooked_engine(Arc::new(hook))
    };
    let job = make(slow_engine(), backup_to("b", Some(PLACE)));
    // Eight objects at once: eight are complete after 20 s, and 16 after 40 s.
    let limit = Duration::from_secs(12 + 45);
    assert!(cluster.drive_for(limit, job).await.is_none());
    let before = puts.swap(0, Ordering::Relaxed);
    assert!(before >= 16, "{before}");
    cluster.pass(SILENCE);
    let keeper = BackupKeeper::new(slow_engine(), None);
    keeper.tidy().await.unwrap();
    cluster.drive_for(SILENCE, std::future::pending::<()>()).await;
    let register = cluster.register().await;
    assert_eq!(register.find("b").unwrap().job.state, JobState::Completed);
    let again = puts.load(Ordering::Relaxed);
    assert!(again <= DATABASES - 8, "{again}");
    let store = cluster.places.store(PLACE);
    let report = check_place(store, &cluster.world, true).await.unwrap();
    assert_eq!((report.backups, report.findings.len()), (1, 0));
}
