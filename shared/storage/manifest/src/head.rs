//! The part of a manifest that writers need.

use std::fmt;

use neap_bucket::{ObjectFormat, RegisterRead, RegisterValue, Stamp};
use neap_row_delete::RowDelete;
use neap_wal::{DeleteBytes, TailState};
use serde::{
    Deserialize, Deserializer,
    de::{SeqAccess, Visitor},
};
use ulid::Ulid;

use crate::{ImportedRows, Manifest};

/// The part of a [`Manifest`] that writers need, without its sections.
///
/// Reading it transfers and decompresses the manifest, about 35 bytes per section or page, and scans its JSON, about
/// 350 bytes each. Neither sections nor row deletes are kept: the memory use is below 1 KiB plus the import jobs. A head
/// can't be committed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct ManifestHead {
    /// The stamp up to which all segments are in sections. Segments above it form the tail.
    pub low_water_mark: Stamp,
    /// The lowest version of the database catalog that has all tables and columns of the sections.
    pub needs_catalog: u64,
    /// The state of the tail above the mark, as the last flusher published it.
    #[serde(default)]
    pub tail: Option<TailState>,
    /// The size of the row deletes that clients requested.
    #[serde(default, deserialize_with = "delete_bytes")]
    pub deletes: DeleteBytes,
    #[serde(default)]
    imports: Vec<ImportedRows>,
}

/// The fields of a row delete that decide on its size.
#[derive(Debug, Deserialize)]
struct SizedDelete {
    delete: RowDelete,
    #[serde(default)]
    dropped: Option<u64>,
    #[serde(default)]
    expiry: bool,
}

/// Sums up the sizes of row deletes while they are read, so that only one of them is in memory.
fn delete_bytes<'de, D: Deserializer<'de>>(deserializer: D) -> Result<DeleteBytes, D::Error> {
    struct SumVisitor;

    impl<'de> Visitor<'de> for SumVisitor {
        type Value = DeleteBytes;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("row deletes")
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut deletes: A) -> Result<DeleteBytes, A::Error> {
            let mut sum = DeleteBytes::default();
            while let Some(one) = deletes.next_element::<SizedDelete>()? {
                if !one.expiry {
                    sum.add(one.delete.stored_bytes(), one.dropped.is_some());
                }
            }
            Ok(sum)
        }
    }

    deserializer.deserialize_seq(SumVisitor)
}

impl ManifestHead {
    /// Returns the number of rows of an import job, or of the last part of a site, in segments up to the low-water mark.
    pub fn imported_rows(&self, job: Ulid) -> u64 {
        let mut imports = self.imports.iter();
        let found = imports.find(|known| known.job == job);
        found.map_or(0, |known| known.rows)
    }
}

impl RegisterRead for ManifestHead {
    const READ_FORMAT: ObjectFormat = Manifest::FORMAT;
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use neap_row_delete::Condition;
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
            delete: RowDelete { table: TableId::new(1), condition: Condition::between(0, 9) },
            added: 1,
            dropped,
            expiry,
        };
        let manifest = Manifest {
            low_water_mark: stamp(30),
            needs_catalog: 4,
            sections: vec![Arc::new(section(1, 0, 0, 10))],
            deletes: vec![
                delete(None, false),
                delete(Some(2), false),
                delete(None, true),
                delete(None, false),
            ],
            imports: vec![ImportedRows {
                job: Ulid(7),
                rows: 12,
                stamp: stamp(4),
                is_permanent: false,
            }],
            tail: Some(TailState { segments: 5, oldest: None, listed: Default::default() }),
            ..Manifest::default()
        };
        let json = serde_json::to_string(&manifest).unwrap();
        let head: ManifestHead = serde_json::from_str(&json).unwrap();
        assert_eq!(head.low_water_mark, manifest.low_water_mark);
        assert_eq!(head.needs_catalog, manifest.needs_catalog);
        assert_eq!(head.tail, manifest.tail);
        assert_eq!(head.deletes, manifest.delete_bytes());
        let one = delete(None, false).delete.stored_bytes();
        assert_eq!((head.deletes.pending, head.deletes.applied), (2 * one, one));
        assert_eq!(head.imported_rows(Ulid(7)), 12);
        assert_eq!(head.imported_rows(Ulid(8)), 0);
    }
}
