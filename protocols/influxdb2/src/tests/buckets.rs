//! Buckets, and the mappings of InfluxDB 1 to them.

use neap_schema::DatabaseId;
use serde_json::{Value, json};

use super::server::{NOW, ORG, TestServer, error};

const BUCKETS: &str = "/api/v2/buckets";
const HOME: &str = "/api/v2/buckets/6e65617000000001";

/// Returns the answer of a bucket.
fn bucket(id: &str, name: &str, seconds: u64) -> Value {
    json!({
        "id": id,
        "orgID": ORG,
        "type": "user",
        "name": name,
        "retentionRules": [{ "type": "expire", "everySeconds": seconds }],
        "createdAt": NOW,
        "updatedAt": NOW,
        "labels": [],
        "links": {
            "self": format!("{BUCKETS}/{id}"),
            "org": format!("/api/v2/orgs/{ORG}"),
            "write": format!("/api/v2/write?org={ORG}&bucket={id}"),
        },
    })
}

fn names(list: &Value) -> Vec<&str> {
    let buckets = list["buckets"].as_array().unwrap();
    buckets.iter().map(|bucket| bucket["name"].as_str().unwrap()).collect()
}

#[tokio::test(start_paused = true)]
async fn a_bucket_is_created_shown_changed_and_deleted() {
    let server = TestServer::new().await;
    let new = json!({
        "orgID": ORG,
        "name": "home",
        "description": "the sensors",
        "retentionRules": [{ "type": "expire", "everySeconds": 86_400, "shardGroupDurationSeconds": 3_600 }],
    });
    let home = |seconds| bucket("6e65617000000001", "home", seconds);
    assert_eq!(server.send("POST", BUCKETS, new).await, (201, home(86_400)));
    assert_eq!(server.get(HOME).await, (200, home(86_400)));
    let (status, list) = server.get("/api/v2/buckets?org=any").await;
    assert_eq!(status, 200);
    assert_eq!(list["buckets"], json!([home(86_400)]));
    let own = "/api/v2/buckets?descending=false&limit=20&offset=0";
    assert_eq!(list["links"], json!({ "self": own }));
    let week = json!({ "name": "home", "retentionRules": [{ "everySeconds": 604_800 }] });
    assert_eq!(server.send("PATCH", HOME, week).await, (200, home(604_800)));
    let for_ever = json!({ "retentionRules": [{ "type": "expire", "everySeconds": 0 }] });
    assert_eq!(server.send("PATCH", HOME, for_ever).await, (200, home(0)));
    assert_eq!(server.send("PATCH", HOME, json!({})).await, (200, home(0)));
    assert_eq!(server.send("DELETE", HOME, Value::Null).await, (204, Value::Null));
    let missing = (404, error("not found", "bucket not found"));
    assert_eq!(server.get(HOME).await, missing);
    assert_eq!(server.send("DELETE", HOME, Value::Null).await, missing);
    // Ids are never reused.
    let again = server.send("POST", BUCKETS, json!({ "name": "home" })).await;
    assert_eq!(again, (201, bucket("6e65617000000002", "home", 0)));
}

#[tokio::test(start_paused = true)]
async fn a_renamed_bucket_is_found_by_both_names() {
    let server = TestServer::new().await;
    server.create_databases(&["home", "taken"]).await;
    let renamed = server.send("PATCH", HOME, json!({ "name": "house" })).await;
    assert_eq!(renamed, (200, bucket("6e65617000000001", "house", 0)));
    for name in ["home", "house"] {
        let (_, list) = server.get(&format!("{BUCKETS}?name={name}")).await;
        assert_eq!(names(&list), ["house"], "{name}");
    }
    let operator = format!("Token {}", server.operator());
    let path = format!("/api/v2/write?org={ORG}&bucket=home");
    assert_eq!(server.write(&operator, &path, "m v=1 1").await, 204);
    let (_, list) = server.get(BUCKETS).await;
    assert_eq!(names(&list), ["house", "taken"]);
    let conflict = server.send("PATCH", HOME, json!({ "name": "taken" })).await;
    let exists = "bucket with name taken already exists";
    assert_eq!(conflict, (422, error("conflict", exists)));
}

