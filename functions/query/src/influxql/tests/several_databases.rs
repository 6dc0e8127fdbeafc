//! Statements that read several databases.

use std::{collections::BTreeMap, time::Duration};

use axum::body::Body;
use bytes::Bytes;
use http::Request;
use neap_bucket::{KeyClass, Operation, OperationCounts};
use neap_distributed::Exchange;
use neap_write::WriteOptions;
use serde_json::json;

use super::form;
use crate::{QuerySettings, tests::instance::QueryTestInstance};

/// 2024-01-01T08:00:00Z, in nanoseconds since the Unix epoch.
const EIGHT: i64 = 1_704_096_000_000_000_000;

const MINUTE: i64 = 60_000_000_000;

impl QueryTestInstance {
    /// Writes lines into a database and returns their stamp.
    async fn write_into(&self, database: &str, lines: &str) -> u64 {
        self.pass(Duration::from_millis(1));
        let body = Bytes::from(lines.to_owned());
        let written = self.service.write(database, body, WriteOptions::default());
        written.await.unwrap().stamp.unwrap().as_u64()
    }

    /// Answers a GET with a header. Returns the stamp in the header `x-neap-as-of`, too.
    async fn ask_with(&self, q: &str, header: (&str, &str)) -> (Option<String>, String) {
        let query = form(&[("db", "db"), ("q", q)]);
        let request = Request::get(format!("/query?{query}"))
            .header(header.0, header.1)
            .body(Body::empty());
        let (head, body) = self.exchange(request.unwrap()).await;
        assert_eq!(head.status, 200, "{body}");
        let shown =
            head.headers.get("x-neap-as-of").map(|shown| shown.to_str().unwrap().to_owned());
        (shown, body)
    }

    /// Answers a query without a database in the request.
    async fn ask_without_database(&self, q: &str) -> String {
        self.v1(&[("q", q)]).await
    }
}

/// Writes `cpu` into `db`, `other` and `db/week`, and `mem` into `other`, with one more row each.
async fn fill(one: &QueryTestInstance) {
    for (database, base) in [("db", 1), ("other", 10), ("db/week", 100)] {
        let time = EIGHT + base * MINUTE;
        one.write_into(
            database,
            &format!("cpu,host=a v={base}i {time}\ncpu,host=b v={}i {time}", base + 1),
        )
        .await;
    }
    one.write_into("other", &format!("mem,host=a used=7i {EIGHT}")).await;
}

async fn filled() -> QueryTestInstance {
    let one = QueryTestInstance::alone().await;
    fill(&one).await;
    one
}

