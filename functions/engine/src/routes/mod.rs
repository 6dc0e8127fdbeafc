//! The endpoints of the processing engine.
//!
//! | path | what it does | for whom |
//! |---|---|---|
//! | `/api/v3/configure/processing_engine_trigger`, `…/enable`, `…/disable` | triggers | administrators |
//! | `/api/v3/plugins/files`, `/api/v3/plugins/directory` | plugins that are uploaded, new code for triggers | administrators |
//! | `/api/v3/configure/plugin_environment/install_packages`, `…/install_requirements` | packages | administrators |
//! | `/api/v3/plugin_test/wal`, `/api/v3/plugin_test/schedule` | dry runs | administrators |
//! | `/api/v3/engine/PATH` | requests to plugins, with any method | who may read or write the trigger's database |
//!
//! A plugin may read and write every database, and runs programs on the server: so who decides which code runs is an
//! administrator, as everybody with a token is in InfluxDB 3 Core. Who may call a plugin is decided by the database
//! that its trigger belongs to; what the plugin does then is up to its author.

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

use crate::{Database, Packages, PluginCode, PluginResponse, RunError, TriggerKind, Workers};

/// The most bytes of a body that configures something.
const MAX_CONFIGURE_BYTES: usize = 1 << 20;

/// The trigger that a path belongs to.
#[derive(Clone, Debug)]
pub struct RequestTrigger {
    /// Its database.
    pub database: DatabaseId,
    /// The name of the database.
    pub database_name: Arc<str>,
    /// The trigger.
    pub trigger: Arc<Trigger>,
}

/// A request to a plugin.
#[derive(Clone, Debug)]
pub struct PluginRequest {
    /// The method.
    pub method: String,
    /// The parameters of the query string, in their order.
    pub query: Vec<(String, String)>,
    /// The headers, with names in lower case and without those that hold credentials.
    pub headers: Vec<(String, String)>,
    /// The body, decoded.
    pub body: Bytes,
    /// The time that the plugin may take, if whoever waits for the answer waits no longer.
    pub time: Option<Duration>,
}

/// What the routes need of the engine that runs triggers.
#[async_trait]
pub trait RequestTriggers: fmt::Debug + Send + Sync + 'static {
    /// The enabled trigger of a path; of several, the one that was created or enabled last.
    ///
    /// # Errors
    /// The catalogs can't be read.
    async fn find(&self, path: &str) -> Result<Option<RequestTrigger>, CatalogError>;

    /// Runs the plugin of a trigger for a request.
    ///
    /// # Errors
    /// The run failed.
    async fn request(
        &self,
        trigger: &RequestTrigger,
        request: PluginRequest,
    ) -> Result<PluginResponse, RunError>;

    /// Says that triggers were created, changed or deleted here.
    fn changed(&self);
}

/// What the routes work with.
#[derive(Clone, Debug)]
pub struct EngineRoutes {
    /// The catalogs.
    pub catalog: Arc<Catalog>,
    /// How old a catalog may be that is looked up in.
    pub max_age: Duration,
    /// The code of plugins.
    pub code: Arc<PluginCode>,
    /// Packages for plugins.
    pub packages: Arc<Packages>,
    /// The processes that plugins run in.
    pub workers: Arc<Workers>,
    /// The database, as dry runs have it.
    pub database: Arc<dyn Database>,
    /// The triggers that requests are for.
    pub triggers: Arc<dyn RequestTriggers>,
    /// What may make triggers run (`--restrict-plugin-triggers-to`); none: anything.
    pub allowed: Vec<TriggerKind>,
    /// How large bodies of requests to plugins may be, and how long they may take.
    pub body: BodyLimits,
}

/// The routes of the processing engine.
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
