//! Tags as integers: the codes of sorted dictionaries.

use std::{cmp::Ordering, sync::Arc};

use arrow_array::{
    Array, ArrayRef, DictionaryArray, Int32Array, StringArray, cast::AsArray, types::Int32Type,
};
use arrow_buffer::NullBuffer;
use arrow_schema::ArrowError;
use arrow_select::take::take;

use crate::CacheError;

/// The code of a missing tag. It sorts before all others.
pub(crate) const MISSING: i32 = -1;

/// A dictionary-encoded column of a tag.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TagColumn<'a> {
    codes: &'a [i32],
    nulls: Option<&'a NullBuffer>,
    values: &'a StringArray,
}

impl<'a> TagColumn<'a> {
    pub(crate) fn from_column(column: &'a ArrayRef) -> Result<Self, CacheError> {
        let wrong = || {
            let found = column.data_type();
            ArrowError::SchemaError(format!("a tag column has type {found}"))
        };
        let dictionary = column.as_dictionary_opt::<Int32Type>().ok_or_else(wrong)?;
        let values = dictionary.values().as_string_opt::<i32>();
        Ok(Self {
            codes: dictionary.keys().values(),
            nulls: dictionary.keys().nulls(),
            values: values.ok_or_else(wrong)?,
        })
    }

    /// Returns the code of a row; [`MISSING`] for null. The row must exist.
    pub(crate) fn code(&self, row: usize) -> i32 {
        match self.nulls {
            Some(nulls) if nulls.is_null(row) => MISSING,
            _ => self.codes.get(row).copied().unwrap_or(MISSING),
        }
    }

    pub(crate) fn has_nulls(&self) -> bool {
        self.nulls.is_some_and(|nulls| nulls.null_count() > 0)
    }

    pub(crate) fn values(&self) -> &'a StringArray {
        self.values
    }

    /// Returns the text of a row; `None` for a missing tag.
    pub(crate) fn text(&self, row: usize) -> Option<&'a str> {
        let code = usize::try_from(self.code(row)).ok()?;
        let known = code < self.values.len() && self.values.is_valid(code);
        known.then(|| self.values.value(code))
    }

    /// Returns the codes of some rows and their dictionary, reduced to the values that these rows use.
    pub(crate) fn selected(
        &self,
        rows: impl ExactSizeIterator<Item = usize>,
    ) -> Result<(Vec<i32>, StringArray), CacheError> {
        let codes: Vec<i32> = rows.map(|row| self.code(row)).collect();
        compact(codes, self.values)
    }
}

/// Reduces a dictionary to the values that codes use, in the same order, and adapts the codes.
fn compact(
    mut codes: Vec<i32>,
    values: &StringArray,
) -> Result<(Vec<i32>, StringArray), CacheError> {
    // Sort a few codes of a large dictionary, because a table of all codes would cost more.
    const FEW: usize = 8;
    let used = if codes.len() * FEW < values.len() {
        let mut used = codes.clone();
        used.sort_unstable();
        used.dedup();
        if used.first() == Some(&MISSING) {
            used.remove(0);
        }
        for code in codes.iter_mut().filter(|code| **code != MISSING) {
            *code = place(used.binary_search(code).unwrap_or_default());
        }
        used
    } else {
        let mut places = vec![MISSING; values.len()];
        for code in &codes {
            if let Some(place) = slot(&mut places, *code) {
                *place = 0;
            }
        }
        let mut used = Vec::new();
        for (code, slot) in (0..).zip(&mut places) {
            if *slot == 0 {
                *slot = place(used.len());
                used.push(code);
            }
        }
        if used.len() == values.len() {
            return Ok((codes, values.clone()));
        }
        for code in &mut codes {
            if let Some(place) = slot(&mut places, *code) {
                *code = *place;
            }
        }
        used
    };
    let values = take(values, &Int32Array::from(used), None)?;
    Ok((codes, values.as_string().clone()))
}

fn place(at: usize) -> i32 {
    i32::try_from(at).unwrap_or(i32::MAX)
}

fn slot(places: &mut [i32], code: i32) -> Option<&mut i32> {
    places.get_mut(usize::try_from(code).ok()?)
}

/// Builds a column of a tag from codes and their dictionary.
pub(crate) fn tag_array(codes: Vec<i32>, values: StringArray) -> Result<ArrayRef, CacheError> {
    let nulls = codes
        .contains(&MISSING)
        .then(|| NullBuffer::from_iter(codes.iter().map(|code| *code != MISSING)));
    let codes = Int32Array::try_new(codes.into(), nulls)?;
    let column = DictionaryArray::<Int32Type>::try_new(codes, Arc::new(values))?;
    Ok(Arc::new(column))
}

/// Builds a column of a tag from codes and a dictionary, which it reduces to the values that the codes use.
pub(crate) fn compacted_column(
    codes: Vec<i32>,
    values: &StringArray,
) -> Result<ArrayRef, CacheError> {
    let (codes, values) = compact(codes, values)?;
    tag_array(codes, values)
}

/// Compares two rows by columns with sorted dictionaries.
pub(crate) fn compare_rows(columns: &[TagColumn<'_>], one: usize, other: usize) -> Ordering {
    let codes = |row| columns.iter().map(move |column| column.code(row));
    codes(one).cmp(codes(other))
}

/// Whether values are in strictly ascending order, without null.
pub(crate) fn is_sorted(values: &StringArray) -> bool {
    let mut pairs = values.iter().zip(values.iter().skip(1));
    values.null_count() == 0 && pairs.all(|(one, next)| one < next)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn compact_keeps_texts_and_drops_unused_values() {
        let values = StringArray::from_iter_values((10..40).map(|value| format!("v{value}")));
        for codes in [vec![7, -1, 3, 7], (0..20).map(|at| at - 1).collect()] {
            let (places, left) = compact(codes.clone(), &values).unwrap();
            assert!(is_sorted(&left));
            let distinct: std::collections::BTreeSet<_> =
                codes.iter().filter(|code| **code >= 0).collect();
            assert_eq!(left.len(), distinct.len());
            for (place, code) in places.iter().zip(&codes) {
                match usize::try_from(*code) {
                    Ok(code) => {
                        assert_eq!(left.value(usize::try_from(*place).unwrap()), values.value(code))
                    }
                    Err(_) => assert_eq!(*place, MISSING),
                }
            }
        }
    }
}
