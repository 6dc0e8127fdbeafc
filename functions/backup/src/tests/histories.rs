//! Random histories: writes, deletes and maintenance with backups and restores between them, whose processes are killed
//! at random requests. Every restored database equals the model at the stamp of its backup, row by row.
//!
//! `NEAP_SIM_SEEDS` is the number of histories, and `NEAP_SIM_FIRST` the first one.

use std::{collections::BTreeMap, time::Duration};

use neap_bucket::Entropy;
use neap_test_inputs::{number, seeds};

use super::test_cluster::{PLACE, Points, TestCluster, restore_from};
use crate::{
    Backup, BackupKeeper, BackupRequest, JobState, RestoreRequest, check_backups, check_place,
};

const DATABASES: [&str; 2] = ["one", "two"];

/// Number of histories in the whole run of the tests.
const ALL_SEEDS: u32 = 150;

/// Number of steps of a history.
const STEPS: u64 = 6;

/// Time after which another process takes over a job.
const SILENCE: Duration = Duration::from_secs(90);

/// Time in which a job ends if its process is not killed.
const JOB_TIME: Duration = Duration::from_secs(30);

/// Maximum number of requests and answers of a job before its process is killed.
const MAX_EVENTS: u64 = 160;

/// A history on a cluster.
struct History {
    cluster: TestCluster,
    random: Entropy,
    /// The contents that each backup must have, by its name and the database.
    expected: BTreeMap<String, BTreeMap<String, Points>>,
    value: i64,
}

/// The numbers of events that the histories of a test contain.
#[derive(Debug, Default)]
struct Tally {
    backups: usize,
    incremental: usize,
    killed: usize,
    restores: usize,
    deletions: usize,
}

impl History {
    async fn new(seed: u64) -> Self {
        let mut history = Self {
            cluster: TestCluster::new().await,
            random: Entropy::from_seed(seed),
            expected: BTreeMap::new(),
            value: 0,
        };
        for database in DATABASES {
            history.write(database).await;
        }
        history
    }

    fn below(&self, limit: u64) -> u64 {
        self.random.next_u64() % limit
    }

