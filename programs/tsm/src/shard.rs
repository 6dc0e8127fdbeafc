//! The files of a shard, read together series by series.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use crate::{
    BlockDecoder, Damage, DecodeError, FIELD_SEPARATOR, IndexCursor, IndexEntry, SeriesKey,
    TimeRange, Tombstones, TsmError, TsmFile, ValueType, WalCache,
    damage::io_error,
    index::IndexKey,
    key::split_key,
    wal::{LoggedKeys, LoggedValues},
};

/// The files of a shard.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ShardFiles {
    /// The TSM files; those with newer values come later.
    pub tsm: Vec<PathBuf>,
    /// The segments of the write-ahead log in their order.
    pub wal: Vec<PathBuf>,
}

impl ShardFiles {
    /// Lists the files of a shard. A folder that does not exist is empty.
    ///
    /// # Errors
    ///
    /// A folder cannot be listed.
    pub fn list(data: &Path, wal: Option<&Path>) -> Result<Self, TsmError> {
        let segments = match wal {
            Some(wal) => list_folder(wal, ".wal")?,
            None => Vec::new(),
        };
        Ok(Self { tsm: list_folder(data, ".tsm")?, wal: segments })
    }

    /// Returns whether there are no files.
    pub fn is_empty(&self) -> bool {
        self.tsm.is_empty() && self.wal.is_empty()
    }
}

/// Lists the files whose names end with `suffix`, in the order of their names.
fn list_folder(folder: &Path, suffix: &str) -> Result<Vec<PathBuf>, TsmError> {
    let failed = |error| io_error(folder, error);
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(failed(error)),
    };
    let mut paths = Vec::new();
    for entry in entries {
        let entry = entry.map_err(failed)?;
        if entry.file_name().to_string_lossy().ends_with(suffix) {
            paths.push(entry.path());
        }
    }
    paths.sort();
    Ok(paths)
}

/// A TSM file and its next key.
#[derive(Debug)]
pub(crate) struct IndexedFile {
    pub(crate) file: TsmFile,
    index: IndexCursor,
    head: Option<IndexKey>,
    tombstones: Tombstones,
}

impl IndexedFile {
    fn open(path: &Path, damage: &mut Vec<Damage>) -> Result<Self, TsmError> {
        let file = TsmFile::open(path)?;
        let tombstones = Tombstones::read(&path.with_extension("tombstone"), damage)?;
        let mut index = file.index();
        let head = index.next_key(damage);
        Ok(Self { file, index, head, tombstones })
    }

    /// Takes the next key if it starts with `prefix`.
    fn take_key(&mut self, prefix: &[u8], damage: &mut Vec<Damage>) -> Option<IndexKey> {
        let head = self.head.take_if(|head| head.key.starts_with(prefix))?;
        self.head = self.index.next_key(damage);
        Some(head)
    }
}

/// The blocks of a field in one file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlockRef {
    /// Index of the file.
    pub(crate) file: usize,
    /// The blocks.
    pub(crate) entries: Vec<IndexEntry>,
    /// The times that are deleted from this file.
    pub(crate) deleted: Vec<TimeRange>,
}

/// A field of a series. If files have it with several types, there is one for each type.
#[derive(Clone, Debug, PartialEq)]
pub struct Field {
    /// The name.
    pub name: String,
    /// The type of the values.
    pub value_type: ValueType,
    /// The blocks; those of later files are newer.
    pub(crate) blocks: Vec<BlockRef>,
    /// The values in the write-ahead log, which are newer than all blocks.
    pub(crate) logged: Option<LoggedValues>,
}

/// A series of a shard.
#[derive(Clone, Debug, PartialEq)]
pub struct Series {
    /// The series key as it is in the files.
    pub key: Vec<u8>,
    /// The fields in the order of their names.
    pub fields: Vec<Field>,
}

impl Series {
    /// Parses the series key.
    pub fn parse_key(&self) -> SeriesKey {
        SeriesKey::parse(&self.key)
    }

    /// Returns the range of the times that the index and the log name; `None` without values.
    pub fn time_range(&self) -> Option<TimeRange> {
        let blocks = self.fields.iter().flat_map(|field| &field.blocks);
        let indexed = blocks.flat_map(|block| block.entries.iter().map(|entry| entry.range));
        let logged = self.fields.iter().filter_map(|field| {
            let times = &field.logged.as_ref()?.times;
            let (min, max) = (*times.first()?, *times.last()?);
            Some(TimeRange { min, max })
        });
        indexed.chain(logged).reduce(|one, other| TimeRange {
            min: one.min.min(other.min),
            max: one.max.max(other.max),
        })
    }
}

/// Reads the series of a shard in the order of their keys.
#[derive(Debug)]
pub struct ShardReader {
    pub(crate) files: Vec<IndexedFile>,
    /// A file of the shard, for damage of a key that several files may have.
    path: Arc<PathBuf>,
    logged: LoggedKeys,
    pub(crate) damage: Vec<Damage>,
    pub(crate) decoder: BlockDecoder,
    pub(crate) read_bytes: u64,
}

