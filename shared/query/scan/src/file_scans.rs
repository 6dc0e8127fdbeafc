//! The sections that a plan reads.

use std::{collections::HashSet, sync::Arc};

use datafusion::{
    datasource::{physical_plan::FileScanConfig, source::DataSourceExec},
    physical_plan::{ExecutionPlan, ExecutionPlanProperties},
};

use crate::{data::SectionFile, section_scan::SectionScanExec};

/// The number of sections and partitions that the scans of a plan read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FileScans {
    /// The number of partitions of all scans of sections.
    pub partitions: usize,
    /// The number of sections. Those that several scans read count for each.
    pub files: usize,
}

impl FileScans {
    /// Counts the scans of a plan.
    pub fn from_plan(plan: &Arc<dyn ExecutionPlan>) -> Self {
        let mut all = Self::default();
        all.count(plan);
        all
    }

    fn count(&mut self, plan: &Arc<dyn ExecutionPlan>) {
        if let Some(files) = files(plan.as_ref()) {
            let ids: HashSet<_> = files.iter().map(|file| file.id()).collect();
            self.partitions += plan.output_partitioning().partition_count();
            self.files += ids.len();
        }
        for input in plan.children() {
            self.count(input);
        }
    }
}

/// Returns an estimate of the bytes that a local plan reads from sections: the projected columns of all sections that
/// were not pruned or answered from statistics.
pub fn read_bytes(plan: &Arc<dyn ExecutionPlan>) -> u64 {
    let own = section_bytes(plan.as_ref());
    let inputs = plan.children().into_iter();
    own.saturating_add(inputs.map(read_bytes).fold(0, u64::saturating_add))
}

fn section_bytes(plan: &dyn ExecutionPlan) -> u64 {
    let Some(files) = files(plan) else {
        return 0;
    };
    let all = table_columns(plan).max(1) as u64;
    let projected = plan.schema().fields().len().max(1) as u64;
    let bytes = files.iter().map(|file| file.length()).fold(0, u64::saturating_add);
    bytes.saturating_mul(projected.min(all)) / all
}

/// The scan of DataFusion's operator.
pub(crate) fn file_scan(plan: &dyn ExecutionPlan) -> Option<&FileScanConfig> {
    let source = plan.downcast_ref::<DataSourceExec>()?;
    source.data_source().downcast_ref::<FileScanConfig>()
}

/// Returns the sections that an operator reads, more than once if partitions share one; `None` if it reads others.
pub(crate) fn files(plan: &dyn ExecutionPlan) -> Option<Vec<&SectionFile>> {
    if let Some(scan) = plan.downcast_ref::<SectionScanExec>() {
        return Some(scan.files().iter().collect());
    }
    let groups = file_scan(plan)?.file_groups.iter();
    let files = groups.flat_map(|group| group.files());
    files.map(|file| file.extension()).collect()
}

/// The number of columns of the table of a scan.
fn table_columns(plan: &dyn ExecutionPlan) -> usize {
    let of_sections = plan.downcast_ref::<SectionScanExec>().map(SectionScanExec::table_columns);
    let of_files = || file_scan(plan).map(|files| files.file_schema().fields().len());
    of_sections.or_else(of_files).unwrap_or_default()
}
