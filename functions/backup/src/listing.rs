//! Lists and deletes the objects below a prefix.

use std::collections::BTreeMap;

use neap_bucket::{Bucket, MAX_DELETE_KEYS, Operation, PrefixListing, StoreError};

use crate::BackupError;

/// Maximum number of pages of one listing.
const MAX_PAGES: usize = 1_000_000;

/// Returns the objects with a prefix, with their sizes in bytes.
/// Fails if the store does not answer, or the listing exceeds the page limit.
pub(crate) async fn list_sizes(
    bucket: &Bucket,
    prefix: &str,
) -> Result<BTreeMap<String, u64>, StoreError> {
    list_parsed(bucket, prefix, Some).await
}

/// Returns the objects with a prefix whose keys `parse` accepts, with their sizes in bytes.
/// Fails if the store does not answer, or the listing exceeds the page limit.
pub(crate) async fn list_parsed<K: Ord>(
    bucket: &Bucket,
    prefix: &str,
    parse: impl Fn(String) -> Option<K>,
) -> Result<BTreeMap<K, u64>, StoreError> {
    let mut sizes = BTreeMap::new();
    let mut listing = PrefixListing::new(bucket, prefix);
    for _ in 0..MAX_PAGES {
        let Some(page) = listing.next().await? else {
            return Ok(sizes);
        };
        let entries = page.value.into_iter();
        sizes.extend(entries.filter_map(|entry| Some((parse(entry.key)?, entry.size_bytes))));
    }
    Err(StoreError::Unavailable {
        operation: Operation::List,
        key: prefix.to_owned(),
        reason: format!("it has more than {MAX_PAGES} pages"),
    })
}

/// Deletes all objects with a prefix.
/// Fails if the store does not answer.
pub(crate) async fn delete_prefix(bucket: &Bucket, prefix: &str) -> Result<(), BackupError> {
    let mut listing = PrefixListing::new(bucket, prefix);
    for _ in 0..MAX_PAGES {
        let Some(page) = listing.next().await? else {
            break;
        };
        let keys: Vec<_> = page.value.into_iter().map(|entry| entry.key).collect();
        for keys in keys.chunks(MAX_DELETE_KEYS) {
            bucket.delete(keys).await?;
        }
    }
    Ok(())
}
