//! Replaces an object if it still has a version, without a lock.
//!
//! ```text
//! <root>/.neap/tmp/<version>.<nonce>   a candidate: the bytes of a put that replaces this version
//! <root>/.neap/tmp/<version>           the successor of this version, chosen but not yet in place
//!
//! writer                                            files
//!   |-- write and fsync a candidate ---------------> |
//!   |-- is there a successor? another version? ----> |   yes: complete that successor's put, refuse this one
//!   |-- link the candidate as the successor -------> |   exists: the same; the candidate is gone: refused
//!   |-- remove all candidates of this version -----> |
//!   |-- still this version? set the time, rename --> |   the successor is in place, and its name is free
//! ```
//!
//! The link decides: one candidate becomes the successor. Each further step can be done by any process, so a process
//! that is suspended or killed after the link stops no other one, and what it does after it wakes up has no effect.
//!
//! The name of a successor is free again once it is in place. A writer that checked the version before, and links its
//! candidate only now, has no candidate any more: either its candidate existed when the candidates were removed, or it
//! was created later, and then the writer found the successor or the new version. Versions never repeat.

use std::{
    ffi::OsString,
    fs, io,
    path::{Path, PathBuf},
};

use rustix::fs::{AtFlags, CWD, Timespec, Timestamps, UTIME_OMIT, utimensat};

use super::{
    clock::DirectoryClock,
    file_version::{UNSETTLED_NANOS, etag, modified},
    files::{TempFile, ignore_missing},
};
use crate::{ETag, StoreTime};

/// Returns the name of the successor of a version; `None` if no object in a directory has such a version.
fn successor_name(version: &ETag) -> Option<&str> {
    let name = version.as_str().trim_matches('"');
    let is_part = |byte: u8| byte.is_ascii_hexdigit() || byte == b'-';
    (!name.is_empty() && name.len() <= 64 && name.bytes().all(is_part)).then_some(name)
}

/// Returns the name of a candidate that replaces a version.
pub(super) fn candidate_name(version: &ETag, nonce: &str) -> String {
    match successor_name(version) {
        Some(version) => format!("{version}.{nonce}"),
        None => nonce.to_owned(),
    }
}

/// Returns whether the name of a file is that of a successor.
pub(super) fn is_successor(name: &str) -> bool {
    name.contains('-') && !name.contains('.')
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum UpdateOutcome {
    /// The candidate replaced the version.
    Done,
    /// The object had another version.
    Refused,
}

/// The next step of an update.
#[derive(Debug)]
enum UpdateStep {
    FindSuccessor,
    CheckVersion,
    Link,
    ListCandidates,
    RemoveCandidates(Vec<OsString>),
    ConfirmVersion,
    RemoveSuccessor,
    SetTime,
    Rename,
    End,
}

/// An update in progress. Each step has one effect on the files, so that tests can suspend it between any two of them.
#[derive(Debug)]
pub(super) struct ConditionalUpdate<'a> {
    path: &'a Path,
    version: &'a ETag,
    candidate: TempFile,
    clock: &'a DirectoryClock,
    folder: &'a Path,
    /// The modification time that the candidate has before it is the successor.
    prepared: StoreTime,
    successor: PathBuf,
    /// Whether the candidate was linked as the successor.
    is_chosen: bool,
    step: UpdateStep,
}

impl<'a> ConditionalUpdate<'a> {
    /// Prepares an update of the object at `path`. The candidate has a [`candidate_name`] in `folder`, and its bytes are
    /// on the disk.
    pub(super) fn new(
        path: &'a Path,
        version: &'a ETag,
        candidate: TempFile,
        clock: &'a DirectoryClock,
        folder: &'a Path,
    ) -> io::Result<Self> {
        let prepared = clock.next()?;
        candidate.set_unsettled(prepared)?;
        let name = successor_name(version);
        Ok(Self {
            path,
            version,
            candidate,
            clock,
            folder,
            prepared,
            successor: folder.join(name.unwrap_or_default()),
            is_chosen: false,
            step: match name {
                Some(_) => UpdateStep::FindSuccessor,
                None => UpdateStep::End,
            },
        })
    }

    /// Whether an error leaves it open whether the update takes effect.
    pub(super) fn is_chosen(&self) -> bool {
        self.is_chosen
    }

