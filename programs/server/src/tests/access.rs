//! Tests of the access rules for every endpoint and every kind of token and user, on the assembled server.

mod requests;

use std::collections::BTreeMap;

use neap_catalog::{
    ANY_AGE, HardDelete, NewRole, NewTrigger, NewUser, TokenId, TriggerSpecification,
};
use neap_schema::OnDuplicate;

pub(super) use self::requests::AccessRule;
use self::requests::{
    AccessCase, configuring, console, other_protocols, processing, querying, remaining, writing,
};
use super::ServerUnderTest;

const SERVE: [&str; 4] = ["--object-store", "memory", "--user-auth-type", "basic"];

/// The password of all users.
const PASSWORD: &str = "correct horse";

/// A server with tokens of every kind, and users of every role. Some tokens grant access to the databases `own` and `gone`, which keep earlier
/// rows, so that tokens may append to them; `gone` is dropped.
/// Other tokens grant access to `other`.
pub(super) struct AuthTestServer {
    pub(super) served: ServerUnderTest,
    /// Token secrets by permission, and access tokens of users by `user:` and the role.
    pub(super) tokens: BTreeMap<String, String>,
    /// Name of the database `gone` after it was dropped.
    gone: String,
}

/// Returns the permissions of the non-administrator tokens.
fn permissions() -> Vec<String> {
    let mut all = Vec::new();
    for action in ["read", "write", "append", "create", "describe", "delete"] {
        all.push(format!("db:own,gone:{action}"));
        all.push(format!("db:*:{action}"));
    }
    for actions in ["read,write", "read,append"] {
        all.push(format!("db:own,gone:{actions}"));
    }
    all.push("db:other:*".to_owned());
    for endpoint in ["health", "metrics", "ping", "ready"] {
        all.push(format!("system:{endpoint}:read"));
    }
    for action in ["read", "create", "delete"] {
        all.push(format!("token:*:{action}"));
    }
    for action in ["read", "create", "update", "delete"] {
        all.push(format!("user:*:{action}"));
    }
    all
}

/// Creates a user for each role, and signs the users in.
async fn sign_in_users(served: &ServerUnderTest) -> BTreeMap<String, String> {
    let catalog = &served.app.catalog;
    for (name, permission) in
        [("own", "db:own,gone:read,write"), ("appender", "db:own,gone:append")]
    {
        let role = NewRole {
            name: name.to_owned(),
            description: None,
            permissions: vec![permission.parse().unwrap()],
        };
        catalog.create_role(&role, None).await.unwrap();
    }
    let service = served.app.writes.as_ref().unwrap();
    let identity = service.identity().unwrap();
    let hash = identity.hash_password(PASSWORD).await.unwrap();
    let root = catalog.root(ANY_AGE).await.unwrap().value;
    let mut tokens = BTreeMap::new();
    for role in root.roles() {
        let new = NewUser {
            name: role.entry.name.clone(),
            password: Some(hash.clone()),
            roles: [role.id].into(),
            ..NewUser::default()
        };
        catalog.create_user(&new, None).await.unwrap();
        let signed_in = identity.sign_in(&new.name, PASSWORD, "test").await;
        let token = signed_in.unwrap().access_token;
        tokens.insert(format!("user:{}", new.name), token);
    }
    tokens
}

impl AuthTestServer {
    pub(super) async fn new() -> Self {
        let served = ServerUnderTest::new(&SERVE).await;
        let catalog = &served.app.catalog;
        let mut tokens = BTreeMap::new();
        for name in ["own", "gone", "other"] {
            let id = catalog.create_database(name, None).await.unwrap();
            if name != "other" {
                catalog.set_on_duplicate(id, OnDuplicate::Keep).await.unwrap();
            }
            catalog.create_table(id, "m", &[], &[]).await.unwrap();
            catalog.create_trigger(id, &for_requests(name)).await.unwrap();
        }
        let admin = catalog.create_admin_token().await.unwrap();
        tokens.insert("admin".to_owned(), admin.secret.reveal().to_owned());
        let by = Some(TokenId::OPERATOR.into());
        let named = catalog.create_named_admin("named", None, by).await.unwrap();
        tokens.insert("named".to_owned(), named.secret.reveal().to_owned());
        for permission in permissions() {
            let asked = [permission.parse().unwrap()];
            let created = catalog.create_resource_token(&permission, &asked, None, by);
            let secret = created.await.unwrap().secret.reveal().to_owned();
            tokens.insert(permission, secret);
        }
        tokens.extend(sign_in_users(&served).await);
        let id = catalog.delete_database("gone", HardDelete::Never).await.unwrap();
        let root = catalog.root(ANY_AGE).await.unwrap();
        let gone = root.value.databases()[&id].name.clone();
        Self { served, tokens, gone }
    }

