//! Refreshes of the views of all databases within a time limit.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use neap_bucket::{CallHook, Clock, FaultyStore, MemoryStore, Operation, SteppedClock};

use super::{
    QueryTestInstance,
    instance::{TestDeleter, hooked_store},
};
use crate::{AllViewsReport, QuerySettings};

const VIEW: &str =
    "SELECT date_bin(INTERVAL '1 day', time) AS time, host, sum(v) AS v FROM cpu GROUP BY 1, host";

/// No limit.
const FOREVER: Duration = Duration::from_secs(1_000_000);

/// The number of days with rows.
const DAYS: u64 = 40;

/// The time of a slow read: more than the rows of several windows may take, and more than is left of a claim then.
const READ_TIME: Duration = Duration::from_secs(100);

/// Part of that time. For shorter waits than a second, the clock advances itself.
const READ_STEP: Duration = Duration::from_millis(900);

/// Returns a store whose next read of data is slow if `is_slow` is set, which it clears.
fn slow_store(
    store: Arc<MemoryStore>,
    clock: &Arc<SteppedClock>,
    is_slow: &Arc<AtomicBool>,
) -> FaultyStore {
    let (hooked, is_slow) = (Arc::clone(clock), Arc::clone(is_slow));
    let hook: CallHook = Arc::new(move |call| {
        let is_read = call.operation == Operation::Get && call.key.starts_with("data/");
        let is_delayed = is_read && is_slow.swap(false, Ordering::Relaxed);
        let clock = Arc::clone(&hooked);
        Box::pin(async move {
            if !is_delayed {
                return;
            }
            let until = clock.monotonic() + READ_TIME;
            while clock.monotonic() < until {
                clock.sleep(READ_STEP).await;
            }
            for _ in 0..20 {
                tokio::task::yield_now().await;
            }
        })
    });
    hooked_store(store, clock, hook)
}

/// Writes one row for each day, each in a section of its own.
async fn write_days(one: &QueryTestInstance) {
    for day in 0..DAYS {
        let time = 1_690_000_000 + day * 86_400;
        one.write(&format!("cpu,host=a v={day} {time}000000000")).await;
        one.flush().await;
    }
}

async fn assert_current(one: &QueryTestInstance) {
    let stored = one.sql("SELECT time, host, v FROM daily ORDER BY time").await;
    let computed = one
        .sql(&format!("SELECT time, host, v FROM ({VIEW}) AS computed ORDER BY time"))
        .await;
    assert_eq!(stored, computed);
}

#[tokio::test]
async fn windows_that_need_more_time_than_a_step_are_divided() {
    let (store, clock) = QueryTestInstance::memory_store();
    let is_slow = Arc::new(AtomicBool::new(false));
    let writer = QueryTestInstance::new(Arc::clone(&store), Arc::clone(&clock)).await;
    write_days(&writer).await;
    writer.create_view("daily", VIEW).await;
    let slow = slow_store(store, &clock, &is_slow);
    let settings = QuerySettings { timeout: FOREVER, ..QuerySettings::default() };
    let one = QueryTestInstance::over(Arc::new(slow), clock, settings, TestDeleter::Writer).await;
    is_slow.store(true, Ordering::Relaxed);
    let report = one.engine.refresh_all_views(FOREVER).await.unwrap();
    assert!(!is_slow.load(Ordering::Relaxed), "no data was read");
    assert_eq!(report.failures, []);
    assert_eq!((report.windows, report.unfinished), (DAYS, false));
    assert_current(&one).await;
}

#[tokio::test]
async fn a_refresh_without_time_left_is_continued_by_the_next_one() {
    let one = QueryTestInstance::alone().await;
    write_days(&one).await;
    one.create_view("daily", VIEW).await;
    let report = one.engine.refresh_all_views(Duration::ZERO).await.unwrap();
    let nothing = AllViewsReport { databases: 1, unfinished: true, ..AllViewsReport::default() };
    assert_eq!(report, nothing);
    let report = one.engine.refresh_all_views(FOREVER).await.unwrap();
    let all = AllViewsReport {
        databases: 1,
        windows: DAYS,
        rows: DAYS,
        ..AllViewsReport::default()
    };
    assert_eq!(report, all);
    assert_current(&one).await;
    assert_eq!(
        one.engine.refresh_all_views(FOREVER).await.unwrap(),
        AllViewsReport { databases: 1, ..AllViewsReport::default() }
    );
}

#[tokio::test]
async fn databases_without_views_cost_one_read() {
    let one = QueryTestInstance::alone().await;
    write_days(&one).await;
    one.catalog.create_database("other", None).await.unwrap();
    let cost = async || {
        let before = one.counting.counts();
        one.engine.refresh_all_views(FOREVER).await.unwrap();
        (one.counting.counts() - before).to_string()
    };
    cost().await;
    assert_eq!(cost().await, "1 get root_catalog, 2 get database_catalog");
    one.create_view("daily", VIEW).await;
    cost().await;
    assert_eq!(
        cost().await,
        "1 get root_catalog, 3 get database_catalog, 1 get manifest, 1 get view_progress"
    );
}
