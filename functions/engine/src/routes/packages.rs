//! The endpoints that install packages for plugins.

use std::sync::Arc;

use axum::{
    Router,
    extract::{Request, State},
    routing::post,
};
use http::StatusCode;
use neap_http::{ApiError, Caller};
use serde::Deserialize;

use super::{EngineRoutes, MAX_CONFIGURE_BYTES};

type ConfigureResult = Result<StatusCode, ApiError>;
type RoutesState = State<Arc<EngineRoutes>>;

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
async fn install_packages(
    State(parts): RoutesState,
    caller: Caller,
    request: Request,
) -> ConfigureResult {
    caller.require_admin()?;
    let body: PackagesBody = parts.json(request, MAX_CONFIGURE_BYTES).await?;
    parts.packages.install(&body.packages).await?;
    installed(&parts)
}

#[derive(Debug, Deserialize)]
struct RequirementsBody {
    requirements_location: String,
}

/// `POST …/install_requirements`
async fn install_requirements(
    State(parts): RoutesState,
    caller: Caller,
    request: Request,
) -> ConfigureResult {
    caller.require_admin()?;
    let body: RequirementsBody = parts.json(request, MAX_CONFIGURE_BYTES).await?;
    let file = &body.requirements_location;
    parts.packages.install_requirements(file).await?;
    installed(&parts)
}

/// Makes plugins use the installed packages from their next run on.
fn installed(parts: &EngineRoutes) -> ConfigureResult {
    parts.workers.use_python(parts.packages.python());
    Ok(StatusCode::OK)
}
