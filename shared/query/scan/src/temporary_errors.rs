//! The errors of reading that a repetition of the query may not meet.

use std::{error::Error, sync::Arc};

use neap_bucket::{RegisterError, StoreError};
use neap_catalog::CatalogError;
use neap_manifest::ManifestError;

use crate::{data::SectionDataError, fragment::FragmentError, tail::TailImageError};

/// Whether an error of a scan, or of a system table, is temporary: the store did not answer, the tail must be flushed first,
/// or the snapshot names an object that a newer one does not name any more.
pub fn is_temporary(error: &(dyn Error + 'static)) -> bool {
    let of_data = |error: &SectionDataError| {
        !matches!(error, SectionDataError::Format(_) | SectionDataError::Damaged { .. })
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
            || matches!(error.downcast_ref(), Some(CatalogError::Store(_)))
            || matches!(error.downcast_ref(), Some(RegisterError::Store(_)))
            || error.is::<StoreError>()
            || error.is::<FragmentError>();
        if is_temporary {
            return true;
        }
        next = error.source();
    }
    false
}
