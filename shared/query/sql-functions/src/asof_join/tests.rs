//! Tests of `ASOF JOIN` through SQL.

use datafusion::prelude::SessionContext;

use crate::testing::{error, market, table, ticks};

/// Returns the price of each trade with the bid of its quote.
async fn bids(session: &SessionContext, join: &str) -> Vec<String> {
    let sql = format!("SELECT price, bid FROM trades AS t {join} ORDER BY price");
    let text = table(session, &sql).await;
    let rows = text.lines().skip(1);
    let words =
        rows.map(|row| row.replace('|', " ").split_whitespace().collect::<Vec<_>>().join(" "));
    words.collect()
}

#[tokio::test]
async fn the_forms_of_databases_have_the_same_matches() {
    let session = market();
    let kept = ["10.0", "11.0 10.9", "20.0 19.0", "21.0 19.0", "30.0"];
    for join in [
        "ASOF LEFT JOIN quotes AS q ON t.sym = q.sym AND t.time >= q.time",
        "asof left outer join quotes q on q.time <= t.time and q.sym = t.sym",
        "ASOF LEFT JOIN quotes AS q USING (sym, time)",
        "ASOF JOIN quotes AS q MATCH_CONDITION (t.time >= q.time) ON t.sym = q.sym",
        "ASOF JOIN quotes AS q MATCH_CONDITION (t.time >= q.time) USING (sym)",
        "ASOF JOIN quotes AS q ON (sym)",
        "ASOF JOIN quotes AS q ON t.sym = q.sym",
        "ASOF JOIN quotes AS q ON (sym) TOLERANCE 1d",
        "ASOF JOIN (SELECT * FROM quotes) AS q ON (sym)",
    ] {
        assert_eq!(bids(&session, join).await, kept, "{join}");
    }
    for join in [
        "ASOF JOIN quotes AS q ON t.sym = q.sym AND t.time >= q.time",
        "ASOF INNER JOIN quotes AS q ON t.sym = q.sym AND t.time >= q.time",
        "ASOF INNER JOIN quotes AS q ON (sym)",
        "ASOF JOIN quotes AS q USING (sym, time)",
    ] {
        assert_eq!(bids(&session, join).await, kept[1..4], "{join}");
    }
}

#[tokio::test]
async fn comparisons_choose_the_side_and_whether_equal_times_match() {
    let session = market();
    for (operator, expected) in [
        (">", ["10.0", "11.0 10.5", "20.0 19.0", "21.0 19.0", "30.0"]),
        ("<=", ["10.0 10.5", "11.0 10.9", "20.0", "21.0", "30.0"]),
        ("<", ["10.0 10.5", "11.0 11.5", "20.0", "21.0", "30.0"]),
    ] {
        let join =
            format!("ASOF LEFT JOIN quotes AS q ON t.sym = q.sym AND t.time {operator} q.time");
        assert_eq!(bids(&session, &join).await, expected, "{join}");
    }
}

#[tokio::test]
async fn without_keys_times_alone_match() {
    let session = market();
    let expected = ["10.0 0.0", "11.0 10.9", "20.0 10.9", "21.0 11.5", "30.0 11.5"];
    for join in [
        "ASOF JOIN quotes AS q",
        "ASOF JOIN quotes AS q TOLERANCE 1h",
        "ASOF JOIN quotes AS q ON t.time >= q.time",
        "ASOF JOIN quotes AS q MATCH_CONDITION (t.time >= q.time)",
    ] {
        assert_eq!(bids(&session, join).await, expected, "{join}");
    }
}

#[tokio::test]
async fn a_match_beyond_the_tolerance_is_none() {
    let session = market();
    let join = "ASOF JOIN quotes AS q ON (sym) TOLERANCE 3s";
    assert_eq!(bids(&session, join).await, ["10.0", "11.0 10.9", "20.0 19.0", "21.0", "30.0"]);
    let inner = "ASOF JOIN quotes AS q ON t.sym = q.sym AND t.time >= q.time TOLERANCE 3s";
    assert_eq!(bids(&session, inner).await, ["11.0 10.9", "20.0 19.0"]);
}

