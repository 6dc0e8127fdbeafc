//! The index of a TSM file: the keys in their order, each with the places of its blocks.
//!
//! ```text
//! length of the key (2) | key | type (1) | count (2) | count x (min time (8) | max time (8) | offset (8) | size (4))
//! ```

use std::{fs::File, ops::Range, os::unix::fs::FileExt, path::PathBuf, sync::Arc};

use crate::{Damage, DecodeError, TimeRange, ValueType, header::HEADER_BYTES};

/// Size of an entry in bytes.
const ENTRY_BYTES: usize = 28;
/// Number of bytes to read at once.
const READ_BYTES: usize = 64 << 10;

/// The place of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IndexEntry {
    /// The times in the block.
    pub range: TimeRange,
    /// Offset in the file in bytes.
    pub offset: u64,
    /// Size in bytes, with the checksum.
    pub size: u32,
}

impl IndexEntry {
    /// Returns the offset of the end; `None` if there is no such offset.
    pub(crate) fn end(&self) -> Option<u64> {
        self.offset.checked_add(u64::from(self.size))
    }

    fn parse(bytes: &[u8; ENTRY_BYTES]) -> Self {
        let mut words = bytes.as_chunks::<8>().0.iter().copied();
        let mut next = || u64::from_be_bytes(words.next().unwrap_or_default());
        let (min, max, offset) = (next(), next(), next());
        let size = bytes.last_chunk::<4>().copied().unwrap_or_default();
        Self {
            range: TimeRange { min: min.cast_signed(), max: max.cast_signed() },
            offset,
            size: u32::from_be_bytes(size),
        }
    }
}

/// A key of the index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IndexKey {
    /// The series key, the separator and the name of the field.
    pub key: Vec<u8>,
    /// The type of its values.
    pub value_type: ValueType,
    /// The blocks in the order of their times.
    pub entries: Vec<IndexEntry>,
}

/// Reads an index key by key, through a small buffer.
#[derive(Debug)]
pub struct IndexCursor {
    file: Arc<File>,
    path: Arc<PathBuf>,
    /// Offset of the next byte that is not in the buffer.
    next_read: u64,
    end: u64,
    buffer: Vec<u8>,
    /// Bytes of the buffer that are consumed.
    consumed: usize,
    last_key: Vec<u8>,
}

impl IndexCursor {
    pub(crate) fn new(file: Arc<File>, path: Arc<PathBuf>, range: Range<u64>) -> Self {
        Self {
            file,
            path,
            next_read: range.start,
            end: range.end,
            buffer: Vec::new(),
            consumed: 0,
            last_key: Vec::new(),
        }
    }

    /// Returns the next key; `None` at the end of the index. Entries that cannot be places of blocks are left out and
    /// added to `damage`, and so is the rest of an index that cannot be read.
    pub fn next_key(&mut self, damage: &mut Vec<Damage>) -> Option<IndexKey> {
        loop {
            if self.offset() >= self.end {
                return None;
            }
            let offset = self.offset();
            match self.read_key() {
                Ok(Some(key)) => return Some(self.without_invalid_entries(key, offset, damage)),
                // A key without blocks.
                Ok(None) => {}
                Err(reason) => {
                    damage.push(self.damage(offset, None, reason));
                    self.next_read = self.end;
                    self.buffer.clear();
                    self.consumed = 0;
                    return None;
                }
            }
        }
    }

    /// Returns the offset of the next key.
    fn offset(&self) -> u64 {
        self.next_read - (self.buffer.len() - self.consumed) as u64
    }

    fn damage(&self, offset: u64, key: Option<&[u8]>, reason: DecodeError) -> Damage {
        Damage {
            path: Arc::clone(&self.path),
            offset,
            key: key.map(|key| String::from_utf8_lossy(key).into_owned()),
            reason,
        }
    }

    /// Reads a key. `None` if it has no entries.
    fn read_key(&mut self) -> Result<Option<IndexKey>, DecodeError> {
        let key_bytes = usize::from(self.read_u16()?);
        let key = self.take(key_bytes)?.to_vec();
        let block_type = self.take(1)?.first().copied().unwrap_or_default();
        let count = usize::from(self.read_u16()?);
        let (entries, _) = self.take(count * ENTRY_BYTES)?.as_chunks::<ENTRY_BYTES>();
        let entries: Vec<IndexEntry> = entries.iter().map(IndexEntry::parse).collect();
        let value_type =
            ValueType::of_block(block_type).ok_or(DecodeError::UnknownType(block_type))?;
        if key <= self.last_key && !self.last_key.is_empty() {
            return Err(DecodeError::KeyOrder);
        }
        self.last_key.clone_from(&key);
        Ok((!entries.is_empty()).then_some(IndexKey { key, value_type, entries }))
    }

    fn read_u16(&mut self) -> Result<u16, DecodeError> {
        let bytes = self.take(2)?.first_chunk::<2>().copied();
        Ok(u16::from_be_bytes(bytes.unwrap_or_default()))
    }

    /// Takes bytes of the index, and reads more if the buffer has fewer.
    fn take(&mut self, count: usize) -> Result<&[u8], DecodeError> {
        if self.buffer.len() - self.consumed < count {
            self.fill(count)?;
        }
        let start = self.consumed;
        self.consumed += count;
        let taken = self.buffer.get(start..self.consumed);
        taken.ok_or(DecodeError::Truncated("index"))
    }

    /// Reads until the buffer has at least `count` bytes.
    fn fill(&mut self, count: usize) -> Result<(), DecodeError> {
        self.buffer.drain(..self.consumed);
        self.consumed = 0;
        let kept = self.buffer.len();
        let missing = (count - kept).max(READ_BYTES) as u64;
        let length = usize::try_from(missing.min(self.end - self.next_read)).unwrap_or(usize::MAX);
        if kept + length < count {
            return Err(DecodeError::Truncated("index"));
        }
        self.buffer.resize(kept + length, 0);
        let into = self.buffer.get_mut(kept..).unwrap_or_default();
        let read = self.file.read_exact_at(into, self.next_read);
        if let Err(error) = read {
            self.buffer.truncate(kept);
            return Err(DecodeError::Read(error.to_string()));
        }
        self.next_read += length as u64;
        Ok(())
    }

    fn without_invalid_entries(
        &self,
        mut key: IndexKey,
        offset: u64,
        damage: &mut Vec<Damage>,
    ) -> IndexKey {
        let is_valid = |entry: &IndexEntry| {
            entry.offset >= HEADER_BYTES
                && entry.range.min <= entry.range.max
                && entry.end().is_some_and(|end| end <= self.end)
        };
        let before = key.entries.len();
        key.entries.retain(is_valid);
        if key.entries.len() < before {
            let reason = DecodeError::Invalid("place of a block");
            damage.push(self.damage(offset, Some(&key.key), reason));
        }
        key
    }
}
