//! The state that scans of all queries share.

use std::sync::Arc;

use neap_bucket::VersionedValue;
use neap_manifest::{
    Manifest, ManifestError, ManifestStore, SectionWithFooter, Snapshot, TimeRange,
};
use neap_schema::{DatabaseId, TableId};

use crate::{data::SectionData, io_runtime::IoRuntime, tail::TailImages};

/// The state that scans of all queries share.
#[derive(Debug)]
pub struct ScanContext {
    /// The manifests, which list the sections.
    pub manifests: ManifestStore,
    /// The bytes of sections.
    pub data: SectionData,
    /// The images of tails.
    pub tails: TailImages,
    /// The runtime that performs I/O.
    pub io_runtime: IoRuntime,
}

impl ScanContext {
    /// Drops what queries of this or a newer version of the manifest do not need: column chunks of sections that were
    /// replaced, and rows of tails that were flushed.
    pub async fn evict_superseded(
        self: &Arc<Self>,
        database: DatabaseId,
        manifest: &VersionedValue<Manifest>,
    ) {
        self.data.evict_replaced(database, manifest);
        let mark = manifest.value.low_water_mark;
        if self.tails.may_have_flushed(database, mark) {
            let scan = Arc::clone(self);
            let evict = move || scan.tails.evict_flushed(database, mark);
            if let Err(error) = tokio::task::spawn_blocking(evict).await {
                tracing::warn!(%database, %error, "flushed rows stay in memory");
            }
        }
    }

    /// Loads the sections of a table that may have rows of these times.
    ///
    /// # Errors
    /// A page of the manifest can't be read.
    pub async fn sections(
        &self,
        snapshot: &Arc<Snapshot>,
        table: TableId,
        times: TimeRange,
    ) -> Result<Vec<SectionWithFooter>, ManifestError> {
        let manifest = &snapshot.manifest.value;
        // Another thread would take longer to start.
        if let Some(sections) = self.manifests.sections_at_hand(manifest, table, times) {
            return Ok(sections);
        }
        let (manifests, snapshot) = (self.manifests.clone(), Arc::clone(snapshot));
        let sections = async move {
            let manifest = &snapshot.manifest.value;
            manifests.load_sections(snapshot.database, manifest, table, times).await
        };
        self.io_runtime.run(sections).await
    }
}
