//! Merges sorted inputs run by run.
//!
//! A run is the rows of one tag set in a batch of an input. Tag sets are compared once for each run: where only one input
//! has a tag set, its rows are output as they are. Within a tag set that several inputs have, only times are compared.
//!
//! ```text
//!   input 0   a 1  a 2  a 3  b 1  b 2          slice   a 1  a 2
//!   input 1   a 3' c 1                         point   a 3'  with the values of a 3 that it lacks
//!                                              slice   b 1  b 2
//!                                              slice   c 1
//! ```

use std::{cmp::Ordering, sync::Arc};

use arrow::array::RecordBatch;
use datafusion::{
    common::Result,
    execution::{SendableRecordBatchStream, memory_pool::MemoryReservation},
    physical_plan::{
        metrics::{BaselineMetrics, RecordOutput},
        stream::RecordBatchStreamAdapter,
    },
};
use futures::{StreamExt, future::try_join_all, stream};

use super::{
    merged_rows::{MergedRows, OutputColumns},
    source_batch::SourceBatch,
};

/// The rest of a batch is output as it is, without a copy, if it has at least one of this many parts of the rows of an output
/// batch.
const MIN_UNCOPIED_SHARE: usize = 4;

/// An input and its next row.
struct InputCursor {
    /// The batches after this one; `None` at the end of the input.
    input: Option<SendableRecordBatchStream>,
    /// The batch of the next row; `None` if it has to be read, or at the end.
    batch: Option<Arc<SourceBatch>>,
    /// The next row.
    row: usize,
    /// The end of the run of the next row.
    run_end: usize,
}

impl InputCursor {
    fn new(input: SendableRecordBatchStream) -> Self {
        Self { input: Some(input), batch: None, row: 0, run_end: 0 }
    }

    fn needs_batch(&self) -> bool {
        self.batch.is_none() && self.input.is_some()
    }

    /// Reads batches until one has rows.
    async fn read(&mut self, keys: &[usize]) -> Result<()> {
        while let Some(input) = &mut self.input {
            match input.next().await.transpose()? {
                Some(rows) if rows.num_rows() == 0 => {}
                Some(rows) => {
                    let batch = SourceBatch::new(rows, keys)?;
                    (self.row, self.run_end) = (0, batch.run_end(0));
                    self.batch = Some(Arc::new(batch));
                    break;
                }
                None => self.input = None,
            }
        }
        Ok(())
    }

    /// Moves to a later row. Returns whether it is not in the run of the row before.
    fn advance(&mut self, row: usize) -> bool {
        self.row = row;
        if row < self.run_end {
            return false;
        }
        self.batch = self.batch.take().filter(|batch| row < batch.len());
        if let Some(batch) = &self.batch {
            self.run_end = batch.run_end(row);
        }
        true
    }

    fn compare_tags(&self, other: &Self) -> Ordering {
        match (&self.batch, &other.batch) {
            (Some(one), Some(another)) => one.compare_tags(self.row, another, other.row),
            (one, another) => another.is_some().cmp(&one.is_some()),
        }
    }

    fn time(&self) -> Option<i64> {
        Some(self.batch.as_ref()?.time(self.row))
    }
}

/// The next times of cursors whose next rows have the same tag set.
struct NextTimes {
    /// The earliest time.
    first: i64,
    /// The newest of the cursors with the earliest time.
    newest: usize,
    /// The number of cursors with the earliest time.
    versions: usize,
    /// The earliest time of the other cursors.
    later: Option<i64>,
}

/// The state of a merge.
struct RunMerge {
    cursors: Vec<InputCursor>,
    /// The cursors with a batch, by their numbers, sorted by tag set, then from the oldest to the newest.
    order: Vec<usize>,
    /// The number of inputs that are not at their end. If the order has fewer cursors, batches have to be read.
    open_inputs: usize,
    keys: Arc<[usize]>,
    batch_rows: usize,
    output: MergedRows,
    reservation: MemoryReservation,
    metrics: BaselineMetrics,
}

