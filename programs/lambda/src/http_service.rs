//! Common parts of all functions that answer HTTP: their outer layers, their monitoring routes, and their start.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use axum::{BoxError, Router};
use neap_bucket::ProtocolRules;
use neap_catalog::{Catalog, CatalogError, TokenHash};
use neap_http::{
    ApiError, ClusterId, Kind, PingAnswer, ServerInfo, ServiceContext, health_routes,
    metrics_routes, with_common_layers,
};
use serde_json::value::RawValue;

use crate::{
    REVISION, VERSION,
    http::{BodyErrorMapper, HttpFunction, HttpFunctionParts, RouteProvider},
    options::{AccessOptions, HttpOptions},
    runtime::{EventFailure, EventReply, Function},
    store::FunctionStore,
};

/// Returns the monitoring routes: health checks and metrics.
pub(crate) fn monitoring_routes(opened: &FunctionStore) -> Router {
    let server = ServerInfo::new(VERSION, REVISION, opened.bucket.world());
    health_routes(server, PingAnswer::default()).merge(metrics_routes(opened.metrics.clone()))
}

/// Adds the monitoring routes and the layers that apply to every response.
pub(crate) fn complete_routes(
    routes: Router,
    opened: &FunctionStore,
    catalog: &Arc<Catalog>,
    access: &AccessOptions,
) -> Router {
    let metrics = opened.metrics.clone();
    let access = access.access(catalog, &metrics);
    let common = ServiceContext {
        cluster: ClusterId::new(Arc::clone(catalog)),
        world: opened.bucket.world().clone(),
        metrics,
        access,
    };
    with_common_layers(routes.merge(monitoring_routes(opened)), common)
}

/// Reads the catalog, and installs the operator token if the cluster has no administrator token.
pub(crate) async fn prepare_catalog(
    catalog: &Catalog,
    operator: Option<&TokenHash>,
) -> Result<ProtocolRules, ApiError> {
    let rules = catalog.rules().await.map_err(catalog_unavailable)?;
    let has_admin = catalog.known_root().is_some_and(|root| root.value.has_admin_token());
    if let Some(hash) = operator.filter(|_| !has_admin) {
        let installed = catalog.install_admin_token(hash.clone(), None).await;
        installed.map_err(catalog_unavailable)?;
    }
    Ok(rules)
}

/// Returns the response while the catalog can't be read.
fn catalog_unavailable(error: CatalogError) -> ApiError {
    tracing::warn!(%error, "the catalog can't be read");
    ApiError::from(error)
}

/// Returns the error for a response body that broke off.
pub(crate) fn fault_of_body(error: BoxError) -> ApiError {
    ApiError::text(Kind::Internal, error.to_string())
}

/// Creates the function that answers the requests of `served`.
pub(crate) fn http_function(
    options: &HttpOptions,
    opened: &FunctionStore,
    served: Arc<dyn RouteProvider>,
    fault_of_body: BodyErrorMapper,
) -> HttpFunction {
    HttpFunction::new(HttpFunctionParts {
        options: options.clone(),
        bucket: opened.bucket.clone(),
        links: opened.links.clone(),
        metrics: opened.metrics.clone(),
        served,
        fault_of_body,
    })
}

/// A function that only answers HTTP requests.
pub(crate) struct HttpOnlyFunction(pub(crate) HttpFunction);

#[async_trait]
impl Function for HttpOnlyFunction {
    async fn warm(&self) {
        self.0.warm().await;
    }

    async fn handle(&self, event: &RawValue, left: Duration) -> Result<EventReply, EventFailure> {
        self.0.handle(event, left).await
    }

    fn streams(&self) -> bool {
        self.0.streams()
    }

    fn begin_shutdown(&self) {
        self.0.begin_shutdown();
    }
}
