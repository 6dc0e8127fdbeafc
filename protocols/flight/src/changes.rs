//! Updates that the query function does not execute alone: `INSERT`, and `CREATE` and `DROP` of tables and databases.

use neap_query::{Language, QueryRequest};
use neap_sql_changes::{Change, ChangeExecutor, ChangeOutcome};
use tonic::Status;

use crate::{
    prepared, request_metadata::RequestMetadata, statement_handle::StatementHandle, status,
};

/// Executes an update; `None`: the query function executes it.
///
/// # Errors
/// The sender lacks a permission, or the statement can't be executed.
pub(crate) async fn execute(
    executor: &ChangeExecutor,
    handle: &StatementHandle,
    metadata: &RequestMetadata,
) -> Result<Option<ChangeOutcome>, Status> {
    let change = match handle.change()? {
        Some(change @ (Change::Insert { .. } | Change::Define(_))) => change,
        Some(Change::Delete | Change::Engine(_)) | None => return Ok(None),
    };
    let request = QueryRequest {
        text: handle.text.clone(),
        parameters: prepared::parameters(executor, metadata, handle).await?,
        ..metadata.query_options().clone()
    };
    let query = metadata.client_query(handle.database.clone(), Language::Sql, request);
    let changed = executor.execute(&change, query).await;
    changed.map(Some).map_err(status::of_change)
}
