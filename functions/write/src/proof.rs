//! What a write knows of the cluster when it takes its stamp, and how old that is.

use std::time::Duration;

use futures::TryFutureExt;
use neap_bucket::{Moment, Rules, StoreTime, Versioned};
use neap_catalog::{Catalog, CatalogError, DatabaseCatalog, RootCatalog};
use neap_manifest::ManifestHead;
use neap_schema::DatabaseId;
use neap_wal::Proof;

use crate::marks::Marks;

/// How long a write may take from its proof to its stamp: it waits for the put under way and for the flush
/// interval. What is held is proven again this much before it is too old.
const SLACK: Duration = Duration::from_millis(1_500);

/// Root catalog, database catalog and the head of the manifest, and when the earliest of them was proven current.
#[derive(Debug)]
pub(crate) struct Proven {
    pub(crate) root: Versioned<RootCatalog>,
    pub(crate) catalog: Versioned<DatabaseCatalog>,
    pub(crate) manifest: Versioned<ManifestHead>,
    pub(crate) at: StoreTime,
    /// When the earliest of the requests that proved them began.
    pub(crate) asked: Moment,
}

impl Proven {
    /// The proof of a write of rows that this catalog fits: the one proven, or a later one.
    pub(crate) fn proof(&self, catalog: &Versioned<DatabaseCatalog>) -> Proof {
        Proof {
            catalog_version: catalog.version,
            mark: self.manifest.value.low_water_mark,
            proven: self.at,
            tail: self.manifest.value.tail,
            asked: self.asked,
        }
    }
}

/// The greatest age of what a write begins with.
pub(crate) fn max_age(rules: &Rules) -> Duration {
    let limit = rules.proof_age;
    limit.saturating_sub(SLACK).max(limit / 2)
}

/// Proves catalogs and mark current, at most `max_age` ago. What is younger costs no request; the others
/// are asked for at the same time.
pub(crate) async fn prove(
    catalog: &Catalog,
    marks: &Marks,
    database: DatabaseId,
    max_age: Duration,
) -> Result<Proven, CatalogError> {
    let manifest = marks.head(database, max_age).map_err(CatalogError::from);
    let world = catalog.bucket().world();
    let (root, catalog, manifest) = futures::try_join!(
        catalog.root(max_age),
        catalog.database(database, max_age),
        manifest
    )?;
    let times = [root.proven, catalog.proven, manifest.proven];
    let earliest = times.into_iter().min().flatten();
    let moments = [root.asked, catalog.asked, manifest.asked];
    let oldest = |moment: &Option<Moment>| moment.map_or(Duration::MAX, |it| world.elapsed(&it));
    let asked = moments.into_iter().max_by_key(oldest).flatten();
    Ok(Proven {
        at: earliest.ok_or(CatalogError::NoStoreTime)?,
        asked: asked.ok_or(CatalogError::NoStoreTime)?,
        root,
        catalog,
        manifest,
    })
}
