//! Finds the objects of a bucket that belong to no database in the root catalog.

use std::collections::{BTreeMap, BTreeSet};

use neap_bucket::{Bucket, CheckPolicy, Key, ListEntry, PurgePolicy};
use neap_schema::DatabaseId;
use ulid::Ulid;

use crate::{
    Finding, FindingKind, FsckError, messages,
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
    /// The registers of the cluster that exist.
    pub(crate) registers: BTreeSet<Key>,
    /// Objects whose headers are verified.
    with_header: Vec<Key>,
    import_files: BTreeSet<Ulid>,
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
        list(bucket, Key::TAIL_PREFIX, |entry| sweep.add_key(&entry, known)).await?;
        Ok(sweep)
    }

    fn add_key(&mut self, entry: &ListEntry, known: &BTreeSet<DatabaseId>) {
        let Ok(key) = entry.key.parse::<Key>() else {
            let message = format!("not a key of Neap, {} bytes: left alone", entry.size_bytes);
            self.aliens.push(Finding::note(FindingKind::AlienKey, message).at(&entry.key));
            return;
        };
        let policy = key.policy();
        let is_purged_with_database =
            matches!(policy.purge, PurgePolicy::WithDatabase | PurgePolicy::DatabaseRegister);
        let database = key.database().filter(|_| is_purged_with_database);
        if let Some(database) = database.filter(|id| !known.contains(id)) {
            let found = self.databases.entry(database).or_default();
            found.objects += 1;
            found.bytes += entry.size_bytes;
        }
        if let Key::ImportFile(job) = key {
            self.import_files.insert(job);
        }
        if key.is_register() && key.database().is_none() {
            self.registers.insert(key.clone());
        }
        if policy.check == CheckPolicy::Header {
            self.with_header.push(key);
        }
    }

    /// Verifies objects as their readers do: those of all kinds that have a header, or only the registers of the cluster.
    /// Objects that are gone by now are no finding.
    pub(crate) async fn verify_headers(
        &self,
        bucket: &Bucket,
        all: bool,
    ) -> Result<Vec<Finding>, FsckError> {
        let mut findings = Vec::new();
        for key in self.with_header.iter().filter(|key| all || self.registers.contains(*key)) {
            let object = fetch(bucket, key, None).await?;
            if let Some(Err(error)) = object.map(|object| key.verify(&object)) {
                findings.push(messages::format_finding(&error));
            }
        }
        Ok(findings)
    }

    /// Returns findings about imported files without a job.
    fn files_without_jobs(&self) -> Vec<Finding> {
        let jobs = self.import_files.iter().map(|job| Key::ImportJob(*job));
        let missing = jobs.filter(|job| !self.registers.contains(job));
        missing
            .map(|job| {
                let message = "it does not exist, but its file does: an upload did not end, or the job is lost; \
                               the file is deleted after a day";
                Finding::note(FindingKind::Missing, message).at(job)
            })
            .collect()
    }

    /// Returns the findings, without databases that are known by now.
    pub(crate) fn findings(self, known: &BTreeSet<DatabaseId>) -> impl Iterator<Item = Finding> {
        let files = self.files_without_jobs();
        let unknown = self.databases.into_iter().filter(|(database, _)| !known.contains(database));
        let findings = unknown.map(|(database, ObjectTotals { objects, bytes })| {
            let message = format!(
                "{objects} objects with {bytes} bytes belong to database {database}, which the root catalog lacks"
            );
            let finding = Finding::warning(FindingKind::UnknownDatabase, message);
            finding.at(format_args!("db/{database}/"))
        });
        self.aliens.into_iter().chain(files).chain(findings.collect::<Vec<_>>())
    }
}
