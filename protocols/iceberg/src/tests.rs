//! Tests of the catalog over HTTP, on a server that requires tokens.

use std::{sync::Arc, time::Duration};

use axum::{Router, body::Body};
use http::Request;
use http_body_util::BodyExt;
use neap_bucket::{Bucket, Key, PublishedObject, PutMode, StoreConfig};
use neap_catalog::{Catalog, HardDelete, PermissionRequest, TokenId};
use neap_http::{
    AccessControl, AuthSettings, Authenticator, ClusterId, ENDPOINTS, ServiceContext,
    with_common_layers,
};
use neap_manifest::{ManifestStore, PublicationOutcome, PublicationRequest};
use neap_schema::{ColumnType, DatabaseId, TableId};
use neap_sql_changes::testing::{MemoryServer, MemoryServerSettings};
use serde_json::{Value, json};
use tower::ServiceExt;

use crate::routes::CAPABILITIES;

/// A server on a store in memory.
struct TestServer {
    bucket: Bucket,
    catalog: Arc<Catalog>,
    manifests: ManifestStore,
    routes: Router,
    operator: String,
}

impl TestServer {
    async fn new() -> Self {
        let MemoryServer { bucket, manifests, catalog, metrics, queries, .. } =
            MemoryServer::with(MemoryServerSettings::default()).unwrap();
        let config = StoreConfig { bucket: Some("data".to_owned()), ..StoreConfig::default() };
        let settings = AuthSettings::default();
        let authenticator = Authenticator::new(Arc::clone(&catalog), &metrics, settings);
        let common = ServiceContext {
            cluster: ClusterId::new(Arc::clone(&catalog)),
            world: bucket.world().clone(),
            metrics,
            access: AccessControl::Tokens(Arc::new(authenticator)),
        };
        let routes = crate::router(queries, &config);
        let operator = catalog.create_admin_token().await.unwrap();
        Self {
            bucket,
            catalog,
            manifests,
            routes: with_common_layers(routes, common),
            operator: operator.secret.reveal().to_owned(),
        }
    }

    /// Creates a token with these permissions.
    async fn token(&self, permissions: &str) -> String {
        let requests: Vec<PermissionRequest> =
            permissions.split(';').map(|permission| permission.parse().unwrap()).collect();
        let by = Some(TokenId::OPERATOR.into());
        let issued = self.catalog.create_resource_token(permissions, &requests, None, by);
        issued.await.unwrap().secret.reveal().to_owned()
    }

    async fn create_database(&self, name: &str) -> DatabaseId {
        self.catalog.create_database(name, None).await.unwrap()
    }

    async fn create_table(&self, database: DatabaseId, name: &str) -> TableId {
        let (tags, fields) = (["bed".to_owned()], [("v".to_owned(), ColumnType::Float)]);
        let created = self.catalog.create_table(database, name, &tags, &fields).await.unwrap();
        created.value.table(name).unwrap().id()
    }

    /// Publishes a table as the publisher does, with metadata that contain only a location, and returns the number.
    async fn publish(&self, database: DatabaseId, table: TableId) -> u64 {
        let base = self.manifests.read(database, None).await.unwrap();
        let version = base.version;
        let content = "content".to_owned();
        let requests = [PublicationRequest { table, content }];
        let recorded = self.manifests.record_publications(database, base, version, &requests);
        let PublicationOutcome::Recorded(publications) = recorded.await.unwrap() else {
            panic!("not recorded");
        };
        let number = publications[0].number;
        let location = format!("s3://data/{}", Key::published_table(database, table));
        let metadata = json!({ "format-version": 2, "location": location }).to_string();
        for (object, text) in [
            (PublishedObject::Metadata(number), metadata),
            (PublishedObject::VersionHint, number.to_string()),
        ] {
            let key = Key::Published(database, table, object);
            self.bucket.put(&key, text.into(), PutMode::Overwrite).await.unwrap();
        }
        number
    }

    async fn send_as(&self, token: &str, method: &str, path: &str) -> (u16, Value) {
        let request = Request::builder()
            .method(method)
            .uri(format!("/iceberg/v1/{path}"))
            .header("authorization", format!("Bearer {token}"))
            .body(Body::empty())
            .unwrap();
        let (head, body) = self.routes.clone().oneshot(request).await.unwrap().into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        if bytes.is_empty() {
            return (head.status.as_u16(), Value::Null);
        }
        assert_eq!(head.headers["content-type"], "application/json");
        (head.status.as_u16(), serde_json::from_slice(&bytes).unwrap())
    }

