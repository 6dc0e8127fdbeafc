//! The tokens of a session: the access token, which requests present, and the refresh token, which renews the session.

use std::time::Duration;

use neap_bucket::StoreTime;
use neap_catalog::{RootCatalog, SessionId, SigningKeyEntry, StartedSession, UserId};
use serde::{Deserialize, Serialize};

use crate::{
    IdentityError,
    jws::{JwsHeader, PublicKey, SigningKey, UnverifiedToken},
};

/// The kinds of tokens, in their header.
const ACCESS: &str = "at+jwt";
const REFRESH: &str = "refresh+jwt";

const MICROS: i64 = 1_000_000;

/// The user and session of an access token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionUser {
    /// The user.
    pub user: UserId,
    /// The session.
    pub session: SessionId,
}

/// Why a token is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenRejection {
    /// It is no token of a session, or its signature is wrong.
    #[error("invalid token")]
    Invalid,
    /// It has expired.
    #[error("expired token")]
    Expired,
    /// Its key or its session is not in this value of the catalog: the session has ended, or another instance has just
    /// begun it.
    #[error("unknown session")]
    Unknown,
}

#[derive(Debug, Deserialize, Serialize)]
struct SessionClaims {
    iss: String,
    aud: String,
    sub: String,
    sid: String,
    iat: i64,
    exp: i64,
    /// The generation of a refresh token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    r#gen: Option<u64>,
}

/// Returns whether a text has the form of an access token, whether or not it is a valid one: it begins with the header of
/// such a token. A password of three words with dots between them does not.
pub fn is_access_token(text: &str) -> bool {
    JwsHeader::of_token(text).is_some_and(|header| header.typ.as_deref() == Some(ACCESS))
}

/// Returns the user and session of an access token, if the session is in this value of the catalog.
///
/// # Errors
/// The reason why the token is refused.
pub fn verify_access_token(
    root: &RootCatalog,
    issuer: &str,
    token: &str,
    now: StoreTime,
) -> Result<SessionUser, TokenRejection> {
    let claims = verify(root, issuer, token, ACCESS, now)?;
    let sid = claims.sid.parse().map_err(|_| TokenRejection::Invalid)?;
    let session = root.session(sid).ok_or(TokenRejection::Unknown)?;
    if session.user.to_string() != claims.sub {
        return Err(TokenRejection::Invalid);
    }
    let user = root.users().get(&session.user).ok_or(TokenRejection::Unknown)?;
    if !session.is_active(now) || !user.is_active(now) {
        return Err(TokenRejection::Expired);
    }
    Ok(SessionUser { user: session.user, session: sid })
}

/// Returns the session and generation of a refresh token, whether or not the session exists.
pub(crate) fn verify_refresh_token(
    root: &RootCatalog,
    issuer: &str,
    token: &str,
    now: StoreTime,
) -> Result<(SessionId, u64), TokenRejection> {
    let claims = verify(root, issuer, token, REFRESH, now)?;
    let session = claims.sid.parse().map_err(|_| TokenRejection::Invalid)?;
    let generation = claims.r#gen.ok_or(TokenRejection::Invalid)?;
    Ok((session, generation))
}

fn verify(
    root: &RootCatalog,
    issuer: &str,
    token: &str,
    kind: &str,
    now: StoreTime,
) -> Result<SessionClaims, TokenRejection> {
    let token = UnverifiedToken::parse(token).map_err(|_| TokenRejection::Invalid)?;
    if token.header.typ.as_deref() != Some(kind) {
        return Err(TokenRejection::Invalid);
    }
    let kid = token.header.kid.as_deref().ok_or(TokenRejection::Invalid)?;
    let mut keys = root.signing_keys().iter();
    let recorded = keys.find(|key| key.id == kid).ok_or(TokenRejection::Unknown)?;
    let key = PublicKey::of_catalog(&recorded.public).ok_or(TokenRejection::Invalid)?;
    let claims: SessionClaims = token.verify(&key).map_err(|_| TokenRejection::Invalid)?;
    if claims.iss != issuer || claims.aud != root.cluster() {
        return Err(TokenRejection::Invalid);
    }
    // The clock is that of the store, which also set the claims, so there is no skew.
    if claims.exp.saturating_mul(MICROS) <= now.micros() {
        return Err(TokenRejection::Expired);
    }
    Ok(claims)
}

/// The tokens of a session and the lifetime of the access token.
#[derive(Debug)]
pub(crate) struct SignedTokens {
    pub(crate) access: String,
    pub(crate) refresh: String,
    pub(crate) access_lifetime: Duration,
    pub(crate) refresh_lifetime: Duration,
}

/// Signs the tokens of a session that was begun or renewed.
/// Fails with `Cryptography` when the key is not usable.
pub(crate) fn sign(
    session: &StartedSession,
    configured: Option<&SigningKey>,
    (issuer, cluster): (&str, &str),
    access_lifetime: Duration,
) -> Result<SignedTokens, IdentityError> {
    let generated;
    let key = match configured {
        Some(key) => key,
        None => {
            generated = generated_key(&session.key)?;
            &generated
        }
    };
    let entry = &session.entry;
    let expiry = entry.renewed.plus(access_lifetime).min(entry.expires);
    let claims = |expiry: StoreTime, r#gen| SessionClaims {
        iss: issuer.to_owned(),
        aud: cluster.to_owned(),
        sub: entry.user.to_string(),
        sid: session.id.to_string(),
        iat: entry.renewed.micros() / MICROS,
        exp: expiry.micros() / MICROS,
        r#gen,
    };
    let kid = &session.key.id;
    let access = key.sign(kid, ACCESS, &claims(expiry, None));
    let refresh = key.sign(kid, REFRESH, &claims(entry.expires, Some(entry.generation)));
    let tokens = access.zip(refresh);
    let (access, refresh) = tokens
        .ok_or(IdentityError::Cryptography { operation: "sign the tokens of the session" })?;
    Ok(SignedTokens {
        access,
        refresh,
        access_lifetime: expiry.since(entry.renewed),
        refresh_lifetime: entry.expires.since(entry.renewed),
    })
}

fn generated_key(entry: &SigningKeyEntry) -> Result<SigningKey, IdentityError> {
    let secret = entry.secret.as_ref();
    let key = secret.and_then(|secret| SigningKey::of_seed(secret.reveal()));
    key.ok_or(IdentityError::Cryptography { operation: "use the key of the cluster" })
}
