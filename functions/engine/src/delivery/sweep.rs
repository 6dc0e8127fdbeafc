//! Lists the tail to find segments without a notification, and raises the marks of checkpoints.
//!
//! ```text
//!   LIST tail above the lowest mark, Date D
//!     |-- offer unprocessed segments -------> feeds
//!     |-- mark := min(D - G, below the first unprocessed segment)
//! ```
//!
//! A segment that appears later with a stamp up to *D* − *G* can't have been acknowledged (rules W2 and F), so no
//! acknowledged segment below a mark is unprocessed. A sole writer gets a notification of each of its own segments. It
//! needs the listing only once, and after a put without an answer.

use std::{sync::Arc, time::Duration};

use neap_bucket::{SegmentName, Stamp, StoreTime};
use neap_schema::DatabaseId;
use neap_wal::TailListing;

use crate::{
    checkpoint::{OfferOutcome, TriggerFeed},
    engine::Engine,
    error::EngineError,
};

/// Without a listing, the time for which a put may still be in flight. This is ample, because no put that took more
/// than 10 s is acknowledged.
const PUT_TIME: Duration = Duration::from_secs(30);

impl Engine {
    /// Lists the tail of a database and offers its segments to the triggers that have not processed them.
    pub(crate) async fn sweep_database(&self, database: DatabaseId) -> Result<(), EngineError> {
        let feeds = self.feeds_of(database);
        if feeds.is_empty() {
            return Ok(());
        }
        let is_sole = self.is_sole_writer();
        for feed in &feeds {
            if !is_sole || !feed.is_loaded() {
                feed.load().await?;
            }
        }
        if is_sole && self.known_tails().contains(&database) {
            if let Some(now) = self.bucket.clock().now() {
                self.raise(&feeds, now.minus(PUT_TIME));
            }
            return Ok(());
        }
        // A put without an answer, or a full queue, removes the entry again.
        self.known_tails().insert(database);
        let listed = self.list_unseen(database, &feeds).await;
        if listed.is_err() {
            self.known_tails().remove(&database);
        }
        listed
    }

    /// Lists the tail and offers its segments, as many as fit into the queues. Triggers whose position is beyond the
    /// listing get a listing of their own, so that a trigger with a backlog does not delay the others.
    async fn list_unseen(
        &self,
        database: DatabaseId,
        feeds: &[Arc<TriggerFeed>],
    ) -> Result<(), EngineError> {
        let mut left = feeds.to_vec();
        left.sort_by_key(|feed| feed.low());
        while let Some(first) = left.first() {
            self.catalog.verify_tail().await?;
            let above = first.low();
            let done = left.iter().map(|feed| feed.done()).max().unwrap_or(0);
            let most = self.settings.max_queued.saturating_add(done);
            for feed in &left {
                feed.begin_sweep();
            }
            let listing = self.tail.list_oldest(database, above, most).await?;
            let is_later = |feed: &Arc<TriggerFeed>| {
                listing.beyond.is_some_and(|beyond| feed.low() >= beyond && feed.low() > above)
            };
            let (later, now): (Vec<_>, Vec<_>) = left.into_iter().partition(is_later);
            self.offer_listed(database, &now, &listing);
            left = later;
        }
        Ok(())
    }

    fn offer_listed(
        &self,
        database: DatabaseId,
        feeds: &[Arc<TriggerFeed>],
        listing: &TailListing,
    ) {
        let date = listing.first_page_date;
        for feed in feeds {
            if let Some(beyond) = listing.beyond {
                feed.turn_away(beyond);
            }
            for segment in &listing.segments {
                if self.is_due(feed, segment.name, date)
                    && feed.offer(segment.name) == OfferOutcome::Full
                {
                    break;
                }
            }
            if feed.has_overflow() {
                self.known_tails().remove(&database);
            }
        }
        if let Some(date) = date {
            self.raise(feeds, date);
        }
    }

    /// Returns whether this instance should run a listed segment. Triggers whose runs may overlap have no lease, so a
    /// young segment is left to the instance that was notified of it.
    fn is_due(&self, feed: &TriggerFeed, name: SegmentName, date: Option<StoreTime>) -> bool {
        let known = self.roster.get(feed.key);
        let is_async = known.is_some_and(|known| known.trigger.run_async);
        let is_old = || {
            let age = date.map(|date| date.since(name.stamp.time()));
            age.is_some_and(|age| age >= self.rules.flush_lag)
        };
        !is_async || self.is_sole_writer() || is_old()
    }

    /// Raises the marks, because every segment acknowledged up to *G* before this time is known.
    fn raise(&self, feeds: &[Arc<TriggerFeed>], date: StoreTime) {
        let mark = Stamp::end_of(date.minus(self.rules.flush_lag));
        for feed in feeds {
            feed.advance(mark);
            if feed.is_unsaved(self.holder, self.settings.lease) {
                self.dirty.notify_one();
            }
        }
    }
}
