//! Tails that exceed their memory.

use std::{sync::Arc, time::Duration};

use neap_scan::TailSnapshot;
use serde_json::json;

use super::QueryTestInstance;
use crate::QuerySettings;

/// Creates an instance whose tails have so little memory that each segment of 100 rows is spilled.
async fn spilling(spill_bytes: u64) -> QueryTestInstance {
    let (store, clock) = QueryTestInstance::memory_store();
    let settings = QuerySettings { tail_bytes: 8 << 10, spill_bytes, ..QuerySettings::default() };
    QueryTestInstance::with(store, clock, settings).await
}

/// Returns a minute of 100 sensors. The temperature is the number of the minute.
fn minute(minute: i64) -> String {
    let line = |sensor: i64| {
        let time = 1_699_990_000_000_000_000 + minute * 60_000_000_000 + sensor;
        format!("home,sensor=s{sensor} temp={minute} {time}\n")
    };
    (0..100).map(line).collect()
}

const COUNT: &str = "SELECT count(*) AS n, max(temp) AS m FROM home";

#[tokio::test]
async fn a_tail_that_does_not_fit_is_read_from_spill_files() {
    let one = spilling(1 << 30).await;
    for number in 0..20 {
        one.write(&minute(number)).await;
        let expected = format!("n,m\n{},{number}.0\n", (number + 1) * 100);
        assert_eq!(one.sql(COUNT).await, expected);
    }
    let plan = one.sql("EXPLAIN SELECT temp FROM home").await;
    assert_eq!(plan.matches("StreamingTableExec").count(), 20, "{plan}");
    // Almost none of it remains in memory.
    assert!(one.engine.memory_stats().tails < 4_096);
}

#[tokio::test]
async fn newer_rows_and_deletes_count_over_spilled_ones() {
    let one = spilling(1 << 30).await;
    one.write("home,sensor=old hum=1 1").await;
    one.sql("DELETE FROM home WHERE sensor = 'old'").await;
    one.write(&minute(1)).await;
    let sql = "SELECT count(temp) AS n, sum(temp) AS s, count(hum) AS h FROM home";
    assert_eq!(one.sql(sql).await, "n,s,h\n100,100.0,0\n");
    // Other fields and newer values of the same points.
    let newer = minute(1).replace("temp=1", "temp=2,hum=5");
    let lines: Vec<&str> = newer.lines().take(50).collect();
    one.write(&lines.join("\n")).await;
    assert_eq!(one.sql(sql).await, "n,s,h\n100,150.0,50\n");
    one.pass(Duration::from_millis(1));
    one.sql("DELETE FROM home WHERE sensor = 's1' OR sensor = 's99'").await;
    assert_eq!(one.sql(sql).await, "n,s,h\n98,147.0,49\n");
    one.write("home,sensor=s1 temp=7 1699990060000000001").await;
    assert_eq!(one.sql(sql).await, "n,s,h\n99,154.0,49\n");
    one.flush().await;
    assert_eq!(one.sql(sql).await, "n,s,h\n99,154.0,49\n");
}

#[tokio::test]
async fn spilled_rows_are_used_until_all_of_them_are_flushed() {
    let one = spilling(1 << 30).await;
    let runs = async || {
        let context = one.context().await;
        let table = context.snapshot.catalog.value.table("home").unwrap();
        let tails = &one.engine.tables().scan.tails;
        let tail = tails
            .image(&TailSnapshot::from(context.snapshot.as_ref()), table, &[], context.stale_tail)
            .unwrap();
        tail.runs
    };
    one.write(&minute(1)).await;
    one.write(&minute(2)).await;
    let before = runs().await;
    assert_eq!(before.len(), 2);
    one.write(&minute(3)).await;
    let after = runs().await;
    assert_eq!(after.len(), 3);
    for (one, other) in before.iter().zip(&after) {
        assert!(Arc::ptr_eq(one, other));
    }
    one.flush().await;
    assert_eq!(one.sql(COUNT).await, "n,m\n300,3.0\n");
    one.write(&minute(4)).await;
    assert_eq!(one.sql(COUNT).await, "n,m\n400,4.0\n");
    assert_eq!(runs().await.len(), 1);
}

#[tokio::test]
async fn a_tail_that_exceeds_memory_and_spill_space_is_unavailable() {
    let one = spilling(0).await;
    one.write(&minute(1)).await;
    let (status, body) = one.post(json!({"db": "db", "q": COUNT})).await;
    assert_eq!(status, 503, "{body}");
    let expected =
        "the tail of table 'home' needs more than 4096 bytes of memory and can't be spilled: ";
    assert!(body.contains(expected), "{body}");
    one.flush().await;
    assert_eq!(one.sql(COUNT).await, "n,m\n100,1.0\n");
}

#[tokio::test]
async fn a_join_that_does_not_fit_into_memory_is_made_by_sorting() {
    let (store, clock) = QueryTestInstance::memory_store();
    let settings = QuerySettings {
        memory_pool_bytes: 3 << 20,
        partitions: 1,
        ..QuerySettings::default()
    };
    let one = QueryTestInstance::with(store, clock, settings).await;
    one.write(&(0..300).map(minute).collect::<String>()).await;
    let sql =
        "SELECT count(*) AS n FROM home a JOIN home b ON a.time = b.time AND a.sensor = b.sensor";
    let plan = one.sql(&format!("EXPLAIN {sql}")).await;
    assert!(plan.contains("HashJoinExec"), "{plan}");
    assert_eq!(one.sql(sql).await, "n\n30000\n");
}

/// DataFusion 55.2 repeats the left side of such a join for each part that fits, and then returns a wrong number of rows.
#[tokio::test]
async fn a_nested_loop_join_whose_left_side_does_not_fit_into_memory_is_refused() {
    let (store, clock) = QueryTestInstance::memory_store();
    let settings = QuerySettings {
        memory_pool_bytes: 256 << 10,
        partitions: 2,
        ..QuerySettings::default()
    };
    let one = QueryTestInstance::with(store, clock, settings).await;
    // 60,000 values of 8 bytes.
    one.write(&(0..600).map(minute).collect::<String>()).await;
    one.flush().await;
    let sql = "SELECT count(*) AS n FROM home a LEFT JOIN home b ON a.temp < b.temp - 1000.0";
    let plan = one.sql(&format!("EXPLAIN {sql}")).await;
    assert!(plan.contains("NestedLoopJoinExec"), "{plan}");
    let (status, body) = one.post(json!({"db": "db", "q": sql})).await;
    assert_eq!(status, 503, "{body}");
    assert_contains!(body, "the left side of a nested loop join");
}
