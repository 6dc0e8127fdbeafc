//! Tests of the time of a directory.

use std::sync::{
    Arc,
    atomic::{AtomicI64, Ordering},
};

use tempfile::TempDir;

use super::*;
use crate::wall_clock::WallClock;

const START: i64 = 1_700_000_000_000_000;
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(60 * 60);

fn after(since_start: Duration) -> StoreTime {
    StoreTime::from_micros(START).plus(since_start)
}

/// A directory, and the number of processes that have opened it.
struct TestDirectory(TempDir, AtomicI64);

impl TestDirectory {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir_all(directory.path().join(".neap").join(CLOCKS)).unwrap();
        Self(directory, AtomicI64::new(0))
    }

    fn root(&self) -> &Path {
        self.0.path()
    }

    /// Opens the directory as another process, whose clock shows this time.
    fn open(&self, since_start: Duration) -> (DirectoryClock, Arc<WallClock>) {
        let wall = Arc::new(WallClock::new(0));
        wall.set(after(since_start).micros());
        let world = World { clock: Arc::<WallClock>::clone(&wall), ..World::system() };
        let number = self.1.fetch_add(1, Ordering::Relaxed);
        let temporary = self.root().join(number.to_string());
        let folder = self.root().join(".neap").join(CLOCKS);
        let clock = DirectoryClock::open(folder, &temporary, DirectoryAccess::Owner, &world);
        (clock.unwrap(), wall)
    }

    fn files(&self) -> usize {
        let folder = self.root().join(".neap").join(CLOCKS);
        fs::read_dir(folder).unwrap().count()
    }
}

#[test]
fn processes_share_the_newest_time() {
    let directory = TestDirectory::new();
    let (one, clock) = directory.open(Duration::ZERO);
    assert_eq!(one.now().unwrap(), after(Duration::ZERO));
    let (two, _) = directory.open(MINUTE);
    assert_eq!(two.now().unwrap(), after(MINUTE));
    assert_eq!(one.now().unwrap(), after(MINUTE));
    let times = [&one, &two, &one].map(|clock| clock.next().unwrap());
    assert!(times.is_sorted_by(|one, other| one < other), "{times:?}");
    clock.set(after(2 * MINUTE).micros());
    assert_eq!(one.now().unwrap(), after(2 * MINUTE));
    let (three, _) = directory.open(Duration::ZERO);
    assert_eq!(three.now().unwrap(), after(2 * MINUTE));
}

#[test]
fn a_wrong_clock_does_not_put_a_directory_ahead_that_others_use() {
    let directory = TestDirectory::new();
    let (right, clock) = directory.open(Duration::ZERO);
    right.now().unwrap();
    let (wrong, wrong_clock) = directory.open(100 * HOUR);
    for minute in 0..3 {
        clock.set(after(minute * MINUTE).micros());
        wrong_clock.set(after(100 * HOUR + minute * MINUTE).micros());
        let shown = right.now().unwrap();
        for time in [wrong.now().unwrap(), wrong.next().unwrap()] {
            assert!(time.since(shown) < MINUTE, "{time:?}");
        }
    }
    drop(wrong);
    assert_eq!(right.recent_leap(), None);
    drop(right);
    let (later, _) = directory.open(3 * MINUTE);
    assert_eq!(later.now().unwrap(), after(3 * MINUTE));
}

#[test]
fn a_clock_that_is_set_right_is_followed() {
    let directory = TestDirectory::new();
    let (only, clock) = directory.open(Duration::ZERO);
    only.now().unwrap();
    clock.set(after(9 * HOUR).micros());
    assert_eq!(only.now().unwrap(), after(9 * HOUR));
    assert_eq!(only.recent_leap(), None);
}

