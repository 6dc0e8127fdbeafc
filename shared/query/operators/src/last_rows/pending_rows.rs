//! Rows that wait until they fill a batch.

use arrow::{array::RecordBatch, compute::concat_batches, datatypes::SchemaRef};
use datafusion::common::Result;

use crate::unused_values::release_unused_values;

/// Collects small batches to larger ones: an aggregate with many functions takes longer for a batch than for its rows.
pub(super) struct PendingRows {
    schema: SchemaRef,
    batches: Vec<RecordBatch>,
    rows: usize,
    bytes: usize,
}

impl PendingRows {
    /// No rows.
    pub(super) fn new(schema: &SchemaRef) -> Self {
        Self {
            schema: SchemaRef::clone(schema),
            batches: Vec::new(),
            rows: 0,
            bytes: 0,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.rows
    }

    /// The memory of the rows, in bytes.
    pub(super) fn size_bytes(&self) -> usize {
        self.bytes
    }

    /// Adds a batch, of whose dictionaries it keeps the values that the rows have.
    pub(super) fn push(&mut self, batch: RecordBatch) -> Result<()> {
        if batch.num_rows() == 0 {
            return Ok(());
        }
        let batch = release_unused_values(batch)?;
        self.rows += batch.num_rows();
        self.bytes += batch.get_array_memory_size();
        self.batches.push(batch);
        Ok(())
    }

    /// Returns all rows as one batch; `None` if there are none. None are left.
    pub(super) fn take(&mut self) -> Result<Option<RecordBatch>> {
        if self.rows == 0 {
            return Ok(None);
        }
        let batches = std::mem::take(&mut self.batches);
        (self.rows, self.bytes) = (0, 0);
        Ok(Some(concat_batches(&self.schema, &batches)?))
    }
}
