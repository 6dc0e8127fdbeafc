//! Filters on key columns. Key columns are tags: a filter is evaluated once for each value of a dictionary, and rows
//! are then selected by their codes.

use std::{collections::BTreeSet, fmt::Debug, sync::Arc};

use arrow_array::{Array, BooleanArray, StringArray};
use arrow_buffer::BooleanBuffer;
use arrow_schema::ArrowError;

use crate::{CacheError, codes::MISSING};

/// A filter on the values of one key column. If there are several filters, all of them must pass.
#[derive(Clone, Debug)]
pub struct KeyFilter {
    /// The column.
    pub column: String,
    /// The test of its values.
    pub test: KeyPredicate,
}

/// A test of the values of a key column.
#[derive(Clone, Debug)]
pub enum KeyPredicate {
    /// The value is one of these. A missing tag does not pass.
    In(BTreeSet<String>),
    /// The value is none of these. A missing tag does not pass.
    NotIn(BTreeSet<String>),
    /// Any other test.
    Other(Arc<dyn TagPredicate>),
}

/// A custom test of tag values.
pub trait TagPredicate: Debug + Send + Sync {
    /// Returns for each value whether it passes; null means that it does not. The values are distinct values, not rows.
    /// A single null value stands for a missing tag.
    ///
    /// # Errors
    /// The test fails.
    fn test(&self, values: &StringArray) -> Result<BooleanArray, ArrowError>;
}

/// A set of codes of a sorted dictionary.
#[derive(Clone, Debug)]
pub(crate) enum CodeSet {
    /// All codes, including that of a missing tag.
    All,
    /// These codes, in ascending order.
    Listed(Vec<i32>),
    /// The codes whose bit is set, and that of a missing tag if `missing` is set.
    Marked { marks: BooleanBuffer, missing: bool },
}

impl CodeSet {
    pub(crate) fn contains(&self, code: i32) -> bool {
        match self {
            Self::All => true,
            Self::Listed(codes) => codes.binary_search(&code).is_ok(),
            Self::Marked { missing, .. } if code == MISSING => *missing,
            Self::Marked { marks, .. } => {
                let at = usize::try_from(code).ok().filter(|at| *at < marks.len());
                at.is_some_and(|at| marks.value(at))
            }
        }
    }

    /// Returns the codes that pass a test. `values` are sorted, without null.
    fn matching(test: &KeyPredicate, values: &StringArray) -> Result<Self, ArrowError> {
        Ok(match test {
            KeyPredicate::In(wanted) => {
                let codes = wanted.iter().filter_map(|value| code_of(values, value));
                Self::Listed(codes.collect())
            }
            KeyPredicate::NotIn(unwanted) => {
                let codes = unwanted.iter().filter_map(|value| code_of(values, value));
                let mut marks = vec![true; values.len()];
                for code in codes {
                    let at = usize::try_from(code).ok();
                    if let Some(mark) = at.and_then(|at| marks.get_mut(at)) {
                        *mark = false;
                    }
                }
                Self::Marked { marks: marks.into(), missing: false }
            }
            KeyPredicate::Other(test) => {
                let marks = passed(test.as_ref(), values)?;
                let missing = passed(test.as_ref(), &StringArray::new_null(1))?;
                Self::Marked { marks, missing: missing.count_set_bits() == 1 }
            }
        })
    }

    fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::All, set) | (set, Self::All) => set,
            (Self::Listed(mut codes), other) | (other, Self::Listed(mut codes)) => {
                codes.retain(|code| other.contains(*code));
                Self::Listed(codes)
            }
            (Self::Marked { marks, missing }, Self::Marked { marks: others, missing: other }) => {
                Self::Marked { marks: &marks & &others, missing: missing && other }
            }
        }
    }
}

fn passed(test: &dyn TagPredicate, values: &StringArray) -> Result<BooleanBuffer, ArrowError> {
    let answer = test.test(values)?;
    if answer.len() != values.len() {
        let reason = "a predicate returned a wrong number of results";
        return Err(ArrowError::ComputeError(reason.to_owned()));
    }
    let (values, nulls) = answer.into_parts();
    Ok(match nulls {
        Some(nulls) => &values & nulls.inner(),
        None => values,
    })
}

/// Returns the index of a value in sorted values.
fn code_of(values: &StringArray, value: &str) -> Option<i32> {
    let (mut low, mut high) = (0, values.len());
    while low < high {
        let middle = low.midpoint(high);
        match values.value(middle).cmp(value) {
            std::cmp::Ordering::Less => low = middle + 1,
            std::cmp::Ordering::Equal => return i32::try_from(middle).ok(),
            std::cmp::Ordering::Greater => high = middle,
        }
    }
    None
}

/// Returns the codes of each key column that pass the filters. `values` has the columns' dictionaries, sorted.
pub(crate) fn code_sets(
    columns: &[String],
    values: &[&StringArray],
    filters: &[KeyFilter],
) -> Result<Vec<CodeSet>, CacheError> {
    let mut sets = vec![CodeSet::All; columns.len()];
    for filter in filters {
        let at = columns.iter().position(|column| *column == filter.column);
        let slot = at.and_then(|at| Some((sets.get_mut(at)?, values.get(at)?)));
        let Some((set, values)) = slot else {
            let column = filter.column.clone();
            return Err(CacheError::NotAKey { column });
        };
        let before = std::mem::replace(set, CodeSet::All);
        *set = before.and(CodeSet::matching(&filter.test, values)?);
    }
    Ok(sets)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values() -> StringArray {
        StringArray::from(vec!["a", "c", "e"])
    }

    fn set(values: &[&str]) -> BTreeSet<String> {
        values.iter().map(ToString::to_string).collect()
    }

    fn codes(filters: &[KeyPredicate]) -> Vec<i32> {
        let filters: Vec<_> = filters
            .iter()
            .map(|test| KeyFilter { column: "t".to_owned(), test: test.clone() })
            .collect();
        let sets = code_sets(&["t".to_owned()], &[&values()], &filters).unwrap();
        (-1..4).filter(|code| sets[0].contains(*code)).collect()
    }

    #[derive(Debug)]
    struct IsNullOrLong;

    impl TagPredicate for IsNullOrLong {
        fn test(&self, values: &StringArray) -> Result<BooleanArray, ArrowError> {
            Ok(values
                .iter()
                .map(|value| {
                    value.map_or(Some(true), |value| (value != "c").then_some(value == "e"))
                })
                .collect())
        }
    }

    #[test]
    fn a_missing_tag_is_neither_in_a_list_nor_outside_of_it() {
        assert_eq!(codes(&[KeyPredicate::In(set(&["e", "a", "b"]))]), [0, 2]);
        assert_eq!(codes(&[KeyPredicate::NotIn(set(&["a", "b"]))]), [1, 2]);
    }

    #[test]
    fn a_test_may_pass_a_missing_tag_and_its_null_does_not_pass() {
        let other = KeyPredicate::Other(Arc::new(IsNullOrLong));
        assert_eq!(codes(std::slice::from_ref(&other)), [-1, 2]);
        assert_eq!(codes(&[other.clone(), KeyPredicate::NotIn(set(&["a"]))]), [2]);
        assert_eq!(codes(&[KeyPredicate::In(set(&["c", "e"])), other]), [2]);
    }

    #[test]
    fn a_filter_on_another_column_is_refused() {
        let filter = KeyFilter { column: "f".to_owned(), test: KeyPredicate::In(set(&["a"])) };
        let error = code_sets(&["t".to_owned()], &[&values()], &[filter]).unwrap_err();
        assert_eq!(error.to_string(), "column 'f' is not a key column of the cache");
    }
}
