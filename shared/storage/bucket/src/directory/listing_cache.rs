//! The contents of directories that do not change, so that a listing need not ask for the size and time of each file.
//!
//! A directory's own times change whenever a file is created, renamed or removed in it, and files are never changed in place.
//! So its contents are those that were read, while its times are the same. Times come from a clock of the kernel that ticks
//! every few milliseconds, and several changes within a tick leave the same times. Therefore contents count only if they
//! were read a while after the directory was seen with these times for the first time: any later change falls into a later
//! tick.

use std::{fs::Metadata, os::unix::fs::MetadataExt, sync::Arc, time::Duration};

use moka::{policy::EvictionPolicy, sync::Cache};

use crate::{Clock, ListEntry, SystemClock};

/// Maximum bytes of all contents: those of about 100,000 files.
const MAX_BYTES: u64 = 16 << 20;

/// Maximum number of files and directories in a directory whose contents are kept. To read more of them would take longer
/// than to list a page.
pub(super) const MAX_CHILDREN: usize = 10_000;

/// The bytes of an entry besides its texts.
const ENTRY_BYTES: usize = 128;

/// Time after which contents count, a multiple of the longest tick of a kernel (10 ms).
const SETTLING_TIME: Duration = Duration::from_millis(100);

/// A file or directory in a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Child {
    /// A directory, by its key, which ends with `/`.
    Directory(String),
    File(ListEntry),
}

impl Child {
    pub(super) fn key(&self) -> &str {
        match self {
            Self::Directory(key) => key,
            Self::File(entry) => &entry.key,
        }
    }
}

/// What changes whenever the contents of a directory change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct DirectoryState {
    inode: (u64, u64),
    modified: (i64, i64),
    changed: (i64, i64),
}

impl DirectoryState {
    pub(super) fn new(directory: &Metadata) -> Self {
        Self {
            inode: (directory.dev(), directory.ino()),
            modified: (directory.mtime(), directory.mtime_nsec()),
            changed: (directory.ctime(), directory.ctime_nsec()),
        }
    }
}

/// What is known of a directory.
pub(super) enum Known {
    /// Its children, by key.
    Children(Arc<[Child]>),
    /// Its children can be kept if they are read now.
    Settled,
    /// It may still change within the tick of its times.
    Unsettled,
}

/// A directory in some state.
#[derive(Clone, Debug)]
struct SeenDirectory {
    state: DirectoryState,
    /// The time when it was seen in this state for the first time.
    since: Duration,
    children: Option<Arc<[Child]>>,
}

impl SeenDirectory {
    fn weight(&self, key: &str) -> u32 {
        let children = self
            .children
            .as_deref()
            .unwrap_or_default()
            .iter()
            .map(|child| ENTRY_BYTES + child.key().len());
        let bytes = ENTRY_BYTES + key.len() + children.sum::<usize>();
        u32::try_from(bytes).unwrap_or(u32::MAX)
    }
}

/// The contents of directories, by key. The least recently listed ones are dropped first.
#[derive(Debug)]
pub(super) struct ListingCache {
    directories: Cache<String, SeenDirectory>,
    /// Not the clock of the store, because ticks are those of the kernel.
    clock: SystemClock,
}

impl ListingCache {
    pub(super) fn new() -> Self {
        let directories = Cache::builder()
            .max_capacity(MAX_BYTES)
            .eviction_policy(EvictionPolicy::lru())
            .weigher(|key: &String, seen: &SeenDirectory| seen.weight(key))
            .build();
        Self { directories, clock: SystemClock::new() }
    }

    /// The present time, for [`Self::find`].
    pub(super) fn now(&self) -> Duration {
        self.clock.monotonic()
    }

    /// Returns what is known of a directory, whose state was read at `now` or later.
    pub(super) fn find(&self, key: &str, state: DirectoryState, now: Duration) -> Known {
        match self.directories.get(key) {
            Some(seen) if seen.state == state => match seen.children {
                Some(children) => Known::Children(children),
                None if now.saturating_sub(seen.since) >= SETTLING_TIME => Known::Settled,
                None => Known::Unsettled,
            },
            _ => {
                let seen = SeenDirectory { state, since: self.now().max(now), children: None };
                self.directories.insert(key.to_owned(), seen);
                Known::Unsettled
            }
        }
    }

    /// Keeps the children of a directory, by key, that were read after [`Known::Settled`].
    pub(super) fn keep(&self, key: &str, state: DirectoryState, children: Arc<[Child]>) {
        let seen = SeenDirectory { state, since: Duration::ZERO, children: Some(children) };
        self.directories.insert(key.to_owned(), seen);
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn contents_count_once_the_times_of_the_directory_are_old() {
        let directory = tempfile::tempdir().unwrap();
        let state = || DirectoryState::new(&fs::metadata(directory.path()).unwrap());
        let cache = ListingCache::new();
        let (first, start) = (state(), cache.now());
        assert!(matches!(cache.find("a/", first, start), Known::Unsettled));
        assert!(matches!(cache.find("a/", first, start), Known::Unsettled));
        let later = start + 10 * SETTLING_TIME;
        assert!(matches!(cache.find("a/", first, later), Known::Settled));
        let children: Arc<[Child]> = [Child::Directory("a/b/".to_owned())].into();
        cache.keep("a/", first, Arc::clone(&children));
        match cache.find("a/", first, later) {
            Known::Children(found) => assert_eq!(found, children),
            _ => panic!("the contents are not kept"),
        }
        // Another directory in it changes the times, at the latest in the next tick.
        let mut number = 0;
        while state() == first {
            fs::create_dir(directory.path().join(number.to_string())).unwrap();
            number += 1;
        }
        assert!(matches!(cache.find("a/", state(), later), Known::Unsettled));
        assert!(matches!(cache.find("a/", first, later), Known::Unsettled));
    }

    #[test]
    fn contents_beyond_the_limit_are_dropped() {
        let directory = tempfile::tempdir().unwrap();
        let state = DirectoryState::new(&fs::metadata(directory.path()).unwrap());
        let cache = ListingCache::new();
        let child = |number: usize| Child::Directory(format!("{number:0>1000}/"));
        for directory in 0..20 {
            let children: Vec<_> = (0..1_000).map(child).collect();
            cache.keep(&format!("{directory}/"), state, children.into());
        }
        cache.directories.run_pending_tasks();
        let bytes = cache.directories.weighted_size();
        assert!((1..=MAX_BYTES).contains(&bytes), "{bytes}");
    }
}
