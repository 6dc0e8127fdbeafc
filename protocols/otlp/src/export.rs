//! Stores the body of a request.

use std::sync::Arc;

use bytes::Bytes;
use neap_bucket::Stamp;
use neap_http::{ApiError, Kind};
use neap_rows::line_protocol::RowSource;
use neap_write::{RequestMemoryReservation, WriteFailure, WriteService, WriteSettings};

use crate::{
    encoding::{DecodeError, Encoding, Node},
    mapping::MappingOptions,
    messages::{BadRequest, ExportResponse, PartialSuccess},
    rows::{CollectedRows, ItemError, RowCollector, Signal, collect_rows},
    target::ExportTarget,
};

/// The memory that the rows of a request may have, as a multiple of the largest body.
const MAX_ROWS_FACTOR: usize = 8;

/// The share of the memory of all requests that the rows of one request may have.
const MAX_ROWS_SHARE: usize = 4;

/// The memory that the rows of a request are expected to have, as a multiple of the body.
const EXPECTED_ROWS_FACTOR: usize = 4;

/// The memory that the rows of any request may have, in bytes: a reservation for a small body.
const MIN_ROWS_BYTES: usize = 64 << 10;

/// The growth of the memory of rows that take more than expected.
const ROWS_GROWTH: usize = 4;

/// The memory that the write of rows takes besides them, as a multiple: its columns and encoded rows.
const WRITE_MEMORY_FACTOR: usize = 2;

/// The size of a body from which its conversion runs on a thread of its own, in bytes.
const BLOCKING_BODY_BYTES: usize = 256 << 10;

/// The reason why a request is refused as a whole.
#[derive(Debug)]
pub(crate) struct ExportError {
    pub(crate) error: ApiError,
    /// The malformed message, if that is the reason.
    pub(crate) detail: Option<BadRequest>,
}

impl From<ApiError> for ExportError {
    fn from(error: ApiError) -> Self {
        Self { error, detail: None }
    }
}

impl From<WriteFailure> for ExportError {
    fn from(failure: WriteFailure) -> Self {
        ApiError::from(failure).into()
    }
}

impl From<DecodeError> for ExportError {
    fn from(error: DecodeError) -> Self {
        Self {
            detail: Some(BadRequest::of_field(&error.path, &error.reason)),
            error: ApiError::text(Kind::Invalid, error.to_string()),
        }
    }
}

/// The result of a request of which at least a part is stored.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct ExportOutcome {
    pub(crate) response: ExportResponse,
    /// The position in the order of all writes; `None`: there was nothing to store.
    pub(crate) stamp: Option<Stamp>,
}

/// Stores the data of a body, for which memory is reserved. Adds to the reservation before the body becomes rows.
///
/// # Errors
/// The body is malformed, or the rows cannot be stored. Items that are refused alone are part of the response.
pub(crate) async fn store(
    service: &WriteService,
    target: ExportTarget,
    mut reservation: RequestMemoryReservation,
    (signal, encoding): (Signal, Encoding),
    body: Bytes,
) -> Result<ExportOutcome, ExportError> {
    let conversion = BodyConversion {
        signal,
        encoding,
        mapping: target.mapping,
        arrival_ns: service.world().clock.wall_micros().saturating_mul(1000),
    };
    let CollectedRows { groups, mut refused } =
        convert_reserved(service, &mut reservation, Arc::new(conversion), body).await?;
    let mut reservation = Some(reservation);
    let mut options = target.options;
    let mut stamp = None;
    let mut remaining_bytes = groups.iter().map(RowSource::size_bytes).sum::<usize>();
    for (index, rows) in groups.iter().enumerate() {
        let write_bytes = rows.size_bytes().saturating_mul(WRITE_MEMORY_FACTOR);
        let bytes = remaining_bytes.saturating_add(write_bytes);
        let reservation = reserve_rows(service, reservation.take(), bytes).await?;
        remaining_bytes = remaining_bytes.saturating_sub(rows.size_bytes());
        let written = service.write_rows(reservation, &target.database, rows, options);
        stamp = match written.await {
            Ok(accepted) => accepted.stamp,
            Err(WriteFailure::Partial { errors, refused: count, stamp, .. }) => {
                refused.add_rows(index, &errors, count);
                stamp
            }
            Err(failure) => return Err(failure.into()),
        }
        .max(stamp);
        // Rows of the next group may be points of this one.
        options.after = options.after.max(stamp);
    }
    let partial_success = refused.message().map(|message| PartialSuccess {
        rejected: i64::try_from(refused.count()).unwrap_or(i64::MAX),
        error_message: message,
    });
    Ok(ExportOutcome { response: ExportResponse { partial_success }, stamp })
}

