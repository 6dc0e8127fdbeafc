//! The messages that a client sends with `DoPut`.

use std::time::Duration;

use arrow::array::RecordBatch;
use arrow_flight::{
    FlightData, PutResult,
    decode::FlightRecordBatchStream,
    error::FlightError,
    flight_descriptor::DescriptorType,
    sql::{
        Any, Command, CommandStatementIngest, DoPutPreparedStatementResult, TableExistsOption,
        TableNotExistOption,
    },
};
use futures::{
    FutureExt, Stream, StreamExt, TryStreamExt,
    stream::{self, BoxStream},
};
use neap_bucket::World;
use neap_rows::columnar::batch_bytes;
use prost::Message;
use tonic::Status;

use crate::{
    command::{refuse_transaction, unsupported},
    message_check::DictionarySizes,
    prepared::{self, planned_text},
    request_metadata::RequestMetadata,
    statement_handle::{MAX_PARAMETER_BYTES, StatementHandle},
};

/// Maximum time of an upload. Its token is checked at its start only, and may be revoked later.
const MAX_UPLOAD_TIME: Duration = Duration::from_secs(15 * 60);

#[derive(Clone, Copy, Debug)]
pub(crate) struct UploadLimits {
    /// Maximum size of the rows of a message in memory, in bytes.
    pub(crate) batch_bytes: usize,
    /// Maximum time between two messages.
    pub(crate) message_timeout: Duration,
}

/// The messages of a client.
pub(crate) struct Upload {
    first: FlightData,
    rest: BoxStream<'static, Result<FlightData, Status>>,
    limits: UploadLimits,
    world: World,
}

/// The purpose of an upload, which its first message names.
#[derive(Debug)]
pub(crate) enum UploadPurpose {
    /// Rows of a table.
    Rows(UploadTarget),
    /// Values for the placeholders of a prepared statement.
    Parameters(StatementHandle),
    /// A prepared statement that changes something, with the values of its placeholders.
    PreparedUpdate(StatementHandle),
    /// A statement that changes something. No values follow, and some clients wait for the answer before they end the
    /// stream.
    Update(StatementHandle),
}

/// The table that gets the rows of an upload.
#[derive(Clone, Debug)]
pub(crate) struct UploadTarget {
    /// The name of the database.
    pub(crate) database: String,
    /// The name of the table.
    pub(crate) table: String,
    /// Whether the table must exist, or must not.
    pub(crate) expectation: TableExpectation,
    /// The form of the answer.
    pub(crate) answer: UploadAnswer,
}

/// Whether a table must exist before an upload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TableExpectation {
    /// It may exist.
    Any,
    /// It must exist.
    Exists,
    /// It must not exist.
    Missing,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum UploadAnswer {
    /// The number of rows, when all rows are stored (Flight SQL).
    Total,
    /// A message for each part of the rows that is stored (plain Flight).
    Parts,
}

impl Upload {
    /// Receives the first message; `None` if the client sends none, because it has no rows.
    ///
    /// # Errors
    /// The client is too slow, or its message is malformed.
    pub(crate) async fn begin(
        mut messages: BoxStream<'static, Result<FlightData, Status>>,
        limits: UploadLimits,
        world: World,
    ) -> Result<Option<Self>, Status> {
        let first = world
            .timeout(limits.message_timeout, messages.next())
            .await
            .ok_or_else(|| too_slow(&limits))?;
        Ok(first.transpose()?.map(|first| Self { first, rest: messages, limits, world }))
    }

