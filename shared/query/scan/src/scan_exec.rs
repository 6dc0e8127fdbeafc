//! The operator of a fragment: a leaf that opens its objects when it is executed, on whatever process that is.

use std::{
    fmt,
    sync::{Arc, PoisonError, RwLock},
};

use datafusion::{
    common::{
        DataFusionError, Result, Statistics, config::ConfigOptions, plan_err, stats::Precision,
    },
    execution::{SendableRecordBatchStream, SessionState, TaskContext},
    logical_expr::Expr,
    physical_expr::{EquivalenceProperties, PhysicalExpr, expressions::DynamicFilterTracking},
    physical_plan::{
        DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties, Partitioning,
        PlanProperties,
        display::ProjectSchemaDisplay,
        execution_plan::{Boundedness, EmissionType, SchedulingType},
        filter_pushdown::{
            ChildPushdownResult, FilterPushdownPhase, FilterPushdownPropagation, PushedDown,
        },
        metrics::{
            BaselineMetrics, Count, ExecutionPlanMetricsSet, Metric, MetricValue, MetricsSet,
        },
        statistics::StatisticsArgs,
        stream::RecordBatchStreamAdapter,
    },
};
use futures::{StreamExt, TryStreamExt, stream};
use neap_wal::TailReader;
use tokio::sync::OnceCell;

use crate::{
    assignment::{self, WeightedRegion},
    dynamic_filters::push_filters,
    fragment::ScanFragment,
    fragment_plan::FragmentPlanner,
    reader::{BYTES_SCANNED, COLD_BYTES_READ, count_of},
    scan_context::ScanContext,
};

/// Maximum number of partitions of a fragment.
const MAX_PARTITIONS: usize = 4096;

/// The state with which a process executes fragments of scans.
#[derive(Debug)]
pub struct ScanEnvironment {
    scan: Arc<ScanContext>,
    tail: TailReader,
    session: SessionState,
}

impl ScanEnvironment {
    /// Executes fragments with the state of scans and the functions of `session`. `tail` reads segments.
    pub fn new(scan: Arc<ScanContext>, tail: TailReader, session: SessionState) -> Self {
        Self { scan, tail, session }
    }

    /// A session with the functions and limits of queries, which resolves no table names.
    pub fn session(&self) -> &SessionState {
        &self.session
    }
}

/// An extension of the session configuration: scans of tables are planned as [`SnapshotScanExec`].
#[derive(Clone, Debug)]
pub struct DistributedScans {
    /// The data caches and the session of this process.
    pub environment: Arc<ScanEnvironment>,
    /// The minimum number of bytes of a part of a region that is divided by series. A smaller part is not worth the
    /// requests that read it.
    pub min_part_bytes: u64,
}

/// Scans a fragment of a table of a snapshot. Its rows are in no order. All parts of one scan have the same number of
/// partitions.
#[derive(derive_more::Debug)]
#[debug("SnapshotScanExec {{ fragment: {fragment:?}, filters: {filters:?}, .. }}")]
pub struct SnapshotScanExec {
    fragment: Arc<ScanFragment>,
    /// The regions of the fragment with their sizes. Empty on a worker, which does not divide its fragment further.
    regions: Arc<[WeightedRegion]>,
    bytes: u64,
    filters: Arc<[Expr]>,
    /// Filters that other operators of the task change while it runs.
    dynamic_filters: Arc<[Arc<dyn PhysicalExpr>]>,
    environment: Arc<ScanEnvironment>,
    plan: Arc<OnceCell<Arc<dyn ExecutionPlan>>>,
    /// The plan after it was opened, for its metrics.
    opened: Arc<RwLock<Option<Arc<dyn ExecutionPlan>>>>,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
}

impl SnapshotScanExec {
    /// Creates the operator of a fragment that another process sent.
    ///
    /// # Errors
    /// The fragment names columns that its table does not have.
    pub fn from_fragment(
        fragment: ScanFragment,
        filters: Vec<Expr>,
        environment: Arc<ScanEnvironment>,
    ) -> Result<Self> {
        Self::new(Arc::new(fragment), &[], filters.into(), environment)
    }

