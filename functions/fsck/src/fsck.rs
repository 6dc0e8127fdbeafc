//! The check of a bucket.

use std::collections::BTreeSet;

use neap_bucket::{
    Bucket, Key, ProtocolMargins, ProtocolRules, RECENT_PUT_IDS, Register, RegisterError,
    VersionedValue,
};
use neap_catalog::{Catalog, PurgeState, RootCatalog};
use neap_manifest::{ManifestSettings, ManifestStore};
use neap_schema::DatabaseId;

use crate::{
    Finding, FindingKind, FsckError, FsckReport, bucket_scan::BucketScan, cluster_registers,
    messages, plugin_code, repair::accept_losses,
};

/// Options of a check.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FsckOptions {
    /// Also read every row, in addition to registers, pages, the tail and listings.
    pub full: bool,
    /// Check only the database with this name, which may be the name of a dropped database.
    pub database: Option<String>,
    /// Correct statistics and condemn unreferenced objects.
    pub repair: bool,
}

/// The progress of the full check of a database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FsckProgress<'a> {
    /// The name of the database.
    pub database: &'a str,
    /// Bytes read so far.
    pub done_bytes: u64,
    /// Total bytes to read.
    pub total_bytes: u64,
}

/// Checks a bucket.
#[derive(Clone, Debug)]
pub struct Fsck {
    pub(crate) bucket: Bucket,
    pub(crate) manifests: ManifestStore,
}

/// A database to check.
#[derive(Debug)]
pub(crate) struct DatabaseTarget<'a> {
    pub(crate) fsck: &'a Fsck,
    pub(crate) id: DatabaseId,
    pub(crate) name: &'a str,
    /// Whether it is a copy that only its job changes, see [`RootCatalog::is_hidden_copy`].
    pub(crate) is_hidden_copy: bool,
    pub(crate) full: bool,
}

/// A database in the root catalog.
pub(crate) struct DatabaseInfo {
    pub(crate) id: DatabaseId,
    pub(crate) name: String,
    /// Whether it may have data.
    pub(crate) has_data: bool,
    /// Whether it is a copy that only its job changes.
    pub(crate) is_hidden_copy: bool,
}

impl Fsck {
    /// Creates a check of a bucket, which may be in use.
    pub fn new(bucket: Bucket) -> Self {
        // The content of manifests does not depend on the margins.
        let rules = ProtocolRules::new(ProtocolMargins::NETWORK);
        let manifests = ManifestStore::new(bucket.clone(), &rules, ManifestSettings::default());
        Self { bucket, manifests }
    }

