//! The part of a manifest that writers need.

use neap_bucket::{ObjectFormat, RegisterRead, RegisterValue, Stamp};
use neap_wal::TailState;
use serde::Deserialize;

use crate::Manifest;

/// The part of a [`Manifest`] that writers need, without its sections.
///
/// Reading it transfers and decompresses the manifest, about 35 bytes per section or page, and scans its JSON, about
/// 350 bytes each. Sections are neither decoded nor kept: the memory use is below 1 KiB plus the row deletes. A head
/// can't be committed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct ManifestHead {
    /// The stamp up to which all segments are in sections. Segments above it form the tail.
    pub low_water_mark: Stamp,
    /// The state of the tail above the mark, as the last flusher published it.
    #[serde(default)]
    pub tail: Option<TailState>,
    #[serde(default)]
    deletes: Vec<DeleteState>,
}

/// The fields of a row delete that tell whether it is a pending client request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
struct DeleteState {
    #[serde(default)]
    dropped: Option<u64>,
    #[serde(default)]
    expiry: bool,
}

impl ManifestHead {
    /// Returns the number of row deletes that clients requested and that sections may still need.
    pub fn pending_requests(&self) -> usize {
        let deletes = self.deletes.iter();
        deletes
            .filter(|one| one.dropped.is_none() && !one.expiry)
            .count()
    }
}

impl RegisterRead for ManifestHead {
    const READ_FORMAT: ObjectFormat = Manifest::FORMAT;
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use neap_row_delete::{Condition, RowDelete};
    use neap_schema::TableId;

    use super::*;
    use crate::{
        RecordedDelete,
        tests::{section, stamp},
    };

    #[test]
    fn head_agrees_with_the_manifest() {
        let delete = |dropped, expiry| RecordedDelete {
            stamp: stamp(3),
            delete: RowDelete {
                table: TableId::new(1),
                condition: Condition::between(0, 9),
            },
            added: 1,
            dropped,
            expiry,
        };
        let manifest = Manifest {
            low_water_mark: stamp(30),
            sections: vec![Arc::new(section(1, 0, 0, 10))],
            deletes: vec![
                delete(None, false),
                delete(Some(2), false),
                delete(None, true),
                delete(None, false),
            ],
            tail: Some(TailState {
                segments: 5,
                oldest: None,
                listed: Default::default(),
            }),
            ..Manifest::default()
        };
        let json = serde_json::to_string(&manifest).unwrap();
        let head: ManifestHead = serde_json::from_str(&json).unwrap();
        assert_eq!(head.low_water_mark, manifest.low_water_mark);
        assert_eq!(head.tail, manifest.tail);
        assert_eq!(head.pending_requests(), manifest.pending_requests().count());
        assert_eq!(head.pending_requests(), 2);
    }
}
