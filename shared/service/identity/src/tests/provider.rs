//! Tests of sign-ins at an identity provider, against a provider of the tests.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{
        Mutex,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
};

use axum::{
    Json, Router,
    extract::State,
    routing::{get, post},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use futures::future::BoxFuture;
use neap_bucket::Clock;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::*;
use crate::{AuthorizationCode, OidcSettings, jws::SigningKey, key_file::ConfiguredKey};

const AUDIENCE: &str = "neap-of-tests";
const RSA: &str = include_str!("rsa-pkcs1.pem");

/// The system's clock, moved forward.
#[derive(Debug)]
struct ShiftedClock {
    inner: Arc<dyn Clock>,
    shift_secs: AtomicU64,
}

impl ShiftedClock {
    fn shift(&self) -> Duration {
        Duration::from_secs(self.shift_secs.load(Ordering::Relaxed))
    }

    fn advance(&self, by: Duration) {
        self.shift_secs.fetch_add(by.as_secs(), Ordering::Relaxed);
    }
}

impl Clock for ShiftedClock {
    fn wall_micros(&self) -> i64 {
        self.inner.wall_micros() + i64::try_from(self.shift().as_micros()).unwrap()
    }

    fn monotonic(&self) -> Duration {
        self.inner.monotonic() + self.shift()
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        self.inner.sleep(duration)
    }
}

#[derive(Default)]
struct ProviderState {
    issuer: Mutex<String>,
    keys: Mutex<Vec<Value>>,
    key_requests: AtomicUsize,
    is_down: Mutex<bool>,
    /// The token that the provider gives for [`CODE`].
    token: Mutex<String>,
}

type Answer = Result<Json<Value>, axum::http::StatusCode>;

impl ProviderState {
    fn check(&self) -> Result<(), axum::http::StatusCode> {
        if *self.is_down.lock().unwrap() {
            Err(axum::http::StatusCode::BAD_GATEWAY)
        } else {
            Ok(())
        }
    }
}

async fn discovery(State(state): State<Arc<ProviderState>>) -> Answer {
    state.check()?;
    let issuer = state.issuer.lock().unwrap().clone();
    Ok(Json(json!({
        "issuer": issuer,
        "jwks_uri": format!("{issuer}/keys"),
        "token_endpoint": format!("{issuer}/token"),
        "device_authorization_endpoint": format!("{issuer}/device"),
    })))
}

async fn keys(State(state): State<Arc<ProviderState>>) -> Answer {
    state.check()?;
    state.key_requests.fetch_add(1, Ordering::Relaxed);
    Ok(Json(json!({ "keys": *state.keys.lock().unwrap() })))
}

const CODE: &str = "a code/with +signs";
const VERIFIER: &str = "the-verifier-of-the-page";
const PAGE: &str = "http://127.0.0.1:8181/";

/// Gives a token for the code, if the form is that of the page to which the code was sent.
async fn token(State(state): State<Arc<ProviderState>>, form: String) -> Answer {
    state.check()?;
    let form: BTreeMap<String, String> =
        url::form_urlencoded::parse(form.as_bytes()).into_owned().collect();
    let expected = [
        ("grant_type", "authorization_code"),
        ("client_id", "cli"),
        ("code", CODE),
        ("code_verifier", VERIFIER),
        ("redirect_uri", PAGE),
    ];
    let is_valid = form.len() == expected.len()
        && expected
            .iter()
            .all(|(name, value)| form.get(*name).is_some_and(|given| given == value));
    if is_valid {
        Ok(Json(json!({
            "token_type": "Bearer",
            "access_token": *state.token.lock().unwrap(),
            "id_token": "not for the audience of the tests",
        })))
    } else {
        Err(axum::http::StatusCode::BAD_REQUEST)
    }
}

/// A provider, and a service that trusts it.
struct ProviderFixture {
    state: Arc<ProviderState>,
    issuer: String,
    clock: Arc<ShiftedClock>,
    fixture: IdentityFixture,
    server: tokio::task::JoinHandle<()>,
}

impl Drop for ProviderFixture {
    fn drop(&mut self) {
        self.server.abort();
    }
}

/// A key of the provider with this id.
fn key_of(kid: &str) -> SigningKey {
    let mut seed = [0; 32];
    for (to, from) in seed.iter_mut().zip(kid.bytes()) {
        *to = from;
    }
    SigningKey::of_seed(&seed).unwrap()
}

fn jwk(kid: &str, key: &SigningKey) -> Value {
    let mut jwk = serde_json::to_value(key.public()).unwrap();
    jwk["kid"] = kid.into();
    jwk["use"] = "sig".into();
    if jwk["kty"] == "OKP" {
        jwk["crv"] = "Ed25519".into();
    }
    jwk
}

impl ProviderFixture {
    async fn new() -> Self {
        let state = Arc::new(ProviderState::default());
        let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await.unwrap();
        let issuer = format!("http://{}", listener.local_addr().unwrap());
        *state.issuer.lock().unwrap() = issuer.clone();
        *state.keys.lock().unwrap() = vec![jwk("one", &key_of("one"))];
        let routes = Router::new()
            .route("/.well-known/openid-configuration", get(discovery))
            .route("/keys", get(keys))
            .route("/token", post(token))
            .with_state(Arc::clone(&state));
        let server = tokio::spawn(async move {
            axum::serve(listener, routes).await.unwrap();
        });
        let clock =
            Arc::new(ShiftedClock { inner: World::system().clock, shift_secs: AtomicU64::new(0) });
        let world = World::seeded(Arc::clone(&clock) as _, 1);
        let settings = IdentitySettings {
            allows_passwords: false,
            provider: Some(OidcSettings {
                issuer: issuer.parse().unwrap(),
                audience: AUDIENCE.to_owned(),
                client_id: "cli".to_owned(),
                scopes: vec!["openid".to_owned()],
                group_roles: BTreeMap::from([
                    ("ops".to_owned(), "Admin".to_owned()),
                    ("audit".to_owned(), "Auditor".to_owned()),
                ]),
            }),
            ..settings()
        };
        Self {
            state,
            issuer,
            clock,
            fixture: IdentityFixture::with_world(settings, world),
            server,
        }
    }

    fn now(&self) -> i64 {
        self.clock.wall_micros() / 1_000_000
    }

    /// Returns valid claims of a user in the group `ops`.
    fn claims(&self) -> Value {
        json!({
            "iss": self.issuer,
            "aud": [AUDIENCE, "another"],
            "sub": "user-1",
            "exp": self.now() + 300,
            "iat": self.now(),
            "preferred_username": "ann",
            "groups": ["staff", "ops"],
        })
    }

    fn token(&self, kid: &str, claims: &Value) -> String {
        key_of(kid).sign(kid, "JWT", claims).unwrap()
    }

    async fn sign_in(&self, token: &str) -> Result<TokenPair, IdentityError> {
        let identity = &self.fixture.identity;
        identity.sign_in_at_provider(token, "client").await
    }

    async fn check_refused(&self, token: &str, why: &str) {
        let refused = self.sign_in(token).await;
        let is_wrong = matches!(refused, Err(IdentityError::WrongCredentials));
        assert!(is_wrong, "{why}: {refused:?}");
    }

    fn key_requests(&self) -> usize {
        self.state.key_requests.load(Ordering::Relaxed)
    }
}

#[tokio::test]
async fn a_token_of_the_provider_begins_a_session_with_the_roles_of_the_groups() {
    let provider = ProviderFixture::new().await;
    let token = provider.token("one", &provider.claims());
    let tokens = provider.sign_in(&token).await.unwrap();
    assert_eq!(tokens.username, "ann");
    let verified = provider.fixture.verify(&tokens.access_token, Duration::ZERO).await;
    assert_eq!(verified, Ok(tokens.user_id));
    let root = provider.fixture.catalog.root(Duration::ZERO).await.unwrap().value;
    let user = &root.users()[&tokens.user_id];
    assert_eq!(user.oauth_id.as_deref(), Some("user-1"));
    assert!(root.user_permissions(user).is_admin());
    let mut claims = provider.claims();
    claims["groups"] = json!("audit");
    provider.sign_in(&provider.token("one", &claims)).await.unwrap();
    let root = provider.fixture.catalog.root(Duration::ZERO).await.unwrap().value;
    let permissions = root.user_permissions(&root.users()[&tokens.user_id]);
    assert!(!permissions.is_admin() && permissions.allow_audit());
    assert_eq!(provider.key_requests(), 1, "the keys are cached");
    let description = provider.fixture.identity.provider_description().await.unwrap();
    assert_eq!(description.issuer, provider.issuer);
    assert!(description.device_authorization_endpoint.is_some());
}

#[tokio::test]
async fn a_code_of_the_provider_begins_a_session() {
    let provider = ProviderFixture::new().await;
    *provider.state.token.lock().unwrap() = provider.token("one", &provider.claims());
    let code = |code_verifier: &str, redirect_uri: &str| AuthorizationCode {
        code: CODE.to_owned(),
        code_verifier: code_verifier.to_owned(),
        redirect_uri: redirect_uri.to_owned(),
    };
    let identity = &provider.fixture.identity;
    let right = code(VERIFIER, PAGE);
    let shown = format!("{right:?}");
    assert!(!shown.contains(CODE) && !shown.contains(VERIFIER), "{shown}");
    let tokens = identity.sign_in_with_code(&right, "client").await.unwrap();
    assert_eq!(tokens.username, "ann");
    for wrong in [code("another", PAGE), code(VERIFIER, "https://thief.example/")] {
        let refused = identity.sign_in_with_code(&wrong, "client").await;
        let is_wrong = matches!(refused, Err(IdentityError::WrongCredentials));
        assert!(is_wrong, "{wrong:?}: {refused:?}");
    }
    // A token for another service does not begin a session, although the provider gives it.
    let mut claims = provider.claims();
    claims["aud"] = "another".into();
    *provider.state.token.lock().unwrap() = provider.token("one", &claims);
    let refused = identity.sign_in_with_code(&right, "client").await;
    assert!(matches!(refused, Err(IdentityError::WrongCredentials)));
    *provider.state.is_down.lock().unwrap() = true;
    let refused = identity.sign_in_with_code(&right, "client").await;
    assert!(matches!(refused, Err(IdentityError::Provider { .. })));
}

#[tokio::test]
async fn a_user_without_a_mapped_group_is_refused() {
    let provider = ProviderFixture::new().await;
    for groups in [json!([]), json!(["staff"]), json!(null), json!({"ops": true})] {
        let mut claims = provider.claims();
        claims["groups"] = groups.clone();
        let token = provider.token("one", &claims);
        provider.check_refused(&token, &groups.to_string()).await;
    }
}

#[tokio::test]
async fn tokens_for_others_or_of_others_are_refused() {
    let provider = ProviderFixture::new().await;
    for (claim, value) in [
        ("aud", json!("another")),
        ("aud", json!([])),
        ("aud", json!(null)),
        ("iss", json!("https://another.example")),
        ("iss", json!(null)),
        ("sub", json!("")),
        ("exp", json!(null)),
    ] {
        let mut claims = provider.claims();
        claims[claim] = value.clone();
        let token = provider.token("one", &claims);
        provider.check_refused(&token, &format!("{claim} {value}")).await;
    }
}

#[tokio::test]
async fn the_period_of_a_token_is_checked_with_an_allowance_for_the_clocks() {
    let provider = ProviderFixture::new().await;
    for (exp, nbf, accepted) in
        [(-50, -300, true), (-70, -300, false), (300, 50, true), (300, 70, false)]
    {
        let mut claims = provider.claims();
        claims["exp"] = json!(provider.now() + exp);
        claims["nbf"] = json!(provider.now() + nbf);
        let signed_in = provider.sign_in(&provider.token("one", &claims)).await;
        assert_eq!(signed_in.is_ok(), accepted, "{exp} {nbf}");
    }
}

#[tokio::test]
async fn the_algorithm_is_that_of_the_key() {
    let provider = ProviderFixture::new().await;
    let rsa = ConfiguredKey::from_pem(RSA, Some("rsa")).unwrap();
    let keys = vec![
        jwk("one", &key_of("one")),
        jwk("rsa", &rsa.key),
        json!({"kty": "oct", "kid": "symmetric", "k": "AAAA"}),
        json!({"kty": "RSA", "kid": "for-encryption", "use": "enc", "n": "AQAB", "e": "AQAB"}),
        json!({"kty": "unknown"}),
    ];
    *provider.state.keys.lock().unwrap() = keys;
    let signed = rsa.key.sign("rsa", "JWT", &provider.claims()).unwrap();
    assert!(provider.sign_in(&signed).await.is_ok());
    let claims = URL_SAFE_NO_PAD.encode(provider.claims().to_string());
    let with = |alg: &str, kid: &str, signature: &[u8]| {
        let header = json!({"alg": alg, "kid": kid, "typ": "JWT"}).to_string();
        let header = URL_SAFE_NO_PAD.encode(header);
        format!("{header}.{claims}.{}", URL_SAFE_NO_PAD.encode(signature))
    };
    provider.check_refused(&with("none", "rsa", b""), "none").await;
    provider.check_refused(&with("none", "one", b"x"), "none").await;
    // The public key as the secret of an HMAC.
    let unsigned = with("HS256", "rsa", b"");
    let message = unsigned.trim_end_matches('.');
    let n = serde_json::to_value(rsa.key.public()).unwrap()["n"].clone();
    for secret in [n.as_str().unwrap().as_bytes(), RSA.as_bytes()] {
        let secret = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, secret);
        let signature = ring::hmac::sign(&secret, message.as_bytes());
        let forged = with("HS256", "rsa", signature.as_ref());
        provider.check_refused(&forged, "key confusion").await;
    }
    let symmetric = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, &[0; 3]);
    let message = with("HS256", "symmetric", b"");
    let signature = ring::hmac::sign(&symmetric, message.trim_end_matches('.').as_bytes());
    let forged = with("HS256", "symmetric", signature.as_ref());
    provider.check_refused(&forged, "symmetric key").await;
    let wrong = key_of("another").sign("one", "JWT", &provider.claims());
    provider.check_refused(&wrong.unwrap(), "wrong key").await;
    let mixed = rsa.key.sign("one", "JWT", &provider.claims());
    provider.check_refused(&mixed.unwrap(), "algorithm of another key").await;
}

