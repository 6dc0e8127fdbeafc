//! Merges of times that several sources cover, as many at once as fit into memory.

use std::sync::Arc;

use datafusion::{
    common::Result,
    physical_expr::{LexOrdering, conjunction_opt, utils::reassign_expr_columns},
    physical_plan::ExecutionPlan,
};

use super::{ScanPlanner, ScanSource, SourceRows, filter, positions};
use crate::{
    data::SectionFile,
    dedup::{DedupExec, MergeMemory, concurrent_merges},
    regions::{TimeInterval, TimeOverlap},
    section_files::ScanOutput,
    section_scan::SectionScanExec,
    sequence::SequenceExec,
    tail::{SortedTailRows, streamed},
};

impl ScanPlanner<'_> {
    /// Plans the deduplication of time ranges that several sources cover.
    pub(super) fn merges(
        &self,
        projection: &[usize],
        sources: &[ScanSource],
        overlaps: &[TimeOverlap],
    ) -> Result<Vec<Arc<dyn ExecutionPlan>>> {
        let wide = self.with_keys(projection);
        let mut memory: Vec<MergeMemory> = overlaps
            .iter()
            .map(|overlap| self.merge_memory(wide.len(), sources, overlap))
            .collect();
        let pool = &self.session.runtime_env().memory_pool;
        let concurrent = concurrent_merges(&mut memory, pool.as_ref(), self.partitions);
        let merges = overlaps
            .iter()
            .zip(memory)
            .map(|(overlap, memory)| self.merged(projection, &wide, sources, overlap, memory))
            .collect::<Result<Vec<_>>>()?;
        if concurrent < merges.len() {
            return Ok(vec![Arc::new(SequenceExec::try_new(merges, concurrent)?)]);
        }
        Ok(merges)
    }

    /// Returns the memory of a merge of this many columns.
    fn merge_memory(
        &self,
        columns: usize,
        sources: &[ScanSource],
        overlap: &TimeOverlap,
    ) -> MergeMemory {
        let all = self.schema.fields().len().max(1) as u64;
        let bytes_of = |source: &usize| match &sources.get(*source)?.rows {
            SourceRows::Section(file) => {
                let bytes = file.row_group_bytes().saturating_mul(columns as u64);
                Some(bytes / all)
            }
            // Its batches are charged where they are read.
            SourceRows::Run(_) | SourceRows::Tail(_) => Some(0),
        };
        MergeMemory {
            input_bytes: overlap.sources.iter().filter_map(bytes_of).collect(),
            max_bytes: u64::MAX,
        }
    }

    /// Plans the deduplication of a time range that several sources cover. `wide` is the projection with the key columns.
    fn merged(
        &self,
        projection: &[usize],
        wide: &[usize],
        sources: &[ScanSource],
        overlap: &TimeOverlap,
        memory: MergeMemory,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let schema = Arc::new(self.schema.project(wide)?);
        let (order, keys) = self.order(&schema)?;
        let mut inputs: Vec<Arc<dyn ExecutionPlan>> = Vec::new();
        for source in overlap.sources.iter().filter_map(|source| sources.get(*source)) {
            match &source.rows {
                SourceRows::Section(file) => {
                    inputs.push(self.sorted_section(file, source, overlap, wide, &order)?);
                }
                SourceRows::Run(run) => {
                    let rows = Arc::new(run.rows(wide)?);
                    let rows = streamed(&schema, vec![rows], Some(&order))?;
                    let rows = self.within_overlap(rows, run.time(), overlap)?;
                    let seen = self.hiding.visible_rows(&source.hidden);
                    let visible = self.filter_visible(rows, seen.as_ref())?;
                    inputs.push(self.filter_keys(visible)?);
                }
                SourceRows::Tail(rows) => {
                    let rows = SortedTailRows::new(rows, overlap.range, wide, &schema);
                    inputs.push(streamed(&schema, vec![Arc::new(rows)], Some(&order))?);
                }
            }
        }
        let output = positions(self.schema, wide, projection)?;
        let merge = DedupExec::try_new(inputs, order, keys, output.into(), memory)?;
        // No other partition of the scan keeps a second processor busy.
        Ok(Arc::new(if self.has_series_order() {
            merge.in_tasks()
        } else {
            merge
        }))
    }

    /// Plans a scan of the rows of a section in an overlap, in the order `order` of the columns `wide`.
    fn sorted_section(
        &self,
        file: &SectionFile,
        source: &ScanSource,
        overlap: &TimeOverlap,
        wide: &[usize],
        order: &LexOrdering,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let key = self.predicates.key.as_ref();
        let seen = self.hiding.visible_rows(&source.hidden);
        let section = self.section_files(&[file], wide, key, 1);
        if let Some(keys) = self.predicates.selecting_keys() {
            let schema = Arc::new(self.schema.project(wide)?);
            let range = [overlap.range];
            let ranges = (!overlap.range.contains(file.time())).then_some(range.as_slice());
            let key = key
                .filter(|_| self.predicates.requires_tags())
                .map(|key| reassign_expr_columns(Arc::clone(key), &schema))
                .transpose()?;
            let conditions = self.row_conditions(&schema, ranges, seen.as_ref())?;
            let filter = conjunction_opt(key.into_iter().chain(conditions));
            let (keys, order) = (Arc::clone(keys), order.clone());
            let scan = SectionScanExec::try_new_sorted(section, keys, filter, order)?;
            return Ok(Arc::new(scan));
        }
        let scan = section.data_source(ScanOutput::Sorted(self.file_order()?))?;
        let scan = self.within_overlap(scan, file.time(), overlap)?;
        self.filter_keys(self.filter_visible(scan, seen.as_ref())?)
    }

    /// Filters rows by the filters on tags and time if they require values of tags. The pages of a section with these values
    /// have rows of other series, which would be merged, too.
    fn filter_keys(&self, rows: Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>> {
        match &self.predicates.key {
            Some(key) if self.predicates.requires_tags() => {
                let key = reassign_expr_columns(Arc::clone(key), &rows.schema())?;
                filter(self.session, key, rows)
            }
            _ => Ok(rows),
        }
    }

    /// Filters the rows of a source with these times to those of an overlap, unless all are.
    fn within_overlap(
        &self,
        rows: Arc<dyn ExecutionPlan>,
        times: TimeInterval,
        overlap: &TimeOverlap,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        if overlap.range.contains(times) {
            Ok(rows)
        } else {
            self.within(rows, &[overlap.range])
        }
    }
}
