use std::{fmt::Write, sync::Arc};

use datafusion::common::ScalarValue;

use super::{placeholder, placeholder_nanos};
use crate::tests::instance::QueryTestInstance;

/// The second of the first row.
const FIRST: i64 = 1_700_000_000;

/// Returns lines of five hosts in two regions, a minute apart.
fn lines() -> String {
    let line = |row: i64| {
        let (host, region) = (row % 5, row % 2);
        let time = (FIRST + 60 * row) * 1_000_000_000;
        format!("cpu,host=h{host},region=r{region} v={row},note=\"h{host}\" {time}\n")
    };
    (0..200).map(line).collect()
}

/// Returns the status and the sorted lines of an answer. A value for a placeholder, even an unused one, keeps the statement
/// from using the cache.
async fn answer(one: &QueryTestInstance, sql: &str, is_cached: bool) -> (u16, Vec<String>) {
    let mut body = serde_json::json!({"db": "db", "q": sql, "format": "csv"});
    if !is_cached {
        body["params"] = serde_json::json!({"unused": 1});
    }
    let (status, text) = one.post(body).await;
    let mut rows: Vec<String> = text.lines().map(str::to_owned).collect();
    rows.sort_unstable();
    (status, rows)
}

/// Numbers that look random, the same in each run.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % limit
    }

    fn one_of<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())]
    }

    /// Replaces `{h}` by a name and `{t}` by a time.
    fn fill(&mut self, template: &str) -> String {
        let mut filled = String::new();
        let mut rest = template;
        while let Some(at) = rest.find('{') {
            filled.push_str(&rest[..at]);
            if rest[at..].starts_with("{h}") {
                let name = self.one_of(&["h0", "h1", "h4", "r0", "r1", "", "it''s", "h9"]);
                filled.push_str(name);
            } else {
                let minute = self.below(240);
                let (hour, minute) = (22 + minute / 60, minute % 60);
                let (day, hour) = (14 + hour / 24, hour % 24);
                let end = self.one_of(&["", "Z", ".5", ".499999999", ".000001", "+01:00"]);
                write!(filled, "2023-11-{day}T{hour:02}:{minute:02}:20{end}").unwrap();
            }
            rest = &rest[at + 3..];
        }
        filled + rest
    }
}

const QUERIES: [&str; 10] = [
    "SELECT * FROM cpu WHERE ?",
    "SELECT time, v FROM cpu WHERE ? ORDER BY time DESC LIMIT 1000",
    "SELECT host, max(v) AS m, count(*) FROM cpu WHERE ? GROUP BY host HAVING count(*) > 1",
    "SELECT date_bin(INTERVAL '10 minutes', time) AS t, avg(v) FROM cpu WHERE ? GROUP BY t",
    "SELECT date_bin_gapfill(INTERVAL '10 minutes', time) AS t, avg(v) FROM cpu \
     WHERE time >= '2023-11-14T22:00:00' AND time < '{t}' AND ? GROUP BY t",
    "SELECT DISTINCT host, region FROM cpu WHERE ?",
    "SELECT host = '{h}' AS same, count(*) FROM cpu WHERE ? GROUP BY same",
    "SELECT x.host, x.m FROM (SELECT host, min(v) AS m FROM cpu WHERE ? GROUP BY host) AS x WHERE x.host = '{h}'",
    "WITH c AS (SELECT * FROM cpu WHERE host = '{h}') SELECT count(*), sum(v) FROM c WHERE ?",
    "SELECT count(DISTINCT host) FROM cpu WHERE ? AND v < (SELECT max(v) FROM cpu WHERE host = '{h}')",
];

const CONDITIONS: [&str; 34] = [
    "host = '{h}'",
    "host IN ('{h}', '{h}', 'h2')",
    "host IN ('{h}', '{h}', '{h}', '{h}', '{h}')",
    "host NOT IN ('{h}')",
    "host <> '{h}'",
    "NOT (host = '{h}')",
    "(host = '{h}' OR region = '{h}')",
    "(host = '{h}' OR v > 7)",
    "region >= '{h}'",
    "note = '{h}'",
    "lower(host) = '{h}'",
    "host LIKE 'h%'",
    "region IS NOT NULL",
    "time >= '{t}'",
    "time > TIMESTAMP '{t}'",
    "time < '{t}'",
    "time <= '{t}'::timestamp",
    "time BETWEEN '{t}' AND '{t}'",
    "time >= '{t}'::timestamp(0)",
    "time < '{t}'::timestamp(3)",
    "time > '{t}'::timestamp(6)",
    "time <= '{t}'::timestamp(0)::timestamp",
    "time >= '{t}'::timestamptz",
    "time < '{t}'::date",
    "time >= '{t}'::timestamp + INTERVAL '0 seconds'",
    "time BETWEEN '{t}'::timestamp(0) AND '{t}'",
    "host = '{h}'::varchar",
    "host >= '{h}' || ''",
    "time > '2023-11-14T22:20:00Z'",
    "date_trunc('hour', time) >= '{t}'",
    "time > now() - INTERVAL '10 years'",
    "v > 20",
    "v < '90'",
    "CASE WHEN host = '{h}' THEN v > 10 ELSE true END",
];

