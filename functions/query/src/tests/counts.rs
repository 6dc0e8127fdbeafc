//! Counts and extremes of time do not read sections that overlap no others.

use std::time::Duration;

use neap_bucket::{KeyClass, Operation};

use super::instance::QueryTestInstance;

const DAY: i64 = 86_400_000_000_000;

/// The time of the first row.
const FIRST: i64 = 1_699_920_000_000_000_000;

/// The rows of a day, one minute apart.
const ROWS: i64 = 10;

const MINUTE: i64 = 60_000_000_000;

const ALL: &str = "SELECT count(*) AS n, count(1) AS o, count(time) AS t, min(time) AS first, max(time) AS last FROM m";

/// Writes and flushes a section with the rows of one day.
async fn day(one: &QueryTestInstance, day: i64, field: &str) {
    let lines = (0..ROWS).map(|row| {
        let time = FIRST + day * DAY + row * MINUTE;
        format!("m,k=a {field}={row}i {time}")
    });
    one.write(&lines.collect::<Vec<_>>().join("\n")).await;
    one.flush().await;
}

/// Creates an instance with one section for each of four days, and with the columns `v` and `w`.
async fn four_days() -> QueryTestInstance {
    let one = QueryTestInstance::with_rows(&format!("m,k=a v=0i,w=0i {FIRST}")).await;
    for at in 0..4 {
        day(&one, at, "v").await;
    }
    one
}

/// Returns the answer to a statement and the number of its requests for data objects.
async fn ask(one: &QueryTestInstance, sql: &str) -> (String, u64) {
    let before = one.counting.counts();
    let answer = one.sql(sql).await;
    let requests = one.counting.counts() - before;
    let data = requests.of(Operation::Get, KeyClass::Data).requests;
    (answer, data)
}

fn answer(rows: i64, first: &str, last: &str) -> String {
    format!("n,o,t,first,last\n{rows},{rows},{rows},{first},{last}\n")
}

#[tokio::test]
async fn no_section_is_read_where_none_overlap() {
    let one = four_days().await;
    let all = answer(40, "2023-11-14T00:00:00", "2023-11-17T00:09:00");
    assert_eq!(ask(&one, ALL).await, (all, 0));
    // Rows in memory count as well.
    one.write(&format!("m,k=a v=1i {}", FIRST + 9 * DAY)).await;
    let count = "SELECT count(*) AS n FROM m";
    assert_eq!(ask(&one, count).await, ("n\n41\n".to_owned(), 0));
    let all = answer(41, "2023-11-14T00:00:00", "2023-11-23T00:00:00");
    assert_eq!(ask(&one, ALL).await, (all, 0));
}

#[tokio::test]
async fn only_sections_that_overlap_are_read() {
    let one = four_days().await;
    day(&one, 2, "w").await;
    // Two footers, and the key columns of both sections.
    let all = answer(40, "2023-11-14T00:00:00", "2023-11-17T00:09:00");
    assert_eq!(ask(&one, ALL).await, (all.clone(), 4));
    assert_eq!(ask(&one, ALL).await, (all.clone(), 0), "they are in memory");
    while one.merge().await > 0 {
        one.pass(Duration::from_secs(60));
    }
    assert_eq!(ask(&one, ALL).await, (all, 0), "nothing overlaps");
}

#[tokio::test]
async fn only_sections_that_bounds_of_time_cut_are_read() {
    let one = four_days().await;
    let bounded = |first: i64, last: i64| {
        format!(
            "{ALL} WHERE time >= to_timestamp({}) AND time <= to_timestamp({})",
            FIRST + first,
            FIRST + last
        )
    };
    let inner = answer(20, "2023-11-15T00:00:00", "2023-11-16T00:09:00");
    let days = bounded(DAY, 2 * DAY + ROWS * MINUTE);
    assert_eq!(ask(&one, &days).await, (inner, 0));
    let cut = answer(17, "2023-11-15T00:03:00", "2023-11-16T00:09:00");
    let days = bounded(DAY + 3 * MINUTE, 2 * DAY + ROWS * MINUTE);
    // The footer and the time column.
    assert_eq!(ask(&one, &days).await, (cut, 2));
}

#[tokio::test]
async fn filters_of_anything_but_time_are_applied() {
    let one = four_days().await;
    let none = "n,o,t,first,last\n0,0,0,,\n";
    for filter in ["k = 'b'", "v > 100", "k = 'b' AND time > '2023-11-15'"] {
        assert_eq!(one.sql(&format!("{ALL} WHERE {filter}")).await, none);
    }
    let sql = "SELECT count(*) AS n FROM m WHERE time > '2023-11-15' AND v < 3";
    assert_eq!(one.sql(sql).await, "n\n8\n");
    let sql = "SELECT count(*) AS n, sum(v) AS v FROM m";
    assert_eq!(one.sql(sql).await, "n,v\n40,180\n");
    let sql = "SELECT count(DISTINCT time) AS n, count(w) AS w FROM m";
    assert_eq!(one.sql(sql).await, "n,w\n40,1\n");
    let sql = "SELECT count(*) FILTER (WHERE v < 2) AS n FROM m";
    assert_eq!(one.sql(sql).await, "n\n8\n");
    let sql = "SELECT count(*) AS n FROM (SELECT * FROM m LIMIT 15)";
    assert_eq!(one.sql(sql).await, "n\n15\n");
    let sql = "SELECT count(*) AS n, max(time) AS last FROM m GROUP BY k";
    assert_eq!(one.sql(sql).await, "n,last\n40,2023-11-17T00:09:00\n");
}

#[tokio::test]
async fn only_the_section_with_deleted_rows_is_read() {
    let one = four_days().await;
    one.pass(Duration::from_millis(1));
    let delete = format!(
        "DELETE FROM m WHERE time BETWEEN to_timestamp({}) AND to_timestamp({})",
        FIRST + 3 * DAY + 5 * MINUTE,
        FIRST + 4 * DAY
    );
    one.sql(&delete).await;
    let all = answer(35, "2023-11-14T00:00:00", "2023-11-17T00:04:00");
    assert_eq!(ask(&one, ALL).await, (all, 2));
}
