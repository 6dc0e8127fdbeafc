//! The union of two sorted dictionaries, with which rows of two layers compare by integers.

use std::cmp::Ordering;

use arrow_array::{Array, StringArray, builder::StringBuilder};

/// The codes of some rows in several columns. The dictionaries are sorted.
#[derive(Debug, Default)]
pub(crate) struct CodedRows {
    /// By column: the codes of the rows.
    pub(crate) codes: Vec<Vec<i32>>,
    /// By column: the values, sorted.
    pub(crate) values: Vec<StringArray>,
}

/// Recodes two sets of rows to common dictionaries, and returns the dictionaries.
pub(crate) fn unify(one: &mut CodedRows, other: &mut CodedRows) -> Vec<StringArray> {
    let columns = one.values.iter().zip(&other.values);
    let codes = one.codes.iter_mut().zip(&mut other.codes);
    columns
        .zip(codes)
        .map(|((values, other_values), (codes, other_codes))| {
            let union = DictionaryUnion::new(values, other_values);
            recode(codes, &union.of_one);
            recode(other_codes, &union.of_other);
            union.values
        })
        .collect()
}

fn recode(codes: &mut [i32], places: &[i32]) {
    for code in codes {
        // A missing tag stays missing.
        let place = usize::try_from(*code).ok().and_then(|at| places.get(at));
        if let Some(place) = place {
            *code = *place;
        }
    }
}

struct DictionaryUnion {
    values: StringArray,
    of_one: Vec<i32>,
    of_other: Vec<i32>,
}

impl DictionaryUnion {
    fn new(one: &StringArray, other: &StringArray) -> Self {
        let bytes = one.value_data().len().saturating_add(other.value_data().len());
        let mut values = StringBuilder::with_capacity(one.len() + other.len(), bytes);
        let (mut of_one, mut of_other) =
            (Vec::with_capacity(one.len()), Vec::with_capacity(other.len()));
        let mut place = 0;
        while of_one.len() < one.len() || of_other.len() < other.len() {
            let (at, other_at) = (of_one.len(), of_other.len());
            let order = if at == one.len() {
                Ordering::Greater
            } else if other_at == other.len() {
                Ordering::Less
            } else {
                one.value(at).cmp(other.value(other_at))
            };
            if order.is_le() {
                values.append_value(one.value(at));
                of_one.push(place);
            } else {
                values.append_value(other.value(other_at));
            }
            if order.is_ge() {
                of_other.push(place);
            }
            place += 1;
        }
        Self { values: values.finish(), of_one, of_other }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_keep_their_texts_in_the_union() {
        let rows = |values: &[&str], codes: &[i32]| CodedRows {
            codes: vec![codes.to_vec()],
            values: vec![StringArray::from(values.to_vec())],
        };
        let mut one = rows(&["a", "c"], &[1, -1, 0]);
        let mut other = rows(&["b", "c", "d"], &[2, 1, 0]);
        let union = unify(&mut one, &mut other);
        assert_eq!(union, [StringArray::from(vec!["a", "b", "c", "d"])]);
        assert_eq!(one.codes, [[2, -1, 0]]);
        assert_eq!(other.codes, [[3, 2, 1]]);
    }
}
