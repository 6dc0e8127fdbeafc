//! Cheap lookups in the contents of caches.

use neap_cache::{CacheShape, KeyFilter, KeyPredicate};

/// Maximum number of keys that are looked up without moving to another thread.
const MAX_LOOKUP_KEYS: usize = 8;

/// Whether filters select so few keys of a cache that the lookup may run on a thread that serves requests. A distinct
/// value cache is always read whole.
pub fn is_lookup(shape: &CacheShape, filters: &[KeyFilter]) -> bool {
    match shape {
        CacheShape::Last(shape) => are_few(shape.keys(), filters),
        CacheShape::Distinct(_) => false,
    }
}

/// Whether filters pin all columns of a key, to a few keys together.
fn are_few(columns: &[String], filters: &[KeyFilter]) -> bool {
    let values_of = |column: &String| {
        let of_column = filters.iter().filter(|filter| filter.column == *column);
        let pinned = of_column.filter_map(|filter| match &filter.test {
            KeyPredicate::In(values) => Some(values.len()),
            KeyPredicate::NotIn(_) | KeyPredicate::Other(_) => None,
        });
        pinned.min()
    };
    let keys = columns
        .iter()
        .try_fold(1_usize, |keys, column| Some(keys.saturating_mul(values_of(column)?)));
    keys.is_some_and(|keys| keys <= MAX_LOOKUP_KEYS)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one_of(column: &str, values: usize) -> KeyFilter {
        KeyFilter {
            column: column.to_owned(),
            test: KeyPredicate::In((0..values).map(|value| value.to_string()).collect()),
        }
    }

    #[test]
    fn keys_are_few_only_if_all_their_columns_are_pinned() {
        let columns = ["a", "b"].map(str::to_owned);
        let are_few = |filters: &[KeyFilter]| are_few(&columns, filters);
        assert!(are_few(&[one_of("a", 2), one_of("b", 4)]));
        assert!(!are_few(&[one_of("a", 3), one_of("b", 4)]));
        assert!(!are_few(&[one_of("a", 1)]));
        assert!(!are_few(&[]));
    }
}
