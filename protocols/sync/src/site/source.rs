//! The segments of a site that are not shipped yet.

use std::{sync::Arc, time::Duration};

use neap_bucket::{
    ClockDoubt, Key, ProtocolRules, SegmentName, Stamp, StoreTime, VersionedValue, World,
};
use neap_catalog::{Catalog, CatalogError, DatabaseCatalog};
use neap_manifest::{Manifest, ManifestError, ManifestStore, ShippingHold, ShippingRefusal};
use neap_schema::DatabaseId;
use neap_wal::{Segment, TailError, TailReader, TailReaderSettings};
use ulid::Ulid;

/// Maximum number of segments that are listed at once.
const LISTED_SEGMENTS: usize = 1_000;

/// The segments of a site can't be read or held.
#[derive(Debug, thiserror::Error)]
pub enum SiteSourceError {
    /// The tail can't be read.
    #[error(transparent)]
    Tail(#[from] TailError),
    /// The manifest can't be read or changed.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// A catalog can't be read or changed.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    /// The clocks disagree.
    #[error(transparent)]
    Clock(#[from] ClockDoubt),
    /// The database is not shipped to this target.
    #[error(transparent)]
    Refused(#[from] ShippingRefusal),
    /// A segment is gone although it was not shipped.
    #[error("segment '{0}' is gone, although it was not shipped")]
    MissingSegment(Key),
    /// The catalog that was read is older than a segment.
    #[error("the catalog of the database is older than its rows")]
    OldCatalog,
}

/// The database of a site.
#[derive(Clone, Debug)]
pub struct SiteSource {
    catalog: Arc<Catalog>,
    manifests: ManifestStore,
    tail: TailReader,
    rules: ProtocolRules,
    database: DatabaseId,
}

/// The segments that can be shipped now, in the order of the site, and what is needed to read them.
#[derive(Debug)]
pub(crate) struct SettledSegments {
    pub(crate) names: Vec<SegmentName>,
    /// All segments up to this stamp are among them.
    pub(crate) upto: Stamp,
    pub(crate) catalog: VersionedValue<DatabaseCatalog>,
    pub(crate) manifest: VersionedValue<Manifest>,
}

impl SiteSource {
    /// Opens a database of a cluster.
    ///
    /// # Errors
    /// The root catalog can't be read.
    pub async fn open(
        catalog: Arc<Catalog>,
        manifests: ManifestStore,
        database: DatabaseId,
    ) -> Result<Self, CatalogError> {
        Ok(Self {
            rules: catalog.rules().await?,
            tail: TailReader::new(catalog.bucket().clone(), TailReaderSettings::default()),
            catalog,
            manifests,
            database,
        })
    }

    /// The clock, timers and randomness of the site.
    pub(crate) fn world(&self) -> &World {
        self.catalog.bucket().world()
    }

    /// Keeps the segments of the database until they are shipped to a target. Returns the existing hold, or a new one.
    ///
    /// # Errors
    /// `Refused`: the database has rows from before, which are not to be skipped, or another target.
    pub async fn hold(
        &self,
        target: &str,
        skips_history: bool,
    ) -> Result<ShippingHold, SiteSourceError> {
        let read = self.manifests.read(self.database, None).await?;
        if let Some(hold) = read.value.shipping.as_ref().filter(|hold| hold.target == target) {
            return Ok(hold.clone());
        }
        let register = self.manifests.register(self.database);
        let base = self.catalog.verify_absence(&register, read).await?;
        let is_first = base.version == 0;
        let held = self.manifests.hold_segments(self.database, base, target, skips_history);
        let hold = held.await??;
        if is_first {
            self.catalog.record_register(register.key()).await?;
        }
        Ok(hold)
    }

    /// Ends the hold of the database: its segments are no longer kept.
    ///
    /// # Errors
    /// `Refused`: there is none.
    pub async fn release(&self) -> Result<(), SiteSourceError> {
        Ok(self.manifests.release_segments(self.database).await??)
    }

    /// Records that all segments up to a stamp are shipped.
    pub(crate) async fn record_shipped(
        &self,
        source: Ulid,
        shipped: Stamp,
        position: &str,
    ) -> Result<(), SiteSourceError> {
        let recorded = self.manifests.record_shipped(self.database, source, shipped, position);
        Ok(recorded.await??)
    }

    /// Returns whether a segment exists.
    pub(crate) async fn has_segment(&self, name: SegmentName) -> Result<bool, SiteSourceError> {
        let fetched = self.tail.fetch_readable(self.database, &[name]).await?;
        Ok(fetched.missing.is_empty())
    }

    /// Returns a time of the site's store above the stamps of all writes that are acknowledged.
    pub(crate) async fn end_of_writes(&self) -> Result<StoreTime, SiteSourceError> {
        let read = self.manifests.read(self.database, None).await?;
        let now = read.current_at.ok_or(ClockDoubt::NoDate)?;
        // By rule W2, a stamp is at most this much ahead.
        Ok(now.plus(self.rules.acknowledgement_limit))
    }

    /// Lists the oldest segments above a stamp that no earlier segment can precede any more. Rule F of flushes holds for them:
    /// a segment that appears below the cut later was never acknowledged.
    pub(crate) async fn settled_segments(
        &self,
        above: Stamp,
    ) -> Result<SettledSegments, SiteSourceError> {
        self.catalog.verify_tail().await?;
        let listing = self.tail.list_oldest(self.database, above, LISTED_SEGMENTS).await?;
        let date = listing.first_page_date.ok_or(ClockDoubt::NoDate)?;
        self.catalog.bucket().check_clocks(date)?;
        let cut = Stamp::end_of(date.minus(self.rules.flush_lag));
        let is_settled =
            |stamp: Stamp| stamp <= cut && listing.beyond.is_none_or(|beyond| stamp < beyond);
        let segments = listing.segments.iter().map(|segment| segment.name);
        let names: Vec<SegmentName> = segments.filter(|name| is_settled(name.stamp)).collect();
        let upto = match (listing.beyond.filter(|beyond| *beyond <= cut), names.last()) {
            (None, _) => cut,
            (Some(_), Some(last)) => last.stamp,
            (Some(_), None) => above,
        }
        .max(above);
        // Both are read after the listing, so that the catalog has all tables of the segments.
        let (catalog, manifest) =
            tokio::try_join!(self.current_catalog(), self.current_manifest())?;
        Ok(SettledSegments { names, upto, catalog, manifest })
    }

    async fn current_catalog(&self) -> Result<VersionedValue<DatabaseCatalog>, SiteSourceError> {
        Ok(self.catalog.verified_database(self.database, Duration::ZERO).await?)
    }

    async fn current_manifest(&self) -> Result<VersionedValue<Manifest>, SiteSourceError> {
        Ok(self.manifests.read(self.database, None).await?)
    }
}

impl SettledSegments {
    /// Reads a segment; `None` if it is quarantined as a whole.
    pub(crate) async fn read(
        &self,
        source: &SiteSource,
        name: SegmentName,
    ) -> Result<Option<Arc<Segment>>, SiteSourceError> {
        let fetched = source.tail.fetch_readable(source.database, &[name]).await?;
        if let Some((_, error)) = fetched.unreadable.into_iter().next() {
            return if self.manifest.value.is_quarantined(name) {
                Ok(None)
            } else {
                Err(TailError::from(error).into())
            };
        }
        let Some(segment) = fetched.segments.into_iter().next() else {
            return Err(SiteSourceError::MissingSegment(Key::Segment(source.database, name)));
        };
        if segment.needs_catalog() > self.catalog.version {
            return Err(SiteSourceError::OldCatalog);
        }
        Ok(Some(segment))
    }
}