    async fn get(&self, path: &str) -> (u16, Value) {
        self.send_as(&self.operator, "GET", path).await
    }

    /// Returns the status of a `HEAD` request.
    async fn status_of(&self, path: &str) -> u16 {
        self.send_as(&self.operator, "HEAD", path).await.0
    }
}

fn error(code: u16, kind: &str, message: &str) -> (u16, Value) {
    let content = json!({ "code": code, "message": message, "type": kind });
    (code, json!({ "error": content }))
}

#[tokio::test]
async fn the_configuration_names_the_place_and_what_is_served() {
    let server = TestServer::new().await;
    let expected = json!({
        "defaults": { "s3.region": "us-east-1" },
        "overrides": {},
        "endpoints": [
            "GET /v1/{prefix}/namespaces",
            "GET /v1/{prefix}/namespaces/{namespace}",
            "HEAD /v1/{prefix}/namespaces/{namespace}",
            "GET /v1/{prefix}/namespaces/{namespace}/tables",
            "GET /v1/{prefix}/namespaces/{namespace}/tables/{table}",
            "HEAD /v1/{prefix}/namespaces/{namespace}/tables/{table}",
        ],
    });
    assert_eq!(server.get("config?warehouse=x").await, (200, expected));
}

#[test]
fn capabilities_are_endpoints() {
    for capability in CAPABILITIES {
        let (_, below) = capability.split_once(" /v1/{prefix}").unwrap();
        let path = format!("/iceberg/v1{below}");
        // Such an endpoint serves `HEAD`, too.
        let mut endpoints = ENDPOINTS.iter().filter(|endpoint| endpoint.method == "GET");
        let is_served = endpoints.any(|endpoint| endpoint.path == path);
        assert!(is_served, "{capability}");
    }
}

#[tokio::test]
async fn databases_are_namespaces() {
    let server = TestServer::new().await;
    for name in ["home", "garden"] {
        server.create_database(name).await;
    }
    let listed = json!({ "namespaces": [["garden"], ["home"]] });
    assert_eq!(server.get("namespaces").await, (200, listed));
    let none = json!({ "namespaces": [] });
    let below = server.get("namespaces?parent=garden").await;
    assert_eq!(below, (200, none));
    let garden = json!({ "namespace": ["garden"], "properties": {} });
    assert_eq!(server.get("namespaces/garden").await, (200, garden));
    assert_eq!(server.status_of("namespaces/garden").await, 204);
    assert_eq!(server.status_of("namespaces/wood").await, 404);
    let missing = error(404, "NoSuchNamespaceException", "query error: database not found: wood");
    for path in [
        "namespaces/wood",
        "namespaces?parent=wood",
        "namespaces/wood/tables",
        "namespaces/wood/tables/trees",
    ] {
        assert_eq!(server.get(path).await, missing, "{path}");
    }
}

#[tokio::test]
async fn the_newest_publication_of_a_table_is_loaded() {
    let server = TestServer::new().await;
    let garden = server.create_database("garden/autogen").await;
    let soil = server.create_table(garden, "soil").await;
    server.create_table(garden, "air").await;
    let tables = "namespaces/garden%2Fautogen/tables";
    let none = json!({ "identifiers": [] });
    assert_eq!(server.get(tables).await, (200, none));
    for _ in 0..2 {
        let number = server.publish(garden, soil).await;
        let location = format!("s3://data/published/iceberg/{garden}/{soil}");
        let loaded = json!({
            "metadata-location": format!("{location}/metadata/v{number}.metadata.json"),
            "metadata": { "format-version": 2, "location": location },
            "config": {},
        });
        let answer = server.get(&format!("{tables}/soil")).await;
        assert_eq!(answer, (200, loaded));
    }
    let identifier = json!({ "namespace": ["garden/autogen"], "name": "soil" });
    let listed = json!({ "identifiers": [identifier] });
    assert_eq!(server.get(tables).await, (200, listed));
    assert_eq!(server.status_of(&format!("{tables}/soil")).await, 204);
    assert_eq!(server.status_of(&format!("{tables}/air")).await, 404);
    for (name, message) in
        [("air", "table is not published: air"), ("water", "table not found: water")]
    {
        let answer = server.get(&format!("{tables}/{name}")).await;
        assert_eq!(answer, error(404, "NoSuchTableException", message));
    }
}

