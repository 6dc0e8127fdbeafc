//! Roles and their permissions.

use std::sync::Arc;

use axum::{
    Json, Router,
    extract::{Path, Request, State},
    response::{IntoResponse, Response},
    routing::{delete, get},
};
use http::StatusCode;
use neap_catalog::{
    ANY_AGE, NewRole, PermissionRequest, PermissionRequestError, Role, RoleId, UserAction,
};
use neap_http::{ApiError, Caller, Kind};
use serde::Deserialize;

use super::{
    answers::{ListAnswer, PermissionsAnswer, RoleAnswer},
    errors::not_found,
    requests::{ItemCall, enabled, json, root},
};
use crate::{
    WriteService,
    routes::configure::{ServiceCall, ServiceState},
};

pub(super) fn routes() -> Router<Arc<WriteService>> {
    Router::new()
        .route("/api/v3/roles", get(list).post(create))
        .route("/api/v3/roles/{id}", delete(remove))
        .route("/api/v3/roles/{id}/permissions", get(permissions).put(set_permissions))
        .route("/api/v3/roles_by_name/{name}", get(by_name))
}

fn answer(role: Role) -> Response {
    Json(RoleAnswer::from(role)).into_response()
}

/// `GET /api/v3/roles`
async fn list(State(service): ServiceState, caller: Caller) -> Result<Response, ApiError> {
    caller.require_users(UserAction::Read)?;
    enabled(&service)?;
    let root = root(&service).await?;
    let items: Vec<RoleAnswer> = root.roles().into_iter().map(RoleAnswer::from).collect();
    Ok(Json(ListAnswer { items }).into_response())
}

/// `GET /api/v3/roles_by_name/{name}`
async fn by_name(
    State(service): ServiceState,
    caller: Caller,
    Path(name): Path<String>,
) -> Result<Response, ApiError> {
    caller.require_users(UserAction::Read)?;
    enabled(&service)?;
    let root = root(&service).await?;
    let role = root.role_by_name(&name);
    Ok(answer(role.ok_or_else(|| not_found(format!("role {name}")))?))
}

/// `GET /api/v3/roles/{id}/permissions`
async fn permissions((State(service), caller, Path(id)): ItemCall) -> Result<Response, ApiError> {
    caller.require_users(UserAction::Read)?;
    enabled(&service)?;
    let root = root(&service).await?;
    let role = root.role(RoleId::new(id)).ok_or_else(|| not_found(format!("role {id}")))?;
    Ok(Json(PermissionsAnswer::new(&root, &role.entry.permissions)).into_response())
}

#[derive(Deserialize)]
struct CreateRoleBody {
    name: String,
    description: Option<String>,
    /// In the grammar of tokens: `db:home:read`.
    permissions: Vec<String>,
}

fn requests(permissions: &[String]) -> Result<Vec<PermissionRequest>, ApiError> {
    let requests: Result<_, PermissionRequestError> =
        permissions.iter().map(|text| text.parse()).collect();
    requests.map_err(|error| ApiError::text(Kind::Invalid, error.to_string()))
}

/// `POST /api/v3/roles`
async fn create((State(service), caller, request): ServiceCall) -> Result<Response, ApiError> {
    caller.require_users(UserAction::Create)?;
    enabled(&service)?;
    let body: CreateRoleBody = json(&service, request).await?;
    let new = NewRole {
        permissions: requests(&body.permissions)?,
        name: body.name,
        description: body.description,
    };
    let role = service.catalog.create_role(&new, caller.actor()).await?;
    Ok(answer(role))
}

#[derive(Deserialize)]
struct SetPermissionsBody {
    permissions: Vec<String>,
}

/// `PUT /api/v3/roles/{id}/permissions`
async fn set_permissions(
    (State(service), caller, Path(id)): ItemCall,
    request: Request,
) -> Result<Response, ApiError> {
    caller.require_users(UserAction::Update)?;
    enabled(&service)?;
    let body: SetPermissionsBody = json(&service, request).await?;
    let wanted = requests(&body.permissions)?;
    let catalog = &service.catalog;
    let role = catalog.set_role_permissions(RoleId::new(id), &wanted, caller.actor()).await?;
    let root = catalog.root(ANY_AGE).await?.value;
    Ok(Json(PermissionsAnswer::new(&root, &role.entry.permissions)).into_response())
}

/// `DELETE /api/v3/roles/{id}`
async fn remove((State(service), caller, Path(id)): ItemCall) -> Result<StatusCode, ApiError> {
    caller.require_users(UserAction::Delete)?;
    enabled(&service)?;
    let id = RoleId::new(id);
    service.catalog.delete_role(id, caller.actor()).await?;
    Ok(StatusCode::OK)
}
