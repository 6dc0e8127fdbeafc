//! Queries that are cancelled while they compute on separate threads.

use std::{
    collections::HashSet,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    task::Poll,
    time::Duration,
};

use arrow::{
    array::RecordBatch,
    datatypes::{DataType, Field, Schema, SchemaRef},
};
use async_trait::async_trait;
use datafusion::{
    common,
    execution::{SendableRecordBatchStream, TaskContext},
    physical_plan::{
        ExecutionPlan,
        coalesce_partitions::CoalescePartitionsExec,
        empty::EmptyExec,
        stream::RecordBatchStreamAdapter,
        streaming::{PartitionStream, StreamingTableExec},
        union::UnionExec,
    },
};
use futures::{StreamExt, TryStreamExt, stream};
use neap_bucket::{CallHook, MemoryStore, SteppedClock, World};
use neap_tables::QueryContext;
use tokio::runtime::{Handle, Id};

use super::{
    DATABASE,
    instance::{QueryTestInstance, TestDeleter, hooked_store},
};
use crate::{
    Executor, QueryError, QueryRequest, QuerySettings, request::Planner, sql_planner::SqlPlanner,
    statement::PlannedStatement,
};

/// The maximum duration of any step. It detects work that never ends.
const GUARD: Duration = Duration::from_secs(60);

/// The time that a query gets to start computing.
const START: Duration = Duration::from_millis(300);

/// The timeout of queries.
const LIMIT: Duration = Duration::from_secs(10);

/// One query permit, and separate query threads.
fn settings(threads: usize) -> QuerySettings {
    QuerySettings {
        executor: Executor::with_threads(threads).unwrap(),
        timeout: LIMIT,
        concurrent_queries: 1,
        ..QuerySettings::default()
    }
}

async fn with_threads(threads: usize) -> QueryTestInstance {
    let (store, clock) = QueryTestInstance::memory_store();
    let one = QueryTestInstance::with(store, clock, settings(threads)).await;
    let lines = (0..3_000).map(|at| format!("m,host=a v={at}i,s=\"x{at}\" {at}"));
    one.write(&lines.collect::<Vec<_>>().join("\n")).await;
    one
}

/// Lets other threads compute for a while, in real time, because the test's clock does not advance by itself.
async fn compute_for(time: Duration) {
    World::system().clock.sleep(time).await;
}

/// Starts a query, advances the clock past its timeout, and returns the outcome.
async fn run_past_timeout(one: &QueryTestInstance, sql: &str) -> Result<(), QueryError> {
    let first = async {
        let mut rows = one.engine.query(DATABASE, QueryRequest::new(sql)).await?;
        rows.batches.next().await.transpose()
    };
    let over = async {
        compute_for(START).await;
        one.pass(LIMIT + Duration::from_secs(1));
    };
    let (first, ()) = tokio::join!(first, over);
    first.map(|_| ())
}

/// Waits until no work of cancelled queries is left.
async fn wait_for_cancelled_queries(executor: &Executor) {
    let ended = async {
        while executor.given_up() > 0 || executor.tasks() > 0 {
            compute_for(Duration::from_millis(5)).await;
        }
    };
    let ended = World::system().timeout(GUARD, ended).await;
    assert!(ended.is_some(), "{executor:?}: {} tasks", executor.tasks());
}

/// Queries that would run for more than an hour.
const ENDLESS: [&str; 7] = [
    "SELECT sum(character_length(a.s) * character_length(b.s) + character_length(c.s)) AS n FROM m a, m b, m c",
    "SELECT count(*) AS n FROM m a JOIN m b ON a.v < b.v JOIN m c ON b.v < c.v JOIN m d ON c.v < d.v",
    // No row matches, so that no join emits a batch. The left side fits into the memory for queries.
    "SELECT count(*) AS n FROM (SELECT a.v FROM m a, generate_series(1, 1000) b) x \
     JOIN (SELECT a.v FROM m a, generate_series(1, 100000) b) y ON x.v + y.v < 0",
    "SELECT count(*) AS n FROM m a JOIN m b ON a.host = b.host JOIN m c ON b.host = c.host \
     JOIN m d ON c.host = d.host AND a.v + d.v < 0",
    "SELECT count(*) AS n FROM (SELECT unnest(range(1, 100)) AS x FROM m a, m b, m c)",
    "WITH RECURSIVE t AS (SELECT 1 AS n UNION ALL SELECT n + 1 AS n FROM t WHERE n < 1000000000) \
     SELECT max(n) AS n FROM t",
    "SELECT a.v FROM m a, m b, m c ORDER BY a.v * b.v + c.v",
];

