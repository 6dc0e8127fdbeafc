//! Stores the record batches of a client as writes.
//!
//! Rows are stored in parts, in the order in which the client sends them. Each part takes the way of a write of line
//! protocol: it is validated against the catalog, and it is acknowledged when it is in the store. A refused row ends
//! the upload; parts before it stay stored, as the error says.

#[cfg(test)]
mod tests;

use std::{sync::Arc, time::Duration};

use arrow::array::RecordBatch;
use arrow_flight::{PutResult, sql::DoPutUpdateResult};
use futures::{Stream, StreamExt, stream};
use http::HeaderName;
use neap_bucket::Stamp;
use neap_http::{ApiError, STAMP_HEADER, requested_order, requested_stamp, text_prefix};
use neap_rows::columnar::{
    ColumnMapping, ColumnarRows, NumberedBatch, TablePart, TagColumns, TimeColumn, batch_bytes,
};
use neap_write::{
    DuplicateCheck, DuplicateRows, Precision, RequestMemoryReservation, WARNING_HEADER,
    WriteFailure, WriteOptions, WriteService, authorize_write, table_exists,
};
use prost::Message;
use serde_json::json;
use tonic::{Response, Status};

use crate::{
    message_stream::MessageStream,
    request_metadata::RequestMetadata,
    row_stream::{set_header, set_stamps},
    status,
    upload::{TableExpectation, Upload, UploadAnswer, UploadTarget},
};

/// Maximum size of an error's message before the number of stored rows is added, in bytes.
const MAX_MESSAGE_BYTES: usize = 1_900;

/// The size from which rows are stored as a part, in bytes.
const PART_BYTES: usize = 8 << 20;

/// Maximum time that received rows wait for more rows of their part.
const MAX_PART_WAIT: Duration = Duration::from_secs(1);

/// Maximum time for which the write of a part is repeated that stored nothing, because of load for example. Clients can't
/// repeat a part of an upload.
const RETRY_LIMIT: Duration = Duration::from_secs(60);

/// Maximum size of the rows that are received and discarded after an error, in bytes.
const DISCARD_BYTES: usize = 16 << 20;

/// Maximum time for which they are received.
const DISCARD_TIME: Duration = Duration::from_secs(1);

/// Maximum time to wait for each of their batches: a client may wait for the answer before it sends more.
const DISCARD_WAIT: Duration = Duration::from_millis(100);

/// Minimum size that a batch counts as, in bytes, because batches without rows have none.
const MIN_DISCARD_BYTES: usize = 1 << 10;

/// The header with the names of tags, separated by commas. Without it, the types of the columns decide.
const TAGS_HEADER: HeaderName = HeaderName::from_static("x-neap-tags");

/// The header with the name of the time column.
const TIME_HEADER: HeaderName = HeaderName::from_static("x-neap-time-column");

/// Stores the rows of an upload.
///
/// # Errors
/// The metadata are malformed, the sender lacks the permission, or the table does not meet the expectation. For the
/// answer `Total`, also all errors of the rows.
pub(crate) async fn store(
    service: Arc<WriteService>,
    metadata: &RequestMetadata,
    upload: Upload,
    target: UploadTarget,
) -> Result<Response<MessageStream<PutResult>>, Status> {
    let answer = target.answer;
    let mut ingest = RowIngest::new(service, upload, &target);
    if let Err(error) = ingest.prepare(metadata, &target).await {
        return Err(ingest.refuse(error).await);
    }
    match answer {
        UploadAnswer::Total => total(ingest).await,
        UploadAnswer::Parts => Ok(Response::new(Box::pin(parts(ingest)))),
    }
}

/// Returns the result of a change of this number of rows.
pub(crate) fn row_count(record_count: i64) -> PutResult {
    PutResult {
        app_metadata: DoPutUpdateResult { record_count }.encode_to_vec().into(),
    }
}

