//! The dictionary of a tag column over all batches of a table.

use std::sync::Arc;

use ahash::RandomState;
use arrow_array::{ArrayRef, DictionaryArray, Int32Array, StringArray};
use arrow_buffer::{Buffer, NullBufferBuilder, OffsetBuffer, ScalarBuffer};
use arrow_schema::ArrowError;
use hashbrown::HashTable;

/// Maximum number of values for which a dictionary has room at first. Most tags have fewer values than rows.
const MAX_EXPECTED_VALUES: usize = 112;

/// The bytes of a value for which a dictionary has room at first.
const EXPECTED_VALUE_BYTES: usize = 8;

/// The bytes of a value in the hash table.
const HASH_BYTES: usize = 6;

/// The values of a tag column in the order of their first row, and the key of each row.
#[derive(Debug)]
pub(crate) struct TagDictionary {
    bytes: Vec<u8>,
    /// The end of each value, after a leading 0. The offsets can't overflow, because the size of a request is limited.
    offsets: Vec<i32>,
    keys_by_value: HashTable<i32>,
    hasher: RandomState,
    keys: Vec<i32>,
    nulls: NullBufferBuilder,
}

impl TagDictionary {
    /// Creates a dictionary with room for this number of rows, and for as many values, within limits.
    pub(crate) fn with_capacity(rows: usize, hasher: RandomState) -> Self {
        let values = rows.min(MAX_EXPECTED_VALUES);
        let mut offsets = Vec::with_capacity(values + 1);
        offsets.push(0);
        Self {
            bytes: Vec::with_capacity(values * EXPECTED_VALUE_BYTES),
            offsets,
            keys_by_value: HashTable::with_capacity(values),
            hasher,
            keys: Vec::with_capacity(rows),
            nulls: NullBufferBuilder::new(rows),
        }
    }

    /// Returns the memory for values that a dictionary of this number of rows takes at first, in bytes.
    pub(crate) fn initial_bytes(rows: usize) -> usize {
        rows.min(MAX_EXPECTED_VALUES) * (EXPECTED_VALUE_BYTES + size_of::<i32>() + HASH_BYTES)
    }

    /// Returns the key of a value. Adds the value if it is new.
    pub(crate) fn key(&mut self, value: &str) -> i32 {
        let Self {
            bytes,
            offsets,
            keys_by_value,
            hasher,
            ..
        } = self;
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

    /// Returns the number of rows.
    pub(crate) fn len(&self) -> usize {
        self.keys.len()
    }

    /// Adds a row with a value. Returns the bytes that the values have grown by.
    #[inline]
    pub(crate) fn push(&mut self, value: &str) -> usize {
        let previous = self.keys.last().copied();
        let repeated = previous.filter(|key| {
            get(&self.bytes, &self.offsets, *key) == value.as_bytes() && !value.is_empty()
        });
        let bytes = self.bytes.len();
        let key = match repeated {
            Some(key) => key,
            None => self.key(value),
        };
        self.push_key(key);
        self.bytes.len() - bytes
    }

    /// Removes the rows after the first ones. Their values remain, because rows may use them later.
    pub(crate) fn truncate(&mut self, rows: usize) {
        if rows < self.keys.len() {
            self.keys.truncate(rows);
            self.nulls.truncate(rows);
        }
    }

    /// Adds a row with the value of a key.
    pub(crate) fn push_key(&mut self, key: i32) {
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

    pub(crate) fn finish(mut self) -> Result<ArrayRef, ArrowError> {
        let offsets = OffsetBuffer::new(ScalarBuffer::from(self.offsets));
        let values = StringArray::try_new(offsets, Buffer::from_vec(self.bytes), None)?;
        let keys = Int32Array::try_new(ScalarBuffer::from(self.keys), self.nulls.finish())?;
        Ok(Arc::new(DictionaryArray::try_new(keys, Arc::new(values))?))
    }
}

/// Returns the value of a key.
fn get<'a>(bytes: &'a [u8], offsets: &[i32], key: i32) -> &'a [u8] {
    let offset = |at: usize| {
        offsets
            .get(at)
            .and_then(|offset| usize::try_from(*offset).ok())
    };
    let at = usize::try_from(key).unwrap_or(usize::MAX - 1);
    match (offset(at), offset(at + 1)) {
        (Some(start), Some(end)) => bytes.get(start..end).unwrap_or_default(),
        _ => b"",
    }
}
