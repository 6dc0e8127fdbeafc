//! Statements that DataFusion has answered wrongly, over one process, by kept plans, and over workers. An upgrade of DataFusion
//! that answers them itself lets its mend in this repository go.

use neap_distributed::Exchange;

use super::{QueryTestInstance, distributed::Pair};

/// Statements, each with `----`, its answer as CSV, and an empty line. Lines with `#` are comments.
const ANSWERS: &str = include_str!("upstream_answers.txt");

/// Writes the tables `o` and `i`. What a line leaves out is null.
async fn fill(one: &QueryTestInstance) {
    let lines = [
        "o,k=a id=1i,v=1i,w=0i",
        "o,k=a id=2i,w=2i",
        "o,k=b id=3i,v=3i",
        "o id=4i,v=4i,w=5i",
        "o,k=b id=5i,w=1i",
        "o,k=b id=6i,v=7i,w=0i",
        "i,k=a id=1i,v=1i",
        "i,k=a id=2i",
        "i,k=b id=3i",
        "i,k=c id=4i,v=4i",
    ];
    for (number, line) in lines.iter().enumerate() {
        one.write(&format!("{line} {}", 1_700_000_001_000_000_000 + number)).await;
        // Sections, and a tail.
        if number == 2 || number == 7 {
            one.flush().await;
        }
    }
}

fn answers() -> Vec<(&'static str, String)> {
    let cases = ANSWERS.split("\n\n").filter_map(|case| {
        let (statement, answer) = case.trim().split_once("\n----\n")?;
        let statement = statement.lines().last().unwrap_or_default();
        // The CSV of no rows has no columns.
        let has_rows = answer.lines().count() > 1;
        Some((
            statement,
            if has_rows {
                format!("{answer}\n")
            } else {
                String::new()
            },
        ))
    });
    cases.collect()
}

