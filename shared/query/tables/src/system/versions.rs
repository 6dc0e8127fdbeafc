//! `system.versions`: the recorded versions of the manifest, oldest first.
//!
//! A readable version answers queries as of its low-water mark (`x-neap-as-of`), with all rows flushed until then; the
//! last version answers with the rows of the tail as well. A quarantined object is shown with the first of these
//! versions that lacks its rows.

use std::sync::Arc;

use arrow::array::{RecordBatch, StringArray, UInt64Array};
use datafusion::common::Result;
use neap_manifest::{Manifest, MarkRecord, Snapshot, VersionInfo};

use super::table_builder::SystemTableBuilder;

/// Returns the versions that a snapshot's manifest records, one for each low-water mark.
pub(super) fn rows(snapshot: &Snapshot) -> Result<RecordBatch> {
    let readable = Manifest::versions(&snapshot.manifest);
    let marks = &snapshot.manifest.value.marks;
    let known = |record: &MarkRecord| readable.iter().find(|version| version.mark == record.mark);
    let rows: Vec<(&MarkRecord, Option<&VersionInfo>)> =
        marks.iter().map(|record| (record, known(record))).collect();
    let versions = rows.iter().map(|(record, known)| {
        // The last version with this mark.
        let version = known.map(|known| known.version);
        version.or(record.last).unwrap_or(record.version)
    });
    let versions: Vec<u64> = versions.collect();
    let quarantined = quarantined(snapshot, &versions);
    SystemTableBuilder::new(&rows)
        .column("version", false, Arc::new(UInt64Array::from(versions)))
        .counts("low_water_mark", |(record, _)| record.mark.as_u64())
        .store_times_or_null("committed", |(record, known)| {
            known.and_then(|known| known.committed).or(record.committed)
        })
        .booleans("readable", |(_, known)| known.is_some())
        .column("quarantined", true, Arc::new(StringArray::from(quarantined)))
        .finish()
}

/// Returns for each version the objects that were quarantined after the previous version and up to this one.
fn quarantined(snapshot: &Snapshot, versions: &[u64]) -> Vec<Option<String>> {
    let mut all = vec![Vec::new(); versions.len()];
    for record in &snapshot.manifest.value.damage {
        let Some(quarantine) = record.quarantine else {
            continue;
        };
        let place = versions.iter().position(|it| *it >= quarantine.version);
        if let Some(names) = place.and_then(|place| all.get_mut(place)) {
            names.push(record.name(snapshot.database));
        }
    }
    let joined = all.into_iter().map(|names| (!names.is_empty()).then(|| names.join(", ")));
    joined.collect()
}
