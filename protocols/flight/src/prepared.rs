//! Prepared statements, and the values of their placeholders.

use arrow::{
    array::RecordBatch,
    datatypes::{DataType, Field, Schema, SchemaRef},
    ipc::writer::IpcWriteOptions,
};
use arrow_flight::{IpcMessage, SchemaAsIpc, sql::ActionCreatePreparedStatementResult};
use bytes::Bytes;
use futures::{Stream, TryStreamExt};
use neap_query::{
    ClientQuery, Language, ParameterError, Parameters, QueryRequest, StatementDescription,
    number_placeholders,
};
use neap_sql_changes::ChangeExecutor;
use prost::Message;
use tonic::Status;

use crate::{
    request_metadata::RequestMetadata, row_stream::visible_columns,
    statement_handle::StatementHandle, status,
};

/// Maximum number of record batches with the values of placeholders, most of which are empty.
const MAX_PARAMETER_BATCHES: usize = 16;

/// Returns a statement in the form that the query function plans.
pub(crate) fn planned_text(text: &str, language: Language) -> String {
    match language {
        Language::Sql => number_placeholders(text).into_owned(),
        Language::InfluxQl => text.to_owned(),
    }
}

/// Prepares a statement.
///
/// # Errors
/// The metadata are malformed, the sender lacks a permission, or the statement is invalid.
pub(crate) async fn prepare(
    executor: &ChangeExecutor,
    metadata: &RequestMetadata,
    text: &str,
) -> Result<ActionCreatePreparedStatementResult, Status> {
    let language = metadata.language()?;
    let text = planned_text(text, language);
    let handle = StatementHandle::new(metadata.required_database()?, text, language);
    let described = describe(executor, metadata, &handle).await?;
    let placeholders = described.placeholders.iter().map(|(name, data_type)| {
        let data_type = data_type.clone().unwrap_or(DataType::Null);
        Field::new(name, data_type, true)
    });
    Ok(ActionCreatePreparedStatementResult {
        prepared_statement_handle: handle.encode_to_vec().into(),
        dataset_schema: encode_schema(&visible_columns(&described.columns))?,
        parameter_schema: encode_schema(&Schema::new(placeholders.collect::<Vec<_>>()))?,
    })
}

/// Describes the statement of a handle, without the values of its placeholders.
async fn describe(
    executor: &ChangeExecutor,
    metadata: &RequestMetadata,
    handle: &StatementHandle,
) -> Result<StatementDescription, Status> {
    match handle.change()? {
        Some(change) => {
            let query = client_query(metadata, handle, Parameters::default())?;
            executor.describe(&change, query).await.map_err(status::of_change)
        }
        None => describe_query(executor, metadata, handle, Parameters::default()).await,
    }
}

/// Returns the columns of the answer to the statement of a handle. Their types may depend on the values of its
/// placeholders.
///
/// # Errors
/// Same as [`prepare`]; `InvalidArgument` if the values don't fit the placeholders.
pub(crate) async fn columns(
    executor: &ChangeExecutor,
    metadata: &RequestMetadata,
    handle: &StatementHandle,
    values: Option<&Parameters>,
) -> Result<SchemaRef, Status> {
    let values = match values {
        Some(values) => values.clone(),
        None => parameters(executor, metadata, handle).await?,
    };
    let described = describe_query(executor, metadata, handle, values).await?;
    Ok(visible_columns(&described.columns))
}

/// Describes the statement of a handle as a query. An update that the query function does not execute is refused.
async fn describe_query(
    executor: &ChangeExecutor,
    metadata: &RequestMetadata,
    handle: &StatementHandle,
    parameters: Parameters,
) -> Result<StatementDescription, Status> {
    let query = client_query(metadata, handle, parameters)?;
    executor.queries().describe_as(query).await.map_err(status::of_client_query)
}

fn client_query(
    metadata: &RequestMetadata,
    handle: &StatementHandle,
    parameters: Parameters,
) -> Result<ClientQuery, Status> {
    let request = QueryRequest {
        text: handle.text.clone(),
        parameters,
        ..metadata.query_options().clone()
    };
    let language = handle.statement_language()?;
    Ok(metadata.client_query(handle.database.clone(), language, request))
}

/// Returns the values of a statement's placeholders.
///
/// # Errors
/// Same as [`prepare`]; `InvalidArgument` if the values don't fit the placeholders.
pub(crate) async fn parameters(
    executor: &ChangeExecutor,
    metadata: &RequestMetadata,
    handle: &StatementHandle,
) -> Result<Parameters, Status> {
    if !handle.has_parameters() {
        return Ok(Parameters::default());
    }
    // The permission is checked before the values are decoded.
    let described = describe(executor, metadata, handle).await?;
    let Some(values) = handle.parameters().await? else {
        return Ok(Parameters::default());
    };
    let placeholders: Vec<&str> =
        described.placeholders.iter().map(|(name, _)| name.as_str()).collect();
    Parameters::from_batch(&values, &placeholders)
        .map_err(|error: ParameterError| Status::invalid_argument(error.to_string()))
}

/// Returns a handle with the values that a client sends for its placeholders.
///
/// # Errors
/// The error of a batch; `InvalidArgument` if the values do not have one row.
pub(crate) async fn bind(
    handle: StatementHandle,
    mut batches: impl Stream<Item = Result<RecordBatch, Status>> + Unpin,
) -> Result<StatementHandle, Status> {
    let mut values: Option<RecordBatch> = None;
    for _ in 0..MAX_PARAMETER_BATCHES {
        let Some(batch) = batches.try_next().await? else {
            return match values {
                Some(values) => handle.with_parameters(values).await,
                None => Ok(handle),
            };
        };
        match batch.num_rows() {
            0 => {}
            1 if values.is_none() => values = Some(batch),
            _ => break,
        }
    }
    let text = "parameters must have one row: a statement is executed once";
    Err(Status::invalid_argument(text))
}

/// Returns a schema as an IPC message.
fn encode_schema(schema: &Schema) -> Result<Bytes, Status> {
    let options = IpcWriteOptions::default();
    let message = IpcMessage::try_from(SchemaAsIpc::new(schema, &options));
    match message {
        Ok(IpcMessage(bytes)) => Ok(bytes),
        Err(error) => Err(Status::internal(error.to_string())),
    }
}
