//! The time of a directory, which all processes that have it open share, without a lock.
//!
//! ```text
//! <root>/.neap/clocks/<process>   the newest time that the process issued; `flock`ed while the process runs
//!
//! issue:  read the files of all processes | the wall time, or a later time if one was issued | write the own file
//! open:   write a file with the newest time of all | rename it into place | remove the files of ended processes
//! ```
//!
//! Each process writes only its own file, so no process waits for another one, even if that is suspended. A time that is
//! issued after another one was written is not less. If the wall clock is set back, the time continues at the rate of
//! the monotonic clock.
//!
//! A wall clock that is far ahead of the directory's time is either right, because the directory was unused, or wrong.
//! It is wrong if another process that runs continues the directory's time: then it is not followed. Otherwise it is
//! followed, and a leap of more than a day is recorded, so that nothing is destroyed soon after it.

use std::{
    ffi::{OsStr, OsString},
    fs::{self, File},
    io,
    os::unix::fs::{FileExt, MetadataExt, fchown},
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use rustix::{
    fs::{FlockOperation, flock},
    io::Errno,
};

use super::{
    access::DirectoryAccess,
    file_version::modified,
    files::{ignore_missing, sync_directory},
    listing_cache::DirectoryState,
    own_directory::OWN_DIRECTORY,
};
use crate::{Clock, MAX_CLOCK_DIFFERENCE, StoreTime, SystemClock, World};

/// The name of the folder with the files of processes.
pub(super) const CLOCKS: &str = "clocks";

/// A directory that was unused for at most this time has not leapt when it is used again: longer than a day, so that
/// daily jobs can destroy.
const LONGEST_PAUSE: Duration = Duration::from_secs(25 * 60 * 60);

/// How long a leap counts as recent.
const RECENT_LEAP: Duration = Duration::from_secs(10 * 60);

/// A multiple of the longest tick of a kernel (10 ms): two changes of a directory within a tick have the same times.
const SETTLING_TIME: Duration = Duration::from_millis(100);

/// Number of times that a file or folder is read again if it changes meanwhile.
const ATTEMPTS: usize = 16;

/// The clock of an open directory.
#[derive(Debug)]
pub(super) struct DirectoryClock {
    folder: PathBuf,
    name: OsString,
    /// Locked until it is closed.
    file: File,
    world: World,
    /// Held while files are read and written.
    state: Mutex<ClockState>,
    /// The newest time that this process issued, and the latest leap. Held for no longer than to copy it.
    latest: Mutex<ClockRecord>,
}

#[derive(Debug)]
struct ClockState {
    /// The monotonic time at which the newest time was issued.
    issued_at: Duration,
    others: OtherProcesses,
}

/// The latest leap of the directory's time; by default, none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Leap {
    /// The time after the leap.
    to: StoreTime,
    by: Duration,
}

/// The contents of the file of a process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct ClockRecord {
    time: StoreTime,
    leap: Leap,
}

impl ClockRecord {
    const BYTES: usize = 32;

    /// Encodes the record with a check value, because a reader may see half of a change.
    fn encode(self) -> [u8; Self::BYTES] {
        let by = u64::try_from(self.leap.by.as_micros()).unwrap_or(u64::MAX);
        let (time, to) = (self.time.micros(), self.leap.to.micros());
        let mut bytes = [0; Self::BYTES];
        bytes[..8].copy_from_slice(&time.to_le_bytes());
        bytes[8..16].copy_from_slice(&to.to_le_bytes());
        bytes[16..24].copy_from_slice(&by.to_le_bytes());
        let check = crc32c::crc32c(&bytes[..24]);
        bytes[24..28].copy_from_slice(&check.to_le_bytes());
        bytes
    }

    fn decode(bytes: &[u8; Self::BYTES]) -> Option<Self> {
        let word = |at: usize| -> Option<[u8; 8]> { bytes.get(at..at + 8)?.try_into().ok() };
        let record = Self {
            time: StoreTime::from_micros(i64::from_le_bytes(word(0)?)),
            leap: Leap {
                to: StoreTime::from_micros(i64::from_le_bytes(word(8)?)),
                by: Duration::from_micros(u64::from_le_bytes(word(16)?)),
            },
        };
        (record.encode() == *bytes).then_some(record)
    }

    fn write(self, file: &File) -> io::Result<()> {
        file.write_all_at(&self.encode(), 0)
    }

    /// Reads a record; `None` if the file has none, as after a power failure, or if a process does not complete a change.
    fn read(file: &File) -> io::Result<Option<Self>> {
        let mut bytes = [0; Self::BYTES];
        for _ in 0..ATTEMPTS {
            match file.read_exact_at(&mut bytes, 0) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => break,
                Err(error) => return Err(error),
            }
            if let Some(record) = Self::decode(&bytes) {
                return Ok(Some(record));
            }
        }
        Ok(None)
    }

    /// Returns the later time and the later leap.
    fn max(self, other: Self) -> Self {
        let is_later = other.leap.to > self.leap.to;
        Self {
            time: self.time.max(other.time),
            leap: if is_later { other.leap } else { self.leap },
        }
    }
}

