//! The merge of two sorted inputs.

use std::sync::Arc;

use arrow::{
    array::{
        Array, ArrayRef, AsArray, RecordBatch, RecordBatchOptions, UInt64Array, new_null_array,
    },
    buffer::NullBuffer,
    compute::{BatchCoalescer, SortOptions, filter, filter_record_batch, is_not_null, take_arrays},
    datatypes::{SchemaRef, UInt64Type},
    row::{Row, RowConverter, Rows, SortField},
};
use datafusion::{
    common::{JoinType, Result},
    logical_expr::Operator,
    physical_expr::PhysicalExpr,
    physical_plan::SendableRecordBatchStream,
};
use futures::TryStreamExt;

use super::conditions::{AsOfConditions, SideExprs};

/// Rows of an input, with the bytes that sort as their keys and times do.
struct SortedRows {
    rows: RecordBatch,
    /// `None` if the join has no keys.
    keys: Option<Rows>,
    times: Rows,
    /// The rows with a null in a key or the time. They match nothing.
    nulls: Option<NullBuffer>,
}

impl SortedRows {
    fn len(&self) -> usize {
        self.rows.num_rows()
    }

    fn key(&self, row: usize) -> Option<Row<'_>> {
        self.keys.as_ref().map(|keys| keys.row(row))
    }

    fn has_null(&self, row: usize) -> bool {
        self.nulls.as_ref().is_some_and(|nulls| nulls.is_null(row))
    }
}

/// One input.
struct Side {
    input: SendableRecordBatchStream,
    exprs: SideExprs,
    keys: Option<RowConverter>,
    times: RowConverter,
    current: Option<Arc<SortedRows>>,
    /// The position in `current`.
    position: usize,
    has_ended: bool,
}

impl Side {
    fn try_new(
        input: SendableRecordBatchStream,
        exprs: SideExprs,
        time_order: SortOptions,
    ) -> Result<Self> {
        let schema = input.schema();
        let field = |expr: &Arc<dyn PhysicalExpr>, order| -> Result<SortField> {
            Ok(SortField::new_with_options(expr.data_type(&schema)?, order))
        };
        let key_fields = exprs.keys.iter().map(|key| field(key, SideExprs::KEY_ORDER));
        let keys = key_fields.collect::<Result<Vec<_>>>()?;
        let time = field(&exprs.time, time_order)?;
        Ok(Self {
            input,
            exprs,
            keys: if keys.is_empty() {
                None
            } else {
                Some(RowConverter::new(keys)?)
            },
            times: RowConverter::new(vec![time])?,
            current: None,
            position: 0,
            has_ended: false,
        })
    }

    /// Returns the rows among which the next one is; `None` at the end.
    async fn current(&mut self) -> Result<Option<Arc<SortedRows>>> {
        loop {
            if let Some(current) = &self.current
                && self.position < current.len()
            {
                return Ok(Some(Arc::clone(current)));
            }
            self.current = None;
            self.position = 0;
            if self.has_ended {
                return Ok(None);
            }
            match self.input.try_next().await? {
                Some(rows) => self.current = Some(Arc::new(self.encode(rows)?)),
                None => self.has_ended = true,
            }
        }
    }

    fn encode(&self, rows: RecordBatch) -> Result<SortedRows> {
        let evaluate = |expr: &Arc<dyn PhysicalExpr>| -> Result<ArrayRef> {
            expr.evaluate(&rows)?.into_array(rows.num_rows())
        };
        let keys = self.exprs.keys.iter().map(evaluate).collect::<Result<Vec<_>>>()?;
        let time = evaluate(&self.exprs.time)?;
        let nulls: Vec<_> = keys.iter().chain([&time]).map(|array| array.logical_nulls()).collect();
        let encoded_keys = self.keys.as_ref().map(|converter| converter.convert_columns(&keys));
        Ok(SortedRows {
            keys: encoded_keys.transpose()?,
            times: self.times.convert_columns(&[time])?,
            nulls: NullBuffer::union_many(nulls.iter().map(Option::as_ref)),
            rows,
        })
    }
}

/// A row of the right input.
struct Candidate {
    batch: Arc<SortedRows>,
    row: usize,
}

/// The rows of a batch of the left input that are not part of the output yet. They match rows of one batch.
struct PendingRows<'a> {
    left: &'a SortedRows,
    start: usize,
    /// The row that each matches, from `start` on.
    matches: Vec<Option<u64>>,
}

/// The merge of one partition.
///
/// Inputs are in the order of keys and times, so that the candidate of a row is the last row of the right input that does not follow
/// it. It is a match if it has the same keys.
pub(super) struct AsOfMerge {
    left: Side,
    right: Side,
    schema: SchemaRef,
    /// Whether a match has another time than its row.
    is_strict: bool,
    /// Whether rows without a match are part of the result.
    keeps_unmatched: bool,
    candidate: Option<Candidate>,
    output: BatchCoalescer,
    has_ended: bool,
}

