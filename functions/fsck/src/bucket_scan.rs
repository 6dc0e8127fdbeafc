//! Finds the objects of a bucket that belong to no database in the root catalog.

use std::collections::{BTreeMap, BTreeSet};

use neap_bucket::{Bucket, CheckPolicy, Key, ListEntry, PurgePolicy, verify_checksum};
use neap_schema::DatabaseId;

use crate::{
    Finding, FindingKind, FsckError,
    store::{fetch, list},
};

/// The number and bytes of the objects of a database that may be unknown.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct ObjectTotals {
    pub(crate) objects: u64,
    pub(crate) bytes: u64,
}

/// The result of a scan of all keys in a bucket.
#[derive(Debug, Default)]
pub(crate) struct BucketScan {
    /// Findings about keys that do not belong to Neap.
    pub(crate) aliens: Vec<Finding>,
    /// The scanned databases, with the number and bytes of their objects.
    pub(crate) databases: BTreeMap<DatabaseId, ObjectTotals>,
    /// Objects that are compared with the checksums in their headers.
    checksummed: Vec<Key>,
}

impl BucketScan {
    /// Scans all keys of a bucket. Skips the objects of known databases.
    pub(crate) async fn read(
        bucket: &Bucket,
        known: &BTreeSet<DatabaseId>,
    ) -> Result<Self, FsckError> {
        let mut sweep = Self::default();
        // The tail may be in a separate store.
        list(bucket, "", |entry| {
            if !entry.key.starts_with(Key::TAIL_PREFIX) {
                sweep.add_key(&entry, known);
            }
        })
        .await?;
        list(bucket, Key::TAIL_PREFIX, |entry| {
            sweep.add_key(&entry, known)
        })
        .await?;
        Ok(sweep)
    }

    fn add_key(&mut self, entry: &ListEntry, known: &BTreeSet<DatabaseId>) {
        let Ok(key) = entry.key.parse::<Key>() else {
            let message = format!("not a key of Neap, {} bytes: left alone", entry.size_bytes);
            self.aliens.push(Finding::note(FindingKind::AlienKey, message).at(&entry.key));
            return;
        };
        let policy = key.policy();
        let is_purged_with_database = matches!(
            policy.purge,
            PurgePolicy::WithDatabase | PurgePolicy::DatabaseRegister
        );
        let database = key.database().filter(|_| is_purged_with_database);
        if let Some(database) = database.filter(|id| !known.contains(id)) {
            let found = self.databases.entry(database).or_default();
            found.objects += 1;
            found.bytes += entry.size_bytes;
        }
        if policy.check == CheckPolicy::Checksum {
            self.checksummed.push(key);
        }
    }

    /// Compares objects with the checksums in their headers. Objects that are gone by now are no finding.
    pub(crate) async fn verify_checksums(
        &self,
        bucket: &Bucket,
    ) -> Result<Vec<Finding>, FsckError> {
        let mut findings = Vec::new();
        for key in &self.checksummed {
            let object = fetch(bucket, key, None).await?;
            if let Some(Err(reason)) = object.as_deref().map(verify_checksum) {
                findings.push(Finding::error(FindingKind::Damaged, reason).at(key));
            }
        }
        Ok(findings)
    }

    /// Returns the findings, without databases that are known by now.
    pub(crate) fn findings(self, known: &BTreeSet<DatabaseId>) -> impl Iterator<Item = Finding> {
        let unknown = self.databases.into_iter().filter(|(database, _)| !known.contains(database));
        let findings = unknown.map(|(database, ObjectTotals { objects, bytes })| {
            let message = format!(
                "{objects} objects with {bytes} bytes belong to database {database}, which the root catalog lacks"
            );
            let finding = Finding::warning(FindingKind::UnknownDatabase, message);
            finding.at(format_args!("db/{database}/"))
        });
        self.aliens.into_iter().chain(findings.collect::<Vec<_>>())
    }
}