#[tokio::test]
async fn every_query_ends_soon_after_its_timeout() {
    let one = with_threads(2).await;
    for sql in ENDLESS {
        let ended = World::system().timeout(GUARD, run_past_timeout(&one, sql)).await;
        assert!(matches!(ended, Some(Err(QueryError::Timeout(LIMIT)))), "{sql}: {ended:?}");
        wait_for_cancelled_queries(one.engine.executor()).await;
        // It has released its permit.
        assert_eq!(one.sql("SELECT count(*) AS n FROM m").await, "n\n3000\n");
    }
}

#[tokio::test]
async fn a_query_ends_when_its_rows_are_dropped() {
    let one = with_threads(2).await;
    for sql in ENDLESS {
        let rows = async {
            let rows = one.engine.query(DATABASE, QueryRequest::new(sql)).await.unwrap();
            std::future::pending::<()>().await;
            drop(rows);
        };
        let dropped = World::system().timeout(START, rows).await;
        assert!(dropped.is_none());
        wait_for_cancelled_queries(one.engine.executor()).await;
    }
}

/// A planner that computes until it is told to plan.
#[derive(Debug)]
struct BusyPlanner(Arc<AtomicBool>);

#[async_trait]
impl Planner for BusyPlanner {
    async fn plan(
        &self,
        context: &QueryContext,
        request: &QueryRequest,
    ) -> common::Result<PlannedStatement> {
        while !self.0.load(Ordering::Relaxed) {
            std::thread::sleep(Duration::from_millis(1));
        }
        SqlPlanner.plan(context, request).await
    }
}

/// A partition that computes until it is told to end.
#[derive(Debug)]
struct BusyPartition {
    schema: SchemaRef,
    is_told: Arc<AtomicBool>,
}

impl PartitionStream for BusyPartition {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, _: Arc<TaskContext>) -> SendableRecordBatchStream {
        let is_told = Arc::clone(&self.is_told);
        let rows = stream::poll_fn(move |_| {
            while !is_told.load(Ordering::Relaxed) {
                std::thread::sleep(Duration::from_millis(1));
            }
            Poll::Ready(None::<common::Result<RecordBatch>>)
        });
        Box::pin(RecordBatchStreamAdapter::new(Arc::clone(&self.schema), rows))
    }
}

/// A planner that reads rows, whose partitions are tasks. One of them computes until it is told to end.
#[derive(Debug)]
struct ReadingPlanner(Arc<AtomicBool>);

#[async_trait]
impl Planner for ReadingPlanner {
    async fn plan(
        &self,
        context: &QueryContext,
        request: &QueryRequest,
    ) -> common::Result<PlannedStatement> {
        let schema = Arc::new(Schema::new(vec![Field::new("n", DataType::Int64, true)]));
        let partition: Arc<dyn PartitionStream> =
            Arc::new(BusyPartition { schema: Arc::clone(&schema), is_told: Arc::clone(&self.0) });
        let partitions = vec![partition];
        let busy =
            StreamingTableExec::try_new(Arc::clone(&schema), partitions, None, [], false, None)?;
        let inputs: Vec<Arc<dyn ExecutionPlan>> =
            vec![Arc::new(busy), Arc::new(EmptyExec::new(schema))];
        let plan = Arc::new(CoalescePartitionsExec::new(UnionExec::try_new(inputs)?));
        let mut rows = context.execute(&context.full_session(), plan)?;
        while rows.try_next().await?.is_some() {}
        SqlPlanner.plan(context, request).await
    }
}

