//! The physical plan of a scan: direct reads of times that one source covers, merges of times that several cover.
//!
//! ```text
//!   UnionExec
//!     DataSourceExec   sections without overlap, split for parallel reading
//!     SectionScanExec  instead, if the query requires values of tags
//!     FilterExec       sections without overlap whose rows are hidden by the same deletes and retention
//!     TailScanExec     tail without overlap; StreamingTableExec if rows of it are looked up or spilled
//!     FilterExec       the part of a section outside of its overlaps
//!     DedupExec        one for each overlap; below a SequenceExec if not all of them fit into memory at once
//!       SectionScanExec     section, from the oldest ...; only the rows of the wanted series
//!       ...
//!       StreamingTableExec  ... to the tail, sorted; the other way round if earlier rows are kept
//! ```
//!
//! With [`SeriesOrder`], the plan is one merge of all sources, which are read by tasks of their own.

mod merges;
mod tails;

use std::{cmp::Reverse, sync::Arc};

use arrow::{compute::SortOptions, datatypes::SchemaRef};
use datafusion::{
    catalog::Session,
    common::{Result, ScalarValue, plan_datafusion_err},
    logical_expr::Operator,
    physical_expr::{
        LexOrdering, PhysicalExpr, PhysicalSortExpr, conjunction_opt,
        expressions::{BinaryExpr, Column, Literal},
    },
    physical_plan::{
        ExecutionPlan, empty::EmptyExec, filter::FilterExecBuilder, projection::ProjectionExec,
        union::UnionExec,
    },
};
use neap_schema::{OnDuplicate, TIME_COLUMN};

use crate::{
    data::{SectionData, SectionFile},
    predicate::ScanPredicates,
    regions::{TimeInterval, TimeRegions},
    section_files::{ScanOutput, SectionFiles},
    section_scan::SectionScanExec,
    tail::{ImageRows, TailRun, TailView, streamed},
    visibility::{DeletedRows, RowVisibility, VisibleRows},
};

/// The rows of one interval of stamps. Contains every point once.
#[derive(Clone, Debug)]
pub(crate) struct ScanSource {
    /// The time range of its rows, limited to that of the query.
    pub(crate) time: TimeInterval,
    /// Whether the range excludes rows that the query selects, because a fragment reads them elsewhere.
    pub(crate) is_clipped: bool,
    pub(crate) rows: SourceRows,
    /// The causes that hide rows of the source.
    pub(crate) hidden: DeletedRows,
}

impl ScanSource {
    /// Returns the sources of a tail, from the oldest to the newest.
    pub(crate) fn of_tail(
        tail: &TailView,
        predicates: &ScanPredicates,
        hiding: &RowVisibility,
    ) -> impl Iterator<Item = Self> {
        let of_runs = tail.runs.iter().map(|run| Self {
            time: run.time(),
            is_clipped: false,
            hidden: hiding.of_run(run),
            rows: SourceRows::Run(Arc::clone(run)),
        });
        let of_image = tail.image.time_range().map(|(min, max)| Self {
            time: TimeInterval { min, max },
            is_clipped: false,
            hidden: DeletedRows::default(),
            rows: SourceRows::Tail(ImageRows {
                image: Arc::clone(&tail.image),
                selected: predicates.select(&tail.image),
            }),
        });
        of_runs.chain(of_image)
    }
}

/// The location of the rows of a source.
#[derive(Clone, Debug)]
pub(crate) enum SourceRows {
    /// A section, sorted by tags and time.
    Section(SectionFile),
    /// A spill file, sorted by tags and time.
    Run(Arc<TailRun>),
    /// Memory: the rows of an image.
    Tail(ImageRows),
}

/// An extension of the session configuration: scans output all rows in the order of series and times, in one partition. Each
/// source has this order, so that merging them costs less than sorting their rows.
#[derive(Clone, Copy, Debug)]
pub struct SeriesOrder;

/// The parameters of a scan.
pub(crate) struct ScanPlanner<'a> {
    /// The session of the query.
    pub(crate) session: &'a dyn Session,
    /// The visibility of rows of the table.
    pub(crate) hiding: &'a RowVisibility,
    /// The reader of sections.
    pub(crate) data: &'a SectionData,
    /// The columns of the table, sorted by name.
    pub(crate) schema: &'a SchemaRef,
    /// The tags of the table, in the order of its series key.
    pub(crate) tags: &'a [String],
    /// What a row does to an earlier one with the same tags and time.
    pub(crate) on_duplicate: OnDuplicate,
    /// The filters.
    pub(crate) predicates: &'a ScanPredicates,
    /// The number of partitions that execute in parallel.
    pub(crate) partitions: usize,
    /// The number of rows that the query needs. Applied only to rows that are neither filtered nor deduplicated.
    pub(crate) limit: Option<usize>,
}