async fn total(mut ingest: RowIngest) -> Result<Response<MessageStream<PutResult>>, Status> {
    let mut stamp = None;
    let mut duplicates = None;
    loop {
        match ingest.store_part().await {
            Ok(Some(part)) => {
                stamp = stamp.max(part.stamp);
                duplicates = duplicates.or(part.duplicates);
            }
            Ok(None) => break,
            Err(error) => return Err(ingest.refuse(error).await),
        }
    }
    let count = i64::try_from(ingest.stored).unwrap_or(i64::MAX);
    let result = stream::iter([Ok(row_count(count))]);
    let mut response = Response::new(Box::pin(result) as MessageStream<PutResult>);
    set_stamps(&mut response, [(STAMP_HEADER, stamp)]);
    let warning = duplicates.map(|duplicates| duplicates.to_string());
    set_header(&mut response, &WARNING_HEADER, warning);
    Ok(response)
}

fn parts(ingest: RowIngest) -> impl Stream<Item = Result<PutResult, Status>> + Send {
    stream::unfold(Some(ingest), |open| async {
        let mut ingest = open?;
        match ingest.store_part().await {
            Ok(None) => None,
            Ok(Some(part)) => {
                // A string, because many readers of JSON lose digits of large numbers.
                let stamp = part.stamp.map(|stamp| stamp.as_u64().to_string());
                let mut json = json!({ "rows": part.rows, "stamp": stamp });
                if let (Some(duplicates), Some(json)) = (part.duplicates, json.as_object_mut()) {
                    json.insert("warning".to_owned(), json!(duplicates.to_string()));
                }
                let result = PutResult { app_metadata: json.to_string().into() };
                Some((Ok(result), Some(ingest)))
            }
            Err(error) => {
                let error = ingest.refuse(error).await;
                Some((Err(status::cut(error)), None))
            }
        }
    })
}

/// A stored part of an upload.
#[derive(Clone, Copy, Debug)]
struct StoredPart {
    rows: usize,
    stamp: Option<Stamp>,
    duplicates: Option<DuplicateRows>,
}

/// An upload while its rows are stored.
struct RowIngest {
    service: Arc<WriteService>,
    batches: std::pin::Pin<Box<dyn Stream<Item = Result<RecordBatch, Status>> + Send>>,
    database: String,
    mapping: ColumnMapping,
    options: WriteOptions,
    /// The number of stored rows.
    stored: usize,
}

impl RowIngest {
    fn new(service: Arc<WriteService>, upload: Upload, target: &UploadTarget) -> Self {
        Self {
            service,
            batches: Box::pin(upload.batches()),
            database: target.database.clone(),
            mapping: ColumnMapping {
                table: target.table.clone(),
                tags: TagColumns::ByType,
                time: TimeColumn::default(),
            },
            options: WriteOptions {
                precision: Precision::Nanosecond,
                accept_partial: false,
                ..WriteOptions::default()
            },
            stored: 0,
        }
    }

    /// Checks the permission of the sender and the table, and sets what the metadata say.
    async fn prepare(
        &mut self,
        metadata: &RequestMetadata,
        target: &UploadTarget,
    ) -> Result<(), Status> {
        let headers = metadata.headers();
        let of_api = |error: ApiError| status::of_api(&error);
        self.options.order = requested_order(headers).map_err(of_api)?;
        self.options.after = requested_stamp(headers).map_err(of_api)?;
        self.options.duplicates = DuplicateCheck::requested(headers).map_err(of_api)?;
        let caller = metadata.caller();
        let only = authorize_write(&self.service, caller, &target.database).await;
        self.options.only = only.map_err(of_api)?;
        check_expectation(&self.service, target).await?;
        if let Some(names) = metadata.text(&TAGS_HEADER)? {
            let names = names.split(',').map(|name| name.trim().to_owned());
            self.mapping.tags = TagColumns::Named(names.collect());
        }
        self.mapping.time.name = metadata.text(&TIME_HEADER)?.map(str::to_owned);
        Ok(())
    }