    /// The file with the bytes of the put.
    pub(super) fn candidate(&self) -> &TempFile {
        &self.candidate
    }

    /// Runs all steps.
    pub(super) fn run(&mut self) -> io::Result<UpdateOutcome> {
        while !self.has_ended() {
            self.advance()?;
        }
        self.outcome()
    }

    pub(super) fn has_ended(&self) -> bool {
        matches!(self.step, UpdateStep::End)
    }

    /// Runs the next step.
    pub(super) fn advance(&mut self) -> io::Result<()> {
        let step = std::mem::replace(&mut self.step, UpdateStep::End);
        self.step = match step {
            UpdateStep::FindSuccessor if self.successor.try_exists()? => UpdateStep::ListCandidates,
            UpdateStep::FindSuccessor => UpdateStep::CheckVersion,
            UpdateStep::CheckVersion if self.has_version()? => UpdateStep::Link,
            UpdateStep::Link => self.link()?,
            UpdateStep::ListCandidates => UpdateStep::RemoveCandidates(self.candidates()?),
            UpdateStep::RemoveCandidates(mut names) => match names.pop() {
                None => UpdateStep::ConfirmVersion,
                Some(name) => {
                    ignore_missing(fs::remove_file(self.folder.join(name)))?;
                    UpdateStep::RemoveCandidates(names)
                }
            },
            UpdateStep::ConfirmVersion if self.has_version()? => UpdateStep::SetTime,
            // Either it is in place and its name is free, or the object was overwritten or deleted.
            UpdateStep::ConfirmVersion => UpdateStep::RemoveSuccessor,
            UpdateStep::SetTime if self.set_time()? => UpdateStep::Rename,
            UpdateStep::Rename => {
                ignore_missing(fs::rename(&self.successor, self.path))?;
                UpdateStep::End
            }
            UpdateStep::RemoveSuccessor => {
                ignore_missing(fs::remove_file(&self.successor))?;
                UpdateStep::End
            }
            UpdateStep::CheckVersion | UpdateStep::SetTime | UpdateStep::End => UpdateStep::End,
        };
        Ok(())
    }

    /// Returns the outcome after the last step. The candidate has replaced the version if a process has set its time.
    pub(super) fn outcome(&self) -> io::Result<UpdateOutcome> {
        let is_done = self.is_chosen && modified(&self.candidate.metadata()?) != self.prepared;
        Ok(if is_done {
            UpdateOutcome::Done
        } else {
            UpdateOutcome::Refused
        })
    }

    fn has_version(&self) -> io::Result<bool> {
        match fs::metadata(self.path) {
            Ok(metadata) => Ok(metadata.is_file() && etag(&metadata) == *self.version),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn link(&mut self) -> io::Result<UpdateStep> {
        match fs::hard_link(self.candidate.path(), &self.successor) {
            Ok(()) => {
                self.is_chosen = true;
                Ok(UpdateStep::ListCandidates)
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                Ok(UpdateStep::ListCandidates)
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(UpdateStep::End),
            Err(error) => Err(error),
        }
    }

    /// Lists the candidates of the version.
    fn candidates(&self) -> io::Result<Vec<OsString>> {
        let prefix = candidate_name(self.version, "");
        let mut names = Vec::new();
        for entry in fs::read_dir(self.folder)? {
            let name = entry?.file_name();
            if name.to_str().is_some_and(|name| name.starts_with(&prefix)) {
                names.push(name);
            }
        }
        Ok(names)
    }

    /// Sets the modification time of the successor, because it may have been chosen long ago. Returns whether it is
    /// still there.
    fn set_time(&self) -> io::Result<bool> {
        let micros = self.clock.next()?.micros();
        let time = Timespec {
            tv_sec: micros.div_euclid(1_000_000),
            tv_nsec: micros.rem_euclid(1_000_000) * 1000 + UNSETTLED_NANOS,
        };
        let times = Timestamps {
            last_access: Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT },
            last_modification: time,
        };
        match utimensat(CWD, self.successor.as_path(), &times, AtFlags::SYMLINK_NOFOLLOW) {
            // It belongs to another user and keeps its time. That user's process regards the outcome as a refusal, and
            // then reads that it is none.
            Ok(()) | Err(rustix::io::Errno::PERM) => Ok(true),
            Err(rustix::io::Errno::NOENT) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }
}

#[cfg(test)]
mod tests;
