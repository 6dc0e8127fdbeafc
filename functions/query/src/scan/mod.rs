//! Tables of a snapshot: which sections and segments a query needs, and how their rows become points.

mod aggregate_split;
mod data;
mod dedup;
mod hidden;
mod plan;
mod predicate;
mod provider;
mod regions;
mod tail;

use std::{error::Error, sync::Arc};

use datafusion::error::DataFusionError;
use neap_manifest::{ManifestError, ManifestStore, SectionWithFooter, Snapshot, TimeRange};
use neap_schema::TableId;
use tail::TailError;

use crate::{caches::Bases, executor::Home};

pub(crate) use aggregate_split::AggregateSplit;
pub use data::DataCacheStats;
pub(crate) use data::{Data, DataCacheLimits, DataError};
pub(crate) use plan::STORE_URL;
pub(crate) use provider::SnapshotTable;
pub(crate) use tail::{Behind, OverlayWanted, TailImages, is_overtaken};

/// What the tables of all queries share.
#[derive(Debug)]
pub(crate) struct Shared {
    /// Which sections there are.
    pub(crate) manifests: ManifestStore,
    /// What is in them.
    pub(crate) data: Data,
    /// What is not in them yet.
    pub(crate) tails: TailImages,
    /// What caches hold of the sections.
    pub(crate) bases: Bases,
    /// Where the store is asked.
    pub(crate) home: Home,
}

impl Shared {
    /// The sections of a table that may have rows of these times.
    pub(crate) async fn sections(
        &self,
        snapshot: &Arc<Snapshot>,
        table: TableId,
        times: TimeRange,
    ) -> Result<Vec<SectionWithFooter>, ManifestError> {
        let (manifests, snapshot) = (self.manifests.clone(), Arc::clone(snapshot));
        let sections = async move {
            let manifest = &snapshot.manifest.value;
            manifests
                .load_sections(snapshot.database, manifest, table, times)
                .await
        };
        self.home.run(sections).await
    }
}

/// An error that is not one of DataFusion.
pub(crate) fn external(error: impl Error + Send + Sync + 'static) -> DataFusionError {
    DataFusionError::External(Box::new(error))
}

/// Whether an error of a scan passes with time: a store that did not answer, a tail that is to be flushed,
/// an object that a newer snapshot does not name any more.
pub(crate) fn is_temporary(error: &(dyn Error + 'static)) -> bool {
    let of_data =
        |error: &DataError| !matches!(error, DataError::Format(_) | DataError::Damaged { .. });
    let mut next = Some(error);
    while let Some(error) = next {
        let is_temporary = error.downcast_ref::<DataError>().is_some_and(of_data)
            || error
                .downcast_ref::<Arc<DataError>>()
                .is_some_and(|error| of_data(error))
            || matches!(
                error.downcast_ref(),
                Some(TailError::NotSpilled { .. } | TailError::Overtaken { .. })
            )
            || matches!(
                error.downcast_ref(),
                Some(ManifestError::Store(_) | ManifestError::PageGone { .. })
            );
        if is_temporary {
            return true;
        }
        next = error.source();
    }
    false
}
