//! Paginated listings, so that memory stays bounded for listings of any length.

use std::time::Duration;

use neap_bucket::{
    Bucket, ListEntry, MAX_DELETE_KEYS, Operation, PrefixListing, StoreError, StoreTime,
};

const REQUEST_TIMEOUT: Duration = Duration::from_secs(60);

#[derive(Debug)]
pub(crate) struct ListingPage {
    pub(crate) entries: Vec<ListEntry>,
    /// The store's time of the response.
    pub(crate) date: Option<StoreTime>,
}

/// Iterates over the pages of one listing.
#[derive(Debug)]
pub(crate) struct ListingPages<'a> {
    bucket: &'a Bucket,
    prefix: &'a str,
    known: Option<ListingPage>,
    /// `None` if there is only the known page.
    listing: Option<PrefixListing<'a>>,
}

impl<'a> ListingPages<'a> {
    /// Lists all keys that start with `prefix`.
    pub(crate) fn new(bucket: &'a Bucket, prefix: &'a str) -> Self {
        Self {
            bucket,
            prefix,
            known: None,
            listing: Some(PrefixListing::new(bucket, prefix)),
        }
    }

    /// Returns a page that is already known, without a request.
    pub(crate) fn known(bucket: &'a Bucket, prefix: &'a str, page: ListingPage) -> Self {
        Self { bucket, prefix, known: Some(page), listing: None }
    }

    /// Returns the next page, or `None` after the last one.
    pub(crate) async fn next(&mut self) -> Result<Option<ListingPage>, StoreError> {
        if let Some(page) = self.known.take() {
            return Ok(Some(page));
        }
        let Some(listing) = &mut self.listing else {
            return Ok(None);
        };
        let page = in_time(self.bucket, Operation::List, self.prefix, listing.next()).await?;
        Ok(page.map(|page| ListingPage { entries: page.value, date: page.date }))
    }
}

/// Deletes objects in as few requests as possible. Either all or none of them are segments.
pub(crate) async fn delete(bucket: &Bucket, keys: &[String]) -> Result<(), StoreError> {
    for keys in keys.chunks(MAX_DELETE_KEYS) {
        let first = keys.first().map_or("", String::as_str);
        in_time(bucket, Operation::Delete, first, bucket.delete(keys)).await?;
    }
    Ok(())
}

/// Awaits the answer to a request within a time limit.
pub(crate) async fn in_time<T>(
    bucket: &Bucket,
    operation: Operation,
    key: &str,
    request: impl Future<Output = Result<T, StoreError>>,
) -> Result<T, StoreError> {
    bucket.in_time(REQUEST_TIMEOUT, operation, key, request).await
}
