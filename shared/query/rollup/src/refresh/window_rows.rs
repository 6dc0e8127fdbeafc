//! The rows of claimed windows: computes and replaces them.

use std::time::Duration;

use arrow::array::RecordBatch;
use neap_bucket::Stamp;
use neap_manifest::TimeRange;

use super::{view_task::ViewTask, window_claim::ClaimedWindows};
use crate::{RefreshError, RowDifference, ViewDataError, ViewRows};

/// The size at which rows are stored, in bytes.
const PART_BYTES: usize = 4 << 20;

impl ViewTask<'_> {
    /// Replaces the rows of claimed windows, if they are computed within `step_time`. Returns the number of rows
    /// written.
    pub(super) async fn replace_windows(
        &self,
        claimed: &ClaimedWindows,
        step_time: Duration,
    ) -> Result<u64, RefreshError> {
        let difference = self
            .bucket
            .world()
            .timeout(step_time, self.difference(claimed))
            .await
            .unwrap_or(Err(ViewDataError::TooLarge))?;
        self.write(claimed, difference).await
    }

    async fn difference(&self, claimed: &ClaimedWindows) -> Result<RowDifference, ViewDataError> {
        let (view, windows) = (self.view, self.view.windows);
        let range = claimed.range;
        let mark = self.source.point().mark;
        let computed = self.data.compute(view, range, mark).await?;
        if claimed.state.unfinished.meets(range) {
            return Ok(RowDifference::whole(windows, range, computed));
        }
        let stored = self.data.read(view, range).await?;
        RowDifference::between(windows, computed, &stored)
            .map_err(|error| ViewDataError::Failed(error.to_string()))
    }

    /// Deletes and writes rows. Returns the number of rows written.
    async fn write(
        &self,
        claimed: &ClaimedWindows,
        difference: RowDifference,
    ) -> Result<u64, RefreshError> {
        let world = self.bucket.world();
        let held = &claimed.held;
        // Rule V3. A delete or write after the end of that claim is also after all writes of it. The clock of the process
        // with the claim before may have been ahead, so that its rows would win.
        let unfinished = claimed.state.unfinished_until.map(Stamp::end_of);
        let mut after = unfinished.max(claimed.state.newest_write);
        let replaced: Vec<TimeRange> = difference.replaced.ranges().collect();
        if !replaced.is_empty() {
            let arrived = held.arrival(world)?;
            let deleted = self.data.delete(self.view, &replaced, arrived, after).await?;
            self.note_write(deleted, None);
            held.check(deleted)?;
            after = after.max(deleted);
        }
        let mut rows = 0_u64;
        for part in parts(difference.written) {
            let count: usize = part.batches.iter().map(RecordBatch::num_rows).sum();
            let arrived = held.arrival(world)?;
            let stored = self.data.store(self.view, &part, arrived, after).await?;
            self.note_write(stored.stamp, stored.table);
            held.check(stored.stamp)?;
            after = after.max(stored.stamp);
            rows += count as u64;
        }
        Ok(rows)
    }
}

/// Divides rows into parts of limited size.
fn parts(rows: ViewRows) -> Vec<ViewRows> {
    let ViewRows { tags, batches } = rows;
    let part = |batches| ViewRows { tags: tags.clone(), batches };
    let (mut parts, mut current, mut bytes) = (Vec::new(), Vec::new(), 0_usize);
    // A write without rows is refused, and computed windows may have none with a value.
    for batch in batches.into_iter().filter(|batch| batch.num_rows() > 0) {
        bytes = bytes.saturating_add(batch.get_array_memory_size());
        current.push(batch);
        if bytes >= PART_BYTES {
            parts.push(part(std::mem::take(&mut current)));
            bytes = 0;
        }
    }
    if !current.is_empty() {
        parts.push(part(current));
    }
    parts
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Int64Array};

    use super::*;

    #[test]
    fn parts_have_limited_sizes_and_rows() {
        let batch = |rows: usize| {
            let values: ArrayRef = Arc::new(Int64Array::from(vec![1; rows]));
            RecordBatch::try_from_iter([("n", values)]).unwrap()
        };
        let sizes = |rows: &[usize]| {
            let batches = rows.iter().copied().map(batch).collect();
            let tags = vec!["host".to_owned()];
            let parts = parts(ViewRows { tags, batches }).into_iter();
            let rows = |part: ViewRows| part.batches.iter().map(RecordBatch::num_rows).collect();
            parts.map(rows).collect::<Vec<Vec<usize>>>()
        };
        let large = PART_BYTES / 8;
        assert_eq!(sizes(&[0, 0]), Vec::<Vec<usize>>::new());
        assert_eq!(sizes(&[0, 2, 0, 3]), [vec![2, 3]]);
        assert_eq!(sizes(&[1, large, 0, 2]), [vec![1, large], vec![2]]);
    }
}
