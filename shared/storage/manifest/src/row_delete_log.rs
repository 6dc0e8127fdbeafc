//! The log of requests to delete rows, in a register of the cluster.
//!
//! ```text
//!   instance                                      store
//!     |-- PUT segment with the delete -----------> |   acknowledged: no later snapshot has the rows
//!     |-- add the request to row_deletes --------> |   crash before: the rows are deleted, the log lacks the request
//!     |   the first time: record it in the catalog |   from now on, a missing log is lost
//!     |   ... flushes, merges, collections ...     |
//!     |-- GET row_deletes, manifests, LIST tails -> |   refresh: no object has the rows any more?
//!     |-- mark the request as completed ---------> |
//! ```
//!
//! The log only reports: a delete takes effect with its segment, whatever the log says.

use std::collections::BTreeSet;

use neap_bucket::{
    CommitOutcome, Key, ObjectFormat, RECENT_PUT_IDS, Register, RegisterChange, RegisterValue,
    Stamp, StoreTime, VersionedValue, formats,
};
use neap_catalog::Catalog;
use neap_schema::{DatabaseId, TableId};
use serde::{Deserialize, Serialize};

use crate::{
    ManifestError,
    row_delete_progress::{DeleteProgress, delete_progress, has_segment_up_to},
};

/// Maximum number of requests that are not completed, as in InfluxDB 3.
pub const MAX_PENDING_ROW_DELETES: usize = 1_000;

/// Maximum bytes of the predicates of requests that are not completed (4 MiB).
const MAX_PENDING_PREDICATE_BYTES: usize = 4 << 20;

/// Maximum number of completed requests in the log. The oldest are removed first.
const MAX_COMPLETED: usize = 1_000;

/// Maximum bytes of the predicates of completed requests (2 MiB).
const MAX_COMPLETED_PREDICATE_BYTES: usize = 2 << 20;

/// A request to delete rows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RowDeleteRequest {
    /// The number of the request, counted from 1 in the cluster.
    pub sequence: u64,
    /// The rows, and the stamp of the delete.
    #[serde(flatten)]
    pub delete: LoggedRowDelete,
    /// When the request was added to the log, by the store's clock.
    pub created: StoreTime,
    /// A version of the manifest from which on no section has the rows; `None` while one may have some.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub applied: Option<u64>,
    /// When it was found that no object has the rows any more, by the store's clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub completed: Option<StoreTime>,
}

/// An acknowledged delete of rows of one table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoggedRowDelete {
    /// The database.
    pub database: DatabaseId,
    /// The table.
    pub table: TableId,
    /// The name of the database when the rows were deleted.
    pub database_name: String,
    /// The name of the table when the rows were deleted.
    pub table_name: String,
    /// The first time of the rows, in nanoseconds since the Unix epoch; `None`: the earliest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_time: Option<i64>,
    /// The time after the last one of the rows, in nanoseconds since the Unix epoch; `None`: after the latest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_time: Option<i64>,
    /// The condition on tags, as it was requested; empty if there is none.
    pub predicate: String,
    /// The position in the order of all writes; `None` if no row could match.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stamp: Option<Stamp>,
}

/// The requests in the log, oldest first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RowDeleteRequests {
    last_sequence: u64,
    requests: Vec<RowDeleteRequest>,
}

impl RegisterValue for RowDeleteRequests {
    const FORMAT: ObjectFormat = formats::ROW_DELETES;
}

impl RowDeleteRequests {
    /// The requests, oldest first.
    pub fn iter(&self) -> impl Iterator<Item = &RowDeleteRequest> {
        self.requests.iter()
    }

    /// Returns a request.
    pub fn get(&self, sequence: u64) -> Option<&RowDeleteRequest> {
        self.iter().find(|request| request.sequence == sequence)
    }

    /// The requests that are not completed.
    pub fn pending(&self) -> impl Iterator<Item = &RowDeleteRequest> {
        self.iter().filter(|request| request.completed.is_none())
    }

