//! Users and their roles.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use axum::{
    Json, Router,
    extract::{Path, Request, State},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use http::StatusCode;
use neap_catalog::{
    ANY_AGE, NewUser, RoleId, RootCatalog, UserAction, UserChange, UserEntry, UserId,
};
use neap_http::{ApiError, Caller};
use serde::Deserialize;

use super::{
    answers::{ListAnswer, RoleAnswer, UserAnswer},
    errors::{invalid, not_found},
    requests::{ItemCall, enabled, json, root},
};
use crate::{
    WriteService,
    routes::configure::{ServiceCall, ServiceState},
};

pub(super) fn routes() -> Router<Arc<WriteService>> {
    Router::new()
        .route("/api/v3/users", get(list).post(create))
        .route("/api/v3/users/{id}", get(show).patch(update).delete(delete))
        .route("/api/v3/users/{id}/roles", get(roles).put(set_roles))
        .route("/api/v3/users/{id}/require-password-reset", post(require_reset))
        .route("/api/v3/users_by_oauth_id/{oauth_id}", get(by_oauth_id))
}

fn answer(root: &RootCatalog, id: UserId, user: &UserEntry) -> Response {
    Json(UserAnswer::new(root, id, user)).into_response()
}

/// Answers with a user whom this instance has just changed.
async fn changed(
    service: &WriteService,
    id: UserId,
    user: &UserEntry,
) -> Result<Response, ApiError> {
    let root = service.catalog.root(ANY_AGE).await?.value;
    Ok(answer(&root, id, user))
}

fn find(root: &RootCatalog, id: UserId) -> Result<&UserEntry, ApiError> {
    let user = root.users().get(&id);
    user.ok_or_else(|| not_found(format!("user {id}")))
}

/// `GET /api/v3/users`
async fn list(State(service): ServiceState, caller: Caller) -> Result<Response, ApiError> {
    caller.require_users(UserAction::Read)?;
    enabled(&service)?;
    let root = root(&service).await?;
    let users = root.users().iter();
    let items: Vec<_> = users.map(|(id, user)| UserAnswer::new(&root, *id, user)).collect();
    Ok(Json(ListAnswer { items }).into_response())
}

/// `GET /api/v3/users/{id}`
async fn show((State(service), caller, Path(id)): ItemCall) -> Result<Response, ApiError> {
    caller.require_users(UserAction::Read)?;
    enabled(&service)?;
    let (root, id) = (root(&service).await?, UserId::new(id));
    Ok(answer(&root, id, find(&root, id)?))
}

