//! The endpoints that upload and install plugins, and update the code of triggers.
//!
//! In InfluxDB 3 these endpoints write into the plugin folder. Here uploads go to the bucket, because instances do not
//! share a folder. `GET` and `DELETE /api/v3/plugins/files`, `/api/v3/plugins/available` and `/api/v3/plugins/install` are
//! extensions of Neap.

use std::sync::Arc;

use axum::{
    Json, Router,
    extract::State,
    routing::{get, post, put},
};
use http::StatusCode;
use neap_http::{ApiError, Kind, parse_query};
use serde::{Deserialize, Serialize};

use super::{
    EngineRoutes,
    parts::{MAX_CONFIGURE_BYTES, RoutesCall},
};
use crate::{
    PluginRepository, PluginSourceFile,
    code::{AvailablePlugin, InstalledPlugin},
};

type ConfigureResult = Result<StatusCode, ApiError>;

/// Maximum bytes of a body with code: the maximum size of a plugin, encoded as JSON.
const MAX_CODE_BYTES: usize = 13 << 20;

/// The routes of this module.
pub(super) fn routes() -> Router<Arc<EngineRoutes>> {
    let files = post(upload).get(read).put(update).delete(delete);
    Router::new()
        .route("/api/v3/plugins/files", files)
        .route("/api/v3/plugins/directory", put(replace))
        .route("/api/v3/plugins/available", get(available))
        .route("/api/v3/plugins/install", post(install))
}

#[derive(Debug, Deserialize)]
struct UploadBody {
    plugin_name: String,
    content: String,
}

/// `POST /api/v3/plugins/files`: uploads a file into the tree of uploaded plugins.
async fn upload((State(parts), caller, request): RoutesCall) -> ConfigureResult {
    caller.require_admin()?;
    let body: UploadBody = parts.json(request, MAX_CODE_BYTES).await?;
    parts.code.upload(&body.plugin_name, &body.content).await?;
    Ok(StatusCode::OK)
}

#[derive(Debug, Deserialize)]
struct ReadParams {
    plugin_name: Option<String>,
    trigger_name: Option<String>,
    /// The database of the trigger: required if several databases have a trigger of this name.
    db: Option<String>,
}

#[derive(Debug, Serialize)]
struct PluginCodeAnswer {
    /// Whether the plugin is a folder.
    is_package: bool,
    /// The files, by path.
    files: Vec<PluginSourceFile>,
}

/// `GET /api/v3/plugins/files?plugin_name=…` or `?trigger_name=…`: the code of an uploaded plugin, or that which a trigger
/// runs.
async fn read(
    (State(parts), caller, request): RoutesCall,
) -> Result<Json<PluginCodeAnswer>, ApiError> {
    caller.require_audit()?;
    let params: ReadParams = parse_query(request.uri())?;
    let source = match (&params.plugin_name, &params.trigger_name) {
        (Some(plugin), None) => parts.code.read_upload(plugin).await?,
        (None, Some(trigger)) => {
            let database = params.db.as_deref();
            parts.code.read_trigger(trigger, database).await?
        }
        _ => {
            let text = "name either the plugin or the trigger: plugin_name or trigger_name";
            return Err(ApiError::json(Kind::Invalid, text));
        }
    };
    let files = source.iter().map(|(path, content)| PluginSourceFile {
        path: path.to_owned(),
        content: content.to_owned(),
    });
    Ok(Json(PluginCodeAnswer {
        is_package: source.is_package(),
        files: files.collect(),
    }))
}

#[derive(Debug, Deserialize)]
struct UpdateBody {
    /// The name of the trigger, as in InfluxDB 3.
    plugin_name: String,
    /// The database of the trigger: required if several databases have a trigger of this name.
    db: Option<String>,
    content: String,
}

/// `PUT /api/v3/plugins/files`: updates the file of a trigger.
async fn update((State(parts), caller, request): RoutesCall) -> ConfigureResult {
    caller.require_admin()?;
    let body: UpdateBody = parts.json(request, MAX_CODE_BYTES).await?;
    let (trigger, db) = (&body.plugin_name, body.db.as_deref());
    let updated = parts.code.update_file(trigger, db, body.content);
    updated.await?;
    parts.triggers.changed();
    Ok(StatusCode::OK)
}

#[derive(Debug, Deserialize)]
struct ReplaceBody {
    /// The name of the trigger, as in InfluxDB 3.
    plugin_name: String,
    /// The database of the trigger: required if several databases have a trigger of this name.
    db: Option<String>,
    files: Vec<PluginSourceFile>,
}

/// `PUT /api/v3/plugins/directory`: replaces the package of a trigger.
async fn replace((State(parts), caller, request): RoutesCall) -> ConfigureResult {
    caller.require_admin()?;
    let body: ReplaceBody = parts.json(request, MAX_CODE_BYTES).await?;
    let (trigger, db) = (&body.plugin_name, body.db.as_deref());
    let updated = parts.code.update_folder(trigger, db, body.files);
    updated.await?;
    parts.triggers.changed();
    Ok(StatusCode::OK)
}

#[derive(Debug, Deserialize)]
struct DeleteUploadParams {
    plugin_name: String,
}

/// `DELETE /api/v3/plugins/files?plugin_name=…`: deletes an uploaded plugin with all its files. Triggers keep their
/// code.
async fn delete((State(parts), caller, request): RoutesCall) -> ConfigureResult {
    caller.require_admin()?;
    let params: DeleteUploadParams = parse_query(request.uri())?;
    parts.code.delete_upload(&params.plugin_name).await?;
    Ok(StatusCode::OK)
}

#[derive(Debug, Deserialize)]
struct AvailableParams {
    /// The repository: an address, or a folder of this server. That of the server by default.
    repository: Option<String>,
}

/// `GET /api/v3/plugins/available`: lists the plugins of a repository.
async fn available(
    (State(parts), caller, request): RoutesCall,
) -> Result<Json<Vec<AvailablePlugin>>, ApiError> {
    caller.require_admin()?;
    let params: AvailableParams = parse_query(request.uri())?;
    let plugins = parts.code.available(params.repository.map(repository_at));
    Ok(Json(plugins.await?))
}

#[derive(Debug, Deserialize)]
struct InstallBody {
    /// The path of the plugin in the repository, with or without `gh:`.
    plugin: String,
    /// As [`AvailableParams::repository`].
    #[serde(default)]
    repository: Option<String>,
}

/// `POST /api/v3/plugins/install`: installs a plugin of a repository with the plugins that it needs. The answer names the
/// Python packages that they need; installing those is another request.
async fn install(
    (State(parts), caller, request): RoutesCall,
) -> Result<Json<Vec<InstalledPlugin>>, ApiError> {
    caller.require_admin()?;
    let body: InstallBody = parts.json(request, MAX_CONFIGURE_BYTES).await?;
    let repository = body.repository.map(repository_at);
    let installed = parts.code.install(&body.plugin, repository).await?;
    Ok(Json(installed))
}

fn repository_at(text: String) -> PluginRepository {
    let Ok(repository) = text.parse();
    repository
}