#[tokio::test]
async fn a_rotated_key_is_found_at_a_bounded_rate() {
    let provider = ProviderFixture::new().await;
    let first = provider.token("one", &provider.claims());
    provider.sign_in(&first).await.unwrap();
    *provider.state.keys.lock().unwrap() = vec![jwk("two", &key_of("two"))];
    provider.clock.advance(Duration::from_secs(60));
    let second = provider.token("two", &provider.claims());
    provider.sign_in(&second).await.unwrap();
    assert_eq!(provider.key_requests(), 2);
    for number in 0..5 {
        let unknown = provider.token(&format!("unknown {number}"), &provider.claims());
        provider.check_refused(&unknown, "unknown key").await;
    }
    assert_eq!(provider.key_requests(), 2, "unknown keys do not flood the provider");
    provider.check_refused(&first, "withdrawn key").await;
}

#[tokio::test]
async fn known_keys_serve_while_the_provider_is_down_for_a_while() {
    let provider = ProviderFixture::new().await;
    provider.sign_in(&provider.token("one", &provider.claims())).await.unwrap();
    *provider.state.is_down.lock().unwrap() = true;
    provider.clock.advance(Duration::from_secs(30 * 60));
    let token = provider.token("one", &provider.claims());
    assert!(provider.sign_in(&token).await.is_ok());
    provider.clock.advance(Duration::from_secs(60 * 60));
    let token = provider.token("one", &provider.claims());
    let refused = provider.sign_in(&token).await;
    assert!(matches!(refused, Err(IdentityError::Provider { .. })));
    *provider.state.is_down.lock().unwrap() = false;
    provider.clock.advance(Duration::from_secs(10));
    let token = provider.token("one", &provider.claims());
    assert!(provider.sign_in(&token).await.is_ok());
}

#[tokio::test]
async fn a_provider_that_calls_itself_otherwise_is_not_trusted() {
    let provider = ProviderFixture::new().await;
    let token = provider.token("one", &provider.claims());
    *provider.state.issuer.lock().unwrap() = "http://127.0.0.1:1".to_owned();
    let refused = provider.sign_in(&token).await;
    assert!(matches!(refused, Err(IdentityError::Provider { .. })));
}