    /// Returns whether the log has no room for another request that is not completed.
    pub fn is_full(&self) -> bool {
        let bytes: usize = self.pending().map(RowDeleteRequest::text_bytes).sum();
        self.pending().count() >= MAX_PENDING_ROW_DELETES || bytes >= MAX_PENDING_PREDICATE_BYTES
    }

    /// Adds a request. A delete that could match no row is completed at once.
    fn add(&mut self, delete: LoggedRowDelete, now: StoreTime) -> RowDeleteRequest {
        self.last_sequence = self.last_sequence.saturating_add(1);
        let completed = delete.stamp.is_none().then_some(now);
        let request = RowDeleteRequest {
            sequence: self.last_sequence,
            delete,
            created: now,
            applied: None,
            completed,
        };
        self.requests.push(request.clone());
        self.forget_completed();
        request
    }

    /// Takes over the progress of requests that are in both logs.
    fn merge_progress(&mut self, refreshed: &Self, now: StoreTime) {
        for request in &mut self.requests {
            let Some(newer) = refreshed.get(request.sequence) else {
                continue;
            };
            request.applied = request.applied.or(newer.applied);
            if newer.completed.is_some() {
                request.completed.get_or_insert(now);
            }
        }
        self.forget_completed();
    }

    /// Removes the oldest completed requests above the limits.
    fn forget_completed(&mut self) {
        let (mut count, mut bytes) = (0_usize, 0_usize);
        let mut forgotten = BTreeSet::new();
        let completed = self.requests.iter().rev();
        for request in completed.filter(|request| request.completed.is_some()) {
            count += 1;
            bytes = bytes.saturating_add(request.text_bytes());
            if count > MAX_COMPLETED || bytes > MAX_COMPLETED_PREDICATE_BYTES {
                forgotten.insert(request.sequence);
            }
        }
        self.requests.retain(|request| !forgotten.contains(&request.sequence));
    }
}

impl RowDeleteRequest {
    fn text_bytes(&self) -> usize {
        let delete = &self.delete;
        delete.predicate.len() + delete.database_name.len() + delete.table_name.len()
    }
}

/// The log in a bucket. A read costs 1 GET, a change 1 GET and 1 PUT. While there was no request, both cost 1 GET more, to
/// see that the log is not lost, and the first request 1 GET and 1 PUT, which record it in the root catalog.
#[derive(Clone, Debug)]
pub struct RowDeleteLog<'a> {
    catalog: &'a Catalog,
    register: Register<RowDeleteRequests>,
}

impl<'a> RowDeleteLog<'a> {
    /// Returns the log of a cluster.
    pub fn new(catalog: &'a Catalog) -> Self {
        let bucket = catalog.bucket().clone();
        Self {
            catalog,
            register: Register::new(bucket, Key::RowDeletes, RECENT_PUT_IDS),
        }
    }

    /// Reads the log, without looking for progress: 1 GET.
    ///
    /// # Errors
    /// The log is lost or can't be read.
    pub async fn read(&self) -> Result<RowDeleteRequests, ManifestError> {
        let value = self.read_register().await?.value;
        Ok(RowDeleteRequests::clone(&value))
    }

    async fn read_register(&self) -> Result<VersionedValue<RowDeleteRequests>, ManifestError> {
        let read = self.register.read(None).await?;
        Ok(self.catalog.verify_absence(&self.register, read).await?)
    }

    /// Adds a delete that is in effect.
    ///
    /// # Errors
    /// The log is lost or can't be changed.
    pub async fn add(&self, delete: LoggedRowDelete) -> Result<RowDeleteRequest, ManifestError> {
        let added = self.change(|requests, now| requests.add(delete.clone(), now)).await?;
        if let Err(error) = self.catalog.record_register(&Key::RowDeletes).await {
            tracing::warn!(%error, "the root catalog does not record the log of row deletes yet");
        }
        Ok(added)
    }

