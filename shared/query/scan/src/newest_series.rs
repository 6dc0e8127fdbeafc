//! Finds sections that a query of the last row of each series need not read.
//!
//! ```text
//!   section 1   |-------|                     hosts a, b       not read
//!   section 2             |-------|           hosts a, b, c    read: 3 does not have all of its series
//!   section 3                       |-----|   hosts a, b       read: each series has a row in it
//! ```
//!
//! The series of sections are compared by their digests in the manifest. A row of an older section, or a version of one, is older
//! than a row of its series in the newer section, so it is the last row of no group of series.

use std::{
    cmp::Reverse,
    collections::{HashMap, HashSet},
    sync::Arc,
};

use arrow::datatypes::FieldRef;
use datafusion::{
    common::{Result, config::ConfigOptions},
    datasource::{
        physical_plan::{FileGroup, FileScanConfig, FileScanConfigBuilder},
        source::DataSourceExec,
    },
    physical_expr::expressions::Column,
    physical_plan::{ExecutionPlan, empty::EmptyExec},
};
use neap_schema::{ColumnType, TIME_COLUMN};

use crate::{
    data::SectionFile,
    dedup::DedupExec,
    file_scans::{file_scan, files},
    regions::TimeInterval,
    section_files::SectionFiles,
    section_scan::SectionScanExec,
    tail::NewestRows,
};

/// The series of the sections of a scan. The query needs no older rows of them.
#[derive(Debug)]
pub struct NewestSeries {
    /// The tags on whose values the query depends.
    tags: Vec<FieldRef>,
    /// By the digest of series: the latest time at which a section of them begins, in nanoseconds since the Unix epoch.
    starts: HashMap<String, i64>,
}

impl NewestSeries {
    /// Returns the series of the sections of a scan, if it outputs all rows of them that the query needs. `needed` are rows of the
    /// scan. Returns `None` if the query may need older rows as well, and for other operators.
    pub fn of_scan(plan: &dyn ExecutionPlan, needed: &NewestRows) -> Option<Self> {
        // A scan with a filter has rows that the query does not see.
        let is_whole = match plan.downcast_ref::<SectionScanExec>() {
            Some(scan) => !scan.has_filter(),
            None => file_scan(plan).is_some() && plan.fetch().is_none(),
        };
        // The newest row of a series may have no value of a required column.
        if !is_whole || !needed.required.is_empty() {
            return None;
        }
        let tags = key_fields(plan, needed).filter(|keys| keys.iter().all(is_tag))?;
        let mut starts = HashMap::new();
        for file in files(plan)? {
            let TimeInterval { min, max } = file.time();
            if let Some(series) = &file.section().series
                && needed.from <= min
                && max <= needed.until
            {
                let start = starts.entry(series.clone()).or_insert(min);
                *start = min.max(*start);
            }
        }
        Some(Self { tags, starts })
    }

    /// Returns a scan or a merge without sections that have only older rows of the same series. `needed` are rows of the
    /// operator. Returns `None` if there are no such sections, and for other operators.
    ///
    /// # Errors
    /// DataFusion can't create the scan.
    pub fn without_older(
        newest: &[&Self],
        plan: &Arc<dyn ExecutionPlan>,
        needed: &NewestRows,
        config: &ConfigOptions,
    ) -> Result<Option<Arc<dyn ExecutionPlan>>> {
        let files = files(plan.as_ref());
        // A limit counts rows of all sections.
        let is_source = (files.is_some() || plan.is::<DedupExec>()) && plan.fetch().is_none();
        let Some(keys) = key_fields(plan.as_ref(), needed).filter(|_| is_source) else {
            return Ok(None);
        };
        // The keys may have more columns of filters, which drop further rows of this operator only.
        let alike: Vec<_> = newest.iter().filter(|one| keys.starts_with(&one.tags)).collect();
        let is_old = |file: &SectionFile| {
            let series = file.section().series.as_ref();
            let mut starts = alike.iter().filter_map(|one| one.starts.get(series?));
            starts.any(|start| file.time().max < *start)
        };
        if has_only(plan, &is_old) {
            return Ok(Some(Arc::new(EmptyExec::new(plan.schema()))));
        }
        // A merge of some versions of rows with rows that are needed stays as it is.
        if !files.iter().flatten().any(|file| is_old(file)) {
            return Ok(None);
        }
        if let Some(scan) = plan.downcast_ref::<SectionScanExec>() {
            return Ok(Some(Arc::new(scan.without(is_old))));
        }
        file_scan(plan.as_ref())
            .map(|scan| without_files(scan, is_old, config))
            .transpose()
    }
}

fn is_tag(field: &FieldRef) -> bool {
    ColumnType::is_tag_type(field.data_type())
}

/// Returns the columns of the table, by their stored names, that are the needed keys; `None` if the operator outputs something else
/// instead of one of them, or of the time.
fn key_fields(plan: &dyn ExecutionPlan, needed: &NewestRows) -> Option<Vec<FieldRef>> {
    let schema = plan.schema();
    let field = |column: usize| match file_scan(plan) {
        // It may output expressions of columns, under any name.
        Some(scan) => {
            let projected = scan.file_source().projection()?.iter().nth(column)?;
            let read = projected.expr.downcast_ref::<Column>()?;
            let (_, field) = scan.file_schema().fields().find(read.name())?;
            Some(FieldRef::clone(field))
        }
        None => schema.fields().get(column).cloned(),
    };
    let is_time = field(needed.time)?.name() == TIME_COLUMN;
    let keys = needed.keys.iter().map(|key| field(*key)).collect::<Option<Vec<_>>>()?;
    is_time.then_some(keys)
}

/// Whether all rows of a plan come from old sections.
fn has_only(plan: &Arc<dyn ExecutionPlan>, is_old: &impl Fn(&SectionFile) -> bool) -> bool {
    match files(plan.as_ref()) {
        Some(files) => files.iter().all(|file| is_old(file)),
        None => {
            let inputs = plan.children();
            !inputs.is_empty() && inputs.iter().all(|input| has_only(input, is_old))
        }
    }
}

/// Returns a scan without old sections. The others are divided anew among as many partitions.
fn without_files(
    scan: &FileScanConfig,
    is_old: impl Fn(&SectionFile) -> bool,
    config: &ConfigOptions,
) -> Result<Arc<dyn ExecutionPlan>> {
    let partitions = scan.file_groups.len();
    let parts = scan.file_groups.iter().flat_map(|group| group.files());
    let mut known = HashSet::new();
    let mut whole = Vec::new();
    for part in parts {
        // Partitions may share a file.
        if let Some(file) = part.extension::<SectionFile>()
            && !is_old(file)
            && known.insert(file.id())
        {
            let mut all_rows = part.clone();
            all_rows.range = None;
            whole.push((Reverse(file.time().max), all_rows));
        }
    }
    whole.sort_by_key(|(newest_first, _)| *newest_first);
    let groups = SectionFiles::divided(whole.into_iter().map(|(_, file)| file), partitions);
    let files = FileScanConfigBuilder::from(scan.clone())
        .with_file_groups(groups.into_iter().map(FileGroup::new).collect())
        .with_statistics(scan.statistics().to_inexact())
        .build();
    let smaller: Arc<dyn ExecutionPlan> = DataSourceExec::from_data_source(files);
    let divided = smaller.repartitioned(partitions, config)?;
    Ok(divided.unwrap_or(smaller))
}