#[tokio::test]
async fn a_renamed_table_has_both_names_and_a_dropped_one_none() {
    let server = TestServer::new().await;
    let garden = server.create_database("garden").await;
    let soil = server.create_table(garden, "soil").await;
    server.publish(garden, soil).await;
    server.catalog.rename_table(garden, "soil", "earth").await.unwrap();
    let identifier = json!({ "namespace": ["garden"], "name": "earth" });
    let listed = json!({ "identifiers": [identifier] });
    assert_eq!(server.get("namespaces/garden/tables").await, (200, listed));
    for name in ["soil", "earth"] {
        let path = format!("namespaces/garden/tables/{name}");
        assert_eq!(server.status_of(&path).await, 204);
    }
    let dropped = server.catalog.delete_table(garden, "earth", HardDelete::Never);
    dropped.await.unwrap();
    let none = json!({ "identifiers": [] });
    assert_eq!(server.get("namespaces/garden/tables").await, (200, none));
    let path = "namespaces/garden/tables/earth";
    assert_eq!(server.status_of(path).await, 404);
}

#[tokio::test]
async fn metadata_that_are_deleted_meanwhile_make_the_reader_repeat_the_request() {
    let server = TestServer::new().await;
    let garden = server.create_database("garden").await;
    let soil = server.create_table(garden, "soil").await;
    let number = server.publish(garden, soil).await;
    let key = Key::Published(garden, soil, PublishedObject::Metadata(number));
    server.bucket.delete(&[key.to_string()]).await.unwrap();
    let (status, answer) = server.get("namespaces/garden/tables/soil").await;
    assert_eq!(status, 503);
    assert_eq!(answer["error"]["type"], "ServiceUnavailableException");
}

#[tokio::test]
async fn a_token_sees_the_databases_that_it_may_read() {
    let server = TestServer::new().await;
    for name in ["garden", "home"] {
        let database = server.create_database(name).await;
        let table = server.create_table(database, "t").await;
        server.publish(database, table).await;
    }
    let reader = server.token("db:garden:read;db:home:write").await;
    let listed = json!({ "namespaces": [["garden"]] });
    let answer = server.send_as(&reader, "GET", "namespaces").await;
    assert_eq!(answer, (200, listed));
    for path in [
        "namespaces/home",
        "namespaces?parent=home",
        "namespaces/home/tables",
        "namespaces/home/tables/t",
        // It must not learn that there is none.
        "namespaces/wood/tables/t",
    ] {
        let (status, answer) = server.send_as(&reader, "GET", path).await;
        assert_eq!(status, 403, "{path}");
        assert_eq!(answer["error"]["type"], "ForbiddenException", "{path}");
        let (status_alone, _) = server.send_as(&reader, "HEAD", path).await;
        assert_eq!(status_alone, 403, "{path}");
    }
    let writer = server.token("db:home:write").await;
    for path in ["config", "namespaces"] {
        assert_eq!(server.send_as(&writer, "GET", path).await.0, 403, "{path}");
    }
    let refused = error(401, "NotAuthorizedException", "the request was not authenticated");
    assert_eq!(server.send_as("unknown", "GET", "config").await, refused);
}

#[tokio::test]
async fn the_catalog_changes_nothing() {
    let server = TestServer::new().await;
    let garden = server.create_database("garden").await;
    let soil = server.create_table(garden, "soil").await;
    server.publish(garden, soil).await;
    for (method, path) in [
        ("POST", "namespaces"),
        ("DELETE", "namespaces/garden"),
        ("POST", "namespaces/garden/tables/soil"),
        ("DELETE", "namespaces/garden/tables/soil"),
    ] {
        let answer = server.send_as(&server.operator, method, path).await;
        assert_eq!(answer, error(404, "NotFoundException", "Not found"));
    }
    let known = server.catalog.database(garden, Duration::ZERO).await.unwrap();
    assert!(known.value.table("soil").is_some());
}