#[tokio::test(start_paused = true)]
async fn buckets_that_neap_cannot_have_are_refused_with_the_reason() {
    let server = TestServer::new().await;
    server.create_databases(&["home"]).await;
    let requests = r#"
        POST /api/v2/buckets {"name":"home"} ==> 422 conflict: bucket with name home already exists
        POST /api/v2/buckets {"name":"_x"} ==> 400 invalid: db name did not start with a number or letter
        POST /api/v2/buckets {"name":"x","retentionRules":[{"everySeconds":-1}]} ==> 422 unprocessable entity: expiration seconds cannot be negative
        POST /api/v2/buckets {"name":"x","retentionRules":[{"everySeconds":1},{"everySeconds":2}]} ==> 422 unprocessable entity: buckets cannot have more than one retention rule at this time
        POST /api/v2/buckets {"name":"x","schemaType":"explicit"} ==> 400 invalid: a bucket has an implicit schema: create its tables with /api/v3/configure/table
        POST /api/v2/buckets ==> 400 invalid: invalid json structure: EOF while parsing a value at line 1 column 0
        PATCH /api/v2/buckets/6e65617000000001 {"description":"x"} ==> 400 invalid: a bucket has no description
        GET /api/v2/buckets/1 ==> 400 invalid: id must have a length of 16 bytes
        GET /api/v2/buckets/000000000000000g ==> 400 invalid: invalid ID
        GET /api/v2/buckets?limit=101 ==> 400 invalid: limit must be between 1 and 100
        PUT /api/v2/buckets ==> 404 not found: Not found
    "#;
    server.assert_refusals(requests).await;
    let (_, list) = server.get(BUCKETS).await;
    assert_eq!(names(&list), ["home"]);
}

#[tokio::test(start_paused = true)]
async fn lists_have_filters_and_pages() {
    let server = TestServer::new().await;
    server.create_databases(&["a", "b", "c"]).await;
    let (_, first) = server.get("/api/v2/buckets?limit=2").await;
    assert_eq!(names(&first), ["a", "b"]);
    assert!(first["links"]["next"].is_string());
    let after = first["buckets"][1]["id"].as_str().unwrap();
    let (_, second) = server.get(&format!("/api/v2/buckets?limit=2&after={after}")).await;
    assert_eq!(names(&second), ["c"]);
    assert_eq!(second["links"].get("next"), None);
    let (_, by_name) = server.get("/api/v2/buckets?name=b&org=any&orgID=").await;
    assert_eq!(names(&by_name), ["b"]);
    let (_, by_id) = server.get("/api/v2/buckets?id=6e65617000000003").await;
    assert_eq!(names(&by_id), ["c"]);
    // Clients look for a bucket in both ways, and expect these answers.
    let (status, nothing) = server.get("/api/v2/buckets?name=x").await;
    assert_eq!((status, names(&nothing).len()), (200, 0));
    let missing = server.get("/api/v2/buckets?name=x&org=any").await;
    assert_eq!(missing, (404, error("not found", "bucket \"x\" not found")));
}

#[tokio::test(start_paused = true)]
async fn permissions_for_buckets_are_those_for_databases() {
    let server = TestServer::new().await;
    server.create_databases(&["own", "other"]).await;
    let reader = server.token("db:own:read").await;
    let creator = server.token("db:*:create").await;
    let deleter = server.token("db:own:delete").await;
    let (own, other) = ("/api/v2/buckets/6e65617000000001", "/api/v2/buckets/6e65617000000002");
    let forbidden = "unauthorized to perform requested action with the token";
    let forbidden = (403, error("forbidden", forbidden));
    let missing = (404, error("not found", "bucket not found"));
    let (_, list) = server.send_as(&reader, "GET", BUCKETS, Value::Null).await;
    assert_eq!(names(&list), ["own"]);
    let (_, list) = server.send_as(&creator, "GET", BUCKETS, Value::Null).await;
    assert_eq!(names(&list), ["own", "other"]);
    assert_eq!(server.send_as(&reader, "GET", other, Value::Null).await, missing);
    let new = json!({ "name": "new", "retentionRules": [{ "everySeconds": 60 }] });
    assert_eq!(server.send_as(&reader, "POST", BUCKETS, new.clone()).await, forbidden);
    assert_eq!(server.send_as(&creator, "POST", BUCKETS, new.clone()).await.0, 201);
    // As for databases, only an administrator changes the retention.
    assert_eq!(server.send_as(&creator, "PATCH", own, new).await, forbidden);
    assert_eq!(server.send_as(&reader, "DELETE", own, Value::Null).await, forbidden);
    assert_eq!(server.send_as(&deleter, "DELETE", other, Value::Null).await, missing);
    assert_eq!(server.send_as(&deleter, "DELETE", own, Value::Null).await.0, 204);
    let unknown = server.send_as("wrong", "GET", BUCKETS, Value::Null).await;
    let message = "the request was not authenticated";
    assert_eq!(unknown, (401, error("unauthorized", message)));
}

