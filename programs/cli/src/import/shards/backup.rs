//! Backups: manifests and archives of shards.
//!
//! | release | files |
//! |---|---|
//! | 1.5 and later, `influxd backup -portable` | `<time>.manifest`, `<time>.s<shard>.tar.gz` |
//! | 2 | `<time>.manifest`, `<time>.<shard>.tar.gz` |
//! | before 1.5, and without `-portable` | `<database>.<retention policy>.<shard>.<increment>`, a tar archive |
//!
//! A folder may have several backups. Of each shard, the newest one is taken.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use neap_bucket::read_limited_file;
use serde::Deserialize;

use super::{
    folder::entries,
    found_shards::{FoundShards, ShardPlace, ShardSource},
};
use crate::import::ImportError;

/// Maximum size of a manifest in bytes.
const MAX_MANIFEST_BYTES: u64 = 256 << 20;

/// A manifest of InfluxDB 1 or 2.
#[derive(Debug, Deserialize)]
struct Manifest {
    /// InfluxDB 1, and InfluxDB 2.0.
    #[serde(default)]
    files: Option<Vec<FileEntry>>,
    /// InfluxDB 2.1 and later.
    #[serde(default)]
    buckets: Option<Vec<BucketEntry>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct FileEntry {
    #[serde(default)]
    database: String,
    #[serde(default)]
    policy: String,
    #[serde(default)]
    bucket_name: String,
    #[serde(default, rename = "bucketID")]
    bucket_id: String,
    #[serde(rename = "shardID")]
    shard: u64,
    file_name: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct BucketEntry {
    #[serde(default, rename = "bucketID")]
    bucket_id: String,
    bucket_name: String,
    #[serde(default)]
    retention_policies: Vec<PolicyEntry>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct PolicyEntry {
    name: String,
    #[serde(default)]
    shard_groups: Vec<ShardGroupEntry>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ShardGroupEntry {
    #[serde(default)]
    shards: Vec<ShardEntry>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ShardEntry {
    id: u64,
    file_name: String,
}

/// A shard of a manifest, and its file.
type ListedShard = (ShardKey, String);

/// A shard of a backup.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct ShardKey {
    database: String,
    policy: String,
    shard: u64,
    bucket: Option<String>,
}

impl Manifest {
    fn shards(self) -> Vec<ListedShard> {
        let files = self.files.unwrap_or_default().into_iter().map(|file| {
            let is_bucket = file.database.is_empty();
            let (database, policy) = if is_bucket {
                (file.bucket_name, "autogen".to_owned())
            } else {
                (file.database, file.policy)
            };
            let key = ShardKey {
                database,
                policy,
                shard: file.shard,
                bucket: some_id(file.bucket_id),
            };
            (key, file.file_name)
        });
        let mut shards: Vec<ListedShard> = files.collect();
        for bucket in self.buckets.unwrap_or_default() {
            for policy in bucket.retention_policies {
                let groups = policy.shard_groups.into_iter();
                let listed = groups.flat_map(|group| group.shards).map(|shard| {
                    let key = ShardKey {
                        database: bucket.bucket_name.clone(),
                        policy: policy.name.clone(),
                        shard: shard.id,
                        bucket: some_id(bucket.bucket_id.clone()),
                    };
                    (key, shard.file_name)
                });
                shards.extend(listed);
            }
        }
        shards
    }
}

fn some_id(id: String) -> Option<String> {
    Some(id).filter(|id| !id.is_empty())
}

/// Finds the shards of a backup; none if the folder is no backup.
pub(super) fn find_shards(folder: &Path) -> Result<FoundShards, ImportError> {
    let mut manifests: Vec<PathBuf> = Vec::new();
    let mut archives: Vec<PathBuf> = Vec::new();
    for entry in entries(folder)? {
        let path = entry.path();
        match path.extension() {
            Some(extension) if extension == "manifest" => manifests.push(path),
            _ if path.is_file() => archives.push(path),
            _ => {}
        }
    }
    if manifests.is_empty() {
        find_archives(archives)
    } else {
        read_manifests(folder, manifests)
    }
}

/// Lists the newest archive of each shard. The names of manifests start with their time.
fn read_manifests(folder: &Path, mut manifests: Vec<PathBuf>) -> Result<FoundShards, ImportError> {
    manifests.sort();
    let (mut shards, mut missing) = (BTreeMap::new(), BTreeMap::new());
    for path in manifests {
        let text = read_limited_file(&path, MAX_MANIFEST_BYTES)
            .map_err(|error| ImportError::io(&path, error))?;
        let manifest: Manifest =
            serde_json::from_slice(&text).map_err(|error| ImportError::invalid(&path, error))?;
        for (key, file) in manifest.shards() {
            // A name with a path could leave the folder.
            let Some(name) = Path::new(&file).file_name() else {
                continue;
            };
            let archive = folder.join(name);
            if archive.is_file() {
                missing.remove(&key);
                shards.insert(key, vec![archive]);
            } else {
                let text = format!(
                    "{} lists {}, which is not there: rows of {}/{} are missing",
                    path.display(),
                    name.display(),
                    key.database,
                    key.policy
                );
                missing.insert(key, text);
            }
        }
    }
    found_shards(shards, missing.into_values().collect())
}

/// Lists the archives of a backup without a manifest.
fn find_archives(mut archives: Vec<PathBuf>) -> Result<FoundShards, ImportError> {
    archives.sort();
    let mut shards: BTreeMap<_, Vec<PathBuf>> = BTreeMap::new();
    for path in archives {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if let Some(key) = parse_archive_name(&name) {
            shards.entry(key).or_default().push(path);
        }
    }
    found_shards(shards, Vec::new())
}

fn found_shards(
    shards: BTreeMap<ShardKey, Vec<PathBuf>>,
    missing: Vec<String>,
) -> Result<FoundShards, ImportError> {
    let shards = shards.into_iter().map(|(key, archives)| shard_source(key, archives));
    Ok(FoundShards { shards: shards.collect::<Result<_, _>>()?, missing })
}

/// Parses `home.autogen.00002.00`. The names of databases may contain dots.
fn parse_archive_name(name: &str) -> Option<ShardKey> {
    let mut parts = name.rsplitn(4, '.');
    let _increment: u32 = parts.next()?.parse().ok()?;
    let shard = parts.next()?;
    let number = (shard.len() >= 5).then(|| shard.parse().ok()).flatten()?;
    let policy = parts.next()?.to_owned();
    Some(ShardKey {
        database: parts.next()?.to_owned(),
        policy,
        shard: number,
        bucket: None,
    })
}

fn shard_source(key: ShardKey, archives: Vec<PathBuf>) -> Result<ShardSource, ImportError> {
    let mut bytes = 0u64;
    for path in &archives {
        let metadata = fs::metadata(path).map_err(|error| ImportError::io(path, error))?;
        bytes = bytes.saturating_add(metadata.len());
    }
    Ok(ShardSource {
        database: key.database,
        bucket: key.bucket,
        retention_policy: key.policy,
        shard: key.shard.to_string(),
        place: ShardPlace::Archives(archives),
        bytes,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find(files: &[(&str, &str)]) -> Vec<String> {
        let (shards, missing) = find_with_missing(files);
        assert_eq!(missing, 0);
        shards
    }

    fn find_with_missing(files: &[(&str, &str)]) -> (Vec<String>, usize) {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            fs::write(folder.path().join(name), text).unwrap();
        }
        let found = find_shards(folder.path()).unwrap();
        let describe = |source: &ShardSource| {
            let ShardPlace::Archives(archives) = &source.place else {
                panic!("archives");
            };
            let names = archives.iter().map(|path| path.file_name().unwrap());
            format!("{} {:?}", source.name(), names.collect::<Vec<_>>())
        };
        let shards = found.shards.iter().map(describe).collect();
        (shards, found.missing.len())
    }

    #[test]
    fn the_newest_archive_of_each_shard_of_influxdb_1_is_taken_and_missing_ones_are_reported() {
        let manifest = |time: &str, shards: &[u64]| {
            let files: Vec<String> = shards
                .iter()
                .map(|shard| {
                    format!(
                        r#"{{"database":"home","policy":"autogen","shardID":{shard},"fileName":"{time}.s{shard}.tar.gz","size":1,"lastModified":0}}"#
                    )
                })
                .collect();
            format!(r#"{{"meta":{{"fileName":"{time}.meta"}},"files":[{}]}}"#, files.join(","))
        };
        let (first, second) =
            (manifest("20260101T000000Z", &[1, 2, 3]), manifest("20260102T000000Z", &[2]));
        let (shards, missing) = find_with_missing(&[
            ("20260101T000000Z.manifest", &first),
            ("20260101T000000Z.s1.tar.gz", ""),
            ("20260102T000000Z.manifest", &second),
            ("20260102T000000Z.s2.tar.gz", ""),
        ]);
        assert_eq!(
            shards,
            [
                r#"home/autogen/1 ["20260101T000000Z.s1.tar.gz"]"#,
                r#"home/autogen/2 ["20260102T000000Z.s2.tar.gz"]"#,
            ]
        );
        assert_eq!(missing, 1, "shard 3");
    }

    #[test]
    fn buckets_of_influxdb_2_have_names() {
        let manifest = r#"{"manifestVersion":2,"kv":{"fileName":"x.bolt.gz"},"buckets":[{"bucketID":"00","bucketName":"telegraf/weekly",
            "retentionPolicies":[{"name":"autogen","shardGroups":[{"id":1,"shards":[{"id":12,"shardOwners":[],"fileName":"a.12.tar.gz"}]}]}]}]}"#;
        assert_eq!(
            find(&[("a.manifest", manifest), ("a.12.tar.gz", "")]),
            [r#"telegraf/weekly/autogen/12 ["a.12.tar.gz"]"#]
        );
        let manifest = r#"{"kv":{"fileName":"x.bolt"},"files":[{"bucketID":"00","bucketName":"b","shardID":1,"fileName":"a.1.tar.gz"}]}"#;
        assert_eq!(
            find(&[("a.manifest", manifest), ("a.1.tar.gz", "")]),
            [r#"b/autogen/1 ["a.1.tar.gz"]"#]
        );
    }

    #[test]
    fn archives_without_a_manifest_are_named_by_their_shard() {
        assert_eq!(
            find(&[
                ("my.db.autogen.00002.00", ""),
                ("my.db.autogen.00002.01", ""),
                ("meta.00", ""),
                ("notes.txt", ""),
            ]),
            [r#"my.db/autogen/2 ["my.db.autogen.00002.00", "my.db.autogen.00002.01"]"#]
        );
    }
}
