//! The endpoints that create, replace and revoke tokens, with the paths and bodies of InfluxDB 3.
//!
//! | call | required permission |
//! |---|---|
//! | `POST /api/v3/configure/token/admin` | none, as long as there is no operator token; refused for web pages |
//! | `POST /api/v3/configure/token/admin/regenerate`, `…/token/named_admin` | administrator |
//! | `POST /api/v3/configure/token`, with Enterprise's path also below `/api/v3/enterprise/` | `token:*:create` |
//! | the same with `public_key`, which registers the key of a client of QuestDB over TCP | `token:*:create` |
//! | `DELETE` the same, `?token_name=…`, and with `&with_created=true` the tokens that it created | `token:*:delete` and all permissions of the tokens |

use std::{net::IpAddr, sync::Arc, time::Duration};

use axum::{
    Json, Router,
    extract::{Request, State},
    response::{IntoResponse, Response},
    routing::post,
};
use chrono::{DateTime, SecondsFormat};
use http::{
    HeaderValue, StatusCode,
    header::{CONTENT_TYPE, HOST},
    uri::Authority,
};
use neap_bucket::StoreTime;
use neap_catalog::{
    ChangeOrigin, ClientPublicKey, IssuedToken, NewClientKey, PermissionRequest, RegisteredKey,
    TokenAction, TokenId, origin,
};
use neap_http::{ApiError, Caller, Kind, PeerAddress, RequestId, parse_query, refuse_web_pages};
use serde::{Deserialize, Serialize};
use tokio::sync::{Mutex, Notify};

use super::{
    configure::{ServiceCall, ServiceState},
    configure_params::json,
};
use crate::WriteService;

/// The content type of the answer with a new token, the same as InfluxDB 3's.
const JSON: HeaderValue = HeaderValue::from_static("json");

const REGENERATE: &str = "/api/v3/configure/token/admin/regenerate";

/// Returns the routes of this module.
pub(super) fn routes() -> Router<Arc<WriteService>> {
    let token = post(create_token).delete(delete_token);
    Router::new()
        .route("/api/v3/configure/token/admin", post(create_admin))
        .route(REGENERATE, post(regenerate))
        .route("/api/v3/configure/token/named_admin", post(create_named))
        .route("/api/v3/configure/token", token.clone())
        .route("/api/v3/enterprise/configure/token", token)
}

/// The answer to the creation of a token. Only this answer contains the token in clear text.
#[derive(Serialize)]
struct CreatedToken<'a> {
    id: TokenId,
    name: &'a str,
    token: &'a str,
    hash: String,
    created_at: Option<String>,
    expiry: Option<String>,
}

fn shown(time: StoreTime) -> Option<String> {
    let time = DateTime::from_timestamp_micros(time.micros());
    time.map(|time| time.to_rfc3339_opts(SecondsFormat::AutoSi, true))
}

fn created(new: &IssuedToken) -> Response {
    let body = CreatedToken {
        id: new.id,
        name: &new.entry.name,
        token: new.secret.reveal(),
        hash: new.entry.hash.to_hex(),
        created_at: shown(new.entry.created),
        expiry: new.entry.expiry.and_then(shown),
    };
    respond_created(body)
}

/// The answer to the registration of a key. The server never has its secret.
#[derive(Serialize)]
struct CreatedKey<'a> {
    id: TokenId,
    name: &'a str,
    public_key: Option<ClientPublicKey>,
    created_at: Option<String>,
    expiry: Option<String>,
}

fn registered(new: &RegisteredKey) -> Response {
    respond_created(CreatedKey {
        id: new.id,
        name: &new.entry.name,
        public_key: new.entry.public_key,
        created_at: shown(new.entry.created),
        expiry: new.entry.expiry.and_then(shown),
    })
}

fn respond_created(body: impl Serialize) -> Response {
    let mut response = (StatusCode::CREATED, Json(body)).into_response();
    response.headers_mut().insert(CONTENT_TYPE, JSON);
    response
}

/// `POST /api/v3/configure/token/admin`
async fn create_admin(State(service): ServiceState) -> Result<Response, ApiError> {
    service.require_first_credentials().await?;
    Ok(created(&service.catalog.create_admin_token().await?))
}

/// `POST /api/v3/configure/token/admin/regenerate`
async fn regenerate(State(service): ServiceState, caller: Caller) -> Result<Response, ApiError> {
    caller.require_admin()?;
    let new = service.catalog.regenerate_admin_token(caller.actor()).await?;
    Ok(created(&new))
}

/// Returns the lifetime of a new token; `None`: unlimited.
fn lifetime(expiry_secs: Option<u64>) -> Result<Option<Duration>, ApiError> {
    if expiry_secs == Some(0) {
        let text = "expiry_secs must be greater than 0";
        return Err(ApiError::text(Kind::Invalid, text));
    }
    Ok(expiry_secs.map(Duration::from_secs))
}

#[derive(Debug, Deserialize)]
struct NamedAdminTokenBody {
    token_name: String,
    expiry_secs: Option<u64>,
}

