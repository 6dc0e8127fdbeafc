//! The location of the tail as the cluster records it.

use neap_bucket::{StoreTime, TailLocation, TailLocations};
use serde::{Deserialize, Serialize};

use crate::CatalogError;

/// The location of new segments, and the former one while it may have segments.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct TailRecord {
    #[serde(default, skip_serializing_if = "TailLocation::is_main")]
    pub(crate) location: TailLocation,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) former: Option<FormerTail>,
}

/// A location from which the tail is moved.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct FormerTail {
    #[serde(default, skip_serializing_if = "TailLocation::is_main")]
    pub(crate) location: TailLocation,
    /// The time of the move, by the store's clock.
    pub(crate) since: StoreTime,
}

impl TailRecord {
    pub(crate) fn new(location: TailLocation) -> Self {
        Self { location, former: None }
    }

    /// Returns whether the tail is and always was in the main bucket.
    pub(crate) fn is_unused(&self) -> bool {
        *self == Self::default()
    }

    /// Verifies that a process with these locations reads all segments, and puts new ones where the others read them.
    ///
    /// # Errors
    /// `OtherTail` if it does not.
    pub(crate) fn verify(&self, configured: &TailLocations) -> Result<(), CatalogError> {
        if self.location == configured.current && self.is_included(configured) {
            Ok(())
        } else {
            Err(self.mismatch(configured))
        }
    }

    /// Returns the record after a process with these locations has moved the tail.
    /// Fails with `OtherTail` if the process does not read all locations that may have segments.
    pub(crate) fn moved(
        &self,
        configured: &TailLocations,
        now: StoreTime,
    ) -> Result<Self, CatalogError> {
        if !self.is_included(configured) {
            return Err(self.mismatch(configured));
        }
        Ok(Self {
            location: configured.current.clone(),
            former: Some(FormerTail { location: self.location.clone(), since: now }),
        })
    }

    /// Returns whether a process with these locations reads all locations that may have segments.
    fn is_included(&self, configured: &TailLocations) -> bool {
        let mut locations = std::iter::once(&self.location).chain(self.former_location());
        locations.all(|location| configured.includes(location))
    }

    fn former_location(&self) -> Option<&TailLocation> {
        self.former.as_ref().map(|former| &former.location)
    }

    fn mismatch(&self, configured: &TailLocations) -> CatalogError {
        let names = |current: &TailLocation, former: Option<&TailLocation>| match former {
            None => current.to_string(),
            Some(former) => format!("{current} and {former}"),
        };
        CatalogError::OtherTail {
            recorded: names(&self.location, self.former_location()),
            configured: names(&configured.current, configured.former.as_ref()),
        }
    }
}