/// The number of statements whose kept plans are compared with new ones; unset: [`USUAL_STATEMENTS`].
const STATEMENTS: &str = "NEAP_KEPT_PLANS";

const USUAL_STATEMENTS: usize = 80;

#[tokio::test]
async fn kept_plans_give_the_answers_of_new_ones() {
    let one = QueryTestInstance::with_rows(&lines()).await;
    one.flush().await;
    one.write("cpu,host=h1,region=r0 v=-1 1700000000000000000").await;
    let mut numbers = Numbers(3);
    let statements = std::env::var(STATEMENTS)
        .map(|number| number.parse().unwrap())
        .unwrap_or(USUAL_STATEMENTS);
    for _ in 0..statements {
        let count = 1 + numbers.below(3);
        let conditions: Vec<&str> = (0..count).map(|_| numbers.one_of(&CONDITIONS)).collect();
        let template = numbers.one_of(&QUERIES).replace('?', &conditions.join(" AND "));
        for _ in 0..5 {
            let sql = numbers.fill(&template);
            let kept = answer(&one, &sql, true).await;
            assert_eq!(kept, answer(&one, &sql, false).await, "{sql}");
        }
    }
    let templates = one.engine.plan_cache().templates();
    assert!(templates >= 10, "{templates} of {statements} statements");
}

#[tokio::test]
async fn plans_are_kept_of_statements_with_texts_for_placeholders() {
    let one = QueryTestInstance::with_rows(&lines()).await;
    let sql = "SELECT time, v FROM cpu WHERE host = $h AND time >= $t ORDER BY time";
    for host in ["h0", "h1", "h2", "h3", "it's"] {
        let params = serde_json::json!({"h": host, "t": "2023-11-14T23:00:00"});
        let mut body = serde_json::json!({"db": "db", "q": sql, "format": "csv", "params": params});
        let kept = one.post(body.clone()).await;
        body["params"]["unused"] = serde_json::json!(1);
        assert_eq!(kept, one.post(body).await, "{host}");
    }
    assert_eq!(one.engine.plan_cache().templates(), 1);
}

#[tokio::test]
async fn a_conversion_behind_a_text_is_part_of_its_value() {
    let one = QueryTestInstance::with_rows(&lines()).await;
    for (conversion, expected) in [("::timestamp(0)", 193), ("::timestamp", 192)] {
        for _ in 0..4 {
            let sql = format!(
                "SELECT count(*) AS n FROM cpu WHERE time >= '2023-11-14T22:20:20.5'{conversion}"
            );
            assert_eq!(one.sql(&sql).await, format!("n\n{expected}\n"), "{sql}");
        }
    }
    // A conversion to the type of the column changes nothing.
    assert_eq!(one.engine.plan_cache().templates(), 1);
}

#[tokio::test]
async fn plans_are_kept_of_repeated_queries_of_one_table() {
    let one = QueryTestInstance::with_rows(&lines()).await;
    let mut numbers = Numbers(5);
    let mut kept = 0;
    for (query, is_kept) in [
        (
            "SELECT time, v FROM cpu WHERE host = '{h}' AND time >= '{t}' AND time < '{t}'",
            true,
        ),
        (
            "SELECT date_bin(INTERVAL '1 minute', time) AS t, max(v) FROM cpu \
             WHERE host IN ('{h}', '{h}') AND time BETWEEN '{t}' AND '{t}' GROUP BY t ORDER BY t",
            true,
        ),
        ("SELECT * FROM cpu ORDER BY time DESC LIMIT 10", true),
        (
            "SELECT date_bin_gapfill(INTERVAL '1 minute', time) AS t, host, locf(max(v)) FROM cpu \
             WHERE host = '{h}' AND time >= '{t}' AND time < '{t}' GROUP BY t, host ORDER BY host, t",
            true,
        ),
        (
            "SELECT host, count(*) FROM cpu WHERE v > 5 AND time >= '{t}' GROUP BY host",
            true,
        ),
        // The optimizer combines the conditions by their values.
        (
            "SELECT date_bin_gapfill(INTERVAL '1 minute', time) AS t, count(v) FROM cpu \
             WHERE time >= '{t}' AND time >= '{t}' AND time < '2023-11-16' GROUP BY t",
            false,
        ),
        ("SELECT v FROM cpu WHERE time >= '{t}' AND time > '{t}'", false),
        ("SELECT v FROM cpu WHERE host = '{h}' AND host <> 'x'", false),
        (
            "SELECT v FROM cpu WHERE time >= '{t}' AND date_trunc('hour', time) >= '2023-11-14T23:00:00'",
            false,
        ),
        // The text is in the answer, too.
        ("SELECT host = '{h}' FROM cpu", false),
        ("SELECT v FROM cpu WHERE time > now() - INTERVAL '1 hour'", false),
        (
            "SELECT a.v FROM cpu a JOIN cpu b ON a.time = b.time WHERE a.host = '{h}'",
            false,
        ),
        (
            "SELECT table_name FROM information_schema.tables WHERE table_schema = '{h}'",
            false,
        ),
    ] {
        for _ in 0..4 {
            let sql = numbers.fill(query);
            one.sql(&sql).await;
        }
        kept += usize::from(is_kept);
        assert_eq!(one.engine.plan_cache().templates(), kept, "{query}");
    }
}

