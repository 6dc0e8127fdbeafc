//! The operator that reads a tail image.

use std::{fmt, ops::RangeInclusive, sync::Arc};

use datafusion::{
    common::{Result, Statistics, config::ConfigOptions, tree_node::TreeNodeRecursion},
    execution::{SendableRecordBatchStream, TaskContext},
    physical_expr::PhysicalExpr,
    physical_plan::{
        DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties, StatisticsArgs,
        empty::EmptyExec, execution_plan::CardinalityEffect, metrics::MetricsSet,
        projection::ProjectionExec,
    },
};
use neap_schema::{ColumnType, TIME_COLUMN};

use super::streams::{ImageRows, scan_numbered_rows};
use crate::scan::regions::TimeInterval;

/// A scan of the rows of a tail image. Executes `scan`, and can be replaced by a scan of the newest rows.
#[derive(Debug)]
pub(crate) struct TailScanExec {
    scan: Arc<dyn ExecutionPlan>,
    rows: ImageRows,
    /// The times of the rows that the query needs, in nanoseconds since the Unix epoch. The scan may have others.
    ranges: Vec<RangeInclusive<i64>>,
    /// Whether the scan ends after some rows, which need not be the newest ones.
    is_limited: bool,
}

/// The rows of a scan that an aggregate needs, by the indexes of its columns.
#[derive(Clone, Debug)]
pub(crate) struct NewestRows {
    /// Columns that have one value for all rows of a series, if they are tags. Only then, the newest rows of each series are
    /// enough.
    pub(crate) keys: Vec<usize>,
    /// The time of a row.
    pub(crate) time: usize,
    /// The newest row with values of all these columns is needed, and those that are newer.
    pub(crate) required: Vec<usize>,
    /// Rows after this time, in nanoseconds since the Unix epoch, may be dropped above the scan.
    pub(crate) until: i64,
}

impl TailScanExec {
    /// A scan that executes as `scan`, which reads all `rows` in these times, and whose columns have the names of columns of
    /// the table.
    pub(in crate::scan) fn new(
        scan: Arc<dyn ExecutionPlan>,
        rows: &ImageRows,
        ranges: Vec<RangeInclusive<i64>>,
    ) -> Self {
        Self {
            scan,
            rows: rows.clone(),
            ranges,
            is_limited: false,
        }
    }

    /// Returns times between which all rows are; `None` if there are no rows.
    pub(in crate::scan) fn times(&self) -> Option<TimeInterval> {
        let times = self.rows.image.time_range();
        times.map(|(min, max)| TimeInterval { min, max })
    }

    /// Returns the mean number of rows of the chunks of the image.
    pub(in crate::scan) fn rows_per_chunk(&self) -> usize {
        let image = &self.rows.image;
        image.row_count() / image.chunks.len().max(1)
    }

    /// Returns the columns of the table that the scan has.
    fn columns(&self) -> Result<Vec<usize>> {
        let (schema, of_table) = (self.schema(), self.rows.image.schema());
        let columns = schema.fields().iter();
        let columns = columns.map(|field| of_table.index_of(field.name()));
        Ok(columns.collect::<Result<_, _>>()?)
    }

    fn with_scan(&self, scan: Arc<dyn ExecutionPlan>) -> Arc<dyn ExecutionPlan> {
        Arc::new(Self {
            scan,
            rows: self.rows.clone(),
            ranges: self.ranges.clone(),
            is_limited: self.is_limited,
        })
    }

