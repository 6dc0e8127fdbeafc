//! The routes of the write function.

mod caches;
mod configure;
mod delete;
mod error_response;
mod file_index;
mod params;
mod questdb;
mod tokens;
mod write;

use std::sync::Arc;

use axum::{
    Router,
    routing::{get, post},
};

pub(crate) use error_response::of_delete as delete_answer;
pub use tokens::recovery_router;

use crate::WriteService;

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
        .merge(caches::routes())
        .merge(file_index::routes())
        .merge(tokens::routes())
        .with_state(service)
}
