//! Signing in and out, and the first user.

use std::sync::Arc;

use axum::{
    Json, Router,
    extract::{Request, State},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use http::{
    HeaderValue, StatusCode,
    header::{CACHE_CONTROL, CONTENT_TYPE},
};
use neap_catalog::{ANY_AGE, NewUser};
use neap_http::{ApiError, Caller, ClientNetwork, PeerAddress};
use neap_identity::{AuthorizationCode, TokenPair};
use serde::Deserialize;
use serde_json::{Value, json as value};

use super::{
    answers::UserAnswer,
    errors::invalid,
    requests::{enabled, json},
};
use crate::{WriteService, routes::configure::ServiceState};

/// Answers with tokens must not be stored.
const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");

const JWK_SET: HeaderValue = HeaderValue::from_static("application/jwk-set+json");

pub(super) fn routes() -> Router<Arc<WriteService>> {
    Router::new()
        .route("/api/v3/authorize", post(authorize))
        .route("/api/v3/authorize/refresh", post(refresh))
        .route("/api/v3/authorize/reset-password", post(reset_password))
        .route("/api/v3/authorize/logout", post(logout))
        .route("/api/v3/auth/oauth/config", get(provider))
        .route("/.well-known/jwks.json", get(key_set))
        .route("/api/v3/configure/user", post(first_user))
}

/// Returns the network of the client as text, whose attempts are bounded together.
fn client(request: &Request) -> String {
    let peer = request.extensions().get::<PeerAddress>();
    ClientNetwork::from_address(peer.map(|peer| peer.0.ip())).to_string()
}

fn signed_in(tokens: &TokenPair) -> Response {
    let mut response = Json(tokens).into_response();
    response.headers_mut().insert(CACHE_CONTROL, NO_STORE);
    response
}

/// A name with a password, a token of the identity provider, or a code of it.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct AuthorizeBody {
    username: Option<String>,
    password: Option<String>,
    #[serde(alias = "oauth_token")]
    oauth_token: Option<String>,
    oauth_code: Option<CodeBody>,
}

/// A code of the identity provider, which a browser has brought back.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct CodeBody {
    code: String,
    code_verifier: String,
    redirect_uri: String,
}

/// `POST /api/v3/authorize`
async fn authorize(State(service): ServiceState, request: Request) -> Result<Response, ApiError> {
    let identity = enabled(&service)?;
    let client = client(&request);
    let body: AuthorizeBody = json(&service, request).await?;
    let password = body.username.zip(body.password);
    let tokens = match (password, body.oauth_token, body.oauth_code) {
        (Some((name, password)), None, None) => identity.sign_in(&name, &password, &client).await?,
        (None, Some(token), None) => identity.sign_in_at_provider(&token, &client).await?,
        (None, None, Some(body)) => {
            let code = AuthorizationCode {
                code: body.code,
                code_verifier: body.code_verifier,
                redirect_uri: body.redirect_uri,
            };
            identity.sign_in_with_code(&code, &client).await?
        }
        _ => {
            let text = "expected username and password, oauthToken, or oauthCode";
            return Err(invalid(text));
        }
    };
    Ok(signed_in(&tokens))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RefreshBody {
    #[serde(alias = "refresh_token")]
    refresh_token: String,
}

/// `POST /api/v3/authorize/refresh`
async fn refresh(State(service): ServiceState, request: Request) -> Result<Response, ApiError> {
    let identity = enabled(&service)?;
    let client = client(&request);
    let body: RefreshBody = json(&service, request).await?;
    Ok(signed_in(&identity.refresh(&body.refresh_token, &client).await?))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ResetPasswordBody {
    username: String,
    #[serde(
        alias = "oldPassword",
        alias = "currentPassword",
        alias = "old_password"
    )]
    password: String,
    #[serde(alias = "new_password")]
    new_password: String,
}

/// `POST /api/v3/authorize/reset-password`
async fn reset_password(
    State(service): ServiceState,
    request: Request,
) -> Result<StatusCode, ApiError> {
    let identity = enabled(&service)?;
    let client = client(&request);
    let body: ResetPasswordBody = json(&service, request).await?;
    let (name, old, new) = (&body.username, &body.password, &body.new_password);
    identity.reset_password(name, old, new, &client).await?;
    Ok(StatusCode::OK)
}

/// `POST /api/v3/authorize/logout`
async fn logout(State(service): ServiceState, caller: Caller) -> Result<StatusCode, ApiError> {
    let identity = enabled(&service)?;
    let session = caller.session().ok_or_else(|| invalid("the request has no session"))?;
    identity.sign_out(session).await?;
    Ok(StatusCode::OK)
}

/// `GET /api/v3/auth/oauth/config`
async fn provider(State(service): ServiceState) -> Result<Json<Value>, ApiError> {
    let identity = enabled(&service)?;
    let has_provider = identity.has_provider();
    let mut description = if has_provider {
        value!(identity.provider_description().await?)
    } else {
        value!({})
    };
    if let Some(members) = description.as_object_mut() {
        let allows_passwords = identity.allows_passwords();
        members.insert("enabled".to_owned(), has_provider.into());
        members.insert("passwordEnabled".to_owned(), allows_passwords.into());
    }
    Ok(Json(description))
}

/// `GET /.well-known/jwks.json`
async fn key_set(State(service): ServiceState) -> Result<Response, ApiError> {
    let keys = enabled(&service)?.key_set().await?;
    Ok(([(CONTENT_TYPE, JWK_SET)], keys.to_string()).into_response())
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct FirstUserBody {
    username: String,
    password: String,
    #[serde(alias = "display_name")]
    display_name: Option<String>,
}

/// `POST /api/v3/configure/user`
async fn first_user(State(service): ServiceState, request: Request) -> Result<Response, ApiError> {
    let identity = enabled(&service)?;
    service.require_first_credentials().await?;
    let body: FirstUserBody = json(&service, request).await?;
    let new = NewUser {
        name: body.username,
        display_name: body.display_name,
        password: Some(identity.hash_password(&body.password).await?),
        ..NewUser::default()
    };
    let first = service.catalog.create_first_user(&new).await?;
    let root = service.catalog.root(ANY_AGE).await?.value;
    let mut answer = UserAnswer::new(&root, first.id, &first.entry);
    answer.operator_token = Some(first.operator.secret.reveal());
    let mut response = Json(answer).into_response();
    response.headers_mut().insert(CACHE_CONTROL, NO_STORE);
    Ok(response)
}
