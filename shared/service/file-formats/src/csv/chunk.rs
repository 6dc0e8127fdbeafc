//! Rows of a section, and those that are refused.

use arrow_array::StringArray;
use neap_rows::columnar::UnreadableRow;

use crate::cells::InvalidCell;

/// Rows of a section by column.
pub(super) struct Chunk {
    pub(super) first_row: usize,
    pub(super) rows: usize,
    pub(super) columns: Vec<StringArray>,
    pub(super) refused: Vec<UnreadableRow>,
}

/// Adds invalid cells to the refused rows. A row is refused for its first invalid cell.
pub(super) fn refuse(refused: &mut Vec<UnreadableRow>, invalid: Vec<InvalidCell>) {
    let invalid = invalid
        .into_iter()
        .map(|cell| UnreadableRow { index: cell.row, message: cell.message });
    refused.extend(invalid);
    // The sort is stable.
    refused.sort_by_key(|row| row.index);
    refused.dedup_by_key(|row| row.index);
}
