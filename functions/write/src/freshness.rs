//! The catalogs and the manifest head that a write relies on when it takes its stamp, and their age.

use std::time::Duration;

use futures::TryFutureExt;
use neap_bucket::{ClockReading, Key, MissingObject, ProtocolRules, StoreTime, VersionedValue};
use neap_catalog::{Catalog, CatalogError, DatabaseCatalog, RecordedRegister, RootCatalog};
use neap_manifest::ManifestHead;
use neap_schema::DatabaseId;
use neap_wal::FreshnessProof;

use crate::low_water_marks::LowWaterMarks;

/// Time reserved from the revalidation of the catalogs to the stamp of the write, because the write waits for the put
/// in flight and for the flush interval. Cached copies are revalidated this long before they become too old.
const REVALIDATION_MARGIN: Duration = Duration::from_millis(1_500);

/// The root catalog, the database catalog and the manifest head, and the earliest time at which they were current.
#[derive(Debug)]
pub(crate) struct FreshCatalog {
    pub(crate) root: VersionedValue<RootCatalog>,
    pub(crate) catalog: VersionedValue<DatabaseCatalog>,
    pub(crate) manifest: VersionedValue<ManifestHead>,
    pub(crate) at: StoreTime,
    /// When the earliest of the revalidation requests began.
    pub(crate) asked: ClockReading,
}

impl FreshCatalog {
    /// Returns the proof for a write of rows that match `catalog`: the revalidated catalog or a later version.
    pub(crate) fn proof(&self, catalog: &VersionedValue<DatabaseCatalog>) -> FreshnessProof {
        FreshnessProof {
            catalog_version: catalog.version,
            mark: self.manifest.value.low_water_mark,
            current_at: self.at,
            tail: self.manifest.value.tail,
            asked: self.asked,
        }
    }
}

/// Returns the maximum age of the catalogs that a write begins with.
pub(crate) fn max_age(rules: &ProtocolRules) -> Duration {
    let limit = rules.proof_age;
    limit.saturating_sub(REVALIDATION_MARGIN).max(limit / 2)
}

/// Returns the catalogs and the manifest head, each revalidated at most `max_age` ago. Younger copies cost no
/// request; the others are revalidated concurrently.
/// Fails with `Missing` if the manifest or the catalog of the database is lost, or an error of a read.
pub(crate) async fn revalidate(
    catalogs: &Catalog,
    marks: &LowWaterMarks,
    database: DatabaseId,
    max_age: Duration,
) -> Result<FreshCatalog, CatalogError> {
    let head = marks.head(database, max_age).map_err(CatalogError::from);
    let world = catalogs.bucket().world();
    let (root, read_catalog, read_head) =
        futures::try_join!(catalogs.root(max_age), catalogs.database(database, max_age), head)?;
    // Absent registers may have been created since they were read.
    let manifest = if read_head.version == 0
        && read_catalog.value.registers.contains(RecordedRegister::Manifest)
    {
        existing_head(marks, database).await?
    } else {
        read_head
    };
    let catalog = if read_catalog.version == 0 && manifest.value.needs_catalog > 0 {
        let dependent = Key::Manifest(database);
        catalogs.needed_database(database, Duration::ZERO, &dependent).await?
    } else {
        read_catalog
    };
    let times = [root.current_at, catalog.current_at, manifest.current_at];
    let earliest = times.into_iter().min().flatten();
    let moments = [root.asked, catalog.asked, manifest.asked];
    let oldest =
        |moment: &Option<ClockReading>| moment.map_or(Duration::MAX, |it| world.elapsed(&it));
    let asked = moments.into_iter().max_by_key(oldest).flatten();
    Ok(FreshCatalog {
        at: earliest.ok_or(CatalogError::NoStoreTime)?,
        asked: asked.ok_or(CatalogError::NoStoreTime)?,
        root,
        catalog,
        manifest,
    })
}

/// Reads the head of a manifest that the catalog records.
async fn existing_head(
    marks: &LowWaterMarks,
    database: DatabaseId,
) -> Result<VersionedValue<ManifestHead>, CatalogError> {
    let head = marks.head(database, Duration::ZERO).await?;
    if head.version == 0 {
        return Err(MissingObject::recorded(&Key::Manifest(database)).into());
    }
    Ok(head)
}
