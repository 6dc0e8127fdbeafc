//! The operator that reads a tail image.

use std::{collections::BTreeMap, fmt, ops::RangeInclusive, sync::Arc};

use arrow::datatypes::SchemaRef;
use datafusion::{
    common::{Result, Statistics, config::ConfigOptions, exec_datafusion_err, stats::Precision},
    execution::{SendableRecordBatchStream, TaskContext},
    physical_expr::{EquivalenceProperties, Partitioning, expressions::Column},
    physical_plan::{
        DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties, StatisticsArgs,
        empty::EmptyExec,
        execution_plan::{Boundedness, EmissionType, SchedulingType},
        limit::LimitStream,
        metrics::{BaselineMetrics, ExecutionPlanMetricsSet, MetricsSet},
        projection::ProjectionExec,
    },
};
use neap_points::ImageChunk;
use neap_schema::{ColumnType, TIME_COLUMN};

use super::{
    live_rows::LiveRows,
    streams::{ImageRows, scan_numbered_rows},
};
use crate::regions::TimeInterval;

/// A scan of the live rows of chunks of a tail image, unsorted. It can be replaced by a scan of the newest rows.
#[derive(Clone, Debug)]
pub struct TailScanExec {
    rows: ImageRows,
    partitions: Vec<Arc<[ImageChunk]>>,
    /// The columns of the table that the scan returns.
    columns: Vec<usize>,
    /// Maximum number of rows of each partition.
    fetch: Option<usize>,
    counts: RowCounts,
    /// The times of the rows that the query needs, in nanoseconds since the Unix epoch. The scan may have others.
    ranges: Vec<RangeInclusive<i64>>,
    /// Whether a scan of the newest rows may replace this one: it does not end after some rows, and all rows that the query needs
    /// from the image are in `ranges`.
    is_replaceable: bool,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
}

/// The numbers of rows and missing values of a scan. DataFusion answers counts with them.
#[derive(Clone, Debug)]
struct RowCounts {
    /// `None` if not all live rows of the chunks are selected.
    rows: Option<usize>,
    /// The number of rows without a value, by the columns of the table that are read; empty if some rows are not live.
    nulls: Arc<BTreeMap<usize, usize>>,
}

impl RowCounts {
    fn from_rows(rows: &ImageRows, partitions: &[Arc<[ImageChunk]>], columns: &[usize]) -> Self {
        if rows.selected.is_some() {
            return Self { rows: None, nulls: Arc::default() };
        }
        let chunks = || partitions.iter().flat_map(|chunks| chunks.iter());
        let live: usize = chunks().map(ImageChunk::live_rows).sum();
        let all: usize = chunks().map(ImageChunk::num_rows).sum();
        let nulls = |column: &usize| {
            let nulls = chunks().map(|chunk| chunk.null_count(*column));
            Some((*column, nulls.sum::<Option<usize>>()?))
        };
        let counted = columns.iter().filter(|_| live == all);
        Self {
            rows: Some(live),
            nulls: Arc::new(counted.filter_map(nulls).collect()),
        }
    }
}

/// The rows of a scan that an aggregate needs, by the indexes of its columns.
#[derive(Clone, Debug)]
pub struct NewestRows {
    /// Columns that have one value for all rows of a series, if they are tags. Only then, the newest rows of each series are
    /// enough.
    pub keys: Vec<usize>,
    /// The time of a row.
    pub time: usize,
    /// The newest row with values of all these columns is needed, and those that are newer.
    pub required: Vec<usize>,
    /// Rows before this time, in nanoseconds since the Unix epoch, may be dropped above the scan.
    pub from: i64,
    /// Rows after this time, in nanoseconds since the Unix epoch, may be dropped above the scan.
    pub until: i64,
}

/// Returns the properties of a scan of so many partitions.
fn properties(rows: EquivalenceProperties, partitions: usize) -> Arc<PlanProperties> {
    let partitioning = Partitioning::UnknownPartitioning(partitions);
    let (emission, boundedness) = (EmissionType::Incremental, Boundedness::Bounded);
    let properties = PlanProperties::new(rows, partitioning, emission, boundedness);
    Arc::new(properties.with_scheduling_type(SchedulingType::Cooperative))
}

