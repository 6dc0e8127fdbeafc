//! Authorizations: tokens and their permissions.

use serde_json::{Value, json};

use super::server::{NOW, ORG, TestServer, error};

const PATH: &str = "/api/v2/authorizations";

/// Returns a permission as in requests, for a type or for one resource.
fn permission(action: &str, kind: &str, id: Option<&str>) -> Value {
    json!({ "action": action, "resource": { "type": kind, "id": id, "orgID": ORG } })
}

/// Returns a permission as in answers.
fn shown(action: &str, kind: &str) -> Value {
    json!({ "action": action, "resource": { "type": kind, "orgID": ORG, "org": "neap" } })
}

/// Returns the permissions of Neap in the token of an answer.
async fn stored(server: &TestServer, answer: &Value) -> String {
    let root = server.catalog.root(neap_catalog::ANY_AGE).await.unwrap().value;
    let hash = neap_catalog::SecretToken::new(answer["token"].as_str().unwrap()).hash();
    let entry = root.tokens().values().find(|entry| entry.hash == hash).unwrap();
    entry.permissions.named(&root)
}

/// Removes the token of an answer, and returns it.
fn take_token(answer: &mut Value) -> String {
    let token = answer.as_object_mut().unwrap().remove("token").unwrap();
    token.as_str().unwrap().to_owned()
}

#[tokio::test(start_paused = true)]
async fn a_token_is_shown_once_and_works_until_it_is_deleted() {
    let server = TestServer::new().await;
    server.create_databases(&["home"]).await;
    let home = "6e65617000000001";
    let new = json!({
        "orgID": ORG,
        "description": "sensors",
        "permissions": [permission("read", "buckets", Some(home)), permission("write", "buckets", Some(home))],
    });
    let (status, mut answer) = server.send("POST", PATH, new.clone()).await;
    assert_eq!(status, 201);
    assert_eq!(stored(&server, &answer).await, "db:home:read,write");
    let token = take_token(&mut answer);
    let on_home = |action: &str| {
        let mut permission = shown(action, "buckets");
        permission["resource"]["id"] = home.into();
        permission["resource"]["name"] = "home".into();
        permission
    };
    let expected = json!({
        "id": "746f000000000001",
        "status": "active",
        "description": "sensors",
        "orgID": ORG,
        "org": "neap",
        "userID": "746f000000000001",
        "user": "sensors",
        "permissions": [on_home("read"), on_home("write")],
        "createdAt": NOW,
        "updatedAt": NOW,
        "links": {
            "self": "/api/v2/authorizations/746f000000000001",
            "user": "/api/v2/users/746f000000000001",
        },
    });
    assert_eq!(answer, expected);
    let one = "/api/v2/authorizations/746f000000000001";
    assert_eq!(server.get(one).await, (200, expected.clone()));
    assert_eq!(server.send_as(&token, "GET", one, Value::Null).await, (200, expected.clone()));
    let (_, list) = server.send_as(&token, "GET", PATH, Value::Null).await;
    let links = json!({ "self": PATH });
    assert_eq!(list, json!({ "authorizations": [expected], "links": links }));
    // A description need not be unique, and may be absent.
    let (_, again) = server.send("POST", PATH, new).await;
    let description = again["description"].as_str().unwrap();
    assert!(description.starts_with("sensors-"), "{description}");
    let unnamed = json!({ "permissions": [permission("read", "buckets", None)] });
    let (_, unnamed) = server.send("POST", PATH, unnamed).await;
    let description = unnamed["description"].as_str().unwrap();
    assert!(description.starts_with("authorization-"), "{description}");
    assert_eq!(server.send("DELETE", one, Value::Null).await.0, 204);
    assert_eq!(server.send_as(&token, "GET", PATH, Value::Null).await.0, 401);
    let missing = (404, error("not found", "authorization not found"));
    assert_eq!(server.get(one).await, missing);
    assert_eq!(server.send("DELETE", one, Value::Null).await, missing);
}

#[tokio::test(start_paused = true)]
async fn each_permission_has_its_counterpart() {
    let server = TestServer::new().await;
    server.create_databases(&["home"]).await;
    let both = |kind: &str| vec![permission("read", kind, None), permission("write", kind, None)];
    let me = "746f000000000000";
    let all_access = [
        both("authorizations"),
        both("buckets"),
        vec![permission("read", "users", Some(me)), permission("write", "users", Some(me))],
        vec![permission("read", "orgs", Some(ORG))],
    ]
    .concat();
    let operator = [both("authorizations"), both("buckets"), both("instance"), both("users")];
    for (permissions, expected) in [
        (vec![permission("read", "buckets", None)], "db:*:read"),
        (vec![permission("write", "buckets", None)], "db:*:write,create,delete"),
        (vec![permission("write", "buckets", Some("6e65617000000001"))], "db:home:write"),
        (both("users"), "user:*:read,create,update,delete"),
        (both("any"), "*:*:*"),
        (all_access, "token:*:read,create,delete;db:*:read,write,create,delete"),
        (operator.concat(), "*:*:*"),
    ] {
        let body = json!({ "permissions": permissions });
        let (status, answer) = server.send("POST", PATH, body).await;
        assert_eq!(status, 201, "{answer}");
        assert_eq!(stored(&server, &answer).await, expected);
    }
    // The operator token is that of an administrator, which has all types.
    let (_, operator) = server.get("/api/v2/authorizations/746f000000000000").await;
    let types = ["authorizations", "buckets", "instance", "users"];
    let expected: Vec<_> = types
        .iter()
        .flat_map(|kind| [shown("read", kind), shown("write", kind)])
        .collect();
    assert_eq!(operator["permissions"], json!(expected));
}

