//! `POST /api/v1/write` and `POST /api/v1/prom/write`

#[cfg(test)]
mod tests;

use std::sync::Arc;

use axum::{
    Router,
    extract::{Request, State},
    response::{IntoResponse, Response},
    routing::post,
};
use http::{HeaderMap, header::CONTENT_ENCODING};
use neap_bucket::World;
use neap_catalog::{CatalogError, validate_database_name};
use neap_http::{
    ApiError, Caller, CounterFamily, Kind, Metrics, expected_bytes, read_body, requested_order,
    requested_stamp,
};
use neap_write::{
    Precision, RequestMemoryReservation, WriteOptions, WriteService, WriteSettings, authorize_write,
};

use crate::{
    DecodeError, DecodedWrite, WriteVersion, decode_write, decompress, decompressed_len,
    remote_write::{
        answer::{RequestRows, WriteOutcome, failed, undecodable},
        exemplar_table::create_exemplar_table,
        metadata_cache::{MetadataCache, day_start_ns},
        request::{requested_database, requested_version},
    },
};

/// The memory that the points of a request may have, as a multiple of the largest body.
const MAX_POINTS_FACTOR: usize = 8;

/// The memory that points take at most until they are stored, as a multiple of their own: their columns and the encoded
/// rows take as much again.
const POINTS_MEMORY_FACTOR: usize = 3;

/// The memory that is reserved for points at first, as a multiple of their message.
const FIRST_POINTS_FACTOR: usize = 4;

/// The least memory that is reserved for points at first, in bytes.
const MIN_FIRST_POINTS_BYTES: usize = 64 << 10;

/// The factor by which the memory of points grows if they do not fit. The message is then decoded again.
const POINTS_GROWTH_FACTOR: usize = 4;

/// Returns the routes of remote write. Both require the permission to write to the database. They count what is not
/// stored in `neap_prometheus_dropped_total`. In `neap serve` and in the write function, they are merged with the routes
/// of [`neap_write::router`].
pub fn router(service: Arc<WriteService>, metrics: &Metrics) -> Router {
    let dropped = metrics.counter(
        "neap_prometheus_dropped_total",
        "Samples and exemplars of remote write that were refused.",
        &["kind"],
    );
    let receiver =
        Arc::new(RemoteWriteReceiver { service, metadata: MetadataCache::default(), dropped });
    Router::new()
        .route("/api/v1/write", post(write))
        .route("/api/v1/prom/write", post(write))
        .with_state(receiver)
}

/// The state of the routes.
#[derive(Debug)]
struct RemoteWriteReceiver {
    service: Arc<WriteService>,
    metadata: MetadataCache,
    /// Counts what is not stored.
    dropped: CounterFamily,
}

/// A request that may write to its database.
#[derive(Clone, Debug)]
struct AdmittedRequest {
    caller: Caller,
    database: String,
    version: WriteVersion,
    options: WriteOptions,
}

async fn write(State(receiver): State<Arc<RemoteWriteReceiver>>, request: Request) -> Response {
    match receiver.accept(request).await {
        Ok(outcome) => outcome.into_response(),
        Err(error) => failed(error).into_response(),
    }
}

impl RemoteWriteReceiver {
    async fn accept(&self, request: Request) -> Result<WriteOutcome, ApiError> {
        let service = &self.service;
        let (head, body) = request.into_parts();
        let admitted = self.admit(&head).await?;
        let limits = service.settings().body_limits();
        let mut reservation =
            service.reserve_exactly(expected_bytes(&head.headers, &limits)).await?;
        let headers = without_encoding(head.headers);
        let block = read_body(&headers, body, &limits, service.world()).await?;
        let length =
            decompressed_len(&block, limits.max_bytes).map_err(|error| undecodable(&error))?;
        let bytes = block.len().saturating_add(length);
        service.grow_reservation(&mut reservation, bytes).await?;
        let message = decompress(&block, limits.max_bytes).map_err(|error| undecodable(&error))?;
        drop(block);
        let decoded = self.decode(&message, admitted.version, &mut reservation).await?;
        let outcome = self.store(&admitted, decoded, reservation).await?;
        self.count_dropped("sample", outcome.refused);
        Ok(outcome)
    }

