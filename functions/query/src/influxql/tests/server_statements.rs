//! Statements about the server.

use serde_json::{Value, json};

use super::{QueryTestInstance, home};
use crate::{QueryError, QueryRequest};

/// The query as `SHOW QUERIES` lists it, without its duration.
async fn queries(one: &QueryTestInstance) -> Vec<Value> {
    let body = one.v1(&[("q", "SHOW QUERIES")]).await;
    let answer: Value = serde_json::from_str(&body).unwrap();
    let mut rows = answer["results"][0]["series"][0]["values"]
        .as_array()
        .cloned()
        .unwrap_or_default();
    for row in &mut rows {
        row.as_array_mut().unwrap().remove(3);
    }
    rows
}

#[tokio::test]
async fn a_running_query_is_listed_and_killed() {
    let one = home().await;
    assert_eq!(queries(&one).await, Vec::<Value>::new());
    // Its rows come in many batches.
    let text = "SELECT value FROM generate_series(1, 1000000)";
    let request = QueryRequest::new(text);
    let database = one.engine.find_database("db").await.unwrap();
    let mut rows = one.engine.query(database, request).await.unwrap();
    let listed = queries(&one).await;
    let number = listed[0][0].as_u64().unwrap();
    assert_eq!(listed, [json!([number, text, "db", "running"])]);
    let killed = one.change(&format!("KILL QUERY {number}")).await.1;
    assert_eq!(killed, "{\"results\":[{\"statement_id\":0}]}\n");
    let mut last = None;
    // A batch that was computed before arrives first.
    while let Some(batch) = futures::StreamExt::next(&mut rows.batches).await {
        last = Some(batch);
    }
    assert!(matches!(last, Some(Err(QueryError::Killed))), "{last:?}");
    assert_eq!(queries(&one).await, Vec::<Value>::new());
    let again = one.change(&format!("KILL QUERY {number}")).await.1;
    assert_contains!(again, &format!("no such query id: {number}"));
}

#[tokio::test]
async fn the_server_is_described_without_shards() {
    let one = home().await;
    for q in [
        "SHOW SHARDS",
        "SHOW SHARD GROUPS",
        "SHOW SUBSCRIPTIONS",
        "SHOW USERS",
        "SHOW STATS FOR 'runtime'",
    ] {
        assert_eq!(one.ask(q).await, "", "{q}");
    }
    let stats = one.ask("SHOW STATS").await;
    assert!(stats.contains(r#""name":"queryExecutor","columns":["queriesActive","queriesExecuted","queriesFinished","queryDurationNs"]"#), "{stats}");
    let build = one.ask("SHOW DIAGNOSTICS FOR 'build'").await;
    assert_contains!(build, r#""name":"build","columns":["Version"]"#);
    insta::assert_snapshot!(one.ask("KILL QUERY 1").await, @r#""error":"KILL QUERY requires a POST request""#);
    let (status, body) = one.v3(json!({"db": "db", "q": "SHOW QUERIES"})).await;
    insta::assert_snapshot!(format!("{status} {body}"), @"400 error in InfluxQL statement: parsing error: invalid SHOW statement, expected DATABASES, FIELD KEYS, MEASUREMENTS, TAG KEYS, TAG VALUES, or RETENTION POLICIES following SHOW at pos 5");
}
