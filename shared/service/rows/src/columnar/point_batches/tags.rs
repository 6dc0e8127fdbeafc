//! The tags of all points, with their values.
//!
//! Tables of a request mostly have the same tags with the same values, such as the host of all metrics. So a value is looked
//! up once for all tables, and a table whose rows have the values in their order has no dictionary of its own.

use std::sync::Arc;

use ahash::RandomState;
use arrow_array::{Array, ArrayRef, StringArray, builder::StringBuilder};
use arrow_buffer::NullBuffer;
use arrow_schema::ArrowError;
use hashbrown::HashTable;

use crate::columnar::tag_dictionary::{TagKeys, TagValues, dictionary_array};

/// The memory of a tag besides its name and its values, in bytes: 320 in a list that may be half empty, and the first room of its
/// parts.
const TAG_BYTES: usize = 416;

/// The memory of a value besides its text, in bytes: its offset, its entry in the hash table, which may be half empty, and
/// what is known of its last use.
const VALUE_BYTES: usize = 48;

/// No number of a batch.
const NO_BATCH: usize = usize::MAX;

/// A tag of some [`PointBatches`](super::PointBatches), which its tables may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PointTag(usize);

/// A value of a tag of some [`PointBatches`](super::PointBatches).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PointTagValue {
    pub(super) tag: PointTag,
    pub(super) key: i32,
}

/// The tags of all tables.
#[derive(Debug, Default)]
pub(super) struct PointTags {
    tags: Vec<NamedTag>,
    tags_by_name: HashTable<PointTag>,
    /// The memory of the tags with their values, in bytes.
    bytes: usize,
    /// The number of batches that were begun.
    batches: usize,
}

#[derive(Debug)]
struct NamedTag {
    name: Arc<str>,
    values: TagValues,
    /// The key of the value that was looked up last.
    last: i32,
    /// For each value, the batch that has used it last; [`NO_BATCH`] if none has.
    last_batches: Vec<usize>,
}

impl PointTags {
    /// Returns the memory of the tags with their values, in bytes.
    pub(super) fn size_bytes(&self) -> usize {
        self.bytes
    }

    /// Returns the tag with a name. Adds it if it is new.
    pub(super) fn tag(&mut self, name: &str, hasher: &RandomState) -> PointTag {
        let Self { tags, tags_by_name, .. } = self;
        let hash = hasher.hash_one(name);
        let name_of = |tag: &PointTag| tags.get(tag.0).map_or("", |tag| &*tag.name);
        if let Some(tag) = tags_by_name.find(hash, |tag| name_of(tag) == name) {
            return *tag;
        }
        let tag = PointTag(tags.len());
        tags_by_name.insert_unique(hash, tag, |tag| hasher.hash_one(name_of(tag)));
        tags.push(NamedTag {
            name: name.into(),
            values: TagValues::new(hasher.clone()),
            last: 0,
            last_batches: Vec::new(),
        });
        self.bytes = self.bytes.saturating_add(TAG_BYTES + name.len());
        tag
    }

    /// Returns the name of a tag; `None` if it is one of other points.
    pub(super) fn name(&self, tag: PointTag) -> Option<&Arc<str>> {
        self.tags.get(tag.0).map(|tag| &tag.name)
    }

    /// Returns a value of a tag. Adds it if it is new. `None` if the text is empty, or if the tag is one of other points.
    #[inline]
    pub(super) fn value(&mut self, tag: PointTag, text: &str) -> Option<PointTagValue> {
        if text.is_empty() {
            return None;
        }
        let named = self.tags.get_mut(tag.0)?;
        if named.values.is(named.last, text) {
            let key = named.last;
            return Some(PointTagValue { tag, key });
        }
        let (key, is_new) = named.next_key(text);
        if is_new {
            self.bytes = self.bytes.saturating_add(VALUE_BYTES + text.len());
        }
        Some(PointTagValue { tag, key })
    }

    /// Returns the number of a new batch of a table.
    pub(super) fn begin_batch(&mut self) -> usize {
        self.batches += 1;
        self.batches
    }

    /// Notes that a batch uses a value. Returns the memory that its dictionary takes for the value, in bytes: none, if the batch
    /// is the last one that has used it. The dictionary takes `counted` bytes so far, and at most as much as all values of the
    /// tag. Returns `None` if the value is one of other points.
    pub(super) fn use_value(
        &mut self,
        value: PointTagValue,
        batch: usize,
        counted: usize,
    ) -> Option<usize> {
        let tag = self.tags.get_mut(value.tag.0)?;
        let last_batch = tag.last_batches.get_mut(usize::try_from(value.key).ok()?)?;
        if std::mem::replace(last_batch, batch) == batch {
            return Some(0);
        }
        let bytes = tag.values.length(value.key) + size_of::<i32>();
        Some(bytes.min(tag.values.size_bytes().saturating_sub(counted)))
    }

