//! Permissions of token holders.

use std::sync::Arc;

use axum::body::Body;
use http::{Request, header};
use neap_http::{
    AccessControl, AuthSettings, Authenticator, ClusterId, Metrics, ServiceContext,
    with_common_layers,
};
use neap_schema::OnDuplicate;

use super::{form, home};
use crate::{router, tests::instance::QueryTestInstance};

/// An instance that requires tokens.
pub(super) struct AuthenticatedInstance(pub(super) QueryTestInstance);

impl AuthenticatedInstance {
    pub(super) async fn new() -> Self {
        let mut one = home().await;
        one.catalog.create_admin_token().await.unwrap();
        for database in ["other", "db/week"] {
            one.catalog.create_database(database, None).await.unwrap();
        }
        let metrics = Metrics::default();
        let (catalog, settings) = (Arc::clone(&one.catalog), AuthSettings::default());
        let authenticator = Authenticator::new(catalog, &metrics, settings);
        let common = ServiceContext {
            cluster: ClusterId::new(Arc::clone(&one.catalog)),
            world: one.engine.world().clone(),
            metrics,
            access: AccessControl::Tokens(Arc::new(authenticator)),
        };
        one.router = with_common_layers(router(Arc::clone(&one.engine)), common);
        Self(one)
    }

    async fn token(&self, permission: &str) -> String {
        self.token_with(permission, &[permission]).await
    }

    pub(super) async fn token_with(&self, name: &str, permissions: &[&str]) -> String {
        let permissions: Vec<_> = permissions.iter().map(|text| text.parse().unwrap()).collect();
        let catalog = &self.0.catalog;
        let created = catalog.create_resource_token(name, &permissions, None, None);
        created.await.unwrap().secret.reveal().to_owned()
    }

    pub(super) async fn post(&self, token: &str, q: &str) -> String {
        let mut request = Request::post("/query?db=db")
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(Body::from(form(&[("q", q)])))
            .unwrap();
        let value = format!("Token {token}").parse().unwrap();
        request.headers_mut().insert(header::AUTHORIZATION, value);
        let (status, body) = self.0.send(request).await;
        format!("{status} {}", body.trim_end())
    }
}

const FORBIDDEN: &str =
    r#"403 {"error": "unauthorized to perform requested action with the token"}"#;
pub(super) const DONE: &str = r#"200 {"results":[{"statement_id":0}]}"#;

