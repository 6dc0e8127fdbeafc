//! Plans scans of a tail image.

use std::sync::Arc;

use datafusion::{
    common::Result, datasource::memory::MemorySourceConfig, physical_plan::ExecutionPlan,
};
use neap_points::ImageChunk;

use super::ScanPlanner;
use crate::scan::{
    regions::TimeInterval,
    tail::{ImageRows, LiveTailRows, TailScanExec, scan_numbered_rows, streamed},
};

impl ScanPlanner<'_> {
    /// Plans a scan of the tail image in these ranges. Returns `None` if the image has no rows there.
    pub(super) fn tail(
        &self,
        rows: &ImageRows,
        projection: &[usize],
        ranges: &[TimeInterval],
    ) -> Result<Option<Arc<dyn ExecutionPlan>>> {
        // Rows of other times need no filter: DataFusion applies the exact filter above the scan.
        let wanted = ranges
            .iter()
            .filter_map(|range| range.intersection(self.predicates.selected_keys.time));
        let wanted: Vec<_> = wanted.map(|range| range.min..=range.max).collect();
        if let Some(selected) = &rows.selected {
            let numbers = rows.image.look_up_rows(selected, &wanted);
            if let Some(numbers) = numbers {
                let columns = (projection, &Arc::new(self.schema.project(projection)?));
                let batch_rows = self.session.config().batch_size();
                let sizes = (batch_rows, self.partitions);
                return scan_numbered_rows(&rows.image, &numbers, columns, sizes);
            }
        }
        let time = |chunk: &ImageChunk| TimeInterval {
            min: chunk.min_time,
            max: chunk.max_time,
        };
        let chunks: Vec<&ImageChunk> = rows
            .image
            .chunks
            .iter()
            .filter(|chunk| {
                let meets = |range: &TimeInterval| range.intersection(time(chunk)).is_some();
                ranges.iter().any(meets)
            })
            .collect();
        let is_whole = chunks
            .iter()
            .all(|chunk| self.has_all_selected(ranges, time(chunk)));
        if chunks.is_empty() {
            return Ok(None);
        }
        if is_whole {
            let scan = self.memory(rows, &chunks, projection)?;
            return Ok(Some(Arc::new(TailScanExec::new(scan, rows, wanted))));
        }
        let wide = self.with_time(projection);
        rows.image.note_scan(&wide);
        let bounded = self.within(self.memory(rows, &chunks, &wide)?, ranges)?;
        self.narrow(bounded, &wide, projection).map(Some)
    }

    /// Plans a scan of the live rows of chunks of an image, in partitions of about the same size.
    fn memory(
        &self,
        rows: &ImageRows,
        chunks: &[&ImageChunk],
        columns: &[usize],
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let schema = Arc::new(self.schema.project(columns)?);
        let parts = (0..self.partitions.max(1)).map(|_| LiveTailRows::new(rows, columns, &schema));
        let mut parts: Vec<LiveTailRows> = parts.collect();
        // The newest rows come first, so that queries of the last rows can skip the others.
        for chunk in chunks.iter().rev() {
            // The smallest part gets the chunk.
            if let Some(part) = parts.iter_mut().min_by_key(|part| part.rows()) {
                part.push(chunk);
            }
        }
        parts.retain(|part| part.rows() > 0);
        let whole = parts.iter().map(LiveTailRows::all);
        match whole.collect::<Result<Option<Vec<_>>>>()? {
            // An in-memory source reports its exact number of rows.
            Some(parts) => Ok(MemorySourceConfig::try_new_exec(&parts, schema, None)?),
            None => {
                let parts = parts.into_iter().map(|part| Arc::new(part) as _);
                streamed(&schema, parts.collect(), None)
            }
        }
    }
}
