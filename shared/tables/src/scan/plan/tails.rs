//! Plans scans of a tail image.

use std::sync::Arc;

use datafusion::{common::Result, physical_plan::ExecutionPlan};
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
            let scan = self.chunks(rows, &chunks, projection)?;
            let scan = TailScanExec::new(scan, rows, &chunks, projection, wanted);
            return Ok(Some(Arc::new(scan)));
        }
        let columns = self.with_time(projection);
        let scan = self.chunks(rows, &chunks, &columns)?;
        let scan = TailScanExec::new(scan, rows, &chunks, &columns, wanted).not_replaceable();
        let bounded = self.within(Arc::new(scan), ranges)?;
        self.project(bounded, &columns, projection).map(Some)
    }

    /// Plans a scan of the live rows of chunks of an image, in partitions of about the same size.
    fn chunks(
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
        let parts = parts.into_iter().map(|part| Arc::new(part) as _);
        streamed(&schema, parts.collect(), None)
    }
}
