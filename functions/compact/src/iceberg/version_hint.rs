//! The version hint of a published table: the object that names the current metadata.

use bytes::Bytes;
use neap_bucket::{
    Bucket, ETag, Get, GetOptions, Key, Operation, PublishedObject, Put, PutMode, StoreError,
};
use neap_schema::{DatabaseId, TableId};

use crate::listing::in_time;

/// Number of attempts to raise a hint. Each failed one means that another process has changed it.
const ATTEMPTS: usize = 4;

/// A version hint as it was read.
#[derive(Clone, Debug, Default)]
pub(super) struct VersionHint {
    /// The number of the current publication; `None` if there is none.
    pub(super) number: Option<u64>,
    etag: Option<ETag>,
}

impl VersionHint {
    /// Reads the hint of a table.
    pub(super) async fn read(
        bucket: &Bucket,
        database: DatabaseId,
        table: TableId,
    ) -> Result<Self, StoreError> {
        let key = Key::Published(database, table, PublishedObject::VersionHint);
        let get = bucket.get(&key, GetOptions::default());
        let got = in_time(bucket, Operation::Get, &key.to_string(), get).await?;
        Ok(match got.value {
            Get::Found(object) => Self {
                number: PublishedObject::hinted_number(&object.bytes),
                etag: Some(object.etag),
            },
            Get::Missing | Get::Unchanged => Self::default(),
        })
    }

    /// Sets the hint to a publication, unless it already names this one or a later one. So it never goes back.
    /// Fails if the store failed, or other processes have changed the hint each time.
    pub(super) async fn raise(
        self,
        bucket: &Bucket,
        database: DatabaseId,
        table: TableId,
        number: u64,
    ) -> Result<(), StoreError> {
        let key = Key::Published(database, table, PublishedObject::VersionHint);
        let mut hint = self;
        for _ in 0..ATTEMPTS {
            if hint.number >= Some(number) {
                return Ok(());
            }
            let mode = hint.etag.map_or(PutMode::Create, PutMode::Update);
            let put = bucket.put(&key, Bytes::from(number.to_string()), mode);
            let put = in_time(bucket, Operation::Put, &key.to_string(), put).await?;
            if let Put::Done(_) = put.value {
                return Ok(());
            }
            hint = Self::read(bucket, database, table).await?;
        }
        Err(StoreError::Unavailable {
            operation: Operation::Put,
            key: key.to_string(),
            reason: "other processes change it at the same time".to_owned(),
        })
    }
}