    /// Creates the operator of a fragment that can be divided.
    pub(crate) fn new(
        fragment: Arc<ScanFragment>,
        regions: &[WeightedRegion],
        filters: Arc<[Expr]>,
        environment: Arc<ScanEnvironment>,
    ) -> Result<Self> {
        if fragment.tail_deletes.len() > fragment.deletes.len() {
            return plan_err!("a fragment has fewer deletes than its tail");
        }
        if fragment.partitions > MAX_PARTITIONS {
            return plan_err!("a fragment has more than {MAX_PARTITIONS} partitions");
        }
        let columns = fragment.table.arrow_schema().fields().len();
        if let Some(column) = fragment.projection.iter().find(|column| **column >= columns) {
            return plan_err!("table '{}' has no column {column}", fragment.table_name());
        }
        let properties = PlanProperties::new(
            EquivalenceProperties::new(fragment.schema()?),
            Partitioning::UnknownPartitioning(fragment.partitions.max(1)),
            EmissionType::Incremental,
            Boundedness::Bounded,
        )
        .with_scheduling_type(SchedulingType::Cooperative);
        Ok(Self {
            bytes: regions.iter().map(|region| region.bytes).sum(),
            regions: regions.into(),
            fragment,
            filters,
            dynamic_filters: Arc::default(),
            environment,
            plan: Arc::default(),
            opened: Arc::default(),
            properties: Arc::new(properties),
            metrics: ExecutionPlanMetricsSet::new(),
        })
    }

    /// The fragment.
    pub fn fragment(&self) -> &ScanFragment {
        &self.fragment
    }

    /// The filters of the query on the table. They select objects and pages; rows are filtered above the scan.
    pub fn filters(&self) -> &[Expr] {
        &self.filters
    }

    /// An estimate of the bytes that the scan reads; zero for a fragment that another process sent.
    pub fn read_bytes(&self) -> u64 {
        self.bytes
    }

    /// Divides the scan into one part for each worker, in their order. Each row is in exactly one part. Regions that are
    /// divided by series have parts of at least `min_part_bytes`.
    ///
    /// # Errors
    /// There is no worker.
    pub fn assign(&self, workers: &[&str], min_part_bytes: u64) -> Result<Vec<Arc<Self>>> {
        if workers.is_empty() {
            return plan_err!("a scan can't be assigned to no workers");
        }
        let lists = assignment::assign(&self.fragment, &self.regions, workers, min_part_bytes);
        let part = |regions: Vec<WeightedRegion>| {
            let named = regions.iter().map(|weighted| weighted.region.clone());
            let fragment = self.fragment.with_regions(named.collect());
            let bytes = regions.iter().map(|weighted| weighted.bytes).sum();
            let part = Self::new(
                Arc::new(fragment),
                &[],
                Arc::clone(&self.filters),
                Arc::clone(&self.environment),
            )?;
            Ok(Arc::new(Self { bytes, ..part }))
        };
        lists.into_iter().map(part).collect()
    }

    /// Orders workers by how well they suit the table: those that most likely have its objects in their caches first.
    pub fn rank(&self, workers: &[&str]) -> Vec<usize> {
        let table = u64::from(self.fragment.table.id().get());
        assignment::ranking(&table, workers)
    }

    /// Returns the same scan with other dynamic filters. It has not been opened.
    fn with_dynamic_filters(&self, filters: Vec<Arc<dyn PhysicalExpr>>) -> Self {
        Self {
            fragment: Arc::clone(&self.fragment),
            regions: Arc::clone(&self.regions),
            bytes: self.bytes,
            filters: Arc::clone(&self.filters),
            dynamic_filters: filters.into(),
            environment: Arc::clone(&self.environment),
            plan: Arc::default(),
            opened: Arc::default(),
            properties: Arc::clone(&self.properties),
            metrics: ExecutionPlanMetricsSet::new(),
        }
    }

    /// Plans the fragment in this process.
    async fn plan(
        environment: &ScanEnvironment,
        fragment: &ScanFragment,
        filters: &[Expr],
        dynamic_filters: &[Arc<dyn PhysicalExpr>],
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let planner = FragmentPlanner {
            scan: &environment.scan,
            tail: &environment.tail,
            session: &environment.session,
            fragment,
            filters,
        };
        let options = environment.session.config_options();
        push_filters(planner.plan().await?, dynamic_filters, options)
    }
}

