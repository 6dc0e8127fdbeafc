//! Lists and deletes the objects below a prefix.

use std::collections::BTreeMap;

use neap_bucket::{Bucket, ListRequest, MAX_DELETE_KEYS, Operation, StoreError};

use crate::BackupError;

/// Maximum number of pages of one listing.
const MAX_PAGES: usize = 1_000_000;

/// Returns the objects with a prefix, with their sizes in bytes.
///
/// # Errors
/// The store does not answer, or the listing exceeds the page limit.
pub(crate) async fn list_sizes(
    bucket: &Bucket,
    prefix: &str,
) -> Result<BTreeMap<String, u64>, StoreError> {
    list_parsed(bucket, prefix, Some).await
}

/// Returns the objects with a prefix whose keys `parse` accepts, with their sizes in bytes.
///
/// # Errors
/// The store does not answer, or the listing exceeds the page limit.
pub(crate) async fn list_parsed<K: Ord>(
    bucket: &Bucket,
    prefix: &str,
    parse: impl Fn(String) -> Option<K>,
) -> Result<BTreeMap<K, u64>, StoreError> {
    let mut sizes = BTreeMap::new();
    let mut page_token = None;
    for _ in 0..MAX_PAGES {
        let request = ListRequest {
            prefix,
            start_after: None,
            page_token,
        };
        let page = bucket.list(request).await?.value;
        let entries = page.entries.into_iter();
        sizes.extend(entries.filter_map(|entry| Some((parse(entry.key)?, entry.size_bytes))));
        page_token = page.next_page_token;
        if page_token.is_none() {
            return Ok(sizes);
        }
    }
    Err(StoreError::Unavailable {
        operation: Operation::List,
        key: prefix.to_owned(),
        reason: format!("it has more than {MAX_PAGES} pages"),
    })
}

/// Deletes all objects with a prefix.
///
/// # Errors
/// The store does not answer.
pub(crate) async fn delete_prefix(bucket: &Bucket, prefix: &str) -> Result<(), BackupError> {
    let mut page_token = None;
    for _ in 0..MAX_PAGES {
        let request = ListRequest {
            prefix,
            start_after: None,
            page_token,
        };
        let page = bucket.list(request).await?.value;
        let keys: Vec<_> = page.entries.into_iter().map(|entry| entry.key).collect();
        for keys in keys.chunks(MAX_DELETE_KEYS) {
            bucket.delete(keys).await?;
        }
        page_token = page.next_page_token;
        if page_token.is_none() {
            break;
        }
    }
    Ok(())
}
