//! Plans the scan of a table by name: the objects of the snapshot that it reads, and where the scan can be divided.

use std::{collections::BTreeSet, sync::Arc};

use datafusion::{
    common::{Result, plan_err},
    parquet::file::metadata::ParquetMetaData,
    physical_plan::{ExecutionPlan, empty::EmptyExec},
};
use futures::{StreamExt, stream};
use neap_manifest::SectionWithFooter;
use neap_section::SectionFooter;

use crate::{
    assignment::{SeriesCuts, WeightedRegion, region_bytes},
    data::{SectionData, SectionFile},
    fragment::{ScanFragment, TailSegments, divide},
    regions::TimeInterval,
    scan_exec::{DistributedScans, SnapshotScanExec},
    snapshot_table::{ScanRequest, SnapshotTable},
    visibility::RowVisibility,
};

/// Regions with less than this share of the scan are not divided.
const MIN_DIVIDED_SHARE: u64 = 32;

/// Maximum number of regions that are divided. Each costs a read of a footer.
const MAX_DIVIDED_REGIONS: usize = 64;

/// Maximum number of footers that are read at the same time.
const CONCURRENT_FOOTERS: usize = 16;

impl SnapshotTable {
    /// Plans a scan by name.
    pub(crate) async fn scan_by_name(
        &self,
        scans: &DistributedScans,
        request: ScanRequest<'_>,
        hiding: &RowVisibility,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let columns = self.stored_table().arrow_schema();
        let projection: Vec<usize> = match request.projection {
            Some(projection) => projection.clone(),
            None => (0..columns.fields().len()).collect(),
        };
        let manifest = &self.snapshot().manifest;
        if manifest.value.last_quarantine() > 0 && self.is_in_tail() {
            // A segment without its damaged parts has the name of the damaged one.
            return plan_err!("the tail of table '{}' was repaired", self.table().name());
        }
        let Some(time) = request.predicates.selected_keys.time.intersection(hiding.seen) else {
            let schema = Arc::new(columns.project(&projection)?);
            return Ok(Arc::new(EmptyExec::new(schema)));
        };
        let times = neap_manifest::TimeRange { first: time.min, last: time.max };
        let sections = self.sections(times).await?;
        let sections = request.predicates.prune(&columns, sections)?;
        let share = (projection.len().max(1), columns.fields().len().max(1));
        let (deletes, tail_deletes) = hiding.deletes();
        let mut fragment = ScanFragment {
            database: self.snapshot().database,
            catalog_version: self.snapshot().catalog.version,
            manifest_version: manifest.version,
            table: self.stored_table().without_caches(),
            first_seen: hiding.seen.min,
            deletes: deletes.to_vec(),
            tail_deletes: tail_deletes.to_vec(),
            tail: self.tail_segments(),
            sections: sections.iter().map(|one| (*one.section).clone()).collect(),
            regions: Vec::new(),
            projection,
            limit: request.limit,
            partitions: request.partitions.max(1),
        };
        fragment.regions = divide(&fragment.sections, fragment.tail.time, time);
        let regions = self.weighted(&fragment, &sections, share, scans.min_part_bytes).await?;
        let filters = request.filters.to_vec().into();
        let environment = Arc::clone(&scans.environment);
        let scan = SnapshotScanExec::new(Arc::new(fragment), &regions, filters, environment)?;
        Ok(Arc::new(scan))
    }

    /// The segments of the tail, if it has rows of this table.
    fn tail_segments(&self) -> TailSegments {
        let snapshot = self.snapshot();
        let mut tail = TailSegments {
            mark: snapshot.mark(),
            as_of: snapshot.as_of,
            names: Vec::new(),
            time: None,
        };
        if !self.is_in_tail() {
            return tail;
        }
        tail.names = snapshot.tail_names().collect();
        let summaries = snapshot.tail.iter().flat_map(|segment| segment.tables());
        let ours = summaries.filter(|rows| rows.table == self.table().id());
        tail.time = ours
            .map(|rows| TimeInterval { min: rows.min_time, max: rows.max_time })
            .reduce(|one, other| TimeInterval {
                min: one.min.min(other.min),
                max: one.max.max(other.max),
            });
        tail
    }