/// Converts a body to rows within reserved memory. If the rows take more than expected, more is reserved and the
/// conversion starts again, because a request of a few bytes can have many rows, and most have not.
async fn convert_reserved(
    service: &WriteService,
    reservation: &mut RequestMemoryReservation,
    conversion: Arc<BodyConversion>,
    body: Bytes,
) -> Result<CollectedRows, ExportError> {
    let limit = max_rows_bytes(service.settings());
    let expected = body.len().saturating_mul(EXPECTED_ROWS_FACTOR);
    let mut rows_bytes = expected.max(MIN_ROWS_BYTES).min(limit);
    loop {
        let bytes = body.len().saturating_add(rows_bytes);
        service.grow_reservation(reservation, bytes).await?;
        let converted = Arc::clone(&conversion).run(body.clone(), rows_bytes).await;
        match converted {
            Err(ConversionError::TooLarge) if rows_bytes < limit => {
                rows_bytes = rows_bytes.saturating_mul(ROWS_GROWTH).min(limit);
            }
            converted => return converted.map_err(|error| error.into_export(limit)),
        }
    }
}

/// Reserves memory for the rows that are not written yet. Groups after the first one reserve anew, because the write of
/// a group returns its memory.
async fn reserve_rows(
    service: &WriteService,
    reservation: Option<RequestMemoryReservation>,
    bytes: usize,
) -> Result<RequestMemoryReservation, WriteFailure> {
    let Some(mut reservation) = reservation else {
        return service.reserve_exactly(bytes).await;
    };
    service.grow_reservation(&mut reservation, bytes).await?;
    Ok(reservation)
}

fn max_rows_bytes(settings: &WriteSettings) -> usize {
    let share = settings.max_bytes_in_flight / MAX_ROWS_SHARE;
    settings
        .max_request_bytes
        .saturating_mul(MAX_ROWS_FACTOR)
        .min(share.max(settings.max_request_bytes))
        .min(settings.max_bytes_in_flight)
}

/// The reason why a body is not converted.
#[derive(Debug)]
enum ConversionError {
    /// The rows take more memory than they may.
    TooLarge,
    Refused(ExportError),
}

impl ConversionError {
    /// `limit` is the maximum memory of the rows, in bytes.
    fn into_export(self, limit: usize) -> ExportError {
        match self {
            Self::TooLarge => {
                let text = ItemError::RowsTooLarge(limit).to_string();
                ApiError::text(Kind::TooLarge, text).into()
            }
            Self::Refused(error) => error,
        }
    }
}

/// The conversion of a body to rows.
struct BodyConversion {
    signal: Signal,
    encoding: Encoding,
    mapping: MappingOptions,
    arrival_ns: i64,
}

impl BodyConversion {
    /// Converts a body to rows that take at most `max_bytes`. A large one does not hold up other requests.
    async fn run(
        self: Arc<Self>,
        body: Bytes,
        max_bytes: usize,
    ) -> Result<CollectedRows, ConversionError> {
        if body.len() < BLOCKING_BODY_BYTES {
            return self.convert(&body, max_bytes);
        }
        let converted = tokio::task::spawn_blocking(move || self.convert(&body, max_bytes)).await;
        converted.unwrap_or_else(|error| {
            tracing::error!(%error, "the conversion of a request failed");
            let error = ApiError::json(Kind::Internal, "internal error");
            Err(ConversionError::Refused(error.into()))
        })
    }

    fn convert(&self, body: &[u8], max_bytes: usize) -> Result<CollectedRows, ConversionError> {
        let malformed = |error: DecodeError| ConversionError::Refused(error.into());
        let request = Node::of_body(self.encoding, body).map_err(malformed)?;
        let mut rows = RowCollector::new(self.signal.item_noun(), max_bytes);
        let collected =
            collect_rows(self.signal, request, &self.mapping, self.arrival_ns, &mut rows);
        if rows.is_too_large() {
            return Err(ConversionError::TooLarge);
        }
        collected.map_err(malformed)?;
        let rows = rows.finish();
        rows.map_err(|error| ConversionError::Refused(WriteFailure::from(error).into()))
    }
}
