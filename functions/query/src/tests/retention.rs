//! Rows older than the retention of their table are not visible, whether or not they still exist.

use std::time::Duration;

use super::{DATABASE, QueryTestInstance};

const HOUR: Duration = Duration::from_secs(3_600);

/// Returns lines every ten minutes from two hours before the clock's start to the start, two for each time.
fn lines() -> String {
    let line = |at: i64| {
        let time = 1_700_000_000 - 600 * at;
        format!("t,k=a v={at}i {time}000000000\nt,k=b v={at}i {time}000000000")
    };
    let lines: Vec<String> = (0..=12).map(line).collect();
    lines.join("\n")
}

impl QueryTestInstance {
    async fn keep(&self, retention: Option<Duration>) {
        self.catalog.set_retention(DATABASE, retention).await.unwrap();
    }

    /// Returns the oldest visible value and the number of visible rows; asserts that three queries agree.
    async fn seen(&self) -> (i64, i64) {
        let rows = self.sql("SELECT v FROM t").await;
        let values: Vec<i64> = rows.lines().skip(1).map(|v| v.parse().unwrap()).collect();
        let count = values.len();
        assert_eq!(self.sql("SELECT count(*) AS n FROM t").await, format!("n\n{count}\n"));
        let limited = self.sql(&format!("SELECT k FROM t LIMIT {count}")).await;
        assert_eq!(limited.lines().skip(1).count(), count);
        let oldest = values.into_iter().max().unwrap_or(-1);
        (oldest, i64::try_from(count).unwrap())
    }
}

#[tokio::test]
async fn rows_older_than_the_retention_are_hidden() {
    for flushed in [false, true] {
        let one = QueryTestInstance::with_rows(&lines()).await;
        assert_eq!(one.seen().await, (12, 26));
        one.keep(Some(HOUR)).await;
        // The clock has advanced a little since the start.
        assert_eq!(one.seen().await, (5, 12));
        if flushed {
            one.flush().await;
            assert_eq!(one.seen().await, (5, 12));
        }
        one.pass(Duration::from_secs(590));
        assert_eq!(one.seen().await, (if flushed { 4 } else { 5 }, if flushed { 10 } else { 12 }));
        one.pass(Duration::from_secs(10));
        assert_eq!(one.seen().await, (4, 10));
        one.keep(None).await;
        assert_eq!(one.seen().await, (12, 26));
    }
}

#[tokio::test]
async fn the_cutoff_is_exact_to_the_microsecond() {
    let one = QueryTestInstance::alone().await;
    one.write("t,k=a v=1i 1700000000000000000\nt,k=b v=1i 1700000000000000001")
        .await;
    one.flush().await;
    one.keep(Some(HOUR)).await;
    // The clock shows 10.001 s after the start.
    one.pass(HOUR - Duration::from_micros(10_001_000));
    assert_eq!(one.seen().await, (1, 2));
    one.pass(Duration::from_micros(1));
    assert_eq!(one.seen().await, (-1, 0));
}

#[tokio::test]
async fn the_retention_of_a_table_overrides_that_of_its_database() {
    let one = QueryTestInstance::with_rows(&lines()).await;
    one.write("u v=1i 1699990000000000000").await;
    one.keep(Some(HOUR)).await;
    let table = |name: &str| {
        let catalog = one.catalog.known_database(DATABASE).unwrap();
        catalog.value.table(name).unwrap().id()
    };
    let longer = one
        .catalog
        .set_table_retention(DATABASE, table("t"), Some(HOUR + HOUR / 2))
        .await;
    longer.unwrap();
    assert_eq!(one.seen().await, (8, 18));
    assert_eq!(one.sql("SELECT count(*) AS n FROM u").await, "n\n0\n");
}

#[tokio::test]
async fn only_sections_that_the_cutoff_divides_are_filtered() {
    let one = QueryTestInstance::alone().await;
    let day = 86_400_000_000_000_i64;
    for at in 0..3 {
        let time = 1_700_000_000_000_000_000 - at * day;
        one.write(&format!("t,k=a v={at}i {time}\nt,k=b v={at}i {}", time - 1_000_000_000))
            .await;
    }
    one.flush().await;
    one.keep(Some(24 * HOUR + Duration::from_secs(11))).await;
    let plan = one.sql("EXPLAIN SELECT v FROM t").await;
    assert_eq!(plan.matches("FilterExec").count(), 1, "{plan}");
    assert_eq!(plan.matches(".bundle@").count(), 2, "{plan}");
    assert_eq!(one.seen().await, (1, 3));
}

#[tokio::test]
async fn the_cutoff_applies_to_overlapping_sections() {
    let one = QueryTestInstance::with_rows(&lines()).await;
    one.flush().await;
    one.write(&lines().replace("v=", "w=")).await;
    one.flush().await;
    one.write(&lines().replace("v=", "x=")).await;
    one.keep(Some(HOUR)).await;
    assert_eq!(one.seen().await, (5, 12));
    one.sql("DELETE FROM t WHERE k = 'a'").await;
    assert_eq!(one.seen().await, (5, 6));
}

#[tokio::test]
async fn rows_removed_by_retention_stay_removed_after_it_is_extended() {
    let one = QueryTestInstance::with_rows(&lines()).await;
    one.flush().await;
    one.keep(Some(HOUR)).await;
    one.pass(10 * HOUR);
    // The section is removed without being read.
    one.merge().await;
    one.keep(None).await;
    assert_eq!(one.seen().await, (-1, 0));
    // New writes are visible.
    one.write("t,k=a v=50i 1700000000000000000").await;
    assert_eq!(one.sql("SELECT v FROM t").await, "v\n50\n");
    one.flush().await;
    assert_eq!(one.sql("SELECT v FROM t").await, "v\n50\n");
}
