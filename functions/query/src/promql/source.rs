//! The tables of a snapshot as the source of samples.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use async_trait::async_trait;
use datafusion::{
    execution::{SendableRecordBatchStream, SessionState},
    logical_expr::LogicalPlan,
};
use futures::{StreamExt, stream};
use neap_promql::{
    DecodedColumn, LabelColumn, Matcher, MetricSource, PromqlError, SampleTable, SampleTables,
};
use neap_scan::SeriesOrder;
use neap_schema::{
    TIME_COLUMN,
    prometheus::{HISTOGRAM_FIELD, NON_FINITE_FIELD, non_finite_value},
};
use neap_tables::QueryContext;

use super::{
    condition::TimeRange,
    histogram::decode_histogram,
    matcher::{LabelMatcher, compile_matchers},
    metric_tables::metrics_of,
    selection::MetricSelection,
    statement_plan::{MAX_KEPT_PLANS, execute_plan, plan_statement},
};
use crate::plan_cache::PlanCache;

/// Maximum number of metrics that the selectors of an expression read. Each one takes a plan.
const MAX_METRICS: usize = 10_000;

/// The tables of a database at a snapshot.
#[derive(Debug)]
pub(super) struct TableSource {
    context: QueryContext,
    plans: Arc<PlanCache>,
    /// The number of metrics that were selected.
    metrics: AtomicUsize,
}

impl TableSource {
    /// Reads the tables of a context. The plans of statements that select samples are kept.
    pub(super) fn new(context: &QueryContext, plans: Arc<PlanCache>) -> Self {
        Self {
            context: context.clone(),
            plans,
            metrics: AtomicUsize::new(0),
        }
    }

    /// Returns a session that executes optimized plans, whose scans output rows in the order of their series and times.
    fn session(&self) -> SessionState {
        let mut session = self.context.optimized_session();
        session.config_mut().set_extension(Arc::new(SeriesOrder));
        session
    }

    /// Counts the metrics of a selector.
    fn count_metrics(&self, selected: usize) -> Result<(), PromqlError> {
        let before = self.metrics.fetch_add(selected, Ordering::Relaxed);
        if before.saturating_add(selected) > MAX_METRICS {
            let text = format!("the selectors match more than {MAX_METRICS} metrics");
            return Err(PromqlError::Execution(text));
        }
        Ok(())
    }

    /// Plans a scan of the samples of a metric.
    async fn sample_table(
        &self,
        selection: &MetricSelection,
        may_be_kept: bool,
    ) -> Result<SampleTable, PromqlError> {
        let metric = &selection.metric;
        let mut labels: Vec<LabelColumn> = metric
            .tags()
            .map(|tag| LabelColumn { label: tag.label.clone(), column: tag.tag.clone() })
            .collect();
        // The order in which scans output the rows.
        let catalog = &self.context.snapshot.catalog.value;
        let table = catalog.table(&metric.table.name);
        let key = table.map(|table| table.tag_names()).unwrap_or_default();
        labels.sort_by_key(|label| key.iter().position(|tag| *tag == label.column));
        let tags = labels.iter().map(|label| label.column.as_str());
        let statement = selection.sorted_rows_sql(tags);
        let columns = &metric.columns;
        Ok(SampleTable {
            plan: plan_statement(&self.context, &self.plans, statement, may_be_kept).await?,
            constant_labels: metric
                .constant_labels()
                .map(|(label, value)| (label.to_owned(), value.to_owned()))
                .collect(),
            labels,
            time_column: TIME_COLUMN.to_owned(),
            value_column: columns.value.clone(),
            special_value_column: columns.has_non_finite.then(|| DecodedColumn {
                column: NON_FINITE_FIELD.to_owned(),
                decode: non_finite_value,
            }),
            histogram_column: columns.has_histograms.then(|| DecodedColumn {
                column: HISTOGRAM_FIELD.to_owned(),
                decode: decode_histogram,
            }),
        })
    }
}

#[async_trait]
impl MetricSource for TableSource {
    async fn select<'a>(
        &'a self,
        matchers: &[Matcher],
        after_ms: i64,
        until_ms: i64,
    ) -> Result<SampleTables<'a>, PromqlError> {
        let messages: Vec<LabelMatcher> = matchers.iter().map(LabelMatcher::from).collect();
        let compiled = compile_matchers(&[&messages])
            .map_err(|error| PromqlError::BadData(error.to_string()))?;
        let conditions = compiled.into_iter().next().unwrap_or_default();
        let range = TimeRange { start_ms: after_ms.saturating_add(1), end_ms: until_ms };
        let metrics = metrics_of(&self.context, &conditions);
        let selections: Vec<MetricSelection> =
            metrics.iter().filter_map(|metric| metric.select(&conditions, range)).collect();
        self.count_metrics(selections.len())?;
        let may_be_kept = selections.len() <= MAX_KEPT_PLANS;
        let tables = stream::iter(selections)
            .then(move |selection| async move { self.sample_table(&selection, may_be_kept).await });
        Ok(tables.boxed())
    }

    async fn execute(&self, plan: LogicalPlan) -> Result<SendableRecordBatchStream, PromqlError> {
        Ok(execute_plan(&self.context, self.session(), &plan).await?)
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::RecordBatch;
    use datafusion::physical_plan::{collect, displayable};
    use neap_promql::MatchOp;
    use neap_tables::create_optimized_plan;

    use super::*;
    use crate::tests::instance::QueryTestInstance;

    #[tokio::test]
    async fn samples_of_several_sections_and_the_tail_are_merged_and_not_sorted() {
        let one = QueryTestInstance::alone().await;
        for (time, is_flushed) in [(1, true), (3, true), (2, true), (9, false)] {
            one.write(&format!(
                "up,b=x,a=y value=1 170000000{time}\nup,b=z value=1 170000000{time}"
            ))
            .await;
            if is_flushed {
                one.flush().await;
            }
        }
        let source = TableSource::new(&one.context().await, Arc::clone(one.engine.plan_cache()));
        let up = [Matcher::new(MatchOp::Equal, "__name__", "up")];
        let table = source.select(&up, 0, i64::MAX).await.unwrap().next().await.unwrap().unwrap();
        let mut session = source.session();
        let planned = create_optimized_plan(&mut session, &table.plan).await.unwrap();
        let shown = displayable(planned.as_ref()).indent(false).to_string();
        assert!(shown.contains("DedupExec") && !shown.contains("Sort"), "{shown}");
        let rows = collect(planned, session.task_ctx()).await.unwrap();
        assert_eq!(rows.iter().map(RecordBatch::num_rows).sum::<usize>(), 8);
    }

    #[tokio::test]
    async fn the_metrics_of_all_selectors_are_limited_together() {
        let one = QueryTestInstance::alone().await;
        one.write("up value=1 1\ndown value=1 1").await;
        let source = TableSource::new(&one.context().await, Arc::clone(one.engine.plan_cache()));
        source.count_metrics(MAX_METRICS - 1).unwrap();
        let up = [Matcher::new(MatchOp::Equal, "__name__", "up")];
        assert!(source.select(&up, 0, 1).await.is_ok());
        let Err(refused) = source.select(&up, 0, 1).await else {
            panic!("more metrics than the limit");
        };
        assert_eq!(refused.kind(), "execution");
    }
}
