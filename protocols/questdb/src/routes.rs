//! The routes of QuestDB's HTTP interface, besides those of its line protocol.

use std::sync::Arc;

use axum::Router;
use neap_query::QueryEngine;
use neap_write::WriteService;

use crate::{exec, import};

/// The components of the routes.
#[derive(Clone, Debug)]
pub struct QuestDbRoutes {
    /// The query function; `None`: the server answers no queries.
    pub queries: Option<Arc<QueryEngine>>,
    /// The write function; `None`: the server accepts no writes.
    pub writes: Option<Arc<WriteService>>,
    /// The database of requests that name none with `db`; `None`: they are refused.
    pub default_database: Option<String>,
}

/// Returns the routes `GET /exec` and `POST /imp`, for the functions that the server has. Merge them with the routes of
/// the functions, inside [`with_common_layers`](neap_http::with_common_layers). `/exec` requires a permission for some
/// database, and `/imp` that to write to some database; the handlers check the database.
pub fn router(parts: QuestDbRoutes) -> Router {
    let mut routes = Router::new();
    if let Some(engine) = parts.queries {
        routes = routes.merge(exec::routes(
            engine,
            parts.writes.clone(),
            parts.default_database.clone(),
        ));
    }
    if let Some(writes) = parts.writes {
        routes = routes.merge(import::routes(writes, parts.default_database));
    }
    routes
}
