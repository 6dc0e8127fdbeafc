//! Tests of the phases of queries, and of the limits of the log.

use super::*;

const HOME: DatabaseId = DatabaseId::new(1);

fn log(max_queries: usize) -> QueryLog {
    QueryLog::new(World::system(), max_queries)
}

fn begin(log: &QueryLog, database: DatabaseId, text: &str) -> RunningQuery {
    let request = QueryRequest::new(text);
    log.begin(vec![database], StatementLanguage::Sql, &request)
}

fn texts(log: &QueryLog, database: Option<DatabaseId>) -> Vec<String> {
    let queries = log.queries(database);
    queries.iter().map(|query| query.text.clone()).collect()
}

#[test]
fn a_query_ends_once_and_is_cancelled_when_it_is_dropped() {
    let log = log(10);
    let phases = || -> Vec<&str> {
        let queries = log.queries(None);
        let phases = queries.iter().map(|query| query.phase);
        phases.collect()
    };
    begin(&log, HOME, "a").record_success();
    begin(&log, HOME, "b").record_failure();
    drop(begin(&log, HOME, "c"));
    let running = begin(&log, HOME, "d");
    running.record_permit();
    running.record_planned();
    assert_eq!(phases(), ["success", "fail", "cancel", "planned"]);
    running.record_first_rows();
    assert_eq!(phases()[3], "permit");
    running.logged().fail();
    drop(running);
    assert_eq!(phases()[3], "fail");
    let last = log.queries(None).swap_remove(3);
    assert!(last.permit.is_some() && last.plan.is_some() && last.end_to_end.is_some());
}

#[test]
fn a_database_does_not_show_the_text_of_a_query_that_reads_others() {
    let log = log(10);
    let request = QueryRequest::new("SELECT secret FROM a..m, b..m");
    let databases = vec![HOME, DatabaseId::new(2)];
    log.begin(databases, StatementLanguage::InfluxQl, &request).record_success();
    assert_eq!(texts(&log, Some(HOME)), [SEVERAL_DATABASES]);
    assert_eq!(texts(&log, None), [request.text]);
}

#[test]
fn the_oldest_queries_are_evicted_beyond_the_limits_of_number_and_bytes() {
    let log = log(3);
    for (database, text) in [(1, "a"), (2, "b"), (1, "c"), (2, "d")] {
        begin(&log, DatabaseId::new(database), text).record_success();
    }
    assert_eq!(texts(&log, None), ["b", "c", "d"]);
    assert_eq!(texts(&log, Some(HOME)), ["c"]);
    let log = self::log(1_000_000);
    for _ in 0..1_000 {
        begin(&log, HOME, &"x".repeat(100_000)).record_success();
    }
    let kept: usize = texts(&log, None).iter().map(String::len).sum();
    assert!((MAX_LOG_BYTES / 2..=MAX_LOG_BYTES).contains(&kept), "{kept}");
}

#[test]
fn outcomes_of_queries_are_counted_beyond_the_log() {
    let log = log(1);
    for _ in 0..3 {
        begin(&log, HOME, "SELECT 1").record_success();
    }
    begin(&log, HOME, "SELECT 2").record_failure();
    drop(begin(&log, HOME, "SELECT 3"));
    let stats = log.totals().stats();
    assert_eq!((stats.succeeded, stats.failed, stats.cancelled), (3, 1, 1));
}
