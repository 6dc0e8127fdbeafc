//! Backpressure information from flushers to writers: how much of the tail to list for it, and its publication by a
//! flusher that cannot flush.

use neap_bucket::VersionedValue;
use neap_catalog::Catalog;
use neap_manifest::{Manifest, ManifestStore};
use neap_schema::DatabaseId;
use neap_wal::{BackpressureLimits, TailListing};

/// Returns the number of segments to list for a flush that takes up to `taken` segments: enough to detect that the
/// remaining tail must stop writers.
pub(crate) fn listing_limit(taken: usize, limits: &BackpressureLimits) -> usize {
    let left = usize::try_from(limits.stop).unwrap_or(usize::MAX);
    taken.saturating_add(left).saturating_add(1)
}

/// Publishes the length of a tail that is not flushed, if it changes the pressure on writers. A failure is only logged,
/// because the next flush attempt publishes again.
pub(crate) async fn publish_tail(
    (manifests, catalog): (&ManifestStore, &Catalog),
    limits: &BackpressureLimits,
    database: DatabaseId,
    manifest: VersionedValue<Manifest>,
    listing: &TailListing,
) {
    let mark = manifest.value.low_water_mark;
    let Some(state) = listing.state_above(mark) else {
        return;
    };
    let known = manifest.value.tail.map_or(0, |known| known.segments);
    let (before, now) = (limits.pressure_of(known), limits.pressure_of(state.segments));
    if before == now {
        return;
    }
    let segments = state.segments;
    // A lost manifest is not created again.
    let register = manifests.register(database);
    let base = match catalog.verify_absence(&register, manifest).await {
        Ok(base) => base,
        Err(error) => {
            tracing::warn!(%database, %error, "failed to publish the tail length to writers");
            return;
        }
    };
    let published = manifests.commit_tail_state(database, base, mark, state);
    match published.await {
        Ok(true) => {
            tracing::warn!(%database, segments, ?now, "the pressure on writers has changed")
        }
        Ok(false) => {}
        Err(error) => {
            tracing::warn!(%database, %error, "failed to publish the tail length to writers")
        }
    }
}
