//! The routes of the write function.

mod answer;
mod caches;
mod configure;
mod delete;
mod params;
mod write;

use std::sync::Arc;

use axum::{Router, routing::post};

pub(crate) use answer::of_delete as delete_answer;

use crate::WriteService;

/// The routes that write and delete rows, and those that change databases, tables and
/// caches. The listing of databases
/// (GET) has a route of its own in the query function; the two can be merged.
pub fn router(service: Arc<WriteService>) -> Router {
    Router::new()
        .route("/api/v3/write_lp", post(write::v3))
        .route("/api/v2/write", post(write::v2))
        .route("/write", post(write::v1))
        .route("/api/v2/delete", post(delete::v2))
        .route("/api/v3/delete_rows", post(delete::v3))
        .merge(configure::routes())
        .merge(caches::routes())
        .with_state(service)
}
