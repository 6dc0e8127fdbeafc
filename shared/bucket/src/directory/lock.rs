//! The lock of a directory store: one holder among all processes, and the store's time.
//!
//! The kernel holds the lock (`flock`), so it releases the lock of a killed process. The lock file contains the newest
//! time that any process issued, in microseconds since the Unix epoch, as eight bytes, little endian.

use std::{
    fs::{File, OpenOptions},
    io,
    os::unix::fs::FileExt,
    path::Path,
    sync::{Arc, Mutex as StdMutex, PoisonError},
    time::Duration,
};

use rustix::{
    fs::{FlockOperation, flock},
    io::Errno,
};
use tokio::sync::{Mutex, OwnedMutexGuard};

use super::access::DirectoryAccess;
use crate::{Clock, StoreTime, World};

/// Maximum wait of an operation for the lock, because a process that is suspended while it holds the lock must not
/// block the others forever.
const LOCK_TIMEOUT: Duration = Duration::from_secs(10);

/// The lock of a directory, one for each open store. Within a process, callers queue on `turn`. Clones share the lock.
#[derive(Clone, Debug)]
pub(super) struct DirectoryLock {
    turn: Arc<Mutex<()>>,
    shared: Arc<LockFile>,
}

#[derive(Debug)]
struct LockFile {
    file: File,
    world: World,
    /// The newest time that this process issued, and the monotonic time at which it did.
    anchor: StdMutex<(StoreTime, Duration)>,
}

impl DirectoryLock {
    /// Opens or creates the lock file, and takes the lock once to see that the file system has locks.
    pub(super) fn open(path: &Path, access: DirectoryAccess, world: &World) -> io::Result<Self> {
        let file = match access.create_file(path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                OpenOptions::new().read(true).write(true).open(path)
            }
            created => created,
        }?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => flock(&file, FlockOperation::Unlock)?,
            Err(Errno::WOULDBLOCK) => {}
            Err(error) => return Err(error.into()),
        }
        let shared = LockFile {
            file,
            world: world.clone(),
            anchor: StdMutex::default(),
        };
        Ok(Self {
            turn: Arc::default(),
            shared: Arc::new(shared),
        })
    }

    /// The clock that measures waits.
    pub(super) fn clock(&self) -> Arc<dyn Clock> {
        Arc::clone(&self.shared.world.clock)
    }

    /// Acquires the lock.
    pub(super) async fn acquire(&self) -> io::Result<DirectoryLockGuard> {
        let world = &self.shared.world;
        let turn = match Arc::clone(&self.turn).try_lock_owned() {
            Ok(turn) => turn,
            Err(_) => world
                .timeout(LOCK_TIMEOUT, Arc::clone(&self.turn).lock_owned())
                .await
                .ok_or_else(timed_out)?,
        };
        let shared = Arc::clone(&self.shared);
        match flock(&shared.file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(DirectoryLockGuard { shared, turn }),
            Err(Errno::WOULDBLOCK) => {}
            Err(error) => return Err(error.into()),
        }
        // Another process holds the lock. At most one thread of this process waits here, because it holds `turn`. If
        // its caller has timed out, the thread releases the lock as soon as it acquires it.
        let wait = tokio::task::spawn_blocking(move || {
            loop {
                match flock(&shared.file, FlockOperation::LockExclusive) {
                    Ok(()) => return Ok(DirectoryLockGuard { shared, turn }),
                    Err(Errno::INTR) => {}
                    Err(error) => return Err(io::Error::from(error)),
                }
            }
        });
        world
            .timeout(LOCK_TIMEOUT, wait)
            .await
            .ok_or_else(timed_out)?
            .map_err(io::Error::other)?
    }
}

fn timed_out() -> io::Error {
    io::Error::new(
        io::ErrorKind::TimedOut,
        "another process holds the lock of the directory",
    )
}

/// A guard that holds the lock. Dropping it releases the lock.
#[derive(Debug)]
pub(super) struct DirectoryLockGuard {
    shared: Arc<LockFile>,
    #[expect(
        dead_code,
        reason = "released by being dropped, after the kernel's lock"
    )]
    turn: OwnedMutexGuard<()>,
}

impl DirectoryLockGuard {
    /// Returns the store's time, for an answer.
    pub(super) fn now(&self) -> io::Result<StoreTime> {
        self.issue_time(Duration::ZERO)
    }

    /// Returns a time later than any that was issued before, for an object.
    pub(super) fn next(&self) -> io::Result<StoreTime> {
        self.issue_time(Duration::from_micros(1))
    }

    /// Issues the wall time. If the wall clock was set back, issues the newest time issued before, advanced at the rate
    /// of the monotonic clock.
    fn issue_time(&self, step: Duration) -> io::Result<StoreTime> {
        let LockFile {
            file,
            world,
            anchor,
        } = self.shared.as_ref();
        let newest = read_time(file)?;
        let monotonic = world.clock.monotonic();
        let mut anchor = anchor.lock().unwrap_or_else(PoisonError::into_inner);
        let (own, at) = *anchor;
        let time = StoreTime::from_micros(world.clock.wall_micros())
            .max(newest.plus(step))
            .max(own.plus(monotonic.saturating_sub(at).max(step)));
        file.write_all_at(&time.micros().to_le_bytes(), 0)?;
        *anchor = (time, monotonic);
        Ok(time)
    }
}

fn read_time(file: &File) -> io::Result<StoreTime> {
    let mut bytes = [0; 8];
    match file.read_exact_at(&mut bytes, 0) {
        Ok(()) => Ok(StoreTime::from_micros(i64::from_le_bytes(bytes))),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(StoreTime::default()),
        Err(error) => Err(error),
    }
}

impl Drop for DirectoryLockGuard {
    fn drop(&mut self) {
        // The kernel releases the lock of an open file in any case when the file is closed.
        if let Err(error) = flock(&self.shared.file, FlockOperation::Unlock) {
            tracing::error!(%error, "the lock of the data directory could not be released");
        }
    }
}
