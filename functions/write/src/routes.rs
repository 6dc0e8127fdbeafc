//! The routes of the write function.

mod authorization;
mod bucket_name;
mod caches;
mod cold_storage;
mod columns;
mod configure;
mod configure_params;
mod database_settings;
mod delete;
mod error_response;
mod file_index;
mod identity;
mod params;
mod partial_write;
mod questdb;
mod rename;
mod retention_list;
mod row_delete_requests;
mod tokens;
mod write;

use std::sync::Arc;

use axum::{
    Router,
    routing::{get, post},
};

pub use authorization::authorize_write;
pub(crate) use error_response::of_delete as delete_answer;
use neap_http::ApiError;
pub use row_delete_requests::row_delete_router;
pub use tokens::recovery_router;

use crate::WriteService;

/// Returns whether a database has a table.
///
/// # Errors
/// The catalog can't be read.
pub async fn table_exists(
    service: &WriteService,
    database: &str,
    table: &str,
) -> Result<bool, ApiError> {
    let Some(database) = configure::find(service, database).await? else {
        return Ok(false);
    };
    let catalog = service.catalog.database(database, service.max_age).await?;
    Ok(catalog.value.table(table).is_some())
}

/// Returns the routes that write and delete rows, and that change databases, tables, caches and tokens. The route that
/// lists databases (GET) is in the query function; the two routers can be merged.
pub fn router(service: Arc<WriteService>) -> Router {
    Router::new()
        .route("/api/v3/write_lp", post(write::v3))
        .route("/api/v2/write", post(write::v2))
        .route("/write", post(write::v1))
        .route("/api/v2/delete", post(delete::v2))
        .route("/api/v3/delete_rows", post(delete::v3))
        .route("/settings", get(questdb::settings))
        .merge(configure::routes())
        .merge(rename::routes())
        .merge(columns::routes())
        .merge(retention_list::routes())
        .merge(cold_storage::routes())
        .merge(caches::routes())
        .merge(file_index::routes())
        .merge(tokens::routes())
        .merge(identity::routes())
        .with_state(service)
}