    fn pick<'a, T: ?Sized>(&self, of: &[&'a T]) -> &'a T {
        of[usize::try_from(self.below(of.len() as u64)).unwrap()]
    }

    async fn write(&mut self, database: &str) {
        self.value += 1;
        let host = self.pick(&["a", "b", "c"]);
        let time = i64::try_from(self.below(4)).unwrap();
        let cluster = &self.cluster;
        cluster.write(database, host, time, self.value).await;
    }

    async fn delete(&self, database: &str) {
        let host = self.pick(&["a", "b", "c"]);
        self.cluster.delete(database, host).await;
    }

    async fn change(&mut self) {
        let database = self.pick(&DATABASES);
        match self.below(4) {
            0 => self.delete(database).await,
            _ => self.write(database).await,
        }
    }

    /// Runs one step.
    async fn step(&mut self, number: u64, tally: &mut Tally) {
        match self.below(10) {
            0..=2 => {
                for _ in 0..=self.below(4) {
                    self.change().await;
                }
            }
            3 => self.cluster.maintain().await,
            4 => {
                let time = Duration::from_secs(self.below(30 * 3_600));
                self.cluster.pass(time);
                self.cluster.maintain().await;
            }
            5..=7 => self.back_up(&format!("b{number}"), tally).await,
            8 => self.restore_in_place(tally).await,
            _ => self.delete_backup(tally).await,
        }
    }

    /// Makes a backup while rows are written. Its process may be killed.
    async fn back_up(&mut self, name: &str, tally: &mut Tally) {
        let parents: Vec<_> = self.expected.keys().map(String::as_str).collect();
        let is_child = !parents.is_empty() && self.below(2) == 0;
        let parent = is_child.then(|| self.pick(&parents).to_owned());
        let is_at_place = self.below(2) == 0;
        let request = BackupRequest {
            name: Some(name.to_owned()),
            place: (is_at_place && !is_child).then(|| PLACE.to_owned()),
            parent,
            ..BackupRequest::default()
        };
        let engine = match self.below(2) {
            0 => self.cluster.engine(),
            _ => self.cluster.mortal_engine(self.below(MAX_EVENTS)),
        };
        let job = async {
            let started_at = engine.begin_backup(&request).await.unwrap();
            engine.run_backup(started_at).await;
        };
        let writes = self.below(4);
        let first = self.value;
        self.value += i64::try_from(writes).unwrap();
        let cluster = &self.cluster;
        let load = async {
            for value in first + 1..=first + i64::try_from(writes).unwrap() {
                let database = DATABASES[usize::try_from(value % 2).unwrap()];
                cluster.write(database, "load", value % 3, value).await;
                tokio::task::yield_now().await;
            }
        };
        let both = async { tokio::join!(job, load) };
        let has_ended = cluster.drive_for(JOB_TIME, both).await.is_some();
        self.continue_jobs(has_ended, tally).await;
        let register = self.cluster.register().await;
        let Some(backup) = register.find(name) else {
            assert!(!has_ended);
            return;
        };
        assert_eq!(backup.job.error, None, "{name}");
        assert_eq!(backup.job.state, JobState::Completed, "{name}");
        tally.backups += 1;
        tally.incremental += usize::from(backup.parent.is_some());
        let contents = backup.databases.iter().map(|one| {
            let points = self.cluster.points_at(&one.name, backup.stamp.unwrap());
            (one.name.clone(), points)
        });
        self.expected.insert(name.to_owned(), contents.collect());
    }

    /// Lets the keeper of another process continue a job whose process was killed.
    async fn continue_jobs(&self, has_ended: bool, tally: &mut Tally) {
        if !has_ended {
            self.cluster.pass(SILENCE);
        }
        let keeper = BackupKeeper::new(self.cluster.engine(), None);
        keeper.tidy().await.unwrap();
        if !has_ended {
            tally.killed += 1;
            let register = self.cluster.register().await;
            let is_running = register.jobs().any(|(_, job)| job.is_running());
            if is_running {
                let jobs = std::future::pending::<()>();
                self.cluster.drive_for(JOB_TIME, jobs).await;
                keeper.tidy().await.unwrap();
            }
        }
    }

    /// Replaces all databases by those of a random backup. The process may be killed.
    async fn restore_in_place(&mut self, tally: &mut Tally) {
        let names: Vec<_> = self.expected.keys().map(String::as_str).collect();
        if names.is_empty() {
            return;
        }
        let name = self.pick(&names).to_owned();
        let request = restore_from(&name, None);
        let engine = match self.below(2) {
            0 => self.cluster.engine(),
            _ => self.cluster.mortal_engine(self.below(MAX_EVENTS)),
        };
        let before = self.cluster.register().await.restores().count();
        let job = async {
            let started_at = engine.begin_restore(&request).await.unwrap();
            engine.run_restore(started_at).await;
        };
        let has_ended = self.cluster.drive_for(JOB_TIME, job).await.is_some();
        self.continue_jobs(has_ended, tally).await;
        let register = self.cluster.register().await;
        if register.restores().count() == before {
            assert!(!has_ended);
            return;
        }
        let restore = register.restores().next().unwrap();
        assert_eq!(restore.job.error, None, "{name}");
        assert_eq!(restore.job.state, JobState::Completed, "{name}");
        tally.restores += 1;
        let stamp = register.find(&name).unwrap().stamp.unwrap();
        for (database, points) in &self.expected[&name] {
            assert_eq!(self.cluster.points(database).await, *points, "{name}");
            self.cluster.replace_history(database, points, stamp);
        }
    }

    /// Deletes a random backup, with those that continue it.
    async fn delete_backup(&mut self, tally: &mut Tally) {
        let names: Vec<_> = self.expected.keys().map(String::as_str).collect();
        if names.is_empty() {
            return;
        }
        let name = self.pick(&names).to_owned();
        let engine = self.cluster.engine();
        engine.delete_backup(&name, true).await.unwrap();
        let register = self.cluster.register().await;
        self.expected.retain(|name, _| register.find(name).is_some());
        self.cluster.pass(SILENCE);
        BackupKeeper::new(engine, None).tidy().await.unwrap();
        tally.deletions += 1;
    }

    /// Compares the present contents, and those of the newest backup and of a random one.
    async fn check(&self) {
        for database in DATABASES {
            let points = self.cluster.points(database).await;
            assert_eq!(points, self.cluster.points_now(database));
        }
        assert_eq!(check_backups(&self.cluster.bucket).await.unwrap(), []);
        let store = self.cluster.places.store(PLACE);
        let report = check_place(store, &self.cluster.world, true).await.unwrap();
        assert_eq!(report.findings, []);
        let register = self.cluster.register().await;
        let names: Vec<_> = self.expected.keys().map(String::as_str).collect();
        if let Some(newest) = register.backups().last() {
            self.check_backup(newest, "newest").await;
            let random = register.find(self.pick(&names)).unwrap();
            self.check_backup(random, "random").await;
        }
    }

    /// Restores a database of a backup as a new one, in another cluster if it is at a place.
    async fn check_backup(&self, backup: &Backup, to: &str) {
        let database = self.pick(&DATABASES);
        let request = RestoreRequest {
            backup: Some(backup.name.clone()),
            place: backup.place.clone(),
            database: Some(database.to_owned()),
            to: Some(to.to_owned()),
            ..RestoreRequest::default()
        };
        let other = match backup.place {
            Some(_) => Some(self.cluster.another().await),
            None => None,
        };
        let cluster = other.as_ref().unwrap_or(&self.cluster);
        let restored = cluster.restore(&request).await;
        assert_eq!(restored.job.error, None, "{}", backup.name);
        let expected = &self.expected[&backup.name][database];
        assert_eq!(cluster.points(to).await, *expected, "{}", backup.name);
    }
}

#[tokio::test]
async fn restored_databases_equal_the_model_in_random_histories() {
    let first = number("NEAP_SIM_FIRST").unwrap_or(0);
    let mut tally = Tally::default();
    let tried = seeds(ALL_SEEDS);
    for seed in first..first + tried {
        println!("seed {seed}");
        let mut history = History::new(seed).await;
        for step in 0..STEPS {
            history.step(step, &mut tally).await;
        }
        history.check().await;
    }
    println!("{tally:?}");
    // A few histories may lack anything.
    if tried < ALL_SEEDS.into() {
        return;
    }
    let Tally { backups, incremental, killed, restores, deletions } = tally;
    let tried = usize::try_from(tried).unwrap();
    assert!(3 * backups > 2 * tried);
    for rarer in [incremental, killed, restores, deletions] {
        assert!(15 * rarer > 2 * tried);
    }
}
