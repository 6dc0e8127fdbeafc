//! Finds the shards in a folder.
//!
//! ```text
//! InfluxDB 1   data/<database>/<retention policy>/<shard>/*.tsm      wal/<database>/<retention policy>/<shard>/*.wal
//! InfluxDB 2   engine/data/<bucket>/autogen/<shard>/*.tsm            engine/wal/<bucket>/autogen/<shard>/*.wal
//!              influxd.bolt: the names of the buckets
//! backup       *.manifest, *.tar.gz; or <database>.<retention policy>.<shard>.<increment> of InfluxDB before 1.5
//! ```

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use super::{
    backup, bolt,
    folder::entries,
    found_shards::{FoundShards, ShardPlace, ShardSource},
};
use crate::import::ImportError;

/// The folder of the series index of a database, beside those of its retention policies.
const SERIES_FOLDER: &str = "_series";

/// Finds the shards in the folder of a server, in its data folder, or in a backup. `wal` is the folder of the write-ahead
/// log, if it is not beside that of the data.
///
/// # Errors
///
/// A folder cannot be read, or there are no shards.
pub(crate) fn find_shards(folder: &Path, wal: Option<&Path>) -> Result<FoundShards, ImportError> {
    if let Some(wal) = wal.filter(|wal| !wal.is_dir()) {
        let error = std::io::ErrorKind::NotADirectory.into();
        return Err(ImportError::io(wal, error));
    }
    let mut found = backup::find_shards(folder)?;
    if found.shards.is_empty() && found.missing.is_empty() {
        found = find_in_data_folder(folder, wal)?;
    }
    if found.shards.is_empty() {
        return Err(ImportError::NoData(folder.display().to_string()));
    }
    found.shards.sort_by_key(|source| {
        let number: u64 = source.shard.parse().unwrap_or(u64::MAX);
        let (database, policy) = (&source.database, &source.retention_policy);
        (database.clone(), policy.clone(), number)
    });
    Ok(found)
}

fn find_in_data_folder(folder: &Path, wal: Option<&Path>) -> Result<FoundShards, ImportError> {
    let parent = folder.parent().unwrap_or(folder);
    let candidates = [
        (folder.join("data"), folder.join("wal")),
        (folder.join("engine/data"), folder.join("engine/wal")),
        (folder.to_owned(), parent.join("wal")),
    ];
    let Some((data, beside)) = candidates.into_iter().find(|(data, _)| data.is_dir()) else {
        return Ok(FoundShards::default());
    };
    let wal = wal.map_or(beside, Path::to_owned);
    let mut missing = Vec::new();
    if !wal.is_dir() {
        missing.push(format!(
            "there is no folder {}, so that the newest rows are missing: name the folder of the write-ahead log with --wal-dir",
            wal.display()
        ));
    }
    let names = bucket_names(folder)?;
    let mut shards = Vec::new();
    for database in folders(&data, &wal)? {
        let name = names.get(&database).unwrap_or(&database);
        let bucket = is_bucket_id(&database).then(|| database.clone());
        let (data, wal) = (data.join(&database), wal.join(&database));
        for policy in folders(&data, &wal)? {
            if policy == SERIES_FOLDER {
                continue;
            }
            let (data, wal) = (data.join(&policy), wal.join(&policy));
            for shard in folders(&data, &wal)? {
                // Folders of indexes are no shards.
                if !shard.bytes().all(|byte| byte.is_ascii_digit()) {
                    continue;
                }
                let (data, wal) = (data.join(&shard), wal.join(&shard));
                shards.push(ShardSource {
                    database: name.clone(),
                    bucket: bucket.clone(),
                    retention_policy: policy.clone(),
                    shard,
                    bytes: folder_bytes(&data)? + folder_bytes(&wal)?,
                    place: ShardPlace::Folders { data, wal },
                });
            }
        }
    }
    Ok(FoundShards { shards, missing })
}

