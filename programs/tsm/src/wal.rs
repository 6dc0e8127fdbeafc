//! The write-ahead log of a shard: what was written after its newest TSM file.
//!
//! ```text
//! type (1) | length (4) | Snappy of: write         type (1) | length of the key (2) | key | count (4) | times and values
//!                                    delete        keys, one in each line
//!                                    delete range  min time (8) | max time (8) | length of the key (4) | key ...
//! ```

use std::{
    collections::{BTreeMap, btree_map::IntoIter},
    fs::File,
    io::{BufReader, Read},
    iter::Peekable,
    path::{Path, PathBuf},
    sync::Arc,
};

use crate::{
    Damage, DecodeError, TimeRange, TsmError, ValueType, Values,
    damage::io_error,
    encoding::{
        text::{decompress, push_lossy},
        varint::read_u64,
    },
    field_merge::FieldValues,
};

const WRITE: u8 = 1;
const DELETE: u8 = 2;
const DELETE_RANGE: u8 = 3;

/// Maximum size of an entry in bytes, decompressed. InfluxDB refuses requests of more than 25 MB by default.
const MAX_ENTRY_BYTES: usize = 1 << 30;
/// Maximum memory for the values of a log in bytes. The cache of InfluxDB, which has the same values, has 1 GiB by
/// default.
const MAX_CACHE_BYTES: usize = 4 << 30;

/// The values of a key with one type.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct LoggedValues {
    pub(crate) times: Vec<i64>,
    pub(crate) values: Values,
}

/// The values in a log, in memory.
#[derive(Debug, Default)]
pub struct WalCache {
    keys: BTreeMap<LoggedKey, LoggedValues>,
    bytes: usize,
    /// Number of strings whose invalid bytes were replaced in the entry that was read last.
    replaced: u64,
}

/// The key of a field, with the type of its values.
type LoggedKey = (Vec<u8>, ValueType);

/// The keys of a log in their order.
pub(crate) type LoggedKeys = Peekable<IntoIter<LoggedKey, LoggedValues>>;

impl WalCache {
    /// Reads the segments of a log in their order. Entries that cannot be read are left out and added to `damage`.
    ///
    /// # Errors
    ///
    /// A segment cannot be opened, or the log has more values than fit into memory.
    pub fn read(segments: &[PathBuf], damage: &mut Vec<Damage>) -> Result<Self, TsmError> {
        let mut cache = Self::default();
        let mut reader = SegmentReader::default();
        for path in segments {
            let file = File::open(path).map_err(|error| io_error(path, error))?;
            let path = Arc::new(path.clone());
            reader.read(BufReader::new(file), &path, &mut cache, damage);
            if cache.bytes > MAX_CACHE_BYTES {
                return Err(TsmError::LogTooLarge { path: folder(&path), limit: MAX_CACHE_BYTES });
            }
        }
        Ok(cache)
    }

    /// Returns whether there are no values.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// Returns the keys in their order, each with its values in the order of their times.
    pub(crate) fn into_keys(mut self) -> LoggedKeys {
        self.keys.retain(|_, list| {
            list.sort();
            !list.times.is_empty()
        });
        self.keys.into_iter().peekable()
    }

    /// Returns the list of a key and a type, to append values.
    fn list(&mut self, key: &[u8], value_type: ValueType) -> &mut LoggedValues {
        let entry = self.keys.entry((key.to_vec(), value_type));
        entry.or_insert_with(|| {
            self.bytes = self.bytes.saturating_add(key.len() + size_of::<LoggedValues>());
            LoggedValues { times: Vec::new(), values: Values::new(value_type) }
        })
    }

    fn delete(&mut self, key: &[u8], range: TimeRange) {
        for &value_type in ValueType::ALL {
            if let Some(list) = self.keys.get_mut(&(key.to_vec(), value_type)) {
                list.delete(range);
            }
        }
    }
}

impl LoggedValues {
    fn memory_bytes(&self) -> usize {
        self.values.memory_bytes() + self.times.len() * size_of::<i64>()
    }

    /// Orders the values by time; of several values for a time, the last one stays.
    fn sort(&mut self) {
        let value_type = self.values.value_type();
        let mut merged =
            FieldValues::new(std::mem::replace(&mut self.values, Values::new(value_type)));
        merged.times = std::mem::take(&mut self.times);
        merged.add_run(0, TimeRange::ALL, &[]);
        (self.times, self.values) = merged.merge();
    }

    fn delete(&mut self, range: TimeRange) {
        let mut kept = Values::new(self.values.value_type());
        let mut times = Vec::new();
        for (index, &time) in self.times.iter().enumerate() {
            if !range.contains(time) {
                times.push(time);
                kept.extend_from(&self.values, index..index + 1);
            }
        }
        (self.times, self.values) = (times, kept);
    }
}

fn folder(path: &Path) -> String {
    path.parent().unwrap_or(path).display().to_string()
}

/// Reads the entries of segments with reused buffers.
#[derive(Default, derive_more::Debug)]
#[debug("SegmentReader {{ .. }}")]
struct SegmentReader {
    snappy: snap::raw::Decoder,
    compressed: Vec<u8>,
    plain: Vec<u8>,
}

