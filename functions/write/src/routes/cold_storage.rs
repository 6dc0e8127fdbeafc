//! `POST` and `DELETE /api/v3/configure/cold_storage`: the storage class of the old rows of a database or a table.

use std::{sync::Arc, time::Duration};

use axum::{Router, extract::State, routing::post};
use http::StatusCode;
use neap_bucket::StorageClass;
use neap_catalog::ColdStorage;
use neap_http::{ApiError, Kind, parse_query};
use serde::Deserialize;

use super::{
    configure::{
        ServiceCall, StatusResult, find, no_table, parse_period, require_existing, table_error,
    },
    configure_params::json,
};
use crate::WriteService;

/// Returns the route of this module, which is specific to Neap.
pub(super) fn routes() -> Router<Arc<WriteService>> {
    let cold_storage = post(set_cold_storage).delete(clear_cold_storage);
    Router::new().route("/api/v3/configure/cold_storage", cold_storage)
}

#[derive(Debug, Deserialize)]
struct SetColdStorageBody {
    db: String,
    table: Option<String>,
    after: String,
    class: String,
}

/// `POST /api/v3/configure/cold_storage`: the setting of a table takes precedence over that of its database.
async fn set_cold_storage((State(service), caller, request): ServiceCall) -> StatusResult {
    caller.require_admin()?;
    let body: SetColdStorageBody = json(&service, request).await?;
    let class = body
        .class
        .parse::<StorageClass>()
        .map_err(|error| ApiError::text(Kind::Invalid, format!("cold storage: {error}")))?;
    let cold = ColdStorage::new(parse_period(&body.after)?, class);
    change(&service, &body.db, body.table.as_deref(), Some(cold)).await
}

#[derive(Debug, Deserialize)]
struct ClearColdStorageParams {
    db: String,
    table: Option<String>,
}

/// `DELETE /api/v3/configure/cold_storage`: no rows of a database become cold, or the setting of the database applies to a
/// table again.
async fn clear_cold_storage((State(service), caller, request): ServiceCall) -> StatusResult {
    caller.require_admin()?;
    let params: ClearColdStorageParams = parse_query(request.uri())?;
    change(&service, &params.db, params.table.as_deref(), None).await
}

async fn change(
    service: &WriteService,
    db: &str,
    table: Option<&str>,
    cold: Option<ColdStorage>,
) -> StatusResult {
    let database = require_existing(db, find(service, db).await?)?;
    let id = match table {
        None => None,
        Some(name) => {
            let catalog = service.catalog.database(database, Duration::ZERO).await?;
            let found = catalog.value.table(name);
            Some(found.ok_or_else(|| no_table(db, name))?.id())
        }
    };
    let set = service.catalog.set_cold_storage(database, id, cold).await;
    set.map_err(|error| match table {
        Some(name) => table_error(error, db, name),
        None => error.into(),
    })?;
    Ok(StatusCode::NO_CONTENT)
}
