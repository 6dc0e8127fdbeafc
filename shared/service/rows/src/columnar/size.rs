//! The memory of batches.

use arrow_array::{
    Array, RecordBatch, RunArray,
    cast::AsArray,
    types::{Int16Type, Int32Type, Int64Type, RunEndIndexType},
};
use arrow_buffer::ArrowNativeType;
use arrow_schema::DataType;

/// Returns the memory of the values of a batch, in bytes.
///
/// A value counts as often as it occurs, because fields do not share their values as the rows of a dictionary, of a run
/// or of a view do. Of shared buffers, only the part that the rows of the batch need counts.
pub fn batch_bytes(batch: &RecordBatch) -> usize {
    let columns = batch.columns().iter();
    columns
        .map(|column| column_bytes(column.as_ref()))
        .fold(0, usize::saturating_add)
}

fn column_bytes(column: &dyn Array) -> usize {
    match column.data_type() {
        DataType::RunEndEncoded(..) => match find_runs(column) {
            Some(runs) => runs.total_bytes(),
            None => slice_bytes(column),
        },
        DataType::Dictionary(..) | DataType::Utf8View | DataType::BinaryView => {
            let bytes = row_bytes(column);
            (0..column.len()).map(bytes).fold(0, usize::saturating_add)
        }
        _ => slice_bytes(column),
    }
}

fn slice_bytes(column: &dyn Array) -> usize {
    column
        .to_data()
        .get_slice_memory_size()
        .unwrap_or_else(|_| column.get_array_memory_size())
}

/// Returns the memory of the value of a row, by row.
fn row_bytes<'a>(column: &'a dyn Array) -> Box<dyn Fn(usize) -> usize + 'a> {
    const OFFSET: usize = size_of::<u32>();
    const VIEW: usize = size_of::<u128>();
    match column.data_type() {
        DataType::Utf8 => {
            let texts = column.as_string::<i32>();
            Box::new(|row| texts.value_length(row).as_usize() + OFFSET)
        }
        DataType::LargeUtf8 => {
            let texts = column.as_string::<i64>();
            Box::new(|row| texts.value_length(row).as_usize() + OFFSET)
        }
        DataType::Binary => {
            let values = column.as_binary::<i32>();
            Box::new(|row| values.value_length(row).as_usize() + OFFSET)
        }
        DataType::LargeBinary => {
            let values = column.as_binary::<i64>();
            Box::new(|row| values.value_length(row).as_usize() + OFFSET)
        }
        DataType::Utf8View => {
            let texts = column.as_string_view();
            Box::new(|row| texts.value(row).len() + VIEW)
        }
        DataType::BinaryView => {
            let values = column.as_binary_view();
            Box::new(|row| values.value(row).len() + VIEW)
        }
        DataType::Dictionary(..) => dictionary_row_bytes(column),
        DataType::RunEndEncoded(..) => match find_runs(column) {
            Some(runs) => Box::new(move |row| runs.row_bytes(row)),
            None => Box::new(|_| 0),
        },
        DataType::Null => Box::new(|_| 0),
        data_type => {
            // Values of other types have the same size, or are nested and cannot be stored: their average is enough.
            let bytes = match data_type.primitive_width() {
                Some(width) => width,
                None => slice_bytes(column).div_ceil(column.len().max(1)),
            };
            Box::new(move |_| bytes)
        }
    }
}

fn dictionary_row_bytes<'a>(column: &'a dyn Array) -> Box<dyn Fn(usize) -> usize + 'a> {
    /// The size of a key as it is stored.
    const KEY: usize = size_of::<u32>();
    let dictionary = column
        .as_any_dictionary_opt()
        .filter(|dictionary| !dictionary.values().is_empty());
    let Some(dictionary) = dictionary else {
        return Box::new(|_| KEY);
    };
    let value_bytes = row_bytes(dictionary.values().as_ref());
    let keys = dictionary.normalized_keys();
    Box::new(move |row| {
        let key = keys.get(row).filter(|_| dictionary.keys().is_valid(row));
        key.map_or(0, |key| value_bytes(*key)).max(KEY)
    })
}

/// A run-end encoded column.
trait Runs {
    /// Returns the memory of the values of all rows.
    fn total_bytes(&self) -> usize;

    /// Returns the memory of the value of a row.
    fn row_bytes(&self, row: usize) -> usize;
}

fn find_runs(column: &dyn Array) -> Option<Box<dyn Runs + '_>> {
    let DataType::RunEndEncoded(ends, _) = column.data_type() else {
        return None;
    };
    Some(match ends.data_type() {
        DataType::Int16 => Box::new(SizedRuns::new(column.as_run_opt::<Int16Type>()?)),
        DataType::Int32 => Box::new(SizedRuns::new(column.as_run_opt::<Int32Type>()?)),
        _ => Box::new(SizedRuns::new(column.as_run_opt::<Int64Type>()?)),
    })
}

struct SizedRuns<'a, R: RunEndIndexType> {
    runs: &'a RunArray<R>,
    value_bytes: Box<dyn Fn(usize) -> usize + 'a>,
}

impl<'a, R: RunEndIndexType> SizedRuns<'a, R> {
    fn new(runs: &'a RunArray<R>) -> Self {
        Self { runs, value_bytes: row_bytes(runs.values().as_ref()) }
    }
}

impl<R: RunEndIndexType> Runs for SizedRuns<'_, R> {
    fn total_bytes(&self) -> usize {
        if self.runs.is_empty() {
            return 0;
        }
        let first = self.runs.get_start_physical_index();
        let (mut bytes, mut start) = (0usize, 0);
        for (run, end) in self.runs.run_ends().sliced_values().enumerate() {
            let end = end.as_usize();
            let rows = end.saturating_sub(start);
            bytes = bytes.saturating_add((self.value_bytes)(first + run).saturating_mul(rows));
            start = end;
        }
        bytes
    }

    fn row_bytes(&self, row: usize) -> usize {
        (self.value_bytes)(self.runs.get_physical_index(row))
    }
}
