//! The groups of rows by the codes of their tags.
//!
//! Rows of a tail are in the order of their writes, so that rows of a group do not follow each other. But they share
//! dictionaries: rows with the same codes have the same texts, which need to be encoded and hashed once.

use std::{collections::HashMap, sync::Arc};

use ahash::RandomState;
use arrow::{
    array::{Array, ArrayRef, ArrowPrimitiveType, AsArray},
    datatypes::{DataType, Int32Type, Int64Type, TimeUnit, TimestampNanosecondType, UInt64Type},
};

/// The width of the codes of a row, in bits.
const WIDTH: u32 = u128::BITS;

/// Codes of rows, with the groups of their keys.
#[derive(Default)]
pub(super) struct KeyCodes {
    /// The texts of the codes of each key that has any.
    dictionaries: Vec<Option<ArrayRef>>,
    /// The number of each combination of codes.
    numbers: HashMap<u128, usize, RandomState>,
    /// The groups of the combinations, by number.
    groups: Vec<usize>,
    /// The codes of the rows of a batch.
    codes: Vec<u128>,
}

impl KeyCodes {
    /// The memory of the codes without the dictionaries, which belong to the rows, in bytes.
    pub(super) fn size_bytes(&self) -> usize {
        self.numbers.capacity() * size_of::<(u128, usize)>()
            + self.groups.capacity() * size_of::<usize>()
            + self.codes.capacity() * size_of::<u128>()
    }

    /// Numbers the combinations of codes of `rows` rows. Returns the rows with combinations that have no group yet, the first one
    /// with each; `None` if keys have no codes. Then [`Self::set_groups`] is called with the groups of these rows.
    pub(super) fn assign_numbers(
        &mut self,
        keys: &[ArrayRef],
        rows: usize,
        numbers: &mut Vec<usize>,
    ) -> Option<Vec<u32>> {
        self.encode(keys, rows)?;
        self.keep_dictionaries(keys);
        let mut new = Vec::new();
        numbers.clear();
        for (row, code) in (0_u32..).zip(&self.codes) {
            let next = self.numbers.len();
            let number = *self.numbers.entry(*code).or_insert(next);
            if number == next {
                new.push(row);
            }
            numbers.push(number);
        }
        Some(new)
    }

    /// Sets the groups of the rows with new combinations, and replaces the numbers of all rows by their groups.
    pub(super) fn set_groups(&mut self, new: &[usize], numbers: &mut [usize]) {
        self.groups.extend_from_slice(new);
        for number in numbers {
            if let Some(group) = self.groups.get(*number) {
                *number = *group;
            }
        }
    }

    /// Forgets the groups if codes have other meanings than before.
    fn keep_dictionaries(&mut self, keys: &[ArrayRef]) {
        let dictionary = |key: &ArrayRef| {
            let dictionary = key.as_dictionary_opt::<Int32Type>();
            dictionary.map(|dictionary| Arc::clone(dictionary.values()))
        };
        let dictionaries: Vec<Option<ArrayRef>> = keys.iter().map(dictionary).collect();
        let is_same = dictionaries.len() == self.dictionaries.len()
            && dictionaries.iter().zip(&self.dictionaries).all(|pair| match pair {
                (Some(one), Some(other)) => Arc::ptr_eq(one, other),
                (one, other) => one.is_none() && other.is_none(),
            });
        if !is_same {
            self.numbers.clear();
            self.groups.clear();
            self.dictionaries = dictionaries;
        }
    }

    /// Sets the codes of the rows; `None` if a key has a type without codes, no key is a tag, or the codes are too wide.
    fn encode(&mut self, keys: &[ArrayRef], rows: usize) -> Option<()> {
        let widths: Vec<u32> =
            keys.iter().map(|key| width_of(key.data_type())).collect::<Option<_>>()?;
        if widths.iter().sum::<u32>() > WIDTH || !keys.iter().any(is_tag) {
            return None;
        }
        self.codes.clear();
        self.codes.resize(rows, 0);
        for (key, width) in keys.iter().zip(widths) {
            for code in &mut self.codes {
                *code = code.checked_shl(width).unwrap_or_default();
            }
            match key.data_type() {
                DataType::Timestamp(..) => {
                    self.add::<TimestampNanosecondType>(key, i64::cast_unsigned)?;
                }
                DataType::Int64 => self.add::<Int64Type>(key, i64::cast_unsigned)?,
                DataType::UInt64 => self.add::<UInt64Type>(key, |value| value)?,
                _ => self.add_tags(key)?,
            }
        }
        Some(())
    }

    fn add_tags(&mut self, key: &ArrayRef) -> Option<()> {
        let tags = key.as_dictionary_opt::<Int32Type>()?.keys();
        // No tag has this code.
        let missing = u128::from(u32::MAX);
        for (row, (code, tag)) in self.codes.iter_mut().zip(tags.values()).enumerate() {
            *code |= if tags.is_valid(row) {
                u128::from(tag.cast_unsigned())
            } else {
                missing
            };
        }
        Some(())
    }

    /// Adds values, none of which is null.
    fn add<T: ArrowPrimitiveType>(
        &mut self,
        key: &ArrayRef,
        bits: fn(T::Native) -> u64,
    ) -> Option<()> {
        let values = key.as_primitive_opt::<T>()?;
        if values.null_count() > 0 {
            return None;
        }
        for (code, value) in self.codes.iter_mut().zip(values.values()) {
            *code |= u128::from(bits(*value));
        }
        Some(())
    }
}

/// Returns the width of the codes of a key, in bits; `None` if its type has none.
fn width_of(key: &DataType) -> Option<u32> {
    match key {
        DataType::Dictionary(codes, _) if **codes == DataType::Int32 => Some(i32::BITS),
        DataType::Timestamp(TimeUnit::Nanosecond, _) | DataType::Int64 | DataType::UInt64 => {
            Some(i64::BITS)
        }
        _ => None,
    }
}

fn is_tag(key: &ArrayRef) -> bool {
    matches!(key.data_type(), DataType::Dictionary(..))
}
