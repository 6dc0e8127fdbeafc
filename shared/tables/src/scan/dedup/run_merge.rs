//! Merges sorted inputs run by run.
//!
//! A run is the rows of one tag set in an input. Tag sets are compared once for each run: where only one input has a tag
//! set, its rows are output as they are. Within a tag set that several inputs have, only times are compared.
//!
//! ```text
//!   input 0   a 1  a 2  a 3  b 1  b 2          one piece   a 1  a 2
//!   input 1   a 3' c 1                         a point     a 3'  with the values of a 3 that it lacks
//!                                              one piece   b 1  b 2
//!                                              one piece   c 1
//! ```

use std::{cmp::Ordering, sync::Arc};

use arrow::{array::RecordBatch, datatypes::SchemaRef};
use datafusion::{
    common::Result,
    execution::{SendableRecordBatchStream, memory_pool::MemoryReservation},
    physical_plan::{
        metrics::{BaselineMetrics, RecordOutput},
        stream::RecordBatchStreamAdapter,
    },
};
use futures::{StreamExt, stream};

use super::{merged_rows::MergedRows, source_batch::SourceBatch};

/// A piece that has at least one of this many rows of an output batch is output as it is, without a copy.
const MIN_UNCOPIED_SHARE: usize = 4;

/// An input.
struct Cursor {
    input: SendableRecordBatchStream,
    /// The batch of the next row; `None` if it has to be read.
    batch: Option<Arc<SourceBatch>>,
    /// The next row.
    row: usize,
    /// The end of the run of the next row.
    run_end: usize,
    is_done: bool,
}

impl Cursor {
    fn new(input: SendableRecordBatchStream) -> Self {
        Self {
            input,
            batch: None,
            row: 0,
            run_end: 0,
            is_done: false,
        }
    }

    /// Moves to a later row.
    fn advance(&mut self, row: usize) {
        self.row = row;
        let Some(batch) = &self.batch else {
            return;
        };
        if row >= batch.len() {
            self.batch = None;
        } else if row >= self.run_end {
            self.run_end = batch.run_end(row);
        }
    }

    fn compare_tags(&self, other: &Self) -> Ordering {
        match (&self.batch, &other.batch) {
            (Some(one), Some(another)) => one.compare_tags(self.row, another, other.row),
            (one, another) => another.is_some().cmp(&one.is_some()),
        }
    }

    fn time(&self) -> Option<i64> {
        let batch = self.batch.as_ref()?;
        Some(batch.time(self.row))
    }
}

/// The state of a merge.
struct RunMerge {
    cursors: Vec<Cursor>,
    /// The cursors with a batch, by their numbers, sorted by tag set.
    order: Vec<usize>,
    /// The number of cursors whose next batch has to be read.
    unread: usize,
    keys: Arc<[usize]>,
    batch_rows: usize,
    output: MergedRows,
    reservation: MemoryReservation,
    metrics: BaselineMetrics,
}

