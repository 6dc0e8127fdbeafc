//! A record batch whose rows have numbers.

use arrow_array::RecordBatch;

/// A batch whose rows have consecutive numbers.
#[derive(Clone, Debug)]
pub struct NumberedBatch {
    /// The number of the first row, which errors contain.
    pub first_row: usize,
    /// The rows.
    pub batch: RecordBatch,
    /// The rows that could not be read, in their order. They are refused with these messages.
    pub refused: Vec<UnreadableRow>,
    /// Whether the dictionary of each tag has the values of its rows, each once and in the order of their first row. Then
    /// it is stored as it is.
    pub has_tag_dictionaries: bool,
}

/// A row of a batch that could not be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnreadableRow {
    /// The index of the row in the batch.
    pub index: usize,
    /// The error, with the name of the column.
    pub message: String,
}