impl DirectoryClock {
    /// Adds this process to the folder with the files of processes. `temporary` is a new file in the same file system.
    pub(super) fn open(
        folder: PathBuf,
        temporary: &Path,
        access: DirectoryAccess,
        world: &World,
    ) -> io::Result<Self> {
        let name = temporary.file_name().unwrap_or_default().to_owned();
        let file = access.create_file(temporary)?;
        give_to_owner(&file, &folder)?;
        flock(&file, FlockOperation::NonBlockingLockExclusive)?;
        let mut others = OtherProcesses::default();
        let before = others.read(&folder, &name)?;
        let clock = Self {
            folder,
            name,
            file,
            world: world.clone(),
            state: Mutex::new(ClockState { issued_at: world.clock.monotonic(), others }),
            latest: Mutex::new(newest(&before)),
        };
        // The file becomes visible with a current time, because others trust the times of processes that run.
        clock.now()?;
        clock.file.sync_data()?;
        fs::rename(temporary, clock.folder.join(&clock.name))?;
        // After a power failure, no time is lost with the files of those before.
        sync_directory(&clock.folder)?;
        for process in before {
            if !process.is_running()? {
                ignore_missing(fs::remove_file(&process.path))?;
            }
        }
        Ok(clock)
    }

    /// The clock that measures durations.
    pub(super) fn machine_clock(&self) -> &dyn Clock {
        self.world.clock.as_ref()
    }

    /// Returns the store's time, for an answer.
    pub(super) fn now(&self) -> io::Result<StoreTime> {
        self.issue(Duration::ZERO)
    }

    /// Returns a time later than any that was issued before, for an object.
    pub(super) fn next(&self) -> io::Result<StoreTime> {
        self.issue(Duration::from_micros(1))
    }

    fn issue(&self, step: Duration) -> io::Result<StoreTime> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let monotonic = self.world.clock.monotonic();
        let passed = monotonic.saturating_sub(state.issued_at).max(step);
        let others = state.others.read(&self.folder, &self.name)?;
        let newest = newest(&others);
        let latest = self.latest();
        let base = newest.time.plus(step).max(latest.time.plus(passed));
        let wall = StoreTime::from_micros(self.world.clock.wall_micros());
        let is_new = newest.time.max(latest.time) == StoreTime::default();
        let mut record = latest.max(newest);
        record.time = base.max(wall);
        if wall.since(base) > MAX_CLOCK_DIFFERENCE {
            match self.time_of_running_processes(&others, wall, latest)? {
                Some(time) => record.time = base.max(time),
                None if wall.since(base) > LONGEST_PAUSE && !is_new => {
                    record.leap = Leap { to: wall, by: wall.since(base) };
                }
                None => {}
            }
        }
        record.write(&self.file)?;
        state.issued_at = monotonic;
        *self.latest.lock().unwrap_or_else(PoisonError::into_inner) = record;
        Ok(record.time)
    }

    fn latest(&self) -> ClockRecord {
        *self.latest.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the time by the processes that run, if the wall clock is far ahead of it. The time since such a process
    /// issued its last time is measured by the clock that modified its file.
    fn time_of_running_processes(
        &self,
        others: &[OtherProcess],
        wall: StoreTime,
        latest: ClockRecord,
    ) -> io::Result<Option<StoreTime>> {
        if others.is_empty() {
            return Ok(None);
        }
        latest.write(&self.file)?;
        let now = modified(&self.file.metadata()?);
        let mut contradicting = None;
        for process in others {
            let time = process.record.time.plus(now.since(process.modified));
            if wall.since(time) > MAX_CLOCK_DIFFERENCE && process.is_running()? {
                contradicting = contradicting.max(Some(time));
            }
        }
        Ok(contradicting)
    }

    /// Returns by how much the directory's time leapt ahead, if it did so recently.
    pub(super) fn recent_leap(&self) -> Option<Duration> {
        let ClockRecord { time, leap } = self.latest();
        let is_recent = !leap.by.is_zero() && time.since(leap.to) < RECENT_LEAP;
        is_recent.then_some(leap.by)
    }
}

/// The file of a process that has, or had, the directory open.
#[derive(Debug)]
struct OtherProcess {
    path: PathBuf,
    record: ClockRecord,
    modified: StoreTime,
}

impl OtherProcess {
    fn read(path: PathBuf) -> io::Result<Self> {
        let file = File::open(&path)?;
        let record = match ClockRecord::read(&file)? {
            Some(record) => record,
            None if lock_if_ended(&file)? => ClockRecord::default(),
            None => {
                let reason = "a process that has the directory open does not complete its time";
                return Err(io::Error::other(reason));
            }
        };
        Ok(Self { record, modified: modified(&file.metadata()?), path })
    }

