//! Users. The holder of a token is shown as a user of the token's name, because each token of InfluxDB 2 belongs to a
//! user.

use std::sync::Arc;

use axum::{
    Json, Router,
    extract::{Path, State},
    routing::get,
};
use neap_catalog::{Actor, InfluxDb2Id, TokenEntry, TokenId, UserAction, UserEntry, UserId};
use neap_http::{ApiError, Caller, parse_query};
use neap_write::WriteService;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{
    organizations::DEFAULT_NAME,
    page::Page,
    requests::{ItemCall, ListCall, given, not_found, parse_id, root},
};

/// The user of all requests to a server without authentication. Ids of other users begin with 1.
const NO_USER: UserId = UserId::new(0);

pub(crate) fn routes() -> Router<Arc<WriteService>> {
    Router::new()
        .route("/api/v2/me", get(me))
        .route("/api/v2/users", get(list))
        .route("/api/v2/users/{id}", get(show))
}

/// A user, or the holder of a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct User {
    pub(crate) id: InfluxDb2Id,
    pub(crate) name: String,
    pub(crate) is_active: bool,
}

impl User {
    pub(crate) fn from_caller(caller: &Caller) -> Self {
        let id: InfluxDb2Id = match caller.actor() {
            Some(Actor::Token(id)) => id.into(),
            Some(Actor::User(id)) => id.into(),
            None => NO_USER.into(),
        };
        Self {
            id,
            name: caller.token_name().unwrap_or(DEFAULT_NAME).to_owned(),
            is_active: true,
        }
    }

    pub(crate) fn from_entry(id: UserId, entry: &UserEntry) -> Self {
        Self {
            id: id.into(),
            name: entry.name.clone(),
            is_active: !entry.disabled,
        }
    }

    pub(crate) fn from_token(id: TokenId, entry: &TokenEntry) -> Self {
        Self { id: id.into(), name: entry.name.clone(), is_active: true }
    }

    pub(crate) fn answer(&self) -> Value {
        json!({
            "id": self.id,
            "name": self.name,
            "status": if self.is_active { "active" } else { "inactive" },
            "links": { "self": format!("/api/v2/users/{}", self.id) },
        })
    }
}

/// Returns the users that a caller may see: the caller first, whom clients take if they name no user.
async fn visible(service: &WriteService, caller: &Caller) -> Result<Vec<User>, ApiError> {
    let mut users = vec![User::from_caller(caller)];
    if service.identity().is_some() && caller.require_users(UserAction::Read).is_ok() {
        let root = root(service).await?;
        let all = root.users().iter().map(|(id, entry)| User::from_entry(*id, entry));
        let own = users.first().map(|user| user.id);
        users.extend(all.filter(|user| Some(user.id) != own));
    }
    Ok(users)
}

/// `GET /api/v2/me`
async fn me(caller: Caller) -> Json<Value> {
    Json(User::from_caller(&caller).answer())
}

#[derive(Debug, Deserialize)]
struct UserParams {
    id: Option<String>,
    name: Option<String>,
}

fn no_user() -> ApiError {
    not_found("user not found")
}

/// `GET /api/v2/users`
async fn list((State(service), caller, uri): ListCall) -> Result<Json<Value>, ApiError> {
    let params: UserParams = parse_query(&uri)?;
    let page = Page::from_uri(&uri)?;
    let id = given(params.id).map(|text| parse_id(&text)).transpose()?;
    let name = given(params.name);
    let mut users = visible(&service, &caller).await?;
    users.retain(|user| {
        id.is_none_or(|id| user.id == id) && name.as_ref().is_none_or(|name| user.name == *name)
    });
    if users.is_empty() {
        return Err(no_user());
    }
    let (shown, _) = page.select(users, |user| user.id);
    let answers: Vec<Value> = shown.iter().map(User::answer).collect();
    Ok(Json(json!({
        "links": { "self": "/api/v2/users" },
        "users": answers,
    })))
}

/// `GET /api/v2/users/{id}`
async fn show((State(service), caller, Path(id)): ItemCall) -> Result<Json<Value>, ApiError> {
    let id = parse_id(&id)?;
    let users = visible(&service, &caller).await?;
    let found = users.iter().find(|user| user.id == id).ok_or_else(no_user)?;
    Ok(Json(found.answer()))
}