#[tokio::test(start_paused = true)]
async fn permissions_without_a_counterpart_are_refused_with_the_reason() {
    let server = TestServer::new().await;
    server.create_databases(&["home"]).await;
    let requests = r#"
        POST /api/v2/authorizations {"permissions":[]} ==> 400 invalid: authorization must include permissions
        POST /api/v2/authorizations {"permissions":[{"action":"read","resource":{"type":"orgs","id":null,"orgID":"6e65617000000000"}}]} ==> 400 invalid: authorization must include permissions
        POST /api/v2/authorizations {"permissions":[{"action":"read","resource":{"type":"tasks","id":null,"orgID":"6e65617000000000"}}]} ==> 400 invalid: Neap has no tasks, so a token can't have permissions for them
        POST /api/v2/authorizations {"permissions":[{"action":"write","resource":{"type":"orgs","id":null,"orgID":"6e65617000000000"}}]} ==> 400 invalid: the organization can't be changed
        POST /api/v2/authorizations {"permissions":[{"action":"read","resource":{"type":"instance","id":null,"orgID":"6e65617000000000"}}]} ==> 400 invalid: permissions for type instance are those of an administrator: read and write
        POST /api/v2/authorizations {"permissions":[{"action":"read","resource":{"type":"users","id":"7573000000000009","orgID":"6e65617000000000"}}]} ==> 400 invalid: a permission for users is for all of them
        POST /api/v2/authorizations {"permissions":[{"action":"read","resource":{"type":"buckets","name":"home"}}]} ==> 400 invalid: a permission names its bucket by id; without an id, it is for all buckets
        POST /api/v2/authorizations {"permissions":[{"action":"read","resource":{"type":"buckets","id":"6e656170000000ff","orgID":"6e65617000000000"}}]} ==> 404 not found: bucket not found
    "#;
    server.assert_refusals(requests).await;
    let read = || json!([permission("read", "buckets", None)]);
    let inactive = json!({ "permissions": read(), "status": "inactive" });
    assert_eq!(server.send("POST", PATH, inactive).await.0, 400);
    let of_another = json!({ "permissions": read(), "userID": "7573000000000009" });
    assert_eq!(server.send("POST", PATH, of_another).await.0, 400);
    let of_caller = json!({ "permissions": read(), "userID": "746f000000000000" });
    assert_eq!(server.send("POST", PATH, of_caller).await.0, 201);
    let operator = "/api/v2/authorizations/746f000000000000";
    let refused = server.send("DELETE", operator, Value::Null).await;
    let message = "cannot delete operator token";
    assert_eq!(refused, (405, error("method not allowed", message)));
}

#[tokio::test(start_paused = true)]
async fn lists_show_only_tokens_that_the_caller_may_see() {
    let server = TestServer::new().await;
    server.create_databases(&["home", "secret"]).await;
    let reader = server.token("db:home:read").await;
    let other = server.token("db:secret:read").await;
    let lister = server.token("token:*:read;db:home:read").await;
    let names = async |token: &str| {
        let (_, list) = server.send_as(token, "GET", PATH, Value::Null).await;
        let all = list["authorizations"].as_array().unwrap().clone();
        assert!(all.iter().all(|one| one.get("token").is_none()));
        let description = |one: &Value| one["description"].as_str().unwrap().to_owned();
        all.iter().map(description).collect::<Vec<_>>()
    };
    assert_eq!(names(&reader).await, ["db:home:read"]);
    assert_eq!(names(&other).await, ["db:secret:read"]);
    // It may not see administrators.
    assert_eq!(
        names(&lister).await,
        ["db:home:read", "db:secret:read", "token:*:read;db:home:read"]
    );
    let (_, list) = server.send_as(&lister, "GET", PATH, Value::Null).await;
    let resource = |place: usize| &list["authorizations"][place]["permissions"][0]["resource"];
    assert_eq!(resource(0)["name"], "home");
    assert_eq!(resource(1).get("name"), None, "nor the names of other databases");
    let (_, of_user) = server.get("/api/v2/authorizations?user=db:home:read").await;
    assert_eq!(of_user["authorizations"].as_array().unwrap().len(), 1);
    let other_id = "/api/v2/authorizations/746f000000000002";
    assert_eq!(server.send_as(&reader, "GET", other_id, Value::Null).await.0, 404);
}

#[tokio::test(start_paused = true)]
async fn a_token_grants_no_more_than_it_has() {
    let server = TestServer::new().await;
    server.create_databases(&["home"]).await;
    let reader = server.token("db:home:read").await;
    let creator = server.token("token:*:create;db:home:read").await;
    let create = async |token: &str, action: &str, id: Option<&str>| {
        let body = json!({ "permissions": [permission(action, "buckets", id)] });
        server.send_as(token, "POST", PATH, body).await.0
    };
    let home = Some("6e65617000000001");
    assert_eq!(create(&reader, "read", home).await, 403);
    assert_eq!(create(&creator, "read", home).await, 201);
    assert_eq!(create(&creator, "write", home).await, 403);
    assert_eq!(create(&creator, "read", None).await, 403);
    let own = "/api/v2/authorizations/746f000000000001";
    assert_eq!(server.send_as(&creator, "DELETE", own, Value::Null).await.0, 403);
}
