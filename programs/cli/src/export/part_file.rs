//! Files that are hashed while they are written.

use std::{
    fs::{self, File},
    io::{self, BufWriter, Read, Write},
    path::{Path, PathBuf},
};

use sha2::{Digest, Sha256};

use super::{ExportError, ExportResult};
use crate::owner_only;

/// The size of the buffer of a file, in bytes.
const BUFFER_BYTES: usize = 256 << 10;

/// The checksum and the size of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct FileDigest {
    /// The SHA-256 as hexadecimal digits.
    pub(super) sha256: String,
    /// The number of bytes.
    pub(super) bytes: u64,
}

/// A file below a temporary name. Dropping it removes it, unless it was moved to its final name.
#[derive(Debug)]
pub(super) struct PartFile {
    path: PathBuf,
    file: BufWriter<File>,
    hash: Sha256,
    bytes: u64,
    is_moved: bool,
}

impl PartFile {
    /// Creates a file.
    pub(super) fn create(path: PathBuf) -> ExportResult<Self> {
        let file =
            owner_only::create_file(&path).map_err(|error| ExportError::of_file(&path, error))?;
        Ok(Self {
            path,
            file: BufWriter::with_capacity(BUFFER_BYTES, file),
            hash: Sha256::new(),
            bytes: 0,
            is_moved: false,
        })
    }

    /// The temporary name.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The number of bytes so far.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Creates the error of an operation on the file.
    pub(super) fn failed(&self, error: io::Error) -> ExportError {
        ExportError::of_file(&self.path, error)
    }

    /// Writes buffered bytes, so that the file can be read.
    pub(super) fn flush_to_file(&mut self) -> ExportResult {
        let flushed = self.file.flush();
        flushed.map_err(|error| self.failed(error))
    }

    /// Waits until the file is on the disk, and gives it its final name `path` below the directory `root`. The name is on
    /// the disk then, too.
    pub(super) fn move_to(mut self, root: &Path, path: &Path) -> ExportResult<FileDigest> {
        self.flush_to_file()?;
        let synced = self.file.get_ref().sync_data();
        synced.map_err(|error| self.failed(error))?;
        let failed = |error| ExportError::of_file(path, error);
        let directory = owner_only::parent(path).unwrap_or(root);
        owner_only::create_directories(directory, &owner_only::sync_directory).map_err(failed)?;
        fs::rename(&self.path, path).map_err(failed)?;
        self.is_moved = true;
        // Another thread may have created a directory without having synced its parent yet.
        owner_only::sync_up_to(root, directory).map_err(failed)?;
        Ok(FileDigest {
            sha256: hex::encode(self.hash.finalize_reset()),
            bytes: self.bytes,
        })
    }
}

impl Write for PartFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.hash.update(bytes.get(..written).unwrap_or_default());
        self.bytes = self.bytes.saturating_add(written as u64);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Drop for PartFile {
    fn drop(&mut self) {
        if !self.is_moved
            && let Err(error) = fs::remove_file(&self.path)
        {
            tracing::warn!(path = %self.path.display(), %error, "a temporary file could not be removed");
        }
    }
}

/// Reads a file and returns its checksum and its size.
pub(super) fn digest(path: &Path) -> io::Result<FileDigest> {
    let mut file = File::open(path)?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0; BUFFER_BYTES];
    let mut bytes = 0_u64;
    loop {
        let read = file.read(&mut buffer)?;
        if read == 0 {
            break;
        }
        hash.update(buffer.get(..read).unwrap_or_default());
        bytes = bytes.saturating_add(read as u64);
    }
    Ok(FileDigest { sha256: hex::encode(hash.finalize()), bytes })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_has_its_name_only_when_it_is_complete() {
        let folder = tempfile::tempdir().unwrap();
        let (temporary, path) = (folder.path().join("1"), folder.path().join("a/b/c.csv"));
        let mut file = PartFile::create(temporary.clone()).unwrap();
        file.write_all(b"a\n1\n").unwrap();
        assert!(!path.exists());
        let moved = file.move_to(folder.path(), &path).unwrap();
        assert!(!temporary.exists());
        assert_eq!(digest(&path).unwrap(), moved);
        assert_eq!(moved.bytes, 4);
    }

    #[test]
    fn a_file_that_is_dropped_is_removed() {
        let folder = tempfile::tempdir().unwrap();
        let temporary = folder.path().join("1");
        drop(PartFile::create(temporary.clone()).unwrap());
        assert!(!temporary.exists());
    }

    #[test]
    fn a_digest_is_that_of_sha256sum() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("abc");
        fs::write(&path, "abc").unwrap();
        assert_eq!(
            digest(&path).unwrap().sha256,
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
    }
}
