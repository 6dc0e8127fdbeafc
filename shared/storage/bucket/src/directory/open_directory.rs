//! The parts of an open directory that its blocking operations use: they put files into place and settle them.

use std::{
    fs::{File, Metadata},
    io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use super::{
    access::DirectoryAccess,
    clock::DirectoryClock,
    conditional_update::{ConditionalUpdate, UpdateOutcome},
    durable_directories::DurableDirectories,
    file_version::{UNSETTLED_NANOS, etag, modified},
    files::{self, TempFile},
};
use crate::{ETag, Put, PutMode, StoreTime};

#[derive(Debug)]
pub(super) struct OpenDirectory {
    pub(super) root: PathBuf,
    /// The folder of temporary files.
    pub(super) temporary: PathBuf,
    pub(super) access: DirectoryAccess,
    pub(super) clock: DirectoryClock,
    pub(super) durable: DurableDirectories,
}

/// The outcome of a put: its answer, and the time of the answer. An error of the time means that the outcome is unknown.
pub(super) type PutAndTime = (Put, io::Result<StoreTime>);

impl OpenDirectory {
    /// Puts a temporary file into place if the condition holds. An error means that the put had no effect.
    ///
    /// The time of the answer is issued after the file is in place, so a put whose process is suspended before that has a
    /// late time, and later than any time that was issued before, so reads and listings from that time on have the object.
    pub(super) fn place(
        &self,
        path: &Path,
        temp: TempFile,
        mode: &PutMode,
    ) -> io::Result<PutAndTime> {
        match mode {
            PutMode::Overwrite | PutMode::OverwriteIn(_) => self.overwrite(path, &temp),
            PutMode::Create => self.create(path, &temp),
            PutMode::Update(version) => self.update(path, temp, version),
        }
    }

    fn overwrite(&self, path: &Path, temp: &TempFile) -> io::Result<PutAndTime> {
        let metadata = temp.set_modified(self.clock.next()?)?;
        temp.rename(&self.root, path, self.access)?;
        let date = self.clock.next();
        let synced = self.sync_parent(path);
        Ok((Put::Done(etag(&metadata)), synced.and(date)))
    }

    fn create(&self, path: &Path, temp: &TempFile) -> io::Result<PutAndTime> {
        let metadata = temp.set_unsettled(self.clock.next()?)?;
        match temp.link(&self.root, path, self.access) {
            Ok(()) => Ok(self.placed(path, temp, &metadata)),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                if path.is_dir() {
                    return Err(io::ErrorKind::IsADirectory.into());
                }
                Ok((Put::Refused, self.clock.now()))
            }
            Err(error) => Err(error),
        }
    }

    fn update(&self, path: &Path, temp: TempFile, version: &ETag) -> io::Result<PutAndTime> {
        let mut update = ConditionalUpdate::new(path, version, temp, &self.clock, &self.temporary)?;
        match update.run() {
            Ok(UpdateOutcome::Done) => {
                let candidate = update.candidate();
                Ok(match candidate.metadata() {
                    Ok(metadata) => self.placed(path, candidate, &metadata),
                    Err(error) => (Put::Refused, Err(error)),
                })
            }
            Ok(UpdateOutcome::Refused) => Ok((Put::Refused, self.clock.now())),
            Err(error) if update.is_chosen() => Ok((Put::Refused, Err(error))),
            Err(error) => Err(error),
        }
    }

    fn placed(&self, path: &Path, temp: &TempFile, metadata: &Metadata) -> PutAndTime {
        let date = self.clock.next();
        let settled = self.settle(path, temp.file(), metadata);
        (Put::Done(etag(metadata)), settled.and(date))
    }

    /// Makes the name of a file durable, and records that in its modification time.
    ///
    /// Others see an object that is put on a condition before its name is durable. Each of them settles it before it
    /// builds on it, because otherwise a power failure could undo the object but not what was built on it.
    pub(super) fn settle(&self, path: &Path, file: &File, metadata: &Metadata) -> io::Result<()> {
        if metadata.mtime_nsec() % 1000 != UNSETTLED_NANOS {
            return Ok(());
        }
        self.sync_parent(path)?;
        match files::set_modified(file, modified(metadata), 0) {
            // It belongs to another user, whose process may yet record it.
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok(()),
            recorded => recorded,
        }
    }

    fn sync_parent(&self, path: &Path) -> io::Result<()> {
        let parent = path.parent().unwrap_or(&self.root);
        self.durable.sync(&self.root, parent)
    }
}
