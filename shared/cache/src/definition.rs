//! Which definition of a cache a layer was made by.
//!
//! The id of the cache does not tell: a catalog that is put back to an older copy gives its ids again.

use crc32c::crc32c;

/// The two kinds of cache, by the numbers that objects have for them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Last = 1,
    Distinct = 2,
}

/// A checksum of what a definition says of a layer: equal definitions have equal ones in every process and
/// release. How old rows may be is not in it, since a layer says from when on it is complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Definition(u32);

impl Definition {
    /// The newest `count` rows of each key, with these fields; `None` for all fields, which may become more.
    pub(crate) fn of_last(keys: &[String], count: usize, fields: Option<&[String]>) -> Self {
        let mut encoded = vec![Kind::Last as u8];
        put_names(&mut encoded, keys);
        put_number(&mut encoded, count);
        if let Some(fields) = fields {
            put_names(&mut encoded, fields);
        }
        Self(crc32c(&encoded))
    }

    /// At most `max_cardinality` combinations of the values of these columns.
    pub(crate) fn of_distinct(columns: &[String], max_cardinality: usize) -> Self {
        let mut encoded = vec![Kind::Distinct as u8];
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
        let last = |keys: &[&str], count| Definition::of_last(&names(keys), count, None);
        let showing = |fields| Definition::of_last(&names(&["a"]), 1, Some(&names(fields)));
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
            Definition::of_distinct(&names(&["a"]), 1),
            Definition::of_distinct(&names(&["a"]), 2),
            Definition::of_distinct(&names(&["b"]), 1),
        ];
        for (at, one) in all.iter().enumerate() {
            assert!(!all[..at].contains(one), "{at}");
        }
        // Objects have it: it may not change.
        assert_eq!(last(&["a", "b"], 1), Definition(0x36b7_3f07));
    }
}