    /// Returns the log with the progress since it was last stored, for the requests that `shown` selects. `exists` says
    /// whether a database exists, dropped or not. Costs 1 GET, and for each database with pending requests 1 GET and at
    /// most a LIST of its tail.
    ///
    /// # Errors
    /// The log or a manifest can't be read.
    pub async fn read_progress(
        &self,
        exists: impl Fn(DatabaseId) -> bool,
        shown: impl Fn(DatabaseId) -> bool,
    ) -> Result<RowDeleteRequests, ManifestError> {
        let stored = self.read().await?;
        self.progress_of(&stored, exists, shown).await
    }

    /// Stores and returns the log with the progress since it was last stored: [`Self::read_progress`], and if there is
    /// some 1 GET and 1 PUT.
    ///
    /// # Errors
    /// The log or a manifest can't be read, or the log can't be changed.
    pub async fn refresh(
        &self,
        exists: impl Fn(DatabaseId) -> bool,
    ) -> Result<RowDeleteRequests, ManifestError> {
        let stored = self.read().await?;
        let refreshed = self.progress_of(&stored, exists, |_| true).await?;
        if refreshed == stored {
            return Ok(stored);
        }
        self.change(|requests, now| {
            requests.merge_progress(&refreshed, now);
            requests.clone()
        })
        .await
    }

    async fn progress_of(
        &self,
        stored: &RowDeleteRequests,
        exists: impl Fn(DatabaseId) -> bool,
        shown: impl Fn(DatabaseId) -> bool,
    ) -> Result<RowDeleteRequests, ManifestError> {
        let mut requests = stored.clone();
        let databases: BTreeSet<_> = requests
            .pending()
            .map(|request| request.delete.database)
            .filter(|database| shown(*database))
            .collect();
        for database in databases {
            let progress = if exists(database) {
                match delete_progress(self.catalog.bucket(), database).await {
                    Ok(progress) => Some(progress),
                    // Its requests stay pending, and those of other databases progress.
                    Err(ManifestError::Format(error)) => {
                        tracing::warn!(%database, %error, "the progress of row deletes is unknown");
                        continue;
                    }
                    Err(error) => return Err(error),
                }
            } else {
                // Nothing is left of the database.
                None
            };
            let now = self.catalog.bucket().clock().now();
            let pending = requests.requests.iter_mut().filter(|request| {
                request.delete.database == database && request.completed.is_none()
            });
            for request in pending {
                let is_done = match &progress {
                    Some(progress) => {
                        let (value, version) = (&progress.value, progress.version);
                        self.advance(request, value, version).await?
                    }
                    None => true,
                };
                request.completed = now.filter(|_| is_done);
            }
        }
        Ok(requests)
    }

    /// Looks for progress of a request. Returns whether no object has its rows any more.
    async fn advance(
        &self,
        request: &mut RowDeleteRequest,
        progress: &DeleteProgress,
        version: u64,
    ) -> Result<bool, ManifestError> {
        let Some(stamp) = request.delete.stamp else {
            return Ok(true);
        };
        if request.applied.is_none() {
            request.applied = progress.applied_version(stamp, request.delete.table, version);
        }
        let Some(applied) = request.applied else {
            return Ok(false);
        };
        if progress.keeps_objects_before(applied) {
            return Ok(false);
        }
        let database = request.delete.database;
        Ok(!has_segment_up_to(self.catalog.bucket(), database, stamp).await?)
    }

    async fn change<R: Send>(
        &self,
        mut change: impl FnMut(&mut RowDeleteRequests, StoreTime) -> R + Send,
    ) -> Result<R, ManifestError> {
        let known = self.read_register().await?;
        let clock = self.catalog.bucket().clock();
        let commit = |base: &VersionedValue<RowDeleteRequests>| {
            let now = base.current_at.or_else(|| clock.now()).ok_or(NoStoreTime)?;
            let mut requests = RowDeleteRequests::clone(&base.value);
            let result = change(&mut requests, now);
            Ok::<_, NoStoreTime>(RegisterChange::Put(requests, result))
        };
        match self.register.commit(Some(known), commit).await? {
            CommitOutcome::Committed { result, .. } => Ok(result),
            CommitOutcome::Refused(error) => {
                Err(ManifestError::OutcomeUnknown { reason: error.to_string() })
            }
            CommitOutcome::Unknown { reason } => Err(ManifestError::OutcomeUnknown { reason }),
        }
    }
}

