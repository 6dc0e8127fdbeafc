//! Tests of `LATEST ON` and `SAMPLE BY` through SQL, and of the examples of the documentation.

use std::path::Path;

use crate::testing::{error, market, row_count, rows, session, table};

#[tokio::test]
async fn latest_on_returns_the_latest_row_of_each_partition() {
    let session = session();
    let sql = "SELECT room, time, co FROM home WHERE co < 5 LATEST ON time PARTITION BY room ORDER BY room";
    insta::assert_snapshot!(table(&session, sql).await, @r"
    | room        | time                | co |
    | Kitchen     | 2024-01-01T15:00:00 | 3  |
    | Living Room | 2024-01-01T16:00:00 | 4  |
    ");
    let sql = "SELECT count(*) AS n FROM (SELECT * FROM home latest on time partition by room, home.co LIMIT 100)";
    insta::assert_snapshot!(table(&session, sql).await, @r"
    | n  |
    | 15 |
    ");
}

#[tokio::test]
async fn a_key_of_distinct_rows_may_be_repeated_in_other_letters_and_in_quotes() {
    let sql = "SELECT DISTINCT ON (room, ROOM, \"room\") room, co FROM home ORDER BY room, co";
    assert_eq!(row_count(&session(), sql).await, 2);
}

#[tokio::test]
async fn a_table_may_have_the_name_of_a_clause() {
    let session = session();
    let sql = "WITH latest AS (SELECT * FROM units), sample AS (SELECT 1 AS v) \
               SELECT latest.v FROM sample JOIN latest ON latest.v = sample.v";
    insta::assert_snapshot!(table(&session, sql).await, @r"
    | v |
    | 1 |
    ");
}

#[tokio::test]
async fn sample_by_groups_by_bins_and_keys() {
    let sql = "SELECT time, room, max(temp) AS temp, max(co) - min(co) AS range FROM home \
               WHERE time < '2024-01-01T14:00:00Z' SAMPLE BY 3h ORDER BY room, time";
    insta::assert_snapshot!(table(&session(), sql).await, @r"
    | time                | room        | temp | range |
    | 2024-01-01T06:00:00 | Kitchen     | 21.0 | 0     |
    | 2024-01-01T09:00:00 | Kitchen     | 23.0 | 0     |
    | 2024-01-01T12:00:00 | Kitchen     | 22.8 | 1     |
    | 2024-01-01T06:00:00 | Living Room | 21.1 | 0     |
    | 2024-01-01T09:00:00 | Living Room | 22.2 | 0     |
    | 2024-01-01T12:00:00 | Living Room | 22.4 | 0     |
    ");
}

#[tokio::test]
async fn bins_of_joined_rows_are_those_of_the_listed_time() {
    let sql = "SELECT t.time, count(q.bid) AS n, avg(t.price) AS price FROM trades AS t ASOF JOIN quotes AS q ON (sym) \
               SAMPLE BY 5s ORDER BY time";
    insta::assert_snapshot!(table(&market(), sql).await, @r"
    | time                | n | price |
    | 2024-01-01T00:00:00 | 0 | 10.0  |
    | 2024-01-01T00:00:05 | 3 | 20.5  |
    ");
}

#[tokio::test]
async fn bins_without_rows_are_filled() {
    let session = session();
    for (fill, expected) in [
        ("", ["08:00 21.0", "09:00 23.0"].as_slice()),
        ("FILL(NONE)", &["08:00 21.0", "09:00 23.0"]),
        ("FILL(NULL)", &["08:00 21.0", "08:30", "09:00 23.0", "09:30"]),
        ("FILL(PREV)", &["08:00 21.0", "08:30 21.0", "09:00 23.0", "09:30 23.0"]),
        ("FILL(LINEAR)", &["08:00 21.0", "08:30 22.0", "09:00 23.0", "09:30"]),
        ("FILL(7.5)", &["08:00 21.0", "08:30 7.5", "09:00 23.0", "09:30 7.5"]),
    ] {
        let sql = format!(
            "SELECT time, avg(temp) AS temp FROM home WHERE room = 'Kitchen' AND time >= '2024-01-01T08:00:00Z' \
             AND time < '2024-01-01T10:00:00Z' SAMPLE BY 30m {fill} ALIGN TO CALENDAR ORDER BY time"
        );
        let text = table(&session, &sql).await;
        let rows: Vec<String> = text
            .lines()
            .skip(1)
            .map(|line| line.replace("2024-01-01T", "").replace(":00 ", " ").replace('|', " "))
            .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
            .collect();
        assert_eq!(rows, expected, "{fill}");
    }
}

#[tokio::test]
async fn bins_are_those_of_the_clock_of_a_zone() {
    let sql = "SELECT time, count(*) AS n FROM home SAMPLE BY 1d ALIGN TO CALENDAR TIME ZONE 'Pacific/Auckland' ORDER BY time";
    insta::assert_snapshot!(table(&session(), sql).await, @r"
    | time                      | n  |
    | 2024-01-01T00:00:00+13:00 | 6  |
    | 2024-01-02T00:00:00+13:00 | 20 |
    ");
}

#[tokio::test]
async fn other_forms_are_refused() {
    let session = session();
    let pairs = "
        SAMPLE BY 1h FILL(NEXT) ==> FILL has one of
        SAMPLE BY 1h FILL(PREV, NULL) ==> FILL has one of
        SAMPLE BY 1h ALIGN TO FIRST OBSERVATION ==> ALIGN TO CALENDAR
        SAMPLE BY 1h ALIGN TO CALENDAR WITH OFFSET '00:30' ==> ALIGN TO CALENDAR
    ";
    for (clause, reason) in neap_test_inputs::text_pairs(pairs) {
        let sql = format!("SELECT time, avg(temp) FROM home {clause}");
        let refusal = error(&session, &sql).await;
        assert!(refusal.contains(reason), "{refusal}");
    }
    let refusal = error(&session, "SELECT * FROM home SAMPLE BY 1h").await;
    assert!(refusal.contains("lists the time"), "{refusal}");
}

/// Returns the page about SQL.
fn page() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../docs/sql.md");
    std::fs::read_to_string(path).unwrap()
}

#[tokio::test]
async fn the_statements_of_the_documentation_are_answered() {
    let session = market();
    let page = page();
    // Statements that change something are not answered by a session.
    let (queries, _) = page.split_once("## Statements that change").unwrap();
    let mut statements = vec![String::new()];
    for line in queries.lines() {
        match line.strip_prefix("    ") {
            Some(code) => *statements.last_mut().unwrap() += &format!("{code}\n"),
            None => statements.push(String::new()),
        }
    }
    statements.retain(|statement| !statement.is_empty());
    assert_eq!(statements.len(), 8);
    for statement in statements {
        let rows = rows(&session, &statement).await;
        assert!(rows.iter().any(|batch| batch.num_rows() > 0), "{statement}");
    }
}

#[tokio::test]
async fn the_functions_of_the_documentation_have_the_results_of_their_examples() {
    let session = market();
    let page = page();
    let (_, from_functions) = page.split_once("## Functions").unwrap();
    let (functions, _) = from_functions.split_once("\n## ").unwrap();
    let mut examples = 0;
    for row in functions.lines().filter(|line| line.starts_with("| `")) {
        let cells: Vec<&str> = row.split(" | ").collect();
        let [_, example, expected] = cells.as_slice() else {
            panic!("{row}");
        };
        let sql = format!("SELECT {} AS result FROM home LIMIT 1", example.trim_matches('`'));
        let text = table(&session, &sql).await;
        let result = text.lines().nth(1).unwrap().trim_matches(['|', ' ']);
        assert_eq!(result, expected.trim_end_matches(" |"), "{sql}");
        examples += 1;
    }
    assert!(examples > 10, "{examples}");
}
