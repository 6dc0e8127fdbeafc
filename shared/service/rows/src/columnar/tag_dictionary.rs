//! The values of a tag, each once.

use std::sync::Arc;

use ahash::RandomState;
use arrow_array::{ArrayRef, DictionaryArray, Int32Array, StringArray};
use arrow_buffer::{Buffer, NullBuffer, NullBufferBuilder, OffsetBuffer, ScalarBuffer};
use arrow_schema::ArrowError;
use hashbrown::HashTable;

/// The values of a tag in the order in which they were added. The key of a value is its position.
#[derive(Debug)]
pub(crate) struct TagValues {
    bytes: Vec<u8>,
    /// The end of each value, after a leading 0. The offsets can't overflow, because the size of a request is limited.
    offsets: Vec<i32>,
    keys_by_value: HashTable<i32>,
    hasher: RandomState,
}

impl TagValues {
    /// Creates a collection without values.
    pub(crate) fn new(hasher: RandomState) -> Self {
        Self {
            bytes: Vec::new(),
            offsets: vec![0],
            keys_by_value: HashTable::new(),
            hasher,
        }
    }

    /// Returns the key of a value. Adds the value if it is new.
    pub(crate) fn key(&mut self, value: &str) -> i32 {
        let Self { bytes, offsets, keys_by_value, hasher } = self;
        let value = value.as_bytes();
        let hash = hasher.hash_one(value);
        if let Some(key) = keys_by_value.find(hash, |key| get(bytes, offsets, *key) == value) {
            return *key;
        }
        let key = i32::try_from(offsets.len() - 1).unwrap_or(i32::MAX);
        keys_by_value.insert_unique(hash, key, |key| hasher.hash_one(get(bytes, offsets, *key)));
        bytes.extend_from_slice(value);
        offsets.push(i32::try_from(bytes.len()).unwrap_or(i32::MAX));
        key
    }

    /// Returns whether a key is that of a value.
    #[inline]
    pub(crate) fn is(&self, key: i32, value: &str) -> bool {
        get(&self.bytes, &self.offsets, key) == value.as_bytes()
    }

    /// Returns the length of the value of a key, in bytes.
    pub(crate) fn length(&self, key: i32) -> usize {
        get(&self.bytes, &self.offsets, key).len()
    }

    /// Returns the memory of the texts and their offsets, in bytes.
    #[inline]
    pub(crate) fn size_bytes(&self) -> usize {
        self.bytes.len() + self.offsets.len() * size_of::<i32>()
    }

    pub(crate) fn len(&self) -> usize {
        self.offsets.len() - 1
    }

    /// Returns the values by their keys.
    pub(crate) fn finish(self) -> Result<StringArray, ArrowError> {
        let offsets = OffsetBuffer::new(ScalarBuffer::from(self.offsets));
        StringArray::try_new(offsets, Buffer::from_vec(self.bytes), None)
    }
}

/// Returns the value of a key; nothing if there is none.
#[inline]
fn get<'a>(bytes: &'a [u8], offsets: &[i32], key: i32) -> &'a [u8] {
    let offset = |at: usize| offsets.get(at).and_then(|offset| usize::try_from(*offset).ok());
    let at = usize::try_from(key).unwrap_or(usize::MAX - 1);
    match (offset(at), offset(at + 1)) {
        (Some(start), Some(end)) => bytes.get(start..end).unwrap_or_default(),
        _ => b"",
    }
}

/// The key of each row of a tag.
#[derive(Debug)]
pub(crate) struct TagKeys {
    keys: Vec<i32>,
    nulls: NullBufferBuilder,
}

impl TagKeys {
    /// Creates a column without rows, with room for this number of them.
    pub(crate) fn with_capacity(rows: usize) -> Self {
        Self {
            keys: Vec::with_capacity(rows),
            nulls: NullBufferBuilder::new(rows),
        }
    }

    /// Returns the number of rows.
    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.keys.len()
    }

    /// Returns whether the last row has the value of a key.
    #[inline]
    pub(crate) fn ends_with(&self, key: i32) -> bool {
        self.keys.last() == Some(&key) && self.nulls.is_valid(self.keys.len() - 1)
    }

    /// Adds a row with the value of a key.
    #[inline]
    pub(crate) fn push(&mut self, key: i32) {
        self.keys.push(key);
        self.nulls.append_non_null();
    }

    /// Adds rows without a value.
    pub(crate) fn push_nulls(&mut self, rows: usize) {
        // Even no nulls make the builder allocate the bits of all rows.
        if rows == 0 {
            return;
        }
        self.keys.resize(self.keys.len() + rows, 0);
        self.nulls.append_n_nulls(rows);
    }

    /// Removes the rows after the first ones.
    pub(crate) fn truncate(&mut self, rows: usize) {
        if rows < self.keys.len() {
            self.keys.truncate(rows);
            self.nulls.truncate(rows);
        }
    }

    /// Returns the keys, and which of the rows have a value: all, if there is no buffer.
    pub(crate) fn finish(mut self) -> (Vec<i32>, Option<NullBuffer>) {
        (self.keys, self.nulls.finish())
    }
}

/// The dictionary of a tag column over all batches of a table: its values in the order of their first row, and the key of
/// each row.
#[derive(Debug)]
pub(crate) struct TagDictionary {
    values: TagValues,
    rows: TagKeys,
}

impl TagDictionary {
    /// Creates a dictionary with room for this number of rows.
    pub(crate) fn with_capacity(rows: usize, hasher: RandomState) -> Self {
        Self {
            values: TagValues::new(hasher),
            rows: TagKeys::with_capacity(rows),
        }
    }

    /// Returns the key of a value. Adds the value if it is new.
    pub(crate) fn key(&mut self, value: &str) -> i32 {
        self.values.key(value)
    }

    /// Adds a row with the value of a key.
    pub(crate) fn push_key(&mut self, key: i32) {
        self.rows.push(key);
    }

    /// Adds rows without a value.
    pub(crate) fn push_nulls(&mut self, rows: usize) {
        self.rows.push_nulls(rows);
    }

    pub(crate) fn finish(self) -> Result<ArrayRef, ArrowError> {
        let (keys, nulls) = self.rows.finish();
        dictionary_array(keys, nulls, Arc::new(self.values.finish()?))
    }
}

/// Returns the rows with these keys. Of a row without a value, the key may be any.
pub(crate) fn dictionary_array(
    keys: Vec<i32>,
    nulls: Option<NullBuffer>,
    values: Arc<StringArray>,
) -> Result<ArrayRef, ArrowError> {
    let keys = Int32Array::try_new(ScalarBuffer::from(keys), nulls)?;
    Ok(Arc::new(DictionaryArray::try_new(keys, values)?))
}
