//! The operator that reads the rows of sections with some keys: values of tags, and a range of time.
//!
//! It selects row groups and pages by comparing the keys with the footer, which is decoded and usually in memory. DataFusion's
//! operator builds pruning predicates of the file, its row groups and its pages for each section, which takes longer than
//! the rows of some pages take to be decoded. It prunes by any condition, so it reads the sections for other queries.

mod section_rows;
mod selected_rows;

use std::{fmt, sync::Arc};

use arrow::{
    array::RecordBatch,
    compute::filter_record_batch,
    datatypes::{FieldRef, Schema, SchemaRef},
};
use datafusion::{
    common::{
        Result, Statistics, cast::as_boolean_array, config::ConfigOptions,
        tree_node::TreeNodeRecursion,
    },
    execution::{SendableRecordBatchStream, TaskContext},
    physical_expr::{
        EquivalenceProperties, LexOrdering, PhysicalExpr, expressions::DynamicFilterPhysicalExpr,
        scalar_subquery::ScalarSubqueryExpr, utils::collect_columns,
    },
    physical_plan::{
        DisplayAs, DisplayFormatType, ExecutionPlan, Partitioning, PlanProperties,
        coop::cooperative,
        display::ProjectSchemaDisplay,
        execution_plan::{Boundedness, EmissionType, SchedulingType},
        filter::FilterExecBuilder,
        filter_pushdown::{ChildPushdownResult, FilterPushdownPhase, FilterPushdownPropagation},
        metrics::{BaselineMetrics, ExecutionPlanMetricsSet, MetricBuilder, MetricsSet},
        statistics::StatisticsArgs,
        stream::RecordBatchStreamAdapter,
    },
};
use futures::{StreamExt, TryStreamExt, stream};
use neap_schema::{ColumnType, TIME_COLUMN};
use neap_section::MAX_ROW_GROUP_ROWS;

use crate::{
    data::SectionFile,
    reader::{BYTES_SCANNED, COLD_BYTES_READ, ReadCounts, SectionReader},
    section_files::{ScanOutput, SectionFiles},
};
use section_rows::{RowGroupShare, SectionRows, read_rows};

pub(crate) use selected_rows::SelectedKeys;

/// The size of a section from which its row groups are divided, even if it has few rows, in bytes.
const DIVIDED_BYTES: u64 = 16 << 20;

/// Reads the rows of pages of sections that may have the keys.
#[derive(Debug)]
pub(crate) struct SectionScanExec {
    sections: Arc<SectionFiles>,
    keys: Arc<SelectedKeys>,
    /// A condition on the columns of the output. Only rows that meet it are output.
    filter: Option<Arc<dyn PhysicalExpr>>,
    /// For each partition the parts of the sections that it reads, by their index.
    parts: Vec<Vec<(usize, RowGroupShare)>>,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
}

impl SectionScanExec {
    /// A scan of sections in any order of their rows.
    /// Fails if the table lacks a column.
    pub(crate) fn try_new(
        sections: SectionFiles,
        keys: Arc<SelectedKeys>,
        filter: Option<Arc<dyn PhysicalExpr>>,
    ) -> Result<Self> {
        let schema = Arc::new(sections.table.project(&sections.projection)?);
        let properties = EquivalenceProperties::new(schema);
        Ok(Self::with_properties(sections, keys, filter, properties))
    }

    /// A scan of one section in the order of its rows, which is `order` of the columns of the output.
    /// Fails if the table lacks a column.
    pub(crate) fn try_new_sorted(
        sections: SectionFiles,
        keys: Arc<SelectedKeys>,
        filter: Option<Arc<dyn PhysicalExpr>>,
        order: LexOrdering,
    ) -> Result<Self> {
        let schema = Arc::new(sections.table.project(&sections.projection)?);
        let properties = EquivalenceProperties::new_with_orderings(schema, [order]);
        Ok(Self::with_properties(sections, keys, filter, properties))
    }

    fn with_properties(
        sections: SectionFiles,
        keys: Arc<SelectedKeys>,
        filter: Option<Arc<dyn PhysicalExpr>>,
        equivalences: EquivalenceProperties,
    ) -> Self {
        let parts = divide(&sections.files, sections.partitions);
        let properties = PlanProperties::new(
            equivalences,
            Partitioning::UnknownPartitioning(parts.len()),
            EmissionType::Incremental,
            Boundedness::Bounded,
        )
        .with_scheduling_type(SchedulingType::Cooperative);
        Self {
            sections: Arc::new(sections),
            keys,
            filter,
            parts,
            properties: Arc::new(properties),
            metrics: ExecutionPlanMetricsSet::new(),
        }
    }