    /// Returns the tags with the values that dictionaries are built of.
    pub(super) fn finish(self) -> Result<FinishedTags, ArrowError> {
        let tags = self.tags.into_iter().map(|tag| {
            let values = tag.values.finish()?;
            Ok(FinishedTag { values: Arc::new(values), first: None, uses: Vec::new() })
        });
        Ok(FinishedTags {
            tags: tags.collect::<Result<_, ArrowError>>()?,
            dictionaries: 0,
        })
    }
}

impl NamedTag {
    /// Returns the key of a value, and whether the value is new. Tables mostly have the values in the same order, so the
    /// value after the last one is tried first.
    fn next_key(&mut self, text: &str) -> (i32, bool) {
        let count = self.values.len();
        let after = self.last + 1;
        let is_last = usize::try_from(after).is_ok_and(|after| after >= count);
        let expected = if is_last { 0 } else { after };
        self.last = if self.values.is(expected, text) {
            expected
        } else {
            self.values.key(text)
        };
        let is_new = self.values.len() > count;
        if is_new {
            self.last_batches.push(NO_BATCH);
        }
        (self.last, is_new)
    }
}

/// The tags of all tables, while their dictionaries are built.
#[derive(Debug)]
pub(super) struct FinishedTags {
    tags: Vec<FinishedTag>,
    /// The number of dictionaries that were built of some of the values.
    dictionaries: usize,
}

#[derive(Debug)]
struct FinishedTag {
    values: Arc<StringArray>,
    /// The first values that a table had, if it did not have all.
    first: Option<Arc<StringArray>>,
    /// For each value, the dictionary that has used it last, and its key there. Empty until a dictionary has other values than
    /// the first ones.
    uses: Vec<(usize, i32)>,
}

impl FinishedTags {
    /// Returns the rows of a tag. The dictionary has the values of the rows in the order of their first row.
    pub(super) fn column(&mut self, tag: PointTag, rows: TagKeys) -> Result<ArrayRef, ArrowError> {
        let (mut keys, nulls) = rows.finish();
        let Some(tag) = self.tags.get_mut(tag.0) else {
            return dictionary_array(keys, nulls, Arc::new(StringArray::new_null(0)));
        };
        let values = match first_values(&keys, nulls.as_ref()) {
            Some(count) => tag.first_values(count),
            None => {
                self.dictionaries += 1;
                Arc::new(tag.take_used(&mut keys, nulls.as_ref(), self.dictionaries))
            }
        };
        dictionary_array(keys, nulls, values)
    }
}

/// Returns the number of values if rows use the first ones, in the order of the keys.
fn first_values(keys: &[i32], nulls: Option<&NullBuffer>) -> Option<usize> {
    let mut next = 0;
    for (row, key) in keys.iter().enumerate() {
        if *key >= next && nulls.is_none_or(|nulls| nulls.is_valid(row)) {
            if *key > next {
                return None;
            }
            next += 1;
        }
    }
    usize::try_from(next).ok()
}

impl FinishedTag {
    /// Returns the first values. Tables mostly have the same number of them.
    fn first_values(&mut self, count: usize) -> Arc<StringArray> {
        if count == self.values.len() {
            return Arc::clone(&self.values);
        }
        if let Some(first) = self.first.as_ref().filter(|first| first.len() == count) {
            return Arc::clone(first);
        }
        let slice = self.values.slice(0, count);
        // A slice takes the memory of all values.
        let first = if count < self.values.len() / 2 {
            Arc::new(copy_of(&slice))
        } else {
            Arc::new(slice)
        };
        Arc::clone(self.first.insert(first))
    }

    /// Returns the values that rows use, in the order of their first row, and changes the keys accordingly.
    fn take_used(
        &mut self,
        keys: &mut [i32],
        nulls: Option<&NullBuffer>,
        dictionary: usize,
    ) -> StringArray {
        self.uses.resize(self.values.len(), (0, 0));
        let mut used = StringBuilder::with_capacity(0, 0);
        let mut count = 0;
        for (row, key) in keys.iter_mut().enumerate() {
            let value = usize::try_from(*key).unwrap_or(usize::MAX);
            let is_valid = nulls.is_none_or(|nulls| nulls.is_valid(row));
            let Some(last_use) = self.uses.get_mut(value).filter(|_| is_valid) else {
                continue;
            };
            if last_use.0 != dictionary {
                *last_use = (dictionary, count);
                used.append_value(self.values.value(value));
                count += 1;
            }
            *key = last_use.1;
        }
        used.finish()
    }
}

/// Returns the values in memory of their own.
fn copy_of(values: &StringArray) -> StringArray {
    let mut copy = StringBuilder::with_capacity(values.len(), 0);
    values.iter().for_each(|value| copy.append_option(value));
    copy.finish()
}
