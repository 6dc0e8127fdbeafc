//! Tests of access control through the whole stack, over a store in memory that counts requests and fails on demand.

mod sessions;

use std::{net::SocketAddr, sync::Arc, time::Duration};

use axum::{
    Router,
    body::Body,
    extract::Request,
    routing::{any, get, post},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use http::{HeaderMap, header::AUTHORIZATION};
use http_body_util::BodyExt;
use neap_bucket::{
    Bucket, CountingStore, FaultyStore, MemoryStore, PausedClock, ProtocolMargins, StoreFaults,
    World,
};
use neap_catalog::{Catalog, IssuedToken, TokenId};
use tower::ServiceExt;

use super::*;
use crate::{
    ClusterId, Metrics, PingAnswer, ServerInfo, ServiceContext, health_routes, metrics_routes,
    with_common_layers,
};

const UNAUTHENTICATED: &str = r#"401 {"error": "the request was not authenticated"}"#;
const FORBIDDEN: &str =
    r#"403 {"error": "unauthorized to perform requested action with the token"}"#;
const SQL: &str = "/api/v3/query_sql";

/// A store, an instance that requires tokens, and another instance that manages them.
struct AuthFixture {
    routes: Router,
    counting: Arc<CountingStore>,
    faulty: Arc<FaultyStore>,
    world: World,
    metrics: Metrics,
    catalog: Arc<Catalog>,
    elsewhere: Arc<Catalog>,
    admin: IssuedToken,
}

fn routes(metrics: &Metrics, world: &World) -> Router {
    let who = async |caller: Caller| caller.token_name().unwrap_or("nobody").to_owned();
    let server = ServerInfo::new("0.1.0", "0123abc", world);
    Router::new()
        .route(SQL, get(who).post(who))
        .route("/query", any(who))
        .route("/write", post(who))
        .route("/api/v2/write", post(who))
        .route("/api/v3/configure/token/admin", post(who))
        .route("/api/v3/unlisted", get(who))
        .route(
            "/api/v3/configure/database/retention_period",
            post(async |caller: Caller| caller.require_admin()),
        )
        .merge(health_routes(server, PingAnswer::default()))
        .merge(metrics_routes(metrics.clone()))
}

impl AuthFixture {
    async fn new() -> Self {
        Self::with(AuthSettings::default()).await
    }

    async fn with(settings: AuthSettings) -> Self {
        let clock = Arc::new(PausedClock::new(1_757_510_705_000_000));
        let world = World::seeded(clock, 7);
        let memory = Arc::new(MemoryStore::new(Arc::clone(&world.clock)));
        let faulty = Arc::new(FaultyStore::new(
            Arc::clone(&memory) as _,
            world.clone(),
            StoreFaults::default(),
        ));
        let counting = Arc::new(CountingStore::new(Arc::clone(&faulty) as _));
        let of =
            |store| Catalog::new(Bucket::new(store, world.clone()), ProtocolMargins::LOCAL, None);
        let catalog = Arc::new(of(Arc::clone(&counting) as _));
        let elsewhere = Arc::new(of(memory));
        let admin = elsewhere.create_admin_token().await.unwrap();
        let metrics = Metrics::default();
        let authenticator = Authenticator::new(Arc::clone(&catalog), &metrics, settings);
        let common = ServiceContext {
            cluster: ClusterId::new(Arc::clone(&catalog)),
            world: world.clone(),
            metrics: metrics.clone(),
            access: AccessControl::Tokens(Arc::new(authenticator)),
        };
        Self {
            routes: with_common_layers(routes(&metrics, &world), common),
            counting,
            faulty,
            world,
            metrics,
            catalog,
            elsewhere,
            admin,
        }
    }

    async fn resource(&self, name: &str, permission: &str) -> String {
        let permissions = [permission.parse().unwrap()];
        let created = self.elsewhere.create_resource_token(name, &permissions, None, None);
        created.await.unwrap().secret.reveal().to_owned()
    }

    async fn sleep(&self, duration: Duration) {
        self.world.clock.sleep(duration).await;
    }

    async fn answer(&self, request: Request) -> (u16, HeaderMap, String) {
        let answer = self.routes.clone().oneshot(request).await.unwrap();
        let (head, body) = answer.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        let body = String::from_utf8(body.to_vec()).unwrap();
        (head.status.as_u16(), head.headers, body)
    }

    /// Sends a request. Returns status and body.
    async fn send(&self, method: &str, uri: &str, authorization: Option<&str>) -> String {
        self.send_from(None, method, uri, authorization).await
    }

    async fn send_from(
        &self,
        from: Option<&str>,
        method: &str,
        uri: &str,
        authorization: Option<&str>,
    ) -> String {
        let mut request = Request::builder().method(method).uri(uri);
        if let Some(value) = authorization {
            request = request.header(AUTHORIZATION, value);
        }
        if let Some(address) = from {
            request = request.extension(PeerAddress(SocketAddr::new(address.parse().unwrap(), 1)));
        }
        let (status, headers, body) = self.answer(request.body(Body::empty()).unwrap()).await;
        assert!(headers.contains_key("cluster-uuid") || status == 503);
        format!("{status} {body}")
    }

    /// Sends a query with a token. Returns status and body.
    async fn query(&self, token: &str) -> String {
        let bearer = format!("Bearer {token}");
        self.send("POST", SQL, Some(&bearer)).await
    }

    fn gets(&self) -> u64 {
        self.counting.counts().iter().map(|(_, _, count)| count.requests).sum()
    }

    fn failures(&self, reason: &str) -> String {
        let name = format!("neap_auth_failures_total{{reason=\"{reason}\"}} ");
        let text = self.metrics.render();
        let line = text.lines().find_map(|line| line.strip_prefix(&name));
        line.unwrap_or("0").to_owned()
    }
}

#[tokio::test(start_paused = true)]
async fn a_token_is_understood_in_all_forms() {
    let stage = AuthFixture::new().await;
    let token = stage.admin.secret.reveal();
    let basic = STANDARD.encode(format!("any:{token}"));
    for header in [format!("Bearer {token}"), format!("Token {token}"), format!("Basic {basic}")] {
        assert_eq!(stage.send("POST", SQL, Some(&header)).await, "200 _admin");
    }
    let password = serde_urlencoded::to_string([("u", "x"), ("p", token)]).unwrap();
    let uri = |path: &str| format!("{path}?{password}");
    for path in ["/query", "/write"] {
        let answer = stage.send("POST", &uri(path), Some("Bearer wrong")).await;
        assert_eq!(answer, "200 _admin");
    }
    assert_eq!(stage.send("POST", &uri(SQL), None).await, UNAUTHENTICATED);
}

#[tokio::test(start_paused = true)]
async fn refusals_have_the_texts_of_influxdb_and_are_counted() {
    let stage = AuthFixture::new().await;
    for (method, path) in [
        ("POST", SQL),
        ("GET", "/nope"),
        ("GET", "/health"),
        ("GET", "/ping"),
        ("GET", "/metrics"),
    ] {
        assert_eq!(stage.send(method, path, None).await, UNAUTHENTICATED);
    }
    assert_eq!(stage.query("apiv3_wrong").await, UNAUTHENTICATED);
    insta::assert_snapshot!(stage.send("POST", SQL, Some("Digest x")).await, @r#"400 {"error": "Authorization header was malformed, the request was not in the form of 'Authorization: <auth-scheme> <token>', supported auth-schemes are Bearer, Token and Basic"}"#);
    assert_eq!(stage.failures("missing"), "5");
    assert_eq!(stage.failures("unknown"), "1");
    assert_eq!(stage.failures("malformed"), "1");
    let text = stage.metrics.render();
    assert!(text.contains(r#"http_requests_total{method="GET",path="unmatched",status="401"} 4"#));
}

#[tokio::test(start_paused = true)]
async fn preflights_and_the_first_token_take_no_token() {
    let stage = AuthFixture::new().await;
    assert!(stage.send("OPTIONS", "/write", None).await.starts_with("204"));
    let first = "/api/v3/configure/token/admin";
    assert_eq!(stage.send("POST", first, None).await, "200 nobody");
    assert_eq!(stage.send("GET", first, None).await, UNAUTHENTICATED);
}

#[tokio::test(start_paused = true)]
async fn with_a_token_an_unknown_path_is_not_found() {
    let stage = AuthFixture::new().await;
    let admin = format!("Bearer {}", stage.admin.secret.reveal());
    let some = stage.resource("some", "system:ready:read").await;
    let some = format!("Bearer {some}");
    for token in [&admin, &some] {
        assert_eq!(stage.send("GET", "/nope", Some(token)).await, "404 Not found");
    }
}

#[tokio::test(start_paused = true)]
async fn unlisted_routes_require_an_administrator() {
    let stage = AuthFixture::new().await;
    stage.elsewhere.create_database("db", None).await.unwrap();
    let some = stage.resource("some", "db:*:*").await;
    let some = format!("Bearer {some}");
    let admin = format!("Bearer {}", stage.admin.secret.reveal());
    let unlisted = "/api/v3/unlisted";
    assert_eq!(stage.send("GET", unlisted, Some(&some)).await, FORBIDDEN);
    assert_eq!(stage.send("GET", unlisted, Some(&admin)).await, "200 _admin");
    assert_eq!(stage.failures("forbidden"), "1");
}

#[tokio::test(start_paused = true)]
async fn server_endpoints_require_their_permission_unless_exempt() {
    let stage = AuthFixture::new().await;
    let health = format!("Bearer {}", stage.resource("h", "system:health:read").await);
    let database = format!("Bearer {}", stage.resource("d", "db:*:read").await);
    let status = async |token: &str, path: &str| {
        let answer = stage.send("GET", path, Some(token)).await;
        answer.get(..3).unwrap().to_owned()
    };
    for (path, by_health, by_database) in [
        ("/health", "200", "403"),
        ("/api/v1/health", "200", "403"),
        ("/ping", "403", "200"),
        ("/metrics", "403", "403"),
    ] {
        assert_eq!(status(&health, path).await, by_health, "{path}");
        assert_eq!(status(&database, path).await, by_database, "{path}");
    }
    let unguarded = vec![ExemptEndpoint::Health, ExemptEndpoint::Ping];
    let settings = AuthSettings { unguarded, ..AuthSettings::default() };
    let stage = AuthFixture::with(settings).await;
    for (path, expected) in [
        ("/health", "200"),
        ("/api/v1/health", "200"),
        ("/ping", "200"),
        ("/metrics", "401"),
        (SQL, "401"),
    ] {
        let answer = stage.send("GET", path, None).await;
        assert!(answer.starts_with(expected), "{path} {answer}");
    }
}

#[tokio::test(start_paused = true)]
async fn without_authentication_only_token_endpoints_are_disabled() {
    let stage = AuthFixture::new().await;
    let common = ServiceContext {
        cluster: ClusterId::new(Arc::clone(&stage.catalog)),
        world: stage.world.clone(),
        metrics: Metrics::default(),
        access: AccessControl::Open,
    };
    let stage = AuthFixture {
        routes: with_common_layers(routes(&stage.metrics, &stage.world), common),
        ..stage
    };
    assert_eq!(stage.send("GET", SQL, Some("nonsense")).await, "200 nobody");
    let disabled = "405 endpoint disabled, started without auth";
    for (method, path) in [
        ("POST", "/api/v3/configure/token/admin"),
        ("DELETE", "/api/v3/configure/token"),
        ("GET", "/api/v3/configure/token/nothing"),
        ("POST", "/api/v3/enterprise/configure/token"),
    ] {
        assert_eq!(stage.send(method, path, None).await, disabled);
    }
}

#[tokio::test(start_paused = true)]
async fn a_token_costs_no_request_while_the_catalog_is_fresh() {
    let stage = AuthFixture::new().await;
    let token = stage.admin.secret.reveal();
    stage.query(token).await;
    let before = stage.gets();
    for _ in 0..100 {
        assert_eq!(stage.query(token).await, "200 _admin");
    }
    assert_eq!(stage.gets(), before);
    stage.sleep(Duration::from_secs(6)).await;
    stage.query(token).await;
    assert_eq!(stage.gets(), before + 1);
}

#[tokio::test(start_paused = true)]
async fn a_revoked_token_is_refused_at_once_here_and_soon_elsewhere() {
    let stage = AuthFixture::new().await;
    let (one, other) =
        (stage.resource("one", "db:*:*").await, stage.resource("other", "db:*:*").await);
    assert_eq!(stage.query(&one).await, "200 one");
    assert_eq!(stage.query(&other).await, "200 other");
    stage.catalog.delete_token("one", None).await.unwrap();
    assert_eq!(stage.query(&one).await, UNAUTHENTICATED);
    stage.elsewhere.delete_token("other", None).await.unwrap();
    stage.sleep(Duration::from_secs(6)).await;
    assert_eq!(stage.query(&other).await, UNAUTHENTICATED);
    let old = stage.admin.secret.reveal();
    let new = stage
        .catalog
        .regenerate_admin_token(Some(TokenId::OPERATOR.into()))
        .await
        .unwrap();
    assert_eq!(stage.query(old).await, UNAUTHENTICATED);
    assert_eq!(stage.query(new.secret.reveal()).await, "200 _admin");
}

#[tokio::test(start_paused = true)]
async fn a_token_of_another_instance_is_accepted_at_once() {
    let stage = AuthFixture::new().await;
    stage.query(stage.admin.secret.reveal()).await;
    let new = stage.resource("new", "db:*:*").await;
    assert_eq!(stage.query(&new).await, "200 new");
}

#[tokio::test(start_paused = true)]
async fn an_expired_token_is_refused() {
    let stage = AuthFixture::new().await;
    let lifetime = Some(Duration::from_secs(2));
    let brief = stage.elsewhere.create_named_admin("brief", lifetime, None).await.unwrap();
    assert_eq!(stage.query(brief.secret.reveal()).await, "200 brief");
    stage.sleep(Duration::from_secs(2)).await;
    assert_eq!(stage.query(brief.secret.reveal()).await, UNAUTHENTICATED);
    assert_eq!(stage.failures("expired"), "1");
}

#[tokio::test(start_paused = true)]
async fn requests_are_refused_while_the_store_does_not_answer() {
    let stage = AuthFixture::new().await;
    let token = stage.admin.secret.reveal();
    assert_eq!(stage.query(token).await, "200 _admin");
    let dark = StoreFaults { unavailable: 1.0, ..StoreFaults::default() };
    stage.faulty.set_faults(dark);
    assert_eq!(stage.query(token).await, "200 _admin", "known a moment ago");
    stage.sleep(Duration::from_secs(6)).await;
    assert!(stage.query(token).await.starts_with("503"));
    stage.faulty.set_faults(StoreFaults::default());
    assert_eq!(stage.query(token).await, "200 _admin");
}

#[tokio::test(start_paused = true)]
async fn addresses_that_guess_tokens_are_throttled_and_others_are_not() {
    let stage = AuthFixture::new().await;
    let (guesser, other) = (Some("192.0.2.1"), Some("192.0.2.2"));
    let good = format!("Token {}", stage.admin.secret.reveal());
    let neighbour = format!("Token {}", stage.resource("neighbour", "db:*:*").await);
    assert_eq!(stage.send_from(guesser, "POST", SQL, Some(&good)).await, "200 _admin");
    let mut answers = Vec::new();
    for number in 0..30 {
        let guess = format!("Bearer apiv3_{number}");
        let answer = stage.send_from(guesser, "POST", SQL, Some(&guess)).await;
        answers.push(answer.get(..3).unwrap().to_owned());
    }
    assert!(answers.iter().take(20).all(|status| status == "401"), "{answers:?}");
    assert!(answers.iter().skip(20).all(|status| status == "429"), "{answers:?}");
    assert_eq!(stage.failures("throttled"), "10");
    let before = stage.gets();
    assert_eq!(stage.send_from(guesser, "POST", SQL, Some(&good)).await, "200 _admin");
    assert_eq!(
        stage.send_from(guesser, "POST", SQL, Some(&neighbour)).await,
        "200 neighbour",
        "it never came from there before"
    );
    let new = format!("Token {}", stage.resource("new", "db:*:*").await);
    let refused = stage.send_from(guesser, "POST", SQL, Some(&new)).await;
    assert_eq!(refused, r#"429 {"error":"too many requests without a valid token"}"#);
    assert_eq!(stage.gets(), before, "a guesser makes no requests to the store");
    assert_eq!(stage.send_from(other, "POST", SQL, Some(&new)).await, "200 new");
    stage.sleep(Duration::from_secs(2)).await;
    assert_eq!(stage.send_from(guesser, "POST", SQL, Some(&new)).await, "200 new");
}

#[tokio::test(start_paused = true)]
async fn store_lookups_for_guesses_from_many_addresses_are_limited() {
    let stage = AuthFixture::new().await;
    let good = format!("Token {}", stage.admin.secret.reveal());
    stage.send("POST", SQL, Some(&good)).await;
    let before = stage.gets();
    for number in 0..200 {
        let (from, guess) = (format!("192.0.2.{number}"), format!("Bearer {number}"));
        let answer = stage.send_from(Some(&from), "POST", SQL, Some(&guess));
        let expected = if number < 50 { "401" } else { "429" };
        assert!(answer.await.starts_with(expected), "{number}");
    }
    assert_eq!(stage.gets(), before + 50);
    let from = Some("192.0.2.99");
    assert_eq!(stage.send_from(from, "POST", SQL, Some(&good)).await, "200 _admin");
}

#[tokio::test(start_paused = true)]
async fn attempts_at_the_first_token_are_counted_by_address() {
    let stage = AuthFixture::new().await;
    let first = "/api/v3/configure/token/admin";
    let attempt = async |from| {
        let answer = stage.send_from(Some(from), "POST", first, None).await;
        answer.get(..3).unwrap().to_owned()
    };
    for _ in 0..20 {
        assert_eq!(attempt("192.0.2.1").await, "200");
    }
    assert_eq!(attempt("192.0.2.1").await, "429");
    assert_eq!(attempt("192.0.2.2").await, "200");
}

#[tokio::test(start_paused = true)]
async fn web_pages_get_no_tokens() {
    let stage = AuthFixture::new().await;
    let first = "/api/v3/configure/token/admin";
    let ask = async |method: &str, path: &str, header: (&str, &str)| {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(header.0, header.1)
            .body(Body::empty());
        let (status, headers, _) = stage.answer(request.unwrap()).await;
        (status, headers.contains_key("access-control-allow-origin"))
    };
    for header in [
        ("origin", "https://example.com"),
        ("origin", "null"),
        ("sec-fetch-site", "cross-site"),
        ("sec-fetch-site", "same-site"),
    ] {
        assert_eq!(ask("POST", first, header).await, (403, false), "{header:?}");
    }
    let none = ("sec-fetch-site", "none");
    assert_eq!(ask("POST", first, none).await, (200, false));
    assert_eq!(ask("OPTIONS", first, none).await, (204, false));
    assert_eq!(ask("OPTIONS", SQL, none).await, (204, true));
}

#[tokio::test(start_paused = true)]
async fn a_caller_without_permission_is_refused_before_the_handler_runs() {
    let stage = AuthFixture::new().await;
    stage.elsewhere.create_database("db", None).await.unwrap();
    let mut tokens = Vec::new();
    for permission in ["system:*:read", "token:*:*", "db:db:read", "db:db:write", "db:db:append"] {
        let token = stage.resource(permission, permission).await;
        tokens.push(format!("Bearer {token}"));
    }
    for (path, allowed) in [
        ("/write", [false, false, false, true, true]),
        ("/api/v2/write", [false, false, false, true, true]),
        (SQL, [false, false, true, false, false]),
        ("/query", [false, false, true, true, true]),
    ] {
        for (token, allowed) in tokens.iter().zip(allowed) {
            let answer = stage.send("POST", path, Some(token)).await;
            assert_eq!(answer != FORBIDDEN, allowed, "{path} {answer}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_hanging_store_does_not_block_requests() {
    let stage = AuthFixture::new().await;
    let token = stage.admin.secret.reveal();
    assert_eq!(stage.query(token).await, "200 _admin");
    stage.sleep(Duration::from_secs(6)).await;
    let hangs = StoreFaults {
        delay: 1.0,
        longest_delay: Duration::from_secs(1_000_000),
        ..StoreFaults::default()
    };
    stage.faulty.set_faults(hangs);
    let started_at = stage.world.clock.monotonic();
    assert_eq!(stage.query(token).await, "503 the store does not answer");
    let waited = stage.world.clock.monotonic() - started_at;
    assert!(waited < Duration::from_secs(30), "{waited:?}");
}

#[tokio::test(start_paused = true)]
async fn the_origin_of_a_request_is_available_to_its_handler() {
    let stage = AuthFixture::new().await;
    let origin = async || format!("{:?}", neap_catalog::origin::current());
    let routes = Router::new().route(SQL, get(origin));
    let authenticator =
        Authenticator::new(Arc::clone(&stage.catalog), &stage.metrics, AuthSettings::default());
    let common = ServiceContext {
        cluster: ClusterId::new(Arc::clone(&stage.catalog)),
        world: stage.world.clone(),
        metrics: stage.metrics.clone(),
        access: AccessControl::Tokens(Arc::new(authenticator)),
    };
    let stage = AuthFixture { routes: with_common_layers(routes, common), ..stage };
    let bearer = format!("Bearer {}", stage.admin.secret.reveal());
    let request = Request::builder()
        .uri(SQL)
        .header(AUTHORIZATION, bearer)
        .extension(PeerAddress("192.0.2.7:4711".parse().unwrap()));
    let (_, headers, body) = stage.answer(request.body(Body::empty()).unwrap()).await;
    let id = headers["x-neap-request-id"].to_str().unwrap();
    let expected = format!(
        r#"ChangeOrigin {{ token: Some((TokenId(0), "_admin")), user: None, authority: Some(Token(TokenId(0))), address: Some("192.0.2.7"), request: "{id}" }}"#
    );
    assert_eq!(body, expected);
}

#[tokio::test]
async fn without_the_layer_requests_are_refused() {
    let routes = routes(&Metrics::default(), &World::system());
    let request = Request::builder().uri(SQL).body(Body::empty()).unwrap();
    assert_eq!(routes.oneshot(request).await.unwrap().status(), 401);
}
