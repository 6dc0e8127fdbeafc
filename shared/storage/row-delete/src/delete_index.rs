//! An index of many deletes: which rows of a batch does one of them match?
//!
//! An application deletes by few *shapes*, which are sets of tags: for example, by `host` and time, for many hosts and
//! many times. Rows are looked up by their values of these tags. The time to evaluate a batch depends on the number of
//! shapes, and hardly on the number of deletes:
//!
//! ```text
//!   shape ["host"]           'a' -> times 1..5: delete 7, 6..12: delete 3      'b' -> all times: delete 4
//!   shape ["host", "zone"]   'a' -> 'eu' -> times 3..4: delete 9
//! ```
//!
//! Deletes are in the order of the writes, and a delete applies to older rows only. For each time, the last delete is
//! kept, so that one index serves rows of any age.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use arrow_array::{Array, Int32Array, RecordBatch, StringArray};
use arrow_buffer::BooleanBuffer;
use neap_schema::TIME_COLUMN;

use crate::{
    Condition, MaskError,
    last_deletes::LastDeletes,
    mask::{tag_column, time_values},
};

/// Maximum number of alternatives of a condition. A condition with more of them has no shape and is evaluated alone.
const MAX_ALTERNATIVES: usize = 128;

/// A condition without alternatives: values of tags, and a time range. An empty value stands for a missing tag.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Conjunction {
    tags: BTreeMap<String, String>,
    min: i64,
    max: i64,
}

impl Conjunction {
    const EVERYTHING: Self = Self { tags: BTreeMap::new(), min: i64::MIN, max: i64::MAX };

    /// Returns the conjunction of both; `None` if it never holds.
    fn and(&self, other: &Self) -> Option<Self> {
        let mut both = self.clone();
        both.min = both.min.max(other.min);
        both.max = both.max.min(other.max);
        for (name, value) in &other.tags {
            let known = both.tags.entry(name.clone());
            if known.or_insert_with(|| value.clone()) != value {
                return None;
            }
        }
        (both.min <= both.max).then_some(both)
    }
}

impl Condition {
    /// Returns the conjunctions of which at least one holds if and only if the condition holds; `None` if there are too
    /// many.
    fn alternatives(&self) -> Option<Vec<Conjunction>> {
        let mut alternatives = Vec::new();
        match self {
            Self::Time { min, max } if min > max => {}
            Self::Time { min, max } => {
                alternatives.push(Conjunction { min: *min, max: *max, ..Conjunction::EVERYTHING })
            }
            Self::Tag { name, value } => {
                let value = value.clone().unwrap_or_default();
                alternatives.push(Conjunction {
                    tags: BTreeMap::from([(name.clone(), value)]),
                    ..Conjunction::EVERYTHING
                });
            }
            Self::Any(parts) => {
                for part in parts {
                    alternatives.extend(part.alternatives()?);
                }
            }
            Self::All(parts) => {
                alternatives.push(Conjunction::EVERYTHING);
                for part in parts {
                    let others = part.alternatives()?;
                    if alternatives.len().saturating_mul(others.len()) > MAX_ALTERNATIVES {
                        return None;
                    }
                    let both = |one: &Conjunction| {
                        let both = others.iter().filter_map(|other| one.and(other));
                        both.collect::<Vec<_>>()
                    };
                    alternatives = alternatives.iter().flat_map(both).collect();
                }
            }
        }
        (alternatives.len() <= MAX_ALTERNATIVES).then_some(alternatives)
    }
}

/// The last deletes of the rows with these values of the tags of a shape, without the first tag.
type ByOtherTags = HashMap<Vec<String>, LastDeletes>;

/// The deletes of a table, or some of them, in their order.
#[derive(Clone, Debug, Default)]
pub struct DeleteIndex {
    count: usize,
    /// The deletes without tags.
    of_all_series: LastDeletes,
    /// By the tags of the shape, then by the value of its first tag.
    shapes: BTreeMap<Vec<String>, HashMap<String, ByOtherTags>>,
    /// The positions and conditions of deletes without a shape.
    others: Vec<(usize, Condition)>,
    /// Whether a delete depends on the time.
    is_timed: bool,
    /// The earliest and the latest time of rows that can match; `None` if no row can.
    bounds: Option<(i64, i64)>,
}

