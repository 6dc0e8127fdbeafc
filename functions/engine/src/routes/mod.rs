//! The endpoints of the processing engine.
//!
//! | path | purpose | callers |
//! |---|---|---|
//! | `/api/v3/configure/processing_engine_trigger`, `…/enable`, `…/disable` | triggers | administrators |
//! | `/api/v3/plugins/files`, `/api/v3/plugins/directory` | upload plugins, update the code of triggers | administrators |
//! | `/api/v3/plugins/available`, `/api/v3/plugins/install` | list and install plugins of a repository | administrators |
//! | `/api/v3/configure/plugin_environment/install_packages`, `…/install_requirements` | packages | administrators |
//! | `/api/v3/plugin_test/wal`, `/api/v3/plugin_test/schedule` | dry runs | administrators |
//! | `/api/v3/engine/PATH` | requests to plugins, with any method | callers that may read or write the trigger's database |
//!
//! A plugin may read and write every database, and runs programs on the server. Therefore only administrators decide
//! which code runs; in InfluxDB 3 Core every token belongs to an administrator. The permissions on the trigger's
//! database decide who may call a plugin; the effects of the plugin are up to its author.

mod dispatcher;
mod dry_run;
mod packages;
mod parts;
mod plugins;
mod requests;
mod triggers;

use std::sync::Arc;

use axum::Router;

pub use dispatcher::{PluginRequest, RequestDispatcher, RequestTrigger};
pub use parts::EngineRoutes;

/// Creates the routes of the processing engine.
pub fn routes(parts: EngineRoutes) -> Router {
    Router::new()
        .merge(triggers::routes())
        .merge(plugins::routes())
        .merge(packages::routes())
        .merge(dry_run::routes())
        .merge(requests::routes())
        .with_state(Arc::new(parts))
}

#[cfg(test)]
mod tests;
