//! Reads rows of the metrics of a database. All statements of a request see the same snapshot.

use std::{fmt::Debug, ops::ControlFlow, sync::Arc};

use arrow::{array::RecordBatch, datatypes::Schema};
use async_trait::async_trait;
use datafusion::common::{DataFusionError, Result};
use futures::{TryStreamExt, stream::FuturesUnordered};
use neap_http::Caller;
use neap_tables::QueryContext;

use super::{
    metric::Metric,
    metric_tables::metrics_of,
    statement_plan::{MAX_KEPT_PLANS, execute_plan, plan_statement},
};
use crate::{
    ClientQueryError, QueryEngine, QueryError, QueryRequest,
    plan_cache::PlanCache,
    planning_memory::reserve_planning,
    request::{Planner, StatementLanguage},
    statement::PlannedStatement,
};

/// Maximum number of statements of a request that read at once, so that their reads of the store overlap.
const CONCURRENT_STATEMENTS: usize = 16;

/// Statements that select rows of metrics. Each becomes text when it is executed, because large conditions may be those of many
/// metrics.
pub type MetricStatements = Box<dyn ExactSizeIterator<Item = String> + Send>;

/// Selects rows of metrics, and reads them on the query threads.
pub trait MetricRowReader: Debug + Send + Sync + 'static {
    /// Returns the statements that select rows of these metrics. The reader drops what it has read before, because the rows are
    /// those of another snapshot.
    fn begin(&self, metrics: &[Arc<Metric>]) -> MetricStatements;

    /// Reads a batch of rows of the statement with this number. `Break` ends the request.
    fn read(&self, statement: usize, batch: &RecordBatch) -> ControlFlow<()>;
}

/// Executes the statements of a reader while the request is planned, as an expression is evaluated. The planned statement has no
/// rows.
#[derive(Debug)]
struct MetricRowPlanner {
    reader: Arc<dyn MetricRowReader>,
    plans: Arc<PlanCache>,
}

impl MetricRowPlanner {
    /// Reads the rows of all statements. If these lack memory together, they are executed one after the other.
    async fn read_all(&self, context: &QueryContext) -> Result<()> {
        match self.read_statements(context, CONCURRENT_STATEMENTS).await {
            Err(error) if matches!(error.find_root(), DataFusionError::ResourcesExhausted(_)) => {
                self.read_statements(context, 1).await
            }
            outcome => outcome,
        }
    }

    /// Reads the rows of all statements, of which this number is executed at once.
    async fn read_statements(&self, context: &QueryContext, concurrent: usize) -> Result<()> {
        let selected = self.reader.begin(&metrics_of(context, &[]));
        let may_be_kept = selected.len() <= MAX_KEPT_PLANS;
        let mut statements = selected.enumerate();
        let mut reads = FuturesUnordered::new();
        loop {
            while reads.len() < concurrent
                && let Some((number, sql)) = statements.next()
            {
                reads.push(self.read_rows(context, number, sql, may_be_kept));
            }
            match reads.try_next().await? {
                Some(ControlFlow::Continue(())) => {}
                Some(ControlFlow::Break(())) | None => return Ok(()),
            }
        }
    }

    /// Reads the rows of a statement.
    async fn read_rows(
        &self,
        context: &QueryContext,
        number: usize,
        sql: String,
        may_be_kept: bool,
    ) -> Result<ControlFlow<()>> {
        let reserved = reserve_planning(context.memory_pool(), self.language(), &sql);
        let _planning = reserved.map_err(statement_error)?;
        let plan = plan_statement(context, &self.plans, sql, may_be_kept).await?;
        let mut rows = execute_plan(context, context.optimized_session(), &plan).await?;
        while let Some(batch) = rows.try_next().await? {
            if self.reader.read(number, &batch).is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
        Ok(ControlFlow::Continue(()))
    }
}

/// Returns the error of a statement as one of planning the request, from which it takes its kind.
fn statement_error(error: QueryError) -> DataFusionError {
    match error {
        QueryError::Planning(error) | QueryError::Execution(error) => error,
        other => DataFusionError::External(Box::new(other)),
    }
}

#[async_trait]
impl Planner for MetricRowPlanner {
    fn language(&self) -> StatementLanguage {
        StatementLanguage::PromQl
    }

