//! Deleted rows in the tail, in sections older than the delete, and in merged sources.

use neap_catalog::ANY_AGE;
use neap_row_delete::{Condition, RowDelete, RowDeleter};

use super::{QueryTestInstance, instance::DATABASE};

/// Five points of two hosts and three without a host, ten minutes apart.
const LINES: &str = "\
t,k=a v=1i 1700000000000000000
t,k=a v=2i 1700000600000000000
t,k=a v=3i 1700001200000000000
t,k=b v=4i 1700000000000000000
t,k=b v=5i 1700000600000000000
t v=6i 1700000000000000000
t v=7i 1700000600000000000
t v=8i 1700001200000000000";

impl QueryTestInstance {
    /// Returns the remaining values, joined by spaces.
    async fn values(&self) -> String {
        let answer = self.sql("SELECT v FROM t ORDER BY v").await;
        let values: Vec<&str> = answer.lines().skip(1).collect();
        let count = self.sql("SELECT count(*) AS n FROM t").await;
        assert_eq!(count, format!("n\n{}\n", values.len()));
        values.join(" ")
    }
}

#[tokio::test]
async fn deleted_rows_are_gone_at_once_and_stay_away_when_they_are_flushed() {
    let one = QueryTestInstance::with_rows(LINES).await;
    let delete = "DELETE FROM t WHERE k = 'a' AND time < '2023-11-14T22:33:20Z'";
    one.sql(delete).await;
    assert_eq!(one.values().await, "3 4 5 6 7 8");
    one.flush().await;
    assert_eq!(one.values().await, "3 4 5 6 7 8");
}

#[tokio::test]
async fn a_merge_applies_deletes_and_leaves_nothing_to_filter() {
    let one = QueryTestInstance::with_rows(LINES).await;
    one.flush().await;
    one.sql("DELETE FROM t WHERE k = 'a'").await;
    one.write("t,k=a v=9i 1700000000000000000").await;
    one.flush().await;
    assert_eq!(one.values().await, "4 5 6 7 8 9");
    let filtered = async || {
        let plan = one.sql("EXPLAIN SELECT v FROM t").await;
        plan.contains("FilterExec")
    };
    assert!(filtered().await);
    assert_eq!(one.merge().await, 1);
    assert_eq!(one.values().await, "4 5 6 7 8 9");
    assert!(!filtered().await);
}

#[tokio::test]
async fn deletes_in_the_tail_and_flushed_deletes_apply_to_sections() {
    let one = QueryTestInstance::with_rows(LINES).await;
    one.flush().await;
    one.sql("DELETE FROM t WHERE k = 'a' AND time < '2023-11-14T22:33:20Z'").await;
    assert_eq!(one.values().await, "3 4 5 6 7 8");
    // The next flush contains a delete and no rows.
    one.flush().await;
    assert_eq!(one.values().await, "3 4 5 6 7 8");
    one.sql("DELETE FROM t WHERE k = 'b'").await;
    assert_eq!(one.values().await, "3 6 7 8");
    one.flush().await;
    assert_eq!(one.values().await, "3 6 7 8");
}

#[tokio::test]
async fn rows_written_after_a_delete_are_visible_without_deleted_fields() {
    for (flush_before, flush_between) in
        [(false, false), (true, false), (false, true), (true, true)]
    {
        let one = QueryTestInstance::alone().await;
        one.write("t,k=a x=1i,y=1i 1700000000000000000\nt,k=b x=5i,y=5i 1700000000000000000")
            .await;
        if flush_before {
            one.flush().await;
        }
        one.sql("DELETE FROM t WHERE k = 'a'").await;
        if flush_between {
            one.flush().await;
        }
        one.write("t,k=a x=2i 1700000000000000000").await;
        let sql = "SELECT k, x, y FROM t ORDER BY k";
        assert_eq!(one.sql(sql).await, "k,x,y\na,2,\nb,5,5\n");
        // Without the columns that the delete reads.
        assert_eq!(one.sql("SELECT y FROM t ORDER BY y").await, "y\n5\n\"\"\n");
        one.flush().await;
        assert_eq!(one.sql(sql).await, "k,x,y\na,2,\nb,5,5\n");
    }
}