/// Merges inputs, from the oldest to the newest, and outputs columns of the newest version of each point, in order. `keys` are
/// the indexes of the key columns, that of the time is the last. The batches that are read are charged to `reservation`.
pub(super) fn merge(
    inputs: Vec<SendableRecordBatchStream>,
    columns: OutputColumns,
    keys: &Arc<[usize]>,
    batch_rows: usize,
    reservation: MemoryReservation,
    metrics: BaselineMetrics,
) -> SendableRecordBatchStream {
    let schema = Arc::clone(&columns.schema);
    let merge = RunMerge {
        output: MergedRows::new(columns, keys, inputs.len()),
        open_inputs: inputs.len(),
        cursors: inputs.into_iter().map(InputCursor::new).collect(),
        order: Vec::new(),
        keys: Arc::clone(keys),
        batch_rows: batch_rows.max(1),
        reservation,
        metrics,
    };
    let rows = stream::try_unfold(merge, async |mut merge| {
        let next = merge.next().await?;
        Ok(next.map(|batch| (batch.record_output(&merge.metrics), merge)))
    });
    Box::pin(RecordBatchStreamAdapter::new(schema, rows))
}

impl RunMerge {
    /// Returns the next batch of output; `None` at the end.
    async fn next(&mut self) -> Result<Option<RecordBatch>> {
        loop {
            if self.needs_batch() {
                self.read().await?;
            }
            let elapsed = self.metrics.elapsed_compute().clone();
            let _timer = elapsed.timer();
            if self.order.is_empty() || self.output.len() >= self.batch_rows {
                return self.output.finish();
            }
            if let Some(batch) = self.fill()? {
                return Ok(Some(batch));
            }
        }
    }

    /// Whether the next batch of an input has to be read.
    fn needs_batch(&self) -> bool {
        self.order.len() < self.open_inputs
    }

    /// Reads the next batch of each input that has none.
    async fn read(&mut self) -> Result<()> {
        let cursors = self.cursors.iter().enumerate();
        let waiting: Vec<usize> = cursors
            .filter(|(_, cursor)| cursor.needs_batch())
            .map(|(number, _)| number)
            .collect();
        // Inputs wait for the store at the same time.
        let cursors = self.cursors.iter_mut().filter(|cursor| cursor.needs_batch());
        try_join_all(cursors.map(|cursor| cursor.read(&self.keys))).await?;
        for number in waiting {
            let cursor = self.cursors.get(number);
            if cursor.is_some_and(|cursor| cursor.batch.is_some()) {
                self.insert(number)
            } else {
                self.open_inputs -= 1;
            }
        }
        let batches = self.cursors.iter().filter_map(|one| one.batch.as_ref());
        let bytes = batches.map(|batch| batch.rows.get_array_memory_size());
        self.reservation.try_resize(bytes.sum())
    }

    /// Adds a cursor that has a batch to the order.
    fn insert(&mut self, number: usize) {
        let Some(cursor) = self.cursors.get(number) else {
            return;
        };
        let is_before = |other: &usize| {
            let order = self.cursors.get(*other).map(|one| one.compare_tags(cursor));
            order.is_some_and(|order| order.then(other.cmp(&number)).is_lt())
        };
        let at = self.order.partition_point(is_before);
        self.order.insert(at, number);
    }

    /// Merges rows until an input has to be read or the output is full. Returns a batch that is complete before.
    fn fill(&mut self) -> Result<Option<RecordBatch>> {
        while !self.needs_batch() && self.output.len() < self.batch_rows {
            match self.group_size() {
                0 => break,
                1 => {
                    if let Some(batch) = self.take_alone()? {
                        return Ok(Some(batch));
                    }
                }
                size => self.merge_group(size),
            }
        }
        Ok(None)
    }

    /// The cursor at a position of the order.
    fn cursor(&self, at: usize) -> Option<&InputCursor> {
        self.cursors.get(*self.order.get(at)?)
    }

    /// The number of cursors whose next rows have the first tag set. They are the first ones of the order.
    fn group_size(&self) -> usize {
        let Some(first) = self.cursor(0) else {
            return 0;
        };
        let others = (1..self.order.len()).map_while(|at| self.cursor(at));
        let equal = others.take_while(|other| first.compare_tags(other).is_eq());
        1 + equal.count()
    }