/// `GET /api/v3/users_by_oauth_id/{oauth_id}`
async fn by_oauth_id(
    State(service): ServiceState,
    caller: Caller,
    Path(oauth_id): Path<String>,
) -> Result<Response, ApiError> {
    caller.require_users(UserAction::Read)?;
    let missing = || not_found(format!("user with OAuth id {oauth_id}"));
    if !enabled(&service)?.has_provider() {
        return Err(missing());
    }
    let root = root(&service).await?;
    let (id, user) = root.user_by_oauth_id(&oauth_id).ok_or_else(missing)?;
    Ok(answer(&root, id, user))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct CreateUserBody {
    username: Option<String>,
    #[serde(alias = "display_name")]
    display_name: Option<String>,
    password: Option<String>,
    #[serde(alias = "oauth_id")]
    oauth_id: Option<String>,
    #[serde(default, alias = "role_ids")]
    role_ids: BTreeSet<RoleId>,
    /// By default, another user has chosen the password, so that the user must set another one.
    #[serde(default = "yes", alias = "requires_password_reset")]
    requires_password_reset: bool,
    /// In seconds from now.
    #[serde(alias = "expiry_secs")]
    expiry_secs: Option<u64>,
}

fn yes() -> bool {
    true
}

/// Maximum lifetime of a user: 1,000 years, which every client can display.
const MAX_LIFETIME: Duration = Duration::from_secs(1_000 * 365 * 86_400);

/// `POST /api/v3/users`
async fn create((State(service), caller, request): ServiceCall) -> Result<Response, ApiError> {
    caller.require_users(UserAction::Create)?;
    let identity = enabled(&service)?;
    let body: CreateUserBody = json(&service, request).await?;
    if body.password.is_none() && body.oauth_id.is_none() {
        return Err(invalid("a user needs a password or an oauthId"));
    }
    let name = body.username.or_else(|| body.oauth_id.clone());
    let password = match &body.password {
        Some(password) => Some(identity.hash_password(password).await?),
        None => None,
    };
    let now = service.catalog.bucket().clock().now();
    let lifetime = body.expiry_secs.map(Duration::from_secs);
    let expiry = now.zip(lifetime.map(|it| it.min(MAX_LIFETIME)));
    let new = NewUser {
        name: name.unwrap_or_default(),
        display_name: body.display_name,
        requires_reset: password.is_some() && body.requires_password_reset,
        password,
        oauth_id: body.oauth_id,
        roles: body.role_ids,
        expiry: expiry.map(|(now, lifetime)| now.plus(lifetime)),
    };
    let (id, user) = service.catalog.create_user(&new, caller.actor()).await?;
    changed(&service, id, &user).await
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct UpdateUserBody {
    #[serde(alias = "display_name")]
    display_name: Option<String>,
    disabled: Option<bool>,
    #[serde(alias = "oauth_id")]
    oauth_id: Option<String>,
    password: Option<String>,
}

/// `PATCH /api/v3/users/{id}`
async fn update(
    (State(service), caller, Path(id)): ItemCall,
    request: Request,
) -> Result<Response, ApiError> {
    caller.require_users(UserAction::Update)?;
    let identity = enabled(&service)?;
    let body: UpdateUserBody = json(&service, request).await?;
    let password = match &body.password {
        Some(password) => Some(identity.hash_password(password).await?),
        None => None,
    };
    let change = UserChange {
        display_name: body.display_name,
        disabled: body.disabled,
        oauth_id: body.oauth_id,
        password,
        requires_reset: None,
    };
    let id = UserId::new(id);
    let user = service.catalog.update_user(id, &change, caller.actor());
    changed(&service, id, &user.await?).await
}

/// `DELETE /api/v3/users/{id}`
async fn delete((State(service), caller, Path(id)): ItemCall) -> Result<StatusCode, ApiError> {
    caller.require_users(UserAction::Delete)?;
    enabled(&service)?;
    let id = UserId::new(id);
    service.catalog.delete_user(id, caller.actor()).await?;
    Ok(StatusCode::OK)
}

/// `POST /api/v3/users/{id}/require-password-reset`
async fn require_reset((State(service), caller, Path(id)): ItemCall) -> Result<Response, ApiError> {
    caller.require_users(UserAction::Update)?;
    enabled(&service)?;
    let change = UserChange { requires_reset: Some(true), ..UserChange::default() };
    let id = UserId::new(id);
    let user = service.catalog.update_user(id, &change, caller.actor());
    changed(&service, id, &user.await?).await
}

fn roles_of(root: &RootCatalog, user: &UserEntry) -> Response {
    let roles = user.all_roles().filter_map(|id| root.role(id));
    let items: Vec<RoleAnswer> = roles.map(RoleAnswer::from).collect();
    Json(ListAnswer { items }).into_response()
}

/// `GET /api/v3/users/{id}/roles`
async fn roles((State(service), caller, Path(id)): ItemCall) -> Result<Response, ApiError> {
    caller.require_users(UserAction::Read)?;
    enabled(&service)?;
    let root = root(&service).await?;
    Ok(roles_of(&root, find(&root, UserId::new(id))?))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct SetRolesBody {
    #[serde(alias = "role_ids")]
    role_ids: BTreeSet<RoleId>,
}

/// `PUT /api/v3/users/{id}/roles`
async fn set_roles(
    (State(service), caller, Path(id)): ItemCall,
    request: Request,
) -> Result<Response, ApiError> {
    caller.require_users(UserAction::Update)?;
    enabled(&service)?;
    let body: SetRolesBody = json(&service, request).await?;
    let catalog = &service.catalog;
    let user = catalog.set_user_roles(UserId::new(id), &body.role_ids, caller.actor()).await?;
    let root = catalog.root(ANY_AGE).await?.value;
    Ok(roles_of(&root, &user))
}