    pub(crate) fn files(&self) -> &[SectionFile] {
        &self.sections.files
    }

    pub(crate) fn table_columns(&self) -> usize {
        self.sections.table.fields().len()
    }

    /// Whether the scan outputs only rows that meet a condition, besides the keys.
    pub(crate) fn has_filter(&self) -> bool {
        self.filter.is_some()
    }

    /// Returns the scan without the sections that `is_old`.
    pub(crate) fn without(&self, is_old: impl Fn(&SectionFile) -> bool) -> Self {
        let mut sections = self.sections.as_ref().clone();
        sections.files.retain(|file| !is_old(file));
        let equivalences = self.properties.equivalence_properties().clone();
        Self::with_properties(sections, Arc::clone(&self.keys), self.filter.clone(), equivalences)
    }
}

/// Opens the sections of a partition.
struct SectionOpener {
    sections: Arc<SectionFiles>,
    keys: Arc<SelectedKeys>,
    /// The columns of the output.
    schema: SchemaRef,
    /// Maximum number of rows of a batch.
    batch_rows: usize,
    /// Counts the bytes that are read.
    counts: ReadCounts,
}

impl SectionOpener {
    async fn open(self: Arc<Self>, section: usize, share: RowGroupShare) -> Result<SectionRows> {
        // Sections without selected rows are opened one after the other.
        tokio::task::consume_budget().await;
        let SectionFiles { files, data, memory, .. } = self.sections.as_ref();
        let Some(file) = files.get(section) else {
            return Ok(Box::pin(stream::empty()));
        };
        let reader = SectionReader::new(data, file, None, memory, self.counts.clone());
        let schema = Arc::clone(&self.schema);
        let rows = read_rows(reader, &self.keys, share, schema, self.batch_rows).await?;
        Ok(rows.unwrap_or_else(|| Box::pin(stream::empty())))
    }
}

/// Divides sections among at most this many partitions. If there are fewer sections, their row groups are divided.
fn divide(files: &[SectionFile], partitions: usize) -> Vec<Vec<(usize, RowGroupShare)>> {
    let per_section = partitions.max(1).div_ceil(files.len().max(1));
    let shares = files.iter().enumerate().flat_map(|(at, file)| {
        let by_rows = file.section().rows.div_ceil(MAX_ROW_GROUP_ROWS as u64);
        let groups =
            usize::try_from(by_rows.max(file.length() / DIVIDED_BYTES)).unwrap_or(usize::MAX);
        let count = per_section.min(groups).max(1);
        (0..count).map(move |number| (at, RowGroupShare { number, count }))
    });
    let mut shares: Vec<_> = shares.collect();
    // If few row groups are selected, the first shares have them.
    shares.sort_by_key(|(_, share)| share.number);
    SectionFiles::divided(shares.into_iter(), partitions)
}

/// Whether a condition on columns of this schema reads the time or a tag.
fn reads_keys(condition: &Arc<dyn PhysicalExpr>, schema: &Schema) -> bool {
    let columns = collect_columns(condition);
    columns.iter().any(|column| {
        let field = schema.fields().get(column.index());
        let is_tag = |field: &FieldRef| ColumnType::is_tag_type(field.data_type());
        column.name() == TIME_COLUMN || field.is_some_and(is_tag)
    })
}

/// Whether a condition gets values when the plan executes: those of a subquery, or of the rows that were found so far.
fn gets_values_later(condition: &Arc<dyn PhysicalExpr>) -> bool {
    let is_later = |part: &Arc<dyn PhysicalExpr>| {
        part.downcast_ref::<DynamicFilterPhysicalExpr>().is_some()
            || part.downcast_ref::<ScalarSubqueryExpr>().is_some()
    };
    is_later(condition) || condition.children().into_iter().any(gets_values_later)
}

