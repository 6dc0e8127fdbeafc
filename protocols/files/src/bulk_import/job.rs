//! The state of an import job, a register of its own.

use std::time::Duration;

use neap_bucket::{FormatError, ObjectFormat, RegisterValue, StoreTime, formats};
use neap_schema::{DatabaseId, TableId};
use neap_write::{DuplicateCheck, IMPORT_RETENTION, SettledImport};
use serde::{Deserialize, Serialize};
use ulid::Ulid;

use super::columns::ColumnTypes;

/// How long a claim lasts, unless its worker renews it.
pub(crate) const CLAIM_DURATION: Duration = Duration::from_secs(60);

/// The number of attempts without a stored row before a job fails.
const MAX_ATTEMPTS: u32 = 10;

/// The number of attempts without a stored row that end with their process before a job fails: its rows may be the reason.
const MAX_LOST_ATTEMPTS: u32 = 2;

/// The time in which a job must end after its first claim. It is shorter than the manifest keeps the number of its rows.
const MAX_JOB_AGE: Duration = Duration::from_secs(7 * 24 * 60 * 60);
const _: () = assert!(MAX_JOB_AGE.as_secs() < IMPORT_RETENTION.as_secs());

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
    /// Whether the rows are checked for equal times if the table has no tags.
    #[serde(default, skip_serializing_if = "is_off")]
    pub(crate) duplicates: DuplicateCheck,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde gives a reference")]
fn is_off(check: &DuplicateCheck) -> bool {
    *check == DuplicateCheck::Off
}

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
    /// The number of rows that are stored, as the worker reported last.
    pub(crate) stored_rows: u64,
    /// The number of rows that were stored when the last attempt began.
    pub(crate) first_row: u64,
    /// The number of attempts that began since the last row was stored.
    pub(crate) attempts: u32,
    /// The number of these attempts whose workers reported no end.
    pub(crate) lost_attempts: u32,
    /// The worker of the present attempt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) worker: Option<Ulid>,
    /// The end of the last claim, by the store's clock. No segment of an earlier attempt has a later stamp.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) claimed_until: Option<StoreTime>,
    /// The last error.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) message: Option<String>,
}

impl RegisterValue for ImportJob {
    const FORMAT: ObjectFormat = formats::IMPORT_JOB;
}

