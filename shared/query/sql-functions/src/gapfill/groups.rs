//! Splits a stream of rows sorted by group into batches of complete groups.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::compute::{concat, concat_batches, partition};
use arrow::datatypes::SchemaRef;
use datafusion::common::Result;
use datafusion::execution::TaskContext;
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryReservation};

/// Buffers rows until their group is complete. The buffered rows and the rows returned last are accounted for in the
/// query's memory pool.
#[derive(Debug)]
pub(super) struct GroupBuffer {
    key_columns: Vec<usize>,
    /// Rows not yet returned. The last row belongs to the last group received.
    pending: Vec<RecordBatch>,
    reservation: MemoryReservation,
}

impl GroupBuffer {
    pub(super) fn new(key_columns: Vec<usize>, partition: usize, context: &TaskContext) -> Self {
        let reservation = MemoryConsumer::new(format!("GapFillExec[{partition}]"))
            .register(context.memory_pool());
        Self { key_columns, pending: Vec::new(), reservation }
    }

    /// Adds rows, and returns the rows of all groups that are now complete.
    ///
    /// # Errors
    ///
    /// Returns an error if the memory pool cannot hold the buffered rows.
    pub(super) fn push(&mut self, batch: RecordBatch) -> Result<Option<RecordBatch>> {
        if batch.num_rows() == 0 {
            return Ok(None);
        }
        let last_group = ranges(&key_columns(&batch, &self.key_columns), batch.num_rows())?
            .last()
            .map_or(0, |group| group.start);
        let complete = if last_group > 0 {
            self.pending.push(batch.slice(0, last_group));
            let rest = batch.slice(last_group, batch.num_rows() - last_group);
            std::mem::replace(&mut self.pending, vec![rest])
        } else if self.continues_with(&batch)? {
            self.pending.push(batch);
            Vec::new()
        } else {
            std::mem::replace(&mut self.pending, vec![batch])
        };
        let held = self.pending.iter().chain(&complete);
        self.reservation
            .try_resize(held.map(RecordBatch::get_array_memory_size).sum())?;
        joined(&complete)
    }

    /// Returns the remaining rows at the end of the input.
    pub(super) fn finish(&mut self) -> Result<Option<RecordBatch>> {
        let rest = std::mem::take(&mut self.pending);
        joined(&rest)
    }

    /// Returns whether `batch` starts with the group of the last buffered row.
    fn continues_with(&self, batch: &RecordBatch) -> Result<bool> {
        let Some(last) = self.pending.last() else {
            return Ok(true);
        };
        let last = last.slice(last.num_rows().saturating_sub(1), 1);
        let neighbours = std::iter::zip(
            key_columns(&last, &self.key_columns),
            key_columns(batch, &self.key_columns),
        )
        .map(|(last, first)| Ok(concat(&[&last, &first.slice(0, 1)])?))
        .collect::<Result<Vec<_>>>()?;
        Ok(ranges(&neighbours, 2)?.len() == 1)
    }
}

/// Returns the columns that identify a group.
pub(super) fn key_columns(batch: &RecordBatch, indices: &[usize]) -> Vec<ArrayRef> {
    indices.iter().map(|index| Arc::clone(batch.column(*index))).collect()
}

/// Returns the runs of rows that are equal in all `keys`.
pub(super) fn ranges(keys: &[ArrayRef], rows: usize) -> Result<Vec<Range<usize>>> {
    if keys.is_empty() {
        return Ok(std::iter::once(0..rows).collect());
    }
    Ok(partition(keys)?.ranges())
}

fn joined(batches: &[RecordBatch]) -> Result<Option<RecordBatch>> {
    let schema: SchemaRef = match batches {
        [] => return Ok(None),
        [one] => return Ok(Some(one.clone())),
        [first, ..] => first.schema(),
    };
    Ok(Some(concat_batches(&schema, batches)?))
}

#[cfg(test)]
mod tests {
    use arrow::array::{AsArray, Int64Array, StringArray};
    use arrow::datatypes::{DataType, Field, Int64Type, Schema};
    use datafusion::execution::memory_pool::GreedyMemoryPool;
    use datafusion::execution::runtime_env::RuntimeEnvBuilder;

    use super::*;

    fn context(bytes: usize) -> TaskContext {
        let pool = Arc::new(GreedyMemoryPool::new(bytes));
        let runtime = RuntimeEnvBuilder::new().with_memory_pool(pool).build_arc().unwrap();
        TaskContext::default().with_runtime(runtime)
    }

    /// Returns a batch with one row per character; the character is the name of the row's group.
    fn batch(groups: &str, first: i64) -> RecordBatch {
        let schema = Schema::new(vec![
            Field::new("group", DataType::Utf8, false),
            Field::new("row", DataType::Int64, false),
        ]);
        let names = groups.chars().map(|name| name.to_string());
        let rows = (first..).take(groups.len());
        let columns: Vec<ArrayRef> = vec![
            Arc::new(StringArray::from_iter_values(names)),
            Arc::new(Int64Array::from_iter_values(rows)),
        ];
        RecordBatch::try_new(Arc::new(schema), columns).unwrap()
    }

    fn rows(batch: &Option<RecordBatch>) -> Vec<i64> {
        let batch = batch.as_ref();
        batch.map_or(vec![], |rows| rows.column(1).as_primitive::<Int64Type>().values().to_vec())
    }

    #[test]
    fn only_complete_groups_are_returned() {
        let mut buffer = GroupBuffer::new(vec![0], 0, &context(1 << 20));
        assert_eq!(rows(&buffer.push(batch("aab", 0)).unwrap()), [0, 1]);
        assert!(rows(&buffer.push(batch("", 3)).unwrap()).is_empty());
        assert!(rows(&buffer.push(batch("bb", 3)).unwrap()).is_empty());
        assert_eq!(rows(&buffer.push(batch("c", 5)).unwrap()), [2, 3, 4]);
        assert_eq!(rows(&buffer.push(batch("cde", 6)).unwrap()), [5, 6, 7]);
        assert_eq!(rows(&buffer.finish().unwrap()), [8]);
        assert!(rows(&buffer.finish().unwrap()).is_empty());
    }

    #[test]
    fn without_keys_all_rows_are_one_group() {
        let mut buffer = GroupBuffer::new(vec![], 0, &context(1 << 20));
        assert!(rows(&buffer.push(batch("ab", 0)).unwrap()).is_empty());
        assert!(rows(&buffer.push(batch("c", 2)).unwrap()).is_empty());
        assert_eq!(rows(&buffer.finish().unwrap()), [0, 1, 2]);
    }

    #[test]
    fn a_group_larger_than_the_memory_is_an_error() {
        let mut buffer = GroupBuffer::new(vec![0], 0, &context(100_000));
        let error = (0..1000).find_map(|first| buffer.push(batch("aaaaaaaaaa", first)).err());
        assert!(error.unwrap().to_string().contains("GapFillExec[0]"));
    }
}
