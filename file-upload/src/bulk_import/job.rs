//! The state of an import job, a register of its own.

use std::time::Duration;

use neap_bucket::{ObjectFormat, RegisterValue, StoreTime};
use neap_schema::{DatabaseId, TableId};
use serde::{Deserialize, Serialize};
use ulid::Ulid;

use super::columns::ColumnTypes;

/// How long a claim lasts, unless its worker renews it.
pub(crate) const CLAIM_DURATION: Duration = Duration::from_secs(60);

/// The number of times that a job is started before it fails.
const MAX_ATTEMPTS: u32 = 10;

/// Maximum bytes of the message of a job.
const MAX_MESSAGE_BYTES: usize = 4 << 10;

/// The status of a job, with the names of InfluxDB 3.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ImportStatus {
    /// No worker has begun.
    #[default]
    Queued,
    /// A worker imports the rows.
    Dispatched,
    /// All rows are stored, and queries see them.
    Imported,
    /// A worker has stopped because of a temporary error. The job continues later.
    Failed,
    /// The job does not continue.
    TerminalFailed,
}

/// A worker's claim of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct JobClaim {
    /// The worker.
    pub(crate) worker: Ulid,
    /// When the claim ends, by the store's clock.
    pub(crate) expires: StoreTime,
}

/// What a file contains, and where its rows go.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ImportedFile {
    pub(crate) database: DatabaseId,
    pub(crate) table: TableId,
    pub(crate) database_name: String,
    pub(crate) table_name: String,
    /// The name that the client gave the file.
    pub(crate) filename: String,
    #[serde(default, skip_serializing_if = "ColumnTypes::is_empty")]
    pub(crate) columns: ColumnTypes,
    pub(crate) size_bytes: u64,
    pub(crate) rows: u64,
    /// The times of the rows by the statistics of the file, in nanoseconds since the Unix epoch; 0 if it has none.
    pub(crate) min_time: i64,
    pub(crate) max_time: i64,
    /// Whether InfluxDB wrote the file, with the roles of its columns.
    pub(crate) is_of_influxdb: bool,
}

/// An import job.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ImportJob {
    pub(crate) file: ImportedFile,
    pub(crate) status: ImportStatus,
    /// Times by the store's clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) created: Option<StoreTime>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) started: Option<StoreTime>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) ended: Option<StoreTime>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) updated: Option<StoreTime>,
    /// The number of rows that are stored.
    #[serde(default)]
    pub(crate) stored_rows: u64,
    /// The number of times that a worker began.
    #[serde(default)]
    pub(crate) attempts: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) claim: Option<JobClaim>,
    /// The last error.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) message: Option<String>,
}

impl RegisterValue for ImportJob {
    const FORMAT: ObjectFormat = ObjectFormat {
        magic: *b"NIMP",
        kind: "import job",
        version: 1,
    };
}

/// The reason why a worker must not continue a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ClaimRefusal {
    /// The job has ended, or does not exist.
    #[error("the job has ended")]
    Ended,
    /// Another worker has claimed it.
    #[error("another worker has claimed the job")]
    Claimed,
}

/// The end of a worker's attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ImportAttemptEnd {
    /// All rows are stored.
    Imported,
    /// A temporary error.
    Interrupted(String),
    /// An error that does not pass.
    Failed(String),
}

impl ImportJob {
    /// Returns whether the job is over.
    pub(crate) fn has_ended(&self) -> bool {
        matches!(
            self.status,
            ImportStatus::Imported | ImportStatus::TerminalFailed
        )
    }

    /// Claims the job for a worker, or renews its claim.
    pub(crate) fn claim(&mut self, worker: Ulid, now: StoreTime) -> Result<(), ClaimRefusal> {
        if self.has_ended() || self.created.is_none() {
            return Err(ClaimRefusal::Ended);
        }
        match self.claim {
            Some(claim) if claim.worker != worker && now < claim.expires => {
                return Err(ClaimRefusal::Claimed);
            }
            Some(claim) if claim.worker == worker => {}
            _ => self.attempts = self.attempts.saturating_add(1),
        }
        self.status = ImportStatus::Dispatched;
        self.started.get_or_insert(now);
        self.updated = Some(now);
        self.claim = Some(JobClaim {
            worker,
            expires: now.plus(CLAIM_DURATION),
        });
        Ok(())
    }

