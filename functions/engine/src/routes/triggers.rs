//! The endpoints that create, enable, disable and delete triggers.

use std::{collections::BTreeMap, sync::Arc};

use axum::{Router, extract::State, routing::post};
use http::StatusCode;
use neap_catalog::{ErrorBehavior, NewTrigger};
use neap_http::{ApiError, Kind, parse_query};
use serde::Deserialize;
use serde_json::Value;

use super::{
    EngineRoutes,
    parts::{MAX_CONFIGURE_BYTES, RoutesCall},
};
use crate::{TriggerKind, parse_specification};

type ConfigureResult = Result<StatusCode, ApiError>;

/// The routes of this module.
pub(super) fn routes() -> Router<Arc<EngineRoutes>> {
    const TRIGGER: &str = "/api/v3/configure/processing_engine_trigger";
    Router::new()
        .route(TRIGGER, post(create).delete(delete))
        .route(&format!("{TRIGGER}/enable"), post(enable))
        .route(&format!("{TRIGGER}/disable"), post(disable))
}

#[derive(Debug, Deserialize)]
struct TriggerBody {
    db: String,
    plugin_filename: String,
    trigger_name: String,
    trigger_settings: Settings,
    trigger_specification: String,
    trigger_arguments: Option<BTreeMap<String, String>>,
    #[serde(default)]
    disabled: bool,
    /// The nodes that run the trigger, in InfluxDB 3 Enterprise.
    #[serde(default)]
    node_spec: Option<Value>,
}

#[derive(Debug, Deserialize)]
struct Settings {
    #[serde(default)]
    run_async: bool,
    #[serde(default)]
    error_behavior: ErrorBehavior,
    /// Only in Neap.
    #[serde(default)]
    cancel_on_disconnect: bool,
}

/// `POST /api/v3/configure/processing_engine_trigger`
async fn create((State(parts), caller, request): RoutesCall) -> ConfigureResult {
    caller.require_admin()?;
    let body: TriggerBody = parts.json(request, MAX_CONFIGURE_BYTES).await?;
    let specification = parse_specification(&body.trigger_specification)
        .map_err(|error| ApiError::text(Kind::Invalid, error.to_string()))?;
    check_kind(&parts.allowed, TriggerKind::from_specification(&specification))?;
    if let Some(nodes) = body.node_spec
        && nodes != "all"
    {
        tracing::warn!(
            trigger = body.trigger_name,
            "node_spec is ignored: a trigger can run on any instance"
        );
    }
    let database = parts.database(&body.db).await?;
    parts.require_dependencies(&body.plugin_filename).await?;
    let new = NewTrigger {
        code: parts.code.pin(&body.plugin_filename).await?,
        name: body.trigger_name,
        plugin: body.plugin_filename,
        specification,
        arguments: body.trigger_arguments,
        run_async: body.trigger_settings.run_async,
        error_behavior: body.trigger_settings.error_behavior,
        cancel_on_disconnect: body.trigger_settings.cancel_on_disconnect,
        disabled: body.disabled,
    };
    parts.catalog.create_trigger(database, &new).await?;
    parts.triggers.changed();
    Ok(StatusCode::OK)
}

/// Rejects kinds of triggers that the server does not allow, with the message of InfluxDB 3 Core.
fn check_kind(allowed: &[TriggerKind], kind: TriggerKind) -> Result<(), ApiError> {
    if allowed.is_empty() || allowed.contains(&kind) {
        return Ok(());
    }
    let name = match kind {
        TriggerKind::Wal => "WalRows",
        TriggerKind::Schedule => "Schedule",
        TriggerKind::Request => "Request",
    };
    let text = format!("invalid request: server is configured to reject {name} plugin triggers");
    Err(ApiError::text(Kind::Invalid, text))
}

#[derive(Debug, Deserialize)]
struct DeleteTriggerParams {
    db: String,
    trigger_name: String,
    #[serde(default)]
    force: bool,
}

/// `DELETE /api/v3/configure/processing_engine_trigger`: the parameters are in the query string if there is one, else
/// in the body.
async fn delete((State(parts), caller, request): RoutesCall) -> ConfigureResult {
    caller.require_admin()?;
    let params: DeleteTriggerParams = parts.query_or_json(request).await?;
    let database = parts.database(&params.db).await?;
    let deleted = parts.catalog.delete_trigger(database, &params.trigger_name, params.force);
    deleted.await?;
    parts.triggers.changed();
    Ok(StatusCode::OK)
}

#[derive(Debug, Deserialize)]
struct SwitchTriggerParams {
    db: String,
    trigger_name: String,
}

/// `POST /api/v3/configure/processing_engine_trigger/enable`
async fn enable(call: RoutesCall) -> ConfigureResult {
    switch(call, true).await
}

/// `POST /api/v3/configure/processing_engine_trigger/disable`
async fn disable(call: RoutesCall) -> ConfigureResult {
    switch(call, false).await
}

async fn switch((State(parts), caller, request): RoutesCall, enabled: bool) -> ConfigureResult {
    caller.require_admin()?;
    let params: SwitchTriggerParams = parse_query(request.uri())?;
    let database = parts.database(&params.db).await?;
    let name = &params.trigger_name;
    let set = parts.catalog.set_trigger_enabled(database, name, enabled);
    set.await?;
    parts.triggers.changed();
    Ok(StatusCode::OK)
}
