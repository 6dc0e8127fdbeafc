//! Writes the lines of a connection as one write of the write function, in the order in which they arrived.
//!
//! A client over TCP gets no answers, so it can't repeat a write that failed for a moment: the server does. Repeated
//! rows are the same points, because the n-th line without a timestamp gets the time of the arrival plus n nanoseconds,
//! even if a part of the lines is written again.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use neap_bucket::World;
use neap_http::{ApiError, Kind};
use neap_rows::line_protocol::{
    BodyEnd, Dialect, LineErrorKind, Options, ParseError, ParsedBody, Precision, RowSource,
    SchemaView, parse_part,
};
use neap_write::{LineError, WriteFailure, WriteOptions, WriteService};

use crate::{
    close_reason::CloseReason,
    connection_access::{AccessError, ConnectionAccess, KeyReader},
    line_scanner::{first_line, lines_within},
    metrics::ConnectionMetrics,
    receive_buffer::ReceivedLines,
};

/// Maximum time for which a write is repeated.
const RETRY_LIMIT: Duration = Duration::from_secs(60);
/// Pause before the first repetition. Each further pause is twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
/// Maximum pause between two repetitions.
const MAX_PAUSE: Duration = Duration::from_secs(2);

/// The components that the writes of all connections share.
#[derive(Clone, Debug)]
pub(crate) struct BatchWriter {
    pub(crate) writes: Arc<WriteService>,
    pub(crate) keys: KeyReader,
    pub(crate) database: Arc<str>,
    pub(crate) metrics: ConnectionMetrics,
}

/// The lines of one write.
#[derive(derive_more::Debug)]
#[debug("LineBatch({} bytes)", self.bytes.len())]
struct LineBatch<'a> {
    bytes: &'a [u8],
    /// The time of the first line without a timestamp, in nanoseconds since the Unix epoch.
    default_time_ns: i64,
    /// The end of the last validation.
    end: Mutex<BodyEnd>,
}

impl<'a> LineBatch<'a> {
    fn new(bytes: &'a [u8], default_time_ns: i64) -> Self {
        Self {
            bytes,
            default_time_ns,
            end: Mutex::new(BodyEnd {
                next_default_time_ns: default_time_ns,
                ..BodyEnd::default()
            }),
        }
    }

    fn end(&self) -> BodyEnd {
        *self.end.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl RowSource for LineBatch<'_> {
    fn size_bytes(&self) -> usize {
        self.bytes.len()
    }

    /// Validates the lines before the first refused one, because the client sent them first.
    fn validate(
        &self,
        schema: &dyn SchemaView,
        options: &Options,
    ) -> Result<ParsedBody, ParseError> {
        let options = Options {
            default_time_ns: self.default_time_ns,
            stop_at_first_error: true,
            ..*options
        };
        let (parsed, end) = parse_part(self.bytes, schema, &options)?;
        *self.end.lock().unwrap_or_else(PoisonError::into_inner) = end;
        Ok(parsed)
    }
}

/// The outcome of one write.
enum BatchOutcome {
    /// All lines are stored or skipped.
    Stored { rows: usize, end: BodyEnd },
    /// A line is refused, and the lines before it are stored.
    Refused { rows: usize, error: LineError },
    /// All lines are refused, because they are too much for one write.
    TooMuch { message: String },
    /// All lines are refused, for example because the database was dropped.
    AllRefused { message: String },
}

/// Why a write failed.
enum BatchError {
    /// It may succeed later.
    Temporary(String),
    /// It fails again.
    Permanent(CloseReason),
}

impl From<AccessError> for BatchError {
    fn from(error: AccessError) -> Self {
        match error {
            AccessError::Unavailable(message) => Self::Temporary(message),
            other => Self::Permanent(other.into()),
        }
    }
}

impl BatchWriter {
    fn world(&self) -> &World {
        self.writes.world()
    }

