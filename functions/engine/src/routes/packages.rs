//! The endpoints that install packages for plugins.

use std::sync::Arc;

use axum::{Router, extract::State, routing::post};
use http::StatusCode;
use neap_http::ApiError;
use serde::Deserialize;

use super::{
    EngineRoutes,
    parts::{MAX_CONFIGURE_BYTES, RoutesCall},
};
use crate::PackageError;

type ConfigureResult = Result<StatusCode, ApiError>;

/// The routes of this module.
pub(super) fn routes() -> Router<Arc<EngineRoutes>> {
    const ENVIRONMENT: &str = "/api/v3/configure/plugin_environment";
    let packages = format!("{ENVIRONMENT}/install_packages");
    let requirements = format!("{ENVIRONMENT}/install_requirements");
    Router::new()
        .route(&packages, post(install_packages))
        .route(&requirements, post(install_requirements))
}

#[derive(Debug, Deserialize)]
struct PackagesBody {
    packages: Vec<String>,
}

/// `POST …/install_packages`
async fn install_packages((State(parts), caller, request): RoutesCall) -> ConfigureResult {
    caller.require_admin()?;
    let body: PackagesBody = parts.json(request, MAX_CONFIGURE_BYTES).await?;
    let packages = Arc::clone(&parts.packages);
    let installation = async move { packages.install(&body.packages).await };
    install(parts, installation).await
}

#[derive(Debug, Deserialize)]
struct RequirementsBody {
    requirements_location: String,
}

/// `POST …/install_requirements`
async fn install_requirements((State(parts), caller, request): RoutesCall) -> ConfigureResult {
    caller.require_admin()?;
    let body: RequirementsBody = parts.json(request, MAX_CONFIGURE_BYTES).await?;
    let file = body.requirements_location;
    let packages = Arc::clone(&parts.packages);
    let installation = async move { packages.install_requirements(&file).await };
    install(parts, installation).await
}

/// Runs an installation, after which plugins use the packages from their next run on. It continues if the client
/// disconnects, because an installer that is killed leaves incomplete packages.
async fn install(
    parts: Arc<EngineRoutes>,
    installation: impl Future<Output = Result<(), PackageError>> + Send + 'static,
) -> ConfigureResult {
    let task = tokio::spawn(async move {
        let result = installation.await;
        match &result {
            Ok(()) => {
                parts.workers.use_python(parts.packages.python());
                tracing::info!("packages are installed");
            }
            Err(error) => tracing::warn!(%error, "packages are not installed"),
        }
        result
    });
    let result = task.await;
    let stopped = |_| PackageError::Failed("it was stopped".to_owned());
    result.map_err(stopped).flatten()?;
    Ok(StatusCode::OK)
}