/// The reason why a worker must not continue a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ClaimRefusal {
    /// The job has ended, or does not exist.
    #[error("the job has ended")]
    Ended,
    #[error("another worker has claimed the job")]
    Claimed,
    /// Segments of the last attempt may still appear.
    #[error("the low-water mark is not above the last claim of the job")]
    NotSettled,
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
    /// Returns a job to show in place of one whose register can't be read.
    pub(crate) fn unreadable(id: Ulid, error: &FormatError) -> Self {
        let created_ms = i64::try_from(id.timestamp_ms()).unwrap_or(i64::MAX);
        let status = match error {
            // Processes of the newer release continue the job.
            FormatError::Newer { .. } => ImportStatus::Failed,
            FormatError::Magic { .. } | FormatError::Damaged { .. } => ImportStatus::TerminalFailed,
        };
        Self {
            status,
            created: Some(StoreTime::from_micros(created_ms.saturating_mul(1_000))),
            message: Some(truncated(format!("the job can't be read: {error}"))),
            ..Self::default()
        }
    }

    /// Returns whether the job is over.
    pub(crate) fn has_ended(&self) -> bool {
        matches!(self.status, ImportStatus::Imported | ImportStatus::TerminalFailed)
    }

    /// Claims the job for a new attempt of a worker. `settled` is read before. The job ends if its attempts don't.
    pub(crate) fn claim(
        &mut self,
        worker: Ulid,
        settled: SettledImport,
        now: StoreTime,
    ) -> Result<(), ClaimRefusal> {
        let created = self.check_unclaimed(now)?;
        if let Some(until) = self.claimed_until {
            if settled.mark.time() <= until {
                return Err(ClaimRefusal::NotSettled);
            }
            if now.since(created) > MAX_JOB_AGE {
                self.fail("the job did not end in 7 days".to_owned(), now);
                return Ok(());
            }
        }
        if settled.rows > self.first_row {
            (self.attempts, self.lost_attempts) = (0, 0);
        }
        if self.worker.is_some() {
            self.lost_attempts = self.lost_attempts.saturating_add(1);
        }
        if self.lost_attempts >= MAX_LOST_ATTEMPTS {
            let message = format!(
                "{MAX_LOST_ATTEMPTS} processes ended while they imported the rows after row {}",
                settled.rows
            );
            self.fail(message, now);
            return Ok(());
        }
        self.attempts = self.attempts.saturating_add(1);
        (self.first_row, self.stored_rows) = (settled.rows, settled.rows);
        self.worker = Some(worker);
        self.renew(now);
        Ok(())
    }

    /// Checks that the job has not ended and that no worker imports it. Returns when it was created.
    fn check_unclaimed(&self, now: StoreTime) -> Result<StoreTime, ClaimRefusal> {
        let created = self.created.filter(|_| !self.has_ended()).ok_or(ClaimRefusal::Ended)?;
        if self.claimed_until.is_some_and(|until| now <= until) {
            return Err(ClaimRefusal::Claimed);
        }
        Ok(created)
    }

    fn renew(&mut self, now: StoreTime) {
        self.status = ImportStatus::Dispatched;
        self.started.get_or_insert(now);
        self.updated = Some(now);
        self.claimed_until = Some(now.plus(CLAIM_DURATION));
    }

    /// Records the stored rows of a worker, and renews its claim.
    pub(crate) fn progress(
        &mut self,
        worker: Ulid,
        stored_rows: u64,
        now: StoreTime,
    ) -> Result<(), ClaimRefusal> {
        self.check_claimed(worker)?;
        self.renew(now);
        self.stored_rows = stored_rows;
        Ok(())
    }

    fn check_claimed(&self, worker: Ulid) -> Result<(), ClaimRefusal> {
        if self.has_ended() {
            Err(ClaimRefusal::Ended)
        } else if self.worker != Some(worker) {
            Err(ClaimRefusal::Claimed)
        } else {
            Ok(())
        }
    }

    /// Ends a worker's attempt.
    pub(crate) fn end(
        &mut self,
        worker: Ulid,
        stored_rows: u64,
        end: ImportAttemptEnd,
        now: StoreTime,
    ) -> Result<(), ClaimRefusal> {
        self.check_claimed(worker)?;
        self.worker = None;
        self.stored_rows = stored_rows;
        self.updated = Some(now);
        let has_progressed = stored_rows > self.first_row;
        match end {
            ImportAttemptEnd::Imported => {
                self.status = ImportStatus::Imported;
                self.message = None;
                self.ended = Some(now);
            }
            ImportAttemptEnd::Interrupted(message)
                if has_progressed || self.attempts < MAX_ATTEMPTS =>
            {
                self.status = ImportStatus::Failed;
                self.message = Some(truncated(message));
            }
            ImportAttemptEnd::Interrupted(message) | ImportAttemptEnd::Failed(message) => {
                self.fail(message, now);
            }
        }
        Ok(())
    }

    /// Ends a job that no worker imports, because it can't continue.
    pub(crate) fn fail_unclaimed(
        &mut self,
        message: &str,
        now: StoreTime,
    ) -> Result<(), ClaimRefusal> {
        self.check_unclaimed(now)?;
        self.fail(message.to_owned(), now);
        Ok(())
    }

    fn fail(&mut self, message: String, now: StoreTime) {
        self.status = ImportStatus::TerminalFailed;
        self.message = Some(truncated(message));
        self.worker = None;
        self.updated = Some(now);
        self.ended = Some(now);
    }
}

fn truncated(mut message: String) -> String {
    message.truncate(message.floor_char_boundary(MAX_MESSAGE_BYTES));
    message
}

#[cfg(test)]
mod tests {
    use neap_bucket::Stamp;

    use super::*;

    const ONE: Ulid = Ulid(1);
    const TWO: Ulid = Ulid(2);

    fn at(seconds: i64) -> StoreTime {
        StoreTime::from_micros(seconds * 1_000_000)
    }

    fn queued() -> ImportJob {
        ImportJob { created: Some(at(0)), ..ImportJob::default() }
    }

