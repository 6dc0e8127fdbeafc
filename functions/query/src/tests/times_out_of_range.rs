//! Times before the year 1677 and after 2262, which no row can have.

use super::QueryTestInstance;

/// Conditions with the numbers of the rows that fulfil them. There are three rows: one in a section, two in the tail, of which one
/// has the field `v`.
const CONDITIONS: [(&str, u32); 24] = [
    ("time >= '0001-01-01'", 3),
    ("time > '0001-01-01T00:00:00Z'", 3),
    ("time < '0001-01-01'", 0),
    ("time <= '0001-01-01'", 0),
    ("time = '0001-01-01'", 0),
    ("time <> '0001-01-01'", 3),
    ("time < '9999-12-31T23:59:59Z'", 3),
    ("time <= timestamp '9999-12-31'", 3),
    ("time > '9999-12-31'", 0),
    ("time = '2262-04-11T23:47:16.9'", 0),
    ("time < '2262-04-11T23:47:16.9'", 3),
    ("time >= '1677-09-21T00:12:43'", 3),
    ("'9999-12-31' >= time", 3),
    ("'0001-01-01' >= time", 0),
    ("NOT (time >= '0001-01-01')", 0),
    ("time BETWEEN '0001-01-01' AND '9999-12-31'", 3),
    ("time NOT BETWEEN '0001-01-01' AND '9999-12-31'", 0),
    ("time BETWEEN '0001-01-01' AND '2023-11-14T22:13:20Z'", 1),
    ("time IN ('0001-01-01', '2023-11-14T22:13:20Z')", 1),
    ("time NOT IN ('0001-01-01')", 3),
    ("time >= to_timestamp_millis(-99999999999999)", 3),
    ("time < arrow_cast('3000-01-01', 'Timestamp(Second, None)')", 3),
    ("time < DATE '3000-01-01'", 3),
    ("CASE WHEN v > 0 THEN time END < '9999-12-31'", 1),
];

#[tokio::test]
async fn all_or_no_rows_are_before_a_time_out_of_range() {
    let one = QueryTestInstance::with_rows("m w=1 1700000000000000000").await;
    one.flush().await;
    one.write("m w=1 1700000001000000000").await;
    one.write("m v=1 1700000002000000000").await;
    for (condition, rows) in CONDITIONS {
        let sql = format!("SELECT count(*) AS n FROM m WHERE {condition}");
        // Plans of repeated statements are kept.
        for _ in 0..3 {
            assert_eq!(one.sql(&sql).await, format!("n\n{rows}\n"), "{sql}");
        }
    }
}

#[tokio::test]
async fn a_kept_plan_takes_times_out_of_range() {
    let one = QueryTestInstance::with_rows("m w=1 1700000000000000000").await;
    for (time, rows) in [
        ("2023-11-14", 1),
        ("2023-11-15", 0),
        ("2023-11-16", 0),
        ("0001-01-01", 1),
        ("9999-12-31", 0),
        ("2023-11-13", 1),
    ] {
        let sql = format!("SELECT count(*) AS n FROM m WHERE time >= '{time}'");
        assert_eq!(one.sql(&sql).await, format!("n\n{rows}\n"), "{sql}");
    }
}

#[tokio::test]
async fn a_value_out_of_range_is_an_error_of_the_statement() {
    let one = QueryTestInstance::with_rows("m w=1 1700000000000000000").await;
    let pairs = "
        SELECT to_timestamp_micros(9223372036854775807) ==> a time is out of range
        SELECT CAST('3000-01-01' AS TIMESTAMP) ==> Overflow converting 3000-01-01
        SELECT date_trunc('year', TIMESTAMP '1677-09-21T00:12:44') ==> out of range after truncating
        SELECT time + INTERVAL '1000 years' FROM m ==> out of range
    ";
    for (sql, message) in neap_test_inputs::text_pairs(pairs) {
        for format in ["json", "csv", "pretty"] {
            let body = serde_json::json!({"db": "db", "q": sql, "format": format});
            let (status, text) = one.post(body).await;
            assert_eq!(status, 400, "{sql}: {text}");
            assert!(text.contains(message), "{sql}: {text}");
            assert!(!text.contains("Optimizer rule"), "{text}");
        }
    }
}