    /// Outputs the rows of the first cursor whose tag sets no other cursor has. Returns a batch that is complete.
    fn take_alone(&mut self) -> Result<Option<RecordBatch>> {
        let rival = self
            .cursor(1)
            .and_then(|rival| Some((Arc::clone(rival.batch.as_ref()?), rival.row)));
        let is_before_rival = |batch: &SourceBatch, row: usize| match &rival {
            Some((rival, at)) => batch.compare_tags(row, rival, *at).is_lt(),
            None => true,
        };
        let Some(number) = self.order.first().copied() else {
            return Ok(None);
        };
        let Some(cursor) = self.cursors.get_mut(number) else {
            return Ok(None);
        };
        let Some(batch) = cursor.batch.clone() else {
            return Ok(None);
        };
        let rest = batch.len() - cursor.row;
        let is_large = rest >= self.batch_rows.div_ceil(MIN_UNCOPIED_SHARE);
        if is_large && is_before_rival(&batch, batch.len() - 1) {
            if self.output.len() > 0 {
                return self.output.finish();
            }
            let rows = self.output.uncopied(&batch, cursor.row..batch.len());
            cursor.advance(batch.len());
            self.reposition(&[number]);
            return rows.map(Some);
        }
        while cursor.batch.is_some() && is_before_rival(&batch, cursor.row) {
            let room = self.batch_rows - self.output.len();
            if room == 0 {
                break;
            }
            let end = cursor.run_end.min(cursor.row + room);
            self.output.start_tag_set();
            self.output.push(number, &batch, cursor.row..end);
            cursor.advance(end);
        }
        self.reposition(&[number]);
        Ok(None)
    }

    /// Merges the rows of the first `size` cursors of the order, which have the same tag set, until one of them is at the
    /// end of its run.
    fn merge_group(&mut self, size: usize) {
        let mut moved = Vec::new();
        self.output.start_tag_set();
        while moved.is_empty() && self.output.len() < self.batch_rows {
            let Some(times) = self.next_times(size) else {
                return;
            };
            match times.versions {
                1 => self.take_until(times.newest, times.later, &mut moved),
                _ => self.take_versions(size, times.first, &mut moved),
            }
        }
        self.reposition(&moved);
    }

    /// Returns the next times of the first `size` cursors of the order.
    fn next_times(&self, size: usize) -> Option<NextTimes> {
        let mut next: Option<NextTimes> = None;
        for number in self.order.get(..size)? {
            let time = self.cursors.get(*number)?.time()?;
            match &mut next {
                Some(next) if time > next.first => {
                    next.later = Some(next.later.map_or(time, |later| later.min(time)));
                }
                Some(next) if time == next.first => {
                    next.newest = *number;
                    next.versions += 1;
                }
                next => {
                    let later = next.as_ref().map(|next| next.first);
                    *next = Some(NextTimes { first: time, newest: *number, versions: 1, later });
                }
            }
        }
        next
    }

    /// Outputs the rows of a run that are older than the next row of all others.
    fn take_until(&mut self, number: usize, later: Option<i64>, moved: &mut Vec<usize>) {
        let room = self.batch_rows - self.output.len();
        let Some(cursor) = self.cursors.get_mut(number) else {
            return;
        };
        let Some(batch) = cursor.batch.clone() else {
            return;
        };
        let limit = cursor.run_end.min(cursor.row + room);
        let end = match later {
            Some(later) => batch.end_before(cursor.row, limit, later),
            None => limit,
        };
        self.output.push(number, &batch, cursor.row..end);
        if cursor.advance(end) {
            moved.push(number);
        }
    }

    /// Outputs the newest version of a point, which several of the first `size` cursors of the order have, and takes the
    /// values that it lacks from the older versions.
    fn take_versions(&mut self, size: usize, time: i64, moved: &mut Vec<usize>) {
        let group = self.order.get(..size).unwrap_or(&[]);
        let mut is_newest = true;
        for number in group.iter().rev() {
            let cursor = self.cursors.get_mut(*number);
            let Some(cursor) = cursor.filter(|cursor| cursor.time() == Some(time)) else {
                continue;
            };
            let Some(batch) = cursor.batch.clone() else {
                continue;
            };
            let row = cursor.row;
            if is_newest {
                self.output.push(*number, &batch, row..row + 1)
            } else {
                self.output.push_older(*number, &batch, row)
            }
            is_newest = false;
            if cursor.advance(row + 1) {
                moved.push(*number);
            }
        }
    }

    /// Moves cursors to their place in the order, after they advanced to other tag sets.
    fn reposition(&mut self, moved: &[usize]) {
        self.order.retain(|number| !moved.contains(number));
        for number in moved {
            let cursor = self.cursors.get(*number);
            if cursor.is_some_and(|cursor| cursor.batch.is_some()) {
                self.insert(*number);
            }
        }
    }
}
