//! Conditions on one tag other than `=` and `IN` are evaluated once for each of its values, and the rows of few series are looked up.

use super::QueryTestInstance;

/// Conditions, and whether they select few of 40 hosts.
const CONDITIONS: [(&str, bool); 12] = [
    ("host ~ '^h1$'", true),
    ("host LIKE 'h1%'", true),
    ("host ~ '^(h1|h2)$' AND zone ~ 'z'", true),
    ("host > 'h8'", true),
    ("upper(host) = 'H1'", true),
    ("host IS NULL", true),
    ("coalesce(host, 'h1') = 'h1'", true),
    ("host IN ('h1', 'h2', 'h3') AND host > 'h2'", true),
    ("host <> 'h1'", false),
    ("host ~ 'h'", false),
    ("host ~ '^h1$' OR v = 3", false),
    ("host < zone", false),
];

/// Writes 41 series with 50 rows each.
async fn rows() -> QueryTestInstance {
    let one = QueryTestInstance::alone().await;
    for second in 0..50 {
        let hosts = (0..40).map(|host| format!(",host=h{host}"));
        let lines = hosts.chain([String::new()]).map(|host| {
            let time = 1_700_000_000_000_000_000 + second * 1_000_000_000_i64;
            format!("t,zone=z1{host} v={second}i {time}\n")
        });
        one.write(&lines.collect::<String>()).await;
    }
    one
}

#[tokio::test]
async fn rows_of_the_few_series_that_conditions_leave_are_looked_up() {
    let one = rows().await;
    for (condition, are_few) in CONDITIONS {
        let sql = |condition: &str| {
            format!(
                "SELECT host, sum(v) AS s, count(*) AS n FROM t WHERE {condition} GROUP BY host ORDER BY host"
            )
        };
        // A condition that reads a field is evaluated for each row.
        let of_rows = sql(&format!("(({condition}) OR v < 0) AND v + 1 > 0"));
        let reads_chunks = async |sql: &str| one.plan(sql).await.contains("TailScanExec: ");
        assert_eq!(!reads_chunks(&sql(condition)).await, are_few, "{condition}");
        assert!(reads_chunks(&of_rows).await, "{of_rows}");
        assert_eq!(one.sql(&sql(condition)).await, one.sql(&of_rows).await, "{condition}");
    }
}

#[tokio::test]
async fn a_condition_that_fails_for_a_value_of_no_selected_row_is_no_error() {
    let one = rows().await;
    one.write("t,host=x,zone=z2 v=1i 1\nt,host=hx,zone=z2 v=1i 1").await;
    let number = "CAST(substr(coalesce(host, 'h0'), 2) AS BIGINT)";
    let sql =
        format!("SELECT count(*) AS n FROM t WHERE time > '2023-01-01T00:00:00Z' AND {number} = 7");
    assert_eq!(one.sql(&sql).await, "n\n50\n");
}
