//! The setup of a new cluster: its first token and a bucket.

use std::{sync::Arc, time::Duration};

use axum::{
    Json, Router,
    extract::{Request, State},
    response::{IntoResponse, Response},
    routing::get,
};
use http::{StatusCode, header::CACHE_CONTROL};
use neap_catalog::{ANY_AGE, CatalogError, NewUser, SecretToken, TokenId};
use neap_http::{ApiError, Caller, Kind};
use neap_write::WriteService;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{
    authorizations::{self, NO_STORE},
    buckets::{Bucket, create_database},
    organizations,
    permissions::TokenScope,
    requests::{ServiceState, cached_root, invalid, json_body},
    retention_rules::from_seconds,
    users::User,
};

/// Minimum length of a token that the request chooses, because short tokens can be guessed.
const MIN_TOKEN_CHARS: usize = 32;

pub(crate) fn routes() -> Router<Arc<WriteService>> {
    Router::new().route("/api/v2/setup", get(is_allowed).post(set_up))
}

/// Returns whether there is an operator token, which is never deleted: then an outdated catalog suffices.
async fn is_set_up(service: &WriteService) -> Result<bool, ApiError> {
    for max_age in [ANY_AGE, Duration::ZERO] {
        let root = service.catalog().root(max_age).await?.value;
        if root.tokens().contains_key(&TokenId::OPERATOR) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// `GET /api/v2/setup`
async fn is_allowed(State(service): ServiceState) -> Result<Json<Value>, ApiError> {
    let is_allowed = service.creates_first_credentials() && !is_set_up(&service).await?;
    Ok(Json(json!({ "allowed": is_allowed })))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct SetupBody {
    #[serde(default)]
    username: String,
    password: Option<String>,
    #[serde(default)]
    org: String,
    #[serde(default)]
    bucket: String,
    retention_period_seconds: Option<i64>,
    token: Option<String>,
}

impl SetupBody {
    /// Validates the values that need no store. The errors do not quote the credentials.
    fn check(&self, service: &WriteService) -> Result<(), ApiError> {
        if [&self.username, &self.org, &self.bucket].iter().any(|text| text.is_empty()) {
            return Err(invalid("onboard failed, missing value"));
        }
        let Some(token) = &self.token else {
            return Ok(());
        };
        let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_=+/".contains(&byte);
        if token.len() < MIN_TOKEN_CHARS || !token.bytes().all(is_allowed) {
            return Err(invalid(format!(
                "a token has at least {MIN_TOKEN_CHARS} characters: letters, digits, and -_=+/"
            )));
        }
        let has_users = service.identity().is_some_and(|identity| identity.allows_passwords());
        if has_users && self.password.is_some() {
            let text = "the token of a first user is generated: omit the token, or the password";
            return Err(invalid(text));
        }
        Ok(())
    }
}

fn already_set_up() -> ApiError {
    ApiError::v2(Kind::Conflict, "onboarding has already been completed")
}

/// Converts an error of the creation of credentials, which another request may have created in the meantime.
fn refused(error: CatalogError) -> ApiError {
    match error {
        CatalogError::TokenExists { .. } | CatalogError::UserExists { .. } => already_set_up(),
        error => error.into(),
    }
}

/// Creates the operator token. If users can sign in by password, creates the first user, too; otherwise, the name and
/// the password have no effect.
async fn create_operator(service: &WriteService, body: SetupBody) -> Result<SecretToken, ApiError> {
    let catalog = service.catalog();
    let identity = service.identity().filter(|identity| identity.allows_passwords());
    match (body.token, identity.zip(body.password)) {
        (Some(token), _) => {
            let secret = SecretToken::new(token);
            let is_new = catalog.install_admin_token(secret.hash(), None).await?;
            is_new.then_some(secret).ok_or_else(already_set_up)
        }
        (None, Some((identity, password))) => {
            let new = NewUser {
                name: body.username,
                password: Some(identity.hash_password(&password).await?),
                ..NewUser::default()
            };
            let first = catalog.create_first_user(&new).await.map_err(refused)?;
            Ok(first.operator.secret)
        }
        (None, None) => Ok(catalog.create_admin_token().await.map_err(refused)?.secret),
    }
}

/// Creates the bucket, unless it exists.
async fn existing_or_new_bucket(
    service: &WriteService,
    name: &str,
    retention: Option<Duration>,
) -> Result<Bucket, ApiError> {
    match create_database(service, name, retention).await {
        Err(error) if error.kind() == Kind::Conflict => {
            let root = cached_root(service).await?;
            let existing = root.database(name).and_then(|id| Bucket::find(&root, id));
            existing.ok_or(error)
        }
        outcome => outcome,
    }
}

/// `POST /api/v2/setup`
async fn set_up(State(service): ServiceState, request: Request) -> Result<Response, ApiError> {
    if is_set_up(&service).await? {
        return Err(already_set_up());
    }
    service.require_first_credentials().await?;
    let body: SetupBody = json_body(&service, request).await?;
    body.check(&service)?;
    let retention = from_seconds(body.retention_period_seconds.unwrap_or(0))?;
    // The bucket comes first: a request that fails can be repeated as long as there is no token.
    let bucket = existing_or_new_bucket(&service, &body.bucket, retention).await?;
    let bucket_answer = bucket.current_answer(&service).await?;
    let organization = organizations::answer(&body.org);
    let secret = create_operator(&service, body).await?;
    // The commit has left the token in the cached catalog.
    let root = cached_root(&service).await?;
    let operator = TokenId::OPERATOR;
    let entry = root.tokens().get(&operator).ok_or_else(already_set_up)?;
    let first_user = root.users().iter().next();
    let user = match first_user {
        Some((id, user)) => User::from_entry(*id, user),
        None => User::from_token(operator, entry),
    };
    let caller = Caller::unrestricted();
    let scope = TokenScope::new(&service, &root, &caller);
    let answer = json!({
        "auth": authorizations::answer(scope, (operator, entry), Some(&secret)),
        "bucket": bucket_answer,
        "org": organization,
        "user": user.answer(),
    });
    let headers = [(CACHE_CONTROL, NO_STORE)];
    Ok((StatusCode::CREATED, headers, Json(answer)).into_response())
}