impl TailScanExec {
    /// Creates a scan of the selected live rows of chunks, which are those of each partition, with these columns of the table,
    /// whose schema is `schema`. The chunks have all selected rows in `ranges`.
    pub(crate) fn new(
        rows: &ImageRows,
        partitions: Vec<Arc<[ImageChunk]>>,
        (columns, schema): (&[usize], SchemaRef),
        ranges: Vec<RangeInclusive<i64>>,
    ) -> Self {
        Self {
            rows: rows.clone(),
            columns: columns.to_vec(),
            fetch: None,
            counts: RowCounts::from_rows(rows, &partitions, columns),
            ranges,
            is_replaceable: true,
            properties: properties(EquivalenceProperties::new(schema), partitions.len()),
            metrics: ExecutionPlanMetricsSet::new(),
            partitions,
        }
    }

    /// Returns a scan that no scan of the newest rows replaces.
    pub(crate) fn not_replaceable(self) -> Self {
        Self { is_replaceable: false, ..self }
    }

    /// Returns times between which all rows are; `None` if there are no rows.
    pub(crate) fn times(&self) -> Option<TimeInterval> {
        let times = self.rows.image.time_range();
        times.map(|(min, max)| TimeInterval { min, max })
    }

    /// Returns a scan of fewer rows, among them all that are needed; `None` if it would not be faster.
    ///
    /// # Errors
    /// DataFusion can't create the scan.
    pub fn newest(
        &self,
        needed: &NewestRows,
        config: &ConfigOptions,
    ) -> Result<Option<Arc<dyn ExecutionPlan>>> {
        let schema = self.schema();
        let field = |column: &usize| schema.fields().get(*column);
        let is_tag = |column: &usize| {
            field(column).is_some_and(|field| ColumnType::is_tag_type(field.data_type()))
        };
        let is_time = field(&needed.time).is_some_and(|field| field.name() == TIME_COLUMN);
        let latest = self.ranges.iter().map(RangeInclusive::end).max();
        let are_all_before = latest.is_none_or(|latest| *latest <= needed.until);
        let ImageRows { image, selected } = &self.rows;
        if !self.is_replaceable || !needed.keys.iter().all(is_tag) || !is_time || !are_all_before {
            return Ok(None);
        }
        let required = needed.required.iter().map(|at| self.columns.get(*at).copied());
        let Some(required) = required.collect::<Option<Vec<usize>>>() else {
            return Ok(None);
        };
        let newest = image.newest_rows(selected.as_ref(), &self.ranges, &required);
        let Some(numbers) = newest else {
            return Ok(None);
        };
        let partitions = self.partitions.len();
        let sizes = (config.execution.batch_size.get(), partitions);
        let scan = scan_numbered_rows(image, &numbers, (&self.columns, &schema), sizes)?;
        Ok(Some(scan.unwrap_or_else(|| Arc::new(EmptyExec::new(schema)))))
    }
}

impl DisplayAs for TailScanExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let partitions = self.partitions.len();
        write!(f, "TailScanExec: partitions={partitions}, columns=[")?;
        for (at, field) in self.schema().fields().iter().enumerate() {
            let separator = if at > 0 { ", " } else { "" };
            write!(f, "{separator}{}", field.name())?;
        }
        write!(f, "]")?;
        match self.fetch {
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
        &self.properties
    }

    crate::leaf_methods!();
    crate::no_expressions_method!();

    fn execute(
        &self,
        partition: usize,
        context: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream> {
        let chunks = self
            .partitions
            .get(partition)
            .ok_or_else(|| exec_datafusion_err!("a scan of a tail has no partition {partition}"))?;
        self.rows.image.note_scan(&self.columns);
        let metrics = BaselineMetrics::new(&self.metrics, partition);
        let batch_rows = context.session_config().batch_size();
        let columns = (self.columns.as_slice(), self.schema());
        let rows = LiveRows::new(&self.rows, Arc::clone(chunks), columns, batch_rows);
        Ok(match self.fetch {
            Some(fetch) => {
                let rows = rows.with_fetch(fetch).stream(metrics.intermediate());
                Box::pin(LimitStream::new(rows, 0, Some(fetch), metrics))
            }
            None => rows.stream(metrics),
        })
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }

    fn statistics_from_inputs(
        &self,
        _: &[Arc<Statistics>],
        args: &StatisticsArgs,
    ) -> Result<Arc<Statistics>> {
        let mut statistics = Statistics::new_unknown(&self.schema());
        let partitions = self.partitions.len();
        let (Some(rows), true) = (self.counts.rows, args.partition().is_none() || partitions == 1)
        else {
            return Ok(Arc::new(statistics));
        };
        statistics.num_rows = Precision::Exact(rows);
        let columns = statistics.column_statistics.iter_mut();
        for (of_column, column) in columns.zip(&self.columns) {
            if let Some(nulls) = self.counts.nulls.get(column) {
                of_column.null_count = Precision::Exact(*nulls);
            }
        }
        let statistics = statistics.with_fetch(self.fetch, 0, 1)?;
        // Each partition ends after so many rows.
        let has_all_rows = self.fetch.is_none_or(|fetch| rows <= fetch) || partitions == 1;
        Ok(Arc::new(if has_all_rows {
            statistics
        } else {
            statistics.to_inexact()
        }))
    }

    fn with_fetch(&self, limit: Option<usize>) -> Option<Arc<dyn ExecutionPlan>> {
        Some(Arc::new(Self { fetch: limit, ..self.clone().not_replaceable() }))
    }

    fn fetch(&self) -> Option<usize> {
        self.fetch
    }

    fn try_swapping_with_projection(
        &self,
        projection: &ProjectionExec,
    ) -> Result<Option<Arc<dyn ExecutionPlan>>> {
        // Projections that rename columns are not swapped.
        let columns = projection.expr().iter().map(|projected| {
            let column = projected.expr.downcast_ref::<Column>()?;
            let index = (column.name() == projected.alias).then_some(column.index())?;
            self.columns.get(index).copied()
        });
        let Some(columns) = columns.collect() else {
            return Ok(None);
        };
        let rows = projection.properties().equivalence_properties().clone();
        Ok(Some(Arc::new(Self {
            columns,
            properties: properties(rows, self.partitions.len()),
            ..self.clone()
        })))
    }
}

