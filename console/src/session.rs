//! `GET /api/v3/console/session`: the server, and the permissions of the caller.

use std::sync::Arc;

use axum::{Json, Router, extract::State, routing::get};
use neap_catalog::{
    Catalog, DatabaseAction, INTERNAL_DATABASE, INTERNAL_DATABASE_ID, TokenAction, UserAction,
};
use neap_http::{ApiError, Caller};
use neap_schema::DatabaseId;
use serde::Serialize;

/// The properties of a server that its console shows.
#[derive(Clone, Debug)]
pub struct SessionServer {
    /// The databases.
    pub catalog: Arc<Catalog>,
    /// Whether requests need a token.
    pub requires_tokens: bool,
    /// Whether users can sign in at this process.
    pub has_users: bool,
    /// The version of Neap.
    pub version: &'static str,
    /// The revision of the source.
    pub revision: &'static str,
    /// The functions of the process, such as `all` or `ingest,query`.
    pub mode: String,
    /// The name of the process, if it has one.
    pub node_id: Option<String>,
    /// The name of the model that the assistant asks, if there is one.
    pub assistant_model: Option<String>,
}

/// Returns the route of the session. It needs a token, unless the server requires none.
pub fn session_routes(server: SessionServer) -> Router {
    Router::new()
        .route("/api/v3/console/session", get(session))
        .with_state(Arc::new(server))
}

/// A database that the caller may see.
#[derive(Debug, Serialize)]
struct PermittedDatabase {
    name: String,
    actions: Vec<&'static str>,
}

/// The body of the answer.
#[derive(Debug, Serialize)]
struct SessionBody {
    tokens_required: bool,
    admin: bool,
    /// The name of the token or user.
    #[serde(skip_serializing_if = "Option::is_none")]
    token_name: Option<String>,
    databases: Vec<PermittedDatabase>,
    can_create_databases: bool,
    can_create_tokens: bool,
    can_delete_tokens: bool,
    /// Whether the caller may read what only administrators may read otherwise.
    can_audit: bool,
    /// The actions on users and roles that the caller may perform; none if no users can sign in.
    user_actions: Vec<&'static str>,
    /// Whether the caller is a user with a session. Otherwise the name is that of a token.
    is_user: bool,
    version: &'static str,
    revision: &'static str,
    mode: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    node_id: Option<String>,
    /// The name of the model that the assistant asks; none if it is off.
    #[serde(skip_serializing_if = "Option::is_none")]
    assistant_model: Option<String>,
}

async fn session(
    State(server): State<Arc<SessionServer>>,
    caller: Caller,
) -> Result<Json<SessionBody>, ApiError> {
    let catalog = &server.catalog;
    let root = catalog.root(catalog.max_age()).await?.value;
    let mut databases: Vec<PermittedDatabase> = root
        .databases()
        .iter()
        .filter(|(_, entry)| entry.deletion.is_none())
        .map(|(id, entry)| (entry.name.as_str(), *id))
        .chain([(INTERNAL_DATABASE, INTERNAL_DATABASE_ID)])
        .filter_map(|(name, id)| permitted(&caller, name, id))
        .collect();
    databases.sort_by(|one, other| one.name.cmp(&other.name));
    // A server without authentication has no endpoints for tokens.
    let may_use_tokens = |action| server.requires_tokens && caller.require_tokens(action).is_ok();
    let user_actions = UserAction::ALL
        .iter()
        .copied()
        .filter(|action| server.has_users && caller.require_users(*action).is_ok());
    Ok(Json(SessionBody {
        tokens_required: server.requires_tokens,
        admin: caller.is_admin(),
        token_name: caller.token_name().map(str::to_owned),
        databases,
        can_create_databases: caller.may(DatabaseAction::Create, None),
        can_create_tokens: may_use_tokens(TokenAction::Create),
        can_delete_tokens: may_use_tokens(TokenAction::Delete),
        can_audit: caller.require_audit().is_ok(),
        user_actions: user_actions.map(UserAction::as_str).collect(),
        is_user: caller.session().is_some(),
        version: server.version,
        revision: server.revision,
        mode: server.mode.clone(),
        node_id: server.node_id.clone(),
        assistant_model: server.assistant_model.clone(),
    }))
}

/// Returns what the caller may do with a database; `None` if it may not see the database.
fn permitted(caller: &Caller, name: &str, id: DatabaseId) -> Option<PermittedDatabase> {
    let actions: Vec<_> = DatabaseAction::ALL
        .iter()
        .copied()
        .filter(|action| caller.may(*action, Some(id)))
        .map(DatabaseAction::as_str)
        .collect();
    let name = name.to_owned();
    (!actions.is_empty()).then_some(PermittedDatabase { name, actions })
}

#[cfg(test)]
mod tests;
