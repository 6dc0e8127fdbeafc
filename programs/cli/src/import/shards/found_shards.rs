//! The shards of a source.

use std::path::PathBuf;

/// A shard of a source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShardSource {
    /// The database, or the name of the bucket.
    pub database: String,
    /// The ID of the bucket, if it is one of InfluxDB 2.
    pub bucket: Option<String>,
    /// The retention policy.
    pub retention_policy: String,
    /// The number of the shard.
    pub shard: String,
    /// Where its files are.
    pub place: ShardPlace,
    /// Size of its files in bytes.
    pub bytes: u64,
}

/// The files of a shard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ShardPlace {
    /// Folders of TSM files and of the write-ahead log.
    Folders {
        /// The folder of TSM files.
        data: PathBuf,
        /// The folder of the write-ahead log.
        wal: PathBuf,
    },
    /// Archives, of which later ones replace files of earlier ones.
    Archives(Vec<PathBuf>),
}

impl ShardSource {
    /// Returns the name of the shard in messages and in the state of an import.
    pub fn name(&self) -> String {
        let Self {
            database,
            retention_policy,
            shard,
            ..
        } = self;
        format!("{database}/{retention_policy}/{shard}")
    }
}

/// The shards of a source.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FoundShards {
    /// The shards in the order of their names.
    pub shards: Vec<ShardSource>,
    /// Parts of the source that are not there, for messages.
    pub missing: Vec<String>,
}