    /// Receives further rows within limits, discards them, and returns the error. Clients in Go report the end of the stream instead of
    /// an error that arrives while they send.
    async fn refuse(mut self, error: Status) -> Status {
        let world = self.service.world().clone();
        let rest = async {
            let mut bytes = 0_usize;
            while bytes < DISCARD_BYTES
                && let Some(Some(Ok(batch))) =
                    world.timeout(DISCARD_WAIT, self.batches.next()).await
            {
                bytes = bytes.saturating_add(batch_bytes(&batch).max(MIN_DISCARD_BYTES));
            }
        };
        world.timeout(DISCARD_TIME, rest).await;
        error
    }

    /// Receives and stores the next part; `None` at the end of the upload.
    async fn store_part(&mut self) -> Result<Option<StoredPart>, Status> {
        let Some((batches, reservation)) = self.receive().await? else {
            return Ok(None);
        };
        let part = TablePart { mapping: self.mapping.clone(), batches };
        let rows = ColumnarRows::from_parts(vec![part])
            .map_err(|error| Status::invalid_argument(error.to_string()))?;
        let (service, database) = (&self.service, &self.database);
        let accepted = service
            .write_with_retries(reservation, database, &rows, self.options, RETRY_LIMIT)
            .await
            .map_err(|failure| self.failed(failure))?;
        self.stored += accepted.rows;
        // Later parts are ordered after this one, because their rows may overwrite its rows.
        self.options.after = self.options.after.max(accepted.stamp);
        Ok(Some(StoredPart {
            rows: accepted.rows,
            stamp: accepted.stamp,
            duplicates: accepted.duplicates,
        }))
    }

    /// Receives batches until they are a part.
    async fn receive(
        &mut self,
    ) -> Result<Option<(Vec<NumberedBatch>, RequestMemoryReservation)>, Status> {
        let mut first_row = self.stored + 1;
        let mut size = 0;
        let mut received: Option<(Vec<NumberedBatch>, RequestMemoryReservation)> = None;
        while size < PART_BYTES {
            let next = self.batches.next();
            let next = if received.is_some() {
                // Rows of a slow client are stored, instead of holding memory.

                let world = self.service.world();
                world.timeout(MAX_PART_WAIT, next).await.flatten()
            } else {
                next.await
            };
            let Some(batch) = next else { break };
            let batch = batch.map_err(|error| self.with_stored(error))?;
            if batch.num_rows() == 0 {
                continue;
            }
            let bytes = batch_bytes(&batch);
            let reservation =
                self.service.reserve(bytes).await.map_err(|failure| self.failed(failure))?;
            size += bytes;
            let numbered = NumberedBatch {
                first_row,
                batch,
                refused: Vec::new(),
                has_tag_dictionaries: false,
            };
            first_row += numbered.batch.num_rows();
            match &mut received {
                None => received = Some((vec![numbered], reservation)),
                Some((batches, reserved)) => {
                    batches.push(numbered);
                    reserved.merge(reservation);
                }
            }
        }
        Ok(received)
    }

    fn failed(&self, failure: WriteFailure) -> Status {
        let error = match failure {
            WriteFailure::Rejected(error) => {
                let text = format!("row {}: {}", error.line_number, error.error_message);
                Status::invalid_argument(text)
            }
            other => status::of_api(&other.into()),
        };
        self.with_stored(error)
    }

    /// Adds the number of stored rows to an error.
    fn with_stored(&self, error: Status) -> Status {
        match self.stored {
            0 => error,
            stored => {
                let message = text_prefix(error.message(), MAX_MESSAGE_BYTES);
                let text = format!("{message}; {stored} rows before are stored");
                Status::new(error.code(), text)
            }
        }
    }
}

async fn check_expectation(service: &WriteService, target: &UploadTarget) -> Result<(), Status> {
    if target.expectation == TableExpectation::Any {
        return Ok(());
    }
    let exists = table_exists(service, &target.database, &target.table)
        .await
        .map_err(|error| status::of_api(&error))?;
    let table = &target.table;
    match (target.expectation, exists) {
        (TableExpectation::Missing, true) => {
            Err(Status::already_exists(format!("table {table} exists")))
        }
        (TableExpectation::Exists, false) => {
            Err(Status::not_found(format!("table {table} does not exist")))
        }
        _ => Ok(()),
    }
}
