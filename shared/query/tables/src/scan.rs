//! Tables of a snapshot: selects the sections and segments that a query needs, and merges their rows to points.

mod aggregate_split;
mod assignment;
mod data;
mod dedup;
mod dynamic_filters;
mod error;
mod file_scans;
mod fragment;
mod fragment_plan;
mod lookup;
mod not_deleted;
mod plan;
mod predicate;
mod read_ahead;
mod reader;
mod redundant_time_bounds;
mod regions;
mod required_tags;
mod row_estimate;
mod scan_exec;
mod section_files;
mod section_scan;
mod sequence;
mod snapshot_scan;
mod snapshot_table;
mod tag_conditions;
mod tail;
mod tail_filters;
mod visibility;

use std::{error::Error, sync::Arc};

use neap_bucket::VersionedValue;
use neap_manifest::{
    Manifest, ManifestError, ManifestStore, SectionWithFooter, Snapshot, TimeRange,
};
use neap_schema::{DatabaseId, TableId};

use crate::io_runtime::IoRuntime;

pub(crate) use aggregate_split::AggregateSplit;
pub use data::DataCacheStats;
pub(crate) use data::SectionDataError;
pub use data::{DataCacheLimits, SectionData};
pub(crate) use dedup::DedupExec;
pub use error::external;
pub use file_scans::{FileScans, read_bytes};
use fragment::FragmentError;
pub use fragment::ScanFragment;
pub(crate) use lookup::is_lookup;
pub(crate) use redundant_time_bounds::REDUNDANT_TIME_BOUNDS;
pub use scan_exec::{DistributedScans, ScanEnvironment, SnapshotScanExec};
pub(crate) use section_files::STORE_URL;
pub(crate) use snapshot_table::SnapshotTable;
pub(crate) use tail::{NewestRows, OverlayRequest, TailScanExec};
pub use tail::{
    StaleTail, TailImageError, TailImages, TailRun, TailSnapshot, TailView, is_stale_snapshot,
};
pub(crate) use tail_filters::TAIL_FILTERS;

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
    pub(crate) async fn sections(
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

/// Whether an error of a scan is temporary: the store did not answer, the tail must be flushed first, or the snapshot
/// names an object that a newer one does not name any more.
pub fn is_temporary(error: &(dyn Error + 'static)) -> bool {
    let of_data = |error: &SectionDataError| {
        !matches!(
            error,
            SectionDataError::Format(_) | SectionDataError::Damaged { .. }
        )
    };
    let mut next = Some(error);
    while let Some(error) = next {
        let is_temporary = error.downcast_ref::<SectionDataError>().is_some_and(of_data)
            || error
                .downcast_ref::<Arc<SectionDataError>>()
                .is_some_and(|error| of_data(error))
            || matches!(
                error.downcast_ref(),
                Some(TailImageError::NotSpilled { .. } | TailImageError::StaleSnapshot { .. })
            )
            || matches!(
                error.downcast_ref(),
                Some(ManifestError::Store(_) | ManifestError::PageGone { .. })
            )
            || error.is::<FragmentError>();
        if is_temporary {
            return true;
        }
        next = error.source();
    }
    false
}
