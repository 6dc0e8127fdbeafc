//! Finds registers of a database that are missing although they were created, as [`neap_bucket::AbsencePolicy`] says.

use std::time::Duration;

use neap_bucket::{Key, MissingObject, RECENT_PUT_IDS, Register, RegisterError, VersionedValue};
use neap_catalog::{DatabaseCatalog, DatabaseDocuments, RecordedRegister};
use neap_manifest::Manifest;
use neap_rollup::ViewProgress;
use neap_rules::RuleProgress;
use neap_wal::{SiteProgress, TriggerCheckpoint};

use crate::{Finding, FindingKind, FsckError, fsck::DatabaseTarget, messages, tail::TailInventory};

/// Time after which a trigger has processed rows, if it runs at all.
const TRIGGER_DELAY: Duration = Duration::from_secs(60 * 60);

/// The registers of a database that were read. A register that can't be decoded is `None`, one that does not exist has version 0.
pub(crate) struct DatabaseRegisters<'a> {
    pub(crate) manifest: Option<&'a VersionedValue<Manifest>>,
    pub(crate) catalog: Option<&'a VersionedValue<DatabaseCatalog>>,
    pub(crate) documents: Option<&'a VersionedValue<DatabaseDocuments>>,
    pub(crate) views: Option<&'a VersionedValue<ViewProgress>>,
    pub(crate) rules: Option<&'a VersionedValue<RuleProgress>>,
    pub(crate) sites: Option<&'a VersionedValue<SiteProgress>>,
    pub(crate) tail: &'a TailInventory,
    /// The number of objects with sections and pages.
    pub(crate) data_objects: usize,
}

/// The registers of a database that are lost.
#[derive(Debug, Default)]
pub(crate) struct MissingRegisters {
    pub(crate) findings: Vec<Finding>,
    /// Whether the manifest is lost: nothing tells which objects are needed.
    pub(crate) manifest: bool,
    /// Whether the manifest is lost, or may be: there are objects with rows.
    pub(crate) lacks_manifest: bool,
    /// Whether there is no catalog, but data: nothing tells what the rows mean.
    pub(crate) catalog: bool,
    /// Lost registers without which the database can be used again, if an operator accepts their loss.
    pub(crate) expendable: Vec<Key>,
}

impl MissingRegisters {
    fn add(&mut self, key: &Key, message: impl Into<String>) {
        self.findings.push(Finding::error(FindingKind::Missing, message).at(key));
    }
}

/// Returns whether a register was read and does not exist.
fn is_absent<T>(register: Option<&VersionedValue<T>>) -> bool {
    register.is_some_and(|register| register.version == 0)
}

impl DatabaseTarget<'_> {
    /// Finds lost registers of the database.
    pub(crate) fn missing_registers(&self, read: &DatabaseRegisters<'_>) -> MissingRegisters {
        let mut missing = MissingRegisters::default();
        let segments = read.tail.segments.len();
        let objects = read.data_objects;
        let needs_catalog = read.manifest.map_or(0, |manifest| manifest.value.needs_catalog);
        let has_data = needs_catalog > 0 || segments + objects > 0;
        if is_absent(read.catalog) && has_data {
            let key = Key::DatabaseCatalog(self.id);
            if self.is_hidden_copy {
                // The data of a copy exists before its catalog.
                let message = "it does not exist yet: the database is a copy that is not complete";
                missing.findings.push(Finding::note(FindingKind::Missing, message).at(key));
            } else {
                let message = format!(
                    "it is missing, and there are {segments} segments and {objects} objects with rows of its tables: \
                     queries and writes fail"
                );
                missing.add(&key, message);
            }
            missing.catalog = true;
        }
        let is_recorded = |register| {
            read.catalog.is_some_and(|catalog| catalog.value.registers.contains(register))
        };
        if is_absent(read.manifest) {
            let key = Key::Manifest(self.id);
            if is_recorded(RecordedRegister::Manifest) {
                let message = format!(
                    "it is missing, and with it the list of what is in {objects} objects: queries and writes fail, \
                     and nothing is deleted"
                );
                missing.add(&key, message);
                missing.manifest = true;
                missing.lacks_manifest = true;
            } else if objects > 0 && !self.is_hidden_copy {
                let message = format!(
                    "it does not exist, but there are {objects} objects with rows: the first flush was \
                     interrupted, or the manifest is lost"
                );
                let finding = Finding::warning(FindingKind::Missing, message);
                missing.findings.push(finding.at(key));
                missing.lacks_manifest = true;
            }
        }
        if is_absent(read.documents) && is_recorded(RecordedRegister::Documents) {
            let key = Key::Documents(self.id);
            missing.add(&key, "it is missing, and with it the saved queries and dashboards");
            missing.expendable.push(key);
        }
        let has_views = read.catalog.is_some_and(|it| it.value.views().next().is_some());
        if is_absent(read.views) && has_views {
            let message =
                "it does not exist: the materialized views are computed from the beginning";
            let finding = Finding::note(FindingKind::Missing, message);
            missing.findings.push(finding.at(Key::ViewProgress(self.id)));
        }
        let has_rules = read.catalog.is_some_and(|it| !it.value.rules().is_empty());
        if is_absent(read.rules) && has_rules {
            let message = "it does not exist: the alerts of rules begin anew";
            let finding = Finding::note(FindingKind::Missing, message);
            missing.findings.push(finding.at(Key::RuleProgress(self.id)));
        }
        let has_sites = read.manifest.is_some_and(|manifest| {
            let mut imports = manifest.value.imports.iter();
            imports.any(|known| known.is_permanent)
        });
        if is_absent(read.sites) && has_sites {
            let message = "it does not exist: the sites that ship rows to the database stop";
            let finding = Finding::note(FindingKind::Missing, message);
            missing.findings.push(finding.at(Key::SiteProgress(self.id)));
        }
        missing
    }

    /// Reads the checkpoints of triggers on writes. Reports those that are damaged, and those that are missing although
    /// rows were written long after the trigger was created.
    pub(crate) async fn check_checkpoints(
        &self,
        manifest: &VersionedValue<Manifest>,
        catalog: &DatabaseCatalog,
    ) -> Result<Vec<Finding>, FsckError> {
        let mut findings = Vec::new();
        let newest = manifest.value.low_water_mark.time();
        for trigger in catalog.triggers() {
            if trigger.disabled || !trigger.specification.runs_on_writes() {
                continue;
            }
            let key = Key::Checkpoint(self.id, trigger.id);
            let bucket = self.fsck.bucket.clone();
            let register = Register::<TriggerCheckpoint>::new(bucket, key.clone(), RECENT_PUT_IDS);
            match register.read(None).await {
                Ok(checkpoint)
                    if checkpoint.version == 0 && newest > trigger.since.plus(TRIGGER_DELAY) =>
                {
                    let message = format!(
                        "it does not exist: trigger {:?} has not run, or runs again for the rows in the tail",
                        trigger.name
                    );
                    findings.push(Finding::note(FindingKind::Missing, message).at(key));
                }
                Ok(_) => {}
                Err(RegisterError::Format(error)) => {
                    findings.push(messages::format_finding(&error));
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(findings)
    }
}

/// Returns the error of a commit to a manifest that is lost; `None` if it exists, or was never created.
pub(crate) fn lost_manifest(
    key: &Key,
    manifest: &VersionedValue<Manifest>,
    catalog: &DatabaseCatalog,
) -> Option<MissingObject> {
    let is_recorded = catalog.registers.contains(RecordedRegister::Manifest);
    (manifest.version == 0 && is_recorded).then(|| MissingObject::recorded(key))
}
