//! Fills the gaps of complete groups: merges rows and bins in time order, and builds the output columns.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, RecordBatch, RecordBatchOptions,
    TimestampNanosecondArray, UInt32Array,
};
use arrow::compute::kernels::zip::zip;
use arrow::compute::take;
use arrow::datatypes::{SchemaRef, TimestampNanosecondType};
use datafusion::common::{Result, ScalarValue, exec_err, internal_err};

use super::functions::FillStrategy;
use super::group_bins::GroupBins;
use super::groups::{key_columns, ranges};
use super::interpolate::{InterpolationPoint, interpolate};
use super::spec::GapFillSpec;

/// Fills gaps in one batch of complete groups after the other.
#[derive(Debug)]
pub(super) struct SeriesFiller {
    spec: Arc<GapFillSpec>,
    schema: SchemaRef,
    bins: GroupBins,
    current: Option<GroupCursor>,
}

/// The groups being filled, and the current position in them.
#[derive(Debug)]
struct GroupCursor {
    rows: RecordBatch,
    times: TimestampNanosecondArray,
    /// The row range of each group.
    ranges: Vec<Range<usize>>,
    /// The index of the current group.
    group: usize,
    /// The next row of the current group.
    row: usize,
    neighbours: Vec<ValueNeighbours>,
}

/// The nearest rows with a value before and after the current position, for one filled column.
#[derive(Debug)]
struct ValueNeighbours {
    values: ArrayRef,
    /// The last row of the group with a value.
    before: Option<usize>,
    /// No row from the current one up to this index (exclusive) has a value.
    after: usize,
}

/// An output row, described by the input rows that it is built from.
struct OutputRow {
    /// A row of the group, for the key columns.
    key: usize,
    /// The input row; `None` for an empty bin.
    row: Option<usize>,
    time: Option<i64>,
}

/// The output rows of a batch.
#[derive(Default)]
struct OutputRows {
    keys: Vec<u32>,
    rows: Vec<Option<u32>>,
    times: Vec<Option<i64>>,
    /// For each filled column, the positions of its values.
    filled: Vec<Vec<InterpolationPoint>>,
}

impl SeriesFiller {
    pub(super) fn new(spec: Arc<GapFillSpec>, schema: SchemaRef) -> Self {
        Self { bins: GroupBins::new(&spec), spec, schema, current: None }
    }

    /// Starts with the groups in `rows`. The groups must be complete, and sorted by group and time.
    ///
    /// # Errors
    ///
    /// Returns an error if the rows exceed 32 bits, which does not happen in practice, or if there are too many bins.
    pub(super) fn start(&mut self, rows: RecordBatch) -> Result<()> {
        if u32::try_from(rows.num_rows()).is_err() {
            return exec_err!("a group of a gap-filling query has too many rows");
        }
        let keys: Vec<usize> = self.spec.key_columns().collect();
        let ranges = ranges(&key_columns(&rows, &keys), rows.num_rows())?;
        let Some(times) =
            rows.column(self.spec.time_column).as_primitive_opt::<TimestampNanosecondType>()
        else {
            return internal_err!("gap filling needs timestamps in nanoseconds");
        };
        let times = times.clone();
        let neighbours = self
            .spec
            .filled
            .iter()
            .map(|column| ValueNeighbours {
                values: Arc::clone(rows.column(column.source)),
                before: None,
                after: 0,
            })
            .collect();
        let groups = GroupCursor { rows, times, ranges, group: 0, row: 0, neighbours };
        self.bins.start(groups.first_time())?;
        self.current = Some(groups);
        Ok(())
    }

    /// Returns the next output rows, at most `limit`; `None` after the last group.
    pub(super) fn next_batch(&mut self, limit: usize) -> Result<Option<RecordBatch>> {
        let Some(groups) = &mut self.current else {
            return Ok(None);
        };
        let mut slots = OutputRows {
            filled: self.spec.filled.iter().map(|_| Vec::new()).collect(),
            ..OutputRows::default()
        };
        while slots.rows.len() < limit {
            let Some(slot) = groups.next_slot(&mut self.bins)? else {
                break;
            };
            for (neighbours, places) in groups.neighbours.iter_mut().zip(&mut slots.filled) {
                let end = groups.ranges.get(groups.group).map_or(0, |group| group.end);
                places.push(neighbours.place(&slot, groups.row, end, &groups.times));
            }
            slots.keys.push(index(slot.key));
            slots.rows.push(slot.row.map(index));
            slots.times.push(slot.time);
        }
        if slots.rows.is_empty() {
            self.current = None;
            return Ok(None);
        }
        slots.build(&self.spec, &self.schema, groups).map(Some)
    }
}

