//! Merges the rows of all inputs block by block, in key order, and deduplicates them.
//!
//! ```text
//!   input 0   | a 1 | a 2 | c 1 |          the current batches
//!   input 1   | a 2 | b 1 |
//!   bound                ^  b 1 is the minimum of their last keys: rows up to it are complete
//!   block     a 1, a 2, a 2, b 1  ->  deduplicate  ->  a 1, a 2, b 1
//! ```

use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use neap_points::{conform_to_schema, deduplicate_with};
use neap_schema::OnDuplicate;

use super::{
    MergeError,
    input::{InputStatus, MergeInput},
    key::SortKeys,
};

/// Next result of a block merge.
#[derive(Debug)]
pub(super) enum RowBlock {
    /// These inputs need their next windows first.
    Needs(Vec<usize>),
    /// Deduplicated rows, after all previous rows.
    Rows(RecordBatch),
    /// There are no more rows.
    End,
}

/// Merges inputs, given in the order of their stamps, oldest first.
#[derive(Debug)]
pub(super) struct BlockMerge {
    tags: Vec<String>,
    schema: SchemaRef,
    on_duplicate: OnDuplicate,
    inputs: Vec<MergeInput>,
}

impl BlockMerge {
    /// Creates a merge that produces rows with the columns of `schema`.
    pub(super) fn new(
        tags: Vec<String>,
        schema: SchemaRef,
        on_duplicate: OnDuplicate,
        inputs: Vec<MergeInput>,
    ) -> Self {
        Self { tags, schema, on_duplicate, inputs }
    }

    pub(super) fn input_mut(&mut self, at: usize) -> Option<&mut MergeInput> {
        self.inputs.get_mut(at)
    }

    pub(super) fn next(&mut self) -> Result<RowBlock, MergeError> {
        let mut needs = Vec::new();
        for (at, input) in self.inputs.iter_mut().enumerate() {
            if input.advance()? == InputStatus::NeedsWindow {
                needs.push(at);
            }
        }
        if !needs.is_empty() {
            return Ok(RowBlock::Needs(needs));
        }
        let Some((bound, row)) = self.bound() else {
            return Ok(RowBlock::End);
        };
        let mut parts = Vec::new();
        for current in self.inputs.iter_mut().filter_map(MergeInput::current_mut) {
            let end = current.keys.end_of(current.taken, &bound, row);
            if end > current.taken {
                parts.push(current.take(end));
            }
        }
        let rows = match parts.as_slice() {
            [only] => conform_to_schema(only, &self.schema)?,
            _ => deduplicate_with(&self.tags, &self.schema, parts, self.on_duplicate)?,
        };
        Ok(RowBlock::Rows(rows))
    }

    /// Returns the minimum of the last keys of the current batches, as keys and the row in them.
    fn bound(&self) -> Option<(SortKeys, usize)> {
        let currents = self.inputs.iter().filter_map(MergeInput::current);
        let last = |keys: &SortKeys| keys.len().saturating_sub(1);
        let least = currents
            .map(|current| &current.keys)
            .min_by(|one, other| one.compare(last(one), other, last(other)));
        least.map(|keys| (keys.clone(), last(keys)))
    }
}
