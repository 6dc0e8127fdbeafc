//! Writes whose stamps a clock has not reached, because the store's clock was ahead when they were made.

use neap_bucket::{Stamp, StoreTime};
use serde::Serialize;

use crate::{Fsck, FsckError, fsck::entries};

/// A database with writes that are ahead of a clock.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct WritesAhead {
    /// The name of the database.
    pub database: String,
    /// The low-water mark, if it is ahead. Writes are refused until the store's clock has reached it.
    pub mark: Option<StoreTime>,
    /// The newest write in the tail, if it is ahead. A write that is made before the store's clock has reached it loses
    /// to it if both are of the same point, and flushes leave it in the tail.
    pub newest: Option<StoreTime>,
}

impl Fsck {
    /// Returns the databases with writes after `time`: 1 GET and 1 LIST for each database.
    ///
    /// # Errors
    /// The store does not answer, or a register is damaged.
    pub async fn writes_ahead(&self, time: StoreTime) -> Result<Vec<WritesAhead>, FsckError> {
        let read = self.root().await?;
        let root = read.map_err(|finding| FsckError::Aborted(finding.message))?;
        let mut found = Vec::new();
        for entry in entries(&root.value).into_iter().filter(|it| it.has_data) {
            let manifest = self.manifests.read(entry.id, None).await?;
            let mark = manifest.value.low_water_mark.time();
            let above = Stamp::end_of(time);
            let newest = self.bucket.newest_stamp(entry.id, above).await?;
            let ahead = WritesAhead {
                database: entry.name,
                mark: Some(mark).filter(|mark| *mark > time),
                newest: newest.map(Stamp::time),
            };
            if ahead.mark.is_some() || ahead.newest.is_some() {
                found.push(ahead);
            }
        }
        Ok(found)
    }
}
