//! The progress of row deletes: which of them some object of the database still holds the rows of.
//!
//! ```text
//!   delete in the tail -- flush --> recorded in the manifest -- merges --> no section needs it (version v)
//!     -- time travel, collections --> nothing that version v dropped is left, nor a segment of the tail
//! ```

use neap_bucket::{
    Bucket, Key, ListRequest, ObjectFormat, RECENT_PUT_IDS, Register, RegisterRead, RegisterValue,
    Stamp, VersionedValue,
};
use neap_schema::{DatabaseId, TableId};
use serde::Deserialize;

use crate::{Manifest, ManifestError};

/// Maximum number of listing pages of a tail. A longer tail counts as one that still has the rows.
const MAX_TAIL_PAGES: usize = 10;

/// The part of a [`Manifest`] that tells the progress of row deletes.
#[derive(Clone, Debug, Default, Deserialize)]
pub(crate) struct DeleteProgress {
    low_water_mark: Stamp,
    #[serde(default)]
    deletes: Vec<DeleteState>,
    #[serde(default)]
    condemned: Vec<CondemnedState>,
}

#[derive(Clone, Debug, Deserialize)]
struct DeleteState {
    stamp: Stamp,
    delete: DeleteTarget,
    #[serde(default)]
    dropped: Option<u64>,
    #[serde(default)]
    expiry: bool,
}

#[derive(Clone, Debug, Deserialize)]
struct DeleteTarget {
    table: TableId,
}

#[derive(Clone, Debug, Deserialize)]
struct CondemnedState {
    version: u64,
    #[serde(default)]
    first_version: Option<u64>,
}

impl RegisterRead for DeleteProgress {
    const READ_FORMAT: ObjectFormat = Manifest::FORMAT;
}

/// Reads the progress of the row deletes of a database: 1 GET.
pub(crate) async fn delete_progress(
    bucket: &Bucket,
    database: DatabaseId,
) -> Result<VersionedValue<DeleteProgress>, ManifestError> {
    let key = Key::Manifest(database);
    let register = Register::<DeleteProgress>::new(bucket.clone(), key, RECENT_PUT_IDS);
    Ok(register.read(None).await?)
}

impl DeleteProgress {
    /// Returns a version of the manifest from which on no section has rows of a delete; `None` while one may have some.
    /// `version` is the version of this manifest.
    pub(crate) fn applied_version(
        &self,
        stamp: Stamp,
        table: TableId,
        version: u64,
    ) -> Option<u64> {
        if self.low_water_mark < stamp {
            return None;
        }
        let recorded = self.deletes.iter().find(|recorded| {
            recorded.stamp == stamp && recorded.delete.table == table && !recorded.expiry
        });
        match recorded {
            Some(recorded) => recorded.dropped,
            // No version that can be read needs the delete any more, or none ever did.
            None => Some(version),
        }
    }

    /// Returns whether an object of the database may exist whose rows only versions before this one read.
    pub(crate) fn keeps_objects_before(&self, version: u64) -> bool {
        let mut dropped = self.condemned.iter().map(|it| it.first_version.unwrap_or(it.version));
        dropped.any(|first| first <= version)
    }
}

/// Returns whether the tail of a database has a segment that is not newer than a stamp: usually 1 LIST.
pub(crate) async fn has_segment_up_to(
    bucket: &Bucket,
    database: DatabaseId,
    stamp: Stamp,
) -> Result<bool, ManifestError> {
    let prefix = Key::tail_prefix(database);
    let mut page_token = None;
    for _ in 0..MAX_TAIL_PAGES {
        let request = ListRequest { prefix: &prefix, start_after: None, page_token };
        let page = bucket.list(request).await?.value;
        let has_old = page.entries.iter().any(
            |entry| matches!(entry.key.parse(), Ok(Key::Segment(_, name)) if name.stamp <= stamp),
        );
        if has_old {
            return Ok(true);
        }
        page_token = page.next_page_token;
        let is_decided = bucket.sorts_segments() && !page.entries.is_empty();
        if is_decided || page_token.is_none() {
            return Ok(false);
        }
    }
    Ok(true)
}
