//! Rows that wait until they fill a batch.

use arrow::{
    array::{ArrayRef, AsArray, RecordBatch, RecordBatchOptions},
    compute::concat_batches,
    datatypes::SchemaRef,
};
use arrow_select::dictionary::garbage_collect_any_dictionary;
use datafusion::common::Result;

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

    /// The number of rows.
    pub(super) fn len(&self) -> usize {
        self.rows
    }

    /// The memory of the rows, in bytes.
    pub(super) fn size_bytes(&self) -> usize {
        self.bytes
    }

    /// Adds a batch, with the values of dictionaries that it has.
    pub(super) fn push(&mut self, batch: &RecordBatch) -> Result<()> {
        if batch.num_rows() == 0 {
            return Ok(());
        }
        let columns = batch
            .columns()
            .iter()
            .map(|column| match column.as_any_dictionary_opt() {
                Some(dictionary) => garbage_collect_any_dictionary(dictionary),
                None => Ok(ArrayRef::clone(column)),
            });
        let columns = columns.collect::<Result<_, _>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        let schema = SchemaRef::clone(&self.schema);
        let batch = RecordBatch::try_new_with_options(schema, columns, &options)?;
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