#[tokio::test]
async fn answers_are_those_of_another_database() {
    let pair = Pair::new(4, Exchange::Workers).await;
    fill(&pair.local).await;
    let answers = answers();
    assert!(answers.len() > 120, "{}", answers.len());
    let mut wrong = Vec::new();
    for (sql, expected) in &answers {
        let mut found = Vec::new();
        for execution in ["first", "second", "third"] {
            let body = serde_json::json!({"db": "db", "q": sql, "format": "csv"});
            found.push((execution, pair.local.post(body).await));
        }
        let distributed = pair.run(sql).await;
        found.push(("distributed", (distributed.status, distributed.body)));
        for (how, answer) in found {
            if answer != (200, expected.clone()) {
                wrong.push(format!("{how}: {sql}\n{answer:?}, not {expected:?}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test]
async fn what_can_not_be_answered_is_refused() {
    let one = QueryTestInstance::alone().await;
    fill(&one).await;
    for sql in [
        "SELECT id FROM o WHERE v IN (SELECT count(*) FROM i WHERE i.k = o.k HAVING count(*) > 1)",
        "SELECT id FROM o WHERE EXISTS (SELECT 1 FROM i WHERE i.k = o.k GROUP BY ROLLUP (i.k))",
        "SELECT id FROM o WHERE EXISTS (SELECT count(*) FROM i WHERE i.k = o.k LIMIT 1 OFFSET 1)",
        "SELECT id FROM o WHERE EXISTS (SELECT * FROM (SELECT count(*) AS c FROM i WHERE i.k = o.k) AS t WHERE t.c < 2)",
    ] {
        let body = serde_json::json!({"db": "db", "q": sql});
        let (status, text) = one.post(body).await;
        assert_eq!(status, 405, "{sql}: {text}");
        assert!(text.contains("outer columns"), "{text}");
    }
}

#[tokio::test]
async fn an_aggregate_of_a_lateral_subquery_with_an_inequality_is_refused_in_words_of_sql() {
    let one = QueryTestInstance::alone().await;
    fill(&one).await;
    let sql =
        "SELECT o.id, t.n FROM o, LATERAL (SELECT count(*) AS n FROM i WHERE i.id > o.id) AS t";
    let (status, text) = one.post(serde_json::json!({"db": "db", "q": sql})).await;
    assert_eq!(status, 400, "{text}");
    assert_contains!(text, "this subquery with columns of the outer query is not supported");
    assert!(!text.contains("OuterReferenceColumn"), "{text}");
}

#[tokio::test]
async fn modifiers_of_groups_are_refused() {
    let one = QueryTestInstance::alone().await;
    fill(&one).await;
    for groups in ["k WITH ROLLUP", "k, v WITH CUBE", "ALL WITH ROLLUP", "k WITH TOTALS"] {
        let sql = format!("SELECT k, v, count(*) FROM o GROUP BY {groups}");
        let (status, text) = one.post(serde_json::json!({"db": "db", "q": sql})).await;
        assert_eq!(status, 405, "{sql}: {text}");
        assert_contains!(text, "is not supported; write GROUP BY ROLLUP");
    }
}

#[tokio::test]
async fn set_operations_that_count_equal_rows_are_refused() {
    let one = QueryTestInstance::alone().await;
    fill(&one).await;
    let pairs = "
        SELECT k FROM o EXCEPT ALL SELECT k FROM i ==> EXCEPT ALL
        SELECT k FROM o intersect all SELECT k FROM i ==> INTERSECT ALL
        SELECT count(*) FROM (SELECT 1 UNION ALL (SELECT k FROM o EXCEPT ALL SELECT 'b')) AS d ==> EXCEPT ALL
    ";
    for (sql, operation) in neap_test_inputs::text_pairs(pairs) {
        let (status, text) = one.post(serde_json::json!({"db": "db", "q": sql})).await;
        assert_eq!(status, 405, "{sql}: {text}");
        assert_contains!(text, &format!("{operation} is not supported"));
    }
    let numbered = "SELECT k, row_number() OVER (PARTITION BY k) AS n FROM";
    let sql = format!(
        "SELECT k FROM ({numbered} o EXCEPT {numbered} i) AS d WHERE k IS NOT NULL ORDER BY k"
    );
    assert_eq!(one.sql(&sql).await, "k\nb\nb\n");
}

#[tokio::test]
async fn filled_windows_of_groups_with_one_row_are_sorted_by_time() {
    let one = QueryTestInstance::alone().await;
    one.write("m,host=a v=1 1700000000000000000\nm,host=b v=1 1700000000000000000")
        .await;
    let windows = "SELECT host, date_bin_gapfill(INTERVAL '1 minute', time) AS t, count(v) AS n FROM (SELECT host, max(time) AS \
                   time, max(v) AS v FROM m GROUP BY host) AS s WHERE time >= '2023-11-14T22:13:00' AND time < \
                   '2023-11-14T22:15:00' GROUP BY host, t";
    let sorted = format!("SELECT host, t FROM ({windows}) AS w ORDER BY host, t DESC");
    assert_eq!(
        one.sql(&sorted).await,
        "host,t\na,2023-11-14T22:14:00\na,2023-11-14T22:13:00\nb,2023-11-14T22:14:00\nb,2023-11-14T22:13:00\n"
    );
    let counted =
        format!("SELECT count(*) AS n FROM (SELECT DISTINCT host FROM ({windows}) AS w) AS d");
    assert_eq!(one.sql(&counted).await, "n\n2\n");
    // The host was a key of the rows below.
    let counts = format!(
        "SELECT host, count(*) AS c FROM (SELECT DISTINCT host, n FROM ({windows}) AS w) AS d GROUP BY host ORDER BY host"
    );
    assert_eq!(one.sql(&counts).await, "host,c\na,2\nb,2\n");
    let groups =
        format!("SELECT host, count(*) AS c FROM ({windows}) AS w GROUP BY host, n ORDER BY host");
    assert_eq!(one.sql(&groups).await, "host,c\na,1\na,1\nb,1\nb,1\n");
    let joined = format!(
        "SELECT m.host FROM m LEFT JOIN ({windows}) AS w ON w.host = m.host ORDER BY m.host"
    );
    assert_eq!(one.sql(&joined).await, "host\na\na\nb\nb\n");
}

#[tokio::test]
async fn only_groups_can_be_selected() {
    let one = QueryTestInstance::alone().await;
    fill(&one).await;
    let sql = "SELECT k, n FROM (SELECT k, count(*) AS n FROM o GROUP BY k) AS g GROUP BY k";
    let (status, text) = one.post(serde_json::json!({"db": "db", "q": sql})).await;
    assert_eq!(status, 400, "{text}");
    assert_contains!(text, "must appear in the GROUP BY clause");
}