    async fn plan(&self, context: &QueryContext, _: &QueryRequest) -> Result<PlannedStatement> {
        self.read_all(context).await?;
        let no_rows = RecordBatch::new_empty(Arc::new(Schema::empty()));
        Ok(PlannedStatement::Rows(no_rows))
    }
}

impl QueryEngine {
    /// Reads rows of the metrics of a database as one query. Its text is that of the log.
    ///
    /// # Errors
    /// `Forbidden` if the caller may not read the database, even if it does not exist. A statement of the reader fails.
    pub async fn read_metrics(
        &self,
        caller: &Caller,
        database: &str,
        request: QueryRequest,
        reader: Arc<dyn MetricRowReader>,
    ) -> Result<(), ClientQueryError> {
        let id = self.resolve_for_read(caller, database).await?;
        let plans = Arc::clone(self.plan_cache());
        let planner = Arc::new(MetricRowPlanner { reader, plans });
        let rows = self.run(id, request, planner).await?;
        // There are no rows; their end completes the query in the log.
        rows.batches.try_for_each(async |_| Ok(())).await?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::{
        collections::BTreeSet,
        sync::{
            Mutex,
            atomic::{AtomicI64, Ordering},
        },
    };

    use arrow::{array::AsArray, compute::cast, datatypes::DataType};
    use neap_bucket::Operation;

    use super::*;
    use crate::{
        promql::{MetricSelection, TimeRange, values_sql},
        tests::instance::QueryTestInstance,
    };

    /// Reads the values of the label `host` until a time.
    #[derive(Debug, Default)]
    struct HostReader {
        end_ms: AtomicI64,
        hosts: Mutex<BTreeSet<String>>,
    }

    impl MetricRowReader for HostReader {
        fn begin(&self, metrics: &[Arc<Metric>]) -> MetricStatements {
            self.hosts.lock().unwrap().clear();
            let range = TimeRange { start_ms: 0, end_ms: self.end_ms.load(Ordering::Relaxed) };
            let selections: Vec<MetricSelection> =
                metrics.iter().filter_map(|metric| metric.select(&[].into(), range)).collect();
            Box::new(values_sql(&selections, "host").into_iter())
        }

        fn read(&self, _: usize, batch: &RecordBatch) -> ControlFlow<()> {
            let column = cast(batch.column(0), &DataType::Utf8).unwrap();
            let hosts = column.as_string::<i32>().iter().flatten().map(str::to_owned);
            self.hosts.lock().unwrap().extend(hosts);
            ControlFlow::Continue(())
        }
    }

    #[tokio::test]
    async fn statements_of_a_list_share_a_snapshot_and_have_kept_plans() {
        let lines = "cpu,host=a idle=1,user=2 1\n\
                    cpu,host=b idle=1 2\n\
                    mem,host=c used=1 3\n\
                    disk free=1 1";
        let one = QueryTestInstance::with_rows(lines).await;
        let reader = Arc::new(HostReader::default());
        for (end_ms, hosts, templates) in
            [(3_000, &["a", "b", "c"][..], 0), (1_000, &["a"], 2), (2_999, &["a", "b"], 2)]
        {
            reader.end_ms.store(end_ms, Ordering::Relaxed);
            let before = one.counting.counts();
            let request = QueryRequest::new("label_values(host)");
            let caller = Caller::unrestricted();
            let read = one.engine.read_metrics(&caller, "db", request, Arc::clone(&reader) as _);
            read.await.unwrap();
            let requests = one.counting.counts() - before;
            assert_eq!(requests.requests(Operation::List), 1);
            let found = reader.hosts.lock().unwrap().clone();
            assert_eq!(found.iter().map(String::as_str).collect::<Vec<_>>(), hosts);
            assert_eq!(one.engine.plan_cache().templates(), templates, "{end_ms}");
        }
        let logged = "SELECT query_type, count(*) AS n FROM system.queries \
                      WHERE query_text = 'label_values(host)' AND phase = 'success' GROUP BY query_type";
        assert_eq!(one.sql(logged).await, "query_type,n\npromql,3\n");
    }
}
