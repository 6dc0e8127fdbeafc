//! The numbers by which rows are sorted.

use std::cmp::Ordering;

use arrow::{
    array::{Array, AsArray, RecordBatch, StringArray, UInt32Array},
    compute::{SortOptions, cast},
    datatypes::{DataType, Int32Type, Int64Type, Schema},
    error::ArrowError,
};
use datafusion::physical_expr::{LexOrdering, expressions::Column};
use neap_schema::ColumnType;

/// The bits of the number of a row, which holds its times and ranks in their order.
const NUMBER_BITS: u32 = u128::BITS;

/// Ranks of nulls. Those of values are between them.
const NULLS_FIRST: u32 = u32::MIN;
const NULLS_LAST: u32 = u32::MAX;

/// A part of an order.
#[derive(Debug)]
enum RankKey {
    /// A column of times or integers without nulls.
    Integer { column: usize, is_descending: bool },
    /// Adjacent columns of tags.
    Tags(Vec<(usize, SortOptions)>),
}

impl RankKey {
    fn bits(&self) -> u32 {
        match self {
            Self::Integer { .. } => u64::BITS,
            Self::Tags(_) => u32::BITS,
        }
    }
}

/// An order of rows, each by one number.
#[derive(Debug)]
pub(super) struct RankKeys(Vec<RankKey>);

impl RankKeys {
    /// Returns the keys of an order of rows with this schema; `None` if it has other columns than tags and times and integers
    /// without nulls, or too many of them.
    pub(super) fn new(order: &LexOrdering, schema: &Schema) -> Option<Self> {
        let mut keys: Vec<RankKey> = Vec::new();
        for part in order {
            let column = part.expr.downcast_ref::<Column>()?.index();
            let field = schema.fields().get(column)?;
            match (field.data_type(), keys.last_mut()) {
                (DataType::Timestamp(..) | DataType::Int64, _) if !field.is_nullable() => {
                    let is_descending = part.options.descending;
                    keys.push(RankKey::Integer { column, is_descending });
                }
                (kind, Some(RankKey::Tags(tags))) if ColumnType::is_tag_type(kind) => {
                    tags.push((column, part.options));
                }
                (kind, _) if ColumnType::is_tag_type(kind) => {
                    keys.push(RankKey::Tags(vec![(column, part.options)]))
                }
                _ => return None,
            }
        }
        let bits: u32 = keys.iter().map(RankKey::bits).sum();
        (bits <= NUMBER_BITS).then_some(Self(keys))
    }

    /// The memory to sort a row, in bytes: twice its number and its index, because a sort copies them, the index in the
    /// result, and the ranks of its tags.
    pub(super) fn row_bytes(&self) -> usize {
        let ranks = self.0.iter().map(|key| match key {
            RankKey::Integer { .. } => 0,
            RankKey::Tags(tags) => tags.len() + 1,
        });
        2 * size_of::<(u128, u32)>() + size_of::<u32>() * (1 + ranks.sum::<usize>())
    }

    /// Returns the indexes of the rows in their order. Rows with equal keys keep their order.
    /// Fails if the rows have other columns, or are 2^32 or more.
    pub(super) fn sorted(&self, rows: &RecordBatch) -> Result<UInt32Array, ArrowError> {
        let count = u32::try_from(rows.num_rows())
            .map_err(|_| ArrowError::ComputeError("too many rows to sort".to_owned()))?;
        let mut numbers: Vec<(u128, u32)> = (0..count).map(|row| (0, row)).collect();
        for key in &self.0 {
            match key {
                RankKey::Integer { column, is_descending } => {
                    let widened = cast(rows.column(*column), &DataType::Int64)?;
                    let integers = widened.as_primitive::<Int64Type>().values();
                    // The order of the bits is that of the integers.
                    let flipped = if *is_descending { i64::MAX } else { i64::MIN };
                    for ((number, _), integer) in numbers.iter_mut().zip(integers) {
                        let bits = (integer ^ flipped).cast_unsigned();
                        *number = *number << u64::BITS | u128::from(bits);
                    }
                }
                RankKey::Tags(tags) => {
                    let ranks = ranks(rows, tags)?;
                    for ((number, _), rank) in numbers.iter_mut().zip(ranks) {
                        *number = *number << u32::BITS | u128::from(rank);
                    }
                }
            }
        }
        // Rows of a series follow each other in their order, and this sort merges such runs.
        numbers.sort();
        Ok(numbers.into_iter().map(|(_, row)| row).collect())
    }
}