#[tokio::test]
async fn a_read_token_reads_one_database_and_sees_no_other() {
    let guarded = AuthenticatedInstance::new().await;
    let reader = guarded.token("db:db:read").await;
    let post = async |q| guarded.post(&reader, q).await;
    assert!(post("SELECT count(temp) FROM home").await.starts_with("200"));
    insta::assert_snapshot!(post("SHOW DATABASES").await, @r#"200 {"results":[{"statement_id":0,"series":[{"name":"databases","columns":["name"],"values":[["db"],["db/week"]]}]}]}"#);
    insta::assert_snapshot!(post("SHOW RETENTION POLICIES ON db").await, @r#"200 {"results":[{"statement_id":0,"series":[{"name":"retention_policies","columns":["name","duration","shardGroupDuration","replicaN","futureWriteLimit","pastWriteLimit","default"],"values":[["autogen","0s","168h0m0s",1,"0s","0s",true],["week","0s","168h0m0s",1,"0s","0s",false]]}]}]}"#);
    for refused in [
        "SHOW MEASUREMENTS ON other",
        "SHOW MEASUREMENTS ON nowhere",
        "SELECT v FROM other..m",
        "SHOW MEASUREMENTS ON _internal",
        "SHOW MEASUREMENTS; SHOW MEASUREMENTS ON other",
        "CREATE DATABASE x",
        "DROP DATABASE db",
        "DROP DATABASE nowhere",
        "DROP MEASUREMENT home",
        "DELETE FROM home",
        "CREATE RETENTION POLICY x ON db DURATION 1d REPLICATION 1",
        "CREATE RETENTION POLICY x ON other DURATION 1d REPLICATION 1",
        "ALTER RETENTION POLICY x ON nowhere DURATION 1d",
        "ALTER RETENTION POLICY autogen ON db DURATION 1d",
        "DROP RETENTION POLICY week ON db",
        "SELECT temp INTO x FROM home",
        "SELECT temp INTO other..x FROM home",
        "SELECT temp INTO nowhere..x FROM home",
        "SELECT temp INTO week.x FROM home",
        "SHOW STATS",
        "SHOW DIAGNOSTICS",
        "SHOW USERS",
        "SHOW GRANTS FOR someone",
        "CREATE USER someone WITH PASSWORD 'battery staple'",
        "SET PASSWORD FOR someone = 'battery staple'",
        "DROP USER someone",
        "GRANT READ ON db TO someone",
        "GRANT ALL PRIVILEGES TO someone",
        "REVOKE READ ON db FROM someone",
        "KILL QUERY 1",
    ] {
        assert_eq!(post(refused).await, FORBIDDEN, "{refused}");
    }
    let other = post("SHOW RETENTION POLICIES ON other").await;
    assert_eq!(
        other,
        post("SHOW RETENTION POLICIES ON nowhere").await.replace("nowhere", "other")
    );
    // Statements before a refused one stay executed, and the refusal has its own result.
    insta::assert_snapshot!(post("SHOW MEASUREMENTS; DROP MEASUREMENT home").await, @r#"200 {"results":[{"statement_id":0,"series":[{"name":"measurements","columns":["name"],"values":[["home"],["units"]]}]},{"statement_id":1,"error":"unauthorized to perform requested action with the token"}]}"#);
}

#[tokio::test]
async fn changes_need_the_permissions_of_the_configuration_interface() {
    let guarded = AuthenticatedInstance::new().await;
    let writer = guarded.token("db:db:read,write").await;
    assert_eq!(guarded.post(&writer, "DELETE FROM home WHERE room = 'Kitchen'").await, DONE);
    assert_eq!(guarded.post(&writer, "DROP MEASUREMENT home").await, FORBIDDEN);
    let stored = guarded.post(&writer, "SELECT temp INTO x FROM home").await;
    assert!(stored.contains("written"), "{stored}");
    assert_eq!(guarded.post(&writer, "SELECT temp INTO other..x FROM home").await, FORBIDDEN);
    let write_only = guarded.token("db:db:write").await;
    assert_eq!(guarded.post(&write_only, "SELECT temp INTO x FROM home").await, FORBIDDEN);
    assert_eq!(guarded.post(&write_only, "DELETE FROM home").await, FORBIDDEN);
    assert_eq!(guarded.post(&write_only, "SELECT temp FROM home").await, FORBIDDEN);
    let kept = guarded.0.catalog.create_database("kept", None).await.unwrap();
    guarded.0.catalog.set_on_duplicate(kept, OnDuplicate::Keep).await.unwrap();
    let appender = guarded.token("db:db,kept:read,append").await;
    let stored = guarded.post(&appender, "SELECT temp INTO kept..x FROM home").await;
    assert!(stored.contains("written"), "{stored}");
    let replacing = guarded.post(&appender, "SELECT temp INTO x FROM home").await;
    assert!(
        replacing.starts_with("403") && replacing.contains("may only append"),
        "{replacing}"
    );
    for refused in [
        "DELETE FROM home",
        "DROP MEASUREMENT home",
        "DROP SERIES FROM home",
        "CREATE CONTINUOUS QUERY c ON db BEGIN SELECT mean(temp) INTO y FROM home GROUP BY time(1h) END",
    ] {
        assert_eq!(guarded.post(&appender, refused).await, FORBIDDEN, "{refused}");
    }
    let creator = guarded.token("db:*:create").await;
    assert_eq!(guarded.post(&creator, "CREATE DATABASE new").await, DONE);
    assert_eq!(guarded.post(&creator, "DROP DATABASE new").await, FORBIDDEN);
    let dropper = guarded.token("db:db,other:delete").await;
    assert_eq!(guarded.post(&dropper, "DROP MEASUREMENT home").await, DONE);
    assert_eq!(guarded.post(&dropper, "DROP DATABASE other").await, DONE);
    assert_eq!(guarded.post(&dropper, "DROP DATABASE new").await, FORBIDDEN);
}

#[tokio::test]
async fn each_database_of_a_statement_needs_the_permission_to_read() {
    let guarded = AuthenticatedInstance::new().await;
    let one = guarded.token("db:db:read,write").await;
    let all = guarded.token("db:db,other,db/week:read,write").await;
    for q in [
        "SELECT temp FROM home, other..home",
        "SELECT temp FROM other..home, home",
        "SELECT temp FROM /h/, other../h/",
        "SELECT temp FROM home, nowhere..home",
        "SELECT temp FROM home, _internal..home",
        "SELECT temp FROM home, (SELECT temp FROM other..home)",
        "SELECT temp FROM (SELECT temp FROM (SELECT temp FROM other..home))",
        "SELECT temp INTO x FROM home, other..home",
        "EXPLAIN SELECT temp FROM home, other..home",
        "EXPLAIN ANALYZE SELECT temp FROM home, other..home",
        "SELECT temp FROM home; SELECT temp FROM home, other..home",
    ] {
        assert_eq!(guarded.post(&one, q).await, FORBIDDEN, "{q}");
        let answer = guarded.post(&all, q).await;
        if q.contains("nowhere") || q.contains("_internal") {
            assert_eq!(answer, FORBIDDEN, "{q}")
        } else {
            assert!(answer.starts_with("200") && !answer.contains("error"), "{q}: {answer}")
        }
        let unknown = guarded.post("apiv3_unknown", q).await;
        assert!(unknown.starts_with("401"), "{q}: {unknown}");
    }
}

#[tokio::test]
async fn a_running_query_is_shown_to_those_who_see_all_its_databases() {
    let guarded = AuthenticatedInstance::new().await;
    let engine = &guarded.0.engine;
    let id = async |name| engine.known_database(name).await.unwrap().unwrap();
    let ids = vec![id("db").await, id("other").await];
    let request = crate::QueryRequest {
        text: "SELECT temp FROM home, other..home".to_owned(),
        ..crate::QueryRequest::default()
    };
    let log = engine.query_log();
    let _running = log.begin(ids, crate::request::StatementLanguage::InfluxQl, &request);
    for (permission, is_shown) in
        [("db:db:read", false), ("db:other:read", false), ("db:db,other:read", true)]
    {
        let token = guarded.token(permission).await;
        let shown = guarded.post(&token, "SHOW QUERIES").await;
        assert_eq!(shown.contains("other..home"), is_shown, "{shown}");
    }
}
