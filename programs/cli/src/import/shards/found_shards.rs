//! The shards of a source.

use std::path::PathBuf;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ShardSource {
    /// The database, or the name of the bucket.
    pub(crate) database: String,
    /// The ID of the bucket, if it is one of InfluxDB 2.
    pub(crate) bucket: Option<String>,
    pub(crate) retention_policy: String,
    /// The number of the shard.
    pub(crate) shard: String,
    /// Where its files are.
    pub(crate) place: ShardPlace,
    /// Size of its files in bytes.
    pub(crate) bytes: u64,
}

/// The files of a shard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ShardPlace {
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
    pub(crate) fn name(&self) -> String {
        let Self { database, retention_policy, shard, .. } = self;
        format!("{database}/{retention_policy}/{shard}")
    }
}

/// The shards of a source.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct FoundShards {
    /// The shards in the order of their names.
    pub(crate) shards: Vec<ShardSource>,
    /// Parts of the source that are not there, for messages.
    pub(crate) missing: Vec<String>,
}