/// Returns the rows that meet a condition.
fn filter_rows(rows: RecordBatch, condition: &dyn PhysicalExpr) -> Result<RecordBatch> {
    let evaluated = condition.evaluate(&rows)?.into_array(rows.num_rows())?;
    let passes = as_boolean_array(&evaluated)?;
    if passes.true_count() == passes.len() {
        return Ok(rows);
    }
    Ok(filter_record_batch(&rows, passes)?)
}

impl DisplayAs for SectionScanExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sections = self.sections.files.len();
        write!(f, "SectionScanExec: sections={sections}, keys=[{}]", self.keys)?;
        if let Some(filter) = &self.filter {
            write!(f, ", filter={filter}")?;
        }
        write!(f, ", projection={}", ProjectSchemaDisplay(&self.schema()))
    }
}

impl ExecutionPlan for SectionScanExec {
    fn name(&self) -> &'static str {
        "SectionScanExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    crate::leaf_methods!();

    fn apply_expressions(
        &self,
        apply: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        match &self.filter {
            Some(filter) => apply(filter),
            None => Ok(TreeNodeRecursion::Continue),
        }
    }

    fn execute(
        &self,
        partition: usize,
        context: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream> {
        let parts = self.parts.get(partition).cloned().unwrap_or_default();
        let count = |name: &'static str| MetricBuilder::new(&self.metrics).counter(name, partition);
        let has_cold_files = self.files().iter().any(|file| file.section().is_cold());
        let opener = Arc::new(SectionOpener {
            sections: Arc::clone(&self.sections),
            keys: Arc::clone(&self.keys),
            schema: self.schema(),
            batch_rows: context.session_config().batch_size(),
            counts: ReadCounts {
                bytes: count(BYTES_SCANNED),
                cold_bytes: has_cold_files.then(|| count(COLD_BYTES_READ)),
            },
        });
        let metrics = BaselineMetrics::new(&self.metrics, partition);
        let filter = self.filter.clone();
        let opened = stream::iter(parts)
            .then(move |(section, share)| Arc::clone(&opener).open(section, share));
        let schema = self.schema();
        let rows = RecordBatchStreamAdapter::new(Arc::clone(&schema), opened.try_flatten().boxed());
        // The filter may drop all rows of many batches.
        let filtered = cooperative(rows).map(move |batch| {
            let _timer = metrics.elapsed_compute().timer();
            let rows = match &filter {
                Some(filter) => filter_rows(batch?, filter.as_ref())?,
                None => batch?,
            };
            metrics.record_output(rows.num_rows());
            Ok(rows)
        });
        let rows = filtered.try_filter(|rows| std::future::ready(rows.num_rows() > 0));
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, rows)))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }

    fn statistics_from_inputs(
        &self,
        _: &[Arc<Statistics>],
        _: &StatisticsArgs,
    ) -> Result<Arc<Statistics>> {
        let statistics = self.sections.statistics().project(Some(&self.sections.projection));
        Ok(Arc::new(statistics.to_inexact()))
    }

    /// A condition that reads the time or a tag, and gets its values when the plan executes, may be true of few of the sections.
    /// DataFusion's operator skips files, row groups and pages by it. One on fields alone skips few pages of the selected series.
    fn handle_child_pushdown_result(
        &self,
        phase: FilterPushdownPhase,
        pushed: ChildPushdownResult,
        config: &ConfigOptions,
    ) -> Result<FilterPushdownPropagation<Arc<dyn ExecutionPlan>>> {
        let schema = self.schema();
        let mut conditions = pushed.parent_filters.iter();
        let is_known_later = conditions.any(|condition| {
            let condition = &condition.filter;
            reads_keys(condition, &schema) && gets_values_later(condition)
        });
        if !is_known_later || self.properties.output_ordering().is_some() {
            return Ok(FilterPushdownPropagation::all_unsupported(pushed));
        }
        let scan = self.sections.data_source(ScanOutput::Any(None))?;
        let divided = scan.repartitioned(self.parts.len(), config)?;
        let scan = divided.unwrap_or(scan);
        let mut answer = scan.handle_child_pushdown_result(phase, pushed, config)?;
        let scan = answer.updated_node.take().unwrap_or(scan);
        answer.updated_node = Some(match &self.filter {
            Some(filter) => {
                let filter = FilterExecBuilder::new(Arc::clone(filter), scan)
                    .with_batch_size(config.execution.batch_size.into());
                Arc::new(filter.build()?)
            }
            None => scan,
        });
        Ok(answer)
    }
}