impl ShardReader {
    /// Opens the files of a shard and reads its write-ahead log. Files that are no TSM files are left out and reported as
    /// damage.
    ///
    /// # Errors
    ///
    /// A file cannot be opened, or the log or the deletes do not fit into memory.
    pub fn open(files: &ShardFiles) -> Result<Self, TsmError> {
        let mut damage = Vec::new();
        let logged = WalCache::read(&files.wal, &mut damage)?.into_keys();
        let mut indexed = Vec::with_capacity(files.tsm.len());
        for path in &files.tsm {
            match IndexedFile::open(path, &mut damage) {
                Ok(file) => indexed.push(file),
                Err(TsmError::Damaged(found)) => damage.push(found),
                Err(error) => return Err(error),
            }
        }
        let path = files.tsm.first().or(files.wal.first());
        Ok(Self {
            files: indexed,
            path: Arc::new(path.cloned().unwrap_or_default()),
            logged,
            damage,
            decoder: BlockDecoder::default(),
            read_bytes: 0,
        })
    }

    /// Returns the next series; `None` at the end.
    pub fn next_series(&mut self) -> Option<Series> {
        loop {
            let heads = self
                .files
                .iter()
                .filter_map(|file| file.head.as_ref())
                .map(|head| head.key.as_slice());
            let logged = self.logged.peek().map(|((key, _), _)| key.as_slice());
            let smallest = heads.chain(logged).min()?.to_vec();
            let Some((series, _)) = split_key(&smallest) else {
                self.skip_key(&smallest);
                continue;
            };
            let taken = self.take_series(series);
            if SeriesKey::is_utf8(series) {
                return Some(taken);
            } else {
                self.refuse_name(series)
            }
        }
    }

    /// Removes and returns the damage that was found since the last call.
    pub fn take_damage(&mut self) -> Vec<Damage> {
        std::mem::take(&mut self.damage)
    }

    /// Returns the number of bytes of blocks that were read.
    pub fn read_bytes(&self) -> u64 {
        self.read_bytes
    }

    /// Takes all fields of a series. They follow each other in every file, because their keys have the same start.
    fn take_series(&mut self, series: &[u8]) -> Series {
        let prefix = [series, FIELD_SEPARATOR].concat();
        let mut fields = SeriesFields::default();
        let mut refused: Vec<Vec<u8>> = Vec::new();
        for (index, file) in self.files.iter_mut().enumerate() {
            while let Some(head) = file.take_key(&prefix, &mut self.damage) {
                let deleted = file.tombstones.ranges(&head.key).to_vec();
                let name = head.key.get(prefix.len()..).unwrap_or_default();
                let Ok(name) = str::from_utf8(name) else {
                    refused.push(head.key);
                    continue;
                };
                let field = fields.field(name, head.value_type);
                field.blocks.push(BlockRef { file: index, entries: head.entries, deleted });
            }
        }
        while let Some(((key, value_type), values)) =
            (self.logged).next_if(|((key, _), _)| key.starts_with(&prefix))
        {
            let name = key.get(prefix.len()..).unwrap_or_default();
            match str::from_utf8(name) {
                Ok(name) => fields.field(name, value_type).logged = Some(values),
                Err(_) => refused.push(key),
            }
        }
        refused.dedup();
        refused.iter().for_each(|key| self.refuse_name(key));
        Series {
            key: series.to_vec(),
            fields: fields.0.into_values().collect(),
        }
    }

    /// Reports a series or a field that is left out because it has no valid name. Replaced bytes could merge two of them.
    fn refuse_name(&mut self, key: &[u8]) {
        self.damage.push(Damage {
            path: Arc::clone(&self.path),
            offset: 0,
            key: Some(String::from_utf8_lossy(key).into_owned()),
            reason: DecodeError::NameNotUtf8,
        });
    }

    /// Skips a key without the name of a field.
    fn skip_key(&mut self, key: &[u8]) {
        for file in &mut self.files {
            if file.head.as_ref().is_some_and(|head| head.key == key) {
                self.damage.push(Damage {
                    path: Arc::clone(file.file.path()),
                    offset: 0,
                    key: Some(String::from_utf8_lossy(key).into_owned()),
                    reason: DecodeError::Invalid("key without a field"),
                });
                file.head = file.index.next_key(&mut self.damage);
            }
        }
        while self.logged.next_if(|((found, _), _)| found == key).is_some() {}
    }
}

/// The fields of a series by their names and types.
#[derive(Default)]
struct SeriesFields(BTreeMap<(String, ValueType), Field>);

impl SeriesFields {
    fn field(&mut self, name: &str, value_type: ValueType) -> &mut Field {
        let name = name.to_owned();
        let entry = self.0.entry((name.clone(), value_type));
        entry.or_insert_with(|| Field { name, value_type, blocks: Vec::new(), logged: None })
    }
}
