//! TSM files.
//!
//! ```text
//! magic (4) | version (1) | blocks ... | index ... | offset of the index (8)
//! ```

use std::{
    fs::File,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use crate::{
    Damage, DecodeError, IndexCursor, IndexEntry, TsmError,
    damage::io_error,
    header::{HEADER_BYTES, MAGIC, VERSION},
};

/// Size of the offset at the end in bytes.
const FOOTER_BYTES: u64 = size_of::<u64>() as u64;
/// Number of bytes to read at once: several blocks, which are usually read in their order.
const READ_BYTES: u64 = 128 << 10;

/// Maximum size of a block in bytes. It is as much as the strings of a block may have.
const MAX_BLOCK_BYTES: u32 = 256 << 20;

/// An open TSM file.
#[derive(Debug)]
pub struct TsmFile {
    path: Arc<PathBuf>,
    file: Arc<File>,
    index_start: u64,
    index_end: u64,
    /// Bytes of the file from `buffer_start` on.
    buffer: Vec<u8>,
    buffer_start: u64,
}

impl TsmFile {
    /// Opens a file and reads its header and footer.
    ///
    /// # Errors
    ///
    /// [`TsmError::Io`], or [`TsmError::Damaged`] if it is not a TSM file or has no valid index.
    pub fn open(path: &Path) -> Result<Self, TsmError> {
        let failed = |error| io_error(path, error);
        let file = File::open(path).map_err(failed)?;
        let length = file.metadata().map_err(failed)?.len();
        let path = Arc::new(path.to_owned());
        let damaged = |offset, reason| {
            TsmError::Damaged(Damage { path: Arc::clone(&path), offset, key: None, reason })
        };
        if length < HEADER_BYTES + FOOTER_BYTES {
            return Err(damaged(length, DecodeError::Truncated("file")));
        }
        let mut header = [0; 5];
        let mut footer = [0; size_of::<u64>()];
        let index_end = length - FOOTER_BYTES;
        let failed = |error| io_error(&path, error);
        file.read_exact_at(&mut header, 0).map_err(failed)?;
        file.read_exact_at(&mut footer, index_end).map_err(failed)?;
        let [magic @ .., version] = header;
        let magic = u32::from_be_bytes(magic);
        let index_start = u64::from_be_bytes(footer);
        if magic != MAGIC {
            return Err(damaged(0, DecodeError::Magic(magic)));
        }
        if version != VERSION {
            return Err(damaged(4, DecodeError::Version(version)));
        }
        if !(HEADER_BYTES..index_end).contains(&index_start) {
            let reason = DecodeError::Invalid("offset of the index");
            return Err(damaged(index_end, reason));
        }
        Ok(Self {
            path,
            file: Arc::new(file),
            index_start,
            index_end,
            buffer: Vec::new(),
            buffer_start: 0,
        })
    }

    /// Returns the path of the file.
    pub fn path(&self) -> &Arc<PathBuf> {
        &self.path
    }

    /// Returns a cursor over the index.
    pub fn index(&self) -> IndexCursor {
        IndexCursor::new(
            Arc::clone(&self.file),
            Arc::clone(&self.path),
            self.index_start..self.index_end,
        )
    }

    /// Reads a block with its checksum.
    ///
    /// # Errors
    ///
    /// The block is not within the blocks of the file, is too large, or cannot be read.
    pub fn read_block(&mut self, entry: &IndexEntry) -> Result<&[u8], DecodeError> {
        if entry.size > MAX_BLOCK_BYTES {
            return Err(DecodeError::Invalid("size of a block"));
        }
        let outside = DecodeError::Invalid("place of a block");
        let end = entry.end().filter(|end| *end <= self.index_start);
        let Some(end) = end.filter(|_| entry.offset >= HEADER_BYTES) else {
            return Err(outside);
        };
        let buffer_end = self.buffer_start + self.buffer.len() as u64;
        if entry.offset < self.buffer_start || end > buffer_end {
            self.fill(entry.offset, end)?;
        }
        let start = usize::try_from(entry.offset - self.buffer_start).unwrap_or(usize::MAX);
        let end = usize::try_from(end - self.buffer_start).unwrap_or(usize::MAX);
        self.buffer.get(start..end).ok_or(outside)
    }

    /// Reads the bytes from `start` to `end`, and those that follow.
    fn fill(&mut self, start: u64, end: u64) -> Result<(), DecodeError> {
        let end = end.max((start + READ_BYTES).min(self.index_start));
        let failed = |error: String| DecodeError::Read(error);
        let length = usize::try_from(end - start).map_err(|error| failed(error.to_string()))?;
        self.buffer.resize(length, 0);
        self.buffer_start = start;
        let read = self.file.read_exact_at(&mut self.buffer, start);
        if read.is_err() {
            self.buffer.clear();
        }
        read.map_err(|error| failed(error.to_string()))
    }
}
