//! What is in a bucket and belongs to no database that the root catalog has.

use std::collections::{BTreeMap, BTreeSet};

use neap_bucket::{Bucket, Key, ListEntry};
use neap_schema::DatabaseId;

use crate::{Finding, FindingKind, FsckError, store::list};

/// Objects of a database that may be unknown.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Found {
    pub(crate) objects: u64,
    pub(crate) bytes: u64,
}

/// What a look at all keys gives.
#[derive(Debug, Default)]
pub(crate) struct Sweep {
    /// Keys that are none of Neap's.
    pub(crate) aliens: Vec<Finding>,
    /// The databases that have objects, and how many.
    pub(crate) databases: BTreeMap<DatabaseId, Found>,
}

impl Sweep {
    /// Looks at all keys of a bucket, but keeps nothing of databases that are known.
    pub(crate) async fn of(
        bucket: &Bucket,
        known: &BTreeSet<DatabaseId>,
    ) -> Result<Self, FsckError> {
        let mut sweep = Self::default();
        // The tail may be in a store of its own.
        list(bucket, "", |entry| {
            if !entry.key.starts_with(Key::TAIL_PREFIX) {
                sweep.see(&entry, known);
            }
        })
        .await?;
        list(bucket, Key::TAIL_PREFIX, |entry| sweep.see(&entry, known)).await?;
        Ok(sweep)
    }

    fn see(&mut self, entry: &ListEntry, known: &BTreeSet<DatabaseId>) {
        let Ok(key) = entry.key.parse::<Key>() else {
            let message = format!(
                "none of Neap's keys, {} bytes: left alone",
                entry.size_bytes
            );
            self.aliens
                .push(Finding::note(FindingKind::AlienKey, message).at(&entry.key));
            return;
        };
        if let Some(database) = database_of(&key).filter(|id| !known.contains(id)) {
            let found = self.databases.entry(database).or_default();
            found.objects += 1;
            found.bytes += entry.size_bytes;
        }
    }

    /// What is to be told, when these databases are known by now.
    pub(crate) fn findings(self, known: &BTreeSet<DatabaseId>) -> impl Iterator<Item = Finding> {
        let unknown = self.databases.into_iter();
        let unknown = unknown.filter(|(database, _)| !known.contains(database));
        let unknown = unknown.map(|(database, Found { objects, bytes })| {
            let message = format!(
                "{objects} objects with {bytes} bytes belong to database {database}, which the root catalog lacks"
            );
            let finding = Finding::warning(FindingKind::UnknownDatabase, message);
            finding.at(format_args!("db/{database}/"))
        });
        self.aliens.into_iter().chain(unknown.collect::<Vec<_>>())
    }
}

fn database_of(key: &Key) -> Option<DatabaseId> {
    match key {
        Key::DatabaseCatalog(database)
        | Key::Manifest(database)
        | Key::Segment(database, _)
        | Key::Parquet(database, _)
        | Key::Bundle(database, _)
        | Key::Page(database, _)
        | Key::Cache(database, ..)
        | Key::Checkpoint(database, _)
        | Key::Tick(database, ..)
        | Key::EngineLog(database, _) => Some(*database),
        Key::RootCatalog
        | Key::PluginCode(_)
        | Key::QueryResult(..)
        | Key::Node(_)
        | Key::Probe(..) => None,
    }
}