#[tokio::test]
async fn conditions_on_the_right_table_choose_among_matches() {
    let session = market();
    // Neither an earlier quote, nor one of another symbol, takes the place of the match.
    let join = "ASOF LEFT JOIN quotes AS q ON t.sym = q.sym AND t.time >= q.time WHERE bid < 10.8 OR bid IS NULL";
    assert_eq!(bids(&session, join).await, ["10.0", "30.0"]);
    let of_left =
        "ASOF JOIN quotes AS q ON (sym) WHERE t.sym = 'b' AND t.time < '2024-01-01T00:00:09Z'";
    assert_eq!(bids(&session, of_left).await, ["20.0 19.0"]);
}

#[tokio::test]
async fn inputs_check_the_conditions_that_hold_for_each_match() {
    let sql = "EXPLAIN SELECT t.price, q.bid FROM trades AS t ASOF JOIN quotes AS q ON t.sym = q.sym AND t.time >= q.time \
               WHERE t.sym = 'b' AND t.time < '2024-01-01T00:00:09Z' AND t.price > 1 AND q.bid > 0";
    let plan = table(&market(), sql).await;
    let (above, inputs) = plan.split_once("AsOfJoin: Inner").unwrap();
    assert!(above.contains("q.bid > "), "{plan}");
    let (left, right) = inputs.split_once("SubqueryAlias: q").unwrap();
    for condition in ["sym = ", "time < ", "price > "] {
        assert!(left.contains(condition), "{plan}");
    }
    let logical = right.split("physical_plan").next().unwrap();
    assert!(logical.contains("sym = ") && logical.contains("time < "), "{plan}");
    assert!(!logical.contains("bid > "), "{plan}");
}

