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
use neap_points::{conform, fold};

use super::{
    MergeError,
    input::{Input, Need},
    key::Keys,
};

/// Next result of a block merge.
#[derive(Debug)]
pub(super) enum Block {
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
    inputs: Vec<Input>,
}

impl BlockMerge {
    /// Creates a merge that produces rows with the columns of `schema`.
    pub(super) fn new(tags: Vec<String>, schema: SchemaRef, inputs: Vec<Input>) -> Self {
        Self {
            tags,
            schema,
            inputs,
        }
    }

    pub(super) fn input_mut(&mut self, at: usize) -> Option<&mut Input> {
        self.inputs.get_mut(at)
    }

    /// Returns the next block.
    pub(super) fn next(&mut self) -> Result<Block, MergeError> {
        let mut needs = Vec::new();
        for (at, input) in self.inputs.iter_mut().enumerate() {
            if input.advance()? == Need::Window {
                needs.push(at);
            }
        }
        if !needs.is_empty() {
            return Ok(Block::Needs(needs));
        }
        let Some((bound, row)) = self.bound() else {
            return Ok(Block::End);
        };
        let mut parts = Vec::new();
        for current in self.inputs.iter_mut().filter_map(Input::current_mut) {
            let end = current.keys.end_of(current.taken, &bound, row);
            if end > current.taken {
                parts.push(current.take(end));
            }
        }
        Ok(Block::Rows(match parts.as_slice() {
            [only] => conform(only, &self.schema)?,
            parts => fold(&self.tags, &self.schema, parts)?,
        }))
    }

    /// Returns the minimum of the last keys of the current batches, as keys and the row in them.
    fn bound(&self) -> Option<(Keys, usize)> {
        let currents = self.inputs.iter().filter_map(Input::current);
        let last = |keys: &Keys| keys.len().saturating_sub(1);
        let least = currents
            .map(|current| &current.keys)
            .min_by(|one, other| one.compare(last(one), other, last(other)));
        least.map(|keys| (keys.clone(), last(keys)))
    }
}