impl DeleteIndex {
    /// Adds a delete. Its position is the number of earlier ones.
    pub fn push(&mut self, condition: &Condition) {
        let position = self.count;
        self.count += 1;
        let Some(alternatives) = condition.alternatives() else {
            self.is_timed = true;
            if let Some((min, max)) = condition.time_bounds() {
                self.extend_bounds(min, max);
                self.others.push((position, condition.clone()));
            }
            return;
        };
        for Conjunction { tags, min, max } in alternatives {
            self.is_timed |= (min, max) != (i64::MIN, i64::MAX);
            self.extend_bounds(min, max);
            let (names, values): (Vec<String>, Vec<String>) = tags.into_iter().unzip();
            let mut values = values.into_iter();
            let deletes = match values.next() {
                None => &mut self.of_all_series,
                Some(first) => {
                    let by_first = self.shapes.entry(names).or_default();
                    let by_others = by_first.entry(first).or_default();
                    by_others.entry(values.collect()).or_default()
                }
            };
            deletes.push(min, max, position);
        }
    }

    fn extend_bounds(&mut self, first: i64, last: i64) {
        let (min, max) = self.bounds.unwrap_or((first, last));
        self.bounds = Some((min.min(first), max.max(last)));
    }

    /// Returns the number of deletes.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Returns whether there are no deletes.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Returns whether a row of these times, both included, may match a delete.
    pub fn meets(&self, first: i64, last: i64) -> bool {
        let bounds = self.bounds;
        bounds.is_some_and(|(min, max)| min <= last && first <= max)
    }

    /// Returns the columns that the deletes depend on.
    pub fn columns(&self) -> BTreeSet<&str> {
        let of_shapes = self.shapes.keys().flatten().map(String::as_str);
        let of_others = self.others.iter().flat_map(|(_, one)| one.tags());
        let time = self.is_timed.then_some(TIME_COLUMN);
        of_shapes.chain(of_others).chain(time).collect()
    }

    /// Returns the rows of `batch` that a delete at position `from` or after it matches. A tag without a column is missing
    /// in all rows.
    ///
    /// # Errors
    /// A delete depends on the time and the batch has none, or the column of a tag has another type.
    pub fn mask(&self, batch: &RecordBatch, from: usize) -> Result<BooleanBuffer, MaskError> {
        let times = if self.is_timed {
            time_values(batch)?
        } else {
            &[]
        };
        // Without a dependence on the time, all times have the same last delete.
        let matches = |deletes: &LastDeletes, row: usize| {
            deletes.has(times.get(row).copied().unwrap_or_default(), from)
        };
        let mut deleted: Vec<bool> =
            (0..batch.num_rows()).map(|row| matches(&self.of_all_series, row)).collect();
        for (names, by_first) in &self.shapes {
            mark_shape(batch, names, by_first, &matches, &mut deleted)?;
        }
        let mut mask = BooleanBuffer::from(deleted);
        for (_, condition) in self.others.iter().filter(|(position, _)| from <= *position) {
            mask = &mask | &condition.mask(batch)?;
        }
        Ok(mask)
    }
}

impl<'a> FromIterator<&'a Condition> for DeleteIndex {
    fn from_iter<I: IntoIterator<Item = &'a Condition>>(conditions: I) -> Self {
        let mut index = Self::default();
        for condition in conditions {
            index.push(condition);
        }
        index
    }
}

/// The values of a tag in a batch.
struct TagValues<'a> {
    /// `None` if the batch has no such column.
    column: Option<(&'a Int32Array, &'a StringArray)>,
}

impl<'a> TagValues<'a> {
    fn new(batch: &'a RecordBatch, name: &str) -> Result<Self, MaskError> {
        let column = tag_column(batch, name)?;
        Ok(Self {
            column: column.map(|(column, values)| (column.keys(), values)),
        })
    }

    /// Returns the number of values in the dictionary.
    fn len(&self) -> usize {
        self.column.map_or(0, |(_, values)| values.len())
    }

    /// Returns the key of a row; `None` if the row lacks the tag.
    fn key(&self, row: usize) -> Option<usize> {
        let (keys, _) = self.column?;
        let key = keys.is_valid(row).then(|| keys.value(row))?;
        usize::try_from(key).ok()
    }

    /// Returns the value of a key; an empty one stands for a missing tag.
    fn value(&self, key: Option<usize>) -> &'a str {
        let values = self.column.zip(key);
        let value = values.filter(|((_, values), key)| values.is_valid(*key));
        value.map_or("", |((_, values), key)| values.value(key))
    }
}

