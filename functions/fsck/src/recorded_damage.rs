//! Findings about damage that a manifest records.

use neap_catalog::DatabaseCatalog;
use neap_manifest::{LostRows, Manifest};
use neap_schema::DatabaseId;

use crate::{Finding, FindingKind, lost_rows::LostTable, references::table_names};

/// Returns findings about damaged objects that flushes have skipped and operators have quarantined.
pub(crate) fn recorded_damage(
    database: DatabaseId,
    manifest: &Manifest,
    catalog: &DatabaseCatalog,
) -> Vec<Finding> {
    let mut findings = Vec::new();
    for record in &manifest.damage {
        let state = |lost: &str| match &record.quarantine {
            Some(quarantine) => {
                let version = quarantine.version;
                let message =
                    format!("it is quarantined since version {version} of the manifest: {lost}");
                Finding::note(FindingKind::Quarantined, message)
            }
            None => {
                let message = format!("{lost} can't be read, and a flush has skipped them");
                Finding::error(FindingKind::Damaged, message)
            }
        };
        let key = record.name(database);
        if record.lost.is_empty() {
            findings.push(state(&lost_text(&[], catalog)).at(&key));
        }
        findings.extend(record.lost.iter().map(|rows| {
            let lost = lost_text(std::slice::from_ref(rows), catalog);
            let table = table_names(catalog, rows);
            state(&lost).at(&key).of_table(table)
        }));
    }
    findings
}

/// Describes lost rows.
pub(crate) fn lost_text(lost: &[LostRows], catalog: &DatabaseCatalog) -> String {
    let tables: Vec<_> = lost
        .iter()
        .map(|rows| LostTable::new(rows, catalog))
        .map(|table| table.to_string())
        .collect();
    if tables.is_empty() {
        "all of its rows".to_owned()
    } else {
        tables.join(", ")
    }
}