/// `POST /api/v3/configure/token/named_admin`
async fn create_named(
    (State(service), caller, request): ServiceCall,
) -> Result<Response, ApiError> {
    caller.require_admin()?;
    let body: NamedAdminTokenBody = json(&service, request).await?;
    let lifetime = lifetime(body.expiry_secs)?;
    let catalog = &service.catalog;
    let new = catalog.create_named_admin(&body.token_name, lifetime, caller.actor());
    Ok(created(&new.await?))
}

#[derive(Debug, Deserialize)]
struct ResourceTokenBody {
    token_name: String,
    permissions: Vec<PermissionRequest>,
    expiry_secs: Option<u64>,
    public_key: Option<PublicKeyBody>,
}

/// The coordinates of a point of the curve P-256, in URL-safe base64 without padding.
#[derive(Debug, Deserialize)]
struct PublicKeyBody {
    x: String,
    y: String,
}

/// `POST /api/v3/configure/token`
async fn create_token(
    (State(service), caller, request): ServiceCall,
) -> Result<Response, ApiError> {
    caller.require_tokens(TokenAction::Create)?;
    let body: ResourceTokenBody = json(&service, request).await?;
    let lifetime = lifetime(body.expiry_secs)?;
    let (name, permissions) = (&body.token_name, &body.permissions);
    let catalog = &service.catalog;
    if let Some(PublicKeyBody { x, y }) = &body.public_key {
        let key = NewClientKey::new(name, x, y)
            .map_err(|error| ApiError::text(Kind::Invalid, error.to_string()))?;
        let new = catalog.register_client_key(&key, permissions, lifetime, caller.actor());
        return Ok(registered(&new.await?));
    }
    let new = catalog.create_resource_token(name, permissions, lifetime, caller.actor());
    Ok(created(&new.await?))
}

#[derive(Debug, Deserialize)]
struct DeleteTokenParams {
    token_name: String,
    /// Whether to revoke the tokens that the token created, too. InfluxDB 3 does not have this parameter.
    #[serde(default)]
    with_created: bool,
}

/// The answer to the revocation of a token with those that it created.
#[derive(Serialize)]
struct DeletedTokens {
    deleted_tokens: Vec<String>,
}

/// `DELETE /api/v3/configure/token`
async fn delete_token(
    (State(service), caller, request): ServiceCall,
) -> Result<Response, ApiError> {
    caller.require_tokens(TokenAction::Delete)?;
    let params: DeleteTokenParams = parse_query(request.uri())?;
    let (catalog, name) = (&service.catalog, &params.token_name);
    if params.with_created {
        let deleted = catalog.delete_token_and_created(name, caller.actor());
        let deleted_tokens = deleted.await?;
        return Ok(Json(DeletedTokens { deleted_tokens }).into_response());
    }
    catalog.delete_token(name, caller.actor()).await?;
    Ok(StatusCode::OK.into_response())
}

/// The state of the recovery routes.
struct RecoveryState {
    service: Arc<WriteService>,
    /// Whether the recovery has succeeded. It succeeds only once.
    over: Mutex<bool>,
    done: Arc<Notify>,
}

/// Returns the route that recovers from a lost operator token: it regenerates the token once without authentication,
/// and serves nothing else. Do not wrap it in `neap_http::with_common_layers`. Serve it only on an address that the operator of the
/// server alone can reach; it refuses web pages. `done` is notified after the success; close the listener then.
pub fn recovery_router(service: Arc<WriteService>, done: Arc<Notify>) -> Router {
    let recovery = RecoveryState { service, over: Mutex::new(false), done };
    let no_route = async || ApiError::no_route();
    Router::new()
        .route(REGENERATE, post(recover))
        .fallback(no_route)
        .method_not_allowed_fallback(no_route)
        .with_state(Arc::new(recovery))
}

/// Returns whether the `Host` of a request is an IP address or `localhost`. A web page may have resolved any other name
/// to this machine.
fn is_sent_to_an_address(request: &Request) -> bool {
    let authority = match request.headers().get(HOST) {
        Some(host) => Authority::try_from(host.as_bytes()).ok(),
        None => request.uri().authority().cloned(),
    };
    authority.is_some_and(|authority| {
        let host = authority.host().trim_start_matches('[').trim_end_matches(']');
        host.eq_ignore_ascii_case("localhost") || host.parse::<IpAddr>().is_ok()
    })
}

async fn recover(
    State(recovery): State<Arc<RecoveryState>>,
    request: Request,
) -> Result<Response, ApiError> {
    refuse_web_pages(request.headers())?;
    if !is_sent_to_an_address(&request) {
        let text = "send this request to an IP address or to localhost, not to a host name";
        return Err(ApiError::text(Kind::Forbidden, text));
    }
    let mut over = recovery.over.lock().await;
    if *over {
        return Err(ApiError::no_route());
    }
    let peer = request.extensions().get::<PeerAddress>();
    let address: Option<IpAddr> = peer.map(|peer| peer.0.ip().to_canonical());
    let origin = ChangeOrigin {
        token: None,
        user: None,
        authority: None,
        address: address.map(|address| address.to_string()),
        request: RequestId::draw(&recovery.service.world).to_string(),
    };
    let catalog = &recovery.service.catalog;
    let new = origin::scope(origin, catalog.regenerate_admin_token(None)).await?;
    *over = true;
    recovery.done.notify_one();
    Ok(created(&new))
}