    /// Runs a check. Calls `progress` as rows are read.
    ///
    /// # Errors
    /// `Store` when the store does not answer, and `DatabaseNotFound`. Damage is not an error but a finding in the report.
    pub async fn check(
        &self,
        options: &FsckOptions,
        progress: &(dyn Fn(FsckProgress<'_>) + Sync),
    ) -> Result<FsckReport, FsckError> {
        let mut report = FsckReport::new(options.full);
        let root = self.root().await?;
        let (entries, sweep) = match &root {
            Ok(root) => {
                let entries = entries(&root.value);
                let known: BTreeSet<_> = entries.iter().map(|entry| entry.id).collect();
                let sweep = match options.database {
                    None => Some(BucketScan::read(&self.bucket, &known).await?),
                    Some(_) => None,
                };
                if let Some(sweep) = &sweep {
                    let (findings, expendable) = cluster_registers::missing_registers(root, sweep);
                    findings.into_iter().for_each(|finding| report.add(finding));
                    if options.repair {
                        report.repaired = accept_losses(&self.catalog(), &expendable).await?;
                    }
                }
                (entries, sweep)
            }
            // A later release may need what this one takes for unreferenced or wrong.
            Err(finding) if options.repair && finding.kind == FindingKind::Newer => {
                return Err(FsckError::Aborted(finding.to_string()));
            }
            Err(finding) => {
                report.add(finding.clone());
                let sweep = BucketScan::read(&self.bucket, &BTreeSet::new()).await?;
                let entries = sweep.databases.keys().map(|id| DatabaseInfo {
                    id: *id,
                    name: format!("database {id}"),
                    has_data: true,
                    is_hidden_copy: false,
                });
                (entries.collect(), Some(sweep))
            }
        };
        let chosen = select_databases(&entries, options.database.as_deref())?;
        for entry in chosen {
            self.check_database(entry, options, progress, &mut report).await?;
        }
        if let (Ok(root), None) = (&root, &options.database) {
            for (name, plugin) in root.value.plugins() {
                let user = format!("plugin {name:?}");
                let finding = plugin_code::check(&self.bucket, plugin.code, &user).await?;
                finding.into_iter().for_each(|finding| report.add(finding));
            }
        }
        if let Some(sweep) = sweep {
            for finding in sweep.verify_headers(&self.bucket, options.full).await? {
                // The users of the object may have been reported with it.
                if !report.findings.iter().any(|known| known.key == finding.key) {
                    report.add(finding);
                }
            }
            let now = match root {
                Ok(_) => self.root().await?.ok(),
                Err(_) => None,
            };
            // Includes databases created in the meantime. With a damaged root catalog, no database counts as unknown.
            let known: BTreeSet<_> = match now {
                Some(now) => now.value.databases().keys().copied().collect(),
                None => sweep.databases.keys().copied().collect(),
            };
            sweep.findings(&known).for_each(|finding| report.add(finding));
        }
        report.sort();
        Ok(report)
    }

    async fn check_database(
        &self,
        entry: &DatabaseInfo,
        options: &FsckOptions,
        progress: &(dyn Fn(FsckProgress<'_>) + Sync),
        report: &mut FsckReport,
    ) -> Result<(), FsckError> {
        let target = DatabaseTarget {
            fsck: self,
            id: entry.id,
            name: &entry.name,
            is_hidden_copy: entry.is_hidden_copy,
            full: options.full,
        };
        let checked = target.check(progress).await?;
        report.checked.add(&checked.totals);
        checked.findings.into_iter().for_each(|finding| report.add(finding));
        if options.repair {
            let repairs = checked.repairs;
            let catalog = self.catalog();
            let done = repairs.commit(&self.manifests, &catalog, entry.id, &entry.name).await?;
            report.repaired.extend(done);
        }
        Ok(())
    }

    /// Reads the root catalog; returns a finding if it is damaged.
    /// Fails if this program does not read all objects of the cluster, because it would take those for damaged.
    pub(crate) async fn root(
        &self,
    ) -> Result<Result<VersionedValue<RootCatalog>, Finding>, FsckError> {
        let register: Register<RootCatalog> =
            Register::new(self.bucket.clone(), Key::RootCatalog, RECENT_PUT_IDS);
        match register.read(None).await {
            Ok(root) => {
                if root.version > 0 {
                    root.value.verify_reader(&self.bucket)?;
                }
                Ok(Ok(root))
            }
            Err(RegisterError::Format(error)) => Ok(Err(messages::format_finding(&error))),
            Err(RegisterError::Store(error)) => Err(error.into()),
            Err(error @ RegisterError::Missing(_)) => Err(error.into()),
        }
    }

    /// Returns the catalogs, for repairs. The margins are those of a new cluster, which a repair does not create.
    fn catalog(&self) -> Catalog {
        Catalog::new(self.bucket.clone(), ProtocolMargins::NETWORK, None)
    }
}

pub(crate) fn entries(root: &RootCatalog) -> Vec<DatabaseInfo> {
    let databases = root.databases().iter();
    databases
        .map(|(id, entry)| DatabaseInfo {
            id: *id,
            name: entry.name.clone(),
            has_data: entry.deletion.is_none_or(|it| it.purge != PurgeState::Done),
            is_hidden_copy: root.is_hidden_copy(*id),
        })
        .collect()
}

/// Returns the databases with this name, or all that may have data.
pub(crate) fn select_databases<'a>(
    entries: &'a [DatabaseInfo],
    name: Option<&str>,
) -> Result<Vec<&'a DatabaseInfo>, FsckError> {
    let Some(name) = name else {
        return Ok(entries.iter().filter(|entry| entry.has_data).collect());
    };
    let named: Vec<_> = entries.iter().filter(|entry| entry.name == name).collect();
    if named.is_empty() {
        Err(FsckError::DatabaseNotFound(name.to_owned()))
    } else {
        Ok(named)
    }
}
