//! Reads and lists objects. Each request has a timeout.

use std::{collections::BTreeMap, ops::Range, time::Duration};

use bytes::Bytes;
use neap_bucket::{Bucket, Get, GetOptions, Key, ListEntry, Operation, PrefixListing, StoreTime};
use neap_manifest::ObjectName;
use neap_schema::DatabaseId;

use crate::FsckError;

/// Timeout of a request: longer than a store's own timeout.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(60);

/// Maximum number of pages of one listing.
const MAX_PAGES: usize = 1_000_000;

/// Minimum age of an orphan. The commit that references a younger object may still come.
pub(crate) const ORPHAN_AGE: Duration = Duration::from_secs(24 * 60 * 60);

/// The metadata of an object in a listing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ListedObject {
    pub(crate) size_bytes: u64,
    pub(crate) last_modified: StoreTime,
}

/// The data objects of a database.
pub(crate) type ObjectInventory = BTreeMap<ObjectName, ListedObject>;

/// Lists a prefix, and calls `each` for every entry.
pub(crate) async fn list(
    bucket: &Bucket,
    prefix: &str,
    mut each: impl FnMut(ListEntry),
) -> Result<(), FsckError> {
    let mut listing = PrefixListing::new(bucket, prefix);
    for _ in 0..MAX_PAGES {
        let page = listing.next();
        let answer = bucket.in_time(REQUEST_TIMEOUT, Operation::List, prefix, page).await?;
        let Some(page) = answer else {
            return Ok(());
        };
        page.value.into_iter().for_each(&mut each);
    }
    Err(FsckError::ListingTooLong { prefix: prefix.to_owned(), pages: MAX_PAGES })
}

/// Lists the data objects of a database. Unknown keys are handled by the scan of the bucket.
pub(crate) async fn inventory(
    bucket: &Bucket,
    database: DatabaseId,
) -> Result<ObjectInventory, FsckError> {
    let mut inventory = ObjectInventory::new();
    list(bucket, &Key::data_prefix(database), |entry| {
        let key = entry.key.parse::<Key>().ok();
        if let Some((of, name)) = key.as_ref().and_then(ObjectName::of_key)
            && of == database
        {
            let listed = ListedObject {
                size_bytes: entry.size_bytes,
                last_modified: entry.last_modified,
            };
            inventory.insert(name, listed);
        }
    })
    .await?;
    Ok(inventory)
}

/// Reads an object or a range of it; `None` if it is missing.
pub(crate) async fn fetch(
    bucket: &Bucket,
    key: &Key,
    range: Option<Range<u64>>,
) -> Result<Option<Bytes>, FsckError> {
    let options = GetOptions { range, if_none_match: None };
    let get = bucket.get(key, options);
    let got = bucket.in_time(REQUEST_TIMEOUT, Operation::Get, key, get).await?;
    Ok(match got.value {
        Get::Found(object) => Some(object.bytes),
        Get::Missing | Get::Unchanged => None,
    })
}