impl ScanPlanner<'_> {
    /// Plans a scan of columns of `sources`, which are ordered from the oldest to the newest.
    pub(crate) fn plan(
        &self,
        projection: &[usize],
        sources: &[ScanSource],
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let times: Vec<TimeInterval> = sources.iter().map(|source| source.time).collect();
        let mut regions = if self.has_series_order() {
            TimeRegions::merged(&times)
        } else {
            TimeRegions::from_sources(&times)
        };
        if self.on_duplicate == OnDuplicate::Keep {
            // A merge prefers the values of its later inputs.
            for overlap in &mut regions.overlaps {
                overlap.sources.reverse();
            }
        }
        let mut inputs = self.direct(projection, sources, &regions)?;
        inputs.extend(self.merges(projection, sources, &regions.overlaps)?);
        if inputs.is_empty() {
            Ok(Arc::new(EmptyExec::new(Arc::new(self.schema.project(projection)?))))
        } else {
            UnionExec::try_new(inputs)
        }
    }

    /// Whether all rows are output in the order of series and times.
    fn has_series_order(&self) -> bool {
        self.session.config().get_extension::<SeriesOrder>().is_some()
    }

    /// Plans scans of the times that only one source covers.
    fn direct(
        &self,
        projection: &[usize],
        sources: &[ScanSource],
        regions: &TimeRegions,
    ) -> Result<Vec<Arc<dyn ExecutionPlan>>> {
        let mut plans = Vec::new();
        // Sections that are read whole, grouped by hidden rows and by whether the filters are true of all rows.
        let mut whole: Vec<(&DeletedRows, bool, Vec<&SectionFile>)> = Vec::new();
        for (source, ranges) in sources.iter().zip(&regions.direct) {
            match &source.rows {
                _ if ranges.is_empty() => {}
                SourceRows::Section(file)
                    if ranges.contains(&source.time) && !source.is_clipped =>
                {
                    let passes = self.passes(file);
                    let alike = whole
                        .iter_mut()
                        .find(|(hidden, pass, _)| **hidden == source.hidden && *pass == passes);
                    match alike {
                        Some((.., files)) => files.push(file),
                        None => whole.push((&source.hidden, passes, vec![file])),
                    }
                }
                SourceRows::Section(file) => {
                    let files = [file];
                    plans.push(self.scan_sections_directly(
                        &files,
                        (&source.hidden, false),
                        Some(ranges),
                        projection,
                    )?);
                }
                SourceRows::Run(run) => {
                    let is_whole = self.has_all_selected(ranges, run.time());
                    let ranges = (!is_whole).then_some(ranges.as_slice());
                    plans.push(self.scan_run_directly(run, &source.hidden, ranges, projection)?);
                }
                SourceRows::Tail(rows) => plans.extend(self.tail(rows, projection, ranges)?),
            }
        }
        for (hidden, pass, files) in whole {
            plans.push(self.scan_sections_directly(&files, (hidden, pass), None, projection)?);
        }
        Ok(plans)
    }

    /// Whether the filters are true of all rows of a section according to its time range.
    fn passes(&self, file: &SectionFile) -> bool {
        self.predicates.is_time_only && self.predicates.selected_keys.time.contains(file.time())
    }

    /// Plans a scan of the visible rows of sections, optionally only of those in the time ranges. If the filters are
    /// true of all rows (`pass`), they are not applied, so that the statistics stay exact.
    fn scan_sections_directly(
        &self,
        files: &[&SectionFile],
        (hidden, pass): (&DeletedRows, bool),
        ranges: Option<&[TimeInterval]>,
        projection: &[usize],
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let all = self.predicates.all.as_ref().filter(|_| !pass);
        let seen = self.hiding.visible_rows(hidden);
        let wide = self.with_visibility_columns(projection, seen.as_ref(), ranges.is_some());
        let sections = self.section_files(files, &wide, all, self.partitions);
        if let Some(keys) = self.predicates.selecting_keys()
            && self.predicates.requires_tags()
        {
            let schema = Arc::new(self.schema.project(&wide)?);
            let conditions = self.row_conditions(&schema, ranges, seen.as_ref())?;
            let filter = conjunction_opt(conditions);
            let scan = SectionScanExec::try_new(sections, Arc::clone(keys), filter)?;
            return self.project(Arc::new(scan), &wide, projection);
        }
        // Rows outside of the ranges are in an overlap and are read there.
        let is_filtered = seen.is_some() || self.predicates.all.is_some();
        let limit = self.limit.filter(|_| !is_filtered);
        let mut plan = sections.data_source(ScanOutput::Any(limit))?;
        if let Some(ranges) = ranges {
            plan = self.within(plan, ranges)?;
        }
        self.project(self.filter_visible(plan, seen.as_ref())?, &wide, projection)
    }

    /// Plans a scan of the visible rows of a run, optionally only of those in the time ranges.
    fn scan_run_directly(
        &self,
        run: &Arc<TailRun>,
        hidden: &DeletedRows,
        ranges: Option<&[TimeInterval]>,
        projection: &[usize],
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let seen = self.hiding.visible_rows(hidden);
        let wide = self.with_visibility_columns(projection, seen.as_ref(), ranges.is_some());
        let schema = Arc::new(self.schema.project(&wide)?);
        let mut plan = streamed(&schema, vec![Arc::new(run.rows(&wide)?)], None)?;
        if let Some(ranges) = ranges {
            plan = self.within(plan, ranges)?;
        }
        self.project(self.filter_visible(plan, seen.as_ref())?, &wide, projection)
    }

    /// Filters a plan by visibility. The plan must output the columns that the condition reads.
    fn filter_visible(
        &self,
        plan: Arc<dyn ExecutionPlan>,
        seen: Option<&VisibleRows>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let Some(seen) = seen else {
            return Ok(plan);
        };
        let seen = seen.physical(&plan.schema())?;
        filter(self.session, seen, plan)
    }

    /// Filters a plan to the rows whose time is in one of the ranges.
    fn within(
        &self,
        plan: Arc<dyn ExecutionPlan>,
        ranges: &[TimeInterval],
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let condition = within(ranges, &plan.schema())?;
        filter(self.session, condition, plan)
    }

    /// Returns the conditions that the time of a row with these columns is in one of the ranges, and that it is visible.
    fn row_conditions(
        &self,
        schema: &SchemaRef,
        ranges: Option<&[TimeInterval]>,
        seen: Option<&VisibleRows>,
    ) -> Result<impl Iterator<Item = Arc<dyn PhysicalExpr>>> {
        let ranges = ranges.map(|ranges| within(ranges, schema)).transpose()?;
        let seen = seen.map(|seen| seen.physical(schema));
        Ok(ranges.into_iter().chain(seen.transpose()?))
    }

    /// Sections that are read with these columns. `partitions` is the maximum number of partitions.
    fn section_files(
        &self,
        files: &[&SectionFile],
        projection: &[usize],
        predicate: Option<&Arc<dyn PhysicalExpr>>,
        partitions: usize,
    ) -> SectionFiles {
        let mut newest_first = files.to_vec();
        newest_first.sort_by_key(|file| Reverse(file.time().max));
        SectionFiles {
            files: newest_first.into_iter().cloned().collect(),
            data: self.data.clone(),
            memory: Arc::clone(&self.session.runtime_env().memory_pool),
            table: Arc::clone(self.schema),
            projection: projection.into(),
            predicate: predicate.cloned(),
            partitions,
        }
    }

    /// Whether one of the ranges has all rows of these times that the filters of the query may select. Rows that they don't
    /// select need no filter of the scan: DataFusion applies the exact filter above it.
    fn has_all_selected(&self, ranges: &[TimeInterval], times: TimeInterval) -> bool {
        match self.predicates.selected_keys.time.intersection(times) {
            Some(selected) => ranges.iter().any(|range| range.contains(selected)),
            None => true,
        }
    }

    /// Adds the columns of the visibility condition to `projection`, and the time column if rows are selected by time.
    fn with_visibility_columns(
        &self,
        projection: &[usize],
        seen: Option<&VisibleRows>,
        by_time: bool,
    ) -> Vec<usize> {
        self.with_needed(projection, |name| {
            by_time && name == TIME_COLUMN || seen.is_some_and(|seen| seen.reads(name))
        })
    }

    /// Adds the time column to `projection`.
    fn with_time(&self, projection: &[usize]) -> Vec<usize> {
        self.with_needed(projection, |name| name == TIME_COLUMN)
    }

    /// Adds the key columns to `projection`.
    fn with_keys(&self, projection: &[usize]) -> Vec<usize> {
        self.with_needed(projection, |name| {
            name == TIME_COLUMN || self.tags.iter().any(|tag| tag == name)
        })
    }

    fn with_needed(&self, projection: &[usize], needed: impl Fn(&str) -> bool) -> Vec<usize> {
        let fields = self.schema.fields().iter().enumerate();
        fields
            .filter(|(at, field)| projection.contains(at) || needed(field.name()))
            .map(|(at, _)| at)
            .collect()
    }

    /// Projects a plan with the columns `from` to the columns `to`.
    fn project(
        &self,
        plan: Arc<dyn ExecutionPlan>,
        from: &[usize],
        to: &[usize],
    ) -> Result<Arc<dyn ExecutionPlan>> {
        project(plan, self.schema, from, to)
    }

    /// The sort order of sections with the schema of the whole table.
    fn file_order(&self) -> Result<LexOrdering> {
        Ok(self.order(self.schema)?.0)
    }

    /// The sort order of sections with `schema`, and the indexes of the key columns in it.
    fn order(&self, schema: &SchemaRef) -> Result<(LexOrdering, Arc<[usize]>)> {
        let options = SortOptions { descending: false, nulls_first: true };
        let names = self.tags.iter().map(String::as_str).chain([TIME_COLUMN]);
        let keys = names.map(|name| schema.index_of(name)).collect::<Result<Vec<_>, _>>()?;
        let sorts = keys.iter().map(|at| {
            let column = Column::new(schema.field(*at).name(), *at);
            PhysicalSortExpr::new(Arc::new(column), options)
        });
        let order = LexOrdering::new(sorts.collect::<Vec<_>>())
            .ok_or_else(|| plan_datafusion_err!("the table has no time column"))?;
        Ok((order, Arc::from(keys)))
    }
}

