//! Default retention policies.

use std::time::Duration;

use neap_write::WriteOptions;
use serde_json::json;

use super::{
    QueryTestInstance, home,
    permissions::{AuthenticatedInstance, DONE},
};

/// Returns the names of the retention policies of a database, that of the default one in capitals.
async fn policies(one: &QueryTestInstance, database: &str) -> Vec<String> {
    let body = one.v1_of(database, &format!("SHOW RETENTION POLICIES ON {database}")).await;
    let answer: serde_json::Value = serde_json::from_str(&body).unwrap();
    let rows = answer["results"][0]["series"][0]["values"].as_array().unwrap();
    let names = rows.iter().map(|row| {
        let name = row[0].as_str().unwrap();
        if row[6].as_bool().unwrap() {
            name.to_uppercase()
        } else {
            name.to_owned()
        }
    });
    names.collect()
}

async fn with_week() -> QueryTestInstance {
    let one = home().await;
    one.changes("CREATE RETENTION POLICY week ON db DURATION INF REPLICATION 1 DEFAULT")
        .await;
    let body = bytes::Bytes::from_static(b"m f=1 1704096000000000000");
    one.pass(Duration::from_millis(1));
    one.service.write("db/week", body, WriteOptions::default()).await.unwrap();
    one
}

#[tokio::test]
async fn statements_without_a_policy_use_the_default_policy() {
    let one = with_week().await;
    assert_eq!(policies(&one, "db").await, ["autogen", "WEEK"]);
    let row =
        r#""series":[{"name":"m","columns":["time","f"],"values":[["2024-01-01T08:00:00Z",1]]}]"#;
    for q in ["SELECT f FROM m", "SELECT f FROM db..m", "SELECT f FROM week.m"] {
        assert_eq!(one.ask(q).await, row, "{q}");
    }
    for q in ["SELECT f FROM autogen.m", "SELECT temp FROM home", "SHOW TAG KEYS FROM home"] {
        assert_eq!(one.ask(q).await, "", "{q}");
    }
    let joined = one.ask("SELECT count(temp) FROM autogen.home, m").await;
    assert!(joined.contains("[\"1970-01-01T00:00:00Z\",4]"), "{joined}");
    assert!(one.change("SELECT f INTO copied FROM m").await.1.contains("\"result\""));
    insta::assert_snapshot!(one.ask("SHOW MEASUREMENTS").await, @r#""series":[{"name":"measurements","columns":["name"],"values":[["copied"],["m"]]}]"#);
    one.changes("DROP MEASUREMENT copied").await;
    let (_, of_v3) = one.v3(json!({"db": "db", "q": "SHOW MEASUREMENTS", "format": "csv"})).await;
    assert!(of_v3.contains("home") && !of_v3.contains(",m"), "{of_v3}");
}

#[tokio::test]
async fn the_default_policy_is_changed_and_dropped() {
    let one = with_week().await;
    one.changes("ALTER RETENTION POLICY autogen ON db DEFAULT").await;
    assert_eq!(policies(&one, "db").await, ["AUTOGEN", "week"]);
    assert_eq!(one.ask("SELECT f FROM m").await, "");
    one.changes("ALTER RETENTION POLICY \"Week\" ON db DURATION 2d DEFAULT").await;
    assert_eq!(policies(&one, "db").await, ["autogen", "WEEK"]);
    one.changes("DROP RETENTION POLICY week ON db").await;
    assert_eq!(policies(&one, "db").await, ["AUTOGEN"]);
    let refused = one.change("ALTER RETENTION POLICY week ON db DEFAULT").await.1;
    assert_contains!(refused, "retention policy not found: week");
}

#[tokio::test]
async fn a_database_is_created_with_its_default_policy() {
    let one = home().await;
    let create = "CREATE DATABASE sensors WITH DURATION 7d REPLICATION 1 NAME week";
    one.changes(create).await;
    one.changes(create).await;
    assert_eq!(policies(&one, "sensors").await, ["autogen", "WEEK"]);
    one.changes("CREATE DATABASE plain WITH DURATION 7d NAME autogen").await;
    assert_eq!(policies(&one, "plain").await, ["AUTOGEN"]);
}

#[tokio::test]
async fn continuous_queries_read_the_database_that_they_are_created_on() {
    let one = with_week().await;
    let refused =
        "CREATE CONTINUOUS QUERY cq ON db BEGIN SELECT mean(f) INTO t FROM m GROUP BY time(1m) END";
    let answer = one.change(refused).await.1;
    assert_contains!(answer, "create it ON the database of its source");
    one.changes("CREATE CONTINUOUS QUERY cq ON \"db/week\" BEGIN SELECT mean(f) INTO t FROM m GROUP BY time(1m) END")
        .await;
}

#[tokio::test]
async fn only_administrators_change_the_default_policy() {
    let guarded = AuthenticatedInstance::new().await;
    let creator = guarded.token_with("creator", &["db:*:read,create"]).await;
    let day = "CREATE RETENTION POLICY day ON db DURATION 1d REPLICATION 1";
    assert_eq!(guarded.post(&creator, day).await, DONE);
    for refused in [
        "CREATE RETENTION POLICY other ON db DURATION 1d REPLICATION 1 DEFAULT",
        "CREATE RETENTION POLICY day ON db DURATION 1d REPLICATION 1 DEFAULT",
        "ALTER RETENTION POLICY day ON db DEFAULT",
        "CREATE DATABASE new WITH NAME day",
    ] {
        let answer = guarded.post(&creator, refused).await;
        assert!(answer.starts_with("403 "), "{refused}: {answer}");
    }
    let database = guarded.0.engine.find_database("db").await.unwrap();
    let set = guarded.0.catalog.set_default_policy(database, Some("day"));
    set.await.unwrap();
    let again = format!("{day} DEFAULT");
    assert_eq!(guarded.post(&creator, &again).await, DONE);
}