/// The store has not told its time.
#[derive(Debug, thiserror::Error)]
#[error("the store's time is unknown")]
struct NoStoreTime;

#[cfg(test)]
mod tests {
    use super::*;

    fn delete(predicate: &str, stamp: Option<u64>) -> LoggedRowDelete {
        LoggedRowDelete {
            database: DatabaseId::new(1),
            table: TableId::new(2),
            database_name: "home".to_owned(),
            table_name: "rooms".to_owned(),
            min_time: Some(-5),
            max_time: None,
            predicate: predicate.to_owned(),
            stamp: stamp.map(Stamp::from_u64),
        }
    }

    fn time(seconds: i64) -> StoreTime {
        StoreTime::from_micros(seconds * 1_000_000)
    }

    #[test]
    fn the_format_is_json() {
        let mut requests = RowDeleteRequests::default();
        requests.add(delete("room = 'a'", Some(7)), time(1));
        requests.add(delete("", None), time(2));
        let expected = serde_json::json!({
            "last_sequence": 2,
            "requests": [
                {
                    "sequence": 1, "database": 1, "table": 2, "database_name": "home",
                    "table_name": "rooms", "min_time": -5, "predicate": "room = 'a'", "stamp": 7,
                    "created": 1_000_000,
                },
                {
                    "sequence": 2, "database": 1, "table": 2, "database_name": "home",
                    "table_name": "rooms", "min_time": -5, "predicate": "", "created": 2_000_000,
                    "completed": 2_000_000,
                },
            ],
        });
        assert_eq!(serde_json::to_value(requests).unwrap(), expected);
    }

    #[test]
    fn completed_requests_are_forgotten_before_pending_ones() {
        let mut requests = RowDeleteRequests::default();
        requests.add(delete("", Some(1)), time(1));
        for number in 0..MAX_COMPLETED + 3 {
            requests.add(delete("", None), time(2 + number as i64));
        }
        assert_eq!(requests.iter().count(), MAX_COMPLETED + 1);
        assert!(requests.get(1).is_some(), "it is pending");
        assert!(requests.get(4).is_none());
        assert_eq!(requests.pending().count(), 1);
        let long = "x".repeat(1 << 20);
        for _ in 0..3 {
            requests.add(delete(&long, None), time(9));
        }
        assert_eq!(requests.iter().count(), 2, "one long text fits");
    }

    #[test]
    fn the_log_is_full_at_the_limits_of_number_and_bytes() {
        let mut requests = RowDeleteRequests::default();
        for _ in 0..MAX_PENDING_ROW_DELETES {
            assert!(!requests.is_full());
            requests.add(delete("", Some(1)), time(1));
        }
        assert!(requests.is_full());
        let mut requests = RowDeleteRequests::default();
        requests.add(delete(&"x".repeat(MAX_PENDING_PREDICATE_BYTES), Some(1)), time(1));
        assert!(requests.is_full());
    }

    #[test]
    fn progress_is_kept_when_another_process_stores_some_at_the_same_time() {
        let mut stored = RowDeleteRequests::default();
        stored.add(delete("", Some(1)), time(1));
        stored.add(delete("", Some(2)), time(1));
        let mut refreshed = stored.clone();
        refreshed.requests[0].applied = Some(9);
        refreshed.requests[0].completed = Some(time(3));
        stored.requests[1].applied = Some(4);
        stored.merge_progress(&refreshed, time(5));
        assert_eq!(stored.get(1).unwrap().completed, Some(time(5)));
        assert_eq!(stored.get(2).unwrap().applied, Some(4));
        assert_eq!(stored.get(2).unwrap().completed, None);
    }
}
