//! Workers that fail during queries: the answer is right, or a clear error.

use std::time::Duration;

use arrow::array::RecordBatch;
use futures::StreamExt;
use neap_distributed::Exchange;

use super::{
    DATABASE,
    distributed::{Pair, fill},
    workers::{START_TIMEOUT, WorkerFault},
};
use crate::{QueryError, QueryErrorKind, QueryRequest};

const SQL: &str = "SELECT host, count(*) AS n, sum(usage) AS s FROM cpu GROUP BY host";

const ROWS: &str = "SELECT * FROM cpu";

async fn pair() -> Pair {
    let pair = Pair::new(4, Exchange::Workers).await;
    fill(&pair.local).await;
    pair
}

/// Waits for an answer while the clock advances whenever nothing else happens.
#[expect(
    clippy::disallowed_methods,
    reason = "the clock of the test advances by hand, and the tasks of workers need real time in between"
)]
async fn with_time<T>(pair: &Pair, step: Duration, answer: impl Future<Output = T>) -> T {
    tokio::pin!(answer);
    for _ in 0..100 {
        tokio::select! {
            answer = &mut answer => return answer,
            () = tokio::time::sleep(Duration::from_millis(50)) => pair.local.pass(step),
        }
    }
    panic!("the answer did not end");
}

/// Returns the batches of an answer, of which the last one may be an error.
async fn batches(pair: &Pair, sql: &str) -> Vec<Result<RecordBatch, QueryError>> {
    let request = QueryRequest::new(sql);
    let rows = pair.distributed.engine.query(DATABASE, request).await;
    rows.unwrap().batches.collect().await
}

#[tokio::test]
async fn a_query_runs_again_without_an_unreachable_worker() {
    let pair = pair().await;
    let workers = pair.distributed.workers.as_ref().unwrap();
    for fault in [WorkerFault::Unreachable, WorkerFault::Broken] {
        workers.set_fault(2, Some(fault));
        assert_eq!(pair.check(SQL).await, 4, "{fault:?}");
        assert_eq!(pair.check(ROWS).await, 4, "{fault:?}");
    }
    assert!(workers.failures().iter().all(|worker| worker == "http://w2:9/"));
    let stats = pair.distributed.engine.distribution_stats();
    assert_eq!((stats.queries, stats.worker_failures, stats.retries), (4, 4, 4));
    workers.set_fault(2, None);
    pair.check(SQL).await;
    assert_eq!(pair.distributed.engine.distribution_stats().retries, 4);
}

#[tokio::test]
async fn a_query_runs_in_its_own_process_if_all_workers_fail() {
    let pair = pair().await;
    let workers = pair.distributed.workers.as_ref().unwrap();
    for worker in 0..4 {
        workers.set_fault(worker, Some(WorkerFault::Unreachable));
    }
    pair.check(SQL).await;
    assert!(workers.failures().len() <= 3);
    assert!(workers.tasks().iter().all(|tasks| *tasks == 0));
}

#[tokio::test]
async fn a_worker_that_does_not_answer_is_left_out_after_a_time_limit() {
    let pair = pair().await;
    let workers = pair.distributed.workers.as_ref().unwrap();
    let expected = pair.local.sql("SELECT count(*) AS n FROM cpu WHERE usage >= 0").await;
    for fault in [WorkerFault::SilentPlan, WorkerFault::SilentRows] {
        workers.set_fault(1, Some(fault));
        let sql = "SELECT count(*) AS n FROM cpu WHERE usage >= 0";
        let answer = with_time(&pair, START_TIMEOUT, pair.run(sql)).await;
        assert_eq!((answer.status, &answer.body), (200, &expected), "{fault:?}");
    }
    assert!(workers.failures().contains(&"http://w1:9/".to_owned()));
}

#[tokio::test]
async fn rows_that_were_not_sent_yet_are_computed_again_after_a_failure() {
    let pair = pair().await;
    let workers = pair.distributed.workers.as_ref().unwrap();
    workers.set_fault(0, Some(WorkerFault::CutAfterFirstBatch));
    // The aggregate has sent no row when the connection ends.
    pair.check(SQL).await;
    assert!(!workers.failures().is_empty());
}

#[tokio::test]
async fn an_answer_that_was_begun_ends_with_an_error_and_never_as_a_part() {
    let pair = pair().await;
    let workers = pair.distributed.workers.as_ref().unwrap();
    let expected = pair.local.sql(ROWS).await;
    for worker in 0..4 {
        workers.set_fault(worker, Some(WorkerFault::CutAfterFirstBatch));
    }
    let batches = batches(&pair, ROWS).await;
    let given: usize = batches.iter().flatten().map(|batch| batch.num_rows()).sum();
    match batches.last().unwrap() {
        // All workers failed before the first row, and this process answered.
        Ok(_) => assert_eq!(given, expected.lines().count() - 1),
        Err(error) => {
            let text = error.to_string();
            assert!(text.contains("worker http://w") && text.contains("failed"), "{text}");
            assert_eq!(error.kind(), QueryErrorKind::Unavailable);
        }
    }
}

#[tokio::test]
async fn a_query_whose_worker_hangs_ends_at_its_timeout_and_stops_the_others() {
    let pair = pair().await;
    let workers = pair.distributed.workers.as_ref().unwrap();
    workers.set_fault(3, Some(WorkerFault::StuckAfterFirstBatch));
    let timeout = pair.distributed.engine.settings().timeout;
    let batches = with_time(&pair, timeout / 4, batches(&pair, SQL)).await;
    let end = batches.into_iter().next_back();
    assert!(matches!(end, Some(Err(QueryError::Timeout(_)))), "{end:?}");
    workers.set_fault(3, None);
    pair.check(SQL).await;
    assert!(workers.reserved_bytes().iter().all(|bytes| *bytes == 0));
}
