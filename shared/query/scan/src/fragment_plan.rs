//! The local plan of a fragment: opens its sections and its tail by name.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use datafusion::{
    common::{DFSchema, Result},
    execution::SessionState,
    logical_expr::Expr,
    physical_plan::{ExecutionPlan, union::UnionExec},
};
use neap_manifest::SectionWithFooter;
use neap_wal::TailReader;

use crate::{
    data::SectionFile,
    error::external,
    fragment::{FragmentError, ScanFragment, ScanRegion},
    plan::{ScanPlanner, ScanSource, SourceRows, filter, project},
    predicate::ScanPredicates,
    regions::TimeInterval,
    scan_context::ScanContext,
    tail::{StaleTail, TailSnapshot, TailView},
    visibility::RowVisibility,
};

/// Plans fragments in one process.
pub(crate) struct FragmentPlanner<'a> {
    /// The stores and caches.
    pub(crate) scan: &'a Arc<ScanContext>,
    /// The reader of segments.
    pub(crate) tail: &'a TailReader,
    /// The session that creates expressions.
    pub(crate) session: &'a SessionState,
    pub(crate) fragment: &'a ScanFragment,
    /// The filters of the query on the table.
    pub(crate) filters: &'a [Expr],
}

impl FragmentPlanner<'_> {
    /// Returns the plan of the fragment. Its output may have any number of partitions.
    pub(crate) async fn plan(&self) -> Result<Arc<dyn ExecutionPlan>> {
        let fragment = self.fragment;
        let hiding = RowVisibility::of_fragment(
            fragment.first_seen,
            fragment.table.tag_names(),
            fragment.deletes.clone(),
            fragment.tail_deletes.clone(),
        );
        let tail = self.tail_view().await?;
        let regions = fragment.regions.iter();
        let of_all_series: Vec<&ScanRegion> =
            regions.clone().filter(|region| region.series.is_none()).collect();
        let mut plans = Vec::new();
        for region in regions.filter(|region| region.series.is_some()) {
            plans.push(self.plan_regions(&[region], tail.as_ref(), &hiding)?);
        }
        if plans.is_empty() || !of_all_series.is_empty() {
            plans.push(self.plan_regions(&of_all_series, tail.as_ref(), &hiding)?);
        }
        match plans.len() {
            1 => Ok(plans.swap_remove(0)),
            _ => UnionExec::try_new(plans),
        }
    }

    /// Plans regions of the same series.
    fn plan_regions(
        &self,
        regions: &[&ScanRegion],
        tail: Option<&TailView>,
        hiding: &RowVisibility,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let fragment = self.fragment;
        let (schema, tags) = (fragment.table.arrow_schema(), fragment.table.tag_names());
        let series = regions.iter().find_map(|region| region.series.as_ref());
        let mut filters = self.filters.to_vec();
        filters.extend(series.map(|series| series.condition()));
        let predicates = ScanPredicates::new(self.session, &filters, &schema, &tags)?;
        let sources = match predicates.selected_keys.time.intersection(hiding.seen) {
            Some(time) => self.sources(regions, tail, (&predicates, hiding), time),
            None => Vec::new(),
        };
        let planner = ScanPlanner {
            session: self.session,
            hiding,
            data: &self.scan.data,
            schema: &schema,
            tags: &tags,
            on_duplicate: fragment.table.on_duplicate(),
            predicates: &predicates,
            partitions: fragment.partitions,
            limit: fragment.limit,
        };
        let Some(series) = series else {
            return planner.plan(&fragment.projection, &sources);
        };
        let tag = schema.index_of(&series.tag)?;
        let mut wide = fragment.projection.clone();
        if !wide.contains(&tag) {
            wide.push(tag);
        }
        let unfiltered = planner.plan(&wide, &sources)?;
        let plan = self.filter(unfiltered, series.condition())?;
        project(plan, &schema, &wide, &fragment.projection)
    }

    /// Filters a plan by a condition on its columns.
    fn filter(
        &self,
        plan: Arc<dyn ExecutionPlan>,
        condition: Expr,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let schema: SchemaRef = plan.schema();
        let condition =
            self.session.create_physical_expr(condition, &DFSchema::try_from(schema)?)?;
        filter(self.session, condition, plan)
    }

    /// Returns the sources of regions, from the oldest to the newest.
    fn sources(
        &self,
        regions: &[&ScanRegion],
        tail: Option<&TailView>,
        (predicates, hiding): (&ScanPredicates, &RowVisibility),
        time: TimeInterval,
    ) -> Vec<ScanSource> {
        let table: Arc<str> = Arc::from(self.fragment.table.name());
        let mut within: Vec<Vec<TimeInterval>> = vec![Vec::new(); self.fragment.sections.len()];
        for region in regions {
            let range = region.time.intersection(time);
            for at in &region.sections {
                if let (Some(range), Some(within)) = (range, within.get_mut(*at)) {
                    within.push(range);
                }
            }
        }
        let mut sources = Vec::new();
        for (section, ranges) in self.fragment.sections.iter().zip(within) {
            let loaded = SectionWithFooter { section: Arc::new(section.clone()), footer: None };
            let file = SectionFile::new(self.fragment.database, Arc::clone(&table), &loaded);
            let whole = file.time().intersection(time);
            sources.extend(joined(ranges.into_iter()).into_iter().map(|range| ScanSource {
                time: range,
                is_clipped: Some(range) != whole,
                rows: SourceRows::Section(file.clone()),
                hidden: hiding.of_section(section),
            }));
        }
        if let Some(tail) = tail {
            let within = regions.iter().filter(|region| region.has_tail);
            let intervals = joined(within.filter_map(|region| region.time.intersection(time)));
            sources.extend(tail_sources(tail, &intervals, predicates, hiding));
        }
        sources
    }

    /// Returns the runs and the image of the tail; `None` if no region reads it.
    async fn tail_view(&self) -> Result<Option<TailView>> {
        let fragment = self.fragment;
        if fragment.tail.names.is_empty() {
            return Ok(None);
        }
        let (reader, database) = (self.tail.clone(), fragment.database);
        let names = fragment.tail.names.clone();
        let fetch = async move { reader.fetch(database, &names).await };
        let answer = self.scan.io_runtime.run(fetch).await;
        let fetched = answer.map_err(FragmentError::from).map_err(external)?;
        if let Some(gone) = fetched.missing.first() {
            return Err(external(FragmentError::SegmentGone(*gone)));
        }
        let snapshot = TailSnapshot {
            database,
            mark: fragment.tail.mark,
            quarantine: 0,
            as_of: fragment.tail.as_of,
            segments: fetched.segments.into(),
        };
        let (scan, table) = (Arc::clone(self.scan), fragment.table.clone());
        let schema = table.arrow_schema();
        let series = fragment.regions.iter().filter_map(|region| region.series.as_ref());
        let tags = series.filter_map(|series| schema.index_of(&series.tag).ok());
        let columns: Vec<usize> = fragment.projection.iter().copied().chain(tags).collect();
        let view = move || {
            let tails = &scan.tails;
            tails.image(&snapshot, &table, &columns, StaleTail::Rebuild)
        };
        let view = tokio::task::spawn_blocking(view).await;
        view.map_err(external)?.map_err(external).map(Some)
    }
}

/// Returns the sources of a tail within these ranges, from the oldest to the newest.
fn tail_sources(
    tail: &TailView,
    ranges: &[TimeInterval],
    predicates: &ScanPredicates,
    hiding: &RowVisibility,
) -> Vec<ScanSource> {
    let clip = |source: ScanSource| {
        let parts = ranges.iter().filter_map(|range| {
            let time = source.time.intersection(*range)?;
            Some(ScanSource { time, is_clipped: time != source.time, ..source.clone() })
        });
        parts.collect::<Vec<_>>()
    };
    let sources = ScanSource::of_tail(tail, predicates, hiding);
    sources.flat_map(clip).collect()
}

/// Sorts ranges and joins adjacent ones.
fn joined(ranges: impl Iterator<Item = TimeInterval>) -> Vec<TimeInterval> {
    let mut ranges: Vec<TimeInterval> = ranges.collect();
    ranges.sort_unstable_by_key(|range| range.min);
    let mut joined: Vec<TimeInterval> = Vec::new();
    for range in ranges {
        match joined.last_mut() {
            Some(last) if range.min <= last.max.saturating_add(1) => {
                last.max = last.max.max(range.max);
            }
            _ => joined.push(range),
        }
    }
    joined
}
