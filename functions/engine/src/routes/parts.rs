//! The components of the routes.

use std::sync::Arc;

use axum::extract::Request;
use neap_bucket::World;
use neap_catalog::Catalog;
use neap_http::{ApiError, BodyLimits, Call, Kind, read_json, read_query_or_json};
use neap_schema::DatabaseId;
use serde::de::DeserializeOwned;

use super::RequestDispatcher;
use crate::{DatabaseAccess, PluginCodeStore, PythonEnvironment, TriggerKind, WorkerPool};

/// The parameters of a handler.
pub(super) type RoutesCall = Call<Arc<EngineRoutes>>;

/// Maximum bytes of the body of a configuration request.
pub(super) const MAX_CONFIGURE_BYTES: usize = 1 << 20;

/// The components of the routes.
#[derive(Clone, Debug)]
pub struct EngineRoutes {
    /// The catalogs.
    pub catalog: Arc<Catalog>,
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

impl EngineRoutes {
    pub(super) fn world(&self) -> &World {
        self.catalog.bucket().world()
    }

    pub(super) async fn json<T: DeserializeOwned>(
        &self,
        request: Request,
        max_bytes: usize,
    ) -> Result<T, ApiError> {
        let (head, body) = request.into_parts();
        let limits = self.body_limits(max_bytes);
        read_json(&head.headers, body, &limits, self.world()).await
    }

    /// Reads parameters from the query string if there is one, otherwise from the body.
    pub(super) async fn query_or_json<T: DeserializeOwned>(
        &self,
        request: Request,
    ) -> Result<T, ApiError> {
        let limits = self.body_limits(MAX_CONFIGURE_BYTES);
        read_query_or_json(request, &limits, self.world()).await
    }

    fn body_limits(&self, max_bytes: usize) -> BodyLimits {
        BodyLimits { max_bytes, ..self.body }
    }

    /// Checks that the Python packages that a plugin needs are installed. The plugins that it needs may run elsewhere, so
    /// they are only logged if they are missing here.
    pub(super) async fn require_dependencies(&self, plugin: &str) -> Result<(), ApiError> {
        let Some(manifest) = self.code.manifest(plugin).await? else {
            return Ok(());
        };
        self.packages.require(plugin, &manifest.dependencies.python).await?;
        for needed in &manifest.dependencies.plugins {
            if self.code.manifest(needed.name.as_str()).await.is_err() {
                tracing::warn!(plugin, needed = %needed.name, "a plugin needs another one that is not installed here");
            }
        }
        Ok(())
    }

    pub(super) async fn database(&self, name: &str) -> Result<DatabaseId, ApiError> {
        let found = self.catalog.database_by_name(name, self.catalog.max_age()).await?;
        let text = || format!("Database not found {name}");
        found.ok_or_else(|| ApiError::text(Kind::NotFound, text()))
    }
}