    /// Returns the purpose of the upload.
    ///
    /// # Errors
    /// `InvalidArgument` if the first message or the metadata are malformed; `Unimplemented` for commands that Neap
    /// does not have.
    pub(crate) fn purpose(&self, metadata: &RequestMetadata) -> Result<UploadPurpose, Status> {
        let descriptor = self
            .first
            .flight_descriptor
            .as_ref()
            .ok_or_else(|| Status::invalid_argument("the first message has no descriptor"))?;
        if descriptor.r#type() == DescriptorType::Path {
            return of_path(&descriptor.path, metadata).map(UploadPurpose::Rows);
        }
        let invalid =
            |error: String| Status::invalid_argument(format!("Invalid command. Error: {error}"));
        let any = Any::decode(&*descriptor.cmd).map_err(|error| invalid(error.to_string()))?;
        let command = Command::try_from(any).map_err(|error| invalid(error.to_string()))?;
        match command {
            Command::CommandStatementIngest(ingest) => {
                of_ingest(ingest, metadata).map(UploadPurpose::Rows)
            }
            Command::CommandPreparedStatementQuery(command) => {
                StatementHandle::from_bytes(&command.prepared_statement_handle)
                    .map(UploadPurpose::Parameters)
            }
            Command::CommandPreparedStatementUpdate(command) => {
                StatementHandle::from_bytes(&command.prepared_statement_handle)
                    .map(UploadPurpose::PreparedUpdate)
            }
            Command::CommandStatementUpdate(update) => {
                refuse_transaction(update.transaction_id.as_deref())?;
                let language = metadata.language()?;
                let text = planned_text(&update.query, language);
                let database = metadata.required_database()?;
                let handle = StatementHandle::new(database, text, language);
                Ok(UploadPurpose::Update(handle))
            }
            other => Err(unsupported(&other)),
        }
    }

    /// Returns the record batches. The stream ends with an error if a message is malformed or too large, or if the
    /// client is too slow.
    pub(crate) fn batches(self) -> impl Stream<Item = Result<RecordBatch, Status>> + Send + Unpin {
        let limits = self.limits;
        let messages = self.messages();
        let batches = FlightRecordBatchStream::new_from_flight_data(messages);
        // The decoder of Arrow may panic for malformed messages.
        let batches = stream::unfold(Some(batches), move |open| async move {
            let mut batches = open?;
            let next = std::panic::AssertUnwindSafe(batches.next()).catch_unwind().await;
            match next {
                Ok(Some(Ok(batch))) => Some((check_rows(batch, &limits), Some(batches))),
                Ok(Some(Err(error))) => Some((Err(malformed(error)), None)),
                Ok(None) => None,
                Err(_) => Some((Err(Status::invalid_argument("malformed Arrow message")), None)),
            }
        });
        // Fused, because the last part polls the stream again after its end.
        Box::pin(batches.fuse())
    }

    /// Binds the values of a prepared statement's placeholders.
    ///
    /// # Errors
    /// `InvalidArgument`: the values can't be decoded, or do not have one row.
    pub(crate) async fn bind(mut self, handle: StatementHandle) -> Result<StatementHandle, Status> {
        if self.first.data_header.is_empty() {
            return Ok(handle);
        }
        self.limits.batch_bytes = MAX_PARAMETER_BYTES;
        prepared::bind(handle, self.batches()).await
    }

    /// Returns the messages with Arrow data.
    fn messages(self) -> impl Stream<Item = Result<FlightData, FlightError>> + Send + 'static {
        let Self { first, rest, limits, world } = self;
        let first = Some(first).filter(|message| !message.data_header.is_empty());
        let started_at = world.clock.monotonic();
        let rest = stream::unfold(Some(rest), move |open| {
            let world = world.clone();
            async move {
                let mut rest = open?;
                if world.clock.monotonic().saturating_sub(started_at) > MAX_UPLOAD_TIME {
                    return Some((Err(too_long()), None));
                }
                let next = world.timeout(limits.message_timeout, rest.next());
                match next.await {
                    Some(Some(Ok(message))) => Some((Ok(message), Some(rest))),
                    Some(Some(Err(error))) => Some((Err(error), None)),
                    Some(None) => None,
                    None => Some((Err(too_slow(&limits)), None)),
                }
            }
        });
        let mut dictionaries = DictionarySizes::default();
        stream::iter(first.map(Ok))
            .chain(rest)
            .map(move |message| {
                let message = message?;
                dictionaries.check(&message, limits.batch_bytes)?;
                Ok::<_, Status>(message)
            })
            .map_err(FlightError::from)
    }
}

fn too_long() -> Status {
    Status::deadline_exceeded(format!(
        "an upload may take {} s: send further rows with another one",
        MAX_UPLOAD_TIME.as_secs()
    ))
}

fn too_slow(limits: &UploadLimits) -> Status {
    Status::deadline_exceeded(format!(
        "no message within {} s",
        limits.message_timeout.as_secs_f64()
    ))
}

/// Returns the status for messages that can't be decoded. Statuses of this server stay as they are.
fn malformed(error: FlightError) -> Status {
    match error {
        FlightError::Tonic(status) => *status,
        other => Status::invalid_argument(format!("malformed Arrow message: {other}")),
    }
}

/// Refuses a batch that takes more memory than its message, for example because its rows share a long text.
fn check_rows(batch: RecordBatch, limits: &UploadLimits) -> Result<RecordBatch, Status> {
    if batch_bytes(&batch) > limits.batch_bytes.saturating_mul(2) {
        Err(Status::invalid_argument("a record batch is too large: send smaller batches"))
    } else {
        Ok(batch)
    }
}

/// Returns the result of binding values.
pub(crate) fn bound(handle: &StatementHandle) -> PutResult {
    let result = DoPutPreparedStatementResult {
        prepared_statement_handle: Some(handle.encode_to_vec().into()),
    };
    PutResult { app_metadata: result.encode_to_vec().into() }
}

/// Returns the target of a path: `[table]` or `[database, table]`.
fn of_path(path: &[String], metadata: &RequestMetadata) -> Result<UploadTarget, Status> {
    let (database, table) = match path {
        [table] => (metadata.required_database()?, table),
        [database, table] => (database.clone(), table),
        _ => {
            let text = "the path of rows is [table] or [database, table]";
            return Err(Status::invalid_argument(text));
        }
    };
    Ok(UploadTarget {
        database,
        table: table.clone(),
        expectation: TableExpectation::Any,
        answer: UploadAnswer::Parts,
    })
}

