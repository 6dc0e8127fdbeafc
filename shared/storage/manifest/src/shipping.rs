//! Keeps the segments of a database until they are shipped to a database of another cluster.
//!
//! ```text
//!   shipper                                   store
//!     |-- commit: hold the segments above L --> |   L is the mark: what is below it is in sections already
//!     |-- list and ship segments above L        |   a flush moves them into sections, the collector keeps them
//!     |-- commit: shipped up to S ------------> |   crash before: they are shipped once more, and ignored
//! ```

use neap_bucket::{CommitOutcome, RegisterChange, Stamp, VersionedValue};
use neap_schema::DatabaseId;
use ulid::Ulid;

use crate::{Manifest, ManifestError, ManifestStore, ShippingHold};

/// The reason why segments are not held.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ShippingRefusal {
    /// The database is shipped to another one.
    #[error("the database is shipped to '{0}': end that first")]
    OtherTarget(String),
    /// The database has rows whose segments are gone.
    #[error(
        "the database has {0} sections with rows from before: export and import them, and skip them here"
    )]
    History(u64),
    /// The segments are not held, or for another source.
    #[error("the segments are no longer kept for shipping")]
    NotHeld,
}

impl Manifest {
    /// Returns the hold for a target, or the one to begin with.
    fn hold_for(
        &self,
        target: &str,
        source: Ulid,
        skips_history: bool,
    ) -> Result<ShippingHold, ShippingRefusal> {
        if let Some(hold) = &self.shipping {
            return if hold.target == target {
                Ok(hold.clone())
            } else {
                Err(ShippingRefusal::OtherTarget(hold.target.clone()))
            };
        }
        let sections = self.section_count();
        if sections > 0 && !skips_history {
            return Err(ShippingRefusal::History(sections));
        }
        Ok(ShippingHold {
            source,
            target: target.to_owned(),
            shipped: self.low_water_mark,
            position: String::new(),
        })
    }
}

impl ManifestStore {
    /// Keeps the segments above the low-water mark until they are shipped to `target`. A hold for this target that exists
    /// already is returned. `base` is a manifest that was just read, and whose absence was verified.
    ///
    /// # Errors
    /// An error of the store, or [`ManifestError::OutcomeUnknown`].
    pub async fn hold_segments(
        &self,
        database: DatabaseId,
        base: VersionedValue<Manifest>,
        target: &str,
        skips_history: bool,
    ) -> Result<Result<ShippingHold, ShippingRefusal>, ManifestError> {
        let source = self.bucket.draw_ulid();
        let change = |base: &VersionedValue<Manifest>| {
            let hold = base.value.hold_for(target, source, skips_history)?;
            if base.value.shipping.is_some() {
                return Ok(RegisterChange::Keep(hold));
            }
            let mut next = Manifest::successor(base);
            next.shipping = Some(hold.clone());
            Ok(RegisterChange::Put(next, hold))
        };
        decided(self.register(database).commit(Some(base), change).await?)
    }

    /// Records that all segments up to a stamp are shipped, so that they are no longer kept, and the position of the target.
    ///
    /// # Errors
    /// As [`Self::hold_segments`].
    pub async fn record_shipped(
        &self,
        database: DatabaseId,
        source: Ulid,
        shipped: Stamp,
        position: &str,
    ) -> Result<Result<(), ShippingRefusal>, ManifestError> {
        let change = |base: &VersionedValue<Manifest>| {
            let held = base.value.shipping.as_ref().filter(|hold| hold.source == source);
            let hold = held.ok_or(ShippingRefusal::NotHeld)?;
            if hold.shipped >= shipped {
                return Ok(RegisterChange::Keep(()));
            }
            let mut next = Manifest::successor(base);
            next.shipping =
                Some(ShippingHold { shipped, position: position.to_owned(), ..hold.clone() });
            Ok(RegisterChange::Put(next, ()))
        };
        decided(self.register(database).commit(None, change).await?)
    }

    /// Ends the hold of a database: its segments are no longer kept for shipping.
    ///
    /// # Errors
    /// As [`Self::hold_segments`].
    pub async fn release_segments(
        &self,
        database: DatabaseId,
    ) -> Result<Result<(), ShippingRefusal>, ManifestError> {
        let change = |base: &VersionedValue<Manifest>| {
            if base.value.shipping.is_none() {
                return Err(ShippingRefusal::NotHeld);
            }
            let mut next = Manifest::successor(base);
            next.shipping = None;
            Ok(RegisterChange::Put(next, ()))
        };
        decided(self.register(database).commit(None, change).await?)
    }
}

/// Returns the result of a commit whose outcome is known.
fn decided<R>(
    outcome: CommitOutcome<Manifest, R, ShippingRefusal>,
) -> Result<Result<R, ShippingRefusal>, ManifestError> {
    match outcome {
        CommitOutcome::Committed { result, .. } => Ok(Ok(result)),
        CommitOutcome::Refused(refusal) => Ok(Err(refusal)),
        CommitOutcome::Unknown { reason } => Err(ManifestError::OutcomeUnknown { reason }),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use neap_bucket::SegmentName;

    use super::*;
    use crate::tests::{section, stamp};

    const SOURCE: Ulid = Ulid(7);

    fn segment(number: u64) -> SegmentName {
        SegmentName { stamp: stamp(number), nonce: 0 }
    }

    #[test]
    fn segments_above_the_shipped_stamp_are_kept() {
        let mut manifest = Manifest { low_water_mark: stamp(10), ..Manifest::default() };
        assert!(!manifest.keeps_segment(segment(9)));
        let mut hold = manifest.hold_for("central", SOURCE, false).unwrap();
        assert_eq!(hold.shipped, stamp(10));
        hold.shipped = stamp(12);
        manifest.shipping = Some(hold);
        assert!(!manifest.keeps_segment(segment(12)));
        assert!(manifest.keeps_segment(segment(13)));
    }

    #[test]
    fn a_database_with_earlier_rows_is_held_only_if_they_are_skipped() {
        let manifest = Manifest {
            low_water_mark: stamp(10),
            sections: vec![Arc::new(section(1, 0, 0, 10))],
            ..Manifest::default()
        };
        let refused = manifest.hold_for("central", SOURCE, false);
        assert_eq!(refused, Err(ShippingRefusal::History(1)));
        assert!(manifest.hold_for("central", SOURCE, true).is_ok());
    }

    #[test]
    fn a_database_is_shipped_to_one_target() {
        let mut manifest = Manifest::default();
        let hold = manifest.hold_for("one", SOURCE, false).unwrap();
        manifest.shipping = Some(hold.clone());
        assert_eq!(manifest.hold_for("one", Ulid(8), false), Ok(hold));
        let refused = manifest.hold_for("two", Ulid(8), false);
        assert_eq!(refused, Err(ShippingRefusal::OtherTarget("one".to_owned())));
        let json = serde_json::to_string(&manifest).unwrap();
        assert_eq!(serde_json::from_str::<Manifest>(&json).unwrap(), manifest);
    }
}