    /// Returns the regions of a fragment with their sizes, and with the values at which large ones can be divided.
    /// `share` is the number of projected columns and of all columns.
    async fn weighted(
        &self,
        fragment: &ScanFragment,
        sections: &[SectionWithFooter],
        (projected, all): (usize, usize),
        min_part_bytes: u64,
    ) -> Result<Vec<WeightedRegion>> {
        let segments = self.snapshot().tail.iter();
        let tail_bytes = segments.map(|segment| segment.size_bytes() as u64).sum();
        let mut regions: Vec<WeightedRegion> = fragment
            .regions
            .iter()
            .map(|region| {
                let bytes = region_bytes(fragment, region, tail_bytes);
                WeightedRegion {
                    bytes: bytes.saturating_mul(projected as u64) / all as u64,
                    region: region.clone(),
                    cuts: None,
                }
            })
            .collect();
        let total: u64 = regions.iter().map(|region| region.bytes).sum();
        let least = (total / MIN_DIVIDED_SHARE).max(min_part_bytes);
        let mut large: Vec<usize> = (0..regions.len())
            .filter(|at| regions.get(*at).is_some_and(|region| region.bytes > least))
            .collect();
        large.sort_by_key(|at| std::cmp::Reverse(regions.get(*at).map(|region| region.bytes)));
        large.truncate(MAX_DIVIDED_REGIONS);
        let table: Arc<str> = Arc::from(self.table().name());
        let files: Vec<(usize, SectionFile)> = large
            .into_iter()
            .filter_map(|at| {
                let of_region =
                    regions.get(at)?.region.sections.iter().filter_map(|at| sections.get(*at));
                let largest = of_region.max_by_key(|one| one.section.length)?;
                let file = SectionFile::new(fragment.database, Arc::clone(&table), largest);
                Some((at, file))
            })
            .collect();
        let tags = self.stored_table().tag_names();
        for (at, footer) in footers(&self.shared().data, files).await {
            if let Some(region) = regions.get_mut(at) {
                region.cuts = series_cuts(footer.metadata(), &tags);
            }
        }
        Ok(regions)
    }
}

/// Reads the footers of sections, several at once. One that can't be read is left out: its region is not divided, and the
/// scan reports the error.
async fn footers(
    data: &SectionData,
    files: Vec<(usize, SectionFile)>,
) -> Vec<(usize, Arc<SectionFooter>)> {
    let reads: Vec<_> = files
        .into_iter()
        .map(|(at, file)| {
            let data = data.clone();
            async move { Some((at, data.footer(&file).await.ok()?)) }
        })
        .collect();
    let footers = stream::iter(reads).buffer_unordered(CONCURRENT_FOOTERS);
    footers.filter_map(futures::future::ready).collect().await
}

/// Returns the values of the first tag that differs among the row groups of a section, at which the groups begin. Rows
/// are sorted by tags, so the parts of a section between two values are read from different row groups.
fn series_cuts(metadata: &ParquetMetaData, tags: &[String]) -> Option<SeriesCuts> {
    let schema = metadata.file_metadata().schema_descr();
    tags.iter().find_map(|tag| {
        let mut columns = schema.columns().iter();
        let column = columns.position(|column| column.name() == tag)?;
        let firsts = metadata.row_groups().iter().filter_map(|group| {
            let statistics = group.columns().get(column)?.statistics()?;
            let first = statistics.min_bytes_opt()?;
            String::from_utf8(first.to_vec()).ok()
        });
        let firsts: BTreeSet<String> = firsts.collect();
        // The first part needs no value: it begins with the lowest one.
        let values: Vec<String> = firsts.into_iter().skip(1).collect();
        (!values.is_empty()).then(|| SeriesCuts { tag: tag.clone(), values })
    })
}
