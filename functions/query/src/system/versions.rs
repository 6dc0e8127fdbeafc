//! `system.versions`: the versions of the manifest that are remembered, oldest first.
//!
//! One that is readable answers queries as of its mark (`x-neap-as-of`), with all that was flushed until
//! then; the last one also answers with what is in the tail.

use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, RecordBatch, TimestampNanosecondArray, UInt64Array};
use datafusion::common::Result;
use neap_manifest::{Manifest, Snapshot, VersionInfo};

use super::{columns::table, nanoseconds};

/// The versions that a snapshot's manifest remembers, one for each mark.
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
    let committed = marks.iter().zip(&found).map(|(record, found)| {
        let known = found.and_then(|found| found.committed);
        known.or(record.committed).and_then(nanoseconds)
    });
    let columns: Vec<(&str, bool, ArrayRef)> = vec![
        (
            "version",
            false,
            Arc::new(UInt64Array::from_iter_values(versions)),
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
    ];
    table(columns)
}
