//! JSON in fields and in tags, as OpenTelemetry stores attributes: over one process, by kept plans, and over workers.

use neap_distributed::Exchange;

use super::{QueryTestInstance, distributed::Pair};

/// The documents of the rows 1 to 6. The fifth row has none.
const DOCUMENTS: [Option<&str>; 6] = [
    Some(
        r#"{"service.name":"shop","http":{"status":200,"route":"/a"},"ok":true,"tags":["x","y"]}"#,
    ),
    Some(r#"{"service.name":"shop","http":{"status":500,"route":"/b"},"ok":false}"#),
    Some(r#"{"service.name":"mail","http":{"status":404.5}}"#),
    Some("no json"),
    None,
    Some(r#"{"service.name":null,"it's":"quoted"}"#),
];

/// Writes the rows: sections, and a tail.
async fn fill(one: &QueryTestInstance) {
    for (row, document) in (1_i64..).zip(DOCUMENTS) {
        let host = if row % 2 == 1 { "a" } else { "b" };
        let time = 1_700_000_000_000_000_000 + row;
        let line = match document {
            Some(document) => {
                let tag = document.replace(',', "\\,").replace('=', "\\=").replace(' ', "\\ ");
                let field = document.replace('\\', "\\\\").replace('"', "\\\"");
                format!("spans,host={host},labels={tag} id={row}i,attributes=\"{field}\" {time}")
            }
            None => format!("spans,host={host} id={row}i {time}"),
        };
        one.write(&line).await;
        if row == 2 || row == 4 {
            one.flush().await;
        }
    }
}

/// Statements with `$` in the place of the column, with their answers as CSV.
#[rustfmt::skip]
const ANSWERS: &[(&str, &str)] = &[
    ("SELECT id FROM spans WHERE $ ->> 'service.name' = 'shop' ORDER BY id", "id\n1\n2\n"),
    ("SELECT id FROM spans WHERE host = 'a' AND 'shop' = $ ->> 'service.name' ORDER BY id", "id\n1\n"),
    (
        "SELECT id FROM spans WHERE $ ->> 'service.name' IN ('mail', 'post') OR $ ->> 'it''s' = 'quoted' ORDER BY id",
        "id\n3\n6\n",
    ),
    ("SELECT id FROM spans WHERE $ ->> 'service.name' LIKE 'sh%' ORDER BY id DESC LIMIT 1", "id\n2\n"),
    ("SELECT id FROM spans WHERE $ ->> 'service.name' IS NULL ORDER BY id", "id\n4\n5\n6\n"),
    ("SELECT id FROM spans WHERE $ ? 'service.name' ORDER BY id", "id\n1\n2\n3\n6\n"),
    ("SELECT id FROM spans WHERE json_contains($, 'http', 'route') ORDER BY id", "id\n1\n2\n"),
    ("SELECT id FROM spans WHERE json_get_bool($, 'ok') ORDER BY id", "id\n1\n"),
    ("SELECT id FROM spans WHERE json_get_int($, 'http', 'status') >= 200 ORDER BY id", "id\n1\n2\n"),
    ("SELECT id FROM spans WHERE json_get_float($, 'http', 'status') > 400 ORDER BY id", "id\n2\n3\n"),
    ("SELECT id FROM spans WHERE json_get_str($, 'service.name') || '!' = 'mail!'", "id\n3\n"),
    (
        "SELECT $ ->> 'service.name' AS name, count(*) AS n FROM spans GROUP BY $ ->> 'service.name' ORDER BY name",
        "name,n\nmail,1\nshop,2\n,3\n",
    ),
    (
        "SELECT $ ->> 'service.name' AS name, max(json_get_float($, 'http', 'status')) AS status FROM spans GROUP BY name ORDER BY name",
        "name,status\nmail,404.5\nshop,500.0\n,\n",
    ),
    ("SELECT count(DISTINCT $ ->> 'service.name') AS n FROM spans", "n\n2\n"),
    (
        "SELECT id, $ -> 'http' ->> 'route' AS route FROM spans WHERE $ -> 'http' ->> 'route' > '/a' ORDER BY route",
        "id,route\n2,/b\n",
    ),
    (
        "SELECT $ -> 'http' AS http FROM spans WHERE id = 2",
        "http\n\"{\"\"status\"\":500,\"\"route\"\":\"\"/b\"\"}\"\n",
    ),
    (
        "SELECT $ -> 'tags' ->> 0 AS first, $ -> 'tags' ->> -1 AS last FROM spans WHERE $ ? 'tags'",
        "first,last\nx,y\n",
    ),
    ("SELECT sum(($ -> 'http' -> 'status')::bigint) AS whole FROM spans", "whole\n700\n"),
    ("SELECT sum(CAST($ -> 'http' -> 'status' AS DOUBLE)) AS total FROM spans", "total\n1104.5\n"),
    (
        "SELECT id, json_length($) AS n, json_length($, 'tags') AS tags FROM spans ORDER BY id",
        "id,n,tags\n1,4,2\n2,3,\n3,2,\n4,,\n5,,\n6,2,\n",
    ),
    (
        "SELECT key, count(*) AS n FROM (SELECT unnest(json_keys($, 'http')) AS key FROM spans) AS d GROUP BY key ORDER BY key",
        "key,n\nroute,2\nstatus,3\n",
    ),
    (
        "SELECT json_get($, 'http', 'status') AS status, json_as_text($, 'tags') AS tags FROM spans WHERE id = 1",
        "status,tags\n200,\"[\"\"x\"\",\"\"y\"\"]\"\n",
    ),
    ("SELECT array_length(json_get_array($, 'tags')) AS n FROM spans WHERE id = 1", "n\n2\n"),
    (
        "SELECT one.id AS one, other.id AS other FROM spans AS one JOIN spans AS other \
         ON one.$ ->> 'service.name' = other.$ ->> 'service.name' WHERE one.id < other.id",
        "one,other\n1,2\n",
    ),
];

#[tokio::test]
async fn values_of_fields_and_tags_are_answered_everywhere() {
    let pair = Pair::new(4, Exchange::Workers).await;
    fill(&pair.local).await;
    let mut wrong = Vec::new();
    let mut distributed = 0;
    for column in ["attributes", "labels"] {
        for (sql, expected) in ANSWERS {
            let sql = sql.replace('$', column);
            let mut found = Vec::new();
            for execution in ["first", "second", "third"] {
                let body = serde_json::json!({"db": "db", "q": sql, "format": "csv"});
                found.push((execution, pair.local.post(body).await));
            }
            let answer = pair.run(&sql).await;
            distributed += usize::from(answer.workers > 0);
            found.push(("distributed", (answer.status, answer.body)));
            for (how, answer) in found {
                if answer != (200, (*expected).to_owned()) {
                    wrong.push(format!("{how}: {sql}\n{answer:?}, not {expected:?}"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(distributed > 0);
}

#[tokio::test]
async fn kept_plans_take_other_values_beside_json() {
    let one = QueryTestInstance::alone().await;
    fill(&one).await;
    for (host, expected) in [("a", "id\n1\n"), ("b", "id\n2\n"), ("a", "id\n1\n"), ("b", "id\n2\n")]
    {
        let sql = format!(
            "SELECT id FROM spans WHERE host = '{host}' AND attributes ->> 'service.name' = 'shop'"
        );
        assert_eq!(one.sql(&sql).await, expected, "{sql}");
    }
}

#[tokio::test]
async fn keys_and_values_may_be_parameters() {
    let one = QueryTestInstance::alone().await;
    fill(&one).await;
    for sql in [
        "SELECT id FROM spans WHERE attributes ->> $key = $name ORDER BY id",
        "SELECT id FROM spans WHERE json_get_str(labels, $key) = $name ORDER BY id",
    ] {
        let body = serde_json::json!({
            "db": "db", "q": sql, "format": "csv", "params": {"key": "service.name", "name": "shop"}
        });
        assert_eq!(one.post(body).await, (200, "id\n1\n2\n".to_owned()), "{sql}");
    }
}

#[tokio::test]
async fn all_formats_have_values_of_json() {
    let one = QueryTestInstance::alone().await;
    fill(&one).await;
    let sql =
        "SELECT attributes ->> 'service.name', labels -> 'http' AS http FROM spans WHERE id = 3";
    assert_eq!(
        one.sql_as(sql, "json").await,
        r#"[{"attributes ->> 'service.name'":"mail","http":"{\"status\":404.5}"}]"#
    );
    insta::assert_snapshot!(one.sql_as(sql, "pretty").await, @r#"
    +-------------------------------+------------------+
    | attributes ->> 'service.name' | http             |
    +-------------------------------+------------------+
    | mail                          | {"status":404.5} |
    +-------------------------------+------------------+
    "#);
    for format in ["parquet", "arrow"] {
        let body = serde_json::json!({"db": "db", "q": sql, "format": format});
        assert_eq!(one.post(body).await.0, 200, "{format}");
    }
}

#[tokio::test]
async fn operators_do_not_hide_the_size_of_a_statement() {
    let one = QueryTestInstance::alone().await;
    fill(&one).await;
    let mut sql = "WITH c0 AS (SELECT attributes ? 'ok' AS ok FROM spans)".to_owned();
    for number in 1..30 {
        let before = number - 1;
        sql += &format!(
            ", c{number} AS (SELECT a.ok FROM c{before} a JOIN c{before} b ON a.ok = b.ok)"
        );
    }
    sql += " SELECT count(*) FROM c29";
    let (status, text) = one.post(serde_json::json!({"db": "db", "q": sql})).await;
    assert_eq!(status, 400, "{text}");
    assert!(text.contains("tables, counting those of WITH"), "{text}");
}