/// Converts a row index. [`SeriesFiller::start`] has checked that it fits.
fn index(row: usize) -> u32 {
    u32::try_from(row).unwrap_or(u32::MAX)
}

impl GroupCursor {
    /// Returns the time of the first row of the current group.
    fn first_time(&self) -> Option<i64> {
        let row = self.ranges.get(self.group)?.start;
        self.times.is_valid(row).then(|| self.times.value(row))
    }

    /// Returns the next output row: the earlier of the next row and the next bin. Rows without a time come last.
    fn next_slot(&mut self, bins: &mut GroupBins) -> Result<Option<OutputRow>> {
        loop {
            let Some(group) = self.ranges.get(self.group).cloned() else {
                return Ok(None);
            };
            let row = Some(self.row).filter(|row| group.contains(row));
            let row_time =
                row.filter(|row| self.times.is_valid(*row)).map(|row| self.times.value(row));
            let slot = match (bins.current(), row, row_time) {
                (Some(bin), _, Some(time)) if time <= bin => {
                    if time == bin {
                        bins.advance();
                    }
                    OutputRow { key: group.start, row, time: Some(time) }
                }
                (Some(bin), ..) => {
                    bins.advance();
                    OutputRow { key: group.start, row: None, time: Some(bin) }
                }
                (None, Some(_), time) => OutputRow { key: group.start, row, time },
                (None, None, _) => {
                    self.group += 1;
                    bins.start(self.first_time())?;
                    self.neighbours.iter_mut().for_each(|neighbours| neighbours.before = None);
                    continue;
                }
            };
            self.row += usize::from(slot.row.is_some());
            return Ok(Some(slot));
        }
    }
}

impl ValueNeighbours {
    /// Returns the position that supplies the value of `slot`. `next` and `end` delimit the rows of the group after it.
    fn place(
        &mut self,
        slot: &OutputRow,
        next: usize,
        end: usize,
        times: &TimestampNanosecondArray,
    ) -> InterpolationPoint {
        if let Some(row) = slot.row.filter(|row| self.values.is_valid(*row)) {
            if slot.time.is_some() {
                self.before = Some(row);
            }
            return InterpolationPoint::at(index(row));
        }
        let (Some(before), Some(time)) = (self.before, slot.time) else {
            return InterpolationPoint::default();
        };
        self.after = self.after.max(next);
        while self.after < end && !(self.values.is_valid(self.after) && times.is_valid(self.after))
        {
            self.after += 1;
        }
        let after = Some(self.after).filter(|after| *after < end);
        InterpolationPoint {
            before: Some(index(before)),
            after: after.map(index),
            elapsed: time.saturating_sub(times.value(before)),
            span: after.map_or(1, |after| times.value(after).saturating_sub(times.value(before))),
        }
    }
}

impl OutputRows {
    fn build(
        self,
        spec: &GapFillSpec,
        schema: &SchemaRef,
        groups: &GroupCursor,
    ) -> Result<RecordBatch> {
        let count = self.rows.len();
        let missing: BooleanArray = self.rows.iter().map(|row| Some(row.is_none())).collect();
        let (keys, rows) = (UInt32Array::from(self.keys), UInt32Array::from(self.rows));
        let mut columns = Vec::with_capacity(schema.fields().len());
        for (column, values) in groups.rows.columns().iter().enumerate() {
            columns.push(if column == spec.time_column {
                let times = TimestampNanosecondArray::from_iter(self.times.iter().copied());
                Arc::new(times.with_data_type(values.data_type().clone())) as ArrayRef
            } else if column < spec.group_columns {
                take(values, &keys, None)?
            } else {
                let default = spec.defaults.get(column - spec.group_columns);
                with_default(take(values, &rows, None)?, &missing, default)?
            });
        }
        for (column, places) in spec.filled.iter().zip(&self.filled) {
            let values = groups.rows.column(column.source);
            columns.push(match column.fill {
                FillStrategy::Locf => {
                    let before: UInt32Array = places.iter().map(|place| place.before).collect();
                    take(values, &before, None)?
                }
                FillStrategy::Interpolate => interpolate(values, places)?,
            });
        }
        let options = RecordBatchOptions::new().with_row_count(Some(count));
        Ok(RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options)?)
    }
}

fn with_default(
    values: ArrayRef,
    missing: &BooleanArray,
    default: Option<&ScalarValue>,
) -> Result<ArrayRef> {
    match default.filter(|default| !default.is_null()) {
        Some(default) if missing.true_count() > 0 => {
            Ok(zip(missing, &default.to_scalar()?, &values)?)
        }
        _ => Ok(values),
    }
}
