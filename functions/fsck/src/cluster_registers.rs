//! Finds registers of the cluster that are missing although they were created, as [`neap_bucket::AbsencePolicy`] says.

use std::collections::BTreeSet;

use neap_bucket::{Key, VersionedValue};
use neap_catalog::{RecordedRegister, RootCatalog};

use crate::{Finding, FindingKind, bucket_scan::BucketScan};

/// Finds lost registers of the cluster. Returns the findings, and the keys of registers without which the cluster can be
/// used again, if an operator accepts their loss.
pub(crate) fn missing_registers(
    root: &VersionedValue<RootCatalog>,
    sweep: &BucketScan,
) -> (Vec<Finding>, Vec<Key>) {
    let mut findings = Vec::new();
    let mut expendable = Vec::new();
    let mut add = |key: &Key, message: String| {
        findings.push(Finding::error(FindingKind::Missing, message).at(key));
    };
    let databases = sweep.databases.len();
    // Without databases, the bucket is unused.
    if root.version == 0 && databases > 0 {
        let message = format!("it is missing, and there are objects of {databases} databases");
        add(&Key::RootCatalog, message);
    }
    let is_missing = |key: &Key| !sweep.registers.contains(key);
    if is_missing(&Key::RowDeletes) && root.value.registers.contains(RecordedRegister::RowDeletes) {
        let message =
            "it is missing, and with it the numbers and the progress of row delete requests";
        add(&Key::RowDeletes, message.to_owned());
        expendable.push(Key::RowDeletes);
    }
    let entries = root.value.databases().values();
    let backups: BTreeSet<_> = entries.filter_map(|entry| entry.backup).collect();
    if is_missing(&Key::Backups) && !backups.is_empty() {
        let message = format!(
            "it is missing, and with it the names and the contents of {} backups, whose copies are kept",
            backups.len()
        );
        add(&Key::Backups, message);
    }
    (findings, expendable)
}
