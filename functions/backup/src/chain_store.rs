//! The objects of a backup at a place as one store, whichever backup of its chain has put them.

use std::{collections::BTreeMap, sync::Arc};

use async_trait::async_trait;
use bytes::Bytes;
use neap_bucket::{
    Bucket, Get, GetOptions, ListPage, ListRequest, Operation, Put, PutMode, Store, StoreError,
    StoreResponse,
};
use ulid::Ulid;

use crate::{place::BackupPlace, place_objects::PlaceManifest};

/// The objects of a backup, under the keys that they have in the cluster. For reading only.
#[derive(Debug)]
pub(crate) struct ChainStore {
    /// The store of each backup of the chain.
    stores: BTreeMap<Ulid, Arc<dyn Store>>,
    /// The backup that has put each object.
    put_by: BTreeMap<String, Ulid>,
}

impl ChainStore {
    /// Returns the bucket with the objects of a backup.
    pub(crate) fn bucket(place: &BackupPlace, manifest: &PlaceManifest) -> Bucket {
        let objects = manifest.objects.iter();
        let put_by: BTreeMap<_, _> =
            objects.map(|(key, object)| (key.clone(), object.put_by)).collect();
        let stores = put_by.values().map(|id| (*id, place.store_of(*id)));
        let store = Self { stores: stores.collect(), put_by };
        Bucket::new(Arc::new(store), place.world().clone())
    }
}

fn rejected<T>(operation: Operation, key: &str) -> Result<StoreResponse<T>, StoreError> {
    Err(StoreError::Rejected {
        operation,
        key: key.to_owned(),
        reason: "the objects of a backup are not changed".to_owned(),
    })
}

#[async_trait]
impl Store for ChainStore {
    async fn get(&self, key: &str, options: GetOptions) -> Result<StoreResponse<Get>, StoreError> {
        let store = self.put_by.get(key).and_then(|id| self.stores.get(id));
        match store {
            Some(store) => store.get(key, options).await,
            None => Ok(StoreResponse { value: Get::Missing, date: None }),
        }
    }

    async fn put(
        &self,
        key: &str,
        _body: Bytes,
        _mode: PutMode,
    ) -> Result<StoreResponse<Put>, StoreError> {
        rejected(Operation::Put, key)
    }

    async fn list(&self, request: ListRequest<'_>) -> Result<StoreResponse<ListPage>, StoreError> {
        rejected(Operation::List, request.prefix)
    }

    async fn delete(&self, keys: &[String]) -> Result<StoreResponse<()>, StoreError> {
        rejected(Operation::Delete, keys.first().map_or("", String::as_str))
    }
}