#[tokio::test]
async fn shared_columns_and_joins_around_it_have_the_columns_of_each_table() {
    let session = market();
    let sql = "SELECT * FROM trades ASOF JOIN quotes USING (sym, time) ORDER BY price LIMIT 1";
    insta::assert_snapshot!(table(&session, sql).await, @r"
    | time                | sym | price | bid  |
    | 2024-01-01T00:00:05 | a   | 11.0  | 10.9 |
    ");
    let sql = "SELECT t.sym, t.price, q.bid, q.time AS quoted, r.bid AS next, n.n \
               FROM (VALUES ('b', 7)) AS n(name, n) JOIN trades AS t ON t.sym = n.name \
               ASOF LEFT JOIN quotes AS q ON t.sym = q.sym AND t.time >= q.time \
               ASOF LEFT JOIN quotes AS r ON t.sym = r.sym AND t.time < r.time \
               JOIN (VALUES (21.0)) AS p(price) ON p.price = t.price, units AS u WHERE u.v = 1";
    insta::assert_snapshot!(table(&session, sql).await, @r"
    | sym | price | bid  | quoted              | next | n |
    | b   | 21.0  | 19.0 | 2024-01-01T00:00:02 |      | 7 |
    ");
}

#[tokio::test]
async fn subqueries_and_common_tables_may_have_the_join() {
    let session = market();
    let sql = "WITH matched AS (SELECT t.sym, t.price - q.bid AS d FROM trades t ASOF JOIN quotes q USING (sym, time)) \
               SELECT sym, count(*) AS n FROM matched GROUP BY sym \
               UNION ALL SELECT 'all', (SELECT count(*) FROM (trades ASOF JOIN quotes ON (sym))) ORDER BY n";
    insta::assert_snapshot!(table(&session, sql).await, @r"
    | sym | n |
    | a   | 1 |
    | b   | 2 |
    | all | 5 |
    ");
}

#[tokio::test]
async fn words_of_the_join_remain_names() {
    let session = market();
    ticks(&session, "asof", "tolerance", &[(1, Some("a"), 1.0)]);
    let sql = "SELECT asof.tolerance, price FROM asof JOIN trades ON asof.sym = trades.sym ORDER BY price LIMIT 1";
    insta::assert_snapshot!(table(&session, sql).await, @r"
    | tolerance | price |
    | 1.0       | 10.0  |
    ");
    for from in [
        "trades AS asof JOIN quotes AS q ON asof.time = q.time AND asof.sym = q.sym",
        "(asof JOIN trades ON asof.sym = trades.sym)",
        "trades JOIN asof ON asof.sym = trades.sym",
    ] {
        let sql = format!("SELECT count(*) > 0 AS has_rows FROM {from}");
        let text = table(&session, &sql).await;
        assert!(text.contains("true"), "{from}: {text}");
    }
}

#[tokio::test]
async fn names_may_have_parts_that_are_words_of_clauses() {
    let session = market();
    ticks(&session, "public.using", "window", &[(4, Some("a"), 1.0), (4, Some("b"), 2.0)]);
    let sql = "SELECT t.price, u.window FROM trades AS t ASOF JOIN public.using AS u ON t.sym = u.sym AND u.window > 0 \
               TOLERANCE 2s ORDER BY price";
    let refusal = error(&session, sql).await;
    assert!(refusal.contains("the conditions of an ASOF JOIN are"), "{refusal}");
    let sql = "SELECT t.price, u.window FROM trades AS t ASOF JOIN public.using AS u ON t.sym = u.sym AND t.time >= u.time \
               TOLERANCE 2s ORDER BY price";
    insta::assert_snapshot!(table(&session, sql).await, @r"
    | price | window |
    | 11.0  | 1.0    |
    | 20.0  | 2.0    |
    ");
}

#[tokio::test]
async fn times_of_joined_tables_are_those_of_the_first_one() {
    let session = market();
    let join = "ASOF JOIN quotes AS p ON (sym) ASOF JOIN quotes AS q ON (sym)";
    let sql =
        format!("SELECT t.price, p.bid, q.bid AS same FROM trades AS t {join} ORDER BY price");
    insta::assert_snapshot!(table(&session, &sql).await, @r"
    | price | bid  | same |
    | 10.0  |      |      |
    | 11.0  | 10.9 | 10.9 |
    | 20.0  | 19.0 | 19.0 |
    | 21.0  | 19.0 | 19.0 |
    | 30.0  |      |      |
    ");
}

#[tokio::test]
async fn conditions_of_other_forms_are_refused() {
    let session = market();
    let pairs = "
        ASOF JOIN quotes AS q ON t.sym = q.sym OR t.time >= q.time ==> the conditions of an ASOF JOIN are
        ASOF JOIN quotes AS q ON t.time >= q.time AND t.time < q.time ==> one comparison of times
        ASOF JOIN quotes AS q ON t.sym = q.sym AND t.time >= t.time ==> the conditions of an ASOF JOIN are
        ASOF JOIN quotes AS q ON t.sym = 'a' AND t.time >= q.time ==> the conditions of an ASOF JOIN are
        ASOF JOIN quotes AS q MATCH_CONDITION (t.sym = q.sym) ==> MATCH_CONDITION compares the times
        ASOF INNER JOIN quotes AS q MATCH_CONDITION (t.time >= q.time) ==> all its conditions after ON
        ASOF JOIN quotes AS q USING (sym, time) TOLERANCE 1h ==> TOLERANCE follows the conditions
        ASOF JOIN quotes AS q ON (symbol) ==> symbol
    ";
    for (join, reason) in neap_test_inputs::text_pairs(pairs) {
        let refusal = error(&session, &format!("SELECT price, bid FROM trades AS t {join}")).await;
        assert!(refusal.contains(reason), "{join}: {refusal}");
    }
}