    /// Records the stored rows of a worker, and renews its claim.
    pub(crate) fn progress(
        &mut self,
        worker: Ulid,
        stored_rows: u64,
        now: StoreTime,
    ) -> Result<(), ClaimRefusal> {
        if self.claim.is_none_or(|claim| claim.worker != worker) {
            return Err(ClaimRefusal::Claimed);
        }
        self.claim(worker, now)?;
        self.stored_rows = stored_rows;
        Ok(())
    }

    /// Ends a worker's attempt.
    pub(crate) fn end(
        &mut self,
        worker: Ulid,
        stored_rows: u64,
        end: ImportAttemptEnd,
        now: StoreTime,
    ) -> Result<(), ClaimRefusal> {
        self.progress(worker, stored_rows, now)?;
        self.claim = None;
        let (status, message) = match end {
            ImportAttemptEnd::Imported => (ImportStatus::Imported, None),
            ImportAttemptEnd::Interrupted(message) if self.attempts < MAX_ATTEMPTS => {
                (ImportStatus::Failed, Some(message))
            }
            ImportAttemptEnd::Interrupted(message) | ImportAttemptEnd::Failed(message) => {
                (ImportStatus::TerminalFailed, Some(message))
            }
        };
        self.status = status;
        self.message = message.map(|mut message| {
            message.truncate(message.floor_char_boundary(MAX_MESSAGE_BYTES));
            message
        });
        self.ended = self.has_ended().then_some(now);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: Ulid = Ulid(1);
    const TWO: Ulid = Ulid(2);

    fn at(seconds: i64) -> StoreTime {
        StoreTime::from_micros(seconds * 1_000_000)
    }

    fn queued() -> ImportJob {
        ImportJob {
            created: Some(at(0)),
            ..ImportJob::default()
        }
    }

    #[test]
    fn another_worker_continues_when_the_claim_expires() {
        let mut job = queued();
        job.claim(ONE, at(1)).unwrap();
        assert_eq!(job.status, ImportStatus::Dispatched);
        assert_eq!(job.claim(TWO, at(60)), Err(ClaimRefusal::Claimed));
        job.progress(ONE, 10, at(50)).unwrap();
        assert_eq!(job.claim(TWO, at(100)), Err(ClaimRefusal::Claimed));
        job.claim(TWO, at(110)).unwrap();
        assert_eq!((job.stored_rows, job.attempts), (10, 2));
        assert_eq!(job.progress(ONE, 20, at(111)), Err(ClaimRefusal::Claimed));
        job.end(TWO, 30, ImportAttemptEnd::Imported, at(120))
            .unwrap();
        assert_eq!(
            (job.status, job.ended),
            (ImportStatus::Imported, Some(at(120)))
        );
        assert_eq!(job.claim(ONE, at(500)), Err(ClaimRefusal::Ended));
    }

    #[test]
    fn a_job_fails_after_too_many_interruptions() {
        let mut job = queued();
        let busy = || ImportAttemptEnd::Interrupted("busy".to_owned());
        for attempt in 1..=MAX_ATTEMPTS {
            job.claim(ONE, at(1)).unwrap();
            job.end(ONE, 0, busy(), at(2)).unwrap();
            assert_eq!(job.has_ended(), attempt == MAX_ATTEMPTS);
        }
        assert_eq!(job.status, ImportStatus::TerminalFailed);
        assert_eq!(job.message.as_deref(), Some("busy"));
    }

    #[test]
    fn the_format_is_json() {
        let mut job = queued();
        job.claim(ONE, at(1)).unwrap();
        insta::assert_json_snapshot!(job, @r#"
        {
          "file": {
            "database": 0,
            "table": 0,
            "database_name": "",
            "table_name": "",
            "filename": "",
            "size_bytes": 0,
            "rows": 0,
            "min_time": 0,
            "max_time": 0,
            "is_of_influxdb": false
          },
          "status": "dispatched",
          "created": 0,
          "started": 1000000,
          "updated": 1000000,
          "stored_rows": 0,
          "attempts": 1,
          "claim": {
            "worker": "00000000000000000000000001",
            "expires": 61000000
          }
        }
        "#);
    }
}