    /// Sends a request and returns status and body. The body is sent as JSON if it starts with `{`.
    pub(super) async fn send(
        &self,
        token: Option<&str>,
        method: &str,
        path: &str,
        body: &str,
    ) -> (u16, String) {
        let mut headers = Vec::new();
        let bearer = token.map(|token| format!("Bearer {}", self.tokens[token]));
        headers.extend(bearer.as_ref().map(|bearer| ("authorization", bearer.as_str())));
        if body.starts_with('{') {
            headers.push(("content-type", "application/json"));
        }
        self.served.send(method, path, &headers, body).await
    }
}

/// Creates a request trigger on a path equal to its name.
fn for_requests(name: &str) -> NewTrigger {
    NewTrigger::new(name, "missing.py", TriggerSpecification::RequestPath { path: name.to_owned() })
}

const UNAUTHENTICATED: &str = r#"{"error": "the request was not authenticated"}"#;
const FORBIDDEN: &str = r#"{"error": "unauthorized to perform requested action with the token"}"#;
const V2_UNAUTHENTICATED: &str =
    r#"{"code":"unauthorized","message":"the request was not authenticated"}"#;
const V2_FORBIDDEN: &str =
    r#"{"code":"forbidden","message":"unauthorized to perform requested action with the token"}"#;

/// Returns whether a path is one of InfluxDB 2. Writes and deletes are those of InfluxDB 3.
fn is_of_influxdb2(path: &str) -> bool {
    let endpoint = path.split('?').next().unwrap_or_default();
    endpoint.starts_with("/api/v2/") && !["/api/v2/write", "/api/v2/delete"].contains(&endpoint)
}

/// Returns whether an answer has the text of a refusal on its path, if it is one.
fn has_refusal_text(path: &str, status: u16, answer: &str) -> bool {
    match (status, is_of_influxdb2(path)) {
        (401, true) => answer == V2_UNAUTHENTICATED,
        (401, false) => answer == UNAUTHENTICATED,
        (403, true) => answer == V2_FORBIDDEN,
        (403, false) => answer == FORBIDDEN,
        _ => true,
    }
}

