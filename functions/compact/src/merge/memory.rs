//! Divides the memory of a merge.
//!
//! ```text
//!   |-- fixed --|-- row group --|-- output --|-- windows of the inputs, each twice: as stored and decoded --|
//! ```
//!
//! With less memory, row groups are smaller, and fewer sections are merged at a time.

use super::{MergeJob, source::ReadSizes};

/// Maximum length of a section that is read whole: a second request costs more than the transfer.
const WHOLE_BYTES: u64 = 4 << 20;

/// Maximum bytes of row groups that are read together.
const MAX_WINDOW_BYTES: u64 = 8 << 20;

/// Approximate minimum bytes of one read of a section.
const MIN_WINDOW_BYTES: u64 = 1 << 20;

/// Memory of a merge besides its inputs, its output, and a row group of the output, in bytes.
const BASE_MEMORY_BYTES: u64 = 32 << 20;

/// Maximum bytes of a row group before compression, because it is in memory until it is complete.
const MAX_ROW_GROUP_BYTES: u64 = 64 << 20;

/// Minimum bytes of a row group before compression: smaller row groups save less memory than their statistics cost.
const MIN_ROW_GROUP_BYTES: u64 = 4 << 20;

/// Returns the bytes of a row group before compression, for a merge with `memory_bytes` bytes of memory.
pub(super) fn row_group_bytes(memory_bytes: u64) -> u64 {
    (memory_bytes / 5).clamp(MIN_ROW_GROUP_BYTES, MAX_ROW_GROUP_BYTES)
}

/// Returns the memory of a merge besides its inputs and its output, in bytes.
fn base_bytes(memory_bytes: u64) -> u64 {
    BASE_MEMORY_BYTES + row_group_bytes(memory_bytes)
}

/// Returns the maximum number of inputs of a merge with `memory_bytes` bytes of memory: half of the free memory is for
/// the inputs, half for the output.
pub(crate) fn max_inputs_within(memory_bytes: u64) -> usize {
    let free = memory_bytes.saturating_sub(base_bytes(memory_bytes));
    let inputs = usize::try_from(free / 2 / (2 * MIN_WINDOW_BYTES)).unwrap_or(usize::MAX);
    inputs.max(2)
}

/// Returns the maximum total bytes of `inputs` inputs that are certain to fit into `memory_bytes` bytes of memory.
pub(crate) fn max_input_bytes(memory_bytes: u64, inputs: usize) -> u64 {
    let windows = (inputs as u64).saturating_mul(2 * MIN_WINDOW_BYTES);
    memory_bytes.saturating_sub(base_bytes(memory_bytes).saturating_add(windows))
}

/// Returns the approximate minimum memory of a job in bytes, if `memory_bytes` are available: its output, and one
/// window of each input.
pub(super) fn memory_needed(job: &MergeJob, memory_bytes: u64) -> u64 {
    let windows = job.inputs.iter().map(|input| input.length.min(MIN_WINDOW_BYTES));
    base_bytes(memory_bytes)
        .saturating_add(job.bytes())
        .saturating_add(2 * windows.sum::<u64>())
}

/// Returns the read sizes of a job: the memory besides the output is for the inputs.
pub(super) fn read_sizes(job: &MergeJob, memory_bytes: u64) -> ReadSizes {
    let left = memory_bytes.saturating_sub(base_bytes(memory_bytes) + job.bytes());
    divided(left, job.inputs.len())
}

/// Returns the read sizes for `inputs` inputs, with `memory_bytes` bytes for them and for the merge itself.
pub(super) fn read_sizes_within(memory_bytes: u64, inputs: usize) -> ReadSizes {
    divided(memory_bytes.saturating_sub(base_bytes(memory_bytes)), inputs)
}

fn divided(memory_bytes: u64, inputs: usize) -> ReadSizes {
    let share = memory_bytes / (2 * inputs.max(1) as u64);
    let window_bytes = share.clamp(MIN_WINDOW_BYTES, MAX_WINDOW_BYTES);
    ReadSizes { whole_bytes: WHOLE_BYTES.min(2 * window_bytes), window_bytes }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    #[test]
    fn with_little_memory_few_sections_are_merged_at_a_time() {
        // Functions with 128, 256, 512 and 1,769 MB give 6 tenths of it to merges.
        let inputs = [76, 153, 307, 1_061].map(|memory| max_inputs_within(memory * MIB));
        assert_eq!(inputs, [7, 22, 53, 241]);
    }

    #[test]
    fn with_80_mebibytes_at_least_16_mebibytes_of_inputs_fit() {
        let memory = 80 * MIB;
        let inputs = max_inputs_within(memory);
        assert_eq!(inputs, 8);
        assert!(max_input_bytes(memory, inputs) >= 16 * MIB);
    }

    #[test]
    fn with_much_memory_row_groups_have_their_usual_size() {
        assert_eq!(row_group_bytes(1 << 30), MAX_ROW_GROUP_BYTES);
        assert_eq!(row_group_bytes(80 * MIB), 16 * MIB);
        assert_eq!(row_group_bytes(0), MIN_ROW_GROUP_BYTES);
    }
}