    /// Returns a scan of fewer rows, among them all that are needed; `None` if it would not be faster.
    ///
    /// # Errors
    /// The image lacks a column of the scan.
    pub(crate) fn newest(
        &self,
        needed: &NewestRows,
        config: &ConfigOptions,
    ) -> Result<Option<Arc<dyn ExecutionPlan>>> {
        let schema = self.schema();
        let field = |column: &usize| schema.fields().get(*column);
        let is_tag = |column: &usize| {
            field(column).is_some_and(|field| *field.data_type() == ColumnType::Tag.data_type())
        };
        let is_time = field(&needed.time).is_some_and(|field| field.name() == TIME_COLUMN);
        let latest = self.ranges.iter().map(RangeInclusive::end).max();
        let are_all_before = latest.is_none_or(|latest| *latest <= needed.until);
        let ImageRows { image, selected } = &self.rows;
        if self.is_limited || !needed.keys.iter().all(is_tag) || !is_time || !are_all_before {
            return Ok(None);
        }
        let columns = self.columns()?;
        let required = needed.required.iter();
        let required = required.map(|at| columns.get(*at).copied());
        let Some(required) = required.collect::<Option<Vec<usize>>>() else {
            return Ok(None);
        };
        let newest = image.newest_rows(selected.as_ref(), &self.ranges, &required);
        let Some(numbers) = newest else {
            return Ok(None);
        };
        let partitions = self.properties().partitioning.partition_count();
        let sizes = (config.execution.batch_size.get(), partitions);
        let scan = scan_numbered_rows(image, &numbers, (&columns, &schema), sizes)?;
        Ok(Some(
            scan.unwrap_or_else(|| Arc::new(EmptyExec::new(schema))),
        ))
    }
}

impl DisplayAs for TailScanExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let partitions = self.properties().partitioning.partition_count();
        write!(f, "TailScanExec: partitions={partitions}, columns=[")?;
        for (at, field) in self.schema().fields().iter().enumerate() {
            let separator = if at > 0 { ", " } else { "" };
            write!(f, "{separator}{}", field.name())?;
        }
        write!(f, "]")?;
        match self.fetch() {
            Some(fetch) => write!(f, ", fetch={fetch}"),
            None => Ok(()),
        }
    }
}

impl ExecutionPlan for TailScanExec {
    fn name(&self) -> &'static str {
        "TailScanExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        self.scan.properties()
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        Vec::new()
    }

    fn with_new_children(
        self: Arc<Self>,
        _: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(self)
    }

    fn apply_expressions(
        &self,
        apply: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        self.scan.apply_expressions(apply)
    }

    fn reset_state(self: Arc<Self>) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(self.with_scan(Arc::clone(&self.scan).reset_state()?))
    }

    fn repartitioned(
        &self,
        target_partitions: usize,
        config: &ConfigOptions,
    ) -> Result<Option<Arc<dyn ExecutionPlan>>> {
        let scan = self.scan.repartitioned(target_partitions, config)?;
        Ok(scan.map(|scan| self.with_scan(scan)))
    }

    fn execute(
        &self,
        partition: usize,
        context: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream> {
        self.rows.image.note_scan(&self.columns()?);
        self.scan.execute(partition, context)
    }

    fn metrics(&self) -> Option<MetricsSet> {
        self.scan.metrics()
    }

    fn statistics_from_inputs(
        &self,
        inputs: &[Arc<Statistics>],
        args: &StatisticsArgs,
    ) -> Result<Arc<Statistics>> {
        self.scan.statistics_from_inputs(inputs, args)
    }

    fn supports_limit_pushdown(&self) -> bool {
        self.scan.supports_limit_pushdown()
    }

    fn with_fetch(&self, limit: Option<usize>) -> Option<Arc<dyn ExecutionPlan>> {
        let scan = self.scan.with_fetch(limit)?;
        Some(Arc::new(Self {
            is_limited: true,
            ..Self::new(scan, &self.rows, self.ranges.clone())
        }))
    }

    fn fetch(&self) -> Option<usize> {
        self.scan.fetch()
    }

    fn cardinality_effect(&self) -> CardinalityEffect {
        self.scan.cardinality_effect()
    }

    fn try_swapping_with_projection(
        &self,
        projection: &ProjectionExec,
    ) -> Result<Option<Arc<dyn ExecutionPlan>>> {
        let scan = self.scan.try_swapping_with_projection(projection)?;
        Ok(scan.map(|scan| self.with_scan(scan)))
    }
}