#[tokio::test(start_paused = true)]
async fn rows_are_written_and_deleted_by_the_id_of_a_bucket() {
    let server = TestServer::new().await;
    server.create_databases(&["own", "other"]).await;
    let operator = format!("Token {}", server.operator());
    let write = async |token: &str, bucket: &str| {
        let path = format!("/api/v2/write?org={ORG}&bucket={bucket}");
        server.write(token, &path, "m v=1 1").await
    };
    assert_eq!(write(&operator, "6e65617000000001").await, 204);
    let own = server.catalog.database_by_name("own", neap_catalog::ANY_AGE).await.unwrap();
    let tables = server.catalog.database(own.unwrap(), neap_catalog::ANY_AGE).await.unwrap();
    assert!(tables.value.table("m").is_some());
    // The id of no bucket is no name of a new one. A caller who may not know that is refused.
    assert_eq!(write(&operator, "6e656170000000ff").await, 404);
    let writer = format!("Token {}", server.token("db:own:write").await);
    assert_eq!(write(&writer, "6e65617000000001").await, 204);
    assert_eq!(write(&writer, "6e65617000000002").await, 403);
    assert_eq!(write(&writer, "6e656170000000ff").await, 403);
    let range = json!({ "start": "1970-01-01T00:00:00Z", "stop": "2100-01-01T00:00:00Z" });
    let path = "/api/v2/delete?bucketID=6e65617000000001";
    assert_eq!(server.send("POST", path, range).await.0, 204);
}

#[tokio::test(start_paused = true)]
async fn mappings_follow_from_the_names_of_databases() {
    let server = TestServer::new().await;
    server.create_databases(&["db", "db/week"]).await;
    let mapping = |id: &str, policy: &str, is_default: bool| {
        json!({
            "id": id,
            "bucketID": id,
            "orgID": ORG,
            "database": "db",
            "retention_policy": policy,
            "default": is_default,
            "virtual": true,
        })
    };
    let (db, week) = ("6e65617000000001", "6e65617000000002");
    let (autogen, weekly) = (mapping(db, "autogen", true), mapping(week, "week", false));
    for (query, expected) in [
        ("org=any", json!([autogen, weekly])),
        ("orgID=6e65617000000000&default=true", json!([autogen])),
        ("db=db&rp=week", json!([weekly])),
        ("db=other", json!([])),
        ("bucketID=6e65617000000002", json!([weekly])),
    ] {
        let answer = server.get(&format!("/api/v2/dbrps?{query}")).await;
        assert_eq!(answer, (200, json!({ "content": expected })), "{query}");
    }
    let one = server.get("/api/v2/dbrps/6e65617000000002?org=any").await;
    assert_eq!(one, (200, json!({ "content": weekly })));
    let create = async |database: &str, policy: &str, bucket: &str, default: Option<bool>| {
        let body = json!({
            "orgID": ORG,
            "bucketID": bucket,
            "database": database,
            "retention_policy": policy,
            "default": default,
        });
        server.send("POST", "/api/v2/dbrps", body).await
    };
    assert_eq!(create("db", "default", db, Some(true)).await, (201, autogen));
    assert_eq!(create("db", "week", week, None).await, (201, weekly));
    let refused = create("other", "autogen", db, None).await;
    let reason = "the bucket db is the retention policy autogen of the database db: mappings follow from names";
    assert_eq!(refused, (400, error("invalid", reason)));
    assert_eq!(create("db", "week", week, Some(true)).await.0, 400);
    assert_eq!(create("db", "week", "6e656170000000ff", None).await.0, 404);
    let delete = async |id: &str| {
        let path = format!("/api/v2/dbrps/{id}?org=any");
        server.send("DELETE", &path, Value::Null).await.0
    };
    assert_eq!(delete(week).await, 400);
    assert_eq!(delete("6e656170000000ff").await, 204);
    server
        .catalog
        .set_default_policy(DatabaseId::new(1), Some("week"))
        .await
        .unwrap();
    let defaults = server.get("/api/v2/dbrps?db=db&rp=default").await;
    let expected = json!({ "content": [mapping(week, "week", true)] });
    assert_eq!(defaults, (200, expected));
}
