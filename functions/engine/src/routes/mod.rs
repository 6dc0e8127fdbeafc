//! The endpoints of the processing engine.
//!
//! | path | purpose | callers |
//! |---|---|---|
//! | `/api/v3/configure/processing_engine_trigger`, `…/enable`, `…/disable` | triggers | administrators |
//! | `/api/v3/plugins/files`, `/api/v3/plugins/directory` | upload plugins, update the code of triggers | administrators |
//! | `/api/v3/configure/plugin_environment/install_packages`, `…/install_requirements` | packages | administrators |
//! | `/api/v3/plugin_test/wal`, `/api/v3/plugin_test/schedule` | dry runs | administrators |
//! | `/api/v3/engine/PATH` | requests to plugins, with any method | callers that may read or write the trigger's database |
//!
//! A plugin may read and write every database, and runs programs on the server. Therefore only administrators decide
//! which code runs; in InfluxDB 3 Core every token belongs to an administrator. The permissions on the trigger's
//! database decide who may call a plugin; the effects of the plugin are up to its author.

mod dry_run;
mod packages;
mod plugins;
mod requests;
mod triggers;

use std::{fmt, sync::Arc, time::Duration};

use async_trait::async_trait;
use axum::{Router, extract::Request};
use bytes::Bytes;
use neap_bucket::World;
use neap_catalog::{Catalog, CatalogError, Trigger};
use neap_http::{ApiError, BodyLimits, Kind, read_json};
use neap_schema::DatabaseId;
use serde::de::DeserializeOwned;

use crate::{
    DatabaseAccess, PluginCodeStore, PluginResponse, PythonEnvironment, RunError, TriggerKind,
    WorkerPool,
};

/// Maximum bytes of the body of a configuration request.
const MAX_CONFIGURE_BYTES: usize = 1 << 20;

/// The trigger that serves a path.
#[derive(Clone, Debug)]
pub struct RequestTrigger {
    /// The database of the trigger.
    pub database: DatabaseId,
    /// The name of the database.
    pub database_name: Arc<str>,
    /// The trigger.
    pub trigger: Arc<Trigger>,
}

/// A request to a plugin.
#[derive(Clone, Debug)]
pub struct PluginRequest {
    /// The HTTP method.
    pub method: String,
    /// The parameters of the query string, in their order.
    pub query: Vec<(String, String)>,
    /// The headers, with names in lower case and without those that hold credentials.
    pub headers: Vec<(String, String)>,
    /// The body, decoded.
    pub body: Bytes,
    /// The time limit of the plugin, if the client's request has one.
    pub time: Option<Duration>,
}

/// The interface of the routes to the engine that runs triggers.
#[async_trait]
pub trait RequestDispatcher: fmt::Debug + Send + Sync + 'static {
    /// Finds the enabled trigger of a path. If there are several, the trigger that was created or enabled last wins.
    ///
    /// # Errors
    /// The catalogs can't be read.
    async fn find(&self, path: &str) -> Result<Option<RequestTrigger>, CatalogError>;

    /// Runs the plugin of a trigger for a request. Dropping the future means that the client has disconnected.
    ///
    /// # Errors
    /// The run failed.
    async fn request(
        self: Arc<Self>,
        trigger: RequestTrigger,
        request: PluginRequest,
    ) -> Result<PluginResponse, RunError>;

    /// Notifies the engine that triggers were created, changed or deleted through this instance.
    fn changed(&self);
}

/// The components of the routes.
#[derive(Clone, Debug)]
pub struct EngineRoutes {
    /// The catalogs.
    pub catalog: Arc<Catalog>,
    /// Maximum age of a catalog for lookups.
    pub max_age: Duration,
    /// The code of plugins.
    pub code: Arc<PluginCodeStore>,
    /// The Python environment of plugins.
    pub packages: Arc<PythonEnvironment>,
    /// The processes that plugins run in.
    pub workers: Arc<WorkerPool>,
    /// The database for queries of dry runs.
    pub database: Arc<dyn DatabaseAccess>,
    /// The triggers on requests.
    pub triggers: Arc<dyn RequestDispatcher>,
    /// The allowed kinds of triggers (`--restrict-plugin-triggers-to`); empty: all kinds.
    pub allowed: Vec<TriggerKind>,
    /// The limits on the size and the duration of request bodies for plugins.
    pub body: BodyLimits,
}

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

impl EngineRoutes {
    fn world(&self) -> &World {
        self.catalog.bucket().world()
    }

    async fn json<T: DeserializeOwned>(
        &self,
        request: Request,
        max_bytes: usize,
    ) -> Result<T, ApiError> {
        let (head, body) = request.into_parts();
        let limits = BodyLimits {
            max_bytes,
            ..self.body
        };
        read_json(&head.headers, body, &limits, self.world()).await
    }

    async fn database(&self, name: &str) -> Result<DatabaseId, ApiError> {
        let found = self.catalog.database_by_name(name, self.max_age).await?;
        let text = || format!("Database not found {name}");
        found.ok_or_else(|| ApiError::text(Kind::NotFound, text()))
    }
}

#[cfg(test)]
mod tests;
