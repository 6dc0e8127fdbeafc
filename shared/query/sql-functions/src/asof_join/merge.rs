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

use super::conditions::{AsOfConditions, JoinInputExprs};

/// Rows of an input, with the bytes that sort as their keys and times do.
struct AsOfInputRows {
    rows: RecordBatch,
    /// `None` if the join has no keys.
    keys: Option<Rows>,
    times: Rows,
    /// The rows with a null in a key or the time. They match nothing.
    nulls: Option<NullBuffer>,
}

impl AsOfInputRows {
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
struct AsOfInput {
    input: SendableRecordBatchStream,
    exprs: JoinInputExprs,
    keys: Option<RowConverter>,
    times: RowConverter,
    current: Option<Arc<AsOfInputRows>>,
    /// The position in `current`.
    position: usize,
    has_ended: bool,
}

impl AsOfInput {
    fn try_new(
        input: SendableRecordBatchStream,
        exprs: JoinInputExprs,
        time_order: SortOptions,
    ) -> Result<Self> {
        let schema = input.schema();
        let field = |expr: &Arc<dyn PhysicalExpr>, order| -> Result<SortField> {
            Ok(SortField::new_with_options(expr.data_type(&schema)?, order))
        };
        let key_fields = exprs.keys.iter().map(|key| field(key, JoinInputExprs::KEY_ORDER));
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
    async fn current(&mut self) -> Result<Option<Arc<AsOfInputRows>>> {
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

    fn encode(&self, rows: RecordBatch) -> Result<AsOfInputRows> {
        let evaluate = |expr: &Arc<dyn PhysicalExpr>| -> Result<ArrayRef> {
            expr.evaluate(&rows)?.into_array(rows.num_rows())
        };
        let keys = self.exprs.keys.iter().map(evaluate).collect::<Result<Vec<_>>>()?;
        let time = evaluate(&self.exprs.time)?;
        let nulls: Vec<_> = keys.iter().chain([&time]).map(|array| array.logical_nulls()).collect();
        let encoded_keys = self.keys.as_ref().map(|converter| converter.convert_columns(&keys));
        Ok(AsOfInputRows {
            keys: encoded_keys.transpose()?,
            times: self.times.convert_columns(&[time])?,
            nulls: NullBuffer::union_many(nulls.iter().map(Option::as_ref)),
            rows,
        })
    }
}

/// A row of the right input.
struct MatchCandidate {
    batch: Arc<AsOfInputRows>,
    row: usize,
}

/// The rows of a batch of the left input that are not part of the output yet. They match rows of one batch.
struct PendingMatches<'a> {
    left: &'a AsOfInputRows,
    start: usize,
    /// The row that each matches, from `start` on.
    matches: Vec<Option<u64>>,
}

/// The merge of one partition.
///
/// Inputs are in the order of keys and times, so that the candidate of a row is the last row of the right input that does not follow
/// it. It is a match if it has the same keys.
pub(super) struct AsOfMerge {
    left: AsOfInput,
    right: AsOfInput,
    schema: SchemaRef,
    /// Whether a match has another time than its row.
    is_strict: bool,
    /// Whether rows without a match are part of the result.
    keeps_unmatched: bool,
    candidate: Option<MatchCandidate>,
    output: BatchCoalescer,
    has_ended: bool,
}

impl AsOfMerge {
    pub(super) fn try_new(
        left: (SendableRecordBatchStream, JoinInputExprs),
        right: (SendableRecordBatchStream, JoinInputExprs),
        schema: SchemaRef,
        conditions: &AsOfConditions,
        batch_size: usize,
    ) -> Result<Self> {
        let time_order = conditions.time_order();
        Ok(Self {
            left: AsOfInput::try_new(left.0, left.1, time_order)?,
            right: AsOfInput::try_new(right.0, right.1, time_order)?,
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
    async fn join(&mut self, left: &AsOfInputRows) -> Result<()> {
        let mut pending =
            PendingMatches { left, start: 0, matches: Vec::with_capacity(left.len()) };
        for row in 0..left.len() {
            self.advance(row, &mut pending).await?;
            pending.matches.push(self.match_of(left, row));
        }
        self.flush(&mut pending)
    }

    /// Moves the candidate to that of a row.
    async fn advance(&mut self, row: usize, pending: &mut PendingMatches<'_>) -> Result<()> {
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
    fn precedes(&self, right: &AsOfInputRows, at: usize, left: &AsOfInputRows, row: usize) -> bool {
        let by_key = right.key(at).cmp(&left.key(row));
        let order = by_key.then_with(|| right.times.row(at).cmp(&left.times.row(row)));
        order.is_lt() || (order.is_eq() && !self.is_strict)
    }

    fn replace_candidate(
        &mut self,
        batch: &Arc<AsOfInputRows>,
        row: usize,
        pending: &mut PendingMatches<'_>,
    ) -> Result<()> {
        let current = self.candidate.as_ref();
        if !current.is_some_and(|candidate| Arc::ptr_eq(&candidate.batch, batch)) {
            self.flush(pending)?;
        }
        self.candidate = Some(MatchCandidate { batch: Arc::clone(batch), row });
        Ok(())
    }

    /// Returns the row of the candidate, if a row of the left input matches it.
    fn match_of(&self, left: &AsOfInputRows, row: usize) -> Option<u64> {
        let candidate = self.candidate.as_ref()?;
        let is_match = !left.has_null(row) && candidate.batch.key(candidate.row) == left.key(row);
        is_match.then(|| u64::try_from(candidate.row).ok()).flatten()
    }

    /// Adds pending rows to the output.
    fn flush(&mut self, pending: &mut PendingMatches<'_>) -> Result<()> {
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
