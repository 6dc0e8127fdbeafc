//! Paginated listings, so that memory stays bounded for listings of any length.

use crate::{Bucket, ListEntry, ListRequest, StoreError, StoreResponse};

/// The pages of the keys with a prefix. Each page is one request.
#[derive(Debug)]
pub struct PrefixListing<'a> {
    bucket: &'a Bucket,
    prefix: &'a str,
    /// The token of the next page, `None` for the first one; absent after the last page.
    next: Option<Option<String>>,
}

impl<'a> PrefixListing<'a> {
    /// Lists all keys with a prefix.
    pub fn new(bucket: &'a Bucket, prefix: &'a str) -> Self {
        Self { bucket, prefix, next: Some(None) }
    }

    /// Returns the entries of the next page and the store's time of the answer; `None` after the last page.
    ///
    /// # Errors
    /// The store does not answer. The listing has no further pages then.
    pub async fn next(&mut self) -> Result<Option<StoreResponse<Vec<ListEntry>>>, StoreError> {
        let Some(page_token) = self.next.take() else {
            return Ok(None);
        };
        let request = ListRequest { page_token, ..ListRequest::new(self.prefix) };
        let StoreResponse { value, date } = self.bucket.list(request).await?;
        self.next = value.next_page_token.map(Some);
        Ok(Some(StoreResponse { value: value.entries, date }))
    }
}