#[tokio::test]
async fn a_missing_tag_is_not_equal_to_a_value() {
    for flushed in [false, true] {
        let one = QueryTestInstance::with_rows(LINES).await;
        if flushed {
            one.flush().await;
        }
        one.sql("DELETE FROM t WHERE k = 'a' OR k = 'b'").await;
        assert_eq!(one.values().await, "6 7 8");
        one.sql("DELETE FROM t WHERE k IS NULL AND time = '2023-11-14T22:13:20Z'").await;
        assert_eq!(one.values().await, "7 8");
    }
}

#[tokio::test]
async fn a_tag_is_missing_in_sections_that_are_older_than_it() {
    let one = QueryTestInstance::with_rows("t,k=a v=1i 1700000000000000000").await;
    one.flush().await;
    one.write("t,k=a,new=x v=2i 1700000000000000000").await;
    one.sql("DELETE FROM t WHERE new = 'x'").await;
    assert_eq!(one.values().await, "1");
    one.sql("DELETE FROM t WHERE new IS NULL").await;
    assert_eq!(one.values().await, "");
    one.flush().await;
    assert_eq!(one.values().await, "");
}

#[tokio::test]
async fn counts_and_limits_are_those_of_the_rows_that_are_left() {
    let one = QueryTestInstance::alone().await;
    let line = |at: i64| format!("t,k=k{} v={at}i {}", at % 10, 1_700_000_000_000_000_000 + at);
    let lines: Vec<String> = (0..1_000).map(line).collect();
    one.write(&lines.join("\n")).await;
    one.flush().await;
    one.sql("DELETE FROM t WHERE k IN ('k0','k1','k2','k3','k4','k5','k6','k7')")
        .await;
    assert_eq!(one.sql("SELECT count(*) AS n FROM t").await, "n\n200\n");
    for (limit, rows) in [(150, 150), (200, 200), (900, 200)] {
        let answer = one.sql(&format!("SELECT v FROM t LIMIT {limit}")).await;
        assert_eq!(answer.lines().count() - 1, rows);
    }
    let answer = one.sql("SELECT max(v) AS v, k FROM t GROUP BY k ORDER BY k").await;
    assert_eq!(answer, "v,k\n998,k8\n999,k9\n");
}

#[tokio::test]
async fn only_sections_that_a_delete_can_reach_are_filtered() {
    let one = QueryTestInstance::alone().await;
    let day = 86_400_000_000_000_i64;
    for (host, at) in [("a", 0), ("b", 1), ("c", 2)] {
        let time = 1_700_000_000_000_000_000 + at * day;
        one.write(&format!("t,k={host} v={at}i {time}\nt,k=z v=9i {time}")).await;
    }
    one.flush().await;
    let filters = async || {
        let plan = one.sql("EXPLAIN SELECT v FROM t").await;
        let filtered = plan.matches("FilterExec").count();
        (filtered, plan)
    };
    assert_eq!(filters().await.0, 0);
    // One delete can only match rows of the first section, the other none.
    one.sql("DELETE FROM t WHERE time < '2023-11-15T00:00:00Z' AND k = 'a'").await;
    one.sql("DELETE FROM t WHERE time < '2023-11-15T00:00:00Z' AND k = '0'").await;
    let (filtered, plan) = filters().await;
    assert_eq!(filtered, 1, "{plan}");
    assert_eq!(plan.matches("DataSourceExec").count(), 2, "{plan}");
    assert_eq!(one.values().await, "1 2 9 9 9");
    // Sections that are as old are read together, because all deletes since then are looked up at once.
    one.sql("DELETE FROM t WHERE k = 'z'").await;
    let (filtered, plan) = filters().await;
    assert_eq!(filtered, 1, "{plan}");
    assert_eq!(plan.matches("DataSourceExec").count(), 1, "{plan}");
    assert_eq!(one.values().await, "1 2");
    // The delete does not apply to later rows.
    one.flush().await;
    one.write("t,k=z v=4i 1700259200000000000").await;
    one.flush().await;
    assert_eq!(one.values().await, "1 2 4");
}

