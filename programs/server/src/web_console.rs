//! The console: its page, and the endpoints that only the page needs.

use std::sync::Arc;

use axum::Router;
use clap::ValueEnum;
use neap_console::{
    SessionServer, assistant_routes, document_routes, embedded_page_routes, is_page_embedded,
    session_routes,
};

use super::{
    ServeError,
    options::{ServeArgs, ServeMode},
    server_context::ServerContext,
    version::{REVISION, VERSION},
};

/// Returns whether this process shows a page in browsers: it queries the server that the page is on.
pub(super) fn has_page(args: &ServeArgs) -> bool {
    args.does(ServeMode::Query) && is_page_embedded()
}

/// Returns the routes of the page, which read no store; none without the query function.
pub(super) fn page_routes(args: &ServeArgs) -> Router {
    if args.does(ServeMode::Query) {
        embedded_page_routes()
    } else {
        Router::new()
    }
}

/// Returns the endpoints of the page; none without the query function.
pub(super) fn routes(args: &ServeArgs, base: &ServerContext, node: Option<&str>) -> Router {
    if !args.does(ServeMode::Query) {
        return Router::new();
    }
    let modes: Vec<String> = args
        .mode
        .iter()
        .filter_map(ServeMode::to_possible_value)
        .map(|mode| mode.get_name().to_owned())
        .collect();
    let session = session_routes(SessionServer {
        catalog: Arc::clone(&base.catalog),
        requires_tokens: !args.access.without_auth,
        has_users: args.access.has_users() && args.does(ServeMode::Ingest),
        version: VERSION,
        revision: REVISION,
        mode: modes.join(","),
        node_id: node.map(str::to_owned),
        assistant_model: args.assistant.model().map(str::to_owned),
    });
    session.merge(document_routes(Arc::clone(&base.catalog)))
}

/// Returns the endpoint of the assistant; none without the query function.
///
/// # Errors
/// The options of the assistant can't be used.
pub(super) fn assistant(args: &ServeArgs, base: &ServerContext) -> Result<Router, ServeError> {
    if !args.does(ServeMode::Query) {
        return Ok(Router::new());
    }
    let assistant = args.assistant.assistant()?;
    Ok(assistant_routes(Arc::clone(&base.catalog), assistant))
}
