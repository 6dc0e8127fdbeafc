//! Continuous queries whose rows go to other databases.

use std::{sync::Arc, time::Duration};

use axum::{
    Extension,
    body::{Body, to_bytes},
};
use bytes::Bytes;
use http::{Request, header};
use neap_catalog::HardDelete;
use neap_http::Caller;
use neap_rollup::RefreshOutcome;
use neap_schema::DatabaseId;
use neap_write::WriteOptions;
use tower::ServiceExt;

use super::{
    form,
    permissions::{AuthenticatedInstance, DONE},
};
use crate::{
    router,
    tests::instance::{DATABASE, QueryTestInstance},
};

/// No limit.
const FOREVER: Duration = Duration::from_secs(1_000_000);

/// The times of the rows, in nanoseconds: two windows of an hour.
const TIMES: [i64; 2] = [1_699_999_200_000_000_000, 1_700_002_800_000_000_000];

impl QueryTestInstance {
    async fn post_v1(&self, q: &str) -> String {
        let request = Request::post("/query?db=db")
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(Body::from(form(&[("q", q)])));
        self.send(request.unwrap()).await.1
    }

    async fn create_continuous_query(&self, database: &str) {
        let answer = self.post_v1(&creation(database)).await;
        assert_eq!(answer.trim_end(), r#"{"results":[{"statement_id":0}]}"#);
    }

    async fn create_database(&self, name: &str) -> DatabaseId {
        self.catalog.create_database(name, None).await.unwrap()
    }

    async fn write_rows(&self, database: &str, host: &str) {
        self.pass(Duration::from_millis(1));
        let lines = TIMES.map(|time| format!("m,host={host} v=1 {time}")).join("\n");
        let written = self.service.write(database, Bytes::from(lines), WriteOptions::default());
        written.await.unwrap();
    }

    async fn refresh_only_view(&self, database: DatabaseId) -> RefreshOutcome {
        // Cached catalogs are too old afterwards.
        self.pass(Duration::from_secs(601));
        let report = self.engine.refresh_views(database, FOREVER).await.unwrap();
        report.views.into_iter().next().unwrap().1
    }

    async fn assert_current(&self, database: DatabaseId) {
        let refreshed = self.refresh_only_view(database).await;
        assert!(matches!(refreshed, RefreshOutcome::Current), "{refreshed:?}");
    }

    async fn assert_fails(&self, database: DatabaseId, reason: &str) {
        match self.refresh_only_view(database).await {
            RefreshOutcome::Failed(error) => {
                assert!(error.to_string().contains(reason), "{error}");
            }
            other => panic!("{other:?}"),
        }
    }

    /// Returns the rows in the table of the continuous query, whatever the instance permits.
    async fn totals(&self) -> String {
        let q = "SELECT host, sum FROM totals ORDER BY time, host";
        let query = form(&[("db", "target"), ("format", "csv"), ("q", q)]);
        let request = Request::get(format!("/api/v3/query_sql?{query}")).body(Body::empty());
        let unrestricted =
            router(Arc::clone(&self.engine)).layer(Extension(Caller::unrestricted()));
        let answer = unrestricted.oneshot(request.unwrap()).await.unwrap();
        let body = to_bytes(answer.into_body(), usize::MAX).await.unwrap();
        String::from_utf8(body.to_vec()).unwrap()
    }

    async fn flush_database(&self, database: DatabaseId) {
        self.pass(Duration::from_secs(60));
        self.flusher.flush(database).await.unwrap();
    }
}

fn creation(database: &str) -> String {
    format!(
        "CREATE CONTINUOUS QUERY cq ON {database} BEGIN SELECT sum(v) INTO target..totals FROM m \
         GROUP BY time(1h), host END"
    )
}

#[tokio::test]
async fn continuous_queries_of_two_databases_never_write_to_one_table() {
    let one = QueryTestInstance::alone().await;
    assert_eq!(one.create_database("db").await, DATABASE);
    one.create_database("target").await;
    let two = one.create_database("two").await;
    for (name, database) in [("db", DATABASE), ("two", two)] {
        one.write_rows(name, name).await;
        one.flush_database(database).await;
    }
    one.create_continuous_query("db").await;
    let refused = one.post_v1(&creation("two")).await;
    assert_contains!(
        refused,
        "table 'totals' gets the rows of a continuous query of another database"
    );
    one.assert_current(DATABASE).await;
    assert_eq!(one.totals().await, "host,sum\ndb,1.0\ndb,1.0\n");
    one.post_v1("DROP CONTINUOUS QUERY cq ON db").await;
    one.create_continuous_query("two").await;
}

#[tokio::test]
async fn placeholders_of_a_continuous_query_have_values() {
    let one = QueryTestInstance::alone().await;
    assert_eq!(one.create_database("db").await, DATABASE);
    one.write_rows("db", "a").await;
    let creation = "CREATE CONTINUOUS QUERY cq ON db BEGIN SELECT sum(v) INTO totals FROM m WHERE host = $host \
                    GROUP BY time(1h) END";
    let refused = one.post_v1(creation).await;
    assert!(refused.contains("Bind parameter 'host'"), "{refused}");
    let query = form(&[("db", "db"), ("q", creation), ("params", r#"{"host":"a"}"#)]);
    let request = Request::post(format!("/query?{query}")).body(Body::empty());
    let created = one.send(request.unwrap()).await;
    assert_eq!(created.0, 200, "{}", created.1);
    let shown = one.post_v1("SHOW CONTINUOUS QUERIES").await;
    assert!(shown.contains("host = 'a'"), "{shown}");
}

#[tokio::test]
async fn a_continuous_query_does_not_write_to_a_namesake_of_its_dropped_target() {
    let one = QueryTestInstance::alone().await;
    one.write_rows("db", "a").await;
    one.create_database("target").await;
    one.flush_database(DATABASE).await;
    one.create_continuous_query("db").await;
    let dropped = one.catalog.delete_database("target", HardDelete::DEFAULT);
    dropped.await.unwrap();
    one.create_database("target").await;
    one.write_rows("target", "own").await;
    one.assert_fails(DATABASE, "target").await;
    assert_eq!(
        one.sql_in(
            "target",
            "SELECT table_name FROM information_schema.tables WHERE table_schema = 'iox'"
        )
        .await,
        "table_name\nm\n"
    );
}

#[tokio::test]
async fn a_continuous_query_writes_to_another_database_as_long_as_its_creator_may() {
    let guarded = AuthenticatedInstance::new().await;
    let one = &guarded.0;
    one.create_database("target").await;
    one.write_rows("db", "a").await;
    one.flush_database(DATABASE).await;
    let permissions = ["db:db:read,write", "db:target:read,write"];
    let creator = guarded.token_with("creator", &permissions).await;
    assert_eq!(guarded.post(&creator, &creation("db")).await, DONE);

    one.assert_current(DATABASE).await;
    assert_eq!(one.totals().await, "host,sum\na,1.0\na,1.0\n");
    one.catalog.delete_token("creator", None).await.unwrap();
    one.write_rows("db", "b").await;
    one.flush_database(DATABASE).await;
    one.assert_fails(DATABASE, "may no longer read its database or write").await;
    assert_eq!(one.totals().await, "host,sum\na,1.0\na,1.0\n");
}

#[tokio::test]
async fn the_target_of_a_continuous_query_is_shown_to_callers_who_may_see_it() {
    let guarded = AuthenticatedInstance::new().await;
    guarded.0.create_database("target").await;
    let permissions = ["db:db:read,write", "db:target:write"];
    let creator = guarded.token_with("creator", &permissions).await;
    assert_eq!(guarded.post(&creator, &creation("db")).await, DONE);
    let reader = guarded.token_with("reader", &["db:db:read"]).await;
    let shown = guarded.post(&creator, "SHOW CONTINUOUS QUERIES").await;
    assert!(shown.contains("INTO target.autogen.totals"), "{shown}");
    let shown = guarded.post(&reader, "SHOW CONTINUOUS QUERIES").await;
    assert!(shown.contains("SELECT sum(v)") && !shown.contains("target"), "{shown}");
}
