//! The newest stamp in the tail of a database, for operations that must be ordered after every acknowledged write.

use std::time::Duration;

use neap_schema::DatabaseId;

use crate::{Bucket, Key, ListRequest, Operation, Stamp, StoreError};

/// Maximum number of pages of one listing. A sorted listing contains only segments above the instance's stamp, which
/// rarely fill one page.
const MAX_PAGES: usize = 1_000;

/// Maximum time by which the stamp of an acknowledged write is ahead of the store's clock. Stamps further ahead do not
/// belong to acknowledged writes.
pub const MAX_STAMP_LEAD: Duration = Duration::from_secs(60);

impl Bucket {
    /// Lists the segments of a database above a stamp and returns the greatest stamp. The listing contains every
    /// segment whose put was answered before this call, unless the segment was garbage-collected. Ignores stamps more
    /// than one minute ahead of the store's clock, as of the listing's answer, because they do not belong to
    /// acknowledged writes.
    ///
    /// # Errors
    /// The store does not answer, or the listing has more than 1,000 pages.
    pub async fn newest_stamp(
        &self,
        database: DatabaseId,
        above: Stamp,
    ) -> Result<Option<Stamp>, StoreError> {
        let prefix = Key::tail_prefix(database);
        let start_after = Key::tail_after(database, above);
        let mut newest = None;
        let mut page_token = None;
        for _ in 0..MAX_PAGES {
            let request =
                ListRequest { prefix: &prefix, start_after: Some(&start_after), page_token };
            let page = self.list(request).await?.value;
            // Read the clock after the answer, because it may have stopped before.
            let now = self.clock().now().unwrap_or_default();
            let upto = Stamp::end_of(now.plus(MAX_STAMP_LEAD));
            let stamps = page.entries.iter().filter_map(|entry| {
                match entry.key.parse() {
                    // A store that does not sort may answer with segments at or below the stamp.
                    Ok(Key::Segment(of, name)) if of == database => Some(name.stamp),
                    _ => None,
                }
            });
            let found = stamps.filter(|stamp| *stamp > above && *stamp <= upto);
            newest = newest.max(found.max());
            page_token = page.next_page_token;
            if page_token.is_none() {
                return Ok(newest);
            }
        }
        Err(StoreError::Unavailable {
            operation: Operation::List,
            key: prefix,
            reason: format!("the listing has more than {MAX_PAGES} pages"),
        })
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::{PutMode, SegmentName, StoreTime, World};

    #[tokio::test]
    async fn only_segments_of_the_database_that_may_be_acknowledged_count() {
        let world = World::system();
        let now = StoreTime::from_micros(world.clock.wall_micros());
        let bucket = Bucket::in_memory(world);
        let [one, other] = [1, 2].map(DatabaseId::new);
        let at = |seconds: u64| Stamp::new(now.plus(Duration::from_secs(seconds)), 3);
        for (database, seconds) in [(one, 5), (one, 7), (one, 9), (one, 4000), (other, 8)] {
            let stamp = at(seconds);
            let key = Key::Segment(database, SegmentName { stamp, nonce: 0 });
            let put = bucket.put(&key, Bytes::new(), PutMode::Overwrite);
            put.await.unwrap();
        }
        for (above, newest) in [(0, Some(9)), (7, Some(9)), (9, None)] {
            let found = bucket.newest_stamp(one, at(above)).await.unwrap();
            assert_eq!(found, newest.map(at));
        }
    }
}
