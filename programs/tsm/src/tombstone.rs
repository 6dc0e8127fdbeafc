//! Tombstones: ranges of time that are deleted from a TSM file.
//!
//! | version | contents |
//! |---|---|
//! | 1 | a key in each line, deleted as a whole |
//! | 2 | `0x1502`, then for each delete: length of the key (4), key, min time (8), max time (8) |
//! | 3 | `0x1503`, then the deletes of version 2 compressed with gzip |
//! | 4 | `0x1504`, then several gzip streams one after the other |

use std::{
    collections::HashMap,
    fs::File,
    io::{self, BufReader, Read},
    path::Path,
    sync::Arc,
};

use flate2::read::MultiGzDecoder;

use crate::{Damage, DecodeError, TsmError, damage::io_error};

const VERSION_2: u32 = 0x1502;
const VERSION_3: u32 = 0x1503;
const VERSION_4: u32 = 0x1504;

/// Maximum size of the deletes of a file in bytes: several millions of keys.
const MAX_BYTES: usize = 1 << 30;
/// Maximum size of a key in bytes, as in the index.
const MAX_KEY_BYTES: usize = u16::MAX as usize;

/// A range of times in nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TimeRange {
    /// The first time.
    pub min: i64,
    /// The last time.
    pub max: i64,
}

impl TimeRange {
    /// All times.
    pub const ALL: Self = Self { min: i64::MIN, max: i64::MAX };

    /// Returns whether both ranges have a time in common.
    pub fn overlaps(&self, other: &Self) -> bool {
        self.min <= other.max && other.min <= self.max
    }

    /// Returns whether a time is in the range.
    pub fn contains(&self, time: i64) -> bool {
        (self.min..=self.max).contains(&time)
    }
}

/// The deletes of a TSM file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tombstones {
    ranges: HashMap<Vec<u8>, Vec<TimeRange>>,
    bytes: usize,
}

impl Tombstones {
    /// Reads the file of a TSM file's deletes. Without a file, there are none. If the file cannot be read to its end, its
    /// rest is added to `damage`.
    ///
    /// # Errors
    ///
    /// The file cannot be opened, or has more deletes than fit into memory.
    pub fn read(path: &Path, damage: &mut Vec<Damage>) -> Result<Self, TsmError> {
        let mut tombstones = Self::default();
        let mut file = match File::open(path) {
            Ok(file) => BufReader::new(file),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(tombstones),
            Err(error) => return Err(io_error(path, error)),
        };
        let mut header = Vec::new();
        let read = file.by_ref().take(4).read_to_end(&mut header);
        read.map_err(|error| io_error(path, error))?;
        let version = header.first_chunk::<4>().map(|head| u32::from_be_bytes(*head));
        let read = match version {
            Some(VERSION_2) => tombstones.read_binary(file),
            Some(VERSION_3 | VERSION_4) => {
                tombstones.read_binary(BufReader::new(MultiGzDecoder::new(file)))
            }
            _ => tombstones.read_text(header.as_slice().chain(file)),
        };
        if tombstones.bytes > MAX_BYTES {
            return Err(TsmError::TooManyTombstones {
                path: path.display().to_string(),
                limit: MAX_BYTES,
            });
        }
        if let Err(error) = read {
            damage.push(Damage {
                path: Arc::new(path.to_owned()),
                offset: tombstones.bytes as u64,
                key: None,
                reason: DecodeError::Read(error.to_string()),
            });
        }
        Ok(tombstones)
    }

    /// Returns whether there are no deletes.
    pub fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// Returns the deleted ranges of a key.
    pub fn ranges(&self, key: &[u8]) -> &[TimeRange] {
        self.ranges.get(key).map_or(&[], Vec::as_slice)
    }

    fn add(&mut self, key: Vec<u8>, range: TimeRange) {
        self.bytes = self.bytes.saturating_add(key.len() + size_of::<TimeRange>());
        self.ranges.entry(key).or_default().push(range);
    }

    fn read_text(&mut self, mut reader: impl Read) -> io::Result<()> {
        let mut text = Vec::new();
        let limit = MAX_BYTES as u64 + 1;
        reader.by_ref().take(limit).read_to_end(&mut text)?;
        for line in text.split(|byte| *byte == b'\n') {
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            if !line.is_empty() {
                self.add(line.to_vec(), TimeRange::ALL);
            }
        }
        Ok(())
    }

    fn read_binary(&mut self, mut reader: impl Read) -> io::Result<()> {
        while self.bytes <= MAX_BYTES {
            let Some(length) = read_length(&mut reader)? else {
                return Ok(());
            };
            if length > MAX_KEY_BYTES {
                let message = format!("a key of {length} bytes");
                return Err(io::Error::new(io::ErrorKind::InvalidData, message));
            }
            let mut key = vec![0; length];
            reader.read_exact(&mut key)?;
            let (min, max) = (read_time(&mut reader)?, read_time(&mut reader)?);
            self.add(key, TimeRange { min, max });
        }
        Ok(())
    }
}

/// Reads the length of a key; `None` at the end.
fn read_length(reader: &mut impl Read) -> io::Result<Option<usize>> {
    let mut bytes = Vec::with_capacity(4);
    reader.take(4).read_to_end(&mut bytes)?;
    match bytes.first_chunk::<4>() {
        Some(bytes) => {
            let length = usize::try_from(u32::from_be_bytes(*bytes));
            Ok(Some(length.unwrap_or(usize::MAX)))
        }
        None if bytes.is_empty() => Ok(None),
        None => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}

fn read_time(reader: &mut impl Read) -> io::Result<i64> {
    let mut bytes = [0; 8];
    reader.read_exact(&mut bytes)?;
    Ok(i64::from_be_bytes(bytes))
}