#[tokio::test]
async fn a_text_of_the_wrong_type_is_reported() {
    let one = QueryTestInstance::with_rows(&lines()).await;
    let of = |time: &str| format!("SELECT count(*) AS n FROM cpu WHERE time >= '{time}'");
    for _ in 0..3 {
        assert_eq!(one.sql(&of("2023-11-14T22:20:00")).await, "n\n193\n");
    }
    let wrong = of("yesterday");
    let (status, rows) = answer(&one, &wrong, true).await;
    assert_eq!((status, rows), answer(&one, &wrong, false).await);
    assert_eq!(status, 400);
    assert_eq!(one.sql(&of("2023-11-14T22:20:00")).await, "n\n193\n");
}

#[tokio::test]
async fn results_of_functions_are_limited_in_kept_plans() {
    let one = QueryTestInstance::with_rows(&lines()).await;
    let mut templates = 0;
    // The limit of `||` is added when a plan is executed: each side is below it, both together are not.
    let concatenation = "repeat(note, 2000000) || repeat(note, 2000000)";
    for expr in ["repeat(note, 100000000)", concatenation] {
        let sql = |host: &str| format!("SELECT length({expr}) FROM cpu WHERE host = '{host}'");
        for host in ["h1", "h2", "h3", "h4"] {
            let (status, rows) = answer(&one, &sql(host), true).await;
            assert_eq!(status, 400, "{expr}: {rows:?}");
        }
        templates += 1;
        assert_eq!(one.engine.plan_cache().templates(), templates);
    }
}

#[tokio::test]
async fn a_shape_of_influxql_has_the_rules_of_its_interface() {
    let one = QueryTestInstance::with_rows(&lines()).await;
    // Version 1 does not fill windows of integrals.
    let statement = "SELECT integral(v) FROM cpu WHERE host = 'h1' AND time >= '2023-11-14T22:00:00Z' \
                     AND time < '2023-11-15T06:00:00Z' GROUP BY time(10m)";
    let encoded = serde_urlencoded::to_string([("db", "db"), ("q", statement)]).unwrap();
    let paths = ["/query", "/api/v3/query_influxql"].map(|path| format!("{path}?{encoded}"));
    let first = [one.get(&paths[0]).await, one.get(&paths[1]).await];
    for _ in 0..3 {
        assert_eq!([one.get(&paths[0]).await, one.get(&paths[1]).await], first);
    }
}

#[test]
fn both_forms_of_a_placeholder_are_the_same_time() {
    for number in [0, 1, 999] {
        let text = ScalarValue::from(placeholder(number).as_str());
        let time = ScalarValue::TimestampNanosecond(Some(placeholder_nanos(number)), None);
        assert_eq!(text.cast_to(&time.data_type()).unwrap(), time);
    }
}

#[tokio::test]
async fn a_kept_plan_reads_what_was_written_later() {
    let one = QueryTestInstance::with_rows("cpu,host=a v=1 1700000000000000000").await;
    let sql = "SELECT * FROM cpu WHERE host = 'a' ORDER BY time";
    for _ in 0..3 {
        assert_eq!(one.sql(sql).await, "host,time,v\na,2023-11-14T22:13:20,1.0\n");
    }
    // Rows, columns and sections.
    one.write("cpu,host=a v=2,w=3i 1700000060000000000").await;
    let both = "host,time,v,w\na,2023-11-14T22:13:20,1.0,\na,2023-11-14T22:14:20,2.0,3\n";
    for _ in 0..3 {
        assert_eq!(one.sql(sql).await, both);
    }
    one.flush().await;
    assert_eq!(one.sql(sql).await, both);
    one.sql("DELETE FROM cpu WHERE host = 'a' AND time < '2023-11-14T22:14:00'")
        .await;
    assert_eq!(one.sql(sql).await, "host,time,v,w\na,2023-11-14T22:14:20,2.0,3\n");
}