#[tokio::test]
async fn a_delete_is_about_one_table_and_all_its_rows_if_it_names_none() {
    let one =
        QueryTestInstance::with_rows("t v=1i 1700000000000000000\nu v=2i 1700000000000000000")
            .await;
    one.flush().await;
    one.write("t v=3i 1700000600000000000\nu v=4i 1700000600000000000").await;
    one.sql("DELETE FROM t").await;
    assert_eq!(one.values().await, "");
    assert_eq!(one.sql("SELECT count(*) AS n FROM u").await, "n\n2\n");
    one.flush().await;
    assert_eq!(one.values().await, "");
    one.write("t v=5i 1700000000000000000").await;
    assert_eq!(one.values().await, "5");
}

/// Rows of 100 hosts at 100 times.
fn rows_of_hosts() -> String {
    let line = |row: i64| {
        let (host, time) = (row % 100, row / 100);
        format!("t,k=h{host} v={row}i {}", 1_700_000_000_000_000_000 + time)
    };
    (0..10_000).map(line).collect::<Vec<_>>().join("\n")
}

/// Returns deletes of single points: those of the first `times` times of all hosts with an even number.
fn point_deletes(times: i64) -> Vec<Condition> {
    let delete = |host: i64, time: i64| {
        let tag = Condition::Tag { name: "k".to_owned(), value: Some(format!("h{host}")) };
        let time = 1_700_000_000_000_000_000 + time;
        tag.and(Condition::between(time, time))
    };
    let hosts = (0..100).step_by(2);
    hosts.flat_map(|host| (0..times).map(move |time| delete(host, time))).collect()
}

#[tokio::test]
async fn thousands_of_deletes_hide_exactly_their_rows_wherever_these_are() {
    for (flush_rows, flush_deletes) in [(false, false), (true, false), (true, true)] {
        let one = QueryTestInstance::with_rows(&rows_of_hosts()).await;
        if flush_rows {
            one.flush().await;
        }
        let catalog = one.catalog.database(DATABASE, ANY_AGE).await.unwrap();
        let table = catalog.value.table("t").unwrap().id();
        for conditions in point_deletes(40).chunks(1_000) {
            let delete = |condition: &Condition| RowDelete { table, condition: condition.clone() };
            let deletes = conditions.iter().map(delete).collect();
            let arrived = one.bucket.world().clock_reading();
            let deleted = RowDeleter::delete_rows(&*one.service, DATABASE, deletes, arrived, None);
            deleted.await.unwrap();
        }
        if flush_deletes {
            one.flush().await;
        }
        let sql = "SELECT count(*) AS n, sum(v) AS s, count(DISTINCT k) AS k FROM t";
        let is_left = |row: &i64| row % 2 == 1 || row / 100 >= 40;
        let left = (0..10_000_i64).filter(is_left);
        let (count, sum) = (left.clone().count(), left.sum::<i64>());
        assert_eq!(one.sql(sql).await, format!("n,s,k\n{count},{sum},100\n"));
        // One overwritten point is visible again.
        one.write("t,k=h0 v=-1i 1700000000000000000").await;
        let sum = "SELECT sum(v) AS s FROM t WHERE k = 'h0'";
        let of_host = (40..100).map(|time| time * 100).sum::<i64>() - 1;
        assert_eq!(one.sql(sum).await, format!("s\n{of_host}\n"));
    }
}
