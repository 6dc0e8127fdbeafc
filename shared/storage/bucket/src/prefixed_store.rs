//! A view of a store below a key prefix, so that several clusters can share a bucket.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;

use crate::{
    Get, GetOptions, ListEntry, ListPage, ListRequest, Put, PutMode, Store, StoreError,
    StoreResponse,
};

/// A view of the objects of a store whose keys start with a prefix. The keys of the view lack the prefix.
///
/// # Examples
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use std::sync::Arc;
///
/// use bytes::Bytes;
/// use neap_bucket::{Get, GetOptions, MemoryStore, PrefixedStore, PutMode, Store, World};
///
/// let bucket: Arc<dyn Store> = Arc::new(MemoryStore::new(World::system().clock));
/// let cluster = PrefixedStore::new(Arc::clone(&bucket), "clusters/one/");
/// cluster.put("catalog", Bytes::new(), PutMode::Create).await?;
/// let answer = bucket.get("clusters/one/catalog", GetOptions::default()).await?;
/// assert!(matches!(answer.value, Get::Found(_)));
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct PrefixedStore {
    inner: Arc<dyn Store>,
    prefix: String,
}

impl PrefixedStore {
    /// The part of `inner` below `prefix`, such as `clusters/one/`.
    pub fn new(inner: Arc<dyn Store>, prefix: impl Into<String>) -> Self {
        Self { inner, prefix: prefix.into() }
    }

    fn outer(&self, key: &str) -> String {
        format!("{}{key}", self.prefix)
    }
}

#[async_trait]
impl Store for PrefixedStore {
    async fn get(&self, key: &str, options: GetOptions) -> Result<StoreResponse<Get>, StoreError> {
        self.inner.get(&self.outer(key), options).await
    }

    async fn put(
        &self,
        key: &str,
        body: Bytes,
        mode: PutMode,
    ) -> Result<StoreResponse<Put>, StoreError> {
        self.inner.put(&self.outer(key), body, mode).await
    }

    async fn list(&self, request: ListRequest<'_>) -> Result<StoreResponse<ListPage>, StoreError> {
        let start_after = request.start_after.map(|key| self.outer(key));
        let outer = ListRequest {
            prefix: &self.outer(request.prefix),
            start_after: start_after.as_deref(),
            page_token: request.page_token,
        };
        let StoreResponse { value, date } = self.inner.list(outer).await?;
        let entries = value.entries.into_iter().filter_map(|entry| {
            let key = entry.key.strip_prefix(&self.prefix)?.to_owned();
            Some(ListEntry { key, ..entry })
        });
        let value = ListPage {
            entries: entries.collect(),
            next_page_token: value.next_page_token,
        };
        Ok(StoreResponse { value, date })
    }

    async fn delete(&self, keys: &[String]) -> Result<StoreResponse<()>, StoreError> {
        let keys: Vec<_> = keys.iter().map(|key| self.outer(key)).collect();
        self.inner.delete(&keys).await
    }

    fn wrapped(&self) -> Option<&dyn Store> {
        Some(&*self.inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{MemoryStore, World};

    #[tokio::test]
    async fn two_prefixes_of_one_store_do_not_see_each_other() {
        let inner: Arc<dyn Store> = Arc::new(MemoryStore::new(World::system().clock));
        let one = PrefixedStore::new(Arc::clone(&inner), "one/");
        let two = PrefixedStore::new(Arc::clone(&inner), "two/");
        let put = one.put("catalog", Bytes::from_static(b"1"), PutMode::Create);
        assert!(matches!(put.await.unwrap().value, Put::Done(_)));
        let missing = two.get("catalog", GetOptions::default()).await.unwrap();
        assert!(matches!(missing.value, Get::Missing));
        assert!(matches!(
            inner.get("one/catalog", GetOptions::default()).await.unwrap().value,
            Get::Found(_)
        ));
    }
}