async fn check(rows: Vec<AccessCase>) {
    let guarded = AuthTestServer::new().await;
    let tokens: Vec<_> = guarded.tokens.keys().map(String::as_str).map(Some).collect();
    let mut number = 0;
    let mut wrong = Vec::new();
    for (method, path, body, may, status) in rows {
        for token in tokens.iter().copied().chain([None]) {
            number += 1;
            let path = path.replace("{gone}", &guarded.gone).replace("{n}", &number.to_string());
            let (got, answer) = guarded.send(token, method, &path, body).await;
            let expected = match token {
                _ if may.holds(token) => status,
                Some(_) => 403,
                None => 401,
            };
            if got != expected || !has_refusal_text(&path, got, &answer) {
                let token = token.unwrap_or("no token");
                wrong.push(format!(
                    "{method} {path} {body} {token}: {got} {answer}, expected {expected}"
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test]
async fn write_requests_follow_the_access_rules() {
    check(writing()).await;
}

#[tokio::test]
async fn query_requests_follow_the_access_rules() {
    check(querying()).await;
}

/// The bodies of errors are those of the protocols, so only statuses are compared, except with InfluxDB 2.
#[tokio::test]
async fn requests_of_other_protocols_follow_the_access_rules() {
    let guarded = AuthTestServer::new().await;
    let tokens: Vec<_> = guarded.tokens.keys().map(String::as_str).collect();
    let mut wrong = Vec::new();
    for (method, path, body, may) in other_protocols() {
        for token in tokens.iter().copied().map(Some).chain([None]) {
            let (got, answer) = guarded.send(token, method, &path, body).await;
            let is_right = match token {
                _ if may.holds(token) => ![401, 403].contains(&got),
                Some(_) => got == 403,
                None => got == 401,
            };
            let has_text = !is_of_influxdb2(&path) || has_refusal_text(&path, got, &answer);
            if !is_right || !has_text {
                let token = token.unwrap_or("no token");
                wrong.push(format!("{method} {path} {token}: {got} {answer}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test]
async fn configuration_requests_follow_the_access_rules() {
    check(configuring()).await;
}

#[tokio::test]
async fn console_requests_follow_the_access_rules() {
    check(console()).await;
}

#[tokio::test]
async fn plugin_requests_follow_the_access_rules() {
    check(processing()).await;
}

#[tokio::test]
async fn other_requests_follow_the_access_rules() {
    check(remaining()).await;
}

#[tokio::test]
async fn the_first_token_is_created_without_authentication_and_only_once() {
    let guarded = AuthTestServer::new().await;
    for token in [Some("admin"), Some("db:own,gone:read"), None] {
        for (path, expected) in [("/api/v3/configure/token/admin", 409), ("/api/v2/setup", 422)] {
            let (status, _) = guarded.send(token, "POST", path, "").await;
            assert_eq!(status, expected, "{path} {token:?}");
        }
    }
}

#[tokio::test]
async fn permission_to_drop_a_database_does_not_allow_undeleting_it_under_another_name() {
    let guarded = AuthTestServer::new().await;
    let undelete = async |token: &str, name: &str| {
        let path = format!("/api/v3/configure/database/undelete?db=gone&name={name}");
        guarded.send(Some(token), "POST", &path, "").await.0
    };
    assert_eq!(undelete("db:own,gone:delete", "payments").await, 403);
    assert_eq!(undelete("db:*:delete", "payments").await, 403);
    assert_eq!(undelete("db:own,gone:delete", "gone").await, 200);
}

#[tokio::test]
async fn administrators_alone_replace_the_operator_token() {
    let guarded = AuthTestServer::new().await;
    let path = "/api/v3/configure/token/admin/regenerate";
    let others = guarded.tokens.keys().filter(|name| name.contains(':'));
    for token in others.filter(|name| *name != "user:Admin") {
        let answer = guarded.send(Some(token), "POST", path, "").await;
        assert_eq!(answer, (403, FORBIDDEN.to_owned()), "{token}");
    }
    assert_eq!(guarded.send(None, "POST", path, "").await.0, 401);
    assert_eq!(guarded.send(Some("named"), "POST", path, "").await.0, 201);
    let old = guarded.send(Some("admin"), "GET", "/ping", "").await;
    assert_eq!(old, (401, UNAUTHENTICATED.to_owned()));
}

#[tokio::test]
async fn lists_show_only_databases_that_the_token_grants() {
    let guarded = AuthTestServer::new().await;
    let list = async |token: &str| {
        let path = "/api/v3/configure/database?format=csv";
        let (_, body) = guarded.send(Some(token), "GET", path, "").await;
        body.lines().skip(1).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(list("admin").await, "_internal other own");
    assert_eq!(list("db:own,gone:describe").await, "own");
    assert_eq!(list("db:other:*").await, "other");
    assert_eq!(list("db:*:write").await, "other own");
    assert_eq!(list("token:*:read").await, "");
    let (_, kept) =
        guarded.send(Some("db:other:*"), "GET", "/api/v3/configure/retention", "").await;
    assert!(kept.contains(r#""database":"other""#) && !kept.contains("own"), "{kept}");
    let all = "/api/v3/configure/retention";
    let (_, kept) = guarded.send(Some("db:*:write"), "GET", all, "").await;
    assert_eq!(kept, "[]", "a token that only writes sees no names of tables");
    let path = format!("{all}?db=own");
    let own = guarded.send(Some("db:*:write"), "GET", &path, "").await;
    assert_eq!(own.0, 403);
    assert_eq!(list("user:own").await, "own");
    assert_eq!(list("user:Member").await, "");
    assert_eq!(list("user:Auditor").await, "_internal other own");
    let path = "/api/v3/configure/retention?db=own";
    assert_eq!(guarded.send(Some("db:other:*"), "GET", path, "").await.0, 403);
    let (_, own) = guarded
        .send(Some("db:own,gone:describe"), "GET", "/query?q=SHOW+DATABASES", "")
        .await;
    assert!(own.contains(r#"[["own"]]"#), "{own}");
}

#[tokio::test]
async fn a_token_loses_access_to_a_dropped_database_and_gains_none_to_its_namesake() {
    let guarded = AuthTestServer::new().await;
    let write = async || {
        let path = "/api/v3/write_lp?db=own";
        let token = Some("db:own,gone:write");
        guarded.send(token, "POST", path, "m v=1 1").await.0
    };
    assert_eq!(write().await, 204);
    let path = "/api/v3/configure/database?db=own";
    assert_eq!(guarded.send(Some("admin"), "DELETE", path, "").await.0, 200);
    assert_eq!(write().await, 403);
    let path = "/api/v3/configure/database";
    let created = guarded.send(Some("admin"), "POST", path, r#"{"db":"own"}"#).await;
    assert_eq!(created.0, 200);
    assert_eq!(write().await, 403);
}

#[tokio::test]
async fn changes_are_recorded_with_their_author() {
    let guarded = AuthTestServer::new().await;
    let path = "/api/v3/configure/database";
    let created = guarded.send(Some("db:*:create"), "POST", path, r#"{"db":"new"}"#).await;
    assert_eq!(created.0, 200);
    let root = guarded.served.app.catalog.root(ANY_AGE).await.unwrap();
    let entry = root.value.audit().last().unwrap();
    assert_eq!((entry.action.as_str(), entry.target.as_str()), ("create database", "new"));
    assert_eq!(entry.who.as_deref(), Some("db:*:create"));
    assert!(entry.request_id.is_some());
    let query = "/query?q=CREATE+DATABASE+newer";
    assert_eq!(guarded.send(Some("db:*:create"), "POST", query, "").await.0, 200);
    let root = guarded.served.app.catalog.root(ANY_AGE).await.unwrap();
    let entry = root.value.audit().last().unwrap();
    assert_eq!(entry.target, "newer");
    assert_eq!(entry.who.as_deref(), Some("db:*:create"));
}
