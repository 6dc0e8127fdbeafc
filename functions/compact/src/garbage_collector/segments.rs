//! The collection of segments whose rows are in sections.

use neap_bucket::{Key, ListEntry, SegmentName, Stamp, VersionedValue};
use neap_manifest::Manifest;
use neap_schema::DatabaseId;

use super::{CollectionReport, GarbageCollector};
use crate::{
    CompactError,
    listing::{ListingPage, ListingPages},
    trigger_progress::{SegmentDisposition, TriggerProgress},
};

/// Whether triggers protect segments from deletion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TriggerProtection {
    /// Segments are kept until triggers have seen them.
    Enabled,
    /// The database is removed, so triggers protect no segments.
    Disabled,
}

impl GarbageCollector {
    /// Deletes the segments whose rows every snapshot finds in sections and that every trigger has seen.
    pub async fn collect_segments(
        &self,
        database: DatabaseId,
        manifest: &VersionedValue<Manifest>,
    ) -> Result<CollectionReport, CompactError> {
        let prefix = Key::tail_prefix(database);
        let pages = ListingPages::new(&self.bucket, &prefix);
        self.collect_segments_of(database, manifest, pages).await
    }

    /// Like [`collect_segments`](Self::collect_segments), for a tail that was just listed.
    pub(crate) async fn collect_listed_segments(
        &self,
        database: DatabaseId,
        manifest: &VersionedValue<Manifest>,
        tail: ListingPage,
    ) -> Result<CollectionReport, CompactError> {
        let prefix = Key::tail_prefix(database);
        let pages = ListingPages::known(&self.bucket, &prefix, tail);
        self.collect_segments_of(database, manifest, pages).await
    }

    async fn collect_segments_of(
        &self,
        database: DatabaseId,
        manifest: &VersionedValue<Manifest>,
        tail: ListingPages<'_>,
    ) -> Result<CollectionReport, CompactError> {
        let grace = self.settings.segment_grace;
        let removal_time = self.bucket.removal_time(manifest.value.low_water_mark);
        let settled = manifest
            .current_at
            .filter(|_| removal_time.is_ok())
            .and_then(|now| Manifest::settled_mark(manifest, now, grace));
        match settled {
            Some(mark) => {
                let is_kept = |name| manifest.value.keeps_segment(name);
                self.delete_segments((database, tail), mark, TriggerProtection::Enabled, is_kept)
                    .await
            }
            None => Ok(CollectionReport::default()),
        }
    }

    /// Deletes the segments of a tail up to a mark, except those for which `kept` is true.
    pub(super) async fn delete_segments(
        &self,
        (database, mut pages): (DatabaseId, ListingPages<'_>),
        upto: Stamp,
        triggers: TriggerProtection,
        kept: impl Fn(SegmentName) -> bool,
    ) -> Result<CollectionReport, CompactError> {
        let mut collected = CollectionReport::default();
        let mut unseen = match triggers {
            TriggerProtection::Enabled => None,
            TriggerProtection::Disabled => Some(TriggerProgress::default()),
        };
        while let Some(page) = pages.next().await? {
            let mut settled = settled(database, upto, page.entries);
            let before = settled.len();
            settled.retain(|(name, _)| !kept(*name));
            collected.kept += before - settled.len();
            if settled.is_empty() {
                continue;
            }
            // Read lazily, because often there is nothing to delete.
            let unseen = match &mut unseen {
                Some(unseen) => unseen,
                none => none.insert(self.unseen(database).await?),
            };
            let mut keys = Vec::new();
            for (name, entry) in settled {
                match unseen.disposition(name, &entry, page.date) {
                    SegmentDisposition::Keep => {
                        collected.kept += 1;
                        continue;
                    }
                    SegmentDisposition::DeleteUnseen => collected.unseen += 1,
                    SegmentDisposition::Delete => {}
                }
                keys.push(entry.key);
            }
            collected.segments += keys.len();
            self.delete(keys, &mut collected).await?;
        }
        if collected.unseen > 0 && !self.settings.dry_run {
            let segments = collected.unseen;
            tracing::warn!(%database, segments, "deleted segments that triggers have not seen for a day");
        }
        Ok(collected)
    }

    async fn unseen(&self, database: DatabaseId) -> Result<TriggerProgress, CompactError> {
        let grace = self.settings.segment_grace;
        TriggerProgress::read(&self.bucket, &self.catalog, database, grace).await
    }
}

/// Returns the segments of a page up to a mark.
fn settled(
    database: DatabaseId,
    upto: Stamp,
    entries: Vec<ListEntry>,
) -> Vec<(SegmentName, ListEntry)> {
    let settled = entries.into_iter().filter_map(|entry| match entry.key.parse() {
        Ok(Key::Segment(of, name)) if of == database && name.stamp <= upto => Some((name, entry)),
        _ => None,
    });
    settled.collect()
}
