//! `ASOF JOIN`, `LATEST ON`, `SAMPLE BY` and functions of TimescaleDB: over one process, by kept plans, and over workers.

use neap_distributed::Exchange;

use super::{QueryTestInstance, distributed::Pair};

/// 2023-11-14T22:00:00Z.
const START: i64 = 1_699_999_200_000_000_000;

const SECOND: i64 = 1_000_000_000;

/// Writes trades and quotes of two symbols: sections, and a tail.
async fn fill(one: &QueryTestInstance) {
    for part in 0_i64..3 {
        let lines = (part * 20..part * 20 + 20).flat_map(|second| {
            let time = START + second * SECOND;
            let symbol = if second % 2 == 0 { "a" } else { "b" };
            let quote = (second % 5 == 0)
                .then(|| format!("quotes,sym={symbol} bid={second}i {}", time - SECOND / 2));
            let trade = format!("trades,sym={symbol} price={second}i {time}");
            [Some(trade), quote].into_iter().flatten()
        });
        one.write(&lines.collect::<Vec<_>>().join("\n")).await;
        if part < 2 {
            one.flush().await;
        }
    }
}

/// Statements with their answers as CSV.
const ANSWERS: &[(&str, &str)] = &[
    (
        "SELECT t.price, q.bid FROM trades AS t ASOF JOIN quotes AS q ON t.sym = q.sym AND t.time >= q.time \
         WHERE t.price BETWEEN 8 AND 13 ORDER BY t.price",
        "price,bid\n8,0\n9,5\n10,10\n11,5\n12,10\n13,5\n",
    ),
    (
        "SELECT t.price, q.bid FROM trades AS t ASOF LEFT JOIN quotes AS q ON t.time > q.time AND t.sym = q.sym \
         WHERE t.sym = 'b' AND t.time <= '2023-11-14T22:00:07Z' ORDER BY t.price",
        "price,bid\n1,\n3,\n5,5\n7,5\n",
    ),
    (
        "SELECT price, bid FROM trades ASOF JOIN quotes ON (sym) TOLERANCE 1s WHERE price BETWEEN 29 AND 31 ORDER BY price",
        "price,bid\n29,\n30,30\n31,\n",
    ),
    (
        "SELECT count(*) AS n, sum(price) AS p, sum(bid) AS b FROM trades \
         ASOF JOIN quotes MATCH_CONDITION (trades.time <= quotes.time) USING (sym)",
        "n,p,b\n60,1770,1635\n",
    ),
    (
        "SELECT sym, price FROM trades WHERE price < 50 LATEST ON time PARTITION BY sym ORDER BY sym",
        "sym,price\na,48\nb,49\n",
    ),
    (
        "SELECT time, sym, max(price) AS p FROM trades SAMPLE BY 30s ORDER BY time, sym",
        "time,sym,p\n2023-11-14T22:00:00,a,28\n2023-11-14T22:00:00,b,29\n2023-11-14T22:00:30,a,58\n2023-11-14T22:00:30,b,59\n",
    ),
    (
        "SELECT time_bucket('30 seconds', time) AS t, first(price, time) AS f, last(price, time) AS l FROM trades GROUP BY t ORDER BY t",
        "t,f,l\n2023-11-14T22:00:00,0,29\n2023-11-14T22:00:30,30,59\n",
    ),
];

#[tokio::test]
async fn statements_of_other_databases_are_answered_everywhere() {
    let pair = Pair::new(4, Exchange::Workers).await;
    fill(&pair.local).await;
    let mut wrong = Vec::new();
    for (sql, expected) in ANSWERS {
        let mut found = Vec::new();
        for execution in ["first", "second", "third"] {
            let body = serde_json::json!({"db": "db", "q": sql, "format": "csv"});
            found.push((execution, pair.local.post(body).await));
        }
        let answer = pair.run(sql).await;
        found.push(("distributed", (answer.status, answer.body)));
        for (how, answer) in found {
            if answer != (200, (*expected).to_owned()) {
                wrong.push(format!("{how}: {sql}\n{answer:?}, not {expected:?}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test]
async fn a_join_takes_parameters_and_its_rows_may_be_copied() {
    let one = QueryTestInstance::alone().await;
    fill(&one).await;
    let join = "SELECT t.price, q.bid FROM trades AS t ASOF JOIN quotes AS q ON t.sym = q.sym AND t.time >= q.time";
    let body = serde_json::json!({
        "db": "db", "q": format!("{join} WHERE t.sym = $sym AND t.price > 56"), "format": "csv", "params": {"sym": "a"}
    });
    assert_eq!(one.post(body).await, (200, "price,bid\n58,50\n".to_owned()));
    let (status, text) = one
        .post(serde_json::json!({"db": "db", "q": format!("EXPLAIN {join}"), "format": "csv"}))
        .await;
    assert_eq!(status, 200);
    assert!(text.contains("AsOfJoinExec"), "{text}");
}
