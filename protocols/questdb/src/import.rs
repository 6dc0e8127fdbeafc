//! `POST /imp`: an upload of a CSV file with a header.
//!
//! The file is the part `data` of a form (`multipart/form-data`), read whole within the limit of writes. A part `schema`
//! before it names symbols, which become tags. Rows are validated like lines of line protocol: refused rows are counted,
//! and the others are stored, unless the request asks for all or nothing.
//!
//! In QuestDB a table may lack a designated timestamp. Here a row is identified by its time and tags, so a file without
//! times is refused: its rows would replace each other.

mod answer;
mod decode;
mod multipart;
mod params;

use std::sync::Arc;

use axum::{
    Router,
    extract::{Request, State},
    response::Response,
    routing::post,
};
use neap_catalog::{CatalogError, validate_database_name};
use neap_http::{ApiError, Caller, expected_bytes, read_body};
use neap_rows::columnar::{ColumnMapping, TagColumns, TimeColumn};
use neap_write::{DuplicateCheck, WriteFailure, WriteOptions, WriteService, authorize_write};

use self::{
    answer::{ImportOutcome, respond},
    decode::{decode, header_names},
    multipart::ImportForm,
    params::{ImportParams, invalid, time_column},
};

/// The components of `/imp`.
#[derive(Debug)]
struct ImportState {
    service: Arc<WriteService>,
    default_database: Option<String>,
}

/// Returns the route `/imp`.
pub(crate) fn routes(service: Arc<WriteService>, default_database: Option<String>) -> Router {
    let state = ImportState { service, default_database };
    Router::new().route("/imp", post(import)).with_state(Arc::new(state))
}

async fn import(State(state): State<Arc<ImportState>>, request: Request) -> Response {
    let params = ImportParams::parse(request.uri());
    let as_json = params.as_ref().is_ok_and(|params| params.as_json);
    let outcome = match params {
        Ok(params) => accept(&state, request, params).await,
        Err(error) => Err(error),
    };
    respond(outcome, as_json)
}

async fn accept(
    state: &ImportState,
    request: Request,
    params: ImportParams,
) -> Result<ImportOutcome, ApiError> {
    let service = &state.service;
    let (head, body) = request.into_parts();
    let database = params
        .database
        .or_else(|| state.default_database.clone())
        .ok_or_else(|| invalid("missing query parameter 'db'"))?;
    // The name and the permission are checked before the body is read.
    validate_database_name(&database).map_err(CatalogError::from)?;
    let caller = Caller::from_head(&head)?;
    let only = authorize_write(service, &caller, &database).await?;
    let duplicate_check = DuplicateCheck::requested(&head.headers)?;
    let limits = service.settings().body_limits();
    let mut reservation = service.reserve(expected_bytes(&head.headers, &limits)).await?;
    let body = read_body(&head.headers, body, &limits, service.world()).await?;
    let form = ImportForm::parse(&head.headers, body)?;
    let names = header_names(&form.data)?;
    let time = time_column(params.timestamp, &names)?;
    let table = params
        .table
        .or(form.file_name)
        .ok_or_else(|| invalid("missing query parameter 'name'"))?;
    let mapping = ColumnMapping {
        table: table.clone(),
        tags: TagColumns::Named(form.symbols.clone()),
        time: TimeColumn { name: Some(time.clone()), ..TimeColumn::default() },
    };
    let (rows, types) = decode(service, &mut reservation, form.data, mapping).await?;
    let options = WriteOptions {
        only,
        accept_partial: !params.all_or_nothing,
        duplicates: duplicate_check,
        ..WriteOptions::default()
    };
    let written = service.write_rows(reservation, &database, &rows, options).await;
    let duplicates = match &written {
        Ok(accepted) => accepted.duplicates,
        Err(failure) => failure.duplicates(),
    };
    let (imported, errors, rejected) = match written {
        Ok(accepted) => (accepted.rows, Vec::new(), 0),
        Err(WriteFailure::Empty) => (0, Vec::new(), 0),
        Err(WriteFailure::Partial { errors, refused, rows, .. }) => (rows, errors, refused),
        Err(WriteFailure::Rejected(error)) => {
            let (row, reason) = (error.line_number, error.error_message);
            return Err(invalid(format!(
                "nothing is stored, because row {row} is refused: {reason}"
            )));
        }
        Err(failure) => return Err(failure.into()),
    };
    Ok(ImportOutcome {
        table,
        imported,
        rejected,
        errors,
        duplicates,
        columns: answer::columns(&names, &types, &form.symbols, &time),
        time,
    })
}

#[cfg(test)]
mod tests;