#[rustfmt::skip]
const INFLUXQL: [(&str, bool); 22] = [
    (
        "SELECT max(v) AS m FROM cpu WHERE (host = '{h}') AND time >= '{t}' AND time < '2023-11-16' \
         GROUP BY time(10m) FILL(none)",
        true,
    ),
    ("SELECT * FROM cpu WHERE v > 20 AND (host = '{h}' OR host = '{h}') AND time >= '{t}'", true),
    ("SELECT mean(v) FROM cpu WHERE region = '{h}' AND time < '{t}' GROUP BY host", true),
    ("SELECT v FROM cpu WHERE note = '{h}' ORDER BY time DESC LIMIT 5", true),
    // Without a window, the first time is in the answer.
    ("SELECT count(v) FROM cpu WHERE time >= '{t}'", true),
    ("SELECT last(v), * FROM cpu WHERE time <= '{t}' GROUP BY region", true),
    // Windows without rows.
    ("SELECT mean(v) FROM cpu WHERE time >= '{t}' AND time < '2023-11-16' GROUP BY time(30m)", true),
    (
        "SELECT max(v), count(note) FROM cpu WHERE time >= '{t}' AND time < '2023-11-16' AND host != '{h}' \
         GROUP BY time(20m, 5m), host FILL(previous) ORDER BY time DESC LIMIT 7 TZ('Europe/Paris')",
        true,
    ),
    (
        "SELECT sum(v) / 2 FROM cpu WHERE time >= '{t}' AND time < '2023-11-16' GROUP BY time(15m), region FILL(linear)",
        true,
    ),
    ("SELECT count(v) FROM cpu WHERE time > now() - 16w AND host = '{h}' GROUP BY time(1w) FILL(0)", true),
    ("SELECT v FROM cpu WHERE host =~ /h[12]/ AND region = '{h}'", true),
    ("SELECT v FROM cpu WHERE host != '{h}'", true),
    ("SELECT v FROM cpu WHERE time > now() - 3000w AND host = '{h}'", true),
    ("SELECT max(m) FROM (SELECT mean(v) AS m FROM cpu WHERE host = '{h}' GROUP BY region)", true),
    // The plan has a pattern that concerns the same column.
    ("SELECT v FROM cpu WHERE host =~ /h[12]/ AND host = '{h}'", false),
    // The plan has other times, too: it reads windows before the range.
    (
        "SELECT moving_average(mean(v), 2) FROM cpu WHERE time >= '{t}' AND time < '2023-11-16' GROUP BY time(10m)",
        false,
    ),
    ("SELECT v FROM cpu WHERE v > 20 OR time > now() - 1h", false),
    ("SELECT v FROM /cpu/ WHERE host = '{h}'", false),
    ("SELECT v FROM cpu, mem WHERE host = '{h}'", false),
    // No such field or table.
    ("SELECT v FROM disk WHERE host = '{h}'", false),
    ("SELECT w FROM cpu WHERE host = '{h}'", false),
    ("EXPLAIN SELECT v FROM cpu WHERE host = '{h}'", false),
];

#[tokio::test]
async fn kept_plans_of_influxql_give_the_answers_of_new_ones() {
    let (store, clock) = QueryTestInstance::memory_store();
    let one = QueryTestInstance::new(Arc::clone(&store), Arc::clone(&clock)).await;
    one.write(&lines()).await;
    one.flush().await;
    one.write("cpu,host=h1,region=r0 v=-1 1700000000000000000").await;
    let mut numbers = Numbers(11);
    let mut kept = 0;
    for (query, is_kept) in INFLUXQL {
        for _ in 0..4 {
            let statement = numbers.fill(query).replace("''", "\\'");
            let encoded = serde_urlencoded::to_string([("db", "db"), ("q", &statement)]).unwrap();
            let path = format!("/query?{encoded}");
            // Another process has no plans.
            let other = QueryTestInstance::new(Arc::clone(&store), Arc::clone(&clock)).await;
            assert_eq!(one.get(&path).await, other.get(&path).await, "{statement}");
        }
        kept += usize::from(is_kept);
        assert_eq!(one.engine.plan_cache().templates(), kept, "{query}");
    }
}

#[tokio::test]
async fn a_table_that_is_created_later_gets_a_kept_plan() {
    let one = QueryTestInstance::with_rows(&lines()).await;
    let statement = "SELECT v FROM disk WHERE host = 'a'";
    let encoded = serde_urlencoded::to_string([("db", "db"), ("q", statement)]).unwrap();
    let path = format!("/query?{encoded}");
    for _ in 0..6 {
        one.get(&path).await;
    }
    assert_eq!(one.engine.plan_cache().templates(), 0);
    one.write("disk,host=a v=1 1700000000000000000").await;
    for _ in 0..3 {
        one.get(&path).await;
    }
    assert_eq!(one.engine.plan_cache().templates(), 1);
}
