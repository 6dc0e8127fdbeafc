//! The tables of a snapshot as the source of samples.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::{
    execution::{SendableRecordBatchStream, SessionState},
    logical_expr::LogicalPlan,
    physical_plan::{execute_stream, stream::RecordBatchStreamAdapter},
};
use futures::TryStreamExt;
use neap_operators::with_cancellation;
use neap_promql::{DecodedColumn, LabelColumn, Matcher, MetricSource, PromqlError, SampleTable};
use neap_schema::{
    TIME_COLUMN,
    prometheus::{HISTOGRAM_FIELD, NON_FINITE_FIELD, non_finite_value},
};
use neap_tables::{QueryContext, create_physical_plan};

use super::{
    condition::TimeRange,
    histogram::decode_histogram,
    matcher::{LabelMatcher, compile_matchers},
    metric::Metric,
    selection::MetricSelection,
};

/// Maximum number of metrics that a selector reads. Each one takes a plan.
const MAX_METRICS: usize = 10_000;

/// The tables of a database at a snapshot.
#[derive(Debug)]
pub(super) struct TableSource {
    context: QueryContext,
    session: SessionState,
    samples_read: Arc<AtomicUsize>,
}

impl TableSource {
    pub(super) fn new(context: &QueryContext) -> Self {
        Self {
            session: context.full_session(),
            context: context.clone(),
            samples_read: Arc::default(),
        }
    }

    /// Returns the number of samples that were read.
    pub(super) fn samples_read(&self) -> usize {
        self.samples_read.load(Ordering::Relaxed)
    }

    /// Plans a scan of the samples of a metric.
    async fn sample_table(&self, selection: &MetricSelection) -> Result<SampleTable, PromqlError> {
        let plan = self.session.create_logical_plan(&selection.rows_sql()).await?;
        let metric = &selection.metric;
        let constant = metric.constant_labels();
        let labels = metric.tags().map(|tag| LabelColumn {
            label: tag.label.clone(),
            column: tag.tag.clone(),
        });
        let columns = &metric.columns;
        Ok(SampleTable {
            plan,
            constant_labels: constant
                .map(|(label, value)| (label.to_owned(), value.to_owned()))
                .collect(),
            labels: labels.collect(),
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
    async fn select(
        &self,
        matchers: &[Matcher],
        after_ms: i64,
        until_ms: i64,
    ) -> Result<Vec<SampleTable>, PromqlError> {
        let messages: Vec<LabelMatcher> = matchers.iter().map(LabelMatcher::from).collect();
        let compiled = compile_matchers(&[&messages])
            .map_err(|error| PromqlError::BadData(error.to_string()))?;
        let conditions = compiled.into_iter().next().unwrap_or_default();
        let range = TimeRange {
            start_ms: after_ms.saturating_add(1),
            end_ms: until_ms,
        };
        let catalog = &self.context.snapshot.catalog.value;
        let schemas: Vec<(&str, SchemaRef)> =
            catalog.tables().map(|table| (table.name(), table.arrow_schema())).collect();
        let named = schemas.iter().map(|(name, columns)| (*name, &**columns));
        let metrics = Metric::of_tables(named, &conditions);
        let selections: Vec<MetricSelection> =
            metrics.iter().filter_map(|metric| metric.select(&conditions, range)).collect();
        if selections.len() > MAX_METRICS {
            let text = format!(
                "a selector matches {} metrics, more than {MAX_METRICS}",
                selections.len()
            );
            return Err(PromqlError::Execution(text));
        }
        let mut tables = Vec::with_capacity(selections.len());
        for selection in &selections {
            tables.push(self.sample_table(selection).await?);
        }
        Ok(tables)
    }

    async fn execute(&self, plan: LogicalPlan) -> Result<SendableRecordBatchStream, PromqlError> {
        let mut session = self.session.clone();
        let planned = create_physical_plan(&mut session, &plan).await?;
        let checked = with_cancellation(planned, &self.context.cancellation)?;
        let rows = execute_stream(checked, session.task_ctx())?;
        let (columns, samples_read) = (rows.schema(), Arc::clone(&self.samples_read));
        let counted = rows.inspect_ok(move |batch| {
            samples_read.fetch_add(batch.num_rows(), Ordering::Relaxed);
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(columns, counted)))
    }
}