/// Returns the condition that the time of a row with these columns is in one of the ranges.
fn within(ranges: &[TimeInterval], schema: &SchemaRef) -> Result<Arc<dyn PhysicalExpr>> {
    let at = schema.index_of(TIME_COLUMN)?;
    let compare = |operator: Operator, time: i64| -> Arc<dyn PhysicalExpr> {
        let limit = ScalarValue::TimestampNanosecond(Some(time), None);
        let column = Arc::new(Column::new(TIME_COLUMN, at));
        let limit = Arc::new(Literal::new(limit));
        Arc::new(BinaryExpr::new(column, operator, limit))
    };
    let join = |one: Arc<dyn PhysicalExpr>, operator, other| -> Arc<dyn PhysicalExpr> {
        Arc::new(BinaryExpr::new(one, operator, other))
    };
    let in_range = |range: &TimeInterval| {
        let (from, to) = (compare(Operator::GtEq, range.min), compare(Operator::LtEq, range.max));
        join(from, Operator::And, to)
    };
    let any = ranges.iter().map(in_range).reduce(|one, other| join(one, Operator::Or, other));
    Ok(any.unwrap_or_else(|| Arc::new(Literal::new(ScalarValue::Boolean(Some(false))))))
}

/// Projects a plan with the columns `from` of `schema` to the columns `to`.
pub(crate) fn project(
    plan: Arc<dyn ExecutionPlan>,
    schema: &SchemaRef,
    from: &[usize],
    to: &[usize],
) -> Result<Arc<dyn ExecutionPlan>> {
    if from == to {
        return Ok(plan);
    }
    let positions = positions(schema, from, to)?.into_iter();
    let columns = positions.zip(to).map(|(at, column)| {
        let name = schema.field(*column).name();
        let column: Arc<dyn PhysicalExpr> = Arc::new(Column::new(name, at));
        (column, name.clone())
    });
    Ok(Arc::new(ProjectionExec::try_new(columns, plan)?))
}

/// Returns the positions of the columns `to` of `schema` in the columns `from`.
fn positions(schema: &SchemaRef, from: &[usize], to: &[usize]) -> Result<Vec<usize>> {
    let position = |column: &usize| {
        let at = from.iter().position(|from| from == column);
        let name = schema.field(*column).name();
        at.ok_or_else(|| plan_datafusion_err!("column {name} is not read"))
    };
    to.iter().map(position).collect()
}

/// Filters a plan. Its batches have as many rows as the memory of the session allows.
pub(crate) fn filter(
    session: &dyn Session,
    predicate: Arc<dyn PhysicalExpr>,
    plan: Arc<dyn ExecutionPlan>,
) -> Result<Arc<dyn ExecutionPlan>> {
    let rows = session.config().batch_size();
    let filter = FilterExecBuilder::new(predicate, plan).with_batch_size(rows);
    Ok(Arc::new(filter.build()?))
}