    /// Decodes a message. Memory is reserved before points take it: first as much as most messages need, and then more
    /// and more, because the memory that a message needs is only known when it is decoded.
    async fn decode<'a>(
        &self,
        message: &'a [u8],
        version: WriteVersion,
        reservation: &mut RequestMemoryReservation,
    ) -> Result<DecodedWrite<'a>, ApiError> {
        let settings = self.service.settings();
        if message.len() >= settings.max_bytes_in_flight {
            let limit = settings.max_bytes_in_flight;
            let text = format!(
                "the body has {} bytes when it is decompressed, but all writes together have {limit}: send smaller requests",
                message.len()
            );
            return Err(ApiError::text(Kind::TooLarge, text));
        }
        let max_bytes = max_points_bytes(settings, message.len());
        let mut points_bytes = message
            .len()
            .saturating_mul(FIRST_POINTS_FACTOR)
            .max(MIN_FIRST_POINTS_BYTES)
            .min(max_bytes);
        loop {
            let bytes =
                points_bytes.saturating_mul(POINTS_MEMORY_FACTOR).saturating_add(message.len());
            self.service.grow_reservation(reservation, bytes).await?;
            match decode_write(message, version, points_bytes) {
                Err(DecodeError::TooManyPoints(_)) if points_bytes < max_bytes => {
                    let grown = points_bytes.saturating_mul(POINTS_GROWTH_FACTOR);
                    points_bytes = grown.min(max_bytes);
                }
                decoded => return decoded.map_err(|error| undecodable(&error)),
            }
        }
    }

    fn count_dropped(&self, kind: &str, count: usize) {
        if count > 0 {
            self.dropped.add(&[kind], count as u64);
        }
    }

    /// Checks the name of the database and the permission, before the body is read.
    async fn admit(&self, head: &http::request::Parts) -> Result<AdmittedRequest, ApiError> {
        let service = &self.service;
        let default = service.settings().default_database.as_deref();
        let database = requested_database(&head.uri, &head.headers, default)?;
        let version = requested_version(&head.headers)?;
        validate_database_name(&database).map_err(CatalogError::from)?;
        let caller = Caller::from_head(head)?;
        let options = WriteOptions {
            precision: Precision::Nanosecond,
            after: requested_stamp(&head.headers)?,
            order: requested_order(&head.headers)?,
            only: authorize_write(service, &caller, &database).await?,
            ..WriteOptions::default()
        };
        Ok(AdmittedRequest { caller, database, version, options })
    }

    /// Adds the rows of exemplars, as long as their table can be created. Otherwise they are dropped, because samples matter more.
    async fn add_exemplars(&self, request: &AdmittedRequest, decoded: &mut DecodedWrite<'_>) {
        let mut dropped = decoded.dropped_exemplars;
        if !decoded.exemplars.is_empty() {
            let AdmittedRequest { caller, database, options, .. } = request;
            let created = create_exemplar_table(&self.service, caller, database, options.only);
            dropped += match created.await {
                Ok(()) => decoded.add_exemplars(),
                Err(_) => decoded.exemplars.len(),
            };
        }
        self.count_dropped("exemplar", dropped);
    }

    /// Stores the points of a request, whose memory is reserved.
    async fn store(
        &self,
        request: &AdmittedRequest,
        mut decoded: DecodedWrite<'_>,
        reservation: RequestMemoryReservation,
    ) -> Result<WriteOutcome, ApiError> {
        let service = &self.service;
        let day_start = day_start(service.world());
        let metadata = std::mem::take(&mut decoded.metadata);
        let metadata = self.metadata.select_new(&request.database, day_start, &metadata);
        // A metric with the name of the table of descriptions leaves no place for them.
        let has_metadata = decoded.add_metadata(&metadata.metadata, day_start).is_ok();
        self.add_exemplars(request, &mut decoded).await;
        let rows = RequestRows { kinds: decoded.rows, refused: decoded.refused };
        let points = decoded.points.into_rows().map_err(neap_write::WriteFailure::from)?;
        if points.row_count() == 0 {
            let nothing = neap_write::AcceptedWrite { rows: 0, stamp: None, duplicates: None };
            return Ok(WriteOutcome::new(&rows, Ok(nothing))?);
        }
        let (database, options) = (&request.database, request.options);
        let written = service.write_rows(reservation, database, &points, options);
        let outcome = WriteOutcome::new(&rows, written.await)?;
        if has_metadata {
            self.metadata.record(&metadata);
        }
        Ok(outcome)
    }
}

/// Returns the start of the present day, in nanoseconds since the Unix epoch.
fn day_start(world: &World) -> i64 {
    day_start_ns(world.clock.wall_micros())
}

/// Returns headers for a body that is read as it is.
fn without_encoding(mut headers: HeaderMap) -> HeaderMap {
    headers.remove(CONTENT_ENCODING);
    headers
}

/// Returns the memory that the points of a message of this length may have, in bytes.
fn max_points_bytes(settings: &WriteSettings, message_bytes: usize) -> usize {
    let free = settings.max_bytes_in_flight.saturating_sub(message_bytes);
    let most = settings.max_request_bytes.saturating_mul(MAX_POINTS_FACTOR);
    most.min(free / POINTS_MEMORY_FACTOR)
}