    /// Writes lines. `lines_before` is the number of lines of the connection that are stored or skipped. Returns their
    /// number after the write.
    ///
    /// # Errors
    /// The reason to close the connection.
    pub(crate) async fn write(
        &self,
        lines: ReceivedLines,
        access: &ConnectionAccess,
        lines_before: u64,
    ) -> Result<u64, CloseReason> {
        let wall_micros = self.world().clock.wall_micros();
        let mut default_time_ns = wall_micros.saturating_mul(1000);
        let mut lines_done = lines_before;
        // Usually one. The last part is the next.
        let mut parts = vec![lines.bytes];
        while let Some(part) = parts.pop() {
            let written = self.write_until_stored(&part, default_time_ns, access);
            let first = first_half(&part).len();
            match written.await? {
                BatchOutcome::Stored { rows, end } => {
                    self.metrics.count_lines(rows);
                    self.metrics.count_skipped(end.skipped);
                    default_time_ns = end.next_default_time_ns;
                    lines_done = lines_done.saturating_add(end.lines as u64);
                }
                BatchOutcome::Refused { rows, error } => {
                    if error.kind != LineErrorKind::Limit || first == part.len() {
                        self.metrics.count_lines(rows);
                        let line = lines_done.saturating_add(error.line_number as u64);
                        let message = error.error_message;
                        return Err(CloseReason::RefusedLine { line, message });
                    }
                    // Too much for one write. The rows that are stored already are the same points.
                    parts.extend([part.slice(first..), part.slice(..first)]);
                }
                BatchOutcome::TooMuch { .. } if first < part.len() => {
                    parts.extend([part.slice(first..), part.slice(..first)]);
                }
                BatchOutcome::TooMuch { message } | BatchOutcome::AllRefused { message } => {
                    let line = lines_done.saturating_add(1);
                    return Err(CloseReason::RefusedLine { line, message });
                }
            }
        }
        drop(lines.reservation);
        Ok(lines_done)
    }

    /// Repeats a write until it succeeds or its lines are refused.
    async fn write_until_stored(
        &self,
        bytes: &[u8],
        default_time_ns: i64,
        access: &ConnectionAccess,
    ) -> Result<BatchOutcome, CloseReason> {
        let started_at = self.world().clock_reading();
        let mut pause = FIRST_PAUSE;
        loop {
            let message = match self.write_once(bytes, default_time_ns, access).await {
                Ok(outcome) => return Ok(outcome),
                Err(BatchError::Permanent(reason)) => return Err(reason),
                Err(BatchError::Temporary(message)) => message,
            };
            if self.world().elapsed(&started_at) >= RETRY_LIMIT {
                return Err(CloseReason::Unavailable(message));
            }
            tracing::debug!(error = message, "a write of a connection is repeated");
            self.world().clock.sleep(pause).await;
            pause = (pause * 2).min(MAX_PAUSE);
        }
    }

    async fn write_once(
        &self,
        bytes: &[u8],
        default_time_ns: i64,
        access: &ConnectionAccess,
    ) -> Result<BatchOutcome, BatchError> {
        let options = WriteOptions {
            dialect: Dialect::QuestDb,
            precision: Precision::Nanosecond,
            only: self.keys.authorize(access, &self.database).await?,
            ..WriteOptions::default()
        };
        let reservation = match self.writes.reserve(bytes.len()).await {
            Ok(reservation) => reservation,
            Err(failure) => return failed(failure),
        };
        let batch = LineBatch::new(bytes, default_time_ns);
        let written = self.writes.write_rows(reservation, &self.database, &batch, options).await;
        match written {
            Ok(accepted) => Ok(BatchOutcome::Stored { rows: accepted.rows, end: batch.end() }),
            // Blank lines, comments and skipped lines only.
            Err(WriteFailure::Empty) => Ok(BatchOutcome::Stored { rows: 0, end: batch.end() }),
            Err(WriteFailure::Partial { errors, rows, .. }) => {
                let error = errors.into_iter().next();
                let refused = error.map(|error| BatchOutcome::Refused { rows, error });
                refused.ok_or_else(|| BatchError::Permanent(no_error()))
            }
            Err(WriteFailure::Rejected(error)) => Ok(BatchOutcome::Refused { rows: 0, error }),
            Err(failure @ WriteFailure::TooManyAdditions { .. }) => {
                Ok(BatchOutcome::TooMuch { message: failure.to_string() })
            }
            Err(failure) => failed(failure),
        }
    }
}

/// Returns about half of the lines, at least one.
fn first_half(bytes: &[u8]) -> &[u8] {
    match lines_within(bytes, bytes.len() / 2) {
        [] => first_line(bytes),
        half => half,
    }
}

fn no_error() -> CloseReason {
    CloseReason::Internal("a refused write has no error".to_owned())
}

fn failed(failure: WriteFailure) -> Result<BatchOutcome, BatchError> {
    let error = ApiError::from(failure);
    let message = error.message().to_owned();
    match error.kind() {
        Kind::Unavailable | Kind::Unknown => Err(BatchError::Temporary(message)),
        Kind::Forbidden => Err(BatchError::Permanent(CloseReason::Forbidden)),
        Kind::Invalid | Kind::Limit | Kind::TooLarge => Ok(BatchOutcome::AllRefused { message }),
        _ => Err(BatchError::Permanent(CloseReason::Internal(message))),
    }
}