    fn settled(seconds: i64, rows: u64) -> SettledImport {
        SettledImport { mark: Stamp::new(at(seconds), 0), rows }
    }

    #[test]
    fn another_worker_continues_when_segments_of_the_last_claim_are_settled() {
        let mut job = queued();
        job.claim(ONE, settled(0, 0), at(1)).unwrap();
        assert_eq!(job.status, ImportStatus::Dispatched);
        let claimed = Err(ClaimRefusal::Claimed);
        assert_eq!(job.claim(TWO, settled(60, 0), at(60)), claimed);
        job.progress(ONE, 10, at(50)).unwrap();
        assert_eq!(job.claim(TWO, settled(100, 0), at(110)), claimed);
        let not_settled = Err(ClaimRefusal::NotSettled);
        assert_eq!(job.claim(TWO, settled(110, 12), at(140)), not_settled);
        job.claim(TWO, settled(111, 12), at(140)).unwrap();
        assert_eq!((job.stored_rows, job.attempts), (12, 1));
        assert_eq!(job.progress(ONE, 20, at(141)), claimed);
        job.end(TWO, 30, ImportAttemptEnd::Imported, at(150)).unwrap();
        assert_eq!((job.status, job.ended), (ImportStatus::Imported, Some(at(150))));
        let ended = Err(ClaimRefusal::Ended);
        assert_eq!(job.claim(ONE, settled(500, 30), at(500)), ended);
    }

    #[test]
    fn a_job_fails_after_too_many_interruptions_without_progress() {
        let mut job = queued();
        let busy = || ImportAttemptEnd::Interrupted("busy".to_owned());
        let attempt = |job: &mut ImportJob, number: i64, rows: u64| {
            let start = number * 100;
            job.claim(ONE, settled(start, rows), at(start)).unwrap();
            job.end(ONE, rows, busy(), at(start + 1)).unwrap();
        };
        for number in 1..20 {
            attempt(&mut job, number, number as u64);
            assert_eq!(job.status, ImportStatus::Failed);
        }
        for number in 20..20 + i64::from(MAX_ATTEMPTS) - 1 {
            assert!(!job.has_ended(), "{number}");
            attempt(&mut job, number, 19);
        }
        assert_eq!(job.status, ImportStatus::TerminalFailed);
        assert_eq!(job.message.as_deref(), Some("busy"));
    }

    #[test]
    fn a_job_that_ends_its_process_twice_without_progress_fails() {
        let mut job = queued();
        for number in 1..4 {
            job.claim(ONE, settled(number * 100, number as u64), at(number * 100)).unwrap();
            assert!(!job.has_ended());
        }
        job.claim(ONE, settled(400, 3), at(400)).unwrap();
        assert_eq!(job.status, ImportStatus::TerminalFailed);
        assert_eq!(
            job.message.as_deref(),
            Some("2 processes ended while they imported the rows after row 3")
        );
    }

    #[test]
    fn a_job_does_not_continue_when_the_manifest_may_have_lost_its_rows() {
        let mut job = queued();
        let late = 8 * 24 * 60 * 60;
        job.claim(ONE, settled(late, 0), at(late)).unwrap();
        assert_eq!(job.status, ImportStatus::Dispatched);
        job.claim(TWO, settled(late + 100, 0), at(late + 100)).unwrap();
        assert_eq!(job.status, ImportStatus::TerminalFailed);
    }

    #[test]
    fn the_format_is_json() {
        let mut job = queued();
        job.claim(ONE, settled(0, 0), at(1)).unwrap();
        let expected = serde_json::json!({
            "file": {
                "database": 0, "table": 0, "database_name": "", "table_name": "", "filename": "",
                "size_bytes": 0, "rows": 0, "min_time": 0, "max_time": 0, "is_of_influxdb": false,
            },
            "status": "dispatched", "created": 0, "started": 1_000_000, "updated": 1_000_000,
            "stored_rows": 0, "first_row": 0, "attempts": 1, "lost_attempts": 0,
            "worker": "00000000000000000000000001", "claimed_until": 61_000_000,
        });
        assert_eq!(serde_json::to_value(job).unwrap(), expected);
    }
}