/// Returns whether the name of a folder is the ID of a bucket.
fn is_bucket_id(name: &str) -> bool {
    name.len() == 16 && name.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// Returns the names of buckets by their IDs, if a database file of InfluxDB 2 is near.
fn bucket_names(folder: &Path) -> Result<BTreeMap<String, String>, ImportError> {
    let near = folder.ancestors().take(3);
    let path = near.map(|folder| folder.join("influxd.bolt")).find(|path| path.is_file());
    match path {
        Some(path) => bolt::bucket_names(&path),
        None => Ok(BTreeMap::new()),
    }
}

/// Lists the folders in two folders, which may be absent.
fn folders(data: &Path, wal: &Path) -> Result<BTreeSet<String>, ImportError> {
    let mut names = BTreeSet::new();
    for folder in [data, wal] {
        for entry in entries(folder)? {
            if entry.path().is_dir() {
                names.insert(entry.file_name().to_string_lossy().into_owned());
            }
        }
    }
    Ok(names)
}

/// Returns the size of the files in a folder in bytes.
fn folder_bytes(folder: &Path) -> Result<u64, ImportError> {
    let mut bytes = 0u64;
    for entry in entries(folder)? {
        let metadata = entry.metadata().map_err(|error| ImportError::io(&entry.path(), error))?;
        bytes = bytes.saturating_add(metadata.len());
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn find(files: &[&str], folder: &str) -> Result<Vec<String>, String> {
        let found = find_with_missing(files, folder, None)?;
        Ok(found.0)
    }

    fn find_with_missing(
        files: &[&str],
        folder: &str,
        wal: Option<&str>,
    ) -> Result<(Vec<String>, usize), String> {
        let root = tempfile::tempdir().unwrap();
        for file in files {
            let path = root.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "12345").unwrap();
        }
        let wal = wal.map(|wal| root.path().join(wal));
        let found = find_shards(&root.path().join(folder), wal.as_deref()).map_err(|error| {
            let root = format!("{}/", root.path().display());
            error.to_string().replace(&root, "")
        })?;
        let describe = |source: &ShardSource| format!("{} {}", source.name(), source.bytes);
        let shards = found.shards.iter().map(describe).collect();
        Ok((shards, found.missing.len()))
    }

    const FILES: [&str; 5] = [
        "influx/data/home/autogen/10/000000001-000000001.tsm",
        "influx/data/home/autogen/2/000000001-000000001.tsm",
        "influx/data/home/_series/00/0000",
        "influx/wal/home/autogen/2/_00001.wal",
        "influx/wal/home/weekly/7/_00001.wal",
    ];

    #[test]
    fn shards_have_data_or_a_log() {
        let expected = ["home/autogen/2 10", "home/autogen/10 5", "home/weekly/7 5"];
        assert_eq!(find(&FILES, "influx").unwrap(), expected);
        assert_eq!(find(&FILES, "influx/data").unwrap(), expected);
    }

    #[test]
    fn a_log_on_another_disk_is_named_or_reported() {
        let files = [
            "influx/data/home/autogen/2/000000001-000000001.tsm",
            "disk/home/autogen/2/_00001.wal",
        ];
        let expected = |bytes: u64| vec![format!("home/autogen/2 {bytes}")];
        let found = find_with_missing(&files, "influx", None).unwrap();
        assert_eq!(found, (expected(5), 1));
        let found = find_with_missing(&files, "influx", Some("disk")).unwrap();
        assert_eq!(found, (expected(10), 0));
        assert!(find_with_missing(&files, "influx", Some("none")).is_err());
    }

    #[test]
    fn the_engine_folder_of_influxdb_2_is_found() {
        let files = ["v2/engine/data/0123456789abcdef/autogen/1/1-1.tsm"];
        let expected = ["0123456789abcdef/autogen/1 5"];
        for folder in ["v2", "v2/engine", "v2/engine/data"] {
            assert_eq!(find(&files, folder).unwrap(), expected);
        }
    }

    #[test]
    fn a_folder_without_data_is_an_error() {
        insta::assert_snapshot!(find(&["empty/x"], "empty").unwrap_err(), @"empty has no data of InfluxDB: name the folder that contains 'data' or 'engine', or a backup with its manifest");
    }
}
