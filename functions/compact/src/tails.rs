//! The tails of databases, from listings.

use std::{collections::BTreeMap, time::Duration};

use neap_bucket::{Bucket, Key, ListEntry, Stamp, StoreTime};
use neap_schema::DatabaseId;

use crate::{
    CompactError, TailTotals,
    deferred_segments::{DeferralReason, DeferredSegments},
    listing::{ListingPage, ListingPages},
};

/// Maximum number of segments of one listing kept in memory (about 10 MB), so that the tail of a database need not be
/// listed again.
const MAX_KEPT_SEGMENTS: usize = 50_000;

/// Maximum number of segments kept from a listing of one database.
const MAX_KEPT_SEGMENTS_OF_DATABASE: usize = 4_000;

#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct TailSize {
    pub(crate) segments: usize,
    /// Size of the segments in bytes.
    pub(crate) bytes: u64,
    /// Time of the oldest segment.
    pub(crate) oldest: Option<StoreTime>,
}

impl TailSize {
    fn add(&mut self, entry: &ListEntry) {
        self.segments += 1;
        self.bytes = self.bytes.saturating_add(entry.size_bytes);
        let oldest = self.oldest.unwrap_or(entry.last_modified);
        self.oldest = Some(oldest.min(entry.last_modified));
    }

    /// Returns the age of the oldest segment.
    pub(crate) fn age(&self, date: Option<StoreTime>) -> Duration {
        date.zip(self.oldest)
            .map_or(Duration::ZERO, |(date, oldest)| date.since(oldest))
    }
}

/// The tail of a database in a listing.
#[derive(Debug, Default)]
pub(crate) struct ListedTail {
    /// Size of the tail, including flushed segments that are not deleted yet.
    pub(crate) size: TailSize,
    /// The maximum stamp.
    pub(crate) newest: Option<Stamp>,
    segments: Vec<(Stamp, ListEntry)>,
    is_whole: bool,
}

impl ListedTail {
    /// Adds a segment, and keeps it if there is room. A listing is ordered by stamps; ties have no order. Returns
    /// whether all segments are kept so far.
    fn add(&mut self, stamp: Stamp, entry: ListEntry, has_room: bool) -> bool {
        self.is_whole = has_room && (self.is_whole || self.size.segments == 0);
        self.size.add(&entry);
        self.newest = self.newest.max(Some(stamp));
        if self.is_whole {
            self.segments.push((stamp, entry));
        } else {
            self.segments = Vec::new();
        }
        self.is_whole
    }

    /// Returns whether all segments were kept.
    pub(crate) fn is_whole(&self) -> bool {
        self.is_whole || self.size.segments == 0
    }

    /// Returns the size of the tail above a mark, provided that all segments were kept.
    pub(crate) fn size_above(&self, mark: Stamp) -> TailSize {
        let mut size = TailSize::default();
        let above = self.segments.iter().filter(|(stamp, _)| *stamp > mark);
        above.for_each(|(_, entry)| size.add(entry));
        size
    }

    /// Returns the segments as a page of a listing.
    pub(crate) fn into_page(self, date: Option<StoreTime>) -> ListingPage {
        let entries = self.segments.into_iter().map(|(_, entry)| entry).collect();
        ListingPage { entries, date }
    }
}

/// The tails of all databases.
#[derive(Debug, Default)]
pub(crate) struct TailSurvey {
    /// Databases with segments that are not deferred.
    pub(crate) databases: BTreeMap<DatabaseId, ListedTail>,
    /// Totals over all databases, without segments that this process has just flushed.
    pub(crate) total: TailTotals,
    /// The store's time.
    pub(crate) date: Option<StoreTime>,
}

impl TailSurvey {
    /// Lists the tails of all databases.
    pub(crate) async fn take(
        bucket: &Bucket,
        deferred: &DeferredSegments,
    ) -> Result<Self, CompactError> {
        let mut survey = Self::default();
        let mut kept: usize = 0;
        let mut pages = ListingPages::new(bucket, Key::TAIL_PREFIX);
        while let Some(page) = pages.next().await? {
            survey.date = survey.date.or(page.date);
            for entry in page.entries {
                let Ok(Key::Segment(database, name)) = entry.key.parse() else {
                    continue;
                };
                let deferral = deferred.reason(database, name.stamp, bucket.world());
                if deferral == Some(DeferralReason::AlreadyFlushed) {
                    continue;
                }
                survey.count(&entry);
                if deferral.is_none() {
                    let tail = survey.databases.entry(database).or_default();
                    let has_room = kept < MAX_KEPT_SEGMENTS;
                    kept += usize::from(tail.add(name.stamp, entry, has_room));
                }
            }
        }
        Ok(survey)
    }

    /// Lists the tails of all databases and returns the size of each.
    pub(crate) async fn sizes(
        bucket: &Bucket,
    ) -> Result<BTreeMap<DatabaseId, TailSize>, CompactError> {
        let mut sizes: BTreeMap<DatabaseId, TailSize> = BTreeMap::new();
        let mut pages = ListingPages::new(bucket, Key::TAIL_PREFIX);
        while let Some(page) = pages.next().await? {
            for entry in page.entries {
                if let Ok(Key::Segment(database, _)) = entry.key.parse() {
                    sizes.entry(database).or_default().add(&entry);
                }
            }
        }
        Ok(sizes)
    }

    fn count(&mut self, entry: &ListEntry) {
        self.total.segments += 1;
        self.total.bytes = self.total.bytes.saturating_add(entry.size_bytes);
        let age = self.date.map(|date| date.since(entry.last_modified));
        self.total.oldest = self.total.oldest.max(age.unwrap_or_default());
    }
}

/// Lists the tail of a database. Also returns the store's time.
pub(crate) async fn list_tail(
    bucket: &Bucket,
    database: DatabaseId,
) -> Result<(ListedTail, Option<StoreTime>), CompactError> {
    let mut tail = ListedTail::default();
    let mut date = None;
    let prefix = Key::tail_prefix(database);
    let mut pages = ListingPages::new(bucket, &prefix);
    while let Some(page) = pages.next().await? {
        date = date.or(page.date);
        for entry in page.entries {
            if let Ok(Key::Segment(_, name)) = entry.key.parse() {
                let has_room = tail.segments.len() < MAX_KEPT_SEGMENTS_OF_DATABASE;
                tail.add(name.stamp, entry, has_room);
            }
        }
    }
    Ok((tail, date))
}

/// Returns the size of a database's tail above a mark, from a listing that is not kept.
pub(crate) async fn tail_size_above(
    bucket: &Bucket,
    database: DatabaseId,
    mark: Stamp,
) -> Result<TailSize, CompactError> {
    let mut size = TailSize::default();
    let prefix = Key::tail_prefix(database);
    let mut pages = ListingPages::new(bucket, &prefix);
    while let Some(page) = pages.next().await? {
        for entry in page.entries {
            if let Ok(Key::Segment(_, name)) = entry.key.parse()
                && name.stamp > mark
            {
                size.add(&entry);
            }
        }
    }
    Ok(size)
}
