//! Authorizations: tokens with their permissions.

use std::sync::Arc;

use axum::{
    Json, Router,
    extract::{Path, State},
    response::{IntoResponse, Response},
    routing::get,
};
use http::{HeaderValue, StatusCode, header::CACHE_CONTROL};
use neap_catalog::{
    Actor, CatalogError, InfluxDb2Id, IssuedToken, PermissionRequest, SecretToken, TokenAction,
    TokenEntry, TokenId,
};
use neap_http::{ApiError, Caller, parse_query};
use neap_write::WriteService;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{
    organizations::DEFAULT_NAME,
    permissions::{RequestedPermission, TokenScope},
    requests::{
        ItemCall, ListCall, ServiceCall, cached_root, given, invalid, json_body, not_found,
        parse_id, rfc3339, root,
    },
    users::User,
};

const PATH: &str = "/api/v2/authorizations";

/// Answers with tokens must not be stored.
pub(crate) const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");

pub(crate) fn routes() -> Router<Arc<WriteService>> {
    Router::new()
        .route(PATH, get(list).post(create))
        .route("/api/v2/authorizations/{id}", get(show).delete(delete))
}

/// Returns a token as an authorization. Only the answer to its creation has the secret.
pub(crate) fn answer(
    scope: TokenScope<'_>,
    (token, entry): (TokenId, &TokenEntry),
    secret: Option<&SecretToken>,
) -> Value {
    let id = InfluxDb2Id::from(token);
    let owner = User::from_token(token, entry);
    let mut answer = json!({
        "id": id,
        "status": if scope.is_active(entry) { "active" } else { "inactive" },
        "description": entry.description.as_ref().unwrap_or(&entry.name),
        "orgID": InfluxDb2Id::ORGANIZATION,
        "org": DEFAULT_NAME,
        "userID": owner.id,
        "user": owner.name,
        "permissions": scope.show(&entry.permissions),
        "createdAt": rfc3339(entry.created),
        "updatedAt": rfc3339(entry.updated.unwrap_or(entry.created)),
        "links": {
            "self": format!("{PATH}/{id}"),
            "user": format!("/api/v2/users/{}", owner.id),
        },
    });
    if let (Some(secret), Some(members)) = (secret, answer.as_object_mut()) {
        members.insert("token".to_owned(), secret.reveal().into());
    }
    answer
}

/// Returns whether a caller may see a token: its own, as an auditor, or as one who may list tokens of others than
/// administrators.
fn can_see(caller: &Caller, id: TokenId, entry: &TokenEntry) -> bool {
    let may_list = || caller.require_tokens(TokenAction::Read).is_ok();
    caller.actor() == Some(Actor::Token(id))
        || caller.require_audit().is_ok()
        || (!entry.permissions.is_admin() && may_list())
}

#[derive(Debug, Deserialize)]
struct AuthorizationParams {
    user: Option<String>,
    #[serde(rename = "userID")]
    user_id: Option<String>,
}

/// `GET /api/v2/authorizations`
async fn list((State(service), caller, uri): ListCall) -> Result<Json<Value>, ApiError> {
    let params: AuthorizationParams = parse_query(&uri)?;
    let user_id = given(params.user_id).map(|text| parse_id(&text)).transpose()?;
    let user_name = given(params.user);
    let root = root(&service).await?;
    let scope = TokenScope::new(&service, &root, &caller);
    let tokens = root.tokens().iter().map(|(id, entry)| (*id, entry));
    let matching = tokens.filter(|(id, entry)| {
        can_see(&caller, *id, entry)
            && user_id.is_none_or(|user| user == InfluxDb2Id::from(*id))
            && user_name.as_ref().is_none_or(|name| entry.name == *name)
    });
    let answers: Vec<Value> = matching.map(|token| answer(scope, token, None)).collect();
    Ok(Json(json!({
        "authorizations": answers,
        "links": { "self": PATH },
    })))
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct CreateAuthorizationBody {
    permissions: Vec<RequestedPermission>,
    status: Option<String>,
    description: Option<String>,
    #[serde(rename = "userID")]
    user_id: Option<String>,
}

/// `POST /api/v2/authorizations`
async fn create((State(service), caller, request): ServiceCall) -> Result<Response, ApiError> {
    caller.require_tokens(TokenAction::Create)?;
    let body: CreateAuthorizationBody = json_body(&service, request).await?;
    if given(body.status).is_some_and(|status| status != "active") {
        return Err(invalid("a token is active until it is deleted"));
    }
    if let Some(user) = given(body.user_id)
        && parse_id(&user)? != User::from_caller(&caller).id
    {
        return Err(invalid("a token can't be created for another user"));
    }
    let known = root(&service).await?;
    let permissions = TokenScope::new(&service, &known, &caller).resolve(&body.permissions)?;
    let issued = issue(&service, &caller, given(body.description), &permissions).await?;
    // The commit has left the token in the cached catalog.
    let root = cached_root(&service).await?;
    let scope = TokenScope::new(&service, &root, &caller);
    let answer = answer(scope, (issued.id, &issued.entry), Some(&issued.secret));
    let headers = [(CACHE_CONTROL, NO_STORE)];
    Ok((StatusCode::CREATED, headers, Json(answer)).into_response())
}

/// Creates a token whose name is the description. If another token has the name, a random number is added, because
/// descriptions need not be unique.
async fn issue(
    service: &WriteService,
    caller: &Caller,
    description: Option<String>,
    permissions: &[PermissionRequest],
) -> Result<IssuedToken, ApiError> {
    let number = service.world().entropy.next_u128() >> 96;
    let name = description.unwrap_or_else(|| format!("authorization-{number:08x}"));
    let (catalog, by) = (service.catalog(), caller.actor());
    match catalog.create_resource_token(&name, permissions, None, by).await {
        Err(CatalogError::TokenExists { .. }) => {
            let unique = format!("{name}-{number:08x}");
            let issued = catalog.create_resource_token(&unique, permissions, None, by);
            Ok(issued.await?)
        }
        issued => Ok(issued?),
    }
}

fn no_authorization() -> ApiError {
    not_found("authorization not found")
}

/// `GET /api/v2/authorizations/{id}`
async fn show((State(service), caller, Path(id)): ItemCall) -> Result<Json<Value>, ApiError> {
    let token = parse_id(&id)?.token().ok_or_else(no_authorization)?;
    let root = root(&service).await?;
    let visible = root.tokens().get(&token).filter(|entry| can_see(&caller, token, entry));
    let entry = visible.ok_or_else(no_authorization)?;
    let scope = TokenScope::new(&service, &root, &caller);
    Ok(Json(answer(scope, (token, entry), None)))
}

/// `DELETE /api/v2/authorizations/{id}`
async fn delete((State(service), caller, Path(id)): ItemCall) -> Result<StatusCode, ApiError> {
    caller.require_tokens(TokenAction::Delete)?;
    let token = parse_id(&id)?.token().ok_or_else(no_authorization)?;
    let root = root(&service).await?;
    let entry = root.tokens().get(&token).ok_or_else(no_authorization)?;
    service.catalog().delete_token(&entry.name, caller.actor()).await?;
    Ok(StatusCode::NO_CONTENT)
}
