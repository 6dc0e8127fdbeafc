//! The sections of a scan, and DataFusion's operator that reads them.

use std::sync::Arc;

use datafusion::{
    arrow::datatypes::SchemaRef,
    common::{Result, ScalarValue, Statistics, stats::Precision},
    datasource::{
        listing::PartitionedFile,
        physical_plan::{FileGroup, FileScanConfigBuilder, ParquetSource},
        source::DataSourceExec,
    },
    execution::{memory_pool::MemoryPool, object_store::ObjectStoreUrl},
    physical_expr::{LexOrdering, PhysicalExpr},
    physical_plan::ExecutionPlan,
};
use neap_schema::TIME_COLUMN;

use crate::{
    data::{SectionData, SectionFile},
    reader::SectionReaderFactory,
    regions::TimeInterval,
};

/// The URL under which DataFusion looks up an object store. The object store receives no requests, because sections are
/// read through `SectionReaderFactory`.
pub const STORE_URL: &str = "neap://bucket";

/// The required output of a scan of sections.
pub(crate) enum ScanOutput {
    /// All rows, in this order of the columns of the table.
    Sorted(LexOrdering),
    /// Rows in any order: this many, or all.
    Any(Option<usize>),
}

/// Sections of a table that are read together.
#[derive(Clone, Debug)]
pub(crate) struct SectionFiles {
    /// The newest first, so that queries of the last rows can skip the others.
    pub(crate) files: Vec<SectionFile>,
    /// The source of their bytes.
    pub(crate) data: SectionData,
    /// The memory of queries.
    pub(crate) memory: Arc<dyn MemoryPool>,
    /// The columns of the table, sorted by name.
    pub(crate) table: SchemaRef,
    /// The columns that are read.
    pub(crate) projection: Arc<[usize]>,
    /// A condition on columns of the table, by which rows may be skipped.
    pub(crate) predicate: Option<Arc<dyn PhysicalExpr>>,
    /// Maximum number of partitions.
    pub(crate) partitions: usize,
}

impl SectionFiles {
    /// Divides items among at most this many partitions, which take turns.
    pub(crate) fn divided<T>(items: impl ExactSizeIterator<Item = T>, most: usize) -> Vec<Vec<T>> {
        let count = most.clamp(1, items.len().max(1));
        let mut groups: Vec<Vec<T>> = (0..count).map(|_| Vec::new()).collect();
        for (at, item) in items.enumerate() {
            if let Some(group) = groups.get_mut(at % count) {
                group.push(item);
            }
        }
        groups
    }

    /// Plans a scan by DataFusion's operator.
    /// Fails if the table lacks a column.
    pub(crate) fn data_source(&self, output: ScanOutput) -> Result<Arc<dyn ExecutionPlan>> {
        let mut source = ParquetSource::new(Arc::clone(&self.table))
            .with_parquet_file_reader_factory(Arc::new(SectionReaderFactory {
                data: self.data.clone(),
                memory: Arc::clone(&self.memory),
            }))
            .with_enable_page_index(true)
            .with_bloom_filter_on_read(true);
        if let Some(predicate) = &self.predicate {
            source = source.with_predicate(Arc::clone(predicate));
        }
        let parts = self.files.iter().map(|file| {
            // By its statistics, a file is not read once the rows of an `ORDER BY time DESC LIMIT` were found.
            PartitionedFile::new(file.name(), file.length())
                .with_statistics(Arc::new(self.statistics_of([file])))
                .with_extension(file.clone())
        });
        let groups = Self::divided(parts, self.partitions).into_iter();
        let mut config =
            FileScanConfigBuilder::new(ObjectStoreUrl::parse(STORE_URL)?, Arc::new(source))
                .with_projection_indices(Some(self.projection.to_vec()))?
                .with_statistics(self.statistics())
                .with_file_groups(groups.map(FileGroup::new).collect());
        match output {
            ScanOutput::Sorted(order) => config = config.with_output_ordering(vec![order]),
            ScanOutput::Any(limit) => config = config.with_limit(limit),
        }
        Ok(DataSourceExec::from_data_source(config.build()))
    }

    /// Returns the statistics of the sections with the schema of the whole table. They are exact, because the manifest
    /// records exact row counts and times, and a section contains every point once.
    pub(crate) fn statistics(&self) -> Statistics {
        self.statistics_of(&self.files)
    }

    fn statistics_of<'a>(&self, files: impl IntoIterator<Item = &'a SectionFile>) -> Statistics {
        let mut rows = 0_u64;
        let mut times: Option<TimeInterval> = None;
        for file in files {
            rows = rows.saturating_add(file.section().rows);
            times = Some(times.map_or(file.time(), |all| all.enclosing(file.time())));
        }
        let mut statistics = Statistics::new_unknown(&self.table);
        statistics.num_rows = usize::try_from(rows).map_or(Precision::Absent, Precision::Exact);
        let column = self
            .table
            .index_of(TIME_COLUMN)
            .ok()
            .and_then(|at| statistics.column_statistics.get_mut(at));
        if let (Some(column), Some(times)) = (column, times) {
            let time = |time| Precision::Exact(ScalarValue::TimestampNanosecond(Some(time), None));
            (column.min_value, column.max_value) = (time(times.min), time(times.max));
            column.null_count = Precision::Exact(0);
        }
        statistics
    }
}
