//! The routes of the write function.

mod answer;
mod configure;
mod params;
mod write;

use std::sync::Arc;

use axum::{Router, routing::post};

use crate::WriteService;

/// The routes that write, and those that change databases and tables. The listing of databases (GET) has a
/// route of its own in the query function; the two can be merged.
pub fn router(service: Arc<WriteService>) -> Router {
    let database = post(configure::create_database)
        .put(configure::update_database)
        .delete(configure::delete_database);
    let retention = post(configure::set_retention).delete(configure::clear_retention);
    let table = post(configure::create_table).delete(configure::delete_table);
    Router::new()
        .route("/api/v3/write_lp", post(write::v3))
        .route("/api/v2/write", post(write::v2))
        .route("/write", post(write::v1))
        .route("/api/v3/configure/database", database)
        .route("/api/v3/configure/database/retention_period", retention)
        .route("/api/v3/configure/table", table)
        .with_state(service)
}
