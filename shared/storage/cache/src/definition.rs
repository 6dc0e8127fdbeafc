//! The cache definition with which a layer was built.
//!
//! The id of the cache does not identify the definition, because a catalog that is restored from an older copy assigns
//! its ids again.

use crc32c::crc32c;

/// The two kinds of cache, with their numbers in objects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LayerKind {
    Last = 1,
    Distinct = 2,
}

/// A checksum of the parts of a definition that determine a layer. Equal definitions have equal checksums in every
/// process and release. The maximum age of rows is not a part, because a layer has the time from which it is complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct DefinitionChecksum(u32);

impl DefinitionChecksum {
    /// The definition of the newest `count` rows of each key, with these fields; `None` for all fields, including later
    /// ones.
    pub(crate) fn of_last(keys: &[String], count: usize, fields: Option<&[String]>) -> Self {
        let mut encoded = vec![LayerKind::Last as u8];
        put_names(&mut encoded, keys);
        put_number(&mut encoded, count);
        if let Some(fields) = fields {
            put_names(&mut encoded, fields);
        }
        Self(crc32c(&encoded))
    }

    /// The definition of at most `max_cardinality` combinations of the values of these columns.
    pub(crate) fn of_distinct(columns: &[String], max_cardinality: usize) -> Self {
        let mut encoded = vec![LayerKind::Distinct as u8];
        put_names(&mut encoded, columns);
        put_number(&mut encoded, max_cardinality);
        Self(crc32c(&encoded))
    }

    pub(crate) fn to_le_bytes(self) -> [u8; 4] {
        self.0.to_le_bytes()
    }
}

fn put_number(encoded: &mut Vec<u8>, number: usize) {
    encoded.extend((number as u64).to_le_bytes());
}

fn put_names(encoded: &mut Vec<u8>, names: &[String]) {
    put_number(encoded, names.len());
    for name in names {
        put_number(encoded, name.len());
        encoded.extend(name.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn definitions_differ_in_kind_columns_their_order_numbers_and_listed_fields() {
        let names = |names: &[&str]| names.iter().map(ToString::to_string).collect::<Vec<_>>();
        let last = |keys: &[&str], count| DefinitionChecksum::of_last(&names(keys), count, None);
        let showing = |fields| DefinitionChecksum::of_last(&names(&["a"]), 1, Some(&names(fields)));
        let all = [
            last(&[], 1),
            last(&["a"], 1),
            last(&["a"], 2),
            last(&["a", "b"], 1),
            last(&["b", "a"], 1),
            last(&["ab"], 1),
            showing(&[]),
            showing(&["f"]),
            showing(&["g"]),
            DefinitionChecksum::of_distinct(&names(&["a"]), 1),
            DefinitionChecksum::of_distinct(&names(&["a"]), 2),
            DefinitionChecksum::of_distinct(&names(&["b"]), 1),
        ];
        for (at, one) in all.iter().enumerate() {
            assert!(!all[..at].contains(one), "{at}");
        }
        // Stored objects contain this checksum, so it must not change.
        assert_eq!(last(&["a", "b"], 1), DefinitionChecksum(0x36b7_3f07));
    }
}
