//! How a merge divides its memory.
//!
//! ```text
//!   |-- base --|-- row group --|-- output --|-- windows of the inputs, each twice: as stored and decoded --|
//! ```
//!
//! The less memory there is, the smaller are the row groups, and the fewer sections are merged at a time.

use super::{MergeJob, source::ReadSizes};

/// Sections of at most so many bytes are read whole: a second request costs more than the transfer.
const WHOLE_BYTES: u64 = 4 << 20;

/// Row groups are read together up to this.
const MAX_WINDOW_BYTES: u64 = 8 << 20;

/// About the least that can be read of a section at once.
const MIN_WINDOW_BYTES: u64 = 1 << 20;

/// The memory that a merge needs besides its inputs, its output, and a row group of it.
const BASE_MEMORY_BYTES: u64 = 32 << 20;

/// The most bytes of a row group before it is compressed: it is in memory until it is complete.
const MAX_ROW_GROUP_BYTES: u64 = 64 << 20;

/// The least: smaller row groups make more statistics than they spare.
const MIN_ROW_GROUP_BYTES: u64 = 4 << 20;

/// What a merge with so much memory holds of a row group before it is compressed.
pub(super) fn row_group_bytes(memory_bytes: u64) -> u64 {
    (memory_bytes / 5).clamp(MIN_ROW_GROUP_BYTES, MAX_ROW_GROUP_BYTES)
}

/// What its inputs and its output have no part in.
fn base_bytes(memory_bytes: u64) -> u64 {
    BASE_MEMORY_BYTES + row_group_bytes(memory_bytes)
}

/// The most sections that a merge with so much memory has: half of what is free is for them, the rest for the output.
pub(crate) fn inputs_within(memory_bytes: u64) -> usize {
    let free = memory_bytes.saturating_sub(base_bytes(memory_bytes));
    let inputs = usize::try_from(free / 2 / (2 * MIN_WINDOW_BYTES)).unwrap_or(usize::MAX);
    inputs.max(2)
}

/// The most bytes of inputs, so many of them, that surely fit into so much memory.
pub(crate) fn fitting_inputs(memory_bytes: u64, inputs: usize) -> u64 {
    let windows = (inputs as u64).saturating_mul(2 * MIN_WINDOW_BYTES);
    memory_bytes.saturating_sub(base_bytes(memory_bytes).saturating_add(windows))
}

/// About how many bytes of memory a job needs at least, of so many that there are: its output in memory, and of each
/// input a window.
pub(super) fn memory_needed(job: &MergeJob, memory_bytes: u64) -> u64 {
    let windows = job
        .inputs
        .iter()
        .map(|input| input.length.min(MIN_WINDOW_BYTES));
    base_bytes(memory_bytes)
        .saturating_add(job.bytes())
        .saturating_add(2 * windows.sum::<u64>())
}

/// What is left of the memory is for the inputs.
pub(super) fn read_sizes(job: &MergeJob, memory_bytes: u64) -> ReadSizes {
    let left = memory_bytes.saturating_sub(base_bytes(memory_bytes) + job.bytes());
    divided(left, job.inputs.len())
}

/// How much is read at once of so many inputs, with so much memory for them and for the merge itself.
pub(super) fn sizes_within(memory_bytes: u64, inputs: usize) -> ReadSizes {
    divided(
        memory_bytes.saturating_sub(base_bytes(memory_bytes)),
        inputs,
    )
}

fn divided(memory_bytes: u64, inputs: usize) -> ReadSizes {
    let share = memory_bytes / (2 * inputs.max(1) as u64);
    let window_bytes = share.clamp(MIN_WINDOW_BYTES, MAX_WINDOW_BYTES);
    ReadSizes {
        whole_bytes: WHOLE_BYTES.min(2 * window_bytes),
        window_bytes,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    #[test]
    fn with_little_memory_few_sections_are_merged_at_a_time() {
        // Of functions with 128, 256, 512 and 1,769 MB, which give 6 tenths to merges.
        let inputs = [76, 153, 307, 1_061].map(|memory| inputs_within(memory * MIB));
        assert_eq!(inputs, [7, 22, 53, 241]);
    }

    #[test]
    fn with_80_mebibytes_something_useful_is_merged() {
        let memory = 80 * MIB;
        let inputs = inputs_within(memory);
        assert_eq!(inputs, 8);
        assert!(fitting_inputs(memory, inputs) >= 16 * MIB);
    }

    #[test]
    fn with_much_memory_row_groups_have_their_usual_size() {
        assert_eq!(row_group_bytes(1 << 30), MAX_ROW_GROUP_BYTES);
        assert_eq!(row_group_bytes(80 * MIB), 16 * MIB);
        assert_eq!(row_group_bytes(0), MIN_ROW_GROUP_BYTES);
    }
}
