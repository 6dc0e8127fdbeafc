//! Statements that change rows, tables and databases by the write function.

use std::sync::Arc;

use arrow::{array::RecordBatch, datatypes::Schema};
use neap_http::STAMP_HEADER;
use neap_query::{Language, Parameters, QueryRequest};
use neap_sql_changes::{Change, ChangeExecutor, Changed};
use tonic::{Response, Status};

use crate::{
    prepared,
    request_metadata::RequestMetadata,
    row_stream::{FlightStream, set_stamps, stream_batch},
    statement_handle::StatementHandle,
    status,
};

/// Executes a change with these values of its placeholders, or with those in its handle; `None`: the query function executes
/// the statement.
///
/// # Errors
/// The sender lacks a permission, or the statement can't be executed.
pub(crate) async fn execute(
    executor: &ChangeExecutor,
    handle: &StatementHandle,
    parameters: Option<&Parameters>,
    metadata: &RequestMetadata,
) -> Result<Option<Changed>, Status> {
    let change = match handle.change()? {
        Some(change @ (Change::Insert { .. } | Change::Define(_))) => change,
        Some(Change::Delete | Change::Engine(_)) | None => return Ok(None),
    };
    let parameters = match parameters {
        Some(parameters) => parameters.clone(),
        None => prepared::parameters(executor, metadata, handle).await?,
    };
    let request = QueryRequest {
        text: handle.text.clone(),
        parameters,
        ..metadata.query_options().clone()
    };
    let query = metadata.client_query(handle.database.clone(), Language::Sql, request);
    let changed = executor.execute(&change, query).await;
    changed.map(Some).map_err(status::of_change)
}

/// Returns the answer to a client that requests the rows of a change: there are none.
pub(crate) fn no_rows(changed: Changed) -> Response<FlightStream> {
    let none = RecordBatch::new_empty(Arc::new(Schema::empty()));
    let mut response = Response::new(stream_batch(none));
    set_stamps(&mut response, [(STAMP_HEADER, changed.stamp)]);
    response
}
