//! `system.versions`: the recorded versions of the manifest, oldest first.
//!
//! A readable version answers queries as of its low-water mark (`x-neap-as-of`), with all rows flushed until then; the
//! last version answers with the rows of the tail as well. A quarantined object is shown with the first of these
//! versions that lacks its rows.

use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, RecordBatch, TimestampNanosecondArray, UInt64Array};
use datafusion::common::Result;
use neap_manifest::{Manifest, Snapshot, VersionInfo};

use super::columns::{nanoseconds, table, utf8_or_null};

/// Returns the versions that a snapshot's manifest records, one for each low-water mark.
pub(super) fn rows(snapshot: &Snapshot) -> Result<RecordBatch> {
    let readable = Manifest::versions(&snapshot.manifest);
    let marks = &snapshot.manifest.value.marks;
    let found: Vec<Option<&VersionInfo>> = marks
        .iter()
        .map(|record| readable.iter().find(|version| version.mark == record.mark))
        .collect();
    let versions = marks.iter().zip(&found).map(|(record, found)| {
        // The last version with this mark.
        let known = found.map(|found| found.version);
        known.or(record.last).unwrap_or(record.version)
    });
    let versions: Vec<u64> = versions.collect();
    let quarantined = quarantined(snapshot, &versions);
    let committed = marks.iter().zip(&found).map(|(record, found)| {
        let known = found.and_then(|found| found.committed);
        known.or(record.committed).and_then(nanoseconds)
    });
    let columns: Vec<(&str, bool, ArrayRef)> = vec![
        (
            "version",
            false,
            Arc::new(UInt64Array::from_iter_values(versions.iter().copied())),
        ),
        (
            "low_water_mark",
            false,
            Arc::new(UInt64Array::from_iter_values(
                marks.iter().map(|record| record.mark.as_u64()),
            )),
        ),
        (
            "committed",
            true,
            Arc::new(committed.collect::<TimestampNanosecondArray>()),
        ),
        (
            "readable",
            false,
            Arc::new(BooleanArray::from_iter(
                found.iter().map(|found| Some(found.is_some())),
            )),
        ),
        ("quarantined", true, utf8_or_null(quarantined.into_iter())),
    ];
    table(columns)
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