fn of_ingest(
    ingest: CommandStatementIngest,
    metadata: &RequestMetadata,
) -> Result<UploadTarget, Status> {
    refuse_transaction(ingest.transaction_id.as_deref())?;
    if ingest.temporary {
        return Err(Status::unimplemented("there are no temporary tables"));
    }
    let schemas = neap_query::QueryEngine::SCHEMAS;
    let is_own = |given: &Option<String>, own: &str| {
        given.as_deref().is_none_or(|name| name.is_empty() || name == own)
    };
    if !is_own(&ingest.schema, schemas[0]) {
        let text = format!("rows can be stored in the schema {} only", schemas[0]);
        return Err(Status::invalid_argument(text));
    }
    if !is_own(&ingest.catalog, neap_query::QueryEngine::CATALOG) {
        let text = "the header 'database' chooses the database, not the catalog";
        return Err(Status::invalid_argument(text));
    }
    let expectation = match ingest.table_definition_options {
        None => TableExpectation::Any,
        Some(options) => match (options.if_not_exist(), options.if_exists()) {
            (_, TableExistsOption::Replace) => {
                let text = "a table can't be replaced: drop it first";
                return Err(Status::unimplemented(text));
            }
            (_, TableExistsOption::Fail) => TableExpectation::Missing,
            (TableNotExistOption::Fail, _) => TableExpectation::Exists,
            _ => TableExpectation::Any,
        },
    };
    Ok(UploadTarget {
        database: metadata.required_database()?,
        table: ingest.table,
        expectation,
        answer: UploadAnswer::Total,
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::{
        array::{ArrayRef, DictionaryArray, Int64Array, StringArray, types::Int32Type},
        ipc::{CompressionType, writer::IpcWriteOptions},
    };
    use arrow_flight::encode::{DictionaryHandling, FlightDataEncoderBuilder};
    use neap_test_inputs::cases;
    use proptest::prelude::*;

    use super::*;

    const LIMITS: UploadLimits = UploadLimits {
        batch_bytes: 1 << 20,
        message_timeout: Duration::from_secs(30),
    };

    fn batch() -> RecordBatch {
        let rooms: DictionaryArray<Int32Type> = vec!["hall", "attic"].into_iter().collect();
        let columns: [(&str, ArrayRef); 3] = [
            ("room", Arc::new(rooms)),
            ("note", Arc::new(StringArray::from(vec![Some("a"), None]))),
            ("people", Arc::new(Int64Array::from(vec![1, 2]))),
        ];
        RecordBatch::try_from_iter(columns).unwrap()
    }

    fn messages(compression: Option<CompressionType>) -> Vec<FlightData> {
        let options = IpcWriteOptions::default().try_with_compression(compression).unwrap();
        let encoder = FlightDataEncoderBuilder::new()
            .with_options(options)
            .with_dictionary_handling(DictionaryHandling::Resend);
        let messages = encoder.build(stream::iter([Ok(batch())]));
        futures::executor::block_on(messages.try_collect()).unwrap()
    }

    async fn received(messages: Vec<FlightData>) -> Result<Vec<RecordBatch>, Status> {
        let messages = stream::iter(messages.into_iter().map(Ok)).boxed();
        match Upload::begin(messages, LIMITS, World::system()).await? {
            Some(upload) => upload.batches().try_collect().await,
            None => Ok(Vec::new()),
        }
    }

    #[tokio::test]
    async fn batches_arrive_as_they_were_sent() {
        for compression in [None, Some(CompressionType::LZ4_FRAME)] {
            assert_eq!(received(messages(compression)).await.unwrap(), [batch()]);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_sends_nothing_is_not_awaited() {
        let rest = stream::iter(messages(None).into_iter().take(1).map(Ok))
            .chain(stream::pending())
            .boxed();
        let upload = Upload::begin(rest, LIMITS, World::system()).await.unwrap();
        let received: Result<Vec<_>, _> = upload.unwrap().batches().try_collect().await;
        assert_eq!(received.unwrap_err().code(), tonic::Code::DeadlineExceeded);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(cases(1_000)))]
        #[test]
        fn damaged_messages_are_refused_or_decoded(
            number in 0..3_usize,
            in_body in any::<bool>(),
            damage in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
            zstd in any::<bool>(),
        ) {
            let mut messages = messages(zstd.then_some(CompressionType::ZSTD));
            let message = &mut messages[number];
            let mut bytes = if in_body { message.data_body.to_vec() } else { message.data_header.to_vec() };
            for (index, byte) in damage {
                if !bytes.is_empty() {
                    let at = index.index(bytes.len());
                    bytes[at] = byte;
                }
            }
            if in_body { message.data_body = bytes.into(); } else { message.data_header = bytes.into(); }
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            // A panic that is not turned into an error fails the test, and so does an abort for lack of memory.
            let _ = runtime.block_on(received(messages)).is_ok();
        }
    }
}
