//! Tests of updates that are suspended between any two steps.

use bytes::Bytes;
use neap_test_inputs::cases;
use proptest::prelude::*;
use tempfile::TempDir;

use super::*;
use crate::{DirectoryStore, Put, PutMode, World, directory::etag};

/// A counter in a directory, which writers increment.
struct Counter {
    #[expect(dead_code, reason = "removes the directory at the end")]
    directory: TempDir,
    store: DirectoryStore,
    path: PathBuf,
}

impl Counter {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let store = DirectoryStore::open(directory.path(), &World::system()).unwrap();
        let counter = Self { path: store.open.root.join("counter"), directory, store };
        let temp = counter.temporary(&PutMode::Create, 0);
        let open = &counter.store.open;
        let (put, date) = open.place(&counter.path, temp, &PutMode::Create).unwrap();
        assert!(matches!(put, Put::Done(_)) && date.is_ok());
        counter
    }

    fn temporary(&self, mode: &PutMode, count: u32) -> TempFile {
        let path = self.store.temporary_path(mode);
        let body = Bytes::from(count.to_string());
        TempFile::write(path, &body, self.store.open.access).unwrap()
    }

    fn version(&self) -> ETag {
        etag(&fs::metadata(&self.path).unwrap())
    }

    fn count(&self) -> u32 {
        fs::read_to_string(&self.path).unwrap().parse().unwrap()
    }

    fn increment<'a>(&'a self, version: &'a ETag) -> ConditionalUpdate<'a> {
        let mode = PutMode::Update(version.clone());
        let candidate = self.temporary(&mode, self.count() + 1);
        let open = &self.store.open;
        ConditionalUpdate::new(&self.path, version, candidate, &open.clock, &open.temporary)
            .unwrap()
    }

    fn temporary_files(&self) -> Vec<OsString> {
        let entries = fs::read_dir(&self.store.open.temporary).unwrap();
        entries.map(|entry| entry.unwrap().file_name()).collect()
    }
}

/// Runs an update until its next step is as expected.
fn advance_to(update: &mut ConditionalUpdate<'_>, is_next: impl Fn(&UpdateStep) -> bool) {
    while !is_next(&update.step) {
        assert!(!update.has_ended());
        update.advance().unwrap();
    }
}

#[test]
fn a_writer_that_is_suspended_before_the_link_does_not_undo_the_updates_of_others() {
    let counter = Counter::new();
    let version = counter.version();
    let mut suspended = counter.increment(&version);
    advance_to(&mut suspended, |step| matches!(step, UpdateStep::Link));
    for _ in 0..3 {
        let version = counter.version();
        let outcome = counter.increment(&version).run().unwrap();
        assert_eq!(outcome, UpdateOutcome::Done);
    }
    assert_eq!(suspended.run().unwrap(), UpdateOutcome::Refused);
    assert_eq!(counter.count(), 3);
    drop(suspended);
    assert_eq!(counter.temporary_files(), Vec::<OsString>::new());
}

#[test]
fn others_complete_the_update_of_a_writer_that_is_suspended_after_the_link() {
    type IsNext = fn(&UpdateStep) -> bool;
    let steps: [IsNext; 5] = [
        |step| matches!(step, UpdateStep::ListCandidates),
        |step| matches!(step, UpdateStep::RemoveCandidates(_)),
        |step| matches!(step, UpdateStep::ConfirmVersion),
        |step| matches!(step, UpdateStep::SetTime),
        |step| matches!(step, UpdateStep::Rename),
    ];
    for is_next in steps {
        let counter = Counter::new();
        let version = counter.version();
        let mut suspended = counter.increment(&version);
        advance_to(&mut suspended, is_next);
        assert_eq!(counter.count(), 0);
        let outcome = counter.increment(&version).run().unwrap();
        assert_eq!((outcome, counter.count()), (UpdateOutcome::Refused, 1));
        let next = counter.version();
        let outcome = counter.increment(&next).run().unwrap();
        assert_eq!((outcome, counter.count()), (UpdateOutcome::Done, 2));
        assert_eq!(suspended.run().unwrap(), UpdateOutcome::Done);
        assert_eq!(counter.count(), 2);
        drop(suspended);
        assert_eq!(counter.temporary_files(), Vec::<OsString>::new());
    }
}

#[test]
fn a_version_of_another_store_is_refused() {
    let counter = Counter::new();
    for version in ["", "\"\"", "\"../x\"", "W/\"1\"", "\"1-2-3\""] {
        let version = ETag::new(version);
        let outcome = counter.increment(&version).run().unwrap();
        assert_eq!((outcome, counter.count()), (UpdateOutcome::Refused, 0));
    }
}

/// What happens next in a schedule.
#[derive(Clone, Debug)]
enum Turn {
    /// A writer runs some steps.
    Steps(usize, usize),
    /// A writer is killed. Its file may still be there.
    Kill(usize, bool),
}

fn turn() -> impl Strategy<Value = Turn> {
    prop_oneof![
        20 => (0..WRITERS, 1..12_usize).prop_map(|(writer, steps)| Turn::Steps(writer, steps)),
        1 => (0..WRITERS, any::<bool>()).prop_map(|(writer, left)| Turn::Kill(writer, left)),
    ]
}

const WRITERS: usize = 4;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(cases(200)))]

    #[test]
    fn racing_writers_lose_nothing_wherever_they_are_suspended_or_killed(
        turns in proptest::collection::vec(turn(), 1..60),
    ) {
        let counter = Counter::new();
        // Versions outlive the updates.
        let versions = unset_versions(turns.len() * 12 + WRITERS);
        let mut next_version = 0;
        let mut begin = || {
            let version = versions[next_version].get_or_init(|| counter.version());
            next_version += 1;
            counter.increment(version)
        };
        let mut writers: Vec<_> = (0..WRITERS).map(|_| begin()).collect();
        let (mut done, mut undecided) = (0, 0);
        for turn in turns {
            match turn {
                Turn::Steps(writer, steps) => {
                    for _ in 0..steps {
                        if writers[writer].has_ended() {
                            let outcome = writers[writer].outcome().unwrap();
                            done += u32::from(outcome == UpdateOutcome::Done);
                            writers[writer] = begin();
                        }
                        writers[writer].advance().unwrap();
                    }
                }
                Turn::Kill(writer, is_left) => {
                    let killed = std::mem::replace(&mut writers[writer], begin());
                    undecided += u32::from(killed.is_chosen());
                    if is_left {
                        let path = killed.candidate().path().to_owned();
                        let copy = path.with_extension("copy");
                        if fs::hard_link(&path, &copy).is_ok() {
                            drop(killed);
                            fs::rename(copy, path).unwrap();
                        }
                    }
                }
            }
        }
        for mut writer in writers {
            done += u32::from(writer.run().unwrap() == UpdateOutcome::Done);
        }
        let count = counter.count();
        prop_assert!((done..=done + undecided).contains(&count), "{done} {undecided} {count}");
    }
}

/// Returns places for versions that are set later.
fn unset_versions(count: usize) -> Vec<std::cell::OnceCell<ETag>> {
    (0..count).map(|_| std::cell::OnceCell::new()).collect()
}
