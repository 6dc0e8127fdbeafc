//! What a writer needs of a manifest.

use neap_bucket::{Format, RegisterRead, RegisterValue, Stamp};
use neap_wal::TailState;
use serde::Deserialize;

use crate::Manifest;

/// The part of a [`Manifest`] that writers go by, without its sections.
///
/// Reading it transfers and decompresses the manifest, about 35 bytes for each section or page that it has, and scans
/// its JSON, about 350 bytes for each. No section is decoded or kept: what stays in memory is below 1 KiB, and the row
/// deletes. It can't be committed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct ManifestHead {
    /// The stamp up to which segments are in sections; what is above it is the tail.
    pub low_water_mark: Stamp,
    /// The tail above the mark as a flusher has left it.
    #[serde(default)]
    pub tail: Option<TailState>,
    #[serde(default)]
    deletes: Vec<DeleteState>,
}

/// What tells whether a client still waits for a row delete to be applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
struct DeleteState {
    #[serde(default)]
    dropped: Option<u64>,
    #[serde(default)]
    expiry: bool,
}

impl ManifestHead {
    /// The number of row deletes that clients asked for and sections may still need.
    pub fn pending_requests(&self) -> usize {
        let deletes = self.deletes.iter();
        deletes
            .filter(|one| one.dropped.is_none() && !one.expiry)
            .count()
    }
}

impl RegisterRead for ManifestHead {
    const READ_FORMAT: Format = Manifest::FORMAT;
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
    fn the_head_says_what_the_manifest_says() {
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