/// Returns the rank of the tags of each row among those of all rows. Equal tags have equal ranks.
fn ranks(rows: &RecordBatch, tags: &[(usize, SortOptions)]) -> Result<Vec<u32>, ArrowError> {
    let mut columns = tags
        .iter()
        .map(|(column, options)| tag_ranks(rows.column(*column).as_ref(), *options))
        .collect::<Result<Vec<Vec<u32>>, _>>()?;
    if columns.len() == 1 {
        return Ok(columns.pop().unwrap_or_default());
    }
    let mut is_start = vec![false; rows.num_rows()];
    if let Some(first) = is_start.first_mut() {
        *first = true;
    }
    for ranks in &columns {
        let pairs = ranks.iter().zip(ranks.iter().skip(1));
        for (is_start, (before, rank)) in is_start.iter_mut().skip(1).zip(pairs) {
            *is_start |= before != rank;
        }
    }
    let starts: Vec<usize> = is_start
        .iter()
        .enumerate()
        .filter_map(|(row, is_start)| is_start.then_some(row))
        .collect();
    let order = |one: usize, other: usize| {
        let mut compared = columns.iter().map(|ranks| ranks[one].cmp(&ranks[other]));
        let unequal = compared.find(|order| order.is_ne());
        unequal.unwrap_or(Ordering::Equal)
    };
    let mut runs: Vec<usize> = (0..starts.len()).collect();
    runs.sort_unstable_by(|one, other| order(starts[*one], starts[*other]));
    let mut rank_of_run = vec![0_u32; starts.len()];
    let mut rank = 0;
    for pair in runs.windows(2) {
        let (before, run) = (pair[0], pair[1]);
        rank += u32::from(order(starts[before], starts[run]).is_ne());
        rank_of_run[run] = rank;
    }
    let ends = starts.iter().skip(1).copied().chain([rows.num_rows()]);
    let lengths = starts.iter().zip(ends).map(|(start, end)| end - start);
    let ranks = rank_of_run.into_iter().zip(lengths);
    Ok(ranks.flat_map(|(rank, length)| std::iter::repeat_n(rank, length)).collect())
}

/// Returns the rank of the tag of each row.
fn tag_ranks(tags: &dyn Array, options: SortOptions) -> Result<Vec<u32>, ArrowError> {
    let tags = tags
        .as_dictionary_opt::<Int32Type>()
        .ok_or_else(|| ArrowError::CastError("tags are no dictionary".to_owned()))?;
    let texts = tags
        .values()
        .as_string_opt::<i32>()
        .ok_or_else(|| ArrowError::CastError("tags are no texts".to_owned()))?;
    let null = if options.nulls_first {
        NULLS_FIRST
    } else {
        NULLS_LAST
    };
    let keys = tags.keys_iter();
    let mut is_used = vec![false; texts.len()];
    for key in keys.flatten() {
        is_used[key] = true;
    }
    let ranks = text_ranks(texts, &is_used, options.descending, null);
    let keys = tags.keys_iter();
    Ok(keys.map(|key| key.map_or(null, |key| ranks[key])).collect())
}

/// Returns the rank of each text that is used. Equal texts have equal ranks.
fn text_ranks(texts: &StringArray, is_used: &[bool], is_descending: bool, null: u32) -> Vec<u32> {
    let mut used: Vec<(&str, usize)> = (0..texts.len())
        .filter(|key| is_used[*key] && texts.is_valid(*key))
        .map(|key| (texts.value(key), key))
        .collect();
    used.sort_unstable();
    let mut ranks = vec![null; texts.len()];
    let mut rank = NULLS_FIRST;
    let mut before = None;
    for (text, key) in used {
        rank += u32::from(before != Some(text));
        before = Some(text);
        ranks[key] = if is_descending {
            NULLS_LAST - rank
        } else {
            rank
        };
    }
    ranks
}
