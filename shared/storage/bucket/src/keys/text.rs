//! The text of keys.

use std::{fmt, str::FromStr};

use ulid::Ulid;

use super::{Key, SegmentName};
use crate::Stamp;

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::RootCatalog => f.write_str("catalog"),
            Self::RowDeletes => f.write_str("row_deletes"),
            Self::ImportJob(ulid) => write!(f, "{}{ulid}/job", Self::IMPORTS_PREFIX),
            Self::ImportFile(ulid) => write!(f, "{}{ulid}/file.parquet", Self::IMPORTS_PREFIX),
            Self::DatabaseCatalog(database) => write!(f, "db/{database}/catalog"),
            Self::Manifest(database) => write!(f, "db/{database}/manifest"),
            Self::Documents(database) => write!(f, "db/{database}/documents"),
            Self::ViewProgress(database) => write!(f, "db/{database}/views"),
            Self::RuleProgress(database) => write!(f, "db/{database}/rules"),
            Self::SiteProgress(database) => write!(f, "db/{database}/sites"),
            Self::Segment(database, name) => write!(
                f,
                "tail/{database}/{:0width$}-{:016x}.wal",
                name.stamp.as_u64(),
                name.nonce,
                width = Stamp::DIGITS,
            ),
            Self::Parquet(database, ulid) => write!(f, "data/{database}/{ulid}.parquet"),
            Self::Bundle(database, ulid) => write!(f, "data/{database}/{ulid}.bundle"),
            Self::Page(database, ulid) => write!(f, "data/{database}/{ulid}.page"),
            Self::Cache(database, cache, ulid) => write!(f, "cache/{database}/{cache}/{ulid}"),
            Self::Checkpoint(database, trigger) => {
                write!(f, "engine/{database}/{trigger}/checkpoint")
            }
            Self::Tick(database, trigger, millis) => {
                let prefix = Self::tick_prefix(*database, *trigger);
                write!(f, "{prefix}{millis:012}")
            }
            Self::EngineLog(database, ulid) => write!(f, "engine/{database}/log/{ulid}"),
            Self::PluginCode(hash) => write!(f, "{}{hash}", Self::PLUGINS_PREFIX),
            Self::QueryResult(ulid, extension) => write!(f, "results/{ulid}.{extension}"),
            Self::TaskResult(query, ulid) => write!(f, "results/{query}/{ulid}"),
            Self::Export(database, name) => write!(f, "exports/{database}/{name}"),
            Self::Published(database, table, name) => {
                let table = Self::published_table(*database, *table);
                write!(f, "{table}/metadata/{name}")
            }
            Self::Console(file) => write!(f, "console/{file}"),
            Self::Node(ulid) => write!(f, "{}{ulid}", Self::NODES_PREFIX),
            Self::Backups => write!(f, "{}register", Self::BACKUPS_PREFIX),
            Self::BackupManifest(ulid) => write!(f, "{}manifest", Self::backup_prefix(*ulid)),
            Self::BackupProgress(backup, part) => {
                write!(f, "{}{part}", Self::backup_progress_prefix(*backup))
            }
            Self::Probe(run, name) => write!(f, "probe/{run:016x}/{name}"),
        }
    }
}

/// Error for text that is not a key of Neap.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is not a key of this database")]
pub struct KeyError(String);

impl FromStr for Key {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        // Accept only the canonical form. Text that parses but is formatted differently is not a key of Neap.
        parse(text)
            .filter(|key| key.to_string() == text)
            .ok_or_else(|| KeyError(text.to_owned()))
    }
}

fn parse(text: &str) -> Option<Key> {
    match text {
        "catalog" => return Some(Key::RootCatalog),
        "row_deletes" => return Some(Key::RowDeletes),
        _ => {}
    }
    let (kind, rest) = text.split_once('/')?;
    let (first, last) = rest.split_once('/').unwrap_or((rest, ""));
    match kind {
        "db" => match last {
            "catalog" => Some(Key::DatabaseCatalog(first.parse().ok()?)),
            "manifest" => Some(Key::Manifest(first.parse().ok()?)),
            "documents" => Some(Key::Documents(first.parse().ok()?)),
            "views" => Some(Key::ViewProgress(first.parse().ok()?)),
            "rules" => Some(Key::RuleProgress(first.parse().ok()?)),
            "sites" => Some(Key::SiteProgress(first.parse().ok()?)),
            _ => None,
        },
        "tail" => {
            let (stamp, nonce) = last.strip_suffix(".wal")?.split_once('-')?;
            let nonce = u64::from_str_radix(nonce, 16).ok()?;
            let name = SegmentName { stamp: stamp.parse().ok()?, nonce };
            Some(Key::Segment(first.parse().ok()?, name))
        }
        "data" => {
            let database = first.parse().ok()?;
            let (ulid, extension) = last.split_once('.')?;
            let ulid = Ulid::from_string(ulid).ok()?;
            match extension {
                "parquet" => Some(Key::Parquet(database, ulid)),
                "bundle" => Some(Key::Bundle(database, ulid)),
                "page" => Some(Key::Page(database, ulid)),
                _ => None,
            }
        }
        "cache" => {
            let (cache, ulid) = last.split_once('/')?;
            let ulid = Ulid::from_string(ulid).ok()?;
            Some(Key::Cache(first.parse().ok()?, cache.parse().ok()?, ulid))
        }
        "engine" => {
            let database = first.parse().ok()?;
            match last.split_once('/')? {
                ("log", ulid) => Some(Key::EngineLog(database, Ulid::from_string(ulid).ok()?)),
                (trigger, "checkpoint") => Some(Key::Checkpoint(database, trigger.parse().ok()?)),
                (trigger, rest) => {
                    let millis = rest.strip_prefix("tick/")?.parse().ok()?;
                    Some(Key::Tick(database, trigger.parse().ok()?, millis))
                }
            }
        }
        "plugins" => Some(Key::PluginCode(rest.parse().ok()?)),
        "results" if last.is_empty() => {
            let (ulid, extension) = rest.split_once('.')?;
            Some(Key::QueryResult(Ulid::from_string(ulid).ok()?, extension.to_owned()))
        }
        "results" => {
            Some(Key::TaskResult(Ulid::from_string(first).ok()?, Ulid::from_string(last).ok()?))
        }
        "exports" => Some(Key::Export(first.parse().ok()?, last.parse().ok()?)),
        "published" => {
            let (database, rest) = rest.strip_prefix("iceberg/")?.split_once('/')?;
            let (table, name) = rest.split_once("/metadata/")?;
            let (database, table) = (database.parse().ok()?, table.parse().ok()?);
            Some(Key::Published(database, table, name.parse().ok()?))
        }
        "imports" => {
            let ulid = Ulid::from_string(first).ok()?;
            match last {
                "job" => Some(Key::ImportJob(ulid)),
                "file.parquet" => Some(Key::ImportFile(ulid)),
                _ => None,
            }
        }
        "console" => Some(Key::Console(rest.parse().ok()?)),
        "nodes" => Some(Key::Node(Ulid::from_string(rest).ok()?)),
        "backups" if rest == "register" => Some(Key::Backups),
        "backups" if last == "manifest" => {
            Some(Key::BackupManifest(Ulid::from_string(first).ok()?))
        }
        "backups" => Some(Key::BackupProgress(
            Ulid::from_string(first).ok()?,
            Ulid::from_string(last.strip_prefix("progress/")?).ok()?,
        )),
        "probe" => Some(Key::Probe(u64::from_str_radix(first, 16).ok()?, last.to_owned())),
        _ => None,
    }
}
