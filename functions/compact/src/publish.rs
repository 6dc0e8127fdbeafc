//! What flushers tell writers of the tail that they leave: how much is listed for it, and how it is published by a
//! flusher that can't flush.

use neap_bucket::Versioned;
use neap_manifest::{Manifest, ManifestStore};
use neap_schema::DatabaseId;
use neap_wal::{PressureLimits, TailListing};

/// How many segments a flush lists that takes up to `taken`: enough to tell that those left are to stop writers.
pub(crate) fn listed_segments(taken: usize, limits: &PressureLimits) -> usize {
    let left = usize::try_from(limits.stop).unwrap_or(usize::MAX);
    taken.saturating_add(left).saturating_add(1)
}

/// Publishes the length of a tail that is not flushed, if its writers are to be held back otherwise than by what is
/// published. A failure is only logged: the next attempt to flush comes here again.
pub(crate) async fn publish_tail(
    manifests: &ManifestStore,
    limits: &PressureLimits,
    database: DatabaseId,
    manifest: Versioned<Manifest>,
    listing: &TailListing,
) {
    let mark = manifest.value.low_water_mark;
    let Some(state) = listing.state_above(mark) else {
        return;
    };
    let known = manifest.value.tail.map_or(0, |known| known.segments);
    let (before, now) = (
        limits.pressure_of(known),
        limits.pressure_of(state.segments),
    );
    if before == now {
        return;
    }
    let segments = state.segments;
    let published = manifests.commit_tail_state(database, manifest, mark, state);
    match published.await {
        Ok(true) => {
            tracing::warn!(%database, segments, ?now, "the pressure on writers has changed")
        }
        Ok(false) => {}
        Err(error) => {
            tracing::warn!(%database, %error, "writers are not told how long the tail is")
        }
    }
}