#[tokio::test]
async fn a_step_of_the_wall_clock_ends_no_query() {
    let one = with_threads(1).await;
    let is_told = Arc::new(AtomicBool::new(false));
    let planner = Arc::new(BusyPlanner(Arc::clone(&is_told)));
    let run = one.engine.run(DATABASE, QueryRequest::new("SELECT 1"), planner);
    let step = async {
        compute_for(START).await;
        one.clock.step_wall_clock(2 * LIMIT);
        is_told.store(true, Ordering::Relaxed);
    };
    let (rows, ()) = tokio::join!(run, step);
    let rows: Vec<_> = rows.unwrap().batches.collect().await;
    assert!(matches!(&rows[..], [Ok(batch)] if batch.num_rows() == 1), "{rows:?}");
}

#[tokio::test]
async fn uninterruptible_work_blocks_only_queries_and_keeps_its_permit() {
    let is_told = Arc::new(AtomicBool::new(false));
    let planner = Arc::new(BusyPlanner(Arc::clone(&is_told)));
    assert_permit_is_kept(&with_threads(1).await, planner, &is_told).await;
}

#[tokio::test]
async fn partitions_that_are_read_while_a_statement_is_planned_keep_its_permit() {
    let is_told = Arc::new(AtomicBool::new(false));
    let planner = Arc::new(ReadingPlanner(Arc::clone(&is_told)));
    // One for the partition, and one for the task of the query, which ends before.
    assert_permit_is_kept(&with_threads(2).await, planner, &is_told).await;
}

/// Asserts that a query, whose planner computes until it is told to end, keeps its permit after its timeout.
async fn assert_permit_is_kept(
    one: &QueryTestInstance,
    planner: Arc<dyn Planner>,
    is_told: &AtomicBool,
) {
    let run = one.engine.run(DATABASE, QueryRequest::new("SELECT 1"), planner);
    let over = async {
        compute_for(START).await;
        one.pass(LIMIT + Duration::from_secs(1));
    };
    let (ended, ()) = tokio::join!(run, over);
    assert!(matches!(ended, Err(QueryError::Timeout(LIMIT))), "{ended:?}");
    // Tasks that can end have ended.
    compute_for(START).await;
    assert_eq!(one.engine.executor().given_up(), 1);

    // Writes are not affected. Queries wait for the permit.
    one.write("m,host=b v=1i 1").await;
    let (second, ()) =
        tokio::join!(one.engine.query(DATABASE, QueryRequest::new("SELECT 1")), async {
            tokio::task::yield_now().await;
            one.pass(LIMIT + Duration::from_secs(1));
        });
    assert!(matches!(second, Err(QueryError::Busy | QueryError::Timeout(_))));

    is_told.store(true, Ordering::Relaxed);
    wait_for_cancelled_queries(one.engine.executor()).await;
    assert_eq!(one.sql("SELECT count(*) AS n FROM m").await, "n\n3001\n");
}

#[tokio::test]
async fn store_requests_run_on_the_io_runtime() {
    let clock = Arc::new(SteppedClock::self_advancing());
    let memory = Arc::new(MemoryStore::new(Arc::clone(&clock) as _));
    let runtimes: Arc<Mutex<HashSet<Id>>> = Arc::default();
    let recorded = Arc::clone(&runtimes);
    let hook: CallHook = Arc::new(move |_| {
        recorded.lock().unwrap().insert(Handle::current().id());
        Box::pin(async {})
    });
    let store = Arc::new(hooked_store(memory, &clock, hook));
    let one = QueryTestInstance::over(store, clock, settings(1), TestDeleter::Writer).await;
    one.write("m,host=a v=1i 1").await;
    one.flush().await;
    one.write("m,host=b v=2i 2").await;
    for sql in [
        "SELECT sum(v) AS n FROM m",
        "SELECT count(*) AS n FROM system.parquet_files",
        "SELECT count(*) AS n FROM system.audit",
        "DELETE FROM m WHERE host = 'b'",
    ] {
        one.sql(sql).await;
    }
    one.sql_in("_internal", "SELECT count(*) AS n FROM system.nodes").await;
    one.sql_in("_internal", "SELECT count(*) AS n FROM system.tables").await;
    let asked = runtimes.lock().unwrap().clone();
    assert_eq!(asked, HashSet::from([Handle::current().id()]));
}