#[cfg(test)]
mod tests {
    use datafusion::arrow::{
        array::{ArrayRef, Int64Array, RecordBatch, TimestampNanosecondArray},
        datatypes::Schema,
    };
    use neap_points::{TagFilter, TailImageBuilder};

    use super::*;

    /// Returns a scan of two chunks, each in one partition, of three rows and two rows, with one null. `is_replaced` tells whether
    /// the second chunk has a newer version of a row of the first.
    fn scan(is_replaced: bool, filters: &[TagFilter]) -> TailScanExec {
        let fields =
            vec![ColumnType::Time.arrow_field("time"), ColumnType::Integer.arrow_field("v")];
        let schema = Arc::new(Schema::new(fields));
        let mut builder = TailImageBuilder::new(&[], Arc::clone(&schema));
        let second = if is_replaced { 3 } else { 4 };
        for (times, values) in [
            (vec![1, 2, 3], vec![Some(7), None, Some(300)]),
            (vec![second, 5], vec![Some(1 << 40), Some(1)]),
        ] {
            let times: ArrayRef = Arc::new(TimestampNanosecondArray::from(times));
            let values: ArrayRef = Arc::new(Int64Array::from(values));
            let rows = RecordBatch::try_new(Arc::clone(&schema), vec![times, values]);
            builder.push(&rows.unwrap()).unwrap();
        }
        let image = builder.image();
        let selected = (!filters.is_empty()).then(|| image.select(filters));
        let rows = ImageRows { image, selected };
        let chunks = rows.image.chunks.iter();
        let partitions = chunks.map(|chunk| Arc::from([chunk.clone()]));
        let ranges = vec![i64::MIN..=i64::MAX];
        TailScanExec::new(&rows, partitions.collect(), (&[0, 1], schema), ranges)
    }

    /// Returns the number of rows and of missing values of `v`.
    fn counts(scan: &dyn ExecutionPlan, partition: Option<usize>) -> [Precision<usize>; 2] {
        let args = StatisticsArgs::new().with_partition(partition);
        let statistics = scan.statistics_from_inputs(&[], &args).unwrap();
        [statistics.num_rows, statistics.column_statistics[1].null_count]
    }

    #[test]
    fn counts_are_exact_unless_partitions_are_limited() {
        use Precision::{Absent, Exact, Inexact};
        let all = scan(false, &[]);
        assert_eq!(counts(&all, None), [Exact(5), Exact(1)]);
        assert_eq!(counts(&all, Some(0)), [Absent, Absent]);
        let limited = |fetch| counts(all.with_fetch(Some(fetch)).unwrap().as_ref(), None);
        assert_eq!(limited(5), [Exact(5), Exact(1)]);
        assert_eq!(limited(4)[0], Inexact(4));
    }

    #[test]
    fn rows_that_are_replaced_or_not_selected_are_not_counted() {
        use Precision::{Absent, Exact};
        assert_eq!(counts(&scan(true, &[]), None), [Exact(4), Absent]);
        let filter = TagFilter { tag: "host".to_owned(), values: ["h".to_owned()].into() };
        assert_eq!(counts(&scan(false, &[filter]), None), [Absent, Absent]);
    }
}
