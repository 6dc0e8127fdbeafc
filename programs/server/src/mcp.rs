//! `/mcp`: the tools for agents.

mod options;

use std::sync::Arc;

use axum::Router;
use neap_bucket::World;
use neap_mcp::{HttpApi, McpRouteSettings, WriteAccess, mcp_routes};

pub(crate) use self::options::McpArgs;
use super::{
    options::{ServeArgs, ServeMode},
    version::VERSION,
};

/// Returns the route `/mcp`, whose tools call `api`; none without the query function.
pub(super) fn routes(args: &ServeArgs, api: Arc<dyn HttpApi>, world: &World) -> Router {
    if !args.does(ServeMode::Query) {
        return Router::new();
    }
    let settings = McpRouteSettings {
        writes: if args.mcp.mcp_allow_writes {
            WriteAccess::Allowed
        } else {
            WriteAccess::ReadOnly
        },
        allowed_origins: args.mcp.mcp_allowed_origins.clone(),
        version: VERSION,
    };
    mcp_routes(api, settings, world.clone())
}
