//! Plans scans of a tail image.

use std::{ops::RangeInclusive, sync::Arc};

use datafusion::{common::Result, physical_plan::ExecutionPlan};
use neap_points::ImageChunk;

use super::ScanPlanner;
use crate::{
    regions::TimeInterval,
    tail::{ImageRows, TailScanExec, scan_numbered_rows},
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
        let wanted: Vec<_> = ranges
            .iter()
            .filter_map(|range| range.intersection(self.predicates.selected_keys.time))
            .map(|range| range.min..=range.max)
            .collect();
        if let Some(selected) = &rows.selected {
            let numbers = rows.image.look_up_rows(selected, &wanted);
            if let Some(numbers) = numbers {
                let columns = (projection, &Arc::new(self.schema.project(projection)?));
                let batch_rows = self.session.config().batch_size();
                let sizes = (batch_rows, self.partitions);
                return scan_numbered_rows(&rows.image, &numbers, columns, sizes);
            }
        }
        let time = |chunk: &ImageChunk| TimeInterval { min: chunk.min_time, max: chunk.max_time };
        let chunks: Vec<&ImageChunk> = rows
            .image
            .chunks
            .iter()
            .filter(|chunk| {
                let meets = |range: &TimeInterval| range.intersection(time(chunk)).is_some();
                ranges.iter().any(meets)
            })
            .collect();
        let is_whole = chunks.iter().all(|chunk| self.has_all_selected(ranges, time(chunk)));
        if chunks.is_empty() {
            return Ok(None);
        }
        if is_whole {
            let scan = self.chunks(rows, &chunks, projection, wanted)?;
            return Ok(Some(Arc::new(scan)));
        }
        let columns = self.with_time(projection);
        let scan = self.chunks(rows, &chunks, &columns, wanted)?.not_replaceable();
        let bounded = self.within(Arc::new(scan), ranges)?;
        self.project(bounded, &columns, projection).map(Some)
    }

    /// Plans a scan of the live rows of chunks of an image, which have all wanted rows, in partitions of about the same size.
    fn chunks(
        &self,
        rows: &ImageRows,
        chunks: &[&ImageChunk],
        columns: &[usize],
        wanted: Vec<RangeInclusive<i64>>,
    ) -> Result<TailScanExec> {
        let schema = Arc::new(self.schema.project(columns)?);
        let mut partitions = vec![(0, Vec::new()); self.partitions.max(1)];
        // The newest rows come first, so that queries of the last rows can skip the others.
        for chunk in chunks.iter().rev() {
            // The smallest partition gets the chunk.
            if let Some((rows, part)) = partitions.iter_mut().min_by_key(|(rows, _)| *rows) {
                *rows += chunk.num_rows();
                part.push(ImageChunk::clone(chunk));
            }
        }
        let partitions = partitions
            .into_iter()
            .map(|(_, chunks)| chunks.into())
            .filter(|chunks: &Arc<[ImageChunk]>| !chunks.is_empty())
            .collect();
        Ok(TailScanExec::new(rows, partitions, (columns, schema), wanted))
    }
}