/// Merges inputs, from the oldest to the newest, and outputs the newest version of each point, in order. `keys` are the
/// indexes of the key columns, that of the time is the last. The batches that are read are charged to `reservation`.
pub(super) fn merge(
    inputs: Vec<SendableRecordBatchStream>,
    schema: &SchemaRef,
    keys: &Arc<[usize]>,
    batch_rows: usize,
    reservation: MemoryReservation,
    metrics: BaselineMetrics,
) -> SendableRecordBatchStream {
    let merge = RunMerge {
        unread: inputs.len(),
        output: MergedRows::new(schema, keys, inputs.len()),
        cursors: inputs.into_iter().map(Cursor::new).collect(),
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
    Box::pin(RecordBatchStreamAdapter::new(Arc::clone(schema), rows))
}

impl RunMerge {
    /// Returns the next batch of output; `None` at the end.
    async fn next(&mut self) -> Result<Option<RecordBatch>> {
        loop {
            if self.unread > 0 {
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

    /// Reads the next batch of each input that has none.
    async fn read(&mut self) -> Result<()> {
        for number in 0..self.cursors.len() {
            let Some(cursor) = self.cursors.get_mut(number) else {
                continue;
            };
            while cursor.batch.is_none() && !cursor.is_done {
                match cursor.input.next().await.transpose()? {
                    Some(rows) if rows.num_rows() == 0 => {}
                    Some(rows) => {
                        let batch = Arc::new(SourceBatch::new(rows, &self.keys)?);
                        cursor.row = 0;
                        cursor.run_end = batch.run_end(0);
                        cursor.batch = Some(batch);
                    }
                    None => cursor.is_done = true,
                }
            }
            if !self.order.contains(&number) {
                self.insert(number);
            }
        }
        self.unread = 0;
        let batches = self.cursors.iter().filter_map(|one| one.batch.as_ref());
        let bytes = batches.map(|batch| batch.rows.get_array_memory_size());
        self.reservation.try_resize(bytes.sum())
    }

    /// Adds a cursor that has a batch to the order.
    fn insert(&mut self, number: usize) {
        let Some(cursor) = self.cursors.get(number).filter(|one| one.batch.is_some()) else {
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
        while self.unread == 0 && self.output.len() < self.batch_rows {
            match *self.group() {
                [] => break,
                [only] => {
                    if let Some(batch) = self.take_alone(only)? {
                        return Ok(Some(batch));
                    }
                }
                ref group => {
                    let group = group.to_vec();
                    self.merge_group(&group);
                }
            }
        }
        Ok(None)
    }

    /// Returns the cursors whose next rows have the first tag set.
    fn group(&self) -> &[usize] {
        let cursor = |number: &usize| self.cursors.get(*number);
        let first = self.order.first().and_then(cursor);
        let is_equal = |number: &usize| {
            let pair = first.zip(cursor(number));
            pair.is_some_and(|(first, other)| first.compare_tags(other).is_eq())
        };
        let later = self.order.iter().skip(1);
        let equal = later.take_while(|number| is_equal(number)).count();
        let size = self.order.len().min(equal + 1);
        self.order.get(..size).unwrap_or(&[])
    }

    /// Outputs the rows of the first cursor whose tag sets no other cursor has. Returns a batch that is complete.
    fn take_alone(&mut self, number: usize) -> Result<Option<RecordBatch>> {
        let rival = self.order.get(1).and_then(|rival| self.cursors.get(*rival));
        let rival = rival.and_then(|rival| Some((Arc::clone(rival.batch.as_ref()?), rival.row)));
        let is_before_rival = |batch: &SourceBatch, row: usize| match &rival {
            Some((rival, at)) => batch.compare_tags(row, rival, *at).is_lt(),
            None => true,
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
            let rows = batch.rows.slice(cursor.row, rest);
            cursor.advance(batch.len());
            self.reposition(&[number]);
            return Ok(Some(rows));
        }
        while cursor.batch.is_some() && is_before_rival(&batch, cursor.row) {
            let room = self.batch_rows - self.output.len();
            if room == 0 {
                break;
            }
            let end = cursor.run_end.min(cursor.row + room);
            self.output.push(number, &batch, cursor.row..end);
            cursor.advance(end);
        }
        self.reposition(&[number]);
        Ok(None)
    }

    /// Merges the rows of cursors with the same tag set, until one of them is at the end of its run.
    fn merge_group(&mut self, group: &[usize]) {
        let mut moved = Vec::new();
        while moved.is_empty() && self.output.len() < self.batch_rows {
            let times = group.iter().filter_map(|number| {
                let time = self.cursors.get(*number)?.time()?;
                Some((time, *number))
            });
            let mut times: Vec<(i64, usize)> = times.collect();
            times.sort_unstable();
            let Some((first, _)) = times.first().copied() else {
                return;
            };
            let versions = times.partition_point(|(time, _)| *time == first);
            let (versions, later) = times.split_at(versions);
            let next = later.first().map(|(time, _)| *time);
            match versions {
                [(_, only)] => self.take_until(*only, next, &mut moved),
                versions => self.take_versions(versions, &mut moved),
            }
        }
        self.reposition(&moved);
    }

    /// Outputs the rows of a run that are older than the next row of all others.
    fn take_until(&mut self, number: usize, next: Option<i64>, moved: &mut Vec<usize>) {
        let room = self.batch_rows - self.output.len();
        let Some(cursor) = self.cursors.get_mut(number) else {
            return;
        };
        let Some(batch) = cursor.batch.clone() else {
            return;
        };
        let run_end = cursor.run_end;
        let limit = run_end.min(cursor.row + room);
        let end = match next {
            Some(next) => batch.end_before(cursor.row, limit, next),
            None => limit,
        };
        self.output.push(number, &batch, cursor.row..end);
        cursor.advance(end);
        if end == run_end {
            moved.push(number);
        }
    }

    /// Outputs the newest version of a point, and takes the values that it lacks from the older versions. `versions`:
    /// the time and the cursors, from the oldest to the newest.
    fn take_versions(&mut self, versions: &[(i64, usize)], moved: &mut Vec<usize>) {
        for (at, (_, number)) in versions.iter().rev().enumerate() {
            let Some(cursor) = self.cursors.get_mut(*number) else {
                continue;
            };
            let Some(batch) = cursor.batch.clone() else {
                continue;
            };
            let (row, run_end) = (cursor.row, cursor.run_end);
            match at {
                0 => self.output.push(*number, &batch, row..row + 1),
                _ => self.output.push_older(*number, &batch, row),
            }
            cursor.advance(row + 1);
            if row + 1 == run_end {
                moved.push(*number);
            }
        }
    }

    /// Moves cursors to their place in the order, after they advanced to other tag sets.
    fn reposition(&mut self, moved: &[usize]) {
        self.order.retain(|number| !moved.contains(number));
        for number in moved {
            let cursor = self.cursors.get(*number);
            if cursor.is_some_and(|cursor| cursor.batch.is_none()) {
                self.unread += 1;
            }
            self.insert(*number);
        }
    }
}