#[test]
fn a_directory_that_was_unused_for_days_follows_the_clock_and_tells_of_it_for_ten_minutes() {
    let directory = TestDirectory::new();
    directory.open(Duration::ZERO).0.now().unwrap();
    // Daily use is no leap.
    let (next_day, _) = directory.open(24 * HOUR);
    assert_eq!(next_day.now().unwrap(), after(24 * HOUR));
    assert_eq!(next_day.recent_leap(), None);
    drop(next_day);
    let (first, clock) = directory.open(200 * HOUR);
    assert_eq!(first.now().unwrap(), after(200 * HOUR));
    // Other processes know of it, too.
    let (second, _) = directory.open(200 * HOUR);
    second.now().unwrap();
    for opened in [&first, &second] {
        assert_eq!(opened.recent_leap(), Some(176 * HOUR));
    }
    for minutes in [4, 8, 9] {
        clock.set(after(200 * HOUR + minutes * MINUTE).micros());
        first.now().unwrap();
        assert_eq!(first.recent_leap(), Some(176 * HOUR));
    }
    clock.set(after(200 * HOUR + 10 * MINUTE).micros());
    first.now().unwrap();
    assert_eq!(first.recent_leap(), None);
}

#[test]
fn the_time_outlives_processes_and_their_files_do_not() {
    let directory = TestDirectory::new();
    for hour in [1, 5, 3, 2] {
        directory.open(hour * HOUR).0.now().unwrap();
        assert_eq!(directory.files(), 1);
    }
    let (running, _) = directory.open(Duration::ZERO);
    assert_eq!(running.now().unwrap(), after(5 * HOUR));
    let (other, _) = directory.open(Duration::ZERO);
    other.now().unwrap();
    assert_eq!(directory.files(), 2);
}

#[test]
fn the_time_is_set_back_while_no_process_has_the_directory_open() {
    let directory = TestDirectory::new();
    let unused = DirectoryTime { newest: None, processes: 0 };
    assert_eq!(DirectoryTime::read(directory.root()).unwrap(), unused);
    let (wrong, _) = directory.open(100 * HOUR);
    wrong.now().unwrap();
    let shown = DirectoryTime { newest: Some(after(100 * HOUR)), processes: 1 };
    assert_eq!(DirectoryTime::read(directory.root()).unwrap(), shown);
    let refused = DirectoryTime::set(directory.root(), after(HOUR)).unwrap_err();
    assert_eq!(refused.kind(), io::ErrorKind::ResourceBusy);
    drop(wrong);
    DirectoryTime::set(directory.root(), after(HOUR)).unwrap();
    let (right, _) = directory.open(HOUR + MINUTE);
    assert_eq!(right.now().unwrap(), after(HOUR + MINUTE));
    assert_eq!(right.recent_leap(), None);
}

#[test]
fn a_command_of_the_administrator_leaves_files_of_the_owner() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let directory = TestDirectory::new();
    let folder = directory.root().join(".neap").join(CLOCKS);
    let owner = Some(12_345);
    std::os::unix::fs::chown(&folder, owner, owner).unwrap();
    for _ in 0..2 {
        directory.open(HOUR).0.now().unwrap();
    }
    DirectoryTime::set(directory.root(), after(MINUTE)).unwrap();
    let time = DirectoryTime::read(directory.root()).unwrap();
    assert_eq!(time.newest, Some(after(MINUTE)));
    let files: Vec<_> = fs::read_dir(folder).unwrap().collect();
    assert_eq!(files.len(), 1);
    assert_eq!(files[0].as_ref().unwrap().metadata().unwrap().uid(), 12_345);
}

#[test]
fn half_of_a_change_is_no_time() {
    let old = ClockRecord { time: after(HOUR), leap: Leap::default() };
    let new = ClockRecord {
        time: after(2 * HOUR),
        leap: Leap { to: after(HOUR), by: 30 * HOUR },
    };
    assert_eq!(ClockRecord::decode(&new.encode()), Some(new));
    for middle in 1..28 {
        let mut bytes = old.encode();
        bytes[..middle].copy_from_slice(&new.encode()[..middle]);
        let decoded = ClockRecord::decode(&bytes);
        assert!(decoded.is_none_or(|record| record == old || record == new), "{decoded:?}");
    }
}