/// Marks the rows that match a delete of one shape.
fn mark_shape(
    batch: &RecordBatch,
    names: &[String],
    by_first: &HashMap<String, ByOtherTags>,
    matches: &impl Fn(&LastDeletes, usize) -> bool,
    deleted: &mut [bool],
) -> Result<(), MaskError> {
    let Some((first_name, other_names)) = names.split_first() else {
        return Ok(());
    };
    let first = TagValues::new(batch, first_name)?;
    // One lookup for each value of the dictionary instead of one for each row.
    let by_key: Vec<_> = (0..first.len()).map(|key| by_first.get(first.value(Some(key)))).collect();
    let without_tag = by_first.get("");
    if without_tag.is_none() && by_key.iter().all(Option::is_none) {
        return Ok(());
    }
    let others: Vec<TagValues<'_>> = other_names
        .iter()
        .map(|name| TagValues::new(batch, name))
        .collect::<Result<_, _>>()?;
    let keys_of = |row: usize| others.iter().map(move |tag| tag.key(row));
    let mut values = vec![String::new(); others.len()];
    let mut series: Option<(usize, Option<&LastDeletes>)> = None;
    for row in 0..deleted.len() {
        let by_others = match first.key(row) {
            Some(key) => by_key.get(key).copied().flatten(),
            None => without_tag,
        };
        let (Some(by_others), Some(is_deleted)) = (by_others, deleted.get_mut(row)) else {
            continue;
        };
        // Rows of a series often follow each other, and need one lookup.
        let known = series.filter(|(last, _)| {
            first.key(*last) == first.key(row) && keys_of(*last).eq(keys_of(row))
        });
        let deletes = match known {
            Some((_, deletes)) => deletes,
            None => {
                for ((value, tag), key) in values.iter_mut().zip(&others).zip(keys_of(row)) {
                    value.clear();
                    value.push_str(tag.value(key));
                }
                by_others.get(values.as_slice())
            }
        };
        series = Some((row, deletes));
        *is_deleted |= deletes.is_some_and(|deletes| matches(deletes, row));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{
        condition::tests::{conditions, tag},
        mask::tests::{TestRow, batch, rows},
    };

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(neap_test_inputs::cases(256)))]
        #[test]
        fn the_mask_is_the_union_of_the_masks_of_the_later_deletes(
            conditions in proptest::collection::vec(conditions(), 0..8),
            rows in rows(),
            with_u in any::<bool>(),
        ) {
            let batch = batch(&rows, with_u);
            let index: DeleteIndex = conditions.iter().collect();
            prop_assert_eq!(index.len(), conditions.len());
            for from in 0..=conditions.len() {
                let mut expected = BooleanBuffer::new_unset(batch.num_rows());
                for condition in conditions.iter().skip(from) {
                    expected = &expected | &condition.mask(&batch).unwrap();
                }
                prop_assert_eq!(index.mask(&batch, from).unwrap(), expected.clone());
                let deleted = rows.iter().zip(&expected).filter(|(_, deleted)| *deleted);
                prop_assert!(deleted.map(|(row, _)| row.0).all(|time| index.meets(time, time)));
            }
        }
    }

    #[test]
    fn deletes_of_one_shape_are_one_entry_for_each_series() {
        let at = |min, max| Condition::Time { min, max };
        let conditions = [
            tag("t", "a").and(at(1, 5)),
            at(4, 9).and(tag("t", "a")),
            tag("t", "b").or(tag("t", "c")).and(at(0, 2)),
            tag("t", "a").and(tag("t", "b")),
        ];
        let index: DeleteIndex = conditions.iter().collect();
        assert_eq!(index.shapes.len(), 1);
        assert_eq!(index.shapes[&vec!["t".to_owned()]].len(), 3);
        assert!(index.others.is_empty());
        assert!(index.meets(9, 12) && !index.meets(10, 12));
        assert_eq!(index.columns(), BTreeSet::from(["t", TIME_COLUMN]));
    }

    #[test]
    fn a_condition_with_very_many_alternatives_is_evaluated_alone() {
        let any = |name: &str| {
            Condition::Any((0..20).map(|value| tag(name, &value.to_string())).collect())
        };
        let index: DeleteIndex = [any("t").and(any("u"))].iter().collect();
        assert_eq!((index.shapes.len(), index.others.len()), (0, 1));
        let row: TestRow = (0, [Some("7".to_owned()), Some("9".to_owned())]);
        let batch = batch(&[row], true);
        assert_eq!(index.mask(&batch, 0).unwrap().count_set_bits(), 1);
        assert_eq!(index.mask(&batch, 1).unwrap().count_set_bits(), 0);
    }
}