impl DisplayAs for SnapshotScanExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fragment = &self.fragment;
        write!(
            f,
            "SnapshotScanExec: table={}, sections={}, segments={}, regions={}, bytes={}, projection={}",
            fragment.table_name(),
            fragment.sections.len(),
            fragment.tail.names.len(),
            fragment.regions.len(),
            self.bytes,
            ProjectSchemaDisplay(&self.schema()),
        )
    }
}

impl ExecutionPlan for SnapshotScanExec {
    fn name(&self) -> &'static str {
        "SnapshotScanExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    crate::leaf_methods!();
    crate::no_expressions_method!();

    fn execute(
        &self,
        partition: usize,
        context: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream> {
        let (plan, opened) = (Arc::clone(&self.plan), Arc::clone(&self.opened));
        let environment = Arc::clone(&self.environment);
        let (fragment, filters) = (Arc::clone(&self.fragment), Arc::clone(&self.filters));
        let dynamic_filters = Arc::clone(&self.dynamic_filters);
        let partitions = fragment.partitions.max(1);
        let metrics = BaselineMetrics::new(&self.metrics, partition);
        let rows = stream::once(async move {
            let planned = plan.get_or_try_init(|| {
                Self::plan(&environment, &fragment, &filters, &dynamic_filters)
            });
            let plan = Arc::clone(planned.await?);
            opened
                .write()
                .unwrap_or_else(PoisonError::into_inner)
                .get_or_insert_with(|| Arc::clone(&plan));
            // The partitions of the plan take turns in those of the output.
            let count = plan.output_partitioning().partition_count();
            let parts = stream::iter((partition..count).step_by(partitions))
                .map(move |part| plan.execute(part, Arc::clone(&context)))
                .try_flatten();
            Ok::<_, DataFusionError>(parts)
        });
        let rows = rows.try_flatten().inspect_ok(move |batch| {
            metrics.record_output(batch.num_rows());
        });
        let schema = self.schema();
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, rows)))
    }

    fn handle_child_pushdown_result(
        &self,
        phase: FilterPushdownPhase,
        pushed: ChildPushdownResult,
        _: &ConfigOptions,
    ) -> Result<FilterPushdownPropagation<Arc<dyn ExecutionPlan>>> {
        let parents = pushed.parent_filters;
        let answer = FilterPushdownPropagation::with_parent_pushdown_result(vec![
            PushedDown::No;
            parents.len()
        ]);
        // Other filters are known when the scan is planned.
        let dynamic = parents.into_iter().map(|parent| parent.filter);
        let is_dynamic = |filter: &Arc<dyn PhysicalExpr>| {
            DynamicFilterTracking::classify(filter).contains_dynamic_filter()
        };
        let dynamic: Vec<_> = dynamic.filter(is_dynamic).collect();
        Ok(if phase == FilterPushdownPhase::Post && !dynamic.is_empty() {
            answer.with_updated_node(Arc::new(self.with_dynamic_filters(dynamic)))
        } else {
            answer
        })
    }

    fn metrics(&self) -> Option<MetricsSet> {
        let mut metrics = self.metrics.clone_inner();
        let opened = self.opened.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(plan) = opened.as_ref() {
            let mut push = |name: &'static str, bytes: usize| {
                let count = Count::new();
                count.add(bytes);
                let value = MetricValue::Count { name: name.into(), count };
                metrics.push(Arc::new(Metric::new(value, None)));
            };
            push(BYTES_SCANNED, count_of(plan.as_ref(), BYTES_SCANNED));
            let cold_bytes = count_of(plan.as_ref(), COLD_BYTES_READ);
            if cold_bytes > 0 {
                push(COLD_BYTES_READ, cold_bytes);
            }
        }
        Some(metrics)
    }

    fn statistics_from_inputs(
        &self,
        _: &[Arc<Statistics>],
        _: &StatisticsArgs,
    ) -> Result<Arc<Statistics>> {
        let mut statistics = Statistics::new_unknown(&self.schema());
        let row_counts = self.fragment.sections.iter().map(|section| section.rows);
        let rows = usize::try_from(row_counts.sum::<u64>()).unwrap_or(usize::MAX);
        statistics.num_rows = Precision::Inexact(rows);
        let bytes = usize::try_from(self.bytes).unwrap_or(usize::MAX);
        statistics.total_byte_size = Precision::Inexact(bytes);
        Ok(Arc::new(statistics))
    }
}