#[tokio::test]
async fn rows_of_one_name_are_one_series() {
    let one = filled().await;
    let grouped = one
        .ask("SELECT v FROM other..cpu, cpu, week.cpu WHERE host = 'a' GROUP BY host")
        .await;
    insta::assert_snapshot!(grouped, @r#""series":[{"name":"cpu","tags":{"host":"a"},"columns":["time","v"],"values":[["2024-01-01T08:01:00Z",1],["2024-01-01T08:10:00Z",10],["2024-01-01T09:40:00Z",100]]}]"#);
    let sums = one
        .ask("SELECT sum(v), count(v), last(v) FROM db..cpu, other..cpu, db.week.cpu GROUP BY host")
        .await;
    insta::assert_snapshot!(sums, @r#""series":[{"name":"cpu","tags":{"host":"a"},"columns":["time","sum","count","last"],"values":[["1970-01-01T00:00:00Z",111,3,100]]},{"name":"cpu","tags":{"host":"b"},"columns":["time","sum","count","last"],"values":[["1970-01-01T00:00:00Z",114,3,101]]}]"#);
    let windows = one
        .ask("SELECT sum(v) FROM cpu, other..cpu WHERE time >= '2024-01-01T08:00:00Z' AND time < '2024-01-01T08:20:00Z' GROUP BY time(5m)")
        .await;
    insta::assert_snapshot!(windows, @r#""series":[{"name":"cpu","columns":["time","sum"],"values":[["2024-01-01T08:00:00Z",3],["2024-01-01T08:05:00Z",null],["2024-01-01T08:10:00Z",21],["2024-01-01T08:15:00Z",null]]}]"#);
}

#[tokio::test]
async fn rows_of_equal_time_and_tags_have_the_order_of_their_sources() {
    let one = QueryTestInstance::alone().await;
    let rows = |name: &str| {
        let row = |n: i64| format!("m,k=a s=\"{name}{n}\",n=1i {}\n", EIGHT + n % 3);
        (0..3).map(row).collect::<String>()
    };
    for name in ["db", "b", "c"] {
        one.write_into(name, &rows(name)).await;
    }
    for names in [["db", "b", "c"], ["c", "db", "b"], ["b", "c", "db"]] {
        let sources = names.map(|name| format!("{name}..m")).join(", ");
        let expected: Vec<String> =
            (0..3).flat_map(|n| names.map(|name| format!("{name}{n}"))).collect();
        for q in [
            format!("SELECT s FROM {sources}"),
            format!("SELECT s, cumulative_sum(n) FROM {sources}").replace("s, cumu", "cumu"),
            format!("SELECT top(n, 9), s FROM {sources}"),
        ] {
            let answer: serde_json::Value =
                serde_json::from_str(&one.v1_of("db", &q).await).unwrap();
            let values = answer["results"][0]["series"][0]["values"]
                .as_array()
                .unwrap_or_else(|| panic!("{q}: {answer}"));
            assert_eq!(values.len(), 9, "{q}");
            if q.contains("cumulative") {
                continue;
            }
            let texts: Vec<String> = values
                .iter()
                .map(|row| row[row.as_array().unwrap().len() - 1].as_str())
                .map(|text| text.unwrap().to_owned())
                .collect();
            assert_eq!(texts, expected, "{q}");
        }
        let last = one.v1_of("db", &format!("SELECT first(n), s FROM {sources}")).await;
        assert!(last.contains(&format!("\"{}0\"", names[0])), "{sources}: {last}");
    }
}

#[tokio::test]
async fn patterns_select_tables_of_their_own_database() {
    let one = filled().await;
    let counted = one
        .ask("SELECT count(v), count(used) FROM /^c/, other../.*/ GROUP BY host")
        .await;
    insta::assert_snapshot!(counted, @r#""series":[{"name":"cpu","tags":{"host":"a"},"columns":["time","count","count_1"],"values":[["1970-01-01T00:00:00Z",2,null]]},{"name":"cpu","tags":{"host":"b"},"columns":["time","count","count_1"],"values":[["1970-01-01T00:00:00Z",2,null]]},{"name":"mem","tags":{"host":"a"},"columns":["time","count","count_1"],"values":[["1970-01-01T00:00:00Z",null,1]]}]"#);
    // `mem` is only in `other`.
    assert_eq!(one.ask("SELECT used FROM db../mem/, week./mem/").await, "");
    let regex = one.ask("SELECT used FROM db../mem/, other../mem/").await;
    assert!(regex.contains("7"), "{regex}");
}

#[tokio::test]
async fn subqueries_read_other_databases_than_the_statement() {
    let one = filled().await;
    for (q, sum) in [
        ("SELECT sum(m) FROM (SELECT max(v) AS m FROM other..cpu GROUP BY host)", 21),
        ("SELECT sum(m) FROM (SELECT max(v) AS m FROM cpu, other..cpu GROUP BY host)", 21),
        (
            "SELECT sum(v) FROM (SELECT v FROM other..cpu), (SELECT v FROM week.cpu), cpu",
            225,
        ),
        ("SELECT sum(v) FROM (SELECT v FROM (SELECT v FROM other..cpu), db..cpu)", 24),
    ] {
        let answer = one.ask(q).await;
        assert!(answer.contains(&format!(",{sum}]")), "{q}: {answer}");
    }
}

#[tokio::test]
async fn sources_without_a_name_are_in_the_database_of_the_request() {
    let one = filled().await;
    let q = "SELECT sum(v) FROM cpu, other..cpu";
    let sum = |answer: &str, sum: i64| assert!(answer.contains(&format!(",{sum}]")), "{answer}");
    sum(&one.v1_of("db", q).await, 24);
    sum(&one.v1_of("other", q).await, 21 + 21);
    sum(&one.v1(&[("db", "db"), ("rp", "week"), ("q", q)]).await, 222);
    sum(&one.v1_of("db", "SELECT sum(v) FROM autogen.cpu, week.cpu").await, 204);
    let named = "SELECT sum(v) FROM db..cpu, other.autogen.cpu";
    sum(&one.ask_without_database(named).await, 24);
    insta::assert_snapshot!(one.ask_without_database(q).await, @r#"{"results":[{"statement_id":0,"error":"must specify a 'db' parameter, or provide the database in the InfluxQL query"}]}"#);
}

#[tokio::test]
async fn an_unknown_database_fails_the_statement() {
    let one = filled().await;
    let mut answers = Vec::new();
    for q in [
        "SELECT v FROM cpu, nowhere..cpu",
        "SELECT v FROM nowhere..cpu, cpu",
        "SELECT v FROM cpu, (SELECT v FROM month.cpu)",
        "EXPLAIN SELECT v FROM cpu, other.month.cpu",
    ] {
        answers.push(one.ask(q).await);
    }
    insta::assert_snapshot!(answers.join("\n"), @r#"
    "error":"database not found: nowhere"
    "error":"database not found: nowhere"
    "error":"retention policy not found: month"
    "error":"retention policy not found: month"
    "#);
    let stored = one.change("SELECT v INTO x FROM cpu, nowhere..cpu").await;
    assert!(stored.1.contains("database not found: nowhere"), "{stored:?}");
    let many = |number: usize| {
        let sources = (0..number).map(|number| format!("d{number}..m"));
        format!("SELECT v FROM {}", sources.collect::<Vec<_>>().join(", "))
    };
    assert_eq!(one.ask(&many(32)).await, r#""error":"database not found: d0""#);
    assert_eq!(one.ask(&many(33)).await, r#""error":"more than 32 databases in one statement""#);
}

#[tokio::test]
async fn rows_of_several_databases_are_stored() {
    let one = filled().await;
    one.catalog.create_database("copy", None).await.unwrap();
    let copied = one
        .change("SELECT * INTO copy..:MEASUREMENT FROM cpu, other../.*/ GROUP BY *")
        .await;
    assert!(copied.1.contains(",5]"), "{copied:?}");
    for q in ["SELECT v FROM {}cpu GROUP BY *", "SELECT used FROM {}mem GROUP BY *"] {
        let copy = one.v1_of("copy", &q.replace("{}", "")).await;
        let sources = if q.contains("cpu") {
            one.v1_of("db", &q.replace("{}cpu", "cpu, other..cpu")).await
        } else {
            one.v1_of("other", &q.replace("{}", "")).await
        };
        assert_eq!(copy, sources, "{q}");
    }
}

#[tokio::test]
async fn plans_name_the_databases_of_their_tables() {
    let one = filled().await;
    let plan = one.ask("EXPLAIN SELECT sum(v) FROM cpu, db.week.cpu").await;
    for scan in ["TableScan: db.cpu", "TableScan: db/week.cpu"] {
        assert!(plan.contains(scan), "{plan}");
    }
    let analyzed = one.ask("EXPLAIN ANALYZE SELECT sum(v) FROM cpu, other..cpu").await;
    assert!(analyzed.contains("output_rows"), "{analyzed}");
    let alone = one.ask("EXPLAIN SELECT sum(v) FROM other..cpu").await;
    assert!(alone.contains("TableScan: cpu"), "{alone}");
}

#[tokio::test]
async fn all_databases_are_read_as_of_the_same_stamp() {
    let one = QueryTestInstance::alone().await;
    let first = one.write_into("db", "m v=1i 1").await;
    let second = one.write_into("other", "m v=10i 1").await;
    let third = one.write_into("db", "m v=100i 2").await;
    let fourth = one.write_into("other", "m v=1000i 2").await;
    let q = "SELECT sum(v) FROM m, other..m";
    for (stamp, sum) in [(first, 1), (second, 11), (third, 111), (fourth, 1111)] {
        let stamp = stamp.to_string();
        let (shown, answer) = one.ask_with(q, ("x-neap-as-of", &stamp)).await;
        assert!(answer.contains(&format!(",{sum}]")), "{answer}");
        // Each database reaches to a stamp of its own.
        assert_eq!(shown, None);
        let (_, answer) = one.ask_with(q, ("x-neap-stamp", &stamp)).await;
        assert!(answer.contains(",1111]"), "{answer}");
    }
    let alone = "SELECT sum(v) FROM other..m";
    let (shown, _) = one.ask_with(alone, ("x-neap-stamp", "1")).await;
    assert_eq!(shown, Some(fourth.to_string()));
}

#[tokio::test]
async fn an_allowed_age_applies_to_each_snapshot() {
    let one = filled().await;
    let q = "SELECT count(v) FROM cpu, other..cpu, db.week.cpu";
    one.ask(q).await;
    let before = one.counting.counts();
    let (_, answer) = one.ask_with(q, ("x-neap-max-staleness", "1h")).await;
    assert!(answer.contains(",6]"), "{answer}");
    let requests = one.counting.counts() - before;
    assert_eq!(requests.iter().count(), 0, "{requests:?}");
}

/// Returns the requests of a statement, by operation and kind of object.
async fn requests(one: &QueryTestInstance, q: &str) -> BTreeMap<String, u64> {
    let before = one.counting.counts();
    let answer = one.ask(q).await;
    assert!(answer.contains("values"), "{q}: {answer}");
    let counts: OperationCounts = one.counting.counts() - before;
    let requests = counts.iter().filter(|(.., count)| count.requests > 0);
    requests
        .map(|(operation, class, count)| (format!("{operation:?} {class:?}"), count.requests))
        .collect()
}

#[tokio::test]
async fn a_statement_costs_the_requests_of_each_of_its_databases() {
    let one = filled().await;
    let all = "SELECT sum(v) FROM cpu, other..cpu, db.week.cpu";
    requests(&one, all).await;
    let mut expected: BTreeMap<String, u64> = BTreeMap::new();
    for source in ["cpu", "other..cpu", "week.cpu"] {
        let alone = requests(&one, &format!("SELECT sum(v) FROM {source}")).await;
        let listings = format!("{:?} {:?}", Operation::List, KeyClass::Tail);
        assert_eq!(alone.get(&listings), Some(&1), "{alone:?}");
        for (name, number) in alone {
            *expected.entry(name).or_default() += number;
        }
    }
    assert_eq!(requests(&one, all).await, expected);
    // A database that is named several times is read once.
    let repeated =
        "SELECT sum(v) FROM cpu, db..cpu, (SELECT v FROM other..cpu), week.cpu, db.autogen.cpu";
    assert_eq!(requests(&one, repeated).await, expected);
}

#[tokio::test]
async fn kept_plans_are_not_used_for_several_databases() {
    let one = QueryTestInstance::alone().await;
    for (database, v) in [("db", 1), ("other", 2)] {
        one.write_into(database, &format!("m,k=a v={v}i {EIGHT}")).await;
        // A table that only one of them has.
        one.write_into(database, &format!("only_{database},k=a v={v}i {EIGHT}")).await;
    }
    let value = async |from: &str| {
        let answer = one.ask(&format!("SELECT v FROM {from} WHERE k = 'a'")).await;
        let answer: serde_json::Value = serde_json::from_str(&format!("{{{answer}}}")).unwrap();
        answer["series"][0]["values"][0][1].as_i64()
    };
    // Repeated, so that plans would be kept.
    for _ in 0..4 {
        assert_eq!(value("db..only_other, other..only_other").await, Some(2));
        assert_eq!(value("other..only_other, db..only_other").await, Some(2));
        assert_eq!(value("db..only_db, other..only_db").await, Some(1));
        assert_eq!(value("other..only_db, db..only_db").await, Some(1));
        assert_eq!(value("db..m, other..none").await, Some(1));
        assert_eq!(value("other..m, db..none").await, Some(2));
        assert_eq!(value("db..none, other..m").await, Some(2));
        assert_eq!(value("other..none, db..m").await, Some(1));
    }
    assert_eq!(one.engine.plan_cache().templates(), 0);
    // Statements of one database keep plans, one for each database.
    for _ in 0..4 {
        assert_eq!(value("db..m").await, Some(1));
        assert_eq!(value("other..m").await, Some(2));
    }
    assert_eq!(one.engine.plan_cache().templates(), 2);
    assert_eq!(value("db..none, other..m").await, Some(2));
    assert_eq!(value("other..none, db..m").await, Some(1));
}

#[tokio::test]
async fn several_databases_are_read_in_this_process() {
    let (store, clock) = QueryTestInstance::memory_store();
    let workers = (3, Exchange::Workers);
    let one = QueryTestInstance::distributed(store, clock, QuerySettings::default(), workers).await;
    fill(&one).await;
    one.flush().await;
    let q = "SELECT sum(v) FROM cpu, other..cpu GROUP BY host";
    let plan = one.ask(&format!("EXPLAIN {q}")).await;
    assert_contains!(plan, "not distributed: the query reads several databases");
    let sums = one.ask(q).await;
    assert!(sums.contains(",11]") && sums.contains(",13]"), "{sums}");
    let alone = one.ask("EXPLAIN SELECT sum(v) FROM cpu GROUP BY host").await;
    assert!(!alone.contains("not distributed"), "{alone}");
}

#[tokio::test]
async fn a_query_is_logged_in_each_of_its_databases() {
    let one = filled().await;
    let q = "SELECT sum(v) FROM cpu, other..cpu";
    one.ask(q).await;
    // The text has names and values of several databases.
    let hidden = "(a query of several databases)";
    for (database, text, number) in [
        ("db", hidden, 1),
        ("other", hidden, 1),
        ("db/week", hidden, 0),
        ("db", q, 0),
        ("_internal", q, 1),
    ] {
        let logged =
            format!("SELECT count(*) AS n FROM system.queries WHERE query_text = '{text}'");
        let shown = one.sql_in(database, &logged).await;
        assert_eq!(shown, format!("n\n{number}\n"), "{database} {text}");
    }
}

#[tokio::test]
async fn influxdb_3_reads_one_database() {
    let one = filled().await;
    let mut answers = String::new();
    for body in [
        json!({"db": "db", "q": "SELECT v FROM cpu, other..cpu"}),
        json!({"db": "db", "q": "SELECT v FROM db..cpu, other..cpu"}),
        json!({"q": "SELECT v FROM db..cpu, (SELECT v FROM other..cpu)"}),
        json!({"q": "EXPLAIN SELECT v FROM db..cpu, db.week.cpu"}),
    ] {
        let (status, body) = one.v3(body).await;
        answers.push_str(&format!("{status} {body}\n"));
    }
    insta::assert_snapshot!(answers, @r"
    400 can only perform queries on a single database
    400 can only perform queries on a single database
    400 can only perform queries on a single database
    400 can only perform queries on a single database
    ");
}

#[tokio::test]
async fn system_tables_are_no_measurements() {
    let one = filled().await;
    one.sql("SELECT 1").await;
    // As in InfluxDB 3, a retention policy without a database is ignored, so that this is the table `queries`.
    for q in [
        "SELECT * FROM system.\"queries\"",
        "SELECT * FROM \"system\".\"queries\"",
        "SELECT * FROM \"system.queries\"",
        "SELECT * FROM system.tables",
        "SELECT * FROM information_schema.tables",
    ] {
        let answer = one.v3(json!({"db": "db", "q": q})).await;
        assert_eq!(answer, (200, "[]".to_owned()), "{q}");
    }
    one.write_into("db", &format!("tables v=5i {EIGHT}")).await;
    let mut answers = String::new();
    for body in [
        json!({"db": "db", "q": "SELECT v FROM system.tables"}),
        json!({"q": "SELECT v FROM system.tables"}),
        json!({"db": "db", "q": "SELECT v FROM db.system.tables"}),
        json!({"q": "SELECT v FROM db.system.tables"}),
        json!({"db": "_internal", "q": "SELECT * FROM system.tables"}),
        // As in InfluxDB 3, `queries` is a keyword.
        json!({"db": "db", "q": "SELECT * FROM system.queries"}),
    ] {
        let (status, body) = one.v3(body).await;
        answers.push_str(&format!("{status} {body}\n"));
    }
    insta::assert_snapshot!(answers, @r#"
    200 [{"iox::measurement":"tables","time":"2024-01-01T08:00:00","v":5}]
    400 must specify a 'db' parameter, or provide the database in the InfluxQL query
    400 provided a database in both the parameters (db) and query string (db/system) that do not match, if providing a query that specifies the database, you can omit the 'database' parameter from your request
    404 {"error":"query error: database not found: db/system"}
    200 []
    400 error in InfluxQL statement: parsing error: invalid FROM clause, expected identifier or regular expression at pos 21
    "#);
    insta::assert_snapshot!(one.ask("SELECT * FROM system.tables").await, @r#""error":"retention policy not found: system""#);
    insta::assert_snapshot!(one.ask("SELECT * FROM cpu, system.tables").await, @r#""error":"retention policy not found: system""#);
}