impl SegmentReader {
    fn read(
        &mut self,
        mut file: impl Read,
        path: &Arc<PathBuf>,
        cache: &mut WalCache,
        damage: &mut Vec<Damage>,
    ) {
        let mut offset = 0;
        loop {
            let mut report = |reason| {
                damage.push(Damage { path: Arc::clone(path), offset, key: None, reason });
            };
            let entry_type = match self.read_entry(&mut file) {
                Ok(Some(entry_type)) => entry_type,
                Ok(None) => return,
                Err(reason) => return report(reason),
            };
            // The length of an entry is known, so that the next one can be read after an invalid one.
            if let Err(reason) = self.apply(entry_type, cache) {
                report(reason);
            }
            match std::mem::take(&mut cache.replaced) {
                0 => {}
                replaced => report(DecodeError::TextNotUtf8(replaced)),
            }
            offset += 5 + self.compressed.len() as u64;
            if cache.bytes > MAX_CACHE_BYTES {
                return;
            }
        }
    }

    /// Reads the compressed bytes of an entry and returns its type; `None` at the end.
    fn read_entry(&mut self, file: &mut impl Read) -> Result<Option<u8>, DecodeError> {
        let failed = |error: std::io::Error| DecodeError::Read(error.to_string());
        let mut head = Vec::with_capacity(5);
        file.take(5).read_to_end(&mut head).map_err(failed)?;
        let (entry_type, length) = match head.as_slice() {
            [] => return Ok(None),
            &[entry_type, a, b, c, d] => (entry_type, u32::from_be_bytes([a, b, c, d])),
            _ => return Err(DecodeError::Truncated("entry of the log")),
        };
        if !(WRITE..=DELETE_RANGE).contains(&entry_type) {
            return Err(DecodeError::UnknownType(entry_type));
        }
        self.compressed.clear();
        let read = file.take(u64::from(length)).read_to_end(&mut self.compressed);
        if read.map_err(failed)? as u64 == u64::from(length) {
            Ok(Some(entry_type))
        } else {
            Err(DecodeError::Truncated("entry of the log"))
        }
    }

    fn apply(&mut self, entry_type: u8, cache: &mut WalCache) -> Result<(), DecodeError> {
        let Self { snappy, compressed, plain } = self;
        let body = decompress(snappy, compressed, MAX_ENTRY_BYTES, plain)?;
        match entry_type {
            WRITE => apply_write(body, cache),
            DELETE => {
                let keys = body.split(|byte| *byte == b'\n');
                keys.for_each(|key| cache.delete(key, TimeRange::ALL));
                Ok(())
            }
            _ => apply_delete_range(body, cache),
        }
    }
}

fn apply_write(mut body: &[u8], cache: &mut WalCache) -> Result<(), DecodeError> {
    let truncated = || DecodeError::Truncated("write in the log");
    while let Some((&log_type, rest)) = body.split_first() {
        let value_type = ValueType::of_log(log_type).ok_or(DecodeError::UnknownType(log_type))?;
        let (length, rest) = rest.split_first_chunk::<2>().ok_or_else(truncated)?;
        let length = usize::from(u16::from_be_bytes(*length));
        let (key, rest) = rest.split_at_checked(length).ok_or_else(truncated)?;
        let (count, mut rest) = rest.split_first_chunk::<4>().ok_or_else(truncated)?;
        let list = cache.list(key, value_type);
        let before = list.memory_bytes();
        let mut replaced = 0;
        for _ in 0..u32::from_be_bytes(*count) {
            let (time, after) = read_u64(rest).ok_or_else(truncated)?;
            rest = push_value(after, &mut list.values, &mut replaced).ok_or_else(truncated)?;
            list.times.push(time.cast_signed());
        }
        let added = list.memory_bytes() - before;
        cache.replaced += replaced;
        cache.bytes = cache.bytes.saturating_add(added);
        body = rest;
    }
    Ok(())
}

/// Reads a value and returns the bytes after it; `None` if they end early. Adds 1 to `replaced` for a string that is not
/// UTF-8.
fn push_value<'a>(bytes: &'a [u8], values: &mut Values, replaced: &mut u64) -> Option<&'a [u8]> {
    match values {
        Values::Float(list) => {
            let (bits, rest) = read_u64(bytes)?;
            list.push(f64::from_bits(bits));
            Some(rest)
        }
        Values::Integer(list) => {
            let (bits, rest) = read_u64(bytes)?;
            list.push(bits.cast_signed());
            Some(rest)
        }
        Values::Unsigned(list) => {
            let (value, rest) = read_u64(bytes)?;
            list.push(value);
            Some(rest)
        }
        Values::Boolean(list) => {
            let (&byte, rest) = bytes.split_first()?;
            list.push(byte == 1);
            Some(rest)
        }
        Values::String(list) => {
            let (length, rest) = bytes.split_first_chunk::<4>()?;
            let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
            let (text, rest) = rest.split_at_checked(length)?;
            *replaced += push_lossy(text, list);
            Some(rest)
        }
    }
}

fn apply_delete_range(body: &[u8], cache: &mut WalCache) -> Result<(), DecodeError> {
    let truncated = || DecodeError::Truncated("delete in the log");
    let (min, rest) = read_u64(body).ok_or_else(truncated)?;
    let (max, mut rest) = read_u64(rest).ok_or_else(truncated)?;
    let range = TimeRange { min: min.cast_signed(), max: max.cast_signed() };
    while !rest.is_empty() {
        let (length, after) = rest.split_first_chunk::<4>().ok_or_else(truncated)?;
        let length = usize::try_from(u32::from_be_bytes(*length)).map_err(|_| truncated())?;
        let (key, after) = after.split_at_checked(length).ok_or_else(truncated)?;
        cache.delete(key, range);
        rest = after;
    }
    Ok(())
}