    fn is_running(&self) -> io::Result<bool> {
        match File::open(&self.path) {
            Ok(file) => Ok(!lock_if_ended(&file)?),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }
}

/// Gives the file of a process to the owner of the directory, if this process may: a command that the administrator executes must not
/// leave a file that the processes of the owner can't read.
fn give_to_owner(file: &File, folder: &Path) -> io::Result<()> {
    let (own, wanted) = (file.metadata()?, fs::metadata(folder)?);
    if own.uid() == wanted.uid() {
        return Ok(());
    }
    match fchown(file, Some(wanted.uid()), Some(wanted.gid())) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok(()),
        given => given,
    }
}

/// Locks the file of a process until it is closed. Returns `false` if the process runs.
fn lock_if_ended(file: &File) -> io::Result<bool> {
    match flock(file, FlockOperation::NonBlockingLockShared) {
        Ok(()) => Ok(true),
        Err(Errno::WOULDBLOCK) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

fn newest(processes: &[OtherProcess]) -> ClockRecord {
    let records = processes.iter().map(|process| process.record);
    records.fold(ClockRecord::default(), ClockRecord::max)
}

/// The names of the files of other processes, which are listed again when the folder has changed.
#[derive(Debug, Default)]
struct OtherProcesses {
    names: Vec<OsString>,
    /// The state of the folder before it was listed, and when it was seen in this state for the first time; `None`
    /// before the first listing.
    seen: Option<(DirectoryState, Duration)>,
    /// Whether the names were listed when any later change gives the folder another state.
    are_settled: bool,
    /// Not the clock of the store, because ticks are those of the kernel.
    clock: SystemClock,
}

impl OtherProcesses {
    /// Reads the files of all processes except `own`.
    fn read(&mut self, folder: &Path, own: &OsStr) -> io::Result<Vec<OtherProcess>> {
        for _ in 0..ATTEMPTS {
            self.refresh(folder, own)?;
            let paths = self.names.iter().map(|name| folder.join(name));
            let files: io::Result<Vec<_>> = paths.map(OtherProcess::read).collect();
            match files {
                // Its time is in the file of the process that removed it.
                Err(error) if error.kind() == io::ErrorKind::NotFound => self.seen = None,
                files => return files,
            }
        }
        Err(io::Error::other("processes open the directory all the time"))
    }

    fn refresh(&mut self, folder: &Path, own: &OsStr) -> io::Result<()> {
        let now = self.clock.monotonic();
        let state = DirectoryState::new(&fs::metadata(folder)?);
        let since = match self.seen {
            Some((seen, since)) if seen == state => since,
            _ => now,
        };
        let is_unchanged = self.seen == Some((state, since));
        if is_unchanged && self.are_settled {
            return Ok(());
        }
        self.are_settled = is_unchanged && now.saturating_sub(since) >= SETTLING_TIME;
        self.seen = Some((state, since));
        self.names.clear();
        for entry in fs::read_dir(folder)? {
            let name = entry?.file_name();
            if name != own {
                self.names.push(name);
            }
        }
        Ok(())
    }
}

/// The time of a directory, as its files say, without opening it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DirectoryTime {
    /// The newest time that any process issued; `None` if the directory was never used.
    pub newest: Option<StoreTime>,
    /// The number of processes that have the directory open.
    pub processes: usize,
}

impl DirectoryTime {
    /// Reads the time of the directory `root`.
    ///
    /// # Errors
    /// Its files can't be read.
    pub fn read(root: &Path) -> io::Result<Self> {
        let mut time = Self { newest: None, processes: 0 };
        for process in processes(root)? {
            time.newest = time.newest.max(Some(process.record.time));
            time.processes += usize::from(process.is_running()?);
        }
        Ok(time)
    }

    /// Sets the time of the directory `root`, also back.
    ///
    /// # Errors
    /// A process has the directory open, or its files can't be written.
    pub fn set(root: &Path, time: StoreTime) -> io::Result<()> {
        // Locked until they are replaced.
        let mut ended = Vec::new();
        for process in processes(root)? {
            let file = File::open(&process.path)?;
            if !lock_if_ended(&file)? {
                let reason = "another process has the directory open; stop it first";
                return Err(io::Error::new(io::ErrorKind::ResourceBusy, reason));
            }
            ended.push((process.path, file));
        }
        let Some(((path, known), others)) = ended.split_first() else {
            return Ok(());
        };
        let own = root.join(OWN_DIRECTORY);
        let temporary = own.join("repaired-time");
        let file = File::create(&temporary)?;
        file.set_permissions(known.metadata()?.permissions())?;
        give_to_owner(&file, &own.join(CLOCKS))?;
        let leap = Leap::default();
        ClockRecord { time, leap }.write(&file)?;
        file.sync_data()?;
        // Files of other users can be replaced, but not written.
        fs::rename(&temporary, path)?;
        for (path, _) in others {
            ignore_missing(fs::remove_file(path))?;
        }
        sync_directory(&own.join(CLOCKS))
    }
}

fn processes(root: &Path) -> io::Result<Vec<OtherProcess>> {
    let folder = root.join(OWN_DIRECTORY).join(CLOCKS);
    match OtherProcesses::default().read(&folder, OsStr::new("")) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        found => found,
    }
}

#[cfg(test)]
mod tests;
