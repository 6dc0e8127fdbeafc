//! The tails of databases, as listings show them.

use std::{collections::BTreeMap, time::Duration};

use neap_bucket::{Bucket, Key, ListEntry, Stamp, StoreTime};
use neap_schema::DatabaseId;

use crate::{
    CompactError, Tails,
    deferred::{DeferralReason, DeferredSegments},
    listing::{Page, Pages},
};

/// The maximum number of segments of one listing that are kept, so that the tail of a database need not be listed again:
/// some 10 MB.
const MAX_KEPT_SEGMENTS: usize = 50_000;

/// The maximum number of segments that are kept of a listing of one database.
const MAX_KEPT_SEGMENTS_OF_DATABASE: usize = 4_000;

/// How long a tail is.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct TailSize {
    /// Its segments.
    pub(crate) segments: usize,
    /// Their bytes.
    pub(crate) bytes: u64,
    /// When the oldest one was put.
    pub(crate) oldest: Option<StoreTime>,
}

impl TailSize {
    fn add(&mut self, entry: &ListEntry) {
        self.segments += 1;
        self.bytes = self.bytes.saturating_add(entry.size_bytes);
        let oldest = self.oldest.unwrap_or(entry.last_modified);
        self.oldest = Some(oldest.min(entry.last_modified));
    }

    /// How old the oldest segment is.
    pub(crate) fn age(&self, date: Option<StoreTime>) -> Duration {
        date.zip(self.oldest)
            .map_or(Duration::ZERO, |(date, oldest)| date.since(oldest))
    }
}

/// The tail of a database in a listing.
#[derive(Debug, Default)]
pub(crate) struct ListedTail {
    /// How long it is, with what was flushed and is not deleted yet.
    pub(crate) size: TailSize,
    /// The greatest stamp.
    pub(crate) newest: Option<Stamp>,
    segments: Vec<(Stamp, ListEntry)>,
    is_whole: bool,
}

impl ListedTail {
    /// Adds a segment, and keeps it if there is room. A listing is in the order of stamps but for their ties.
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

    /// Whether all segments were kept.
    pub(crate) fn is_whole(&self) -> bool {
        self.is_whole || self.size.segments == 0
    }

    /// How long the tail is above a mark, if all segments were kept.
    pub(crate) fn size_above(&self, mark: Stamp) -> TailSize {
        let mut size = TailSize::default();
        let above = self.segments.iter().filter(|(stamp, _)| *stamp > mark);
        above.for_each(|(_, entry)| size.add(entry));
        size
    }

    /// The segments, as a page of a listing.
    pub(crate) fn into_page(self, date: Option<StoreTime>) -> Page {
        let entries = self.segments.into_iter().map(|(_, entry)| entry).collect();
        Page { entries, date }
    }
}

/// The tails of all databases.
#[derive(Debug, Default)]
pub(crate) struct TailSurvey {
    /// Those of which segments are not passed over.
    pub(crate) databases: BTreeMap<DatabaseId, ListedTail>,
    /// All of them together, without what this process has flushed just now.
    pub(crate) total: Tails,
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
        let mut pages = Pages::of(bucket, Key::TAIL_PREFIX);
        while let Some(page) = pages.next().await? {
            survey.date = survey.date.or(page.date);
            for entry in page.entries {
                let Ok(Key::Segment(database, name)) = entry.key.parse() else {
                    continue;
                };
                let deferral = deferred.reason(database, name.stamp, bucket.world());
                if deferral == Some(DeferralReason::Flushed) {
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

    /// Lists the tails of all databases, and keeps how long each is.
    pub(crate) async fn sizes(
        bucket: &Bucket,
    ) -> Result<BTreeMap<DatabaseId, TailSize>, CompactError> {
        let mut sizes: BTreeMap<DatabaseId, TailSize> = BTreeMap::new();
        let mut pages = Pages::of(bucket, Key::TAIL_PREFIX);
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

/// Lists the tail of a database, with the store's time.
pub(crate) async fn list_tail(
    bucket: &Bucket,
    database: DatabaseId,
) -> Result<(ListedTail, Option<StoreTime>), CompactError> {
    let mut tail = ListedTail::default();
    let mut date = None;
    let prefix = Key::tail_prefix(database);
    let mut pages = Pages::of(bucket, &prefix);
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

/// How long the tail of a database is above a mark, by a listing of which nothing is kept.
pub(crate) async fn tail_size_above(
    bucket: &Bucket,
    database: DatabaseId,
    mark: Stamp,
) -> Result<TailSize, CompactError> {
    let mut size = TailSize::default();
    let prefix = Key::tail_prefix(database);
    let mut pages = Pages::of(bucket, &prefix);
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
