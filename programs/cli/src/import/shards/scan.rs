//! Reads the indexes of all shards, for the columns of their tables.

use std::{
    collections::VecDeque,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

use indicatif::ProgressBar;
use neap_bucket::World;
use neap_tsm::{Damage, ShardFiles, ShardReader};

use super::{
    archive::{TemporaryFolder, extract},
    found_shards::{ShardPlace, ShardSource},
    schema::SchemaScan,
};
use crate::import::{ImportError, ImportFilter, file_import::describe_file};

/// The files of a shard, extracted from archives if they are in some.
#[derive(Debug)]
pub(super) struct OpenShard {
    pub(super) files: ShardFiles,
    /// Archives that end early.
    pub(super) damage: Vec<Damage>,
    /// Removed with the shard.
    _extracted: Option<TemporaryFolder>,
}

impl OpenShard {
    /// A shard that has only a segment of a log.
    #[cfg(test)]
    pub(super) fn of_log(segment: std::path::PathBuf) -> Self {
        Self {
            files: ShardFiles { tsm: Vec::new(), wal: vec![segment] },
            damage: Vec::new(),
            _extracted: None,
        }
    }

    /// Lists the files of a shard.
    pub(super) fn open(
        source: &ShardSource,
        temporary: &Path,
        world: &World,
    ) -> Result<Self, ImportError> {
        match &source.place {
            ShardPlace::Folders { data, wal } => Ok(Self {
                files: ShardFiles::list(data, Some(wal))?,
                damage: Vec::new(),
                _extracted: None,
            }),
            ShardPlace::Archives(archives) => {
                let folder = TemporaryFolder::create(temporary, world)?;
                let mut damage = Vec::new();
                for archive in archives {
                    extract(archive, folder.path(), &mut damage)?;
                }
                Ok(Self {
                    damage,
                    files: ShardFiles::list(folder.path(), Some(folder.path()))?,
                    _extracted: Some(folder),
                })
            }
        }
    }
}

/// Returns the names, sizes and times of the files of a shard and of its deletes, which tell whether they have changed.
pub(super) fn describe_files(source: &ShardSource) -> Result<String, ImportError> {
    let paths = match &source.place {
        ShardPlace::Archives(archives) => archives.clone(),
        ShardPlace::Folders { data, wal } => {
            let ShardFiles { tsm, wal } = ShardFiles::list(data, Some(wal))?;
            let deletes: Vec<_> = tsm
                .iter()
                .map(|path| path.with_extension("tombstone"))
                .filter(|path| path.is_file())
                .collect();
            tsm.into_iter().chain(wal).chain(deletes).collect()
        }
    };
    let mut described = Vec::with_capacity(paths.len());
    for path in paths {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        described.push(format!("{name} {}", describe_file(&path)?));
    }
    Ok(described.join(", "))
}

/// Shards that wait to be read, with their indexes.
#[derive(Debug)]
pub(super) struct ShardQueue<T>(Mutex<VecDeque<T>>);

impl<T> ShardQueue<T> {
    pub(super) fn new(shards: impl IntoIterator<Item = T>) -> Arc<Self> {
        Arc::new(Self(Mutex::new(shards.into_iter().collect())))
    }

    /// Takes the next shard.
    pub(super) fn take(&self) -> Option<T> {
        let mut queue = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        queue.pop_front()
    }
}

/// The part of a scan that one thread does.
#[derive(Debug)]
pub(super) struct ScanThread {
    /// The shards, each with the database that it becomes.
    pub(super) queue: Arc<ShardQueue<(ShardSource, String)>>,
    pub(super) filter: ImportFilter,
    pub(super) temporary: std::path::PathBuf,
    pub(super) world: World,
    pub(super) progress: ProgressBar,
}

impl ScanThread {
    /// Scans shards until none are left, and adds their columns to `scan`.
    pub(super) fn run(self, mut scan: SchemaScan) -> Result<SchemaScan, ImportError> {
        while let Some((source, database)) = self.queue.take() {
            self.progress.set_message(format!("scanning {}", source.name()));
            let shard = OpenShard::open(&source, &self.temporary, &self.world)?;
            let mut reader = ShardReader::open(&shard.files)?;
            while let Some(series) = reader.next_series() {
                let key = series.parse_key();
                let is_wanted = self.filter.includes_measurement(&key.measurement)
                    && series.time_range().is_some_and(|range| range.overlaps(&self.filter.times));
                if is_wanted {
                    let fields =
                        series.fields.into_iter().map(|field| (field.name, field.value_type));
                    scan.add(&database, &key, fields);
                }
            }
        }
        Ok(scan)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn new_deletes_change_a_shard() {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().to_owned();
        std::fs::write(data.join("1-1.tsm"), "x").unwrap();
        let source = ShardSource {
            database: "home".to_owned(),
            bucket: None,
            retention_policy: "autogen".to_owned(),
            shard: "1".to_owned(),
            place: ShardPlace::Folders { wal: data.join("wal"), data: data.clone() },
            bytes: 1,
        };
        let before = describe_files(&source).unwrap();
        std::fs::write(data.join("1-1.tombstone"), "m#!~#v").unwrap();
        assert_ne!(describe_files(&source).unwrap(), before);
    }
}
