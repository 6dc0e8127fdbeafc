//! Rows as messages of Flight.

use std::{pin::Pin, sync::Arc};

use arrow::{
    array::RecordBatch,
    datatypes::{Schema, SchemaRef},
    ipc::{CompressionType, writer::IpcWriteOptions},
};
use arrow_flight::{FlightData, encode::FlightDataEncoderBuilder, error::FlightError};
use futures::{Stream, StreamExt, TryStreamExt, stream};
use http::{HeaderMap, HeaderName, HeaderValue};
use neap_bucket::{Stamp, World};
use neap_formats::PlainColumns;
use neap_http::STAMP_HEADER;
use neap_query::{AS_OF_HEADER, Rows};
use tonic::{Response, Status};

use crate::{
    cancellable_queries::CancellableQuery,
    keep_alive::{KEEP_ALIVE_INTERVAL, with_keep_alive},
    status,
};

/// The messages of an answer.
pub(crate) type FlightStream = Pin<Box<dyn Stream<Item = Result<FlightData, Status>> + Send>>;

/// The header with the compression of rows: `lz4`, `zstd` or `none`.
const COMPRESSION_HEADER: HeaderName = HeaderName::from_static("x-neap-compression");

/// Returns how a client wants rows to be written.
///
/// # Errors
/// `InvalidArgument`: the compression is unknown.
pub(crate) fn write_options(headers: &HeaderMap) -> Result<IpcWriteOptions, Status> {
    let value = headers.get(COMPRESSION_HEADER).map(HeaderValue::as_bytes);
    let compression = match value {
        None | Some(b"none") => None,
        Some(b"lz4") => Some(CompressionType::LZ4_FRAME),
        Some(b"zstd") => Some(CompressionType::ZSTD),
        Some(_) => {
            let text = format!("header {COMPRESSION_HEADER} is none of lz4, zstd, none");
            return Err(Status::invalid_argument(text));
        }
    };
    let options = IpcWriteOptions::default().try_with_compression(compression);
    options.map_err(|error| Status::internal(error.to_string()))
}

/// Returns the columns of an answer as clients see them: without views and dictionaries.
pub(crate) fn visible_columns(columns: &SchemaRef) -> SchemaRef {
    let plain = PlainColumns::with_dictionaries(columns);
    let encoder = FlightDataEncoderBuilder::new().with_schema(Arc::clone(plain.schema()));
    let encoded = encoder.build(stream::empty()).known_schema();
    // The encoder knows the schema that it was given.
    encoded.unwrap_or_else(|| Arc::new(Schema::empty()))
}

/// Returns an answer that is complete in memory.
pub(crate) fn stream_batch(batch: RecordBatch) -> FlightStream {
    let encoder = FlightDataEncoderBuilder::new().with_schema(batch.schema());
    let messages = encoder.build(stream::iter([Ok(batch)]));
    Box::pin(messages.map_err(Status::from))
}

/// Returns the answer to a query. It ends with an error when the query is cancelled.
pub(crate) fn stream_rows(
    rows: Rows,
    options: IpcWriteOptions,
    running: CancellableQuery,
    world: World,
) -> Response<FlightStream> {
    let plain = PlainColumns::with_dictionaries(&rows.schema);
    let columns = Arc::clone(&rows.schema);
    let batches = with_keep_alive(rows.batches, columns, KEEP_ALIVE_INTERVAL, world);
    let encoder = FlightDataEncoderBuilder::new()
        .with_options(options)
        .with_schema(Arc::clone(plain.schema()));
    let batches = batches.map(move |batch| {
        let batch = batch.map_err(|error| FlightError::from(status::of_query(error)))?;
        plain.convert(&batch).map_err(FlightError::Arrow)
    });
    let messages = encoder.build(batches).map_err(Status::from);
    let messages = stream::unfold(Some((messages, running)), |open| async {
        let (mut messages, running) = open?;
        tokio::select! {
            biased;
            () = running.cancelled() => Some((Err(Status::cancelled("the query was cancelled")), None)),
            message = messages.next() => Some((message?, Some((messages, running)))),
        }
    });
    let mut response = Response::new(Box::pin(messages) as FlightStream);
    set_stamps(&mut response, [(AS_OF_HEADER, rows.as_of), (STAMP_HEADER, rows.deleted_at)]);
    response
}

/// Adds stamps to the metadata of an answer.
pub(crate) fn set_stamps<T, const N: usize>(
    response: &mut Response<T>,
    stamps: [(HeaderName, Option<Stamp>); N],
) {
    for (name, stamp) in stamps {
        set_header(response, &name, stamp.map(|stamp| stamp.as_u64().to_string()));
    }
}

/// Sets a header of an answer to a text in ASCII, if there is one.
pub(crate) fn set_header<T>(response: &mut Response<T>, name: &HeaderName, text: Option<String>) {
    let value = text.and_then(|text| text.parse().ok());
    let key = tonic::metadata::AsciiMetadataKey::from_bytes(name.as_str().as_bytes());
    if let (Some(value), Ok(key)) = (value, key) {
        response.metadata_mut().insert(key, value);
    }
}