impl AsOfMerge {
    pub(super) fn try_new(
        left: (SendableRecordBatchStream, SideExprs),
        right: (SendableRecordBatchStream, SideExprs),
        schema: SchemaRef,
        conditions: &AsOfConditions,
        batch_size: usize,
    ) -> Result<Self> {
        let time_order = conditions.time_order();
        Ok(Self {
            left: Side::try_new(left.0, left.1, time_order)?,
            right: Side::try_new(right.0, right.1, time_order)?,
            output: BatchCoalescer::new(Arc::clone(&schema), batch_size),
            schema,
            is_strict: matches!(conditions.operator, Operator::Gt | Operator::Lt),
            keeps_unmatched: conditions.join_type == JoinType::Left,
            candidate: None,
            has_ended: false,
        })
    }

    /// Returns the next rows; `None` at the end.
    pub(super) async fn next_batch(&mut self) -> Result<Option<RecordBatch>> {
        loop {
            if let Some(batch) = self.output.next_completed_batch() {
                return Ok(Some(batch));
            }
            if self.has_ended {
                return Ok(None);
            }
            match self.left.current().await? {
                Some(left) => {
                    self.join(&left).await?;
                    self.left.position = left.len();
                }
                None => {
                    self.output.finish_buffered_batch()?;
                    self.has_ended = true;
                }
            }
        }
    }

    /// Joins the rows of a batch of the left input.
    async fn join(&mut self, left: &SortedRows) -> Result<()> {
        let mut pending = PendingRows {
            left,
            start: 0,
            matches: Vec::with_capacity(left.len()),
        };
        for row in 0..left.len() {
            self.advance(row, &mut pending).await?;
            pending.matches.push(self.match_of(left, row));
        }
        self.flush(&mut pending)
    }

    /// Moves the candidate to that of a row.
    async fn advance(&mut self, row: usize, pending: &mut PendingRows<'_>) -> Result<()> {
        while let Some(right) = self.right.current().await? {
            let mut position = self.right.position;
            let mut latest = None;
            while position < right.len() && self.precedes(&right, position, pending.left, row) {
                if !right.has_null(position) {
                    latest = Some(position);
                }
                position += 1;
            }
            self.right.position = position;
            if let Some(latest) = latest {
                self.replace_candidate(&right, latest, pending)?;
            }
            if position < right.len() {
                break;
            }
        }
        Ok(())
    }

    /// Whether a row of the right input is at or before the place of a row of the left one.
    fn precedes(&self, right: &SortedRows, at: usize, left: &SortedRows, row: usize) -> bool {
        let by_key = right.key(at).cmp(&left.key(row));
        let order = by_key.then_with(|| right.times.row(at).cmp(&left.times.row(row)));
        order.is_lt() || (order.is_eq() && !self.is_strict)
    }

    fn replace_candidate(
        &mut self,
        batch: &Arc<SortedRows>,
        row: usize,
        pending: &mut PendingRows<'_>,
    ) -> Result<()> {
        let current = self.candidate.as_ref();
        if !current.is_some_and(|candidate| Arc::ptr_eq(&candidate.batch, batch)) {
            self.flush(pending)?;
        }
        self.candidate = Some(Candidate {
            batch: Arc::clone(batch),
            row,
        });
        Ok(())
    }

    /// Returns the row of the candidate, if a row of the left input matches it.
    fn match_of(&self, left: &SortedRows, row: usize) -> Option<u64> {
        let candidate = self.candidate.as_ref()?;
        let is_match = !left.has_null(row) && candidate.batch.key(candidate.row) == left.key(row);
        is_match.then(|| u64::try_from(candidate.row).ok()).flatten()
    }

    /// Adds pending rows to the output.
    fn flush(&mut self, pending: &mut PendingRows<'_>) -> Result<()> {
        let all = UInt64Array::from(std::mem::take(&mut pending.matches));
        let slice = pending.left.rows.slice(pending.start, all.len());
        pending.start += all.len();
        let (left, matches) = if self.keeps_unmatched {
            (slice, all)
        } else {
            let is_matched = is_not_null(&all)?;
            let matched = filter(&all, &is_matched)?;
            (
                filter_record_batch(&slice, &is_matched)?,
                matched.as_primitive::<UInt64Type>().clone(),
            )
        };
        if matches.is_empty() {
            return Ok(());
        }
        let mut columns = left.columns().to_vec();
        match &self.candidate {
            Some(candidate) => {
                columns.extend(take_arrays(candidate.batch.rows.columns(), &matches, None)?);
            }
            None => {
                let fields = self.schema.fields().iter().skip(columns.len());
                let nulls = fields.map(|field| new_null_array(field.data_type(), matches.len()));
                columns.extend(nulls.collect::<Vec<_>>());
            }
        }
        let rows = RecordBatchOptions::new().with_row_count(Some(matches.len()));
        let joined = RecordBatch::try_new_with_options(Arc::clone(&self.schema), columns, &rows)?;
        self.output.push_batch(joined)?;
        Ok(())
    }
}
