//! Counts of the rows and values of a tail, which need no scan.

use super::QueryTestInstance;

const COUNTS: &str = "SELECT count(*) AS n, count(v) AS v, count(w) AS w FROM t";

/// Returns the counts, and whether the plan scans the tail.
async fn counts(one: &QueryTestInstance, sql: &str) -> (String, bool) {
    let plan = one.plan(sql).await;
    let answer = one.sql(sql).await;
    let (_, counts) = answer.split_once('\n').unwrap();
    (counts.trim_end().to_owned(), plan.contains("TailScanExec: "))
}

#[tokio::test]
async fn rows_and_values_of_a_tail_are_counted_without_a_scan() {
    let one = QueryTestInstance::alone().await;
    for lines in [
        "t,host=a v=1i,w=1 1\nt,host=a w=2 2\nt,host=b v=300i 3",
        "t,host=c v=70000i 4\nt,host=c w=5 5",
    ] {
        one.write(lines).await;
    }
    assert_eq!(counts(&one, COUNTS).await, ("5,3,3".to_owned(), false));
    for (fetch, expected) in [(3, "3"), (9, "5")] {
        let limited = format!("SELECT count(*) AS n FROM (SELECT v FROM t LIMIT {fetch})");
        assert_eq!(counts(&one, &limited).await.0, expected);
    }
    let some = "SELECT count(*) AS n, count(v) AS v FROM t WHERE time > '1970-01-01T00:00:02Z'";
    assert_eq!(counts(&one, some).await, ("3,2".to_owned(), true));
    let joined = "SELECT count(*) AS n FROM t a JOIN t b ON a.v = b.v";
    assert_eq!(counts(&one, joined).await.0, "3");
}

#[tokio::test]
async fn replaced_rows_are_not_counted() {
    let one =
        QueryTestInstance::with_rows("t,host=a v=1i,w=1 1\nt,host=a w=2 2\nt,host=b v=300i 3")
            .await;
    // The newer version has the values of both.
    one.write("t,host=a v=8i 2").await;
    let rows = "SELECT count(*) AS n FROM t";
    assert_eq!(counts(&one, rows).await, ("3".to_owned(), false));
    assert_eq!(counts(&one, COUNTS).await, ("3,3,2".to_owned(), true));
    assert_eq!(one.sql("SELECT v, w FROM t ORDER BY time").await, "v,w\n1,1.0\n8,2.0\n300,\n");
}
